"""The client of an OpenAI-compatible endpoint.

The only file that imports openai. The endpoint is not trusted: its answer has a size limit and a deadline and is
decoded as JSON with a fixed schema; control characters and the API key are removed from it. From the environment, only
SSL_CERT_FILE and SSL_CERT_DIR are used: no proxy, no netrc, and no header or key that the library would read. Only the
transport, which adds the key to requests, has the key.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx2
import msgspec
import openai

from actors.problems.oracle.attempts import UnjudgedReason
from actors.problems.oracle.patient_requests import EndpointRefused, Reply, RequestFailed
from conf.schema import OracleSettings

MAX_BODY_BYTES = 8 * 2**20
"""Largest response. 128k tokens take less than 1 MiB, or 6 MiB with every character escaped."""
MAX_DETAIL_CHARS = 200
"""Longest error message of the endpoint; longer ones are cut."""
MIN_SECRET_CHARS = 8
"""Shortest key that is removed from answers; a shorter one (`none`, `EMPTY`) is no secret and may occur in words."""
TRANSIENT_4XX = {408, 409, 425, 429}
"""Statuses below 500 that are retried: timeout, conflict, too early, too many requests."""
OUT_OF_CREDIT = "insufficient_quota"
"""Error code of a 429 that is not retried."""

_SENT_HEADERS = {"host", "content-type", "content-length", "accept", "connection"}


@dataclass(frozen=True)
class SettingNames:
    """What a message about a refused request tells the user to check."""

    key: str = "oracle.api_key_env"
    address: str = "oracle.model=MODEL and oracle.endpoint"
    """MODEL stands for its name."""
    request: str = "oracle.model, oracle.temperature (null omits it), oracle.max_tokens and oracle.max_tokens_name"


class Endpoint:
    """A client with its connections. Must be closed."""

    def __init__(
        self,
        settings: OracleSettings,
        key: str | None,
        *,
        fields: Mapping[str, Any] | None = None,
        names: SettingNames | None = None,
    ) -> None:
        """`fields`: further fields of every request, such as top_p."""
        self._settings, self._fields, self._names = settings, dict(fields or {}), names or SettingNames()
        self._secret = key if key is not None and len(key) >= MIN_SECRET_CHARS else None
        http = httpx2.AsyncClient(
            transport=_Transport(key, settings.concurrency), trust_env=False, follow_redirects=False
        )
        self._client = openai.AsyncOpenAI(
            api_key="unused",  # so that the library does not read the environment; the transport adds the key
            base_url=settings.endpoint,
            timeout=settings.timeout_s,
            max_retries=0,  # `PatientRequests` retries, because it counts every request
            http_client=http,
        )

    async def ask(self, message: str, system: str | None = None) -> Reply:
        """The answer to a message, after a system message if one is given.

        Raises `RequestFailed` when a retry may succeed, else `EndpointRefused`.
        """
        settings = self._settings
        options: dict[str, Any] = {settings.max_tokens_name: settings.max_tokens, "extra_body": self._fields}
        turns: list[Any] = [] if system is None else [{"role": "system", "content": system}]
        if settings.temperature is not None:
            options["temperature"] = settings.temperature
        try:
            async with asyncio.timeout(settings.timeout_s):  # the client's own timeout restarts with every byte
                response = await self._client.chat.completions.with_raw_response.create(
                    model=settings.model or "", messages=[*turns, {"role": "user", "content": message}], **options
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise RequestFailed("timeout") from error
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, _TooLarge):
                raise RequestFailed("too_large", f"more than {MAX_BODY_BYTES} bytes") from error
            cause = error.__cause__ or error
            raise RequestFailed("connection", self._one_line(f"{type(cause).__name__} {cause}")) from error
        except openai.APIStatusError as error:
            self._raise_status(error)
        return self._reply(response.content)

    async def close(self) -> None:
        await self._client.close()

    def _reply(self, body: bytes) -> Reply:
        try:
            completion = msgspec.json.decode(body, type=_Completion)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RequestFailed("bad_json", self._one_line(str(error))) from error
        if not completion.choices:
            raise RequestFailed("empty", "no choices")
        choice = completion.choices[0]
        prompt_tokens, completion_tokens = _token_counts(completion.usage)
        return Reply(
            text=self._clean(choice.message.content or ""),
            unjudged=_UNJUDGED.get(choice.finish_reason),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )

    def _raise_status(self, error: openai.APIStatusError) -> NoReturn:
        status, detail = error.status_code, self._one_line(_error_message(error.body))
        transient = status in TRANSIENT_4XX or status >= 500
        if transient and error.code != OUT_OF_CREDIT:
            wait_s = retry_after_s(error.response.headers.get("retry-after"))
            raise RequestFailed(f"http_{status}", detail, wait_s) from error
        match status:
            case 401 | 403:
                source = self._settings.api_key_env
                remedy = (
                    f"put a valid key into the environment variable {source}"
                    if source
                    else f"it needs a key: set {self._names.key} to the name of the environment variable with the key"
                )
            case 404:
                address = self._names.address.replace("MODEL", str(self._settings.model))
                remedy = f"check {address}, which usually ends with /v1"
            case 429:
                remedy = "the account is out of credit: add credit, or choose another endpoint"
            case status if status < 400:
                remedy = "redirects are not followed: give the final address of the endpoint"
            case _:
                remedy = f"check {self._names.request}"
        message = f" ({detail})" if detail else ""
        raise EndpointRefused(
            f"{self._settings.endpoint} refused a request with {status}{message}; {remedy}. "
            "Every answer so far is kept; the same command continues"
        ) from error

    def _one_line(self, text: str) -> str:
        """A text of the endpoint, cleaned, on one line of at most MAX_DETAIL_CHARS characters."""
        line = " ".join(self._clean(text[: 20 * MAX_DETAIL_CHARS]).split())
        return line if len(line) <= MAX_DETAIL_CHARS else f"{line[: MAX_DETAIL_CHARS - 3]}..."

    def _clean(self, text: str) -> str:
        text = printable(text)
        return text if self._secret is None else text.replace(self._secret, "***")


def printable(text: str) -> str:
    """The text without control, format, surrogate and private-use characters, with plain spaces and newlines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "" for c in text)


def retry_after_s(value: str | None) -> float:
    """Wait in seconds requested by a Retry-After header (seconds or a date); 0 when it is missing or invalid."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # not a date, or one without a time zone
        return 0.0


def _error_message(body: object) -> str:
    """The message in the body of an error: error.message, message, or the body itself if it is text."""
    for key in ("error", "message"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    return body if isinstance(body, str) else ""


# The fields of an answer that are read ------------------------------------------------------------------------------


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None
    """Of any type, so that an answer with an invalid token count is still accepted."""


_UNJUDGED: dict[str | None, UnjudgedReason] = {"length": "truncated", "content_filter": "filtered"}
"""Finish reason -> why the answer is not judged."""


def _token_counts(usage: object) -> tuple[int | None, int | None]:
    """Prompt and completion tokens; None for a count that is missing or invalid."""
    counts = usage if isinstance(usage, dict) else {}
    prompt, completion = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return _count(prompt), _count(completion)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= 2**31 else None


# Transport ----------------------------------------------------------------------------------------------------------


class _TooLarge(httpx2.RequestError):
    """The response is longer than MAX_BODY_BYTES."""


class _Transport(httpx2.AsyncBaseTransport):
    """Sends only the necessary headers, and returns only the status, Retry-After and a body of bounded size.

    Therefore the endpoint cannot choose how the body is decompressed or decoded, no cookies are stored, and no headers
    from the environment are sent.
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
        returned = [("content-type", "application/json; charset=utf-8")]
        if "retry-after" in response.headers:
            returned.append(("retry-after", response.headers["retry-after"]))
        return httpx2.Response(
            response.status_code, headers=returned, stream=_Bounded(response.stream), extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A body that raises `_TooLarge` beyond MAX_BODY_BYTES."""

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
