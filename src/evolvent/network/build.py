"""From an architecture to a module: the family of its space makes a plan, this module builds it.

`FAMILIES` is the only list of the families and their modules. A space from outside the package names
its own plan by its import path: ``family = "mine:plan"``.
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

from ..errors import EvolventError, SettingError, unknown
from ..space import Space
from ..types import Arch, State, stream
from .depthwise import with_fast_gradients
from .mixed import with_texts, without_texts
from .operations import MODULES
from .plan import FUNCTIONS, Block, Call, MixedBlock, Plan, Value, with_max_head, with_views

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
    "polynomial",
    "recurrent",
    "rnn_tree",
    "series",
    "stages",
    "text",
    "tabular",
    "topology",
)

#: Dropout of a language model by the length of its training, measured on 93,000 tokens of Penn
#: Treebank: .2 for 6 epochs, .5 for 20; more tokens are seen longer before they are known by heart.
FEW_TOKENS, BRIEF, SLOPE, MOST_DROPPED = 100_000, (6.0, 0.2), 0.17, 0.6
OF_WORDS = 0.4  # of it: the dropout of the vocabulary

VIEWS = (1, 2, 6)  # of an image; 1 is off [count]
TRIED = 20  # random architectures, of which one must become a network


class Data(Protocol):
    """The shapes that a network takes from its task.

    Images that keep their label in a mirror have ``mirrored``, those that lose it by a shift
    ``placed``, texts of any length ``any_length``, and tables with columns of texts ``texts``, as
    `Facts` and `Task` do.
    """

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
        head: ``mean`` or ``max`` of every channel before the classifier, where a family pools
            globally.
        widen: factor of all widths of an architecture whose genes say them (`stages`). [> 0]
        dropout: of a language model: share of the inputs and outputs of its cell that is left out in
            training; None follows the length of the training (`lasting`). [0..1)
        drop_hidden: the same of the state within the cell. [0..1)
        drop_words: the same of the vocabulary; None likewise. [0..1)
        views: of every image, whose logits are averaged wherever the network is not trained: 1 is
            off; 2 are the image and its mirror, or itself shifted where a mirrored image loses its
            label; 6 are the image, its mirror, and both shifted by one pixel in two directions, or 3
            without mirroring. The network takes so many times as long. [1, 2, 6]
    """

    cells: int = 1
    width: int = 16
    stages: int = 3
    stem_stride: int = 1
    reduction: str = "residual"
    drop_path: float = 0.0
    auxiliary: float = 0.0
    head: str = "mean"
    widen: float = 1.0
    views: int = 1
    dropout: float | None = 0.0
    drop_hidden: float = 0.0
    drop_words: float | None = 0.0

    def __post_init__(self) -> None:
        if self.reduction not in ("residual", "conv"):
            raise SettingError(f"reduction={self.reduction!r}: one of residual, conv")
        if self.head not in ("mean", "max"):
            raise SettingError(f"head={self.head!r}: one of mean, max")
        if self.views not in VIEWS:
            raise SettingError(f"views={self.views!r}: one of {', '.join(map(str, VIEWS))}")
        for name, allowed, rule in (
            ("drop_path", 0 <= self.drop_path < 1, "in [0, 1)"),
            ("dropout", 0 <= (self.dropout or 0) < 1, "in [0, 1)"),
            ("drop_hidden", 0 <= self.drop_hidden < 1, "in [0, 1)"),
            ("drop_words", 0 <= (self.drop_words or 0) < 1, "in [0, 1)"),
            ("auxiliary", 0 <= self.auxiliary < math.inf, "at least 0; 0 is off"),
            ("widen", 0 < self.widen < math.inf, "above 0"),
        ):
            if not allowed:
                raise SettingError(f"{name}={getattr(self, name)!r}: {rule}")

    def lasting(self, epochs: float, tokens: int) -> Size:
        """Return the same size with the dropout that suits a training, where it is not said.

        A short training sees nothing often enough to know it by heart, and dropout only slows it.

        Args:
            epochs: of the training. [epochs]
            tokens: that it learns from. [count]
        """
        if None not in (self.dropout, self.drop_words):
            return self
        often = epochs * math.sqrt(FEW_TOKENS / max(1, tokens))
        share = BRIEF[1] + SLOPE * math.log2(max(often, 1e-9) / BRIEF[0])
        share = round(min(max(0.0, share), MOST_DROPPED), 3)
        dropout = share if self.dropout is None else self.dropout
        words = OF_WORDS * share if self.drop_words is None else self.drop_words
        return replace(self, dropout=dropout, drop_words=words)

    def bare(self) -> Size:
        """Return the same size without what is for training only (dropout, drop-path, auxiliary)."""
        bare = replace(self, dropout=0.0, drop_hidden=0.0, drop_words=0.0)
        return replace(bare, drop_path=0.0, auxiliary=0.0)


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
        SettingError: for texts beside a network whose weights are genes.
    """
    if getattr(data, "texts", ()) and "weighted" in space.gives:
        raise SettingError(
            "the weights of this space are genes, and those of a bag of words are learnt: leave out "
            "the columns of texts with --ignore, or take another space, such as tabular"
        )
    made: Plan = with_texts(_planner(space)(space, arch, without_texts(data), size), data)
    if size.head == "max":
        blocks = (replace(block, calls=with_max_head(block.calls)) for block in made.blocks)
        made = replace(made, blocks=tuple(blocks))
    return viewed(made, size, data)


def viewed(made: Plan, size: Size, data: Data) -> Plan:
    """Return the plan of a network that looks at as many views of an image as `size` says."""
    return with_views(made, views_of(size, data), mirrored=_mirrored(data))


def views_of(size: Size, data: Data) -> int:
    """Return the views of every input whose outputs a network averages; 1 without images. [count]"""
    if len(data.input_shape) != 3:
        return 1
    if getattr(data, "placed", False):
        return min(size.views, 1 + _mirrored(data))
    return 3 if size.views == 6 and not _mirrored(data) else size.views


def _mirrored(data: Data) -> bool:
    return bool(getattr(data, "mirrored", False))


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
            "cell201 or layers for images, recurrent for running text"
        )
    found: tuple[MixedBlock, ...] = module.mixed(space, data, size.bare())
    if size.head == "max":
        found = tuple(replace(block, lines=with_max_head(block.lines)) for block in found)
    return found


def check_network(space: Space, data: Data, size: Size, *, name: str) -> None:
    """Refuse a space that no network can be built of, before anything is spent on it.

    The first of `TRIED` samples that can be built is built and run on the meta device, which costs
    neither memory nor computation.

    Args:
        space: is sampled.
        data: the shapes of the task.
        size: of the network.
        name: of the space, for the message.

    Raises:
        SettingError: for a family that is not known, and where no sample becomes a network that takes
            the inputs of `data` and returns its outputs.
    """
    _planner(space)
    for index in range(TRIED):
        arch = space.sample(stream("first network", index))
        try:
            with torch.device("meta"), torch.no_grad():
                net = Assembled(plan(space, arch, data, size)).eval()
                got = tuple(net(torch.empty(2, *data.input_shape)).shape)
        except (EvolventError, RuntimeError) as error:  # torch's, for shapes that do not fit
            reason = _first_line(error)
        except Exception as error:  # what plans a family from outside may fail in any way
            raise SettingError(
                f"space {name}: its family {space.family} builds no network of {arch!r}: "
                f"{_first_line(error)}: correct its plan"
            ) from error
        else:
            if got[0] != 2 or got[-1] != data.outputs:
                raise SettingError(
                    f"space {name}: the network of {arch!r} makes {got} of 2 inputs of shape "
                    f"{data.input_shape}, and must make (2, {data.outputs}): correct the plan of its "
                    f"family {space.family}"
                )
            return
    raise SettingError(
        f"space {name}: no network can be built of {TRIED} random architectures, the last because "
        f"{reason}: other settings of the space may help"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _planner(space: Space) -> Any:
    """Return the module or function that plans the networks of `space`.

    Raises:
        SettingError: for a family that is not known and cannot be imported.
    """
    module = _module(space)
    name = space.family.partition(":")[2] or "plan"
    if not callable(found := getattr(module, name, None)):
        raise SettingError(
            f"family of spaces {space.family!r}: {module.__name__} has no function {name}: define "
            f"{name}(space, arch, data, size), which returns a Plan"
        )
    return found


def _module(space: Space) -> Any:
    """Return the module of a family, where all that it can do stands beside its plan."""
    if space.family in FAMILIES:
        return importlib.import_module(f".families.{space.family}", __package__)
    module, colon, _ = space.family.partition(":")
    if not colon:
        error = unknown("family of spaces", space.family, FAMILIES)
        raise SettingError(f"{error}, or name a plan of your own as 'module:plan'")
    try:
        return importlib.import_module(module)
    except Exception as error:  # a module from outside may fail in any way while it is read
        raise SettingError(
            f"family of spaces {space.family!r} cannot be imported: {_first_line(error)}: name a "
            "function plan(space, arch, data, size) as 'module:plan'"
        ) from error


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
        self.any_size = plan.any_size
        for name in self.block.passes:
            setattr(self, name, getattr(self._modules[self.block.output], name))

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
        case "pool_max":
            return inputs[0].amax((2, 3))
        case "mean":
            return torch.stack(list(inputs)).mean(0)
        case "mean_of_softmax":  # logits whose softmax is the mean of theirs
            return torch.stack(list(inputs)).log_softmax(2).logsumexp(0)
        case "mean_of_sigmoid":  # logits whose sigmoid is the mean of theirs
            return torch.stack(list(inputs)).sigmoid().mean(0).logit(1e-6)
        case "mean_of_views":
            y, x = inputs
            return y.reshape(-1, x.shape[0], y.shape[1]).mean(0)
        case _:  # "pool"
            # not mean((2, 3)): its gradient has stride 0, which slows everything before it
            return F.avg_pool2d(inputs[0], inputs[0].shape[2:]).flatten(1)
