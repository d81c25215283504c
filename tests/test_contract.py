"""What must be there for a part to be one."""

import pytest

from evolvent.contract import check_contract, check_made, kinds_of
from evolvent.errors import SettingError
from evolvent.estimator.full import Full
from evolvent.space.cell import Cell
from evolvent.space.plain import Plain
from evolvent.space.topology import Topology
from evolvent.strategy.random import Random


class Bare:
    """A space that says when it is made what it gives."""

    def __init__(self, *, family="plain", gives=frozenset()):
        self.family, self.gives = family, gives

    def sample(self, rng): ...

    def mutate(self, arch, rng): ...


class Named(Random):
    def __init__(self, space, *, epochs: "Epochs" = 1.0, horizon=1, seed=0): ...  # type: ignore # noqa: F821


def test_what_a_space_declares_may_be_set_when_it_is_made():
    check_contract("space", "bare", Bare)
    check_made("space", "bare", Bare())
    with pytest.raises(
        SettingError, match="space bare: its attribute family is '', and must be str"
    ):
        check_made("space", "bare", Bare(family=""))
    with pytest.raises(SettingError, match=r"no method crossover \(its gives names 'crossover'\)"):
        check_made("space", "bare", Bare(gives=frozenset({"crossover"})))
    with pytest.raises(SettingError, match="frozenset of names"):
        check_made("space", "bare", Bare(gives=frozenset({1})))


def test_a_function_that_makes_a_space_is_one():
    check_contract("space", "made", lambda: Plain())
    with pytest.raises(SettingError, match=r"have a default for every other argument: .*'width'"):
        check_contract("space", "made", lambda width: Plain(smallest=width))


@pytest.mark.parametrize("axis", ["space", "strategy", "estimator"])
def test_what_cannot_be_called_is_no_part(axis):
    with pytest.raises(SettingError, match=f"{axis} mine: it is int 7, which cannot be called"):
        check_contract(axis, "mine", 7)


def test_types_that_cannot_be_read_are_said():
    with pytest.raises(SettingError, match=r"types of its constructor.*Epochs.*import them"):
        check_contract("strategy", "named", Named)


def test_kinds_have_a_default():
    assert kinds_of("space", Bare) == {"image"}
    assert kinds_of("space", Cell) == {"image"}
    assert kinds_of("space", Topology) == {"control"}
    every = {"image", "numbers", "text", "series", "language"}
    assert kinds_of("estimator", object) == Full.kinds == every
