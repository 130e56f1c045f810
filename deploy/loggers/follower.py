"""The process of one logger during a run: writes each step once it is complete, from the files of the run.

    python -m deploy.loggers.follower RUN LOGGER CLOSE_S

consumes    metrics/*.jsonl, which the driver writes; the files are the queue, so memory is bounded and nothing is lost
waits for   more reports; standard input, which ends when the driver closes it or ends for any reason
unblocked by its own deadline: CLOSE_S seconds after standard input has ended, the process ends itself
"""

import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import cast

from broker.errors import PopeError
from broker.reports import SFT, SftStep, from_fields
from conf.load import load
from conf.plain import PlainFormatter
from conf.schema import LoggerName
from deploy.loggers.destination import destination
from deploy.loggers.step_rows import StepRows
from deploy.store.metric_files import ROOMS, MetricReader, path_of
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import Reports

POLL_S = 1.0


def follow(folder: RunFolder, name: LoggerName, ended: threading.Event) -> None:
    """Write the run at one logger until `ended` is set, then the rest. Raises the errors of `destination`."""
    rows, files = StepRows(), {room: MetricReader(path_of(folder.metrics, room)) for room in (*ROOMS, SFT)}
    with destination(name, load(folder.settings), folder.path / name) as logger:
        _add_fresh(rows, files)
        rows.skip(logger.next_step)
        while not ended.wait(POLL_S):
            _add_fresh(rows, files)
            logger.write(rows.take(rows.complete))
        _add_fresh(rows, files)
        logger.write(rows.take_rest())


def _add_fresh(rows: StepRows, files: dict[str, MetricReader]) -> None:
    fresh = {room: file.fresh() for room, file in files.items()}
    rows.add(Reports.of(fresh), [from_fields(SftStep, entry) for entry in fresh[SFT]])


def main(run: str, name: str, close_s: str) -> int:
    """Follow a run until standard input ends. The last line of output says why it failed."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended, float(close_s)), daemon=True).start()
    try:
        follow(RunFolder(Path(run)), cast(LoggerName, name), ended)
    except PopeError as error:
        traceback.print_exc()
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def _wait_for_the_end(ended: threading.Event, close_s: float) -> None:
    sys.stdin.read()
    ended.set()
    threading.Event().wait(close_s)
    print(f"not finished {close_s:g} s after the end of the run", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    if code:
        os._exit(code)  # exit handlers of the library could block again
