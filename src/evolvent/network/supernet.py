"""The supernet: one network that holds all architectures of a space, with shared weights.

``forward(x, mixture)`` takes the weights of the operations as an argument: a softmax (DARTS), a one-hot
sample (ENAS, GDAS, single paths), or any other rows of a space's groups. An operation whose weight is
exactly 0 is not run; its zero is added as a number, so that a gradient by it is that of the sum which
it would be part of (Dong & Yang 2019). The operations are those of `operations.py`, so a one-hot
mixture computes what the stand-alone network does with the same weights.

Batch norms use the statistics of their batch: those that a running mean collects over many
mixtures fit none of them. `calibrated` measures the statistics of one mixture instead (Guo et al. 2019,
1904.00420). Norms beside a mixture have neither scale nor offset, which would compete with it
(Liu et al. 2018, section 3.1).

What makes it fast, without changing a number: whatever several edges do to the same state is done once
(the first ReLU, poolings and their norms), an edge's weight is the scale of its last norm instead of
one more pass over its output, sums are made in place, states that nothing reads are not computed, and
all stays channels-last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..space import Space
from .build import Data, Size, function, mixed_blocks
from .depthwise import with_fast_gradients
from .operations import MODULES, Align, FactorizedReduce
from .plan import Call, Mix, MixedBlock, Term, Value
from .sums import added, concat

POOLINGS = ("AvgPool", "MaxPool")


class Mixture:
    """Rows of operation weights, on a device, with what is 0 known to the host.

    Args:
        weights: group -> [rows, columns].
        device: where to hold them.
        dtype: in which to compute.
        gradient: whether they can be differentiated by.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        gradient: bool = False,
    ) -> None:
        values = {name: np.asarray(rows) for name, rows in weights.items()}
        self._hold(
            values,
            {
                name: torch.tensor(rows, device=device, dtype=dtype, requires_grad=gradient)
                for name, rows in values.items()
            },
        )

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Mixture:
        """Return the mixture of tensors [rows, columns] that may depend on others."""
        made = Mixture.__new__(Mixture)
        made._hold({name: t.detach().cpu().numpy() for name, t in tensors.items()}, dict(tensors))
        return made

    #: is told every operation that is run, and what it reads
    observe: Callable[[Term, nn.Module, Tensor], None] | None = None

    def _hold(self, values: Mapping[str, np.ndarray], tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self._values = {name: rows.tolist() for name, rows in values.items()}
        # one node of the graph per group instead of one per entry
        self._gates = {name: tensor.reshape(-1).unbind() for name, tensor in tensors.items()}

    @property
    def differentiable(self) -> bool:
        """Whether a gradient by the weights can be asked for."""
        return any(tensor.requires_grad for tensor in self.tensors.values())

    def active(self, term: Term) -> bool:
        """Whether the operation of `term` is run."""
        return term.op != "none" and self._values[term.group][term.row][term.column] != 0

    def idle(self, term: Term) -> bool:
        """Whether the weight of `term` is 0."""
        return bool(self._values[term.group][term.row][term.column] == 0)

    def gate(self, term: Term) -> Tensor:
        """Return the weight of `term` []."""
        columns = self.tensors[term.group].shape[1]
        return self._gates[term.group][term.row * columns + term.column]


class Norm(nn.Module):
    """Batch norm by the statistics of the batch, or by those that were measured.

    Args:
        channels: of its input. [count]
        affine: whether it has a scale and an offset.
    """

    def __init__(self, channels: int, *, affine: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.channels, self.eps = channels, 1e-5
        self.mode = "batch"  # or "measure", or "measured"
        self.sums: tuple[Tensor, Tensor, int] | None = (
            None  # of means and variances, and their number
        )

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """[B, C, H, W] -> the same, times `gate` []."""
        weight: Tensor | None = self.weight
        if gate is not None:  # contiguous: the kernel is ten times slower on an expanded number
            weight = gate.expand(x.shape[1]).contiguous() if weight is None else weight * gate
            weight = weight.to(torch.promote_types(x.dtype, torch.float32))
        if self.mode == "measure":
            self._measure(x.detach())
        if self.mode != "measured":
            return F.batch_norm(x, None, None, weight, self.bias, True, 0.0, self.eps)
        assert self.sums is not None, "nothing was measured with this operation"
        means, variances, number = self.sums
        mean, variance = means / number, variances / number
        return F.batch_norm(x, mean, variance, weight, self.bias, False, 0.0, self.eps)

    def _measure(self, x: Tensor) -> None:
        variance, mean = torch.var_mean(x.float() if x.dtype == torch.bfloat16 else x, (0, 2, 3))
        means, variances, number = self.sums or (0.0, 0.0, 0)
        self.sums = means + mean, variances + variance, number + 1


@dataclass(frozen=True)
class Partial:
    """An image that holds only some of the channels that its readers are made for.

    Args:
        x: [B, channels held, ...].
        index: which channels they are; None is all.
    """

    x: Tensor
    index: Tensor | None


State = Tensor | Partial


class Supernet(nn.Module):
    """All architectures of a space as one network.

    Args:
        space: with the capability ``mixture``, of a family that has a mixed network.
        data: shapes.
        size: of the network.
        pool_norm: whether a norm follows every pooling, as in DARTS, where it keeps all operations of
            an edge on one scale; the stand-alone network has none.
        seed: of the first weights.
    """

    def __init__(
        self, space: Space, data: Data, size: Size, *, pool_norm: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        blocks = mixed_blocks(space, data, size)
        self.net = _Block({block.name: block for block in blocks}, blocks[-1], {}, pool_norm)
        self.norms = [module for module in self.modules() if isinstance(module, Norm)]

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Return logits [B, outputs] for images [B, C, H, W] at a mixture, in the weights' dtype."""
        images = x.to(next(self.parameters()).dtype)
        result = self.net([lambda: images], mixture)
        assert isinstance(result, Tensor)
        return result

    def operations(self) -> Iterator[tuple[Term, nn.Module]]:
        """Yield every operation that has weights of its own, with the term that it is run for."""
        for block in self.modules():
            for term in block.terms if isinstance(block, _Block) else ():
                if (module := getattr(block, term.out, None)) is not None:
                    yield term, module

    def at(self, mixture: Mixture) -> nn.Module:
        """Return the network at one mixture, with the supernet's own weights."""
        return _At(self, mixture)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing that is computed within be differentiable by the weights."""
        learnt = [weight for weight in self.parameters() if weight.requires_grad]
        for weight in learnt:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in learnt:
                weight.requires_grad_(True)

    @contextmanager
    def calibrated(self, mixture: Mixture, batches: Iterable[Tensor]) -> Iterator[None]:
        """Let norms use, within, the mean statistics of some batches [B, C, H, W] at `mixture`."""
        self._switch("measure")
        try:
            with torch.no_grad():
                for x in batches:
                    self(x, mixture)
            self._switch("measured")
            yield
        finally:
            self._switch("batch")
            for norm in self.norms:
                norm.sums = None

    def _switch(self, mode: str) -> None:
        for norm in self.norms:
            norm.mode = mode


class _At(nn.Module):
    def __init__(self, supernet: Supernet, mixture: Mixture) -> None:
        super().__init__()
        self.supernet, self.mixture = supernet, mixture

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.supernet(x, self.mixture)
        return result


class _Block(nn.Module):
    """A mixed block as a module; what its output does not depend on is not computed."""

    def __init__(
        self,
        blocks: Mapping[str, MixedBlock],
        block: MixedBlock,
        args: Mapping[str, Value],
        pool_norm: bool,
    ) -> None:
        super().__init__()
        self.block = block
        self.lines = {line.out: line for line in block.lines}
        self.terms = [t for line in block.lines if isinstance(line, Mix) for t in line.terms]
        for line in block.lines:
            if isinstance(line, Call) and line.op in blocks:
                inner = _values(line.args, args)
                self.add_module(line.out, _Block(blocks, blocks[line.op], inner, pool_norm))
            elif isinstance(line, Call) and line.op in MODULES:
                # norms of the skeleton, where nothing is mixed, have scale and offset
                self.add_module(line.out, _made(line, args, affine=not self.terms))
        for term in self.terms:
            if term.op in MODULES and term.op not in POOLINGS:
                self.add_module(term.out, _made(term, args, affine=False))
            elif term.op in POOLINGS and not hasattr(self, _pooling(term)):
                pool, channels = _made(term, args, affine=False), int(args["c"])
                norm = [Norm(channels, affine=False)] if pool_norm else []
                self.add_module(_pooling(term), nn.Sequential(pool, *norm))

    def forward(self, inputs: Sequence[Callable[[], State]], mixture: Mixture) -> State:
        """Return the output for inputs that are computed when they are asked for."""
        return _Pass(self, inputs, mixture).state(self.block.output)


class _Pass:
    """One evaluation of a block: every state is computed once, when something reads it."""

    def __init__(
        self, block: _Block, inputs: Sequence[Callable[[], State]], mixture: Mixture
    ) -> None:
        self.block, self.mixture = block, mixture
        self.inputs = dict(zip(block.block.inputs, inputs, strict=True))
        self.known: dict[str, State] = {}

    def state(self, name: str) -> State:
        """Return the value of a variable."""
        if name not in self.known:
            line = self.block.lines.get(name)
            if line is None:
                self.known[name] = self.inputs[name]()
            elif isinstance(line, Mix):
                self.known[name] = self._mix(line)
            else:
                self.known[name] = self._call(line)
        return self.known[name]

    def tensor(self, name: str) -> Tensor:
        """Return the value of a variable that has all its channels."""
        value = self.state(name)
        assert isinstance(value, Tensor), f"{name} has only some of its channels"
        return value

    def _call(self, line: Call) -> State:
        module = getattr(self.block, line.out, None)
        if isinstance(module, _Block):
            readers = [partial(self.state, name) for name in line.inputs]
            return module(readers, self.mixture)  # type: ignore[no-any-return]
        if line.op == "loose":
            return self._loose(line)
        if line.op == "concat":
            return concat([self.tensor(name) for name in line.inputs])
        if module is None:
            value = self.state(line.inputs[0])
            if isinstance(value, Partial):
                return Partial(function(line.op, [value.x]), value.index)
            return function(line.op, [self.tensor(name) for name in line.inputs])
        value = self.state(line.inputs[0])
        if isinstance(module, Align):
            whole = value if isinstance(value, Partial) else Partial(value, None)
            return _aligned(module, whole)
        if isinstance(value, Partial):
            return F.linear(value.x, module.weight[:, value.index], module.bias)
        result: Tensor = module(value)
        return result

    def _loose(self, line: Call) -> Partial:
        """Return the inputs that no operation reads, side by side."""
        read = {term.source for term in self.block.terms if self.mixture.active(term)}
        loose = [place for place, name in enumerate(line.inputs) if name not in read]
        images = [self.tensor(line.inputs[place]) for place in loose]
        channels = images[0].shape[1]
        index = torch.cat([torch.arange(channels) + place * channels for place in loose])
        return Partial(concat(images), index.to(images[0].device))

    def _mix(self, line: Mix) -> Tensor:
        total: Tensor | None = None
        idle: list[Tensor] = []
        for term in line.terms:
            if self.mixture.active(term):
                total = self._add(total, term)
            elif self.mixture.differentiable and self.mixture.idle(term):
                idle.append(self.mixture.gate(term))
        if total is None:
            like = self.tensor(line.like)
            size = (-(-like.shape[2] // line.stride), -(-like.shape[3] // line.stride))
            total = torch.zeros_like(like[:, :, : size[0], : size[1]])
        return total + torch.stack(idle).sum() if idle else total

    def _add(self, total: Tensor | None, term: Term) -> Tensor:
        """Return `total`, which is this pass's own, with a weighted operation added to it."""
        gate = self.mixture.gate(term)
        if term.op == "identity" or term.op in POOLINGS:
            x = self.tensor(term.source) if term.op == "identity" else self._pooled(term)
            return added(total, x, gate)
        module = getattr(self.block, term.out)
        if self.mixture.observe is not None:
            self.mixture.observe(term, module, self.tensor(term.source))
        y = _weighted(module, self.tensor(term.source), lambda: self._active(term.source), gate)
        return y if total is None else total.add_(y)

    def _pooled(self, term: Term) -> Tensor:
        name = _pooling(term)
        if name not in self.known:
            self.known[name] = getattr(self.block, name)(self.tensor(term.source))
        return self.known[name]  # type: ignore[return-value]

    def _active(self, source: str) -> Tensor:
        """Return the ReLU of a state, which most operations begin with."""
        name = f"relu({source})"
        if name not in self.known:
            self.known[name] = F.relu(self.tensor(source))
        return self.known[name]  # type: ignore[return-value]


def _weighted(module: nn.Module, x: Tensor, relu: Callable[[], Tensor], gate: Tensor) -> Tensor:
    """Return `gate` times the output of an operation, by the scale of its last norm if it has one."""
    if not isinstance(module, nn.Sequential):
        if isinstance(module, FactorizedReduce):
            return module.norm(_halves(module, relu()), gate)  # type: ignore[no-any-return]
        return module(x) * gate  # type: ignore[no-any-return]
    layers = list(module)
    if isinstance(layers[0], nn.ReLU):
        x, layers = relu(), layers[1:]
    for layer in layers[:-1]:
        x = layer(x)
    if isinstance(layers[-1], Norm):
        return layers[-1](x, gate)  # type: ignore[no-any-return]
    return layers[-1](x) * gate  # type: ignore[no-any-return]


def _aligned(module: Align, value: Partial) -> Tensor:
    """Return the output of a module for some channels, or for all.

    It is that for zeros in the place of the others, without computing with them.
    """
    x, index = F.relu(value.x), value.index
    change: Any = module.change
    if isinstance(change, FactorizedReduce):
        return change.norm(_halves(change, x, index))  # type: ignore[no-any-return]
    weight = change[1].weight
    return change[2](F.conv2d(x, weight if index is None else weight[:, index]))  # type: ignore[no-any-return]


def _halves(module: FactorizedReduce, x: Tensor, index: Tensor | None = None) -> Tensor:
    """Return what `module` does between its ReLU and its norm, for some channels or for all.

    Its two convolutions are the two corners of one kernel of 2 x 2, so that no image is shifted, and
    neither outputs nor their gradients have to be put together from halves.
    """
    corners = F.pad(module.even.weight, (0, 1, 0, 1)), F.pad(module.odd.weight, (1, 0, 1, 0))
    weight = torch.cat(corners)
    if index is not None:
        weight = weight[:, index].contiguous(memory_format=torch.channels_last)
    odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    return F.conv2d(F.pad(x, odd) if any(odd) else x, weight, stride=2)


def _made(line: Call | Term, outer: Mapping[str, Value], *, affine: bool) -> nn.Module:
    """Return the module of a line, with norms of our kind."""
    constructor: Any = MODULES[line.op]
    module: nn.Module = constructor(**_values(line.args, outer))
    return _renormed(with_fast_gradients(module), affine=affine)


def _renormed(module: nn.Module, *, affine: bool) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return Norm(module.num_features, affine=affine)
    for name, child in module.named_children():
        setattr(module, name, _renormed(child, affine=affine))
    return module


def _pooling(term: Term) -> str:
    """Return one name for all equal poolings of a state."""
    return f"{term.source}_{term.op}_" + "_".join(str(value) for _, value in term.args)


def _values(args: tuple[tuple[str, Value], ...], outer: Mapping[str, Value]) -> dict[str, Value]:
    """Return constructor arguments; a text that is a parameter of the block stands for it."""
    return {name: outer.get(str(value), value) for name, value in args}
