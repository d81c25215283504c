"""The one rule for the better of two results, used wherever results are put in order.

Results of different training lengths are not compared by score: the longest planned training comes
first, because a score after one epoch says little about a score after nine. Within a rung the higher
score is better; of equal scores, which small validation parts give often, the one of lower validation
loss; then the older candidate.
"""

from __future__ import annotations

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


def distinct(results: Iterable[Result], space: Space, count: int) -> list[Result]:
    """Return the best trial of each of the `count` best architectures, best first."""
    found: dict[object, Result] = {}
    for result in ranked(results):
        found.setdefault(key(space, result.candidate.arch), result)
    return list(found.values())[:count]
