"""ASHA: successive halving that never waits for a rung to fill.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, Algorithm 2
(1810.05934).

What differs: new architectures come from any other strategy, the space's own samples by default. A
failed training ranks below every score of its rung and is never promoted. The lengths of the rungs
may be listed (`rungs`) where only some exist, as in a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..space import Space
from ..types import Budget, Candidate, Result
from . import Strategy
from .common.rungs import ROUNDING, Fresh, ladder, mean_length, promote, ranked


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
        self._rungs: list[list[Result]] = [[] for _ in steps]
        self._promoted: set[int] = set()
        self._from: dict[int, int] = {}  # id of a promotion in flight -> the id it goes on from
        self._level: dict[int, int] = {}  # id in flight -> its rung
        self._asked = 0

    def ask(self) -> Candidate | None:
        """Return a promotion to the highest possible rung, else a new one for the lowest rung."""
        level, lower = self._promotable()
        if lower is not None:
            length = self.steps[level]
            candidate = promote(self._asked, lower, length, self.continue_)
            self._promoted.add(lower.candidate.id)
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
            self._rungs[level].append(result)

    def lengthen(self, horizon: int) -> None:
        """Tell the source of new architectures of a longer horizon: rungs have none of their own."""
        self._fresh.lengthen(horizon)

    def alive(self) -> frozenset[int]:
        """Return the ids that may still be promoted, or whose promotion is in flight."""
        if not self.continue_:
            return frozenset()
        below = {result.candidate.id for rung in self._rungs[:-1] for result in rung if result.ok}
        return frozenset(below - self._promoted | set(self._from.values()))

    def _promotable(self) -> tuple[int, Result | None]:
        """Return the rung to promote to and the result to promote, or the lowest rung and None."""
        for level in range(len(self._rungs) - 2, -1, -1):
            rung = self._rungs[level]
            top = ranked(rung)[: math.floor(len(rung) / self.eta + ROUNDING)]
            for result in top:
                if result.candidate.id not in self._promoted:
                    return level + 1, result
        return 0, None
