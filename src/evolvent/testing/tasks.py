"""Small tasks of every kind, made on the spot: easy to learn, with some noise."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..errors import unknown
from ..task import Part, Task
from ..task.division import Windows
from ..task.language import METRIC
from ..task.portable.running import UNKNOWN, segments

KINDS = ("image", "numbers", "text", "series", "language", "control", "table")
_COUNTS = (72, 24, 24)  # train, validation, test


def small_task(kind: str) -> Any:
    """Return a small task.

    Args:
        kind: ``image`` (8 x 8, grey), ``numbers`` (five), ``text`` (eight tokens), ``series`` (two
            channels, 16 steps), ``language`` (sentences that repeat), ``control`` (XOR) or ``table``
            (all pairs of three digits). Classes are three.

    Raises:
        SettingError: for another kind.
    """
    if kind not in KINDS:
        raise unknown("kind of task", kind, KINDS)
    if kind == "control":
        from ..task.control import load

        return load("xor")
    if kind == "table":
        return _table()
    if kind == "language":
        return _language()
    rng = np.random.default_rng(0)
    y = np.arange(sum(_COUNTS)) % 3
    x, options = _inputs(kind, y, rng)
    ends = np.cumsum(_COUNTS)
    train, validation, test = (
        Part(x[end - count : end], y[end - count : end])
        for end, count in zip(ends, _COUNTS, strict=True)
    )
    return Task(
        f"small-{kind}",
        kind,
        outputs=3,
        classes=("a", "b", "c"),
        train=train,
        validation=validation,
        test=test,
        **options,
    )


def poisoned(task: Any) -> Any:
    """Return the task with other test data of the same form, or None where there are none."""
    if isinstance(task, Task) and task.test is not None:
        wrong = Part(task.test.x[::-1].copy(), _wrong(task, task.test.y))
        return dataclasses.replace(task, test=wrong)
    if getattr(task, "test", None) in getattr(task, "columns", ()):
        columns = dict(task.columns) | {task.test: 1 - task.columns[task.test]}
        return dataclasses.replace(task, columns=columns)
    return None


def mislabelled(task: Task) -> Task:
    """Return the task with wrong labels in its validation part."""
    part = task.validation
    return dataclasses.replace(task, validation=Part(part.x, _wrong(task, part.y)))


def _wrong(task: Task, y: np.ndarray) -> np.ndarray:
    """Return the next class of every example, or a quantity on the other side of its mean."""
    if task.successive:
        return np.where(y < 0, y, (y + 1) % task.outputs)
    if task.labels:
        return 1 - y
    found: np.ndarray = (y + 1) % task.outputs if task.classes else -y
    return found


def unlearnable(task: Task) -> Task:
    """Return the task with random labels: what is learnt by heart differs most between trainings.

    Classes of the validation part are of different sizes, so that networks that answer with one class
    alone score differently too.
    """
    rng, train, validation = np.random.default_rng(0), task.train, task.validation
    if task.successive:
        return _scrambled(task, rng)
    labels = rng.permutation(validation.y)
    if task.classes:
        labels = (rng.random(len(validation)) ** 2 * task.outputs).astype(validation.y.dtype)
    return dataclasses.replace(
        task,
        train=Part(train.x, rng.permutation(train.y)),
        validation=Part(validation.x, labels),
    )


def _scrambled(task: Task, rng: np.random.Generator) -> Task:
    """Return the task with texts of random tokens; some are more frequent in validation."""

    def random(part: Part) -> Part:
        ids = (rng.random(part.y.size) ** 2 * task.outputs).astype(np.int64)
        return Part(*segments(ids, task.input_shape[0], 0))

    return dataclasses.replace(task, train=random(task.train), validation=random(task.validation))


def _inputs(
    kind: str, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return inputs that tell their class, and what a task says of them."""
    if kind == "image":
        x = rng.integers(0, 60, (len(y), 8, 8, 1), np.uint8)
        for corner, (row, column) in enumerate(((0, 0), (0, 4), (4, 0))):
            x[y == corner, row : row + 4, column : column + 4] += 150
        return x, {"input_shape": (1, 8, 8), "mean": (0.25,), "std": (0.25,)}
    if kind == "numbers":
        x = rng.normal(size=(len(y), 5)).astype(np.float32)
        x[np.arange(len(y)), y] += 3
        return x, {"input_shape": (5,)}
    if kind == "series":
        phase = rng.uniform(0, 2 * np.pi, (len(y), 1))
        wave = np.sin(phase + (0.4 + 0.5 * y[:, None]) * np.arange(16))
        waves = np.stack([wave, rng.normal(size=wave.shape)], axis=1)
        return waves.astype(np.float32), {"input_shape": (2, 16)}
    tokens = rng.integers(4, 20, (len(y), 8)).astype(np.int32)
    tokens[:, :3] = y[:, None] + 1
    return tokens, {"input_shape": (8,), "vocabulary": 20}


def _language() -> Any:
    """Return a text in which most tokens follow from the one before."""
    rng = np.random.default_rng(0)
    ids = np.arange(1000) % 3
    ids[rng.random(len(ids)) < 0.05] = 0
    parts = [Part(*segments(each, 8, 0)) for each in np.split(ids, (600, 800))]
    train, validation, test = parts
    return Task(
        "small-language",
        "language",
        input_shape=(8,),
        outputs=3,
        classes=(),
        train=train,
        validation=validation,
        test=test,
        loss="next-token",
        metric=METRIC,
        vocabulary=3,
        successive=True,
        division=Windows(),
        reading={"tokens": "words", "words": [UNKNOWN, "1", "2"]},
    )


def _table() -> Any:
    from ..task.tables import Table

    archs = tuple(f"{a}{b}" for a in "012" for b in "012")
    score = np.linspace(0.1, 0.9, len(archs))
    columns = {"val": score, "test": score[::-1].copy(), "params": 100 * (1 + np.arange(9.0))}
    return Table("small-table", archs, columns, "val", "test")
