"""Acyclic graphs of genes that grow as in NEAT: the common base of modules and blueprints.

A graph is ``(nodes, edges)`` in the order in which they were added: nodes ``(name, *values)``, edges
``(source, target, enabled)`` between nodes, the input ``x`` and the output ``y``. An edge is identified
by its two ends, a node by the edge that it split, so that equal events give equal genes in every
lineage and every process, and genomes align without a global counter. Disabled edges still count for
cycles: no new edge may close one through them, because a child may enable them again.

A node or edge is active if it lies on a path of enabled edges from the input to the output.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from .genes import derived, digest

INPUT, OUTPUT = "x", "y"
Node = tuple[Any, ...]
Edge = tuple[str, str, bool]
Values = Callable[[Node, Node], float]  # difference of two nodes of one name, 0..1


class Dag(NamedTuple):
    """The genes of a graph."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def on(self) -> list[tuple[str, str]]:
        """Return the enabled edges."""
        return [(source, target) for source, target, enabled in self.edges if enabled]

    def with_nodes(self, values: Callable[[Node], Node]) -> Dag:
        """Return the graph with `values` applied to every node."""
        return self._replace(nodes=tuple(values(node) for node in self.nodes))


def single(values: tuple[Any, ...]) -> Dag:
    """Return the smallest graph: one node between input and output, as if it had split their edge."""
    name = derived(f"split {INPUT} {OUTPUT}", ())
    return Dag(((name, *values),), ((INPUT, name, True), (name, OUTPUT, True)))


# ---- the active part -----------------------------------------------------------------------------


def network(graph: Dag) -> tuple[list[Node], dict[str, list[str]]]:
    """Return the active nodes in topological order, and name -> sources of each.

    The sources of the output are included under its own name, unless no path leads there.
    """
    edges = graph.on()
    forward = reached(INPUT, edges)
    backward = reached(OUTPUT, [(target, source) for source, target in edges])
    within = forward & backward
    reads: dict[str, list[str]] = {name: [] for name in within if name != INPUT}
    for source, target in edges:
        if source in within and target in within:
            reads[target].append(source)
    waiting = [node for node in graph.nodes if node[0] in within]
    ready, order = {INPUT}, list[Node]()
    while waiting:  # in the order of the genes as far as the edges allow
        free = next(node for node in waiting if ready.issuperset(reads[node[0]]))
        waiting.remove(free)
        order.append(free)
        ready.add(free[0])
    return order, reads


def reached(start: str, edges: Collection[tuple[str, str]]) -> set[str]:
    """Return all nodes that a path from `start` leads to, itself included."""
    found, fresh = {start}, {start}
    while fresh:
        fresh = {target for source, target in edges if source in fresh} - found
        found |= fresh
    return found


def canonical(graph: Dag, value: Callable[[Node], Any]) -> tuple[Any, ...]:
    """Return the active part of a graph, independent of the names of its nodes.

    Args:
        graph: nodes and edges.
        value: node -> its values without its name.
    """
    nodes, reads = network(graph)
    labels = {node[0]: value(node) for node in nodes} | {INPUT: INPUT, OUTPUT: OUTPUT}
    edges = [(source, target) for target, sources in reads.items() for source in sources]
    return told_apart(labels, edges)


def told_apart(
    labels: Mapping[str, Any], edges: Collection[tuple[str, str]]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return nodes and edges of a graph with digests in place of the names of nodes.

    A node's digest covers its label and the digests of its sources and targets; this is repeated
    until no further nodes are told apart (colour refinement).

    Args:
        labels: name of a node -> its label, equal for nodes that do the same.
        edges: (source, target) pairs of names.
    """
    sources: dict[str, list[str]] = {name: [] for name in labels}
    targets: dict[str, list[str]] = {name: [] for name in labels}
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    told = {name: digest(label) for name, label in labels.items()}
    while True:
        known = len(set(told.values()))
        told = {
            name: digest(
                own,
                sorted(told[other] for other in sources[name]),
                sorted(told[other] for other in targets[name]),
            )
            for name, own in told.items()
        }
        if len(set(told.values())) == known:
            break
    return tuple(sorted(told.values())), tuple(sorted((told[a], told[b]) for a, b in edges))


# ---- operators: each returns another graph, or None where it does not apply ----------------------


def split(graph: Dag, values: tuple[Any, ...], rng: random.Random) -> Dag | None:
    """Disable an active edge, and put a node of `values` in its place."""
    _, reads = network(graph)
    ways = [(source, target) for source, target in graph.on() if source in reads.get(target, ())]
    if not ways:
        return None
    source, target = rng.choice(ways)
    name = derived(f"split {source} {target}", {node[0] for node in graph.nodes})
    edges = _switched(graph, (source, target)).edges
    return Dag(
        (*graph.nodes, (name, *values)), (*edges, (source, name, True), (name, target, True))
    )


def join(graph: Dag, rng: random.Random) -> Dag | None:
    """Add an edge between two unconnected nodes that closes no cycle."""
    names = [node[0] for node in graph.nodes]
    pairs = [(source, target) for source, target, _ in graph.edges]
    free = [
        (source, target)
        for target in (*names, OUTPUT)
        for source in (INPUT, *names)
        if (source, target) not in pairs and source not in reached(target, pairs)
    ]
    return graph._replace(edges=(*graph.edges, (*rng.choice(free), True))) if free else None


def toggle(graph: Dag, rng: random.Random) -> Dag | None:
    """Disable an enabled edge, or enable a disabled one."""
    if not graph.edges:
        return None
    source, target, _ = rng.choice(graph.edges)
    return _switched(graph, (source, target))


def cross(first: Dag, second: Dag, rng: random.Random, *, disabled: float) -> Dag:
    """Return a child with the structure of `first`; genes that both have come from either parent.

    Args:
        first: the fitter parent, which gives the structure.
        second: the other one.
        rng: makes the choices.
        disabled: probability that a common edge is disabled, if it is in either parent. [0..1]
    """
    nodes = {node[0]: node for node in second.nodes}
    edges = {(source, target): enabled for source, target, enabled in second.edges}

    def edge(source: str, target: str, enabled: bool) -> Edge:
        other = edges.get((source, target))
        if other is None or (enabled and other):
            return source, target, enabled
        return source, target, rng.random() >= disabled

    return Dag(
        tuple(rng.choice((node, nodes.get(node[0], node))) for node in first.nodes),
        tuple(edge(*each) for each in first.edges),
    )


def distance(first: Dag, second: Dag, values: Values) -> tuple[float, float]:
    """Return the distances of two genomes in structure and in values, each 0..1.

    Structure is the share of edges that only one has; values, the mean difference of the nodes that
    both have.
    """
    mine = {(source, target) for source, target, _ in first.edges}
    theirs = {(source, target) for source, target, _ in second.edges}
    nodes = {node[0]: node for node in second.nodes}
    apart = [values(node, nodes[node[0]]) for node in first.nodes if node[0] in nodes]
    return (
        len(mine ^ theirs) / max(1, len(mine | theirs)),
        sum(apart) / len(apart) if apart else 0.0,
    )


def _switched(graph: Dag, ends: tuple[str, str]) -> Dag:
    edges = tuple((a, b, on != ((a, b) == ends)) for a, b, on in graph.edges)
    return graph._replace(edges=edges)
