"""The family ``recurrent``: a language model around a cell of nodes."""

from __future__ import annotations

from ...space.recurrent import Recurrent, written
from ...types import Arch
from ..build import Data, Size
from ..plan import MixedBlock, MixedCall, Plan, Value
from .plain import language_model


def plan(space: Recurrent, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the language model of a cell, as wide as `size` says."""
    cell = {"cell": written(arch), "output": space.output}
    return language_model(
        size.width, data, size, "A language model of the cell that was found.", **cell
    )


def mixed(space: Recurrent, data: Data, size: Size) -> tuple[MixedBlock, ...]:
    """Return the one block of the supernet of `space`."""
    args: dict[str, Value] = {
        "vocabulary": data.outputs,
        "width": size.width,
        "nodes": space.nodes,
        "activations": " ".join(space.activations),
        "output": space.output,
    }
    line = MixedCall("logits", "MixedLanguageModel", ("x",), tuple(args.items()))
    return (MixedBlock("Network", ("x",), "logits", (line,)),)
