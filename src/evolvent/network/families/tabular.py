"""The family ``tabular``: columns are scaled and embedded, then dense layers follow.

All sizes are in the genes, so that of the network is not used.
"""

from __future__ import annotations

from typing import Any

from ...space.tabular import Tabular
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, call, link_of_several

SCALES = {"standard": "StandardScale", "robust": "RobustScale", "quantile": "QuantileScale"}


def plan(space: Tabular, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of an architecture for tables like those of `data`."""
    genes = space.genes(arch)
    calls: list[Call] = []
    last = _inputs(calls, space, genes)
    c_in, members = space.embedded(arch), genes["members"]
    if genes["scaled"]:
        calls.append(call("scale", "FeatureScale", last, features=c_in))
        last = "scale"
    for layer in range(genes["depth"]):
        if members > 1:
            name = f"members{layer}"
            args: Any = {"members": members, "features": c_in, "fresh": layer == 0}
            calls.append(call(name, "MemberScale", last, **args))
            last = name
        last = _layer(calls, genes, layer, last, c_in)
        c_in = genes["width"]
    if members > 1:
        args = {"members": members, "features": c_in, "outputs": data.outputs}
        args |= {"link": link} if (link := link_of_several(data)) else {}
        calls.append(call("logits", "MemberHeads", last, **args))
    else:
        args = {"in_features": c_in, "out_features": data.outputs}
        calls.append(call("logits", "TangentLinear", last, **args))
    doc = "The network that was found."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))


def _inputs(calls: list[Call], space: Tabular, genes: dict[str, Any]) -> str:
    """Append the calls up to the first dense layer; return the variable that holds its input."""
    found = []
    if space.numbers:
        found.append(_numbers(calls, space, genes))
    if places := _places(space, "flag"):
        found.append(_taken(calls, "flags", places, space))
    if places := _places(space, "category"):
        found.append(_taken(calls, "categories", places, space))
        if genes["category_width"]:
            sizes = " ".join(map(str, space.categories))
            args: Any = {"inputs": sizes, "width": genes["category_width"]}
            calls.append(call("embedded_categories", "CategoryEmbedding", found.pop(), **args))
            found.append("embedded_categories")
    if len(found) == 1:
        return found[0]
    calls.append(call("inputs", "concat", *found))
    return "inputs"


def _numbers(calls: list[Call], space: Tabular, genes: dict[str, Any]) -> str:
    last = _taken(calls, "numbers", _places(space, "number"), space)
    scale = f"scaled_{genes['scaling']}"
    calls.append(call(scale, SCALES[genes["scaling"]], last, features=space.numbers))
    args: Any = {"features": space.numbers, "width": genes["embedding_width"]}
    match genes["embedding"]:
        case "none":
            return scale
        case "piecewise":
            calls.append(
                call("piecewise", "PiecewiseLinear", scale, **args, bins=genes["embedding_size"])
            )
            return "piecewise"
        case _:
            args |= {"frequencies": genes["embedding_size"], "scale": genes["sigma"]}
            calls.append(call("periodic", "Periodic", scale, **args))
            return "periodic"


def _layer(calls: list[Call], genes: dict[str, Any], layer: int, last: str, c_in: int) -> str:
    args: Any = {"c_in": c_in, "c_out": genes["width"], "activation": genes["activation"]}
    args |= {"norm": genes["norm"] == "batch", "dropout": genes["dropout"]}
    args["residual"] = bool(genes["residual"] and layer)
    calls.append(call(f"dense{layer}", "DenseLayer", last, **args))
    return f"dense{layer}"


def _places(space: Tabular, kind: str) -> str:
    """Return the places of the inputs of a kind, as `Columns` takes them."""
    parts, at = [], 0
    for name, count in space.columns:
        if name == kind:
            parts.append(f"{at}-{at + count - 1}" if count > 1 else f"{at}")
        at += count
    return " ".join(parts)


def _taken(calls: list[Call], name: str, places: str, space: Tabular) -> str:
    """Append the call that takes some of the inputs, unless it were all of them."""
    if len({kind for kind, _ in space.columns}) == 1:
        return "x"
    calls.append(call(name, "Columns", "x", columns=places))
    return name
