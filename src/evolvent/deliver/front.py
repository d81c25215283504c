"""The front of a search: the candidates that no other beats in every goal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..config.setup import Setup
from ..ranking import rung
from ..strategy.pareto import costs
from ..types import Result


def front(results: Sequence[Result], minimise: Sequence[str]) -> dict[int, tuple[float, ...]]:
    """Return the trials of the longest training that no other beats in score and in every metric.

    Args:
        results: of a search.
        minimise: metrics of a result to keep low, or ``params``, ``flops``, ``seconds``.

    Returns:
        Id -> its metrics, in the order of the first of them.
    """
    import moocore

    told = [result for result in results if result.scored]
    longest = max((rung(result.candidate) for result in told), default=0.0)
    points = {
        r.candidate.id: (-r.value, *costs(r, minimise))
        for r in told
        if rung(r.candidate) == longest and math.isfinite(sum(costs(r, minimise)))
    }
    if not points:
        return {}
    keeps = moocore.is_nondominated(np.array(list(points.values())))
    found = {id: point[1:] for (id, point), keep in zip(points.items(), keeps, strict=True) if keep}
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0])))


@dataclass(frozen=True)
class Front:
    """The front of a search, for its card.

    Args:
        minimise: metrics that were kept low beside a high score.
        points: ``id``, ``score`` and every metric of `minimise`, the smallest of the first one first.
    """

    minimise: tuple[str, ...]
    points: tuple[Mapping[str, float], ...]


def front_of(setup: Setup, results: Sequence[Result]) -> Front | None:
    """Return the front of a search; None for a search with one goal.

    Args:
        setup: of the run.
        results: of its search.
    """
    minimise = setup.objectives
    if not minimise:
        return None
    scores = {r.candidate.id: r.value for r in results if r.scored}
    points = tuple(
        {"id": id, "score": scores[id]} | dict(zip(minimise, values, strict=True))
        for id, values in front(results, minimise).items()
    )
    return Front(tuple(minimise), points)
