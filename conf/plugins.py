"""Plug-ins: settings that name a function of the user by its import path, `package.module:Name`.

    verifier.judge=my_project.checks:last_line    # checks.py in the folder my_project, in the working directory

The module is looked for on the import path and, last, in the working directory. Under `ray job submit --working-dir`
that is the folder that Ray ships. `Name` is a function, or a class that is created once in each process without
arguments and whose objects can be called. `PARAMETERS` says what it is called with; the Protocols with shapes, types
and moments are in docs/extending.md.

The driver loads every plug-in before anything is started, and each role loads its own again when it starts.
"""

import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from conf.errors import ConfigError
from conf.names import flat
from conf.schema import RunConfig

PARAMETERS = {
    "problems.source": ("seed",),
    "verifier.judge": ("response", "answer"),
    "verifier.reward": ("response", "answer", "verdict"),
    "preprocess.advantage": ("rewards",),
    "learner.policy_loss": ("tokens",),
}
"""Setting that may name a plug-in -> the positional parameters that it is called with."""
_IMPORT_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_RESERVED = "builtin"
"""`builtin:tiny` is a name of ours."""


class PluginVersion(NamedTuple):
    """Which plug-in a setting names, and the content of its module."""

    name: str
    """The import path."""
    file: str
    """The file of the module; empty for a module without one."""
    sha256: str
    """Of that file. Modules that it imports are not covered."""


def is_import_path(value: str) -> bool:
    """Whether the value of a setting has the form `package.module:Name`."""
    return _IMPORT_PATH.fullmatch(value) is not None and value.partition(":")[0] != _RESERVED


def chosen(config: RunConfig) -> dict[str, str]:
    """Setting -> import path, of the settings that name a plug-in."""
    values = flat(config)
    return {key: values[key] for key in PARAMETERS if is_import_path(values[key])}


@cache
def load(key: str, path: str) -> Callable[..., Any]:
    """The plug-in that a setting names, the same in one process.

    Raises ConfigError if it cannot be imported, or not called with its parameters.
    """
    module_name, _, name = path.partition(":")
    module = _import(key, path, module_name)
    try:
        found = getattr(module, name)
    except AttributeError:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise _unusable(
            key, path, f"{_file_of(module) or module_name} has no {name}, it has {', '.join(public[:20]) or 'nothing'}"
        ) from None
    if inspect.isclass(found):
        try:
            found = found()
        except Exception as error:
            raise _unusable(key, path, f"{name}() raised {told(error)}; it is created without arguments") from error
    _check_call(key, path, found)
    plugin: Callable[..., Any] = found
    return plugin


def require(config: RunConfig, *keys: str) -> None:
    """Loads the plug-ins that these settings name, if they name any. Raises ConfigError."""
    for key, path in chosen(config).items():
        if key in keys:
            load(key, path)


def load_all(config: RunConfig) -> dict[str, PluginVersion]:
    """Loads every plug-in of a run. Setting -> version. Raises ConfigError."""
    versions = {}
    for key, path in chosen(config).items():
        load(key, path)
        file = _file_of(sys.modules[path.partition(":")[0]])
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
        versions[key] = PluginVersion(path, file, digest)
    return versions


def told(error: BaseException) -> str:
    """`ValueError: no digit in the answer`, on one line of at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _import(key: str, path: str, module_name: str) -> Any:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _unusable(key, path, f"{module_name} imports {error.name}, which is not installed") from error
        raise _unusable(
            key, path, f"there is no module {error.name} in {folder} or on the import path; start from the folder that "
            "holds it, or install it"
        ) from None  # fmt: skip
    except Exception as error:
        raise _unusable(key, path, f"importing {module_name} raised {told(error)}") from error


def _check_call(key: str, path: str, found: object) -> None:
    """Raises ConfigError if `found` cannot be called with the parameters of this setting."""
    wanted = PARAMETERS[key]
    call = f"called as {path.partition(':')[2]}({', '.join(wanted)})"
    if not callable(found):
        raise _unusable(key, path, f"it is of type {type(found).__name__} and is {call}; name a function or a class")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # some functions written in C tell no signature
        return
    try:
        signature.bind(*wanted)
    except TypeError:
        raise _unusable(key, path, f"it takes {signature} and is {call}; give it these parameters") from None


def _file_of(module: Any) -> str:
    return getattr(module, "__file__", None) or ""


def _unusable(key: str, path: str, reason: str) -> ConfigError:
    return ConfigError(f"{key}={path} cannot be used: {reason} (docs/extending.md)", (key,))
