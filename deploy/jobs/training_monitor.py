"""What the driver does after each refresh of the state of training: show it, evaluate on schedule, note alerts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from broker.records import Problem
from broker.server_health import RestartWatch
from deploy.loggers.live import LiveLoggers
from deploy.run.progress import TrainingView
from deploy.run.session import Session
from deploy.stages.scheduled_evaluations import Evaluations
from deploy.store.alerts import DriverAlerts
from deploy.store.run_state import RunState


class TrainingMonitor(AbstractContextManager["TrainingMonitor"]):
    """Call it with the run's state after every refresh."""

    def __init__(self, session: Session, hard_problems: Sequence[Problem], loggers: LiveLoggers) -> None:
        """`hard_problems` are those of the scheduled evaluations; `loggers` were started."""
        self._console = session.console
        self._evaluations = Evaluations(session.config, session.client, hard_problems, session.folder)
        self._alerts = DriverAlerts(session.config)
        self._restarts = RestartWatch(session.client, session.url_of("driver"))
        self._loggers = loggers
        self._view = TrainingView(session.console)
        self._stack = ExitStack()

    def __enter__(self) -> "TrainingMonitor":
        self._stack.enter_context(self._evaluations)
        self._stack.enter_context(self._view)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, state: RunState) -> None:
        self._view(state)
        self._evaluations.follow(state.step)
        for text in self._restarts.messages():
            self._note(state, text)
        for text in self._loggers.warnings():
            self._note(state, text)
        for notice in self._alerts.notices(state.fresh.learner, state.fresh.groups):
            self._note(state, notice.text, alert=notice.subject, raised=notice.raised)

    def _note(self, state: RunState, text: str, *, alert: str | None = None, raised: bool | None = None) -> None:
        """Print a note, keep it for the summary and report it to viewers; `alert` and `raised` as in `DriverNote`."""
        state.note(text, alert=alert, raised=raised)
        self._console.print(f"  note: {text}", highlight=False, markup=False)
