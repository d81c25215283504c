"""The family ``polynomial``: every node is a call, and reads columns of the input or other nodes."""

from __future__ import annotations

from ...space.polynomial import FUNCTIONS, Polynomial
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, Value, call, link_of_several


def plan(space: Polynomial, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a network of polynomials; its size is that of the architecture.

    Raises:
        InvalidArchitecture: for an architecture that is not of this space.
    """
    nodes = space.checked(arch)
    link = link_of_several(data)
    labels, classes = link == "sigmoid", data.outputs > 1 and not link
    read = {source for _, *sources, _ in nodes for source in sources}
    calls: list[Call] = [
        call(name, "Columns", "x", columns=str(place))
        for place, name in enumerate(space.inputs)
        if name in read
    ]
    names = {name: name for name in space.inputs}
    for name, first, second, function in nodes:
        names[name] = f"{function}_{name}"
        args: dict[str, Value] = {"outputs": data.outputs, "terms": FUNCTIONS[function]}
        args |= {"labels": True} if labels else {}
        calls.append(call(names[name], "PolynomialNode", names[first], names[second], **args))
    output = names[nodes[-1][0]]
    if labels or classes:
        args = {"labels": True} if labels else {}
        calls.append(call("logits", "FittedLogits", output, **args))
        output = "logits"
    doc = "Quadratic polynomials of two numbers each; their coefficients are least squares."
    return Plan((Block("Network", ("x",), output, tuple(calls), doc=doc),))
