"""Phases: the search of any strategy, in turn with training of shared weights.

In every epoch the shared weights train on batch after batch, each at one drawn architecture. Then the
strategy asks for architectures, and is told their scores with the shared weights as if they had been
trained. So

* ENAS (Pham et al. 2018, 1802.03268) is `reinforce`, whose controller draws the architectures that the
  weights train at;
* NAO-WS (Luo et al. 2018, 1808.07233) is `nao`, which draws them from its pool, in a few long rounds;
* random search with weight sharing (Li & Talwalkar 2019, 1902.07638) is `random`, in one round;
* single path one-shot (SPOS; Guo et al. 2019, 1904.00420) is `regularized-evolution` over weights
  trained at uniform samples, in one round.

A strategy with ``draw(rngs)`` chooses the architectures that the weights train at; for others they are
uniform samples of the space. Scores come from a few batches, so the best of a round are scored again,
as trials, on the whole validation part.
What differs: SPOS evolves with the strategy's population instead of its own, and NAO-WS trains at its
whole pool instead of re-ranking a fixed one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, Protocol

from ...errors import SettingError
from ...space import Mixture, Space, key
from ...types import Arch, Budget, Candidate, Result, stream
from .. import Strategy
from .sequence import Sequence


class Mixed(Space, Mixture, Protocol):
    """A space with a mixture."""


class Phases(Sequence):
    """Alternates training at drawn architectures with a strategy's own search.

    Args:
        over: number of architectures to be scored -> the strategy.
        space: architectures as rows of operation weights.
        rounds: of scoring, spread evenly over the epochs; None is one per epoch. [count, >= 1]
        scores: architectures scored per epoch on average; None is a fifth of its batches, at least 5.
            [count, >= 1]
        judged: batches per score; None is all of the data set aside for scores. [count, >= 1]
        reference: uniform samples scored at the start of every round: scores are told relative to their
            mean, so that longer trained weights do not favour architectures that are scored later; 0
            tells the scores themselves. [count, >= 0]
        finalists: best of the last round that are scored again as trials. [count, >= 1]
        batches: per epoch. [count, >= 1]
        horizon: epochs of the shared weights. [epochs]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs = frozenset({"mixture", "sharing"})

    def __init__(
        self,
        over: Callable[[int], Strategy],
        space: Mixed,
        *,
        rounds: int | None = None,
        scores: int | None = None,
        judged: int | None = 1,
        reference: int = 0,
        finalists: int = 4,
        batches: int = 100,
        horizon: int = 50,
        seed: int = 0,
    ) -> None:
        if scores is None:
            scores = max(5, batches // 5)
        for name, value in (("rounds", rounds), ("scores", scores), ("judged", judged)):
            if value is not None and value < 1:
                raise SettingError(f"{name}={value}: at least 1")
        if finalists < 1 or batches < 1 or reference < 0:
            raise SettingError(
                f"finalists={finalists} and batches={batches} must be at least 1, "
                f"reference={reference} at least 0"
            )
        self.space, self.batches, self.horizon, self.seed = space, batches, horizon, seed
        self.rounds = min(horizon, rounds or horizon)
        self.scores = scores * horizon // max(1, self.rounds)  # of one round
        self.judged, self.finalists, self.reference = judged, finalists, reference
        self.strategy = over(self.scores * self.rounds)
        self.note = getattr(self.strategy, "note", "")
        self.train_batches = batches * horizon  # that it will ask for [count]
        self.more_trials = self.finalists - 1  # than epochs
        self._last = Result(Candidate(-1, kind="step"))  # the latest result
        self._begun = self._entropy()
        super().__init__()

    def plan(self) -> Iterator[Candidate]:
        """Yield the candidates one after the other."""
        done = 0
        for epoch in range(self.horizon):
            archs = self._drawn(epoch)
            for arch in archs:
                yield self._step("train", arch, Budget(train_batches=1, validation_batches=0))
            if (epoch + 1) * self.rounds // self.horizon == done:
                yield self._trial(epoch, archs[-1], "drawn")  # there is something to deliver
                continue
            done += 1
            best = yield from self._round(epoch)
            for inner in best[: self.finalists if done == self.rounds else 1]:
                yield self._trial(epoch, inner.arch, "chosen")

    def _round(self, epoch: int) -> Generator[Candidate, None, list[Candidate]]:
        """Yield steps that score the strategy's candidates; return these once each, best first."""
        rngs = [stream(self.seed, "reference", epoch, index) for index in range(self.reference)]
        level = 0.0
        for rng in rngs:
            yield self._scoring("reference", self.space.sample(rng))
            level += self._last.value / self.reference
        best: dict[Any, tuple[float, Candidate]] = {}
        for _ in range(self.scores):
            inner = self.strategy.ask()
            if inner is None:
                break
            yield self._scoring(inner.operator, inner.arch)
            value = self._last.value - level
            self.strategy.tell(replace(self._last, candidate=inner, score=value))
            name = key(self.space, inner.arch)
            if name not in best or value > best[name][0]:
                best[name] = value, inner
        return [inner for _, inner in sorted(best.values(), key=lambda pair: -pair[0])]

    def tell(self, result: Result) -> None:
        """Take a result; `_round` tells scores to the strategy."""
        super().tell(result)
        self._last = result

    def _drawn(self, epoch: int) -> list[Arch]:
        """Return the architectures that the weights train at in an epoch."""
        rngs = [stream(self.seed, "drawn", epoch, index) for index in range(self.batches)]
        if hasattr(self.strategy, "draw"):
            drawn: list[Arch] = self.strategy.draw(rngs)
            return drawn
        return [self.space.sample(rng) for rng in rngs]

    def _step(self, operator: str, arch: Arch, budget: Budget) -> Candidate:
        mixture = self.space.one_hot(arch)
        return Candidate(self.asked, kind="step", mixture=mixture, operator=operator, budget=budget)

    def _scoring(self, operator: str, arch: Arch) -> Candidate:
        budget = Budget(train_batches=0, validation_batches=self.judged)
        return self._step(operator, arch, budget)

    def _trial(self, epoch: int, arch: Arch, operator: str) -> Candidate:
        note: dict[str, Any] = {"epoch": epoch + 1}
        if self._begun is not None:
            note |= {"begun": self._begun, "entropy": self._entropy()}
        behind = Budget(epochs=epoch + 1)  # later trials are scored with longer trained weights
        return Candidate(self.asked, arch, operator=operator, budget=behind, note=note)

    def _entropy(self) -> float | None:
        """Return the strategy's entropy as a share of its maximum, if it reports one. [0..1]"""
        if not hasattr(self.strategy, "entropy_share"):
            return None
        return round(float(self.strategy.entropy_share()), 6)
