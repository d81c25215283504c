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
from . import Part, Task
from .copies import hashes_of_rows, told_copies
from .division import strata
from .files import some
from .frames import About, Frame, missing, with_labels
from .mixed import cells_of, is_text, textual
from .own_split import Divided, File, OwnSplit, divide, files_given, stacked
from .portable.columns import CATEGORIES as TEXTS
from .portable.columns import NUMBERS
from .portable.dates import DAY, ORDERS, cycles_of, seconds_of
from .portable.features import features, width
from .portable.numerals import number
from .scales import mean_and_std, usual_range
from .source import Source
from .splitting import classes_of
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
from .weighting import taken_out_of_all, weighted

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
    validating: Frame | None = None,
    own: OwnSplit = OwnSplit(),
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
    weight: str | None = None,
    texts: Sequence[str] = (),
) -> Task:
    """Return the task of predicting one column of a table, or several, from the others.

    Args:
        name: how the user called the data.
        frame: the table.
        target: the column to predict, or several: quantities, or labels of two values each.
        kind: ``classification``, ``regression`` or ``multi-label``.
        separator: between the labels of a cell, where one column holds lists of them.
        test: a table of the same columns, whose rows are the test part; None splits it off.
        validating: another, whose rows are the validation part; None splits it off.
        own: the column that says how the rows are split.
        seed: of the split between training and validation.
        validation: share of the rows to validate on, of those that are not test. (0..0.5]
        fraction: share of the remaining training rows to keep. (0..1]
        weight: the column of the weights of rows, which is no input; None is 1 of every row.
        texts: columns that are read as texts, whatever their cells look like; of the others the cells
            decide.

    Raises:
        DataError: if the table cannot be used.
    """
    notes, names = list(frame.note), names_of(target)
    check_targets(frame, names)
    others = files_given(validation=validating, test=test)
    for each in names if kind != "regression" else ():
        frame = with_labels(frame, each, notes)
        others = {p: with_labels(other, each, [], like=frame) for p, other in others.items()}
    if separator is None:
        frame = with_targets(frame, names, kind, notes)
        others = {p: with_targets(each, names, kind, notes) for p, each in others.items()}
    files = {p: File.of(each, own, p) for p, each in ({"training": frame} | others).items()}
    frame, others, weights = taken_out_of_all(own.without(frame), others, weight, notes)
    others = {part: same_columns(own.without(each), frame) for part, each in others.items()}
    y, more, about = target_of(frame, others, target, kind, notes, separator)
    tell_gaps(frame, target, notes)
    y = np.concatenate([y, *more.values()])
    divided = divide(
        *(strata(y) if kind == "multi-label" else y, files, own),
        classes=about.get("classes", ()),
        spread=kind != "regression",
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=True,
        notes=notes,
    )
    task = prepared(
        name,
        stacked(frame, list(others.values()), list(frame.columns)),
        y,
        target=target,
        about=about,
        divided=divided,
        notes=notes,
        seed=seed,
        texts=texts,
    )
    if weights is None or weight is None:
        return task
    return weighted(task, {k: weights[rows] for k, rows in divided.parts.items()}, weight)


def prepared(
    name: str,
    frame: Frame,
    y: np.ndarray,
    *,
    target: str | Sequence[str],
    about: Mapping[str, Any],
    divided: Divided,
    notes: list[str],
    seed: int,
    texts: Sequence[str] = (),
) -> Task:
    """Return the task of a table whose target is known and whose rows are in parts.

    Args:
        name: how the user called the data.
        frame: the table, with or without its target.
        y: classes [N] int64, or quantities [N], several [N, outputs]; or labels [N, outputs], 0 or 1.
        target: the name of the target, or of several.
        about: what is known of it: ``task``, and the names of ``classes`` or ``labels``.
        divided: the rows of ``training``, ``validation`` and maybe ``test``.
        notes: what a user should know; gets a line for whatever else there is.
        seed: of the split.
        texts: columns that are read as texts, as of `numbers_task`.

    Raises:
        DataError: if the table cannot be used.
    """
    parts = divided.parts
    training, seen = frame.rows(parts["training"]), y[parts["training"]]
    given = target if isinstance(target, str) else list(target)
    reading: dict[str, Any] = {"kind": "numbers", "target": given}
    reading |= learnt(training, target, notes, texts=texts)
    remember_categories(reading["columns"], frame)
    reading |= {"file": dict(frame.how)} if frame.how else {}
    scales: list[dict[str, float]] = []
    if about["task"] == "regression":
        scales, told = scales_of(seen, names_of(target), notes)
        about = {**about, **told}
    if "labels" in about:
        note_labels(seen, about["labels"], notes)
    made = {key: _part(frame.rows(rows), y[rows], reading, scales) for key, rows in parts.items()}
    cells = [frame.column(column["name"]) for column in reading["columns"]]
    notes += told_copies(hashes_of_rows(cells), parts)
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
        source=Source(frame, parts),
        division=divided.division,
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


def with_targets(frame: Frame, names: Sequence[str], kind: str, notes: list[str]) -> Frame:
    """Return the rows that have all targets."""
    if kind == "multi-label":
        return without_gaps(frame, names, notes)
    for each in names:
        frame = with_target(frame, each, notes)
    return frame


def target_of(
    frame: Frame,
    others: Mapping[str, Frame],
    target: str | Sequence[str],
    kind: str,
    notes: list[str],
    separator: str | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Return the target of a table, that of others, and its `reading`.

    Classes are [N] int64, numbers [N], several [N, outputs], labels [N, labels] float32.

    Args:
        frame: the table of the training rows.
        others: part -> a table of its own.
        target: the column, or several.
        kind: ``classification``, ``regression`` or ``multi-label``.
        notes: gets a line for whatever a user should know.
        separator: between the labels of a cell, where one column holds lists of them.
    """
    if kind == "multi-label":
        return _labels_of(frame, others, target, notes, separator)
    if not isinstance(target, str):
        several = {part: _quantities_of(each, target) for part, each in others.items()}
        return _quantities_of(frame, target), several, {"task": "regression"}
    if kind == "classification":
        labels = {part: each.labels(target) for part, each in others.items()}
        try:
            found, classes = classes_of({"training": frame.labels(target)} | labels, notes)
        except DataError as error:
            raise DataError(f"{frame.source!r}, column {target!r}: {error}") from error
        return found.pop("training"), found, {"task": kind, "classes": list(classes)}
    for each in (frame, *others.values()):
        check_quantity(each, target)
    more = {part: each.column(target) for part, each in others.items()}
    return frame.column(target), more, {"task": kind}


def _quantities_of(frame: Frame, targets: Sequence[str]) -> np.ndarray:
    """Return several quantities of every row [N, outputs]."""
    for name in targets:
        check_quantity(frame, name)
    return np.stack([frame.column(name) for name in targets], axis=1)


def _labels_of(
    frame: Frame,
    others: Mapping[str, Frame],
    target: str | Sequence[str],
    notes: list[str],
    separator: str | None,
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    names = names_of(target)
    if separator is None:
        y, about = labels_of_columns(frame, names, notes)
        pairs = about["values"]
        more = {p: known_labels_of_columns(each, names, pairs) for p, each in others.items()}
        return y, more, about
    y, about = labels_of_lists(frame, names[0], separator, notes)
    more = {
        part: known_labels_of_lists(each, names[0], separator, about["labels"])
        for part, each in others.items()
    }
    return y, more, about


def check_quantity(frame: Frame, target: str) -> None:
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


def same_columns(test: Frame, frame: Frame) -> Frame:
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
    """Return the texts of missing cells, beside nothing at all."""
    marks = [f"{count:,} {mark!r}" for mark, count in sorted(gaps.items()) if mark]
    return f" ({', '.join(marks)})" if marks else ""


# ---- the columns ---------------------------------------------------------------------------------


def learnt(
    frame: Frame, target: str | Sequence[str], notes: list[str], *, texts: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the preprocessing of every column, fitted to the training rows, as plain values.

    Numbers: the median that replaces a missing one, mean and standard deviation (of the values that
    are not wild), and whether an input of its own marks a missing one. Dates: the same of the time
    since the first, and what comes round. Texts: the categories that have an input each, and whether
    the rare ones share one or many are hashed. Columns without information are left out. With each
    stands the form by which its cells are read. Columns of texts come last.

    Raises:
        DataError: if no column is left, the numbers of one cannot be told, or a column of texts is not
            there.
    """
    for name in texts:
        frame.column(name)
    found = learnt_columns(frame, target, notes, texts)
    inputs = sum(1 if each["type"] == "text" else width(each) for each in found["columns"])
    if not 0 < inputs <= MOST_FEATURES:
        raise DataError(
            f"{frame.source!r} gives {inputs:,} inputs besides {some(list(names_of(target)))}, 1 to "
            f"{MOST_FEATURES:,} are allowed: other columns are needed"
        )
    return found


def learnt_columns(
    frame: Frame, target: str | Sequence[str], notes: list[str], texts: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the preprocessing as `learnt` does, where there may be no column beside the target.

    Raises:
        DataError: if the numbers of a column cannot be told.
    """
    columns: list[dict[str, Any]] = []
    targets = names_of(target)
    left: dict[str, list[str]] = {"empty": [], "constant": [], "names": []}
    for name, column in frame.columns.items():
        if name in targets:
            continue
        about = frame.about.get(name)
        if name in texts:
            columns.append(textual(name, *cells_of(frame, name), notes))
            continue
        if about is not None and about.conflict:
            raise DataError(f"{frame.source!r}: {about.conflict}")
        form = _form(column, about)
        if form["type"] == "category" and is_text(column):
            columns.append(textual(name, column.tolist(), list(form["marks"]), notes))
            continue
        found, why = _learnt_column(name, column, form, notes)
        if found is None:
            left[why].append(name)
        else:
            columns.append({**form, **found})
    _tell_left(left, notes)
    columns.sort(key=lambda each: each["type"] == "text")
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
    columns = {}
    for each in reading["columns"]:
        name, column = each["name"], frame.column(each["name"])
        if each["type"] == "text":
            column = np.array(cells_of(frame, name)[0], object)
        columns[name] = column
    return features(columns, reading)
