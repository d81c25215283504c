"""Successive halving and Hyperband: many short trainings, and longer ones for the best.

Sources: Jamieson & Talwalkar, AISTATS 2016 (1502.07943): successive halving. Li et al., "Hyperband",
JMLR 18 (2018), Algorithm 1 (1603.06560).

What differs: new architectures come from any other strategy, the space's own samples by default.
While a rung waits for its last results, the next bracket starts, so that no worker idles; with one
worker the order is the papers'. Brackets repeat until the budget of the run ends. A failed training
ranks below every score of its rung and is never promoted. The lengths of the rungs may be listed
(`rungs`) where only some exist, as in a table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import SettingError
from ..space import Space
from ..types import Budget, Candidate, Result
from . import Strategy
from .common.rungs import ROUNDING, Fresh, ladder, mean_length, promote, ranked

Rung = tuple[int, float]  # number of candidates, training length [count, epochs]


def brackets(rungs: Sequence[float], eta: float) -> list[list[Rung]]:
    """Return Hyperband's brackets, the most exploratory first: sizes and lengths of their rungs.

    Lengths 1, 3, 9, 27, 81 and eta 3 start with 81 for 1 epoch, 34 for 3, 15 for 9, 8 for 27 and 5
    for 81.
    """
    most = len(rungs) - 1
    starts = [(s, math.ceil((most + 1) * eta**s / (s + 1) - ROUNDING)) for s in range(most, -1, -1)]
    return [
        [(math.floor(n * eta**-i + ROUNDING), rungs[most - s + i]) for i in range(s + 1)]
        for s, n in starts
    ]


@dataclass
class _Bracket:
    """One run of successive halving."""

    rungs: list[Rung]
    level: int = 0
    asked: int = 0  # of this rung
    waiting: int = 0  # of this rung: asked, not told
    results: list[Result] = field(default_factory=list)  # of this rung
    queue: list[Result] = field(default_factory=list)  # promoted to this rung, best first

    def room(self) -> bool:
        """Return whether this rung needs another candidate now."""
        size = self.rungs[self.level][0] if self.level == 0 else len(self.queue)
        return self.asked < size

    def close(self) -> bool:
        """Step to the next rung if this one is complete; return whether the bracket is over."""
        while not self.room() and not self.waiting:
            if self.level + 1 == len(self.rungs):
                return True
            self.level += 1
            self.queue = ranked(self.results)[: self.rungs[self.level][0]]
            self.asked, self.results = 0, []
        return False


class _Halving:
    """Successive halving over an endless sequence of brackets: the base of two strategies."""

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(self, plans: Sequence[list[Rung]], fresh: Fresh, continue_: bool) -> None:
        self.ends = fresh.ends
        self.mean_length = mean_length(plans, continue_)
        self.plans, self.fresh, self.continue_ = itertools.cycle(plans), fresh, continue_
        self.open: list[_Bracket] = []  # in the order of their start
        self.home: dict[int, _Bracket] = {}  # id in flight -> its bracket
        self.asked = 0  # also the next id

    def ask(self) -> Candidate | None:
        """Return a promoted candidate of the oldest bracket that has one, else a new one."""
        for bracket in self.open:
            if bracket.room():
                break
        else:
            bracket = _Bracket([])  # a bracket starts only if there is a new candidate for it
        if bracket.level > 0:
            epochs = bracket.rungs[bracket.level][1]
            lower = bracket.queue[bracket.asked]
            candidate = promote(self.asked, lower, epochs, self.continue_)
        else:
            new = self.fresh.ask(self.asked)
            if new is None:
                return None
            if not bracket.rungs:
                bracket.rungs = next(self.plans)
                self.open.append(bracket)
            candidate = replace(new, budget=Budget(epochs=bracket.rungs[0][1]))
        bracket.asked += 1
        bracket.waiting += 1
        self.home[self.asked] = bracket
        self.asked += 1
        return candidate

    def tell(self, result: Result) -> None:
        """Take a result; the last one of a rung opens the next."""
        bracket = self.home.pop(result.candidate.id)
        self.fresh.tell(result)
        bracket.waiting -= 1
        if result.status == "refused" and bracket.level == 0:
            bracket.asked -= 1  # it was never trained: another takes its place
        else:
            bracket.results.append(result)
        if bracket.close():
            self.open.remove(bracket)

    def lengthen(self, horizon: int) -> None:
        """Tell the source of new architectures of a longer horizon: rungs have none of their own."""
        self.fresh.lengthen(horizon)

    def alive(self) -> frozenset[int]:
        """Return the ids that may still be promoted, or whose promotion is in flight."""
        if not self.continue_:
            return frozenset()
        return frozenset(
            result.candidate.id
            for bracket in self.open
            for result in (*bracket.results, *bracket.queue)
            if result.ok
        )


class SuccessiveHalving(_Halving):
    """Train many briefly, keep the best 1/eta, train these eta times longer, and so on.

    Args:
        space: samples architectures.
        eta: 1/eta of a rung is promoted; None is 3, or the mean ratio of `rungs`. [> 1]
        minimum: length of the lowest rung, at least; None is 1 epoch, or R/27 if that is less, with
            as many rungs as the horizon has trials for. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        size: trials in the lowest rung; by default so many that one reaches the top. [count]
        continue_: a promoted candidate goes on from the weights of the rung below, and its budget
            is the length in total; otherwise it is trained anew with a full schedule of its own.
        sampler: another strategy that proposes the new architectures and is told how they did on
            the lowest rung; None samples the space.
        epochs: length of the top rung R. [epochs]
        horizon: trials of the run, which bound the number of rungs by default; brackets repeat until
            the budget ends. [count]
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    def __init__(
        self,
        space: Space,
        *,
        eta: float | None = None,
        minimum: float | None = None,
        rungs: Sequence[float] | None = None,
        size: int | None = None,
        continue_: bool = True,
        sampler: Strategy | None = None,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        trials = horizon if size is None else None
        steps, eta = ladder(epochs, minimum, eta, rungs, horizon=trials)
        start = math.ceil(eta ** (len(steps) - 1) - ROUNDING) if size is None else size
        if start < 1:
            raise SettingError(f"size={size} must be at least 1")
        plan = [(math.floor(start * eta**-i + ROUNDING), length) for i, length in enumerate(steps)]
        super().__init__([plan], Fresh(space, sampler, seed), continue_)


class Hyperband(_Halving):
    """Successive halving from several starts, from many brief trainings to few full ones.

    Algorithm 1: bracket s starts with ``ceil((s_max + 1) eta^s / (s + 1))`` trials for ``R eta^-s``
    epochs, s from s_max to 0, and then again.

    Args:
        space: samples architectures.
        eta: 1/eta of a rung is promoted; None is 3, or the mean ratio of `rungs`. [> 1]
        minimum: length of the lowest rung, at least; None is 1 epoch, or R/27 if that is less, with
            as many rungs as the horizon has trials for. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        continue_: as in `SuccessiveHalving`.
        sampler: as in `SuccessiveHalving`; told results of different lengths, as brackets start at
            different ones.
        epochs: length of the top rung R. [epochs]
        horizon: trials of the run, which bound the number of rungs by default; brackets repeat until
            the budget ends. [count]
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    def __init__(
        self,
        space: Space,
        *,
        eta: float | None = None,
        minimum: float | None = None,
        rungs: Sequence[float] | None = None,
        continue_: bool = True,
        sampler: Strategy | None = None,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        plans = brackets(*ladder(epochs, minimum, eta, rungs, horizon=horizon))
        super().__init__(plans, Fresh(space, sampler, seed), continue_)
