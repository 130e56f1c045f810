"""The endpoints of `pope oracle` and of `pope eval`."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig


def oracle_settings_are_valid(config: RunConfig) -> Iterator[Violation]:
    oracle = config.oracle
    if not _is_endpoint(oracle.endpoint):
        # The value is not shown: it may hold a password.
        yield ("oracle.endpoint",), (
            "oracle.endpoint must be http://HOST or https://HOST, with an optional port and path, such as "
            "http://127.0.0.1:8000/v1, without user, password, query or fragment; put a key into the environment "
            "variable named by oracle.api_key_env, or by evaluation.endpoint_key_env for pope eval"
        )
    keys = {"oracle.api_key_env": oracle.api_key_env, "evaluation.endpoint_key_env": config.evaluation.endpoint_key_env}
    for name, variable in keys.items():
        if variable is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", variable):
            # Not shown either: it may be the key itself.
            yield (name,), (
                f"{name} must name an environment variable in capitals, such as ORACLE_API_KEY; "
                "the key itself must not be in the settings"
            )
    if oracle.model is not None and not (oracle.model.isprintable() and oracle.model.strip()):
        yield ("oracle.model",), "oracle.model must be one line of printable characters, the name at the endpoint"


def _is_endpoint(url: str) -> bool:
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:\[\]-]+(/[A-Za-z0-9._~/%:+-]*)?", url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65535, an unmatched bracket
        return False


def max_failures_covers_concurrency(config: RunConfig) -> Iterator[Violation]:
    failures, concurrency = config.oracle.max_failures, config.oracle.concurrency
    if failures < concurrency:
        yield ("oracle.max_failures", "oracle.concurrency"), (
            f"oracle.max_failures={failures} is fewer than the oracle.concurrency={concurrency} requests that a short "
            f"outage of the endpoint fails together; raise the first to {concurrency} or more, or lower the second"
        )


RULES: tuple[Rule, ...] = (
    oracle_settings_are_valid,
    max_failures_covers_concurrency,
)
