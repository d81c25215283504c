"""What is made small, and what is told of it: one class per loss, by the name that a task has it by.

A loss adds up over the batches of a part (`sums`, on the device, float64), and its metrics are told
from the sums alone, so that no part need be held twice and the host is asked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(Protocol):
    """What a training makes small, and the metrics that go with it."""

    def mean(self, outputs: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, to be derived.

        Args:
            outputs: of the network [B, outputs].
            y: targets [B].
            smoothing: share of the target spread over all classes, where there are some. [0..1)
        """

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return what adds up over batches [K] float64."""

    def metrics(self, sums: Sequence[float], count: int, unit: float) -> dict[str, float]:
        """Return name -> value, ``loss`` among them.

        Args:
            sums: added up over a part [K].
            count: examples of the part. [count]
            unit: what 1 in a target is. [its own unit]
        """


class CrossEntropy:
    """Classes: ``accuracy``, a fraction."""

    def mean(self, outputs: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean of the negative log-likelihood. [nats]"""
        return F.cross_entropy(outputs, y, label_smoothing=smoothing)

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return [right answers, loss]."""
        right = (outputs.argmax(1) == y).sum()
        return torch.stack([right, F.cross_entropy(outputs.double(), y, reduction="sum")])

    def metrics(self, sums: Sequence[float], count: int, unit: float) -> dict[str, float]:
        """Return ``accuracy`` and ``loss``."""
        return {"accuracy": sums[0] / count, "loss": sums[1] / count}


class SquaredError:
    """A quantity: ``r2``, and in its own unit ``rmse`` and ``mae``.

    ``r2`` is the share of the part's own variance that is explained: 0 for its mean, below for worse.
    Of a part whose targets are all equal it is 0, or 1 if each is met, as scikit-learn has it.
    """

    def mean(self, outputs: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean squared error. [units squared]"""
        return F.mse_loss(outputs.reshape(y.shape), y)

    def sums(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return [squared errors, absolute errors, targets, squared targets]."""
        y = y.double()
        error = outputs.double().reshape(y.shape) - y
        return torch.stack([error.square().sum(), error.abs().sum(), y.sum(), y.square().sum()])

    def metrics(self, sums: Sequence[float], count: int, unit: float) -> dict[str, float]:
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


LOSSES: dict[str, Loss] = {"cross-entropy": CrossEntropy(), "mse": SquaredError()}
