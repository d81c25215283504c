"""A population of parts of networks, whose fitness comes from the networks that held them.

Source: Miikkulainen et al. 2017 (1703.00548), section 3: species, fitness sharing and crossover are
those of NEAT (`species`), and the fitness of a part is the mean over its networks. What differs:
children are sorted into species before they have a fitness, because networks are assembled by species;
and shared fitness counts from the least fit member, because accuracies lie so close together that
otherwise all species would have about the same number of children.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...space import Move, PartSpace
from ...types import Result
from .species import Member, Species, fertile, offspring, speciate_into


class Origin(NamedTuple):
    """The origin of a member.

    Args:
        operator: that made it.
        networks: the candidate in which it was best, or those of its parents before it was in any.
            [ids]
    """

    operator: str
    networks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Breeding:
    """Settings for breeding the next generation.

    Args:
        survival: share of a species that may breed. [0..1]
        elites: best members of a species that survive unchanged, if it has as many children. [count]
        crossover: probability that a child has two parents. [0..1]
        mutations: per child. [count]
        stagnation: generations without a fitter member after which a species has no children.
    """

    survival: float
    elites: int
    crossover: float
    mutations: int
    stagnation: int


class Population:
    """The modules, or the blueprints, of all species.

    Args:
        first: the parts of the first generation, and the operators that made them.
        species: maximum number of species. [count]
        operators: of the space.
    """

    def __init__(self, first: Sequence[Move], species: int, operators: PartSpace) -> None:
        self.size, self.most = len(first), species
        members = [Member(id, arch, math.nan, Origin(op)) for id, (arch, op) in enumerate(first)]
        alignment = operators.alignment([member.arch for member in members])
        self.species = speciate_into(species, members, [], alignment)
        self.made = len(first)  # also the id of the next member

    @property
    def members(self) -> list[Member]:
        """All members, the oldest first."""
        every = (member for species in self.species for member in species.members)
        return sorted(every, key=lambda member: member.id)

    @property
    def kinds(self) -> tuple[int, ...]:
        """The names of the species."""
        return tuple(sorted(species.name for species in self.species))

    def credit(self, held: Mapping[int, Sequence[Result]], generation: int) -> None:
        """Give members their fitness, and rank the species.

        Args:
            held: id of a member -> results of the networks that held it; a failed one counts as the
                worst score of all. A member without results keeps its fitness; one that never had a
                fitness gets the mean of the others.
            generation: number of the current one.
        """
        worst = min(each.value for results in held.values() for each in results if each.ok)
        known: dict[int, Member] = {}
        for member in self.members:
            if results := held.get(member.id):
                value = math.fsum(max(each.value, worst) for each in results) / len(results)
                best = max(results, key=lambda each: (each.value, -each.candidate.id))
                networks = (best.candidate.id,) if best.ok else member.note.networks
                note = member.note._replace(networks=networks)
                member = replace(member, value=value, note=note)
            known[member.id] = member
        values = [member.value for member in known.values() if not math.isnan(member.value)]
        mean = math.fsum(values) / len(values)
        for species in self.species:
            species.members = [
                replace(known[member.id], value=mean)
                if math.isnan(known[member.id].value)
                else known[member.id]
                for member in species.members
            ]
            species.rank(generation)

    def breed(
        self, operators: PartSpace, breeding: Breeding, generation: int, rng: random.Random
    ) -> None:
        """Replace the members by their children, and sort those into species."""
        families = fertile(self.species, generation, breeding.stagnation)
        counts = offspring(families, self.size, relative=True)
        children: list[Member] = []
        for species, count in zip(families, counts, strict=True):
            kept = species.members[: min(breeding.elites, count)]
            bred = [([member], Move(member.arch, "elite")) for member in kept]
            bred += [_child(species, operators, breeding, rng) for _ in range(count - len(kept))]
            for parents, (arch, operator) in bred:
                networks = dict.fromkeys(id for parent in parents for id in parent.note.networks)
                origin = Origin(operator, tuple(networks))
                id = self.made + len(children)
                children.append(Member(id, arch, parents[0].value, origin))
        self.made += len(children)
        for species in self.species:
            species.representative = rng.choice(species.members).arch
        alignment = operators.alignment([child.arch for child in children])
        self.species = speciate_into(self.most, children, self.species, alignment)


def _child(
    species: Species, operators: PartSpace, breeding: Breeding, rng: random.Random
) -> tuple[list[Member], Move]:
    """Return the parents of a child, the fitter first, and the child."""
    fit = species.members[: int(breeding.survival * len(species.members)) + 1]
    parents, names = [rng.choice(fit)], list[str]()
    arch = parents[0].arch
    if len(fit) > 1 and rng.random() < breeding.crossover:
        first, second = parents = sorted(rng.sample(fit, 2), key=fit.index)
        arch, name = operators.crossover(
            first.arch, second.arch, rng, equal=first.value == second.value
        )
        names.append(name)
    for _ in range(breeding.mutations):
        arch, name = operators.mutate(arch, rng)
        names.append(name)
    return parents, Move(arch, "+".join(names))
