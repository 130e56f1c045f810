"""The server's half of the broker: Lua scripts, one file an operation, each atomic and safe to repeat."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import redis

from broker.errors import BrokerError

_FOLDER = Path(__file__).parent / "lua"


class Script:
    """One file of `broker/lua`. Called by its SHA-1; a server that does not know it yet is sent the source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = (_FOLDER / f"{name}.lua").read_text(encoding="ascii")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: redis.Redis, keys: Sequence[str], *args: str | bytes | int | float) -> Any:
        """Run it once. A refusal of the script itself (its replies start with POPE) is a `BrokerError`."""
        numbered = [*keys, *args]
        try:
            try:
                return client.evalsha(self.sha, len(keys), *cast(list[Any], numbered))
            except redis.exceptions.NoScriptError:
                return client.eval(self.source, len(keys), *cast(list[Any], numbered))
        except redis.ResponseError as error:
            if str(error).startswith("POPE "):
                raise BrokerError(str(error).removeprefix("POPE ")) from error
            raise
