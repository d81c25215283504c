"""Species: groups of similar members, and the number of children of each group.

Source: Stanley & Miikkulainen 2002, section 3.3: a member joins the first species whose representative,
a random member of the generation before, is nearer than a threshold; fitness is shared explicitly, so
that a species gets children in proportion to the mean fitness of its members, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...types import Arch

#: (architecture, places of members [K]) -> distances to these members [K]
Distances = Callable[[Arch, np.ndarray], np.ndarray]
_HALVINGS = 30  # bisection steps for the threshold that gives a number of species


@dataclass(frozen=True)
class Member:
    """A member of a population.

    Args:
        id: unique in the population's history; the older has the lower. [count]
        arch: its genes.
        value: its fitness; higher is better.
        note: data of its population, such as its origin.
    """

    id: int
    arch: Arch
    value: float
    note: Any = None


@dataclass
class Species:
    """A group of members that are similar to one representative.

    Args:
        representative: architecture that decides who belongs to it.
        name: the id of the member that founded it.
        members: of the present generation, the fittest first, of equally fit the oldest.
        best: highest value that any member ever had.
        improved: generation in which `best` was reached. [count]
    """

    representative: Arch
    name: int = -1
    members: list[Member] = field(default_factory=list)
    best: float = -math.inf
    improved: int = 0

    def rank(self, generation: int) -> None:
        """Sort the members, the fittest first; record `generation` if the fittest is a new best."""
        self.members.sort(key=lambda member: (-member.value, member.id))
        if self.members[0].value > self.best:
            self.best, self.improved = self.members[0].value, generation


def speciate(
    members: Sequence[Member],
    before: Sequence[Species],
    distances: Distances,
    threshold: float,
) -> list[Species]:
    """Return the species of a new generation, not ranked yet; species without members die out.

    Args:
        members: of the new generation.
        before: species of the last one, with representatives of that one.
        distances: from an architecture to `members`, by their places.
        threshold: distance below which a member belongs to a species.
    """
    homeless = np.array(sorted(range(len(members)), key=lambda at: members[at].id), int)
    found: list[Species] = []
    for old in before:  # a member joins the first species near enough
        near = distances(old.representative, homeless) < threshold
        if near.any():
            own = [members[at] for at in homeless[near]]
            found.append(Species(old.representative, old.name, own, old.best, old.improved))
            homeless = homeless[~near]
    while len(homeless):
        first = members[homeless[0]]
        near = distances(first.arch, homeless) < threshold
        near[0] = True
        found.append(Species(first.arch, first.id, [members[at] for at in homeless[near]]))
        homeless = homeless[~near]
    return found


def speciate_into(
    count: int, members: Sequence[Member], before: Sequence[Species], distances: Distances
) -> list[Species]:
    """Return at most `count` species, and if possible as many, by a suitable threshold.

    The threshold is found by bisection in every generation, so that the number of species depends
    neither on the scale of the distances nor on the diversity of the population. Very similar members
    may give fewer species.
    """
    low, high = 0.0, 1.0
    while len(found := speciate(members, before, distances, high)) > count:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        if len(found) == count:
            break
        middle = (low + high) / 2
        tried = speciate(members, before, distances, middle)
        if len(tried) > count:
            low = middle
        else:
            found, high = tried, middle
    return found


def fertile(species: Sequence[Species], generation: int, stagnation: int) -> list[Species]:
    """Return the species that may have children: those with recent progress, and the leading one.

    Args:
        species: ranked.
        generation: number of the current one.
        stagnation: generations without a fitter member after which a species has no children.
    """
    first = max(species, key=lambda each: each.members[0].value)
    return [each for each in species if each is first or generation - each.improved < stagnation]


def offspring(species: Sequence[Species], total: int, *, relative: bool = False) -> list[int]:
    """Return the number of children of each species, `total` together.

    Shares are proportional to the mean fitness of the members: that is the sum of their shared
    fitness, each divided by the size of the species. Species of equal mean get equal shares.

    Args:
        species: with members.
        total: of the children. [count]
        relative: whether fitness counts from the least fit of all members, which tells scores apart
            that lie close together; otherwise it does so only if the least fitness is below 0.
    """
    lowest = min(member.value for each in species for member in each.members)
    zero = lowest if relative else min(0.0, lowest)
    means = [
        math.fsum(member.value - zero for member in each.members) / len(each.members)
        for each in species
    ]
    return apportion(means, total)


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Return whole shares of `total` in proportion to `weights`, by largest remainders."""
    largest = max(weights)
    scaled = [weight / largest for weight in weights] if largest > 0 else [1.0] * len(weights)
    whole = math.fsum(scaled)
    exact = [weight / whole * total for weight in scaled]
    shares = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda at: (shares[at] - exact[at], at))
    for at in order[: total - sum(shares)]:
        shares[at] += 1
    return shares
