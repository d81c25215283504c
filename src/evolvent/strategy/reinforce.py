"""REINFORCE: a controller learns to repeat decisions whose reward was above a baseline.

Source: Zoph & Le 2016, "Neural Architecture Search with Reinforcement Learning" (1611.01578); the
gradient is Williams' (Machine Learning 8, 1992): the mean over finished candidates of
``grad log p(decisions) * (reward - baseline)``. The baseline is the moving average of earlier rewards,
which starts with the first one, so it does not depend on the candidate that it judges.
What differs: one layer of the LSTM, wider first weights, an entropy bonus, and rewards in units of
their running deviation, because a search here has hundreds of trials and not 12,800; the learning
rate and the batch follow from the horizon (`note` says so). The reward is the score itself, not its
cube. One controller replaces the paper's replicas and parameter servers: any number of candidates is
in flight, and the first to finish form the next batch, with log-probabilities by the controller of that
moment. The same architecture may be asked again; as the policy converges, its optimum is asked more
and more often.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import SettingError
from ..space import Decisions, Space
from ..types import Arch, Budget, Candidate, Result, stream
from .common.controller import Controller, Path

_TRAVEL = 1.0  # largest change of a weight by the paper's 1,600 updates of 6e-4
_LOOKS = 8  # architectures by which the entropy of the policy is estimated
_STEP = (
    0.7  # maximum of learning rate times units, a logit's step; above it the first success decides
)


class Searched(Space, Decisions, Protocol):
    """A space with decisions."""


class Told(NamedTuple):
    """A finished candidate: its decisions and its advantage over the baseline."""

    path: Path
    advantage: float


class Reinforce:
    """Policy gradient on whole architectures.

    A candidate that failed or was refused counts as the lowest score so far, so that the controller
    learns to avoid similar ones; it does not change the baseline. Before there is any score it does
    not count. Asking never waits.

    Args:
        space: gives the decisions to make.
        batch: finished candidates per update; None is a twentieth of the horizon, at least 2 and at
            most the paper's 8. [count, >= 1]
        lr: learning rate of Adam; None lets the updates of the whole horizon add up to 1, as the
            paper's do, but is at most 0.7 divided by the units. [> 0]
        entropy: weight of the entropy of the decisions [nat] beside rewards in units of their
            deviation; the larger, the longer it explores. [>= 0]
        baseline: decay of the moving averages of the reward and of its squared deviation. [0..1)
        hidden: units per layer of the LSTM. [count, >= 1]
        layers: of the LSTM; the paper has 2. [count, >= 1]
        spread: initial weights are uniform between -spread and spread; the paper has 0.08. [> 0]
        epochs: training length of every candidate. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs = frozenset({"decisions"})
    ends = False
    paper_batch = 8
    passes = 1  # steps of Adam per batch

    def __init__(
        self,
        space: Searched,
        *,
        batch: int | None = None,
        lr: float | None = None,
        entropy: float = 0.05,
        baseline: float = 0.9,
        hidden: int = 35,
        layers: int = 1,
        spread: float = 0.3,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        self.note = ""
        if batch is None:
            batch = min(self.paper_batch, max(2, horizon // 20))
        if min(batch, hidden, layers) < 1:
            raise SettingError(
                f"batch={batch}, hidden={hidden} and layers={layers} must be at least 1"
            )
        if lr is None:
            lr = min(_STEP / hidden, _TRAVEL * batch / (max(1, horizon) * self.passes))
            self.note = (
                f"batch {batch} (the paper's: {self.paper_batch}) and learning rate {lr:.2g}, "
                f"so that {horizon} trials teach the controller something"
            )
        if lr <= 0 or spread <= 0 or entropy < 0 or not 0 <= baseline < 1:
            raise SettingError(
                f"lr={lr} and spread={spread} must be above 0, entropy={entropy} at least 0, "
                f"baseline={baseline} at least 0 and below 1"
            )
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.batch, self.entropy, self.decay = batch, entropy, baseline
        self.controller = Controller(
            space, hidden=hidden, layers=layers, spread=spread, lr=lr, seed=seed
        )
        self.baseline: float | None = None  # moving average of earlier rewards
        self.square = 0.0  # mean squared deviation from it, not yet divided by `share`
        self.share = 0.0  # sum of the weights of that mean
        self.lowest = math.inf
        self._flying: dict[int, Path] = {}
        self._drawn: list[Path] = []  # by the present controller, to be asked next
        self._told: list[Told] = []  # the batch that fills
        self._asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate:
        """Return a candidate drawn from the policy.

        Between two updates of the controller a whole batch is drawn at once: it is the same policy,
        and several times faster. Draws that are left over at an update are drawn anew.
        """
        id = self._asked
        if not self._drawn:
            rngs = [stream(self.seed, "policy", id + ahead) for ahead in range(self.batch)]
            self._drawn = self.controller.sample(rngs)
        path = self._drawn.pop(0)
        self._asked += 1
        self._flying[id] = path
        return Candidate(id, self.space.decode(path.choices), budget=self.budget)

    def tell(self, result: Result) -> None:
        """Take a result, and learn when it completes a batch."""
        path = self._flying.pop(result.candidate.id)
        if result.status == "cut" or (not result.ok and self.baseline is None):
            return
        self._told.append(Told(path, self._advantage(result)))
        if len(self._told) == self.batch:
            self._learn()

    def draw(self, rngs: Sequence[random.Random]) -> list[Arch]:
        """Return one architecture per generator, drawn from the policy, to train shared weights at."""
        return [self.space.decode(path.choices) for path in self.controller.sample(rngs)]

    def entropy_share(self) -> float:
        """Return the entropy of the policy's decisions as a share of the maximum. [0..1]"""
        rngs = [stream(self.seed, "entropy", index) for index in range(_LOOKS)]
        return self.controller.entropy_share(self.controller.sample(rngs))

    def _advantage(self, result: Result) -> float:
        """Return the reward minus the baseline, and then update the baseline."""
        if not result.ok:
            assert self.baseline is not None  # there was a score
            return self.lowest - self.baseline
        self.lowest = min(self.lowest, result.value)
        if self.baseline is None:
            self.baseline = result.value
        advantage = result.value - self.baseline
        self.baseline += (1 - self.decay) * advantage
        self.square = self.decay * self.square + (1 - self.decay) * advantage**2
        self.share = self.decay * self.share + (1 - self.decay)
        return advantage

    def _learn(self) -> None:
        told, self._told, self._drawn = self._told, [], []
        if not any(path.choices for path, _ in told):
            return  # the space leaves nothing to decide
        batch = self.controller.read([path.choices for path, _ in told])
        deviation = math.sqrt(self.square / self.share) or 1.0  # equal rewards teach nothing
        advantages = torch.tensor(
            [[advantage / deviation] for _, advantage in told], dtype=torch.float64
        )
        before = torch.zeros(batch.tokens.shape, dtype=torch.float64)
        for row, (path, _) in zip(before, told, strict=True):
            row[: len(path.log_probs)] = torch.tensor(path.log_probs, dtype=torch.float64)

        def objective(log_probs: Tensor, entropies: Tensor) -> Tensor:
            gain = self._gain(log_probs, before, advantages) + self.entropy * entropies
            return gain.sum(1).mean()

        for _ in range(self.passes):
            self.controller.ascend(batch, objective)

    def _gain(self, log_probs: Tensor, before: Tensor, advantages: Tensor) -> Tensor:
        """Return the objective to maximise, for every decision [N, T].

        Args:
            log_probs: by the current controller [N, T].
            before: log-probabilities at the time of asking [N, T].
            advantages: of the candidates [N, 1].
        """
        return log_probs * advantages
