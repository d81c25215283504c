"""The family ``filters``: single maps joined by convolutions whose kernels follow from their sizes.

Names contain the sizes of both ends, so that a kernel is inherited only where neither has changed:
kernels of equal shape mean something else between maps of other sizes.
"""

from __future__ import annotations

from ...space.filters import IMAGE, Filters, Shape, genome
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, call


def plan(space: Filters, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a genome; its size is in its genes, so `size` is not used."""
    nodes, edges = space.network(genome(arch))
    calls: list[Call] = []
    values = {name: f"map_{name}_{shape.height}x{shape.width}" for name, shape in nodes.items()}
    values[IMAGE] = "x"
    if space.pool > 1:
        values[IMAGE] = "pooled"
        calls.append(call("pooled", "AvgPool2d", "x", kernel_size=space.pool))
    hidden = [name for name in nodes if name != IMAGE and name not in space.names]
    for targets in [*([name] for name in hidden), list(space.names)]:
        joined = [ends for target in targets for ends in edges if ends[1] == target]
        inputs = dict.fromkeys(values[source] for source, _ in joined)
        shape, last = nodes[targets[0]], targets[0] in space.names
        calls.append(
            call(
                "outputs" if last else values[targets[0]],
                "FilterMaps",
                *inputs,
                edges=" ".join(f"{_told(a, nodes[a])}>{b}" for a, b in joined),
                height=shape.height,
                width=shape.width,
                active=not last,
            )
        )
    calls.append(call("logits", "flatten", "outputs"))
    doc = "The network that evolved."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))


def _told(name: str, shape: Shape) -> str:
    return f"{name}_{shape.channels}x{shape.height}x{shape.width}"
