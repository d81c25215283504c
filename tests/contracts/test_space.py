"""What every registered space keeps. A new space is tested here the moment it is registered.

The rules themselves are in `evolvent.testing`, for spaces of anyone.
"""

import functools
import json
import random
from typing import Any

import pytest

from evolvent.contract import check_contract, check_made, kinds_of
from evolvent.network.build import FAMILIES
from evolvent.registry import SPACES, find
from evolvent.testing import SPACE_RULES, check_space, small_task, space_case
from evolvent.testing.spaces import samples

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
        "headed": {"input_shape": (5,), "outputs": 3, "heads": ("linear", "relu", "softmax")},
    },
    "blueprint": {"blueprint": {"input_shape": (2, 7, 6), "outputs": 3, "filters": (8, 24)}},
    "graph": {"graph": {"input_shape": (2, 7, 6)}},
    "filters": {
        "": {"input_shape": (2, 7, 6), "outputs": 3},
        "pooled": {"input_shape": (2, 7, 6), "outputs": 3, "pool": 2, "add_map": 4.0},
    },
    "listed": {"listed": {"archs": LISTED}},
    "stages": {
        "": {"input_shape": (2, 7, 6), "outputs": 3},
        "photographs": {"input_shape": (3, 70, 90), "outputs": 3, "mirrored": True},
        "narrow": {
            "input_shape": (1, 28, 28),
            "outputs": 3,
            "stages": (1, 5),
            "widths": (8, 40),
            "depths": (2, 2),
            "blocks": ("residual", "mbconv"),
            "multiply_adds": (500_000, 3_000_000),
        },
    },
    "recurrent": {
        "": {"nodes": 5},
        "darts": {},
        "enas": {"nodes": 11, "output": "loose"},
    },
    "rnn-tree": {"": {}, "small": {"leaves": 4}},
    "tabular": {
        "": {"input_shape": (5,), "outputs": 3},
        "mixed": {
            "input_shape": (21,),
            "outputs": 3,
            "columns": (
                ("number", 3),
                ("flag", 1),
                ("category", 12),
                ("number", 1),
                ("category", 4),
            ),
            "multiply_adds": 5_000,
        },
        "categories": {
            "input_shape": (9,),
            "outputs": 3,
            "columns": (("category", 6), ("category", 3)),
            "depths": (1, 2),
        },
    },
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


@functools.cache
def case_of(case) -> Any:
    name, settings = CASES[case]
    make = functools.partial(find("space", name), **settings)
    return space_case(make, network=make().family in FAMILIES)


every_space = pytest.mark.parametrize("case", CASES)


@every_space
@pytest.mark.parametrize("rule", SPACE_RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(case, rule):
    rule(case_of(case))


@every_space
def test_it_gives_what_is_known_and_a_drawing(case):
    space = case_of(case).space
    known = {"canonical", "crossover", "decisions", "mixture", "parts", "start", "training"}
    assert space.gives <= known | {
        "aligned",
        "drawing",
        "known",
        "lengths",
        "listed",
        "sized",
        "weighted",
        "widened",
    }
    assert ("listed" in space.gives) == hasattr(space, "archs")
    if "lengths" in space.gives:  # every architecture says the most of its epochs
        arch = space.sample(random.Random(3))
        assert space.training(arch)["most_epochs"] > 0
    assert "drawing" in space.gives
    assert space.family


@every_space
def test_samples_are_many(case):
    space = case_of(case).space
    assert len({json.dumps(arch) for arch in samples(space, 20)}) > 5


@every_space
def test_networks_are_built_wherever_there_is_a_family(case):
    made = case_of(case)
    assert made.network == (made.space.family != "listed")
    assert made.data.outputs == 3


#: Every kind of data with every space that says it reads them.
KINDS = ("image", "numbers", "text", "series", "language", "control", "table")
PAIRS = [
    (name, kind)
    for name in SPACES
    for kind in KINDS
    if kind in kinds_of("space", find("space", name)) and name != "listed"
] + [("listed", "table")]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_it_keeps_the_rules_as_it_is_made_for_a_task(name, kind):
    check_space(find("space", name), small_task(kind), network=name != "listed")


@pytest.mark.parametrize("name", SPACES)
def test_it_passes_what_is_asked_of_parts_from_outside(name):
    make = find("space", name)
    check_contract("space", name, make)
    for settings in SETTINGS.get(name, {"": {}}).values():
        check_made("space", name, make(**settings))
