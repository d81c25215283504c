"""NEAT: networks grow from minimal ones, in species that protect new structure.

Source: Stanley & Miikkulainen 2002, "Evolving Neural Networks through Augmenting Topologies", sections
3 and 4.1, whose settings are the defaults here: 150 members, threshold 3, a species without a better
member in 15 generations has no children, champions of species with more than 5 members are copied, a
quarter of the children have one parent, one of a thousand has its second parent in another species.
From the published settings, where the paper is silent: the best fifth of a species breeds; a fifth of
the children of two parents are not mutated.

What differs: a species without progress still breeds while it holds the best member of all, so that at
least one species breeds. A generation without any score is bred again from the same parents. Where the
space cannot align two architectures, every child has one parent. With a short horizon the population
shrinks (`note` says so).
"""

from __future__ import annotations

import math
import random

from ..errors import SettingError
from ..space import Move, Space
from ..space.capabilities import aligned
from ..types import Arch, Budget, Candidate, Result, stream
from .common.breeding import first
from .common.species import Member, Species, fertile, offspring, speciate

PAPER_POPULATION = 150
PLATEAU_SPECIES = 2  # that go on breeding when the whole population makes no progress


class NEAT:
    """Generations of species with aligned crossover.

    Args:
        space: gives ``aligned``: distances, and a crossover whose first parent is the fitter.
        population: members of a generation; None is the paper's 150, or what the horizon allows.
            [count, >= 2]
        threshold: distance below which two belong to one species; infinity is no speciation.
        survival: share of a species that may breed. (0..1]
        stagnation: generations without a better member after which a species has no children.
        plateau: generations without a new best of all members, after which only two species breed.
        champions: species with more members than this, now or in the next generation, keep their
            best. [count]
        mutation_only: probability that a child has one parent; 1 is no crossover. [0..1]
        unmutated: probability that a child of two parents is not mutated. [0..1]
        interspecies: probability that the second parent is of another species. [0..1]
        start: ``minimal`` architectures as in the paper, or ``random`` ones as in its ablation.
        epochs: training length of every candidate; 0 where the weights are genes. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: for a population below 2, a probability outside 0..1, or an unknown start.
    """

    needs = frozenset({"aligned", "start"})
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        population: int | None = None,
        threshold: float = 3.0,
        survival: float = 0.2,
        stagnation: int = 15,
        plateau: int = 20,
        champions: int = 5,
        mutation_only: float = 0.25,
        unmutated: float = 0.2,
        interspecies: float = 0.001,
        start: str = "minimal",
        epochs: float = 0.0,
        horizon: int = 5000,
        seed: int = 0,
    ) -> None:
        self.note = ""
        if population is None:
            population = min(PAPER_POPULATION, max(10, horizon // 20))
            if population < PAPER_POPULATION:
                self.note = (
                    f"population {population} instead of the paper's {PAPER_POPULATION}: "
                    f"{horizon} trials would be few generations"
                )
        rates = {
            "survival": survival,
            "mutation_only": mutation_only,
            "unmutated": unmutated,
            "interspecies": interspecies,
        }
        for name, value in rates.items():
            if not 0 <= value <= 1:
                raise SettingError(f"{name}={value} must lie in 0..1: it is a share")
        if population < 2 or start not in ("minimal", "random"):
            raise SettingError(
                f"population={population}, start={start!r}: at least 2, and minimal or random"
            )
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.genes = aligned(space)
        self.size, self.threshold, self.survival = population, threshold, survival
        self.stagnation, self.plateau, self.champions = stagnation, plateau, champions
        self.mutation_only, self.unmutated = mutation_only, unmutated
        self.interspecies, self.minimal = interspecies, start == "minimal"
        self.species: list[Species] = []  # of the last generation that has scores
        self.families: list[tuple[Species, bool]] = []  # per child: its species, copy its champion?
        self.told: list[Result] = []
        self.generation, self.asked = 0, 0  # `asked` is also the id of the next candidate
        self.best, self.improved = -math.inf, 0

    @property
    def together(self) -> int:
        """The number of candidates asked for before it waits: one generation. [count]"""
        return self.size

    def ask(self) -> Candidate | None:
        """Return the next candidate of the generation; None while results of it are missing."""
        place = self.asked - self.generation * self.size
        if place >= self.size:
            return None
        id, self.asked = self.asked, self.asked + 1
        rng = stream(self.seed, "neat", id)
        if not self.families:
            arch, operator = first(self.space, rng, minimal=self.minimal)
            return Candidate(id, arch, operator=operator, budget=self.budget)
        species, copy = self.families[place]
        if copy:
            parent = species.members[0]
            return self._child(id, parent.arch, "champion", (parent.id,))
        mother = rng.choice(species.members[: self._breeding(species)])
        if rng.random() < self.mutation_only:
            return self._mutant(id, mother, rng)
        other = self._other(species, rng)
        father = rng.choice(other.members[: self._breeding(other)])
        if father.id == mother.id:
            return self._mutant(id, mother, rng)
        fitter, weaker = sorted((mother, father), key=lambda each: (-each.value, each.id))
        move = self.genes.crossover(
            fitter.arch, weaker.arch, rng, equal=fitter.value == weaker.value
        )
        if rng.random() >= self.unmutated:
            changed = self.space.mutate(move.arch, rng)
            move = Move(changed.arch, f"{move.operator}+{changed.operator}")
        return self._child(id, move.arch, move.operator, (fitter.id, weaker.id))

    def tell(self, result: Result) -> None:
        """Take a result; with the last of a generation, form the species that breed the next."""
        self.told.append(result)
        if len(self.told) < self.size:
            return
        self.generation += 1
        members = [
            Member(result.candidate.id, result.candidate.arch, result.value)
            for result in self.told
            if result.ok
        ]
        self.told = []
        if members:
            self._settle(members)

    # -- one generation after the other ----------------------------------------------------------

    def _settle(self, members: list[Member]) -> None:
        rng = stream(self.seed, "species", self.generation)
        alignment = self.genes.alignment([member.arch for member in members])
        self.species = speciate(members, self.species, alignment, self.threshold)
        for species in self.species:
            species.rank(self.generation)
        if (best := max(member.value for member in members)) > self.best:
            self.best, self.improved = best, self.generation
        breeding = self._fertile()
        self.families = []
        for species, count in zip(breeding, offspring(breeding, self.size), strict=True):
            kept = max(count, len(species.members)) > self.champions
            self.families += [(species, kept and place == 0) for place in range(count)]
        for species in self.species:  # for the next generation
            species.representative = rng.choice(species.members).arch

    def _fertile(self) -> list[Species]:
        """Return the species that may have children, at least the one with the best member.

        After a plateau only the two best species breed, for one generation; their children may form
        new species.
        """
        if self.generation - self.improved < self.plateau:
            return fertile(self.species, self.generation, self.stagnation)
        self.improved = self.generation
        ranked = sorted(self.species, key=lambda species: -species.members[0].value)
        for species in ranked[:PLATEAU_SPECIES]:
            species.improved = self.generation
        return ranked[:PLATEAU_SPECIES]

    # -- children --------------------------------------------------------------------------------

    def _breeding(self, species: Species) -> int:
        """Return the number of members that breed, the fittest of a species. [count]"""
        return int(self.survival * len(species.members)) + 1

    def _other(self, species: Species, rng: random.Random) -> Species:
        """Return the species of the second parent: nearly always the same."""
        if len(self.species) > 1 and rng.random() < self.interspecies:
            return rng.choice([each for each in self.species if each is not species])
        return species

    def _mutant(self, id: int, parent: Member, rng: random.Random) -> Candidate:
        move = self.space.mutate(parent.arch, rng)
        return self._child(id, move.arch, move.operator, (parent.id,))

    def _child(self, id: int, arch: Arch, operator: str, parents: tuple[int, ...]) -> Candidate:
        return Candidate(id, arch, parents=parents, operator=operator, budget=self.budget)
