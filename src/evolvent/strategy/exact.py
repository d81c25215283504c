"""EXACT: a steady-state population in which any member may breed.

Source: Desell 2017, "Large Scale Evolution of Convolutional Neural Networks Using Volunteer Computing"
(1703.05422): a worker trains a child of random members: a crossover in one of five asks, otherwise a
mutant with three mutations. The child replaces the worst member if it is better. A network that is in
the population already does not enter again. The search starts from the simplest network.

What differs: the score is that of the validation part, where the 2017 code takes the error on the
training images. Accuracies tie, unlike errors: of equal members the newer stays. A child with inherited
weights may be the same network as a member, trained further: it replaces that member if it is better.
Until a result has a score, mutants of the simplest network are asked for; the paper lets unevaluated
genomes breed.
"""

from __future__ import annotations

import random
from typing import Any

from ..errors import SettingError
from ..space import Move, Space, key
from ..space.capabilities import crossover
from ..types import Budget, Candidate, Result, stream
from .common.breeding import STARTS, first, mutated, population_of

PAPER_POPULATION, PAPER_CROSSOVER = 100, 0.2


class Exact:
    """Asynchronous evolution without generations, in which only the worst member leaves.

    Args:
        space: samples, mutates and crosses architectures; this strategy does not depend on their
            form.
        population: members; None is the paper's 100, or what the horizon allows. [count, >= 2]
        crossover: probability that a child has two parents; None is the paper's 0.2 in a space with
            crossover, and 0 elsewhere. [0..1]
        mutations: per child of one parent. [count]
        start: ``minimal`` architectures where the space has one, or ``random`` ones.
        inherit: whether children start from their parents' weights, the fitter parent's first.
        epochs: training length of every candidate, in addition to inherited training. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: for a setting out of its range, or `crossover` in a space that has none.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        population: int | None = None,
        crossover: float | None = None,
        mutations: int = 3,
        start: str = "minimal",
        inherit: bool = False,
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        self.note = ""
        self._scaled = population is None
        if population is None:
            population, self.note = _population(horizon)
        crosses = "crossover" in space.gives
        if crossover is None:
            crossover = PAPER_CROSSOVER if crosses else 0.0
        if population < 2 or mutations < 1 or start not in STARTS or not 0 <= crossover <= 1:
            raise SettingError(
                f"population={population}, mutations={mutations}, start={start!r}, "
                f"crossover={crossover}: at least 2 members, at least 1 mutation, one of "
                f"{', '.join(STARTS)}, and a probability"
            )
        if crossover and not crosses:
            raise SettingError(f"crossover={crossover}: this space has no crossover; set it to 0")
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.size, self.crossover, self.mutations = population, crossover, mutations
        self.first = population  # asks that are random, where the first is not minimal
        self.inherit, self.minimal = inherit, start == "minimal" and "start" in space.gives
        self.members: dict[Any, Result] = {}  # `key` of a network -> its result
        self.open: dict[int, Candidate] = {}  # asked, not told
        self.asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate:
        """Return a child of random members; before any result has a score, a first architecture."""
        id, self.asked = self.asked, self.asked + 1
        rng = stream(self.seed, "exact", id)
        parents: list[Result] = []
        if not self.members or (not self.minimal and id < self.first):
            move = self._first(id, rng)
        else:
            move, parents = self._child(rng)
        ids = tuple(parent.candidate.id for parent in parents)
        candidate = Candidate(
            id,
            move.arch,
            parents=ids,
            operator=move.operator,
            weights_from=ids if self.inherit else (),
            budget=self.budget,
        )
        self.open[id] = candidate
        return candidate

    def tell(self, result: Result) -> None:
        """Admit a result with a score, unless it is worse than all members."""
        self.open.pop(result.candidate.id, None)
        if not result.ok:
            return
        network = key(self.space, result.candidate.arch)
        if (twin := self.members.get(network)) is not None:
            if result.value > twin.value:
                self.members[network] = result
            return
        self.members[network] = result
        if len(self.members) > self.size:
            worst = min(
                self.members.items(), key=lambda item: (item[1].value, item[1].candidate.id)
            )
            del self.members[worst[0]]

    def lengthen(self, horizon: int) -> None:
        """Let the population grow to what a longer horizon allows; it fills with the next results."""
        if self._scaled:
            self.size = max(self.size, _population(horizon)[0])

    def alive(self) -> frozenset[int]:
        """Return the ids that may still breed, or whose children are in flight."""
        members = (member.candidate.id for member in self.members.values())
        waiting = (parent for child in self.open.values() for parent in child.weights_from)
        return frozenset((*members, *waiting))

    def _first(self, id: int, rng: random.Random) -> Move:
        """Return a start, minimal or random; a minimal one is mutated except for the first ask."""
        move = first(self.space, rng, minimal=self.minimal)
        if id == 0 or not self.minimal:
            return move
        return mutated(self.space, move.arch, self.mutations, rng, move.operator)

    def _child(self, rng: random.Random) -> tuple[Move, list[Result]]:
        """Return a child, and its parents by their scores, the best first."""
        members = sorted(self.members.values(), key=lambda member: member.candidate.id)
        if len(members) > 1 and rng.random() < self.crossover:
            pair = sorted(rng.sample(members, 2), key=lambda member: -member.value)
            fitter, other = (member.candidate.arch for member in pair)
            return crossover(self.space).crossover(fitter, other, rng), pair
        parent = rng.choice(members)
        return mutated(self.space, parent.candidate.arch, self.mutations, rng), [parent]


def _population(horizon: int) -> tuple[int, str]:
    """Return the population that a horizon allows, and a note if that is less than the paper's."""
    return population_of(PAPER_POPULATION, max(6, horizon // 20), horizon)
