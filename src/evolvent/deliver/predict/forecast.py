"""Forecast the next rows of a table with the network of this folder; needs torch and numpy only.

    python predict.py FILE [--strict] > forecast.csv

FILE has the columns of the training data, the target among them, in any order of columns, its rows in
the order of time; it is of any form that the search reads. The forecast is made from the last rows, as
many as a window has, and one line for each of the next rows is written to standard output. A missing
target is the last one that is known. Cells that cannot be read are named on standard error; with
``--strict`` they are an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.columns import read_column
from ...task.portable.dates import seconds_of
from ...task.portable.errors import Unreadable
from ...task.portable.unread import misread, misread_lines
from ...task.portable.windows import channels, windows
from .network import remark
from .table import column, predict_table, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the last window [1, C, N] float32, or as lags [1, C * N]."""
    table, length = table_at(file, reading), reading["window"]
    columns, odd = {}, []
    for each in (reading["form"], *reading["columns"]):
        cells = column(table, each["name"], file)
        read = read_column(cells, each)
        columns[each["name"]] = read.values
        if (what := misread(cells, read, each)) is not None:
            odd.append(what)
    for line in misread_lines(odd):
        remark(line, reading)
    target = columns[reading["target"]]
    if len(target) < length:
        raise Unreadable(
            f"{str(file)!r} has {len(target)} rows, the network forecasts from the last {length}: give "
            "more rows"
        )
    if name := _goes_back(columns, reading):
        remark(
            f"the rows go back in time in column {name!r}: what follows the last of them is told; sort "
            "them by time, the oldest first",
            reading,
        )
    if gaps := int(np.isnan(target[-length:]).sum()):
        remark(f"column {reading['target']!r} misses {gaps} of the last {length} values", reading)
    values = channels(columns, reading)
    found = windows(values, np.array([len(target) - 1]), length)
    if np.isnan(found).any():
        raise Unreadable(
            f"{str(file)!r}: column {reading['target']!r} has no value before the last {length} rows, "
            "and misses the first of them: give rows from one on that has a value"
        )
    return found.reshape(1, -1) if reading["lags"] else found


def _goes_back(columns: dict[str, np.ndarray], reading: dict[str, Any]) -> str:
    """Return a column of dates by which the last window is not in order; "" if one says that it is."""
    back = ""
    for each in reading["columns"]:
        if each["type"] != "date" or each["order"] in ("clock", "duration"):
            continue
        seconds = seconds_of(columns[each["name"]][-reading["window"] :], each["order"])
        if not (np.diff(seconds[~np.isnan(seconds)]) < 0).any():
            return ""
        back = back or each["name"]
    return back


if __name__ == "__main__":
    predict_table(inputs, __doc__)
