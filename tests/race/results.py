"""The finished runs of a race as a table, as race.json, and their medians and ranges. Pure but for the files.

A level that a run never reached counts as infinity in medians and ranges: it is later than every time.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from actors.problems.jsonl import write_lines
from tests.race.outcome import LEVELS, Outcome, Row, row

STANDARD = ("pope", "pope_sync", "trl")
"""The racers of `make race`, in the order of the table."""
HEADINGS = (
    "run", "seeds", *(f"s to {level} %" for level in LEVELS), *(f"groups to {level} %" for level in LEVELS), "final",
)  # fmt: skip


def outcome_file(folder: Path, name: str, seed: int) -> Path:
    return folder / name / f"seed-{seed}.json"


def save(folder: Path, outcome: Outcome) -> None:
    """Appears whole or not at all."""
    path = outcome_file(folder, outcome.name, outcome.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [msgspec.json.encode(outcome)])


def load(path: Path) -> Outcome:
    return msgspec.json.decode(path.read_bytes(), type=Outcome)


def load_all(folder: Path) -> dict[str, list[Outcome]]:
    """Racer -> its finished runs by seed; the racers of `make race` first, then the others by name."""
    found: defaultdict[str, list[Outcome]] = defaultdict(list)
    for path in folder.glob("*/seed-*.json"):
        outcome = load(path)
        found[outcome.name].append(outcome)
    names = [name for name in STANDARD if name in found] + sorted(found.keys() - set(STANDARD))
    return {name: sorted(found[name], key=lambda outcome: outcome.seed) for name in names}


def rows(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, list[Row]]:
    """The content of race.json."""
    return {name: [row(outcome) for outcome in runs] for name, runs in outcomes.items()}


def save_json(folder: Path, results: Mapping[str, Sequence[Row]]) -> Path:
    path = folder / "race.json"
    write_lines(path, [msgspec.json.format(msgspec.json.encode(results), indent=1)])
    return path


def table(results: Mapping[str, Sequence[Row]]) -> Table:
    """For the terminal."""
    shown = Table(title="median (lowest to highest) over the seeds", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == "run" else "right")
    for name, runs in results.items():
        shown.add_row(*cells(name, runs))
    return shown


def markdown(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """The same table for a page, with what was run below it."""
    results = rows(outcomes)
    rule = ("---", *("---:",) * (len(HEADINGS) - 1))
    lines = [HEADINGS, rule, *(cells(name, runs) for name, runs in results.items())]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n" + "\n".join(f"- {fact}" for fact in [*facts(outcomes), *comparisons(results)]) + "\n"


def cells(name: str, runs: Sequence[Row]) -> tuple[str, ...]:
    """One row: median and range of each number over the seeds."""
    seconds = (spread([getattr(run, f"s_to_{level}") for run in runs]) for level in LEVELS)
    groups = (spread([getattr(run, f"groups_to_{level}") for run in runs]) for level in LEVELS)
    final = spread([run.final and 100 * run.final for run in runs], "{:.1f} %", never="-")
    return name, str(len(runs)), *seconds, *groups, final


def spread(values: Iterable[float | None], form: str = "{:,.0f}", never: str = "never") -> str:
    """`93 (78 to never)`: median and range; one number where there is only one."""
    known = sorted(math.inf if value is None else value for value in values)
    if not known:
        return "-"

    def text(value: float) -> str:
        return never if math.isinf(value) else form.format(value)

    middle = text(statistics.median(known))
    return middle if known[0] == known[-1] else f"{middle} ({text(known[0])} to {text(known[-1])})"


def comparisons(results: Mapping[str, Sequence[Row]]) -> list[str]:
    """How each racer's medians to 90 % compare with those of TRL, and the asynchronous with the synchronous."""
    pairs = [(name, "trl") for name in results if name != "trl"] + [("pope", "pope_sync")]
    return [
        f"{name} over {other}, medians to 90 %: {seconds} of the seconds, {groups} of the groups"
        for name, other in pairs
        if name in results and other in results
        for seconds, groups in [
            [_share(results[name], results[other], field) for field in ("s_to_90", "groups_to_90")]
        ]
    ]


def facts(outcomes: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """What was run: settings and versions of each racer."""
    return [
        f"{name}: {' '.join(runs[-1].settings) or 'shipped settings'} ({', '.join(sorted({r.version for r in runs}))})"
        for name, runs in outcomes.items()
    ]


def _share(runs: Sequence[Row], others: Sequence[Row], field: str) -> str:
    median, other = (
        statistics.median([math.inf if (value := getattr(run, field)) is None else value for run in side])
        for side in (runs, others)
    )
    return "no finite share" if math.isinf(median) or math.isinf(other) else f"{median / other:.2f}"
