"""Predict series with the network of this folder; needs torch and numpy only.

    python predict.py FILE [--probabilities] [--strict] > predictions.csv

FILE is an .npz file with an array ``x`` [N, channels, time] (or ``x_test``, or ``x_train``), a .ts file
of the UCR archive, or a table with the columns of the time steps, of any form that the search reads.
One line per series is written to standard output: the class, with ``--probabilities`` followed by the
probability of each, or the predicted quantity in its own unit. Cells that cannot be read are named on
standard error; with ``--strict`` they are an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import read_column
from ...task.portable.errors import Unreadable
from ...task.portable.sequences import read_series_npz, read_ts, standardised, with_channels
from ...task.portable.unread import misread, misread_lines
from .network import remark
from .table import column, predict_table, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, C, T] float32, as the training data were read."""
    suffix = file.suffix.lower()
    if suffix == ".npz":
        x = read_series_npz(file)
    elif suffix == ".ts":
        x = read_ts(file).x
    else:
        x = steps_of(file, reading)
    found = with_channels(x)
    wanted = (reading["channels"], reading["steps"])
    if found.shape[1:] != wanted:
        raise Unreadable(
            f"{str(file)!r} has series of {found.shape[1]} channels and {found.shape[2]} steps, the "
            f"network takes {wanted[0]} and {wanted[1]}"
        )
    if gaps := int(np.isnan(found).sum()):
        remark(f"{gaps:,} missing values are the last one before each", reading)
    return standardised(found, reading)


def steps_of(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the time steps of a table [N, T]."""
    if not reading.get("columns"):
        raise Unreadable(f"{str(file)!r}: the network was trained on .npz or .ts files: give one")
    table = table_at(file, reading)
    values, odd = [], []
    for each in reading["columns"]:
        cells = column(table, each["name"], file)
        found = read_column(cells, each)
        values.append(found.values)
        if (what := misread(cells, found, each)) is not None:
            odd.append(what)
    for line in misread_lines(odd):
        remark(line, reading)
    return np.stack(values, axis=1)


if __name__ == "__main__":
    predict_table(inputs, __doc__)
