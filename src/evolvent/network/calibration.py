"""The temperature of a network's probabilities, found on rows that it did not learn from.

Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks" (2017), section 4.2: logits
are divided by one number that minimises the loss of held-out rows. No class changes. Networks with
label smoothing claim too little, those that know small data by heart too much.

What differs: targets are as little certain as a few rows allow (Platt 1999), so that rows that are all
right do not ask for certainty; and a temperature that does not gain beyond chance is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LEAST_ROWS = 20  # with fewer nothing can be told
ROUNDS = 7  # of the search for it: it is known to a thousandth
BOUND = 10.0  # the largest temperature, and 1 / the smallest


def temperature(
    logits: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, *, link: str = "softmax"
) -> float:
    """Return the number that logits are divided by, so that probabilities mean what they say.

    Args:
        logits: of held-out rows [N, outputs].
        y: their classes [N], or labels, 0 or 1 [N, outputs].
        weight: of every row [N]; None is 1.
        link: ``softmax`` of classes, ``sigmoid`` of labels.

    Returns:
        1.0 where none is better by more than one standard error, or with few rows.
    """
    if len(y) < LEAST_ROWS:
        return 1.0
    losses = _of_classes if link == "softmax" else _of_labels
    share = 1 / (len(y) + 2)
    factors = np.ones(len(y))
    if weight is not None and weight.any():
        factors = weight / weight.mean()

    def loss(log: float) -> float:
        return float((factors * losses(logits / math.exp(log), y, share)).mean())

    found = math.exp(_least(loss, -math.log(BOUND), math.log(BOUND)))
    gains = factors * (losses(logits, y, share) - losses(logits / found, y, share))
    beyond_chance = gains.mean() > gains.std(ddof=1) / math.sqrt(len(y))
    return round(found, 4) if beyond_chance else 1.0


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a loss with one valley is least: each round looks at a quarter of the last span."""
    for _ in range(ROUNDS):
        points = np.linspace(low, high, 9)
        at = int(np.argmin([loss(point) for point in points.tolist()]))
        low, high = points[max(0, at - 1)], points[min(8, at + 1)]
    return float((low + high) / 2)


def _of_classes(logits: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
    """Return the loss of every row [N], with a share of the target spread over all classes."""
    top = logits.max(axis=1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    own = logs[np.arange(len(y)), y]
    told: np.ndarray = -(1 - share) * own - share * logs.mean(axis=1)
    return told


def _of_labels(logits: np.ndarray, y: np.ndarray, share: float) -> np.ndarray:
    """Return the mean loss of every row's labels [N], with a share of the target on the other value."""
    targets = y * (1 - 2 * share) + share
    told: np.ndarray = (np.logaddexp(0.0, logits) - targets * logits).mean(axis=1)
    return told
