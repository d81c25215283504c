"""Whether a search was better than the best of the hand-made networks that it began with."""

from __future__ import annotations

import math

from .baselines import of_a_share
from .values import Card


def gain_of(card: Card) -> tuple[float, float] | None:
    """Return the gain of the winner over the best known member on test, and its standard error.

    Both were trained equally long in seconds. The error is that of two networks which have nothing in
    common, so it is an upper bound. Of another metric than accuracy it is not known, so there is None.
    """
    won, known = card.controls.get("briefly"), card.controls.get("known")
    count = card.data.get("test")
    if won is None or known is None or not count or card.metric != "accuracy":
        return None
    if won.test_score is None or known.test_score is None:
        return None
    errors = (of_a_share(each, count) for each in (won.test_score, known.test_score))
    return won.test_score - known.test_score, math.hypot(*errors)
