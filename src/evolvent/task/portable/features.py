"""From numbers, dates and categories to the inputs of a network."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .dates import cycles_of, seconds_of
from .tokens import READERS

MOST_TOKEN = 2**24 - 1  # up to which a float of 32 bits holds every whole number


def features(columns: Mapping[str, np.ndarray], reading: Mapping[str, Any]) -> np.ndarray:
    """Return the inputs of a network [N, F] float32, as `reading` says.

    The inputs of texts stand behind those of all other columns. A number is z / sqrt(1 + (z / clip)^2)
    of its standard score z, so that a wild one in a new file stays within ``clip``. A date is its
    elapsed time, as a number, and where it is on the circle of months, weekdays and hours. A category
    that is unknown or rare is the shared one, where there is one, or one of ``hashed`` inputs, by the
    checksum of its text. A text is its length, as a number, and its tokens (`tokens_of`), of a long
    text the first and the last ones.

    Args:
        columns: name -> numbers [N] float64, NaN where one is missing, or text [N] object.
        reading: ``clip``, and of every column what `evolvent.task.numbers.learnt` says.
    """
    rows = len(next(iter(columns.values())))
    found = np.zeros((rows, sum(map(width, reading["columns"]))), np.float32)
    at = 0
    for column in reading["columns"]:
        values, mine = columns[column["name"]], found[:, at : at + width(column)]
        if column["type"] == "number":
            _fill_number(mine, values, column, reading["clip"])
        elif column["type"] == "date":
            _fill_date(mine, values, column, reading["clip"])
        elif column["type"] == "text":
            _fill_text(mine, values, column, reading["clip"])
        else:
            _fill_category(mine, values, column)
        at += mine.shape[1]
    return found


def width(column: Mapping[str, Any]) -> int:
    """Return the number of inputs that a column becomes. [count]"""
    if column["type"] == "category":
        return len(column["categories"]) + int(column["rare"]) + int(column.get("hashed", 0))
    if column["type"] == "text":
        return 1 + int(column["length"])
    return 1 + 2 * len(column.get("cycles", ())) + int(column["missing"])


def tokens_at(reading: Mapping[str, Any]) -> list[slice]:
    """Return the places of the inputs that are tokens of texts, a slice for each column."""
    found, at = [], 0
    for column in reading.get("columns", ()):
        at += width(column)
        if column["type"] == "text":
            found.append(slice(at - int(column["length"]), at))
    return found


def _fill_number(
    found: np.ndarray, values: np.ndarray, column: Mapping[str, Any], clip: float
) -> None:
    unknown = np.isnan(values)
    z = (np.where(unknown, column["median"], values) - column["mean"]) / column["std"]
    found[:, 0] = z / np.hypot(1, z / clip)  # hypot, because the square of 1e200 is no number
    if column["missing"]:
        found[:, -1] = unknown


def _fill_date(
    found: np.ndarray, texts: np.ndarray, column: Mapping[str, Any], clip: float
) -> None:
    seconds = seconds_of(texts, column["order"])
    _fill_number(found, seconds - column["start"], column, clip)
    cycles, known = cycles_of(seconds), ~np.isnan(seconds)
    for place, name in enumerate(column["cycles"]):
        angle = 2 * np.pi * cycles[name]
        found[:, 1 + 2 * place] = np.sin(angle) * known
        found[:, 2 + 2 * place] = np.cos(angle) * known


def _fill_category(found: np.ndarray, texts: np.ndarray, column: Mapping[str, Any]) -> None:
    place = {each: at for at, each in enumerate(column["categories"])}
    buckets, first = column.get("hashed", 0), len(place)
    for each in dict.fromkeys(texts):
        if each not in place:
            known = zlib.crc32(each.encode("utf-8", "surrogatepass")) % buckets if buckets else 0
            place[each] = first + known if buckets or column["rare"] else -1
    at = np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))
    rows = np.flatnonzero(at >= 0)
    found[rows, at[rows]] = 1


def _fill_text(
    found: np.ndarray, texts: np.ndarray, column: Mapping[str, Any], clip: float
) -> None:
    tokens, length = tokens_of(texts, column), int(column["length"])
    counts = np.array([len(row) for row in tokens], np.float64)
    z = (np.log1p(counts) - column["mean"]) / column["std"]
    found[:, 0] = z / np.hypot(1, z / clip)
    head = length // 3
    for place, row in enumerate(tokens):
        kept = row if len(row) <= length else row[:head] + row[len(row) - length + head :]
        found[place, 1 : 1 + len(kept)] = kept


def tokens_of(texts: Iterable[str], column: Mapping[str, Any]) -> list[list[int]]:
    """Return the tokens of texts, each as long as it is: a hash of every word, 1 to `MOST_TOKEN`.

    Args:
        texts: ``""`` where one is missing.
        column: ``tokens`` says how a text is split (`READERS`).
    """
    known: dict[str, int] = {}
    found = []
    for text in texts:
        row = READERS[column["tokens"]](text)
        for word in row:
            if word not in known:
                known[word] = 1 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % MOST_TOKEN
        found.append([known[word] for word in row])
    return found
