"""`pope export`: what a logger does not have yet of a run, running or finished."""

from pathlib import Path

from broker.reports import SftStep
from conf.schema import LoggerName
from deploy.loggers.destination import destination
from deploy.loggers.step_rows import StepRows
from deploy.store.run_folder import is_in_use
from deploy.store.run_view import RunView


def export(view: RunView, name: LoggerName, folder: Path) -> int:
    """Write the steps that the folder's run at the logger does not have; of a running run those that are complete.

    Returns how many. Raises the errors of `deploy.loggers.destination`, and UsageError when the run cannot be read.
    """
    rows = StepRows()
    rows.add(view.live().refresh().reports, view.reports(SftStep))
    with destination(name, view.config, folder) as logger:
        rows.skip(logger.next_step)
        missing = rows.take(rows.complete) if is_in_use(view.folder.path) else rows.take_rest()
        logger.write(missing)
    return len(missing)
