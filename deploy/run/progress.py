"""The progress of a run on the screen: a live panel in a terminal, a line every few seconds elsewhere."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.problems.mixture import ARM_BUCKET
from conf.plain import plain
from deploy.store.run_state import RunState
from deploy.view.screen import Screen

LINE_EVERY_S = 10.0
NONE_YET = "-"


@contextmanager
def stage(console: Console, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar, in a terminal, while a stage lasts; then a line with its duration. Yields `advance(n)`."""
    start = time.monotonic()
    name, count = TextColumn("  {task.description}", markup=False), TextColumn("{task.completed}/{task.total}")
    columns = [name, BarColumn(), count, TimeElapsedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(plain(title), total=total)
        yield lambda n: progress.advance(task, n)
    console.print(Text.assemble(f"  {plain(title)} ", (f"({time.monotonic() - start:.1f} s)", "dim")))


class TrainingView:
    """Shows a `RunState`. Call it whenever the state was refreshed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last_line = -math.inf

    def __enter__(self) -> "TrainingView":
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.__exit__(None, None, None)

    def __call__(self, state: RunState) -> None:
        if self._live:
            self._live.update(panel(state))
        if time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            if self._live is None:
                self._console.print("  " + line(state), highlight=False, soft_wrap=True)
            elif isinstance(self._console, Screen):
                self._console.to_log("  " + line(state))


def line(state: RunState) -> str:
    """The key figures in one line."""
    return " · ".join(f"{name} {value}" for name, value in key_figures(state).items())


def panel(state: RunState) -> RenderableType:
    """The key figures as a table under a bar."""
    table = Table.grid(padding=(0, 2))
    for name, value in key_figures(state).items():
        table.add_row(Text(name, style="dim"), value)
    return Group(ProgressBar(total=1.0, completed=state.share_done, width=60), table)


def key_figures(state: RunState) -> dict[str, str]:
    """Name -> text, in the order in which they are shown."""
    newest = state.newest
    arms = [arm for arm, weight in state.config.problems.arms.items() if weight]
    shown = {
        "step": f"{state.step}/{state.config.run.max_steps}",
        "groups": f"{state.balance.issued}" + (f"/{state.balance.limit}" if state.balance.limit else ""),
        "success": ", ".join(f"{arm} {percent(state.recent_success(arm))}" for arm in arms),
        "solved": ", ".join(f"{arm} {state.solved_share(arm):.0%}" for arm in arms if ARM_BUCKET[arm] == "hard"),
        "tokens/s": f"{state.tokens_per_s:,.0f}",
        "lag": f"{newest.lag_mean:.1f}" if newest else NONE_YET,
        "entropy": f"{newest.entropy:.3f}" if newest else NONE_YET,
        "ring": f"{state.balance.ring_samples}/{state.config.broker.ring.capacity}",
        "eta": duration(state.eta_s),
    }
    if (held_up := state.bottleneck) is not None:
        shown["bottleneck"] = held_up
    if state.restarts:
        shown["restarts"] = str(state.restarts)
    return shown


def percent(share: float | None) -> str:
    return NONE_YET if share is None else f"{share:.0%}"


def duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return NONE_YET
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
