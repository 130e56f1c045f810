"""pope against TRL: `make race`, or `python -m tests.race --help`.

prepare   the base model and, by one guidance search, the problems with their guidance
race      for each seed every racer, one after another on the same cores; a finished run is kept and never repeated
report    one table, one picture, race.json
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from broker.errors import PopeError, UsageError
from conf.errors import ConfigError
from deploy.view.screen import screen, table_screen
from tests.race import child, corrections, results
from tests.race.course import Course
from tests.race.options import Options, parse
from tests.race.outcome import LEVELS, Group, Outcome, moments, row
from tests.race.picture import draw
from tests.race.racers import Pope, Racer

PROGRESS_S = 30.0
"""Time between two lines about a run."""
BUSY = 0.5
"""Load average above which other programs slow the race down."""


def main(words: Sequence[str] | None = None) -> int:
    console = screen()
    try:
        options = parse(words)
        if options.cores is not None:
            os.sched_setaffinity(0, options.cores)  # every run inherits it
        if options.racers:
            prepare(options.course, console)
            race(options, console)
        report(options.course, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command continues")
        return 130
    except (PopeError, ConfigError) as error:
        console.print(f"race: {error}", soft_wrap=True)
        return 2 if isinstance(error, UsageError | ConfigError) else 1
    return 0


def prepare(course: Course, console: Console) -> None:
    """Base model, problems and guidance, once for all runs."""
    course.prepare()
    if course.problems_file.exists():
        return
    console.print(f"choose guidance, once for all runs ({course.work / 'guidance.log'})")
    shutil.rmtree(course.work / "guidance", ignore_errors=True)
    command = [sys.executable, "-P", "-m", "deploy.train", *course.guidance_words()]
    child.run(command, course.work / "guidance.log", lambda: None)
    course.take_problems()


def race(options: Options, console: Console) -> None:
    """Every racer under every seed. Racers alternate, so that a slow hour of the machine meets all of them."""
    cores = len(os.sched_getaffinity(0))
    count = f"{len(options.racers)} x {len(options.seeds)} runs of {options.course.num_groups} groups"
    console.print(f"{count} on {cores} cores, into {options.course.folder}")
    if (load := os.getloadavg()[0]) > BUSY:
        console.print(f"warning: load average {load:.1f} at the start: times of a busy machine mean little")
    for seed in options.seeds:
        for racer in options.racers:
            path = results.outcome_file(options.course.folder, racer.name, seed)
            if path.exists() and not options.fresh:
                _require_same(results.load(path), racer)
                console.print(f"{racer.name} seed {seed}: finished before")
                continue
            outcome = run_one(racer, options.course, seed, console)
            results.save(options.course.folder, outcome)
            console.print(f"{racer.name} seed {seed}: {_told(outcome)}")


def run_one(racer: Racer, course: Course, seed: int, console: Console) -> Outcome:
    """One run, from its start to its groups."""
    if isinstance(racer, Pope):  # a run that was interrupted is not continued: the pause would be in its times
        shutil.rmtree(course.work / f"{racer.name}-{seed}", ignore_errors=True)
    command = racer.command(course, seed)
    due = time.monotonic() + PROGRESS_S

    def progress() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_S
            console.print(f"  {racer.name} seed {seed}: {_progress(racer.finished(course, seed), course.num_groups)}")

    child.run(command, course.work / f"{racer.name}-{seed}.log", progress)
    groups = racer.finished(course, seed)
    if not groups:
        raise PopeError(f"{racer.name} seed {seed} ended without a group; see {course.work}")
    return Outcome(
        name=racer.name, trainer=racer.trainer, seed=seed, settings=racer.settings,
        version=racer.version(course, seed), groups=tuple(groups),
    )  # fmt: skip


def report(course: Course, console: Console) -> None:
    """Table, picture and race.json of every finished run of the folder."""
    outcomes = results.load_all(course.folder)
    if not outcomes:
        raise UsageError(f"{course.folder} holds no finished run")
    rows = results.rows(outcomes)
    table_screen().print(results.table(rows))
    for fact in [*results.facts(outcomes), *results.comparisons(rows)]:
        console.print(f"  {fact}")
    (course.folder / "race.md").write_text(results.markdown(outcomes))
    if corrections.ON_POLICY in outcomes:
        (course.folder / "corrections.md").write_text(corrections.markdown(outcomes))
    files = [results.save_json(course.folder, rows), course.folder / "race.md", *draw(course.folder, outcomes)]
    console.print(f"  {', '.join(str(file) for file in files)}")


def _require_same(outcome: Outcome, racer: Racer) -> None:
    if outcome.settings != racer.settings:
        had, has = (" ".join(settings) or "the shipped settings" for settings in (outcome.settings, racer.settings))
        raise UsageError(
            f"{racer.name} seed {outcome.seed} was run with {had}, now it has {has}: give it another name, "
            "or repeat it with --fresh"
        )


def _progress(groups: Sequence[Group], budget: int) -> str:
    newest = list(moments(groups))
    success = f"{newest[-1].success:.1%} unguided" if newest else "too few groups for a level yet"
    return f"{len(groups)} of {budget} groups, {groups[-1].at_s:.0f} s, {success}" if groups else "starting"


def _told(outcome: Outcome) -> str:
    """`50 % after 93 s and 828 groups, …, at the end 95.7 %`."""
    levels = row(outcome)
    parts = [
        f"{level} % after {getattr(levels, f's_to_{level}'):.0f} s and {getattr(levels, f'groups_to_{level}')} groups"
        for level in LEVELS
        if getattr(levels, f"groups_to_{level}") is not None
    ]
    final = "too few groups for a level" if levels.final is None else f"at the end {levels.final:.1%}"
    return ", ".join([*parts, f"{final} after {levels.seconds:.0f} s and {levels.groups} groups"])


if __name__ == "__main__":
    sys.exit(main())
