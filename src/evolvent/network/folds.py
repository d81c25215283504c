"""Cross-validation: the rows of a small set in folds, each of which is held out once.

One small validation part says little: of 33 rows, two more or less are six percentage points. Repeated
folds let every row judge, at the price of as many trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..task import Task, strata
from ..types import stream


@dataclass(frozen=True)
class Fold:
    """One division of the rows.

    Args:
        training: rows to learn from, in order. [count of rows]
        held_out: rows to score on, in order.
    """

    training: np.ndarray
    held_out: np.ndarray


def folds_of(task: Task, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Return the folds of the training and validation rows together, `folds` for every repeat.

    Classes are spread evenly over the folds, of labels the rarest of each row. The sizes
    of two folds differ by one row at most.

    Args:
        task: the data; its test part is not touched.
        folds: per repeat. [count, >= 2]
        repeats: with another order of the rows. [count, >= 1]
        seed: of the orders.
    """
    y = np.concatenate([task.train.y, task.validation.y])
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng(stream(seed, "folds", repeat).getrandbits(63))
        order = rng.permutation(len(y))
        if task.classes or task.labels:
            alike = strata(y) if task.labels else y
            order = order[np.argsort(alike[order], kind="stable")]
        fold = np.empty(len(y), np.int64)
        fold[order] = np.arange(len(y)) % folds  # neighbours, of one class, go to different folds
        for place in range(folds):
            held = fold == place
            found.append(Fold(np.flatnonzero(~held), np.flatnonzero(held)))
    return found


def standard_error(scores: Sequence[float], folds: int) -> float:
    """Return the standard error of a mean over folds; repeats see the same rows and do not lower it.

    Args:
        scores: of the folds, repeat by repeat. [count of trainings]
        folds: per repeat. [count]
    """
    return float(np.std(scores, ddof=1) / folds**0.5) if len(scores) > 1 else 0.0
