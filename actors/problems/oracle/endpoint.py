"""The one door to the openai client: a message -> what the endpoint answered, or what went wrong, by name.

The endpoint is not trusted. Its answer has a size limit and a deadline, is read as JSON of a fixed form, loses control
characters, and loses the API key should it hold it. Of the environment only SSL_CERT_FILE and SSL_CERT_DIR take part:
no proxy, no netrc, no header or key the client would pick up by itself. The key is added where the request leaves, so
that no other object has it.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx2
import msgspec
import openai

from actors.problems.oracle.attempts import Rejected
from actors.problems.oracle.requests import EndpointRefused, Reply, RequestFailed
from conf.schema import OracleSettings

MAX_BODY_BYTES = 8 * 2**20
"""A longer response is not read to its end: 128k tokens are under a MiB, six times that with all escaped."""
MAX_DETAIL_CHARS = 200
"""What is kept of an endpoint's own words about an error."""
MIN_SECRET_CHARS = 8
"""A shorter key (`none`, `EMPTY`) is no secret, and would be found in ordinary words."""
TRANSIENT_4XX = {408, 409, 425, 429}
"""Timeout, conflict, too early, too many: the statuses below 500 that say `again, later`."""
OUT_OF_CREDIT = "insufficient_quota"
"""Error code of a 429 that waiting does not mend."""

_SENT_HEADERS = {"host", "content-type", "content-length", "accept", "connection"}


class Endpoint:
    """One client with its connections. Close it."""

    def __init__(self, settings: OracleSettings, key: str | None) -> None:
        self._settings = settings
        self._secret = key if key is not None and len(key) >= MIN_SECRET_CHARS else None
        http = httpx2.AsyncClient(
            transport=_Transport(key, settings.concurrency), trust_env=False, follow_redirects=False
        )
        self._client = openai.AsyncOpenAI(
            api_key="not here",  # without one it looks in the environment; the transport has the real one
            base_url=settings.endpoint,
            timeout=settings.timeout_s,
            max_retries=0,  # every request is counted, so whoever counts them repeats them
            http_client=http,
        )

    async def ask(self, message: str) -> Reply:
        """Raises `RequestFailed` when trying again may help, `EndpointRefused` when it cannot."""
        settings = self._settings
        options: dict[str, Any] = {settings.max_tokens_name: settings.max_tokens}
        if settings.temperature is not None:
            options["temperature"] = settings.temperature
        try:
            async with asyncio.timeout(settings.timeout_s):  # the client's own timeout starts again with every byte
                response = await self._client.chat.completions.with_raw_response.create(
                    model=settings.model or "", messages=[{"role": "user", "content": message}], **options
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise RequestFailed("timeout") from error
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, _TooLarge):
                raise RequestFailed("too_large", f"more than {MAX_BODY_BYTES} bytes") from error
            cause = error.__cause__ or error
            raise RequestFailed("connection", self._said(f"{type(cause).__name__} {cause}")) from error
        except openai.APIStatusError as error:
            self._raise_status(error)
        return self._reply(response.content)

    async def close(self) -> None:
        await self._client.close()

    def _reply(self, body: bytes) -> Reply:
        try:
            completion = msgspec.json.decode(body, type=_Completion)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RequestFailed("bad_json", self._said(str(error))) from error
        if not completion.choices:
            raise RequestFailed("empty", "no choices")
        choice = completion.choices[0]
        prompt_tokens, completion_tokens = _usage(completion.usage)
        return Reply(
            text=self._cleaned(choice.message.content or ""),
            rejected=_REJECTED.get(choice.finish_reason),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )

    def _raise_status(self, error: openai.APIStatusError) -> NoReturn:
        status, said = error.status_code, self._said(_message(error.body))
        transient = status in TRANSIENT_4XX or status >= 500
        if transient and error.code != OUT_OF_CREDIT:
            patience_s = retry_after_s(error.response.headers.get("retry-after"))
            raise RequestFailed(f"http_{status}", said, patience_s) from error
        match status:
            case 401 | 403:
                source = self._settings.api_key_env
                remedy = (
                    f"put a valid key into the environment variable {source}"
                    if source
                    else "it wants a key: set oracle.api_key_env to the environment variable that holds it"
                )
            case 404:
                remedy = f"check oracle.model={self._settings.model} and oracle.endpoint, which mostly ends with /v1"
            case 429:
                remedy = "the account is out of credit: add some, or choose another oracle.endpoint"
            case status if status < 400:
                remedy = "redirects are not followed: set oracle.endpoint to the final address"
            case _:
                remedy = (
                    "check oracle.model, oracle.temperature (null leaves it out), oracle.max_tokens and "
                    "oracle.max_tokens_name"
                )
        words = f" ({said})" if said else ""
        raise EndpointRefused(
            f"{self._settings.endpoint} refused a request with {status}{words}; {remedy}. "
            "Every answer so far is kept: the same command goes on"
        ) from error

    def _said(self, words: str) -> str:
        """Words of the endpoint on one line, short enough for an error message."""
        line = " ".join(self._cleaned(words[: 20 * MAX_DETAIL_CHARS]).split())
        return line if len(line) <= MAX_DETAIL_CHARS else f"{line[: MAX_DETAIL_CHARS - 3]}..."

    def _cleaned(self, text: str) -> str:
        text = printable(text)
        return text if self._secret is None else text.replace(self._secret, "***")


def printable(text: str) -> str:
    """Without control, format, surrogate and private characters; any space is a space, any line end a newline."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "" for c in text)


def retry_after_s(value: str | None) -> float:
    """A Retry-After header, seconds or a date -> seconds from now; 0 when there is none that makes sense."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return 0.0


def _message(body: object) -> str:
    """What an error's body says: error.message, message, or the body as it stands."""
    for key in ("error", "message"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    return body if isinstance(body, str) else ""


# What is read of an answer; everything else in it is skipped ---------------------------------------------------------


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None
    """Taken as it comes: a good answer is not lost to a bad count."""


_REJECTED: dict[str | None, Rejected] = {"length": "truncated", "content_filter": "filtered"}
"""Finish reason -> why the text is no whole answer."""


def _usage(usage: object) -> tuple[int | None, int | None]:
    """Prompt and completion tokens; None for what is missing or no count."""
    counts = usage if isinstance(usage, dict) else {}
    prompt, completion = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return _count(prompt), _count(completion)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= 2**31 else None


# What leaves and what comes in ---------------------------------------------------------------------------------------


class _TooLarge(httpx2.RequestError):
    """The response is longer than MAX_BODY_BYTES."""


class _Transport(httpx2.AsyncBaseTransport):
    """Sends only the headers that are needed, and passes on only a status, a Retry-After and a bounded body.

    So the body is never unpacked or decoded by what the endpoint says about it, no cookie is kept, and nothing the
    client took from the environment leaves.
    """

    def __init__(self, key: str | None, concurrency: int) -> None:
        self._key = key
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() in _SENT_HEADERS]
        headers += [("accept-encoding", "identity"), ("user-agent", "pope-rl")]
        if self._key is not None:
            headers.append(("authorization", f"Bearer {self._key}"))
        response = await self._inner.handle_async_request(
            httpx2.Request(
                request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
            )
        )
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        kept = [("content-type", "application/json; charset=utf-8")]
        if "retry-after" in response.headers:
            kept.append(("retry-after", response.headers["retry-after"]))
        return httpx2.Response(
            response.status_code, headers=kept, stream=_Bounded(response.stream), extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with `_TooLarge` at MAX_BODY_BYTES."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._inner:
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _TooLarge(f"more than {MAX_BODY_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
