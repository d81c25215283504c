"""Inheriting weights: what is copied after each mutation, what is fresh, what it counts."""

import dataclasses
import json
import random
import statistics
from typing import Any

import numpy as np
import pytest
import torch

from evolvent.estimator.full import Full
from evolvent.estimator.inherit import Inherit, inherit
from evolvent.network.build import Size, build
from evolvent.network.fit import TRAINED, state_of
from evolvent.network.train import Hyperparameters, train
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.chain import Chain
from evolvent.space.graph import CHANNELS, DNA, Graph
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.tournament import Tournament
from evolvent.types import Budget, Candidate, Result, State

SIZE = Size(cells=1, width=4, stages=2)
HYPER = Hyperparameters(lr=0.05, batch=24, schedule="constant", warmup=0.0, augment=False)
SPACE = Graph((1, 8, 8))
PARENT = DNA(
    0.05,
    "head",
    (
        ("aaaa", "conv", 6, 3, 3, 2, True),
        ("bbbb", "conv", 5, 3, 3, 1, False),
        ("cccc", "identity", True),
        ("dddd", "conv", 7, 3, 3, 1, True),
    ),
    (("aaaa", "dddd"),),
)
A, B, C, D = "conv_aaaa", "conv_bbbb", "norm_cccc", "conv_dddd"


def make(task, space=SPACE, **values) -> Inherit:
    return Inherit(space, task, **{"size": SIZE, "hyper": HYPER, "seed": 5, **values})


def candidate(number=0, arch: Any = PARENT, epochs=1.0, parents=()):
    arch = tuple(arch)
    return Candidate(number, arch, weights_from=parents, budget=Budget(epochs=epochs))


def trained(task, space: Any, arch, seed=0, epochs=2):
    """The network of an architecture, briefly trained: nothing in it is as it was drawn."""
    net = build(space, tuple(arch), task, SIZE, seed=seed)
    data = Full(space, task, size=SIZE).train
    train(net, data, epochs=epochs, hyper=HYPER, seed=seed)
    return net.eval()


def heir(task, space: Any, arch, parent, seed=1, **values):
    """A fresh network after it has inherited from `parent`: it, what was copied, what was fresh."""
    net = build(space, tuple(arch), task, SIZE, seed=seed).eval()
    return net, *inherit(net, [state_of(parent)], **values)


def fresh_modules(fresh):
    return {name.rpartition(".")[0] for name in fresh}


def parameters(net):
    return {name for name, _ in net.named_parameters()}


@pytest.fixture(scope="module")
def parent(toy):
    return trained(toy, SPACE, PARENT)


def mutated(operator, seeds=40, dna=PARENT, space=SPACE):
    """What an operator makes of the parent, over some seeds."""
    for seed in range(seeds):
        made = space.mutations[operator](dna, random.Random(seed))
        if made is not None:
            yield made


# ---- after each mutation -------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["identity", "alter-learning-rate"])
def test_what_changes_nothing_gives_the_parents_output(toy, parent, operator):
    x = torch.randn(5, 1, 8, 8)
    for made in mutated(operator, 3):
        net, copied, fresh = heir(toy, SPACE, made, parent)
        assert fresh == []
        assert set(copied) == parameters(parent)
        assert torch.equal(net(x), parent(x))


def test_an_inserted_passive_identity_gives_the_parents_output(toy, parent):
    x, seen = torch.randn(5, 1, 8, 8), 0
    for made in mutated("insert-one-to-one"):
        (new,) = [layer for layer in made.layers if layer[0] not in PARENT.names()]
        net, _, fresh = heir(toy, SPACE, made, parent)
        assert fresh_modules(fresh) == ({f"norm_{new[0]}"} if new[-1] else set())
        if not new[-1]:
            assert torch.equal(net(x), parent(x))
            seen += 1
    assert seen > 5


@pytest.mark.parametrize("operator", ["add-skip", "remove-skip", "alter-stride"])
def test_what_changes_no_shape_of_weights_copies_every_tensor(toy, parent, operator):
    x, different = torch.randn(5, 1, 8, 8), 0
    for made in mutated(operator, 20):
        net, _, fresh = heir(toy, SPACE, made, parent)
        assert fresh == []
        old, new = state_of(parent), state_of(net)
        assert old.keys() == new.keys()
        assert all(np.array_equal(old[name], new[name]) for name in old)
        different += not torch.allclose(net(x), parent(x))
    assert different > 5


def test_reset_weights_copies_nothing(toy, parent):
    for made in mutated("reset-weights", 5):
        net, copied, fresh = heir(toy, SPACE, made, parent)
        assert copied == []
        drawn = state_of(build(SPACE, tuple(made), toy, SIZE, seed=1))
        assert all(np.array_equal(value, drawn[name]) for name, value in state_of(net).items())
        assert set(fresh) == parameters(net)


def test_filter_size_loses_only_that_convolution(toy, parent):
    seen = set()
    for made in mutated("filter-size"):
        (name,) = [a[0] for a, b in zip(made.layers, PARENT.layers, strict=True) if a != b]
        _, _, fresh = heir(toy, SPACE, made, parent)
        assert fresh == [f"conv_{name}.weight"]
        seen.add(name)
    assert seen == {"aaaa", "bbbb", "dddd"}


def test_alter_number_of_channels_loses_what_changes_shape(toy, parent):
    expected = {
        "aaaa": {A, "norm_aaaa", B},
        "bbbb": {B, C, D},
        "dddd": {D, "norm_dddd", "head_head"},
    }
    seen = set()
    for made in mutated("alter-number-of-channels"):
        (name,) = [a[0] for a, b in zip(made.layers, PARENT.layers, strict=True) if a != b]
        _, copied, fresh = heir(toy, SPACE, made, parent)
        assert fresh_modules(fresh) == expected[name]
        if name == "dddd":
            assert "head_head.bias" in copied  # one number per class, as before
        seen.add(name)
    assert seen == expected.keys()


@pytest.mark.parametrize("least", [1, 9])
def test_insert_convolution_is_fresh_with_what_changes_shape(toy, parent, least):
    readers = {0: A, 1: B, 2: D, 3: D, 4: "head_head"}  # of the channels that flow at a place
    widths, seen = {0: 1, 1: 6, 2: 5, 3: 5, 4: 7}, set()
    for made in mutated("insert-convolution", space=Graph((1, 8, 8), least_channels=least)):
        ((place, new),) = [
            (at, each) for at, each in enumerate(made.layers) if each[0] not in PARENT.names()
        ]
        expected = {f"conv_{new[0]}"} | ({f"norm_{new[0]}"} if new[-1] else set())
        if new[CHANNELS] != widths[place]:
            expected |= {readers[place]} | ({C} if place == 2 else set())
        _, _, fresh = heir(toy, SPACE, made, parent)
        assert fresh_modules(fresh) == expected
        seen.add(place)
    assert seen == set(range(5))


def test_remove_convolution_keeps_what_still_fits(toy, parent):
    expected = {"aaaa": {B}, "bbbb": {C, D}, "dddd": {"head_head"}}
    for made in mutated("remove-convolution", 20):
        (name,) = {each[0] for each in PARENT.layers} - {each[0] for each in made.layers}
        _, _, fresh = heir(toy, SPACE, made, parent)
        assert fresh_modules(fresh) == expected[name]


def test_a_layer_put_in_the_middle_moves_nothing(toy, parent):
    """By position, every later convolution of equal shape would get another one's weights."""
    twins = DNA(0.05, "head", tuple((n, "conv", 4, 3, 3, 1, True) for n in ("aa", "bb", "cc")), ())
    old = trained(toy, SPACE, twins)
    new = ("zz", "conv", 4, 3, 3, 1, True)
    net, _, fresh = heir(
        toy, SPACE, twins._replace(layers=(*twins.layers[:1], new, *twins.layers[1:])), old
    )
    assert fresh_modules(fresh) == {"conv_zz", "norm_zz"}
    for name in ("aa", "bb", "cc"):
        for own, its in zip(
            *(each.get_submodule(f"conv_{name}").parameters() for each in (net, old)), strict=True
        ):
            assert torch.equal(own, its)


def test_fresh_parameters_stay_as_they_were_drawn(toy, parent):
    wider = PARENT.with_layer(0, ("aaaa", "conv", 9, 3, 3, 2, True))
    drawn = state_of(build(SPACE, tuple(wider), toy, SIZE, seed=1))
    net, copied, fresh = heir(toy, SPACE, wider, parent)
    old, new = state_of(parent), state_of(net)
    assert fresh
    assert all(np.array_equal(new[name], drawn[name]) for name in fresh)
    assert all(np.array_equal(new[name], old[name]) for name in copied)
    assert {*copied, *fresh} == parameters(net)
    assert not {*copied} & {*fresh}


# ---- running statistics --------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_running_statistics_are_inherited_or_fresh(toy, parent, kept):
    net, copied, _ = heir(toy, SPACE, PARENT, parent, statistics=kept)
    drawn = state_of(build(SPACE, tuple(PARENT), toy, SIZE, seed=1))
    expected, new = state_of(parent) if kept else drawn, state_of(net)
    buffers = new.keys() - parameters(net)
    assert {name.rpartition(".")[2] for name in buffers} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert all(np.array_equal(new[name], expected[name]) for name in buffers)
    assert any((drawn[name] != state_of(parent)[name]).any() for name in buffers)
    assert set(copied) == parameters(net)  # statistics are no parameters


def test_the_estimator_hands_its_setting_on(toy):
    first = make(toy).evaluate(candidate(), {}).state
    assert first is not None
    asked = candidate(1, epochs=0, parents=(0,))
    kept = make(toy).evaluate(asked, {0: first}).state
    left = make(toy, statistics=False).evaluate(asked, {0: first}).state
    assert kept is not None
    assert left is not None
    name = "norm_aaaa.running_mean"
    assert np.array_equal(kept[name], first[name])
    assert not left[name].any()
    assert np.array_equal(left[f"{A}.weight"], first[f"{A}.weight"])


# ---- several parents -----------------------------------------------------------------------------


def test_of_several_parents_the_first_that_fits_gives(toy, parent):
    other = trained(toy, SPACE, PARENT, seed=3)
    wider = PARENT.with_layer(0, ("aaaa", "conv", 9, 3, 3, 2, True))
    wide = trained(toy, SPACE, wider, seed=4)
    net = build(SPACE, tuple(PARENT), toy, SIZE, seed=1)
    copied, fresh = inherit(net, [state_of(wide), state_of(other)])
    assert fresh == []
    new = state_of(net)
    for name in copied:
        fits = wide.get_parameter(name).shape == new[name].shape
        expected = state_of(wide if fits else other)[name]
        assert np.array_equal(new[name], expected)


def test_no_parent_leaves_everything_fresh(toy):
    net = build(SPACE, tuple(PARENT), toy, SIZE, seed=1)
    assert inherit(net, []) == ([], sorted(parameters(net)))


# ---- other spaces --------------------------------------------------------------------------------

BRANCHES = (
    (0, "sep_conv_3x3", 1, "max_pool_3x3", "add"),
    (2, "dil_conv_3x3", 0, "skip_connect", "add"),
)


def test_another_operation_of_a_cell_leaves_only_its_own_branch_fresh(toy):
    space = Cell(operations="darts", nodes=2)
    arch = (BRANCHES, BRANCHES)
    old = trained(toy, space, arch, epochs=1)
    for operation in ("dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "skip_connect"):
        changed = ((0, operation, *BRANCHES[0][2:]), BRANCHES[1])
        _, copied, fresh = heir(toy, space, (changed, BRANCHES), old)
        assert all(f"s2_left_{operation}." in name for name in fresh)
        assert not any(name.startswith("reduction") for name in fresh)
        assert bool(fresh) == ("conv" in operation)
        assert "logits.weight" in copied


def test_a_dilated_convolution_inherits_nothing_from_a_separable_one_of_equal_shape(toy):
    """Both begin with a depthwise convolution [c, 1, 3, 3]."""
    space = Cell(operations="darts", nodes=2)
    old = trained(toy, space, (BRANCHES, BRANCHES), epochs=1)
    changed = ((0, "dil_conv_3x3", *BRANCHES[0][2:]), BRANCHES[1])
    net, _, fresh = heir(toy, space, (changed, BRANCHES), old)
    before = {value.tobytes() for name, value in state_of(old).items() if "s2_left_sep" in name}
    weights = [name for name in fresh if name.endswith("weight") and name.startswith("cell")]
    shapes = {value.shape for name, value in state_of(old).items() if "s2_left_sep" in name}
    assert any(state_of(net)[name].shape in shapes for name in weights)
    convolutions = [name for name in weights if state_of(net)[name].ndim == 4]
    assert not any(state_of(net)[name].tobytes() in before for name in convolutions)


def test_an_edge_of_cell201_is_all_that_another_operation_leaves_fresh(toy):
    space, digits = Cell201(), "332333"
    old = trained(toy, space, parse(digits), epochs=1)
    for edge, name in enumerate(("e01", "e02", "e12", "e03", "e13", "e23")):
        for operation in "01234":
            other = digits[:edge] + operation + digits[edge + 1 :]
            _, copied, fresh = heir(toy, space, parse(other), old)
            assert all(f".{name}_nor_conv" in each for each in fresh)
            assert bool(fresh) == (operation in "23" and operation != digits[edge])
            assert "logits.weight" in copied


def test_an_altered_layer_of_a_chain_keeps_what_fits(toy):
    space = Chain.of(toy.facts)
    layers = (("aaaa", "conv2d", 6, 3, "prelu"), ("bbbb", "conv2d", 5, 3, "relu"))
    old = trained(toy, space, (0.01, layers))
    another = ("aaaa", "conv2d", 6, 3, "sigmoid")
    _, _, fresh = heir(toy, space, (0.01, (another, layers[1])), old)
    assert fresh == []
    wider = ("aaaa", "conv2d", 8, 3, "prelu")
    _, _, fresh = heir(toy, space, (0.01, (wider, layers[1])), old)
    assert fresh_modules(fresh) == {"conv2d_aaaa", "prelu_aaaa", "conv2d_bbbb"}


# ---- the estimator -------------------------------------------------------------------------------


def test_the_record_says_what_was_inherited_and_what_was_fresh(toy):
    estimator = make(toy)
    first = estimator.evaluate(candidate(), {})
    net = build(SPACE, tuple(PARENT), toy, SIZE)
    assert first.result.metrics["inherited"] == []
    assert set(first.result.metrics["fresh"]) == parameters(net)
    assert first.state is not None
    taller = PARENT.with_layer(1, ("bbbb", "conv", 5, 5, 3, 1, False))
    second = estimator.evaluate(candidate(1, taller, parents=(0,)), {0: first.state}).result
    assert second.metrics["fresh"] == [f"{B}.weight"]
    assert set(second.metrics["inherited"]) == parameters(net) - {f"{B}.weight"}
    json.dumps(second.to_json())


def test_without_training_a_child_that_changes_nothing_scores_as_its_parent(toy):
    estimator = make(toy)
    first = estimator.evaluate(candidate(epochs=3), {})
    assert first.state is not None
    child = PARENT._replace(lr=0.02)
    again = estimator.evaluate(candidate(1, child, epochs=0, parents=(0,)), {0: first.state}).result
    assert again.score == first.result.score
    assert again.metrics["loss"] == first.result.metrics["loss"]


def test_training_a_child_never_changes_its_parent(toy):
    estimator = make(toy)
    state = estimator.evaluate(candidate(), {}).state
    assert state is not None
    before = {name: value.copy() for name, value in state.items()}
    child = estimator.evaluate(candidate(1, epochs=2, parents=(0,)), {0: state}).state
    assert child is not None
    for name, value in before.items():
        assert np.array_equal(state[name], value)
        assert not np.shares_memory(state[name], child[name])
    assert not np.array_equal(child[f"{A}.weight"], state[f"{A}.weight"])


def test_what_was_inherited_shares_no_memory_with_the_parent(toy, parent):
    state = state_of(parent)
    net = build(SPACE, tuple(PARENT), toy, SIZE, seed=1)
    inherit(net, [state])
    with torch.no_grad():
        for weight in net.state_dict().values():
            weight.zero_()
    assert state[f"{A}.weight"].any()


def test_parents_that_cannot_be_written_to_are_no_obstacle(toy, parent):
    state = state_of(parent)
    for value in state.values():
        value.flags.writeable = False
    estimator = make(toy)
    assert estimator.evaluate(candidate(1, parents=(0,)), {0: state}).result.ok


def test_epochs_add_up_along_a_lineage(toy):
    estimator = make(toy)
    inherited: dict[int, State] = {}
    for number, (epochs, total) in enumerate(((1.0, 1.0), (2.0, 3.0), (0.0, 3.0), (1.0, 4.0))):
        arch = PARENT._replace(lr=0.05 + number / 100)
        done = estimator.evaluate(candidate(number, arch, epochs, tuple(inherited)), inherited)
        assert (done.result.epochs, done.result.total_epochs) == (epochs, total)
        assert done.state is not None
        assert done.state[TRAINED] == total
        inherited = {number: done.state}


def test_reset_weights_starts_counting_anew(toy):
    estimator = make(toy)
    state = estimator.evaluate(candidate(epochs=3), {}).state
    assert state is not None
    (other,) = mutated("reset-weights", 1)
    result = estimator.evaluate(candidate(1, other, 1.0, (0,)), {0: state}).result
    assert (result.epochs, result.total_epochs) == (1.0, 1.0)


def test_a_child_trains_for_all_of_its_epochs_however_long_its_parent_did(toy):
    estimator = make(toy)
    state = estimator.evaluate(candidate(epochs=4), {}).state
    assert state is not None
    result = estimator.evaluate(candidate(1, epochs=1, parents=(0,)), {0: state}).result
    assert result.epochs == 1.0
    assert result.metrics["curve"][-1][0] == 1.0


def test_a_graph_is_trained_at_its_own_learning_rate(toy):
    slow, fast = (
        make(toy).evaluate(candidate(0, PARENT._replace(lr=lr)), {}).result for lr in (1e-6, 0.05)
    )
    assert slow.metrics["curve"] != fast.metrics["curve"]
    own = make(toy, hyper=dataclasses.replace(HYPER, lr=3.0)).evaluate(candidate(), {}).result
    assert own.metrics["curve"] == fast.metrics["curve"]


def test_the_same_candidate_and_parent_give_the_same_child(toy):
    state = make(toy).evaluate(candidate(), {}).state
    assert state is not None
    asked = candidate(1, parents=(0,))
    one, other = (make(toy).evaluate(asked, {0: state}) for _ in range(2))
    assert one.result.score == other.result.score
    assert one.state is not None
    assert other.state is not None
    assert all(np.array_equal(one.state[name], other.state[name]) for name in one.state)


# ---- strategies whose children inherit -----------------------------------------------------------


@pytest.mark.parametrize("inherit", [True, False])
def test_regularized_evolution_inherits_only_if_it_is_to(inherit):
    strategy = RegularizedEvolution(
        Cell201(), population=6, sample=3, inherit=inherit, identity=0.2
    )
    for _ in range(40):
        asked = strategy.ask()
        assert asked.weights_from == (asked.parents if inherit else ())
        strategy.tell(Result(asked, random.Random(asked.id).random()))
    assert any(member.candidate.parents for member in strategy.members)


@pytest.mark.parametrize("aging", [True, False])
def test_regularized_evolution_keeps_the_weights_of_members_and_of_parents_in_flight(aging):
    strategy = RegularizedEvolution(Cell201(), population=4, sample=2, inherit=True, aging=aging)
    rng, retired = random.Random(0), 0
    flying: list[Candidate] = []
    for number in range(200):
        while len(flying) < 7:
            flying.append(strategy.ask())
        asked = flying.pop(rng.randrange(len(flying)))
        fails = number % 3 == 2
        strategy.tell(Result(asked, status="failed") if fails else Result(asked, rng.random()))
        members = {member.candidate.id for member in strategy.members}
        needed = {id for each in flying for id in each.weights_from}
        assert strategy.alive() == members | needed
        retired += bool(needed - members)
    assert retired > 20


# ---- a search ------------------------------------------------------------------------------------


def search(task, trials, *, epochs, seed):
    """Evolve graphs from nothing by hand, keeping the weights that are alive."""
    space = Graph.of(task.facts, least_channels=8)  # one grey channel tells nothing apart
    strategy = Tournament(space, population=6, inherit=True, epochs=epochs, seed=seed)
    estimator, told = make(task, space), []
    states: dict[int, Any] = {}
    for _ in range(trials):
        asked = strategy.ask()
        assert asked is not None
        done = estimator.evaluate(asked, {id: states[id] for id in asked.weights_from})
        states[asked.id] = done.state
        strategy.tell(done.result)
        told.append(done.result)
        states = {id: state for id, state in states.items() if id in strategy.alive()}
    assert len(states) <= 6
    return told


def best(told):
    return max(result.value for result in told)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_search_solves_an_easy_task_from_nothing(toy, seed):
    told = search(toy, 46, epochs=2, seed=seed)
    assert best(told[:6]) < 0.5
    assert best(told) > 0.9
    assert max(result.total_epochs for result in told) >= 8


def test_children_of_a_fraction_of_an_epoch_accumulate_what_their_ancestors_learnt(digits):
    runs = [search(digits, 40, epochs=0.3, seed=seed) for seed in range(4)]
    assert max(best(told[:6]) for told in runs) < 0.2
    assert statistics.mean(best(told) for told in runs) > 0.35
    assert all(result.epochs < 0.31 for told in runs for result in told)
    assert all(max(result.total_epochs for result in told) > 1 for told in runs)
