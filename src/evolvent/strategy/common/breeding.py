"""Population sizes, first members and mutants, for strategies that breed."""

from __future__ import annotations

import random

from ...space import Move, Space
from ...space.capabilities import start
from ...types import Arch

STARTS = ("minimal", "random")


def population_of(paper: int, allowed: int, horizon: int) -> tuple[int, str]:
    """Return the population size, and a note if it is smaller than the paper's.

    Args:
        paper: the paper's population size. [count]
        allowed: largest size that the horizon allows. [count]
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
    """Return `arch` after `count` mutations; the operators `before` come first in the name."""
    operators = [*before]
    for _ in range(count):
        arch, operator = space.mutate(arch, rng)
        operators.append(operator)
    return Move(arch, "+".join(operators))
