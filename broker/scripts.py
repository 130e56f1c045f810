"""The server's half of the broker: Lua scripts, one file an operation, each atomic and safe to repeat."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import redis

from broker.errors import BrokerError, Fenced

_FOLDER = Path(__file__).parent / "lua"


class Script:
    """One file of `broker/lua`. Called by its SHA-1; a server that does not know it yet is sent the source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = (_FOLDER / f"{name}.lua").read_text(encoding="ascii")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self.commands = sorted({name.lower() for name in re.findall(r"redis\.call\('(\w+)'", self.source)})
        """What it calls, for `broker.acl`."""
        self._only_reads = "no-writes" in self.source.partition("\n")[0]

    def __call__(self, client: redis.Redis, keys: Sequence[str], *args: str | bytes | int | float) -> Any:
        """Run it once. A refusal of the script itself (its replies start with POPE) is a `BrokerError`, of a learner
        that was replaced (POPE fenced) `Fenced`."""
        numbered = [*keys, *args]
        try:
            suffix = "_RO" if self._only_reads else ""  # for users who may read and nothing else
            try:
                return client.execute_command(f"EVALSHA{suffix}", self.sha, len(keys), *cast(list[Any], numbered))
            except redis.exceptions.NoScriptError:
                return client.execute_command(f"EVAL{suffix}", self.source, len(keys), *cast(list[Any], numbered))
        except redis.ResponseError as error:
            if str(error).startswith("POPE fenced: "):
                raise Fenced(str(error).removeprefix("POPE fenced: ")) from error
            if str(error).startswith("POPE "):
                raise BrokerError(str(error).removeprefix("POPE ")) from error
            raise
