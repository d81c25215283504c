"""From numbers and categories to the inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def features(columns: Mapping[str, np.ndarray], reading: Mapping[str, Any]) -> np.ndarray:
    """Return the inputs of a network [N, F] float32, as `reading` says.

    A number is z / sqrt(1 + (z / clip)^2) of its standard score z, so that a wild one in a new file
    stays within ``clip``. A category that is unknown or rare is the shared one, where there is one.

    Args:
        columns: name -> numbers [N] float64, NaN where one is missing, or text [N] object.
        reading: ``clip``, and of every column what `evolvent.task.numbers.learnt` says.
    """
    found: list[np.ndarray] = []
    for column in reading["columns"]:
        values = columns[column["name"]]
        if column["type"] == "number":
            unknown = np.isnan(values)
            z = (np.where(unknown, column["median"], values) - column["mean"]) / column["std"]
            found.append(z / np.sqrt(1 + (z / reading["clip"]) ** 2))
            if column["missing"]:
                found.append(unknown)
        else:
            known = [values == each for each in column["categories"]]
            found += known
            if column["rare"]:
                found.append(~np.any(known, axis=0))
    return np.stack(found, axis=1).astype(np.float32)
