"""Losses by name: the value to minimise and its metrics.

A loss is summed over the batches of a part (`sums`, on the device, float64). Its metrics follow from
the sums alone, so that no outputs are kept and the host is asked once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Task
from ..task.metrics import scale_of_task, score, standard_error
from ..task.portable.running import IGNORED


class Loss(Protocol):
    """A value that a training minimises, and its metrics."""

    def mean(
        self,
        outputs: Tensor,
        y: Tensor,
        smoothing: float = 0.0,
        weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss [] of a batch, to be differentiated.

        Args:
            outputs: of the network [B, outputs].
            y: targets [B].
            smoothing: share of the target spread over all classes, if y are classes. [0..1)
            weight: of every class, if y are classes; None is 1 [outputs].
            rows: weight of every row, about 1 in the mean of all batches [B]; None is 1. The mean is
                over the rows and not over their weights, so that a batch of light rows counts less.
        """

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the K sums over a batch [K] float64, to be added up over batches.

        Args:
            outputs: of the network [B, outputs].
            y: targets [B].
            rows: weight of every row [B]; None is 1.
        """

    def metrics(self, sums: Sequence[float], count: float, unit: float) -> dict[str, float]:
        """Return name -> value, ``loss`` among them.

        Args:
            sums: added up over a part [K].
            count: examples of the part, or the sum of their weights. [count]
            unit: the quantity that 1 in a target stands for. [its own unit]
        """


class CrossEntropy:
    """Classification: ``accuracy``, a fraction."""

    def mean(
        self,
        outputs: Tensor,
        y: Tensor,
        smoothing: float = 0.0,
        weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of the negative log-likelihood. [nats]"""
        how: Any = {"weight": weight, "label_smoothing": smoothing}
        if rows is None:
            return F.cross_entropy(outputs, y, **how)
        return (rows * F.cross_entropy(outputs, y, reduction="none", **how)).mean()

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [right answers, loss]."""
        right = outputs.argmax(1) == y
        if rows is None:
            loss = F.cross_entropy(outputs.double(), y, reduction="sum")
            return torch.stack([right.sum(), loss])
        losses = F.cross_entropy(outputs.double(), y, reduction="none")
        return torch.stack([(rows.double() * each).sum() for each in (right, losses)])

    def metrics(self, sums: Sequence[float], count: float, unit: float) -> dict[str, float]:
        """Return ``accuracy`` and ``loss``."""
        return {"accuracy": sums[0] / count, "loss": sums[1] / count}


class SquaredError:
    """Regression: ``r2``, and in the target's own unit ``rmse`` and ``mae``.

    ``r2`` is the explained share of the variance of the part: 0 for predicting its mean, negative for
    worse. If all targets are equal it is 0, or 1 if all are predicted exactly, as in scikit-learn.
    """

    def mean(
        self,
        outputs: Tensor,
        y: Tensor,
        smoothing: float = 0.0,
        weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean squared error. [units squared]"""
        if rows is None:
            return F.mse_loss(outputs.reshape(y.shape), y)
        return (rows * (outputs.reshape(y.shape) - y).square()).mean()

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [squared errors, absolute errors, targets, squared targets]."""
        y = y.double()
        error = outputs.double().reshape(y.shape) - y
        each = (error.square(), error.abs(), y, y.square())
        if rows is None:
            return torch.stack([values.sum() for values in each])
        return torch.stack([(rows.double() * values).sum() for values in each])

    def metrics(self, sums: Sequence[float], count: float, unit: float) -> dict[str, float]:
        """Return ``r2``, ``rmse``, ``mae`` and ``loss``."""
        squared, absolute, total, squares = sums
        variance = squares / count - (total / count) ** 2
        loss = squared / count
        if variance > 1e-12 * squares / count:
            r2 = 1 - loss / variance
        else:
            r2 = float(loss < 1e-12)
        return {
            "r2": r2,
            "rmse": unit * loss**0.5,
            "mae": unit * absolute / count,
            "loss": loss,
        }


class NextToken:
    """Language modelling: ``neg-cross-entropy`` of a token [nats], and ``perplexity``.

    Outputs are [B, T, vocabulary], targets tokens [B, T]; a target of -1 is none.
    """

    def mean(
        self,
        outputs: Tensor,
        y: Tensor,
        smoothing: float = 0.0,
        weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of the negative log-likelihood of a token. [nats]"""
        told, truth = outputs.flatten(0, 1), y.flatten()
        how: Any = {"ignore_index": IGNORED, "label_smoothing": smoothing}
        if rows is None:
            return F.cross_entropy(told, truth, **how)
        each = F.cross_entropy(told, truth, reduction="none", **how)
        return (rows.repeat_interleave(y.shape[1]) * each).sum() / (truth != IGNORED).sum()

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [right answers, loss, tokens]."""
        told, truth = outputs.flatten(0, 1).float(), y.flatten()
        losses = F.cross_entropy(told, truth, ignore_index=IGNORED, reduction="none").double()
        each = (told.argmax(1) == truth, losses, truth != IGNORED)
        if rows is None:
            return torch.stack([values.sum() for values in each])
        weights = rows.double().repeat_interleave(y.shape[1])
        return torch.stack([(weights * values).sum() for values in each])

    def metrics(self, sums: Sequence[float], count: float, unit: float) -> dict[str, float]:
        """Return the score, ``perplexity``, ``bits`` per token, ``accuracy`` and ``loss``."""
        right, loss, tokens = sums
        nats = loss / max(1.0, tokens)
        return {
            "neg-cross-entropy": -nats,
            "perplexity": math.exp(min(nats, MOST_NATS)),
            "bits": nats / math.log(2),
            "accuracy": right / max(1.0, tokens),
            "loss": nats,
        }


#: metrics that follow from sums over batches
ADDITIVE = ("accuracy", "r2", "neg-cross-entropy")
LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "mse": SquaredError(),
    "next-token": NextToken(),
}
#: losses whose outputs for an example can be averaged over networks
AVERAGED = ("cross-entropy", "mse")
MOST_NATS = 700.0  # whose exponential is a finite number


def class_weights(y: np.ndarray, classes: int, rows: np.ndarray | None = None) -> Tensor:
    """Return the weight of every class [classes]: all together weigh the same.

    That is N / (classes x rows of the class), as scikit-learn's ``balanced`` has it; 0 without rows.

    Args:
        y: of the training rows [N] int64.
        classes: how many there are. [count]
        rows: weight of every row, which it counts as [N]; None is 1.
    """
    counts = np.bincount(y, weights=rows, minlength=classes).astype(np.float64)
    there = counts > 0
    weights = np.zeros(classes)
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return torch.from_numpy(weights.astype(np.float32))


def judgement(
    task: Task,
    outputs: Sequence[Tensor],
    y: Sequence[Tensor],
    rows: Sequence[Tensor | None] = (),
    *,
    uncertain: bool = False,
) -> dict[str, float]:
    """Return the score by the task's metric, where that needs all outputs of a part.

    Args:
        task: whose metric it is.
        outputs: batches of outputs [B, outputs].
        y: their targets [B].
        rows: weights of the rows [B]; None is 1, and so are none.
        uncertain: whether to tell the ``standard-error`` of the score, too.

    Returns:
        The score under the metric's name, and of classes the ``balanced-accuracy``.
    """
    told, truth = (torch.cat(list(each)).cpu().numpy() for each in (outputs, y))
    given = [each for each in rows if each is not None]
    weight = torch.cat(given).cpu().numpy() if given else None
    scale, found = scale_of_task(task), {}
    for name in (task.metric, *(("balanced-accuracy",) if task.classes else ())):
        found[name] = score(name, told, truth, scale, weight)
    if uncertain and (error := standard_error(task.metric, told, truth, scale, weight)) is not None:
        found["standard-error"] = error
    return found
