"""The space of polynomial nodes."""

import random

import pytest

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space.polynomial import FUNCTIONS, Polynomial
from evolvent.types import Facts

SPACE = Polynomial((5,), nodes=8)


def walk(space, steps, seed=0):
    rng = random.Random(seed)
    arch = space.start(rng)
    for _ in range(steps):
        move = space.mutate(arch, rng)
        yield arch, move
        arch = move.arch


def read_by(arch):
    return {source for _, *sources, _ in arch for source in sources}


def test_it_starts_with_one_node_of_two_inputs():
    (node,) = SPACE.start(random.Random(0))
    assert node[1] != node[2] and {node[1], node[2]} <= set(SPACE.inputs)
    assert Polynomial.of(Facts("numbers", "r2", (3,), 2)).inputs == ("x0", "x1", "x2")


def test_every_step_of_a_walk_is_a_network_whose_nodes_all_lead_to_the_output():
    operators = set()
    for arch, move in walk(SPACE, 400):
        operators.add(move.operator)
        made = SPACE.checked(move.arch)
        assert 1 <= len(made) <= 8
        assert {node[0] for node in made[:-1]} <= read_by(made)
        assert SPACE.canonical(move.arch) != SPACE.canonical(arch)
    assert operators == {"add-node", "insert-node", "remove-node", "source", "function"}


def test_a_mutation_keeps_the_names_of_the_nodes_that_stay():
    kept = [
        len({node[0] for node in arch} & {node[0] for node in move.arch})
        for arch, move in walk(SPACE, 100)
        if move.operator in ("add-node", "insert-node")
        for arch in [arch]
        if len(move.arch) != len(arch) + 1
    ]
    assert not kept
    for arch, move in walk(SPACE, 100, seed=1):
        if move.operator == "function":
            assert [node[0] for node in arch] == [node[0] for node in move.arch]


def test_names_order_and_sides_do_not_tell_networks_apart():
    one = (("a", "x0", "x1", "linear"), ("b", "x1", "x2", "product"), ("c", "a", "b", "linear"))
    other = (("q", "x2", "x1", "product"), ("p", "x0", "x1", "linear"), ("r", "p", "q", "linear"))
    assert SPACE.canonical(one) == SPACE.canonical(other)
    changed = (*one[:2], ("c", "a", "b", "product"))
    assert SPACE.canonical(one) != SPACE.canonical(changed)


def test_with_one_input_and_one_function_there_are_still_networks():
    space = Polynomial((1,), nodes=1, functions="linear")
    arch = space.sample(random.Random(0))
    assert space.mutate(arch, random.Random(0)).operator == "identity"
    assert len({move.arch for _, move in walk(Polynomial((1,), nodes=4), 50)}) > 10


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        ((), "at least one node"),
        ((("a", "x0", "x9", "linear"),), "node 'a'"),
        ((("a", "x0", "x1", "cubic"),), ", ".join(FUNCTIONS)),
        ((("a", "x0", "x1", "linear"), ("a", "x0", "x1", "linear")), "a new name"),
    ],
)
def test_what_is_no_network_is_refused(arch, said):
    with pytest.raises(InvalidArchitecture, match=said):
        SPACE.checked(arch)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nodes": 0}, "nodes=0"),
        ({"functions": ()}, "some of linear"),
        ({"functions": ("cubic",)}, "some of linear"),
        ({"input_shape": (2, 3)}, r"for \(F,\)"),
    ],
)
def test_settings_outside_their_rule_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        Polynomial(**{"input_shape": (4,)} | settings)
