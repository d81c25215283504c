"""Simulated annealing: a walk that takes every better neighbour, and ever fewer worse ones.

Source: Kirkpatrick, Gelatt & Vecchi, "Optimization by Simulated Annealing", Science 220 (1983), with
the rule of Metropolis et al. (1953): a neighbour whose energy is higher by d is taken with probability
exp(-d / T). Tenorio & Lee, "Self-organizing neural networks for the identification problem" (NIPS
1988), grew networks by it. The energy is minus the score, or a metric of a result that is to be low.

The first temperature is measured: a share of the horizon is a walk that takes whatever it is given, as
at an infinite temperature; its mean rise of the energy is then taken with probability `accept`. From
there the temperature falls geometrically to a share of `end` at the horizon, as in the source.

What differs: a walk begins again from the best architecture of that first stretch. Several neighbours
may be in flight, and each is judged against the state of the walk when it is told. An architecture
that was scored before is judged by that score and not trained again, so a step back costs no trial; a
walk that finds nothing new in `patience` such steps tries a random architecture.
"""

from __future__ import annotations

import math
import random
from typing import Any

from ..errors import SettingError
from ..space import Move, Space, key
from ..types import Budget, Candidate, Result, stream
from .common.breeding import STARTS, first

STRETCH = 0.1  # of the horizon is walked at an infinite temperature
LEAST, MOST = 2, 50  # trials of that stretch [count]


class Annealing:
    """A walk over neighbours by the rule of Metropolis, at a falling temperature.

    Args:
        space: samples and mutates architectures; this strategy does not depend on their form.
        energy: ``score``, which is to be high, or the name of a metric that is to be low and that the
            estimator measures, such as ``description_length``.
        accept: probability that a rise of the energy as large as the mean of the first stretch is
            taken at the first temperature. (0..1)
        end: last temperature, as a share of the first. (0..1]
        temperature: the first one, in units of the energy; None is measured. [> 0]
        start: ``minimal``, the space's smallest architecture where it has one, or ``random``.
        patience: steps in a row to architectures that were scored before, after which a random one is
            tried. [count, >= 1]
        epochs: training length of every candidate. [epochs]
        horizon: trials over which the temperature falls. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: for a setting outside its rule.
    """

    needs: frozenset[str] = frozenset()
    ends = False
    reads: tuple[str, ...] = ()

    def __init__(
        self,
        space: Space,
        *,
        energy: str = "score",
        accept: float = 0.2,
        end: float = 0.1,
        temperature: float | None = None,
        start: str = "random",
        patience: int = 100,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        if not 0 < accept < 1:
            raise SettingError(f"accept={accept} must lie between 0 and 1: it is a probability")
        if not 0 < end <= 1:
            raise SettingError(f"end={end} must lie above 0 and not above 1: it is a share")
        if temperature is not None and not 0 < temperature < math.inf:
            raise SettingError(f"temperature={temperature} must be above 0; None measures it")
        if patience < 1 or start not in STARTS:
            raise SettingError(
                f"patience={patience}, start={start!r}: at least 1, and one of {', '.join(STARTS)}"
            )
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.energy, self.accept, self.end, self.patience = energy, accept, end, patience
        self.reads = () if energy == "score" else (energy,)
        self.minimal = start == "minimal" and "start" in space.gives
        self.stretch = 0 if temperature else min(MOST, max(LEAST, round(STRETCH * horizon)))
        self.hottest = temperature  # None until it is measured
        self.since, self.horizon = self.stretch, horizon  # tells between which it cools
        self.state: Result | None = None
        self.best: Result | None = None
        self.rises: list[float] = []  # of the energy, in the first stretch
        self.scored: dict[Any, Result] = {}  # of every architecture the last result
        self.told, self.asked = 0, 0  # `asked` is also the id of the next candidate

    def ask(self) -> Candidate:
        """Return a first architecture, then a neighbour of the state that has no score yet."""
        id, self.asked = self.asked, self.asked + 1
        rng = stream(self.seed, "annealing", id)
        if self.state is None:
            return self._candidate(id, first(self.space, rng, minimal=self.minimal))
        for _ in range(self.patience):
            move = self.space.mutate(self.state.candidate.arch, rng)
            known = self.scored.get(key(self.space, move.arch))
            if known is None:
                parents = (self.state.candidate.id,)
                return self._candidate(id, move, parents)
            self._judge(known, rng)
        return self._candidate(id, Move(self.space.sample(rng), "sample"))

    def tell(self, result: Result) -> None:
        """Let the walk go on to a result, or stay; one without a score only uses up its ask."""
        self.told += 1
        if result.ok:
            self.scored[key(self.space, result.candidate.arch)] = result
            self._judge(result, stream(self.seed, "metropolis", result.candidate.id))
            if self.best is None or self.energy_of(result) < self.energy_of(self.best):
                self.best = result
        if self.told == self.stretch:
            self._begin()

    def lengthen(self, horizon: int) -> None:
        """Anneal once more, from the best state and up to the longer horizon."""
        self.since, self.horizon = max(self.told, self.stretch), horizon
        self.state = self.best or self.state

    def energy_of(self, result: Result) -> float:
        """Return the energy of a result that has a score; infinity where it lacks the metric."""
        if self.energy == "score":
            return -result.value
        return float(result.metrics.get(self.energy, math.inf))

    @property
    def temperature(self) -> float:
        """The temperature now; infinity in the first stretch. [units of the energy]"""
        if self.hottest is None:
            return math.inf
        share = (self.told - self.since) / max(1, self.horizon - self.since)
        return float(self.hottest * self.end ** min(1.0, max(0.0, share)))

    def _candidate(self, id: int, move: Move, parents: tuple[int, ...] = ()) -> Candidate:
        return Candidate(id, move.arch, parents=parents, operator=move.operator, budget=self.budget)

    def _judge(self, result: Result, rng: random.Random) -> None:
        """Make a result the state of the walk, by the rule of Metropolis."""
        if self.state is None:
            self.state = result
            return
        rise = self.energy_of(result) - self.energy_of(self.state)
        if self.hottest is None and 0 < rise < math.inf:
            self.rises.append(rise)
        if rise <= 0 or rng.random() < math.exp(-rise / self.temperature):
            self.state = result

    def _begin(self) -> None:
        """Settle the first temperature by the rises of the first stretch, and go to its best state.

        Where no energy rose there is nothing to measure: it begins cold, and only climbs.
        """
        if self.hottest is None:
            mean = math.fsum(self.rises) / len(self.rises) if self.rises else 0.0
            self.hottest = max(mean / -math.log(self.accept), 1e-12)
        self.state = self.best or self.state
