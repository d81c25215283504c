"""The command for CSV files, and its output."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.csv_reader import TextTable
from ...task.portable.errors import Unreadable
from .network import how_to_read, outputs, run, softmax


def column(table: TextTable, name: str, file: Path) -> Sequence[str]:
    """Return the cells of a column."""
    if name not in table.columns:
        raise Unreadable(
            f"{str(file)!r} has no column {name!r}, which the network needs: it has "
            f"{[*table.columns]}"
        )
    return table.columns[name]


def figures(mean: float, unit: float) -> int:
    """Return how many figures of a prediction are worth printing: eight of what varies. [count]"""
    ahead = math.log10(abs(mean) / unit) if mean and unit else 0.0
    return min(17, 8 + max(0, math.ceil(ahead)))


def write(y: np.ndarray, reading: dict[str, Any], probabilities: bool) -> None:
    """Print one line per row, from what the network says of it [N, outputs]."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    classes = reading.get("classes")
    if classes is None:
        writer.writerow([reading["target"]])
        places = figures(reading["target_mean"], reading["target_unit"])
        for value in y[:, 0] * reading["target_unit"] + reading["target_mean"]:
            writer.writerow([f"{value:.{places}g}"])
        return
    writer.writerow([reading["target"], *(classes if probabilities else ())])
    for row in softmax(y):
        told = [f"{share:.6f}" for share in row] if probabilities else []
        writer.writerow([classes[int(row.argmax())], *told])


def predict_table(
    inputs: Callable[[Path, dict[str, Any]], np.ndarray], description: str | None
) -> None:
    """Predict the file that the command line names; `inputs` makes the network's inputs of it."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a CSV file, plain or gzipped")
    parser.add_argument("--probabilities", action="store_true", help="of every class")
    asked = parser.parse_args()

    def predict() -> None:
        reading = how_to_read()
        y = np.concatenate([*outputs(inputs(asked.file, reading))])
        write(y, reading, asked.probabilities)

    run(predict)
