"""Predict the rows of a CSV file with the network of this folder; needs torch and numpy only.

    python predict.py FILE.csv [--probabilities] > predictions.csv

The file has the column of texts of the training data; others are not read. One line per row is written
to standard output: the class, with ``--probabilities`` followed by the probability of each.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
BATCH = 250  # rows at a time

# ---- from texts to tokens ------------------------------------------------------------------------

TAG = r"<[^<>]{1,200}>"
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:'[^\W_]+)*"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def inputs(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the inputs of the network [N, T] int32, as the training data were read."""
    columns, _ = read_csv(file)
    token = {word: place for place, word in enumerate(reading["words"], start=FIRST_WORD)}
    length = reading["length"]
    head = length // 3
    texts = column(columns, reading["text"], file)
    found = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(found, texts, strict=True):
        words = re.findall(WORD, re.sub(TAG, " ", ("" if text in MISSING else text).lower()))
        if len(words) > length:
            words = words[:head] + words[len(words) - length + head :]
        row[: len(words)] = [token.get(word, UNKNOWN) for word in words]
    return found


# ---- reading a CSV file: the same in every predict.py --------------------------------------------

SEPARATORS = (",", ";", "\t", "|")
MISSING = {"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "NaT"}


class Problem(Exception):
    """The file cannot be predicted; the message says why."""


def read_csv(file: Path) -> tuple[dict[str, list[str]], str]:
    """Return the columns of a CSV file by name, as text, and the separator of its cells."""
    text = decoded(file)
    separator = separator_of(text)
    rows = cells(file, text, separator)
    header = next(rows, None)
    if header is None:
        raise Problem(f"{file} is empty: its first line must name the columns")
    names = named(header)
    columns: dict[str, list[str]] = {name: [] for name in names}
    for place, row in enumerate(rows, start=1):
        if len(row) > len(names) and not any(row[len(names) :]):
            row = row[: len(names)]
        if len(row) != len(names):
            raise Problem(
                f"{file}, row {place}: {len(row)} cells, the header has {len(names)}: complete it"
            )
        for name, cell in zip(names, row, strict=True):
            columns[name].append(cell)
    return columns, separator


def decoded(file: Path) -> str:
    """Return the text of a file: UTF-8, UTF-16 with a byte-order mark, else Windows-1252."""
    data = file.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def separator_of(text: str) -> str:
    """Return what separates cells: what gives most rows the same number of cells, above one."""
    best, found = (0.0, 1), ","
    for separator in SEPARATORS:
        counts: list[int] = []
        try:
            for row in csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator):
                if row:
                    counts.append(len(row))
                if len(counts) == 30:
                    break
        except csv.Error:
            pass
        if counts and counts[0] > 1:
            rank = (counts.count(counts[0]) / len(counts), counts[0])
            if rank > best:
                best, found = rank, separator
    return found


def cells(file: Path, text: str, separator: str) -> Iterator[list[str]]:
    """Yield the rows that are not empty, their cells without blanks around."""
    csv.field_size_limit(2**24)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if row:
                yield [cell.strip() for cell in row]
    except csv.Error as error:
        raise Problem(f"{file}, line {reader.line_num}: {error}") from error


def named(header: list[str]) -> list[str]:
    """Return a name for every column, each another."""
    names: list[str] = []
    for place, given in enumerate(header, start=1):
        first = name = given or f"column {place}"
        count = 1
        while name in names or (count > 1 and name in header):
            count += 1
            name = f"{first}.{count}"
        names.append(name)
    return names


def column(columns: dict[str, list[str]], name: str, file: Path) -> list[str]:
    """Return the cells of a column."""
    if name not in columns:
        raise Problem(
            f"{file} has no column {name!r}, which the network needs: it has {[*columns]}"
        )
    return columns[name]


# ---- the network ---------------------------------------------------------------------------------


def network() -> torch.nn.Module:
    """Return the network of this folder, ready to be called."""
    sys.dont_write_bytecode = True  # the folder stays as it is
    spec = importlib.util.spec_from_file_location("model", HERE / "model.py")
    assert spec is not None and spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    net: torch.nn.Module = model.load(HERE)
    return net


def outputs(x: np.ndarray) -> np.ndarray:
    """Return what the network says of its inputs: [N, outputs] float64."""
    net = network()
    with torch.no_grad():
        found = [net(torch.from_numpy(x[at : at + BATCH])) for at in range(0, len(x), BATCH)]
    return torch.cat(found).double().numpy()


def write(y: np.ndarray, reading: dict[str, Any], probabilities: bool) -> None:
    """Print one line per row."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    classes = reading.get("classes")
    if classes is None:
        writer.writerow([reading["target"]])
        for value in y[:, 0] * reading["target_unit"] + reading["target_mean"]:
            writer.writerow([f"{value:.8g}"])
        return
    writer.writerow([reading["target"], *(classes if probabilities else ())])
    shares = np.exp(y - y.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    for row in shares:
        told = [f"{share:.6f}" for share in row] if probabilities else []
        writer.writerow([classes[int(row.argmax())], *told])


def main() -> None:
    """Predict the file that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="a CSV file")
    parser.add_argument("--probabilities", action="store_true", help="of every class")
    asked = parser.parse_args()
    try:
        reading = json.loads((HERE / "reading.json").read_text(encoding="utf-8"))
        x = inputs(asked.file, reading)
        if not len(x):
            raise Problem(f"{asked.file} has a header and no rows")
        write(outputs(x), reading, asked.probabilities)
    except (Problem, OSError) as error:
        sys.exit(f"predict.py: {error}")


if __name__ == "__main__":
    main()
