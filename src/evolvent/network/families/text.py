"""The family ``text``: a bag of n-grams, convolutions and a recurrent unit, whose logits add.

All sizes are in the genes, so that of the network is not used.
"""

from __future__ import annotations

from ...space.text import Genes, Text, kernels_of
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, Value, call


def plan(space: Text, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of an architecture for texts like those of `data`."""
    genes = space.genes(arch)
    calls: list[Call] = []
    logits: list[str] = []
    if genes.orders:
        logits.append(_bag(calls, genes, data.outputs))
    if genes.convolutions != "none" or genes.gru:
        calls += [
            call("window", "TokenWindow", "x", length=genes.window, vocabulary=space.vocabulary),
            call(
                "vectors",
                "TokenEmbedding",
                "window",
                vocabulary=space.vocabulary,
                dimension=genes.dimension,
            ),
        ]
    if genes.convolutions != "none":
        logits.append(_convolutions(calls, genes, data.outputs))
    if genes.gru:
        how: dict[str, Value] = {"dimension": genes.dimension, "hidden": genes.gru}
        calls.append(call("states", "MaskedGRU", "vectors", "window", **how))
        logits.append(_classified(calls, "gru", "states", genes.gru, data.outputs, genes.dropout))
    calls.append(call("logits", "add", *logits))
    doc = "The network that was found."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))


def _bag(calls: list[Call], genes: Genes, outputs: int) -> str:
    """Append the bag and return the variable of its logits; another start is another gene."""
    args: dict[str, Value] = {"outputs": outputs, "orders": genes.orders, "bits": genes.bits}
    args |= {"mean": genes.pool == "mean", "repeats": genes.counted == "repeats"}
    args |= {"thinning": genes.thinning}
    if genes.width == 1:
        name = f"bag_{genes.start}"
        calls.append(call(name, "HashedBag", "x", **args, bayes=genes.start == "bayes"))
        return name
    calls.append(call("bag", "HashedBag", "x", **args, dimension=genes.width))
    return _classified(calls, "bag", "bag", genes.width, outputs, genes.dropout)


def _convolutions(calls: list[Call], genes: Genes, outputs: int) -> str:
    made = []
    for kernel in kernels_of(genes.convolutions):
        made.append(f"conv{kernel}")
        args: dict[str, Value] = {"dimension": genes.dimension, "filters": genes.filters}
        args |= {"kernel": kernel, "top": genes.top}
        calls.append(call(made[-1], "MaskedConv1d", "vectors", "window", **args))
    calls.append(call("features", "concat", *made))
    features = len(made) * genes.filters * genes.top
    return _classified(calls, "conv", "features", features, outputs, genes.dropout)


def _classified(
    calls: list[Call], branch: str, given: str, features: int, outputs: int, dropout: float
) -> str:
    """Append dropout and a dense layer, and return the variable of a branch's logits."""
    if dropout:
        dropped = f"{branch}_dropped"
        calls.append(call(dropped, "Dropout", given, p=dropout))
        given = dropped
    name = f"{branch}_logits"
    calls.append(call(name, "Linear", given, in_features=features, out_features=outputs))
    return name
