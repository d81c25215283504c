"""Copies across a split: rows of validation or test that stand in the training part as well.

A network may know the answer of such a row by heart, so its score says less of new rows. They are
counted and told; nothing is taken away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .rows import Rows, blocks

TOLD = "copies: "  # how the line begins
_ODD = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of splitmix64
_STEP = np.uint64(0x9E3779B97F4A7C15)


def hashes_of_rows(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a hash of every row of a table [N] uint64; equal rows have equal ones.

    Args:
        columns: numbers [N] float64, NaN where one is missing, or texts [N] object.
    """
    found = np.zeros(len(columns[0]) if columns else 0, np.uint64)
    for column in columns:
        found = _mixed(found + _STEP) ^ _mixed(_bits(column))
    return found


def _bits(column: np.ndarray) -> np.ndarray:
    """Return the cells of a column as whole numbers [N] uint64, equal ones alike."""
    if column.dtype.kind == "f":
        plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, and no -0
        return plain.astype(np.float64).view(np.uint64)
    names: dict[Any, int] = {}
    codes = [names.setdefault(cell, len(names)) for cell in column.tolist()]
    return np.array(codes, np.uint64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return whole numbers with their bits mixed [N] uint64 (Steele et al. 2014, splitmix64)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * _ODD[0]
        values = (values ^ (values >> np.uint64(27))) * _ODD[1]
        return np.asarray(values ^ (values >> np.uint64(31)))


def hashes_of_texts(texts: Iterable[str]) -> np.ndarray:
    """Return a hash of every text [N] uint64; texts that differ by blanks alone have equal ones."""
    return _hashes(" ".join(each.split()).encode("utf-8", "surrogatepass") for each in texts)


def hashes_of_images(parts: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Return part -> a hash of every image [N] uint64; None where they are not in memory.

    Args:
        parts: part -> images [N, H, W, C].
    """
    if any(isinstance(x, Rows) for x in parts.values()):
        return None
    return {
        part: _hashes(np.ascontiguousarray(image).data for block in blocks(x) for image in block)
        for part, x in parts.items()
    }


def _hashes(values: Iterable[Any]) -> np.ndarray:
    digests = b"".join(hashlib.blake2b(each, digest_size=8).digest() for each in values)
    return np.frombuffer(digests, np.uint64)


def told_copies(hashes: np.ndarray, parts: Mapping[str, np.ndarray], of: str = "rows") -> list[str]:
    """Return the line about copies across the split, if there are any.

    The final training has the validation rows too, so test rows are compared with both.

    Args:
        hashes: of all rows [N].
        parts: part -> row numbers.
        of: what an example is called.
    """
    told, known = [], hashes[parts["training"]]
    for part in ("validation", "test"):
        rows = parts.get(part)
        if rows is None or np.array_equal(rows, parts["training"]):
            continue
        count = int(np.isin(hashes[rows], known).sum())
        if count:
            learnt = "training" if part == "validation" else "training or validation"
            share = f"{count / len(rows):.1%}"
            told.append(f"{count:,} of {len(rows):,} {part} {of} ({share}) also occur in {learnt}")
        known = np.concatenate([known, hashes[rows]])
    if not told:
        return []
    return [f"{TOLD}{', '.join(told)}, the same in every input: what they score may be memory"]
