"""Topologies: genes named by their events, the paper's operators and its distance."""

import random

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.space.topology import BIAS, Topology, hidden
from evolvent.types import Facts

START = (("x0", "y0", 0.5, True), ("x1", "y0", -0.5, True), (BIAS, "y0", 0.1, True))


TASK = Facts("control", "fitness", (8, 3), 2, recurrent=True)


def only(**rates):
    """A space that draws nothing but what `rates` allow."""
    none = {"add_node": 0.0, "add_connection": 0.0, "mutate_weights": 0.0}
    return Topology(**{**none, **rates})


def rng(seed=0):
    return random.Random(seed)


def grown(space, moves=60, seed=0):
    draw = rng(seed)
    arch = space.start(draw)
    for _ in range(moves):
        arch = space.mutate(arch, draw).arch
    return arch


def splits(arch):
    """Split the first connection of a genome, whatever the generator."""
    return only(add_node=1.0).mutate(arch, rng()).arch


def has_cycle(arch):
    left = {(gene[0], gene[1]) for gene in arch}
    while left:
        inner = {edge for edge in left if any(edge[0] == other[1] for other in left)}
        if inner == left:
            return True
        left = inner
    return False


# ---- structure -----------------------------------------------------------------------------------


def test_it_starts_with_every_input_connected_to_every_output_and_nothing_else():
    arch = Topology.of(TASK).start(rng())
    assert [gene[:2] for gene in arch] == [
        (source, target) for target in ("y0", "y1") for source in ("x0", "x1", "x2", BIAS)
    ]
    assert all(gene[3] for gene in arch)
    assert hidden(arch) == []


def test_a_space_is_recurrent_where_the_task_hides_something_unless_told_otherwise():
    assert Topology.of(TASK).recurrent
    assert not Topology.of(TASK, recurrent=False).recurrent


def test_a_new_node_takes_the_place_of_a_connection_and_changes_nothing_yet():
    space = only(add_node=1.0)
    for seed in range(20):
        arch, operator = space.mutate(START, rng(seed))
        assert operator == "add-node"
        (split,) = [gene for gene in arch if not gene[3]]
        into, out = arch[-2:]
        assert (split[0], split[1], split[2], True) in START
        assert into == (split[0], into[1], 1.0, True)
        assert out == (into[1], split[1], split[2], True)
        assert split[0] != BIAS


def test_equal_events_have_equal_names_and_others_have_others():
    space = only(add_node=1.0)
    names: dict[tuple[str, str], set[str]] = {}
    for seed in range(40):
        arch = space.mutate(START, rng(seed)).arch
        split = next(gene[:2] for gene in arch if not gene[3])
        names.setdefault(split, set()).add(arch[-1][0])
    assert {len(each) for each in names.values()} == {1}
    assert len(set.union(*names.values())) == len(names) == 2


def test_a_connection_that_was_split_and_enabled_again_splits_into_another_node():
    space = only(add_node=1.0)
    one = (START[0],)
    first = space.mutate(one, rng()).arch
    again = tuple((*gene[:3], gene[:2] == ("x0", "y0")) for gene in first)
    second = space.mutate(again, rng()).arch
    assert len(hidden(second)) == 2


def test_a_name_tells_how_many_splits_lie_behind_it():
    arch = (("x0", "y0", 1.0, True),)
    for depth in (1, 2, 3):
        arch = only(add_node=1.0).mutate(tuple(arch[-1:]), rng()).arch
        assert arch[-1][0].startswith(f"n{depth}_")


def test_feed_forward_networks_stay_free_of_cycles_and_recurrent_ones_do_not():
    straight = Topology(add_node=0.3, add_connection=0.6)
    free = Topology(recurrent=True, add_node=0.3, add_connection=0.6)
    assert not any(has_cycle(grown(straight, seed=seed)) for seed in range(10))
    assert any(has_cycle(grown(free, seed=seed)) for seed in range(3))


def test_a_new_connection_joins_two_nodes_that_were_not_joined():
    space = only(add_connection=1.0, mutate_weights=1.0)
    arch = splits(splits(START))
    for seed in range(30):
        made, operator = space.mutate(arch, rng(seed))
        if operator == "add-connection":
            assert made[:-1] == arch
            assert made[-1][:2] not in {gene[:2] for gene in arch}
            assert made[-1][1] not in space.inputs
            assert abs(made[-1][2]) <= space.power
    assert operator


def test_where_all_are_joined_other_weights_take_the_place_of_a_new_connection():
    made = only(add_connection=1.0, mutate_weights=1.0).mutate(START, rng())
    assert made.operator == "weights"


# ---- weights -------------------------------------------------------------------------------------


def test_the_rates_of_the_mutations_are_those_of_the_paper():
    space, draw = Topology(), rng(1)
    arch = splits(START)
    made = [space.mutate(arch, draw).operator for _ in range(4000)]
    share = {name: made.count(name) / len(made) for name in set(made)}
    assert share["add-node"] == pytest.approx(0.03, abs=0.01)
    assert share["add-connection"] == pytest.approx(0.05, abs=0.012)
    assert share["weights"] == pytest.approx(0.8 * 0.92, abs=0.03)
    assert share["identity"] == pytest.approx(0.2 * 0.92, abs=0.03)


def test_most_weights_are_perturbed_and_few_are_new():
    space = only(mutate_weights=1.0, power=0.01)
    arch = tuple(("x0", f"y{place}", 5.0, True) for place in range(4000))
    weights = [gene[2] for gene in space.mutate(arch, rng()).arch]
    near = sum(abs(weight - 5.0) <= 0.01 for weight in weights) / len(weights)
    assert near == pytest.approx(0.9, abs=0.02)
    assert all(abs(weight - 5.0) <= 0.01 or abs(weight) <= 0.01 for weight in weights)


def test_weights_stay_within_their_bound():
    arch = grown(only(mutate_weights=1.0, bound=3.0), moves=200)
    assert max(abs(gene[2]) for gene in arch) <= 3.0


# ---- crossover -----------------------------------------------------------------------------------


def test_matching_genes_come_from_either_parent_and_the_rest_from_the_fitter():
    first = splits(START)
    second = tuple((*gene[:2], gene[2] + 10, True) for gene in START) + (("x0", "n9_x", 1.0, True),)
    space, seen = Topology(), set()
    for seed in range(50):
        child = space.crossover(first, second, rng(seed)).arch
        assert [gene[:2] for gene in child] == [gene[:2] for gene in first]
        assert child[-2:] == first[-2:]
        seen.add(tuple(gene[2] > 5 for gene in child[:3]))
    assert len(seen) == 8


def test_a_gene_disabled_in_either_parent_is_disabled_in_three_of_four_children():
    on, off = (("x0", "y0", 1.0, True),), (("x0", "y0", 1.0, False),)
    for first, second in ((on, off), (off, on), (off, off)):
        draw = rng(2)
        found = [Topology().crossover(first, second, draw).arch[0][3] for _ in range(4000)]
        assert 1 - sum(found) / len(found) == pytest.approx(0.75, abs=0.02)
    assert Topology().crossover(on, on, rng()).arch[0][3]


def test_of_equally_fit_parents_the_smaller_gives_the_structure():
    large = splits(START)
    for first, second in ((large, START), (START, large)):
        child = Topology().crossover(first, second, rng(), equal=True).arch
        assert [gene[:2] for gene in child] == [gene[:2] for gene in START]


# ---- distance ------------------------------------------------------------------------------------


def distances(space, arch, others):
    return space.alignment(others)(arch, np.arange(len(others))).tolist()


@pytest.mark.parametrize("excess", [1.0, 2.5])
def test_distances_to_many_are_those_gene_by_gene(excess):
    """As the paper has them, written down once more, for genomes of any age and size."""
    space = Topology((3,), 2, recurrent=True, excess=excess, disjoint=1.0, weight=0.7, small=12)
    archs = [space.sample(random.Random(seed)) for seed in range(40)]

    def one(first, second):
        mine, theirs = ({gene[:2]: gene[2] for gene in arch} for arch in (first, second))
        both = mine.keys() & theirs.keys()
        ages = [{ends: age(ends) for ends in each} for each in (mine, theirs)]
        beyond = sum(
            value > max(other.values())
            for each, other in (ages, ages[::-1])
            for value in each.values()
        )
        lonely, larger = len(mine) + len(theirs) - 2 * len(both), max(len(mine), len(theirs))
        scale = 1 if larger < 12 else larger
        mean = sum(abs(mine[ends] - theirs[ends]) for ends in both) / max(1, len(both))
        return (lonely - beyond + excess * beyond) / scale + 0.7 * mean

    def age(ends):
        return max(int(end[1 : end.index("_")]) if end[0] == "n" else 0 for end in ends)

    for arch in archs[:10]:
        assert distances(space, arch, archs) == pytest.approx([one(arch, other) for other in archs])
    some = np.array([7, 3])
    far = space.alignment(archs)
    assert far(archs[0], some).tolist() == far(archs[0], np.arange(40))[some].tolist()


def test_a_crossover_may_take_means_of_weights():
    first, second = (tuple((*gene[:2], value, True) for gene in START) for value in (1.0, 4.0))
    child = Topology(average=1.0).crossover(first, second, rng()).arch
    assert {gene[2] for gene in child} == {2.5}
    child = Topology().crossover(first, second, rng()).arch
    assert {gene[2] for gene in child} <= {1.0, 4.0}


def test_the_distance_counts_lonely_genes_and_weighs_the_differences_of_the_others():
    space = Topology()
    other = tuple((*gene[:2], gene[2] + 1.5, gene[3]) for gene in START)
    near, same, split = distances(space, START, [other, START, splits(START)])
    assert near == pytest.approx(0.4 * 1.5)
    assert same == 0
    assert split == 2.0  # two genes that only one has, over 1: both are small


def test_large_genomes_divide_by_their_size_where_the_paper_says_so():
    large = tuple(("x0", f"y{place}", 0.0, True) for place in range(40))
    assert distances(Topology(small=20), large, [large[:30]]) == [10 / 40]
    assert distances(Topology(small=20), large[:30], [large]) == [10 / 40]
    assert distances(Topology(small=41), large, [large[:30]]) == [10]
    assert distances(Topology(), large, [large[:30]]) == [10]


def test_a_start_may_have_hidden_nodes_between_inputs_and_outputs():
    space, rng = Topology((2,), 2, hidden=3), random.Random(0)
    arch = space.start(rng)
    assert len(hidden(arch)) == 3
    assert len(arch) == 3 * 3 + 3 * 2
    assert {gene[0] for gene in arch} == {*space.inputs, *hidden(arch)}
    assert [gene[:2] for gene in space.start(rng)] == [gene[:2] for gene in arch]


def test_excess_genes_are_those_of_later_splits_than_the_other_genome_has():
    space = Topology(excess=10.0, disjoint=1.0, weight=0.0)
    split = splits(START)
    assert distances(space, START, [split]) == distances(space, split, [START]) == [20.0]
    elsewhere = (*START, ("x1", "n1_other", 1.0, True), ("n1_other", "y0", 1.0, True))
    assert distances(space, split, [elsewhere]) == [4.0]  # of the same age: disjoint


def test_equal_networks_have_equal_canonical_forms():
    space, arch = Topology(), splits(START)
    assert space.canonical(arch) == space.canonical(arch[::-1])
    assert all(gene[3] for gene in space.canonical(arch))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"add_node": 1.2}, "add_node=1.2"),
        ({"disabled": -0.1}, "disabled=-0.1"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"power": 9.0}, "power=9.0, bound=8.0"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong, named):
    with pytest.raises(SettingError, match=named):
        Topology(**wrong)
