"""Tables of a user's data: files of every form, and data frames, become columns.

Files are read by `portable.forms` and not with pandas, because the ``predict.py`` of an exported
network, which has no pandas, must read the same file to the same cells. Whatever is wrong with a file
becomes one `DataError` that names the place.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .asked import Asked
from .files import LIMIT, existing, reading, some
from .portable.columns import (
    EXACT,
    NO_NUMBER,
    Column,
    Wish,
    as_texts,
    decide,
    marks_of,
    read_column,
)
from .portable.errors import Unreadable
from .portable.forms import READ, is_table_name, read_table
from .portable.numerals import number
from .portable.raw import Cells, RawTable, unique_names

if TYPE_CHECKING:
    import pandas as pd

INDEX = re.compile(r"column \d+|Unnamed: \d+(\.\d+)?")  # what a column without a name is called


@dataclass(frozen=True)
class About:
    """What is known of a column beside its values.

    Args:
        form: how its cells become values; see `portable.columns.Column`.
        gaps: text of the cells that are missing -> rows. [count]
        infinite: rows of the file that hold an infinite number, counted from 0.
        conflict: why its values cannot be told, or ``""``.
    """

    form: Mapping[str, Any]
    gaps: Mapping[str, int] = field(default_factory=dict)
    infinite: Sequence[int] = ()
    conflict: str = ""


@dataclass(frozen=True)
class Frame:
    """A table as columns of equal length.

    Args:
        source: the file, for messages.
        columns: name -> numbers [N] float64, NaN where one is missing, or text [N] object, where
            it is ``""``.
        note: what a user should know about how it was read, one line each.
        how: how the file was read, see `portable.raw.RawTable`.
        about: name -> how a column was read, of those that were read from cells.
        written: name -> the cells of a column of numbers or dates as they are written [N] object,
            where its file holds text.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    note: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, About] = field(default_factory=dict)
    written: Mapping[str, np.ndarray] = field(default_factory=dict)

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
        columns, written = (
            {k: v[index] for k, v in each.items()} for each in (self.columns, self.written)
        )
        return replace(self, columns=columns, written=written)

    def labels(self, name: str) -> np.ndarray:
        """Return a column as labels [N] object: as written, numbers of a typed file by digits."""
        if name in self.written:
            return self.written[name]
        column = self.column(name)
        return _objects(_printed(column)) if column.dtype.kind == "f" else column


def with_labels(frame: Frame, name: str, notes: list[str], *, like: Frame | None = None) -> Frame:
    """Return a table with a column read as labels, exactly as they are written.

    As numbers or dates, a column that holds other texts too would lose these: the class ``NA`` beside
    ``1`` and ``2`` is a label where it is as frequent as they are.

    Args:
        frame: the table; a column whose file holds no text is left as it is.
        name: of the column.
        notes: gets a line for texts that look missing and are frequent.
        like: a table that was returned for this column before, and says what is missing.
    """
    frame.column(name)
    if name not in frame.written:
        return frame
    cells = frame.written[name].tolist()
    marks = frozenset((frame if like is None else like).about[name].form["marks"])
    if like is None and marks == NO_NUMBER:  # and not what the user said
        marks, told = marks_of(name, cells, NO_NUMBER)
        notes += told
    found = decide(name, cells, Wish("category", marks))
    rest = {key: each for key, each in frame.written.items() if key != name}
    return replace(
        frame,
        columns={**frame.columns, name: found.values},
        about={**frame.about, name: _about(found)},
        written=rest,
    )


def _printed(numbers: np.ndarray) -> list[str]:
    """Return numbers as they are printed, whole ones alone by their digits; ``""`` is missing."""
    filled = numbers[~np.isnan(numbers)]
    whole = np.array_equal(filled, np.round(filled)) and np.abs(filled).max(initial=0) < EXACT
    return ["" if x != x else str(int(x)) if whole else repr(x) for x in numbers.tolist()]


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is named like a table."""
    return is_table_name(Path(path).name)


def missing(column: np.ndarray) -> np.ndarray:
    """Return the mask of the empty cells of a column [N] bool."""
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.asarray(column == "", bool)


def read_frame(
    path: str | os.PathLike[str],
    *,
    limit: int = LIMIT,
    encoding: str | None = None,
    sheet: str | None = None,
    index: bool = False,
    asked: Asked = Asked(),
    written: Sequence[str] | None = None,
    like: Frame | None = None,
) -> Frame:
    """Return the table of a file of any form (`portable.forms.read_table`).

    What a column holds is decided by all of its cells (`portable.columns.decide`).

    Args:
        path: of the file; its first line names the columns.
        limit: how much it may take in memory. [bytes]
        encoding: of a file of text; None finds it.
        sheet: of a workbook; None is the first that holds data.
        index: whether first columns without a name and with another value in every row stay; they
            number the rows and tell nothing of them, so otherwise they are left out, which is noted.
        asked: what the user said of the columns.
        written: columns of numbers or dates that are kept as written, too; None keeps all.
        like: a table whose columns say how those of the same name are read.

    Raises:
        DataError: if it is not such a file, or damaged, or too large, or lacks a column that was
            named.
    """
    file = existing(path)
    if not is_table(file):
        raise DataError(f"{str(file)!r} is not a table: these are read: {READ}")
    try:
        with reading(file, "table", "write it anew as CSV"):
            table = read_table(file, limit=limit, encoding=encoding, sheet=sheet)
    except Unreadable as error:
        raise DataError(str(error)) from error
    keep = index or like is not None
    return frame_of_table(str(file), table, index=keep, asked=asked, written=written, like=like)


def frame_of_table(
    source: str,
    table: RawTable,
    *,
    index: bool = True,
    asked: Asked = Asked(),
    written: Sequence[str] | None = None,
    like: Frame | None = None,
) -> Frame:
    """Return the cells of a table as a `Frame`; see `read_frame` for the other arguments.

    Args:
        source: the file, for messages.
        table: its cells.
        index: whether first columns without a name that number the rows stay.
        asked: what the user said of the columns.
        written: columns of numbers or dates that are kept as written; None keeps all.
        like: a table whose columns say how those of the same name are read.

    Raises:
        DataError: if a column that was named is missing, or does not hold what was said.
    """
    ignored = asked.ignored(source, [*table.columns, *table.left])
    kept = {name: each for name, each in table.columns.items() if name not in ignored}
    notes = list(table.notes)
    if like is not None:
        return _read_alike(source, kept, notes, like)
    wishes = asked.wishes(source, table.columns, table.comma)
    if not index:
        places = {name: place for place, name in enumerate(table.columns, start=1)}
        kept = without_index(kept, places, notes)
    found = _decided(kept, wishes)
    for name, column in found.items():
        if asked.type_of(name) in ("number", "date") and column.conflict:
            raise DataError(f"{source!r}: {column.conflict}")
    return Frame(
        source,
        {name: column.values for name, column in found.items()},
        (*notes, *(line for column in found.values() for line in column.notes)),
        table.how,
        {name: _about(column) for name, column in found.items()},
        {
            name: _objects(cells)
            for name, cells in kept.items()
            if _typed_late(cells, found[name].form) and (written is None or name in written)
        },
    )


def _typed_late(cells: Cells, form: Mapping[str, Any]) -> bool:
    """Whether cells are texts that are read as numbers or dates."""
    return form["type"] != "category" and not isinstance(cells, np.ndarray)


def without_index(
    columns: Mapping[str, Cells], places: Mapping[str, int], notes: list[str]
) -> dict[str, Cells]:
    """Return the columns but the first ones that have no name and another value in every row.

    Args:
        columns: name -> cells [N].
        places: name -> which column of the file it is, counted from 1.
        notes: gets a line for each that is left out, in place of the one that it has no name.
    """
    left = dict(columns)
    for name, cells in columns.items():
        if not INDEX.fullmatch(name) or len(left) < 2 or len(set(cells)) < max(2, len(cells)):
            break
        del left[name]
        place = places[name]
        unnamed = f"column {place} is called {name!r}: it has no name"
        if unnamed in notes:
            notes.remove(unnamed)
        notes.append(
            f"column {place} has no name and another value in every row: it numbers the rows and is "
            "left out"
        )
    return left


def _decided(cells: Mapping[str, Cells], wishes: Mapping[str, Wish]) -> dict[str, Column]:
    """Decide every column; those that leave a doubt about the decimal sign follow the others."""
    found = {name: decide(name, each, wishes[name]) for name, each in cells.items()}
    sure = {column.sure for column in found.values()}
    for name, column in found.items():
        wish = wishes[name]
        comma = "," in sure or (wish.comma and "." not in sure)
        doubtful = column.form["type"] == "number" and column.notes and not column.sure
        again = wish._replace(comma=comma, thousands="," in sure and "." not in sure)
        if doubtful and again != wish:
            found[name] = decide(name, cells[name], again)
    return found


def _about(column: Column) -> About:
    return About(column.form, column.gaps, column.infinite, column.conflict)


def _objects(cells: Cells) -> np.ndarray:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def _read_alike(source: str, cells: Mapping[str, Cells], notes: list[str], like: Frame) -> Frame:
    """Return columns that are read as those of `like`; others are left out."""
    columns, written = {}, {}
    for name, each in cells.items():
        if name not in like.about:
            continue
        columns[name], foreign = read_column(each, like.about[name].form)
        if foreign.unread and columns[name].dtype.kind == "f" and np.isnan(columns[name]).all():
            columns[name] = as_texts(each)  # another kind of column, which is refused later
            continue
        if foreign.other:
            notes.append(f"{source}: column {name!r} has the other decimal sign")
        if foreign.unread:
            notes.append(
                f"{source}: column {name!r}: {len(foreign.unread)} cells cannot be read, such as "
                f"{foreign.unread[0][:40]!r}: they are taken as missing"
            )
        if _typed_late(each, like.about[name].form):
            written[name] = _objects(each)
    return Frame(source, columns, tuple(notes), about=like.about, written=written)


def _no_header(names: Sequence[str]) -> str:
    if all(number(name) is not None for name in names):
        return "; its first line holds numbers only, and should name the columns"
    return ""


# ---- cells ---------------------------------------------------------------------------------------


def typed(name: str, cells: Sequence[str], notes: list[str], *, comma: bool = False) -> np.ndarray:
    """Return a column of cells as numbers [N] float64 if it holds numbers, else as text [N]."""
    found = decide(name, cells, Wish(comma=comma))
    notes += found.notes
    return found.values


# ---- data frames --------------------------------------------------------------------------------


def frame_of(
    data: pd.DataFrame, source: str, *, asked: Asked = Asked(), like: Frame | None = None
) -> Frame:
    """Return a data frame of pandas as a `Frame`; columns of neither numbers nor text are left out.

    Numbers stay what they are; text, dates and truth values are read as the cells of a file are.

    Args:
        data: with rows.
        source: the name of the data, for messages.
        asked: what the user said of the columns.
        like: a frame whose columns say how those of the same name are read.

    Raises:
        DataError: if it has no rows or no column that can be used.
    """
    return frame_of_table(source, table_of(data, source), asked=asked, like=like)


def table_of(data: pd.DataFrame, source: str) -> RawTable:
    """Return the cells of a data frame of pandas; columns of neither numbers nor text are left out.

    Args:
        data: with rows.
        source: the name of the data, for messages.

    Raises:
        DataError: if it has no rows or no column that can be used.
    """
    notes: list[str] = []
    left: list[str] = []
    columns: dict[str, Cells] = {}
    names = unique_names([str(name) for name in data.columns], notes)
    for place, name in enumerate(names):
        cells = _plain(data.iloc[:, place])
        if cells is None:
            notes.append(f"column {name!r} holds neither numbers nor text: it is left out")
            left.append(name)
        else:
            columns[name] = cells
    if not len(data) or not columns:
        raise DataError(f"{source!r} has {len(data)} rows and {len(columns)} columns: add the data")
    return RawTable(columns, False, notes, {}, left)


_NUMBERS = (int, float, np.number, Decimal)


def _plain(series: Any) -> np.ndarray | list[str] | None:
    """Return a column of pandas as numbers [N], or as cells, or None if it is neither."""
    import pandas as pd

    kinds = pd.api.types
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    if kinds.is_timedelta64_dtype(series.dtype):
        return np.asarray(series.dt.total_seconds().to_numpy(dtype=np.float64))
    if kinds.is_numeric_dtype(series.dtype) and not kinds.is_bool_dtype(series.dtype):
        if kinds.is_complex_dtype(series.dtype):
            return None
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        large = (
            kinds.is_integer_dtype(series.dtype) and np.nanmax(np.abs(values), initial=0) > EXACT
        )
        return _as_written(series) if large else values
    filled = series.notna().to_numpy()
    cells = series.to_numpy(dtype=object)
    kept = str | bool | np.bool_ | date | time
    if kinds.is_datetime64_any_dtype(series.dtype):
        return _as_written(series)
    if filled.any() and all(
        isinstance(cell, bytes) for cell in cells[filled]
    ):  # as scipy reads ARFF
        return _decoded(cells, filled)
    if filled.any() and all(isinstance(cell, timedelta | np.timedelta64) for cell in cells[filled]):
        return _plain(series.astype("timedelta64[ns]"))
    if all(isinstance(c, _NUMBERS) and not isinstance(c, kept) for c in cells[filled]):
        if any(isinstance(c, int | np.integer) and abs(int(c)) > EXACT for c in cells[filled]):
            return _as_written(series)
        return np.array([float(c) if f else np.nan for c, f in zip(cells, filled, strict=True)])
    if not all(isinstance(cell, kept | int | float) for cell in cells[filled]):
        return None
    return _as_written(series)


def _decoded(cells: np.ndarray, filled: np.ndarray) -> list[str] | None:
    """Return bytes as text, or None if they are none."""
    try:
        return [str(cell, "utf-8") if f else "" for cell, f in zip(cells, filled, strict=True)]
    except UnicodeDecodeError:
        return None


def _as_written(series: Any) -> list[str]:
    """Return the cells of a column of pandas as they are printed, ``""`` where one is missing."""
    import pandas as pd

    filled = series.notna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        series = series.astype(str)
    cells = series.to_numpy(dtype=object)
    return [str(cell) if f else "" for cell, f in zip(cells, filled, strict=True)]
