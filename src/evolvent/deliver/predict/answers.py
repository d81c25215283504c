"""The answers of a network, as they are printed: classes, labels, quantities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .network import sigmoid, softmax

THRESHOLD = 0.5  # of the probability of a label, from which it is told


class Answer(NamedTuple):
    """The answer for one example.

    Args:
        cells: as text, one for every column of `header`.
        values: name of the target -> value for JSON.
        chances: class or label -> its probability; empty for quantities.
    """

    cells: list[str]
    values: dict[str, Any]
    chances: dict[str, float]


def header(reading: dict[str, Any]) -> list[str]:
    """Return the names of the cells of an answer: the columns that the network was searched for."""
    target = reading.get("target", "class")
    return [target] if isinstance(target, str) else list(target)


def header_of_chances(reading: dict[str, Any]) -> list[str]:
    """Return the names of the probabilities, in the order of `Answer.chances`."""
    if "labels" in reading:  # whose names those of the targets may be
        return [f"{label} probability" for label in reading["labels"]]
    return list(reading.get("classes", ()))


def answers(
    y: np.ndarray, reading: dict[str, Any], added: tuple[float, ...] = (0.0,)
) -> Iterator[Answer]:
    """Yield the answer for every example, from the outputs of the network [N, outputs].

    Args:
        y: the outputs.
        reading: what they stand for.
        added: of a single quantity, what is added to it: 0, and where its bounds are told, these.
    """
    if "classes" in reading:
        return of_classes(y, reading)
    return of_labels(y, reading) if "labels" in reading else of_quantities(y, reading, added)


def of_classes(y: np.ndarray, reading: dict[str, Any]) -> Iterator[Answer]:
    """Yield the most probable class of every example."""
    classes, (name,) = reading["classes"], header(reading)
    for row in softmax(y):
        best = classes[int(row.argmax())]
        yield Answer([best], {name: best}, dict(zip(classes, row.tolist(), strict=True)))


def of_labels(y: np.ndarray, reading: dict[str, Any]) -> Iterator[Answer]:
    """Yield the labels of every example, as they are written in the training data."""
    labels, names = reading["labels"], header(reading)
    values, separator = reading.get("values"), str(reading.get("separator", ""))
    for row in sigmoid(y):
        chances = dict(zip(labels, row.tolist(), strict=True))
        has = [chance > THRESHOLD for chance in chances.values()]
        if values is None:
            found = [label for label, its in zip(labels, has, strict=True) if its]
            yield Answer([separator.join(found)], {names[0]: found}, chances)
        else:
            cells = [pair[its] for pair, its in zip(values, has, strict=True)]
            yield Answer(cells, dict(zip(names, cells, strict=True)), chances)


def of_quantities(
    y: np.ndarray, reading: dict[str, Any], added: tuple[float, ...] = (0.0,)
) -> Iterator[Answer]:
    """Yield the quantities of every example, each in its own unit; of one also its bounds."""
    names = header(reading)
    means, units = (np.atleast_1d(reading[key]) for key in ("target_mean", "target_unit"))
    places = [figures(mean, unit) for mean, unit in zip(means, units, strict=True)]
    if len(added) > 1:
        names, places = [*names, f"{names[0]}_lower", f"{names[0]}_upper"], places * len(added)
    for row in y * units + means:
        row = np.add.outer(row, added).flatten()
        cells = [f"{value:.{place}g}" for value, place in zip(row, places, strict=True)]
        yield Answer(cells, dict(zip(names, map(float, cells), strict=True)), {})


def figures(mean: float, unit: float) -> int:
    """Return how many figures of a prediction are worth printing: eight of what varies. [count]"""
    ahead = math.log10(abs(mean) / unit) if mean and unit else 0.0
    return min(17, 8 + max(0, math.ceil(ahead)))
