"""The controller of strategies that learn a policy: an LSTM that makes one decision at a time.

Sources: Zoph & Le 2016 (1611.01578) section 3: every decision is a softmax, whose choice is the next
input; Pham et al. 2018 (1802.03268) for weights that decisions share. Adam: Kingma & Ba 2014
(1412.6980).
What differs: decisions of equal name share their weights, and every place in the sequence has an
embedding of its own, so that places can differ as with the papers' separate softmaxes. A pointer is a
softmax over the legal states instead of attention to anchor points, because a space says which states
are legal and not which decisions made them. A bit is a softmax over 0 and 1, a Bernoulli variable: a
zero has a log-probability too, as a one has.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, count
from typing import NamedTuple

import torch
from torch import Tensor

from ...space import Decision, Decisions
from ...types import stream
from .threads import one_thread

_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam
_LAYER = ("input", "recurrent", "input bias", "recurrent bias")  # in the order of torch.lstm

Objective = Callable[[Tensor, Tensor], Tensor]  # of log-probabilities and entropies [N, T]


class Path(NamedTuple):
    """A complete sequence of decisions.

    Args:
        choices: as the space's `decode` takes them.
        log_probs: log-probability of every choice given those before it, at the time of drawing. [nat]
    """

    choices: tuple[int, ...]
    log_probs: tuple[float, ...]


class Batch(NamedTuple):
    """Sequences as the network reads them, shorter ones padded with token 0.

    Args:
        tokens: the choices, numbered through all vocabularies [N, T].
        legal: mask of the legal tokens of every decision [N, T, V]; after the end, token 0 alone.
    """

    tokens: Tensor
    legal: Tensor


class Controller:
    """A policy over the decisions of a space; it grows with the names and places that it meets.

    The vocabularies of all names are concatenated to V tokens, and a decision sees its legal ones.
    So sequences whose decisions differ in number and kind form one batch. No global generator is
    used, and initial weights depend only on the seed and their own name.

    Args:
        space: gives the decisions to make.
        hidden: units per layer. [count, >= 1]
        layers: of the LSTM. [count, >= 1]
        spread: initial weights are uniform between -spread and spread.
        lr: learning rate of Adam.
        seed: of the initial weights.
    """

    def __init__(
        self,
        space: Decisions,
        *,
        hidden: int,
        layers: int,
        spread: float,
        lr: float,
        seed: int,
    ) -> None:
        self.space, self.hidden, self.layers = space, hidden, layers
        self.spread, self.lr, self.seed = spread, lr, seed
        self.starts: dict[str, int] = {}  # name of a decision -> its first token
        self.weights: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.updates = 0
        for name in ("inputs", "outputs", "places"):  # [V, hidden], [V, hidden], [T, hidden]
            self._add(name, _zeros(0, hidden))
        for layer in range(layers):
            for part in _LAYER:
                shape = (4 * hidden,) if "bias" in part else (4 * hidden, hidden)
                self._add(f"{part} {layer}", self._first(f"{part} {layer}", *shape))

    # -- drawing and judging architectures -------------------------------------------------------

    def sample(self, rngs: Sequence[random.Random]) -> list[Path]:
        """Return one architecture per generator, drawn from the policy."""
        choices: list[list[int]] = [[] for _ in rngs]
        log_probs: list[list[float]] = [[] for _ in rngs]
        tokens = torch.zeros(len(rngs), 0, dtype=torch.long)
        memory = self._blank(len(rngs))
        with one_thread(), torch.no_grad():
            for place in count():
                decisions = [
                    self.space.decision(tuple(made)) if len(made) == place else None
                    for made in choices
                ]
                if not any(decisions):
                    break
                legal = self._legal([[decision] for decision in decisions], place)
                states, memory = self._run(self._inputs(tokens, place), memory)
                rows = self._log_probs(states, legal)[:, 0].tolist()
                last = []
                for index, (decision, rng) in enumerate(zip(decisions, rngs, strict=True)):
                    token = 0
                    if decision is not None:
                        start = self.starts[decision.name]
                        value = _draw(decision.legal, rows[index][start:], rng)
                        token = start + value
                        choices[index].append(value)
                        log_probs[index].append(rows[index][token])
                    last.append([token])
                tokens = torch.tensor(last)
        return [Path(tuple(a), tuple(b)) for a, b in zip(choices, log_probs, strict=True)]

    def read(self, sequences: Sequence[Sequence[int]]) -> Batch:
        """Return complete sequences of choices as a batch for the network."""
        decisions = [
            [self.space.decision(tuple(choices[:place])) for place in range(len(choices))]
            for choices in sequences
        ]
        legal = self._legal(decisions)
        tokens = torch.zeros(legal.shape[:2], dtype=torch.long)
        for row, choices, made in zip(tokens, sequences, decisions, strict=True):
            for place, (choice, decision) in enumerate(zip(choices, made, strict=True)):
                assert decision is not None  # as long as the choices were
                row[place] = self.starts[decision.name] + choice
        return Batch(tokens, legal)

    def judge(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return log-probability [N, T] and entropy [N, T] of every decision of sequences. [nat]

        Both are 0 after the end. Entropies summed over T and averaged over sequences drawn from the
        policy estimate the entropy of the policy.
        """
        states, _ = self._run(self._inputs(batch.tokens[:, :-1], 0), self._blank(len(batch.tokens)))
        logs = self._log_probs(states, batch.legal)
        entropies = -(logs.exp() * logs.masked_fill(~batch.legal, 0.0)).sum(2)
        return logs.gather(2, batch.tokens[:, :, None])[:, :, 0], entropies

    def entropy_share(self, paths: Sequence[Path]) -> float:
        """Return the mean entropy of the decisions of `paths`, as a share of the maximum. [0..1]

        Decisions with a single legal value do not count.
        """
        batch = self.read([path.choices for path in paths])
        with one_thread(), torch.no_grad():
            _, entropies = self.judge(batch)
            largest = batch.legal.sum(2).double().log()
        return float(entropies.sum() / largest.sum().clamp(min=1e-12))

    # -- the network -----------------------------------------------------------------------------

    def _inputs(self, tokens: Tensor, place: int) -> Tensor:
        """Return the LSTM's inputs from `place` on, after `tokens` [N, T]; place 0 follows no token."""
        x = self.weights["inputs"][tokens]
        if place == 0:
            x = torch.cat([_zeros(len(tokens), 1, self.hidden), x], 1)
        return x + self.weights["places"][place : place + x.shape[1]]

    def _blank(self, number: int) -> tuple[Tensor, Tensor]:
        zeros = _zeros(self.layers, number, self.hidden)
        return zeros, zeros

    def _run(
        self, x: Tensor, memory: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the states [N, T, hidden] after inputs [N, T, hidden], and the memory."""
        weights = [self.weights[f"{part} {n}"] for n in range(self.layers) for part in _LAYER]
        train = torch.is_grad_enabled()
        states, *after = torch.lstm(x, memory, weights, True, self.layers, 0.0, train, False, True)
        return states, (after[0], after[1])

    def _log_probs(self, states: Tensor, legal: Tensor) -> Tensor:
        """Return the logarithm of each token's probability [N, T, V]."""
        logits = states @ self.weights["outputs"].T
        return logits.masked_fill(~legal, -math.inf).log_softmax(2)

    def _legal(self, sequences: Sequence[Sequence[Decision | None]], place: int = 0) -> Tensor:
        """Return the mask of the legal tokens of decisions from `place` on [N, T, V]."""
        for decisions in sequences:
            for at, decision in enumerate(decisions, place):
                if decision is not None:
                    self._meet(decision, at)
        shape = len(sequences), max(map(len, sequences)), len(self.weights["inputs"])
        legal = torch.zeros(shape, dtype=torch.bool)
        values = legal.numpy()  # the same memory, several times faster to fill
        values[:, :, 0] = True
        for row, decisions in zip(values, sequences, strict=True):
            for tokens, decision in zip(row, decisions, strict=False):
                if decision is not None:
                    start = self.starts[decision.name]
                    tokens[0] = False
                    tokens[[start + value for value in decision.legal]] = True
        return legal

    # -- growth and learning ---------------------------------------------------------------------

    def _meet(self, decision: Decision, place: int) -> None:
        """Add weights for a name or a place that was not met before."""
        if decision.name not in self.starts:
            self.starts[decision.name] = len(self.weights["inputs"])
            for side in ("inputs", "outputs"):
                rows = self._first(f"{side} {decision.name}", decision.size, self.hidden)
                self._add(side, rows)
        if place >= len(self.weights["places"]):
            self._add("places", self._first(f"place {place}", 1, self.hidden))

    def _first(self, name: str, *shape: int) -> Tensor:
        rng = torch.Generator().manual_seed(stream(self.seed, "controller", name).getrandbits(62))
        return (2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1) * self.spread

    def _add(self, name: str, rows: Tensor) -> None:
        """Append rows to the weight `name`, new or not, and zeros to its moments of Adam."""
        if name not in self.weights:
            self.weights[name] = rows
            self.moments[name] = torch.zeros_like(rows), torch.zeros_like(rows)
            return
        self.weights[name] = torch.cat([self.weights[name], rows])
        mean, square = self.moments[name]
        zeros = torch.zeros_like(rows)
        self.moments[name] = torch.cat([mean, zeros]), torch.cat([square, zeros])

    def gradient(self, batch: Batch, objective: Objective) -> dict[str, Tensor]:
        """Return weight name -> gradient of the objective, applied to `judge(batch)`."""
        with one_thread():
            for weight in self.weights.values():
                weight.requires_grad_(True)
            weights = tuple(self.weights.values())
            found = torch.autograd.grad(
                objective(*self.judge(batch)), weights, materialize_grads=True
            )
            for weight in weights:
                weight.requires_grad_(False)
        return dict(zip(self.weights, found, strict=True))

    def ascend(self, batch: Batch, objective: Objective) -> None:
        """Move the weights by one step of Adam towards a higher objective."""
        gradient = self.gradient(batch, objective)
        self.updates += 1
        first, second = (1 - beta**self.updates for beta in _BETAS)
        with one_thread():
            for name, slope in gradient.items():
                mean, square = self.moments[name]
                mean.lerp_(slope, 1 - _BETAS[0])
                square.lerp_(slope**2, 1 - _BETAS[1])
                self.weights[name] += (
                    self.lr * (mean / first) / ((square / second).sqrt() + _EPSILON)
                )


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def _draw(legal: Sequence[int], logs: Sequence[float], rng: random.Random) -> int:
    """Return one of the legal values, drawn with its probability."""
    edges = list(accumulate(math.exp(logs[value]) for value in legal))
    return legal[min(bisect_right(edges, rng.random() * edges[-1]), len(legal) - 1)]
