"""What every registered space keeps. A new space is tested here the moment it is registered."""

import functools
import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers import elsewhere

from evolvent.network.build import FAMILIES, Assembled, Size, plan
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.supernet import Supernet
from evolvent.registry import SPACES, find
from evolvent.space import Space, key, sample_decisions
from evolvent.space.drawing import KINDS
from evolvent.types import freeze

LISTED = [f"{a}{b}{c}" for a in "012" for b in "012" for c in "012" if (a, b) != ("2", "2")]

#: Settings to test a space with, by name; one without an entry is tested as it comes.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "cell": {
        "nasnet": {
            "operations": "nasnet",
            "nodes": 5,
            "combine": ("add", "concat"),
            "output": "loose",
        },
        "amoebanet": {"operations": "amoebanet", "nodes": 5, "output": "loose"},
        "darts": {"operations": "darts", "nodes": 4, "distinct": True},
        "enas": {"operations": "enas", "nodes": 5, "output": "loose", "zero": False},
        "nao": {"operations": "nao", "nodes": 5, "output": "loose"},
        "plain": {"operations": "plain", "nodes": 3, "output": "loose"},
        "gdas-frc": {"operations": "darts", "distinct": True, "reduction": "fixed"},
    },
    "layers": {
        "": {},
        "strides": {"depths": (4, 6, 9), "filters": (2, 5), "strides": (1, 2, 3), "pools": 1},
        "enas": {"depths": (12,), "filters": (4,), "operations": "enas", "join": "add"},
    },
    "chain": {
        "images": {"input_shape": (2, 7, 6), "outputs": 3},
        "sequences": {"input_shape": (2, 9), "outputs": 3},
        "tokens": {"input_shape": (9,), "vocabulary": 20, "outputs": 3},
        "numbers": {"input_shape": (5,), "outputs": 3},
    },
    "blueprint": {"blueprint": {"input_shape": (2, 7, 6), "outputs": 3, "filters": (8, 24)}},
    "graph": {"graph": {"input_shape": (2, 7, 6)}},
    "filters": {
        "": {"input_shape": (2, 7, 6), "outputs": 3},
        "pooled": {"input_shape": (2, 7, 6), "outputs": 3, "pool": 2, "add_map": 4.0},
    },
    "listed": {"listed": {"archs": LISTED}},
    "topology": {
        "": {"input_shape": (2,), "outputs": 3},
        "recurrent": {"input_shape": (4, 2), "outputs": 3, "recurrent": True},
    },
}
CASES = {
    f"{name}-{label}" if label else name: (name, settings)
    for name in SPACES
    for label, settings in SETTINGS.get(name, {"": {}}).items()
}
SMALL = Size(cells=1, width=4, stages=2)


class Data:
    """What a network needs to know of a task; an odd height and an even width."""

    outputs = 3

    def __init__(self, space) -> None:
        self.input_shape = getattr(space, "input_shape", (2, 7, 6))


@functools.cache
def make(case) -> Any:
    name, settings = CASES[case]
    return find("space", name)(**settings)


def giving(capability):
    return [case for case in CASES if capability in make(case).gives]


every_space = pytest.mark.parametrize("case", CASES)
with_decisions = pytest.mark.parametrize("case", giving("decisions"))
with_mixture = pytest.mark.parametrize("case", giving("mixture"))
with_equal_forms = pytest.mark.parametrize(
    "case", [case for case in giving("canonical") if case in giving("decisions")]
)
with_network = pytest.mark.parametrize(
    "case", [case for case in CASES if make(case).family in FAMILIES]
)


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def walk(space, steps, seed=0):
    """The architectures of a random walk, crossovers with fresh samples among the moves."""
    rng = random.Random(seed)
    arch = space.sample(rng)
    for step in range(steps):
        if step % 5 == 4 and "crossover" in space.gives:
            arch = space.crossover(arch, space.sample(rng), rng).arch
        else:
            arch = space.mutate(arch, rng).arch
        yield arch


def built(space, arch):
    with torch.device("meta"):
        return Assembled(plan(space, arch, Data(space), SMALL)).eval()


# ---- sample and mutate ---------------------------------------------------------------------------


@every_space
def test_it_keeps_the_contract(case):
    space = make(case)
    assert isinstance(space, Space)
    assert isinstance(space.gives, frozenset)
    known = {"canonical", "crossover", "decisions", "mixture", "parts", "start", "training"}
    assert space.gives <= known | {"aligned", "drawing", "listed", "weighted"}
    assert ("listed" in space.gives) == hasattr(space, "archs")
    assert space.family


@every_space
def test_the_same_generator_gives_the_same_architectures(case):
    space = make(case)
    assert list(walk(space, 50)) == list(walk(space, 50))
    assert samples(space, 20) == samples(space, 20)
    assert len({json.dumps(arch) for arch in samples(space, 20)}) > 5


def test_the_same_generator_gives_the_same_architectures_in_another_process():
    code = """
import json
from tests.contracts.test_space import CASES, make, walk
print(json.dumps({case: list(walk(make(case), 30)) for case in CASES}))
"""
    there = json.loads(elsewhere(code))
    assert {case: freeze(archs) for case, archs in there.items()} == {
        case: tuple(walk(make(case), 30)) for case in CASES
    }


@every_space
def test_a_move_changes_something_and_leaves_its_input_as_it_was(case):
    space, rng = make(case), random.Random(1)
    for arch in samples(space, 100):
        before = json.dumps(arch)
        move = space.mutate(arch, rng)
        assert json.dumps(arch) == before
        assert move.arch != arch or move.operator == "identity"
        assert move.operator


@every_space
def test_an_architecture_is_hashable_and_survives_json(case):
    for arch in walk(make(case), 100):
        again = freeze(json.loads(json.dumps(arch)))
        assert again == arch
        assert hash(again) == hash(arch)
        assert json.dumps(again) == json.dumps(arch)


@every_space
def test_equal_architectures_have_equal_keys(case):
    space = make(case)
    for arch in samples(space, 30):
        assert key(space, arch) == key(space, freeze(json.loads(json.dumps(arch))))
        hash(key(space, arch))


@with_network
def test_two_hundred_random_moves_stay_buildable(case):
    space = make(case)
    for step, arch in enumerate(walk(space, 200)):
        assert plan(space, arch, Data(space), SMALL).network.calls
        if step % 10 == 9:  # a module takes a hundred times as long as its plan
            with torch.no_grad():
                y = built(space, arch)(torch.empty(2, *Data(space).input_shape, device="meta"))
            assert (len(y), y.shape[-1]) == (2, Data.outputs)


@with_network
def test_parameters_of_equal_architectures_have_equal_names(case):
    space = make(case)
    for arch in samples(space, 5):
        again = freeze(json.loads(json.dumps(arch)))
        assert list(built(space, arch).state_dict()) == list(built(space, again).state_dict())


# ---- drawings ------------------------------------------------------------------------------------


def genes(drawing):
    """What tells one drawing from another: node and edge, by identity, with what is written there."""
    nodes = {node.id: node[1:] for node in drawing.nodes}
    edges = {(edge.source, edge.target, edge.kind == "skip"): edge.label for edge in drawing.edges}
    return nodes, edges, drawing.facts


@every_space
def test_every_registered_space_has_a_drawing_of_every_architecture(case):
    space = make(case)
    assert "drawing" in space.gives
    for arch in walk(space, 100):
        drawing = space.drawing(arch)
        ids = [node.id for node in drawing.nodes]
        assert len(set(ids)) == len(ids) > 0
        assert all(node.label and node.kind in KINDS for node in drawing.nodes)
        groups = {node.id: node.group for node in drawing.nodes}
        for edge in drawing.edges:
            assert groups[edge.source] == groups[edge.target]
        assert drawing == space.drawing(freeze(json.loads(json.dumps(arch))))


@every_space
def test_a_drawing_shows_what_a_move_changed_and_keeps_the_rest(case):
    space, rng = make(case), random.Random(6)
    changed = kept = 0
    for arch in walk(space, 60):
        move = space.mutate(arch, rng)
        before, after = genes(space.drawing(arch)), genes(space.drawing(move.arch))
        if key(space, arch) != key(space, move.arch):
            assert before != after
            changed += 1
            kept += bool(before[0].items() & after[0].items())
    assert kept >= 0.9 * changed > 0


# ---- decisions -----------------------------------------------------------------------------------


def assert_legal(space, choices):
    for at, choice in enumerate(choices):
        decision = space.decision(choices[:at])
        assert decision.kind in ("choice", "pointer", "bit")
        assert choice in decision.legal
        assert set(decision.legal) <= set(range(decision.size))
        assert list(decision.legal) == sorted(decision.legal)
    assert space.decision(choices) is None


@with_decisions
def test_decode_is_the_inverse_of_encode(case):
    space = make(case)
    for arch in walk(space, 200):
        choices = space.encode(arch)
        assert_legal(space, choices)
        assert space.decode(choices) == arch


@with_decisions
def test_every_legal_path_decodes_and_encode_is_the_inverse(case):
    space, rng = make(case), random.Random(2)
    for _ in range(200):
        choices = sample_decisions(space, rng)
        assert space.encode(space.decode(choices)) == choices
    assert space.decode(list(choices)) == space.decode(choices)


@with_decisions
def test_decisions_of_equal_name_have_equal_kind_and_size(case):
    space, rng = make(case), random.Random(3)
    seen: dict[str, tuple[str, int]] = {}
    for _ in range(20):
        choices = sample_decisions(space, rng)
        for at in range(len(choices)):
            decision = space.decision(choices[:at])
            known = seen.setdefault(decision.name, (decision.kind, decision.size))
            assert known == (decision.kind, decision.size)


@with_decisions
def test_equivalents_are_legal_and_have_the_same_key(case):
    space, rng = make(case), random.Random(4)
    for arch in samples(space, 50):
        other = space.equivalents(space.encode(arch), rng)
        assert_legal(space, other)
        assert key(space, space.decode(other)) == key(space, arch)


# ---- mixture -------------------------------------------------------------------------------------


@with_mixture
def test_one_hot_has_the_form_of_the_groups(case):
    space = make(case)
    for arch in samples(space, 20):
        weights = space.one_hot(arch)
        assert list(weights) == [group.name for group in space.groups()]
        for group in space.groups():
            assert weights[group.name].shape == (len(group.rows), len(group.columns))
            assert (weights[group.name] >= 0).all()


@with_mixture
def test_the_architecture_derived_from_its_own_one_hot_is_the_same_network(case):
    space = make(case)
    for arch in walk(space, 200):
        assert key(space, space.derive(space.one_hot(arch))) == key(space, arch)


@with_mixture
def test_any_mixture_derives_a_valid_architecture(case):
    space, rng = make(case), np.random.default_rng(0)
    for _ in range(50):
        weights = {
            group.name: rng.dirichlet(np.ones(len(group.columns)), len(group.rows))
            for group in space.groups()
        }
        arch = space.derive(weights)
        assert arch == freeze(json.loads(json.dumps(arch)))
        if "decisions" in space.gives:
            assert_legal(space, space.encode(arch))


@with_mixture
def test_the_network_with_shared_weights_takes_every_one_hot_and_any_mixture(case):
    space = make(case)
    with torch.device("meta"), torch.no_grad():
        net, x = Supernet(space, Data(space), SMALL), torch.empty(2, *Data(space).input_shape)
        for arch in samples(space, 2):
            assert net(x, MixtureWeights(space.one_hot(arch), device="meta")).shape == (
                2,
                Data.outputs,
            )
        all_of_it = {g.name: np.full((len(g.rows), len(g.columns)), 0.1) for g in space.groups()}
        assert net(x, MixtureWeights(all_of_it, device="meta")).shape == (2, Data.outputs)


# ---- equal networks ------------------------------------------------------------------------------


@with_equal_forms
def test_networks_of_equal_canonical_form_cost_the_same(case):
    space, rng = make(case), random.Random(5)
    for arch in samples(space, 10):
        other = space.decode(space.equivalents(space.encode(arch), rng))
        sizes = [
            sorted(tuple(weight.shape) for weight in built(space, each).parameters())
            for each in (arch, other)
        ]
        assert sizes[0] == sizes[1]
