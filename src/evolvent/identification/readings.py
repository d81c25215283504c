"""The two readings of a target, and the code length that both are compared by.

Both answer the same question: how probable was the value that a row has, among the values that occur?
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .rows import Rows

MIXED = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)  # share of the frequencies in an answer
KINDS = {"class": "classification", "quantity": "regression"}


class ClassReading:
    """Every value is a class of its own: a softmax over the values that the training rows have."""

    name = "class"

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        own = rows.place[rows.part == 0]
        self.known = np.unique(own)
        self.y = np.searchsorted(self.known, own)
        self.outputs = len(self.known)

    def answers(self, outputs: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probability of the values `at` [N], once per temperature."""
        column = np.searchsorted(self.known, at).clip(max=self.outputs - 1)
        seen = self.known[column] == at
        for temperature in (0.7, 1.0, 1.5, 2.2, 3.3, 5.0):
            p = _softmax(outputs / temperature)
            yield np.where(seen, p[np.arange(len(at)), column], 0.0)


class QuantityReading:
    """A value is known by where it lies: a normal density around one number, at the values there are.

    Its width may grow with the number, and the density may be weighed by the frequencies.
    """

    name = "quantity"
    outputs = 1

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.y = rows.values[rows.place[rows.part == 0]].astype(np.float32)

    def answers(self, outputs: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probability of the values `at` [N], once per width and weight."""
        values, weight = self.rows.values[None], np.log(self.rows.share)[None]
        for growth in (0.0, 0.3, 0.6):
            wider = np.exp(growth * outputs.clip(-2, 2))
            for width in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0):
                density = -0.5 * ((values - outputs) / (width * wider)) ** 2
                for logits in (density, density + weight):
                    yield _softmax(logits)[np.arange(len(at)), at]


Reading = ClassReading | QuantityReading


def _softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def code_lengths(reading: Reading, outputs: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean code of the choosing rows, and the code of every judging row. [nats]

    Args:
        reading: of the target.
        outputs: what a network says of all rows [N, outputs].
    """
    rows = reading.rows
    choose, judge = rows.part == 1, rows.part == 2
    both = choose | judge
    first = choose[both]
    frequency = rows.share[rows.place[both]]
    best, kept = math.inf, np.empty(0)
    for p in reading.answers(outputs[both], rows.place[both]):
        for mixed in MIXED:
            code = -np.log((1 - mixed) * p + mixed * frequency)
            mean = float(code[first].mean())
            if mean < best:
                best, kept = mean, code[~first]
    return best, kept
