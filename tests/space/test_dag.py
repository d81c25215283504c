"""Graphs of genes: what has an effect, alignment, and that no operator breaks a graph."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.space.dag import (
    INPUT,
    OUTPUT,
    Dag,
    canonical,
    cross,
    distance,
    join,
    network,
    reached,
    single,
    split,
    toggle,
    told_apart,
)

#: a and b side by side; c is a dead end, d has no way in
GRAPH = Dag(
    (("b", 2), ("a", 1), ("c", 3), ("d", 4)),
    (
        (INPUT, "a", True),
        (INPUT, "b", True),
        ("a", "b", True),
        ("b", OUTPUT, True),
        ("a", OUTPUT, False),
        ("a", "c", True),
        ("d", OUTPUT, True),
    ),
)
seeds = st.integers(0, 2**32)


def value(node):
    return node[1:]


def different(first, second):
    return abs(first[1] - second[1]) / 10


def grown(seed, steps=30):
    rng = random.Random(seed)
    graph = single((rng.randrange(10),))
    for _ in range(steps):
        move = rng.choice((0, 1, 2))
        made = [split(graph, (rng.randrange(10),), rng), join(graph, rng), toggle(graph, rng)][move]
        graph = made or graph
    return graph


def has_no_cycle(graph):
    edges = [(source, target) for source, target, _ in graph.edges]
    names = [node[0] for node in graph.nodes]
    return all(
        name
        not in {
            end for start in [t for s, t in edges if s == name] for end in reached(start, edges)
        }
        for name in names
    )


def test_the_network_is_what_lies_on_a_way_from_the_input_to_the_output():
    nodes, reads = network(GRAPH)
    assert nodes == [("a", 1), ("b", 2)]
    assert reads == {"a": [INPUT], "b": [INPUT, "a"], OUTPUT: ["b"]}
    nodes, reads = network(Dag((), ((INPUT, OUTPUT, True),)))
    assert (nodes, reads) == ([], {OUTPUT: [INPUT]})
    assert network(Dag((("a", 1),), ((INPUT, "a", True),))) == ([], {})


@settings(max_examples=30)
@given(seed=seeds)
def test_operators_never_close_a_cycle_nor_double_a_gene(seed):
    graph = grown(seed)
    assert has_no_cycle(graph)
    names = [node[0] for node in graph.nodes]
    assert len(set(names)) == len(names)
    assert len({edge[:2] for edge in graph.edges}) == len(graph.edges)
    nodes, reads = network(graph)
    ready = {INPUT}
    for name, _ in nodes:  # whatever a node reads comes before it
        assert reads[name]
        assert set(reads[name]) <= ready
        ready.add(name)


def test_a_split_puts_a_node_in_the_place_of_an_edge():
    graph = single((1,))
    made = split(graph, (2,), random.Random(0))
    assert made is not None
    (new,) = [node for node in made.nodes if node not in graph.nodes]
    (gone,) = [edge for edge in graph.edges if edge not in made.edges]
    assert made.edges[-2:] == ((gone[0], new[0], True), (new[0], gone[1], True))
    assert (*gone[:2], False) in made.edges


def test_equal_events_have_equal_names_in_any_relative():
    graph = single((1,))
    one, other = (split(graph, (v,), random.Random(seed)) for v, seed in ((2, 0), (3, 0)))
    assert one is not None
    assert other is not None
    assert [n[0] for n in one.nodes] == [n[0] for n in other.nodes]
    again = toggle_of(one, next(edge for edge in one.edges if not edge[2]))
    twice = [made.nodes[-1][0] for s in range(20) if (made := split(again, (5,), random.Random(s)))]
    assert len({*twice, *(n[0] for n in one.nodes)}) == len(one.nodes) + len(set(twice))


def toggle_of(graph, edge):
    return graph._replace(
        edges=tuple((a, b, on != ((a, b) == edge[:2])) for a, b, on in graph.edges)
    )


def test_toggling_changes_one_edge_and_nothing_else():
    for seed in range(20):
        made = toggle(GRAPH, random.Random(seed))
        assert made is not None
        assert made.nodes == GRAPH.nodes
        assert sum(a != b for a, b in zip(made.edges, GRAPH.edges, strict=True)) == 1


def test_joining_adds_an_edge_that_was_not_there():
    for seed in range(20):
        made = join(GRAPH, random.Random(seed))
        assert made is not None
        assert made.edges[:-1] == GRAPH.edges
        assert made.edges[-1][2]
        assert has_no_cycle(made)
    full = Dag((("a", 1),), ((INPUT, "a", True), ("a", OUTPUT, True), (INPUT, OUTPUT, False)))
    assert join(full, random.Random(0)) is None


@settings(max_examples=30)
@given(seed=seeds)
def test_a_child_has_the_structure_of_the_fitter_and_values_of_both(seed):
    rng = random.Random(seed)
    first, second = grown(seed), grown(seed + 1)
    child = cross(first, second, rng, disabled=0.75)
    assert [edge[:2] for edge in child.edges] == [edge[:2] for edge in first.edges]
    assert [node[0] for node in child.nodes] == [node[0] for node in first.nodes]
    for node in child.nodes:
        assert node in (*first.nodes, *second.nodes)
    theirs = {edge[:2] for edge in second.edges}
    for before, after in zip(first.edges, child.edges, strict=True):
        assert before == after or before[:2] in theirs


@pytest.mark.parametrize("on", [(True, False), (False, True), (False, False)])
def test_an_edge_that_is_disabled_in_a_parent_stays_so_in_three_of_four_children(on):
    one, other = (Dag((("a", 1),), ((INPUT, "a", each), ("a", OUTPUT, True))) for each in on)
    rng = random.Random(0)
    off = [not cross(one, other, rng, disabled=0.75).edges[0][2] for _ in range(2000)]
    assert sum(off) / len(off) == pytest.approx(0.75, abs=0.04)
    both = [cross(one, one, rng, disabled=1.0).edges[1][2] for _ in range(20)]
    assert all(both)


def test_distances_count_genes_of_one_alone_and_compare_those_of_both():
    assert distance(GRAPH, GRAPH, different) == (0.0, 0.0)
    graph = single((1,))
    made = split(graph, (7,), random.Random(0))
    assert made is not None
    assert distance(graph, made, different) == (0.5, 0.0)  # two of four edges
    assert distance(made, graph, different) == (0.5, 0.0)
    far = graph._replace(nodes=((graph.nodes[0][0], 6),))
    assert distance(graph, far, different) == (0.0, 0.5)
    assert distance(Dag((), ()), graph, different) == (1.0, 0.0)


@settings(max_examples=20)
@given(seed=seeds)
def test_the_canonical_form_does_not_depend_on_names_nor_on_what_has_no_effect(seed):
    graph, rng = grown(seed), random.Random(seed)
    names = {
        node[0]: f"other{place}"
        for place, node in enumerate(rng.sample(graph.nodes, len(graph.nodes)))
    }
    renamed = Dag(
        tuple((names[name], *rest) for name, *rest in graph.nodes),
        tuple((names.get(a, a), names.get(b, b), on) for a, b, on in graph.edges),
    )
    assert canonical(renamed, value) == canonical(graph, value)
    without = Dag(graph.nodes, tuple(edge for edge in graph.edges if edge[2]))
    assert canonical(without, value) == canonical(graph, value)


def test_the_canonical_form_tells_values_and_edges_apart():
    forms = {canonical(GRAPH, value)}
    forms.add(canonical(GRAPH._replace(nodes=(("b", 2), ("a", 9), *GRAPH.nodes[2:])), value))
    forms.add(canonical(toggle_of(GRAPH, (INPUT, "b")), value))
    forms.add(canonical(toggle_of(GRAPH, ("a", OUTPUT)), value))
    assert len(forms) == 4
    # two ways that differ behind a common beginning
    labels = dict.fromkeys("abcd", 0) | {INPUT: INPUT, OUTPUT: OUTPUT}
    side = [(INPUT, "a"), (INPUT, "b"), ("a", OUTPUT), ("b", OUTPUT)]
    row = [(INPUT, "a"), ("a", "b"), ("b", OUTPUT)]
    assert told_apart(labels, side) != told_apart(labels, row)
