"""The supernet: one network that holds all architectures of a space, with shared weights.

``forward(x, mixture)`` takes the weights of the operations as an argument: a softmax (DARTS), a one-hot
sample (ENAS, GDAS, single paths), or any other rows of a space's groups. An operation whose weight is
exactly 0 is not run; the weight itself is added to the sum, so that its gradient is the gradient of
the sum (Dong & Yang 2019). The operations are those of `operations.py`, so the output at a one-hot
mixture is that of the stand-alone network with the same weights.

Batch norms use the statistics of their batch: running means over many mixtures fit none of them.
`calibrated` measures the statistics of one mixture instead (Guo et al. 2019,
1904.00420). Norms beside a mixture have neither scale nor offset, which would compete with it
(Liu et al. 2018, section 3.1).

It is fast, without changing a number, because edges on the same state share their work: it is done once
(the first ReLU, poolings and their norms) or as one (equal operations, see `weighted`); the weight of
an edge is the scale of its last norm instead of one more pass over its output; sums are made in place;
states that nothing reads are not computed; and all tensors stay channels-last.

Partial channels (Xu et al. 2020, 1907.05737, PC-DARTS): operations see the first share of a state's
channels alone; the others go past them, times the sum of the weights of the row, max-pooled where the
sum is smaller; then the channels of a sum are shuffled, so that the next operations see some of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import SettingError
from ...space import Space
from ..build import Data, Size, function, mixed_blocks
from ..depthwise import LAST, with_fast_gradients
from ..operations import MODULES, Align, FactorizedReduce
from ..plan import Call, Mix, MixedBlock, MixedCall, Term, Value
from .mixing import concat, mixed
from .mixture import MixtureWeights
from .recurrent import MIXED
from .weighted import Norm, halves, joinable, together, weighted

POOLINGS = ("AvgPool", "MaxPool")


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
Reading = Sequence[tuple[str, Term]]  # (sum, operation that is one of its terms)
Parts = tuple[Sequence[str], Sequence[Tensor]]  # sums, and the part that is added to each


class Supernet(nn.Module):
    """All architectures of a space as one network.

    Args:
        space: with the capability ``mixture``, of a family that has a mixed network.
        data: shapes.
        size: of the network.
        pool_norm: whether a norm follows every pooling, as in DARTS, where it keeps all operations of
            an edge on one scale; the stand-alone network has none.
        partial: one channel in so many goes through operations; 1 is all of them. [count, >= 1]
        seed: of the first weights.

    Raises:
        SettingError: for channels that cannot be divided so.
    """

    def __init__(
        self,
        space: Space,
        data: Data,
        size: Size,
        *,
        pool_norm: bool = False,
        partial: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        blocks = mixed_blocks(space, data, size)
        mixed_calls = any(isinstance(line, MixedCall) for each in blocks for line in each.lines)
        if partial > 1 and mixed_calls:
            raise SettingError(f"partial={partial}: a recurrent cell has no channels: leave it out")
        named = {block.name: block for block in blocks}
        self.net = _Block(named, blocks[-1], {}, pool_norm, partial)
        self.norms = [module for module in self.modules() if isinstance(module, Norm)]

    def forward(self, x: Tensor, mixture: MixtureWeights) -> Tensor:
        """Return logits at a mixture, in the weights' dtype.

        Args:
            x: images [B, C, H, W], or tokens [B, T].
            mixture: weights of the operations.

        Returns:
            [B, outputs], or [B, T, outputs].
        """
        images = x.to(next(self.parameters()).dtype)
        result = self.net([lambda: images], mixture)
        assert isinstance(result, Tensor)
        return result

    def operations(self) -> Iterator[tuple[Term, nn.Module]]:
        """Yield every operation that has weights of its own, with its term."""
        for block in self.modules():
            for term in block.terms if isinstance(block, _Block) else ():
                if (module := getattr(block, term.out, None)) is not None:
                    yield term, module

    def at(self, mixture: MixtureWeights) -> nn.Module:
        """Return the network at one mixture, with the supernet's own weights."""
        return _At(self, mixture)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Compute no gradients by the shared weights within the context."""
        learnt = [weight for weight in self.parameters() if weight.requires_grad]
        for weight in learnt:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in learnt:
                weight.requires_grad_(True)

    @contextmanager
    def calibrated(self, mixture: MixtureWeights, batches: Iterable[Tensor]) -> Iterator[None]:
        """Within the context, norms use the mean statistics of `batches` [B, C, H, W] at `mixture`."""
        if not self.norms:
            yield
            return
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
    def __init__(self, supernet: Supernet, mixture: MixtureWeights) -> None:
        super().__init__()
        self.supernet, self.mixture = supernet, mixture

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.supernet(x, self.mixture)
        return result


class _Block(nn.Module):
    """A mixed block as a module; it computes only the states that its output depends on."""

    def __init__(
        self,
        blocks: Mapping[str, MixedBlock],
        block: MixedBlock,
        args: Mapping[str, Value],
        pool_norm: bool,
        partial: int,
    ) -> None:
        super().__init__()
        self.block, self.partial = block, partial
        self.lines = {line.out: line for line in block.lines}
        self.terms = [t for line in block.lines if isinstance(line, Mix) for t in line.terms]
        for line in block.lines:
            if isinstance(line, MixedCall):
                make: Any = MIXED[line.op]
                self.add_module(line.out, make(**_values(line.args, args)))
            elif isinstance(line, Call) and line.op in blocks:
                inner = _values(line.args, args)
                made = _Block(blocks, blocks[line.op], inner, pool_norm, partial)
                self.add_module(line.out, made)
            elif isinstance(line, Call) and line.op in MODULES:
                # norms of the skeleton, where nothing is mixed, have scale and offset
                self.add_module(line.out, _made(line, args, affine=not self.terms))
        if self.terms and partial > 1:  # what operations see
            if int(args["c"]) % partial:
                raise SettingError(f"partial={partial}: a divisor of the {args['c']} channels")
            args = {**args, "c": int(args["c"]) // partial}
        for term in self.terms:
            if term.op in MODULES and term.op not in POOLINGS:
                self.add_module(term.out, _made(term, args, affine=False))
            elif term.op in POOLINGS and not hasattr(self, _pooling(term)):
                pool, channels = _made(term, args, affine=False), int(args["c"])
                norm = [Norm(channels, affine=False)] if pool_norm else []
                self.add_module(_pooling(term), nn.Sequential(pool, *norm))
        #: state -> the operations that read it, and the sums they are part of
        self.outgoing: dict[str, list[tuple[str, Term]]] = {}
        #: operation with weights of its own -> a key; operations with equal keys can run as one
        self.kinds: dict[str, object] = {}
        for line in block.lines:
            for term in line.terms if isinstance(line, Mix) else ():
                self.outgoing.setdefault(term.source, []).append((line.out, term))
                if (module := getattr(self, term.out, None)) is not None:
                    self.kinds[term.out] = (term.op, term.args) if joinable(module) else term.out

    def forward(self, inputs: Sequence[Callable[[], State]], mixture: MixtureWeights) -> State:
        """Return the output; an input is a function that is called when something reads it."""
        return _Pass(self, inputs, mixture).state(self.block.output)


class _Pass:
    """One evaluation of a block: every state is computed once, when something reads it."""

    def __init__(
        self, block: _Block, inputs: Sequence[Callable[[], State]], mixture: MixtureWeights
    ) -> None:
        self.block, self.mixture = block, mixture
        self.inputs = dict(zip(block.block.inputs, inputs, strict=True))
        self.known: dict[str, State] = {}
        self.parts: dict[str, Mapping[str, list[Tensor]]] = {}
        self.wanted = self._wanted()

    def _wanted(self) -> set[str]:
        """Return the lines that the output depends on."""
        found: set[str] = set()
        ahead = [self.block.block.output]
        while ahead:
            name = ahead.pop()
            line = self.block.lines.get(name)
            if line is None or name in found:
                continue
            found.add(name)
            if isinstance(line, Mix):
                ahead += [term.source for term in line.terms if self._reads(term)]
            else:
                ahead += self._loose(line) if line.op == "loose" else line.inputs
        return found

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
            inner: State = module(readers, self.mixture)
            return inner
        if isinstance(line, MixedCall):
            logits: Tensor = getattr(self.block, line.out)(
                *map(self.tensor, line.inputs), self.mixture
            )
            return logits
        if line.op == "loose":
            return self._side_by_side(line)
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

    def _loose(self, line: Call) -> list[str]:
        """Return the inputs that no operation reads."""
        read = {term.source for term in self.block.terms if self._reads(term)}
        return [name for name in line.inputs if name not in read]

    def _reads(self, term: Term) -> bool:
        """Whether the edge of `term` lets anything through: by its operation, or past it."""
        past = self.block.partial > 1 and self.mixture.passes(term)
        return past or self.mixture.active(term)

    def _side_by_side(self, line: Call) -> Partial:
        """Return the inputs that no operation reads, concatenated in their channels."""
        loose = self._loose(line)
        images = [self.tensor(name) for name in loose]
        channels = images[0].shape[1]
        places = [line.inputs.index(name) for name in loose]
        index = torch.cat([torch.arange(channels) + place * channels for place in places])
        return Partial(concat(images), index.to(images[0].device))

    def _mix(self, line: Mix) -> Tensor:
        sources = {term.source: None for term in line.terms if self.mixture.active(term)}
        parts = [part for source in sources for part in self._from(source)[line.out]]
        if not parts:
            like = self.tensor(self._seen(line.like))
            size = (-(-like.shape[2] // line.stride), -(-like.shape[3] // line.stride))
            parts = [torch.zeros_like(like[:, :, : size[0], : size[1]])]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].contiguous(memory_format=LAST)
        for part in parts[2:]:
            total = total.add_(part)
        if self.mixture.differentiable:
            idle = [self.mixture.gate(term) for term in line.terms if self.mixture.idle(term)]
            total = total + torch.stack(idle).sum() if idle else total
        return total if self.block.partial == 1 else self._with_the_rest(line, total)

    def _with_the_rest(self, line: Mix, total: Tensor) -> Tensor:
        """Return a sum with the channels that go past its operations, shuffled."""
        edges = {(t.source, t.group, t.row): t for t in line.terms if self.mixture.passes(t)}
        images, size = [], total.shape[2:]
        for source, _, _ in edges:
            rest = self.tensor(source)[:, total.shape[1] :]
            smaller = rest.shape[2:] != size
            images.append(F.max_pool2d(rest, 2, ceil_mode=True) if smaller else rest)
        if images:
            sums = torch.stack([self.mixture.row_sum(term) for term in edges.values()])
            (past,) = mixed(images, sums.view(1, -1))
        else:
            past = total.new_zeros(len(total), total.shape[1] * (self.block.partial - 1), *size)
        both = torch.cat([total, past.to(total.dtype)], 1)
        both = both.permute(0, 2, 3, 1)
        apart = both.reshape(*both.shape[:3], self.block.partial, total.shape[1])
        return apart.transpose(3, 4).reshape(both.shape).permute(0, 3, 1, 2)

    def _seen(self, source: str) -> str:
        """Return the variable that holds what operations see of a state: some channels, or all."""
        if self.block.partial == 1:
            return source
        name = f"seen({source})"
        if name not in self.known:
            x = self.tensor(source)
            seen = x[:, : x.shape[1] // self.block.partial]
            self.known[name] = seen.contiguous(memory_format=LAST)
        return name

    def _from(self, source: str) -> Mapping[str, list[Tensor]]:
        """Return sum -> the weighted outputs of the operations on a state, computed together."""
        if source not in self.parts:
            reading = [
                (out, term)
                for out, term in self.block.outgoing[source]
                if out in self.wanted and self.mixture.active(term)
            ]
            found: dict[str, list[Tensor]] = {out: [] for out, _ in reading}
            kinds = self.block.kinds
            learning = [(out, term) for out, term in reading if term.out in kinds]
            passing = [(out, term) for out, term in reading if term.out not in kinds]
            for sums, divided in (*self._learning(source, learning), *self._passing(passing)):
                for out, part in zip(sums, divided, strict=True):
                    found[out].append(part)
            self.parts[source] = found
        return self.parts[source]

    def _learning(self, source: str, reading: Reading) -> Iterator[Parts]:
        """Yield the weighted outputs of operations with weights of their own, by the sums.

        Equal operations run as one. Outputs for the same sums are added up before they are split.
        """
        alike: dict[object, list[tuple[str, Term]]] = {}
        for out, term in reading:
            alike.setdefault(self.block.kinds[term.out], []).append((out, term))
        bunches: dict[tuple[str, ...], Tensor] = {}
        most = together(self.tensor(self._seen(source)))
        for group in alike.values():
            for start in range(0, len(group), most):
                sums, terms = zip(*group[start : start + most], strict=True)
                y = self._weighted(source, terms)
                bunches[sums] = bunches[sums].add_(y) if sums in bunches else y
        for sums, y in bunches.items():
            yield sums, y.chunk(len(sums), 1) if len(sums) > 1 else [y]

    def _passing(self, reading: Reading) -> Iterator[Parts]:
        """Yield the weighted outputs of poolings and identities, by the sums."""
        terms: dict[str, list[Term]] = {}
        for out, term in reading:
            terms.setdefault(out, []).append(term)
        same: dict[tuple[str, ...], list[str]] = {}  # images -> sums that they are added to
        for out, some in terms.items():
            same.setdefault(tuple(self._image(term) for term in some), []).append(out)
        for images, sums in same.items():
            gates = [self.mixture.gate(term) for out in sums for term in terms[out]]
            numbers = torch.stack(gates).view(len(sums), len(images))
            yield sums, mixed([self.tensor(name) for name in images], numbers)

    def _weighted(self, source: str, terms: Sequence[Term]) -> Tensor:
        """Return the weighted outputs of equal operations side by side."""
        x = self.tensor(self._seen(source))
        modules = [getattr(self.block, term.out) for term in terms]
        if self.mixture.observe is not None:
            for term, module in zip(terms, modules, strict=True):
                self.mixture.observe(term, module, x)
        gates = [self.mixture.gate(term) for term in terms]
        return weighted(modules, x, partial(self._active, source), gates)

    def _image(self, term: Term) -> str:
        """Return the variable that holds a pooling of a state, or the state itself."""
        seen = self._seen(term.source)
        if term.op == "identity":
            return seen
        name = _pooling(term)
        if name not in self.known:
            self.known[name] = getattr(self.block, name)(self.tensor(seen))
        return name

    def _active(self, source: str) -> Tensor:
        """Return the ReLU of a state, which most operations begin with."""
        name = f"relu({source})"
        if name not in self.known:
            self.known[name] = F.relu(self.tensor(self._seen(source)))
        return self.tensor(name)


def _aligned(module: Align, value: Partial) -> Tensor:
    """Return the output of a module for an image that may hold only some of its channels.

    Missing channels count as zeros, without computing with them.
    """
    x, index = F.relu(value.x), value.index
    change: Any = module.change
    found: Tensor
    if isinstance(change, FactorizedReduce):
        found = change.norm(halves(change, x, index))
    else:
        weight = change[1].weight
        found = change[2](F.conv2d(x, weight if index is None else weight[:, index]))
    return found


def _made(line: Call | Term, outer: Mapping[str, Value], *, affine: bool) -> nn.Module:
    """Return the module of a line, its batch norms replaced by `Norm`."""
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
    """Return constructor arguments; names of parameters of the block become their values."""
    return {name: outer.get(str(value), value) for name, value in args}
