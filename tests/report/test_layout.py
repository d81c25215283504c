"""Layouts of drawings for files: boxes apart, arrows downwards, everything inside the picture."""

import itertools
import random

import pytest

from evolvent.report.layout import GAP, HEIGHT, layout


def some_graph(seed, nodes=14, edges=24, cycles=False):
    rng = random.Random(seed)
    widths = {f"n{place}": rng.uniform(30, 160) for place in range(nodes)}
    pairs = [(a, b) for a, b in itertools.product(range(nodes), repeat=2) if cycles or a < b]
    return widths, [(f"n{a}", f"n{b}") for a, b in rng.sample(pairs, edges)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("cycles", [False, True])
def test_boxes_do_not_touch_and_lie_inside(seed, cycles):
    widths, edges = some_graph(seed, cycles=cycles)
    found = layout(widths, edges)
    assert set(found.places) == set(widths)
    for name, (x, y) in found.places.items():
        assert x - widths[name] / 2 >= 0 and x + widths[name] / 2 <= found.width
        assert y - HEIGHT / 2 >= 0 and y + HEIGHT / 2 <= found.height
    for a, b in itertools.combinations(widths, 2):
        (ax, ay), (bx, by) = found.places[a], found.places[b]
        if ay == by:
            assert abs(ax - bx) >= (widths[a] + widths[b]) / 2 + GAP - 0.2


@pytest.mark.parametrize("seed", range(10))
def test_without_cycles_every_arrow_leads_down_from_box_to_box(seed):
    widths, edges = some_graph(seed)
    found = layout(widths, edges)
    assert set(found.routes) == set(edges)
    for (source, target), points in found.routes.items():
        assert [y for _, y in points] == sorted(y for _, y in points)
        assert points[0] == (found.places[source][0], found.places[source][1] + HEIGHT / 2)
        assert points[-1] == (found.places[target][0], found.places[target][1] - HEIGHT / 2)
        assert points[-1][1] > points[0][1]


def test_long_arrows_pass_between_the_boxes():
    widths = dict.fromkeys("abcd", 80.0)
    found = layout(widths, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    for x, y in found.routes["a", "d"][1:-1]:
        for bx, by in found.places.values():
            assert by != y or abs(x - bx) >= 80 / 2


def test_cycles_and_loops_are_drawn():
    found = layout(dict.fromkeys("ab", 50.0), [("a", "b"), ("b", "a"), ("b", "b")])
    down, up = found.routes["a", "b"], found.routes["b", "a"]
    assert down[0][1] < down[-1][1] and up[0][1] > up[-1][1]
    assert len(found.routes["b", "b"]) == 4


def test_an_input_stands_right_above_its_first_reader():
    edges = [("x", "a"), ("a", "b"), ("b", "c"), ("late", "c")]
    found = layout(dict.fromkeys(["x", "late", "a", "b", "c"], 40.0), edges)
    assert found.places["late"][1] == found.places["b"][1]


def test_equal_graphs_have_equal_layouts_and_nothing_is_drawn_as_nothing():
    assert layout(*some_graph(3)) == layout(*some_graph(3))
    assert layout({}, []).places == {}
