"""Operations for tables of numbers. Each class stands alone: `export` copies its source.

What an operation must know of the training rows it learns in ``start(batches)``, which
`fit.started` calls once before a training; it is kept in buffers, which are saved like weights. A fresh
one leaves numbers as they are.

Dense layers have the neural tangent parametrisation (Jacot et al. 2018, 1806.07572): standard normal
weights, divided by the root of their inputs where they are used, so that one learning rate suits all
widths. A constant in front of a weight is its own factor of the learning rate under Adam.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Columns(nn.Module):
    """Some of the inputs.

    Args:
        columns: their places, as in ``"0-3 7 9-12"``.
    """

    index: Tensor

    def __init__(self, columns: str) -> None:
        super().__init__()
        ends = [part.split("-") for part in columns.split()]
        places = [place for end in ends for place in range(int(end[0]), int(end[-1]) + 1)]
        self.register_buffer("index", torch.tensor(places), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, columns]."""
        return x.index_select(1, self.index)


class StandardScale(nn.Module):
    """Numbers in standard deviations from their mean in the training rows."""

    centre: Tensor
    factor: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("factor", torch.ones(features))

    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the scale of the training rows [N, F]; one that is constant becomes 0."""
        inputs = torch.cat([rows for rows, _ in batches])
        spread = inputs.std(0, correction=0)
        self.centre.copy_(inputs.mean(0))
        self.factor.copy_(torch.where(spread > 0, 1 / spread, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F]."""
        return (x - self.centre) * self.factor


class RobustScale(nn.Module):
    """Numbers in interquartile ranges from their median, smoothly clipped to (-3, 3).

    Source: Holzmüller et al. 2024, RealMLP (2407.04491). Where half of the numbers are equal, the unit
    is half of their whole range.
    """

    centre: Tensor
    factor: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("factor", torch.ones(features))

    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the scale of the training rows [N, F]; one that is constant becomes 0."""
        inputs = torch.cat([rows for rows, _ in batches])
        rows, quartiles = inputs.sort(0).values, []
        for share in (0.25, 0.5, 0.75):
            rank = share * (len(rows) - 1)
            below, above = rows[int(rank)], rows[min(int(rank) + 1, len(rows) - 1)]
            quartiles.append(below.lerp(above, rank - int(rank)))
        low, middle, high = quartiles
        whole = (rows[-1] - rows[0]) / 2
        spread = torch.where(high > low, high - low, whole)
        self.centre.copy_(middle)
        self.factor.copy_(torch.where(spread > 0, 1 / spread, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F]."""
        z = (x - self.centre) * self.factor
        return z / (1 + (z / 3).square()).sqrt()


class Ramps(nn.Module):
    """The quantile bins of every number: 0 below a bin, 1 above it, a straight line within it.

    Source: Gorishniy et al. 2022 (2203.05556). Between equal quantiles there is no bin, so that a
    number of few different values has fewer; the places of the missing ones are 0.

    Args:
        features: numbers per row. [count]
        bins: of each. [count]

    Attributes:
        edges: lower ends [F, bins].
        factors: one over the widths [F, bins]; 0 is no bin.
        normal: the standard normal quantiles at the edges, the upper one of the last bin included
            [F, bins + 1]; a value that many rows have is at the middle of its ranks.
    """

    edges: Tensor
    factors: Tensor
    normal: Tensor

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-2, 2, bins + 1)[:-1].repeat(features, 1))
        self.register_buffer("factors", torch.full((features, bins), bins / 4))
        self.register_buffer("normal", torch.linspace(-2, 2, bins + 1).repeat(features, 1))

    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Put the bins at the quantiles of the training rows [N, F]."""
        inputs = torch.cat([rows for rows, _ in batches])
        rows = inputs.sort(0).values.T.contiguous()  # [F, N]
        ranks = torch.linspace(0, rows.shape[1] - 1, self.normal.shape[1], dtype=torch.float64)
        ends = rows[:, ranks.round().long().to(rows.device)].contiguous()  # of bins [F, bins + 1]
        widths = ends.diff()
        below, upto = (torch.searchsorted(rows, ends, right=right) for right in (False, True))
        level = ((below + upto) / (2 * rows.shape[1])).clamp(0.002, 0.998)
        self.edges.copy_(ends[:, :-1])
        self.factors.copy_(torch.where(widths > 0, 1 / widths, 0.0))
        self.normal.copy_(torch.special.ndtri(level))

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F, bins]."""
        return ((x.unsqueeze(2) - self.edges) * self.factors).clamp(0, 1)


class QuantileScale(nn.Module):
    """Numbers as standard normal quantiles of their ranks in the training rows, linear in between."""

    def __init__(self, features: int, bins: int = 16) -> None:
        super().__init__()
        self.ramps = Ramps(features, bins)

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F]."""
        normal, ramps = self.ramps.normal, self.ramps(x)
        scaled: Tensor = (ramps * normal.diff()).sum(2) + normal[:, 0]
        return scaled


class PiecewiseLinear(nn.Module):
    """An embedding of every number: a line, and a learnt slope in each of its quantile bins.

    Source: Gorishniy et al. 2022 (2203.05556), and 2024 (2410.24210) for the line. Slopes
    begin at 0.
    """

    def __init__(self, features: int, bins: int, width: int) -> None:
        super().__init__()
        self.ramps = Ramps(features, bins)
        self.line = nn.Parameter(torch.randn(features, width))
        self.bias = nn.Parameter(torch.randn(features, width))
        self.slopes = nn.Parameter(torch.zeros(features, bins, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F * width]."""
        bent = torch.bmm(self.ramps(x).transpose(0, 1), 0.1 * self.slopes)  # [F, B, width]
        return (x.unsqueeze(2) * self.line + self.bias + bent.transpose(0, 1)).flatten(1)


class Periodic(nn.Module):
    """An embedding of every number: itself, and a dense layer on cosines of learnt frequencies.

    Source: Gorishniy et al. 2022 (2203.05556), as in RealMLP (Holzmüller et al. 2024, 2407.04491).

    Args:
        features: numbers per row. [count]
        frequencies: of each number. [count]
        width: of an embedding, the number itself included. [count, >= 2]
        scale: standard deviation of the initial frequencies. [periods per unit]
    """

    def __init__(self, features: int, frequencies: int, width: int, scale: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(10 * scale * torch.randn(features, frequencies))
        self.phase = nn.Parameter(10 * torch.pi * (2 * torch.rand(features, frequencies) - 1))
        shape, bound = (features, frequencies, width - 1), 10 / frequencies**0.5
        self.mix = nn.Parameter(bound * (2 * torch.rand(shape) - 1))
        self.bias = nn.Parameter(bound * (2 * torch.rand(features, width - 1) - 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, F * width]."""
        angle = 0.2 * torch.pi * x.unsqueeze(2) * self.frequency + 0.1 * self.phase
        mixed = torch.bmm(angle.cos().transpose(0, 1), 0.1 * self.mix).transpose(0, 1)
        return torch.cat([x.unsqueeze(2), mixed + 0.1 * self.bias], 2).flatten(1)


class CategoryEmbedding(nn.Module):
    """An embedding of every category, read from its inputs, of which one is 1.

    Args:
        inputs: of each category, in their order, as in ``"12 40"``.
        width: of an embedding; categories of fewer inputs keep them. [count]
    """

    def __init__(self, inputs: str, width: int) -> None:
        super().__init__()
        self.sizes = [int(size) for size in inputs.split()]
        wide = [(place, size) for place, size in enumerate(self.sizes) if size > width]
        self.tables = nn.ParameterDict(
            {f"category{place}": nn.Parameter(torch.randn(size, width)) for place, size in wide}
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, sum of inputs] -> [B, sum of the smaller of inputs and width]."""
        found = list(torch.split(x, self.sizes, 1))
        for name, table in self.tables.items():
            place = int(name.removeprefix("category"))
            found[place] = found[place] @ table
        return torch.cat(found, 1)


class FeatureScale(nn.Module):
    """A learnt factor for every input, which learns six times as fast as other weights.

    Source: the scaling layer of RealMLP (Holzmüller et al. 2024, 2407.04491).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((features,), 1 / 6))

    def forward(self, x: Tensor) -> Tensor:
        """[B, features] -> [B, features]."""
        return x * (6 * self.scale)


class TangentLinear(nn.Linear):
    """A dense layer in the neural tangent parametrisation; biases learn at a tenth of the rate."""

    def reset_parameters(self) -> None:
        """Draw standard normal weights."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        bias = None if self.bias is None else 0.1 * self.bias
        return F.linear(x, self.weight / self.in_features**0.5, bias)


class DenseLayer(nn.Module):
    """A dense layer, batch norm if asked for, an activation, dropout; added to its input or not."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        activation: str = "relu",
        norm: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.dense = TangentLinear(c_in, c_out, bias=not norm)
        self.norm = nn.BatchNorm1d(c_out) if norm else nn.Identity()
        kinds = {"relu": nn.ReLU, "silu": nn.SiLU, "selu": nn.SELU, "mish": nn.Mish}
        self.active = kinds[activation]()
        self.dropout = nn.Dropout(dropout)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """[..., c_in] -> [..., c_out]."""
        y: Tensor = self.dense(x)
        if y.ndim == 3:  # of several members, which share the statistics
            y = self.norm(y.flatten(0, 1)).reshape(y.shape)
        else:
            y = self.norm(y)
        y = self.dropout(self.active(y))
        return x + y if self.residual else y


class MemberScale(nn.Module):
    """The factors by which each of several members sees its inputs.

    Source: Gorishniy et al. 2024, TabM (2410.24210). Behind it the members are an axis of their own.

    Args:
        members: how many. [count]
        features: inputs of each. [count]
        fresh: whether members begin with random signs, in place of ones.
    """

    def __init__(self, members: int, features: int, fresh: bool = False) -> None:
        super().__init__()
        signs = 2.0 * (torch.rand(members, features) < 0.5) - 1
        self.scale = nn.Parameter(10 * signs if fresh else torch.full((members, features), 10.0))

    def forward(self, x: Tensor) -> Tensor:
        """[B, features] or [B, members, features] -> [B, members, features]."""
        each = x if x.ndim == 3 else x.unsqueeze(1)
        return each * (0.1 * self.scale)


class MemberHeads(nn.Module):
    """A dense output layer for every member; their answers are averaged where nothing is trained.

    In training every member is held against the target by itself. Of classes probabilities are
    averaged, and returned as logits: their logarithms but for a constant.

    Args:
        link: what turns outputs into answers: ``softmax`` of classes, ``sigmoid`` of labels,
            ``identity`` of quantities.
    """

    def __init__(self, members: int, features: int, outputs: int, link: str = "softmax") -> None:
        super().__init__()
        self.link = "identity" if outputs == 1 else link
        self.weight = nn.Parameter(torch.randn(members, features, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, members, features] -> [B, members, outputs] in training, else [B, outputs]."""
        features = self.weight.shape[1]
        each = torch.bmm(x.transpose(0, 1), self.weight / features**0.5)
        y = each.transpose(0, 1) + 0.1 * self.bias
        if self.training:
            return y
        if self.link == "sigmoid":
            return y.sigmoid().mean(1).logit(1e-6)
        return y.mean(1) if self.link == "identity" else y.log_softmax(2).logsumexp(1)


#: the operations of this module
TABLES: tuple[type[nn.Module], ...] = (
    Columns,
    StandardScale,
    RobustScale,
    Ramps,
    QuantileScale,
    PiecewiseLinear,
    Periodic,
    CategoryEmbedding,
    FeatureScale,
    TangentLinear,
    DenseLayer,
    MemberScale,
    MemberHeads,
)
