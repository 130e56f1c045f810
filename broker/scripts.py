"""Lua scripts that run on the server: one file per operation, each atomic and idempotent.

Code shared by several scripts is in `broker/lua/lib`. A script lists the pieces it needs in its second line, in order
of dependency, and is sent to the server together with them:

    #!lua flags=allow-oom
    -- uses: rollout_outcomes, outcomes
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import redis

from broker.errors import BrokerError, Fenced, ServerBehind

_REFUSALS = {"behind": ServerBehind, "fenced": Fenced}
"""First word of a script's error -> exception; any other error of a script is a `BrokerError`."""

_FOLDER = Path(__file__).parent / "lua"
_USES = re.compile(r"-- uses: (.+)")


class Script:
    """One file of `broker/lua`. Called by its SHA-1; the source is sent if the server does not have it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = assembled((_FOLDER / f"{name}.lua").read_text(encoding="ascii"))
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self.commands = sorted({name.lower() for name in re.findall(r"redis\.call\('(\w+)'", self.source)})
        """The Redis commands it calls, for `broker.acl`."""
        self._only_reads = "no-writes" in self.source.partition("\n")[0]

    def __call__(self, client: redis.Redis, keys: Sequence[str], *args: str | bytes | int | float) -> Any:
        """Runs the script once. Its own errors (they start with POPE) raise `BrokerError`; `POPE behind:` raises
        `ServerBehind`, `POPE fenced:` raises `Fenced`."""
        numbered = [*keys, *args]
        try:
            suffix = "_RO" if self._only_reads else ""  # for users with read access only
            try:
                return client.execute_command(f"EVALSHA{suffix}", self.sha, len(keys), *cast(list[Any], numbered))
            except redis.exceptions.NoScriptError:
                return client.execute_command(f"EVAL{suffix}", self.source, len(keys), *cast(list[Any], numbered))
        except redis.ResponseError as error:
            message = str(error)
            for word, kind in _REFUSALS.items():
                if message.startswith(f"POPE {word}: "):
                    raise kind(message.removeprefix(f"POPE {word}: ")) from error
            if message.startswith("POPE "):
                raise BrokerError(message.removeprefix("POPE ")) from error
            raise


def assembled(source: str) -> str:
    """The script with its pieces inserted after the first line. Raises ValueError for an unknown piece."""
    shebang, _, rest = source.partition("\n")
    uses = _USES.match(rest)
    return "\n".join([shebang, *map(_piece, uses[1].split(", ") if uses else ()), rest])


def _piece(name: str) -> str:
    path = _FOLDER / "lib" / f"{name}.lua"
    if not path.exists():
        raise ValueError(f"a script uses {name!r}, and there is no {path.relative_to(_FOLDER)}")
    return path.read_text(encoding="ascii")
