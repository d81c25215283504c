"""Reading a CSV file: from its bytes to columns of text."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .errors import Unreadable

SEPARATORS = (",", ";", "\t", "|")
MOST_CELLS = 100_000_000  # of one table [count]
CHUNK = 2**24  # read at a time [bytes]
LONGEST_CELL = 2**24  # [characters]
SAMPLE_ROWS = 30  # by which the separator is told
CELL_COST = 10  # times its text: what a cell takes in memory, about


class TextTable(NamedTuple):
    """The cells of a CSV file, without the blanks around them where the header has such, too.

    Args:
        columns: name -> cells [N], as they stand in the file.
        comma: whether ``1,5`` is a number.
        notes: what a user should know about how it was read, one line each.
    """

    columns: dict[str, Sequence[str]]
    comma: bool
    notes: list[str]


def read_csv(file: Path, *, limit: int | None = None) -> TextTable:
    """Return the cells of a CSV file, plain or gzipped (``.gz``); its first line names the columns.

    The separator is found (comma, semicolon, tab, bar), and so is the encoding (UTF-8 with or without
    a byte-order mark, UTF-16 with one, else Windows-1252).

    Args:
        file: to read.
        limit: how much it may take in memory; None is no limit. [bytes]

    Raises:
        Unreadable: if it is damaged, too large, or has no rows or rows of unequal length.
        OSError: if it cannot be opened.
    """
    notes: list[str] = []
    text = decoded(file, content(file, limit), notes)
    separator = separator_of(text)
    lines = rows_of(file, text, separator)
    _, header = next(lines, (0, None))
    if header is None:
        raise Unreadable(f"{str(file)!r} is empty: its first line must name the columns")
    padded = any(cell != cell.strip() for cell in header)  # blanks about the separators
    rows = list(complete(file, lines, len(header)))
    if padded:
        header, *rows = ([cell.strip() for cell in row] for row in (header, *rows))
    if not rows:
        raise Unreadable(f"{str(file)!r} has a header and no rows: add the data")
    columns = zip(*rows, strict=True)
    names = unique_names(header, notes)
    return TextTable(dict(zip(names, columns, strict=True)), separator == ";", notes)


def content(file: Path, limit: int | None) -> bytes:
    """Return the bytes of a file, unpacked, never more than allowed."""
    blocks: list[bytes] = []
    size = 0
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            while block := stream.read(CHUNK):
                size += len(block)
                if limit is not None and CELL_COST * size > limit:
                    raise Unreadable(
                        f"{str(file)!r} would take {CELL_COST * size / 2**30:,.1f} GiB in memory or "
                        f"more, at most {limit / 2**30:,.1f} GiB are allowed: leave rows or columns out"
                    )
                blocks.append(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(file, error) from error
    return b"".join(blocks)


def decoded(file: Path, data: bytes, notes: list[str]) -> str:
    """Return the text of a file: UTF-8, UTF-16 with a byte-order mark, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise damaged(file, error) from error
    if b"\x00" in data:
        raise Unreadable(f"{str(file)!r} holds zero bytes, so it is no text: write it anew as CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append(f"{file.name} is not UTF-8: it was read as Windows-1252")
        return data.decode("cp1252", errors="replace")


def damaged(file: Path, error: Exception) -> Unreadable:
    """Return the error for a file whose bytes are not what they should be."""
    return Unreadable(f"{str(file)!r} is not a readable table ({error}): write it anew as CSV")


def separator_of(text: str) -> str:
    """Return what separates cells: what gives most rows the same number of cells, above one."""
    best, found = (0.0, 1), ","
    for separator in SEPARATORS:
        counts: list[int] = []
        try:
            for row in csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator):
                if row:
                    counts.append(len(row))
                if len(counts) == SAMPLE_ROWS:
                    break
        except csv.Error:
            pass
        if counts and counts[0] > 1:
            rank = (counts.count(counts[0]) / len(counts), counts[0])
            if rank > best:
                best, found = rank, separator
    return found


def rows_of(file: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not empty."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        taken = 0
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise Unreadable(
                    f"{str(file)!r}, line {reader.line_num}: {error}: a text with quotes is written "
                    'as "so ""quoted"" here"'
                ) from error
            taken += len(row)
            if taken > MOST_CELLS:
                raise Unreadable(
                    f"{str(file)!r} has more than {MOST_CELLS:,} cells: leave rows or columns out"
                )
            if row:
                yield reader.line_num, row
    finally:
        csv.field_size_limit(before)


def complete(file: Path, rows: Iterable[tuple[int, list[str]]], width: int) -> Iterator[list[str]]:
    """Yield rows of `width` cells; empty cells behind them are left out."""
    for line, row in rows:
        if len(row) > width and not any(map(str.strip, row[width:])):
            row = row[:width]
        if len(row) != width:
            raise Unreadable(
                f"{str(file)!r}, line {line}: {len(row)} cells, the header has {width}: complete the "
                "row, or quote the text that holds a separator"
            )
        yield row


def unique_names(header: Sequence[str], notes: list[str]) -> list[str]:
    """Return a name for every column, each another."""
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
