"""Every fault of the catalogue under many seeds: `make chaos SEEDS=10`, or

    python -m tests.faults.chaos --seeds 10
    python -m tests.faults.chaos --seeds 3 --only F12 F14 --report /tmp/table.md

Prints a table of injections, violations and recovery times, and writes it between two markers of docs/reliability.md.
The exit code is 1 when a guarantee was violated; the folders of those injections are kept.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.faults.catalogue import FAULTS
from tests.faults.outcome import Fault, Outcome

ROOT = Path(__file__).parents[2]
REPORTS = (ROOT / "docs" / "reliability.md",)
BEGIN, END = "<!-- chaos: this table is written by `make chaos` -->", "<!-- /chaos -->"
LONGEST_S = 600
"""Time limit of one injection; exceeding it is a violation."""
HEADINGS = ("", "fault", "injected", "violations", "recovery p50", "p95")


@dataclass
class Row:
    """One fault under all seeds so far."""

    fault: Fault
    unavailable: str | None
    injected: int = 0
    violations: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)

    def add(self, seed: int, outcome: Outcome) -> list[str]:
        """Add the outcome of one seed. Returns its violations."""
        if outcome.injected < self.fault.at_least and not outcome.violations:
            outcome.violations.append(f"only {outcome.injected} of {self.fault.at_least} faults happened")
        violations = [f"{self.fault.number} under seed {seed}: {sentence}" for sentence in outcome.violations]
        self.injected += outcome.injected
        self.recovery_s += outcome.recovery_s
        self.violations += violations
        return violations

    def cells(self) -> tuple[str, ...]:
        if self.unavailable:
            return self.fault.number, self.fault.title, "0", f"not injected: {self.unavailable}", "", ""
        p50, p95 = (_seconds(self.recovery_s, share) for share in (50, 95))
        return self.fault.number, self.fault.title, str(self.injected), str(len(self.violations)), p50, p95


def main(words: Sequence[str] | None = None) -> int:
    options = _options(words)
    numbers = [number for number in _in_order() if not options.only or number in options.only]
    rows = [Row(FAULTS[number], FAULTS[number].unavailable()) for number in numbers]
    # A copy of stdout, because stdout is redirected during an injection.
    console, began = Console(file=os.fdopen(os.dup(1), "w")), time.monotonic()
    whole = 0
    with suppress(KeyboardInterrupt), _progress(console) as progress:
        bar = progress.add_task("", total=options.seeds * sum(row.unavailable is None for row in rows))
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for row in rows:
                if row.unavailable is None:
                    progress.update(bar, description=f"{row.fault.number} {row.fault.title}, seed {seed}")
                    for sentence in _inject(row, seed, options.keep):
                        progress.console.print(f"[red]violation[/red] {escape(sentence)}", highlight=False)
                    progress.advance(bar)
            whole += 1
            injected, broken = sum(row.injected for row in rows), sum(len(row.violations) for row in rows)
            so_far = f"{injected} faults, {broken} violations, {(time.monotonic() - began) / 60:.0f} minutes"
            progress.console.print(f"seeds {options.first_seed} to {seed}: {so_far}", highlight=False)
    took_s = time.monotonic() - began
    _show(console, rows)
    cut = "" if whole == options.seeds else " and a part of the next"
    seeds = f"{whole} seed{'s' * (whole != 1)} from {options.first_seed} on{cut}"
    for report in options.report:
        _write(report, rows, f"{seeds}, {took_s / 60:.0f} minutes")
        console.print(f"written into {report}", highlight=False)
    return int(any(row.violations for row in rows))


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description="Inject every fault, many times.")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds for each fault (default 1)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--only", nargs="+", choices=_in_order(), metavar="F12", help="inject only these faults")
    report_help = "files whose table is rewritten (default docs/reliability.md)"
    parser.add_argument("--report", type=Path, nargs="+", default=REPORTS, metavar="FILE", help=report_help)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy all run folders here")
    return parser.parse_args(words)


def _in_order() -> list[str]:
    return sorted(FAULTS, key=lambda number: int(number.removeprefix("F")))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<44.44}"), BarColumn(16), MofNCompleteColumn())
    times = TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, *times, console=console, redirect_stdout=False, redirect_stderr=False)


def _inject(row: Row, seed: int, keep: Path | None) -> list[str]:
    """Inject one fault under one seed. Returns the violations; an exception of the injection is one too."""
    folder = Path(tempfile.mkdtemp(prefix=f"pope-{row.fault.number}-{seed}-"))
    try:
        with _bounded(LONGEST_S), _quiet(folder / "output.log"):
            outcome = row.fault.inject(folder, seed)
    except Exception:
        outcome = Outcome(violations=[traceback.format_exc(limit=-4).strip()])
    violations = row.add(seed, outcome)
    if keep:
        shutil.copytree(folder, keep / folder.name, ignore=shutil.ignore_patterns("*.sock"))
    if violations:
        violations[-1] += f" (kept in {folder})"
    else:
        shutil.rmtree(folder)
    return violations


@contextmanager
def _bounded(limit_s: int) -> Iterator[None]:
    """Raises TimeoutError when the body takes longer than `limit_s`."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it did not end within {limit_s} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Redirect stdout and stderr to a file, so that output of roles does not disturb the progress bar."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(number) for number in (1, 2)]
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _seconds(values: Sequence[float], share: float) -> str:
    return f"{np.percentile(values, share):.2f} s" if values else "-"


def _totals(rows: Sequence[Row]) -> tuple[str, ...]:
    injected, broken = sum(row.injected for row in rows), sum(len(row.violations) for row in rows)
    return "", "all", str(injected), str(broken), "", ""


def _show(console: Console, rows: Sequence[Row]) -> None:
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*map(escape, row.cells()))
    table.add_row(*_totals(rows))
    console.print(table)


def _write(report: Path, rows: Sequence[Row], how: str) -> None:
    """Write the table between its markers; append it to a report that has none."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows), _totals(rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    written = f"{BEGIN}\n\n{how}:\n\n{table}\n\n{END}"
    text = report.read_text() if report.exists() else f"{BEGIN}{END}\n"
    before, mark, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if mark else ""
    report.write_text(f"{before}{written}{after}" if mark else f"{text.rstrip()}\n\n{written}\n")


if __name__ == "__main__":
    sys.exit(main())
