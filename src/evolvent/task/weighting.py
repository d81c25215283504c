"""Weights of rows: a column of the user's table says how much each row counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..errors import DataError
from . import Task
from .frames import Frame, missing
from .portable.numerals import number

RULE = "weights are numbers of at least 0, which leaves a row out of the loss"


def taken_out(frame: Frame, column: str | None) -> tuple[Frame, np.ndarray | None]:
    """Return the table without its column of weights, and these [N] float64; None without a column.

    Raises:
        DataError: if there is no such column, or it holds anything but numbers of at least 0.
    """
    if column is None:
        return frame, None
    cells = frame.column(column)
    where = f"{frame.source!r}: the weights {column!r}"
    if cells.dtype.kind != "f":
        rows = [row for row, cell in enumerate(cells.tolist()) if number(cell) is None]
        row = rows[0] if rows else 0
        raise DataError(f"{where} hold {str(cells[row])[:40]!r} in data row {row + 1}: {RULE}")
    empty = missing(cells)
    if empty.any():
        raise DataError(
            f"{where} are empty in data row {int(np.flatnonzero(empty)[0]) + 1}: {RULE}, and every row "
            "with a target needs one"
        )
    return without(frame, column), checked(cells, where)


def without(frame: Frame, column: str) -> Frame:
    """Return the table without a column."""
    kept = {name: cells for name, cells in frame.columns.items() if name != column}
    return replace(frame, columns=kept)


def taken_out_of_all(
    frame: Frame, others: Mapping[str, Frame], column: str | None, notes: list[str]
) -> tuple[Frame, dict[str, Frame], np.ndarray | None]:
    """Return a table and others without the column of weights, and the weights of all their rows.

    Args:
        frame: the table of the training rows.
        others: part -> a table of its own; without the column its rows weigh what those of `frame`
            weigh on average.
        column: their name, or None.
        notes: gets a line for a table without the column.

    Returns:
        The weights [N] float64 of the rows of `frame`, and then of the others in their order.
    """
    frame, weights = taken_out(frame, column)
    if column is None or weights is None:
        return frame, dict(others), None
    found, tables = [weights], {}
    for part, table in others.items():
        if column in table.columns:
            tables[part], own = taken_out(table, column)
        else:
            notes.append(f"{table.source!r} has no column {column!r}: its rows weigh the same")
            tables[part], own = table, np.full(len(table), weights.mean())
        assert own is not None
        found.append(own)
    return frame, tables, np.concatenate(found)


def checked(weights: np.ndarray, where: str) -> np.ndarray:
    """Return weights [N] as float64.

    Args:
        weights: of the rows [N].
        where: what they are, for messages.

    Raises:
        DataError: if one is negative or no finite number, or none is above 0.
    """
    try:
        found = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {RULE} ({error})") from error
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{where} are {found[row]:g} in data row {row + 1}: {RULE}")
    if not (found > 0).any():
        raise DataError(f"{where} are zero in every row: nothing would be learnt")
    return found


def weighted(task: Task, weights: Mapping[str, np.ndarray], column: str) -> Task:
    """Return a task whose rows have weights; those of the training part get the mean 1.

    Args:
        task: with its data.
        weights: part -> weights of its rows [N], of ``training``, ``validation`` and maybe ``test``.
        column: their name, for messages and for the note.

    Raises:
        DataError: if all weights of a part are 0.
    """
    for part, values in weights.items():
        if not (values > 0).any():
            raise DataError(
                f"the weights {column!r} are zero in every row of the {part} part: nothing could be "
                "learnt or judged there; give more rows a weight"
            )
    mean = float(weights["training"].mean())
    scaled = {part: values / mean for part, values in weights.items()}
    train = task.train.weighing(scaled["training"])
    validation = task.validation.weighing(scaled["validation"])
    read = task.test
    if read is not None and "test" in scaled:
        read = read.weighing(scaled["test"])
    effective = train.effective
    note = (
        f"rows are weighted by {column!r}: the {len(task.train):,} training rows tell as much as "
        f"{effective:,.0f} of equal weight"
    )
    whole = (*task.note, note)
    return replace(task, train=train, validation=validation, test=read, note=whole)
