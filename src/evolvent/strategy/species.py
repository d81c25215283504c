"""Species: who is like whom, and how many children each group of alikes is given.

Source: Stanley & Miikkulainen 2002, section 3.3: a member joins the first species whose representative,
a random member of the generation before, is nearer than a threshold; fitness is shared explicitly, so
that a species gets children in proportion to the mean fitness of its members, however many they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..types import Arch, Result

Distances = Callable[[Arch, Sequence[Arch]], Sequence[float]]


@dataclass
class Species:
    """A group of members that are like one representative.

    Args:
        representative: architecture that decides who belongs to it.
        members: of the present generation, the fittest first, of equally fit the oldest.
        best: highest score that any member ever had.
        improved: generation in which `best` was reached. [count]
    """

    representative: Arch
    members: list[Result] = field(default_factory=list)
    best: float = -math.inf
    improved: int = 0


def speciate(
    members: Sequence[Result],
    before: Sequence[Species],
    distances: Distances,
    threshold: float,
    generation: int,
) -> list[Species]:
    """Return the species of a new generation; those that nobody joins are gone.

    Args:
        members: of the new generation, with scores.
        before: species of the last one, with representatives of that one.
        distances: from one architecture to others.
        threshold: distance below which a member belongs to a species.
        generation: number of the new one.
    """
    homeless = sorted(members, key=lambda member: member.candidate.id)
    found: list[Species] = []
    for old in before:  # the first that is near enough wins, and these come first
        near, homeless = _parted(homeless, old.representative, distances, threshold)
        if near:
            found.append(Species(old.representative, near, old.best, old.improved))
    while homeless:
        first = homeless[0].candidate.arch
        near, homeless = _parted(homeless[1:], first, distances, threshold, homeless[:1])
        found.append(Species(first, near))
    for each in found:
        each.members.sort(key=lambda member: (-member.value, member.candidate.id))
        if each.members[0].value > each.best:
            each.best, each.improved = each.members[0].value, generation
    return found


def _parted(
    members: list[Result],
    arch: Arch,
    distances: Distances,
    threshold: float,
    near: Sequence[Result] = (),
) -> tuple[list[Result], list[Result]]:
    """Return those nearer to `arch` than the threshold, after those known to be, and the others."""
    joined, left = list(near), list[Result]()
    far = distances(arch, [member.candidate.arch for member in members])
    for member, distance in zip(members, far, strict=True):
        (joined if distance < threshold else left).append(member)
    return joined, left


def offspring(species: Sequence[Species], total: int) -> list[int]:
    """Return how many children each species has, `total` together.

    Shares are proportional to the mean score of the members, which is what their fitness sums to when
    each divides its own by the size of its species. Scores below 0 are all moved up until the lowest
    is 0; where nothing is left to tell species apart, all get the same.
    """
    lowest = min(member.value for each in species for member in each.members)
    means = [
        math.fsum(member.value - min(0.0, lowest) for member in each.members) / len(each.members)
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
