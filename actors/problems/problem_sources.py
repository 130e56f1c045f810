"""`problems.source` -> rows -> problems, for everything but the built-in domain.

    set.jsonl, set.json, set.parquet   a file; `problems.fields` names its columns where they are not the usual ones
    gsm8k                              a data set of the hub, by its short name
    gsm8k:test.parquet                 the same data set, its rows from a file: for machines that see no hub
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from actors.problems.hub_datasets import HUB, HubSet
from actors.problems.jsonl import json_rows, jsonl_rows
from actors.problems.problem_set import ProblemSet
from actors.problems.rows import Layout, Row, read_rows
from actors.problems.tables import hub_rows, parquet_rows
from broker.errors import UsageError
from conf.schema import ProblemSettings

READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": jsonl_rows, ".json": json_rows}
"""How a file is read, by its ending; Parquet files may leave columns out and are read apart."""


def read_source(settings: ProblemSettings) -> ProblemSet:
    """All rows of the source, as problems or rejected. No answer is parsed. Raises UsageError as its readers do."""
    levels = (settings.levels[0], settings.levels[1]) if settings.levels else None
    name, _, path = settings.source.partition(":")
    if name not in HUB:
        file = Path(settings.source).expanduser()
        layout = Layout(file.stem, str(file), settings.fields, levels=levels)
        return _some(read_rows(_file_rows(file), layout), str(file))
    known = HUB[name]
    columns = {**known.columns, **settings.fields}
    layout = Layout(name, name, columns, known.tidy, levels)
    return _some(read_rows(_hub_rows(name, known, path, layout, settings.split), layout), settings.source)


def _hub_rows(name: str, known: HubSet, path: str, layout: Layout, split: str | None) -> Iterator[Row]:
    wanted = [column.partition(".")[0] for column in layout.columns.values()]
    if path:
        file = Path(path).expanduser()
        if file.suffix == ".parquet":
            return parquet_rows(file, wanted, known.unique_by)
        return _only(wanted, _file_rows(file))
    try:
        return iter(list(hub_rows(known.hub_id, known.config, split or known.split, wanted, known.unique_by)))
    except UsageError as error:
        raise UsageError(
            f"problems.source={name}: {error}; see problems.split, or download a file of it and give "
            f"problems.source={name}:FILE"
        ) from error


def _only(columns: Sequence[str], rows: Iterator[Row]) -> Iterator[Row]:
    """The rows without their other columns, so that an id or a bucket of the file's own means nothing here either."""
    for row in rows:
        yield replace(row, columns={name: value for name, value in row.columns.items() if name in columns})


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        return parquet_rows(path)
    if path.suffix not in READERS:
        raise UsageError(f"problems.source={path}: give a file that ends in .jsonl, .json or .parquet")
    return READERS[path.suffix](path)


def _some(found: ProblemSet, source: str) -> ProblemSet:
    if not found.num_rows:
        raise UsageError(f"problems.source={source}: it has no rows")
    return found
