"""Known members of the spaces of cells and chains, and architectures of one's own."""

import csv
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from evolvent.config.recipes import AMOEBANET_CELL, DARTS_CELL, NASNET_CELL
from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space import known
from evolvent.space.cell import Cell, loose_ends
from evolvent.space.cell201 import MEMBERS as MEMBERS201
from evolvent.space.cell201 import Cell201
from evolvent.space.chain import Chain
from evolvent.types import Facts

FACTS = Facts("image", "accuracy", (3, 32, 32), 10)
DIALECTS: dict[str, dict[str, Any]] = {
    "nasnet": NASNET_CELL,
    "amoebanet": AMOEBANET_CELL,
    "darts": DARTS_CELL,
    "gdas": DARTS_CELL | {"reduction": "fixed"},
    "plain": {"operations": "plain", "nodes": 3},
}
TABLE = Path(os.environ.get("EVOLVENT_DATA", "nowhere")) / "nasbench201" / "nasbench201.csv.gz"
TESTS = {
    "best-cifar10": "cifar10_test_200ep",
    "best-cifar100": "cifar100_test_200ep",
    "best-imagenet16": "ImageNet16-120_test_200ep",
}


# ---- names and equal networks --------------------------------------------------------------------


def even(arch):
    if not isinstance(arch, int) or arch % 2:
        raise InvalidArchitecture(f"{arch} is odd")
    return arch


def test_several_of_ones_own_are_numbered_and_a_wrong_one_is_named():
    assert known.owned((), even, "x") == {}
    assert known.owned((2, 4), even, "x") == {"own-1": 2, "own-2": 4}
    with pytest.raises(SettingError, match=r"^x: .* a list, number 2: 3 is odd"):
        known.owned((2, 3), even, "x")


def test_the_first_of_equal_networks_stays():
    assert known.distinct({"a": 1, "b": 3, "c": 2}, lambda n: n % 2) == {"a": 1, "c": 2}


# ---- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "published"),
    [
        ("nasnet", ["nasnet-a", "amoebanet-a"]),
        ("amoebanet", ["nasnet-a", "amoebanet-a"]),
        ("darts", ["darts-v2", "darts-v1"]),
        ("gdas", ["darts-v2", "darts-v1"]),
        ("plain", []),
    ],
)
def test_published_cells_are_known_in_their_dialect(dialect, published):
    found = Cell(**DIALECTS[dialect]).known(FACTS)
    assert list(found) == [*published, "convolutions", "residual"]


def test_published_cells_end_where_the_papers_say():
    found = Cell(**DIALECTS["nasnet"]).known(FACTS)
    ends = {name: [loose_ends(cell) for cell in arch] for name, arch in found.items()}
    assert ends["nasnet-a"] == [(2, 3, 4, 5, 6), (4, 5, 6)]
    assert ends["amoebanet-a"] == [(4, 5, 6), (3, 4, 6)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("normal", "not a tuple of the cells"),
        (((), ()), "0 nodes, not 1"),
        ((((0, "conv_3x3", 1, "conv_3x3"),), ((0, "x", 1, "x", "add"),)), "is not \\(state"),
        ((((0, "conv_3x3", 2, "conv_3x3", "add"),),) * 2, "2 is none of 0, 1"),
        ((((0, "conv_9x9", 1, "conv_3x3", "add"),),) * 2, "'conv_9x9' is none of conv_3x3"),
        ((((0, "conv_3x3", 1, "conv_3x3", "concat"),),) * 2, "'concat' is none of add"),
        ((((1, "conv_3x3", 1, "conv_3x3", "add"),),) * 2, "reads state 1 twice"),
    ],
)
def test_a_cell_of_another_form_is_refused(wrong, message):
    with pytest.raises(InvalidArchitecture, match=message):
        Cell(operations="plain", nodes=1, distinct=True).checked(wrong)


def test_ones_own_cell_comes_first():
    mine = [[[0, "conv_3x3", 1, "max_pool_3x3", "add"]]] * 2
    found = Cell(operations="plain", nodes=1, known=mine).known(FACTS)
    assert next(iter(found)) == "own"
    own = ["skip_connect"] * 5 + ["nor_conv_3x3"]
    assert Cell201(known=own).known(FACTS)["own"] == tuple(own)
    with pytest.raises(SettingError, match="is not a cell of NAS-Bench-201"):
        Cell201(known=own[:5])


@pytest.mark.skipif(not TABLE.is_file(), reason="EVOLVENT_DATA holds no nasbench201")
def test_the_best_cells_of_nasbench201_are_those_of_its_table():
    with gzip.open(TABLE, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    for name, column in TESTS.items():
        best = max(rows, key=lambda row: float(row[column]))
        assert MEMBERS201[name] == best["ops"]


# ---- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["two-convolutions", "three-convolutions", "lenet", "dense"]),
        ({"input_shape": (8, 40)}, ["one-convolution", "two-convolutions", "dense"]),
        (
            {"input_shape": (40,), "vocabulary": 100},
            ["one-convolution", "means", "two-convolutions"],
        ),
        (
            {"input_shape": (9,)},
            ["two-dense", "residual", "norm-dense", "one-dense", "linear"],
        ),
    ],
)
def test_every_kind_of_input_has_plain_chains(settings, names):
    assert list(Chain(**settings).known(FACTS)) == names


def test_chains_are_moved_into_the_ranges_and_left_out_where_they_do_not_fit():
    narrow = Chain((1, 28, 28), filters=(4, 8), units=(10, 20), lrs=(1e-4, 1e-3), depth=4)
    found = narrow.known(FACTS)
    assert list(found) == ["dense"]
    assert found["dense"][0] == 1e-3
    assert [layer[2] for layer in found["dense"][1]] == [20, 20]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (((0.01, (("a", "conv2d", 32, 3),))), "has the values .*filters"),
        ((0.01, (("a", "conv2d", 3, 3, "relu"),)), "3 of a layer conv2d is outside the filters"),
        (
            (0.01, (("a", "dense", 20, "sine"),)),
            "'sine' of a layer dense is outside the activation",
        ),
        ((0.01, (("a", "dense", 20, "relu"),) * 2), "a name of its own"),
        ((5.0, ()), "learning rate 5.0: from 0.0001 to 0.01"),
        ((0.01, (("a", "norm"),)), "layers norm are left out"),
        ((0.01, (("a", "lstm", 3),)), "a layer lstm"),
        ((0.01, "layers"), "is not \\(learning rate, layers\\)"),
    ],
)
def test_a_chain_of_another_form_is_refused(wrong, message):
    with pytest.raises(InvalidArchitecture, match=message):
        Chain().checked(wrong)


def test_ones_own_chain_comes_first():
    mine = [0.004, [["a", "conv2d", 20, 3, "relu"], ["b", "max_pool", 2]]]
    name, arch = next(iter(Chain(known=mine).known(FACTS).items()))
    assert (name, arch[1][0]) == ("own", ("a", "conv2d", 20, 3, "relu"))
