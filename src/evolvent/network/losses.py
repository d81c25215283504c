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
from ..task.metrics import THRESHOLD, scale_of_task, score, standard_error
from ..task.portable.running import IGNORED

Unit = float | Sequence[float]


class Loss(Protocol):
    """A value that a training minimises, and its metrics.

    Args:
        additive: metrics that follow from sums over batches; others need all outputs.
    """

    additive: tuple[str, ...]

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
            y: targets [B], or [B, outputs] of several per row.
            smoothing: share of the target spread over all classes, if y are classes. [0..1)
            weight: of every class, if y are classes; None is 1 [outputs].
            rows: weight of every row, about 1 in the mean of all batches [B]; None is 1. The mean is
                over the rows and not over their weights, so that a batch of light rows counts less.
        """

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of every target [...], for outputs [..., outputs].

        Args:
            outputs: of networks [..., outputs].
            y: targets [..., outputs]; classes [...].
        """

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the K sums over a batch [K] float64, to be added up over batches.

        Args:
            outputs: of the network [B, outputs].
            y: targets [B], or [B, outputs] of several per row.
            rows: weight of every row [B]; None is 1.
        """

    def metrics(
        self, sums: Sequence[float], count: float, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return name -> value, ``loss`` among them.

        Args:
            sums: added up over a part [K].
            count: examples of the part, or the sum of their weights. [count]
            unit: the quantity that 1 in a target stands for; of several one each. [its own unit]
            names: of several targets per row; each has metrics of its own, called ``r2:NAME``.
        """

    def nats(self, loss: float, outputs: int) -> float:
        """Return the negative log-likelihood of an example, but for a constant. [nats]

        Args:
            loss: its mean over the examples.
            outputs: of the network. [count]
        """


class CrossEntropy:
    """Classification: ``accuracy``, a fraction."""

    additive: tuple[str, ...] = ("accuracy",)

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

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the negative log-likelihood of every class [...]. [nats]"""
        return -outputs.log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [right answers, loss]."""
        right = outputs.argmax(1) == y
        if rows is None:
            loss = F.cross_entropy(outputs.double(), y, reduction="sum")
            return torch.stack([right.sum(), loss])
        losses = F.cross_entropy(outputs.double(), y, reduction="none")
        return torch.stack([(rows.double() * each).sum() for each in (right, losses)])

    def metrics(
        self, sums: Sequence[float], count: float, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``accuracy`` and ``loss``."""
        return {"accuracy": sums[0] / count, "loss": sums[1] / count}

    def nats(self, loss: float, outputs: int) -> float:
        """Return the loss, which it is."""
        return loss


class SquaredError:
    """Regression: ``r2``, and in the target's own unit ``rmse`` and ``mae``.

    ``r2`` is the explained share of the variance of the part: 0 for predicting its mean, negative for
    worse. If all targets are equal it is 0, or 1 if all are predicted exactly, as in scikit-learn. Of
    several quantities each has its own, and their mean, of which every one has an equal part, is the
    score; a row's loss is the mean of theirs.
    """

    additive: tuple[str, ...] = ("r2",)

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
        squares = (outputs.reshape(y.shape) - y).square()
        return (rows * squares.reshape(len(y), -1).mean(1)).mean()

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the squared error of every quantity [..., outputs]. [units squared]"""
        return (outputs - y).square()

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [squared errors, absolute errors, targets, squared targets], each of all outputs."""
        y = y.double().reshape(outputs.shape)
        error = outputs.double() - y
        kept = (error.square(), error.abs(), y, y.square())
        return torch.cat([_summed(each, rows) for each in kept])

    def metrics(
        self, sums: Sequence[float], count: float, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``r2``, ``rmse``, ``mae`` and ``loss``, of several quantities also of each."""
        outputs = len(sums) // 4
        units = [float(unit)] * outputs if isinstance(unit, int | float) else list(unit)
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

    def _of_one(self, sums: Sequence[float], count: float, unit: float) -> dict[str, float]:
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

    def nats(self, loss: float, outputs: int) -> float:
        """Return that of normal errors, whose variance is the mean squared error."""
        return 0.5 * outputs * math.log(max(loss, LEAST_SQUARE))


class NextToken:
    """Language modelling: ``neg-cross-entropy`` of a token [nats], and ``perplexity``.

    Outputs are [B, T, vocabulary], targets tokens [B, T]; a target of -1 is none.
    """

    additive: tuple[str, ...] = ("neg-cross-entropy",)

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

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the negative log-likelihood of every token [...], 0 of none. [nats]"""
        logs = outputs.log_softmax(-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return torch.where(y == IGNORED, 0.0, -logs)

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [loss, tokens]."""
        told, truth = outputs.flatten(0, 1).float(), y.flatten()
        losses = F.cross_entropy(told, truth, ignore_index=IGNORED, reduction="none").double()
        each = (losses, truth != IGNORED)
        if rows is None:
            return torch.stack([values.sum() for values in each])
        weights = rows.double().repeat_interleave(y.shape[1])
        return torch.stack([(weights * values).sum() for values in each])

    def metrics(
        self, sums: Sequence[float], count: float, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return the score, ``perplexity``, ``bits`` per token and ``loss``."""
        loss, tokens = sums
        nats = loss / max(1.0, tokens)
        return {
            "neg-cross-entropy": -nats,
            "perplexity": math.exp(min(nats, MOST_NATS)),
            "bits": nats / math.log(2),
            "loss": nats,
        }

    def nats(self, loss: float, outputs: int) -> float:
        """Return that of a token."""
        return loss


class BinaryCrossEntropy:
    """Labels: of each a row has it or not, whatever the others are.

    A label is told where its probability is above `THRESHOLD`. ``f1`` is the mean over the labels that
    occur in the part or are told, ``subset-accuracy`` the share of the rows with every label right.
    """

    additive: tuple[str, ...] = ()  # all outputs are kept, which the standard error needs

    def mean(
        self,
        outputs: Tensor,
        y: Tensor,
        smoothing: float = 0.0,
        weight: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of the negative log-likelihood of a label of a row. [nats]

        `smoothing` is for classes that exclude each other, and is not used: it would lift the
        probability of every rare label.
        """
        if rows is None:
            return F.binary_cross_entropy_with_logits(outputs, y)
        return (rows * self.each(outputs, y).mean(1)).mean()

    def each(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the negative log-likelihood of every label [..., outputs]. [nats]"""
        return F.binary_cross_entropy_with_logits(outputs, y, reduction="none")

    def sums(self, outputs: Tensor, y: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [labels that are told rightly, told, true, the losses, each of all outputs; rows]."""
        logits, truth = outputs.double(), y.double()
        told = (logits.sigmoid() > THRESHOLD).double()
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        right = (told == truth).all(1, keepdim=True).double()
        return torch.cat([_summed(each, rows) for each in (told * truth, told, truth, loss, right)])

    def metrics(
        self, sums: Sequence[float], count: float, unit: Unit, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Return ``f1``, ``subset-accuracy`` and ``loss``, and ``f1`` of every label."""
        *of_labels, right = sums
        both, told, true, loss = np.reshape(of_labels, (4, -1))
        occurs = told + true > 0
        each = 2 * both / np.where(occurs, told + true, 1)
        found = {
            "f1": float(each[occurs].mean()) if occurs.any() else 1.0,  # nothing to tell, none told
            "subset-accuracy": right / count,
            "loss": float(loss.mean()) / count,
        }
        named = zip(names, each.tolist(), occurs.tolist(), strict=True) if names else ()
        return found | {f"f1:{name}": value for name, value, some in named if some}

    def nats(self, loss: float, outputs: int) -> float:
        """Return that of all labels of a row, of which the loss is the mean."""
        return loss * outputs


def _summed(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return the sums over the rows [outputs] of values [B, outputs], with the weights of the rows."""
    return values.sum(0) if rows is None else (rows.double().unsqueeze(1) * values).sum(0)


LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "mse": SquaredError(),
    "next-token": NextToken(),
    "binary-cross-entropy": BinaryCrossEntropy(),
}
#: losses whose outputs for an example can be averaged over networks
AVERAGED = ("cross-entropy", "mse", "binary-cross-entropy")
MOST_NATS = 700.0  # whose exponential is a finite number
LEAST_SQUARE = 1e-12  # mean squared error of single precision: below it errors mean nothing


def description_length(task: Task, loss: float, coefficients: int, rows: int) -> float:
    """Return the length of the data's description by a network, per example. [nats]

    Source: Rissanen 1978, "Modeling by shortest data description": -log L + k / 2 log N, with the
    likelihood L of N examples and k coefficients; here divided by N and without constants.

    Args:
        task: whose loss it is.
        loss: its mean over the examples.
        coefficients: parameters of the network. [count]
        rows: examples that the loss was measured on. [count]
    """
    nats = LOSSES[task.loss].nats(loss, task.outputs)
    return nats + 0.5 * coefficients * math.log(rows) / rows


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
        y: their targets [B], or [B, outputs].
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
