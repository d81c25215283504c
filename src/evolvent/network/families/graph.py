"""The family ``graph``: a backbone of layers with skips, global pooling, a linear classifier."""

from __future__ import annotations

from ...space.graph import CHANNELS, DNA, HEIGHT, INPUT, STRIDE, WIDTH, Graph, Layer, Shape, walk
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, call


def plan(space: Graph, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a DNA; its size is in its genes, so `size` is not used."""
    dna = DNA(*arch)
    calls: list[Call] = []
    values = {INPUT: "x"}  # name of a layer -> the variable that holds its value
    last, channels = "x", data.input_shape[0]
    for layer, given, made in walk(dna.layers, data.input_shape):
        name = layer[0]
        sources = [values[source] for source, target in dna.skips if target == name]
        last = _layer(calls, layer, last, sources, given, made)
        values[name], channels = last, made.channels
    head = f"head_{dna.head}"
    calls += [
        call("features", "pool", last),
        call(head, "Linear", "features", in_features=channels, out_features=data.outputs),
    ]
    doc = "The network that evolved."
    return Plan((Block("Network", ("x",), head, tuple(calls), doc=doc),))


def _layer(
    calls: list[Call], layer: Layer, last: str, sources: list[str], given: Shape, made: Shape
) -> str:
    """Append the calls of one vertex and its edges; return the variable that holds its value."""
    name, active = layer[0], layer[-1]
    value = last
    if layer[1] == "conv":
        value = f"conv_{name}"
        calls.append(
            call(
                value,
                "SameConv",
                last,
                c_in=given.channels,
                c_out=layer[CHANNELS],
                height=layer[HEIGHT],
                width=layer[WIDTH],
                stride=layer[STRIDE],
                bias=not active,
            )
        )
    terms = [value]
    for place, source in enumerate(sources):
        terms.append(f"skip{place}_{name}")
        calls.append(call(terms[-1], "Reshape", source, value))
    if sources:
        value = f"sum_{name}"
        calls.append(call(value, "add", *terms))
    if active:
        calls.append(call(f"norm_{name}", "BatchNorm2d", value, num_features=made.channels))
        value = f"relu_{name}"
        calls.append(call(value, "ReLU", f"norm_{name}"))
    return value
