"""Recurrent cells of nodes with a fast gradient on a CPU; the results are those of `RecurrentCell`.

A step of a cell is many small operations, whose calls cost more than their numbers. So the whole
segment is one function with a gradient of its own: nodes that read the same node are one matrix
product, nothing is recorded step by step, and the gradient of every weight is one product over all
steps of the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .language import RecurrentCell


class Readers(NamedTuple):
    """Nodes that read one node.

    Args:
        source: the node that they read.
        nodes: that read it, those of equal activations side by side.
        runs: (activation, first, last) places in `nodes`.
    """

    source: int
    nodes: tuple[int, ...]
    runs: tuple[tuple[str, int, int], ...]


def readers_of(names: Sequence[str], sources: Sequence[int]) -> tuple[Readers, ...]:
    """Return the readers of every node that has some, in the order of the nodes."""
    found = []
    for source in sorted(set(sources)):
        nodes = [node for node, read in enumerate(sources, 1) if read == source]
        nodes.sort(key=lambda node: names[node - 1])
        runs: list[tuple[str, int, int]] = []
        for place, node in enumerate(nodes):
            name = names[node - 1]
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1], place + 1)
            else:
                runs.append((name, place, place + 1))
        found.append(Readers(source, tuple(nodes), tuple(runs)))
    return tuple(found)


class FastCell(RecurrentCell):
    """A cell whose segment is one function with a gradient of its own.

    Args:
        like: the cell to replace, whose weights it shares.
    """

    def __init__(self, like: RecurrentCell) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({n: v for n, v in like.__dict__.items() if n != "_parameters"})
        self.input, self.hidden, self.inner = like.input, like.hidden, like.inner
        self.readers = readers_of(self.names, self.sources)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width] and state [B, width] -> outputs [T, B, width] and the last state."""
        drive = torch.matmul(x, self.input)
        how = (self.readers, tuple(self.ends))
        mask = self.mask(state) if self.training and self.drop else None
        outputs = segment(drive, state, self.hidden, self.inner, mask, how)
        return outputs, outputs[-1]


def segment(
    drive: Tensor,
    state: Tensor,
    hidden: Tensor,
    inner: Tensor,
    mask: Tensor | None,
    how: tuple[tuple[Readers, ...], tuple[int, ...]],
) -> Tensor:
    """Return the states [T, B, W] of all steps of a cell.

    Args:
        drive: the input's share of node 0 [T, B, 2 W].
        state: before the first step [B, W].
        hidden: the state's weights [W, 2 W].
        inner: weights of the other nodes [nodes, W, 2 W].
        mask: factors of what nodes see [B, W]; None is 1.
        how: the readers, and the nodes whose mean is the new state.
    """
    apply: Any = _Segment.apply
    outputs: Tensor = apply(drive, state, hidden, inner, mask, how)
    return outputs


def _joined(inner: Tensor, nodes: Sequence[int]) -> Tensor:
    """Return the weights of some nodes as one matrix: all gates, then all values."""
    width = inner.shape[1]
    chosen = inner[[node - 1 for node in nodes]]  # [k, W, 2W]
    return chosen.reshape(len(nodes), width, 2, width).permute(1, 2, 0, 3).reshape(width, -1)


def _apart(joined: Tensor, count: int) -> Tensor:
    """Return the weights of nodes [count, W, 2W] from their matrix; the inverse of `_joined`."""
    width = joined.shape[0]
    return joined.reshape(width, 2, count, width).permute(2, 0, 1, 3).reshape(count, width, -1)


def activate(name: str, value: Tensor) -> Tensor:
    """Put the activation of `value` in its place, and return it."""
    if name == "tanh":
        value.tanh_()
    elif name == "sigmoid":
        value.sigmoid_()
    elif name == "relu":
        value.relu_()
    return value


def times_slope(name: str, value: Tensor, slope: Tensor) -> Tensor:
    """Return `slope` times the derivative of an activation, from the value that it took."""
    if name == "tanh":
        return torch.addcmul(slope, slope * value, value, value=-1)
    if name == "sigmoid":
        return slope * value * (1 - value)
    return slope * (value > 0) if name == "relu" else slope


class _Segment(torch.autograd.Function):
    """All steps of a cell. `how` is the readers and the nodes whose mean is the new state."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        state: Tensor,
        hidden: Tensor,
        inner: Tensor,
        mask: Tensor | None,
        how: Any,
    ) -> Tensor:
        readers, ends = how
        steps, batch, double = drive.shape
        width = double // 2
        # node -1, kept last, is the state before the step
        states = drive.new_empty(steps, len(inner) + 2, batch, width)
        first = drive.new_empty(steps, batch, double)
        gates = [drive.new_empty(steps, batch, len(r.nodes) * double) for r in readers]
        joined = [_joined(inner, r.nodes) for r in readers]
        outputs = drive.new_empty(steps, batch, width)
        last = places(ends, drive)
        for t in range(steps):
            here = states[t]
            here[-1].copy_(state)
            given = state if mask is None else state * mask
            pre = torch.addmm(drive[t], given, hidden, out=first[t])
            highway(pre, state, (("tanh", 0, 1),), here[:1])
            for r, weight, kept in zip(readers, joined, gates, strict=True):
                below = here[r.source]
                given = below if mask is None else below * mask
                made = highway(torch.mm(given, weight, out=kept[t]), below, r.runs, None)
                for place, node in enumerate(r.nodes):
                    here[node].copy_(made[:, place])
            state = torch.mean(here[last], 0, out=outputs[t])
        ctx.save_for_backward(states, first, hidden, inner, mask, *gates)
        ctx.how = how
        return outputs

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        states, first, hidden, inner, mask, *gates = ctx.saved_tensors
        readers, ends = ctx.how
        steps, batch, width = slope.shape
        joined = [_joined(inner, r.nodes).t().contiguous() for r in readers]
        turned = hidden.t().contiguous()
        pre = [torch.empty_like(each) for each in gates]
        by_drive = torch.empty_like(first)
        nodes = slope.new_empty(states.shape[1], batch, width)
        later: Tensor = slope.new_zeros(batch, width)
        last, where = places(ends, slope), [places(r.nodes, slope) for r in readers]
        order = [*zip(readers, where, joined, gates, pre, strict=True)][::-1]
        for t in range(steps - 1, -1, -1):
            here = states[t]
            nodes.zero_()
            nodes[last] = (slope[t] + later) / len(ends)
            for r, at, weight, kept, found in order:
                chosen = nodes[at].transpose(0, 1)  # [B, k, W]
                back = slopes(kept[t], here[r.source], r.runs, chosen, found[t])
                through = torch.mm(found[t], weight)
                nodes[r.source] += back.add_(through if mask is None else through * mask)
            back = slopes(first[t], here[-1], (("tanh", 0, 1),), nodes[0][:, None], by_drive[t])
            through = torch.mm(by_drive[t], turned)
            later = back.add_(through if mask is None else through * mask)
        given = states if mask is None else states * mask
        by_hidden = product(given[:, -1], by_drive)
        by_inner = torch.empty_like(inner)
        for r, found in zip(readers, pre, strict=True):
            apart = _apart(product(given[:, r.source], found), len(r.nodes))
            by_inner[[node - 1 for node in r.nodes]] = apart
        return by_drive, later, by_hidden, by_inner, None, None


def places(nodes: Sequence[int], like: Tensor) -> Any:
    """Return the index of nodes: a slice where they follow each other, which copies nothing."""
    first = nodes[0] if nodes else 0
    if list(nodes) == [*range(first, first + len(nodes))]:
        return slice(first, first + len(nodes))
    return torch.tensor(nodes, device=like.device)


def highway(pre: Tensor, below: Tensor, runs: Any, out: Tensor | None) -> Tensor:
    """Return nodes [B, k, W] from `pre` [B, 2 k W], which becomes their gates and values."""
    gate, value = pre.view(len(pre), 2, -1, below.shape[1]).unbind(1)
    gate.sigmoid_()
    for name, begin, end in runs:
        activate(name, value[:, begin:end])
    under = below[:, None]
    if out is not None:
        return torch.addcmul(below, gate[:, 0], value[:, 0] - below, out=out[0])
    return torch.addcmul(under, gate, value - under)


def slopes(kept: Tensor, below: Tensor, runs: Any, slope: Tensor, found: Tensor) -> Tensor:
    """Write the slopes by what came before the activations into `found`; return those by `below`.

    Args:
        kept: gates and values [B, 2 k W].
        below: the node that is read [B, W].
        runs: of equal activations.
        slope: by the nodes [B, k, W].
        found: is written [B, 2 k W].
    """
    gate, value = kept.view(len(kept), 2, -1, below.shape[1]).unbind(1)
    by_gate, by_value = found.view(len(kept), 2, -1, below.shape[1]).unbind(1)
    through = slope * gate
    torch.mul((value - below[:, None]) * through, 1 - gate, out=by_gate)
    for name, begin, end in runs:
        by_value[:, begin:end] = times_slope(name, value[:, begin:end], through[:, begin:end])
    return (slope - through).sum(1)


def product(given: Tensor, slope: Tensor) -> Tensor:
    """Return the gradient of a matrix: one product over all steps [T, B, ...]."""
    return given.flatten(0, 1).t() @ slope.flatten(0, 1)
