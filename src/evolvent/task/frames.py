"""Tables of a user's data: CSV and parquet files, and data frames, become columns.

CSV is read by `portable.csv_reader` and not with pandas, because the ``predict.py`` of an exported
network, which has no pandas, must read the same file to the same cells. Whatever is wrong with a file
becomes one `DataError` that names the place.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import LIMIT, check_memory, existing, reading, some
from .portable.csv_reader import MISSING, NO_NUMBER, as_texts, number, read_csv, unique_names
from .portable.errors import Unreadable

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MOSTLY = 0.95  # of the filled cells: so many numbers make a column of numbers,
MANY = 20  # if so many of them differ


@dataclass(frozen=True)
class Frame:
    """A table as columns of equal length.

    Args:
        source: the file, for messages.
        columns: name -> numbers [N] float64, NaN where one is missing, or text [N] object, where
            it is ``""``.
        note: what a user should know about how it was read, one line each.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    note: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> np.ndarray:
        """Return a column.

        Raises:
            DataError: if there is no such column; the nearest name is suggested.
        """
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"{self.source!r} has no column {name!r}: {hint}it has {some(list(self.columns), 12)}"
                + _no_header(list(self.columns))
            )
        return self.columns[name]

    def rows(self, index: np.ndarray) -> Frame:
        """Return the rows at these indices, or of a mask."""
        return Frame(self.source, {k: v[index] for k, v in self.columns.items()}, self.note)


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is named like a table."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def missing(column: np.ndarray) -> np.ndarray:
    """Return the mask of the empty cells of a column [N] bool."""
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.fromiter((cell == "" for cell in column), bool, len(column))


def read_frame(path: str | os.PathLike[str], *, limit: int = LIMIT) -> Frame:
    """Return the table of a ``.csv``, ``.csv.gz``, ``.tsv`` or ``.parquet`` file.

    The separator of a CSV file is found (comma, semicolon, tab, bar), and so is its encoding (UTF-8
    with or without a byte-order mark, UTF-16 with one, else Windows-1252). A column whose filled cells
    are all numbers, or almost all, holds numbers. With semicolons, ``1,5`` is a number.

    Args:
        path: of the file; its first line names the columns.
        limit: how much it may take in memory. [bytes]

    Raises:
        DataError: if it is not such a file, or damaged, or too large.
    """
    file = existing(path)
    if not is_table(file):
        raise DataError(f"{str(file)!r} is not a table: give a {' or '.join(SUFFIXES)} file")
    if file.suffix.lower() == ".parquet":
        return _parquet(file, limit)
    try:
        with reading(file, "table", "write it anew as CSV"):
            table = read_csv(file, limit=limit)
            columns = {
                name: typed(name, cells, table.notes, comma=table.comma)
                for name, cells in table.columns.items()
            }
    except Unreadable as error:
        raise DataError(str(error)) from error
    return Frame(str(file), columns, tuple(table.notes))


def _no_header(names: Sequence[str]) -> str:
    if all(number(name) is not None for name in names):
        return "; its first line holds numbers only, and should name the columns"
    return ""


# ---- cells ---------------------------------------------------------------------------------------


def typed(name: str, cells: Sequence[str], notes: list[str], *, comma: bool = False) -> np.ndarray:
    """Return a column of cells as numbers [N] float64 if it holds numbers, else as text [N]."""
    numbers = [None if cell in NO_NUMBER else number(cell, comma=comma) for cell in cells]
    others = [c for c, n in zip(cells, numbers, strict=True) if n is None and c not in NO_NUMBER]
    known = len(cells) - numbers.count(None)
    filled = known + len(others)
    distinct = len(set(numbers))
    if known and (not others or (known >= MOSTLY * filled and distinct > MANY)):
        if others:
            notes.append(
                f"column {name!r}: {len(others)} cells that are no numbers, such as "
                f"{others[0][:40]!r}, are taken as missing"
            )
        return np.array([math.nan if value is None else value for value in numbers])
    return as_texts(cells)


# ---- parquet and data frames ---------------------------------------------------------------------


def _parquet(file: Path, limit: int) -> Frame:
    with reading(file, "parquet file", "write it anew"):
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise DataError(
                f"{str(file)!r}: parquet needs pyarrow: pip install 'evolvent[parquet]'"
            ) from None
        try:
            about = pq.read_metadata(file)
            size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            check_memory(file, max(10 * size, 8 * about.num_rows * about.num_columns), limit)
            frame = pq.ParquetFile(file).read().to_pandas()
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
    return frame_of(frame, str(file))


def frame_of(data: pd.DataFrame, source: str) -> Frame:
    """Return a data frame of pandas as a `Frame`; columns of neither numbers nor text are left out.

    Raises:
        DataError: if it has no rows or no column that can be used.
    """
    notes: list[str] = []
    names = unique_names([str(name) for name in data.columns], notes)
    columns: dict[str, np.ndarray] = {}
    for place, name in enumerate(names):
        column = _plain(data.iloc[:, place])
        if column is None:
            notes.append(f"column {name!r} holds neither numbers nor text: it is left out")
        else:
            columns[name] = column
    if not len(data) or not columns:
        raise DataError(f"{source!r} has {len(data)} rows and {len(columns)} columns: add the data")
    return Frame(source, columns, tuple(notes))


_NUMBERS = (int, float, np.number, Decimal)


def _plain(series: Any) -> np.ndarray | None:
    """Return a column of pandas as numbers or as text, or None if it is neither."""
    import pandas as pd

    kinds = pd.api.types
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if kinds.is_numeric_dtype(series.dtype) and not kinds.is_bool_dtype(series.dtype):
        if kinds.is_complex_dtype(series.dtype):
            return None
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(values), values, np.nan)
    filled = series.notna().to_numpy()
    cells = series.to_numpy(dtype=object)
    kept = str | bool | np.bool_
    if kinds.is_datetime64_any_dtype(series.dtype):
        cells = series.astype(str).to_numpy(dtype=object)
    elif all(isinstance(c, _NUMBERS) and not isinstance(c, kept) for c in cells[filled]):
        return np.array([float(c) if f else np.nan for c, f in zip(cells, filled, strict=True)])
    elif not all(isinstance(cell, kept | int | float) for cell in cells[filled]):
        return None
    text = np.empty(len(cells), object)
    text[:] = [_cell(c) if f else "" for c, f in zip(cells, filled, strict=True)]
    return text


def _cell(value: Any) -> str:
    text = re.sub(r"\s+$|^\s+", "", str(value))
    return "" if text in MISSING else text
