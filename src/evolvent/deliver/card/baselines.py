"""Baselines on a card, and the verdict: whether one of them is better than the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import Card

RULES = ("last-value", "seasonal-naive")  # that learn nothing
OURS = ("kneser-ney",)  # that are not scikit-learn's
DEVIATIONS = 2.0  # of a difference: what the luck of the draw explains
LABELS = {
    "boosted-trees": "gradient-boosted trees (scikit-learn's HistGradientBoosting)",
    "extra-trees": "300 extremely randomised trees (scikit-learn's ExtraTrees)",
    "last-value": "the last value",
    "seasonal-naive": "the value one season before (seasonal-naive)",
    "kneser-ney": "n-grams of up to 5 tokens, Kneser-Ney smoothing",
    "linear": "a linear model (scikit-learn)",
    "nb-pairs": "words and pairs weighted by naive Bayes, with logistic regression (scikit-learn)",
    "tf-idf": "TF-IDF of words and pairs with logistic regression (scikit-learn)",
}


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method that is no network, fitted beside the winner.

    Args:
        val_score: on validation data, when it had learnt from the training data alone.
        test_score: on test data, when it had learnt from both; None without test data or time.
        val_error: standard error of `val_score`.
        test_error: standard error of `test_score`.
        seconds: of learning from the training data and answering, of one core. [s]
        left_out: why it has no scores; empty if it has.
    """

    val_score: float | None = None
    test_score: float | None = None
    val_error: float | None = None
    test_error: float | None = None
    seconds: float | None = None
    left_out: str = ""


def better(card: Card) -> str | None:
    """Return the baseline that is better than the network by more than chance; None if none is.

    It is ahead on validation and on test, and on both together by more than the luck of the draw of
    so many rows. A score without a standard error is taken as a share. Without test data validation
    decides, which flatters the network: it was chosen there. Of several the best on validation is
    returned.
    """
    ahead = {
        name: each.val_score
        for name, each in card.baselines.items()
        if each.val_score is not None and _is_ahead(card, each)
    }
    return max(ahead, key=lambda name: ahead[name], default=None)


def _is_ahead(card: Card, each: Baseline) -> bool:
    own_error = (card.test_metrics or {}).get("standard-error")
    parts = {
        "validation": (card.val_score, each.val_score, None, each.val_error),
        "test": (card.test_score, each.test_score, own_error, each.test_error),
    }
    ahead = spread = 0.0
    if card.ngrams is not None:
        del parts["validation"]  # it is that of the network alone
    for part, (own, other, error, other_error) in parts.items():
        if own is None or other is None:
            if part == "test" and own is None and card.val_score is not None:
                continue  # there are no test data
            return False
        if other <= own:
            return False
        count = max(1, int(card.data.get(part) or 1))
        if other_error is None:
            other_error = of_a_share((own + other) / 2, count)
        error = other_error if error is None else error
        ahead += count * (other - own)
        spread += count**2 * (error**2 + other_error**2)
    return ahead > DEVIATIONS * math.sqrt(spread)


def of_a_share(share: float, count: int) -> float:
    """Return the standard error of a share of `count` rows."""
    share = min(1.0, max(0.0, share))
    return math.sqrt(max(share * (1 - share), 1 / count) / count)


def verdict(card: Card) -> str | None:
    """Return the sentence that a card begins with if a baseline is better than its network."""
    name = better(card)
    if name is None:
        return None
    each = card.baselines[name]
    label = LABELS.get(name, name)
    scores = [
        f"{part} {card.metric} {other:.4f} against {own:.4f}"
        for part, other, own in (
            ("test", each.test_score, card.test_score),
            ("validation", each.val_score, card.val_score),
        )
        if other is not None and own is not None
    ]
    how = "" if name in RULES else f", fitted in {each.seconds:.1f} s of one core"
    return f"Better than this network, by more than chance: {label}{how}. Its {', '.join(scores)}."


def of_scikit_learn(name: str) -> str:
    """Return where a baseline comes from, to stand behind its name."""
    return "" if name in (*RULES, *OURS) else " of scikit-learn"


def told(baselines: Mapping[str, Baseline]) -> str:
    """Return sentences about how baselines were fitted, and which are left out."""
    if not baselines:
        return ""
    text = ""
    learnt = [name for name, each in baselines.items() if each.val_score is not None]
    if learnt := [name for name in learnt if name not in RULES]:
        which = "The n-grams" if set(learnt) <= set(OURS) else "Controls of scikit-learn"
        text = (
            f" {which} learnt from the training part for validation, and from training "
            "and validation for test."
        )
    reasons: dict[str, list[str]] = {}
    for name, each in baselines.items():
        if each.left_out:
            reasons.setdefault(each.left_out, []).append(name)
    for why, names in reasons.items():
        text += f" Left out: {', '.join(names)} ({why})."
    return text
