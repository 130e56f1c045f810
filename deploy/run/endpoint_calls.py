"""What a command that calls an OpenAI-compatible endpoint needs: key, connections, verifier, signals."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from actors.problems.oracle.patient_requests import PatientRequests
from actors.verification.judge import Judge
from broker.errors import UsageError
from conf.schema import OracleSettings, VerifierSettings
from deploy.cluster.interrupts import Interrupted

if TYPE_CHECKING:
    from actors.problems.oracle.endpoint import Endpoint, SettingNames


def api_key(setting: str, variable: str | None) -> str | None:
    """The key in the environment variable that a setting names; None if it names none. Raises UsageError."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"{setting}={variable}: that environment variable is not set; export it, or set "
            f"{setting}=null for an endpoint that needs no key"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(
            f"{setting}={variable}: that environment variable holds spaces, line ends or characters that "
            "no key has; set it to the key"
        )
    return key


@asynccontextmanager
async def open_endpoint(
    settings: OracleSettings,
    key: str | None,
    verifier: VerifierSettings,
    *,
    fields: Mapping[str, Any] | None = None,
    names: "SettingNames | None" = None,
) -> "AsyncIterator[tuple[Endpoint, Judge]]":
    """The client of an endpoint and the verifier of its answers; both are closed at the end. Options as `Endpoint`."""
    from actors.problems.oracle.endpoint import Endpoint  # takes a second to import, so input is checked before

    judge = Judge(verifier)
    endpoint = Endpoint(settings, key, fields=fields, names=names)
    try:
        yield endpoint, judge
    finally:
        judge.close()
        await endpoint.close()


@contextmanager
def stopped_by_signals(requests: PatientRequests) -> Iterator[None]:
    """The first SIGINT or SIGTERM stops the requests gracefully, and a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        requests.stop(Interrupted(number))

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
