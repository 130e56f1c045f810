"""Reads every kind of `problems.source` except the built-in domain.

    set.jsonl, set.json, set.parquet   a file; `problems.fields` names columns that do not have the usual names
    gsm8k                              a data set of the Hugging Face hub, by its short name
    gsm8k:test.parquet                 the same data set, read from a file on machines without access to the hub
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from actors.problems.hub_datasets import HUB_DATASETS, HubDataset
from actors.problems.jsonl import json_rows, jsonl_rows
from actors.problems.problem_set import ProblemSet
from actors.problems.row_layout import Layout, Row
from actors.problems.rows import read_rows
from actors.problems.tables import hub_rows, parquet_rows
from broker.errors import UsageError
from conf.schema import ProblemSettings

READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": jsonl_rows, ".json": json_rows}
"""File ending -> its reader. Parquet files are read by `parquet_rows`, which can select columns."""


def read_source(settings: ProblemSettings) -> ProblemSet:
    """All rows of the source, as problems or rejected rows. Answers are not parsed. Raises UsageError."""
    levels = (settings.levels[0], settings.levels[1]) if settings.levels else None
    name, _, path = settings.source.partition(":")
    if name not in HUB_DATASETS:
        file = Path(settings.source).expanduser()
        layout = Layout(file.stem, str(file), settings.fields, levels=levels)
        return _not_empty(read_rows(_file_rows(file), layout), str(file))
    dataset = HUB_DATASETS[name]
    layout = Layout(name, name, {**dataset.columns, **settings.fields}, dataset.strip_instructions, levels)
    return _not_empty(read_rows(_hub_rows(name, dataset, path, layout, settings.split), layout), settings.source)


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
