"""A space read from strings."""

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from evolvent.errors import DataError, InvalidArchitecture
from evolvent.space import Space, sample_decisions
from evolvent.space.listed import SEPARATORS, Listed, split

FULL = ["".join(digits) for digits in itertools.product("0123", repeat=4)]
SPARSE = [arch for arch in FULL if sum(map(int, arch)) % 2 == 0 and arch[0] != "3"]
FIELDS = [
    f"{link}|{'|'.join(ops)}"
    for link in ("0", "1")
    for ops in itertools.product(("gat", "gcn", "skip"), repeat=2)
    if not (link == "1" and "skip" in ops)
]
LISTS = {"full": FULL, "sparse": SPARSE, "fields": FIELDS, "islands": ["000", "011", "222"]}


def apart(first, second):
    pairs = zip(*split([first, second]), strict=True)
    return sum(a != b for a, b in pairs)


@pytest.mark.parametrize("archs", LISTS.values(), ids=LISTS)
def test_nothing_ever_leaves_the_list(archs):
    space, rng = Listed(archs), random.Random(0)
    assert isinstance(space, Space)
    for _ in range(300):
        first, second = space.sample(rng), space.sample(rng)
        moves = [space.mutate(first, rng), space.crossover(first, second, rng)]
        assert {first, moves[0].arch, moves[1].arch} <= set(archs)
        assert moves[0].arch != first
        assert space.decode(sample_decisions(space, rng)) in archs


@pytest.mark.parametrize("archs", LISTS.values(), ids=LISTS)
def test_every_legal_path_decodes_and_encode_is_the_inverse(archs):
    space: Any = Listed(archs)
    paths: list[tuple[int, ...]] = [()]
    while (decision := space.decision(paths[0])) is not None:
        steps = [(path, space.decision(path)) for path in paths]
        assert all(set(step.legal) <= set(range(step.size)) for _, step in steps)
        assert all(list(step.legal) == sorted(step.legal) for _, step in steps)
        paths = [(*path, value) for path, step in steps for value in step.legal]
        assert decision.kind == "choice"
    assert sorted(map(space.decode, paths)) == sorted(archs)
    assert [space.encode(space.decode(path)) for path in paths] == paths
    assert space.equivalents(paths[0], random.Random(0)) == paths[0]


def test_a_full_product_mutates_every_field_equally_often_to_every_other_value():
    space, rng = Listed(FULL), random.Random(1)
    found = Counter(space.mutate("0123", rng).arch for _ in range(24_000))
    assert len(found) == 4 * 3
    assert {apart("0123", arch) for arch in found} == {1}
    assert min(found.values()) > 1_800
    assert max(found.values()) < 2_200


def test_a_sparse_set_mutates_one_field_where_it_can_and_leaps_where_it_cannot():
    space, rng = Listed(SPARSE), random.Random(2)
    assert all(apart(a, space.mutate(a, rng).arch) == 1 for a in SPARSE)
    islands = Listed(["000", "011", "222"])
    assert islands.mutate("000", rng) == ("011", "leap")
    assert {islands.mutate("222", rng).arch for _ in range(50)} == {"000", "011"}


def test_a_sample_is_uniform_over_the_list():
    space, rng = Listed(SPARSE), random.Random(3)
    found = Counter(space.sample(rng) for _ in range(200 * len(SPARSE)))
    assert set(found) == set(SPARSE)
    assert min(found.values()) > 130


def test_a_child_takes_every_field_from_a_parent_and_equals_neither():
    space, rng = Listed(FULL), random.Random(4)
    children = {space.crossover("0000", "1110", rng) for _ in range(200)}
    assert {move.operator for move in children} == {"crossover"}
    assert {move.arch for move in children} == {"0010", "0100", "1000", "0110", "1010", "1100"}
    assert space.crossover("0000", "0001", rng).operator == "substitute"
    assert space.crossover("0000", "0000", rng).arch != "0000"


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_separator_makes_fields(separator):
    space = Listed([separator.join(pair) for pair in itertools.product(("conv", "pool"), "12")])
    assert space.fields == (("conv", "pool"), ("1", "2"))
    assert space.complete


def test_without_a_common_separator_every_character_counts():
    assert split(["a-b", "ab"]) == [("a", "-", "b"), ("a", "b", "")]
    space = Listed(["a-b", "ab"])
    assert {space.sample(random.Random(seed)) for seed in range(20)} == {"a-b", "ab"}


def test_a_constant_field_is_no_decision_and_equal_vocabularies_share_a_name():
    space: Any = Listed(["x|a|a|7", "x|a|b|8", "x|b|a|7"])
    decisions = [space.decision(prefix) for prefix in ((), (0,), (0, 0))]
    assert [decision.name for decision in decisions] == ["field0", "field0", "field2"]
    assert space.decision((1, 0)).legal == (0,)
    assert space.decision((0, 0, 0)) is None


def test_one_architecture_is_a_space_too():
    space, rng = Listed(["only"]), random.Random(0)
    assert space.mutate("only", rng) == ("only", "identity")
    assert space.crossover("only", "only", rng).arch == "only"
    assert space.decision(()) is None
    assert space.decode(space.encode("only")) == "only"


@pytest.mark.parametrize("archs", [[], ["a", "a"], ["a", ""]])
def test_a_bad_list_is_refused(archs):
    with pytest.raises(DataError):
        Listed(archs)


def test_what_is_not_listed_is_refused():
    space = Listed(SPARSE)
    for call in (
        lambda: space.encode("3000"),
        lambda: space.mutate("xyz", random.Random(0)),
        lambda: space.decode((0, 0, 0, 1)),  # an odd sum
        lambda: space.decode((0, 0)),
        lambda: space.decode((0, 0, 0, 99)),
    ):
        with pytest.raises(InvalidArchitecture):
            call()
