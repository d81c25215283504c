"""The rows that are looked at: few of every value, in three parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..task.division import INDEPENDENT, Division
from ..task.frames import Frame
from ..task.numbers import inputs, learnt
from ..task.portable.features import tokens_at

ROWS, EACH, AT_LEAST = 512, 12, 300  # rows in all, of one value, and of all where values are few


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in three parts: to train, to choose by, to judge by.

    Args:
        x: inputs [N, F] float32.
        place: of the row's value among `values` [N].
        values: that occur in these rows, ascending [K]; standardised by the training rows.
        share: frequency of every value in the training rows, none of them 0 [K].
        part: 0, 1 or 2 [N].
    """

    x: np.ndarray
    place: np.ndarray
    values: np.ndarray
    share: np.ndarray
    part: np.ndarray


def chosen_rows(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of rows: some values at random, and at most so many rows of each."""
    values, place = np.unique(y, return_inverse=True)
    most = max(EACH, AT_LEAST // len(values))
    found: list[np.ndarray] = []
    for value in rng.permutation(len(values)):
        found.append(rng.permutation(np.flatnonzero(place == value))[:most])
        if sum(map(len, found)) >= ROWS:
            break
    return np.concatenate(found)


def drawn(
    frame: Frame, target: str, rng: np.random.Generator, division: Division = INDEPENDENT
) -> Rows:
    """Return rows of a table, of every value about as many in each of the three parts.

    Args:
        frame: the table; `target` is a column of numbers.
        target: the column to tell.
        rng: chooses rows and parts.
        division: what may be apart, of all rows.

    Raises:
        DataError: if it does not allow three parts.
    """
    index = chosen_rows(frame.column(target), rng)
    some = frame.rows(index)
    y = some.column(target)
    values, place = np.unique(y, return_inverse=True)
    part = _parts(place, rng) if division.is_free else _bound_parts(y, rng, division.taken(index))
    own = part == 0
    reading = learnt(some.rows(own), target, [])
    x = inputs(some, reading)
    for tokens in reversed(tokens_at(reading)):  # of texts their length is enough here
        x = np.delete(x, tokens, axis=1)
    mean, unit = y[own].mean(), y[own].std() or 1.0
    return Rows(x, place, (values - mean) / unit, frequencies(place[own], len(values)), part)


def _parts(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the part of every row [N]: of the rows of one value about as many in each."""
    order = np.lexsort((rng.random(len(place)), place))
    part = np.empty(len(place), np.int64)
    for start in range(0, len(place), 3):  # of three neighbours one goes to each part
        rows = order[start : start + 3]
        part[rows] = rng.permutation(3)[: len(rows)]
    return part


def _bound_parts(y: np.ndarray, rng: np.random.Generator, division: Division) -> np.ndarray:
    """Return the part of every row [N]: whole groups, or one time after another."""
    part, rest = np.zeros(len(y), np.int64), np.arange(len(y))
    for place, share in ((2, 1 / 3), (1, 1 / 2)):
        seed = int(rng.integers(2**31))
        rest, chosen = division.cut(y, rest, share, seed, classes=False)
        part[chosen] = place
    return part


def frequencies(place: np.ndarray, count: int) -> np.ndarray:
    """Return the probability of every value by its frequency [count], none of them 0.

    Values that never occurred share what Good & Turing (1953) expect of them, the share of the rows
    whose value occurred once; so where all values differ, all are equally probable.
    """
    counts = np.bincount(place, minlength=count)
    new = max((counts == 1).sum(), 1) / len(place)
    return np.asarray((1 - new) * counts / len(place) + new / count)
