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


def ladder(
    epochs: float,
    minimum: float | None,
    eta: float | None,
    rungs: Sequence[float] | None = None,
    levels: int | None = None,
) -> tuple[list[float], float]:
    """Return the training lengths of the rungs, shortest first and full length last, and eta.

    Args:
        epochs: the full length R. [epochs]
        minimum: lower bound of the shortest rung; None is 1 epoch, or `epochs` if that is less.
            [epochs]
        eta: ratio of the lengths of successive rungs; None is 3, or the mean ratio of `rungs`.
        rungs: the lengths themselves, in place of the other settings. [epochs]
        levels: number of rungs, in place of `minimum`. [count]

    Raises:
        SettingError: if `eta` is not above 1, or the lengths do not ascend from above 0.
    """
    if levels is not None:
        if levels < 1 or minimum is not None or rungs is not None:
            raise SettingError(f"levels={levels} must be at least 1, without minimum and rungs")
        eta = 3.0 if eta is None else eta
        if eta > 1:
            return [epochs * eta**-step for step in range(levels - 1, -1, -1)], eta
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
            f"eta={eta} must be above 1 and minimum={least} above 0, at most epochs={epochs}"
        )
    if rungs is not None:
        return [float(length) for length in rungs], eta
    steps = math.floor(math.log(epochs / least, eta) + ROUNDING)
    return [epochs * eta**-step for step in range(steps, -1, -1)], eta


def mean_length(steps: Sequence[float], eta: float) -> float:
    """Return the mean training length of a trial, as a share of the longest one."""
    counts = [eta**-level for level in range(len(steps))]
    whole = sum(count * length for count, length in zip(counts, steps, strict=True))
    return whole / sum(counts) / steps[-1]


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
