"""What strategies share that breed: how many members, with whom to begin, and mutants."""

from __future__ import annotations

import random

from ...space import Move, Space
from ...space.capabilities import start
from ...types import Arch

STARTS = ("minimal", "random")


def population_of(paper: int, allowed: int, horizon: int) -> tuple[int, str]:
    """Return the paper's population, or what the horizon allows, and a note where it is smaller.

    Args:
        paper: the paper's population. [count]
        allowed: what the horizon allows. [count]
        horizon: trials that the search is planned for. [trials]
    """
    if allowed >= paper:
        return paper, ""
    return allowed, (
        f"population {allowed} instead of the paper's {paper}: "
        f"{horizon} trials would hardly evolve more"
    )


def first(space: Space, rng: random.Random, *, minimal: bool) -> Move:
    """Return the space's minimal architecture, or a random one."""
    if minimal:
        return Move(start(space).start(rng), "start")
    return Move(space.sample(rng), "sample")


def mutated(space: Space, arch: Arch, count: int, rng: random.Random, *before: str) -> Move:
    """Return `arch` after `count` mutations, with their operators behind those `before`."""
    operators = [*before]
    for _ in range(count):
        arch, operator = space.mutate(arch, rng)
        operators.append(operator)
    return Move(arch, "+".join(operators))
