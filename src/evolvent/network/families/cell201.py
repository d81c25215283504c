"""The family ``cell201``: the skeleton of NAS-Bench-201.

Stem, three stages of `cells` cells with a residual block of stride 2 between two stages, BN-ReLU,
global average pooling, a linear classifier. The benchmark's own size is 5 cells and width 16.
Source: Dong & Yang 2020 (2001.00326) section 2.1. Drop-path, which the benchmark does not use, drops
an edge only where another one enters the same node: a cell may be a single chain of edges.
"""

from __future__ import annotations

from ...space import Space
from ...space.cell201 import EDGES, OPERATIONS
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Mix, MixedBlock, Plan, Term, Value, call
from .regularised import dropped, with_auxiliary

CONVOLUTIONS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


def plan(space: Space, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of one cell stacked to `size`."""
    network, cells = _network(data, size)
    made = Plan((_cell(arch, size.drop_path), network))
    return with_auxiliary(made, cells, data.outputs, size.auxiliary)


def mixed(space: Space, data: Data, size: Size) -> tuple[MixedBlock, ...]:
    """Return the blocks of the supernet of `space`, the network itself last."""
    lines = []
    for target in (1, 2, 3):
        terms = [
            Term("cell", row, column, f"e{source}{end}_{name}", *_operation(name, f"n{source}"))
            for row, (source, end) in enumerate(EDGES)
            for column, name in enumerate(OPERATIONS)
            if end == target
        ]
        lines.append(Mix(f"n{target}", tuple(terms), "n0"))
    network, _ = _network(data, size)
    return MixedBlock("Cell", ("n0",), "n3", tuple(lines)), MixedBlock.of(network)


def _operation(name: str, source: str) -> tuple[str, str, tuple[tuple[str, Value], ...]]:
    """Return the module of an operation, its input, and its arguments."""
    if name in CONVOLUTIONS:
        return "ReLUConvBN", source, (("c_in", "c"), ("c_out", "c"), ("kernel", CONVOLUTIONS[name]))
    if name == "avg_pool_3x3":
        return "AvgPool", source, (("kernel", 3),)
    return "identity" if name == "skip_connect" else "none", source, ()


def _cell(arch: Arch, rate: float) -> Block:
    calls: list[Call] = []
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    edges = [
        target for (_, target), operation in zip(EDGES, arch, strict=True) if operation != "none"
    ]
    for (source, target), operation in zip(EDGES, arch, strict=True):
        value = f"n{source}"
        if operation == "none":
            continue
        if operation != "skip_connect":
            name = f"e{source}{target}_{operation}"  # another operation is another gene
            op, _, args = _operation(operation, value)
            calls.append(Call(name, op, (value,), args))
            value = dropped(calls, name, rate) if edges.count(target) > 1 else name
        terms[target].append(value)
        # a node is summed as soon as its last incoming edge has been written: edges come by target
    ordered = []
    for target in (1, 2, 3):
        ordered += [c for c in calls if c.out[2] == str(target)]
        values = terms[target]
        ordered.append(
            call(f"n{target}", "add", *values) if values else call(f"n{target}", "zeros", "n0")
        )
    doc = "The cell that was found: every node is the sum of its incoming edges."
    return Block("Cell", ("n0",), "n3", tuple(ordered), ("c",), doc)


def _network(data: Data, size: Size) -> tuple[Block, dict[str, int]]:
    """Return the network, and the channels of each cell and reduction in their order."""
    c = size.width
    stem = call(
        "stem", "ConvBN", "x", c_in=data.input_shape[0], c_out=c, kernel=3, stride=size.stem_stride
    )
    calls, last = [stem], "stem"
    cells: dict[str, int] = {}
    for stage in range(size.stages):
        if stage:
            name, args = f"reduction{stage}", {"c_in": c, "c_out": 2 * c}
            if size.reduction == "residual":
                calls.append(call(name, "ResidualBlock", last, **args))
            else:
                calls.append(call(name, "ReLUConvBN", last, **args, kernel=3, stride=2))
            c, last = 2 * c, name
            cells[last] = c
        for place in range(size.cells):
            calls.append(call(f"cell{stage}_{place}", "Cell", last, c=c))
            last = f"cell{stage}_{place}"
            cells[last] = c
    calls += [
        call("norm", "BatchNorm2d", last, num_features=c),
        call("active", "ReLU", "norm"),
        call("features", "pool", "active"),
        call("logits", "Linear", "features", in_features=c, out_features=data.outputs),
    ]
    doc = "The network that was found."
    return Block("Network", ("x",), "logits", tuple(calls), doc=doc), cells
