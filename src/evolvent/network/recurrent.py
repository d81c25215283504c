"""Recurrent cells of nodes with a fast gradient on a CPU; the results are those of `RecurrentCell`.

A step of a cell is many small operations, whose calls cost more than their numbers. So the whole
segment is one function with a gradient of its own: nodes that read the same node are one matrix
product, nothing is recorded step by step, and the gradient of every weight is one product over all
steps of the segment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .language import RecurrentCell


class Readers(NamedTuple):
    """Nodes that read one node.

    Args:
        source: the place of the node that they read.
        first: the place of the first of them; the others follow.
        nodes: that read it, those of equal activations side by side.
        runs: (activation, first, last) places in `nodes`.
    """

    source: int
    first: int
    nodes: tuple[int, ...]
    runs: tuple[tuple[str, int, int], ...]

    @property
    def places(self) -> slice:
        """Where the nodes stand."""
        return slice(self.first, self.first + len(self.nodes))


class Way(NamedTuple):
    """The order of computation of a cell: all nodes that read one node stand side by side.

    Args:
        readers: of every node that has some; what is read comes before.
        ends: places of the nodes whose mean is the new state.
    """

    readers: tuple[Readers, ...]
    ends: tuple[int, ...]

    @staticmethod
    def of(names: Sequence[str], sources: Sequence[int], ends: Sequence[int]) -> Way:
        """Return the way of a cell from activation and source of every node behind the first."""
        found: list[Readers] = []
        places = {0: 0}
        for source in sorted(set(sources)):
            nodes = [node for node, read in enumerate(sources, 1) if read == source]
            nodes.sort(key=lambda node: names[node - 1])
            runs: list[tuple[str, int, int]] = []
            for at, node in enumerate(nodes):
                name = names[node - 1]
                if runs and runs[-1][0] == name:
                    runs[-1] = (name, runs[-1][1], at + 1)
                else:
                    runs.append((name, at, at + 1))
            first = len(places)
            places |= {node: first + at for at, node in enumerate(nodes)}
            found.append(Readers(places[source], first, tuple(nodes), tuple(runs)))
        return Way(tuple(found), tuple(sorted(places[node] for node in ends)))


class FastCell(RecurrentCell):
    """A cell of which a segment is one function with a gradient of its own.

    Args:
        like: the cell to replace, whose weights it shares.
    """

    def __init__(self, like: RecurrentCell) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({n: v for n, v in like.__dict__.items() if n != "_parameters"})
        self.input, self.hidden, self.inner = like.input, like.hidden, like.inner
        self.way = Way.of(self.names, self.sources, self.ends)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width] and state [B, width] -> outputs [T, B, width] and the last state."""
        drive = torch.matmul(x, self.input)
        mask = self.mask(state) if self.training and self.drop else None
        outputs = segment(drive, state, self.hidden, self.inner, mask, self.way)
        return outputs, outputs[-1]


def segment(
    drive: Tensor,
    state: Tensor,
    hidden: Tensor,
    inner: Tensor,
    mask: Tensor | None,
    way: Way,
) -> Tensor:
    """Return the states [T, B, W] of all steps of a cell.

    Args:
        drive: the input's share of node 0 [T, B, 2 W].
        state: before the first step [B, W].
        hidden: the state's weights [W, 2 W].
        inner: weights of the other nodes [nodes, W, 2 W].
        mask: factors of what nodes see [B, W]; None is 1.
        way: how the cell is computed.
    """
    apply: Any = _Segment.apply
    drive, state = drive.to(hidden.dtype), state.to(hidden.dtype)
    with full_precision(drive):
        outputs: Tensor = apply(drive, state, hidden, inner, mask, way)
    return outputs


def full_precision(like: Tensor) -> Any:
    """Return a context without autocast: many small steps in bfloat16 lose more than they save."""
    device = like.device.type
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


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


class Line:
    """Nodes that read one node, in all steps. Views of every step are made once: each is a call.

    Args:
        kept: what comes before gates and activations, and then these themselves [T, B, 2 k W].
        states: all nodes [T, places, B, W].
        source: the place of the node that is read.
        at: the places of the nodes.
        runs: of equal activations.
    """

    def __init__(self, kept: Tensor, states: Tensor, source: int, at: slice, runs: Any) -> None:
        steps, batch, _ = kept.shape
        self.kept, self.source, self.at, self.runs = kept, source, at, runs
        self.read = states[:, source]
        self.gates, self.values = kept.view(steps, batch, 2, -1, states.shape[3]).unbind(2)
        self.pre, self.below = kept.unbind(), self.read.unbind()
        self._gates, self._values = self.gates.unbind(), self.values.unbind()
        self._runs = [(name, self.values[:, :, one:end].unbind()) for name, one, end in runs]
        self._under = self.read[:, :, None].unbind()
        self._out = states[:, at].transpose(1, 2).unbind()

    def make(self, t: int) -> None:
        """Write the nodes of a step, of which `pre` is known."""
        self._gates[t].sigmoid_()
        for name, values in self._runs:
            activate(name, values[t])
        torch.lerp(self._under[t], self._values[t], self._gates[t], out=self._out[t])

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the factors of the slopes of nodes.

        Returns:
            for the slopes by what came before gates and activations [T, B, 2 k W]; for the slope by
            the node that is read, past the weights [T, B, k, W].
        """
        found = torch.empty_like(self.kept)
        by_gate, by_value = found.view(*self.gates.shape[:2], 2, *self.gates.shape[2:]).unbind(2)
        past = 1 - self.gates
        torch.sub(self.values, self.read[:, :, None], out=by_gate)
        by_gate.mul_(self.gates).mul_(past)
        for name, begin, end in self.runs:
            run = slice(begin, end)
            gate = self.gates[:, :, run]
            by_value[:, :, run] = times_slope(name, self.values[:, :, run], gate)
        return found, past


class Slopes:
    """The slopes of the nodes of a `Line`, step by step from the last.

    Args:
        line: of the forward pass.
        nodes: slopes of all nodes in one step [places, B, W]; that of the node read is added to.
        weight: by which it is read, transposed [2 k W, W].
        mask: factors of what nodes see [B, W]; None is 1.
    """

    def __init__(self, line: Line, nodes: Tensor, weight: Tensor, mask: Tensor | None) -> None:
        self.found, past = line.factors()
        self.weight, self.mask = weight, mask
        self._pre = self.found.unbind()
        self._scaled = self.found.view(*past.shape[:2], 2, *past.shape[2:]).unbind()
        self._past = [each.unbind() for each in past.unbind(2)]
        self._own, self._each = nodes[line.at].transpose(0, 1)[:, None], nodes[line.at].unbind()
        self._below = nodes[line.source]

    def step(self, t: int) -> None:
        """Write the slopes by `Line.pre` of a step to `found`, and add that by the node read."""
        pre, below = self._pre[t], self._below
        self._scaled[t].mul_(self._own)
        if self.mask is None:
            below.addmm_(pre, self.weight)
        else:
            below.add_(torch.mm(pre, self.weight).mul_(self.mask))
        for past, own in zip(self._past, self._each, strict=True):
            below.addcmul_(past[t], own)


class _Segment(torch.autograd.Function):
    """All steps of a cell. What the gradient needs of the forward pass is taken of all at once."""

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        state: Tensor,
        hidden: Tensor,
        inner: Tensor,
        mask: Tensor | None,
        way: Way,
    ) -> Tensor:
        steps, batch, double = drive.shape
        # the last place is the state before the step
        states = drive.new_empty(steps, len(inner) + 2, batch, double // 2)
        outputs = drive.new_empty(steps, batch, double // 2)
        first = Line(drive.new_empty(drive.shape), states, len(inner) + 1, slice(0, 1), FIRST)
        lines = [
            Line(
                drive.new_empty(steps, batch, len(r.nodes) * double),
                *(states, r.source, r.places, r.runs),
            )
            for r in way.readers
        ]
        joined = [_joined(inner, r.nodes) for r in way.readers]
        last, drives = places(way.ends, drive), drive.unbind()
        for t in range(steps):
            here = states[t]
            here[-1].copy_(state)
            given = state if mask is None else state * mask
            torch.addmm(drives[t], given, hidden, out=first.pre[t])
            first.make(t)
            for line, weight in zip(lines, joined, strict=True):
                given = line.below[t] if mask is None else line.below[t] * mask
                torch.mm(given, weight, out=line.pre[t])
                line.make(t)
            state = torch.mean(here[last], 0, out=outputs[t])
        ctx.save_for_backward(hidden, inner, mask)
        ctx.lines, ctx.way = (first, *lines), way
        return outputs

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        hidden, inner, mask = ctx.saved_tensors
        readers, ends = ctx.way
        nodes = slope.new_zeros(len(inner) + 2, *slope.shape[1:])
        weights = [hidden, *(_joined(inner, r.nodes) for r in readers)]
        found = [
            Slopes(line, nodes, weight.t().contiguous(), mask)
            for line, weight in zip(ctx.lines, weights, strict=True)
        ]
        backwards, slopes, last = found[::-1], slope.unbind(), places(ends, slope)
        for t in range(len(slope) - 1, -1, -1):
            share = torch.add(slopes[t], nodes[-1]).div_(len(ends))
            nodes.zero_()
            nodes[last] = share
            for each in backwards:
                each.step(t)
        by = []
        for line, each in zip(ctx.lines, found, strict=True):
            by.append(product(line.read if mask is None else line.read * mask, each.found))
        by_inner = torch.empty_like(inner)
        for r, joined in zip(readers, by[1:], strict=True):
            by_inner[[node - 1 for node in r.nodes]] = _apart(joined, len(r.nodes))
        return found[0].found, nodes[-1].clone(), by[0], by_inner, None, None


FIRST = (("tanh", 0, 1),)  # the activation of node 0


def places(nodes: Sequence[int], like: Tensor) -> Any:
    """Return the index of nodes: a slice where they follow each other, which copies nothing."""
    first = nodes[0] if nodes else 0
    if list(nodes) == [*range(first, first + len(nodes))]:
        return slice(first, first + len(nodes))
    return torch.tensor(nodes, device=like.device)


def product(given: Tensor, slope: Tensor) -> Tensor:
    """Return the gradient of a matrix: one product over all steps [T, B, ...]."""
    return given.flatten(0, 1).t() @ slope.flatten(0, 1)
