"""The console command `pope`. Exit codes: 0 success, 1 a run failed, 2 wrong input, 130 or 143 ended by a signal."""

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
from deploy.commands import view as viewing

app = typer.Typer(
    help="Teach a language model problems it cannot solve yet (POPE).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group in (running, viewing, preparing):
    app.add_typer(group.commands)


def main() -> None:
    """Run a command. Errors of the user and of a run are printed as one line."""
    put_rooms_first()
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
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
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"pope: {plain(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
