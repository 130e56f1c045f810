"""A local OpenAI-compatible server that misbehaves as scripted, and records its requests."""

import json
import re
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CANARY = "sk-canary-7f3a9b1c2d4e5f60"
"""An API key that must not appear anywhere."""
PROMPT_TOKENS, COMPLETION_TOKENS = 100, 50
"""Token counts of every answer."""

HUGE = b"7" * (9 * 2**20)
"""Larger than the product reads."""


@dataclass
class Server:
    """The script of a test, and the requests that were received."""

    url: str = ""
    script: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Problem -> behaviour at its first, second, ... request; the last repeats. `right`, `wrong` or a fault."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """{problem, path, headers, body, at (monotonic seconds)} of each request, in order."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Set it to end every hang."""

    def asked(self) -> Counter[str]:
        """Problem -> number of requests."""
        return Counter(request["problem"] for request in self.requests)


def completion(text: str | None, **changes: Any) -> bytes:
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    choice |= {key: changes.pop(key) for key in ("finish_reason",) if key in changes}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage, **changes}).encode()


@contextmanager
def serving(script: Mapping[str, Sequence[str]]) -> Iterator[Server]:
    """A server for problems whose statement has a word P1, P2, ...; the right answer of Pn is n."""
    state = Server(script=script)
    seen: dict[str, int] = defaultdict(int)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            return

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = re.search(r"\bP(\d+)\b", body["messages"][-1]["content"])
            assert found is not None
            with lock:
                state.requests.append({
                    "problem": found[0], "path": self.path, "headers": dict(self.headers.items()), "body": body,
                    "at": time.monotonic(),
                })  # fmt: skip
                behaviours = script.get(found[0], ["right"])
                behaviour = behaviours[min(seen[found[0]], len(behaviours) - 1)]
                seen[found[0]] += 1
            self.behave(behaviour, found[1])

        def behave(self, behaviour: str, answer: str) -> None:
            match behaviour.partition(":"):
                case "right", _, _:
                    self.reply(200, completion(f"Think.\nSo it is \\boxed{{{answer}}}."))
                case "wrong", _, _:
                    self.reply(200, completion("So it is \\boxed{0}."))
                case "text", _, text:
                    self.reply(200, completion(text))
                case "truncated", _, _:
                    self.reply(200, completion(f"\\boxed{{{answer}}} and", finish_reason="length"))
                case "filtered", _, _:
                    self.reply(200, completion(None, finish_reason="content_filter"))
                case "blank", _, _:
                    self.reply(200, completion(None))
                case "empty_choices", _, _:
                    self.reply(200, completion("", choices=[]))
                case "bad_usage", _, _:
                    usage = {"prompt_tokens": -5, "completion_tokens": "x"}
                    self.reply(200, completion(f"\\boxed{{{answer}}}", usage=usage))
                case "bad_json", _, _:
                    self.reply(200, b'{"choices": [')
                case "deep_json", _, _:
                    self.reply(200, b'{"choices": ' + b"[" * 10**6)
                case "html", _, _:
                    self.reply(200, b"<html><body>Gateway</body></html>", {"content-type": "text/html"})
                case "not_unicode", _, _:
                    self.reply(200, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')
                case "gzip", _, _:
                    self.reply(200, b"\x1f\x8b" + b"\x00" * 100, {"content-encoding": "gzip"})
                case "huge", _, _:
                    self.reply(200, HUGE)
                case "huge_error", _, _:
                    self.reply(500, HUGE)
                case "hang", _, _:
                    state.hold.wait(60)
                    self.close_connection = True
                case "drip", _, _:
                    self.start({"content-length": "1000000"})
                    while not state.hold.wait(0.05):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                case "reset", _, _:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.close_connection = True
                case "cut", _, _:
                    self.start({"content-length": "1000"})
                    self.wfile.write(b'{"choices": ')
                    self.close_connection = True
                case "redirect", _, location:
                    self.reply(307, b"", {"location": location})
                case "retry_after", _, seconds:
                    self.reply(429, b'{"error": {"message": "slow down"}}', {"retry-after": seconds})
                case "quota", _, _:
                    self.reply(429, b'{"error": {"message": "no credit", "code": "insufficient_quota"}}')
                case status, _, message:
                    self.reply(int(status), json.dumps({"error": {"message": message or "no"}}).encode())

        def reply(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
            self.start({"content-type": "application/json", "content-length": str(len(body)), **headers}, status)
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has closed the connection

        def start(self, headers: Mapping[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.flush()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 256

        def handle_error(self, *words: object) -> None:
            return  # a client closed the connection

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
