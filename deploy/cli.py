"""The console command `pope`. Every command ends with 0 when it did what it says, 2 when the input was wrong,
1 when a run failed, 130 or 143 when a signal ended it."""

import logging
import signal
import sys

import typer

from broker.errors import PopeError, UsageError
from conf.errors import ConfigError
from conf.plain import PlainFormatter, plain
from deploy.cluster.import_path import put_rooms_first
from deploy.cluster.interrupts import Interrupted
from deploy.commands import prepare as preparing
from deploy.commands import run as running
from deploy.commands import view as looking

app = typer.Typer(
    help="Teach a language model problems it cannot solve yet (POPE).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (running, looking, preparing):
    app.add_typer(room.commands)


def main() -> None:
    """Run a command; errors made for people are one line."""
    put_rooms_first()
    notes = logging.StreamHandler()
    notes.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[notes])
    try:
        code = app(standalone_mode=False)  # a number when Ctrl-C came before a run had its own handlers
    except (UsageError, ConfigError) as error:
        _fail(str(error), 2)
    except typer.TyperException as error:
        _fail(error.format_message(), 2)  # names the option, which str(error) does not
    except Interrupted as error:
        _fail(str(error), error.exit_code)
    except PopeError as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"pope: {plain(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
