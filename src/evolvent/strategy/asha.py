"""ASHA: successive halving that never waits for a rung to fill.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, Algorithm 2
(1810.05934).

What differs: new architectures come from any other strategy, the space's own samples by default. A
failed training ranks below every score of its rung and is never promoted. The lengths of the rungs
may be listed (`rungs`) where only some exist, as in a table.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Sequence
from dataclasses import replace

from ..space import Space
from ..types import Budget, Candidate, Result
from . import Strategy
from .common.rungs import ROUNDING, Fresh, ladder, mean_length, promote


class Asha:
    """Asynchronous successive halving: promote as soon as a rung's top 1/eta has a candidate left.

    Algorithm 2: rungs are searched from the top for a candidate among the best ``floor(n / eta)`` of
    n results that was not promoted yet; if there is none, a new candidate starts at the bottom. The
    top rung is the full length, however far from the last power of eta (R=300, eta=4: 1, 4, 16, 64,
    300).

    Args:
        space: samples architectures.
        eta: 1/eta of a rung is promoted, and each rung is eta times longer; None is 3, or the mean
            ratio of `rungs`. [> 1]
        minimum: length of the lowest rung r; None is 1 epoch, or R/27 if that is less,
            with as many rungs as the horizon has trials for. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        levels: the number of rungs, instead of `minimum`. [count]
        continue_: as in `hyperband.SuccessiveHalving`.
        sampler: as in `hyperband.SuccessiveHalving`.
        epochs: length of the top rung R. [epochs]
        horizon: trials of the run, which bound the number of rungs by default. [count]
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
        eta: float | None = None,
        minimum: float | None = None,
        rungs: Sequence[float] | None = None,
        levels: int | None = None,
        continue_: bool = True,
        sampler: Strategy | None = None,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        steps, self.eta = ladder(  # from the bottom here, from the top in Hyperband
            epochs, minimum, eta, rungs, levels, horizon=horizon, ascending=True
        )
        self.steps, self.continue_ = steps, continue_
        shares = [(self.eta**-level, length) for level, length in enumerate(steps)]
        self.mean_length = mean_length([shares], continue_)
        self._fresh = Fresh(space, sampler, seed)
        self.ends = self._fresh.ends
        self._rungs = [_Rung() for _ in steps]
        self._from: dict[int, int] = {}  # id of a promotion in flight -> the id it goes on from
        self._level: dict[int, int] = {}  # id in flight -> its rung
        self._asked = 0

    def ask(self) -> Candidate | None:
        """Return a promotion to the highest possible rung, else a new one for the lowest rung."""
        level, lower = self._promotable()
        if lower is not None:
            length = self.steps[level]
            candidate = promote(self._asked, lower, length, self.continue_)
            self._from[self._asked] = lower.candidate.id
        else:
            new = self._fresh.ask(self._asked)
            if new is None:
                return None
            candidate = replace(new, budget=Budget(epochs=self.steps[0]))
        self._level[self._asked] = level
        self._asked += 1
        return candidate

    def tell(self, result: Result) -> None:
        """Take a result of any rung; a refused candidate was never trained and does not count."""
        level = self._level.pop(result.candidate.id)
        self._from.pop(result.candidate.id, None)
        self._fresh.tell(result)
        if result.status != "refused":
            self._rungs[level].add(result)

    def lengthen(self, horizon: int) -> None:
        """Tell the source of new architectures of a longer horizon: rungs have none of their own."""
        self._fresh.lengthen(horizon)

    def alive(self) -> frozenset[int]:
        """Return the ids that may still be promoted, or whose promotion is in flight."""
        if not self.continue_:
            return frozenset()
        waiting = (id for rung in self._rungs[:-1] for _, id in rung.waiting)
        return frozenset((*waiting, *self._from.values()))

    def _promotable(self) -> tuple[int, Result | None]:
        """Return the rung to promote to and the result to promote, or the lowest rung and None."""
        for level in range(len(self._rungs) - 2, -1, -1):
            result = self._rungs[level].promoted(self.eta)
            if result is not None:
                return level + 1, result
        return 0, None


class _Rung:
    """The results of one training length, kept in their order: a promotion looks at one of them."""

    def __init__(self) -> None:
        self.size = 0  # results, the failed ones too
        self.waiting: list[tuple[float, int]] = []  # a heap of (-score, id) not promoted yet
        self._order: list[tuple[float, int]] = []  # all that have a score, the best first
        self._results: dict[int, Result] = {}  # of those that wait

    def __len__(self) -> int:
        return self.size

    def add(self, result: Result) -> None:
        """Take a result."""
        self.size += 1
        if result.ok:
            place = (-result.value, result.candidate.id)  # ties in the order of asking
            bisect.insort(self._order, place)
            heapq.heappush(self.waiting, place)
            self._results[result.candidate.id] = result

    def promoted(self, eta: float) -> Result | None:
        """Return the best result that waits if it is among the top 1/eta, and promote it."""
        top = math.floor(self.size / eta + ROUNDING)
        if not self.waiting or bisect.bisect_left(self._order, self.waiting[0]) >= top:
            return None
        return self._results.pop(heapq.heappop(self.waiting)[1])
