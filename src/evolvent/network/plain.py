"""The family ``plain``: two 3 x 3 convolutions per stage, channels doubled where the size is halved.

A hand-made network in the manner of VGG with batch norm (Simonyan & Zisserman 2014; Ioffe & Szegedy
2015), with global average pooling: the control that stands beside every winner.
"""

from __future__ import annotations

from ..space import Space
from ..types import Arch
from .build import Data, Size
from .plan import Block, Plan, call


def plan(space: Space, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plain network of width ``arch[0]`` with the stages and stem of `size`."""
    c_in, c, last = data.input_shape[0], arch[0], "x"
    calls = []
    for stage in range(size.stages):
        stride = size.stem_stride if stage == 0 else 2
        for place, step in enumerate((stride, 1)):
            name = f"conv{stage}_{place}"
            calls.append(call(name, "ConvBNReLU", last, c_in=c_in, c_out=c, kernel=3, stride=step))
            c_in, last = c, name
        c *= 2
    calls += [
        call("features", "pool", last),
        call("logits", "Linear", "features", in_features=c_in, out_features=data.outputs),
    ]
    doc = "A plain convolutional network, made by hand."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))
