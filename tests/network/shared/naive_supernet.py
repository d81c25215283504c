"""The supernet as one would write it down: the reference for what the fast one computes.

Every edge has its own module for every operation, and a node is the sum of ``gate * op(x)``. Nothing
is shared, nothing is done in place, and memory is contiguous. Weights have the names of the fast one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from evolvent.network.build import Data, Size, function, mixed_blocks
from evolvent.network.operations import MODULES
from evolvent.network.plan import Call, Mix, MixedBlock, Term, Value
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.supernet import POOLINGS
from evolvent.space import Space


class NaiveSupernet(nn.Module):
    """All architectures of a space as one network; arguments are those of `Supernet`."""

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
        self.net = _Block({b.name: b for b in blocks}, blocks[-1], {}, pool_norm, partial)

    def forward(self, x: Tensor, mixture: MixtureWeights) -> Tensor:
        """[B, C, H, W] -> logits [B, outputs] at a mixture."""
        result: Tensor = self.net(mixture, x)
        return result


class _Block(nn.Module):
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
        self.terms = [t for line in block.lines if isinstance(line, Mix) for t in line.terms]

        def add(line: Call | Term, affine: bool, norm: bool) -> None:
            values = {name: args.get(str(value), value) for name, value in line.args}
            if line.op in blocks:
                self.add_module(
                    line.out, _Block(blocks, blocks[line.op], values, pool_norm, partial)
                )
            elif line.op in MODULES:
                made = _plain_norms(MODULES[line.op](**values), affine)
                if norm:
                    made = nn.Sequential(made, _norm(int(args["c"]), affine=False))
                self.add_module(line.out, made)

        for line in block.lines:
            if isinstance(line, Call):
                add(line, affine=not self.terms, norm=False)
        if self.terms:
            args = {**args, "c": int(args["c"]) // partial}
        for term in self.terms:
            add(term, affine=False, norm=pool_norm and term.op in POOLINGS)

    def forward(self, mixture: MixtureWeights, *inputs: Tensor) -> Tensor:
        values = dict(zip(self.block.inputs, inputs, strict=True))
        for line in self.block.lines:
            if isinstance(line, Mix):
                values[line.out] = self._sum(line, values, mixture)
            elif line.op == "loose":
                values[line.out] = self._loose(line, values, mixture)
            else:
                module = getattr(self, line.out, None)
                given = [values[name] for name in line.inputs]
                if isinstance(module, _Block):
                    values[line.out] = module(mixture, *given)
                else:
                    values[line.out] = module(*given) if module else function(line.op, given)
        return values[self.block.output]

    def _sum(self, line: Mix, values: Mapping[str, Tensor], mixture: MixtureWeights) -> Tensor:
        like = values[line.like][:, :, :: line.stride, :: line.stride]
        total = torch.zeros_like(like, memory_format=torch.contiguous_format)
        edges = dict.fromkeys((term.source, term.group, term.row) for term in line.terms)
        for edge in edges:
            terms = [term for term in line.terms if (term.source, term.group, term.row) == edge]
            total = total + self._edge(terms, values, mixture, total)
        return total

    def _edge(
        self,
        terms: list[Term],
        values: Mapping[str, Tensor],
        mixture: MixtureWeights,
        like: Tensor,
    ) -> Tensor:
        """The operations of an edge on the first channels beside the others, shuffled."""
        x = values[terms[0].source]
        count = x.shape[1] // self.partial
        total = torch.zeros_like(like[:, :count])
        for term in terms:
            gate = mixture.gate(term)
            if mixture.active(term):
                seen = x[:, :count]
                total = total + gate * (
                    seen if term.op == "identity" else getattr(self, term.out)(seen)
                )
            elif mixture.idle(term):
                total = total + gate  # 0, with the gradient of a part of the sum
        rest = x[:, count:]
        if self.partial == 1:
            return total
        if rest.shape[2:] != like.shape[2:]:
            rest = nn.functional.max_pool2d(rest, 2)
        gates = [mixture.gate(term) for term in terms]
        both = torch.cat([total, torch.stack(gates).sum() * rest], 1)
        order = [j * count + i for i in range(count) for j in range(self.partial)]
        return both[:, order]

    def _loose(self, line: Call, values: Mapping[str, Tensor], mixture: MixtureWeights) -> Tensor:
        read = {
            term.source
            for term in self.terms
            if mixture.active(term) or (self.partial > 1 and mixture.passes(term))
        }
        parts = [values[n] * 0 if n in read else values[n] for n in line.inputs]
        return torch.cat(parts, 1)


def _norm(channels: int, *, affine: bool) -> nn.Module:
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)


def _plain_norms(module: nn.Module, affine: bool) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return _norm(module.num_features, affine=affine)
    for name, child in module.named_children():
        setattr(module, name, _plain_norms(child, affine))
    return module
