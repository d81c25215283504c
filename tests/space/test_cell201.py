"""The cells of NAS-Bench-201."""

import csv
import gzip
import itertools
import os
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from evolvent.errors import InvalidArchitecture
from evolvent.space.cell201 import EDGES, OPERATIONS, Cell201, digits, parse

SPACE = Cell201()
ALL = list(itertools.product(OPERATIONS, repeat=len(EDGES)))
TABLE = Path(os.environ.get("EVOLVENT_DATA", "nowhere")) / "nasbench201" / "nasbench201.csv.gz"


def test_there_are_15625_cells_of_6466_kinds():
    assert len(ALL) == 15_625
    assert len({SPACE.canonical(arch) for arch in ALL}) == 6_466


@pytest.mark.skipif(not TABLE.is_file(), reason="EVOLVENT_DATA holds no nasbench201")
def test_the_kinds_are_those_of_the_published_table():
    ours, theirs = defaultdict(set), defaultdict(set)
    with gzip.open(TABLE, "rt", newline="") as file:
        for row in csv.DictReader(file):
            arch = parse(row["arch_str"])
            assert digits(arch) == row["ops"]
            ours[SPACE.canonical(arch)].add(row["ops"])
            theirs[row["unique_str"]].add(row["ops"])
    assert sorted(map(sorted, ours.values())) == sorted(map(sorted, theirs.values()))


def test_edges_come_in_the_official_order():
    arch = parse(
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|"
    )
    assert digits(arch) == "302141"
    assert dict(zip(EDGES, arch, strict=True)) == {
        (0, 1): "nor_conv_3x3",
        (0, 2): "none",
        (1, 2): "nor_conv_1x1",
        (0, 3): "skip_connect",
        (1, 3): "avg_pool_3x3",
        (2, 3): "skip_connect",
    }


def test_digits_and_cells_stand_for_each_other():
    assert all(parse(digits(arch)) == arch for arch in ALL)


@pytest.mark.parametrize("text", ["", "30310", "3031011", "303105", "30310x", "|none~0|", "||+||"])
def test_a_text_that_is_no_cell_is_refused(text):
    with pytest.raises(InvalidArchitecture, match="six digits"):
        parse(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("123000", "000000"),  # nothing reaches the output
        ("110001", "101001"),  # a skip to node 2, or two by way of node 1
        ("300210", "200310"),  # the same two terms, in another order
    ],
)
def test_cells_that_compute_the_same_are_equal(one, other):
    assert SPACE.canonical(parse(one)) == SPACE.canonical(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("000200", "000300"),
        ("300010", "300020"),
        ("000100", "101001"),  # the benchmark's own rule counts the zeros of a sum
        ("320011", "230011"),  # and does not look into a sum that is passed on
    ],
)
def test_cells_that_the_benchmark_tells_apart_are_not(one, other):
    assert SPACE.canonical(parse(one)) != SPACE.canonical(parse(other))


def test_samples_are_uniform_over_edges_and_operations():
    rng = random.Random(0)
    counts = Counter(
        (edge, name) for _ in range(5000) for edge, name in enumerate(SPACE.sample(rng))
    )
    assert len(counts) == 30
    assert max(abs(count - 1000) for count in counts.values()) < 5 * 28.3  # sd of n=5000, p=0.2


def test_a_mutation_changes_one_edge_and_every_edge_and_operation_alike():
    rng, arch = random.Random(1), parse("012340")
    counts: Counter[tuple[int, str]] = Counter()
    for _ in range(4800):
        move = SPACE.mutate(arch, rng)
        ((edge, name),) = [
            (at, new)
            for at, (old, new) in enumerate(zip(arch, move.arch, strict=True))
            if old != new
        ]
        counts[edge, name] += 1
        assert move.operator == "op"
    assert len(counts) == 6 * 4
    assert max(abs(count - 200) for count in counts.values()) < 5 * 13.8  # sd of n=4800, p=1/24


def test_the_strongest_operation_of_every_edge_is_derived_and_none_may_win():
    weights = np.full((6, 5), 0.1)
    weights[range(6), [3, 0, 4, 1, 2, 0]] = 0.6
    assert digits(SPACE.derive({"cell": weights})) == "304120"


def test_one_hot_and_derive_are_inverse():
    for arch in ALL[::41]:
        weights = SPACE.one_hot(arch)["cell"]
        assert weights.shape == (6, 5)
        assert (weights.sum(1) == 1).all()
        assert SPACE.derive({"cell": weights}) == arch
