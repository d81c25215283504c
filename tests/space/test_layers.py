"""Layers with skip connections, in the settings of the papers."""

import itertools
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.space.layers import OPERATIONS, Layers, pairs, unread

DIALECTS = {
    "zoph": Layers(),
    "growing": Layers(depths=(4, 6, 8), filters=(8, 16)),
    "strides": Layers(depths=(5,), strides=(1, 2, 3), pools=0),
    "enas": Layers(depths=(12,), operations="enas", filters=(36,), join="add"),
    "named": Layers(depths=(3, 5), operations=("conv_3x3", "max_pool_3x3")),
}
every_dialect = pytest.mark.parametrize("space", DIALECTS.values(), ids=DIALECTS)


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def layer(*sources, height=3, width=3, filters=24, stride=(1, 1)):
    return (height, width, filters, *stride, sources)


def names(space, choices):
    return [space.decision(choices[:at]).name for at in range(len(choices))]


# ---- what layers are -----------------------------------------------------------------------------


@every_dialect
def test_a_layer_has_a_value_for_every_role_and_reads_earlier_layers(space):
    for arch in samples(space, 200):
        assert len(arch) in space.depths
        for index, (*values, sources) in enumerate(arch):
            for value, options in zip(values, space.options.values(), strict=True):
                assert value in options
            assert list(sources) == sorted(set(sources))
            assert set(sources) <= set(range(index))


def test_the_values_of_the_paper_are_the_default():
    assert Layers().options == {
        "filter-height": (1, 3, 5, 7),
        "filter-width": (1, 3, 5, 7),
        "filters": (24, 36, 48, 64),
        "stride-height": (1,),
        "stride-width": (1,),
    }


def test_sampling_is_uniform_over_a_small_space():
    space = Layers(depths=(2,), heights=(1, 3), widths=(3,), filters=(4, 8), pools=0)
    counts = Counter(samples(space, 3200))
    assert len(counts) == 4 * 4 * 2
    assert max(abs(count - 100) for count in counts.values()) < 5 * 10  # sd: 10


def test_every_depth_is_as_likely():
    space = DIALECTS["growing"]
    counts = Counter(len(arch) for arch in samples(space, 3000))
    assert set(counts) == {4, 6, 8}
    assert max(abs(count - 1000) for count in counts.values()) < 5 * 26  # sd: 26


@pytest.mark.parametrize(
    ("depth", "pools", "stages"),
    [
        (6, 2, [0, 0, 1, 1, 2, 2]),
        (6, 0, [0] * 6),
        (7, 2, [0, 0, 0, 1, 1, 2, 2]),
        (2, 1, [0, 1]),
        (12, 2, [0] * 4 + [1] * 4 + [2] * 4),
    ],
)
def test_max_pool_layers_are_evenly_spaced(depth, pools, stages):
    space = Layers(depths=(depth,), pools=pools)
    assert [space.stage(index, depth) for index in range(depth)] == stages


def test_what_no_layer_reads_is_found():
    assert unread((layer(), layer(0), layer(0), layer())) == (1, 2, 3)
    assert unread((layer(), layer(0), layer(0, 1))) == (2,)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"depths": ()}, "depths=.*at least one value"),
        ({"depths": (6, 4)}, "ascend"),
        ({"depths": (0,)}, "at least 1"),
        ({"heights": (1, 2)}, "heights=.*odd numbers"),
        ({"widths": (3, 3)}, "each once"),
        ({"filters": (0, 8)}, "filters=.*at least 1"),
        ({"strides": ()}, "at least one value"),
        ({"operations": "enass"}, "did you mean 'enas'"),
        ({"operations": ("conv_3x3", "conv_3_3")}, "did you mean 'conv_3x3'"),
        ({"operations": ("conv_3x3", "conv_3x3")}, "each once"),
        ({"join": "ad"}, "did you mean 'add'"),
        ({"join": "add"}, "one number of filters"),
        ({"join": "add", "filters": (8,), "strides": (1, 2)}, "stride 1 only"),
        ({"join": "add", "filters": (8,), "strides": (2,)}, "stride 1 only"),
        ({"pools": -1}, "pools=-1: at least 0"),
        ({"depths": (2, 8)}, "fewer than there are layers"),
        (
            {"depths": (1,), "heights": (3,), "widths": (3,), "filters": (8,), "pools": 0},
            "one architecture",
        ),
    ],
)
def test_a_setting_outside_its_rule_is_refused(setting, words):
    with pytest.raises(SettingError, match=words):
        Layers(**setting)


# ---- moves ---------------------------------------------------------------------------------------


@every_dialect
def test_a_move_changes_one_thing_and_says_which(space):
    rng = random.Random(1)
    for arch in samples(space, 300):
        child, operator = space.mutate(arch, rng)
        assert len(child) in space.depths
        if operator in ("add-layers", "remove-layers"):
            short, long = sorted((arch, child), key=len)
            assert operator == ("add-layers" if long == child else "remove-layers")
            assert long[: len(short)] == short
            assert space.depths.index(len(long)) == space.depths.index(len(short)) + 1
            continue
        ((before, after),) = [(a, b) for a, b in zip(arch, child, strict=True) if a != b]
        ((place, *_), *others) = [
            (at, a, b) for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b
        ]
        assert not others
        assert operator == (*space.roles, "skip")[place]
        if operator == "skip":
            assert len(set(before[-1]) ^ set(after[-1])) == 1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("zoph", {"filter-height", "filter-width", "filters", "skip"}),
        ("enas", {"operation", "skip"}),
        (
            "strides",
            {"filter-height", "filter-width", "filters", "stride-height", "stride-width", "skip"},
        ),
    ],
)
def test_the_kinds_of_moves_are_equally_likely(name, kinds):
    space, rng, count = DIALECTS[name], random.Random(2), 3000
    found = Counter(space.mutate(arch, rng).operator for arch in samples(space, count))
    assert set(found) == kinds
    share = 1 / len(kinds)
    deviation = (count * share * (1 - share)) ** 0.5
    assert all(abs(n - count * share) < 4 * deviation for n in found.values())


def test_depth_changes_by_one_step_of_the_setting():
    space, rng = DIALECTS["growing"], random.Random(3)
    found = set()
    for arch in samples(space, 400):
        move = space.mutate(arch, rng)
        if len(move.arch) != len(arch):
            found.add((len(arch), len(move.arch), move.operator))
    assert found == {
        (4, 6, "add-layers"),
        (6, 8, "add-layers"),
        (6, 4, "remove-layers"),
        (8, 6, "remove-layers"),
    }


def test_every_skip_is_reached():
    space, rng = DIALECTS["zoph"], random.Random(4)
    arch = samples(space, 1)[0]
    toggled = set()
    for _ in range(1500):
        child, operator = space.mutate(arch, rng)
        if operator == "skip":
            toggled |= {
                (index, *(set(a[-1]) ^ set(b[-1])))
                for index, (a, b) in enumerate(zip(arch, child, strict=True))
                if a != b
            }
    assert toggled == {(index, source) for index in range(6) for source in range(index)}


def test_one_layer_moves_without_skips():
    space = Layers(depths=(1,), pools=0)
    operators = {space.mutate(arch, random.Random(5)).operator for arch in samples(space, 50)}
    assert operators <= {"filter-height", "filter-width", "filters"}


@every_dialect
def test_a_child_has_every_layer_from_a_parent(space):
    rng = random.Random(6)
    for mother, father in zip(samples(space, 100, 7), samples(space, 100, 8), strict=True):
        child, operator = space.crossover(mother, father, rng)
        assert operator == "crossover"
        assert len(child) in (len(mother), len(father))
        for index, made in enumerate(child):
            assert made in [arch[index] for arch in (mother, father) if index < len(arch)]


def test_children_take_depth_and_layers_from_both_parents():
    space, rng = DIALECTS["growing"], random.Random(12)
    mother = next(arch for arch in samples(space, 50) if len(arch) == 4)
    father = next(arch for arch in samples(space, 50) if len(arch) == 8)
    children = [space.crossover(mother, father, rng).arch for _ in range(100)]
    assert {len(child) for child in children} == {4, 8}
    for index in range(8):
        layers = {child[index] for child in children if index < len(child)}
        assert layers == {arch[index] for arch in (mother, father) if index < len(arch)}


# ---- decisions -----------------------------------------------------------------------------------


def test_decisions_come_layer_by_layer_with_a_bit_per_earlier_layer():
    space = Layers(depths=(3,))
    arch = (
        layer(height=1, width=7, filters=24),
        layer(0, height=3, width=5, filters=64),
        layer(1, height=7, width=1, filters=36),
    )
    choices = space.encode(arch)
    assert choices == (0, 3, 0, 1, 2, 3, 1, 3, 0, 1, 0, 1)
    values = ["filter-height", "filter-width", "filters"]
    assert names(space, choices) == [*values, *values, "skip", *values, "skip", "skip"]
    bit = space.decision(choices[:6])
    assert bit is not None
    assert (bit.kind, bit.size, bit.legal) == ("bit", 2, (0, 1))


def test_the_depth_is_decided_first_and_conditions_the_rest():
    space = DIALECTS["growing"]
    first = space.decision(())
    assert first is not None
    assert (first.name, first.kind, first.legal) == ("depth", "choice", (0, 1, 2))
    for arch in samples(space, 20):
        choices = space.encode(arch)
        depth = len(arch)
        assert space.depths[choices[0]] == depth
        assert len(choices) == 1 + 3 * depth + depth * (depth - 1) // 2


def test_a_place_stands_for_the_same_decision_at_every_depth():
    space = DIALECTS["growing"]
    sequences = {len(arch): names(space, space.encode(arch)) for arch in samples(space, 20)}
    assert sequences[8][: len(sequences[4])] == sequences[4]
    assert sequences[8][: len(sequences[6])] == sequences[6]


def test_the_macro_space_of_enas_has_the_papers_size():
    space = DIALECTS["enas"]
    choices = space.encode(samples(space, 1)[0])
    sizes = [
        decision.size for at in range(len(choices)) if (decision := space.decision(choices[:at]))
    ]
    assert Counter(sizes) == {6: 12, 2: 66}
    assert 1.5e29 < 6.0**12 * 2.0**66 < 1.7e29
    assert DIALECTS["enas"].options["operation"] == OPERATIONS["enas"]


# ---- mixture -------------------------------------------------------------------------------------

ENAS = Layers(depths=(4,), operations="enas", filters=(36,), join="add")


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ({}, True),
        ({"depths": (12,), "pools": 0}, True),
        ({"operations": ("conv_3x3", "avg_pool_3x3")}, True),
        ({"depths": (3, 4)}, False),  # rows would come and go
        ({"depths": (1,), "pools": 0}, False),  # nothing to skip
        ({"join": "concat"}, False),  # what is read has as many channels as there are skips
        ({"operations": ()}, False),
    ],
)
def test_only_layers_of_one_depth_that_are_added_have_a_mixture(settings, has):
    space = {"depths": (4,), "operations": "enas", "filters": (8,), "join": "add"}
    assert ("mixture" in Layers(**space | settings).gives) == has


def test_rows_are_layers_and_pairs_of_layers():
    operations, skips = ENAS.groups()
    assert (operations.name, skips.name) == ("operation", "skip")
    assert operations.rows == ("0", "1", "2", "3")
    assert operations.columns == OPERATIONS["enas"]
    assert skips.rows == ("0>1", "0>2", "1>2", "0>3", "1>3", "2>3")
    assert skips.columns == ("none", "skip")
    assert [f"{source}>{reader}" for source, reader in pairs(4)] == list(skips.rows)


def named(operation, *sources):
    return (operation, 36, 1, 1, sources)


def test_a_one_hot_mixture_has_a_1_for_every_choice():
    arch = (
        named("conv_3x3"),
        named("max_pool_3x3", 0),
        named("sep_conv_3x3"),
        named("conv_3x3", 0, 2),
    )
    rows = ENAS.one_hot(arch)
    assert np.argmax(rows["operation"], 1).tolist() == [0, 5, 1, 0]
    assert rows["skip"][:, 1].tolist() == [1, 0, 0, 1, 0, 1]
    for group in ENAS.groups():
        assert (rows[group.name].sum(1) == 1).all()
        assert set(np.unique(rows[group.name])) == {0, 1}
    assert ENAS.derive(rows) == arch


def test_the_strongest_operation_is_derived_and_a_skip_that_is_stronger_than_none():
    operation = np.full((4, 6), 0.1)
    operation[[0, 1, 2, 3], [2, 4, 4, 0]] = [0.5, 0.3, 0.9, 0.11]
    skip = np.array([[0.4, 0.6], [0.6, 0.4], [0.5, 0.5], [0.0, 0.1], [0.9, 0.1], [0.3, 0.7]])
    assert ENAS.derive({"operation": operation, "skip": skip}) == (
        named("conv_5x5"),
        named("avg_pool_3x3", 0),
        named("avg_pool_3x3"),
        named("conv_3x3", 0, 2),
    )


def test_every_architecture_is_its_own_one_hot_mixture():
    for arch in samples(ENAS, 200):
        assert ENAS.derive(ENAS.one_hot(arch)) == arch


# ---- equal networks ------------------------------------------------------------------------------


def reordered(space, arch, rng):
    """The layers in a random order in which every layer comes after its sources, stages kept."""
    order = list(range(len(arch)))
    for _ in range(40):
        at = rng.randrange(len(arch) - 1)
        one, two = order[at : at + 2]
        same = space.stage(one, len(arch)) == space.stage(two, len(arch))
        if same and one not in arch[two][-1]:
            order[at : at + 2] = [two, one]
    return relabelled(arch, order)


def relabelled(arch, order):
    return tuple(
        (*arch[index][:-1], tuple(sorted(order.index(source) for source in arch[index][-1])))
        for index in order
    )


@pytest.mark.parametrize("name", ["zoph", "growing", "strides", "named"])
def test_canonical_forgets_the_order_of_layers(name):
    space, rng, moved = DIALECTS[name], random.Random(9), 0
    for arch in samples(space, 150):
        other = reordered(space, arch, rng)
        moved += other != arch
        assert space.canonical(other) == space.canonical(arch)
    assert moved > 30


@every_dialect
def test_canonical_is_an_architecture_of_its_own_class(space):
    for arch in samples(space, 100):
        canonical = space.canonical(arch)
        assert space.canonical(canonical) == canonical
        assert space.decode(space.encode(canonical)) == canonical


def test_layers_on_two_sides_of_a_pool_do_not_change_places():
    space = Layers(depths=(2,), filters=(4, 8), pools=1)
    arch = (layer(filters=4), layer(filters=8))
    assert space.canonical(arch) != space.canonical(relabelled(arch, [1, 0]))
    flat = Layers(depths=(2,), filters=(4, 8), pools=0)
    assert flat.canonical(arch) == flat.canonical(relabelled(arch, [1, 0]))


def test_layers_that_look_the_same_are_singled_out_one_after_another():
    """Two equal pairs, crossed by readers that tell none of the four apart by itself."""
    space = Layers(depths=(6,), pools=0)
    pairs = [layer(), layer(), layer(filters=36), layer(filters=36)]
    straight = (*pairs, layer(0, 2), layer(1, 3))
    crossed = (*pairs, layer(0, 3), layer(1, 2))
    shared = (*pairs, layer(0, 2), layer(1, 2))
    assert space.canonical(straight) == space.canonical(crossed) != space.canonical(shared)


def test_layers_that_are_added_have_one_order_only():
    space, rng = DIALECTS["enas"], random.Random(10)
    for arch in samples(space, 20):
        assert space.canonical(arch) == arch
        assert space.equivalents(space.encode(arch), rng) == space.encode(arch)


def test_canonical_tells_exactly_the_isomorphic_networks_apart():
    """All networks of four layers of two kinds, sorted by brute force: every order."""
    space = Layers(depths=(4,), heights=(1, 3), widths=(3,), filters=(4,), pools=0)
    by_force = defaultdict(set)
    archs = [space.decode(choices) for choices in all_paths(space)]
    assert len(archs) == 2**4 * 2**6
    for arch in archs:
        by_force[brute_force(arch)].add(space.canonical(arch))
    assert all(len(forms) == 1 for forms in by_force.values())
    assert len(set.union(*by_force.values())) == len(by_force) < len(archs) / 2


def all_paths(space):
    paths: list[tuple[int, ...]] = [()]
    while (decision := space.decision(paths[0])) is not None:
        paths = [(*path, value) for path in paths for value in decision.legal]
    return paths


def brute_force(arch):
    return min(
        relabelled(arch, order)
        for order in itertools.permutations(range(len(arch)))
        if all(order.index(s) < order.index(i) for i in order for s in arch[i][-1])
    )


@pytest.mark.parametrize("name", ["zoph", "growing", "strides", "named"])
def test_other_orders_of_the_same_layers_are_found(name):
    space, rng, found = DIALECTS[name], random.Random(11), 0
    for arch in samples(space, 40):
        forms = {space.equivalents(space.encode(arch), rng) for _ in range(20)}
        found += len(forms) > 1
        assert {space.canonical(space.decode(form)) for form in forms} == {space.canonical(arch)}
    assert found > 5
