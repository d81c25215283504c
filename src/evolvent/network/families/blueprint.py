"""The family ``blueprint``: modules as blocks, put together as a blueprint says."""

from __future__ import annotations

from collections.abc import Sequence

from ...space.blueprint import Blueprint, Shape, after, flow
from ...space.dag import INPUT, OUTPUT, Dag, Node, network
from ...space.modules import Layer
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, call


def plan(space: Blueprint, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of an assembled network; its size is in its genes, so `size` is not used.

    A module that reads different numbers of channels at different nodes becomes a block for each.
    """
    modules, blocks = dict(arch[3]), dict[str, Block]()
    graph, calls, values = Dag(*arch[:2]), list[Call](), {INPUT: "x"}
    if space.fold > 1:
        values[INPUT] = "folded"
        calls.append(call("folded", "PixelUnshuffle", "x", downscale_factor=space.fold))
    _, reads = network(graph)

    def place(node: Node, given: Shape) -> Shape:
        name, kind = node
        block = f"Module{kind}From{given.channels}"
        if block not in blocks:
            blocks[block] = _module(block, Dag(*modules[kind]), given)
        source = _summed(calls, f"sum_{name}", [values[source] for source in reads[name]])
        values[name] = f"node_{name}"
        calls.append(call(values[name], block, source))
        return flow(Dag(*modules[kind]), given, _after)[OUTPUT]

    features = flow(graph, space.image, place)[OUTPUT]
    last = _summed(calls, "sum_y", [values[source] for source in reads[OUTPUT]])
    calls += [
        call("features", "pool", last),
        call(
            "logits",
            "Linear",
            "features",
            in_features=features.channels,
            out_features=data.outputs,
        ),
    ]
    whole = Block("Network", ("x",), "logits", tuple(calls), doc="The assembled blueprint.")
    return Plan((*blocks.values(), whole))


def _module(name: str, graph: Dag, given: Shape) -> Block:
    """Return the block of a module where it reads `given`."""
    calls, values = list[Call](), {INPUT: "x"}
    _, reads = network(graph)

    def layer(node: Node, read: Shape) -> Shape:
        source = _summed(calls, f"sum_{node[0]}", [values[source] for source in reads[node[0]]])
        values[node[0]] = _layer(calls, node, read, source)
        return _after(node, read)

    flow(graph, given, layer)
    last = _summed(calls, "sum_y", [values[source] for source in reads[OUTPUT]])
    return Block(name, ("x",), last, tuple(calls), doc="A module that evolved.")


def _layer(calls: list[Call], node: Node, read: Shape, last: str) -> str:
    """Append the calls of a layer; return the variable that holds its value."""
    name, layer = node[0], Layer(*node[1:])
    steps = [
        call(
            f"conv_{name}",
            "ScaledConv",
            last,
            c_in=read.channels,
            c_out=layer.filters,
            kernel=layer.kernel,
            scale=layer.scale,
        ),
        call(f"norm_{name}", "BatchNorm2d", f"conv_{name}", num_features=layer.filters),
        call(f"relu_{name}", "ReLU", f"norm_{name}"),
    ]
    if layer.pool:
        pool = call(f"pool_{name}", "MaxPool2d", steps[-1].out, kernel_size=2, ceil_mode=True)
        steps.append(pool)
    if layer.dropout:
        steps.append(call(f"drop_{name}", "Dropout", steps[-1].out, p=layer.dropout))
    calls += steps
    return steps[-1].out


def _summed(calls: list[Call], out: str, sources: Sequence[str]) -> str:
    """Return the variable that holds the sum of `sources`, or the only one of them."""
    if len(sources) == 1:
        return sources[0]
    calls.append(call(out, "PooledSum", *sources))
    return out


def _after(node: Node, given: Shape) -> Shape:
    return after(Layer(*node[1:]), given)
