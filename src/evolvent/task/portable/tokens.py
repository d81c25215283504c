"""From texts to words, and from words to tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

TAG = r"<[^<>]{1,200}>"
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:'[^\W_]+)*"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def words(text: str) -> list[str]:
    """Return the words of a text, in their order."""
    return re.findall(WORD, re.sub(TAG, " ", text.lower()))


def tokens(texts: Iterable[list[str]], reading: Mapping[str, Any]) -> np.ndarray:
    """Return texts as tokens [N, T] int32, as `reading` says.

    Of a text that is too long the first third and the last two thirds of the length are kept: what
    it says is mostly told at its end, what it is about at its start.
    """
    token = {word: place for place, word in enumerate(reading["words"], start=FIRST_WORD)}
    length = reading["length"]
    head = length // 3
    rows = []
    for text in texts:
        kept = text if len(text) <= length else text[:head] + text[len(text) - length + head :]
        row = np.full(length, PADDING, np.int32)
        row[: len(kept)] = [token.get(word, UNKNOWN) for word in kept]
        rows.append(row)
    return np.stack(rows)


def strange_texts(found: np.ndarray) -> dict[str, np.ndarray]:
    """Return what texts may lack -> the mask of those that lack it [N], from their tokens [N, T]."""
    empty = (found == PADDING).all(1)
    return {
        "hold no word": empty,
        "hold no word that the network knows": ~empty & (found <= UNKNOWN).all(1),
    }
