"""Rows of different lengths, kept without padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


class Ragged:
    """Rows of numbers, each as long as it is; what is taken out of them is padded with 0.

    It has the part of numpy's interface that a task's inputs need. ``x[index]`` is an array [B, T] of
    the rows at a slice or at indices, T being the longest of these, and at least 1.

    Args:
        values: of all rows, one row behind the other [sum of lengths].
        ends: where each row ends in them [N].
    """

    ndim = 2

    def __init__(self, values: np.ndarray, ends: np.ndarray) -> None:
        self.values, self.ends = values, np.asarray(ends, np.int64)
        self.lengths = np.diff(self.ends, prepend=0)

    @classmethod
    def of(cls, rows: Iterable[Any], dtype: Any = np.int32) -> Ragged:
        """Return rows that are given one by one."""
        made = [np.asarray(row, dtype) for row in rows]
        values = np.concatenate(made) if made else np.zeros(0, dtype)
        return cls(values, np.cumsum([len(row) for row in made], dtype=np.int64))

    @property
    def shape(self) -> tuple[int, int]:
        """[N, length of the longest row]"""
        return len(self.ends), int(self.lengths.max(initial=1))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Size in memory. [bytes]"""
        return self.values.nbytes + self.ends.nbytes

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Return rows as one array [B, T], padded with 0."""
        lengths = self.lengths[index]
        starts = (self.ends - self.lengths)[index]
        found = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), self.dtype)
        for row, start, length in zip(found, starts.tolist(), lengths.tolist(), strict=True):
            row[:length] = self.values[start : start + length]
        return found

    def taken(self, index: np.ndarray) -> Ragged:
        """Return the rows at the indices `index`, unpadded."""
        starts = self.ends - self.lengths
        return Ragged.of(
            (self.values[starts[i] : self.ends[i]] for i in np.asarray(index).tolist()), self.dtype
        )

    def and_then(self, other: Ragged) -> Ragged:
        """Return these rows and then those of another."""
        values = np.concatenate([self.values, other.values])
        return Ragged(values, np.concatenate([self.ends, other.ends + len(self.values)]))

    def by_length(self, size: int) -> Iterator[np.ndarray]:
        """Yield indices of rows of similar length, `size` at a time, the shortest first."""
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), size):
            yield order[start : start + size]
