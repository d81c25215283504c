"""Columns of texts beside other columns: how they are recognised, and how they are read."""

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
TEXT_SHARED = (
    2  # of these, such as several cells have, and not most: names and codes lack them [count]
)
TEXT_SAMPLE = 2000  # cells that this is judged by [count]
MOST_TOKENS = 4096  # of a text, beside other columns [count]
MOST_INPUTS = 2**27  # of all texts of a column, as numbers of 4 bytes [count]
SHORT = 2  # words of the median text, up to which texts may be codes [count]
RARE = 0.5  # share of different words that occur once, from which on short texts are codes


def is_text(cells: np.ndarray) -> bool:
    """Whether a column of texts [N] object holds sentences, and neither categories, names nor codes.

    Its usual cell has several words, two of them such as other cells have too, but not most of them.
    """
    filled = cells[cells != ""]
    if len(set(filled.tolist())) <= FEW:
        return False
    sample = dict.fromkeys(filled[:: max(1, len(filled) // TEXT_SAMPLE)].tolist())
    found = [{w for w in READERS["all"](cell) if w[0].isalnum()} for cell in sample]
    counts = Counter(word for row in found for word in row)
    shared = {word for word, n in counts.items() if 2 <= n <= len(found) / 2}
    return all(
        sorted(sizes)[len(found) // 2] >= least
        for sizes, least in (
            ([len(row) for row in found], TEXT_WORDS),
            ([len(row & shared) for row in found], TEXT_SHARED),
        )
    )


def cells_of(frame: Frame, name: str) -> tuple[list[str], list[str]]:
    """Return the cells of a column as texts, and what stands for a missing one."""
    about = frame.about.get(name)
    marks = list(CATEGORIES["marks"] if about is None else about.form["marks"])
    values = frame.written.get(name, frame.column(name))
    return ["" if each.strip() in marks else each for each in as_written(values)], marks


def textual(name: str, texts: list[str], marks: list[str], notes: list[str]) -> dict[str, Any]:
    """Return the reading of a column of texts: how they are split, how many tokens are read."""
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
