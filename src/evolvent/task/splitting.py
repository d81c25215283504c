"""Rows become a training, a validation and a test part, once, from the task's seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import DataError
from .division import INDEPENDENT, Division, repeated
from .files import some
from .labels import class_indices, note_imbalance, written_indices
from .portable.numerals import number

TEST_SHARE = 0.15  # of the rows, where no test part is given
LEAST = 10  # rows that are worth a split [count]

Parts = dict[str, np.ndarray]


def three_parts(
    y: np.ndarray,
    *,
    classes: bool,
    seed: int,
    validation: float | None,
    fraction: float,
    test: bool,
    division: Division = INDEPENDENT,
    rows: np.ndarray | None = None,
) -> Parts:
    """Return part -> sorted row numbers, of ``training`` and those that are split off.

    The test part is the same for every seed, so that no search ever trains on another one's test
    examples, and the validation part does not depend on `fraction`.

    Args:
        y: classes [N] int64, every class split by the same share; or quantities [N].
        classes: whether they are classes; one with too few rows stays whole in the training part.
        seed: of the split between training and validation.
        validation: share of the rows that are not test; None splits none off. (0..0.5]
        fraction: share of the training part to keep. (0..1]
        test: whether to split a test part off.
        division: what may be apart, of all rows.
        rows: that are divided; None is all.

    Raises:
        DataError: if there are too few rows.
    """
    rest, parts = np.arange(len(y)) if rows is None else rows, {}
    if len(rest) < LEAST:
        raise DataError(f"{len(rest)} rows with a target, at least {LEAST} are needed: add data")
    if test:
        rest, parts["test"] = division.cut(y, rest, TEST_SHARE, 0, classes=classes)
    if validation is not None:
        rest, parts["validation"] = division.cut(y, rest, validation, seed, classes=classes)
    return {"training": thinned(y, rest, fraction, seed, classes), **parts}


def thinned(
    y: np.ndarray, rows: np.ndarray, fraction: float, seed: int, classes: bool
) -> np.ndarray:
    """Return a share of the training rows, for proxies; a class with a single row keeps it.

    Args:
        y: of all rows [N].
        rows: to choose from.
        fraction: to keep. (0..1]
        seed: of the choice.
        classes: whether `y` are classes.
    """
    if fraction == 1:
        return rows
    alone = rows[~repeated(y[rows])] if classes else rows[:0]
    return np.union1d(INDEPENDENT.cut(y, rows, fraction, seed, classes=classes)[1], alone)


def classes_of(
    given: Mapping[str, np.ndarray], notes: list[str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return part -> its classes as indices [N], and their names.

    Args:
        given: ``training``, and parts that have a file of their own -> labels [N], numbers or text;
            text comes back as it is written.
        notes: gets a line about classes with a single row, uneven ones, and labels hardly told apart.

    Raises:
        DataError: if there is one class only, or a class occurs in another file alone.
    """
    if all(column.dtype.kind == "O" for column in given.values()):
        found, names = written_indices(given)
        _note_equal_numbers(names, notes)
    else:
        found, values = class_indices({part: _labels(y) for part, y in given.items()})
        names = tuple(str(value) for value in values.tolist())
    if len(names) < 2:
        raise DataError(f"there is one class only, {names[0]!r}: at least 2 are needed")
    note_counts(found["training"], names, notes)
    return found, names


def note_counts(y: np.ndarray, names: Sequence[str], notes: list[str]) -> None:
    """Note classes with a single row, and uneven ones.

    Args:
        y: classes [N] int64.
        names: of the classes.
        notes: gets the lines.
    """
    counts = np.bincount(y, minlength=len(names))
    rare = [names[index] for index in np.flatnonzero(counts == 1).tolist()]
    if rare:
        notes.append(
            f"classes with a single row are learnt and never scored: {some(rare)}; leave them out or "
            "add rows"
        )
    note_imbalance(y, names, notes)


def _note_equal_numbers(names: Sequence[str], notes: list[str]) -> None:
    """Tell labels that are different texts and the same number, such as 1 and 1.0, or blanks apart."""
    for same, what in ((number, "the same number"), (str.strip, "equal but for blanks")):
        found: dict[object, str] = {}
        for name in names:
            key = same(name)
            other = name if key is None or key != key else found.setdefault(key, name)
            if other != name:
                notes.append(
                    f"the labels {other!r} and {name!r} are {what}: they are two classes, as they are "
                    "written; make them alike if they are one"
                )
                break


def _labels(column: np.ndarray) -> np.ndarray:
    """Return labels that `class_indices` takes: whole numbers stay numbers, all else is text."""
    whole = column.dtype.kind == "f" and np.abs(column).max() < 2**53
    if column.dtype.kind == "f" and not (whole and np.array_equal(column, np.round(column))):
        return np.array([repr(float(value)) for value in column])
    return column.astype(str) if column.dtype.kind == "O" else column
