"""Reading workbooks (Excel, OpenDocument), where python-calamine is installed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from .errors import Unreadable
from .raw import RawTable, table_of_values
from .unpacking import damaged

WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def excel_table(
    file: Path, data: bytes, *, sheet: str | None = None, limit: int | None = None
) -> RawTable:
    """Return the cells of a sheet of a workbook; its first row that is not empty names the columns.

    Args:
        file: for messages.
        data: its content.
        sheet: its name; None is the first that holds data, which is noted where there are others.
        limit: how much it may take in memory; None is no limit. [bytes]

    Raises:
        Unreadable: if it is damaged or too large, has no such sheet, or python-calamine is not
            installed.
    """
    try:
        import python_calamine as calamine
    except ImportError:
        raise Unreadable(
            f"{str(file)!r}: Excel files need python-calamine: pip install python-calamine (or "
            "'evolvent[excel]'), or save the sheet as CSV"
        ) from None
    check_unpacked(file, data, limit)
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = list(book.sheet_names)
        sheets = {name: book.get_sheet_by_name(name).to_python() for name in names}
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise damaged(file, error) from error
    filled = [name for name in names if sheets[name]]
    if sheet is not None and sheet not in names:
        raise Unreadable(
            f"{str(file)!r} has no sheet {sheet!r}: it has {', '.join(map(repr, names))}"
        )
    chosen = sheet or next(iter(filled), names[0])
    notes = []
    if sheet is None and len(filled) > 1:
        notes.append(
            f"sheet {chosen!r} is read, of {', '.join(map(repr, filled))}: "
            "--set task.sheet=NAME reads another"
        )
    return sheet_table(file, sheets[chosen], chosen, notes)


def sheet_cell(value: Any) -> Any:
    """Return a value of a sheet, where every number is a float, as it is shown: whole ones as such."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None if value == "" else value


def check_unpacked(file: Path, data: bytes, limit: int | None) -> None:
    """Refuse a workbook that unpacks to more than allowed."""
    stream = io.BytesIO(data)
    if limit is None or not zipfile.is_zipfile(stream):
        return
    with zipfile.ZipFile(stream) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > limit:
        raise Unreadable(
            f"{str(file)!r} would take {size / 2**30:,.1f} GiB in memory or more, at most "
            f"{limit / 2**30:,.1f} GiB are allowed: leave rows or columns out"
        )


def sheet_table(file: Path, rows: list[list[Any]], sheet: str, notes: list[str]) -> RawTable:
    """Return the cells of a sheet, without its rows and columns that are empty."""
    rows = [row for row in rows if any(cell != "" for cell in row)]
    if not rows:
        raise Unreadable(f"{str(file)!r}, sheet {sheet!r} is empty: add the data")
    kept = [place for place in range(len(rows[0])) if any(row[place] != "" for row in rows)]
    columns = [
        (
            str(rows[0][place]).strip(),
            [sheet_cell(row[place]) for row in rows[1:]],
        )
        for place in kept
    ]
    return table_of_values(file, columns, notes, {"sheet": sheet})
