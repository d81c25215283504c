"""Operations for series of numbers [B, C, T]. Each class stands alone: `export` copies its source.

What an operation must know of the training rows it learns in ``start(batches)``, as those for tables
do.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SeriesNorm(nn.Module):
    """Every channel of every series beside its own level.

    Args:
        how: ``last``: in differences from its last value (Zeng et al. 2023, NLinear, 2205.13504);
            ``each``: in standard deviations from its mean (Kim et al. 2022, RevIN). A channel that is
            constant becomes 0.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        if self.how == "last":
            return x - x[:, :, -1:]
        centred = x - x.mean(2, keepdim=True)
        return centred / (centred.square().mean(2, keepdim=True) + 1e-4).sqrt()


class SeriesLevel(nn.Module):
    """The level and the unit by which `SeriesNorm` changed the first channel of a series."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, 2]."""
        own = x[:, 0]
        if self.how == "last":
            return torch.stack([own[:, -1], torch.ones_like(own[:, -1])], 1)
        level = own.mean(1)
        unit = ((own - level.unsqueeze(1)).square().mean(1) + 1e-4).sqrt()
        return torch.stack([level, unit], 1)


class AtLevel(nn.Module):
    """Forecasts at the level of their series: the inverse of `SeriesNorm`."""

    def forward(self, y: Tensor, level: Tensor) -> Tensor:
        """[B, outputs] and levels and units [B, 2] -> [B, outputs]."""
        return y * level[:, 1:] + level[:, :1]


class KernelBank(nn.Module):
    """Features of a series by random convolutions that are not trained, standardised.

    Every filter has random weights with a mean of 0, a dilation out of 1, 2, 4 and so on, and reads a
    random part of the channels. Of its values over time the shares above several thresholds are taken
    (the proportion of positive values, of several biases), and the largest. Thresholds are quantiles of
    its values on training rows, as in MiniRocket.

    Sources: Dempster et al. 2020, ROCKET (1910.13051), and 2021, MiniRocket (2012.08791).

    Args:
        channels: of a series. [count]
        length: of a series. [steps]
        kernels: filters. [count]
        thresholds: of every filter. [count]
    """

    centre: Tensor
    factor: Tensor

    def __init__(self, channels: int, length: int, kernels: int, thresholds: int = 4) -> None:
        super().__init__()
        self.size = min(9, length)
        self.dilations = [1]
        while 2 * self.dilations[-1] * (self.size - 1) < length:
            self.dilations.append(2 * self.dilations[-1])
        groups = len(self.dilations)
        for place in range(groups):
            count = kernels // groups + (place < kernels % groups)
            weight = torch.randn(count, channels, self.size)
            weight = weight - weight.mean(2, keepdim=True)
            read = torch.rand(count, channels).argsort(1) < 1 + torch.randint(
                0, channels, (count, 1)
            )
            self.register_buffer(f"weight{place}", weight * read.unsqueeze(2))
            self.register_buffer(f"threshold{place}", torch.zeros(count, thresholds))
        features = kernels * (thresholds + 1)
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("factor", torch.ones(features))

    def filtered(self, x: Tensor, place: int) -> Tensor:
        """Return the values of the filters of one dilation, [B, C, T] -> [B, filters, T]."""
        dilation = self.dilations[place]
        weight = getattr(self, f"weight{place}")
        before = dilation * (self.size - 1) // 2
        padded = F.pad(x, (before, dilation * (self.size - 1) - before))
        return F.conv1d(padded, weight, dilation=dilation)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, features], before they are standardised."""
        found = []
        for place in range(len(self.dilations)):
            values, threshold = self.filtered(x, place), getattr(self, f"threshold{place}")
            for number in range(threshold.shape[1]):
                above = values > threshold[:, number].unsqueeze(1)
                found.append(above.to(x.dtype).mean(2))
            found.append(values.amax(2))
        return torch.cat(found, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, features]."""
        return (self.features(x) - self.centre) * self.factor

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the thresholds and the scale of the features from the training rows [N, C, T]."""
        given = [rows for rows, _ in batches]
        some = torch.cat(given)
        some = some[:: max(1, len(some) // 64)][:64]
        for place in range(len(self.dilations)):
            threshold = getattr(self, f"threshold{place}")
            values = self.filtered(some, place).transpose(0, 1).flatten(1).sort(1).values
            # shares between 0 and 1 that differ from filter to filter, evenly spread
            share = (torch.arange(1, threshold.numel() + 1) * 0.6180339887498949) % 1
            ranks = (share * values.shape[1]).long().view_as(threshold).to(values.device)
            threshold.copy_(values.gather(1, ranks))
        found = torch.cat([self.features(rows) for rows in given])
        spread = found.std(0, correction=0)
        self.centre.copy_(found.mean(0))
        self.factor.copy_(torch.where(spread > 1e-6, 1 / spread.clamp(min=1e-6), 0.0))


class RidgeLinear(nn.Module):
    """A dense layer that begins as a ridge regression of the training rows, or from zeros.

    The penalty is the one with the smallest error on rows left out one at a time, which the
    decomposition of one matrix tells for all of them. Classes are targets of 1 and -1, as in ROCKET's
    linear classifier; the logits are then scaled by what makes the rows left out likeliest. Weights are
    divided by the root of the inputs where they are used, so that one learning rate suits all.

    Args:
        features: inputs. [count]
        outputs: classes, or quantities. [count]
        ridge: whether it begins as a ridge regression.
        levelled: whether two more inputs, the last, are the level and the unit that its outputs will
            be brought to (`AtLevel`); they say what it begins from, and nothing else.
    """

    def __init__(
        self, features: int, outputs: int, ridge: bool = True, levelled: bool = False
    ) -> None:
        super().__init__()
        self.ridge, self.levelled = ridge, levelled
        self.weight = nn.Parameter(torch.zeros(outputs, features))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, features] -> [B, outputs]; of those that are levelled [B, features + 2]."""
        if self.levelled:
            x = x[:, :-2]
        return F.linear(x, self.weight / self.weight.shape[1] ** 0.5, self.bias)

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the weights from the training rows [N, features] and targets [N] or [N, outputs]."""
        if not self.ridge:
            return
        rows = [(x.double().cpu(), y.cpu()) for x, y in batches]
        x, y = (torch.cat(each) for each in zip(*rows, strict=True))
        most = 2000 if x.shape[1] > 2000 else max(2000, 2**24 // x.shape[1])
        step = -(-len(x) // most)
        x, y = x[::step], y[::step]
        classes = not y.is_floating_point()
        wanted = 2.0 * F.one_hot(y, len(self.bias)) - 1 if classes else y.reshape(len(y), -1)
        wanted = wanted.double()
        if self.levelled:
            wanted = (wanted - x[:, -2:-1]) / x[:, -1:]
            x = x[:, :-2]
        middle, level = x.mean(0), wanted.mean(0)
        coefficients, left_out = self.solved(x - middle, wanted - level)
        factor = 1.0
        if classes:
            told = wanted - left_out
            factors = [0.25 * 1.5**power for power in range(16)]
            factor = min(factors, key=lambda each: float(F.cross_entropy(each * told, y)))
        coefficients *= factor
        self.weight.copy_(coefficients.T * x.shape[1] ** 0.5)
        self.bias.copy_(factor * level - middle @ coefficients)

    def solved(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coefficients of the best penalty [features, outputs] and the errors left out.

        Args:
            x: inputs with a mean of 0 [N, features] float64.
            y: targets with a mean of 0 [N, outputs] float64.

        Returns:
            The second are the errors for every row of the regression without it [N, outputs].
        """
        count, features = x.shape
        penalties = [count * 10.0**power for power in (1, 0, -1, -1.5, -2, -2.5, -3, -4, -5, -6)]
        wide = features > count
        values, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        values = values.clamp(min=0)
        if wide:  # the first is that of the mean, which is fitted too
            values, turned = values[1:], vectors[:, 1:]
        else:
            turned = x @ vectors
        inner = turned.T @ y
        best: tuple[float, Tensor, Tensor] | None = None
        for penalty in penalties:
            shrunk = inner / (values + penalty).unsqueeze(1)
            if wide:
                free = turned.square() @ (penalty / (values + penalty))
                error, found = penalty * (turned @ shrunk), x.T @ (turned @ shrunk)
            else:
                free = 1 - turned.square() @ (1 / (values + penalty)) - 1 / count
                error, found = y - turned @ shrunk, vectors @ shrunk
            left_out = error / free.unsqueeze(1)
            loss = float(left_out.square().mean())
            sure = wide or float(free.min()) > 1e-6  # else it is made of rounding errors
            if best is None or (sure and not loss >= best[0]):
                best = (loss, found, left_out)
        assert best is not None
        return best[1], best[2]


class SeriesBlock(nn.Module):
    """Two 1-D convolutions with batch norm beside a shortcut.

    Source: the residual network for series of Wang et al. 2017 (1611.06455); with a dilation it sees
    further back (Bai et al. 2018, 1803.01271).
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        dilation: int = 1,
        stride: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        around = dilation * (kernel - 1) // 2
        self.body = nn.Sequential(
            nn.Conv1d(c_in, c_out, kernel, stride, around, dilation, bias=False),
            nn.BatchNorm1d(c_out),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv1d(c_out, c_out, kernel, 1, around, dilation, bias=False),
            nn.BatchNorm1d(c_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.shortcut = nn.Conv1d(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, T] -> [B, c_out, ceil(T / stride)]."""
        y: Tensor = F.relu(self.body(x) + self.shortcut(x))
        return y


class SeriesPool(nn.Module):
    """One number of every channel: its mean, its largest or its last value."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C]."""
        if self.how == "last":
            return x[:, :, -1]
        return x.mean(2) if self.how == "mean" else x.amax(2)


#: the operations of this module
SERIES: tuple[type[nn.Module], ...] = (
    SeriesNorm,
    SeriesLevel,
    AtLevel,
    KernelBank,
    RidgeLinear,
    SeriesBlock,
    SeriesPool,
)
