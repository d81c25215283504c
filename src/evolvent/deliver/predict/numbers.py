"""Predict the rows of a table with the network of this folder; needs torch and numpy only.

    python predict.py FILE [--probabilities] [--interval 0.9] [--json] [--strict] > predictions.csv

FILE is of any form that the search reads: CSV with any separator and encoding, JSON lines, ARFF,
plain or packed; parquet and feather where pyarrow is installed, Excel where python-calamine is. It
has the columns of the training data, in any order; others are not read. One line per row is written
to standard output: the class, with ``--probabilities`` followed by the probability of each; the
predicted quantity in its own unit, with ``--interval`` followed by its lower and upper bound, or
several; or the labels, those with a probability above 0.5, as the training data write them.
``--json`` writes one JSON object per row. Cells that cannot be read and unknown categories are named
on standard error; with ``--strict`` they are an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import read_column
from ...task.portable.features import features
from ...task.portable.unread import misread, misread_lines
from .network import remark
from .table import column, predict_table, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, F] float32, as the training data were read."""
    table = table_at(file, reading)
    columns, odd = {}, []
    for each in reading["columns"]:
        name = each["name"]
        cells = column(table, name, file)
        found = read_column(cells, each)
        columns[name] = found.values
        if found.foreign.other:
            remark(f"column {name!r}: the decimal sign is the other one here", reading)
        if (what := misread(cells, found, each)) is not None:
            odd.append(what)
    for line in misread_lines(odd):
        remark(line, reading)
    return features(columns, reading)


if __name__ == "__main__":
    predict_table(inputs, __doc__)
