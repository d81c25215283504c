"""Predict the rows of a table with the network of this folder; needs torch and numpy only.

    python predict.py FILE [--probabilities] [--json] [--strict] > predictions.csv

FILE is of any form that the search reads: CSV with any separator and encoding, JSON lines, ARFF,
plain or packed; parquet and feather where pyarrow is installed, Excel where python-calamine is. It
has the column of texts of the training data; others are not read. One line per row is written to
standard output: the class, with ``--probabilities`` followed by the probability of each.
Texts without a word that the network knows are told on standard error; with ``--strict`` they are an
error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...task.portable.columns import as_texts
from ...task.portable.tokens import read_texts, strange_texts
from .network import remark
from .table import column, predict_table, table_at

# ---- from a file to inputs -----------------------------------------------------------------------


def inputs(file: Path, reading: dict[str, Any]) -> Any:
    """Return the inputs of the network, tokens, as the training data were read."""
    cells = column(table_at(file, reading), reading["text"], file)
    texts = as_texts(cells, reading["marks"])
    found = read_texts(texts, reading)
    for what, mask in strange_texts(found).items():
        if mask.any() and what not in reading.get("strange", ()):
            remark(
                f"column {reading['text']!r}: {mask.sum():,} of {len(mask):,} texts {what}, the first "
                f"in row {int(mask.argmax()) + 1}",
                reading,
            )
    return found


if __name__ == "__main__":
    predict_table(inputs, __doc__)
