"""The family ``series``: branches for series of numbers, whose outputs add.

All sizes are in the genes, so that of the network is not used.
"""

from __future__ import annotations

from typing import Any

from ...space.series import Series, dilations_of, widths_of
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, call


def plan(space: Series, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of an architecture for series like those of `data`."""
    genes = space.genes(arch)
    calls: list[Call] = []
    ends: list[str] = []
    last, how = "x", genes["normalisation"]
    if how != "none":
        calls.append(call("normal", "SeriesNorm", "x", how=how))
        last = "normal"
    levelled = bool(space.ahead) and how != "none"
    if levelled:
        calls.append(call("level", "SeriesLevel", "x", how=how))
    if genes["linear"] or genes["dense"]:
        calls.append(call("values", "flatten", last))
    if genes["linear"] or genes["kernels"]:
        ends.append(_linear(calls, genes, last, data, levelled))
    if genes["dense"]:
        ends.append(_dense(calls, genes, data))
    if genes["depth"]:
        ends.append(_convolutions(calls, genes, last, data))
    calls.append(call("logits", "add", *ends))
    if levelled:
        calls.append(call("forecast", "AtLevel", "logits", "level"))
    output = "forecast" if levelled else "logits"
    doc = "The network that was found."
    return Plan((Block("Network", ("x",), output, tuple(calls), doc=doc),))


def _linear(calls: list[Call], genes: dict[str, Any], last: str, data: Data, levelled: bool) -> str:
    """Append the linear model of all values, of the bank of random convolutions, or of both."""
    channels, length = data.input_shape
    read, features = [], 0
    if genes["linear"]:
        read.append("values")
        features += channels * length
    if kernels := genes["kernels"]:
        args: Any = {"channels": channels, "length": length, "kernels": kernels}
        calls.append(call("bank", "KernelBank", last, **args))
        read.append("bank")
        features += 5 * kernels
    read += ["level"] * levelled
    calls.append(call("features", "concat", *read))
    args = {"features": features, "outputs": data.outputs, "ridge": genes["start"] == "ridge"}
    args |= {"levelled": True} if levelled else {}
    name = f"linear_{genes['start']}"  # another start is another gene
    calls.append(call(name, "RidgeLinear", "features", **args))
    return name


def _dense(calls: list[Call], genes: dict[str, Any], data: Data) -> str:
    channels, length = data.input_shape
    c_in, last, units = channels * length, "values", genes["dense"]
    for layer in range(2):
        args: Any = {"c_in": c_in, "c_out": units, "dropout": genes["dropout"]}
        calls.append(call(f"dense{layer}", "DenseLayer", last, **args))
        c_in, last = units, f"dense{layer}"
    return _ended(calls, "dense_out", last, c_in, data)


def _convolutions(calls: list[Call], genes: dict[str, Any], last: str, data: Data) -> str:
    c_in = data.input_shape[0]
    widths, dilations = widths_of(genes), dilations_of(genes)
    for block, (c_out, dilation) in enumerate(zip(widths, dilations, strict=True)):
        args: Any = {"c_in": c_in, "c_out": c_out, "kernel": genes["kernel"], "dilation": dilation}
        args |= {"stride": genes["stride"] if block == 0 else 1, "dropout": genes["dropout"]}
        calls.append(call(f"block{block}", "SeriesBlock", last, **args))
        c_in, last = c_out, f"block{block}"
    calls.append(call("pooled", "SeriesPool", last, how=genes["pool"]))
    return _ended(calls, "block_out", "pooled", c_in, data)


def _ended(calls: list[Call], name: str, last: str, features: int, data: Data) -> str:
    """Append the last layer of a branch, which begins with zeros: what others begin with stays."""
    args: Any = {"features": features, "outputs": data.outputs, "ridge": False}
    calls.append(call(name, "RidgeLinear", last, **args))
    return name
