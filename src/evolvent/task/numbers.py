"""Tables of numbers: columns become the inputs of a network, one or more columns its targets.

What a column needs is learnt from the training part by scikit-learn's preprocessing and written down
as plain values (`Task.reading`); `features` applies those values, here and in the ``predict.py`` of an
exported network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from . import Part, Task, strata
from .files import some
from .frames import About, Frame, missing, with_labels
from .portable.columns import CATEGORIES as TEXTS
from .portable.columns import NUMBERS
from .portable.dates import DAY, ORDERS, cycles_of, seconds_of
from .portable.features import features, width
from .portable.numerals import number
from .scales import mean_and_std, usual_range
from .source import Source
from .splitting import Parts, classes_of, three_parts
from .targets import (
    check_targets,
    known_labels_of_columns,
    known_labels_of_lists,
    labels_of_columns,
    labels_of_lists,
    names_of,
    note_labels,
    scaled,
    scales_of,
    told_of,
    without_gaps,
)

CLIP = 8.0  # standard deviations that a number never quite exceeds
CATEGORIES = 40  # of a column; rarer ones share a place [count]
MOST_SEEN = 1000  # categories without an input of their own that are remembered [count]
HASHED = 32  # inputs of the categories beyond those, where many are frequent [count]
WILD = 100.0  # interquartile ranges from the median: a number beyond says nothing about the scale
LEAST_ROWS = 3  # of a category that has a place of its own [count]
MOST_FEATURES = 20_000  # inputs of a network [count]
NAME_LIKE = 0.5  # of the filled cells: a column with more different texts holds no categories


def numbers_task(
    name: str,
    frame: Frame,
    *,
    target: str | Sequence[str],
    kind: str,
    separator: str | None = None,
    test: Frame | None = None,
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
) -> Task:
    """Return the task of predicting one column of a table, or several, from the others.

    Args:
        name: how the user called the data.
        frame: the table.
        target: the column to predict, or several: quantities, or labels of two values each.
        kind: ``classification``, ``regression`` or ``multi-label``.
        separator: between the labels of a cell, where one column holds lists of them.
        test: a table of the same columns, whose rows are the test part; None splits it off.
        seed: of the split between training and validation.
        validation: share of the rows to validate on, of those that are not test. (0..0.5]
        fraction: share of the remaining training rows to keep. (0..1]

    Raises:
        DataError: if the table cannot be used.
    """
    notes, names = list(frame.note), names_of(target)
    check_targets(frame, names)
    if kind != "regression":
        for each in names:
            frame = with_labels(frame, each, notes)
            test = None if test is None else with_labels(test, each, [], like=frame)
    if separator is None:
        if kind == "multi-label":
            frame = without_gaps(frame, names, notes)
            test = None if test is None else without_gaps(test, names, notes)
        for each in names:
            frame = with_target(frame, each, notes)
            test = None if test is None else with_target(test, each, notes)
    other = None if test is None else _same_columns(test, frame)
    y, y_test, about = target_of(frame, other, target, kind, notes, separator)
    tell_gaps(frame, target, notes)
    parts = three_parts(
        strata(y) if kind == "multi-label" else y,
        classes=kind != "regression",
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=test is None,
    )
    return prepared(
        name,
        frame,
        y,
        target=target,
        about=about,
        parts=parts,
        notes=notes,
        seed=seed,
        test=None if other is None or y_test is None else (other, y_test),
    )


def prepared(
    name: str,
    frame: Frame,
    y: np.ndarray,
    *,
    target: str | Sequence[str],
    about: Mapping[str, Any],
    parts: Parts,
    notes: list[str],
    seed: int,
    test: tuple[Frame, np.ndarray] | None = None,
) -> Task:
    """Return the task of a table whose target is known and whose rows are in parts.

    Args:
        name: how the user called the data.
        frame: the table, with or without its target.
        y: classes [N] int64, or quantities [N], several [N, outputs]; or labels [N, outputs], 0 or 1.
        target: the name of the target, or of several.
        about: what is known of it: ``task``, and the names of ``classes`` or ``labels``.
        parts: part -> row numbers, of ``training``, ``validation`` and maybe ``test``.
        notes: what a user should know; gets a line for whatever else there is.
        seed: of the split.
        test: another table and its target, which are the test part.

    Raises:
        DataError: if the table cannot be used.
    """
    training, own = frame.rows(parts["training"]), y[parts["training"]]
    given = target if isinstance(target, str) else list(target)
    reading = {"kind": "numbers", "target": given, **learnt(training, target, notes)}
    remember_categories(reading["columns"], frame)
    reading |= {"file": dict(frame.how)} if frame.how else {}
    scales: list[dict[str, float]] = []
    if about["task"] == "regression":
        scales, told = scales_of(own, names_of(target), notes)
        about = {**about, **told}
    if "labels" in about:
        note_labels(own, about["labels"], notes)
    made = {key: _part(frame.rows(rows), y[rows], reading, scales) for key, rows in parts.items()}
    if test is not None:
        made["test"] = _part(*test, reading, scales)
    reading |= about
    return Task(
        name=name,
        kind="numbers",
        input_shape=made["training"].x.shape[1:],
        train=made["training"],
        validation=made["validation"],
        test=made.get("test"),
        seed=seed,
        note=tuple(notes),
        reading=reading,
        source=Source(frame, parts, None if test is None else test[0]),
        **told_of(reading),
    )


# ---- the target ----------------------------------------------------------------------------------


def with_target(frame: Frame, target: str, notes: list[str]) -> Frame:
    """Return the rows that have a target."""
    about = frame.about.get(target)
    if about is not None and len(about.infinite):
        rows = ", ".join(str(row + 1) for row in about.infinite[:10])
        more = f" and {len(about.infinite) - 10} more" if len(about.infinite) > 10 else ""
        raise DataError(
            f"{frame.source!r}: column {target!r} is infinite in data rows {rows}{more} (the first is "
            "row 1): repair them, or leave their target empty"
        )
    unknown = missing(frame.column(target))
    if unknown.all():
        raise DataError(f"{frame.source!r}: column {target!r} is empty: it should hold the target")
    if not unknown.any():
        return frame
    marks = _marks(about.gaps) if about is not None else ""
    notes.append(f"{int(unknown.sum())} rows without {target!r} are left out{marks}")
    return frame.rows(~unknown)


def target_of(
    frame: Frame,
    test: Frame | None,
    target: str | Sequence[str],
    kind: str,
    notes: list[str],
    separator: str | None = None,
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return the target of both tables and its `reading`.

    Classes are [N] int64, numbers [N], several [N, outputs], labels [N, labels] float32.
    """
    if kind == "multi-label":
        return _labels_of(frame, test, target, notes, separator)
    if not isinstance(target, str):
        return _quantities_of(frame, test, target)
    if kind == "classification":
        try:
            y, y_test, classes = classes_of(
                frame.labels(target), None if test is None else test.labels(target), notes
            )
        except DataError as error:
            raise DataError(f"{frame.source!r}, column {target!r}: {error}") from error
        return y, y_test, {"task": kind, "classes": list(classes)}
    for each in (frame, test):
        if each is not None:
            _check_quantity(each, target)
    return frame.column(target), None if test is None else test.column(target), {"task": kind}


def _quantities_of(
    frame: Frame, test: Frame | None, targets: Sequence[str]
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    def of(each: Frame) -> np.ndarray:
        for name in targets:
            _check_quantity(each, name)
        return np.stack([each.column(name) for name in targets], axis=1)

    return of(frame), None if test is None else of(test), {"task": "regression"}


def _labels_of(
    frame: Frame,
    test: Frame | None,
    target: str | Sequence[str],
    notes: list[str],
    separator: str | None,
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    names, y_test = names_of(target), None
    if separator is not None:
        y, about = labels_of_lists(frame, names[0], separator, notes)
        if test is not None:
            y_test = known_labels_of_lists(test, names[0], separator, about["labels"])
        return y, y_test, about
    y, about = labels_of_columns(frame, names, notes)
    if test is not None:
        y_test = known_labels_of_columns(test, names, about["values"])
    return y, y_test, about


def _check_quantity(frame: Frame, target: str) -> None:
    """Refuse a target of a regression that holds no numbers."""
    column, about = frame.column(target), frame.about.get(target)
    if about is not None and about.conflict:
        raise DataError(f"{frame.source!r}: {about.conflict}")
    if column.dtype.kind == "f":
        return
    texts = [each for each in column.tolist() if number(each) is None]
    raise DataError(
        f"{frame.source!r}: column {target!r} holds text such as {str((texts or [''])[0])[:40]!r}, a "
        "regression needs numbers: repair those cells (empty ones are left out), or search for classes "
        "with --kind classification"
    )


def _part(
    frame: Frame, y: np.ndarray, reading: Mapping[str, Any], scales: Sequence[dict[str, float]]
) -> Part:
    return Part(inputs(frame, reading), scaled(y, scales) if scales else y)


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


def tell_gaps(frame: Frame, target: str | Sequence[str], notes: list[str]) -> None:
    """Tell which columns have missing cells, how many, and what stands there."""
    targets = names_of(target)
    told = [
        f"{name!r} {sum(about.gaps.values()):,}{_marks(about.gaps)}"
        for name, about in frame.about.items()
        if about.gaps and name not in targets
    ]
    if told:
        more = f" and {len(told) - 8} more columns" if len(told) > 8 else ""
        notes.append(f"missing cells: {', '.join(told[:8])}{more}")


def _marks(gaps: Mapping[str, int]) -> str:
    """Return what stands in missing cells, beside nothing at all."""
    marks = [f"{count:,} {mark!r}" for mark, count in sorted(gaps.items()) if mark]
    return f" ({', '.join(marks)})" if marks else ""


# ---- the columns ---------------------------------------------------------------------------------


def learnt(frame: Frame, target: str | Sequence[str], notes: list[str]) -> dict[str, Any]:
    """Return the preprocessing of every column, fitted to the training rows, as plain values.

    Numbers: the median that replaces a missing one, mean and standard deviation (of the values that
    are not wild), and whether an input of its own marks a missing one. Dates: the same of the time
    since the first, and what comes round. Texts: the categories that have an input each, and whether
    the rare ones share one or many are hashed. Columns without information are left out. With each
    stands the form by which its cells are read.

    Raises:
        DataError: if no column is left, or the numbers of one cannot be told.
    """
    columns, targets = [], names_of(target)
    left: dict[str, list[str]] = {"empty": [], "constant": [], "names": []}
    for name, column in frame.columns.items():
        if name in targets:
            continue
        about = frame.about.get(name)
        if about is not None and about.conflict:
            raise DataError(f"{frame.source!r}: {about.conflict}")
        form = _form(column, about)
        found, why = _learnt_column(name, column, form, notes)
        if found is None:
            left[why].append(name)
        else:
            columns.append({**form, **found})
    _tell_left(left, notes)
    inputs = sum(width(column) for column in columns)
    if not 0 < inputs <= MOST_FEATURES:
        raise DataError(
            f"{frame.source!r} gives {inputs:,} inputs besides {some(list(targets))}, 1 to "
            f"{MOST_FEATURES:,} are allowed: other columns are needed"
        )
    return {"clip": CLIP, "columns": columns}


def _form(column: np.ndarray, about: About | None) -> Mapping[str, Any]:
    if about is not None and about.form:
        return about.form
    return NUMBERS if column.dtype.kind == "f" else TEXTS


def _learnt_column(
    name: str, column: np.ndarray, form: Mapping[str, Any], notes: list[str]
) -> tuple[dict[str, Any] | None, str]:
    """Return what is learnt of a column, or None and why it is left out."""
    filled = column[~missing(column)]
    if not len(filled):
        return None, "empty"
    if (filled == filled[0]).all() and len(filled) == len(column):
        return None, "constant"
    if form["type"] == "number":
        return {"name": name, **_numeric(name, column, notes)}, ""
    if form["type"] == "date":
        return _dated(name, column, form, notes), "empty"
    distinct = len(set(filled.tolist()))
    if distinct > max(CATEGORIES, NAME_LIKE * len(filled)):
        return None, "names"
    return _categorical(name, column, notes), "names"


def _tell_left(left: Mapping[str, list[str]], notes: list[str]) -> None:
    for key, why in (("empty", "empty"), ("constant", "the same in every training row")):
        if left[key]:
            notes.append(f"columns that are {why} are left out: {some(left[key])}")
    if left["names"]:
        notes.append(
            f"columns of names or free text are left out: {some(left['names'])}; --text COLUMN reads "
            "one as text"
        )


def _numeric(name: str, column: np.ndarray, notes: list[str]) -> dict[str, Any]:
    unknown = np.isnan(column)
    median = float(np.median(column[~unknown]))
    values = np.where(unknown, median, column)
    low, high = usual_range(column[~unknown], WILD)
    usual = values[(values >= low) & (values <= high)]
    if len(usual) < len(values):
        wild = values[(values < low) | (values > high)]
        notes.append(
            f"column {name!r}: {len(wild)} of {len(column):,} training values are far from the others "
            f"({_shown(wild)}; the others lie between {usual.min():g} and {usual.max():g}): its scale "
            "is that of the others"
        )
    mean, std = mean_and_std(usual)
    return {"median": median, "mean": mean, "std": std or 1.0, "missing": bool(unknown.any())}


def _shown(values: np.ndarray, most: int = 3) -> str:
    more = ", ..." if len(values) > most else ""
    return ", ".join(f"{value:g}" for value in values[:most].tolist()) + more


def _dated(
    name: str, texts: np.ndarray, form: Mapping[str, Any], notes: list[str]
) -> dict[str, Any] | None:
    """Return the start of a column of dates, the scale of the time since, and what comes round."""
    seconds = seconds_of(texts, form["order"])
    known = ~np.isnan(seconds)
    if not known.any():
        return None
    start = float(seconds[known].min())
    rounds = {key: values[known] for key, values in cycles_of(seconds).items()}
    if form["order"] in ("clock", "duration"):
        day = form["order"] == "clock" and start >= 0 and seconds[known].max() < DAY
        rounds = {"hour": rounds["hour"]} if day else {}
    cycles = [key for key, values in rounds.items() if len(np.unique(values)) > 1]
    told = " and ".join(["the time that has passed", *cycles])
    notes.append(f"column {name!r} is read as {ORDERS[form['order']]}: {told}")
    return {
        "name": name,
        "start": start,
        "cycles": cycles,
        **_numeric(name, seconds - start, notes),
    }


def _categorical(name: str, column: np.ndarray, notes: list[str]) -> dict[str, Any] | None:
    """Return the categories of a column, or None if all of them are rare."""
    counts = Counter(column.tolist())
    frequent = sorted(
        (each for each, count in counts.items() if count >= LEAST_ROWS),
        key=lambda each: (-counts[each], each),
    )
    if not frequent:
        return None
    known = sorted(frequent[:CATEGORIES])
    rare = len(counts) > len(known)
    if len(frequent) <= CATEGORIES:
        return {"name": name, "categories": known, "rare": rare}
    notes.append(
        f"column {name!r}: {len(counts):,} categories; the {CATEGORIES} most frequent have an input "
        f"each, the others are hashed into {HASHED}"
    )
    return {"name": name, "categories": known, "rare": False, "hashed": HASHED}


def remember_categories(columns: Sequence[dict[str, Any]], frame: Frame) -> None:
    """Note of each column which categories without an input of their own its table holds.

    `predict.py` takes others for new ones. Of too many, ``seen`` is None: then none is called new.

    Args:
        columns: as `learnt` returns them; ``seen`` is added where there are any.
        frame: all rows, those of the other parts too.
    """
    for each in columns:
        if each["type"] == "category" and not each.get("hashed"):
            held = set(frame.column(each["name"]).tolist())
            seen = sorted(held - {"", *each["categories"]})
            if seen:
                each["seen"] = seen if len(seen) <= MOST_SEEN else None


def inputs(frame: Frame, reading: Mapping[str, Any]) -> np.ndarray:
    """Return the inputs of a network [N, F] float32, as `reading` says (`features`).

    Raises:
        DataError: if the table has not all of its columns.
    """
    return features(
        {each["name"]: frame.column(each["name"]) for each in reading["columns"]}, reading
    )
