"""Predict the rows of a CSV file with the network of this folder; needs torch and numpy only.

    python predict.py FILE.csv [--probabilities] > predictions.csv

The file has the columns of the training data, in any order; others are not read. One line per row is
written to standard output: the class, with ``--probabilities`` followed by the probability of each, or
the predicted quantity in its own unit.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import read_column
from ...task.portable.csv_reader import read_csv
from ...task.portable.features import features
from .table import column, predict_table

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, F] float32, as the training data were read."""
    table = read_csv(file)
    columns = {}
    for each in reading["columns"]:
        name = each["name"]
        columns[name], foreign = read_column(column(table, name, file), each)
        if foreign.other:
            print(f"column {name!r}: the decimal sign is the other one here", file=sys.stderr)
    return features(columns, reading)


if __name__ == "__main__":
    predict_table(inputs, __doc__)
