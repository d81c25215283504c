"""Reading parquet and feather files, where pyarrow is installed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from .errors import Unreadable
from .raw import RawTable, table_of_values
from .unpacking import damaged


def arrow_table(
    file: Path,
    name: str,
    data: bytes,
    *,
    limit: int | None = None,
) -> RawTable:
    """Return the cells of a parquet or feather file.

    Args:
        file: for messages.
        name: of the file without a packing, in lower case; its suffix tells the form.
        data: its content.
        limit: how much it may take in memory; None is no limit. [bytes]

    Raises:
        Unreadable: if it is damaged or too large, or pyarrow is not installed.
    """
    form = "parquet" if name.endswith(".parquet") else "feather"
    try:
        import pyarrow
    except ImportError:
        raise Unreadable(
            f"{str(file)!r}: {form} needs pyarrow: pip install pyarrow (or 'evolvent[parquet]'), or "
            "write it as CSV"
        ) from None
    try:
        table = arrow_read(file, form, data, limit)
        columns = [
            (str(column).strip(), arrow_cells(table.column(place)))
            for place, column in enumerate(table.column_names)
            if not index_of_pandas(table, column)
        ]
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise Unreadable(
            str(damaged(file, error)).replace("a readable table", f"a readable {form} file")
        ) from error
    return table_of_values(file, columns, [], {})


def arrow_read(file: Path, form: str, data: bytes, limit: int | None) -> Any:
    """Return a file as a table of pyarrow, refusing one that is too large before it is unpacked."""
    stream = io.BytesIO(data)
    if form == "feather":
        from pyarrow import feather

        return feather.read_table(stream)
    import pyarrow.parquet as pq

    about = pq.read_metadata(stream)
    size = sum(about.row_group(place).total_byte_size for place in range(about.num_row_groups))
    needed = max(10 * size, 8 * about.num_rows * about.num_columns)
    if limit is not None and needed > limit:
        raise Unreadable(
            f"{str(file)!r} would take {needed / 2**30:,.1f} GiB in memory, at most "
            f"{limit / 2**30:,.1f} GiB are allowed: leave rows or columns out"
        )
    stream.seek(0)
    return pq.ParquetFile(stream).read()


def index_of_pandas(table: Any, column: str) -> bool:
    """Whether a column is the index of a data frame, that pandas stored beside its columns."""
    return column.startswith("__index_level_") and b"pandas" in (table.schema.metadata or {})


def arrow_cells(column: Any) -> Any:
    """Return a column of pyarrow as an array of numbers [N], or as a list of values."""
    import pyarrow
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_integer(column.type) and not column.null_count:
        found: np.ndarray = column.to_numpy()
        return found.astype(np.int64) if found.max(initial=0) < 2**63 else column.to_pylist()
    if types.is_floating(column.type):
        return column.to_numpy().astype(np.float64)
    if types.is_timestamp(column.type):  # Python's own type holds microseconds
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    elif types.is_duration(column.type):
        column = column.cast(pyarrow.duration("us"), safe=False)
    return column.to_pylist()
