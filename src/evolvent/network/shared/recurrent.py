"""All recurrent cells of a space as one cell: every node a mixture over earlier nodes and activations.

Node j is the sum, over earlier nodes i and activations f, of a weight times the highway layer
s + c (f(s W) - s) of a stand-alone cell, with s the node i, c = sigmoid(s V), and W and V of node j
alone: what a node learns serves it whichever node it reads, as in DARTS (Liu et al. 2018, 1806.09055).
The weights of a node sum to 1 in every softmax and in every sample, so that it stays on the scale of
what it reads and needs no batch norm.

As in `recurrent.FastCell`, a whole segment is one function with a gradient of its own: a node is one
product with all nodes that it reads, and what the gradients need of the forward pass is taken over all
steps at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...space.recurrent import group_of
from ..language import LanguageModel, RecurrentCell
from ..recurrent import (
    FIRST,
    Line,
    Slopes,
    Way,
    activate,
    full_precision,
    places,
    product,
    segment,
    times_slope,
)
from .mixture import MixtureWeights


class Reading(NamedTuple):
    """The sources and activations of one node under a mixture.

    Args:
        sources: the nodes that it reads.
        runs: (activation, its column, places in `sources` that it is applied to; None is all).
    """

    sources: tuple[int, ...]
    runs: tuple[tuple[str, int, list[int] | None], ...]


def reading_of(row: Sequence[float], activations: Sequence[str]) -> Reading:
    """Return the sources and activations of a node from its row of weights, source by source."""
    count = len(activations)
    sources = [s for s in range(len(row) // count) if any(row[s * count : (s + 1) * count])]
    runs = []
    for column, name in enumerate(activations):
        chosen = [at for at, s in enumerate(sources) if row[s * count + column]]
        if chosen:
            runs.append((name, column, None if len(chosen) == len(sources) else chosen))
    return Reading(tuple(sources), tuple(runs))


class MixedCell(nn.Module):
    """A cell in which nodes read all earlier nodes by all activations, each by its weight.

    Args:
        like: a cell of as many nodes, whose weights it shares.
        activations: in the order of the columns of a mixture.
        output: as of a `RecurrentCell`; ``loose`` nodes are those that none reads by any weight.
    """

    def __init__(self, like: RecurrentCell, activations: Sequence[str], output: str) -> None:
        super().__init__()
        self.input, self.hidden, self.inner = like.input, like.hidden, like.inner
        self.activations, self.output = tuple(activations), output
        self.names = [group_of(node) for node in range(1, len(like.inner) + 1)]
        self.mixture: MixtureWeights | None = None

    @contextmanager
    def at(self, mixture: MixtureWeights) -> Iterator[None]:
        """Within the context, the cell has one mixture."""
        self.mixture = mixture
        try:
            yield
        finally:
            self.mixture = None

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width] and state [B, width] -> outputs [T, B, width] and the last state."""
        mixture = self.mixture
        assert mixture is not None, "a mixed cell runs within its context `at`"
        rows = [mixture.row(name) for name in self.names]
        reads = [reading_of(row, self.activations) for row in rows]
        read = {s for each in reads for s in each.sources} if self.output == "loose" else {0}
        ends = tuple(node for node in range(1, len(rows) + 1) if node not in read)
        drive = torch.matmul(x, self.input)
        if not mixture.differentiable and all(sum(map(bool, r)) == max(r) == 1 for r in rows):
            way = Way.of([r.runs[0][0] for r in reads], [r.sources[0] for r in reads], ends)
            outputs = segment(drive, state, self.hidden, self.inner, None, way)
        else:
            gates = [mixture.tensors[name] for name in self.names]
            apply: Any = _MixedSegment.apply
            with full_precision(drive):
                dtype = self.hidden.dtype
                given = (drive.to(dtype), state.to(dtype), self.hidden, self.inner)
                outputs = apply(*given, (reads, ends), *gates)
        return outputs, outputs[-1]


class MixedLanguageModel(nn.Module):
    """A `LanguageModel` around a `MixedCell`.

    Args:
        vocabulary: tokens. [count]
        width: of embedding and cell. [count]
        nodes: of the cell, behind the first. [count]
        activations: names with blanks between them.
        output: ``all`` or ``loose``.
    """

    def __init__(
        self, vocabulary: int, width: int, nodes: int, activations: str, output: str
    ) -> None:
        super().__init__()
        names = activations.split()
        self.model = LanguageModel(vocabulary, width, " ".join([f"{names[0]}-0"] * nodes), output)
        like: Any = self.model.cell
        self.cell = MixedCell(like, names, output)
        self.model.cell = self.cell  # type: ignore[assignment]

    def forward(self, tokens: Tensor, mixture: MixtureWeights) -> Tensor:
        """Tokens [B, T] at a mixture -> logits [B, T, vocabulary]."""
        with self.cell.at(mixture):
            logits: Tensor = self.model(tokens)
        return logits


#: modules that take the mixture themselves: those of a plan's `MixedCall`
MIXED = {"MixedLanguageModel": MixedLanguageModel}


class _Node(NamedTuple):
    """A node of a mixed segment: T steps, S sources, a batch of B, K activations.

    Args:
        reads: what it reads.
        at: the index of its sources among the nodes.
        gates: the weights of its sources [S, 1, 1, K].
        total: their sums [S, 1, 1].
        kept: gates behind their sigmoid and values before their activation [T, S, B, 2 W].
        lift: mixed activations minus `total` times the source [T, S, B, W].
    """

    reads: Reading
    at: Any
    gates: Tensor
    total: Tensor
    kept: Tensor
    lift: Tensor

    @staticmethod
    def of(reads: Reading, row: Tensor, earlier: int, drive: Tensor) -> _Node:
        """Return a node that may read so many `earlier` ones."""
        steps, batch, double = drive.shape
        gates = row.detach().reshape(earlier, -1)[list(reads.sources)][:, None, None]
        shape = (steps, len(reads.sources), batch)
        kept, lift = drive.new_empty(*shape, double), drive.new_empty(*shape, double // 2)
        return _Node(reads, places(reads.sources, drive), gates, gates.sum(3), kept, lift)

    def step(self, t: int, below: Tensor, weight: Tensor) -> Tensor:
        """Return the node [B, W] of a step, from its sources [S, B, W]."""
        pre, lift = self.kept[t], self.lift[t]
        torch.mm(below.flatten(0, 1), weight, out=pre.flatten(0, 1))
        gate, value = pre.chunk(2, 2)
        gate.sigmoid_()
        under = below * self.total
        torch.neg(under, out=lift)
        for name, column, chosen in self.reads.runs:
            found = activate(name, value.clone() if chosen is None else value[chosen])
            by = self.gates[..., column] if chosen is None else self.gates[chosen, ..., column]
            if chosen is None:
                lift.addcmul_(found, by)
            else:
                lift[chosen] += found * by
        return under.addcmul_(gate, lift).sum(0)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the factors of the node's slope, over all steps.

        Returns:
            for the slope by what came before gates and activations [T, S, B, 2 W]; for the slope by
            the sources, past the weights [T, S, B, W].
        """
        gate, value = self.kept.chunk(2, 3)
        rest, found = 1 - gate, torch.empty_like(self.kept)
        by_gate, by_value = found.chunk(2, 3)
        torch.mul(self.lift * gate, rest, out=by_gate)
        by_value.zero_()
        for name, column, chosen in self.reads.runs:
            at = slice(None) if chosen is None else chosen
            reached = activate(name, value[:, at].clone())
            by_value[:, at] += times_slope(name, reached, gate[:, at] * self.gates[at, ..., column])
        return found, rest.mul_(self.total)

    def by_weights(self, states: Tensor, slope: Tensor) -> Tensor:
        """Return the gradient by the row of the node, from its slopes [T, B, W]; see `Supernet`."""
        earlier, count = int(states.shape[1]), self.gates.shape[3]
        found = slope.sum().expand(earlier * count).clone()
        gate, value = self.kept.chunk(2, 3)
        past = (slope[:, None] * (1 - gate) * states[:, self.at]).sum((0, 2, 3))
        through = slope[:, None] * gate
        for name, column, chosen in self.reads.runs:
            for at in range(len(self.reads.sources)) if chosen is None else chosen:
                reached = activate(name, value[:, at].clone())
                by = past[at] + (through[:, at] * reached).sum()
                found[self.reads.sources[at] * count + column] = by
        return found[None]


class _MixedSegment(torch.autograd.Function):
    """All steps of a mixed cell. `how` is the readings and the nodes whose mean is the new state."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, state: Tensor, hidden: Tensor, inner: Tensor, how: Any, *rows: Any
    ) -> Tensor:
        readings, ends = how
        steps, batch, double = drive.shape
        # the last place is the state before the step
        states = drive.new_empty(steps, len(inner) + 2, batch, double // 2)
        first = Line(drive.new_empty(drive.shape), states, len(inner) + 1, slice(0, 1), FIRST)
        nodes = [
            _Node.of(reads, row, earlier, drive)
            for earlier, (reads, row) in enumerate(zip(readings, rows, strict=True), 1)
        ]
        outputs, last = drive.new_empty(steps, batch, double // 2), places(ends, drive)
        for t in range(steps):
            here = states[t]
            here[-1].copy_(state)
            torch.addmm(drive[t], state, hidden, out=first.pre[t])
            first.make(t)
            for number, node in enumerate(nodes):
                here[number + 1].copy_(node.step(t, here[node.at], inner[number]))
            state = torch.mean(here[last], 0, out=outputs[t])
        ctx.save_for_backward(states, hidden, inner)
        ctx.first, ctx.nodes, ctx.last, ctx.ends = first, nodes, last, len(ends)
        return outputs

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        states, hidden, inner = ctx.saved_tensors
        steps, batch, width = slope.shape
        found = [node.factors() for node in ctx.nodes]
        here = slope.new_zeros(states.shape[1:])  # the slopes of nodes in one step
        first = Slopes(ctx.first, here, hidden.t().contiguous(), None)
        nodes = slope.new_empty(steps, len(inner), batch, width)  # and in all
        turned = inner.transpose(1, 2).contiguous()
        order = [*zip(range(len(inner)), ctx.nodes, found, turned, strict=True)][::-1]
        for t in range(steps - 1, -1, -1):
            share = (slope[t] + here[-1]).div_(ctx.ends)
            here.zero_()
            here[ctx.last] = share
            for number, node, (pre_of, past), weight in order:
                own = nodes[t, number].copy_(here[number + 1])
                pre = pre_of[t].view(-1, batch, 2, width).mul_(own[:, None])
                back = torch.mm(pre.flatten(2).flatten(0, 1), weight).view(-1, batch, width)
                here[node.at] += back.addcmul_(past[t], own)
            first.step(t)
        by_hidden, by_inner = None, None
        if ctx.needs_input_grad[2]:
            by_hidden = product(states[:, -1], first.found)
        if ctx.needs_input_grad[3]:
            pairs = zip(ctx.nodes, found, strict=True)
            by_inner = torch.stack(
                [product(states[:, n.at].flatten(1, 2), f.flatten(1, 2)) for n, (f, _) in pairs]
            )
        by_rows = [
            node.by_weights(states[:, : number + 1], nodes[:, number]) if wanted else None
            for number, (node, wanted) in enumerate(
                zip(ctx.nodes, ctx.needs_input_grad[5:], strict=True)
            )
        ]
        return first.found, here[-1].clone(), by_hidden, by_inner, None, *by_rows
