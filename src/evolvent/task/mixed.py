"""Columns of texts beside other columns: which they are, and what is learnt of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .frames import Frame
from .portable.columns import CATEGORIES
from .portable.features import tokens_of
from .portable.raw import as_written
from .portable.tokens import READERS
from .scales import mean_and_std

FEW = 40  # different cells, up to which sentences are categories [count]
TEXT_WORDS = 4  # of the median cell of a column of texts [count]
TEXT_SHARED = 0.5  # of its words: so many occur in several cells, which names and codes lack
TEXT_SAMPLE = 2000  # cells that this is judged by [count]
MOST_TOKENS = 4096  # of a text, beside other columns [count]
MOST_INPUTS = 2**27  # of all texts of a column, as numbers of 4 bytes [count]
SHORT = 2  # words of the median text, up to which texts may be codes [count]
RARE = 0.5  # share of different words that occur once, from which on short texts are codes


def is_text(cells: np.ndarray) -> bool:
    """Whether a column of texts [N] object holds sentences, and neither categories, names nor codes.

    Its usual cell has several words, and most words occur in several cells.
    """
    filled = cells[cells != ""]
    step = max(1, len(filled) // TEXT_SAMPLE)
    sample = dict.fromkeys(filled[::step].tolist())
    if len(set(filled.tolist())) <= FEW:
        return False
    found = [[w for w in READERS["all"](cell) if w[0].isalnum()] for cell in sample]
    if sorted(map(len, found))[len(found) // 2] < TEXT_WORDS:
        return False
    counts = Counter(word for row in found for word in set(row))
    return sum(n for n in counts.values() if n > 1) >= TEXT_SHARED * counts.total()


def cells_of(frame: Frame, name: str) -> tuple[list[str], list[str]]:
    """Return the cells of a column as texts, and what stands for a missing one."""
    about = frame.about.get(name)
    marks = list(CATEGORIES["marks"] if about is None else about.form["marks"])
    values = frame.written.get(name, frame.column(name))
    return ["" if each.strip() in marks else each for each in as_written(values)], marks


def textual(name: str, texts: list[str], marks: list[str], notes: list[str]) -> dict[str, Any]:
    """Return what is learnt of a column of texts: how they are split, and how many tokens are read."""
    column: dict[str, Any] = {"name": name, "type": "text", "marks": marks, "tokens": "all"}
    if are_codes(texts):
        column["tokens"] = "characters"
    counts = np.array([len(row) for row in tokens_of(texts, column)])
    most = min(MOST_TOKENS, max(64, MOST_INPUTS // len(texts)))
    column["length"] = int(np.clip(np.quantile(counts, 0.99), 1, most))
    mean, std = mean_and_std(np.log1p(counts))
    what = "short codes, by their characters" if column["tokens"] == "characters" else "texts"
    longer = int((counts > column["length"]).sum())
    cut = f"; of {longer:,} longer ones the first third and the last two thirds of as many"
    notes.append(
        f"column {name!r} is read as {what}: a bag of its words and pairs beside the other columns, "
        f"up to {column['length']:,} tokens{cut if longer else ''} (--categorical {name} or --ignore "
        f"{name} says otherwise)"
    )
    return column | {"mean": mean, "std": std or 1.0}


def are_codes(texts: Sequence[str]) -> bool:
    """Whether texts are short codes, whose words say little because most of them occur only once."""
    split = [READERS["words"](text) for text in texts]
    counts = Counter(word for text in split for word in text)
    once = sum(count == 1 for count in counts.values())
    median = sorted(map(len, split))[len(split) // 2] if split else 0
    return 0 < median <= SHORT and once > RARE * len(counts)
