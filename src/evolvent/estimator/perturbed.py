"""Mixtures near a given one, at random or where the loss is larger, for shared weights to learn at.

Source: Chen & Hsieh 2020, "Stabilizing Differentiable Architecture Search via Perturbation-based
Regularization" (2002.05283, SDARTS), section 3.1: a uniform perturbation of every entry, or one found
by projected gradient ascent on the batch that the weights learn from next; steps are signs of
gradients, together twice as long as the radius, and begin at a random perturbation.
What differs: an operation of weight 0 keeps it, since it is not run; the worst mixture is taken even if
the loss at the given one is larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Rows = Mapping[str, np.ndarray]  # group -> [rows, columns]


def perturbed(
    rows: Rows,
    *,
    radius: float,
    ascents: int,
    rng: np.random.Generator,
    slopes: Callable[[Rows], Rows],
) -> Rows:
    """Return a mixture near `rows`.

    Args:
        rows: the given mixture.
        radius: most that an entry is changed by, before rows get their sums back. [>= 0]
        ascents: steps uphill; 0 is a random perturbation. [count]
        rng: of the perturbation that it begins with.
        slopes: mixture -> gradient of the loss by it.
    """
    if not radius:
        return rows
    found = {
        name: _near(own + rng.uniform(-radius, radius, own.shape), own, radius)
        for name, own in rows.items()
    }
    for _ in range(ascents):
        uphill = slopes(found)
        step = 2 * radius / ascents
        found = {
            name: _near(own + step * np.sign(uphill[name]), rows[name], radius)
            for name, own in found.items()
        }
    return found


def _near(moved: np.ndarray, given: np.ndarray, radius: float) -> np.ndarray:
    """Return the entries within `radius` of the given and not below 0, each row with its given sum."""
    found = np.clip(moved, np.maximum(given - radius, 0.0), given + radius) * (given > 0)
    sums = found.sum(1, keepdims=True)
    scaled = found * given.sum(1, keepdims=True) / np.where(sums > 0, sums, 1.0)
    return np.asarray(np.where(sums > 0, scaled, given))
