"""The family ``chain``: layers one after another, then a dense output layer."""

from __future__ import annotations

from ...space.chain import Chain, Layer, Signal, signal
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, Value, call, windowed

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
}
ACTIVATED = ("conv2d", "conv1d", "dense")  # their last value is an activation


def plan(space: Chain, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a chain; its size is in its genes, so `size` is not used.

    Raises:
        InvalidArchitecture: if a layer cannot take its input.
    """
    layers = arch[1]
    signals = space.signals(layers, signal(data.input_shape, space.vocabulary))
    calls: list[Call] = []
    last, flat = windowed(calls, data, space.vocabulary), signals[0].form == "flat"
    for layer, given in zip(layers, signals[:-1], strict=True):
        if layer[1] == "dense" and not flat:
            last, flat = _flattened(calls, last), True
        last = _layer(calls, layer, given, last, space.vocabulary)
    if not flat:
        last = _flattened(calls, last)
    features = signals[-1].numbers
    calls.append(call("logits", "Linear", last, in_features=features, out_features=data.outputs))
    output = _activated(calls, space.head(arch), "output", "logits", data.outputs)
    doc = "The chain that was found."
    return Plan((Block("Network", ("x",), output, tuple(calls), doc=doc),))


def _flattened(calls: list[Call], last: str) -> str:
    calls.append(call("features", "flatten", last))
    return "features"


def _layer(calls: list[Call], layer: Layer, given: Signal, last: str, vocabulary: int) -> str:
    """Append the calls of one layer and return the variable that holds its value."""
    name, kind, *values = layer
    channels, planar = given.shape[0], given.form == "image"
    out = f"{kind}_{name}"
    args: dict[str, Value]
    match kind:
        case "conv2d" | "conv1d":
            operation = "Conv2d" if planar else "Conv1d"
            args = {"in_channels": channels, "out_channels": values[0], "kernel_size": values[1]}
        case "max_pool":
            operation, args = "MaxPool2d" if planar else "MaxPool1d", {"kernel_size": values[0]}
        case "dense":
            operation = "Linear"
            args = {"in_features": given.numbers, "out_features": values[0]}
        case "dropout":
            operation, args = "Dropout", {"p": values[0]}
        case "global_pool":
            operation, args = "GlobalPool1d", {"how": values[0]}
        case "norm":
            operation, args = "BatchNorm1d", {"num_features": given.numbers}
        case "residual":
            operation, args = "ResidualDense", {"features": given.numbers, "hidden": values[0]}
        case _:
            operation, args = "TokenEmbedding", {"vocabulary": vocabulary, "dimension": values[0]}
    calls.append(call(out, operation, last, **args))
    if kind not in ACTIVATED:
        return out
    return _activated(calls, values[-1], name, out, values[0])


def _activated(calls: list[Call], activation: str, name: str, value: str, channels: int) -> str:
    """Append the activation of a layer's value, unless it is linear; return what holds its value."""
    if activation == "linear":
        return value
    operation, args = ACTIVATIONS[activation], {}
    if operation == "PReLU":
        args = {"channels": channels}
    elif operation == "Softmax":
        args = {"dim": 1}
    active = f"{activation}_{name}"
    calls.append(call(active, operation, value, **args))
    return active
