"""The command for tables, and its output."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...task.portable.bounds import bounds
from ...task.portable.errors import Unreadable
from ...task.portable.forms import READ, read_table
from ...task.portable.raw import Cells, RawTable
from .answers import answers, header, header_of_chances
from .network import Odd, how_to_read, outputs, run


def table_at(file: Path, reading: dict[str, Any]) -> RawTable:
    """Return the table of a file, read as the training data were; its notes go to stderr."""
    table = read_table(file, learnt=reading.get("file"))
    for line in table.notes:
        print(f"predict.py: {line}", file=sys.stderr)
    return table


def column(table: RawTable, name: str, file: Path) -> Cells:
    """Return the cells of a column."""
    if name not in table.columns:
        raise Unreadable(
            f"{str(file)!r} has no column {name!r}, which the network needs: it has "
            f"{[*table.columns]}"
        )
    return table.columns[name]


def write(
    y: np.ndarray, reading: dict[str, Any], probabilities: bool, interval: float | None = None
) -> None:
    """Print one line per row, from what the network says of it [N, outputs]."""
    names, chances = header(reading), header_of_chances(reading)
    texts = (*names, *reading.get("classes", ()), *reading.get("labels", ()))
    # by itself csv quotes no lone carriage return, at which many readers would break the line
    broken = any("\r" in name for name in texts)
    writer = csv.writer(
        sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL if broken else csv.QUOTE_MINIMAL
    )
    added = _added(reading, interval)
    ends = [f"{names[0]}_{end}" for end in ("lower", "upper")[: len(added) - 1]]
    writer.writerow([*names, *ends, *(chances if probabilities else ())])
    for answer in answers(y, reading, added):
        told = [f"{share:.6f}" for share in answer.chances.values()] if probabilities else []
        writer.writerow([*answer.cells, *told])


def write_json(y: np.ndarray, reading: dict[str, Any], interval: float | None = None) -> None:
    """Print one JSON object per row, with the probability of every class or label."""
    for answer in answers(y, reading, _added(reading, interval)):
        more = {"probabilities": answer.chances} if answer.chances else {}
        print(json.dumps(answer.values | more))


def _added(reading: dict[str, Any], interval: float | None) -> tuple[float, ...]:
    """Return the differences of the printed numbers from a prediction: 0, and those of its bounds."""
    if interval is None:
        return (0.0,)
    if reading["task"] != "regression":
        what = "labels" if "labels" in reading else "classes"
        shown = ", ".join(map(repr, header(reading)))
        raise Odd(f"--interval is for quantities, {shown} has {what}: leave it out")
    if not isinstance(reading["target"], str):
        raise Odd("--interval is for one quantity, this network has several: leave it out")
    if reading["kind"] in ("forecast", "series"):
        raise Odd("--interval is for tables whose rows are apart, not for series: leave it out")
    if reading.get("interval") is None:
        raise Odd(
            "--interval: this network has no errors of held-out rows (see card.md): leave it out"
        )
    try:
        return (0.0, *bounds(reading["interval"], interval))
    except ValueError as error:
        raise Odd(f"--interval: {error}") from error


def predict_table(
    inputs: Callable[[Path, dict[str, Any]], np.ndarray], description: str | None
) -> None:
    """Predict the file that the command line names; `inputs` makes the network's inputs of it."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help=f"a table: {READ}")
    parser.add_argument("--probabilities", action="store_true", help="of every class or label")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    parser.add_argument(
        "--interval",
        type=float,
        metavar="LEVEL",
        help="of a quantity: bounds that hold the true value so often, such as 0.9",
    )
    parser.add_argument(
        "--strict", action="store_true", help="cells that cannot be read are an error"
    )
    parser.add_argument("--encoding", help="of a file of text, such as gbk; found by itself")
    parser.add_argument("--sheet", help="of a workbook; that of the training data")
    asked = parser.parse_args()

    def predict() -> None:
        reading = how_to_read()
        reading["strict"] = asked.strict
        said = {"sheet": asked.sheet} if asked.sheet else {}
        said |= {"encoding": asked.encoding, "said": True} if asked.encoding else {}
        reading["file"] = reading.get("file", {}) | said
        y = np.concatenate([*outputs(inputs(asked.file, reading))])
        if asked.json:
            write_json(y, reading, asked.interval)
        else:
            write(y, reading, asked.probabilities, asked.interval)

    run(predict)
