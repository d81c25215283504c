"""Baselines beside the winner of a run: their rows, their time, their scores."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...network.kneser_ney import KneserNey
from ...network.ngrams import MOST_TOKENS
from ...task import Part, Task
from ...task.language import tokens_of
from ...task.metrics import scale_of_task, score, standard_error
from ...task.portable.running import beginning
from ...task.text import texts_of
from ..card.baselines import Baseline, of_scikit_learn
from .fitting import NAMES, Rows
from .process import Fitted, fitted

if TYPE_CHECKING:
    from ...config.setup import Setup
    from ...task.frames import Frame

SHARE = 0.1  # of the budget: processor seconds of all baselines
UNCLOCKED = 60.0  # the same, where no clock ends the run [s]
SHORT = 15.0  # [s] of a delivery: less is time for the network alone
ABSENT = "scikit-learn is not installed: pip install scikit-learn"
LATE = "no time is left for it"
NGRAMS = "kneser-ney"
MOST_CHARACTERS = 500_000_000  # of texts whose pairs of words are held in memory [count]


@dataclass
class Baselines:
    """The baselines of a run, fitted before its delivery and scored after it.

    Args:
        setup: of the run, with its data.
        seconds: left for the delivery, or None. [s]
        say: is told what happens, in lines.
    """

    setup: Setup
    seconds: float | None
    say: Callable[[str], None]
    found: dict[str, Fitted] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The baselines that there are for the data; none where no controls are asked for."""
        task = self.setup.task
        if not self.setup.train.controls or not task.trainable:
            return ()
        return (NGRAMS,) if task.successive else NAMES.get(task.kind, ())

    @property
    def rules(self) -> dict[str, Fitted]:
        """Name -> the answers by rules that learn nothing, which cost no time."""
        source = self.setup.task.source if self.names else None
        if source is None:
            return {}
        return {
            name: Fitted(parts["validation"], parts.get("test"), 0.0)
            for name, parts in source.answers.items()
        }

    def fit(self) -> None:
        """Fit them, within a tenth of the budget; those that need longer are left out."""
        setup, names = self.setup, self.names
        task = setup.task
        if not names:
            return
        if task.successive:
            self.found = {NGRAMS: ngrams(task)}
            return
        rows = None
        if importlib.util.find_spec("sklearn") is None:
            why = ABSENT
        elif self.seconds is not None and self.seconds < SHORT:
            why = LATE
        else:
            rows, why = rows_of(task, setup.request.seed)
        if rows is None:
            found = {name: Fitted(left_out=why) for name in names}
        else:
            total = setup.budget.seconds
            found = fitted(rows, UNCLOCKED if total is None else SHARE * total)
        self.found = self.rules | found

    def scored(self) -> dict[str, Baseline]:
        """Return name -> its scores; test is read here."""
        task = self.setup.task
        told = {name: _scored(each, task) for name, each in self.found.items()}
        for name, each in told.items():
            if each.left_out:
                self.say(f"{name}{of_scikit_learn(name)} is left out: {each.left_out}")
            else:
                test = "" if each.test_score is None else f", test {each.test_score:.4f}"
                self.say(
                    f"{name}{of_scikit_learn(name)}: val {task.metric} {each.val_score:.4f}{test} "
                    f"({each.seconds:.1f} s)"
                )
        return told


def _scored(each: Fitted, task: Task) -> Baseline:
    if each.validation is None:
        return Baseline(left_out=each.left_out)
    test = test_error = None
    if each.test is not None and task.test is not None:
        test, test_error = _told(each.test, task.test, task)
    score, error = _told(each.validation, task.validation, task)
    return Baseline(
        val_score=score,
        test_score=test,
        val_error=error,
        test_error=test_error,
        seconds=each.seconds,
    )


def _told(found: np.ndarray, part: Part, task: Task) -> tuple[float, float | None]:
    """Return the score of what a baseline found for a part, and its standard error."""
    if task.successive:  # log-likelihoods of tokens [N]
        return float(found.mean()), float(found.std() / math.sqrt(len(found)))
    return judged(found, part.y, task, part.weight)


def ngrams(task: Task) -> Fitted:
    """Return the log-likelihoods by n-grams of the tokens of validation and test [N]."""
    learnt, asked = tokens_of(task.train), tokens_of(task.validation)
    if len(learnt) > MOST_TOKENS:
        return Fitted(left_out=f"the text has more than {MOST_TOKENS:,} tokens")
    begun = time.process_time()
    first = beginning(dict(task.reading))
    validation = KneserNey(learnt, task.outputs, first).log_likelihoods(asked)
    seconds, test = time.process_time() - begun, None
    if task.test is not None:
        both = KneserNey(np.concatenate([learnt, asked]), task.outputs, first)
        test = both.log_likelihoods(tokens_of(task.test))
    return Fitted(validation, test, seconds)


def judged(
    outputs: np.ndarray, y: np.ndarray, task: Task, weight: np.ndarray | None = None
) -> tuple[float, float | None]:
    """Return a score by the task's metric, and its error.

    Args:
        outputs: [N, outputs].
        y: targets [N].
        task: whose metric it is.
        weight: of every row [N]; None is 1.
    """
    given = (task.metric, outputs, y, scale_of_task(task), weight)
    return score(*given), standard_error(*given)


# ---- rows ----------------------------------------------------------------------------------------


def rows_of(task: Task, seed: int) -> tuple[Rows | None, str]:
    """Return the rows of a task as baselines take them; None and why, if they cannot.

    A table is taken as its file has it: numbers with gaps, dates as seconds, categories as texts. A
    task without its table gives the inputs of networks.
    """
    y = {"training": task.train.y, "validation": task.validation.y}
    learnt = {"training": task.train.weight, "validation": task.validation.weight}
    weight = {name: each for name, each in learnt.items() if each is not None}
    common: dict[str, Any] = {"outputs": task.outputs, "y": y, "seed": seed, "weight": weight}
    common |= {"independent": task.division.is_free, "labels": bool(task.labels)}
    parts = {"training": task.train, "validation": task.validation}
    if task.test is not None:
        parts["test"] = task.test
    if task.kind == "text":
        return _texts(task, parts, common)
    frames = {name: None if task.source is None else task.source.part(name) for name in parts}
    kept: dict[str, Frame] = {name: frame for name, frame in frames.items() if frame is not None}
    if not kept:
        numbers = {name: _flat(part) for name, part in parts.items()}
        categories = {name: np.empty((len(part), 0), object) for name, part in parts.items()}
        return Rows("numbers", numbers=numbers, categories=categories, **common), ""
    columns = task.reading["columns"]
    numbers = {name: _numbers(frame, columns) for name, frame in kept.items()}
    categories = {name: _categories(frame, columns) for name, frame in kept.items()}
    read = [each for each in columns if each["type"] == "text"]
    names, tokens = [each["name"] for each in read], [each["tokens"] for each in read]
    texts = {part: [texts_of(frame, name) for name in names] for part, frame in kept.items()}
    own: dict[str, Any] = {"numbers": numbers, "categories": categories, "beside": texts}
    own["tokens"] = tokens
    return Rows("numbers", **own, **common), ""


def _flat(part: Part) -> np.ndarray:
    return np.asarray(part.x, np.float64).reshape(len(part), -1)


def _texts(
    task: Task, parts: Mapping[str, Part], common: dict[str, Any]
) -> tuple[Rows | None, str]:
    if task.source is None:
        return None, "the task does not have its texts"
    texts = {}
    for name in parts:
        frame = task.source.part(name)
        if frame is not None:
            texts[name] = texts_of(frame, task.reading["text"])
    if sum(map(len, (text for each in texts.values() for text in each))) > MOST_CHARACTERS:
        return None, "the texts are too many to hold their pairs of words in memory"
    tokens = [task.reading.get("tokens", "words")]
    return Rows("text", texts=texts, tokens=tokens, **common), ""


def _numbers(frame: Frame, columns: list[Mapping[str, Any]]) -> np.ndarray:
    """Return the columns of numbers and dates [N, F] float64."""
    from ...task.portable.dates import seconds_of

    found = [
        frame.column(each["name"])
        if each["type"] == "number"
        else seconds_of(frame.column(each["name"]), each["order"])
        for each in columns
        if each["type"] in ("number", "date")
    ]
    return np.stack(found, axis=1) if found else np.empty((len(frame), 0))


def _categories(frame: Frame, columns: list[Mapping[str, Any]]) -> np.ndarray:
    """Return the columns of categories [N, C] object, text."""
    found = np.empty((len(frame), sum(each["type"] == "category" for each in columns)), object)
    names = [each["name"] for each in columns if each["type"] == "category"]
    for place, name in enumerate(names):
        found[:, place] = frame.column(name)
    return found
