"""The one door to `datasets` and `pyarrow`: Parquet files and data sets of the Hugging Face hub, as rows.

Both are imported when a source needs them and not before. No code of a data set is ever run.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from actors.problems.rows import Row
from broker.errors import UsageError


def parquet_rows(path: Path, columns: Sequence[str] = (), unique_by: str | None = None) -> Iterator[Row]:
    """The rows of a Parquet file; see `_rows`. Raises UsageError when it cannot be read."""
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

    It is downloaded once and kept where HF_HOME says. Raises UsageError when it cannot be had.
    """
    import datasets

    # A failed look-up prints every retry otherwise; the one line of UsageError says it all.
    for library in ("datasets", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(hub_id, name=config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UsageError(f"{hub_id}: cannot be loaded: {_first_line(error)}") from error
    yield from _rows(dataset.with_format("arrow")[:], f"{hub_id} {split}", columns, unique_by)


def _rows(table: Any, place: str, columns: Sequence[str], unique_by: str | None) -> Iterator[Row]:
    """The named columns of a table, all of them when none is named; of rows that are equal in `unique_by` the first."""
    if unique_by is not None:
        table = _first_of_each(table, unique_by)
    if columns:
        table = table.select([name for name in table.column_names if name in columns])
    number = 0
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            number += 1
            yield Row(number, f"{place}: row {number}", row)


def _first_of_each(table: Any, path: str) -> Any:
    """Rows whose value at `a.b` is new; the table as it is when it has no such column."""
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
