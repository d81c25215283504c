"""Tables of a user's data: files of every form, and data frames, become columns.

Files are read by `portable.forms` and not with pandas, because the ``predict.py`` of an exported
network, which has no pandas, must read the same file to the same cells. Whatever is wrong with a file
becomes one `DataError` that names the place.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import LIMIT, existing, reading, some
from .portable.csv_reader import MISSING, NO_NUMBER, as_numbers, as_texts, number
from .portable.errors import Unreadable
from .portable.forms import READ, is_table_name, read_table
from .portable.raw import Cells, RawTable, unique_names

if TYPE_CHECKING:
    import pandas as pd

INDEX = re.compile(r"column \d+|Unnamed: \d+(\.\d+)?")  # what a column without a name is called
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
        how: how the file was read, see `portable.raw.RawTable`.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    note: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)

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
        return replace(self, columns={k: v[index] for k, v in self.columns.items()})


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is named like a table."""
    return is_table_name(Path(path).name)


def missing(column: np.ndarray) -> np.ndarray:
    """Return the mask of the empty cells of a column [N] bool."""
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.fromiter((cell == "" for cell in column), bool, len(column))


def read_frame(
    path: str | os.PathLike[str],
    *,
    limit: int = LIMIT,
    encoding: str | None = None,
    sheet: str | None = None,
    index: bool = False,
) -> Frame:
    """Return the table of a file of any form (`portable.forms.read_table`).

    A column of text whose filled cells are all numbers, or almost all, holds numbers. In a CSV file
    with semicolons ``1,5`` is a number.

    Args:
        path: of the file; its first line names the columns.
        limit: how much it may take in memory. [bytes]
        encoding: of a file of text; None finds it.
        sheet: of a workbook; None is the first that holds data.
        index: whether first columns without a name and with another value in every row stay; they
            number the rows and tell nothing of them, so otherwise they are left out, which is noted.

    Raises:
        DataError: if it is not such a file, or damaged, or too large.
    """
    file = existing(path)
    if not is_table(file):
        raise DataError(f"{str(file)!r} is not a table: these are read: {READ}")
    try:
        with reading(file, "table", "write it anew as CSV"):
            table = read_table(file, limit=limit, encoding=encoding, sheet=sheet)
            kept = table.columns if index else without_index(table)
            columns = {
                name: as_column(name, cells, table.notes, comma=table.comma)
                for name, cells in kept.items()
            }
    except Unreadable as error:
        raise DataError(str(error)) from error
    return Frame(str(file), columns, tuple(table.notes), table.how)


def without_index(table: RawTable) -> dict[str, Cells]:
    """Return the columns but the first ones that have no name and another value in every row."""
    left = dict(table.columns)
    for place, (name, cells) in enumerate(table.columns.items(), start=1):
        if not INDEX.fullmatch(name) or len(left) < 2 or len(set(cells)) < max(2, len(cells)):
            break
        del left[name]
        unnamed = f"column {place} is called {name!r}: it has no name"
        if unnamed in table.notes:
            table.notes.remove(unnamed)
        table.notes.append(
            f"column {place} has no name and another value in every row: it numbers the rows and is "
            "left out"
        )
    return left


def as_column(name: str, cells: Cells, notes: list[str], *, comma: bool) -> np.ndarray:
    """Return the cells of a file as numbers [N] float64 or as text [N] object."""
    if not isinstance(cells, np.ndarray):
        return typed(name, cells, notes, comma=comma)
    return as_numbers(cells)


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


# ---- data frames --------------------------------------------------------------------------------


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
