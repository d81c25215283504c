"""A space as what it gives: itself where it gives that, a clear refusal where it does not."""

import pytest

from evolvent.errors import SettingError
from evolvent.space import capabilities
from evolvent.space.blueprint import Blueprint
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.chain import Chain
from evolvent.space.graph import Graph
from evolvent.space.layers import Layers
from evolvent.space.listed import Listed
from evolvent.space.topology import Topology

ACCESSORS = {
    "aligned": capabilities.aligned,
    "crossover": capabilities.crossover,
    "decisions": capabilities.decisions,
    "drawing": capabilities.drawing,
    "mixture": capabilities.mixture,
    "parts": capabilities.parts,
    "start": capabilities.start,
}
METHODS = {
    "aligned": ("alignment", "crossover"),
    "crossover": ("crossover",),
    "decisions": ("decision", "encode", "decode", "equivalents"),
    "drawing": ("drawing",),
    "mixture": ("groups", "one_hot", "derive"),
    "parts": ("blueprints", "pointed_to", "pointed", "assemble"),
    "start": ("start",),
    "canonical": ("canonical",),
    "training": ("training",),
}


def test_what_a_space_gives_is_the_space_itself():
    space = Cell201()
    assert capabilities.decisions(space) is space
    assert capabilities.mixture(space) is space


def test_what_it_does_not_give_is_refused_by_name():
    with pytest.raises(SettingError, match=r"aligned is needed.*cell201.*decisions"):
        capabilities.aligned(Cell201())
    with pytest.raises(SettingError, match=r"decisions is needed.*topology.*weighted"):
        capabilities.decisions(Topology())


@pytest.mark.parametrize("name", ACCESSORS)
def test_every_accessor_asks_for_its_own_capability(name):
    class Bare:
        family = "bare"
        gives = frozenset({"nothing"})
        sample, mutate = Cell201.sample, Cell201.mutate

    with pytest.raises(SettingError, match=f"^{name} is needed"):
        ACCESSORS[name](Bare())
    Bare.gives = frozenset({name})
    assert isinstance(ACCESSORS[name](Bare()), Bare)


@pytest.mark.parametrize(
    "space",
    [Blueprint(), Cell(), Cell201(), Chain(), Graph(), Layers(), Listed(["a|b"]), Topology()],
)
def test_a_space_has_the_methods_of_what_it_gives(space):
    assert space.gives & set(METHODS)
    for name in space.gives & set(METHODS):
        for method in METHODS[name]:
            assert callable(getattr(space, method)), (name, method)
