"""Predict the rows of a table with the network of this folder; needs torch and numpy only.

    python predict.py FILE [--probabilities] > predictions.csv

FILE is of any form that the search reads: CSV with any separator and encoding, JSON lines, ARFF,
plain or packed; parquet and feather where pyarrow is installed, Excel where python-calamine is. It
has the column of texts of the training data; others are not read. One line per row is written to
standard output: the class, with ``--probabilities`` followed by the probability of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import as_texts
from ...task.portable.tokens import PADDING, UNKNOWN, tokens, words
from .table import column, predict_table, remark, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, T] int32, as the training data were read."""
    cells = column(table_at(file, reading), reading["text"], file)
    texts = as_texts(cells, reading["marks"])
    found = tokens(map(words, texts), reading)
    for line in strange_texts(found, reading):
        remark(line, reading)
    return found


def strange_texts(found: np.ndarray, reading: dict[str, Any]) -> list[str]:
    """Return a line each for texts without a word, and without one that the network knows.

    Args:
        found: the tokens of the texts. [N, T]
        reading: ``text``, the name of their column.
    """
    empty = (found == PADDING).all(1)
    strange = ~empty & (found <= UNKNOWN).all(1)
    return [
        f"column {reading['text']!r}: {mask.sum():,} of {len(mask):,} texts {what}, the first in row "
        f"{int(mask.argmax()) + 1}"
        for mask, what in (
            (empty, "hold no word"),
            (strange, "hold no word that the network knows"),
        )
        if mask.any()
    ]


if __name__ == "__main__":
    predict_table(inputs, __doc__)
