"""Metrics by name, from the outputs of a network: what a search chooses by, and their uncertainty.

Every score is higher the better: of an error it is the negative, called ``neg-...``, as in
scikit-learn. Values equal scikit-learn's; they are computed with numpy, since workers have no
scikit-learn.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError

if TYPE_CHECKING:
    from . import Task

EPSILON = float(np.finfo(np.float64).eps)
RESAMPLES = 200  # of the bootstrap [count]
MOST_RESAMPLED = 20_000  # rows of a resample; of more rows the error is scaled [count]
QUANTILE = 0.5
SKEWED = 10.0  # rows of the largest class per row of the smallest: beyond, accuracy says little
SKEWED_TOLD = (
    "classes are skewed beyond 10 : 1 and no metric is named: networks are chosen by log-loss, and "
    "balanced accuracy is told beside accuracy (--metric NAME chooses by another)"
)

CLASSES = (
    *("accuracy", "balanced-accuracy", "f1", "roc-auc", "average-precision"),
    *("neg-log-loss", "neg-brier"),
)
QUANTITIES = ("r2", "neg-rmse", "neg-mse", "neg-mae", "neg-mape", "neg-rmsle", "neg-quantile")
LABELS = (
    *("average-precision", "f1", "roc-auc", "subset-accuracy"),
    *("neg-log-loss", "neg-brier"),
)
#: kind of target -> its metrics, and how the target is called
OF_KIND = {
    "classification": (CLASSES, "classes"),
    "multi-label": (LABELS, "labels"),
    "regression": (QUANTITIES, "quantities"),
}
#: metric -> kind of target that it is for, the first of several
KINDS = {name: kind for kind in reversed(OF_KIND) for name in OF_KIND[kind][0]}
#: kind of target -> a name that scikit-learn has for another metric there
ALSO = {"multi-label": {"accuracy": "subset-accuracy"}}
THRESHOLD = 0.5  # of the probability of a label, from which it is told
OWN_UNIT = ("neg-rmse", "neg-mse", "neg-mae", "neg-quantile")  # in the unit of the target
#: another name -> the metric
ALIASES = {
    "f1-macro": "f1",
    "macro-f1": "f1",
    "roc-auc-ovr": "roc-auc",
    "auc": "roc-auc",
    "pr-auc": "average-precision",
    "neg-brier-score": "neg-brier",
    "neg-root-mean-squared-error": "neg-rmse",
    "neg-mean-squared-error": "neg-mse",
    "neg-mean-absolute-error": "neg-mae",
    "neg-mean-absolute-percentage-error": "neg-mape",
    "neg-root-mean-squared-log-error": "neg-rmsle",
    "neg-mean-pinball-loss": "neg-quantile",
    "pinball": "neg-quantile",
}
OF_A_CLASS = ("f1", "average-precision")  # may name a class after a colon


@dataclass(frozen=True)
class Scale:
    """The meaning of outputs and targets.

    Args:
        classes: their names, in the order of the outputs; empty for quantities and labels.
        mean: what 0 stands for in the targets of a quantity, or of each of several. [its own unit]
        unit: what 1 stands for, beyond `mean`; or of each of several. [its own unit]
        labels: of which a row has none, one or several, in the order of the outputs.
    """

    classes: tuple[str, ...] = ()
    mean: float | tuple[float, ...] = 0.0
    unit: float | tuple[float, ...] = 1.0
    labels: tuple[str, ...] = ()


def parsed(name: str) -> tuple[str, str | None]:
    """Return a metric and what stands after its colon, a class or the share of a quantile, or None.

    Args:
        name: such as ``f1``, ``f1:cat``, ``log-loss``, ``neg_log_loss``, ``quantile:0.9``.

    Raises:
        SettingError: for an unknown name; those that there are are listed.
    """
    stem, colon, rest = name.partition(":")
    stem = stem.strip().lower().replace("_", "-")
    for each in (stem, f"neg-{stem}"):
        found = ALIASES.get(each, each)
        if found in KINDS:
            return found, _argument(name, found, rest if colon else None)
    near = difflib.get_close_matches(stem, [*KINDS, *ALIASES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0].removeprefix('neg-')!r}? " if near else ""
    raise SettingError(f"there is no metric {name!r}: {hint}there are {listed()}")


def _argument(name: str, metric: str, rest: str | None) -> str | None:
    if rest is None or metric in OF_A_CLASS:
        return rest
    if metric == "neg-quantile":
        try:
            share = float(rest)
        except ValueError:
            share = math.nan
        if not 0 < share < 1:
            raise SettingError(
                f"metric {name!r}: a quantile is between 0 and 1, as in quantile:0.9"
            )
        return rest
    told = " and ".join(OF_A_CLASS)
    raise SettingError(f"metric {name!r}: only {told} are of one class: leave out ':{rest}'")


def listed(kind: str | None = None) -> str:
    """Return the names of the metrics, of one kind of target or of both, in one line."""
    parts = []
    for each, (names, called) in OF_KIND.items():
        shown = ", ".join(name.removeprefix("neg-") for name in names)
        if kind in (None, each):
            parts.append(f"{shown} for {called}")
    return "; ".join(parts)


def fits(name: str, kind: str) -> bool:
    """Whether a metric is for a kind of target."""
    metric = parsed(name)[0]
    return metric in OF_KIND[kind][0] or metric in ALSO.get(kind, {})


def kind_of_metric(name: str) -> str:
    """Return the kind of one target that a metric is for; the first of several."""
    return next(kind for kind in OF_KIND if fits(name, kind))


def check_metric(name: str | None, positive: str | None, kind: str | None) -> None:
    """Refuse a metric that does not exist, or does not fit a kind of target that is known already.

    Args:
        name: of the metric, or None.
        positive: the class that counts as positive, or None.
        kind: of the target, or None if it is not known.

    Raises:
        SettingError: with the metrics that fit.
    """
    if name is None:
        if positive is not None:
            raise SettingError(
                f"--positive {positive}: name the metric too, such as --metric average-precision"
            )
        return
    metric, rest = parsed(name)
    if kind is not None and not fits(name, kind):
        what = {"classification": "classes", "regression": "a quantity"}.get(kind, "labels")
        raise SettingError(f"metric {name!r}: the target is {what}; these fit: {listed(kind)}")
    if positive is not None and metric not in OF_A_CLASS:
        raise SettingError(
            f"--positive {positive}: {name} has no positive class, {' and '.join(OF_A_CLASS)} have: "
            "leave it out"
        )
    if positive is not None and rest is not None and rest != positive:
        raise SettingError(f"--positive {positive} and metric {name!r}: say it once")


def resolved(
    name: str,
    positive: str | None,
    classes: Sequence[str],
    counts: Sequence[int],
    labels: Sequence[str] = (),
) -> str:
    """Return the full name of a metric, with its class or label where it is of one.

    Args:
        name: of the metric.
        positive: the class or label that counts as positive; None is the rarer one of two classes.
        classes: their names; empty for quantities and labels.
        counts: rows of every class. [count]
        labels: of which a row has none, one or several.

    Raises:
        SettingError: if there is no such class, or the metric does not fit the target.
    """
    kind = "multi-label" if labels else "classification" if classes else "regression"
    check_metric(name, positive, kind)
    metric, rest = parsed(name)
    metric = ALSO.get(kind, {}).get(metric, metric)
    chosen = positive if rest is None else rest
    if metric == "neg-quantile":
        return f"{metric}:{chosen or QUANTILE}"
    if metric == "average-precision" and chosen is None and len(classes) == 2:
        chosen = classes[int(np.argmin(counts))]
    if chosen is None:
        return metric
    if chosen not in (known := [*classes, *labels]):
        shown = ", ".join(map(repr, known[:12]))
        what = "label" if labels else "class"
        raise SettingError(f"metric {name!r}: there is no {what} {chosen!r}, there are {shown}")
    return f"{metric}:{chosen}"


# ---- values --------------------------------------------------------------------------------------


def score(
    name: str,
    outputs: np.ndarray,
    y: np.ndarray,
    scale: Scale,
    weight: np.ndarray | None = None,
) -> float:
    """Return a score, higher is better; NaN where it is not defined for these targets.

    Args:
        name: a metric as `resolved` returns it.
        outputs: logits [N, classes] or [N, labels], or quantities [N] or [N, outputs] in units of the
            scale.
        y: classes [N] int64, labels [N, labels] 0 or 1, or quantities [N] or [N, outputs] in units of
            the scale. Of several quantities the mean of their scores counts, as in scikit-learn.
        scale: of both.
        weight: of every row, as scikit-learn's ``sample_weight`` [N]; None is 1.
    """
    return _measure(name, scale)(*_prepared(outputs, y, scale, weight))


def standard_error(
    name: str,
    outputs: np.ndarray,
    y: np.ndarray,
    scale: Scale,
    weight: np.ndarray | None = None,
) -> float | None:
    """Return the standard error of a score over draws of as many rows, by the bootstrap.

    Resamples without a value, such as those that lack a class, are left out; None if most have none.
    """
    return _spread(resampled(name, outputs, y, scale, weight), len(y))


def paired_error(
    name: str,
    both: tuple[np.ndarray, np.ndarray],
    y: np.ndarray,
    scale: Scale,
    weight: np.ndarray | None = None,
) -> float | None:
    """Return the standard error of the difference of two scores on the same rows, by the bootstrap.

    Both are measured on the same draws, so that rows which are hard for both do not count. None if
    most draws have no value.

    Args:
        name: a metric as `resolved` returns it.
        both: outputs of two networks for the same rows, as of `score`.
        y: the targets of these rows.
        scale: of outputs and targets.
        weight: of every row [N]; None is 1.
    """
    first, second = (resampled(name, each, y, scale, weight) for each in both)
    return _spread(first - second, len(y))


def resampled(
    name: str,
    outputs: np.ndarray,
    y: np.ndarray,
    scale: Scale,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return the scores of `RESAMPLES` draws of the rows, the same draws for all outputs [draws].

    A draw without a value, such as one that lacks a class, is NaN.
    """
    measure, (told, truth, weights) = _measure(name, scale), _prepared(outputs, y, scale, weight)
    rng = np.random.default_rng(0)
    size = min(len(truth), MOST_RESAMPLED)
    values = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(truth), size=size)
        drawn = weights[rows]
        values.append(measure(told[rows], truth[rows], drawn) if drawn.any() else math.nan)
    return np.array(values)


def _spread(values: np.ndarray, count: int) -> float | None:
    """Return the standard deviation of draws, scaled to `count` rows; None if most have no value."""
    found = values[np.isfinite(values)]
    if len(found) < RESAMPLES / 2:
        return None
    size = min(count, MOST_RESAMPLED)
    return float(np.std(found, ddof=1) * math.sqrt(size / count))


Prepared = tuple[np.ndarray, np.ndarray, np.ndarray]


def _prepared(
    outputs: np.ndarray, y: np.ndarray, scale: Scale, weight: np.ndarray | None
) -> Prepared:
    """Return what is told, what is true, and the weights of the rows [N].

    These are probabilities [N, classes] and classes, or quantities in their own unit [N], several
    [N, outputs], float64; of labels their probabilities and truths [N, labels].
    """
    told = np.asarray(outputs, np.float64)
    weights = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    if scale.labels:
        return sigmoid(told), np.asarray(y) > THRESHOLD, weights
    if scale.classes:
        told = np.exp(told - told.max(axis=1, keepdims=True))
        return told / told.sum(axis=1, keepdims=True), np.asarray(y), weights
    truth = np.asarray(y, np.float64)
    mean, unit = np.asarray(scale.mean), np.asarray(scale.unit)
    return mean + unit * told.reshape(truth.shape), mean + unit * truth, weights


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probability of every label, without an overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


#: of what is told, what is true, and the weights of the rows
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def _measure(name: str, scale: Scale) -> Measure:
    stem, colon, rest = name.partition(":")
    if scale.labels:
        return _measure_of_labels(stem, scale.labels.index(rest) if colon else None)
    if stem == "neg-quantile":
        share = float(rest or QUANTILE)
        return _of_each(lambda told, truth, w: -_quantile(told, truth, w, share))
    if not colon:
        return MEASURES[stem] if scale.classes else _of_each(MEASURES[stem])
    place = scale.classes.index(rest)
    if stem == "f1":
        return lambda told, truth, w: _f1(told.argmax(1) == place, truth == place, w)
    return lambda told, truth, w: average_precision(told[:, place], truth == place, w)


def _of_each(measure: Measure) -> Measure:
    """Return the mean of a measure over several quantities [N, outputs]; of one [N] it is its own."""

    def mean(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
        if truth.ndim == 1:
            return measure(told, truth, w)
        return float(np.mean([measure(*pair, w) for pair in zip(told.T, truth.T, strict=True)]))

    return mean


def _measure_of_labels(stem: str, place: int | None) -> Measure:
    """Return a measure of labels: of one of them, or of all that have a value, their mean."""
    if stem == "subset-accuracy":
        return lambda told, truth, w: _mean(((told > THRESHOLD) == truth).all(axis=1), w)
    one = MEASURES_OF_A_LABEL[stem]
    if place is not None:
        return lambda told, truth, w: one(told[:, place], truth[:, place], w)

    def mean(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
        values = [one(*pair, w) for pair in zip(told.T, truth.T, strict=True)]
        known = [value for value in values if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    return mean


def _f1_of_label(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return F1 of a label, told from `THRESHOLD` on; NaN if no row has it and none is told."""
    said = told > THRESHOLD
    return _f1(said, truth, w) if w[said].any() or w[truth].any() else math.nan


def _log_loss_of_label(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    right = np.where(truth, told, 1 - told)
    return -_mean(np.log(np.clip(right, EPSILON, 1 - EPSILON)), w)


def _mean(values: np.ndarray, w: np.ndarray) -> float:
    return float(np.average(values, weights=w))


def _accuracy(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    return _mean(told.argmax(1) == truth, w)


def _balanced_accuracy(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return the mean of the recalls of the classes that occur."""
    right = told.argmax(1) == truth
    counts = np.bincount(truth, weights=w)
    hits = np.bincount(truth, weights=right * w)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def _f1(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return F1 of a class, from masks [N]; 0 if it is neither told nor true."""
    total = w[told].sum() + w[truth].sum()
    return float(2 * w[told & truth].sum() / total) if total else 0.0


def _f1_macro(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return the mean of F1 over the classes that occur or are told."""
    answers = told.argmax(1)
    kinds = np.union1d(answers, truth)
    return float(np.mean([_f1(answers == each, truth == each, w) for each in kinds]))


def _roc_auc(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return the area under the ROC curve; of several classes the mean of each against the others."""
    if told.shape[1] == 2:
        return roc_auc(told[:, 1], truth == 1, w)
    return _mean_of_classes(roc_auc, told, truth, w)


def _mean_of_classes(measure: Measure, told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    places = np.unique(truth)
    return float(np.mean([measure(told[:, place], truth == place, w) for place in places]))


def roc_auc(told: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the share of pairs of a positive and a negative that are in order; ties count half.

    Args:
        told: scores [N].
        truth: which are positive [N] bool.
        weight: of every row; a pair weighs the product of both [N]; None is 1.
    """
    w = np.ones(len(truth)) if weight is None else weight
    positives, negatives = w[truth].sum(), w[~truth].sum()
    if not positives or not negatives:
        return math.nan
    values, inverse = np.unique(told, return_inverse=True)
    mine, others = (
        np.bincount(inverse, weights=w * mask, minlength=len(values)) for mask in (truth, ~truth)
    )
    below = np.cumsum(others) - others
    return float((mine * (below + others / 2)).sum() / (positives * negatives))


def average_precision(
    told: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Return the mean of the precisions at all thresholds, weighted by the gain in recall.

    Args:
        told: scores [N].
        truth: which are positive [N] bool.
        weight: of every row [N]; None is 1.
    """
    w = np.ones(len(truth)) if weight is None else weight
    positives = w[truth].sum()
    if not positives:
        return math.nan
    order = np.argsort(-told, kind="stable")
    found, seen = np.cumsum((w * truth)[order]), np.cumsum(w[order])
    last = np.append(np.flatnonzero(np.diff(told[order])), len(told) - 1)  # of equal scores
    precision = found[last] / np.maximum(seen[last], np.finfo(np.float64).tiny)
    return float((np.diff(found[last], prepend=0) / positives * precision).sum())


def _log_loss(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    right = told[np.arange(len(truth)), truth]
    return -_mean(np.log(np.clip(right, EPSILON, 1 - EPSILON)), w)


def _brier(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return the mean squared error of the probabilities; of two classes that of one of them."""
    error = told.copy()
    error[np.arange(len(truth)), truth] -= 1
    whole = _mean(np.square(error).sum(axis=1), w)
    return whole / 2 if told.shape[1] == 2 else whole


def _r2(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    error = (w * np.square(told - truth)).sum()
    variance = (w * np.square(truth - _mean(truth, w))).sum()
    return float(1 - error / variance) if variance else float(error == 0)


def _mse(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    return _mean(np.square(told - truth), w)


def _mape(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    return _mean(np.abs(told - truth) / np.maximum(np.abs(truth), EPSILON), w)


def _rmsle(told: np.ndarray, truth: np.ndarray, w: np.ndarray) -> float:
    """Return the root mean squared error of log(1 + value); a negative prediction counts as 0."""
    logs = np.log1p(np.maximum(told, 0)), np.log1p(np.maximum(truth, 0))
    return math.sqrt(_mse(*logs, w))


def _quantile(told: np.ndarray, truth: np.ndarray, w: np.ndarray, share: float) -> float:
    error = truth - told
    return _mean(np.maximum(share * error, (share - 1) * error), w)


def _negative(measure: Measure) -> Measure:
    return lambda told, truth, w: -measure(told, truth, w)


MEASURES: Mapping[str, Measure] = {
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced_accuracy,
    "f1": _f1_macro,
    "roc-auc": _roc_auc,
    "average-precision": lambda told, truth, w: _mean_of_classes(average_precision, told, truth, w),
    "neg-log-loss": _negative(_log_loss),
    "neg-brier": _negative(_brier),
    "r2": _r2,
    "neg-rmse": lambda told, truth, w: -math.sqrt(_mse(told, truth, w)),
    "neg-mse": _negative(_mse),
    "neg-mae": lambda told, truth, w: -_mean(np.abs(told - truth), w),
    "neg-mape": _negative(_mape),
    "neg-rmsle": _negative(_rmsle),
}
#: of one label, from its probabilities [N] and whether rows have it [N] bool; NaN has no value
MEASURES_OF_A_LABEL: Mapping[str, Measure] = {
    "f1": _f1_of_label,
    "roc-auc": roc_auc,
    "average-precision": average_precision,
    "neg-log-loss": _negative(_log_loss_of_label),
    "neg-brier": _negative(_mse),
}


# ---- tasks ---------------------------------------------------------------------------------------


def scale_of_task(task: Task) -> Scale:
    """Return the scale of a task's outputs and targets."""
    mean = task.reading.get("target_mean", 0.0)
    mean = tuple(mean) if isinstance(mean, list | tuple) else float(mean)
    return Scale(tuple(task.classes), mean, task.unit, tuple(task.labels))


def is_skewed(task: Task) -> bool:
    """Whether the largest class has more than 10 times the training rows of the smallest."""
    if not task.classes or task.train.y.ndim != 1:
        return False
    counts = np.bincount(task.train.y, minlength=len(task.classes))
    return bool(counts.max() > SKEWED * max(1, counts.min()))


def judged(task: Task, metric: str | None, positive: str | None = None) -> Task:
    """Return a task that is judged by a metric.

    Args:
        task: with its data.
        metric: its name; None leaves the task's own, but takes log-loss where classes are skewed
            beyond 10 : 1, and says so: accuracy would hardly see the rare ones.
        positive: the class that counts as positive; None is the rarer one of two.

    Raises:
        SettingError: if the metric does not fit, or is not defined on a part of the data.
    """
    counts = np.bincount(task.train.y, minlength=len(task.classes)) if task.classes else None
    if metric is None:
        check_metric(None, positive, None)
        if task.labels:
            _check_defined(task, task.metric)
        if not is_skewed(task):
            return task
        return replace(task, metric="neg-log-loss", note=(*task.note, SKEWED_TOLD))
    known = () if counts is None else counts.tolist()
    full = resolved(metric, positive, task.classes, known, task.labels)
    _check_defined(task, full)
    stem, _, label = full.partition(":")
    if stem in OWN_UNIT and task.quantities:
        name, what = stem.removeprefix("neg-"), len(task.quantities)
        line = (
            f"{name} is the mean over {what} targets, each in its own unit: the one with the largest "
            "numbers weighs most (r2 weighs all alike)"
        )
        return replace(task, metric=full, note=(*task.note, line))
    chosen = positive is not None or metric.partition(":")[2]
    if stem in OF_A_CLASS and label and not chosen:
        line = f"{stem} is that of class {label!r}, the rarer one (--positive CLASS names another)"
        return replace(task, metric=full, note=(*task.note, line))
    return replace(task, metric=full)


def _check_defined(task: Task, metric: str) -> None:
    """Refuse a metric that has no value on a part of the data."""
    stem, _, label = metric.partition(":")
    for name, part in {"validation": task.validation, "test": task.test}.items():
        if part is None:
            continue
        if task.labels:
            _check_labels(task, metric, name, part.y > THRESHOLD)
            continue
        missing = label if label and stem == "average-precision" else ""
        if missing and not (part.y == task.classes.index(missing)).any():
            raise SettingError(
                f"metric {metric}: the {name} part has no row of class {missing!r}: more data are "
                "needed, or another metric such as log-loss"
            )
        if stem == "roc-auc" and len(np.unique(part.y)) < 2:
            raise SettingError(
                f"metric {metric}: the {name} part has rows of one class only: more data are needed, "
                "or another metric such as log-loss"
            )
        scale = scale_of_task(task)
        mean, unit = np.asarray(scale.mean), np.asarray(scale.unit)
        if stem == "neg-rmsle" and (mean + unit * part.y < -1e-6 * unit).any():
            raise SettingError(
                f"metric rmsle: the {name} part has targets below 0, which have no logarithm: take "
                "rmse or mae"
            )


def _check_labels(task: Task, metric: str, name: str, truth: np.ndarray) -> None:
    """Refuse a metric of labels that has no value on a part, by its rows' labels [N, labels]."""
    stem, _, label = metric.partition(":")
    there = np.asarray(truth.any(axis=0))
    if stem == "roc-auc":
        there &= ~truth.all(axis=0)
    asked = there[task.labels.index(label)] if label else there.any()
    if stem in ("average-precision", "roc-auc") and not asked:
        what = f"label {label!r}" if label else "any label"
        raise SettingError(
            f"metric {metric}: the {name} part has no rows that tell {what}: more data are needed, or "
            "another metric such as log-loss"
        )
