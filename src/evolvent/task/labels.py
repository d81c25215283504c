"""Labels of every kind become classes: indices from 0 up, and a name for each of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .files import some

UNEVEN = 3.0  # ratio of the largest class to the smallest from which on a note is made
UNEVEN_TOLD = "classes are uneven: "
_GREATEST = 2**53  # up to which floats hold whole numbers exactly


def class_indices(given: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return every part's labels as [N] int64 in range(classes), and the label of every class."""
    labels = {part: _plain(f"{part} labels", y) for part, y in given.items()}
    values = np.unique(labels["training"])
    for part, y in labels.items():
        if y.dtype.kind != values.dtype.kind:
            raise DataError("labels are numbers in one part and text in another: use one of them")
        _check_known(part, np.setdiff1d(y, values).tolist())
    return {part: np.searchsorted(values, y).astype(np.int64) for part, y in labels.items()}, values


def _plain(what: str, y: np.ndarray) -> np.ndarray:
    """Return labels as int64 or as text [N]."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{what} have shape {y.shape}: one label per image is needed "
            "(of one-hot rows, take argmax(1))"
        )
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y):
        y = y.astype(str)
    if y.dtype.kind in "UST":
        return as_text(what, y)
    if y.dtype.kind not in "biuf":
        raise DataError(f"{what} are of type {y.dtype}: integers or text are needed")
    # A NaN fails the comparison, and a float of at most _GREATEST can be made an integer.
    if len(y) and not (
        y.min() >= -_GREATEST and y.max() <= _GREATEST and np.array_equal(y, y.astype(np.int64))
    ):
        raise DataError(
            f"{what} are not all whole numbers below 2**53, so no classes: --kind regression learns "
            "them as a quantity"
        )
    return y.astype(np.int64)


def as_text(what: str, y: np.ndarray) -> np.ndarray:
    """Return an array of text or of UTF-8 bytes as one of text.

    Raises:
        DataError: if it is no text, in the words ``{what} are not ...``.
    """
    try:
        return np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y.astype(str)
    except UnicodeDecodeError as error:
        raise DataError(f"{what} are not UTF-8 text: store them as text") from error


def note_imbalance(
    y: np.ndarray, classes: Sequence[str], notes: list[str], *, of: str = "rows"
) -> None:
    """Note classes that are much rarer than others: accuracy says little about them.

    Args:
        y: classes of the training data [N] int64.
        classes: their names.
        notes: gets the line.
        of: what an example is called.
    """
    counts = np.bincount(y, minlength=len(classes))
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[most] >= UNEVEN * counts[least]:
        notes.append(
            f"{UNEVEN_TOLD}{counts[most]:,} {of} of {classes[most]!r}, {counts[least]:,} of "
            f"{classes[least]!r}; to answer {classes[most]!r} always has an accuracy of "
            f"{counts[most] / len(y):.3f}"
        )


def written_indices(
    given: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return every part's labels as [N] int64, and the labels exactly as they are written.

    Whole numbers are in their order, all else in that of the alphabet.

    Args:
        given: part -> labels [N] object, all of them text.

    Raises:
        DataError: if a part has labels that the training part has not.
    """
    known = set(given["training"])
    whole = all(re.fullmatch(r"-?[0-9]+", each) for each in known)
    names = sorted(known, key=lambda each: (int(each) if whole else 0, each))
    place = {each: at for at, each in enumerate(names)}
    for part, labels in given.items():
        _check_known(part, sorted(set(labels) - known))
    found = {
        part: np.fromiter(map(place.__getitem__, labels), np.int64, len(labels))
        for part, labels in given.items()
    }
    return found, tuple(names)


def _check_known(part: str, strangers: Sequence[object]) -> None:
    if len(strangers):
        raise DataError(
            f"the {part} part has labels that the training part has not: {some(strangers)}: add "
            "training examples of them or leave them out"
        )


def name_classes(
    values: np.ndarray, given: Sequence[str] | None, notes: list[str]
) -> tuple[str, ...]:
    """Return the name of every label that occurs."""
    labels: list[Any] = values.tolist()
    if given is None:
        return tuple(str(label) for label in labels)
    known = [str(each) for each in given]
    doubles = [each for each, count in Counter(known).items() if count > 1]
    if doubles:
        raise DataError(f"class_names has {some(doubles)} twice: give every class its own name")
    text = values.dtype.kind == "U"
    names = {each: each for each in known} if text else dict(enumerate(known))
    unnamed = [label for label in labels if label not in names]
    if unnamed:
        raise DataError(
            f"{len(known)} class_names do not name the labels {some(unnamed)}: "
            "integer labels count from 0"
        )
    chosen = tuple(names[label] for label in labels)
    empty = [each for each in known if each not in chosen]
    if empty:
        notes.append(f"class_names without a training example are left out: {some(empty)}")
    return chosen
