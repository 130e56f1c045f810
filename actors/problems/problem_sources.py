"""Reads every kind of `problems.source` except the built-in domain.

    set.jsonl, set.json, set.parquet   a file; `problems.fields` names columns that do not have the usual names
    gsm8k                              a data set of the Hugging Face hub, by its short name
    gsm8k:test.parquet                 the same data set, read from a file on machines without access to the hub
    package.module:Name                rows that a function of the user gives, a `ProblemSource`
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from actors.problems.hub_datasets import HUB_DATASETS, HubDataset
from actors.problems.jsonl import json_rows, jsonl_rows
from actors.problems.problem_set import ProblemSet
from actors.problems.row_layout import Layout, Row
from actors.problems.rows import read_rows
from actors.problems.tables import hub_rows, parquet_rows
from broker.errors import UsageError
from conf.plugins import is_import_path, load, told
from conf.schema import ProblemSettings

READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": jsonl_rows, ".json": json_rows}
"""File ending -> its reader. Parquet files are read by `parquet_rows`, which can select columns."""


class ProblemSource(Protocol):
    """`problems.source=package.module:Name`, called once by every command that reads problems, in the driver."""

    def __call__(self, seed: int) -> Iterable[Mapping[str, Any]]:
        """The rows of the source, as the lines of a .jsonl file: texts under `problem` and `answer`, and optionally
        `solution`, `id`, `bucket` (hard, easy or easier), `guidance`, `system`, `level`. `seed`: `run.seed`; the same
        seed must give the same rows, because a run that is resumed reads them again."""


def read_source(settings: ProblemSettings, seed: int, *, verbatim_answers: bool = False) -> ProblemSet:
    """All rows of the source, as problems or rejected rows. Answers are not parsed. Raises UsageError.

    `seed`: for a source of the user. `verbatim_answers`: see `Layout`.
    """
    levels = (settings.levels[0], settings.levels[1]) if settings.levels else None
    name, _, path = settings.source.partition(":")
    if name not in HUB_DATASETS:
        file = Path(settings.source).expanduser()
        is_plugin = is_import_path(settings.source)
        stem, source = (path.lower(), settings.source) if is_plugin else (file.stem, str(file))
        layout = Layout(stem, source, settings.fields, levels=levels, verbatim_answers=verbatim_answers)
        rows = _rows_of_user(settings.source, seed) if is_plugin else _file_rows(file)
        return _not_empty(read_rows(rows, layout), source)
    dataset = HUB_DATASETS[name]
    columns = {**dataset.columns, **settings.fields}
    layout = Layout(name, name, columns, dataset.strip_instructions, levels, verbatim_answers)
    return _not_empty(read_rows(_hub_rows(name, dataset, path, layout, settings.split), layout), settings.source)


def _rows_of_user(path: str, seed: int) -> Iterator[Row]:
    """The rows that the function of the user gives. Raises ConfigError, UsageError."""
    source: ProblemSource = load("problems.source", path)
    number = 0
    try:
        for number, columns in enumerate(source(seed), start=1):
            if not isinstance(columns, Mapping):
                raise TypeError(f"a row is a mapping such as a dict, and this one is a {type(columns).__name__}")
            yield Row(number, f"problems.source={path}: row {number}", columns)
    except Exception as error:  # the user's code may raise anything
        raise UsageError(f"problems.source={path} failed after {number} rows: {told(error)}") from error


def _hub_rows(name: str, dataset: HubDataset, path: str, layout: Layout, split: str | None) -> Iterator[Row]:
    wanted = [column.partition(".")[0] for column in layout.columns.values()]
    if path:
        file = Path(path).expanduser()
        if file.suffix == ".parquet":
            return parquet_rows(file, wanted, dataset.unique_by)
        return _select(wanted, _file_rows(file))
    try:
        return iter(list(hub_rows(dataset.hub_id, dataset.config, split or dataset.split, wanted, dataset.unique_by)))
    except UsageError as error:
        raise UsageError(
            f"problems.source={name}: {error}; see problems.split, or download a file of it and give "
            f"problems.source={name}:FILE"
        ) from error


def _select(columns: Sequence[str], rows: Iterator[Row]) -> Iterator[Row]:
    """The rows reduced to these columns, so that a column called id or bucket is ignored as on the hub."""
    for row in rows:
        yield replace(row, columns={name: value for name, value in row.columns.items() if name in columns})


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        return parquet_rows(path)
    if path.suffix not in READERS:
        raise UsageError(f"problems.source={path}: give a file that ends in .jsonl, .json or .parquet")
    return READERS[path.suffix](path)


def _not_empty(problem_set: ProblemSet, source: str) -> ProblemSet:
    if not problem_set.num_rows:
        raise UsageError(f"problems.source={source}: the source has no rows; name a file or split that has some")
    return problem_set
