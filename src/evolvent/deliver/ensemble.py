"""The choice of an ensemble, by numbers alone: which networks are averaged, and whether that pays.

Greedy selection with replacement (Caruana, Niculescu-Mizil, Crew & Ksikes 2004): the network that helps
the mean most is added again and again. It goes by the loss, which tells more than the few rows
on which a class changes.

Whether it pays is judged on rows that had no part in the choice. The best of many means is lucky on the
rows that chose it, and so is the best single network, but not as much. So the rows are halved: one half
chooses ensemble and single network, the other compares them, and then the other way round. Every row is
judged, none by a choice that saw it, and only their paired differences count. The mean over some
halvings keeps the luck of one out of it. A bootstrap that repeats the selection would ask the same,
but a row drawn twice stands in what chooses and in what judges: it flatters the larger choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..task.division import spread

MOST = 4  # different networks in an ensemble
PICKS = 8  # rounds of the selection: a network may be picked again, and weighs more
HALVINGS = 10  # of the validation rows
LEAST_ROWS = 20  # with fewer nothing can be told
CHANCE = 2.0  # deviations of a mean difference that are beyond chance

Allowed = Callable[[frozenset[int]], bool]


@dataclass(frozen=True)
class Predictions:
    """Predictions of several networks for the same rows.

    Args:
        values: probabilities of classes or labels, or quantities in the target's units [networks, rows,
            outputs].
        y: targets: classes int64, or quantities [rows]; several per row [rows, outputs].
        bound: numbers of what must stay in one half, such as a patient's rows; None where rows are
            independent. [rows]
        weight: of every row; None is 1. [rows]
        labels: whether the targets are labels, 0 or 1.
    """

    values: np.ndarray
    y: np.ndarray
    bound: np.ndarray | None = None
    weight: np.ndarray | None = None
    labels: bool = False

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return self.y.dtype.kind in "iu"

    def losses(self, said: np.ndarray) -> np.ndarray:
        """Return the loss of every row: of classes the negative log-likelihood. [rows]

        Args:
            said: probabilities or quantities [..., rows, outputs].
        """
        if not self.classes:
            y = self.y.reshape(len(self.y), -1)
            if self.labels:
                right = np.where(y > 0.5, said, 1 - said)
                told: np.ndarray = -np.log(np.maximum(right, 1e-12)).mean(-1)
                return self._weighted(told)
            squares: np.ndarray = ((said - y) ** 2).mean(-1)
            return self._weighted(squares)
        right = said[..., np.arange(len(self.y)), self.y]
        surprise: np.ndarray = -np.log(np.maximum(right, 1e-12))
        return self._weighted(surprise)

    def _weighted(self, values: np.ndarray) -> np.ndarray:
        found: np.ndarray = values * self._factors
        return found

    @property
    def _factors(self) -> np.ndarray:
        """The weights of the rows with the mean 1, so that a mean over rows is a weighted one."""
        if self.weight is None or not self.weight.any():
            return np.ones(len(self.y))
        return np.asarray(self.weight / self.weight.mean())

    def scores(self, said: np.ndarray) -> np.ndarray:
        """Return the share of every row in accuracy or r2, whose value is their mean. [..., rows]

        Of labels it is the share of those that are told rightly; r2 of several quantities is the mean
        of theirs.
        """
        if self.classes:
            right: np.ndarray = said.argmax(-1) == self.y
            return self._weighted(right.astype(np.float64))
        y = self.y.reshape(len(self.y), -1)
        if self.labels:
            return self._weighted(((said > 0.5) == (y > 0.5)).mean(-1))
        mean = np.average(y, axis=0, weights=self._factors)
        spread_of = np.average((y - mean) ** 2, axis=0, weights=self._factors)
        shares = ((said - y) ** 2 / np.maximum(1e-12, spread_of)).mean(-1)
        found: np.ndarray = self._factors - self._weighted(shares)
        return found

    def rows(self, index: np.ndarray) -> Predictions:
        """Return the same for some of the rows."""
        bound, weight = (
            None if each is None else each[index] for each in (self.bound, self.weight)
        )
        return Predictions(self.values[:, index], self.y[index], bound, weight, self.labels)

    def halved(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows in two halves by chance; what is bound is in one of them."""
        count = len(self.y)
        if self.bound is None:
            order = rng.permutation(count)
            return order[: count // 2], order[count // 2 :]
        half = spread(self.bound, np.zeros(count, np.int64), 2, rng)
        return np.flatnonzero(half == 0), np.flatnonzero(half == 1)

    def mean(self, picks: Sequence[int]) -> np.ndarray:
        """Return the mean of some networks, which may be named repeatedly. [rows, outputs]"""
        found: np.ndarray = self.values[list(picks)].mean(0)
        return found


@dataclass(frozen=True)
class Gain:
    """The gain of an ensemble over the best single network, on rows that had no part in the choice.

    Args:
        score: mean paired difference in the metric; above 0 is better.
        deviation: of that mean.
        loss: mean paired difference in the loss; above 0 is better.
        loss_deviation: of that mean.
    """

    score: float
    deviation: float
    loss: float
    loss_deviation: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether it pays: the loss fell beyond chance, and the metric is not lower.

        The metric of classes lies in the few rows whose class changed, so it can seldom show a gain;
        the loss, for which the networks were trained, has a part of it in every row.
        """
        return self.score > 0 and self.loss > CHANCE * self.loss_deviation


def select(predictions: Predictions, allowed: Allowed = lambda which: True) -> tuple[int, ...]:
    """Return the networks of the best ensemble, those that count more repeatedly; () without any.

    Args:
        predictions: of the networks.
        allowed: whether these different networks keep within the user's limits together.
    """
    total = np.zeros_like(predictions.values[0])
    picks: list[int] = []
    best: tuple[int, ...] = ()
    least = math.inf
    for count in range(1, PICKS + 1):
        sets = {each: frozenset((*picks, each)) for each in range(len(predictions.values))}
        open_ = [each for each, which in sets.items() if len(which) <= MOST and allowed(which)]
        if not open_:
            break
        said = (total + predictions.values[open_]) / count
        losses = predictions.losses(said).mean(-1)
        at = int(losses.argmin())  # of equal ones the first
        picks.append(open_[at])
        total += predictions.values[open_[at]]
        if losses[at] < least - 1e-9:
            best, least = tuple(picks), float(losses[at])
    return best


def best_single(predictions: Predictions) -> int:
    """Return the network of the highest score; of equal ones that of the lower loss."""
    scores = predictions.scores(predictions.values).mean(-1)
    losses = predictions.losses(predictions.values).mean(-1)
    return min(range(len(scores)), key=lambda each: (-scores[each], losses[each]))


def gain(predictions: Predictions, allowed: Allowed = lambda which: True) -> Gain | None:
    """Return the gain of an ensemble as `select` makes it; None where there are too few rows.

    Args:
        predictions: of the networks; the halvings of their rows are the same every time.
        allowed: as for `select`.
    """
    count = len(predictions.y)
    if count < LEAST_ROWS or len(predictions.values) < 2:
        return None
    rng = np.random.default_rng(count)
    score, loss = np.zeros(count), np.zeros(count)
    for _ in range(HALVINGS):
        halves = predictions.halved(rng)
        if not all(map(len, halves)):
            return None  # all rows are bound together
        for choosing, judging in (halves, halves[::-1]):
            chosen = predictions.rows(choosing)
            picks = select(chosen, allowed)
            if not picks:
                return None
            several, one = (predictions.mean(of) for of in (picks, (best_single(chosen),)))
            for measure, sums, sign in (
                (predictions.scores, score, 1),
                (predictions.losses, loss, -1),
            ):
                sums[judging] += sign * (measure(several) - measure(one))[judging]
    return _gain(score / HALVINGS, loss / HALVINGS)


def gain_of_seeds(predictions: Predictions) -> Gain | None:
    """Return the gain of the mean of all networks over one of them, whichever; None as for `gain`.

    That is for trainings of one architecture from several seeds (Lakshminarayanan, Pritzel & Blundell
    2017): nothing is chosen among them, so no luck of a choice is in it.

    Args:
        predictions: of the networks.
    """
    if len(predictions.y) < LEAST_ROWS or len(predictions.values) < 2:
        return None
    mean = predictions.values.mean(0)
    score, loss = (
        measure(mean) - measure(predictions.values).mean(0)
        for measure in (predictions.scores, predictions.losses)
    )
    return _gain(score, -loss)


def _gain(score: np.ndarray, loss: np.ndarray) -> Gain:
    """Return a gain from the paired differences of every row. [rows]"""
    root = math.sqrt(len(score))
    deviations = (float(each.std(ddof=1)) / root for each in (score, loss))
    return Gain(float(score.mean()), next(deviations), float(loss.mean()), next(deviations))
