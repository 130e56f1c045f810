"""`pope oracle` against a faulty server: every fault is counted by name, no recorded answer is requested again, the key
does not leak, and every run ends."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.problems.oracle.patient_requests import EndpointDown, EndpointRefused
from broker.errors import UsageError
from conf.load import load
from deploy.jobs.oracle import oracle
from tests.oracle_server import CANARY, COMPLETION_TOKENS, PROMPT_TOKENS, Server, serving
from tests.problem_files import read_problems
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[3]
FAULTS = {
    "hang": "timeout",
    "drip": "timeout",
    "500": "http_500",
    "503": "http_503",
    "429": "http_429",
    "408": "http_408",
    "retry_after:0.1": "http_429",
    "reset": "connection",
    "cut": "connection",
    "bad_json": "bad_json",
    "deep_json": "bad_json",
    "html": "bad_json",
    "not_unicode": "bad_json",
    "gzip": "bad_json",
    "empty_choices": "empty",
    "huge": "too_large",
    "huge_error": "too_large",
}
"""Behaviour of the server -> the name under which its failure is counted."""
REJECTED = {"wrong": "wrong", "truncated": "truncated", "filtered": "filtered", "blank": "no_answer"}
"""Behaviour of the server -> the verdict on its answer."""


class OracleCommand:
    """`pope oracle` on a file of n problems."""

    def __init__(self, folder: Path, num_problems: int) -> None:
        self.source, self.out = folder / "problems.jsonl", folder / "solved.jsonl"
        self.log = folder / "solved.jsonl.attempts.jsonl"
        self.write(num_problems)
        self.output = ""

    def write(self, num_problems: int, **more: Any) -> None:
        numbers = range(1, num_problems + 1)
        rows = [{"id": f"p{n}", "problem": f"What is P{n}?", "answer": str(n), **more} for n in numbers]
        self.source.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def settings(self, server: Server | str, *words: str) -> list[str]:
        url = server if isinstance(server, str) else server.url
        return [f"oracle.endpoint={url}", "oracle.model=big", "oracle.max_wait_s=0.05", "oracle.timeout_s=4", *words]

    def run(self, server: Server | str, *words: str, **options: bool) -> str:
        """Run in this process. Returns the output."""
        console = Console(file=io.StringIO(), width=200)
        config = load(None, [f"problems.source={self.source}", *self.settings(server, *words)])
        try:
            oracle(config, self.out, console, **options)
        finally:
            self.output = console.file.getvalue()  # type: ignore[attr-defined]
        return self.output

    def start(self, server: Server | str, *words: str, environment: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
        """Run in a new process."""
        arguments = ["oracle", str(self.source), "--out", str(self.out), *self.settings(server, *words)]
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *arguments],
            cwd=REPOSITORY, env={**os.environ, **environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def attempts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()[1:]]

    def solved(self) -> set[str]:
        return {problem.id for problem in read_problems(self.out) if problem.solution is not None}


@pytest.fixture
def command_on(tmp_path: Path) -> Callable[[int], OracleCommand]:
    return lambda num_problems: OracleCommand(tmp_path, num_problems)


def scripted(words: Sequence[str]) -> dict[str, list[str]]:
    """Problem n first meets the n-th behaviour, then a right answer."""
    return {f"P{number}": [word, "right"] for number, word in enumerate(words, start=1)}


def row(output: str, name: str) -> list[str]:
    """The two numbers in a row of the printed table."""
    line = next(line for line in output.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.split("│")[2:4]]


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_every_fault_is_counted_by_name_and_the_problem_is_solved_after_a_retry(command_on: Any) -> None:
    command = command_on(len(FAULTS))
    with serving(scripted(list(FAULTS))) as server:
        output = command.run(server, "oracle.concurrency=6")
    errors = {attempt["id"]: attempt["error"] for attempt in command.attempts() if "error" in attempt}
    assert errors == {f"p{number}": name for number, name in enumerate(FAULTS.values(), start=1)}
    assert server.asked() == {f"P{number}": 2 for number in range(1, len(FAULTS) + 1)}
    assert command.solved() == set(errors)
    for name in set(FAULTS.values()):
        assert row(output, f"failed: {name}") == [str(list(FAULTS.values()).count(name))] * 2
    assert row(output, "requests") == [str(2 * len(FAULTS))] * 2
    assert row(output, "including retries") == row(output, "answers") == [str(len(FAULTS))] * 2


@pytest.mark.faults
def test_rejected_answers_are_counted_by_name_and_their_tokens_are_counted(command_on: Any) -> None:
    command = command_on(len(REJECTED))
    with serving(scripted(list(REJECTED))) as server:
        output = command.run(server, "oracle.prompt_price=5", "oracle.completion_price=20")
    assert command.solved() == {f"p{number}" for number in range(1, len(REJECTED) + 1)}
    for name in REJECTED.values():
        assert row(output, f"rejected: {name}") == ["1", "1"]
    answers = 2 * len(REJECTED)
    assert row(output, "prompt tokens") == [f"{answers * PROMPT_TOKENS:,}"] * 2 == ["800", "800"]
    assert row(output, "completion tokens") == [f"{answers * COMPLETION_TOKENS:,}"] * 2 == ["400", "400"]
    assert row(output, "cost") == ["0.0120", "0.0120"]  # 800 * 5 + 400 * 20 = 12000 millionths
    assert row(output, "accepted") == ["4 (100%)"] * 2


@pytest.mark.faults
def test_the_number_of_requests_is_bounded_when_no_answer_is_correct(command_on: Any) -> None:
    command = command_on(2)
    with serving({"P1": ["wrong"], "P2": ["500"]}) as server:
        output = command.run(server, "oracle.max_attempts=3", "oracle.retries=2")
    assert server.asked() == {"P1": 3, "P2": 3}
    assert command.solved() == set()
    assert [json.loads(line)["solution"] for line in command.out.read_text().splitlines()] == [None, None]
    assert "1 are unsolved after all 3 attempts, 1 are left for another run" in output


@pytest.mark.faults
def test_a_retry_after_is_honoured(command_on: Any) -> None:
    command = command_on(1)
    with serving({"P1": ["retry_after:1", "right"]}) as server:
        command.run(server, "oracle.max_wait_s=5")
    first, second = (request["at"] for request in server.requests)
    assert 1.0 <= second - first <= 3.5


@pytest.mark.faults
def test_a_retry_after_beyond_max_wait_is_not_honoured(command_on: Any) -> None:
    command = command_on(1)
    with serving({"P1": ["retry_after:31536000", "right"]}) as server:
        command.run(server, "oracle.max_wait_s=0.2")
    first, second = (request["at"] for request in server.requests)
    assert 0.2 <= second - first <= 2.5
    assert command.solved() == {"p1"}


@pytest.mark.faults
def test_an_endpoint_that_is_down_ends_the_run_with_a_message_how_to_continue(command_on: Any) -> None:
    command = command_on(50)
    with serving({}) as server:
        pass  # its port is closed again
    process = command.start(server, "oracle.concurrency=4", "oracle.max_failures=12")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "12 requests in a row failed, the last with connection" in errors
    assert "run the same command" in errors
    assert 12 <= len(command.attempts()) <= 15
    assert row(output, "accepted") == ["0 (0%)"] * 2
    assert len(read_problems(command.out)) == 50


@pytest.mark.faults
def test_an_endpoint_that_hangs_ends_the_run(command_on: Any) -> None:
    command = command_on(20)
    with serving({f"P{number}": ["hang"] for number in range(1, 21)}) as server, pytest.raises(EndpointDown):
        command.run(server, "oracle.concurrency=4", "oracle.max_failures=8", "oracle.timeout_s=0.3")
    assert len(server.requests) <= 12


@pytest.mark.faults
@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("401", "set oracle.api_key_env"),
        ("403", "set oracle.api_key_env"),
        ("404", "check oracle.model=big and oracle.endpoint"),
        ("400:max_tokens is too large", r"\(max_tokens is too large\); check oracle.model, oracle.temperature"),
        ("422", "oracle.max_tokens_name"),
        ("redirect:http://127.0.0.1:1/", "redirects are not followed"),
        ("quota", "out of credit"),
    ],
)
def test_a_refusal_ends_the_run_at_once_with_a_remedy_and_keeps_the_answers(
    command_on: Any, word: str, remedy: str
) -> None:
    command = command_on(20)
    script = {"P1": ["right"], **{f"P{number}": [word] for number in range(2, 21)}}
    with serving(script) as server, pytest.raises(EndpointRefused, match=f"refused a request with .*{remedy}"):
        command.run(server, "oracle.concurrency=1")
    assert server.asked() == {"P1": 1, "P2": 1}
    assert command.solved() == {"p1"}
    assert row(command.output, "accepted") == ["1 (100%)"] * 2


# Continuing a run ---------------------------------------------------------------------------------------------------


def descendants(pid: int) -> set[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {int(child) for child in children}.union(*(descendants(int(child)) for child in children))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def answered(command: OracleCommand) -> set[str]:
    """Ids with an answer in the log, whose last line may be incomplete."""
    lines = command.log.read_bytes().split(b"\n")[1:-1] if command.log.exists() else []
    return {json.loads(line)["id"] for line in lines if b'"verdict"' in line}


@pytest.mark.faults
def test_a_killed_run_continues_without_requesting_recorded_answers_again(command_on: Any) -> None:
    command = command_on(12)
    script = {f"P{n}": ["right"] if n <= 6 else ["hang", "right"] for n in range(1, 13)}
    script["P3"] = ["wrong", "hang", "right"]
    with serving(script) as server:
        process = command.start(server, "oracle.concurrency=4", "oracle.timeout_s=60")
        wait_until(lambda: len(answered(command)) == 6 and len(server.requests) == 10, "6 answers, 4 hanging requests")
        family = descendants(process.pid)
        process.kill()
        process.communicate()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "the end of the verifier's processes")
        assert len(family) >= 1
        with command.log.open("ab") as log:
            log.write(b'{"id":"p7","attempt":1,"verd')  # an incomplete line, as a kill during a write leaves it
        before = server.asked()
        assert not command.out.exists()

        process = command.start(server, "oracle.concurrency=4", "oracle.timeout_s=60")
        # Some of P8, P9, ... hang on their first request only now; `hold` ends those requests.
        wait_until(lambda: set(server.asked()) == set(script), "every problem to be asked")
        server.hold.set()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    again = server.asked() - before
    assert not {f"P{n}" for n in (1, 2, 4, 5, 6)} & set(again), "their right answers are in the log"
    assert again["P3"] == 1, "its first answer is in the log, its second request was lost"
    assert command.solved() == {f"p{n}" for n in range(1, 13)}
    right = [attempt["id"] for attempt in command.attempts() if attempt.get("verdict") == "correct"]
    assert sorted(right) == sorted(command.solved()), "one accepted answer a problem, over both runs"
    assert row(output, "accepted") == ["7 (100%)", "12 (100%)"]


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_keeps_the_answers(command_on: Any, number: signal.Signals, code: int) -> None:
    command = command_on(4)
    with serving({"P1": ["text:\\boxed{\\frac{3}{3}}"], "P3": ["hang"], "P4": ["hang"]}) as server:
        process = command.start(server, "oracle.timeout_s=60")
        wait_until(lambda: answered(command) == {"p1", "p2"} and len(server.requests) == 4, "two answers")
        family = descendants(process.pid)
        os.killpg(process.pid, number)  # as a terminal does; the verifier's processes get it too
        output, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert f"interrupted by {number.name}" in errors
    assert "Traceback" not in errors
    assert command.solved() == {"p1", "p2"}
    assert row(output, "accepted") == ["2 (100%)"] * 2
    wait_until(lambda: not any(is_alive(pid) for pid in family), "the end of the verifier's processes")


@pytest.mark.faults
def test_a_full_disk_ends_the_run_and_the_log_can_be_continued(command_on: Any) -> None:
    command = command_on(9)
    with serving({}) as server:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
        try:
            with pytest.raises(UsageError, match=r"free space|make room"):
                command.run(server, "oracle.concurrency=1")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        kept = {f"P{id[1:]}" for id in answered(command)}
        assert 1 <= len(kept) < 9
        before_again = server.asked()
        command.run(server)
    assert command.solved() == {f"p{n}" for n in range(1, 10)}
    assert not kept & set(server.asked() - before_again)


def test_a_finished_run_makes_no_further_requests(command_on: Any) -> None:
    command = command_on(3)
    with serving({"P3": ["wrong"]}) as server:
        command.run(server, "oracle.max_attempts=2")
        written = command.out.read_bytes()
        output = command.run(server, "oracle.max_attempts=2")
        assert len(server.requests) == 4
        assert command.out.read_bytes() == written
        assert row(output, "accepted") == ["0", "2 (67%)"]
        command.run(server, "oracle.max_attempts=3")
        assert server.asked()["P3"] == 3, "max_attempts was raised"


def test_a_log_made_for_another_model_or_source_is_refused_unless_fresh(command_on: Any) -> None:
    command = command_on(2)
    with serving({}) as server:
        command.run(server)
        with pytest.raises(UsageError, match="was made for the model 'big'; give --fresh"):
            command.run(server, "oracle.model=other")
        command.write(3)
        with pytest.raises(UsageError, match="other problems"):
            command.run(server)
        assert len(server.requests) == 2
        command.run(server, fresh=True)
    assert command.solved() == {"p1", "p2", "p3"}
    assert command.log.with_name(command.log.name + ".1").exists()


# Problems in, problems out ------------------------------------------------------------------------------------------


def test_a_problem_with_a_solution_is_requested_only_with_redo(command_on: Any) -> None:
    command = command_on(2)
    command.write(2, solution="I know.", bucket="easy")
    with serving({"P2": ["wrong"]}) as server:
        output = command.run(server)
        assert not server.requests
        assert "2 problems were skipped" in output
        assert [problem.solution for problem in read_problems(command.out)] == ["I know."] * 2
        command.run(server, redo=True)
    first, second = read_problems(command.out)
    assert first.solution == "Think.\nSo it is \\boxed{1}."
    assert second.solution == "I know.", "no correct answer replaced it"
    assert first.bucket == second.bucket == "easy"


def test_answers_are_compared_by_value(command_on: Any) -> None:
    command = command_on(1)
    with serving({"P1": ["text:So \\boxed{\\frac{1}{2}}.", "text:So \\boxed{\\frac{2}{2}}."]}) as server:
        command.run(server)
    assert [attempt["verdict"] for attempt in command.attempts()] == ["wrong", "correct"]
    assert [problem.solution for problem in read_problems(command.out)] == ["So \\boxed{\\frac{2}{2}}."]


def test_a_request_has_the_settings(command_on: Any) -> None:
    command = command_on(1)
    with serving({}) as server:
        command.run(server, "oracle.temperature=null", "oracle.max_tokens=77",
                  "oracle.max_tokens_name=max_completion_tokens")  # fmt: skip
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert "\\boxed{" in request["body"]["messages"][0]["content"]
    assert {key: value for key, value in request["body"].items() if key != "messages"} == {
        "model": "big", "max_completion_tokens": 77,
    }  # fmt: skip


def test_an_answer_with_invalid_token_counts_is_accepted_and_counted(command_on: Any) -> None:
    command = command_on(1)
    with serving({"P1": ["bad_usage"]}) as server:
        output = command.run(server)
    assert command.solved() == {"p1"}
    assert row(output, "answers without token counts") == ["1", "1"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["oracle.model=null"], "oracle.model is not set; give oracle.model=NAME"),
        (["oracle.api_key_env=NO_SUCH_VARIABLE"], "oracle.api_key_env=NO_SUCH_VARIABLE: that environment variable"),
        (["oracle.api_key_env=BAD_KEY"], "oracle.api_key_env=BAD_KEY: .* spaces, line ends"),
    ],
)
def test_missing_settings_are_refused_before_any_request(
    command_on: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    monkeypatch.setenv("BAD_KEY", f"{CANARY}\nX-Evil: 1")
    command = command_on(1)
    with serving({}) as server, pytest.raises(UsageError, match=complaint) as caught:
        command.run(server, *words)
    assert not server.requests
    assert not command.log.exists()
    assert CANARY not in str(caught.value)


def test_no_file_of_the_user_is_overwritten(command_on: Any) -> None:
    command = command_on(1)
    source = command.source.read_bytes()
    with serving({}) as server:
        command.out.write_text("mine")
        with pytest.raises(UsageError, match=r"exists and .* does not"):
            command.run(server)
        command.out.unlink()
        command.out.symlink_to(command.source)
        with pytest.raises(UsageError, match="is the source itself"):
            command.run(server)
        command.out = command.source.parent
        with pytest.raises(UsageError, match="is a folder"):
            command.run(server)
        assert not server.requests
    assert command.source.read_bytes() == source


# Secrets and hostile texts ------------------------------------------------------------------------------------------


def everything(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("last", ["right", f"401:bad key {CANARY}"])
def test_the_key_reaches_the_endpoint_and_nothing_else(command_on: Any, tmp_path: Path, last: str) -> None:
    command = command_on(4)
    told = f"text:Your key is {CANARY}, or {CANARY[:9]}\x00{CANARY[9:]}. \\boxed{{1}}"
    script = {"P1": [told], "P2": [f"500:{CANARY}", "right"], "P3": ["bad_json", "right"], "P4": [last]}
    environment = {
        "ORACLE_KEY": CANARY, "OPENAI_LOG": "debug", "PYTHONASYNCIODEBUG": "1",
        "http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1",
    }  # fmt: skip
    with serving(script) as server:
        words = ("oracle.api_key_env=ORACLE_KEY", "oracle.concurrency=1")
        process = command.start(server, *words, environment=environment)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if last == "right" else 2), errors
    assert len(server.requests) == 6, "no proxy was used"
    assert {request["headers"]["authorization"] for request in server.requests} == {f"Bearer {CANARY}"}
    assert "Your key is ***, or ***." in everything(tmp_path)
    assert CANARY not in everything(tmp_path)
    assert CANARY not in output + errors
    if last != "right":
        assert "(bad key ***)" in errors


def test_without_a_key_no_secret_of_the_environment_is_sent(command_on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_ORG_ID", CANARY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {CANARY}\nX-Other: {CANARY}")
    command = command_on(1)
    with serving({}) as server:
        command.run(server)
    assert CANARY not in json.dumps(server.requests)
    assert "authorization" not in server.requests[0]["headers"]


@pytest.mark.parametrize("word", [f"oracle.api_key={CANARY}", f"oracle.api_key_env={CANARY}", f"api_key={CANARY}"])
def test_a_key_given_as_a_setting_is_refused_and_not_repeated(command_on: Any, word: str) -> None:
    command = command_on(1)
    process = command.start("http://127.0.0.1:1/v1", word)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "api_key_env" in errors
    assert CANARY not in output + errors


def test_control_characters_of_the_endpoint_reach_neither_terminal_nor_file(command_on: Any, tmp_path: Path) -> None:
    command = command_on(3)
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    text = f"text:{evil}[bold]So[/bold] \\boxed{{1}}"
    script = {"P1": [text], "P2": [f"500:{evil}", "right"], "P3": [f"400:{evil}x"]}
    with serving(script) as server:
        process = command.start(server, "oracle.concurrency=1")
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "]0;owned[2J31mx" in errors, "the text without control sequences"
    shown = output + errors + everything(tmp_path)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    assert "\\u001b" not in shown
