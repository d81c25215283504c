"""What strategies share that breed."""

import random

import pytest

from evolvent.space import Move
from evolvent.strategy.common.breeding import first, mutated, population_of


class Counting:
    """A space of numbers: a mutation adds a random digit."""

    family, gives = "counting", frozenset({"start"})

    def sample(self, rng):
        return rng.randrange(10, 100)

    def start(self, rng):
        return 0

    def mutate(self, arch, rng):
        return Move(10 * arch + rng.randrange(1, 10), f"add{arch}")


@pytest.mark.parametrize(
    ("paper", "allowed", "population"), [(100, 6, 6), (100, 100, 100), (100, 250, 100)]
)
def test_a_population_is_the_papers_unless_the_horizon_allows_less(paper, allowed, population):
    found, note = population_of(paper, allowed, 120)
    assert found == population
    assert bool(note) == (population < paper)
    if note:
        assert "6 instead of the paper's 100: 120 trials" in note


def test_everything_begins_with_the_minimal_or_a_random_architecture():
    space = Counting()
    assert first(space, random.Random(0), minimal=True) == (0, "start")
    arch, operator = first(space, random.Random(0), minimal=False)
    assert (operator, arch) == ("sample", space.sample(random.Random(0)))


def test_mutations_follow_each_other_and_name_their_operators_in_order():
    arch, operator = mutated(Counting(), 7, 3, random.Random(1), "start")
    digits = str(arch)
    assert len(digits) == 4
    assert digits[0] == "7"
    assert operator == f"start+add7+add{digits[:2]}+add{digits[:3]}"
