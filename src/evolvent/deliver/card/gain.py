"""Whether a search was better than the best of the hand-made networks that it began with."""

from __future__ import annotations

import math

from .values import Card


def gain_of(card: Card) -> tuple[float, float] | None:
    """Return the gain of the winner over the best known member on test, and its standard error.

    Both were trained equally long in seconds. A score is taken as a share of right answers; the error
    is that of two networks which have nothing in common, so it is an upper bound.
    """
    won, known = card.controls.get("briefly"), card.controls.get("known")
    count = card.data.get("test")
    if won is None or known is None or not count:
        return None
    if won.test_score is None or known.test_score is None:
        return None
    spread = sum(
        max(share * (1 - share), 1 / count) / count
        for share in (min(1.0, max(0.0, each.test_score or 0.0)) for each in (won, known))
    )
    return won.test_score - known.test_score, math.sqrt(spread)
