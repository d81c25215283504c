"""The family ``stages``: a stem, stages of blocks, the maximum or mean of every channel, a classifier.

Widths are in the genes; of the size of the network `widen` multiplies them.
"""

from __future__ import annotations

from ...space.stages import Layer, Stages, bottleneck_width, stem_width
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, Value, call

#: head -> what makes one number of every channel
HEADS = {"mean": "pool", "max": "pool_max"}
STEMS = {"conv3": (3, 1), "conv3s2": (3, 2), "patch2": (2, 2)}  # -> kernel, stride [pixels]


def plan(space: Stages, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of an architecture for images like those of `data`."""
    arch = space.widened(arch, size.widen)
    stem, stages, head, activation = arch[:4]
    kernel, stride = STEMS[stem]
    args: dict[str, Value] = {"c_in": data.input_shape[0], "c_out": stem_width(stages)}
    args |= {"kernel": kernel, "stride": stride, "activation": activation}
    name = f"stem_{stem}"
    calls, last = [call(name, "ConvBNAct", "x", **args)], name
    for layer in space.layers(arch):
        last = _layer(calls, layer, last, activation)
    calls += [
        call("features", HEADS[head], last),
        call(
            "logits",
            "Linear",
            "features",
            in_features=stages[-1][0],
            out_features=data.outputs,
        ),
    ]
    doc = "The network that was found."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))


def _layer(calls: list[Call], layer: Layer, last: str, activation: str) -> str:
    """Append the calls of one block and return the variable that holds its value."""
    name = f"stage{layer.stage}_{layer.place}_{layer.block}"  # another kind is another gene
    args: dict[str, Value] = {"c_in": layer.c_in, "c_out": layer.c_out}
    pooled = layer.down == "max-pool"
    if pooled and layer.block != "plain":
        pool = f"stage{layer.stage}_pool"
        calls.append(call(pool, "MaxPool2d", last, kernel_size=2, ceil_mode=True))
        last = pool
    match layer.block:
        case "plain":
            operation = "ConvBNAct"
            args["pool"] = pooled
        case "residual":
            operation = "BasicBlock"
        case "bottleneck":
            operation = "Bottleneck"
            args["inner"] = bottleneck_width(layer.c_out)
        case _:
            operation = "MBConv"
            args |= {"kernel": layer.kernel, "expansion": layer.expansion}
    args |= {"stride": 2 if layer.down == "stride" else 1, "activation": activation}
    calls.append(call(name, operation, last, **args, se=layer.se))
    return name
