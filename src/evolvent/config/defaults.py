"""Defaults that follow from the kind and the size of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..task import Task
from ..task.metrics import is_skewed
from . import recipes, settable
from .setup import Setup

LEAST_EDGE = (
    16  # of images that less than full precision, or a shift of one pixel, may help [pixels]
)
MOST_FINALISTS = 4  # unless the user wants more
# [epochs] of a candidate by default; the least and the most in a search; the most at the end
EPOCHS = {"trials": 5.0, "least": 0.05, "most": 20.0, "final": 60.0}
# [epochs] the same of images, which a training hardly ever sees twice alike
EPOCHS_OF_IMAGES = {"most": 60.0, "final": 200.0}
# [epochs] the same where every architecture says itself how long it is trained at most
EPOCHS_OF_THEIR_OWN = {"most": 100.0, "final": 250.0}
# [steps] up to which small data are trained for more epochs than that
STEPS = {"trials": 200.0, "most": 800.0, "final": 2400.0}
STEPS_OF_THEIR_OWN = {"most": 1600.0, "final": 4000.0}


# [epochs] of a run in trials alone, whose length no clock bounds: of a candidate, and at the end
UNCLOCKED = {"trials": 30.0, "final": 120.0}


def suggested(task: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an estimator that the data suggest.

    Args:
        task: the data.
        known: name -> type of the settings that the estimator has.
    """
    found = _SUGGESTED[task.kind](task) if task.kind in _SUGGESTED else {}
    if task.trainable and is_skewed(task):
        found["stratified"] = True
    return {name: value for name, value in found.items() if name in known}


def _for_images(task: Task) -> dict[str, Any]:
    edge, count = min(task.input_shape[1:]), len(task.train)
    stem = 2 if edge >= 24 else 1
    found = {
        "stem_stride": stem,
        "stages": 3 if edge // stem >= 12 else 2,
        "batch": 128 if count >= 10_000 else 64 if count >= 4_000 else 32,
        "precision": "auto" if edge >= LEAST_EDGE else "float32",
    }
    # The gradient of a squared error has no bound, and the rates are those of classes.
    return found if task.classes else found | {"clip": 1.0}


def _for_numbers(task: Task) -> dict[str, Any]:
    count = len(task.train)
    return {
        "batch": 256
        if count >= 40_000
        else 128
        if count >= 8_000
        else 64
        if count >= 2_000
        else 32,
        "optimizer": "adamw",
        "lr": 3e-3,
        "weight_decay": 1e-2,
        "label_smoothing": 0.0,
    }


def _for_texts(task: Task) -> dict[str, Any]:
    return {
        "batch": 64 if len(task.train) >= 4_000 else 32,
        "optimizer": "adamw",
        "lr": 2e-3,
        "precision": "auto",
    }


def _for_language(task: Task) -> dict[str, Any]:
    return {
        "batch": 20,
        "optimizer": "adamw",
        "lr": 4e-3,
        "weight_decay": 0.1,
        "schedule": "one-cycle",
        "warmup": 0.2,
        "clip": 0.5,
        "label_smoothing": 0.0,
        "dropout": 0.2,
        "drop_words": 0.1,
        "precision": "auto",
    }


def _for_series(task: Task) -> dict[str, Any]:
    return _for_numbers(task) | {"batch": 64 if len(task.train) >= 1_000 else 32}


_SUGGESTED = {
    "image": _for_images,
    "numbers": _for_numbers,
    "text": _for_texts,
    "language": _for_language,
    "series": _for_series,
}


def adapted(setup: Setup, task: Any) -> dict[str, Any]:
    """Return the settings of a run's final training for other data.

    What the data suggest is suggested anew, unless the user or the recipe had said it: how the stem
    strides, how many stages there are, the batch, the precision.
    """
    request = setup.request
    recipe = recipes.RECIPES.get(request.recipe or recipes.DEFAULT.get(task.kind, ""))
    parts = ("estimator", "train")
    said = {name for part in parts for name in request.said(part)}
    said |= {name for part in parts for name in (recipe.of(part, task.kind) if recipe else {})}
    anew = suggested(task, settable.of_estimator(setup.parts.estimator.make))
    return dict(setup.train.settings) | {k: v for k, v in anew.items() if k not in said}


def at_most(what: str, task: Task, batch: int, *, own: bool = False) -> float:
    """Return the longest training that is worth it, of ``trials``, ``most`` or ``final``. [epochs]

    A small data set has few steps in an epoch, and a network needs some steps whatever it learns.
    Those of ``trials`` are bounded, since no clock bounds them.

    Args:
        what: one of these.
        task: the data.
        batch: usual one. [count]
        own: whether architectures say themselves how long they are trained at most (``lengths``), so
            that one which learns small data by heart need not.
    """
    per_epoch = max(1, len(task.train) // batch)
    epochs = EPOCHS | (EPOCHS_OF_IMAGES if task.kind == "image" else {})
    epochs |= EPOCHS_OF_THEIR_OWN if own else {}
    steps = STEPS | (STEPS_OF_THEIR_OWN if own else {})
    found = max(epochs[what], steps[what] / per_epoch)
    return min(found, UNCLOCKED["trials"]) if what == "trials" else found
