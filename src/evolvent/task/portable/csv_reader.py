"""Reading a CSV file: from its text to columns of cells."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .encodings import decoded
from .errors import Unreadable
from .numerals import number
from .raw import RawTable, unique_names

SEPARATORS = (",", ";", "\t", "|")
SPACE = " "  # one or more between cells
TEXTS = (".txt", ".dat", ".data")  # may have blanks between cells
TABBED = (".tsv", ".tab")
MOST_CELLS = 100_000_000  # of one table [count]
LONGEST_CELL = 2**24  # [characters]
SAMPLE_ROWS = 30  # by which the separator is told
SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\r\n])"?[ \t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)  # Excel's
COMMENT = re.compile(r"\s*(#|%|//)([^\r\n]*)(?:\r\n|\r|\n|$)")


def csv_table(
    file: Path,
    name: str,
    data: bytes,
    *,
    encoding: str | None = None,
    learnt: Mapping[str, Any] | None = None,
) -> RawTable:
    """Return the cells of a CSV file; its first line names the columns.

    The separator is found (comma, semicolon, tab, bar, in a ``.txt`` also blanks), or said by a first
    line ``sep=;``, as Excel writes it. Lines above the header that begin with ``#``, ``%`` or ``//``
    are comments and left out, which is noted. Where the header has blanks around its cells, those
    around all others are taken away, too.

    Args:
        file: for messages.
        name: of the file without a packing, in lower case: its suffix tells what separates most often.
        data: its content.
        encoding: of its text; None finds it (`evolvent.task.portable.encodings.decoded`).
        learnt: `RawTable.how` of the file before this one.

    Raises:
        Unreadable: if it is no text, or has no rows or rows of unequal length.
    """
    notes: list[str] = []
    learnt = learnt or {}
    known = encoding or (learnt.get("encoding") if learnt.get("said") else None)
    text, found = decoded(file, data, notes, encoding=known, learnt=learnt.get("encoding"))
    separator = None
    if line := SEPARATOR_LINE.match(text):
        text, separator = text[line.end() :], line[1]
    hint = learnt.get("separator") or ("\t" if name.endswith(TABBED) else None)
    blanks = name.endswith((*TEXTS, *TABBED))
    text = without_comments(text, notes, separator, hint, blanks=blanks)
    separator = separator or separator_of(text, hint, blanks=blanks)
    lines = rows_of(file, text, separator)
    _, header = next(lines, (0, None))
    if header is None:
        raise Unreadable(f"{str(file)!r} is empty: its first line must name the columns")
    padded = any(cell != cell.strip() for cell in header)  # blanks about the separators
    first = next(lines, None)
    if first is None:
        raise Unreadable(f"{str(file)!r} has a header and no rows: add the data")
    if separator in (SPACE, "\t") and len(first[1]) == len(header) + 1 and first[1][-1]:
        header = ["", *header]  # as R writes the names of rows
    rows = list(complete(file, itertools.chain([first], lines), len(header)))
    if padded:
        header, *rows = ([cell.strip() for cell in row] for row in (header, *rows))
    columns = zip(*rows, strict=True)
    names = unique_names(header, notes)
    how = {"encoding": found, "separator": separator} | ({"said": True} if known else {})
    return RawTable(dict(zip(names, columns, strict=True)), separator == ";", notes, how)


# ---- above the rows ------------------------------------------------------------------------------


def without_comments(
    text: str, notes: list[str], separator: str | None, hint: str | None, *, blanks: bool
) -> str:
    """Return a text without the comments above its header.

    The last of them is the header if it has as many cells as the line below it, and that line holds
    data: a number, or a cell that occurs again in its column.
    """
    comments, at = [], 0
    while line := COMMENT.match(text, at):
        comments.append(line)
        at = line.end()
    rest = text[at:]
    if not comments or not rest.strip():
        return text
    used = separator or separator_of(rest, hint, blanks=blanks)
    below = sample_rows(rest, used)
    if holds_data(below):
        for header in (comments[-1][0].strip(), comments[-1][2].strip()):
            top = sample_rows(header, used)
            if top and len(top[0]) == len(below[0]) > 1:
                rest = f"{header}\n{rest}"
                comments.pop()
                break
    if comments:
        lines = "1 comment line" if len(comments) == 1 else f"{len(comments)} comment lines"
        notes.append(f"{lines} above the header left out: {comments[0][0].strip()[:60]!r}")
    return rest


def holds_data(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some rows holds data, and no names: a number, or what occurs below it."""
    if not rows:
        return False
    if any(number(cell.strip(), comma=True) is not None for cell in rows[0]):
        return True
    return any(
        cell in {row[place] for row in rows[1:] if place < len(row)}
        for place, cell in enumerate(rows[0])
    )


def sample_rows(text: str, separator: str) -> list[list[str]]:
    """Return the first rows of a text that are not empty, as far as they can be read."""
    rows = []
    with contextlib.suppress(csv.Error):
        for row in reader_of(text[:100_000], separator):
            if row:
                rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    return rows


def separator_of(text: str, hint: str | None = None, *, blanks: bool = False) -> str:
    """Return the separator that gives most rows the same number of cells, above one.

    Args:
        text: whose first line is the header.
        hint: what is taken if it gives all rows the same number.
        blanks: whether blanks may separate, if nothing else does.
    """
    best, found = (0.0, 1), ","
    order = [hint] if hint else []
    order += [each for each in SEPARATORS if each != hint]
    order += [SPACE] if blanks and hint != SPACE else []
    for separator in order:
        if separator == SPACE != hint and best[0] > 0:
            break
        counts = [len(row) for row in sample_rows(text, separator)]
        if not counts or counts[0] < 2:
            continue
        # R leaves the name of the column of row names out.
        named = separator in (SPACE, "\t") and counts[1:] == [counts[0] + 1] * (len(counts) - 1)
        agreed = 1.0 if named else counts.count(counts[0]) / len(counts)
        if separator == hint and agreed == 1:
            return separator
        if (agreed, counts[0]) > best:
            best, found = (agreed, counts[0]), separator
    return found


# ---- rows ----------------------------------------------------------------------------------------


def reader_of(text: str, separator: str, *, strict: bool = False) -> Any:
    """Return a reader of the rows of a text."""
    if separator == SPACE:
        lines = (f"{line.strip()}\n" for line in io.StringIO(text, newline=None))
        return csv.reader(lines, delimiter=SPACE, skipinitialspace=True, strict=strict)
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)


def rows_of(file: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not empty."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        reader = reader_of(text, separator, strict=True)
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
