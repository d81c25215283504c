"""The part of a card about n-grams beside a language model: how both are weighed, and the gain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NGrams:
    """N-grams that are delivered beside a network.

    Args:
        count: of two tokens and more.
        shares: of the network, by the tokens that the n-grams know before a token. [0..1]
        gain: of both over the network alone, on text that neither had learnt from.
        deviation: of that gain.
    """

    count: int
    shares: tuple[float, ...]
    gain: float
    deviation: float


def lines(ngrams: NGrams | None, metric: str) -> list[str]:
    """Return the section of the page; none without n-grams.

    Args:
        ngrams: of the card.
        metric: of the scores.
    """
    if ngrams is None:
        return []
    shares = ", ".join(f"{share:.0%}" for share in ngrams.shares)
    weighed = (
        "Its probabilities are the weighted mean of those of the network and of "
        f"{ngrams.count:,} n-grams of training and validation part (Kneser-Ney smoothing)."
    )
    found = (
        f"The share of the network is {shares}, where the n-grams know 0, 1, 2 and more tokens before, "
        "found on validation text that neither had learnt from. There both together gained "
        f"{ngrams.gain:.4f} +- {ngrams.deviation:.4f} {metric} over the network alone."
    )
    alone = "Controls are networks alone; `--set train.ngrams=false` delivers the network alone."
    return [f"{weighed} {found} {alone}"]
