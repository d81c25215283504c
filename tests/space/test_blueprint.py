"""Blueprints and modules: limits, operators of the parts, assembling, whole networks."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import SettingError
from evolvent.space.blueprint import Blueprint, Shape, after, flow, joined
from evolvent.space.dag import INPUT, OUTPUT, Dag, network
from evolvent.space.modules import STEP, Layer
from evolvent.types import freeze

SPACES = {
    "paper": Blueprint((3, 32, 32)),
    "odd": Blueprint((2, 7, 6), nodes=3, layers=3, filters=(8, 24), grown=20),
    "tight": Blueprint((1, 8, 8), multiply_adds=500_000, filters=(16, 64), nodes=4, layers=3),
    "alike": Blueprint(
        (1, 8, 8), filters=(16, 16), kernels=(3,), lrs=(0.1, 0.1), momenta=(0.9, 0.9)
    ),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
seeds = st.integers(0, 2**32)
ODD = SPACES["odd"]


def walk(operators, seed, steps=60):
    """Parts of a random walk, crossovers among the moves."""
    rng = random.Random(seed)
    part, seen = operators.sample(rng), [operators.start(rng)]
    for step in range(steps):
        yield part
        seen.append(part)
        other = rng.choice(seen)
        part = (
            operators.crossover(part, other, rng, equal=step % 2 == 0)
            if step % 4 == 3
            else operators.mutate(part, rng)
        ).arch


def check_module(space, module):
    nodes, edges = module
    assert freeze(json.loads(json.dumps(module))) == module
    assert 1 <= len(network(Dag(nodes, edges))[0]) <= space.modules.most
    assert len(nodes) <= 2 * space.modules.most
    ranges = space.ranges
    for _, *values in nodes:
        layer = Layer(*values)
        assert ranges.filters[0] <= layer.filters <= ranges.filters[1]
        assert layer.filters % STEP == 0
        assert layer.kernel in ranges.kernels
        assert ranges.dropouts[0] <= layer.dropout <= ranges.dropouts[1]
        assert ranges.scales[0] <= layer.scale <= ranges.scales[1]


# ---- parts ---------------------------------------------------------------------------------------


@every_space
@settings(max_examples=5)
@given(seed=seeds)
def test_modules_stay_within_every_limit(space, seed):
    for module in walk(space.modules, seed):
        check_module(space, module)


@every_space
@settings(max_examples=5)
@given(seed=seeds)
def test_blueprints_stay_within_every_limit_and_point_to_what_there_is(space, seed):
    for part in walk(space.blueprints([3, 5, 8]), seed):
        nodes, edges, (lr, momentum) = part
        assert 1 <= len(network(Dag(nodes, edges))[0]) <= space.nodes
        assert set(space.pointed_to(part)) == {kind for _, kind in nodes} <= {3, 5, 8}
        assert space.ranges.lrs[0] <= lr <= space.ranges.lrs[1]
        assert space.ranges.momenta[0] <= momentum <= space.ranges.momenta[1]


def test_every_mutation_happens_and_changes_something():
    rng = random.Random(0)
    for operators, names in (
        (
            ODD.modules,
            {"add-node", "add-edge", "toggle-edge", *(f"alter-{gene}" for gene in Layer._fields)},
        ),
        (ODD.blueprints([1, 2]), {"add-node", "add-edge", "toggle-edge", "point", "training"}),
    ):
        seen: Counter[str] = Counter()
        for _ in range(400):
            part = operators.sample(rng)
            made, operator = operators.mutate(part, rng)
            assert made != part
            seen[operator] += 1
        assert seen.keys() == names


def test_a_minimal_part_is_one_node():
    rng = random.Random(0)
    for operators in (ODD.modules, ODD.blueprints([4])):
        nodes, edges = operators.start(rng)[:2]
        assert len(nodes) == 1
        assert [edge[:2] for edge in edges] == [(INPUT, nodes[0][0]), (nodes[0][0], OUTPUT)]


def distances(operators, part, others):
    return operators.alignment(others)(part, np.arange(len(others))).tolist()


def test_starts_align_because_they_share_their_gene():
    rng = random.Random(0)
    one, other = ODD.modules.start(rng), ODD.modules.start(rng)
    assert one[0][0][0] == other[0][0][0]
    (far,) = distances(ODD.modules, one, [other])
    assert 0 < far <= 1
    assert distances(ODD.modules, one, [one]) == [0.0]


def test_distances_of_layers_are_shares_of_their_ranges():
    layer = Layer(8, 1, 0.0, 0.0, False)
    far = Layer(24, 3, 0.7, 2.0, True)
    parts = [((("a", *each),), ((INPUT, "a", True), ("a", OUTPUT, True))) for each in (layer, far)]
    assert distances(ODD.modules, parts[0], parts) == [0.0, pytest.approx(1.0)]
    half = layer._replace(dropout=0.35)
    part = ((("a", *half),), parts[0][1])
    assert distances(ODD.modules, parts[0], [part]) == [pytest.approx(0.1)]


def test_blueprints_are_far_apart_where_they_point_to_other_kinds():
    one = ODD.blueprints([1]).start(random.Random(0))
    other = ODD.pointed(one, {1: 2})
    assert distances(ODD.blueprints([1, 2]), one, [one, other]) == [0.0, 1.0]
    assert ODD.pointed(other, {7: 9}) == other


def test_of_equally_fit_parents_the_one_with_fewer_edges_gives_the_structure():
    rng = random.Random(3)
    small, large = ODD.modules.start(rng), ODD.modules.sample(rng)
    while len(large[1]) <= len(small[1]):
        large = ODD.modules.sample(rng)
    child = ODD.modules.crossover(large, small, rng, equal=True).arch
    assert [edge[:2] for edge in child[1]] == [edge[:2] for edge in small[1]]
    child, operator = ODD.modules.crossover(large, small, rng)
    assert operator == "crossover"
    assert [edge[:2] for edge in child[1]] == [edge[:2] for edge in large[1]]


# ---- assembling ----------------------------------------------------------------------------------


def test_a_network_has_the_module_of_every_kind_that_its_blueprint_points_to():
    rng = random.Random(0)
    blueprint = (
        (("a", 7), ("b", 3), ("c", 7)),
        ((INPUT, "a", True), ("a", OUTPUT, True)),
        (0.1, 0.9),
    )
    modules = {kind: ODD.modules.start(rng) for kind in (3, 5, 7)}
    arch = ODD.assemble(blueprint, modules)
    assert arch == (*blueprint, ((3, modules[3]), (7, modules[7])))
    assert ODD.training(arch) == {"lr": 0.1, "momentum": 0.9}


@settings(max_examples=20)
@given(seed=seeds)
def test_what_is_too_large_is_built_narrower_and_nothing_else(seed):
    tight, wide = SPACES["tight"], Blueprint((1, 8, 8), filters=(16, 64), nodes=4, layers=3)
    rng = random.Random(seed)
    modules = {kind: tight.modules.sample(rng) for kind in (0, 1)}
    blueprint = tight.blueprints([0, 1]).sample(rng)
    made, whole = tight.assemble(blueprint, modules), wide.assemble(blueprint, modules)
    assert tight.cost(made) <= tight.multiply_adds
    assert made[:3] == whole[:3]
    narrower = 0
    for (_, one), (_, other) in zip(made[3], whole[3], strict=True):
        assert one[1] == other[1]
        for mine, theirs in zip(one[0], other[0], strict=True):
            assert (mine[0], *mine[2:]) == (theirs[0], *theirs[2:])
            assert STEP <= mine[1] <= theirs[1]
            narrower += mine[1] < theirs[1]
    assert bool(narrower) == (wide.cost(whole) > tight.multiply_adds)


def test_a_limit_below_all_networks_makes_them_as_narrow_as_they_can_be():
    space, rng = Blueprint((1, 8, 8), filters=(16, 64), multiply_adds=1), random.Random(0)
    for _ in range(10):
        arch = space.sample(rng)
        assert {node[1] for _, module in arch[3] for node in module[0]} == {STEP}


def test_the_smallest_image_and_the_largest_number_of_channels_decide():
    assert joined([Shape(3, 8, 8), Shape(16, 4, 2), Shape(8, 2, 4)]) == Shape(16, 2, 2)
    assert after(Layer(24, 3, 0.0, 1.0, True), Shape(3, 7, 6)) == Shape(24, 4, 3)
    assert after(Layer(24, 3, 0.0, 1.0, False), Shape(3, 7, 6)) == Shape(24, 7, 6)
    graph = Dag(
        (("a", True), ("b", False)),
        tuple((*ends, True) for ends in ((INPUT, "a"), (INPUT, "b"), ("a", OUTPUT), ("b", OUTPUT))),
    )
    made = flow(graph, Shape(2, 7, 6), lambda node, given: after(Layer(8, 1, 0, 1, node[1]), given))
    assert made == {
        INPUT: Shape(2, 7, 6),
        "a": Shape(8, 4, 3),
        "b": Shape(8, 7, 6),
        OUTPUT: Shape(8, 4, 3),
    }


# ---- whole networks ------------------------------------------------------------------------------


@every_space
@settings(max_examples=2)
@given(seed=seeds)
def test_two_hundred_moves_stay_within_every_limit(space, seed):
    rng = random.Random(seed)
    arch = space.sample(rng)
    for _ in range(200):
        arch, operator = space.mutate(arch, rng)
        assert operator
        assert space.cost(arch) <= space.multiply_adds
        kinds = [kind for kind, _ in arch[3]]
        assert kinds == sorted(space.pointed_to(arch[:3]))
        assert 1 <= len(network(Dag(*arch[:2]))[0]) <= space.nodes
        for _, (nodes, edges) in arch[3]:
            assert 1 <= len(network(Dag(nodes, edges))[0]) <= space.modules.most


def test_every_move_changes_the_network_or_its_training():
    for name in ("paper", "odd", "tight"):
        space, rng = SPACES[name], random.Random(1)
        for _ in range(100):
            arch = space.sample(rng)
            made = space.mutate(arch, rng).arch
            assert space.canonical(made) != space.canonical(arch)


def test_the_canonical_form_does_not_depend_on_the_names_of_genes_and_kinds():
    rng = random.Random(0)
    for _ in range(30):
        arch = ODD.sample(rng)
        nodes, edges, training, modules = arch
        kinds = {kind: 90 - kind for kind, _ in modules}
        other = (
            tuple((f"_{name}", kinds[kind]) for name, kind in nodes),
            tuple(
                (f"_{a}" if a != INPUT else a, f"_{b}" if b != OUTPUT else b, on)
                for a, b, on in edges
            ),
            training,
            tuple(sorted((kinds[kind], module) for kind, module in modules)),
        )
        assert ODD.canonical(other) == ODD.canonical(arch)
        assert ODD.canonical((nodes, edges, (0.5, 0.5), modules)) != ODD.canonical(arch)


def test_large_images_are_folded():
    assert Blueprint((3, 32, 32)).image == Shape(12, 16, 16)
    assert Blueprint((3, 96, 64)).image == Shape(48, 24, 16)
    assert Blueprint((3, 96, 96)).image == Shape(192, 12, 12)
    assert Blueprint((3, 25, 25)).image == Shape(3, 25, 25)
    assert Blueprint((1, 8, 8)).image == Shape(1, 8, 8)
    assert Blueprint((1, 9, 6), fold=3).image == Shape(9, 3, 2)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"filters": (12, 64)}, "filters"),
        ({"filters": (64, 32)}, "filters"),
        ({"kernels": (2,)}, "kernels"),
        ({"kernels": ()}, "kernels"),
        ({"dropouts": (0.0, 1.0)}, "dropouts"),
        ({"momenta": (0.9, 0.5)}, "momenta"),
        ({"lrs": (0.0, 0.1)}, "lrs"),
        ({"nodes": 0}, "nodes=0"),
        ({"fold": 3}, "fold=3"),
        ({"disabled": 2.0}, "disabled=2.0"),
        ({"alter": -1.0}, "rates"),
        ({"multiply_adds": 0}, "multiply_adds=0"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong, named):
    with pytest.raises(SettingError, match=named):
        Blueprint((1, 8, 8), **wrong)
