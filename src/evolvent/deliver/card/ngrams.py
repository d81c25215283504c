"""The part of a card about n-grams beside language models: how all are weighed, and the gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NAMES = {"gru": "a GRU", "plain": "an LSTM", "random": "a random candidate"}


@dataclass(frozen=True, kw_only=True)
class NGrams:
    """N-grams that are delivered beside a network, or several.

    Args:
        count: of two tokens and more.
        networks: name -> weight in the mean; the rest is that of the n-grams. [0..1]
        gain: of all over the winner alone, on text that none had learnt from.
        deviation: of that gain.
    """

    count: int
    networks: Mapping[str, float]
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
    named = [f"{NAMES.get(name, 'the winner')} ({w:.0%})" for name, w in ngrams.networks.items()]
    rest = 1 - sum(ngrams.networks.values())
    weighed = (
        f"Its probabilities are the weighted mean of those of {', '.join(named)} and {ngrams.count:,} "
        f"n-grams of training and validation part ({rest:.0%}; Kneser-Ney smoothing)."
    )
    found = (
        "The weights depend on how many tokens before a token the n-grams know, and were found on "
        "validation text that none had learnt from. There all together gained "
        f"{ngrams.gain:.4f} +- {ngrams.deviation:.4f} {metric} over the winner alone."
    )
    alone = "Controls are networks alone; `--set train.ngrams=false` delivers the winner alone."
    return [f"{weighed} {found} {alone}"]
