"""From the rows of a table in the order of time to the windows that a forecast is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .features import features, width


def carried(values: np.ndarray) -> np.ndarray:
    """Return numbers [N] with the last one that is known for every NaN; the first may stay NaN."""
    known = np.where(np.isnan(values), 0, np.arange(len(values)))
    filled: np.ndarray = values[np.maximum.accumulate(known)]
    return filled


def channels(columns: Mapping[str, np.ndarray], reading: Mapping[str, Any]) -> np.ndarray:
    """Return the channels of the rows of a table [C, N] float32.

    The first is the target in units from its mean, wild values as the nearest that are not; a missing
    one is the last that is known. The others are the inputs that `features` makes of the other columns;
    of a date without the time that has passed, which no training row has seen of a later one.

    Args:
        columns: name -> numbers [N] float64, NaN where one is missing, or text [N] object.
        reading: ``target``, ``target_mean``, ``target_unit``, ``low``, ``high`` and ``columns``.
    """
    own = np.clip(carried(columns[reading["target"]]), reading["low"], reading["high"])
    found = [((own - reading["target_mean"]) / reading["target_unit"])[None]]
    if reading["columns"]:
        others, at = features(columns, reading).T, 0
        kept: list[int] = []
        for column in reading["columns"]:
            first = at + (column["type"] == "date")
            at += width(column)
            kept += range(first, at)
        found.append(others[kept])
    return np.concatenate(found).astype(np.float32)


def windows(values: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Return the windows of channels that end with some rows.

    Args:
        values: channels [C, N].
        ends: the last row of every window [W].
        length: of a window. [rows]

    Returns:
        [W, C, length]
    """
    rows = np.asarray(ends)[:, None] - np.arange(length - 1, -1, -1)
    return np.ascontiguousarray(values[:, rows].transpose(1, 0, 2))
