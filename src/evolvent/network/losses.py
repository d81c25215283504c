"""Losses by name: the value to minimise and its metrics.

A loss is summed over the batches of a part (`sums`, on the device, float64). Its metrics follow from
the sums alone, so that no outputs are kept and the host is asked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Task
from ..task.metrics import THRESHOLD, scale_of_task, score, standard_error

Unit = float | Sequence[float]


class Loss(Protocol):
    """A value that a training minimises, and its metrics.

    Args:
        additive: metrics that follow from sums over batches; others need all outputs.
    """

    additive: tuple[str, ...]

    def mean(
        self, outputs: Tensor, y: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss [] of a batch, to be differentiated.

        Args:
            outputs: of the network [B, outputs].
            y: targets [B], or [B, outputs] of several per row.
            smoothing: share of the target spread over all classes, if y are classes. [0..1)
            weight: of every class, if y are classes; None is 1 [outputs].
        """

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of every target [...], for outputs [..., outputs].

        Args:
            outputs: of networks [..., outputs].
            y: targets [..., outputs]; classes [...].
        """

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the K sums over a batch [K] float64, to be added up over batches."""

    def metrics(
        self, sums: Sequence[float], count: int, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return name -> value, ``loss`` among them.

        Args:
            sums: added up over a part [K].
            count: examples of the part. [count]
            unit: the quantity that 1 in a target stands for; of several one each. [its own unit]
            names: of several targets per row; each has metrics of its own, called ``r2:NAME``.
        """


class CrossEntropy:
    """Classification: ``accuracy``, a fraction."""

    additive: tuple[str, ...] = ("accuracy",)

    def mean(
        self, outputs: Tensor, y: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """Return the mean of the negative log-likelihood. [nats]"""
        return F.cross_entropy(outputs, y, weight=weight, label_smoothing=smoothing)

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the negative log-likelihood of every class [...]. [nats]"""
        return -outputs.log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return [right answers, loss]."""
        right = (outputs.argmax(1) == y).sum()
        return torch.stack([right, F.cross_entropy(outputs.double(), y, reduction="sum")])

    def metrics(
        self, sums: Sequence[float], count: int, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``accuracy`` and ``loss``."""
        return {"accuracy": sums[0] / count, "loss": sums[1] / count}


class SquaredError:
    """Regression: ``r2``, and in the target's own unit ``rmse`` and ``mae``.

    ``r2`` is the explained share of the variance of the part: 0 for predicting its mean, negative for
    worse. If all targets are equal it is 0, or 1 if all are predicted exactly, as in scikit-learn. Of
    several quantities each has its own, and their mean, of which every one has an equal part, is the
    score; a row's loss is the mean of theirs.
    """

    additive: tuple[str, ...] = ("r2",)

    def mean(
        self, outputs: Tensor, y: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """Return the mean squared error. [units squared]"""
        return F.mse_loss(outputs.reshape(y.shape), y)

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the squared error of every quantity [..., outputs]. [units squared]"""
        return (outputs - y).square()

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return [squared errors, absolute errors, targets, squared targets], each of all outputs."""
        y = y.double().reshape(outputs.shape)
        error = outputs.double() - y
        kept = [error.square(), error.abs(), y, y.square()]
        return torch.stack([each.sum(0) for each in kept]).flatten()

    def metrics(
        self, sums: Sequence[float], count: int, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``r2``, ``rmse``, ``mae`` and ``loss``, of several quantities also of each."""
        outputs = len(sums) // 4
        units = [float(unit)] if isinstance(unit, int | float) else list(unit)
        each = [
            self._of_one(list(sums[place::outputs]), count, units[place])
            for place in range(outputs)
        ]
        found = {name: sum(one[name] for one in each) / outputs for name in each[0]}
        if names:
            found |= {
                f"{metric}:{name}": one[metric]
                for metric in ("r2", "rmse", "mae")
                for name, one in zip(names, each, strict=True)
            }
        return found

    def _of_one(self, sums: Sequence[float], count: int, unit: float) -> dict[str, float]:
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


class BinaryCrossEntropy:
    """Labels of which a row has none, one or several.

    A label is told where its probability is above `THRESHOLD`. ``f1`` is the mean over the labels that
    occur in the part or are told, ``subset-accuracy`` the share of the rows with every label right.
    """

    additive: tuple[str, ...] = ("f1", "subset-accuracy")

    def mean(
        self, outputs: Tensor, y: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
    ) -> Tensor:
        """Return the mean of the negative log-likelihood of a label of a row. [nats]

        `smoothing` is for classes that exclude each other, and is not used: it would lift the
        probability of every rare label.
        """
        return F.binary_cross_entropy_with_logits(outputs, y)

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the negative log-likelihood of every label [..., outputs]. [nats]"""
        return F.binary_cross_entropy_with_logits(outputs, y, reduction="none")

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return [labels that are told rightly, told, true, the losses, each of all outputs; rows]."""
        logits, truth = outputs.double(), y.double()
        told = (logits.sigmoid() > THRESHOLD).double()
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        kept = [each.sum(0) for each in (told * truth, told, truth, loss)]
        right = (told == truth).all(1).double().sum()
        return torch.cat([*kept, right[None]])

    def metrics(
        self, sums: Sequence[float], count: int, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``f1``, ``subset-accuracy`` and ``loss``, and ``f1`` of every label."""
        *of_labels, right = sums
        both, told, true, loss = np.reshape(of_labels, (4, -1))
        occurs = told + true > 0
        each = 2 * both / np.maximum(told + true, 1)
        found = {
            "f1": float(each[occurs].mean()) if occurs.any() else 1.0,  # nothing to tell, none told
            "subset-accuracy": right / count,
            "loss": float(loss.mean()) / count,
        }
        named = zip(names, each.tolist(), occurs.tolist(), strict=True) if names else ()
        return found | {f"f1:{name}": value for name, value, some in named if some}


LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "mse": SquaredError(),
    "binary-cross-entropy": BinaryCrossEntropy(),
}


def class_weights(y: np.ndarray, classes: int) -> Tensor:
    """Return the weight of every class [classes]: all together weigh the same.

    That is N / (classes x rows of the class), as scikit-learn's ``balanced`` has it; 0 without rows.

    Args:
        y: of the training rows [N] int64.
        classes: how many there are. [count]
    """
    counts = np.bincount(y, minlength=classes)
    weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)) * (counts > 0)
    return torch.from_numpy(weights.astype(np.float32))


def judgement(
    task: Task, outputs: Sequence[Tensor], y: Sequence[Tensor], *, uncertain: bool = False
) -> dict[str, float]:
    """Return the score by the task's metric, where that needs all outputs of a part.

    Args:
        task: whose metric it is.
        outputs: batches of outputs [B, outputs].
        y: their targets [B], or [B, outputs].
        uncertain: whether to tell the ``standard-error`` of the score, too.

    Returns:
        The score under the metric's name, and of classes the ``balanced-accuracy``.
    """
    told, truth = (torch.cat(list(each)).cpu().numpy() for each in (outputs, y))
    scale, found = scale_of_task(task), {}
    for name in (task.metric, *(("balanced-accuracy",) if task.classes else ())):
        found[name] = score(name, told, truth, scale)
    if uncertain and (error := standard_error(task.metric, told, truth, scale)) is not None:
        found["standard-error"] = error
    return found
