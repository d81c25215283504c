"""The family ``cell``: stacked normal and reduction cells; the reduction cell is searched or fixed.

Skeleton: stem, then `stages` groups of `cells` normal cells, a reduction cell between two groups,
global average pooling, a linear classifier. Channels double at every reduction. Sources: Zoph et al.
2017 figure 2; Liu et al. 2018 section 3.1 for how a cell brings its two inputs to equal shape; Dong &
Yang 2019 (1910.04465) for the fixed reduction cell.
"""

from __future__ import annotations

import itertools

from ...errors import InvalidArchitecture
from ...space import Group
from ...space.cell import INPUTS, Cell, loose_ends
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Mix, MixedBlock, Plan, Term, Value, call
from .regularised import dropped, with_auxiliary

#: operation of the space -> (module, kernel); poolings take no numbers of channels.
CONVOLUTIONS = {
    "conv_1x1": ("ReLUConvBN", 1),
    "conv_3x3": ("ReLUConvBN", 3),
    "conv_5x5": ("ReLUConvBN", 5),
    "conv_1x3_3x1": ("FactorizedConv", 3),
    "conv_1x7_7x1": ("FactorizedConv", 7),
    "sep_conv_3x3": ("SeparableConv", 3),
    "sep_conv_5x5": ("SeparableConv", 5),
    "sep_conv_7x7": ("SeparableConv", 7),
    "dil_conv_3x3": ("DilatedConv", 3),
    "dil_conv_5x5": ("DilatedConv", 5),
}
POOLINGS = {
    "avg_pool_3x3": ("AvgPool", 3),
    "avg_pool_5x5": ("AvgPool", 5),
    "max_pool_3x3": ("MaxPool", 3),
    "max_pool_5x5": ("MaxPool", 5),
    "max_pool_7x7": ("MaxPool", 7),
}
#: searched cell of the space -> (its block, its stride)
BLOCKS = {"normal": ("NormalCell", 1), "reduction": ("ReductionCell", 2)}
PARAMS = ("c_before_last", "c_last", "c", "twice_c", "stride")  # of a cell's block
FIXED_OUTPUTS = 4  # images of `c` channels that the fixed reduction cell concatenates


def plan(space: Cell, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of the cells of `arch` stacked to `size`."""
    blocks = [
        _cell_block(name, cell, space, size.drop_path)
        for name, cell in zip(space.cells, arch, strict=True)
    ]
    outputs = [len(_outputs(space, cell)) for cell in arch]
    if "reduction" not in space.cells:
        blocks.append(_fixed_reduction(size.drop_path))
        outputs.append(FIXED_OUTPUTS)
    network, cells = _network(data, size, outputs)
    made = Plan((*blocks, network))
    return with_auxiliary(made, cells, data.outputs, size.auxiliary)


def mixed(space: Cell, data: Data, size: Size) -> tuple[MixedBlock, ...]:
    """Return the blocks of the supernet of `space`, the network itself last."""
    blocks = [_mixed_cell(group, space) for group in space.groups()]
    outputs = [space.nodes for _ in blocks]
    if "reduction" not in space.cells:
        blocks.append(MixedBlock.of(_fixed_reduction(size.drop_path)))
        outputs.append(FIXED_OUTPUTS)
    network, _ = _network(data, size, outputs)
    return (*blocks, MixedBlock.of(network))


def _mixed_cell(group: Group, space: Cell) -> MixedBlock:
    name, stride = BLOCKS[group.name]
    lines: list[Call | Mix] = list(_aligned())
    rows = itertools.count()
    for node in range(space.nodes):
        out, terms = f"s{node + INPUTS}", []
        for state, row in zip(range(node + INPUTS), rows, strict=False):
            step = stride if state < INPUTS else 1
            for column, operation in enumerate(group.columns):
                op, args = _operation(operation, step)
                attribute = f"{out}_s{state}_{operation}"
                terms.append(Term(group.name, row, column, attribute, op, f"s{state}", args))
        lines.append(Mix(out, tuple(terms), "s0", stride))
    outputs = [f"s{node + INPUTS}" for node in range(space.nodes)]
    lines.append(call("out", "concat" if space.output == "all" else "loose", *outputs))
    return MixedBlock(name, ("before_last", "last"), "out", tuple(lines))


def _aligned() -> list[Call]:
    """Return the calls that bring a cell's two inputs to equal shape."""
    return [
        call("s0", "Align", "before_last", c_in="c_before_last", c_out="c", stride="stride"),
        call("s1", "Align", "last", c_in="c_last", c_out="c"),
    ]


def _cell_block(name: str, cell: Arch, space: Cell, rate: float) -> Block:
    block, stride = BLOCKS[name]
    calls = _aligned()
    for index, (first, op_first, second, op_second, combine) in enumerate(cell):
        out = f"s{index + INPUTS}"
        left = _branch(calls, f"{out}_left", first, op_first, stride, rate)
        right = _branch(calls, f"{out}_right", second, op_second, stride, rate)
        if combine == "add":
            calls.append(call(out, "add", left, right))
        else:  # back to c channels, so that every state has the same shape
            calls.append(call(f"{out}_both", "concat", left, right))
            calls.append(call(out, "Align", f"{out}_both", c_in="twice_c", c_out="c"))
    calls.append(call("out", "concat", *(f"s{state}" for state in _outputs(space, cell))))
    doc = "A normal cell: keeps the size." if stride == 1 else "A reduction cell: halves the size."
    return Block(block, ("before_last", "last"), "out", tuple(calls), PARAMS, doc)


def _fixed_reduction(rate: float) -> Block:
    """Return GDAS's fixed reduction cell, with drop-path of `rate` on every branch."""
    calls = _aligned()
    halves = []
    for name, state in (("x0", "s0"), ("x1", "s1")):
        calls.append(call(name, "GroupedReduce", state, channels="c"))
        halves.append(dropped(calls, name, rate))
    calls.append(call("both", "add", *halves))
    pooled = []
    for name, source, stride in (("x2", "both", 1), ("x3", "s1", 2)):
        calls.append(call(f"{name}_pool", "MaxPool", source, kernel=3, stride=stride))
        calls.append(call(name, "BatchNorm2d", f"{name}_pool", num_features="c"))
        pooled.append(dropped(calls, name, rate))
    calls.append(call("out", "concat", *halves, *pooled))
    doc = "The fixed reduction cell of GDAS: halves the size."
    return Block(BLOCKS["reduction"][0], ("before_last", "last"), "out", tuple(calls), PARAMS, doc)


def _branch(
    calls: list[Call], out: str, state: int, operation: str, stride: int, rate: float
) -> str:
    """Append the calls of one branch and return the variable that holds its value.

    The operation is part of the name: another operation in its place is another gene, and must not
    inherit its weights where shapes happen to agree. Drop-path of `rate` follows all but an identity.
    """
    step = stride if state < INPUTS else 1  # only operations on the cell's inputs are strided
    source, out = f"s{state}", f"{out}_{operation}"
    op, args = _operation(operation, step)
    if op == "identity":
        return source
    calls.append(Call(out, op, (source,), args))
    return dropped(calls, out, rate)


def _operation(name: str, stride: int) -> tuple[str, tuple[tuple[str, Value], ...]]:
    """Return the module of an operation, or ``identity`` or ``none``, and its arguments."""
    channels: dict[str, Value] = {"c_in": "c", "c_out": "c"}
    stepping: dict[str, Value] = {"stride": stride} if stride > 1 else {}
    if name in CONVOLUTIONS:
        module, kernel = CONVOLUTIONS[name]
        return module, tuple((channels | {"kernel": kernel} | stepping).items())
    if name in POOLINGS:
        module, kernel = POOLINGS[name]
        return module, tuple(({"kernel": kernel} | stepping).items())
    if name == "skip_connect":
        return ("identity", ()) if stride == 1 else ("FactorizedReduce", tuple(channels.items()))
    if name == "none":
        return "none", ()
    raise InvalidArchitecture(f"no network is known for the operation {name!r}")


def _outputs(space: Cell, cell: Arch) -> tuple[int, ...]:
    if space.output == "all":
        return tuple(range(INPUTS, len(cell) + INPUTS))
    return loose_ends(cell)


def _network(data: Data, size: Size, outputs: list[int]) -> tuple[Block, dict[str, int]]:
    """Return the network, and the channels of each of its cells in their order.

    Args:
        data: shapes.
        size: how many cells, and how wide.
        outputs: nodes that a normal and a reduction cell concatenate. [count]
    """
    c = size.width
    stem = call(
        "stem", "ConvBN", "x", c_in=data.input_shape[0], c_out=c, kernel=3, stride=size.stem_stride
    )
    calls = [stem]
    cells: dict[str, int] = {}
    before_last = last = ("stem", c)  # (variable, channels)
    halved = False  # whether `last` is half the size of `before_last`
    for stage in range(size.stages):
        names = [f"cell{stage}_{place}" for place in range(size.cells)]
        for name in [f"reduction{stage}", *names] if stage else names:
            reduction = name.startswith("reduction")
            c *= 2 if reduction else 1
            args: dict[str, Value] = {
                "c_before_last": before_last[1],
                "c_last": last[1],
                "c": c,
                "twice_c": 2 * c,
                "stride": 2 if halved else 1,
            }
            block = "ReductionCell" if reduction else "NormalCell"
            calls.append(call(name, block, before_last[0], last[0], **args))
            width = c * outputs[reduction]
            cells[name] = width
            before_last, last, halved = last, (name, width), reduction
    calls += [
        call("features", "pool", last[0]),
        call("logits", "Linear", "features", in_features=last[1], out_features=data.outputs),
    ]
    doc = "The network that was found."
    return Block("Network", ("x",), "logits", tuple(calls), doc=doc), cells
