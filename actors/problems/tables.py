"""Reads Parquet files and data sets of the Hugging Face hub. The only file that imports `datasets` and `pyarrow`.

Both libraries are imported only when a source needs them. No code of a data set is run.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from actors.problems.row_layout import Row
from broker.errors import UsageError


def parquet_rows(path: Path, columns: Sequence[str] = (), unique_by: str | None = None) -> Iterator[Row]:
    """The rows of a Parquet file, by the rules of `_rows`. Raises UsageError when it cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UsageError(f"{path}: not a readable Parquet file: {_first_line(error)}") from error
    yield from _rows(table, str(path), columns, unique_by)


def hub_rows(
    hub_id: str, config: str | None, split: str, columns: Sequence[str], unique_by: str | None
) -> Iterator[Row]:
    """The rows of one split of a data set of the hub, or of a folder in a hub data set's layout.

    The data set is downloaded once into the cache of HF_HOME. Raises UsageError when it cannot be loaded.
    """
    import datasets

    # Without this a failed look-up logs every retry; the UsageError is enough.
    for library in ("datasets", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(hub_id, name=config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UsageError(f"{hub_id}: cannot be loaded: {_first_line(error)}") from error
    yield from _rows(dataset.with_format("arrow")[:], f"{hub_id} {split}", columns, unique_by)


def _rows(table: Any, location: str, columns: Sequence[str], unique_by: str | None) -> Iterator[Row]:
    """The rows of a table: only `columns`, if not empty; only the first row of each value of `unique_by`, if given."""
    if unique_by is not None:
        table = _without_duplicates(table, unique_by)
    if columns:
        table = table.select([name for name in table.column_names if name in columns])
    table = _with_short_floats(table)
    number = 0
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            number += 1
            yield Row(number, f"{location}: row {number}", row)


def _with_short_floats(table: Any) -> Any:
    """The table with 32-bit floats as the shortest decimal that stands for them: 0.1, not 0.10000000149011612."""
    import pyarrow

    for position, column in enumerate(table.schema):
        if column.type == pyarrow.float32():
            short = table.column(position).cast(pyarrow.string()).cast(pyarrow.float64())
            table = table.set_column(position, column.name, short)
    return table


def _without_duplicates(table: Any, path: str) -> Any:
    """The first row of each value at `a.b`; the whole table if it has no such column."""
    import pyarrow.compute

    name, *inside = path.split(".")
    if name not in table.column_names:
        return table
    values = table.column(name)
    if inside:
        values = pyarrow.compute.struct_field(values, inside)
    first: dict[Any, int] = {}
    for position, value in enumerate(values.to_pylist()):
        first.setdefault(value, position)
    return table.take(list(first.values()))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
