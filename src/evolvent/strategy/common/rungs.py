"""Rung lengths, new architectures and promotions, for strategies that train in rungs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from ...errors import SettingError
from ...space import Space
from ...types import Budget, Candidate, Result, stream
from .. import Strategy, lengthen

ROUNDING = 1e-9  # 81 / 3**4 must not lose a rung to rounding
SHORTEST = 1 / 27  # of the full length: with eta 3, four rungs however short the full length is


def ladder(
    epochs: float,
    minimum: float | None,
    eta: float | None,
    rungs: Sequence[float] | None = None,
    levels: int | None = None,
    *,
    horizon: int | None = None,
    ascending: bool = False,
) -> tuple[list[float], float]:
    """Return the training lengths of the rungs, shortest first and full length last, and eta.

    Args:
        epochs: the full length R. [epochs]
        minimum: lower bound of the shortest rung; None is 1 epoch, or R/27 if that is less, with as
            many rungs as `horizon` has trials for. [epochs]
        eta: ratio of the lengths of successive rungs; None is 3, or the mean ratio of `rungs`.
        rungs: the lengths themselves, in place of the other settings. [epochs]
        levels: number of rungs, in place of `minimum`. [count]
        horizon: trials of the run, of which one shall reach the top rung; None is any number. [count]
        ascending: whether the bounded lengths are multiples of the shortest one, and not fractions
            of the full one.

    Raises:
        SettingError: if `eta` is not above 1, the lengths do not ascend from above 0, or there is one
            alone, which would be a search without rungs.
    """
    if rungs is not None:
        return _listed(rungs, eta)
    eta = 3.0 if eta is None else eta
    if eta <= 1:
        raise SettingError(f"eta={eta:g} must be above 1")
    if levels is not None:
        if levels < 2 or minimum is not None:
            raise SettingError(f"levels={levels} must be at least 2, without minimum")
        return _descending(epochs, eta, levels - 1), eta
    least = min(1.0, epochs * SHORTEST) if minimum is None else minimum
    if not 0 < least <= epochs:
        raise SettingError(f"minimum={least:g} must be above 0, at most epochs={epochs:g}")
    steps = math.floor(math.log(epochs / least, eta) + ROUNDING)
    if steps < 1:
        raise SettingError(
            f"eta={eta:g} and minimum={least:g} leave one rung of {epochs:g} epochs, which is no "
            "search in rungs: lower one of them, or use the strategy random"
        )
    if minimum is None and horizon is not None:
        affordable = _affordable(horizon, eta)
        if affordable < steps:
            return _descending(epochs, eta, affordable), eta
    if ascending:
        return [*(least * eta**step for step in range(steps)), epochs], eta
    return _descending(epochs, eta, steps), eta


def _descending(epochs: float, eta: float, steps: int) -> list[float]:
    return [epochs * eta**-step for step in range(steps, -1, -1)]


def _affordable(horizon: int, eta: float) -> int:
    """Return the promotions up to the top for which so many trials are enough; at least one."""
    steps = 1
    while sum(eta**step for step in range(steps + 2)) <= horizon:
        steps += 1
    return steps


def _listed(rungs: Sequence[float], eta: float | None) -> tuple[list[float], float]:
    """Return the lengths that were listed, and eta."""
    if len(rungs) < 2 or rungs[0] <= 0 or any(a >= b for a, b in itertools.pairwise(rungs)):
        raise SettingError(
            f"rungs={list(rungs)} must be two or more lengths that ascend from above 0"
        )
    if eta is None:
        eta = (rungs[-1] / rungs[0]) ** (1 / (len(rungs) - 1))
    if eta <= 1:
        raise SettingError(f"eta={eta:g} must be above 1")
    return [float(length) for length in rungs], eta


def mean_length(plans: Sequence[Sequence[tuple[float, float]]], continue_: bool) -> float:
    """Return the mean training of a trial, as a share of the longest length.

    Args:
        plans: each of rungs, the shortest first: trials, or their share, and length.
        continue_: whether a promoted trial trains only what the rung below has not.
    """
    trained = count = 0.0
    for plan in plans:
        below = 0.0
        for trials, length in plan:
            trained += trials * (length - below)
            count += trials
            below = length if continue_ else 0.0
    return trained / count / max(plan[-1][1] for plan in plans)


def ranked(results: Sequence[Result]) -> list[Result]:
    """Return the results that have a score, best first; ties in the order of asking."""
    scored = [result for result in results if result.ok]
    return sorted(scored, key=lambda result: (-result.value, result.candidate.id))


class Fresh:
    """The source of new architectures: samples of the space, or an inner strategy.

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

    def lengthen(self, horizon: int) -> None:
        """Tell the inner strategy of a longer horizon."""
        if self.sampler is not None:
            lengthen(self.sampler, horizon)

    def tell(self, result: Result) -> None:
        """Tell the inner strategy the results of the lowest rung: they are comparable."""
        asked = self.inner.pop(result.candidate.id, None)
        if self.sampler is not None and asked is not None:
            self.sampler.tell(replace(result, candidate=asked))


def promote(
    id: int, result: Result, epochs: float, continue_: bool, operator: str = "promote"
) -> Candidate:
    """Return the candidate that continues from `result`, trained to `epochs` in total."""
    lower = result.candidate
    return Candidate(
        id,
        lower.arch,
        parents=(lower.id,),
        operator=operator,
        weights_from=(lower.id,) if continue_ else (),
        budget=Budget(epochs=epochs),
    )
