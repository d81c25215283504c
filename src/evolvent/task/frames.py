"""Tables of a user's data: CSV and parquet files, and data frames, become columns.

CSV is read with the standard library and not with pandas, because the ``predict.py`` of an exported
network, which has no pandas, must read the same cells from the same file. Any error in a file becomes
one `DataError` that names the place.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .files import LIMIT, check_memory, existing, reading, some

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MISSING = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "NaT"})
NO_NUMBER = MISSING | {"None", "none", "-"}  # in a column of numbers these are missing, too
SEPARATORS = (",", ";", "\t", "|")
MOSTLY = 0.95  # share of numbers in the filled cells from which on a column holds numbers,
MANY = 20  # if it has more than this many distinct numbers
MOST_CELLS = 100_000_000  # of one table [count]
_CHUNK = 2**24  # read at a time [bytes]
_LONGEST_CELL = 2**24  # [characters]
_SAMPLE = 30  # rows from which the separator is found


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
    with reading(file, "table", "write it anew as CSV", csv.Error):
        text, notes = _decoded(file, _content(file, limit))
        return _csv(str(file), text, notes)


# ---- CSV -----------------------------------------------------------------------------------------


def _content(file: Path, limit: int) -> bytes:
    """Return the bytes of a file, unpacked, never more than allowed."""
    if not file.is_file():
        raise OSError("it is not a regular file")
    blocks: list[bytes] = []
    taken = 0
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
        while block := stream.read(_CHUNK):
            taken += len(block)
            check_memory(file, 10 * taken, limit)  # a cell takes about ten times its text
            blocks.append(block)
    return b"".join(blocks)


def _decoded(file: Path, data: bytes) -> tuple[str, list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16"), []
    if b"\x00" in data:
        raise DataError(f"{str(file)!r} holds zero bytes, so it is no text: write it anew as CSV")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        note = f"{file.name} is not UTF-8: it was read as Windows-1252"
        return data.decode("cp1252", errors="replace"), [note]


def _csv(source: str, text: str, notes: list[str]) -> Frame:
    separator = _separator(text)
    rows = _rows(source, text, separator)
    try:
        _, header = next(rows)
    except StopIteration:
        raise DataError(f"{source!r} is empty: its first line must name the columns") from None
    cells = [row for _, row in _complete(source, rows, len(header))]
    if not cells:
        raise DataError(f"{source!r} has a header and no rows: add the data")
    names = _named(source, header, notes)
    texts = zip(*cells, strict=True)
    comma = separator == ";"
    columns = {
        name: typed(name, column, notes, comma=comma)
        for name, column in zip(names, texts, strict=True)
    }
    return Frame(source, columns, tuple(notes))


def _separator(text: str) -> str:
    """Return the separator that gives most rows the same number of cells, above one."""
    best, found = (0.0, 1), ","
    for separator in SEPARATORS:
        counts: list[int] = []
        try:
            for row in csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator):
                if row:
                    counts.append(len(row))
                if len(counts) == _SAMPLE:
                    break
        except csv.Error:
            pass
        if counts and counts[0] > 1:
            rank = (counts.count(counts[0]) / len(counts), counts[0])
            if rank > best:
                best, found = rank, separator
    return found


def _rows(source: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not empty."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        taken = 0
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{source!r}, line {reader.line_num}: {error}: a text with quotes is written as "
                    '"so ""quoted"" here"'
                ) from error
            taken += len(row)
            if taken > MOST_CELLS:
                raise DataError(
                    f"{source!r} has more than {MOST_CELLS:,} cells: leave rows or columns out"
                )
            if row:
                yield reader.line_num, [cell.strip() for cell in row]
    finally:
        csv.field_size_limit(before)


def _complete(
    source: str, rows: Iterable[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield rows of `width` cells; empty cells beyond them are left out."""
    for line, row in rows:
        if len(row) > width and not any(row[width:]):
            row = row[:width]
        if len(row) != width:
            raise DataError(
                f"{source!r}, line {line}: {len(row)} cells, the header has {width}: complete the row, "
                "or quote the text that holds a separator"
            )
        yield line, row


def _named(source: str, header: Sequence[str], notes: list[str]) -> list[str]:
    """Return a distinct name for every column."""
    names: list[str] = []
    for place, given in enumerate(header, start=1):
        name = given or f"column {place}"
        count = 1
        while name in names or (count > 1 and name in header):
            count += 1
            name = f"{given or f'column {place}'}.{count}"
        if name != given:
            what = f"the name {given!r} occurs again" if given else "it has no name"
            notes.append(f"column {place} is called {name!r}: {what}")
        names.append(name)
    return names


def _no_header(names: Sequence[str]) -> str:
    if all(number(name) is not None for name in names):
        return "; its first line holds numbers only, and should name the columns"
    return ""


# ---- cells ---------------------------------------------------------------------------------------


def number(cell: str, *, comma: bool = False) -> float | None:
    """Return the number in a cell, or None; an infinite one becomes NaN, which means missing.

    Args:
        cell: without blanks around it.
        comma: whether ``1,5`` is a number.
    """
    if comma and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")
    if "_" in cell:  # Python takes 1_000 for a number, nobody else does
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else math.nan


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
    text = np.empty(len(cells), object)
    text[:] = ["" if cell in MISSING else cell for cell in cells]
    return text


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
    names = _named(source, [str(name) for name in data.columns], notes)
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
