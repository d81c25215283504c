"""From an architecture to a module: the family of its space makes a plan, this module builds it.

`FAMILIES` is the only list of the families and their modules.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SettingError, unknown
from ..space import Space
from ..types import Arch, State
from .depthwise import with_fast_gradients
from .operations import MODULES
from .plan import FUNCTIONS, Block, Call, MixedBlock, Plan, Value

#: families of spaces: each is a module of `families` with ``plan(space, arch, data, size) -> Plan``.
FAMILIES = (
    "blueprint",
    "cell",
    "cell201",
    "chain",
    "filters",
    "graph",
    "layers",
    "plain",
    "topology",
)


class Data(Protocol):
    """The shapes that a network takes from its task."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) for images."""

    @property
    def outputs(self) -> int:
        """Outputs per input. [count]"""


@dataclass(frozen=True)
class Size:
    """Size of a network: cells, width, stages. A family ignores the settings that it has no use for.

    Args:
        cells: normal cells per stage. [count, >= 0]
        width: channels of the first stage, doubled at every reduction. [count, >= 1]
        stages: groups of cells, a reduction between two. [count, >= 1]
        stem_stride: of the first convolution; 2 makes everything behind it four times cheaper. [1, 2]
        reduction: between stages of one cell type: the benchmark's ``residual`` block, or one ``conv``.
        drop_path: probability of dropping a branch of a cell, unless it is an identity, at the end
            of a training; never delivered. [0..1)
        auxiliary: weight of the loss of an auxiliary classifier behind two thirds of the cells;
            training only, never delivered; 0 is off. [>= 0]
    """

    cells: int = 1
    width: int = 16
    stages: int = 3
    stem_stride: int = 1
    reduction: str = "residual"
    drop_path: float = 0.0
    auxiliary: float = 0.0

    def __post_init__(self) -> None:
        if self.reduction not in ("residual", "conv"):
            raise SettingError(f"reduction={self.reduction!r}: one of residual, conv")
        for name, allowed, rule in (
            ("drop_path", 0 <= self.drop_path < 1, "in [0, 1)"),
            ("auxiliary", 0 <= self.auxiliary < math.inf, "at least 0; 0 is off"),
        ):
            if not allowed:
                raise SettingError(f"{name}={getattr(self, name)!r}: {rule}")

    def bare(self) -> Size:
        """Return the same size without training-only modules (drop-path, auxiliary head)."""
        return replace(self, drop_path=0.0, auxiliary=0.0)


def plan(space: Space, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of `arch` for the shapes of `data`, as it is delivered.

    Raises:
        InvalidArchitecture: if the architecture cannot be realised for these shapes.
    """
    return training_plan(space, arch, data, size.bare())


def training_plan(space: Space, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of `arch` with training-only modules; weights and outputs are the same.

    Raises:
        InvalidArchitecture: if the architecture cannot be realised for these shapes.
    """
    made: Plan = _module(space).plan(space, arch, data, size)
    return made


def build(space: Space, arch: Arch, data: Data, size: Size, *, seed: int = 0) -> Assembled:
    """Return the network of `arch` for training, with fresh weights drawn from `seed`."""
    torch.manual_seed(seed)
    return Assembled(training_plan(space, arch, data, size))


def weights(space: Space, arch: Arch) -> State:
    """Return the weights that an architecture of a ``weighted`` space carries, named as in its plan."""
    found: State = _module(space).state(space, arch)
    return found


def many(space: Space, archs: Sequence[Arch]) -> Any:
    """Return the networks of architectures of a ``weighted`` space, to be run side by side."""
    return _module(space).many(space, archs)


def mixed_blocks(space: Space, data: Data, size: Size) -> tuple[MixedBlock, ...]:
    """Return the blocks of the supernet of `space`, the network itself last.

    Raises:
        SettingError: if the space has no mixture, or its family no supernet.
    """
    module = _module(space)
    if "mixture" not in space.gives or not hasattr(module, "mixed"):
        raise SettingError(
            f"a space of the family {space.family} has no network with shared weights: use cell, "
            "cell201 or layers"
        )
    found: tuple[MixedBlock, ...] = module.mixed(space, data, size.bare())
    return found


def _module(space: Space) -> Any:
    if space.family not in FAMILIES:
        raise unknown("family of spaces", space.family, FAMILIES)
    return importlib.import_module(f".families.{space.family}", __package__)


class Assembled(nn.Module):
    """A block of a plan as a module; blocks within it are modules of the same kind."""

    def __init__(
        self, plan: Plan, block: Block | None = None, args: Mapping[str, Value] | None = None
    ) -> None:
        super().__init__()
        self.block = block or plan.network
        for call in self.block.calls:
            values = {name: (args or {}).get(str(value), value) for name, value in call.args}
            if (inner := plan.block(call.op)) is not None:
                self.add_module(call.out, Assembled(plan, inner, values))
            elif call.op in MODULES:
                constructor: Any = MODULES[call.op]
                self.add_module(call.out, with_fast_gradients(constructor(**values)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run the calls in order; images are [B, C, H, W]."""
        values = dict(zip(self.block.inputs, inputs, strict=True))
        for call in self.block.calls:
            values[call.out] = self._run(call, [values[name] for name in call.inputs])
        return values[self.block.output]

    def _run(self, call: Call, inputs: list[Tensor]) -> Tensor:
        if call.op in FUNCTIONS:
            return function(call.op, inputs)
        module: Any = self._modules[call.out]  # a module; torch's type would allow None
        result: Tensor = module(*inputs)
        return result


def function(op: str, inputs: Sequence[Tensor]) -> Tensor:
    """Return the value of `op`, one of the plan's `FUNCTIONS`, for `inputs`."""
    match op:
        case "add":
            return sum(inputs[1:], start=inputs[0])
        case "concat":
            return torch.cat(list(inputs), dim=1)
        case "zeros":
            return torch.zeros_like(inputs[0])
        case "flatten":
            return inputs[0].flatten(1)
        case _:  # "pool"
            # not mean((2, 3)): its gradient has stride 0, which slows everything before it
            return F.avg_pool2d(inputs[0], inputs[0].shape[2:]).flatten(1)
