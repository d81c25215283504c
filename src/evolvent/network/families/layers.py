"""The family ``layers``: layer upon layer, with skip connections.

A layer is convolution, batch norm, ReLU, or a named operation on the output of a 1 x 1 convolution.
Sources: Zoph & Le 2016 (1611.01578) section 3.3 for the rules that repair a network (a layer
without input takes the image; outputs that no layer reads go to the classifier; images of different
sizes are padded with zeros to the largest); Pham et al. 2018 (1802.03268) section 2.3 for layers with
added skips.
What differs: a max-pool layer halves every state that crosses it, the image too, so that sizes differ
by the layers' own strides only; images are padded on all sides; a global average stands before the
classifier; separable convolutions are those of DARTS, two in a row.
"""

from __future__ import annotations

from ...space.layers import Layers, pairs, unread
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Mix, MixedBlock, Plan, Term, Value, call

#: operation of the space -> (module, kernel)
OPERATIONS = {
    "conv_3x3": ("ConvBNReLU", 3),
    "conv_5x5": ("ConvBNReLU", 5),
    "sep_conv_3x3": ("SeparableConv", 3),
    "sep_conv_5x5": ("SeparableConv", 5),
    "avg_pool_3x3": ("AvgPool", 3),
    "max_pool_3x3": ("MaxPool", 3),
}
POOLINGS = ("AvgPool", "MaxPool")

Shape = tuple[int, int, int]


def plan(space: Layers, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a network of layers; of `size` only the stride of the stem counts."""
    lines = _Lines(data)
    if space.join == "add":
        loose = _added(lines, space, arch, size)
    else:
        loose = _concatenated(lines, space, arch, size)
    last = space.stage(len(arch) - 1, len(arch))
    joined = lines.joined("outputs", [lines.pooled(name, last) for name in loose])
    return Plan((lines.network(joined, data),))


def mixed(space: Layers, data: Data, size: Size) -> tuple[MixedBlock, ...]:
    """Return the blocks of the supernet of `space`, the network itself last.

    A block computes the input of a layer's norm: the operations, each behind its own 1 x 1
    convolution, and the skips. Max-pool layers stand between blocks, shared by all later layers.
    """
    (depth,), (c,) = space.depths, space.options["filters"]
    lines = _Lines(data)
    last = lines.stem(c, size)
    blocks = []
    for index in range(depth):
        block, stage = _mixed_layer(space, index), space.stage(index, depth)
        names = [last, *(f"layer{source}" for source in range(index))]
        inputs = [lines.pooled(name, stage) for name in names]
        total = lines.add(call(f"mix{index}", block.name, *inputs, c=c), c)
        last = lines.add(call(f"layer{index}", "BatchNorm2d", total, num_features=c), c)
        blocks.append(block)
    return (*blocks, MixedBlock.of(lines.network(last, data)))


def _mixed_layer(space: Layers, index: int) -> MixedBlock:
    lines: list[Call | Mix] = []
    terms = []
    for column, name in enumerate(space.options["operation"]):
        changed: dict[str, Value] = {"c_in": "c", "c_out": "c", "height": 1, "width": 1}
        lines.append(call(f"{name}_in", "RectConv", "last", **changed))
        module, args = _operation(name, "c")
        terms.append(Term("operation", index, column, name, module, f"{name}_in", args))
    for row, (source, reader) in enumerate(pairs(space.depths[0])):
        if reader == index:
            for column, op in enumerate(("none", "identity")):
                terms.append(Term("skip", row, column, f"skip{source}", op, f"layer{source}"))
    lines.append(Mix("total", tuple(terms), "last"))
    inputs = ("last", *(f"layer{source}" for source in range(index)))
    return MixedBlock(f"Layer{index}", inputs, "total", tuple(lines))


def _operation(name: str, c: Value) -> tuple[str, tuple[tuple[str, Value], ...]]:
    """Return the module of a named operation on `c` channels, and its arguments."""
    module, kernel = OPERATIONS[name]
    sizes: dict[str, Value] = {} if module in POOLINGS else {"c_in": c, "c_out": c}
    return module, tuple((sizes | {"kernel": kernel}).items())


class _Lines:
    """The calls of a network so far.

    Args:
        data: shapes; the image is the variable ``x``.
    """

    def __init__(self, data: Data) -> None:
        channels, height, width = data.input_shape
        self.calls: list[Call] = []
        self.shapes: dict[str, Shape] = {"x": (channels, height, width)}  # variable -> (C, H, W)
        self.stages = {"x": 0}  # variable -> max-pool layers before it

    def add(self, line: Call, channels: int, strides: tuple[int, int] = (1, 1)) -> str:
        """Append a line; its output has `channels`, and the inputs' largest size over `strides`."""
        sizes = [self.shapes[name][1:] for name in line.inputs]
        height, width = (
            -(-max(edges) // step)
            for edges, step in zip(zip(*sizes, strict=True), strides, strict=True)
        )
        self.calls.append(line)
        self.shapes[line.out] = (channels, height, width)
        self.stages[line.out] = self.stages[line.inputs[0]]
        return line.out

    def stem(self, c: int, size: Size) -> str:
        """Append the stem: the first convolution of a network with added skips."""
        stride, args = size.stem_stride, {"c_in": self.shapes["x"][0], "c_out": c, "kernel": 3}
        return self.add(call("stem", "ConvBN", "x", **args, stride=stride), c, (stride, stride))

    def network(self, last: str, data: Data) -> Block:
        """Return the network that classifies by the variable `last`."""
        c, doc = self.shapes[last][0], "The network that was found."
        ends = (
            call("features", "pool", last),
            call("logits", "Linear", "features", in_features=c, out_features=data.outputs),
        )
        return Block("Network", ("x",), "logits", (*self.calls, *ends), doc=doc)

    def pooled(self, name: str, stage: int) -> str:
        """Return the variable that holds `name` behind all max-pool layers up to `stage`."""
        found = name
        for number in range(self.stages[name] + 1, stage + 1):
            out = f"{name}_pool{number}"
            if out not in self.shapes:
                line = call(out, "MaxPool", found, kernel=3, stride=2)
                self.add(line, self.shapes[name][0], (2, 2))
                self.stages[out] = number
            found = out
        return found

    def joined(self, out: str, names: list[str]) -> str:
        """Return the variable that holds `names`, concatenated in depth."""
        if len(names) == 1:
            return names[0]
        sizes = {self.shapes[name][1:] for name in names}
        op = "concat" if len(sizes) == 1 else "PadConcat"
        return self.add(call(out, op, *names), sum(self.shapes[name][0] for name in names))

    def computed(self, name: str, source: str, values: dict[str, Value], stride: int = 1) -> str:
        """Append the layer `name`, described by `values`, on `source`; return its variable.

        The operation is part of the variable, and so of the parameters' names: another operation
        in its place must not inherit its weights where shapes happen to agree.
        """
        c_in, c = self.shapes[source][0], int(values["filters"])
        strides = stride * int(values["stride-height"]), stride * int(values["stride-width"])
        steps: dict[str, Value] = {"stride_height": strides[0], "stride_width": strides[1]}
        if "operation" not in values:
            height, width = values["filter-height"], values["filter-width"]
            args = {"c_in": c_in, "c_out": c, "height": height, "width": width, **steps}
            return self.add(
                call(f"{name}_{height}x{width}", "RectConv", source, **args), c, strides
            )
        args = {"c_in": c_in, "c_out": c, "height": 1, "width": 1, **steps}
        changed = self.add(call(f"{name}_in", "RectConv", source, **args), c, strides)
        operation = str(values["operation"])
        module, sizes = _operation(operation, c)
        return self.add(Call(f"{name}_{operation}", module, (changed,), sizes), c)


def _concatenated(lines: _Lines, space: Layers, arch: Arch, size: Size) -> list[str]:
    """Append layers that read the concatenation of their skips, or the image; return loose ends."""
    made: list[str] = []
    for index, layer in enumerate(arch):
        stage = space.stage(index, len(arch))
        names = [lines.pooled(made[source], stage) for source in layer[-1]]
        inputs = lines.joined(f"inputs{index}", names or [lines.pooled("x", stage)])
        values = dict(zip(space.roles, layer[:-1], strict=True))
        stride = 1 if layer[-1] else size.stem_stride
        made.append(lines.computed(f"layer{index}", inputs, values, stride))
    return [made[index] for index in unread(arch)]


def _added(lines: _Lines, space: Layers, arch: Arch, size: Size) -> list[str]:
    """Append a stem, and layers that read the one before and add their skips; return the last."""
    c = arch[0][space.roles.index("filters")]
    last = lines.stem(c, size)
    for index, layer in enumerate(arch):
        stage = space.stage(index, len(arch))
        values = dict(zip(space.roles, layer[:-1], strict=True))
        total = lines.computed(f"layer{index}", lines.pooled(last, stage), values)
        if layer[-1]:
            skips = [lines.pooled(f"layer{source}", stage) for source in layer[-1]]
            total = lines.add(call(f"sum{index}", "add", total, *skips), c)
        last = lines.add(call(f"layer{index}", "BatchNorm2d", total, num_features=c), c)
    return [last]
