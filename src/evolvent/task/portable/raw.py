"""A table as it stands in its file, before anything is decided about its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from .errors import Unreadable

Cells = Sequence[str] | np.ndarray


class RawTable(NamedTuple):
    """The cells of a file.

    Args:
        columns: name -> cells [N]. Where the file holds text (CSV, JSON lines, ARFF) they are texts
            exactly as written. Where it holds types (parquet, feather, Excel) a column of numbers alone
            is an array: whole numbers int64, others float64, NaN where one is missing; durations are
            such numbers. [s] Of any other column the cells are texts: a date or time in ISO's form, a
            truth ``True`` or ``False``, a whole number by its digits. A missing cell is ``""``.
        comma: whether ``1,5`` is a number.
        notes: what a user should know about how it was read, one line each.
        how: how it was read, as plain JSON; `evolvent.task.portable.forms.read_table` takes it as
            ``learnt``, so that a new file is read like this one.
        left: names of the columns that hold lists and the like.
    """

    columns: dict[str, Cells]
    comma: bool
    notes: list[str]
    how: dict[str, Any]
    left: Sequence[str] = ()


def unique_names(header: Sequence[str], notes: list[str]) -> list[str]:
    """Return a name for every column, each another."""
    names: list[str] = []
    taken = set()
    given_names = set(header)
    for place, given in enumerate(header, start=1):
        name = given or f"column {place}"
        count = 1
        while name in taken or (count > 1 and name in given_names):
            count += 1
            name = f"{given or f'column {place}'}.{count}"
        if name != given:
            what = f"the name {given!r} occurs again" if given else "it has no name"
            notes.append(f"column {place} is called {name!r}: {what}")
        names.append(name)
        taken.add(name)
    return names


def as_written(cells: Cells) -> Sequence[str]:
    """Return cells as texts, numbers by their digits."""
    if isinstance(cells, np.ndarray):
        return texts_of_values(cells.tolist()) or []
    return cells


def texts_of_values(values: Iterable[Any]) -> list[str] | None:
    """Return values of a typed file as texts, or None if one of them is a list, bytes or the like."""
    found = []
    for value in values:
        if value is None:
            found.append("")
        elif isinstance(value, str):
            found.append(value)
        elif isinstance(value, bool | int):
            found.append(str(value))
        elif isinstance(value, float):
            found.append(
                "" if value != value else str(int(value)) if value.is_integer() else repr(value)
            )
        elif hasattr(value, "isoformat"):  # a date, a time, or both
            found.append(value.isoformat().replace("T", " "))
        elif hasattr(value, "total_seconds") or hasattr(value, "as_tuple"):  # duration, decimal
            found.append(str(value))
        else:
            return None
    return found


def numbers_of_values(values: Sequence[Any]) -> np.ndarray | None:
    """Return values as an array of numbers [N], or None if one of them is something else.

    Whole numbers alone, none missing, become int64 if they fit; others float64. Durations become their
    seconds.
    """
    if all(value is None or isinstance(value, timedelta) for value in values):
        values = [None if value is None else value.total_seconds() for value in values]
    if any(
        isinstance(value, bool) or not isinstance(value, int | float | None) for value in values
    ):
        return None
    if all(value is None for value in values):
        return None
    whole = all(isinstance(value, int) for value in values)
    try:
        return np.array(values, np.int64 if whole else np.float64)
    except OverflowError:
        return None


def dates_alone(cells: list[str]) -> list[str]:
    """Return dates with times without the times, if all of these are midnight."""
    end = " 00:00:00"
    if any(cells) and all(cell.endswith(end) or not cell for cell in cells):
        return [cell.removesuffix(end) for cell in cells]
    return cells


def table_of_values(
    file: object,
    named: Iterable[tuple[str, Sequence[Any] | np.ndarray]],
    notes: list[str],
    how: dict[str, Any],
) -> RawTable:
    """Return columns of typed values as a table; those that hold lists and the like are left out.

    Args:
        file: the file, for messages.
        named: name and values of each column, or its array.
        notes: what was noted before.
        how: how it was read.

    Raises:
        Unreadable: if it has no rows, or no column that can be used.
    """
    pairs = list(named)
    columns: dict[str, Cells] = {}
    left = []
    rows = 0
    for name, (_, values) in zip(unique_names([n for n, _ in pairs], notes), pairs, strict=True):
        rows = len(values)
        cells: Cells | None
        if isinstance(values, np.ndarray):
            cells = values
        elif (cells := numbers_of_values(values)) is None:
            texts = texts_of_values(values)
            cells = None if texts is None else dates_alone(texts)
        if cells is None:
            notes.append(f"column {name!r} holds neither numbers nor text: it is left out")
            left.append(name)
        else:
            columns[name] = cells
    if not rows or not columns:
        raise Unreadable(f"{str(file)!r} has {rows} rows and {len(columns)} columns: add the data")
    return RawTable(columns, False, notes, how, left)
