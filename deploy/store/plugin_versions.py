"""plugins.json: which functions of the user a run used, and the content of their modules.

One entry for every version in the order in which commands opened the run, so that a result can be told from one of
another version. A run that is continued with another content goes on, with a warning: a fault in such a function ends a
run, and mending it must not cost what was trained.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from broker.errors import UsageError
from conf.plugins import PluginVersion

FILE = "plugins.json"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one plug-in."""

    setting: str
    name: str
    """The import path."""
    file: str
    sha256: str
    """Of the file of the module; modules that it imports are not covered."""
    since_unix_s: int
    """When a command first opened the run with it."""


def record_plugins(folder: Path, versions: Mapping[str, PluginVersion]) -> list[str]:
    """Adds the versions that are new to the file of a run folder. Returns a warning for each that replaces another."""
    entries, warnings = read_plugins(folder), []
    newest = {entry.setting: entry for entry in entries}
    changed = {key: version for key, version in versions.items() if not _same(newest.get(key), version)}
    for key, version in changed.items():
        if (before := newest.get(key)) is not None:
            warnings.append(
                f"{key}={version.name} is not as it was when the run last began: the SHA-256 of "
                f"{version.file or 'its module'} is {version.sha256[:12]}, and was {before.sha256[:12]}; steps before "
                f"and after are of two versions ({folder / FILE})"
            )
        entries.append(
            Entry(
                setting=key, name=version.name, file=version.file, sha256=version.sha256, since_unix_s=int(time.time())
            )
        )
    if changed:
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
    return warnings


def read_plugins(folder: Path) -> list[Entry]:
    """The versions that a run folder records, oldest first. Raises UsageError when the file is damaged."""
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Entry])
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is damaged: {error}; remove it to continue without a record of plug-ins") from error


def _same(entry: Entry | None, version: PluginVersion) -> bool:
    return entry is not None and (entry.name, entry.sha256) == (version.name, version.sha256)
