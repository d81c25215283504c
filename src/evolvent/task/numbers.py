"""Tables of numbers: columns become the inputs of a network, a column of the table its target.

What a column needs is learnt from the training part by scikit-learn's preprocessing and written down
as plain values (`Task.reading`); `features` applies those values, here and in the ``predict.py`` of an
exported network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from . import Part, Task
from .files import some
from .frames import Frame, missing
from .portable.features import features
from .splitting import classes_of, three_parts

KINDS = ("classification", "regression")
CLIP = 8.0  # standard deviations that a number never quite exceeds
CATEGORIES = 40  # of a column; rarer ones share a place [count]
LEAST_ROWS = 3  # of a category that has a place of its own [count]
MOST_FEATURES = 20_000  # inputs of a network [count]
NAME_LIKE = 0.5  # of the filled cells: a column with more different texts holds no categories


def numbers_task(
    name: str,
    frame: Frame,
    *,
    target: str,
    kind: str,
    test: Frame | None = None,
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
) -> Task:
    """Return the task of predicting one column of a table from the others.

    Args:
        name: how the user called the data.
        frame: the table.
        target: the column to predict.
        kind: ``classification`` or ``regression``.
        test: a table of the same columns, whose rows are the test part; None splits it off.
        seed: of the split between training and validation.
        validation: share of the rows to validate on, of those that are not test. (0..0.5]
        fraction: share of the remaining training rows to keep. (0..1]

    Raises:
        DataError: if the table cannot be used.
    """
    notes = list(frame.note)
    frame = with_target(frame, target, notes)
    other = None if test is None else with_target(_same_columns(test, frame), target, notes)
    y, y_test, about = target_of(frame, other, target, kind, notes)
    parts = three_parts(
        y,
        classes=kind == "classification",
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=test is None,
    )
    training = frame.rows(parts["training"])
    reading = {"kind": "numbers", "target": target, **learnt(training, target, notes)}
    reading |= {"file": dict(frame.how)} if frame.how else {}
    scale = {"mean": 0.0, "unit": 1.0}
    if kind == "regression":
        scale = _scale(y[parts["training"]], target)
        about["target_mean"], about["target_unit"] = scale["mean"], scale["unit"]
    made = {key: _part(frame.rows(rows), y[rows], reading, scale) for key, rows in parts.items()}
    if other is not None and y_test is not None:
        made["test"] = _part(other, y_test, reading, scale)
    return Task(
        name=name,
        kind="numbers",
        input_shape=made["training"].x.shape[1:],
        outputs=max(1, len(about.get("classes", ()))),
        classes=tuple(about.get("classes", ())),
        train=made["training"],
        validation=made["validation"],
        test=made["test"],
        seed=seed,
        note=tuple(notes),
        reading=reading | about,
        unit=scale["unit"],
        **measured(kind),
    )


def measured(kind: str) -> dict[str, Any]:
    """Return the loss and the metric of a kind of target, as arguments of `Task`."""
    if kind == "classification":
        return {"loss": "cross-entropy", "metric": "accuracy"}
    return {"loss": "mse", "metric": "r2"}


# ---- the target ----------------------------------------------------------------------------------


def with_target(frame: Frame, target: str, notes: list[str]) -> Frame:
    """Return the rows that have a target."""
    unknown = missing(frame.column(target))
    if unknown.all():
        raise DataError(f"{frame.source!r}: column {target!r} is empty: it should hold the target")
    if not unknown.any():
        return frame
    notes.append(f"{int(unknown.sum())} rows without {target!r} are left out")
    return frame.rows(~unknown)


def target_of(
    frame: Frame, test: Frame | None, target: str, kind: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return the target of both tables, classes [N] int64 or numbers [N], and its `reading`."""
    given = frame.column(target)
    given_test = None if test is None else test.column(target)
    if kind == "classification":
        try:
            y, y_test, classes = classes_of(given, given_test, notes)
        except DataError as error:
            raise DataError(f"{frame.source!r}, column {target!r}: {error}") from error
        return y, y_test, {"task": kind, "classes": list(classes)}
    for source, column in ((frame.source, given), (test and test.source, given_test)):
        if column is not None and column.dtype.kind != "f":
            raise DataError(
                f"{source!r}: column {target!r} holds text such as {str(column[0])[:40]!r}, a "
                "regression needs numbers: repair it, or use --kind classification"
            )
    return given, given_test, {"task": kind}


def _scale(y: np.ndarray, target: str) -> dict[str, float]:
    mean, unit = float(y.mean()), float(y.std())
    if not unit > 1e-12 * max(1.0, abs(mean)):
        raise DataError(
            f"column {target!r} is {mean:g} in every training row: there is nothing to learn from it"
        )
    return {"mean": mean, "unit": unit}


def _part(frame: Frame, y: np.ndarray, reading: Mapping[str, Any], scale: dict[str, float]) -> Part:
    x = inputs(frame, reading)
    if y.dtype.kind == "i":
        return Part(x, y)
    return Part(x, ((y - scale["mean"]) / scale["unit"]).astype(np.float32))


def _same_columns(test: Frame, frame: Frame) -> Frame:
    """Return the test table with the columns of `frame`, of the same types."""
    columns = {}
    for name, own in frame.columns.items():
        column = test.column(name)
        if column.dtype.kind != own.dtype.kind and missing(column).all():
            column = np.full(len(column), np.nan if own.dtype.kind == "f" else "", own.dtype)
        if column.dtype.kind != own.dtype.kind:
            kinds = {"f": "numbers", "O": "text"}
            raise DataError(
                f"{test.source!r}: column {name!r} holds {kinds[column.dtype.kind]}, in "
                f"{frame.source!r} it holds {kinds[own.dtype.kind]}: make them alike"
            )
        columns[name] = column
    return replace(test, columns=columns)


# ---- the columns ---------------------------------------------------------------------------------


def learnt(frame: Frame, target: str, notes: list[str]) -> dict[str, Any]:
    """Return the preprocessing of every column, fitted to the training rows, as plain values.

    Numbers: the median that replaces a missing one, mean and standard deviation, and whether an
    input of its own marks a missing one. Texts: the categories that have an input each, and
    whether the rare ones share one. Columns without information are left out.

    Raises:
        DataError: if no column is left.
    """
    columns = []
    empty, constant, names = [], [], []
    for name, column in frame.columns.items():
        if name == target:
            continue
        filled = column[~missing(column)]
        distinct = len(np.unique(filled.astype(str) if column.dtype.kind == "O" else filled))
        if not len(filled):
            empty.append(name)
        elif distinct == 1 and len(filled) == len(column):
            constant.append(name)
        elif column.dtype.kind == "f":
            columns.append(_numeric(name, column))
        elif distinct > max(CATEGORIES, NAME_LIKE * len(filled)):
            names.append(name)
        elif (described := _categorical(name, column)) is not None:
            columns.append(described)
        else:
            names.append(name)
    for left, why in ((empty, "empty"), (constant, "the same in every training row")):
        if left:
            notes.append(f"columns that are {why} are left out: {some(left)}")
    if names:
        notes.append(
            f"columns of names or free text are left out: {some(names)}; --text COLUMN reads one "
            "as text"
        )
    width = sum(_width(column) for column in columns)
    if not 0 < width <= MOST_FEATURES:
        raise DataError(
            f"{frame.source!r} gives {width:,} inputs besides {target!r}, 1 to {MOST_FEATURES:,} are "
            "allowed: other columns are needed"
        )
    return {"clip": CLIP, "columns": columns}


def _numeric(name: str, column: np.ndarray) -> dict[str, Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median").fit(column[:, None])
    scaler = StandardScaler().fit(imputer.transform(column[:, None]))
    return {
        "name": name,
        "type": "number",
        "median": float(imputer.statistics_[0]),
        "mean": float(scaler.mean_[0]),
        "std": float(scaler.scale_[0]),
        "missing": bool(np.isnan(column).any()),
    }


def _categorical(name: str, column: np.ndarray) -> dict[str, Any] | None:
    """Return the categories of a column, or None if all of them are rare."""
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(
        min_frequency=LEAST_ROWS,
        max_categories=CATEGORIES + 1,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(column[:, None])
    rare = encoder.infrequent_categories_[0]
    rare = [] if rare is None else rare.tolist()
    known = [str(each) for each in encoder.categories_[0] if each not in set(rare)]
    if not known:
        return None
    return {"name": name, "type": "category", "categories": known, "rare": bool(rare)}


def _width(column: Mapping[str, Any]) -> int:
    if column["type"] == "number":
        return 1 + int(column["missing"])
    return len(column["categories"]) + int(column["rare"])


def inputs(frame: Frame, reading: Mapping[str, Any]) -> np.ndarray:
    """Return the inputs of a network [N, F] float32, as `reading` says (`features`).

    Raises:
        DataError: if the table has not all of its columns.
    """
    return features(
        {each["name"]: frame.column(each["name"]) for each in reading["columns"]}, reading
    )
