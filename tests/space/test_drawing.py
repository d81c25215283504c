"""Sketches: what they refuse, and how names of operations are read."""

import pytest

from evolvent.errors import EvolventError
from evolvent.space.drawing import KINDS, Sketch, kind_of


def test_a_sketch_keeps_the_order_in_which_it_was_made():
    sketch = Sketch()
    sketch.node("x", "image", "input", "cell")
    sketch.edge("x", sketch.operation("a", "sep_conv_3x3", "cell"))
    sketch.edge("x", "a", kind="skip")
    sketch.fact("learning rate", 0.1)
    done = sketch.done()
    assert [node.id for node in done.nodes] == ["x", "a"]
    assert done.nodes[1] == ("a", "sep conv 3x3", "convolution", "cell")
    assert done.edges == (("x", "a", "", ""), ("x", "a", "", "skip"))
    assert done.facts == (("learning rate", "0.1"),)


def test_a_second_node_of_a_name_and_an_unknown_kind_are_refused():
    sketch = Sketch()
    sketch.node("x", "image")
    with pytest.raises(EvolventError, match="'x'"):
        sketch.node("x", "again")
    with pytest.raises(EvolventError, match="kind 'cube'"):
        sketch.node("y", "z", "cube")


@pytest.mark.parametrize("ends", [("x", "y"), ("y", "x")])
def test_an_edge_needs_both_its_ends(ends):
    sketch = Sketch()
    sketch.node("x", "image")
    with pytest.raises(EvolventError, match="one of them is no node"):
        sketch.edge(*ends)


def test_an_edge_stays_within_its_group():
    sketch = Sketch()
    sketch.node("x", "image", group="normal cell")
    sketch.node("y", "image", group="reduction cell")
    with pytest.raises(EvolventError, match="two groups"):
        sketch.edge("x", "y")


def test_operations_are_told_by_their_names():
    found = {
        name: kind_of(name) for name in ("dil_conv_5x5", "max_pool_3x3", "skip_connect", "tanh")
    }
    assert list(found.values()) == ["convolution", "pooling", "skip", "activation"]
    assert kind_of("something") == "other"
    assert set(found.values()) <= set(KINDS)
