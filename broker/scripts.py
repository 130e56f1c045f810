"""The server's half of the broker: Lua scripts, one file an operation, each atomic and safe to repeat.

What several of them do alike stands in a file of `broker/lua/lib`. A script names the pieces it needs in its second
line, each before those that build on it, and the server is sent all of it as one script:

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
"""What a script says first -> the error; any other refusal is a `BrokerError`."""

_FOLDER = Path(__file__).parent / "lua"
_USES = re.compile(r"-- uses: (.+)")


class Script:
    """One file of `broker/lua`. Called by its SHA-1; a server that does not know it yet is sent the source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = assembled((_FOLDER / f"{name}.lua").read_text(encoding="ascii"))
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self.commands = sorted({name.lower() for name in re.findall(r"redis\.call\('(\w+)'", self.source)})
        """What it calls, for `broker.acl`."""
        self._only_reads = "no-writes" in self.source.partition("\n")[0]

    def __call__(self, client: redis.Redis, keys: Sequence[str], *args: str | bytes | int | float) -> Any:
        """Run it once. A refusal of the script itself (its replies start with POPE) is a `BrokerError`, one that begins
        `behind:` a `ServerBehind`, one that begins `fenced:` a `Fenced`."""
        numbered = [*keys, *args]
        try:
            suffix = "_RO" if self._only_reads else ""  # for users who may read and nothing else
            try:
                return client.execute_command(f"EVALSHA{suffix}", self.sha, len(keys), *cast(list[Any], numbered))
            except redis.exceptions.NoScriptError:
                return client.execute_command(f"EVAL{suffix}", self.source, len(keys), *cast(list[Any], numbered))
        except redis.ResponseError as error:
            said = str(error)
            for word, kind in _REFUSALS.items():
                if said.startswith(f"POPE {word}: "):
                    raise kind(said.removeprefix(f"POPE {word}: ")) from error
            if said.startswith("POPE "):
                raise BrokerError(said.removeprefix("POPE ")) from error
            raise


def assembled(source: str) -> str:
    """A script with the pieces it uses between its first line and the rest. Raises ValueError for an unknown one."""
    shebang, _, rest = source.partition("\n")
    uses = _USES.match(rest)
    return "\n".join([shebang, *map(_piece, uses[1].split(", ") if uses else ()), rest])


def _piece(name: str) -> str:
    path = _FOLDER / "lib" / f"{name}.lua"
    if not path.exists():
        raise ValueError(f"a script uses {name!r}, and there is no {path.relative_to(_FOLDER)}")
    return path.read_text(encoding="ascii")
