"""`pope report`: writes one page about runs, and every figure and table as a file.

report.html           the page; it loads nothing from elsewhere
report.json           every number of the figures and tables
table.md, table.csv   the layout of the paper's table 2, and all scores
problems.csv          every problem of every run
figures/              NAME.png and NAME.csv
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from broker.errors import UsageError
from conf.plain import plain
from deploy.report.canvas import save
from deploy.report.contents import Contents, contents
from deploy.report.experiments import Experiment, experiments
from deploy.report.figure_spec import Absent, Figure
from deploy.report.page import render
from deploy.report.problem_rows import problem_rows
from deploy.report.run_reader import find_runs, read_run
from deploy.report.run_records import RunRecords
from deploy.report.scores import to_csv, to_markdown, to_records
from deploy.run.progress import stage

SCHEMA = 1
PAGE = "report.html"


def report(paths: Sequence[Path], out: Path, console: Console, *, url: str | None, num_rollouts: int) -> Path:
    """Writes the report of the runs into the folder `out`. Returns the path of the page.

    Raises UsageError when a path holds no run, a file is damaged, or `out` cannot be created.
    """
    folders = find_runs(paths)
    runs: list[RunRecords] = []
    with stage(console, f"read {len(folders)} run(s)", total=len(folders)) as advance:
        for folder in folders:
            runs.append(read_run(folder, url))
            advance(1)
    shown = experiments(runs)
    _create(out / "figures")
    with stage(console, "compute"):
        page = contents(shown, num_rollouts)
    pictures = _draw(page, out / "figures", console)
    with stage(console, "write"):
        _write_tables(page, shown, out)
        (out / PAGE).write_text(render(page, pictures), encoding="utf-8")
    for run in runs:
        for note in run.missing:
            console.print(f"    note: {plain(f'{run.path.name}: {note}')}", highlight=False, markup=False)
    console.print(f"  {out / PAGE}", highlight=False, markup=False, soft_wrap=True)
    return out / PAGE


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: {folder} cannot be created ({error.strerror}); name another folder") from error


def _draw(page: Contents, folder: Path, console: Console) -> dict[str, bytes]:
    """Writes the PNG and CSV of every figure. Returns name -> SVG."""
    figures = [each for section in page.sections for each in section.figures]
    pictures = {}
    with stage(
        console, f"draw {sum(isinstance(each, Figure) for each in figures)} figures", total=len(figures)
    ) as advance:
        for each in figures:
            picture, numbers = folder / f"{each.name}.png", folder / f"{each.name}.csv"
            if isinstance(each, Absent):  # it would be a figure of an earlier report
                picture.unlink(missing_ok=True)
                numbers.unlink(missing_ok=True)
            else:
                pictures[each.name] = save(each, picture)
                numbers.write_text(to_csv(each.columns, each.rows), newline="")
            advance(1)
    return pictures


def _write_tables(page: Contents, shown: Sequence[Experiment], out: Path) -> None:
    records = to_records(page.scores)
    figures = [each for section in page.sections for each in section.figures if isinstance(each, Figure)]
    content = {
        "schema": SCHEMA,
        "experiments": [{"label": each.label, "runs": [str(run.path) for run in each.runs]} for each in shown],
        "scores": records,
        "rollouts_to_threshold": page.costs,
        "figures": {
            each.name: {"title": each.title, "about": each.about, "columns": each.columns, "rows": each.rows}
            for each in figures
        },
    }
    (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    (out / "table.md").write_text(to_markdown(page.table), encoding="utf-8")
    header = list(records[0]) if records else []
    (out / "table.csv").write_text(to_csv(header, [list(record.values()) for record in records]), newline="")
    (out / "problems.csv").write_text(_problems(shown), encoding="utf-8", newline="")


def _problems(shown: Sequence[Experiment]) -> str:
    """CSV with one line per problem and arm of every run."""
    lines = [
        (each.label, run.seed, row.id, row.bucket, row.first_solved, arm, c.attempts, c.successes, c.first_solve)
        for each in shown
        for run in each.runs
        for row in problem_rows(run)
        for arm, c in row.by_arm.items()
    ]
    header = ("experiment", "seed", "problem", "bucket", "first_solved", "arm", "attempts", "successes", "first_solve")
    return to_csv(header, lines)
