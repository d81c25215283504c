"""The space of texts: what is valid, what has no effect, moves, limits, known members, the recipe."""

import random

import pytest

from evolvent.errors import InvalidArchitecture, SettingError
from evolvent.space import sample_decisions
from evolvent.space.text import BRANCHES, GENES, LR, NAMES, ORDER, Text, kernels_of
from evolvent.space.text_members import MEMBERS, USUAL
from evolvent.types import Facts

SPACE = Text(1_000, 2, (256,))
FACTS = Facts("text", "accuracy", (256,), 2, vocabulary=1_000)


def arch(**genes):
    return SPACE.normal(tuple((USUAL | {"orders": 2} | genes).values()))


def test_the_usual_genes_are_those_of_the_space_in_its_order():
    assert tuple(USUAL) == NAMES
    assert sorted(ORDER) == sorted(NAMES)
    assert all(set(said) <= set(NAMES) for said in MEMBERS.values())
    for said in MEMBERS.values():
        assert all(value in GENES[name] for name, value in (USUAL | said).items())


@pytest.mark.parametrize(
    ("same", "genes"),
    [
        (True, {"filters": 16}),
        (True, {"dimension": 64}),
        (True, {"dropout": 0.2}),
        (False, {"bits": 18}),
        (False, {"start": "fresh"}),
        (False, {"width": 16}),
        (False, {"rate": 2.0}),
    ],
)
def test_genes_of_a_branch_that_is_missing_have_no_effect(same, genes):
    assert (SPACE.canonical(arch(**genes)) == SPACE.canonical(arch())) == same


def test_only_a_table_of_logits_starts_from_naive_bayes():
    assert SPACE.genes(arch(width=16)).start == "fresh"
    assert SPACE.genes(arch()).start == "bayes"


def test_every_way_to_an_architecture_ends_with_a_branch():
    rng = random.Random(0)
    found = [SPACE.sample(rng) for _ in range(200)]
    found += [SPACE.decode(sample_decisions(SPACE, rng)) for _ in range(200)]
    found += [SPACE.mutate(each, rng).arch for each in found[:200]]
    found += [
        SPACE.crossover(*pair, rng).arch for pair in zip(found[:200], found[200:400], strict=True)
    ]
    for each in found:
        assert SPACE.checked(each) == each
        assert any(each[NAMES.index(name)] != GENES[name][0] for name in BRANCHES)
    on = [tuple(each[NAMES.index(name)] != GENES[name][0] for name in BRANCHES) for each in found]
    assert len(set(on)) == 7


def test_a_mutation_changes_one_gene_and_what_depends_on_it():
    rng = random.Random(1)
    seen = set()
    for _ in range(300):
        move = SPACE.mutate(arch(), rng)
        seen.add(move.operator)
        differ = {n for n, a, b in zip(NAMES, arch(), move.arch, strict=True) if a != b}
        assert move.operator in differ
        if move.operator not in (*BRANCHES, "width"):
            assert differ == {move.operator}
    assert {"orders", "convolutions", "gru", "rate", "bits"} <= seen
    assert "filters" not in seen  # there are no convolutions


def test_what_is_switched_on_by_a_mutation_has_usual_genes():
    rng = random.Random(2)
    moves = [SPACE.mutate(arch(), rng) for _ in range(300)]
    found = [SPACE.genes(move.arch) for move in moves if move.operator == "convolutions"]
    assert found
    for each in found:
        assert (each.filters, each.dimension, each.window, each.dropout) == (64, 32, 256, 0.5)


@pytest.mark.parametrize("outputs", [2, 3, 40, 5_000])
def test_no_table_is_larger_than_the_limit(outputs):
    space = Text(1_000, outputs, (256,), numbers=2**21 if outputs < 100 else 2**29)
    rng = random.Random(3)
    found = [space.sample(rng) for _ in range(100)]
    found += [space.decode(sample_decisions(space, rng)) for _ in range(100)]
    found += [space.mutate(each, rng).arch for each in found]
    found += space.known(FACTS).values()
    for each in map(space.genes, found):
        columns = each.width if each.width > 1 else 1 if outputs == 2 else outputs
        assert not each.orders or columns * 2**each.bits <= space.numbers


def test_known_members_are_of_the_space_the_pairs_of_naive_bayes_first():
    known = SPACE.known(FACTS)
    assert list(known) == list(MEMBERS)
    for each in known.values():
        assert SPACE.checked(each) == each
    first = SPACE.genes(next(iter(known.values())))
    assert (first.orders, first.width, first.start, first.counted) == (2, 1, "bayes", "set")
    without = Text(1_000, 2, (256,), orders=(0,), convolutions=("none", "3-4-5"))
    assert list(without.known(FACTS)) == ["kim"]


def test_an_own_member_is_asked_first_and_a_wrong_one_refused():
    own = arch(orders=3)
    assert next(iter(Text(1_000, 2, (256,), known=own).known(FACTS).items())) == ("own", own)
    with pytest.raises(SettingError, match=r"space.known.*orders"):
        Text(1_000, 2, (256,), known=[own[:-1]])


def test_the_recipe_is_part_of_the_architecture():
    said = SPACE.training(arch(rate=4.0, label_smoothing=0.1))
    assert said == {
        "lr": 4 * LR,
        "weight_decay": 0.0,
        "label_smoothing": 0.1,
        "schedule": "cosine",
        "longest": 3.0,
    }


def test_what_is_no_architecture_is_refused_by_name():
    for wrong, what in (
        ((1, 2), "orders, bits"),
        ((*arch()[:1], 3, *arch()[2:]), "bits 3"),
        (tuple(USUAL.values()), "no branch"),
    ):
        with pytest.raises(InvalidArchitecture, match=what):
            SPACE.checked(wrong)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"orders": (4,)}, "orders"),
        ({"orders": (0,), "convolutions": ("none",), "grus": (0,)}, "no branch"),
        ({"numbers": 10}, "numbers=10"),
    ],
)
def test_wrong_settings_are_refused(settings, what):
    with pytest.raises(SettingError, match=what):
        Text(1_000, 2, (256,), **settings)


def test_it_is_for_texts():
    with pytest.raises(SettingError, match="--text"):
        Text(0, 2, (3, 8, 8))


def test_a_drawing_has_the_branches_and_the_recipe():
    drawn = SPACE.drawing(arch(convolutions="3-4-5", gru=16))
    ids = {node.id for node in drawn.nodes}
    assert {"input", "bag", "vectors", "convolutions", "gru", "output"} <= ids
    assert dict(drawn.facts)["learning rate"] == "0.001"
    assert "bag" not in {node.id for node in SPACE.drawing(arch(orders=0, gru=16)).nodes}


def test_kernels_are_read_from_their_name():
    assert kernels_of("none") == ()
    assert kernels_of("2-3-4-5") == (2, 3, 4, 5)
