"""Common base of gradient-based strategies: logits per operation, Adam, derived trials, early stopping.

A space's mixture is relaxed: every row of a group has a logit per column. Every epoch of the shared
weights has one round of steps per batch, then a trial of the architecture derived from the logits. The
trial's note shows how far the search has come: the entropy of the rows' softmax, now and at the start,
and its mean and deviation over walks beside the search, which got gradients by the mixture of the same
sizes with random signs; the share of skip connections, and of all operations without weights (skips and
poolings); and the softmax itself.

Sources: Liu et al. 2018 (1806.09055) for the relaxation and its derivation; Liang et al. 2019
(1909.06035) for stopping at a number of skip connections (DARTS+).
What differs: in a short search the papers' learning rate would hardly move a logit, so by default it is
raised until the steps of the whole horizon can add up to as much as the paper's (`note` says so).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ...errors import SettingError
from ...space import Mixture, Space
from ...types import Arch, Budget, Candidate, Result, freeze, stream
from .sequence import Sequence

PAPER_LR = 3e-4
EPSILON = 1e-8
WALKS = 16  # beside a search [count]
SKIPS, POOLING = ("skip_connect", "identity"), "_pool_"

Rows = dict[str, np.ndarray]  # group -> [rows, columns]


class Relaxable(Space, Mixture, Protocol):
    """A space with a mixture."""


class Relaxation(Sequence):
    """Logits of a mixture, and the order of steps and trials; subclasses define mixture and gradient.

    Args:
        space: gives the groups of rows.
        lr: learning rate of Adam; None is the paper's 3e-4, or a larger one by which the horizon's
            steps add up to as much as the paper's, at most 0.05. [> 0]
        betas: decay rates of Adam's moving averages. [0..1) each
        weight_decay: of the logits. [>= 0]
        spread: standard deviation of the initial logits. [>= 0]
        warmup: share of the epochs that train only the shared weights. [0..1)
        most_skips: maximum skip connections in the first group of the derived architecture; with more,
            the search ends with the architecture derived before; None sets no maximum. [count]
        batches: per epoch. [count]
        epochs: not used: steps and trials say how long they train. [epochs]
        horizon: epochs of the shared weights, each followed by a trial. [epochs]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs = frozenset({"mixture", "gradient"})
    rounds: tuple[Budget, ...]  # of the steps per batch of training
    paper_steps: int  # gradient steps of the paper's search [count]

    def __init__(
        self,
        space: Relaxable,
        *,
        lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        spread: float = 1e-3,
        warmup: float = 0.0,
        most_skips: int | None = None,
        batches: int = 100,
        epochs: float = 1.0,
        horizon: int = 50,
        seed: int = 0,
    ) -> None:
        self.note = ""
        steps = max(1, batches * horizon)
        if lr is None:
            lr = min(0.05, max(PAPER_LR, PAPER_LR * self.paper_steps / steps))
            if lr > PAPER_LR:
                self.note = (
                    f"learning rate {lr:.2g} of the architecture instead of the paper's {PAPER_LR:g}, "
                    f"so that {steps:,} steps move it as far as the paper's {self.paper_steps:,} can"
                )
        for name, allowed, rule in (
            ("lr", lr > 0, "above 0"),
            ("betas", all(0 <= beta < 1 for beta in betas), "in [0, 1)"),
            ("weight_decay", weight_decay >= 0, "at least 0"),
            ("spread", spread >= 0, "at least 0"),
            ("warmup", 0 <= warmup < 1, "in [0, 1)"),
            ("most_skips", most_skips is None or most_skips >= 0, "at least 0"),
            ("batches", batches >= 1, "at least 1"),
        ):
            if not allowed:
                raise SettingError(f"{name}={locals()[name]!r}: {rule}")
        self.space, self.lr, self.betas, self.weight_decay = space, lr, betas, weight_decay
        self.most_skips, self.batches, self.horizon, self.seed = most_skips, batches, horizon, seed
        self.warm = round(warmup * horizon)  # [epochs]
        self.groups = {group.name: group for group in space.groups()}
        self.logits: Rows = {}
        for name, group in self.groups.items():
            rng = np.random.default_rng(stream(seed, "logits", name).getrandbits(63))
            self.logits[name] = spread * rng.standard_normal((len(group.rows), len(group.columns)))
        adam: dict[str, Any] = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        self.adam = Adam(self.logits, **adam)
        self.walks = Adam({n: np.stack([own] * WALKS) for n, own in self.logits.items()}, **adam)
        self._begun = self._entropy()
        self.train_batches = batches * horizon  # that it will ask for [count]
        self.more_trials = 0  # than epochs
        super().__init__()

    def plan(self) -> Iterator[Candidate]:
        """Yield the steps of every epoch, then the derived architecture as a trial."""
        for epoch in range(self.horizon):
            for _ in range(self.batches):
                for budget in self.rounds:
                    if epoch < self.warm:  # the mixture is left as it is
                        budget = replace(budget, validation_batches=0)
                        if not budget.train_batches:
                            continue
                    mixture = self.sent(self.asked)
                    yield Candidate(
                        self.asked, kind="step", mixture=mixture, operator="step", budget=budget
                    )
            arch = self.space.derive(self.probabilities())
            if epoch > self.warm and self._too_many(arch):
                return  # the architectures tried before stay the result
            behind = Budget(epochs=epoch + 1)  # later trials are scored with longer trained weights
            note = self._note(epoch, arch)
            yield Candidate(self.asked, arch, operator="derive", budget=behind, note=note)

    def tell(self, result: Result) -> None:
        """Descend the gradient of a step."""
        super().tell(result)
        if not result.ok or result.gradient is None:
            return
        id = result.candidate.id
        rng = np.random.default_rng(stream(self.seed, "walk", id).getrandbits(63))
        own: Rows = {}
        walked: Rows = {}
        for name, given in result.gradient.items():
            gradient = np.asarray(given, np.float64)
            rows = self.relaxed(name, id, self.logits[name])
            own[name] = self.slope(name, gradient, id, self.logits[name])
            sizes = gradient - (gradient * rows).sum(-1, keepdims=True)  # beyond what all share
            signs = rng.choice((-1.0, 1.0), (WALKS, *sizes.shape))
            walked[name] = self.slope(name, signs * sizes, id, self.walks.logits[name])
        self.adam.step(own)
        self.walks.step(walked)

    def sent(self, id: int) -> Rows:
        """Return the mixture of step `id`."""
        raise NotImplementedError

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities by which logits [..., rows, columns] are relaxed in step `id`."""
        raise NotImplementedError

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by logits of a group, from the gradient by the mixture of step `id`."""
        rows = self.relaxed(name, id, logits)
        return np.asarray(rows * (gradient - (gradient * rows).sum(-1, keepdims=True)))

    # -- progress --------------------------------------------------------------------------------

    def probabilities(self) -> Rows:
        """Return the softmax of every row of logits."""
        return {name: softmax(logits) for name, logits in self.logits.items()}

    def _note(self, epoch: int, arch: Arch) -> dict[str, Any]:
        rows, counts = self.probabilities(), self._operations(arch)
        total, skips = max(1.0, sum(counts.values())), _skips(counts)
        poolings = sum(number for name, number in counts.items() if POOLING in name)
        return {
            "epoch": epoch + 1,
            "begun": self._begun,
            "entropy": self._entropy(),
            "walk": self._walked(),
            "skips": round(skips / total, 6),
            "free": round((skips + poolings) / total, 6),
            "mixture": freeze({name: own.round(4).tolist() for name, own in rows.items()}),
        }

    def _entropy(self) -> float:
        """Return the mean entropy of the groups, as a share of the maximum. [0..1]"""
        return round(float(np.mean([entropy(own) for own in self.probabilities().values()])), 6)

    def _walked(self) -> tuple[float, float]:
        """Return mean and deviation of the entropies of searches whose gradients have random signs."""
        found = np.mean([entropies(softmax(own)) for own in self.walks.logits.values()], 0)
        return round(float(np.mean(found)), 6), round(float(np.std(found, ddof=1)), 6)

    def _operations(self, arch: Arch) -> dict[str, float]:
        """Return operation -> number of edges of the first group that have it, without ``none``."""
        group = next(iter(self.groups.values()))
        sums = self.space.one_hot(arch)[group.name].sum(0).tolist()
        return {name: n for name, n in zip(group.columns, sums, strict=True) if name != "none"}

    def _too_many(self, arch: Arch) -> bool:
        return self.most_skips is not None and _skips(self._operations(arch)) > self.most_skips


class Adam:
    """Adam (Kingma & Ba 2015) over rows of logits, which it changes in place.

    Args:
        logits: group -> [rows, columns].
        lr: learning rate. [> 0]
        betas: decay rates of the moving averages. [0..1) each
        weight_decay: of the logits, part of the gradient. [>= 0]
    """

    def __init__(
        self, logits: Rows, *, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        self.logits, self.lr, self.betas, self.weight_decay = logits, lr, betas, weight_decay
        self.moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in logits.items()}
        self.updates = 0

    def step(self, slopes: Rows) -> None:
        """Descend the gradients of some groups."""
        self.updates += 1
        first, second = (1 - beta**self.updates for beta in self.betas)
        for name, gradient in slopes.items():
            slope = gradient + self.weight_decay * self.logits[name]
            mean, square = self.moments[name]
            mean += (1 - self.betas[0]) * (slope - mean)
            square += (1 - self.betas[1]) * (slope**2 - square)
            self.logits[name] -= self.lr * (mean / first) / (np.sqrt(square / second) + EPSILON)


def _skips(counts: Mapping[str, float]) -> float:
    """Return the number of skip connections among the counted operations."""
    return sum(counts.get(name, 0.0) for name in SKIPS)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of every row [..., rows, columns]."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def entropies(rows: np.ndarray) -> np.ndarray:
    """Return the mean entropies [...] of rows [..., rows, columns], as shares of the maximum. [0..1]"""
    terms = rows * np.log(np.maximum(rows, 1e-300))
    return np.asarray(-terms.sum(-1).mean(-1) / math.log(rows.shape[-1]))


def entropy(rows: np.ndarray) -> float:
    """Return the mean entropy of rows of probabilities, as a share of the maximum. [0..1]"""
    return float(entropies(rows))
