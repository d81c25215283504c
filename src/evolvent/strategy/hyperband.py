"""Successive halving, Hyperband and ASHA: many short trainings, and longer ones for the best.

Sources: Jamieson & Talwalkar, AISTATS 2016 (1502.07943): successive halving. Li et al., "Hyperband",
JMLR 18 (2018), Algorithm 1 (1603.06560). Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020, Algorithm 2 (1810.05934): ASHA.

What differs: new architectures come from any other strategy, the space's own samples by default.
While a rung waits for its last results, the next bracket starts, so that no worker idles; with one
worker the order is the papers'. Brackets repeat until the budget of the run ends. A failed training
ranks below every score of its rung and is never promoted. The lengths of the rungs may be listed
(`rungs`) where only some exist, as in a table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..errors import SettingError
from ..space import Space
from ..types import Budget, Candidate, Result, stream
from . import Strategy

_SLACK = 1e-9  # 81 / 3**4 must not lose a rung to rounding

Rung = tuple[int, float]  # how many, for how long [count, epochs]


def ladder(
    epochs: float, minimum: float | None, eta: float | None, rungs: Sequence[float] | None = None
) -> tuple[list[float], float]:
    """Return the training lengths of the rungs, shortest first and full length last, and eta.

    Args:
        epochs: the full length R. [epochs]
        minimum: no rung is shorter; None is 1 epoch, or `epochs` where that is less. [epochs]
        eta: each rung is so many times longer than the one before; None is 3, or the mean ratio
            of `rungs`.
        rungs: the lengths themselves, instead of all that. [epochs]

    Raises:
        SettingError: if `eta` is not above 1, or the lengths do not ascend from above 0.
    """
    if rungs is not None and (
        not rungs or rungs[0] <= 0 or any(a >= b for a, b in itertools.pairwise(rungs))
    ):
        raise SettingError(f"rungs={list(rungs)} must be lengths that ascend from above 0")
    if eta is None:
        several = rungs is not None and len(rungs) > 1
        eta = (rungs[-1] / rungs[0]) ** (1 / (len(rungs) - 1)) if rungs and several else 3.0
    least = min(1.0, epochs) if minimum is None else minimum
    if eta <= 1 or not 0 < least <= epochs:
        raise SettingError(
            f"eta={eta} must be above 1 and minimum={least} in 0..epochs={epochs}, without 0"
        )
    if rungs is not None:
        return [float(length) for length in rungs], eta
    steps = math.floor(math.log(epochs / least, eta) + _SLACK)
    return [epochs * eta**-step for step in range(steps, -1, -1)], eta


def brackets(rungs: Sequence[float], eta: float) -> list[list[Rung]]:
    """Return Hyperband's brackets, the most exploring first: sizes and lengths of their rungs.

    Lengths 1, 3, 9, 27, 81 and eta 3 start with 81 for 1 epoch, 34 for 3, 15 for 9, 8 for 27 and 5
    for 81.
    """
    most = len(rungs) - 1
    starts = [(s, math.ceil((most + 1) * eta**s / (s + 1) - _SLACK)) for s in range(most, -1, -1)]
    return [
        [(math.floor(n * eta**-i + _SLACK), rungs[most - s + i]) for i in range(s + 1)]
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
        """Return whether this rung wants another candidate now."""
        size = self.rungs[self.level][0] if self.level == 0 else len(self.queue)
        return self.asked < size

    def close(self) -> bool:
        """Step to the next rung if this one is complete; return whether the bracket is over."""
        while not self.room() and not self.waiting:
            if self.level + 1 == len(self.rungs):
                return True
            self.level += 1
            self.queue = _ranked(self.results)[: self.rungs[self.level][0]]
            self.asked, self.results = 0, []
        return False


def _ranked(results: Sequence[Result]) -> list[Result]:
    """Return the results that have a score, best first; of equal ones the earlier asked."""
    scored = [result for result in results if result.ok]
    return sorted(scored, key=lambda result: (-result.value, result.candidate.id))


class Fresh:
    """Where new architectures come from: the space's samples, or an inner strategy.

    The inner strategy counts its own candidates; here they get the ids of the outer one.
    """

    def __init__(self, space: Space, sampler: Strategy | None, seed: int) -> None:
        self.space, self.sampler, self.seed = space, sampler, seed
        self.ends = sampler is not None and sampler.ends
        self.inner: dict[int, Candidate] = {}  # outer id -> as the inner strategy asked it
        self.outer: dict[int, int] = {}  # inner id -> outer id

    def ask(self, id: int) -> Candidate | None:
        """Return a new architecture under the id of the outer strategy, or None to wait."""
        if self.sampler is None:
            return Candidate(id, self.space.sample(stream(self.seed, "sample", id)))
        asked = self.sampler.ask()
        if asked is None:
            return None
        self.inner[id], self.outer[asked.id] = asked, id
        parents = tuple(self.outer[parent] for parent in asked.parents)
        return replace(asked, id=id, parents=parents, weights_from=(), note=None)

    def tell(self, result: Result) -> None:
        """Tell the inner strategy the results of the lowest rung: they are comparable."""
        asked = self.inner.pop(result.candidate.id, None)
        if self.sampler is not None and asked is not None:
            self.sampler.tell(replace(result, candidate=asked))


def promote(
    id: int, result: Result, epochs: float, continue_: bool, operator: str = "promote"
) -> Candidate:
    """Return the candidate that goes on from `result`, trained to `epochs` in total."""
    lower = result.candidate
    return Candidate(
        id,
        lower.arch,
        parents=(lower.id,),
        operator=operator,
        weights_from=(lower.id,) if continue_ else (),
        budget=Budget(epochs=epochs),
    )


class _Halving:
    """Successive halving over an endless sequence of brackets: what two strategies share."""

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(self, plans: Iterator[list[Rung]], fresh: Fresh, continue_: bool) -> None:
        self.ends = fresh.ends
        self.plans, self.fresh, self.continue_ = plans, fresh, continue_
        self.open: list[_Bracket] = []  # in the order of their start
        self.home: dict[int, _Bracket] = {}  # id in flight -> its bracket
        self.asked = 0  # also the next id

    def ask(self) -> Candidate | None:
        """Return a promoted candidate of the oldest bracket that has one, else a new one."""
        for bracket in self.open:
            if bracket.room():
                break
        else:
            bracket = _Bracket([])  # a bracket starts only if there is something to start it with
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
        eta: the share that goes on is 1/eta; None is 3, or the mean ratio of `rungs`. [> 1]
        minimum: length of the lowest rung, at least; None is 1 epoch. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        size: trials in the lowest rung; by default so many that one reaches the top. [count]
        continue_: a promoted candidate goes on from the weights of the rung below, and its budget
            is the length in total; otherwise it is trained anew with a full schedule of its own.
        sampler: another strategy that proposes the new architectures and is told how they did on
            the lowest rung; None samples the space.
        epochs: length of the top rung R. [epochs]
        horizon: trials of the run; unused, brackets repeat until the budget ends.
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
        steps, eta = ladder(epochs, minimum, eta, rungs)
        start = math.ceil(eta ** (len(steps) - 1) - _SLACK) if size is None else size
        if start < 1:
            raise SettingError(f"size={size} must be at least 1")
        plan = [(math.floor(start * eta**-i + _SLACK), length) for i, length in enumerate(steps)]
        super().__init__(itertools.repeat(plan), Fresh(space, sampler, seed), continue_)


class Hyperband(_Halving):
    """Successive halving from several starts, from many brief trainings to few full ones.

    Algorithm 1: bracket s starts with ``ceil((s_max + 1) eta^s / (s + 1))`` trials for ``R eta^-s``
    epochs, s from s_max to 0, and then again.

    Args:
        space: samples architectures.
        eta: the share that goes on is 1/eta; None is 3, or the mean ratio of `rungs`. [> 1]
        minimum: length of the lowest rung, at least; None is 1 epoch. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        continue_: as in `SuccessiveHalving`.
        sampler: as in `SuccessiveHalving`; told results of different lengths, as brackets start at
            different ones.
        epochs: length of the top rung R. [epochs]
        horizon: trials of the run; unused, brackets repeat until the budget ends.
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
        plans = brackets(*ladder(epochs, minimum, eta, rungs))
        super().__init__(itertools.cycle(plans), Fresh(space, sampler, seed), continue_)


class Asha:
    """Asynchronous successive halving: promote whenever a rung's top 1/eta has someone left.

    Algorithm 2: rungs are looked through from the top; where none has a candidate in its best
    ``floor(n / eta)`` of n results that was not promoted yet, a new one starts at the bottom. The
    top rung is the full length, however far from the last power of eta (R=300, eta=4: 1, 4, 16, 64,
    300).

    Args:
        space: samples architectures.
        eta: the share that goes on is 1/eta, and each rung is eta times longer; None is 3, or the
            mean ratio of `rungs`. [> 1]
        minimum: length of the lowest rung r; None is 1 epoch. [epochs]
        rungs: the lengths of the rungs, instead of `minimum` and `epochs`. [epochs]
        continue_: as in `SuccessiveHalving`.
        sampler: as in `SuccessiveHalving`.
        epochs: length of the top rung R. [epochs]
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
        eta: float | None = None,
        minimum: float | None = None,
        rungs: Sequence[float] | None = None,
        continue_: bool = True,
        sampler: Strategy | None = None,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        steps, self.eta = ladder(epochs, minimum, eta, rungs)
        if rungs is None:  # from the bottom here, from the top in Hyperband
            least = min(1.0, epochs) if minimum is None else minimum
            steps = [*(least * self.eta**step for step in range(len(steps) - 1)), epochs]
        self.steps, self.continue_ = steps, continue_
        self._fresh = Fresh(space, sampler, seed)
        self.ends = self._fresh.ends
        self._rungs: list[list[Result]] = [[] for _ in steps]
        self._promoted: set[int] = set()
        self._from: dict[int, int] = {}  # id of a promotion in flight -> the id it goes on from
        self._level: dict[int, int] = {}  # id in flight -> its rung
        self._asked = 0

    def ask(self) -> Candidate | None:
        """Return the promotion highest up, else a new architecture for the lowest rung."""
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
        """Take a result of any rung; one refused was never trained and does not count."""
        level = self._level.pop(result.candidate.id)
        self._from.pop(result.candidate.id, None)
        self._fresh.tell(result)
        if result.status != "refused":
            self._rungs[level].append(result)

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
            top = _ranked(rung)[: math.floor(len(rung) / self.eta + _SLACK)]
            for result in top:
                if result.candidate.id not in self._promoted:
                    return level + 1, result
        return 0, None
