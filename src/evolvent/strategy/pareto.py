"""NSGA-II: evolve the front of score against cost.

Source: Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE TEC 6 (2002);
for networks NSGA-Net, Lu et al., GECCO 2019 (1810.03522): binary tournament by rank and then crowding
distance, crossover, mutation, survival of the best ranks, the last one cut by crowding; duplicates
are not evaluated again.

Every ask makes several proposals, children and samples. A linear model of the decisions predicts their
objectives, and the proposal that ranks best by the same order is asked; NSGANetV2 (Lu et al., ECCV
2020, 2007.10396) uses a surrogate in this way. ``proposals=1`` is NSGA-II alone, and so is a space
without decisions.

What differs: steady state, so that results may come in any order and no worker waits for a
generation. Every result joins the population, which is cut back to its size at once. Crossover is
the space's own, where it has one; a child that was asked before is mutated further.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np

from ..errors import SettingError
from ..space import Move, Space, key
from ..space.capabilities import crossover, decisions
from ..types import Budget, Candidate, Result, stream

_MEMORY = 500  # latest results that the linear model is fitted to
_SAMPLES = 3  # random architectures per child among the proposals
_TRIES = 20  # mutations in a row to find an architecture that was not asked before


class Pareto:
    """Evolution for several objectives at once.

    Args:
        space: samples and mutates architectures; its crossover is used if it gives one.
        minimise: metrics of a result to keep low, beside the score: names in ``metrics``, such as
            ``latency_ms``, or ``params``, ``flops`` or ``seconds``. A result without one of them
            cannot be a parent.
        population: members. [count, >= 2]
        proposals: children of which the most promising is asked; three random architectures per
                child compete with them, which keeps options alive that the population lost. With 1
                there is no linear model and no competition. [count, >= 1]
        crossover: probability that a child has two parents. [0..1]
        mutation: probability that a child of two parents is mutated too. [0..1]
        epochs: training length of every candidate. [epochs]
        horizon: trials of the run; the population is at most a tenth of it, and at least 10.
        seed: same seed and same tells in, same asks out.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs: frozenset[str] = frozenset()
    ends = False
    objectives: tuple[str, ...] = ()

    def __init__(
        self,
        space: Space,
        *,
        minimise: Sequence[str] = ("params",),
        population: int = 40,
        proposals: int = 16,
        crossover: float = 0.9,
        mutation: float = 0.5,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        minimise = (minimise,) if isinstance(minimise, str) else tuple(minimise)
        if population < 2 or proposals < 1 or not minimise:
            raise SettingError(
                f"population={population} must be at least 2, proposals={proposals} at least 1, "
                f"and minimise={list(minimise)} must name a metric"
            )
        if not 0 <= crossover <= 1 or not 0 <= mutation <= 1:
            raise SettingError(f"crossover={crossover} and mutation={mutation} must be in 0..1")
        self.space, self.objectives = space, minimise
        self.most = population
        self.size = self.first = min(population, max(10, horizon // 10))
        self.crossover = crossover if "crossover" in space.gives else 0.0
        self.proposals = proposals if "decisions" in space.gives else 1
        self.mutation, self.epochs, self.seed = mutation, epochs, seed
        self.members: list[Result] = []
        self._known: list[Result] = []  # the latest results, for the linear model
        self._fitness: list[tuple[int, float]] = []  # of each member: rank, minus crowding distance
        self._seen: set[Any] = set()
        self._asked = 0

    def ask(self) -> Candidate:
        """Return a random architecture for the first asks, then a child of the front."""
        rng = stream(self.seed, "pareto", self._asked)
        parents: tuple[int, ...] = ()
        if self._asked < self.first or len(self.members) < 2:
            move = Move(self.space.sample(rng), "sample")
        else:
            move, parents = self._choose(rng)
        for _ in range(_TRIES):
            if key(self.space, move.arch) not in self._seen:
                break
            if parents:
                move = Move(self.space.mutate(move.arch, rng).arch, move.operator)
            else:
                move = Move(self.space.sample(rng), "sample")
        self._seen.add(key(self.space, move.arch))
        id, self._asked = self._asked, self._asked + 1
        return Candidate(
            id,
            move.arch,
            parents=parents,
            operator=move.operator,
            budget=Budget(epochs=self.epochs),
        )

    def tell(self, result: Result) -> None:
        """Admit a result that has all objectives; the most dominated, most crowded one leaves."""
        if not result.ok or not all(map(math.isfinite, costs(result, self.objectives))):
            return
        self._known = [*self._known, result][-_MEMORY:]
        self.members.append(result)
        # Sorted by id, the population does not depend on the order of the results.
        self.members.sort(key=lambda member: member.candidate.id)
        self._fitness = fitness(self._points(self.members))
        if len(self.members) > self.size:
            worst = max(range(len(self.members)), key=self._fitness.__getitem__)
            del self.members[worst], self._fitness[worst]

    def lengthen(self, horizon: int) -> None:
        """Let the population grow to what a longer horizon allows; it fills with the next results."""
        self.size = max(self.size, min(self.most, max(10, horizon // 10)))

    def _points(self, results: Sequence[Result]) -> np.ndarray:
        """Return the objectives to minimise [N, objectives]."""
        return np.array([(-r.value, *costs(r, self.objectives)) for r in results])

    def _choose(self, rng: random.Random) -> tuple[Move, tuple[int, ...]]:
        """Return the proposal with the best predicted objectives, ranked among the members."""
        if self.proposals == 1 or len(self._known) < self.size // 2:
            return self._child(rng)
        found = [self._child(rng) for _ in range(self.proposals)]
        nobody: tuple[int, ...] = ()
        for _ in range(_SAMPLES * self.proposals):
            found.append((Move(self.space.sample(rng), "sample"), nobody))
        fresh = [move for move in found if key(self.space, move[0].arch) not in self._seen]
        if not fresh:
            return found[0]
        known = [result.candidate.arch for result in self._known]
        archs = [*known, *(move[0].arch for move in fresh)]
        encode = decisions(self.space).encode
        codes = [encode(arch) for arch in archs]
        guesses = guess(codes, self._points(self._known))
        order = fitness(np.concatenate([self._points(self.members), guesses]))[len(self.members) :]
        return fresh[min(range(len(fresh)), key=order.__getitem__)]

    def _child(self, rng: random.Random) -> tuple[Move, tuple[int, ...]]:
        mother = self._tournament(rng)
        if rng.random() >= self.crossover:
            return self.space.mutate(mother.candidate.arch, rng), (mother.candidate.id,)
        father = self._tournament(rng)
        pair = (mother.candidate.arch, father.candidate.arch)
        move = crossover(self.space).crossover(*pair, rng)
        if rng.random() < self.mutation:
            mutated = self.space.mutate(move.arch, rng)
            move = Move(mutated.arch, f"{move.operator}+{mutated.operator}")
        return move, (mother.candidate.id, father.candidate.id)

    def _tournament(self, rng: random.Random) -> Result:
        """Return the better of two members: by rank, then the less crowded."""
        pair = rng.sample(range(len(self.members)), 2)
        return self.members[min(pair, key=self._fitness.__getitem__)]


def costs(result: Result, names: Sequence[str]) -> tuple[float, ...]:
    """Return the metrics `names` of a result; infinity for a missing one."""
    own = {"params": result.params, "flops": result.flops, "seconds": result.seconds}
    found = (result.metrics.get(name, own.get(name)) for name in names)
    return tuple(math.inf if value is None else float(value) for value in found)


def fitness(points: np.ndarray) -> list[tuple[int, float]]:
    """Return (rank, minus crowding distance) of every point [N, objectives]; lower is better."""
    ranks = np.asarray(moocore.pareto_rank(points))
    spread = np.zeros(len(points))
    for rank in np.unique(ranks):
        spread[ranks == rank] = crowding(points[ranks == rank])
    return list(zip(ranks.tolist(), (-spread).tolist(), strict=True))


def guess(codes: Sequence[Sequence[int]], points: np.ndarray) -> np.ndarray:
    """Return predicted objectives of the last architectures, by ridge regression on the others.

    Args:
        codes: the decisions of known architectures, then of those to predict [N + M].
        points: objectives of the known ones [N, objectives].

    Returns:
        Predictions [M, objectives].
    """
    width = max(map(len, codes))
    places = np.array([(*row, *(-1,) * (width - len(row))) for row in codes])
    chosen = [places == option for option in np.unique(places)]  # each [N + M, decisions]
    features = np.concatenate(chosen, axis=1).astype(float)
    features = features[:, features.any(axis=0)]
    # Capped: a network that learned nothing says little about differences between good ones.
    middle = np.median(points, axis=0)
    target = np.minimum(points, middle + 2.0 * (middle - points.min(axis=0)))
    centre, known = target.mean(axis=0), features[: len(points)]
    ridge = known.T @ known + np.eye(features.shape[1])
    weights = np.linalg.solve(ridge, known.T @ (target - centre))
    return np.asarray(features[len(points) :] @ weights + centre)


def crowding(points: np.ndarray) -> np.ndarray:
    """Return the crowding distance of every point of one rank.

    Section III-B of the paper: per objective the gap between the two neighbours, as a share of the
    range; the extremes of an objective are infinitely far.

    Args:
        points: objectives [N, objectives].

    Returns:
        Distances [N].
    """
    distance = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        low, high = values[order[0]], values[order[-1]]
        distance[order[[0, -1]]] = np.inf
        if high > low:
            distance[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / (high - low)
    return distance
