"""Series of equal length from a file, as networks take them: .npz, .ts, tables of time steps."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .encodings import decoded
from .errors import Unreadable


class TsFile(NamedTuple):
    """The content of a .ts file of the UCR archive.

    Args:
        x: [N, C, T] float64, NaN where a value is missing.
        labels: what stands behind every series, ``""`` where there is none [N].
        quantity: whether the labels are quantities.
    """

    x: np.ndarray
    labels: list[str]
    quantity: bool


def read_ts(file: Path) -> TsFile:
    """Return the series of a .ts file: a line for each, channels and the label between colons.

    Raises:
        Unreadable: if it is of another form, or its series differ in length.
        OSError: if it cannot be opened.
    """
    text, _ = decoded(file, file.read_bytes(), [])
    told, rows, labels = {}, [], []
    lines = [line.strip() for line in text.splitlines()]
    content = [line for line in lines if line and not line.startswith("#")]
    for number, line in enumerate(content, start=1):
        if line.startswith("@"):
            key, _, value = line[1:].partition(" ")
            told[key.lower()] = value.strip()
            continue
        labelled = _is_true(told.get("classlabel", "")) or _is_true(told.get("targetlabel", ""))
        *parts, label = line.split(":") if labelled else (*line.split(":"), "")
        if _is_true(told.get("timestamps", "")) or "(" in line:
            raise Unreadable(f"{str(file)!r} has time stamps, which are not read: leave them out")
        rows.append([[_number(cell, file, number) for cell in part.split(",")] for part in parts])
        labels.append(label.strip())
    if not rows or "data" not in told:
        raise Unreadable(f"{str(file)!r} has no series below a line @data")
    shapes = {(len(row), *map(len, row)) for row in rows}
    if len(shapes) > 1 or len(set(map(len, rows[0]))) > 1:
        raise Unreadable(
            f"{str(file)!r}: its series differ in length or channels: series of one length are read, "
            "pad or cut them"
        )
    return TsFile(np.array(rows), labels, _is_true(told.get("targetlabel", "")))


def _is_true(text: str) -> bool:
    return re.match(r"true\b", text.lower()) is not None


def _number(cell: str, file: Path, line: int) -> float:
    try:
        return float("nan") if cell.strip() in ("?", "") else float(cell)
    except ValueError:
        raise Unreadable(f"{str(file)!r}, line {line}: {cell[:40]!r} is no number") from None


def read_series_npz(file: Path, names: Sequence[str] = ("x", "x_test", "x_train")) -> np.ndarray:
    """Return the series of an .npz file [N, ...], of the first array of these names.

    Raises:
        Unreadable: if there is none, or the file is of another form.
        OSError: if it cannot be opened.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            for name in names:
                if name in arrays:
                    return np.asarray(arrays[name])
            held = sorted(arrays)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Unreadable(f"{str(file)!r} is not a readable .npz file ({error})") from error
    raise Unreadable(f"{str(file)!r} has no array {names[0]!r}: it holds {held}")


def with_channels(x: np.ndarray) -> np.ndarray:
    """Return series as [N, C, T] float64; those of one channel may be [N, T].

    Raises:
        Unreadable: for another shape, and for what holds no numbers or infinite ones.
    """
    if x.ndim not in (2, 3) or x.dtype.kind not in "biuf":
        raise Unreadable(
            f"series of shape {x.shape} and type {x.dtype}: numbers [N, channels, time] or [N, time] "
            "are needed"
        )
    found = x.astype(np.float64)
    if np.isinf(found).any():
        raise Unreadable("the series hold infinite numbers: repair them, or leave them empty")
    return found if found.ndim == 3 else found[:, None]


def standardised(x: np.ndarray, reading: Mapping[str, Any]) -> np.ndarray:
    """Return series as a network takes them [N, C, T] float32.

    A missing value is the last one before it, or the first that is known; a channel without any is 0
    after the scaling by the mean and standard deviation of its values in the training part. Beyond 30
    of these a value is cut.

    Args:
        x: [N, C, T] float64, NaN where one is missing.
        reading: ``mean`` and ``std`` of every channel.
    """
    mean, std = (np.array(reading[name])[:, None] for name in ("mean", "std"))
    unknown = np.isnan(x)
    if unknown.any():
        places = np.where(unknown, -1, np.arange(x.shape[2]))
        last = np.maximum.accumulate(places, axis=2)
        first = np.argmax(~unknown, axis=2)[:, :, None]
        x = np.take_along_axis(x, np.where(last >= 0, last, first), axis=2)
        x = np.where(np.isnan(x), mean, x)
    return np.asarray(np.clip((x - mean) / std, -30, 30), np.float32)
