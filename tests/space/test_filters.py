"""Filters, the genome of EXACT: what is valid, each mutation, innovation, crossover, equal networks."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.errors import SettingError
from evolvent.space import key
from evolvent.space.filters import (
    IMAGE,
    MOST_ENDS,
    Edge,
    Filters,
    Genome,
    Map,
    Shape,
    genome,
    kernel,
)
from evolvent.space.genes import DERIVED, derived
from evolvent.types import freeze

SPACES = {
    "paper": Filters((1, 28, 28), pool=1),
    "pooled colour": Filters((3, 32, 32), 4),
    "odd": Filters((2, 7, 6), 3, add_map=4.0, maps=12),
    "tight": Filters((1, 8, 8), 3, multiply_adds=900, grown=60),
    "one pixel": Filters((1, 1, 1), 1, maps=2),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
seeds = st.integers(0, 2**32)
ODD = Filters((1, 8, 6), 2)
#: two maps in a row, one beside them, and one that leads nowhere
MIDDLE = Genome(
    (Map("aaa", 0.25, 5, 4), Map("bbb", 0.5, 7, 3), Map("ccc", 0.5, 3, 3), Map("ddd", 0.75, 2, 2)),
    (
        Edge(IMAGE, "aaa", True),
        Edge("aaa", "bbb", True),
        Edge("bbb", "y0", True),
        Edge("aaa", "y1", True),
        Edge(IMAGE, "ccc", True),
        Edge("ccc", "y1", True),
        Edge(IMAGE, "y0", False),
        Edge("bbb", "ddd", True),
    ),
)
MUTATIONS = {
    "disable-edge": 1.0,
    "enable-edge": 2.0,
    "split-edge": 2.0,
    "add-edge": 4.0,
    "change-size": 1.0,
    "change-height": 0.5,
    "change-width": 0.5,
}


def random_walk(space, seed, steps=200):
    """The architectures of a random walk, crossovers with others of it among the moves."""
    rng = random.Random(seed)
    arch, operator = space.sample(rng), "sample"
    seen = [arch]
    for step in range(steps):
        yield arch, operator
        if step % 5 == 4:
            arch, operator = space.crossover(arch, rng.choice(seen), rng)
        else:
            arch, operator = space.mutate(arch, rng)
        seen.append(arch)


def made(operator, genes=MIDDLE, count=300, space=ODD):
    """What an operator makes of a genome, where it applies and is valid."""
    rng = random.Random(0)
    tries = [space.mutations[operator](genes, rng) for _ in range(count)]
    return [each for each in tries if each is not None and not space.problem(each)]


def added(old, new):
    """The map that `new` has and `old` has not, and the edges at it."""
    ((name, node),) = new.named().items() - old.named().items()
    return node, {edge.ends for edge in new.edges if name in edge.ends}


def renamed(arch, rng):
    maps, edges = arch
    names = {each[0]: f"other{place}" for place, each in enumerate(rng.sample(maps, len(maps)))}
    return Genome(
        tuple(Map(names[name], *rest) for name, *rest in maps),
        tuple(Edge(names.get(a, a), names.get(b, b), on) for a, b, on in edges),
    ).plain()


# ---- what is valid -------------------------------------------------------------------------------


@every_space
@settings(max_examples=4)
@given(seed=seeds)
def test_two_hundred_moves_stay_within_every_limit(space, seed):
    for arch, _ in random_walk(space, seed):
        genes = genome(arch)
        assert space.problem(genes) == ""
        assert freeze(json.loads(json.dumps(arch))) == arch == genes.plain()
        assert len(genes.maps) <= space.maps
        depths = {IMAGE: 0.0} | dict.fromkeys(space.names, 1.0)
        for name, depth, height, width in genes.maps:
            assert len(name) == DERIVED
            assert 0 < depth < 1
            assert min(height, width) >= 1
            depths[name] = depth
        assert len(depths) == len(genes.maps) + 1 + space.outputs, "a name is used twice"
        assert all(depths[source] < depths[target] for source, target, _ in genes.edges)
        assert len({edge.ends for edge in genes.edges}) == len(genes.edges)


@every_space
@settings(max_examples=4)
@given(seed=seeds)
def test_every_node_of_the_network_lies_on_a_way_from_the_image_to_an_output(space, seed):
    for arch, _ in random_walk(space, seed, 50):
        nodes, edges = space.network(genome(arch))
        assert {IMAGE, *space.names} <= nodes.keys()
        assert {source for source, _ in edges} == nodes.keys() - set(space.names)
        assert {target for _, target in edges} == nodes.keys() - {IMAGE}
        enabled = {edge.ends for edge in genome(arch).edges if edge.enabled}
        assert set(edges) <= enabled
        order = list(nodes)
        assert all(order.index(source) < order.index(target) for source, target in edges)
        cost = sum(nodes[a].numbers * nodes[b].numbers for a, b in edges)
        assert cost <= space.multiply_adds


def test_what_leads_nowhere_is_no_part_of_the_network():
    nodes, edges = ODD.network(MIDDLE)
    assert list(nodes) == [IMAGE, "aaa", "bbb", "ccc", "y0", "y1"]
    assert set(edges) == {
        edge.ends for edge in MIDDLE.edges if edge.enabled and edge.target != "ddd"
    }
    assert nodes["bbb"] == Shape(1, 7, 3)
    assert nodes["y1"] == Shape(1, 1, 1)


def test_a_genome_without_a_way_to_every_output_is_none():
    cut = MIDDLE._replace(edges=tuple(e for e in MIDDLE.edges if e.ends != ("bbb", "y0")))
    assert ODD.problem(cut) == "no way from the image to y0"
    assert ODD.problem(Genome((), ())) == "no way from the image to y0, y1"


def test_kernels_follow_from_the_sizes_they_join():
    assert kernel(Shape(1, 28, 28), Shape(1, 1, 1)) == (28, 28)
    assert kernel(Shape(1, 5, 8), Shape(1, 5, 3)) == (1, 6)
    assert kernel(Shape(1, 3, 9), Shape(1, 7, 4)) == (5, 6)


def test_the_start_joins_the_image_to_every_output():
    start = genome(ODD.start(random.Random(0)))
    assert start == Genome((), (Edge(IMAGE, "y0", True), Edge(IMAGE, "y1", True)))


def test_samples_reach_from_the_start_to_deep_ones():
    rng = random.Random(0)
    counts = [len(ODD.sample(rng)[0]) for _ in range(200)]
    assert min(counts) == 0
    assert max(counts) > 5
    assert Filters((1, 8, 8), 2, grown=0).sample(rng)[0] == ()


@pytest.mark.parametrize(
    ("edge", "pool", "inside"), [(28, None, 14), (23, None, 23), (28, 1, 28), (29, 3, 9)]
)
def test_images_of_24_pixels_and_more_are_pooled_unless_the_user_says_otherwise(edge, pool, inside):
    assert Filters((3, edge, edge), pool=pool).image == Shape(3, inside, inside)


# ---- mutations -----------------------------------------------------------------------------------


def test_mutations_come_at_their_rates_where_all_apply():
    rng = random.Random(0)
    arch = MIDDLE.plain()
    counts = Counter(ODD.mutate(arch, rng).operator for _ in range(2000))
    total = sum(MUTATIONS.values())
    for operator, rate in MUTATIONS.items():
        if operator != "disable-edge":  # some of its draws would cut an output off
            assert counts[operator] / 2000 == pytest.approx(rate / total, abs=0.045)
    assert 0 < counts["disable-edge"] / 2000 < 1 / total
    assert not counts["add-map"]


def test_disabling_switches_one_edge_of_the_network_off():
    for new in made("disable-edge"):
        assert new.maps == MIDDLE.maps
        ((old, now),) = [p for p in zip(MIDDLE.edges, new.edges, strict=True) if p[0] != p[1]]
        assert now == old._replace(enabled=False)
        assert old.enabled
        assert old.target != "ddd"
    ends = {edge.ends for new in made("disable-edge") for edge in new.edges if not edge.enabled}
    assert ends == {(IMAGE, "y0"), ("aaa", "y1"), (IMAGE, "ccc"), ("ccc", "y1")}


def test_enabling_switches_a_disabled_edge_on():
    (new,) = set(made("enable-edge"))
    assert all(edge.enabled for edge in new.edges)
    assert not made("enable-edge", new)


def test_splitting_puts_a_map_of_mean_size_and_depth_between():
    for new in made("split-edge"):
        node, joined = added(MIDDLE, new)
        (source,) = [a for a, b in joined if b == node.name]
        (target,) = [b for a, b in joined if a == node.name]
        assert Edge(source, target, False) in new.edges
        assert Edge(source, target, True) in MIDDLE.edges
        shapes = ODD.shapes(MIDDLE)
        assert node.height == (shapes[source].height + shapes[target].height) // 2
        assert node.width == (shapes[source].width + shapes[target].width) // 2
        depths = {IMAGE: 0, "y0": 1, "y1": 1} | {m.name: m.depth for m in MIDDLE.maps}
        assert node.depth == (depths[source] + depths[target]) / 2


def test_adding_joins_two_nodes_of_different_depth_that_nothing_joins():
    found = set()
    for new in made("add-edge", count=2000):
        ((source, target, enabled),) = set(new.edges) - set(MIDDLE.edges)
        assert enabled
        found.add((source, target))
    depths = {IMAGE: 0, "y0": 1, "y1": 1} | {each.name: each.depth for each in MIDDLE.maps}
    every = {(a, b) for a in depths for b in depths if depths[a] < depths[b]}
    assert found == every - {edge.ends for edge in MIDDLE.edges}


@pytest.mark.parametrize(
    ("operator", "axes"),
    [("change-size", (True, True)), ("change-height", (True, False)), ("change-width", (0, 1))],
)
def test_a_size_changes_by_one_or_two_and_never_below_one(operator, axes):
    changes = set()
    for new in made(operator):
        assert new.edges == MIDDLE.edges
        pairs = [p for p in zip(MIDDLE.maps, new.maps, strict=True) if p[0] != p[1]]
        if not pairs:  # it is of the least size already
            continue
        ((old, now),) = pairs
        assert old.name != "ddd", "it is no part of the network"
        moved = (now.height - old.height, now.width - old.width)
        assert [change != 0 for change in moved] == [bool(axis) for axis in axes]
        changes |= set(moved)
    assert changes == {-2, -1, 1, 2} | ({0} if not all(axes) else set())
    small = Genome(
        (Map("aaa", 0.5, 1, 2),), (*MIDDLE.edges[:1], Edge("aaa", "y0", True), *MIDDLE.edges[3:4])
    )
    sizes = {tuple(new.maps[0][2:]) for new in made(operator, small)}
    assert min(min(size) for size in sizes) == 1


def test_an_added_map_has_some_inputs_and_outputs_and_lies_between_them():
    for new in made("add-map"):
        node, joined = added(MIDDLE, new)
        sources = {a for a, b in joined if b == node.name}
        targets = {b for a, b in joined if a == node.name}
        assert 1 <= len(sources) <= MOST_ENDS
        assert 1 <= len(targets) <= MOST_ENDS
        shapes = ODD.shapes(MIDDLE)
        least = min(shapes[name].height for name in sources)
        assert node.height == (least + max(shapes[name].height for name in targets)) // 2
        assert set(new.edges) > set(MIDDLE.edges)


def test_where_nothing_applies_the_parent_is_trained_again():
    space = Filters((1, 2, 2), 1, maps=0)
    start = space.start(random.Random(0))
    assert space.mutate(start, random.Random(0)) == (start, "identity")


# ---- innovation ----------------------------------------------------------------------------------


def test_equal_events_give_equal_names_and_other_events_others():
    start = genome(ODD.start(random.Random(0)))
    names: dict[tuple[str, str], set[str]] = {}
    for new in made("split-edge", start):
        node, joined = added(start, new)
        (target,) = [b for a, b in joined if a == node.name]
        names.setdefault((IMAGE, target), set()).add(node.name)
    assert [len(each) for each in names.values()] == [1, 1]
    assert names[IMAGE, "y0"] != names[IMAGE, "y1"]


def test_an_edge_that_is_split_again_gives_another_map():
    first = derived("split x y0", {})
    second = derived("split x y0", {first})
    assert first != second
    assert derived("split x y0", {"other"}) == first
    assert derived("split x y0", {first, "other"}) == second
    assert derived("split x y1", {}) not in (first, second)
    assert first == "ysuknp"  # in every process and version: runs are replayed


@settings(max_examples=8)
@given(seed=seeds)
def test_genes_of_equal_name_have_equal_depth_in_all_relatives(seed):
    rng = random.Random(seed)
    space = Filters((1, 8, 8), 2, add_map=3.0)
    known: dict[str, float] = {}
    for _ in range(5):
        arch = space.start(rng)
        for _ in range(20):
            arch = space.mutate(arch, rng).arch
        for name, depth, _, _ in arch[0]:
            assert known.setdefault(name, depth) == depth


# ---- crossover -----------------------------------------------------------------------------------


def crossed(first, second, count=200, **rates):
    space, rng = Filters((1, 8, 6), 2, **rates), random.Random(0)
    return [genome(space.crossover(first, second, rng).arch) for _ in range(count)]


FIRST = Genome(
    (Map("aaa", 0.5, 4, 4),),
    (
        Edge(IMAGE, "aaa", True),
        Edge("aaa", "y0", True),
        Edge(IMAGE, "y0", False),
        Edge(IMAGE, "y1", True),
        Edge("aaa", "y1", True),
    ),
).plain()
SECOND = Genome(
    (Map("aaa", 0.5, 6, 5), Map("bbb", 0.5, 3, 3)),
    (
        Edge(IMAGE, "aaa", True),
        Edge("aaa", "y0", True),
        Edge(IMAGE, "y0", True),
        Edge(IMAGE, "y1", True),
        Edge(IMAGE, "bbb", True),
        Edge("bbb", "y1", False),
    ),
).plain()


def test_crossover_aligns_genes_and_prefers_the_fitter():
    for child in crossed(FIRST, SECOND):
        assert child.named() == {"aaa": Map("aaa", 0.5, 4, 4), "bbb": Map("bbb", 0.5, 3, 3)}
        on = {edge.ends: edge.enabled for edge in child.edges}
        assert len(on) == len(child.edges) == 7
        assert not on[IMAGE, "y0"]  # shared: as in the fitter
        assert on["aaa", "y1"]  # of the fitter alone, at rate 1
        assert not on["bbb", "y1"]  # disabled where it comes from


def test_edges_of_one_parent_alone_come_at_their_rates():
    def share(children, ends):
        return sum(Edge(ends[0], ends[1], True) in child.edges for child in children) / len(
            children
        )

    assert share(crossed(FIRST, SECOND), (IMAGE, "bbb")) == pytest.approx(0.5, abs=0.1)
    none, both = crossed(FIRST, SECOND, less_fit=0.0), crossed(FIRST, SECOND, less_fit=1.0)
    assert share(none, (IMAGE, "bbb")) == 0
    assert share(both, (IMAGE, "bbb")) == 1
    fewer = crossed(FIRST, SECOND, more_fit=0.3)
    assert share(fewer, ("aaa", "y1")) == pytest.approx(0.3, abs=0.1)


def test_a_child_of_equal_parents_is_their_like():
    assert {child.plain() for child in crossed(FIRST, FIRST)} == {FIRST}


def test_a_crossover_that_would_be_too_large_becomes_a_mutation():
    space = Filters((1, 8, 6), 2, maps=1)
    arch, operator = space.crossover(FIRST, SECOND, random.Random(0))
    assert operator in space.mutations
    assert space.problem(genome(arch)) == ""


# ---- equal networks ------------------------------------------------------------------------------


@every_space
@settings(max_examples=3)
@given(seed=seeds)
def test_networks_are_known_by_what_they_are_and_not_by_names_or_genes_without_effect(space, seed):
    rng = random.Random(seed)
    for arch, _ in random_walk(space, seed, 20):
        assert key(space, renamed(arch, rng)) == key(space, arch)
        more = (Map("idle", 0.123, 2, 2), Edge(IMAGE, "idle", True))
        longer = Genome((*genome(arch).maps, more[0]), (*genome(arch).edges, more[1]))
        assert key(space, longer.plain()) == key(space, arch)
        alive = set(space.network(genome(arch))[1])
        fewer = Genome(genome(arch).maps, tuple(e for e in genome(arch).edges if e.ends in alive))
        assert key(space, fewer.plain()) == key(space, arch)


def test_other_networks_are_known_as_others():
    rng = random.Random(0)
    keys, networks = set(), set()
    for arch, _ in random_walk(Filters((1, 8, 8), 2), 3, 300):
        space = Filters((1, 8, 8), 2)
        nodes, edges = space.network(genome(arch))
        keys.add(key(space, arch))
        networks.add((tuple(nodes.items()), tuple(edges)))
    # a few of the walk are equal but for their names
    assert 0.9 * len(networks) < len(keys) <= len(networks)
    space = ODD
    base = key(space, MIDDLE.plain())
    for operator in ("disable-edge", "split-edge"):
        assert all(key(space, new.plain()) != base for new in made(operator, count=30))
    assert base == key(space, renamed(MIDDLE.plain(), rng))


def test_which_output_a_map_leads_to_is_part_of_the_network():
    maps = (Map("aaa", 0.5, 2, 2),)
    edges = (Edge(IMAGE, "aaa", True), Edge(IMAGE, "y0", True), Edge(IMAGE, "y1", True))
    one = Genome(maps, (*edges, Edge("aaa", "y0", True))).plain()
    other = Genome(maps, (*edges, Edge("aaa", "y1", True))).plain()
    assert key(ODD, one) != key(ODD, other)


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"pool": 0}, "pool=0: from 1 to the image's edge, 6"),
        ({"pool": 7}, "pool=7"),
        ({"maps": -1}, "maps=-1: at least 0"),
        ({"grown": -1}, "grown=-1: at least 0"),
        ({"more_fit": 1.1}, "more_fit=1.1: in 0..1"),
        ({"less_fit": -0.1}, "less_fit=-0.1: in 0..1"),
        ({"add_edge": -1.0}, "at least 0, and one of them above"),
        (dict.fromkeys((each.replace("-", "_") for each in MUTATIONS), 0.0), "one of them above"),
        ({"multiply_adds": 95}, "not even the linear classifier fits: 96 multiply-adds"),
    ],
)
def test_settings_outside_their_rule_are_refused(values, told):
    with pytest.raises(SettingError, match=told):
        Filters((1, 8, 6), 2, **values)
