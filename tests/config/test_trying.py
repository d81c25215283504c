"""Parts from outside are tried once; our own are not."""

import pytest
from tests.helpers_resolve import resolved

from evolvent.errors import SettingError
from evolvent.space import Move
from evolvent.space.plain import Plain
from evolvent.strategy.random import Random
from evolvent.testing import small_task

HERE = "tests.config.test_trying:"


class Unhashable(Plain):
    def sample(self, rng):
        return [3]


class Nameless(Plain):
    def mutate(self, arch, rng):
        return arch


class Unstorable(Plain):
    def mutate(self, arch, rng):
        return Move((arch[0], frozenset()), "set")


class Unbuilt(Plain):
    family = "nothing"


class Empty(Random):
    def ask(self):
        return None


class Learner(Random):
    """In phases it is asked only after a training."""

    def ask(self):
        raise AssertionError("asked too early")


class Homeless:
    gives = frozenset({"score"})
    needs: frozenset[str] = frozenset()
    stateful = False
    error: type[Exception]

    def __init__(self, space, task, *, seed=0):
        raise self.error("nowhere")

    def evaluate(self, candidate, inherited): ...


class Missing(Homeless):
    error = OSError


class Broken(Homeless):
    error = KeyError


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"space": "Unhashable"},
            r"sample returned the architecture \[3\], and .* is made of tuples",
        ),
        ({"space": "Nameless"}, r"mutate\(arch, rng\) returned .* return Move\(arch, 'name'\)"),
        ({"space": "Unstorable"}, r"mutate returned the architecture .*frozenset\(\)"),
        ({"strategy": "Empty"}, r"its first ask\(\) returned None, and must return a Candidate"),
        ({"strategy": "Learner"}, r"ask\(\) failed, before the first trial: AssertionError"),
        ({"estimator": "Broken"}, "making it failed, before the first trial: KeyError"),
    ],
)
def test_a_part_that_fails_at_once_is_refused(toy, part, message):
    asked = {axis: HERE + name for axis, name in part.items()}
    with pytest.raises(SettingError, match=message):
        resolved(toy, **({"strategy": "random"} | asked))


def test_what_the_machine_lacks_is_raised_as_it_is(toy):
    with pytest.raises(OSError, match="nowhere"):
        resolved(toy, strategy="random", estimator=HERE + "Missing")


def test_a_strategy_in_phases_is_not_asked_before_its_training(toy):
    found = resolved(toy, recipe="random-ws", strategy=HERE + "Learner")
    assert found.parts.strategy.name == HERE + "Learner"


def test_a_space_of_an_unknown_family_is_refused_for_data_and_not_for_a_table(toy):
    with pytest.raises(SettingError, match="unknown family of spaces 'nothing'"):
        resolved(toy, space=HERE + "Unbuilt", strategy="random")
    table = small_task("table")
    found = resolved(table, recipe="random", space=HERE + "Unbuilt", estimator="table")
    assert found.parts.space.name == HERE + "Unbuilt"
