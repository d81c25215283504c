"""Several targets per row: labels of which a row has none, one or several, and several quantities.

Labels are columns of two values each, or one column of lists: ``red;round``. Everything that a network
and its ``predict.py`` must know of a target is plain JSON (`Task.reading`): ``task``, ``target`` (a
name, or a list of them), of classes ``classes``, of labels ``labels`` and how they are written
(``values`` per column, or the ``separator`` of the lists), of quantities ``target_mean`` and
``target_unit``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError, SettingError
from .files import some
from .frames import Frame, missing, with_labels
from .scales import clipped, scale_of

KINDS = ("classification", "regression", "multi-label")
#: texts of columns of two values, without regard to case: not, and yes
PAIRS = (
    *(("0", "1"), ("no", "yes"), ("false", "true"), ("n", "y"), ("f", "t"), ("off", "on")),
    *(("-1", "1"), ("0.0", "1.0"), ("absent", "present"), ("negative", "positive")),
)


def names_of(target: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of one target or of several."""
    return (target,) if isinstance(target, str) else tuple(target)


def measured(kind: str) -> dict[str, Any]:
    """Return the loss and the metric of a kind of target, as arguments of `Task`.

    Labels are chosen by average precision: unlike f1 it says something of probabilities that are all
    below the threshold, as those of rare labels are.
    """
    if kind == "classification":
        return {"loss": "cross-entropy", "metric": "accuracy"}
    if kind == "multi-label":
        return {"loss": "binary-cross-entropy", "metric": "average-precision"}
    return {"loss": "mse", "metric": "r2"}


def told_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Task` that say what its targets are.

    Args:
        about: the target's entries of `Task.reading`.
    """
    classes, labels = (tuple(about.get(key, ())) for key in ("classes", "labels"))
    target, unit = about.get("target", ""), about.get("target_unit", 1.0)
    several = about["task"] == "regression" and not isinstance(target, str)
    quantities = tuple(target) if several else ()
    return {
        "classes": classes,
        "labels": labels,
        "quantities": quantities,
        "outputs": max(1, len(classes or labels or quantities)),
        "unit": tuple(unit) if isinstance(unit, list | tuple) else unit,
        **measured(about["task"]),
    }


def as_quantities(given: Mapping[str, np.ndarray], each: str) -> dict[str, np.ndarray]:
    """Return the targets of parts that are arrays as quantities [N] float64.

    Args:
        given: targets [N], or [N, 1], by part.
        each: an example in a word, for the messages.

    Raises:
        DataError: if they are not one finite number per example.
    """
    found = {}
    for part, y in given.items():
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.dtype.kind not in "biuf" or y.ndim != 1:
            raise DataError(
                f"{part} targets are {y.dtype} of shape {y.shape}: a regression needs one number per "
                f"{each}, [N]"
            )
        found[part] = y.astype(np.float64)
        if len(bad := np.flatnonzero(~np.isfinite(found[part]))):
            raise DataError(f"the target of {part} {each} {bad[0]} is no finite number: repair it")
    return found


# ---- kinds ---------------------------------------------------------------------------------------


def kind_of_several(frame: Frame, targets: Sequence[str]) -> str:
    """Return ``multi-label`` if every column has two values such as 0 and 1, else ``regression``.

    Raises:
        SettingError: if the columns are neither.
    """
    values = {name: _values(frame, name) for name in targets}
    if all(_pair(each) for each in values.values()):
        return "multi-label"
    if all(frame.column(name).dtype.kind == "f" for name in targets):
        return "regression"
    told = "; ".join(
        f"{name!r} "
        + ("numbers" if frame.column(name).dtype.kind == "f" else f"{some(list(each), 3)}")
        for name, each in values.items()
    )
    raise SettingError(
        f"--target {' --target '.join(targets)}: several targets are all quantities, or all columns of "
        f"two values such as 0 and 1 or yes and no. They hold: {told}. Name those of one kind, or say "
        "--kind multi-label where every column has two values"
    )


def _values(frame: Frame, name: str) -> tuple[str, ...]:
    """Return the different cells of a column as they are written, without missing ones."""
    cells = with_labels(frame, name, []).labels(name)
    return tuple(sorted(set(cells.tolist()) - {""}))


def _pair(values: Sequence[str]) -> tuple[str, str] | None:
    """Return the text for not and the one for yes, as they are written; None for other values."""
    known = {value.strip().lower(): value for value in values}
    if not values or len(known) < len(values):
        return None
    for no, yes in PAIRS:
        if known.keys() <= {no, yes}:
            return known.get(no, no), known.get(yes, yes)
    return None


# ---- quantities ----------------------------------------------------------------------------------


def scales_of(
    y: np.ndarray, names: Sequence[str], notes: list[str]
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Return the scale of every quantity by its training rows, and what `Task.reading` says of them.

    Args:
        y: of the training part [N], or [N, outputs] of several.
        names: of the quantities.
        notes: gets a line if some values are wild.

    Raises:
        DataError: if all values of one are the same.
    """
    scales = [
        scale_of(y if y.ndim == 1 else y[:, at], name, notes) for at, name in enumerate(names)
    ]
    means, units = ([each[key] for each in scales] for key in ("mean", "unit"))
    if y.ndim == 1:
        return scales, {"target_mean": means[0], "target_unit": units[0]}
    return scales, {"target_mean": means, "target_unit": units}


def scaled(y: np.ndarray, scales: Sequence[dict[str, float]]) -> np.ndarray:
    """Return quantities [N], or [N, outputs], in units from their means, float32."""
    if y.ndim == 1:
        return clipped(y, scales[0])
    columns = [clipped(column, scale) for column, scale in zip(y.T, scales, strict=True)]
    return np.stack(columns, axis=1)


# ---- labels --------------------------------------------------------------------------------------


def labels_of_columns(
    frame: Frame, targets: Sequence[str], notes: list[str]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the labels of rows, one per column of two values, and their `reading`.

    Args:
        frame: the table, whose rows all have these targets.
        targets: the columns; the name of one is that of its label.
        notes: gets a line where a column does not tell which of its values means yes.

    Returns:
        [N, labels] float32, 1 where the column has the value for yes.

    Raises:
        DataError: if a column has more than two values.
    """
    pairs = []
    for name in targets:
        values = _values(frame, name)
        pair = _pair(values)
        if pair is None and len(values) == 2:
            pair = values[0], values[1]
            notes.append(f"column {name!r}: {pair[1]!r} is taken for yes, {pair[0]!r} for no")
        if pair is None:
            raise DataError(
                f"{frame.source!r}: column {name!r} has {len(values)} values "
                f"({some(list(values), 4)}): a label has two, such as 0 and 1 or yes and no"
            )
        pairs.append(pair)
    y = known_labels_of_columns(frame, targets, pairs)
    about = {
        "task": "multi-label",
        "target": list(targets),
        "labels": list(targets),
        "values": [list(pair) for pair in pairs],
    }
    return y, about


def known_labels_of_columns(
    frame: Frame, targets: Sequence[str], pairs: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return the labels [N, labels] float32 of rows whose columns are written like others.

    Raises:
        DataError: if a column has another value.
    """
    columns = []
    for name, (no, yes) in zip(targets, pairs, strict=True):
        cells = with_labels(frame, name, []).labels(name)
        strange = sorted(set(cells.tolist()) - {no, yes})
        if strange:
            raise DataError(
                f"{frame.source!r}: column {name!r} holds {some(strange, 4)}, in the training data it "
                f"holds {no!r} and {yes!r}: make them alike"
            )
        columns.append(cells == yes)
    return np.stack(columns, axis=1).astype(np.float32)


def labels_of_lists(
    frame: Frame, target: str, separator: str, notes: list[str]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the labels of rows, from one column of lists, and their `reading`.

    Args:
        frame: the table.
        target: the column; an empty cell is a row without a label.
        separator: between two labels of a cell; blanks around it do not count.
        notes: gets a line about rows without a label.

    Returns:
        [N, labels] float32.

    Raises:
        DataError: if there are fewer than two labels.
    """
    rows = lists_of(frame, target, separator)
    labels = sorted({label for row in rows for label in row})
    if len(labels) < 2:
        raise DataError(
            f"{frame.source!r}: column {target!r} has {len(labels)} label ({some(labels)}), at least 2 "
            f"are needed: is {separator!r} the separator?"
        )
    if all(len(row) < 2 for row in rows):
        notes.append(
            f"no cell of {target!r} has two labels with {separator!r} between: is it the separator?"
        )
    if none := sum(not row for row in rows):
        notes.append(f"{none} rows have an empty {target!r}: they are rows without a label")
    about = {"task": "multi-label", "target": target, "labels": labels, "separator": separator}
    return _told(rows, labels), about


def known_labels_of_lists(
    frame: Frame, target: str, separator: str, labels: Sequence[str]
) -> np.ndarray:
    """Return the labels [N, labels] float32 of rows that have no other ones.

    Raises:
        DataError: if a row has another label.
    """
    rows = lists_of(frame, target, separator)
    strange = sorted({label for row in rows for label in row} - set(labels))
    if strange:
        raise DataError(
            f"{frame.source!r}: column {target!r} has labels that the training data do not have: "
            f"{some(strange)}"
        )
    return _told(rows, labels)


def lists_of(frame: Frame, target: str, separator: str) -> list[list[str]]:
    """Return the labels of every row as they are written, blanks around them left out."""
    cells = with_labels(frame, target, []).labels(target).tolist()
    return [[each for part in cell.split(separator) if (each := part.strip())] for cell in cells]


def _told(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    places = {label: place for place, label in enumerate(labels)}
    y = np.zeros((len(rows), len(labels)), np.float32)
    for at, row in enumerate(rows):
        y[at, [places[label] for label in row]] = 1
    return y


def note_labels(
    y: np.ndarray, labels: Sequence[str], notes: list[str], *, of: str = "rows"
) -> None:
    """Note labels that hardly any training example has, or all have.

    Args:
        y: of the training part [N, labels].
        labels: their names.
        notes: gets the lines.
        of: what an example is called.
    """
    counts = y.sum(axis=0)
    never = [labels[at] for at in np.flatnonzero(counts == 0).tolist()]
    always = [labels[at] for at in np.flatnonzero(counts == len(y)).tolist()]
    rare = [labels[at] for at in np.flatnonzero((counts > 0) & (counts < 5)).tolist()]
    for names, what in (
        (never, "no training"),
        (always, "every training"),
        (rare, "fewer than 5 training"),
    ):
        if names:
            notes.append(f"labels that {what} {of} have: {some(names)}")


def check_targets(frame: Frame, targets: Sequence[str]) -> None:
    """Refuse targets that are not in the table, or named twice, or all of its columns.

    Raises:
        DataError: if a column is not there.
        SettingError: for the others.
    """
    for name in targets:
        frame.column(name)
    twice = sorted({name for name in targets if list(targets).count(name) > 1})
    if twice:
        raise SettingError(f"--target {twice[0]} is named twice: name each column once")


def without_gaps(frame: Frame, targets: Sequence[str], notes: list[str]) -> Frame:
    """Return the rows in which no target is missing, of targets that are read as labels."""
    gone = np.zeros(len(frame), bool)
    for name in targets:
        gone |= missing(frame.column(name))
    if gone.all():
        raise DataError(f"{frame.source!r}: no row has all of {some(list(targets))}")
    if gone.any():
        notes.append(f"{int(gone.sum())} rows without one of {some(list(targets))} are left out")
    return frame.rows(~gone)
