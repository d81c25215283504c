"""Predict the rows of a CSV file with the network of this folder; needs torch and numpy only.

    python predict.py FILE.csv [--probabilities] > predictions.csv

The file has the column of texts of the training data; others are not read. One line per row is written
to standard output: the class, with ``--probabilities`` followed by the probability of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import as_texts
from ...task.portable.csv_reader import read_csv
from ...task.portable.tokens import tokens, words
from .table import column, predict_table

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, T] int32, as the training data were read."""
    texts = as_texts(column(read_csv(file), reading["text"], file), reading["marks"])
    return tokens(map(words, texts), reading)


if __name__ == "__main__":
    predict_table(inputs, __doc__)
