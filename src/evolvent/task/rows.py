"""Arrays too large for memory, which stay in their files: rows are read when they are indexed.

`Rows` has the part of numpy's interface that image tasks use; signatures declare it as an array. A
worker receives the names of its files. Every part of a task, and every batch, equals that of an array
in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from ..errors import DataError
from .portable.ragged import Ragged

BLOCK = 2**24  # read at a time [bytes]


class Source(Protocol):
    """The source of `Rows`: picklable, without data of its own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]"""

    @property
    def dtype(self) -> np.dtype:
        """Type of the rows that `read` returns."""

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows at the indices `index`."""


@dataclass(frozen=True)
class Mapped:
    """An uncompressed array in a file, from the byte `offset` on.

    Args:
        file: as it was when `stamp` was taken; a file that has changed is not read any more.
        offset: of the first number. [bytes]
        shape: [N, ...]
        type: of its numbers, as numpy writes it.
        order: ``C``, or ``F`` for columns first.
        stamp: size [bytes] and time of the last change [ns].
    """

    file: Path
    offset: int
    shape: tuple[int, ...]
    type: str
    order: str
    stamp: tuple[int, int]

    @classmethod
    def of(cls, file: Path, offset: int, shape: tuple[int, ...], type: str, order: str) -> Mapped:
        """Return the array of a file as it is now."""
        return cls(file, offset, shape, type, order, _stamp(file))

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers in the file."""
        return np.dtype(self.type)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows at the indices `index`."""
        found: np.ndarray = _mapped(self)[index]
        return found


def _stamp(file: Path) -> tuple[int, int]:
    told = file.stat()
    return told.st_size, told.st_mtime_ns


@lru_cache(maxsize=16)
def _mapped(source: Mapped) -> np.ndarray:
    """Return the array of a file without reading it; opened once per process."""
    if _stamp(source.file) != source.stamp:
        raise DataError(f"{str(source.file)!r} has changed since it was opened: begin anew")
    order = cast(Any, source.order)
    return np.memmap(source.file, source.dtype, "r", source.offset, source.shape, order)


@dataclass(frozen=True)
class Joined:
    """The rows of several `Rows`, one after another."""

    parts: tuple[Rows, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """[sum of N, ...]"""
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the rows, the same in all parts."""
        return self.parts[0].dtype

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows at the indices `index`."""
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        start = 0
        for part in self.parts:
            mine = np.flatnonzero((index >= start) & (index < start + len(part)))
            if len(mine):
                found[mine] = part[index[mine] - start]
            start += len(part)
        return found


@dataclass(frozen=True)
class Rows:
    """Some rows of a source, as images [N, H, W, C] where `layout` makes them so.

    Args:
        source: of the rows.
        index: of the rows in the source [N].
        dtype: to which they are converted.
        layout: ``""``; ``"grey"`` adds the axis of one channel, ``"turned"`` moves channels last.
    """

    source: Source
    index: np.ndarray
    dtype: np.dtype
    layout: str = ""

    @classmethod
    def of(cls, source: Source) -> Rows:
        """Return all rows of a source."""
        return cls(source, np.arange(source.shape[0]), source.dtype.newbyteorder("="))

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]"""
        own = self.source.shape[1:]
        if self.layout == "grey":
            own = (*own, 1)
        if self.layout == "turned":
            own = (*own[1:], own[0])
        return (len(self.index), *own)

    @property
    def ndim(self) -> int:
        """Number of axes. [count]"""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the whole array in memory. [bytes]"""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Read the rows of a slice, or at these indices."""
        found = self.source.read(self.index[index])
        if self.layout:
            found = found[..., None] if self.layout == "grey" else np.moveaxis(found, 1, 3)
        return np.ascontiguousarray(found, self.dtype)

    def taken(self, index: np.ndarray) -> Rows:
        """Return the rows at the indices `index`, without reading them."""
        return replace(self, index=self.index[index])

    def astype(self, dtype: Any) -> Rows:
        """Return the rows as another type."""
        return replace(self, dtype=np.dtype(dtype))


def taken(x: Any, index: np.ndarray) -> np.ndarray:
    """Return the rows `index` of an array, of `Rows`, which are not read, or of `Ragged` ones."""
    return cast(np.ndarray, x.taken(index) if isinstance(x, Rows | Ragged) else x[index])


def joined(first: Any, second: Any) -> np.ndarray:
    """Return the rows of one array and then those of another; of `Rows` none are read."""
    if isinstance(first, Rows) and isinstance(second, Rows):
        return cast(np.ndarray, Rows.of(Joined((first, second))))
    if isinstance(first, Ragged) and isinstance(second, Ragged):
        return cast(np.ndarray, first.and_then(second))
    return np.concatenate([first[:], second[:]])


def blocks(x: Any, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield an array in pieces of about `size` bytes, in their order."""
    step = max(1, size // max(1, math.prod(x.shape[1:]) * x.dtype.itemsize))
    for start in range(0, len(x), step):
        yield x[start : start + step]
