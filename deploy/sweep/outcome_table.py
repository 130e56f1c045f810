"""The results of a sweep: the live table, the closing table, the content of sweep.json."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from conf.plain import plain
from conf.redact import redacted
from deploy.sweep.plan import SweepPlan
from deploy.sweep.runner import Progress
from deploy.view.screen import Screen

ARM = "unguided"
"""The arm whose pass@k is shown: the policy without guidance."""
LINE_EVERY_S = 30.0
NOTE_CHARS = 90
"""Length at which the last line of a run is cut."""
_STYLES = {"finished": "green", "failed": "red", "running": "bold", "interrupted": "yellow", "waiting": "dim"}


class SweepView:
    """Shows the progress of the runs: a live table in a terminal; elsewhere a line when a run changes its state, and
    one every `LINE_EVERY_S` while it runs."""

    def __init__(self, console: Screen, at_once: int = 1) -> None:
        self._console = console
        self._at_once = at_once
        self._live: Live | None = None
        self._states: dict[str, str] = {}
        self._line_at = 0.0

    def __enter__(self) -> "SweepView":
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=2, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.__exit__(None, None, None)

    def __call__(self, rows: Sequence[Progress]) -> None:
        if self._live:
            self._live.update(_live_table(rows, self._at_once))
            return
        due = time.monotonic() - self._line_at > LINE_EVERY_S
        for row in rows:
            changed = self._states.get(row.run.name) != row.state and row.state != "waiting"
            if changed or (due and row.state == "running"):
                self._states[row.run.name] = row.state
                self._line_at = time.monotonic()
                line = f"  {row.run.name} {row.state} {_minutes(row.wall_s)} · {time_left(rows, self._at_once)}"
                self._console.print(f"{line} · {row.note[:NOTE_CHARS]}" if row.note else line)


def time_left(rows: Sequence[Progress], at_once: int = 1) -> str:
    """How many runs have ended, and an estimate for the others: the mean duration of the runs that this call finished.
    """
    ended = [row for row in rows if row.state not in ("waiting", "running")]
    walls = [row.wall_s for row in ended if row.state == "finished" and row.wall_s]
    count = f"{len(ended)}/{len(rows)} runs"
    if not walls or len(ended) == len(rows):
        return count
    mean = sum(walls) / len(walls)
    rest = sum(max(0.0, mean - row.wall_s) for row in rows if row.state in ("waiting", "running"))
    return f"{count}, about {_minutes(rest / at_once)} left"


def _live_table(rows: Sequence[Progress], at_once: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        style = _STYLES[row.state]
        table.add_row(row.run.name, Text(row.state, style=style), _minutes(row.wall_s), plain(row.note)[:NOTE_CHARS])
    return Group(Text(time_left(rows, at_once), style="bold"), table)


def closing_table(name: str, rows: Sequence[Progress]) -> Table:
    """A row for each run: steps, rollouts, minutes, and unguided pass@k before and after."""
    table = Table(title=f"{name}: hard problems solved, unguided", title_justify="left")
    columns = _measured(rows)
    for title in ("run", "state"):
        table.add_column(title, no_wrap=title == "run")
    for title in ("steps", "rollouts", *(f"{when.replace('_', ' ')} {k}" for when, k in columns), "minutes"):
        table.add_column(title, justify="right")
    for row in rows:
        summary = row.summary or {}
        values = [summary.get("hard", {}).get(when, {}).get(ARM, {}).get(k) for when, k in columns]
        table.add_row(
            row.run.name,
            Text(row.state, style=_STYLES[row.state]),
            f"{summary['steps']:,}" if summary else "",
            f"{summary['counters']['rollouts']:,}" if summary else "",
            *("" if value is None else f"{value:.1%}" for value in values),
            f"{summary['wall_s'] / 60:.1f}" if summary else "",
        )
    return table


def _measured(rows: Sequence[Progress]) -> list[tuple[str, str]]:
    """(when, "pass@k") of everything that any run measured, in the order of the first run that did."""
    pairs = [
        (when, k)
        for row in rows
        for when, arms in (row.summary or {}).get("hard", {}).items()
        for k in arms.get(ARM, {})
    ]
    order = list(dict.fromkeys(when for when, _ in pairs))
    return sorted(dict.fromkeys(pairs), key=lambda pair: (order.index(pair[0]), int(pair[1].partition("@")[2])))


def as_json(plan: SweepPlan, rows: Sequence[Progress]) -> dict[str, Any]:
    """The content of sweep.json. Times are seconds; a password in a setting is left out."""
    return {
        "sweep": plan.name,
        "experiments": list(dict.fromkeys(row.run.experiment for row in rows)),
        "seeds": list(dict.fromkeys(row.run.seed for row in rows)),
        "runs": [
            {
                "name": row.run.name,
                "experiment": row.run.experiment,
                "seed": row.run.seed,
                "settings": [redacted(word) for word in row.run.words],
                "state": row.state,
                "note": row.note if row.state in ("failed", "interrupted") else "",
                **_numbers(row.summary),
            }
            for row in rows
        ],
    }


def _numbers(summary: dict[str, Any] | None) -> dict[str, Any]:
    if summary is None:
        return {}
    copied = {key: summary[key] for key in ("ended", "steps", "wall_s", "train_s", "hard")}
    return {**copied, "groups": summary["counters"]["issued"], "rollouts": summary["counters"]["rollouts"]}


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
