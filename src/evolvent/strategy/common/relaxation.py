"""Common base of gradient-based strategies: logits per operation, Adam, derived trials, early stopping.

A space's mixture is relaxed: every row of a group has a logit per column. Every epoch of the shared
weights has one round of steps per batch, then a trial of the architecture derived from the logits. The
trial's note shows how far the search has come: the entropy of the rows' probabilities, now and at the
start, and its mean and deviation over walks beside the search, which got gradients by the mixture of
the same sizes with random signs; the share of skip connections, and of all operations without weights
(skips and poolings); and the probabilities themselves.

Two options of all of them. With `keep` the search has stages: at the start of each only the most
probable operations of every row stay, the logit of the others becomes minus infinity, and their weight
0, so that they are not run any more. With `perturb` the shared weights learn at mixtures near the one
that is judged, so that the loss changes little where an architecture is derived from it.

Sources: Liu et al. 2018 (1806.09055) for the relaxation and its derivation; Liang et al. 2019
(1909.06035) for stopping at a number of skip connections (DARTS+); Chen, Xie, Wu, Tian 2019
(1904.12760, P-DARTS) for stages; Chen & Hsieh 2020 (2002.05283, SDARTS) for perturbations.
What differs: in a short search the papers' learning rate would hardly move a logit, so by default it is
raised until the steps of the whole horizon can add up to as much as the paper's (`note` says so).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ...errors import SettingError
from ...space import Mixture, Space
from ...types import Arch, Budget, Candidate, Result, freeze, stream
from .sequence import Sequence

EPSILON = 1e-8
WALKS = 16  # beside a search [count]
FEWEST = 2  # operations that a stage keeps in every row, so that there is a choice [count]
SKIPS, POOLING = ("skip_connect", "identity"), "_pool_"
PERTURB = ("none", "random", "adversarial")

Rows = dict[str, np.ndarray]  # group -> [rows, columns]


class Relaxable(Space, Mixture, Protocol):
    """A space with a mixture."""


class Relaxation(Sequence):
    """Logits of a mixture, and the order of steps and trials; subclasses define mixture and gradient.

    Args:
        space: gives the groups of rows.
        lr: learning rate of Adam; None is the paper's, or a larger one by which the horizon's steps add
            up to as much as the paper's, at most 0.05. [> 0]
        betas: decay rates of Adam's moving averages. [0..1) each
        weight_decay: of the logits. [>= 0]
        spread: standard deviation of the initial logits. [>= 0]
        warmup: share of every stage that trains only the shared weights. [0..1)
        keep: share of every row's operations that are left in each stage, at least 2; the stages are
            equally long. [(0..1] each, descending]
        perturb: of the mixtures that the weights learn at: ``none``, ``random``, or ``adversarial``,
            which raises the training loss. Only where all operations are run.
        radius: most that an entry of a mixture is changed by, in the first step and in the last. [> 0]
        ascents: steps uphill of the adversary; each takes as long as a step of training. [count, >= 1]
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
    paper_lr = 3e-4
    soft = True  # whether the weights learn at mixtures of all operations
    restarts = False  # whether every stage begins with fresh logits

    def __init__(
        self,
        space: Relaxable,
        *,
        lr: float | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        weight_decay: float = 1e-3,
        spread: float = 1e-3,
        warmup: float = 0.0,
        keep: tuple[float, ...] = (1.0,),
        perturb: str = "none",
        radius: tuple[float, float] = (0.03, 0.3),
        ascents: int = 7,
        most_skips: int | None = None,
        batches: int = 100,
        epochs: float = 1.0,
        horizon: int = 50,
        seed: int = 0,
    ) -> None:
        self.note = ""
        steps = max(1, batches * horizon)
        if lr is None:
            lr = min(0.05, max(self.paper_lr, self.paper_lr * self.paper_steps / steps))
            if lr > self.paper_lr:
                self.note = (
                    f"learning rate {lr:.2g} of the architecture instead of the paper's "
                    f"{self.paper_lr:g}, so that {steps:,} steps move it as far as the paper's "
                    f"{self.paper_steps:,} can"
                )
        for name, allowed, rule in (
            ("lr", lr > 0, "above 0"),
            ("betas", all(0 <= beta < 1 for beta in betas), "in [0, 1)"),
            ("weight_decay", weight_decay >= 0, "at least 0"),
            ("spread", spread >= 0, "at least 0"),
            ("warmup", 0 <= warmup < 1, "in [0, 1)"),
            ("keep", _falling(keep), "shares in (0, 1], none larger than the one before"),
            ("perturb", perturb in PERTURB, f"one of {', '.join(PERTURB)}"),
            (
                "perturb",
                perturb == "none" or self.soft,
                "this strategy runs one operation per row, of which no share can be moved to others: "
                "use darts, drnas, pc-darts or p-darts",
            ),
            ("radius", min(radius) > 0, "two numbers above 0"),
            ("ascents", ascents >= 1, "at least 1"),
            ("most_skips", most_skips is None or most_skips >= 0, "at least 0"),
            ("batches", batches >= 1, "at least 1"),
        ):
            if not allowed:
                raise SettingError(f"{name}={locals()[name]!r}: {rule}")
        self.space, self.lr, self.betas, self.weight_decay = space, lr, betas, weight_decay
        self.most_skips, self.batches, self.horizon, self.seed = most_skips, batches, horizon, seed
        self.spread, self.warmup, self.keep = spread, warmup, tuple(keep)
        self.perturb, self.radius, self.ascents = perturb, radius, ascents
        self.groups = {group.name: group for group in space.groups()}
        self.stage = 0
        self.logits = self.initial()
        self.adam = self._adam(self.logits)
        self.walks = self._adam({n: np.stack([own] * WALKS) for n, own in self.logits.items()})
        self._begun = self._entropy()
        self.train_batches = batches * horizon  # that it will ask for [count]
        self.more_trials = 0  # than epochs
        both = sum(bool(each.train_batches and each.validation_batches) for each in self.rounds)
        steps = len(self.rounds) + (0 if perturb == "none" else both)
        self.last = max(1, horizon * (batches * steps + 1) - 1)  # id without a warm-up
        super().__init__()

    def plan(self) -> Iterator[Candidate]:
        """Yield the search over all epochs."""
        yield from self.searched(range(self.horizon))

    def searched(self, epochs: Iterable[int]) -> Iterator[Candidate]:
        """Yield the steps of every epoch, then the derived architecture as a trial."""
        for epoch in epochs:
            for batch in range(self.batches):
                warm = self._staged((epoch * self.batches + batch) / self.train_batches)
                for budget in self.turns():
                    if warm:  # the mixture is left as it is
                        budget = replace(budget, validation_batches=0)
                        if not budget.train_batches:
                            continue
                    mixture = self.sent(self.asked, judged=bool(budget.validation_batches))
                    yield Candidate(
                        self.asked, kind="step", mixture=mixture, operator="step", budget=budget
                    )
            arch = self.derived()
            if epoch * len(self.keep) > self.warmup * self.horizon and self._too_many(arch):
                return  # the architectures tried before stay the result
            yield self.trial(epoch, arch)

    def trial(self, epoch: int, arch: Arch) -> Candidate:
        """Return the trial of the architecture that was derived behind an epoch."""
        behind = Budget(epochs=epoch + 1)  # later trials are scored with longer trained weights
        note = self._note(epoch, arch)
        return Candidate(self.asked, arch, operator="derive", budget=behind, note=note)

    def turns(self) -> Iterator[Budget]:
        """Yield the budgets of the steps of one batch.

        Where weights learn at perturbed mixtures, what is judged is the mixture itself: another step.
        """
        for budget in self.rounds:
            if self.perturb == "none" or not budget.train_batches:
                yield budget
                continue
            first, last = self.radius
            radius = first + (last - first) * self.asked / self.last
            ascents = self.ascents if self.perturb == "adversarial" else 0
            yield replace(budget, validation_batches=0, radius=radius, ascents=ascents)
            if budget.validation_batches:
                yield replace(budget, train_batches=0)

    def tell(self, result: Result) -> None:
        """Descend the gradient of a step."""
        super().tell(result)
        if not result.ok or result.gradient is None:
            return
        id = result.candidate.id
        rng = generator(self.seed, "walk", id)
        given = result.gradient  # in any order: that of a log is not that of a worker
        own = {name: np.asarray(given[name], np.float64) for name in self.groups if name in given}
        random: Rows = {}
        for name, gradient in own.items():
            rows = self.relaxed(name, id, self.logits[name])
            sizes = gradient - (gradient * rows).sum(-1, keepdims=True)  # beyond what all share
            random[name] = rng.choice((-1.0, 1.0), (WALKS, *sizes.shape)) * sizes
        self.adam.step(self.slopes(own, id, self.logits))
        self.walks.step(self.slopes(random, id, self.walks.logits))

    # -- what a method defines -------------------------------------------------------------------

    def initial(self) -> Rows:
        """Return the logits of the present stage as it begins."""
        purpose = ("logits", self.stage) if self.stage else ("logits",)
        drawn = {}
        for name, group in self.groups.items():
            rng = generator(self.seed, *purpose, name)
            drawn[name] = self.spread * rng.standard_normal((len(group.rows), len(group.columns)))
        return drawn

    def sent(self, id: int, *, judged: bool = False) -> Rows:
        """Return the mixture of step `id`, which may be one that is judged."""
        return {name: self.relaxed(name, id, self.logits[name]) for name in self.groups}

    def relaxed(self, name: str, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities by which logits [..., rows, columns] are relaxed in step `id`."""
        raise NotImplementedError

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by logits of a group, from the gradient by the mixture of step `id`."""
        return of_softmax(self.relaxed(name, id, logits), gradient)

    def slopes(self, gradients: Rows, id: int, logits: Rows) -> Rows:
        """Return the gradients by all logits, from those by the mixture of step `id`."""
        return {name: self.slope(name, own, id, logits[name]) for name, own in gradients.items()}

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities that logits [..., rows, columns] stand for."""
        return softmax(logits)

    def derived(self) -> Arch:
        """Return the architecture that is derived from the logits."""
        return self.space.derive(self.strengths())

    def strengths(self) -> Rows:
        """Return the rows by which an architecture is derived."""
        return self.probabilities()

    # -- stages ----------------------------------------------------------------------------------

    def _staged(self, progress: float) -> bool:
        """Enter the stage of a share of the search; return whether it begins with weights alone."""
        stage = min(len(self.keep) - 1, int(progress * len(self.keep) + EPSILON))
        while self.stage < stage:
            self.stage += 1
            self._prune(self.keep[self.stage])
        return progress * len(self.keep) - self.stage < self.warmup - EPSILON

    def _prune(self, share: float) -> None:
        """Keep a share of the operations of every row, the most probable, in the walks as well."""
        fresh = self.initial() if self.restarts else None
        for logits in (self.logits, self.walks.logits):
            for name in self.groups:
                own = logits[name]
                count = max(FEWEST, math.ceil(round(share * own.shape[-1], 6)))
                ranks = np.argsort(np.argsort(-own, axis=-1, kind="stable"), axis=-1)
                left = (ranks < count) & np.isfinite(own)
                logits[name] = np.where(left, own if fresh is None else fresh[name], -np.inf)
        if fresh is not None:
            self.adam, self.walks = self._adam(self.logits), self._adam(self.walks.logits)

    def _adam(self, logits: Rows) -> Adam:
        return Adam(logits, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)

    # -- progress --------------------------------------------------------------------------------

    def probabilities(self) -> Rows:
        """Return the probabilities of every row of logits."""
        return {name: self.probability(self.logits[name]) for name in self.groups}

    def _note(self, epoch: int, arch: Arch) -> dict[str, Any]:
        rows, counts = self.probabilities(), self._operations(arch)
        total, skips = max(1.0, sum(counts.values())), skips_among(counts)
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
        walks = [self.probability(self.walks.logits[name]) for name in self.groups]
        found = np.mean([entropies(own) for own in walks], 0)
        return round(float(np.mean(found)), 6), round(float(np.std(found, ddof=1)), 6)

    def _operations(self, arch: Arch) -> dict[str, float]:
        """Return operation -> number of edges of the first group that have it, without ``none``."""
        group = next(iter(self.groups.values()))
        sums = self.space.one_hot(arch)[group.name].sum(0).tolist()
        return {name: n for name, n in zip(group.columns, sums, strict=True) if name != "none"}

    def _too_many(self, arch: Arch) -> bool:
        return self.most_skips is not None and skips_among(self._operations(arch)) > self.most_skips


class Adam:
    """Adam (Kingma & Ba 2015) over rows of logits, which it changes in place.

    A logit of minus infinity stays what it is.

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
            logits = self.logits[name]
            slope = gradient + self.weight_decay * np.where(np.isfinite(logits), logits, 0.0)
            mean, square = self.moments[name]
            mean += (1 - self.betas[0]) * (slope - mean)
            square += (1 - self.betas[1]) * (slope**2 - square)
            logits -= self.lr * (mean / first) / (np.sqrt(square / second) + EPSILON)


def _falling(shares: tuple[float, ...]) -> bool:
    """Whether there are shares in (0, 1], none of them larger than the one before."""
    return bool(shares) and all(0 < s <= 1 for s in shares) and sorted(shares)[::-1] == list(shares)


def skips_among(counts: Mapping[str, float]) -> float:
    """Return the number of skip connections among the counted operations."""
    return sum(counts.get(name, 0.0) for name in SKIPS)


def generator(*key: object) -> np.random.Generator:
    """Return numpy's generator of `types.stream` of the same key."""
    return np.random.default_rng(stream(*key).getrandbits(63))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of every row [..., rows, columns]."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def of_softmax(rows: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the gradient by logits, from the one by their softmax `rows` [..., rows, columns]."""
    return np.asarray(rows * (gradient - (gradient * rows).sum(-1, keepdims=True)))


def entropies(rows: np.ndarray) -> np.ndarray:
    """Return the mean entropies [...] of rows [..., rows, columns], as shares of the maximum. [0..1]"""
    terms = rows * np.log(np.maximum(rows, 1e-300))
    return np.asarray(-terms.sum(-1).mean(-1) / math.log(rows.shape[-1]))


def entropy(rows: np.ndarray) -> float:
    """Return the mean entropy of rows of probabilities, as a share of the maximum. [0..1]"""
    return float(entropies(rows))
