"""Large-Scale Evolution: of a random pair the worse is removed and the better breeds.

Source: Real et al. 2017, "Large-Scale Evolution of Image Classifiers" (1703.01041), section 3.1:
workers take two random individuals, kill the worse at once, and train a mutated copy of the better,
whose weights it inherits as far as they fit. All start from the simplest network.
What differs: the paper's workers let the population drift around 1,000. Here members and children in
flight together are always P: a child that fails or is refused leaves a free place, so the next pair
breeds without a removal.
"""

from __future__ import annotations

import random

from ..errors import SettingError
from ..space import Space
from ..types import Budget, Candidate, Result, stream
from .common.breeding import STARTS, first, mutated, population_of

PAPER_POPULATION = 1000


class Tournament:
    """Pairwise selection without generations.

    Args:
        space: samples and mutates architectures; this strategy does not depend on their form.
        population: members and children in flight; None is the paper's 1,000, or what the horizon
            allows. [count, >= 2]
        mutations: per child: 1, or 5 to leave a plateau as in the paper's section 5. [count]
        start: ``minimal`` architectures where the space has one, or ``random`` ones.
        inherit: whether children start from their parent's weights.
        epochs: training length of every candidate, in addition to inherited training. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if `population` is below 2, `mutations` below 1, or `start` unknown.
    """

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        population: int | None = None,
        mutations: int = 1,
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
        if population < 2 or mutations < 1 or start not in STARTS:
            raise SettingError(
                f"population={population}, mutations={mutations}, start={start!r}: at least 2 "
                f"members, at least 1 mutation, and one of {', '.join(STARTS)}"
            )
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.size, self.mutations, self.inherit = population, mutations, inherit
        self.first = population  # asks that are first members
        self.minimal = start == "minimal" and "start" in space.gives
        self.members: dict[int, Result] = {}
        self.open: dict[int, Candidate] = {}  # asked, not told
        self.asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate | None:
        """Return a first member, or a child; None while there is no pair to choose from."""
        if self.asked >= self.first and len(self.members) < 2 and self.open:
            return None
        id, self.asked = self.asked, self.asked + 1
        rng = stream(self.seed, "tournament", id)
        if id < self.first or not self.members:
            arch, operator = first(self.space, rng, minimal=self.minimal)
            candidate = Candidate(id, arch, operator=operator, budget=self.budget)
        else:
            parent = self._survivor(rng).candidate
            move = mutated(self.space, parent.arch, self.mutations, rng)
            candidate = Candidate(
                id,
                move.arch,
                parents=(parent.id,),
                operator=move.operator,
                weights_from=(parent.id,) if self.inherit else (),
                budget=self.budget,
            )
        self.open[id] = candidate
        return candidate

    def tell(self, result: Result) -> None:
        """Admit a result to the population, if it has a score."""
        self.open.pop(result.candidate.id, None)
        if result.ok:
            self.members[result.candidate.id] = result

    def lengthen(self, horizon: int) -> None:
        """Let the population grow to what a longer horizon allows; it fills with the next results."""
        if self._scaled:
            self.size = max(self.size, _population(horizon)[0])

    def alive(self) -> frozenset[int]:
        """Return the ids that may still breed, or whose children are in flight."""
        waiting = {parent for child in self.open.values() for parent in child.weights_from}
        return frozenset(self.members.keys() | waiting)

    def _survivor(self, rng: random.Random) -> Result:
        """Return the better of a random pair; the worse is removed if the population is full."""
        if len(self.members) == 1:
            return next(iter(self.members.values()))
        one, other = (self.members[id] for id in rng.sample(sorted(self.members), 2))
        better, worse = (one, other) if one.value >= other.value else (other, one)
        if len(self.members) + len(self.open) >= self.size:  # now: no later ask may draw it
            del self.members[worse.candidate.id]
        return better


def _population(horizon: int) -> tuple[int, str]:
    """Return the population that a horizon allows, and a note if that is less than the paper's."""
    return population_of(PAPER_POPULATION, max(6, horizon // 20), horizon)
