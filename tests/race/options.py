"""The command line of the race."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.errors import UsageError
from tests.race import corrections
from tests.race.course import Course
from tests.race.racers import REPOSITORY, Pope, Racer, Trl, trl_settings
from tests.race.results import STANDARD

GROUPS = 1600
TRL_PYTHON = REPOSITORY / ".race-venv" / "bin" / "python"
EXAMPLES = """\
examples:
  make race                                          pope, pope_sync and trl, five seeds each, into runs/race
  make race SEEDS=2 FROM=5                           two more seeds; finished runs are never repeated
  make race RUNS="pope trl"                          only these; the table has every finished run of the folder
  make race NAME=lag1 ARGS="--set learner.max_lag=1" settings for every run of pope
  python -m tests.race --name search --seeds 2 \\
      --pope b32 learner.batch_samples=32 \\
      --pope b32_lag1 learner.batch_samples=32 learner.max_lag=1 \\
      --trl trl_fast learning_rate=1e-3 groups_per_step=4
                                                     several settings in one table and picture
  python -m tests.race --name search --report        the table and the picture again, nothing is run
  python -m tests.race --name lags --groups 1200 --corrections
                                                     every off-policy correction at forced lags (make lags)

Racers of one folder share base model, problems, guidance, order, sampling and budget (course.json there).
Settings of TRL: learning_rate, warmup_steps, groups_per_step, steps_per_generation, gradient_clip, ...
(tests/race/trl_settings.py has all, with their meaning).
"""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Options:
    course: Course
    racers: tuple[Racer, ...]
    seeds: range
    fresh: bool
    """Repeat finished runs."""
    cores: frozenset[int] | None
    """None: all that this process may use."""


def parse(words: Sequence[str] | None = None) -> Options:
    """Raises UsageError for names, settings and cores that cannot be used."""
    given = _parser().parse_args(words)
    folder = (given.root / given.name).expanduser().resolve()
    racers: list[Racer] = [*_custom(given.pope, given.trl, given.trl_python)]
    if given.corrections:
        racers.extend(corrections.racers())
    names = given.runs.replace(",", " ").split() if given.runs is not None else [] if racers else list(STANDARD)
    racers = [*(_standard(name, given.trl_python) for name in names), *racers]
    if given.report:
        racers = []
    if given.seeds < 1 or given.groups < 1:
        raise UsageError(f"--seeds {given.seeds} --groups {given.groups}: both must be at least 1")
    seeds = range(given.from_, given.from_ + given.seeds)
    cores = frozenset(map(int, given.cores.split(","))) if given.cores else None
    return Options(Course(folder, given.groups, tuple(given.set)), tuple(racers), seeds, given.fresh, cores)


def _standard(name: str, trl_python: Path) -> Racer:
    match name:
        case "pope":
            return Pope(name)
        case "pope_sync":
            return Pope(name, ("learner.max_lag=0",))
        case "trl":
            return Trl(name, python=trl_python)
    raise UsageError(f"--runs {name}: no such run; there are {', '.join(STANDARD)}, and --pope and --trl make others")


def _custom(popes: Sequence[list[str]], trls: Sequence[list[str]], trl_python: Path) -> list[Racer]:
    racers: list[Racer] = [Pope(name, tuple(settings)) for name, *settings in popes]
    for name, *settings in trls:
        trl_settings(settings)  # refused before anything runs
        racers.append(Trl(name, tuple(settings), trl_python))
    for racer in racers:
        if not NAME.fullmatch(racer.name) or racer.name in (*STANDARD, "work"):
            raise UsageError(
                f"{racer.name!r} cannot name a run: use a-z, 0-9, '.', '_' and '-', and none of {', '.join(STANDARD)}"
            )
        for word in racer.settings:
            if "=" not in word:
                raise UsageError(f"{racer.name}: {word!r} is no setting; write KEY=VALUE after the name")
    twice = {racer.name for racer in racers if [other.name for other in racers].count(racer.name) > 1}
    if twice:
        raise UsageError(f"{', '.join(sorted(twice))}: several runs have this name; give each its own")
    return racers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.race",
        description="Trains with pope and with TRL on the same problems, one run after another, and compares seconds "
        "and rollouts to levels of unguided success. Continues where it was stopped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", default="race", help="folder of the race below runs/ (default race)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds of each run (default 5)")
    parser.add_argument("--from", type=int, default=0, metavar="N", dest="from_", help="the first seed (default 0)")
    runs_help = f"of {','.join(STANDARD)} (default all of them; none with --pope or --trl)"
    parser.add_argument("--runs", metavar="NAME,...", help=runs_help)
    for trainer in ("pope", "trl"):
        custom_help = f"one more run of {trainer}, under these settings; may be repeated"
        metavar = ("NAME", "KEY=VALUE")
        parser.add_argument(f"--{trainer}", nargs="+", action="append", default=[], metavar=metavar, help=custom_help)
    corrections_help = "pope under every off-policy correction, at forced lags of 0 to 8 steps"
    parser.add_argument("--corrections", action="store_true", help=corrections_help)
    set_help = "settings of every run of pope; TRL follows those of model, problems, sampling and verifier"
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help=set_help)
    parser.add_argument("--groups", type=int, default=GROUPS, metavar="N", help=f"rollout budget (default {GROUPS})")
    parser.add_argument("--cores", metavar="0,1", help="cores that all runs use (default: those of this process)")
    parser.add_argument("--fresh", action="store_true", help="repeat runs that are finished")
    parser.add_argument("--report", action="store_true", help="only write table, picture and race.json again")
    parser.add_argument("--root", type=Path, default=Path("runs"), metavar="FOLDER", help="(default runs)")
    parser.add_argument("--trl-python", type=Path, default=TRL_PYTHON, metavar="FILE", help="interpreter with TRL")
    return parser
