"""Drawings as files: every label is in it, and no label breaks out of it."""

import xml.etree.ElementTree as ET

import pytest
from tests.report.helpers import HOSTILE

from evolvent.report.pictures import COLOURS, dot, mermaid, svg
from evolvent.space.drawing import KINDS, Sketch


@pytest.fixture
def drawing():
    sketch = Sketch()
    for group in ("normal cell", "reduction cell"):
        sketch.node(f"{group}/x", "image", "input", group)
        sketch.operation(f"{group}/a", "sep_conv_3x3", group)
        sketch.edge(f"{group}/x", f"{group}/a", "5x5", "negative")
        sketch.edge(f"{group}/x", f"{group}/a", kind="skip")
    sketch.fact("learning rate", 0.01)
    return sketch.done()


def texts(picture):
    return [element.text for element in ET.fromstring(picture).iter() if element.text]


def test_an_svg_file_has_every_label_group_and_fact(drawing):
    words = texts(svg(drawing))
    assert words.count("sep conv 3x3") == words.count("image") == words.count("5x5") == 2
    assert {"normal cell", "reduction cell", "learning rate 0.01"} <= set(words)


def test_both_arrows_between_two_boxes_are_drawn(drawing):
    ends = [p.get("class", "") for p in ET.fromstring(svg(drawing)).iter() if p.get("marker-end")]
    assert sorted(ends) == ["negative", "negative", "skip", "skip"]


def test_groups_do_not_overlap(drawing):
    found = [e.get("transform") for e in ET.fromstring(svg(drawing)).iter() if e.get("transform")]
    first, second = (float(t[len("translate(") :].split()[0]) for t in found if t)
    assert first == 0 and second > 100


@pytest.mark.parametrize("form", [svg, mermaid, dot])
def test_a_hostile_label_stays_a_label(form):
    sketch = Sketch()
    sketch.node(HOSTILE, HOSTILE, group=HOSTILE)
    sketch.edge(HOSTILE, sketch.node('"]', '"];\n\\x\x00', group=HOSTILE))
    text = form(sketch.done())
    assert "<img" not in text or form is dot
    if form is svg:
        assert all(len(word) <= 60 for word in texts(text) if not word.startswith("text{"))
    elif form is mermaid:
        body = [line for line in text.splitlines() if "n1" in line and "-->" not in line]
        assert body == ['    n1["#34;#93;#59;#10;#92;x#0;"]']
    else:
        assert '[label="\\"]; \\\\x' in text
        assert '\\"' in text and "\n\\" not in text


def test_mermaid_and_dot_name_every_node_and_edge(drawing):
    chart, graph = mermaid(drawing), dot(drawing)
    assert (
        chart.startswith("flowchart TD\n") and chart.count("subgraph") == chart.count("  end") == 2
    )
    assert chart.count(" -.->") == 4 and '|"5x5"|' in chart
    assert graph.startswith("digraph") and graph.rstrip().endswith("}")
    assert graph.count(" -> ") == 4 and graph.count("subgraph") == 2
    assert graph.count("{") == graph.count("}")


def test_every_kind_has_a_colour():
    assert set(COLOURS) == set(KINDS)
