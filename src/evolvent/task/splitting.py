"""Rows become a training, a validation and a test part, once, from the task's seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from . import stratified
from .files import some
from .labels import class_indices, note_imbalance, written_indices
from .portable.numerals import number

TEST_SHARE = 0.15  # of the rows, where no test part is given
LEAST = 10  # rows that are worth a split [count]

Parts = dict[str, np.ndarray]


def three_parts(
    y: np.ndarray, *, classes: bool, seed: int, validation: float, fraction: float, test: bool
) -> Parts:
    """Return part -> sorted row numbers, of ``training``, ``validation`` and, if asked for, ``test``.

    The test part is the same for every seed, so that no search ever trains on another one's test
    examples, and the validation part does not depend on `fraction`.

    Args:
        y: classes [N] int64, every class split by the same share; or quantities [N].
        classes: whether they are classes; one with too few rows stays whole in the training part.
        seed: of the split between training and validation.
        validation: share of the rows that are not test. (0..0.5]
        fraction: share of the training part to keep. (0..1]
        test: whether to split a test part off.

    Raises:
        DataError: if there are too few rows.
    """
    if len(y) < LEAST:
        raise DataError(f"{len(y)} rows with a target, at least {LEAST} are needed: add data")
    rest, parts = np.arange(len(y)), {}
    if test:
        rest, parts["test"] = _divided(y, rest, TEST_SHARE, 0, classes)
    rest, parts["validation"] = _divided(y, rest, validation, seed, classes)
    if fraction < 1:
        alone = rest[~_repeated(y[rest])] if classes else rest[:0]
        rest = np.union1d(_divided(y, rest, fraction, seed, classes)[1], alone)
    return {"training": rest, **parts}


def _divided(
    y: np.ndarray, rows: np.ndarray, share: float, seed: int, classes: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rest, chosen), both out of `rows`."""
    if classes:
        many = rows[_repeated(y[rows])]
        if not len(many):
            raise DataError(
                "no class has two rows left to split: with a target of numbers, it is a quantity "
                "(--kind regression)"
            )
        chosen = many[stratified(y[many], share, seed)[1]]
    else:
        take = min(len(rows) - 1, max(1, round(len(rows) * share)))
        chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:take])
    return np.setdiff1d(rows, chosen), chosen


def _repeated(y: np.ndarray) -> np.ndarray:
    """Return the mask of the examples with a class that occurs more than once [N] bool."""
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] > 1)


def classes_of(
    training: np.ndarray, test: np.ndarray | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Return the classes of both as indices [N], and their names.

    Args:
        training: labels [N] of the file, numbers or text; text comes back as it is written.
        test: labels of the test file, or None.
        notes: gets a line about classes with a single row, uneven ones, and labels hardly told apart.

    Raises:
        DataError: if there is one class only, or a class occurs in the test file alone.
    """
    given = {"training": training} | ({} if test is None else {"test": test})
    if all(column.dtype.kind == "O" for column in given.values()):
        found, names = written_indices(given)
        _note_equal_numbers(names, notes)
    else:
        found, values = class_indices({part: _labels(y) for part, y in given.items()})
        names = tuple(str(value) for value in values.tolist())
    if len(names) < 2:
        raise DataError(f"there is one class only, {names[0]!r}: at least 2 are needed")
    note_counts(found["training"], names, notes)
    return found["training"], found.get("test"), names


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
