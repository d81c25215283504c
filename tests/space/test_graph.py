"""Free graphs, the DNA of Large-Scale Evolution: limits, and each of the eleven mutations."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import SettingError
from evolvent.space.graph import (
    CHANNELS,
    DNA,
    HEIGHT,
    INPUT,
    LARGEST_LR,
    LARGEST_STRIDE,
    SMALLEST_LR,
    STRIDE,
    WIDTH,
    Graph,
    Shape,
    walk,
)
from evolvent.types import freeze

SPACES = {
    "paper": Graph((3, 32, 32)),
    "odd": Graph((2, 7, 6), least_channels=4, channels=9, filter=5, depth=6),
    "tiny images": Graph((1, 1, 2), depth=5, lr=9.99),
    "tight": Graph((1, 8, 8), multiply_adds=2000, channels=40, grown=60),
    "narrow": Graph((1, 9, 9), filter=3, channels=1, depth=1),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
seeds = st.integers(0, 2**32)

MUTATIONS = {
    "alter-learning-rate",
    "identity",
    "reset-weights",
    "insert-convolution",
    "remove-convolution",
    "alter-stride",
    "alter-number-of-channels",
    "filter-size",
    "insert-one-to-one",
    "add-skip",
    "remove-skip",
}
ROOMY = Graph((2, 16, 16))
#: every mutation applies, whatever is drawn: strides and kernels are in the middle of their ranges
MIDDLE = DNA(
    0.1,
    "head",
    (
        ("aaaa", "conv", 10, 3, 5, 2, True),
        ("bbbb", "identity", True),
        ("cccc", "conv", 7, 5, 3, 2, False),
    ),
    ((INPUT, "bbbb"), ("aaaa", "cccc")),
)
MIDDLE_NAMES = ("head", "aaaa", "bbbb", "cccc", INPUT)


def random_walk(space, seed, steps=200):
    """The architectures of a random walk with the operators that led to them."""
    rng = random.Random(seed)
    arch, operator = space.sample(rng), "sample"
    for _ in range(steps):
        yield arch, operator
        arch, operator = space.mutate(arch, rng)


def made(operator, dna=MIDDLE, count=300, space=ROOMY):
    """What an operator makes of a DNA, where it applies."""
    rng = random.Random(0)
    tries = (space.mutations[operator](dna, rng) for _ in range(count))
    return [each for each in tries if each is not None]


def one_convolution(**values):
    """A DNA of one convolution: channels, height, width, stride."""
    layer = ["aaaa", "conv", 10, 3, 3, 2, True]
    for at, name in enumerate(("channels", "height", "width", "stride"), start=CHANNELS):
        layer[at] = values.get(name, layer[at])
    return DNA(0.1, "head", (tuple(layer),), ())


def inserted(old, new):
    """The one layer that `new` has and `old` has not, its place, and that nothing else differs."""
    ((place, layer),) = [
        (at, each) for at, each in enumerate(new.layers) if each[0] not in old.names()
    ]
    assert (*new.layers[:place], *new.layers[place + 1 :]) == old.layers
    assert new._replace(layers=()) == old._replace(layers=())
    return place, layer


def altered(old, new):
    """(place, index) of the one value of a layer that differs, and that nothing else does."""
    assert new._replace(layers=()) == old._replace(layers=())
    (found,) = [
        (place, at)
        for place, pair in enumerate(zip(old.layers, new.layers, strict=True))
        for at, (before, after) in enumerate(zip(*pair, strict=True))
        if before != after
    ]
    return found


# ---- what is valid -------------------------------------------------------------------------------


@every_space
@settings(max_examples=15)
@given(seed=seeds)
def test_two_hundred_mutations_stay_within_every_limit(space, seed):
    for arch, _ in random_walk(space, seed):
        dna = DNA(*arch)
        assert space.problem(dna) == ""
        assert len(dna.layers) <= space.depth
        assert SMALLEST_LR <= dna.lr <= LARGEST_LR
        assert freeze(json.loads(json.dumps(arch))) == arch
        assert len(dna.names()) == len(dna.layers) + 2
        for place in dna.convolutions():
            _, _, channels, height, width, stride, active = dna.layers[place]
            assert 1 <= channels <= space.channels
            assert {height, width} <= set(range(1, space.filter + 1, 2))
            assert stride in (1, 2, LARGEST_STRIDE)
            assert isinstance(active, bool)
        order = {INPUT: -1} | {layer[0]: at for at, layer in enumerate(dna.layers)}
        assert all(order[source] < order[target] for source, target in dna.skips)
        assert len(set(dna.skips)) == len(dna.skips)


@every_space
@settings(max_examples=15)
@given(seed=seeds)
def test_multiply_adds_are_counted_and_limited(space, seed):
    channels, height, width = space.input_shape
    for arch, _ in random_walk(space, seed, 50):
        total, shape = 0, Shape(channels, height, width)
        for layer, read, made in walk(arch[2], space.input_shape):
            assert read == shape
            if layer[1] == "conv":
                _, _, filters, rows, columns, stride, _ = layer
                shape = Shape(filters, -(-shape.height // stride), -(-shape.width // stride))
                area = shape.height * shape.width
                total += read.channels * rows * columns * filters * area
            assert made == shape
        assert total <= space.multiply_adds


def test_samples_reach_from_the_minimal_architecture_to_deep_ones():
    rng = random.Random(0)
    depths = [len(ROOMY.sample(rng)[2]) for _ in range(200)]
    assert min(depths) == 0
    assert max(depths) > 5
    assert not Graph((1, 8, 8), grown=0).sample(rng)[2]


def test_the_start_is_a_linear_classifier():
    lr, _, layers, skips = Graph((1, 8, 8), lr=0.03).start(random.Random(0))
    assert (lr, layers, skips) == (0.03, (), ())
    heads = {ROOMY.start(random.Random(seed))[1] for seed in range(20)}
    assert len(heads) == 20  # no relatives: nothing is to be inherited between them


@pytest.mark.parametrize(
    "values",
    [
        {"depth": 0},
        {"least_channels": 0},
        {"channels": 2},
        {"channels": 15, "least_channels": 16},
        {"filter": 1},
        {"filter": 4},
        {"grown": -1},
        {"lr": 0.0},
        {"lr": LARGEST_LR},
        {"multiply_adds": 3 * 9 * 3 * 16 - 1},
        {"multiply_adds": 3 * 9 * 16 * 16 - 1, "least_channels": 16},
    ],
)
def test_settings_outside_their_rule_are_refused(values):
    with pytest.raises(SettingError):
        Graph((3, 8, 8), **values)


def test_room_for_one_convolution_is_room_enough():
    space = Graph((3, 8, 8), multiply_adds=3 * 9 * 3 * 16)
    assert any(arch[2] for arch, _ in random_walk(space, 0, 50))


def test_graphs_of_a_task_have_its_shape(toy):
    space = Graph.of(toy.facts, least_channels=8)
    assert (space.input_shape, space.least) == (toy.input_shape, 8)


def test_a_graph_says_its_learning_rate():
    assert ROOMY.training(tuple(MIDDLE)) == {"lr": 0.1}


# ---- equal networks ------------------------------------------------------------------------------


@every_space
@settings(max_examples=15)
@given(seed=seeds)
def test_the_key_forgets_names_and_nothing_else(space, seed):
    rng = random.Random(seed)
    for arch, _ in random_walk(space, seed, 100):
        new, operator = space.mutate(arch, rng)
        same = operator in ("identity", "reset-weights")
        assert (space.canonical(new) == space.canonical(arch)) == same, operator
        assert (new == arch) == (operator == "identity")


def test_the_order_in_which_skips_were_added_does_not_count():
    turned = MIDDLE._replace(skips=MIDDLE.skips[::-1])
    assert ROOMY.canonical(tuple(turned)) == ROOMY.canonical(tuple(MIDDLE))


# ---- which mutation ------------------------------------------------------------------------------


def test_there_are_the_eleven_of_the_paper():
    assert ROOMY.mutations.keys() == MUTATIONS


def test_where_all_apply_they_are_equally_likely():
    rng, count = random.Random(0), 5500
    drawn = Counter(ROOMY.mutate(tuple(MIDDLE), rng).operator for _ in range(count))
    assert drawn.keys() == MUTATIONS
    assert sum((n - 500) ** 2 / 500 for n in drawn.values()) < 29.6  # chi square, 10 df, 0.1 %


def test_where_some_do_not_apply_the_others_are_equally_likely():
    rng, count = random.Random(0), 3000
    drawn = Counter(ROOMY.mutate(ROOMY.start(rng), rng).operator for _ in range(count))
    assert drawn.keys() == {
        "alter-learning-rate",
        "identity",
        "reset-weights",
        "insert-convolution",
        "insert-one-to-one",
    }
    assert sum((n - 600) ** 2 / 600 for n in drawn.values()) < 18.5  # 4 df, 0.1 %


def test_a_mutation_beyond_a_limit_does_not_apply():
    full = Graph((2, 16, 16), depth=3)
    rng = random.Random(0)
    drawn = {full.mutate(tuple(MIDDLE), rng).operator for _ in range(500)}
    assert drawn == MUTATIONS - {"insert-convolution", "insert-one-to-one"}
    cost = sum(
        a.channels * layer[HEIGHT] * layer[WIDTH] * b.channels * b.height * b.width
        for layer, a, b in walk(MIDDLE.layers, (2, 16, 16))
        if layer[1] == "conv"
    )
    tight = Graph((2, 16, 16), multiply_adds=cost)
    for space, stays in ((ROOMY, False), (tight, True)):
        found = [space.mutate(tuple(MIDDLE), rng).arch for _ in range(300)]
        assert all(tight.problem(DNA(*arch)) == "" for arch in found) == stays


# ---- each mutation -------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [SMALLEST_LR, 3e-6, 0.1, 7.0, LARGEST_LR])
def test_alter_learning_rate(lr):
    old = MIDDLE._replace(lr=lr)
    found = made("alter-learning-rate", old, 1000)
    assert all(new._replace(lr=lr) == old for new in found)
    rates = [new.lr for new in found]
    low, high = max(lr / 2, SMALLEST_LR), min(lr * 2, LARGEST_LR)
    assert low * 0.9995 <= min(rates) < low * 1.01
    assert high * 0.99 < max(rates) <= high * 1.0005
    assert sum(rates) / len(rates) == pytest.approx((low + high) / 2, rel=0.04)  # uniform
    assert sum(rate == lr for rate in rates) <= 1


def test_identity():
    assert set(made("identity")) == {MIDDLE}


def test_reset_weights_renames_everything_and_changes_nothing():
    for new in made("reset-weights"):
        assert new.names() & MIDDLE.names() == {INPUT}
        assert len(new.names()) == len(MIDDLE.names())
        back = dict(
            zip([new.head, *(layer[0] for layer in new.layers), INPUT], MIDDLE_NAMES, strict=True)
        )
        layers = tuple((back[name], *values) for name, *values in new.layers)
        skips = tuple((back[source], back[target]) for source, target in new.skips)
        assert DNA(new.lr, back[new.head], layers, skips) == MIDDLE


@pytest.mark.parametrize(("least", "channels"), [(1, [2, 10, 10, 7]), (9, [9, 10, 10, 9])])
def test_insert_convolution(least, channels):
    """3 x 3, stride 1 or 2, the channels of its input, anywhere on the backbone."""
    space, seen = Graph((2, 16, 16), least_channels=least), set()
    for new in made("insert-convolution", space=space):
        place, (_, kind, *values) = inserted(MIDDLE, new)
        assert kind == "conv"
        seen.add((place, *values))
    assert seen == {
        (place, width, 3, 3, stride, active)
        for place, width in enumerate(channels)
        for stride in (1, 2)
        for active in (True, False)
    }


def test_remove_convolution_takes_its_skips_along():
    first = MIDDLE._replace(layers=MIDDLE.layers[1:], skips=((INPUT, "bbbb"),))
    last = MIDDLE._replace(layers=MIDDLE.layers[:2], skips=((INPUT, "bbbb"),))
    assert set(made("remove-convolution")) == {first, last}
    between = MIDDLE._replace(skips=((INPUT, "bbbb"), ("bbbb", "cccc"), (INPUT, "cccc")))
    kept = {new.skips for new in made("remove-convolution", between)}
    assert kept == {between.skips, ((INPUT, "bbbb"),)}


def test_remove_convolution_leaves_one_to_one_layers():
    only = MIDDLE._replace(layers=(MIDDLE.layers[1],), skips=())
    assert made("remove-convolution", only) == []


@pytest.mark.parametrize(
    ("stride", "others"), [(1, {2}), (2, {1, LARGEST_STRIDE}), (LARGEST_STRIDE, {2})]
)
def test_alter_stride_by_a_factor_of_two(stride, others):
    old = one_convolution(stride=stride)
    found = made("alter-stride", old)
    assert {altered(old, new) for new in found} == {(0, STRIDE)}
    assert {new.layers[0][STRIDE] for new in found} == others


def test_alter_stride_of_any_convolution():
    assert {altered(MIDDLE, new)[0] for new in made("alter-stride")} == {0, 2}


@pytest.mark.parametrize(
    ("channels", "others"),
    [
        (1, {2}),
        (2, {1, 3, 4}),
        (3, {2, 4, 5, 6}),
        (10, {*range(5, 21)} - {10}),
        (15, {*range(8, 21)} - {15}),
        (20, set(range(10, 20))),
    ],
)
def test_alter_number_of_channels_to_any_between_half_and_twice(channels, others):
    old = one_convolution(channels=channels)
    found = made("alter-number-of-channels", old, space=Graph((2, 16, 16), channels=20))
    assert {altered(old, new) for new in found} == {(0, CHANNELS)}
    assert {new.layers[0][CHANNELS] for new in found} == others


def test_alter_number_of_channels_where_there_is_no_other():
    one = one_convolution(channels=1)
    assert made("alter-number-of-channels", one, space=SPACES["narrow"]) == []


@pytest.mark.parametrize(("size", "others"), [(1, {3}), (3, {1, 5}), (5, {3, 7}), (7, {5})])
def test_filter_size_of_one_axis_to_the_next_odd(size, others):
    old = one_convolution(height=size, width=size)
    found = made("filter-size", old)
    assert {altered(old, new) for new in found} == {(0, HEIGHT), (0, WIDTH)}
    assert {new.layers[0][HEIGHT] for new in found} - {size} == others
    assert {new.layers[0][WIDTH] for new in found} - {size} == others


def test_insert_one_to_one_anywhere():
    seen = set()
    for new in made("insert-one-to-one"):
        place, (_, *values) = inserted(MIDDLE, new)
        seen.add((place, *values))
    assert seen == {(place, "identity", active) for place in range(4) for active in (True, False)}


def test_add_skip_between_any_two_that_have_none_and_only_forward():
    found = made("add-skip")
    assert all(new._replace(skips=MIDDLE.skips) == MIDDLE for new in found)
    assert all(new.skips[:2] == MIDDLE.skips for new in found)
    assert {new.skips[2:] for new in found} == {
        ((INPUT, "aaaa"),),
        ((INPUT, "cccc"),),
        (("aaaa", "bbbb"),),
        (("bbbb", "cccc"),),
    }


def test_add_skip_where_all_are_there():
    one = one_convolution()
    (full,) = set(made("add-skip", one))
    assert full.skips == ((INPUT, "aaaa"),)
    assert made("add-skip", full) == []


def test_remove_skip_takes_one_of_them():
    expected = {MIDDLE._replace(skips=(skip,)) for skip in MIDDLE.skips}
    assert set(made("remove-skip")) == expected
    assert made("remove-skip", MIDDLE._replace(skips=())) == []


@pytest.mark.parametrize(
    "operator", ["remove-convolution", "alter-stride", "alter-number-of-channels", "filter-size"]
)
def test_what_is_about_convolutions_needs_one(operator):
    assert made(operator, DNA(*ROOMY.start(random.Random(0)))) == []
