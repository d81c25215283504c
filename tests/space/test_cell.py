"""Pairs of cells in the dialects of the papers."""

import itertools
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.space.cell import INPUTS, OPERATIONS, Cell, loose_ends

DIALECTS = {
    "nasnet": Cell(operations="nasnet", nodes=5, combine=("add", "concat"), output="loose"),
    "amoebanet": Cell(operations="amoebanet", nodes=5, output="loose"),
    "darts": Cell(operations="darts", nodes=4, output="all", distinct=True),
    "enas": Cell(operations="enas", nodes=5, output="loose", zero=False),
    "plain": Cell(operations="plain", nodes=3, output="loose"),
    "gdas-frc": Cell(operations="darts", nodes=4, distinct=True, reduction="fixed"),
}
every_dialect = pytest.mark.parametrize("space", DIALECTS.values(), ids=DIALECTS)
mixed_dialect = pytest.mark.parametrize(
    "space", [DIALECTS[name] for name in DIALECTS if name != "nasnet"], ids=list(DIALECTS)[1:]
)


def samples(space, count, seed=0):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


# ---- what a cell is ------------------------------------------------------------------------------


@every_dialect
def test_a_node_reads_two_earlier_states_with_operations_of_the_space(space):
    for arch in samples(space, 200):
        assert [len(cell) for cell in arch] == [space.nodes for _ in space.cells]
        for cell in arch:
            for index, (first, op_first, second, op_second, combine) in enumerate(cell):
                assert 0 <= min(first, second) <= max(first, second) < index + INPUTS
                assert {op_first, op_second} <= set(space.operations)
                assert combine in space.combine
                assert first != second or not space.distinct


def test_the_papers_numbers_of_operations_hold():
    sizes = {name: len(operations) for name, operations in OPERATIONS.items()}
    assert sizes == {"nasnet": 13, "amoebanet": 8, "darts": 7, "enas": 5, "nao": 9, "plain": 6}
    assert all(len(set(operations)) == len(operations) for operations in OPERATIONS.values())


def test_sampling_is_uniform_over_small_spaces():
    space = Cell(operations=("conv_1x1", "conv_3x3"), nodes=1)
    counts = Counter(samples(space, 25_600))
    assert len(counts) == 256  # (2 x 2 states x 2 x 2 operations) squared
    assert max(abs(count - 100) for count in counts.values()) < 5 * 10  # sd: 10


def test_where_the_reduction_cell_is_fixed_an_architecture_is_the_normal_cell():
    space = Cell(operations=("conv_1x1", "conv_3x3"), nodes=1, reduction="fixed")
    assert space.cells == ("normal",)
    counts = Counter(samples(space, 1600))
    assert len(counts) == 16
    assert max(abs(count - 100) for count in counts.values()) < 5 * 10
    assert all(len(arch) == 1 for arch in counts)
    assert [group.name for group in space.groups()] == ["normal"]
    assert len(space.encode(next(iter(counts)))) == 4
    assert space.decision((0, 1, 0, 0)) is None


def test_loose_ends_are_the_nodes_that_no_node_reads():
    def node(first, second):
        return (first, "a", second, "b", "add")

    assert loose_ends((node(0, 1), node(0, 1), node(1, 1))) == (2, 3, 4)
    assert loose_ends((node(0, 1), node(2, 2), node(3, 0))) == (4,)
    assert loose_ends((node(0, 1), node(0, 0), node(2, 1))) == (3, 4)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"operations": "dart"}, "did you mean 'darts'"),
        ({"operations": ["conv_3x3", "conv_3_3"]}, "did you mean 'conv_3x3'"),
        ({"operations": ["conv_3x3"]}, "at least two"),
        ({"operations": ["conv_3x3", "conv_3x3"]}, "each once"),
        ({"nodes": 0}, "at least 1 node"),
        ({"output": "some"}, "unknown output of a cell"),
        ({"combine": ()}, "unknown combination"),
        ({"combine": ("add", "multiply")}, "unknown combination"),
        ({"reduction": "fix"}, "did you mean 'fixed'"),
    ],
)
def test_a_setting_outside_its_rule_is_refused(setting, words):
    with pytest.raises(SettingError, match=words):
        Cell(**setting)


def test_only_a_space_that_always_adds_has_a_mixture():
    assert "mixture" in DIALECTS["darts"].gives
    assert "mixture" not in DIALECTS["nasnet"].gives
    assert "mixture" not in Cell(combine=("concat",)).gives


# ---- mutation ------------------------------------------------------------------------------------


def differences(first, second):
    """The (cell, node, position)s in which two architectures differ."""
    return [
        (cell, node, position)
        for cell in range(len(first))
        for node in range(len(first[cell]))
        for position in range(5)
        if first[cell][node][position] != second[cell][node][position]
    ]


@every_dialect
def test_a_mutation_changes_one_thing_and_says_which(space):
    rng = random.Random(1)
    kinds = {0: "hidden-state", 1: "op", 2: "hidden-state", 3: "op", 4: "combine"}
    for arch in samples(space, 300):
        move = space.mutate(arch, rng)
        ((_, _, position),) = differences(arch, move.arch)
        assert move.operator == kinds[position]


@pytest.mark.parametrize("name", ["nasnet", "amoebanet", "enas", "plain"])
def test_the_kinds_of_mutation_are_equally_likely(name):
    space, rng = DIALECTS[name], random.Random(2)
    count = 6000
    found = Counter(space.mutate(arch, rng).operator for arch in samples(space, count))
    kinds = {"hidden-state", "op"} | ({"combine"} if name == "nasnet" else set())
    assert set(found) == kinds
    share = 1 / len(kinds)
    deviation = (count * share * (1 - share)) ** 0.5
    assert all(abs(n - count * share) < 4 * deviation for n in found.values())


@every_dialect
def test_every_node_of_both_cells_is_mutated_and_every_operation_is_reached(space):
    rng = random.Random(3)
    arch = samples(space, 1)[0]
    places, operations = set(), set()
    for _ in range(4000):
        child = space.mutate(arch, rng).arch
        ((cell, node, position),) = differences(arch, child)
        places.add((cell, node))
        if position in (1, 3):
            operations.add(child[cell][node][position])
    assert len(places) == len(space.cells) * space.nodes
    assert operations == set(space.operations)


def test_a_space_of_one_node_without_another_state_still_mutates():
    space = Cell(nodes=1, distinct=True)
    arch = space.sample(random.Random(0))
    assert {space.mutate(arch, random.Random(seed)).operator for seed in range(50)} == {"op"}


@every_dialect
def test_a_child_has_every_node_from_a_parent(space):
    rng = random.Random(4)
    mothers, fathers = samples(space, 100, seed=5), samples(space, 100, seed=6)
    for mother, father in zip(mothers, fathers, strict=True):
        child = space.crossover(mother, father, rng).arch
        for cells in zip(child, mother, father, strict=True):
            assert all(node in (one, two) for node, one, two in zip(*cells, strict=True))


# ---- decisions -----------------------------------------------------------------------------------


def test_the_decisions_of_a_node_come_in_the_order_of_enas():
    space = DIALECTS["nasnet"]
    arch = samples(space, 1)[0]
    choices = space.encode(arch)
    assert len(choices) == 2 * 5 * 5
    names = []
    for at in range(10):
        decision = space.decision(choices[:at])
        assert decision is not None
        names.append(decision.name)
    assert names == ["state", "state", "operation", "operation", "combine"] * 2
    first, op_first, second, op_second, combine = arch[0][0]
    assert choices[:5] == (
        first,
        second,
        space.operations.index(op_first),
        space.operations.index(op_second),
        space.combine.index(combine),
    )


def test_pointers_of_all_nodes_share_one_vocabulary():
    space = DIALECTS["enas"]
    choices = space.encode(samples(space, 1)[0])
    decisions = [space.decision(choices[:at]) for at in range(len(choices))]
    pointers = [each for each in decisions if each is not None and each.kind == "pointer"]
    assert {each.size for each in pointers} == {6}  # states 0 to 5: two inputs, four nodes to read
    assert [len(each.legal) for each in pointers] == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6] * 2


@every_dialect
def test_symmetric_forms_are_found_and_are_the_same_network(space):
    rng = random.Random(7)
    for arch in samples(space, 20):
        forms = {space.equivalents(space.encode(arch), rng) for _ in range(20)}
        assert len(forms) > 1
        assert {space.canonical(space.decode(form)) for form in forms} == {space.canonical(arch)}


# ---- mixture -------------------------------------------------------------------------------------


def test_rows_are_edges_and_columns_are_operations():
    normal, reduction = DIALECTS["darts"].groups()
    assert (normal.name, reduction.name) == ("normal", "reduction")
    assert len(normal.rows) == 2 + 3 + 4 + 5
    assert normal.rows[:5] == ("0>2", "1>2", "0>3", "1>3", "2>3")
    assert normal.columns == ("none", *OPERATIONS["darts"])
    assert DIALECTS["enas"].groups()[0].columns == OPERATIONS["enas"]


@mixed_dialect
def test_a_one_hot_mixture_leads_back_to_its_architecture(space):
    for arch in samples(space, 300):
        derived = space.derive(space.one_hot(arch))
        assert space.canonical(derived) == space.canonical(arch)


@mixed_dialect
def test_a_one_hot_mixture_counts_two_branches_per_node(space):
    for arch in samples(space, 50):
        for group in space.groups():
            weights = space.one_hot(arch)[group.name]
            assert weights.shape == (len(group.rows), len(group.columns))
            assert weights.sum() == 2 * space.nodes
            assert set(np.unique(weights)) <= {0, 1, 2}
            for node in range(space.nodes):
                rows = [at for at, row in enumerate(group.rows) if row.endswith(f">{node + 2}")]
                assert weights[rows].sum() == 2


def test_darts_keeps_the_two_strongest_edges_and_never_none():
    space = Cell(operations=("conv_1x1", "conv_3x3"), nodes=2, distinct=True)
    normal = np.array(
        [
            [0.90, 0.05, 0.05],  # 0>2: only two states to read, so both are kept
            [0.10, 0.30, 0.60],  # 1>2
            [0.80, 0.15, 0.05],  # 0>3: weakest without none
            [0.00, 0.70, 0.30],  # 1>3: strongest
            [0.20, 0.20, 0.60],  # 2>3
        ]
    )
    derived = space.derive({"normal": normal, "reduction": normal})
    assert derived[0] == (
        (0, "conv_1x1", 1, "conv_3x3", "add"),
        (1, "conv_1x1", 2, "conv_3x3", "add"),
    )
    assert derived[1] == derived[0]


# ---- equal networks ------------------------------------------------------------------------------


def swapped(cell, rng):
    """The cell with the branches of random nodes exchanged."""
    return tuple(
        (node[2], node[3], node[0], node[1], node[4]) if rng.random() < 0.5 else node
        for node in cell
    )


def reordered(cell, rng):
    """The cell with its nodes in another order in which every state is made before it is read."""
    left, order = list(range(len(cell))), []
    while left:
        ready = [
            node
            for node in left
            if all(state < INPUTS or state - INPUTS in order for state in cell[node][0:3:2])
        ]
        order.append(rng.choice(ready))
        left.remove(order[-1])
    return relabelled(cell, order)


def relabelled(cell, order):
    label = {0: 0, 1: 1} | {node + INPUTS: place + INPUTS for place, node in enumerate(order)}
    return tuple(
        (label[first], op_first, label[second], op_second, combine)
        for first, op_first, second, op_second, combine in (cell[node] for node in order)
    )


@every_dialect
def test_canonical_forgets_the_order_of_branches_and_of_nodes(space):
    rng = random.Random(8)
    moved = 0
    for arch in samples(space, 150):
        other = tuple(reordered(swapped(cell, rng), rng) for cell in arch)
        moved += other != arch
        assert space.canonical(other) == space.canonical(arch)
    assert moved > 100


@every_dialect
def test_canonical_is_an_architecture_of_its_own_class(space):
    for arch in samples(space, 100):
        canonical = space.canonical(arch)
        assert space.canonical(canonical) == canonical
        assert space.decode(space.encode(canonical)) == canonical


@pytest.mark.parametrize(("nodes", "classes"), [(1, 10), (2, 165)])
def test_canonical_tells_exactly_the_isomorphic_cells_apart(nodes, classes):
    """All cells of two operations, sorted by brute force: every order of nodes and of branches.

    By hand, two nodes: 10 x 11 chains, and 55 unordered pairs that both read the inputs.
    """
    space = Cell(operations=("conv_1x1", "conv_3x3"), nodes=nodes)
    cells, by_force = all_cells(space), defaultdict(set)
    for cell in cells:
        by_force[brute_force(cell)].add(space.canonical((cell, cells[0]))[0])
    assert all(len(forms) == 1 for forms in by_force.values())
    assert len(set.union(*by_force.values())) == len(by_force) == classes


def all_cells(space):
    prefixes: list[tuple[int, ...]] = [()]
    for _ in range(4 * space.nodes):
        prefixes = [(*each, value) for each in prefixes for value in space.decision(each).legal]
    return [space.decode(each + each)[0] for each in prefixes]


def brute_force(cell):
    forms = []
    for order in itertools.permutations(range(len(cell))):
        place = {node + INPUTS: at for at, node in enumerate(order)}
        if all(
            state < INPUTS or place[state] < place[node + INPUTS]
            for node in order
            for state in cell[node][0:3:2]
        ):
            moved = relabelled(cell, order)
            forms.append(tuple((*sorted([node[:2], node[2:4]]), node[4]) for node in moved))
    return min(forms)
