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
from ...task.portable.tokens import tokens, words
from .table import column, predict_table, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, T] int32, as the training data were read."""
    cells = column(table_at(file, reading), reading["text"], file)
    texts = as_texts(cells, reading["marks"])
    return tokens(map(words, texts), reading)


if __name__ == "__main__":
    predict_table(inputs, __doc__)
