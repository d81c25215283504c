"""Whole series of one length, each with a class or a quantity: arrays, .ts files, tables of time steps.

Forecasts, whose rows follow each other in time, are in `forecast`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from . import Part, Task
from .arrays import read_npz
from .copies import hashes_of_rows, told_copies
from .files import existing, reading, some
from .frames import Frame, with_labels
from .images import Images
from .numbers import same_columns, target_of, with_target
from .own_split import (
    TOLD,
    Divided,
    File,
    OwnSplit,
    divide,
    files_given,
    files_of,
    share_of,
    stacked,
)
from .portable.errors import Unreadable
from .portable.sequences import read_ts, standardised, with_channels
from .scales import mean_and_std
from .splitting import classes_of
from .targets import as_quantities, scaled, scales_of, told_of

LEAST_STEPS = 4  # of a series [count]
TS = ".ts"
_TRAIN = re.compile(r"_train(\.ts)$", re.IGNORECASE)
_PARTS = {"x_train": "training", "x_val": "validation", "x_test": "test"}
TARGET = "label"  # what the target of series without a table is called


def series_of_arrays(
    name: str,
    raw: Images,
    *,
    kind: str | None = None,
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
) -> Task:
    """Return the task of series in arrays.

    Args:
        name: how the user called the data.
        raw: series [N, C, T], or [N, T] of one channel, and their classes or quantities [N].
        kind: ``classification`` or ``regression``; None takes targets with a fraction for quantities.
        seed: of the split between training and validation.
        validation: share of the series to validate on, of those that are not test, where the data do
            not come with some. (0..0.5]
        fraction: share of the remaining training series to keep. (0..1]

    Raises:
        DataError: if the data cannot be used.
    """
    notes, where = list(raw.note), f"{name!r}"
    given = {"x_train": raw.x, "x_val": raw.x_validation, "x_test": raw.x_test}
    series = {key: _series(f"{where}: {key}", x) for key, x in given.items() if x is not None}
    targets = {"x_train": raw.y, "x_val": raw.y_validation, "x_test": raw.y_test}
    y = {key: np.asarray(targets[key]).reshape(-1) for key in series}
    for key, each in series.items():
        if len(each) != len(y[key]):
            raise DataError(f"{where}: {key} has {len(each)} series and {len(y[key])} targets")
        if each.shape[1:] != series["x_train"].shape[1:]:
            raise DataError(
                f"{where}: {key} has series of shape {each.shape[1:]}, x_train of "
                f"{series['x_train'].shape[1:]}: make them alike"
            )
    own = [key for key in ("x_train", "x_val") if key in series]
    kind = kind or _kind_of(np.concatenate([y[key] for key in own]), notes)
    found, about = _targets(where, kind, {_PARTS[key]: y[key] for key in series}, raw, notes)
    divided = divide(
        *(np.concatenate([*found.values()]), {p: File(where, len(y)) for p, y in found.items()}),
        own=OwnSplit(),
        classes=about.get("classes", ()),
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=True,
        notes=notes,
    )
    x_all, y_all = (np.concatenate([*each.values()]) for each in (series, found))
    about = {"target": TARGET, **about, **raw.reading}
    return _task(name, x_all, y_all, divided, about, notes, seed)


def series_of_file(
    name: str, *, validation: float | str = 0.2, test: str | None = None, **settings: Any
) -> Task:
    """Return the task of series in an .npz or a .ts file; see `series_of_arrays` for the settings.

    Beside a file NAME_TRAIN.ts the one called NAME_TEST.ts is its test part, as in the UCR archive.

    Args:
        name: of the file.
        validation: share of the series to validate on, or the path of a file of them. (0..0.5]
        test: path of a file of the test series.
        settings: the others.

    Raises:
        DataError: if it is no such file, or cannot be used.
    """
    said = {"validation": validation, "test": test}
    raw, quantity = _read(name)
    for part, file in files_of(said).items():
        raw = _with_part(raw, part, file)
    if quantity is not None:
        settings["kind"] = settings.get("kind") or ("regression" if quantity else "classification")
    return series_of_arrays(name, raw, validation=share_of(said, 0.2), **settings)


def _read(name: str) -> tuple[Images, bool | None]:
    """Return the series of a file, and whether it has quantities; None is not told."""
    if is_ts(name):
        return _ts(existing(name))
    if Path(name).suffix.lower() != ".npz":
        raise DataError(
            f"{name!r}: series are read from tables, .npz and .ts files: save them as one of these"
        )
    return read_npz(name), None


def _with_part(raw: Images, part: str, file: str) -> Images:
    """Return series with those of a file as their ``validation`` or ``test`` part."""
    if getattr(raw, f"x_{part}") is not None:
        raise DataError(f"{file!r}: the data bring their own {part} part: leave --{part} out")
    other, _ = _read(file)
    if other.x_validation is not None or other.x_test is not None:
        raise DataError(f"{file!r} has parts of its own: name the file of one part")
    line = f"{TOLD}{len(other.y):,} series of {file!r} are the {part} part"
    own: dict[str, Any] = {f"x_{part}": other.x, f"y_{part}": other.y, "note": (*raw.note, line)}
    return replace(raw, **own)


def is_ts(path: str | os.PathLike[str]) -> bool:
    """Whether a file is named as those of the UCR archive are."""
    return Path(path).suffix.lower() == TS


def series_of_table(
    name: str,
    frame: Frame,
    *,
    target: str,
    kind: str,
    test: Frame | None = None,
    validating: Frame | None = None,
    own: OwnSplit = OwnSplit(),
    seed: int = 0,
    validation: float = 0.2,
    fraction: float = 1.0,
) -> Task:
    """Return the task of a table whose rows are series: every column but the target is a time step.

    Args:
        name: how the user called the data.
        frame: the table; its columns are in the order of time.
        target: the column to predict.
        kind: ``classification`` or ``regression``.
        test: a table of the same columns, whose rows are the test part; None splits it off.
        validating: another, whose rows are the validation part; None splits it off.
        own: the column that says how the rows are split.
        seed: as in `series_of_arrays`, and so are the following.
        validation: share to validate on.
        fraction: share of the training rows to keep.

    Raises:
        DataError: if the table cannot be used.
    """
    notes, others = list(frame.note), files_given(validation=validating, test=test)
    if kind == "classification":
        frame = with_labels(frame, target, notes)
        others = {p: with_labels(each, target, [], like=frame) for p, each in others.items()}
    frame = with_target(frame, target, notes)
    others = {part: with_target(each, target, notes) for part, each in others.items()}
    files = {p: File.of(each, own, p) for p, each in ({"training": frame} | others).items()}
    frame = own.without(frame)
    others = {part: same_columns(own.without(each), frame) for part, each in others.items()}
    y, more, about = target_of(frame, others, target, kind, notes)
    y = np.concatenate([y, *more.values()])
    divided = divide(
        *(y, files, own),
        classes=about.get("classes", ()),
        seed=seed,
        validation=validation,
        fraction=fraction,
        test=True,
        notes=notes,
    )
    steps = [each for each in frame.columns if each != target]
    forms = [{**frame.about[each].form, "name": each} for each in steps if each in frame.about]
    about = {"target": target, **about, "columns": forms}
    about |= {"file": dict(frame.how)} if frame.how else {}
    x = _steps(stacked(frame, [*others.values()], list(frame.columns)), steps, target)
    return _task(name, x, y, divided, about, notes, seed)


def _steps(frame: Frame, steps: list[str], target: str) -> np.ndarray:
    """Return the time steps of a table as series [N, 1, T]."""
    wrong = [each for each in steps if frame.column(each).dtype.kind != "f"]
    if wrong:
        raise DataError(
            f"{frame.source!r}: with --series every column beside {target!r} is a time step, and "
            f"{some(wrong)} hold no numbers: leave them out with --ignore"
        )
    if not steps:
        raise DataError(f"{frame.source!r} has no column beside {target!r}: add the time steps")
    return _series(f"{frame.source!r}", np.stack([frame.column(each) for each in steps], axis=1))


def _series(where: str, x: np.ndarray) -> np.ndarray:
    """Return series as [N, C, T] float64."""
    try:
        found = with_channels(np.asarray(x))
    except Unreadable as error:
        raise DataError(f"{where}: {error}") from error
    if found.shape[2] < LEAST_STEPS:
        raise DataError(
            f"{where}: series of {found.shape[2]} steps, at least {LEAST_STEPS} are needed: the last "
            "axis is that of time"
        )
    return found


def _ts(file: Path) -> tuple[Images, bool]:
    """Return the series of a .ts file and of the test file beside it, and whether it has quantities."""
    try:
        with reading(file, ".ts file", "see the format of the UCR archive"):
            train = read_ts(file)
        beside = _beside(file)
        test = None if beside is None else read_ts(beside)
    except Unreadable as error:
        raise DataError(str(error)) from error
    notes = () if beside is None else (f"the test part is {beside.name}, which lies beside it",)
    y, y_test = (_labels(file, each) for each in (train, test))
    return Images(
        train.x,
        y,
        None if test is None else test.x,
        y_test if test is not None else None,
        note=notes,
    ), train.quantity


def _beside(file: Path) -> Path | None:
    """Return the test file that belongs to a training file."""
    wanted = _TRAIN.sub("_test\\1", file.name).lower()
    if wanted == file.name.lower():
        return None
    return next(
        (each for each in sorted(file.parent.iterdir()) if each.name.lower() == wanted), None
    )


def _labels(file: Path, read: Any) -> np.ndarray:
    if read is None:
        return np.zeros(0)
    if not all(read.labels):
        raise DataError(
            f"{str(file)!r} has series without a label: a line @classLabel true, or @targetlabel true, "
            "says that there are some"
        )
    if not read.quantity:
        return np.array(read.labels)
    try:
        return np.array([float(label) for label in read.labels])
    except ValueError as error:
        raise DataError(f"{str(file)!r}: {error}: a target is a number") from error


def _kind_of(y: np.ndarray, notes: list[str]) -> str:
    """Return the kind of targets that nobody has named."""
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        return "regression"
    if y.dtype.kind in "if" and len(np.unique(y)) > max(20, len(y) // 20):
        notes.append(
            f"{len(np.unique(y))} different whole numbers are taken for classes (--kind regression "
            "takes them for a quantity)"
        )
    return "classification"


def _targets(
    where: str, kind: str, y: dict[str, np.ndarray], raw: Images, notes: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the targets of the parts, and what is known of them."""
    about: dict[str, Any] = {"task": kind}
    try:
        if kind == "classification":
            y, classes = classes_of(y, notes)
            if raw.class_names is not None:
                classes = tuple(raw.class_names[int(each)] for each in classes)
            return y, about | {"classes": list(classes)}
        return as_quantities(y, "series"), about
    except (DataError, ValueError, IndexError) as error:
        raise DataError(f"{where}: {error}") from error


def _task(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    divided: Divided,
    about: Mapping[str, Any],
    notes: list[str],
    seed: int,
) -> Task:
    """Return the task of series [N, C, T] with classes or quantities [N]."""
    parts = divided.parts
    seen = x[parts["training"]]
    scales = [_scale(seen[:, channel]) for channel in range(x.shape[1])]
    told = {
        "kind": "series",
        **about,
        "channels": x.shape[1],
        "steps": x.shape[2],
        "mean": [mean for mean, _ in scales],
        "std": [std for _, std in scales],
    }
    if gaps := int(np.isnan(x).sum()):
        notes.append(f"{gaps:,} missing values are the last one before each")
    if about["task"] == "regression":
        units, known = scales_of(y[parts["training"]], [about["target"]], notes)
        y, told = scaled(y, units), told | known
    made = {key: Part(standardised(x[rows], told), y[rows]) for key, rows in parts.items()}
    notes += told_copies(hashes_of_rows([*x.reshape(len(x), -1).T]), parts)
    return Task(
        name=name,
        kind="series",
        input_shape=x.shape[1:],
        train=made["training"],
        validation=made["validation"],
        test=made.get("test"),
        seed=seed,
        note=tuple(notes),
        reading=told,
        division=divided.division,
        **told_of(told),
    )


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the values of a channel that are known; (0, 1) of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    mean, std = mean_and_std(known)
    return mean, std or 1.0
