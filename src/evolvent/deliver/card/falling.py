"""Whether test is worse than validation by more than chance explains."""

from __future__ import annotations

import math

from .baselines import of_a_share
from .values import Card

DEVIATIONS = 2.0  # of the difference of two scores: what chance explains at least


def fall_of(card: Card) -> float | None:
    """Return the fall from validation to test, if it is beyond chance; else None.

    Without its standard error a score is taken as a share of right answers. That of validation was the
    best of many, so it owes a part to luck: chance reaches as far as the largest of so many deviations.
    """
    counts = [card.data.get(part) for part in ("validation", "test")]
    if card.val_score is None or card.test_score is None or not all(counts):
        return None
    examples = [max(1, int(count)) for count in counts if count]
    reach = max(DEVIATIONS, math.sqrt(2 * math.log(max(1, card.trials or 1))))
    fall = card.val_score - card.test_score
    error = (card.test_metrics or {}).get("standard-error")
    if error is not None:  # of test; that of validation follows from its rows
        spread = error**2 * (1 + examples[1] / examples[0])
        return fall if fall > reach * math.sqrt(spread) else None
    if card.metric.startswith("neg-"):
        return None
    share = (card.val_score + card.test_score) / 2
    spread = math.hypot(*(of_a_share(share, count) for count in examples))
    return fall if fall > reach * spread else None
