"""Chains of layers, the chromosomes of EDEN: what is valid, every move, crossover."""

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space.chain import ACTIVATIONS, Chain, Cost, Signal, after, signal
from evolvent.types import freeze

SPACES = {
    "paper": Chain(),
    "images": Chain((2, 9, 7), outputs=3, depth=5, filters=(2, 9), units=(3, 12)),
    "small images": Chain((1, 2, 3), outputs=2, kernels=(2, 5), pools=(2, 3)),
    "tight": Chain((1, 8, 8), weights=1500, multiply_adds=9000),
    "sequences": Chain((2, 11), outputs=3, depth=6, filters=(2, 9), kernels=(3, 4)),
    "tokens": Chain((9,), 20, 3, embeddings=(4, 30), activations=("relu", "prelu")),
    "many tokens": Chain((9,), 90, 3, embeddings=(4, 30), weights=1500),
    "numbers": Chain((6,), outputs=3, lrs=(0.01, 0.02), activations=ACTIVATIONS),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
seeds = st.integers(0, 2**32)

#: kind of a layer -> the range of each of its values, or None for an activation
VALUES = {
    "conv2d": ("filters", "kernels", None),
    "conv1d": ("filters", "kernels", None),
    "max_pool": ("pools",),
    "dense": ("units", None),
    "dropout": ("dropouts",),
    "embedding": ("embeddings",),
    "residual": ("units",),
    "norm": (),
    "global_pool": (("mean", "max"),),
}
CONV, POOL, DENSE = ("aaaa", "conv2d", 4, 3, "relu"), ("bbbb", "max_pool", 2), ("cccc", "dense", 5)
ARCH: Any = (0.01, (CONV, POOL, (*DENSE, "sigmoid"), ("dddd", "dropout", 0.2)))
ROOMY = Chain((1, 12, 12), outputs=3)


def walk(space, seed, steps=200):
    """The architectures of a random walk; every third move is a crossover with a relative."""
    rng = random.Random(seed)
    arch = relative = space.sample(rng)
    for step in range(steps):
        yield arch
        if step % 3 == 2:
            arch, relative = space.crossover(arch, relative, rng).arch, arch
        else:
            arch = space.mutate(arch, rng).arch


def moves(arch=ARCH, count=2000, space=ROOMY):
    """Operator -> the architectures that it made of `arch`."""
    rng = random.Random(0)
    found: dict[str, list[Any]] = {}
    for _ in range(count):
        made, operator = space.mutate(arch, rng)
        found.setdefault(operator, []).append(made)
    return found


def names(arch):
    return [layer[0] for layer in arch[1]]


def assert_within(space, arch):
    """Everything that the settings promise of an architecture."""
    lr, layers = arch
    assert len(layers) <= space.depth
    assert all(has <= most for has, most in zip(space.cost(layers), space.limit, strict=True))
    assert len(set(names(arch))) == len(layers)
    assert space.ranges["lrs"][0] <= lr <= space.ranges["lrs"][1]
    for _, kind, *values in layers:
        for value, name in zip(values, VALUES[kind], strict=True):
            if name is None:
                assert value in space.activations
            elif isinstance(name, tuple):
                assert value in name
            else:
                assert space.ranges[name][0] <= value <= space.ranges[name][1]
                assert isinstance(value, float if name == "dropouts" else int)


# ---- what is valid -------------------------------------------------------------------------------


@every_space
@settings(max_examples=20)
@given(seed=seeds)
def test_two_hundred_moves_stay_within_every_limit(space, seed):
    for arch in walk(space, seed):
        assert_within(space, arch)
        assert space.problem(arch[1]) == ""
        assert freeze(json.loads(json.dumps(arch))) == arch


@every_space
def test_samples_are_within_every_limit(space):
    rng = random.Random(0)
    for _ in range(300):
        assert_within(space, space.sample(rng))


def test_samples_have_every_kind_of_layer_at_every_depth():
    rng = random.Random(0)
    archs = [ROOMY.sample(rng) for _ in range(500)]
    assert {len(layers) for _, layers in archs} >= set(range(1, ROOMY.depth + 1))
    kinds = Counter(layer[1] for _, layers in archs for layer in layers)
    assert kinds.keys() == {"conv2d", "max_pool", "dense", "dropout"}
    used = {layer[-1] for _, layers in archs for layer in layers if layer[1] in ("conv2d", "dense")}
    assert used == set(ROOMY.activations)


def test_learning_rates_are_spread_evenly_over_their_decades():
    rng = random.Random(0)
    rates = [ROOMY.sample(rng)[0] for _ in range(2000)]
    assert sum(rate < 1e-3 for rate in rates) / 2000 == pytest.approx(0.5, abs=0.04)


def test_images_and_sequences_do_not_mix():
    rng = random.Random(0)
    for name, other in (("images", "conv1d"), ("sequences", "conv2d"), ("tokens", "conv2d")):
        kinds = {layer[1] for _ in range(200) for layer in SPACES[name].sample(rng)[1]}
        assert other not in kinds


def test_an_embedding_is_the_first_layer_of_tokens_and_only_there():
    for name, space in SPACES.items():
        for arch in walk(space, 1):
            places = [at for at, layer in enumerate(arch[1]) if layer[1] == "embedding"]
            assert places == ([0] if "tokens" in name else [])


@pytest.mark.parametrize(
    ("layer", "given", "made"),
    [
        (CONV, Signal("image", (2, 7, 5)), Signal("image", (4, 5, 3))),
        (POOL, Signal("image", (2, 7, 5)), Signal("image", (2, 3, 2))),
        ((*DENSE, "relu"), Signal("image", (2, 7, 5)), Signal("flat", (5,))),
        (("a", "conv1d", 4, 3, "relu"), Signal("sequence", (2, 7)), Signal("sequence", (4, 5))),
        (POOL, Signal("sequence", (2, 7)), Signal("sequence", (2, 3))),
        (("a", "embedding", 8), Signal("tokens", (7,)), Signal("sequence", (8, 7))),
        (("a", "dropout", 0.1), Signal("flat", (7,)), Signal("flat", (7,))),
    ],
)
def test_what_flows_out_of_a_layer(layer, given, made):
    assert after(layer, given) == made


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (CONV, Signal("image", (2, 2, 9))),
        (CONV, Signal("sequence", (2, 9))),
        (CONV, Signal("flat", (9,))),
        (POOL, Signal("image", (2, 1, 9))),
        (POOL, Signal("flat", (9,))),
        (("a", "conv1d", 4, 3, "relu"), Signal("tokens", (9,))),
        (("a", "embedding", 4), Signal("sequence", (2, 9))),
    ],
)
def test_what_a_layer_cannot_take_is_refused(layer, given):
    with pytest.raises(InvalidArchitecture):
        after(layer, given)


def test_tokens_without_an_embedding_are_refused():
    with pytest.raises(InvalidArchitecture, match="embedding"):
        SPACES["tokens"].signals(())


def test_the_form_of_an_input_is_told_by_its_shape_and_vocabulary():
    forms = [signal((1, 2, 3)), signal((2, 3)), signal((3,)), signal((3,), 9)]
    assert [each.form for each in forms] == ["image", "sequence", "flat", "tokens"]


def test_cost_counted_by_hand():
    """Conv 1 -> 4, 3 x 3, on 12 x 12; pool 2; dense of 100 -> 5; 5 -> 3."""
    cost = ROOMY.cost(ARCH[1])
    assert cost.weights == (9 + 1) * 4 + (100 + 1) * 5 + (5 + 1) * 3
    assert cost.multiply_adds == 9 * 4 * 100 + 100 * 5 + 5 * 3


def test_the_slopes_of_a_prelu_are_weights():
    layers = tuple((*layer[:-1], "prelu") if layer[-1] == "relu" else layer for layer in ARCH[1])
    plain, sloped = ROOMY.cost(ARCH[1]), ROOMY.cost(layers)
    assert sloped == Cost(plain.weights + 4, plain.multiply_adds)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depth": 1}, "2 layers, at most 1"),
        ({"weights": 80}, "83 weights, at most 80"),
        ({"multiply_adds": 69}, "70 multiply_adds, at most 69"),
    ],
)
def test_a_problem_says_what_is_too_much(values, said):
    layers = ((*DENSE, "relu"), ("dddd", "dense", 5, "relu"))  # 6 -> 5 -> 5 -> 3
    assert Chain((6,), outputs=3).problem(layers) == ""
    assert Chain((6,), outputs=3, **values).problem(layers) == said


@pytest.mark.parametrize(
    "values",
    [
        {"depth": 0},
        {"filters": (5, 4)},
        {"kernels": (0, 3)},
        {"lrs": (0.0, 0.1)},
        {"dropouts": (0.1, 1.0)},
        {"activations": ()},
        {"activations": ("tanh",)},
        {"weights": 7849},
        {"multiply_adds": 7839},
    ],
)
def test_settings_outside_their_rule_are_refused(values):
    with pytest.raises(SettingError):
        Chain(**values)


def test_the_smallest_network_is_a_linear_classifier():
    assert Chain(weights=7850, multiply_adds=7840).cost(()) == Cost(784 * 10 + 10, 784 * 10)


def test_tokens_that_fit_only_the_smallest_embedding_are_not_refused():
    space = Chain((9,), 1000, 2, embeddings=(10, 300), weights=10_292)
    assert space.sample(random.Random(0))[1][0][2] == 10
    with pytest.raises(SettingError, match="smallest"):
        Chain((9,), 1000, 2, embeddings=(10, 300), weights=10_291)


# ---- equal networks ------------------------------------------------------------------------------


def test_names_do_not_count_for_the_key_and_everything_else_does():
    other = (ARCH[0], tuple((layer[0][::-1] + "z", *layer[1:]) for layer in ARCH[1]))
    assert ROOMY.canonical(other) == ROOMY.canonical(ARCH)
    different = [(0.02, ARCH[1]), (ARCH[0], ARCH[1][1:]), (ARCH[0], ARCH[1][::-1])]
    for at, layer in enumerate(ARCH[1]):
        for place, value in enumerate(layer[2:], start=2):
            new = "linear" if isinstance(value, str) else value * 1.5
            changed = (*layer[:place], new, *layer[place + 1 :])
            different.append((ARCH[0], (*ARCH[1][:at], changed, *ARCH[1][at + 1 :])))
    keys = {ROOMY.canonical(arch) for arch in (ARCH, *different)}
    assert len(keys) == 1 + len(different)


@every_space
@settings(max_examples=15)
@given(seed=seeds)
def test_a_mutation_always_makes_another_network(space, seed):
    rng = random.Random(seed)
    for arch in walk(space, seed, 100):
        assert space.canonical(space.mutate(arch, rng).arch) != space.canonical(arch)


# ---- the moves -----------------------------------------------------------------------------------


def test_every_move_is_made_and_named():
    found = moves()
    assert found.keys() == {
        "add-layer",
        "remove-layer",
        "replace-layer",
        "alter-layer",
        "learning-rate",
    }
    assert min(map(len, found.values())) > 100


def test_moves_that_always_apply_are_equally_likely():
    """One dense layer in the middle of its range: it can always go, and its rate always change."""
    found = moves((0.001, (("cccc", "dense", 50, "relu"),)), 4000, Chain((6,)))
    removed, rates = len(found["remove-layer"]), len(found["learning-rate"])
    assert removed > 800
    assert removed / rates == pytest.approx(1, abs=0.15)


def test_a_fixed_learning_rate_is_left_alone():
    found = moves(space=Chain((1, 12, 12), outputs=3, lrs=(0.01, 0.01)))
    assert "learning-rate" not in found
    assert {lr for made in found.values() for lr, _ in made} == {0.01}


@every_space
def test_a_dropout_stands_neither_first_nor_behind_another(space):
    for arch in walk(space, 2):
        kinds = ["dropout", *(layer[1] for layer in arch[1])]
        assert ("dropout", "dropout") not in itertools.pairwise(kinds)


def test_adding_puts_one_new_gene_anywhere():
    places = set()
    for _, layers in moves()["add-layer"]:
        (new,) = set(names((0, layers))) - set(names(ARCH))
        place = names((0, layers)).index(new)
        assert (*layers[:place], *layers[place + 1 :]) == ARCH[1]
        places.add(place)
    assert places == set(range(len(ARCH[1]) + 1))


def test_removing_takes_one_layer_away():
    expected = {ARCH[1][:at] + ARCH[1][at + 1 :] for at in range(len(ARCH[1]))}
    assert {layers for _, layers in moves()["remove-layer"]} == expected


def test_replacing_makes_a_new_gene_in_the_same_place():
    places = set()
    for _, layers in moves()["replace-layer"]:
        (place,) = [at for at, layer in enumerate(layers) if layer[0] not in names(ARCH)]
        assert len(layers) == len(ARCH[1])
        assert (*layers[:place], *layers[place + 1 :]) == ARCH[1][:place] + ARCH[1][place + 1 :]
        places.add(place)
    assert places == set(range(len(ARCH[1])))


def test_altering_keeps_the_genes_name_and_changes_one_value():
    changed = set()
    for _, layers in moves()["alter-layer"]:
        assert names((0, layers)) == names(ARCH)
        differing = [
            (at, place)
            for at, (old, new) in enumerate(zip(ARCH[1], layers, strict=True))
            for place, pair in enumerate(zip(old, new, strict=True))
            if pair[0] != pair[1]
        ]
        assert len(differing) == 1
        changed.add(differing[0])
    assert changed == {(0, 2), (0, 3), (0, 4), (1, 2), (2, 2), (2, 3), (3, 2)}


@pytest.mark.parametrize("lr", [1e-4, 1.5e-4, 1e-3, 9e-3, 1e-2])
def test_a_learning_rate_moves_to_between_half_and_twice_within_its_range(lr):
    made = moves((lr, ARCH[1]))["learning-rate"]
    assert all(layers == ARCH[1] for _, layers in made)
    rates = [rate for rate, _ in made]
    low, high = max(lr / 2, 1e-4), min(lr * 2, 1e-2)
    assert low * 0.999 <= min(rates) < lr or lr == 1e-4
    assert lr < max(rates) <= high * 1.001 or lr == 1e-2
    assert max(rates) / min(rates) > 0.9 * high / low


@pytest.mark.parametrize("operator", ["add-layer", "remove-layer", "replace-layer", "alter-layer"])
def test_layers_moves_leave_the_learning_rate(operator):
    assert {lr for lr, _ in moves()[operator]} == {ARCH[0]}


def test_a_full_chain_grows_no_further_and_an_empty_one_does_not_shrink():
    full = moves(space=Chain((1, 12, 12), outputs=3, depth=4))
    assert full.keys() == {"remove-layer", "replace-layer", "alter-layer", "learning-rate"}
    assert moves((0.01, ())).keys() == {"add-layer", "learning-rate"}


# ---- crossover -----------------------------------------------------------------------------------


def test_crossover_joins_the_head_of_one_to_the_tail_of_the_other():
    first = (0.01, (CONV, ("eeee", "conv2d", 6, 2, "relu"), POOL))
    second = (0.002, (("ffff", "max_pool", 3), ("gggg", "conv2d", 3, 1, "relu"), (*DENSE, "relu")))
    rng, seen = random.Random(0), set()
    rates: Counter[float] = Counter()
    for _ in range(500):
        (lr, layers), operator = ROOMY.crossover(first, second, rng)
        assert operator == "crossover"
        heads = [at for at in range(4) if layers[:at] == first[1][:at]]
        tails = [at for at in range(4) if layers[len(layers) - at :] == second[1][3 - at :]]
        pairs = [(head, tail) for head in heads for tail in tails if head + tail == len(layers)]
        assert len(pairs) == 1
        seen.add(pairs[0])
        rates[lr] += 1
    assert seen == {(head, tail) for head in range(4) for tail in range(4)}
    assert rates.keys() == {0.01, 0.002}
    assert min(rates.values()) > 200


def test_of_two_equal_names_in_a_child_the_second_is_another_gene():
    rng, renamed = random.Random(0), 0
    for _ in range(300):
        child = ROOMY.crossover(ARCH, ARCH, rng).arch
        assert len(set(names(child))) == len(names(child))
        renamed += bool(set(names(child)) - set(names(ARCH)))
        for layer in child[1]:
            assert layer[1:] in [old[1:] for old in ARCH[1]]
    assert renamed > 30


@every_space
def test_crossover_of_what_does_not_fit_together_stays_valid(space):
    rng = random.Random(3)
    for _ in range(200):
        assert_within(space, space.crossover(space.sample(rng), space.sample(rng), rng).arch)


def test_where_nothing_fits_a_child_is_a_mutation_of_the_first():
    space, large = SPACES["many tokens"], (0.01, (("aaaa", "embedding", 90),))
    for seed in range(20):
        (lr, layers), operator = space.crossover(large, large, random.Random(seed))
        assert operator in ("learning-rate", "replace-layer", "alter-layer")
        assert (lr, layers) != large


# ---- of a task -----------------------------------------------------------------------------------


def test_chains_of_a_task_have_its_shapes(toy):
    space = Chain.of(toy.facts, depth=3)
    assert (space.input_shape, space.outputs, space.vocabulary) == (toy.input_shape, 3, 0)
    assert space.depth == 3


def test_a_chain_says_its_learning_rate():
    assert ROOMY.training(ARCH) == {"lr": 0.01}


# ---- beyond EDEN ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "extras"),
    [
        (Chain((6,)), {"norm", "residual"}),
        (Chain((9,), 20, embeddings=(4, 30)), {"global_pool"}),
        (Chain((1, 8, 8)), set()),
        (Chain((2, 11)), set()),
        (Chain((6,), extras=()), set()),
        (Chain((1, 8, 8), extras=("residual",)), {"residual"}),
    ],
)
def test_extras_stand_where_the_input_is_tokens_or_numbers_or_where_they_are_asked_for(
    space, extras
):
    rng = random.Random(0)
    found = {layer[1] for _ in range(200) for layer in space.sample(rng)[1]}
    assert found & {"norm", "residual", "global_pool"} == extras


def test_a_layer_that_is_left_out_is_refused():
    layers = (("aaaa", "residual", 8),)
    assert Chain((6,)).problem(layers) == ""
    assert "residual" in Chain((6,), extras=("norm",)).problem(layers)
    with pytest.raises(SettingError, match="attention"):
        Chain((6,), extras=("attention",))


def test_a_residual_block_keeps_its_input_s_size_and_a_global_pool_leaves_channels():
    assert after(("a", "residual", 50), Signal("flat", (7,))) == Signal("flat", (7,))
    assert after(("a", "global_pool", "max"), Signal("sequence", (5, 9))) == Signal("flat", (5,))
    for kind in ("residual", "norm"):
        with pytest.raises(InvalidArchitecture):
            after(("a", kind, 5), Signal("sequence", (5, 9)))


def test_a_chain_for_tokens_keeps_a_convolution_unless_a_setting_says_otherwise():
    rng = random.Random(0)
    space, free = (Chain((9,), 20, embeddings=(4, 30), convolutions=n) for n in (1, 0))
    for arch in walk(space, 3):
        assert "conv1d" in [layer[1] for layer in arch[1]]
    assert any("conv1d" not in {layer[1] for layer in free.sample(rng)[1]} for _ in range(50))
    assert "needs a convolution" in space.problem((("aaaa", "embedding", 5),))
    assert Chain((9,), 20).convolutions == 1
    with pytest.raises(SettingError, match="convolutions=1"):
        Chain((6,), convolutions=1)


HEADED = Chain((1, 12, 12), heads=("linear", "sigmoid", "prelu"))


def test_the_activation_of_the_output_is_a_gene_where_there_are_several():
    rng = random.Random(0)
    archs = [HEADED.sample(rng) for _ in range(60)]
    assert {HEADED.head(arch) for arch in archs} == {"linear", "sigmoid", "prelu"}
    assert len(Chain((1, 12, 12)).sample(rng)) == 2  # the linear one alone is none
    arch, changed = archs[0], set()
    for _ in range(300):
        move = HEADED.mutate(arch, rng)
        assert (move.operator == "output") == (HEADED.head(move.arch) != HEADED.head(arch))
        changed.add(move.operator)
        arch = move.arch
    assert "output" in changed
    first, second = (next(a for a in archs if a[2] == name) for name in ("linear", "prelu"))
    children = [HEADED.crossover(first, second, rng).arch[2] for _ in range(40)]
    assert {*children} == {"linear", "prelu"}


def test_an_output_of_another_space_is_refused():
    layers = (("a", "dense", 20, "relu"),)
    assert HEADED.checked((1e-3, layers, "sigmoid"))[2] == "sigmoid"
    for arch in ((1e-3, layers), (1e-3, layers, "relu")):
        with pytest.raises(InvalidArchitecture, match="linear, sigmoid, prelu"):
            HEADED.checked(arch)
    with pytest.raises(InvalidArchitecture, match="output"):
        Chain((1, 12, 12)).checked((1e-3, layers, "linear"))
    with pytest.raises(SettingError, match="heads"):
        Chain((1, 12, 12), heads=("tanh",))
