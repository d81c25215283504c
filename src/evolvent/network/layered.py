"""The family ``layers``: layer upon layer, with skip connections.

A layer is convolution, batch norm, ReLU, or a named operation on what a 1 x 1 convolution makes of its
inputs. Sources: Zoph & Le 2016 (1611.01578) section 3.3 for the rules that repair a network (a layer
without input takes the image; what no layer reads goes to the classifier; images of different sizes
are brought to the largest by zeros); Pham et al. 2018 (1802.03268) section 2.3 for layers whose skips
are added.
What differs: a max-pool layer halves all that crosses it, the image too, so that sizes differ by the
layers' own strides only; images are padded on all sides; a global average stands before the classifier;
separable convolutions are those of DARTS, two in a row.
"""

from __future__ import annotations

from ..space.layers import Layers, unread
from ..types import Arch
from .build import Data, Size
from .plan import Block, Call, Plan, Value, call

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
    channels, height, width = data.input_shape
    lines = _Lines((channels, height, width))
    if space.join == "add":
        _added(lines, space, arch, size)
        loose: tuple[int, ...] = (len(arch) - 1,)
    else:
        _concatenated(lines, space, arch, size)
        loose = unread(arch)
    last = space.stage(len(arch) - 1, len(arch))
    joined = lines.joined("outputs", [lines.pooled(f"layer{index}", last) for index in loose])
    features = lines.shapes[joined][0]
    lines.calls += [
        call("features", "pool", joined),
        call("logits", "Linear", "features", in_features=features, out_features=data.outputs),
    ]
    doc = "The network that was found."
    return Plan((Block("Network", ("x",), "logits", tuple(lines.calls), doc=doc),))


class _Lines:
    """The calls of a network so far.

    Args:
        shape: of the image, the variable ``x``.
    """

    def __init__(self, shape: Shape) -> None:
        self.calls: list[Call] = []
        self.shapes: dict[str, Shape] = {"x": shape}  # variable -> (C, H, W)
        self.stages = {"x": 0}  # variable -> max-pool layers before it

    def add(self, line: Call, channels: int, strides: tuple[int, int] = (1, 1)) -> str:
        """Append a line whose output has `channels`, and its inputs' largest size by `strides`."""
        sizes = [self.shapes[name][1:] for name in line.inputs]
        height, width = (
            -(-max(edges) // step)
            for edges, step in zip(zip(*sizes, strict=True), strides, strict=True)
        )
        self.calls.append(line)
        self.shapes[line.out] = (channels, height, width)
        self.stages[line.out] = self.stages[line.inputs[0]]
        return line.out

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

    def computed(
        self, out: str, source: str, values: dict[str, Value], *, stem_stride: int = 1
    ) -> str:
        """Append what a layer of `values` makes of `source`."""
        c_in, c = self.shapes[source][0], int(values["filters"])
        rows = stem_stride * int(values["stride-height"])
        columns = stem_stride * int(values["stride-width"])
        if "operation" not in values:
            args = {
                "c_in": c_in,
                "c_out": c,
                "height": values["filter-height"],
                "width": values["filter-width"],
                "stride_height": rows,
                "stride_width": columns,
            }
            return self.add(call(out, "RectConv", source, **args), c, (rows, columns))
        module, kernel = OPERATIONS[str(values["operation"])]
        steps: dict[str, Value] = {"stride_height": rows, "stride_width": columns}
        line = call(f"{out}_in", "RectConv", source, c_in=c_in, c_out=c, height=1, width=1, **steps)
        changed = self.add(line, c, (rows, columns))
        sizes: dict[str, Value] = {} if module in POOLINGS else {"c_in": c, "c_out": c}
        return self.add(call(out, module, changed, **sizes, kernel=kernel), c)


def _concatenated(lines: _Lines, space: Layers, arch: Arch, size: Size) -> None:
    """Append layers that read the concatenation of their skips, or the image."""
    for index, layer in enumerate(arch):
        stage = space.stage(index, len(arch))
        names = [f"layer{source}" for source in layer[-1]] or ["x"]
        inputs = lines.joined(f"inputs{index}", [lines.pooled(name, stage) for name in names])
        stride = 1 if layer[-1] else size.stem_stride
        values = dict(zip(space.roles, layer[:-1], strict=True))
        lines.computed(f"layer{index}", inputs, values, stem_stride=stride)


def _added(lines: _Lines, space: Layers, arch: Arch, size: Size) -> None:
    """Append a stem, and layers that read the layer before and add their skips to what they make."""
    c = arch[0][space.roles.index("filters")]
    stride, args = size.stem_stride, {"c_in": lines.shapes["x"][0], "c_out": c, "kernel": 3}
    last = lines.add(call("stem", "ConvBN", "x", **args, stride=stride), c, (stride, stride))
    for index, layer in enumerate(arch):
        stage = space.stage(index, len(arch))
        values = dict(zip(space.roles, layer[:-1], strict=True))
        made = lines.computed(f"made{index}", lines.pooled(last, stage), values)
        skips = [lines.pooled(f"layer{source}", stage) for source in layer[-1]]
        total = lines.add(call(f"sum{index}", "add", made, *skips), c) if skips else made
        last = lines.add(call(f"layer{index}", "BatchNorm2d", total, num_features=c), c)
