"""Tables of a user's data: CSV and parquet files, and data frames, become columns.

CSV is read by `portable.csv_reader` and not with pandas, because the ``predict.py`` of an exported
network, which has no pandas, must read the same file to the same cells. Whatever is wrong with a file
becomes one `DataError` that names the place.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .asked import Asked
from .files import LIMIT, check_memory, existing, reading, some
from .portable.columns import NUMBERS, Column, Wish, as_texts, decide, read_column
from .portable.csv_reader import read_csv, unique_names
from .portable.errors import Unreadable
from .portable.numerals import number

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


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
        about: name -> how a column was read, of those that were read from cells.
        written: name -> the cells of a column of numbers as they are written [N] object.
    """

    source: str
    columns: Mapping[str, np.ndarray]
    note: tuple[str, ...] = ()
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
        return Frame(self.source, columns, self.note, self.about, written)

    def labels(self, name: str) -> np.ndarray:
        """Return a column as labels: exactly as written [N] object where that is known."""
        return self.written.get(name, self.column(name))


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is named like a table."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def missing(column: np.ndarray) -> np.ndarray:
    """Return the mask of the empty cells of a column [N] bool."""
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.fromiter((cell == "" for cell in column), bool, len(column))


def read_frame(
    path: str | os.PathLike[str],
    *,
    limit: int = LIMIT,
    asked: Asked = Asked(),
    written: Sequence[str] | None = None,
    like: Frame | None = None,
) -> Frame:
    """Return the table of a ``.csv``, ``.csv.gz``, ``.tsv`` or ``.parquet`` file.

    The separator of a CSV file is found (comma, semicolon, tab, bar), and so is its encoding (UTF-8
    with or without a byte-order mark, UTF-16 with one, else Windows-1252). What a column holds is
    decided by all of its cells (`portable.columns.decide`).

    Args:
        path: of the file; its first line names the columns.
        limit: how much it may take in memory. [bytes]
        asked: what the user said of the columns.
        written: columns of numbers that are kept as written, too; None keeps all.
        like: a table whose columns say how those of the same name are read.

    Raises:
        DataError: if it is not such a file, or damaged, or too large, or lacks a column that was
            named.
    """
    file = existing(path)
    if not is_table(file):
        raise DataError(f"{str(file)!r} is not a table: give a {' or '.join(SUFFIXES)} file")
    if file.suffix.lower() == ".parquet":
        return _parquet(file, limit, asked, like)
    try:
        with reading(file, "table", "write it anew as CSV"):
            table = read_csv(file, limit=limit)
    except Unreadable as error:
        raise DataError(str(error)) from error
    return frame_of_cells(
        str(file),
        table.columns,
        table.notes,
        comma=table.comma,
        asked=asked,
        written=written,
        like=like,
    )


def frame_of_cells(
    source: str,
    cells: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    *,
    comma: bool = False,
    asked: Asked = Asked(),
    written: Sequence[str] | None = None,
    like: Frame | None = None,
) -> Frame:
    """Return columns of cells, as written, as a `Frame`; see `read_frame` for the arguments.

    Args:
        source: the file, for messages.
        cells: name -> cells [N].
        notes: what is known already.
        comma: whether the form of the file suggests decimal commas.
        asked: what the user said of the columns.
        written: columns of numbers that are kept as written; None keeps all.
        like: a table whose columns say how those of the same name are read.

    Raises:
        DataError: if a column that was named is missing.
    """
    ignored = asked.ignored(source, cells)
    kept = {name: each for name, each in cells.items() if name not in ignored}
    if like is not None:
        return _read_alike(source, kept, list(notes), like)
    found = _decided(kept, asked.wishes(source, cells, comma))
    for name, column in found.items():
        if asked.type_of(name) in ("number", "date") and column.conflict:
            raise DataError(f"{source!r}: {column.conflict}")
    numbers = [name for name in found if found[name].values.dtype.kind == "f"]
    return Frame(
        source,
        {name: column.values for name, column in found.items()},
        (*notes, *(line for column in found.values() for line in column.notes)),
        {name: _about(column) for name, column in found.items()},
        {name: _objects(kept[name]) for name in numbers if written is None or name in written},
    )


def _decided(cells: Mapping[str, Sequence[str]], wishes: Mapping[str, Wish]) -> dict[str, Column]:
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


def _objects(cells: Sequence[str]) -> np.ndarray:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def _read_alike(
    source: str, cells: Mapping[str, Sequence[str]], notes: list[str], like: Frame
) -> Frame:
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
        if columns[name].dtype.kind == "f":
            written[name] = _objects(each)
    return Frame(source, columns, tuple(notes), like.about, written)


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


# ---- parquet and data frames ---------------------------------------------------------------------


def _parquet(file: Path, limit: int, asked: Asked, like: Frame | None) -> Frame:
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
    return frame_of(frame, str(file), asked=asked, like=like)


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
    notes: list[str] = []
    names = unique_names([str(name) for name in data.columns], notes)
    asked.wishes(source, names, False)  # refuses names that are none
    ignored = asked.ignored(source, names)
    numbers: dict[str, np.ndarray] = {}
    cells: dict[str, Sequence[str]] = {}
    truths = []
    for place, name in enumerate(names):
        series = data.iloc[:, place]
        column = None if name in ignored else _plain(series)
        if column is None and name not in ignored:
            notes.append(f"column {name!r} holds neither numbers nor text: it is left out")
        elif isinstance(column, np.ndarray) and not _wanted_as_text(name, asked, like):
            numbers[name] = column
        elif column is not None:
            cells[name] = column if isinstance(column, list) else _as_written(series)
            truths += [name] if _is_truth(series) else []
    if not len(data) or not (numbers or cells):
        raise DataError(
            f"{source!r} has {len(data)} rows and {len(numbers) + len(cells)} columns: add the data"
        )
    made = frame_of_cells(source, cells, notes, asked=asked.within(cells, truths), like=like)
    found = {name: numbers[name] if name in numbers else made.columns.get(name) for name in names}
    columns = {name: _finite(column) for name, column in found.items() if column is not None}
    about = {name: _about_numbers(column) for name, column in numbers.items()}
    return Frame(source, columns, made.note, {**made.about, **about}, made.written)


def _wanted_as_text(name: str, asked: Asked, like: Frame | None) -> bool:
    """Whether a column of numbers is to be read from its printed cells."""
    other = like is not None and name in like.about and like.about[name].form["type"] != "number"
    return other or asked.type_of(name) in ("category", "date")


def _finite(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind != "f":
        return column
    return np.where(np.isfinite(column), column, np.nan)


def _about_numbers(column: np.ndarray) -> About:
    unknown, infinite = int(np.isnan(column).sum()), np.flatnonzero(np.isinf(column)).tolist()
    gaps = {"": unknown} if unknown else {}
    return About(NUMBERS, gaps | ({"infinite": len(infinite)} if infinite else {}), infinite)


_NUMBERS = (int, float, np.number, Decimal)
_EXACT = 2**53  # up to which a float holds every whole number


def _plain(series: Any) -> np.ndarray | list[str] | None:
    """Return a column of pandas as numbers [N], or as cells, or None if it is neither."""
    import pandas as pd

    kinds = pd.api.types
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if kinds.is_timedelta64_dtype(series.dtype):
        return np.asarray(series.dt.total_seconds().to_numpy(dtype=np.float64))
    if kinds.is_numeric_dtype(series.dtype) and not kinds.is_bool_dtype(series.dtype):
        if kinds.is_complex_dtype(series.dtype):
            return None
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        large = (
            kinds.is_integer_dtype(series.dtype) and np.nanmax(np.abs(values), initial=0) > _EXACT
        )
        return _as_written(series) if large else values
    filled = series.notna().to_numpy()
    cells = series.to_numpy(dtype=object)
    kept = str | bool | np.bool_ | date | time
    if kinds.is_datetime64_any_dtype(series.dtype):
        return _as_written(series)
    if all(isinstance(c, _NUMBERS) and not isinstance(c, kept) for c in cells[filled]):
        return np.array([float(c) if f else np.nan for c, f in zip(cells, filled, strict=True)])
    if not all(isinstance(cell, kept | int | float) for cell in cells[filled]):
        return None
    return _as_written(series)


def _is_truth(series: Any) -> bool:
    """Whether a column of pandas holds truth values."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(series.dtype)


def _as_written(series: Any) -> list[str]:
    """Return the cells of a column of pandas as they are printed, ``""`` where one is missing."""
    import pandas as pd

    filled = series.notna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        series = series.astype(str)
    cells = series.to_numpy(dtype=object)
    return [str(cell) if f else "" for cell, f in zip(cells, filled, strict=True)]
