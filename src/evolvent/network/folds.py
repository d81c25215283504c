"""Cross-validation: the rows of a small set in folds, each of which is held out once.

One small validation part says little: of 33 rows, two more or less are six percentage points. Repeated
folds let every row judge, at the price of as many trainings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..task import Task
from ..task.division import Fold


def folds_of(task: Task, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Return the folds of the training and validation rows together, repeat by repeat.

    What may be apart, and in how many ways, the task's `Division` says.

    Args:
        task: the data; its test part is not touched.
        folds: per repeat. [count, >= 2]
        repeats: with another order of the rows. [count, >= 1]
        seed: of the orders.
    """
    y = np.concatenate([task.train.y, task.validation.y])
    y = task.alike(np.concatenate([task.train.y, task.validation.y]))
    return task.division.folds(y, folds, repeats, seed, classes=task.spread)


def standard_error(scores: Sequence[float], folds: int) -> float:
    """Return the standard error of a mean over folds; repeats see the same rows and do not lower it.

    Args:
        scores: of the folds, repeat by repeat. [count of trainings]
        folds: per repeat. [count]
    """
    return float(np.std(scores, ddof=1) / folds**0.5) if len(scores) > 1 else 0.0
