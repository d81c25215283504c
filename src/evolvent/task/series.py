"""Whole series of one length, each with a class or a quantity: arrays, .ts files, tables of time steps.

Forecasts, whose rows follow each other in time, are in `forecast`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from . import Part, Task
from .arrays import read_npz
from .files import existing, reading, some
from .frames import Frame, with_labels
from .images import Images
from .numbers import measured, same_columns, target_of, with_target
from .portable.errors import Unreadable
from .portable.sequences import read_ts, standardised, with_channels
from .scales import clipped, mean_and_std, scale_of
from .splitting import Parts, classes_of, three_parts

LEAST_STEPS = 4  # of a series [count]
TS = ".ts"
_TRAIN = re.compile(r"_train(\.ts)$", re.IGNORECASE)
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
    x_all, y_all = (np.concatenate([part[key] for key in own]) for part in (series, y))
    kind = kind or _kind_of(y_all, notes)
    y_all, y_test, about = _targets(where, kind, y_all, y.get("x_test"), raw, notes)
    parts = _parts(y_all, kind, seed, validation, fraction, "x_test" not in series)
    if "x_val" in series:
        parts = _given_parts(len(y["x_train"]), len(y_all), parts, fraction, seed)
    test = None if y_test is None else (series["x_test"], y_test)
    about = {"target": TARGET, **about, **raw.reading}
    return _task(name, x_all, y_all, parts, about, notes, seed, test)


def series_of_file(name: str, **settings: Any) -> Task:
    """Return the task of series in an .npz or a .ts file; see `series_of_arrays` for the settings.

    Beside a file NAME_TRAIN.ts the one called NAME_TEST.ts is its test part, as in the UCR archive.

    Raises:
        DataError: if it is no such file, or cannot be used.
    """
    if is_ts(name):
        raw, quantity = _ts(existing(name))
        settings["kind"] = settings.get("kind") or ("regression" if quantity else "classification")
        return series_of_arrays(name, raw, **settings)
    if Path(name).suffix.lower() != ".npz":
        raise DataError(
            f"{name!r}: series are read from tables, .npz and .ts files: save them as one of these"
        )
    return series_of_arrays(name, read_npz(name), **settings)


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
        seed: as in `series_of_arrays`, and so are the following.
        validation: share to validate on.
        fraction: share of the training rows to keep.

    Raises:
        DataError: if the table cannot be used.
    """
    notes = list(frame.note)
    if kind == "classification":
        frame = with_labels(frame, target, notes)
        test = None if test is None else with_labels(test, target, [], like=frame)
    frame = with_target(frame, target, notes)
    other = None if test is None else with_target(same_columns(test, frame), target, notes)
    y, y_test, about = target_of(frame, other, target, kind, notes)
    steps = [each for each in frame.columns if each != target]
    parts = _parts(y, kind, seed, validation, fraction, test is None)
    forms = [{**frame.about[each].form, "name": each} for each in steps if each in frame.about]
    about = {"target": target, **about, "columns": forms}
    about |= {"file": dict(frame.how)} if frame.how else {}
    given = None if other is None or y_test is None else (_steps(other, steps, target), y_test)
    return _task(name, _steps(frame, steps, target), y, parts, about, notes, seed, given)


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
    where: str,
    kind: str,
    y: np.ndarray,
    y_test: np.ndarray | None,
    raw: Images,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return the targets of both parts, and what is known of them."""
    about: dict[str, Any] = {"task": kind}
    try:
        if kind == "classification":
            y, y_test, classes = classes_of(y, y_test, notes)
            if raw.class_names is not None:
                classes = tuple(raw.class_names[int(each)] for each in classes)
            return y, y_test, about | {"classes": list(classes)}
    except (DataError, ValueError, IndexError) as error:
        raise DataError(f"{where}: {error}") from error
    for each in (y, y_test):
        if each is not None and (each.dtype.kind not in "biuf" or not np.isfinite(each).all()):
            raise DataError(f"{where}: a regression needs finite numbers as targets: repair them")
    return y.astype(np.float64), None if y_test is None else y_test.astype(np.float64), about


def _parts(
    y: np.ndarray, kind: str, seed: int, validation: float, fraction: float, test: bool
) -> Parts:
    classes = kind == "classification"
    return three_parts(
        y, classes=classes, seed=seed, validation=validation, fraction=fraction, test=test
    )


def _given_parts(train: int, count: int, parts: Parts, fraction: float, seed: int) -> Parts:
    """Return the parts of data that come with their own validation, the last of the `count` rows."""
    rows = np.setdiff1d(np.arange(train), parts.get("test", np.zeros(0, int)))
    if fraction < 1:
        take = max(1, round(len(rows) * fraction))
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:take])
    found = {"training": rows, "validation": np.arange(train, count)}
    if "test" in parts:
        found["test"] = parts["test"][parts["test"] < train]
    return found


def _task(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    parts: Parts,
    about: Mapping[str, Any],
    notes: list[str],
    seed: int,
    test: tuple[np.ndarray, np.ndarray] | None,
) -> Task:
    """Return the task of series [N, C, T] with classes or quantities [N]."""
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
    scale: dict[str, float] = {"mean": 0.0, "unit": 1.0}
    if about["task"] == "regression":
        scale = scale_of(y[parts["training"]], about["target"], notes)
        told |= {"target_mean": scale["mean"], "target_unit": scale["unit"]}
    given = {key: (x[rows], y[rows]) for key, rows in parts.items()}
    given |= {} if test is None else {"test": test}
    made = {
        key: Part(standardised(each, told), own if own.dtype.kind == "i" else clipped(own, scale))
        for key, (each, own) in given.items()
    }
    classes = tuple(about.get("classes", ()))
    return Task(
        name=name,
        kind="series",
        input_shape=x.shape[1:],
        outputs=max(1, len(classes)),
        classes=classes,
        train=made["training"],
        validation=made["validation"],
        test=made.get("test"),
        seed=seed,
        note=tuple(notes),
        reading=told,
        unit=scale["unit"],
        **measured(about["task"]),
    )


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the values of a channel that are known; (0, 1) of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    mean, std = mean_and_std(known)
    return mean, std or 1.0
