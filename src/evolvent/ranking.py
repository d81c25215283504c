"""The one rule for the better of two results, used wherever results are put in order.

Results of different training lengths are not compared by score: the longest planned training comes
first, because a score after one epoch says little about a score after nine. Within a rung the higher
score is better; of equal scores, which small validation parts give often, the one of lower validation
loss; then the older candidate. Of trials on the same folds that are as good as the best one, the
smallest network is chosen (`simplest`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from .space import Space, key
from .types import Candidate, Result

Rank = tuple[float, float, float, int]


def rung(candidate: Candidate) -> float:
    """Return the rung of training that a candidate was planned for; higher is longer."""
    budget = candidate.budget
    return budget.epochs if budget.rung is None else budget.rung


def rank(result: Result) -> Rank:
    """Return the key by which results are compared; larger is better."""
    loss = result.metrics.get("loss", 0.0)
    return (rung(result.candidate), result.value, -loss, -result.candidate.id)


def ranked(results: Iterable[Result]) -> list[Result]:
    """Return the trials that have a score, the best first."""
    return sorted((result for result in results if result.scored), key=rank, reverse=True)


def best(results: Iterable[Result]) -> Result | None:
    """Return the best trial that has a score, or None."""
    return max((result for result in results if result.scored), key=rank, default=None)


def simplest(results: Iterable[Result]) -> Result | None:
    """Return the best trial or, of those that are as good on the same folds, the smallest network.

    As good is within one standard error of the mean paired difference over the folds; without folds
    only the best trial is as good as itself.
    """
    found = ranked(results)
    if not found:
        return None
    tied = [each for each in found if each is found[0] or _tied(found[0], each)]
    return min(tied, key=lambda each: math.inf if each.params is None else each.params)


def _tied(best: Result, other: Result) -> bool:
    scores, others = (each.metrics.get("fold_scores", ()) for each in (best, other))
    if rung(best.candidate) != rung(other.candidate) or not len(scores) == len(others) > 1:
        return False
    gaps = [one - two for one, two in zip(scores, others, strict=True)]
    folds = best.metrics.get("folds", len(gaps))  # repeats see the same rows again
    return bool(statistics.fmean(gaps) <= statistics.stdev(gaps) / math.sqrt(folds))


def distinct(results: Iterable[Result], space: Space, count: int) -> list[Result]:
    """Return the best trial of each of the `count` best architectures, best first."""
    found: dict[object, Result] = {}
    for result in ranked(results):
        found.setdefault(key(space, result.candidate.arch), result)
    return list(found.values())[:count]
