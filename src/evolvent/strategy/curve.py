"""Early stopping by learning curves: by the median of the others, or by extrapolation.

Sources: Golovin et al., "Google Vizier", KDD 2017, section 3.2 (the median stopping rule); Domhan et
al., "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by Extrapolation of
Learning Curves", IJCAI 2015 (a training ends if it is unlikely to pass the best so far).

Every candidate trains in increments, each a trial of its own that goes on from the weights of the one
before, and is judged after each (a look). No worker waits: a candidate is compared with the results
that the others had when its own came, and candidates that go on come before new ones.

What differs. Median rule: the score at a look is compared with the scores of all others at the same
look; Vizier compares the best so far with running averages, which lag behind rising curves and stop
fewer. Extrapolation: one power law, fitted by least squares, instead of a posterior over eleven
families; its uncertainty is estimated from its errors on completed curves. Each increment has a
learning-rate schedule of its own.
"""

from __future__ import annotations

import itertools
import statistics
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ..errors import SettingError
from ..space import Space
from ..types import Budget, Candidate, Result
from . import Strategy
from .common.rungs import Fresh, ladder, mean_length, promote

EXPONENTS = (0.25, 0.5, 1.0, 2.0)  # of the power laws that are tried
_MEMORY = 200  # latest completed curves, by which extrapolation errors are measured

Curve = tuple[Result, ...]  # the results of one candidate, one per look


class LearningCurve:
    """Train every candidate in increments, and stop those with poor learning curves.

    Args:
        space: samples architectures.
        rule: ``median`` stops a candidate whose score is below the median of the others at the same
            look; ``power-law`` one whose extrapolated curve is unlikely to pass the best so far.
        looks: number of equal increments of the full length. [count, >= 2]
        rungs: the lengths at the looks, instead of `looks` and `epochs`. [epochs]
        quantile: of the others' scores, below which ``median`` stops: 0.5 is the median. [0..1]
        chance: probability of passing the best so far, below which ``power-law`` stops. [0..1]
        least: results (curves, for ``power-law``) of others before a look can stop a candidate.
            [count, >= 2]
        continue_: an increment goes on from the weights of the one before, and its budget is the
            length in total; otherwise each is trained anew with a full schedule of its own.
        sampler: another strategy that proposes the new architectures and is told how they did at
            the first look; None samples the space.
        epochs: the full length. [epochs]
        horizon: trials of the run; unused, there is no schedule.
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        rule: Literal["median", "power-law"] = "median",
        looks: int = 4,
        rungs: Sequence[float] | None = None,
        quantile: float = 0.5,
        chance: float = 0.05,
        least: int = 5,
        continue_: bool = True,
        sampler: Strategy | None = None,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if rule not in ("median", "power-law"):
            raise SettingError(f"rule={rule!r} must be median or power-law")
        if looks < 2 or least < 2 or not 0 <= quantile <= 1 or not 0 <= chance <= 1:
            raise SettingError(
                f"looks={looks} and least={least} must be at least 2, quantile={quantile} and "
                f"chance={chance} in 0..1"
            )
        equal = [epochs * look / looks for look in range(1, looks + 1)]
        self.lengths = ladder(epochs, None, None, equal if rungs is None else rungs)[0]
        self.mean_length = mean_length([[(1.0, length) for length in self.lengths]], continue_)
        self.rule, self.quantile, self.chance, self.least = rule, quantile, chance, least
        self.continue_ = continue_
        self._fresh = Fresh(space, sampler, seed)
        self.ends = self._fresh.ends
        self._queue: deque[Curve] = deque()  # those that go on, in the order of their results
        self._flying: dict[int, Curve] = {}  # id in flight -> the looks before
        self._scores: list[list[float]] = [[] for _ in self.lengths]  # at each look, ascending
        self._errors: list[deque[float]] = [deque(maxlen=_MEMORY) for _ in self.lengths]
        self._asked = 0

    def ask(self) -> Candidate | None:
        """Return the next increment of a candidate that goes on, else a new candidate."""
        before: Curve = ()
        if self._queue:
            before = self._queue.popleft()
            length = self.lengths[len(before)]
            candidate = promote(self._asked, before[-1], length, self.continue_, "continue")
        else:
            new = self._fresh.ask(self._asked)
            if new is None:
                return None
            candidate = replace(new, budget=Budget(epochs=self.lengths[0]))
        self._flying[self._asked] = before
        self._asked += 1
        return candidate

    def tell(self, result: Result) -> None:
        """Judge a candidate; a failed or unpromising one is not continued."""
        self._fresh.tell(result)
        before = self._flying.pop(result.candidate.id)
        if not result.ok:
            return
        curve = (*before, result)
        if len(curve) == len(self.lengths):
            self._complete(curve)
        elif not self._stops(curve):
            self._queue.append(curve)
        insort(self._scores[len(before)], result.value)

    def lengthen(self, horizon: int) -> None:
        """Tell the source of new architectures of a longer horizon: rungs have none of their own."""
        self._fresh.lengthen(horizon)

    def alive(self) -> frozenset[int]:
        """Return the ids whose training continues, or whose next increment is in flight."""
        if not self.continue_:
            return frozenset()
        going = itertools.chain(self._queue, self._flying.values())
        return frozenset(curve[-1].candidate.id for curve in going if curve)

    def _stops(self, curve: Curve) -> bool:
        look = len(curve) - 1
        if self.rule == "median":
            others = self._scores[look]
            if len(others) < self.least:
                return False
            return bool(curve[-1].value < np.quantile(others, self.quantile))
        errors = self._errors[look]
        if len(errors) < self.least:
            return False
        # Errors of equal size would have no spread at all: then only the sign decides.
        spread = max(statistics.stdev(errors), 1e-12)
        hoped = statistics.NormalDist(self._guess(curve) + statistics.fmean(errors), spread)
        return 1.0 - hoped.cdf(self._scores[-1][-1]) < self.chance

    def _complete(self, curve: Curve) -> None:
        """Record each look's extrapolation error against the score of the full training."""
        if self.rule == "power-law":
            for look in range(len(self.lengths) - 1):
                guess = self._guess(curve[: look + 1])
                self._errors[look].append(curve[-1].value - guess)

    def _guess(self, curve: Curve) -> float:
        scores = [result.value for result in curve]
        return extrapolate(self.lengths[: len(curve)], scores, self.lengths[-1])


def extrapolate(lengths: Sequence[float], scores: Sequence[float], to: float) -> float:
    """Return the score at `to` of a power law ``a - b t^-c`` fitted to the looks so far.

    Three coefficients need three looks: with two, c is 0.5; with one, the curve is taken as flat, as
    is one that falls. c is the best of a few by least squares.

    Args:
        lengths: of the looks so far, ascending. [epochs]
        scores: at each.
        to: where to read the curve. [epochs]
    """
    y = np.array(scores)
    if len(y) == 1:
        return float(y[0])
    best, guess = np.inf, float(y[-1])
    for exponent in EXPONENTS if len(y) > 2 else (0.5,):
        shape = np.column_stack([np.ones(len(y)), -(np.array(lengths) ** -exponent)])
        (a, b), *_ = np.linalg.lstsq(shape, y, rcond=None)
        error = float(((shape @ (a, b) - y) ** 2).sum())
        if b > 0 and error < best:
            best, guess = error, float(a - b * to**-exponent)
    return guess
