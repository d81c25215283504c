"""The operations that networks are made of. Each class stands alone: `export` copies its source.

`MODULES` also names the module of `genome`, those of `text_operations`, `language`, `interpolated`,
`tables` and `polynomials`, and the training-only modules of `regularisers`.

All keep the channels-last memory format of their input, which decides the speed of convolutions on a
CPU; a test asserts it. Images are [B, C, H, W]. ``stride`` 2 gives ceil(H / 2) x ceil(W / 2).

Sources of the definitions: Liu et al. 2018 (1806.09055) for the order ReLU-convolution-BN, separable
and dilated convolutions and the factorised reduction; Zoph et al. 2017 (1707.07012) for factorised
kernels; Dong & Yang 2019 (1910.04465) for the grouped reduction and 2020 (2001.00326) for the residual
block. Convolutions before a batch norm have no bias.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .genome import Genome
from .interpolated import InterpolatedModel, NGrams
from .language import FusedCell, LanguageModel, RecurrentCell, TreeCell
from .polynomials import POLYNOMIALS
from .regularisers import Auxiliary, DropPath
from .series_operations import SERIES
from .tables import TABLES
from .text_operations import HashedBag, MaskedConv1d, MaskedGRU, TextBag, TokenWindow


class ConvBN(nn.Sequential):
    """Convolution and batch norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )


class ConvBNReLU(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution, batch norm: the order inside cells."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )


class SeparableConv(nn.Sequential):
    """ReLU, depthwise, pointwise, batch norm, twice; the stride is in the first half."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(c_in, c_in, kernel, stride, kernel // 2, groups=c_in, bias=False),
            nn.Conv2d(c_in, c_in, 1, bias=False),
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            nn.Conv2d(c_in, c_in, kernel, 1, kernel // 2, groups=c_in, bias=False),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )


class DilatedConv(nn.Sequential):
    """ReLU, depthwise convolution with dilation 2, pointwise, batch norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(
                c_in, c_in, kernel, stride, padding=kernel - 1, dilation=2, groups=c_in, bias=False
            ),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )


class FactorizedConv(nn.Sequential):
    """ReLU, 1 x k convolution, k x 1 convolution, batch norm; both carry one half of the stride."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        pad = kernel // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, (1, kernel), (1, stride), padding=(0, pad), bias=False),
            nn.Conv2d(c_out, c_out, (kernel, 1), (stride, 1), padding=(pad, 0), bias=False),
            nn.BatchNorm2d(c_out),
        )


class FactorizedReduce(nn.Module):
    """Halve the image: two 1 x 1 convolutions of stride 2, the second shifted by one pixel."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, c_out, ceil(H / 2), ceil(W / 2)]."""
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        normed: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return normed


class GroupedReduce(nn.Sequential):
    """Halve the image: a 1 x 3 and a 3 x 1 convolution in groups, then a 1 x 1 over all channels.

    Each of the first two halves one axis. The number of groups is the largest of 8, 4, 2 and 1 that
    divides the channels.
    """

    def __init__(self, channels: int) -> None:
        groups = next(number for number in (8, 4, 2, 1) if channels % number == 0)
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 3), (1, 2), (0, 1), groups=groups, bias=False),
            nn.Conv2d(channels, channels, (3, 1), (2, 1), (1, 0), groups=groups, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )


class Align(nn.Module):
    """Bring a state to `c_out` channels, and to half its size where `stride` is 2."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.change = ReLUConvBN(c_in, c_out, 1) if stride == 1 else FactorizedReduce(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / stride), ceil(W / stride)]."""
        changed: Tensor = self.change(x)
        return changed


class ResidualBlock(nn.Module):
    """Two ReLU-convolution-BN, the first of stride 2, beside an average-pooled shortcut."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = ReLUConvBN(c_in, c_out, 3, 2)
        self.second = ReLUConvBN(c_out, c_out, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(c_in, c_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / 2), ceil(W / 2)]."""
        added: Tensor = self.shortcut(x) + self.second(self.first(x))
        return added


class MaxPool(nn.MaxPool2d):
    """Max pooling that keeps the size at stride 1."""

    def __init__(self, kernel: int, stride: int = 1) -> None:
        super().__init__(kernel, stride, padding=kernel // 2)


class AvgPool(nn.AvgPool2d):
    """Average pooling that keeps the size at stride 1; the padding does not count."""

    def __init__(self, kernel: int, stride: int = 1) -> None:
        super().__init__(kernel, stride, padding=kernel // 2, count_include_pad=False)


class SameConv(nn.Conv2d):
    """Convolution with a kernel of any odd height and width that keeps the size at stride 1."""

    def __init__(
        self, c_in: int, c_out: int, height: int, width: int, stride: int = 1, bias: bool = True
    ) -> None:
        padding = (height // 2, width // 2)
        super().__init__(c_in, c_out, (height, width), stride, padding, bias=bias)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")


class Reshape(nn.Module):
    """Bring a state to the shape of another: nearest pixels; channels cut off, or zeros added."""

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """[B, C, H, W] and [B, c, h, w] -> [B, c, h, w]."""
        if x.shape[2:] != like.shape[2:]:
            x = F.interpolate(x, like.shape[2:], mode="nearest")
        missing = like.shape[1] - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing > 0 else x[:, : like.shape[1]]


class PReLU(nn.Module):
    """Leaky ReLU with a learnt slope per channel; several times faster on a CPU than torch's own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> [B, C, ...]."""
        slope = self.slope.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2))
        return F.relu(x) - slope * F.relu(-x)


class TokenEmbedding(nn.Module):
    """Embed tokens, channels first as convolutions read them."""

    def __init__(self, vocabulary: int, dimension: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, dimension)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, dimension, T]."""
        vectors: Tensor = self.table(tokens.long())
        return vectors.transpose(1, 2)


class GlobalPool1d(nn.Module):
    """The mean or the maximum of every channel over a whole sequence."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C]."""
        return x.mean(2) if self.how == "mean" else x.amax(2)


class ResidualDense(nn.Module):
    """Batch norm, a wider or narrower dense layer, ReLU, and back; added to the input."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """[B, features] -> [B, features]."""
        change: Tensor = self.second(F.relu(self.first(self.norm(x))))
        return x + change


class RectConv(nn.Sequential):
    """Convolution of any odd height and width, with a stride per axis, batch norm, ReLU."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        height: int,
        width: int,
        stride_height: int = 1,
        stride_width: int = 1,
    ) -> None:
        stride, padding = (stride_height, stride_width), (height // 2, width // 2)
        super().__init__(
            nn.Conv2d(c_in, c_out, (height, width), stride, padding, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
        )


class PadConcat(nn.Module):
    """Concatenate the channels of images of different sizes: smaller ones are padded with zeros."""

    def forward(self, *images: Tensor) -> Tensor:
        """[B, C_i, H_i, W_i] each -> [B, sum of C_i, max of H_i, max of W_i]."""
        padded = []
        for x in images:
            rows = max(image.shape[2] for image in images) - x.shape[2]
            columns = max(image.shape[3] for image in images) - x.shape[3]
            frame = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            padded.append(F.pad(x, frame))
        return torch.cat(padded, dim=1)


class ScaledConv(nn.Conv2d):
    """Convolution without bias that keeps the size; its initial weights are scaled."""

    def __init__(self, c_in: int, c_out: int, kernel: int, scale: float) -> None:
        super().__init__(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        with torch.no_grad():
            self.weight.mul_(scale)


class PooledSum(nn.Module):
    """Add images of different shapes: larger ones are max-pooled, missing channels are zeros."""

    def forward(self, *images: Tensor) -> Tensor:
        """[B, C_i, H_i, W_i] each -> [B, max of C_i, min of H_i, min of W_i]."""
        channels = max(x.shape[1] for x in images)
        height, width = (min(x.shape[axis] for x in images) for axis in (2, 3))
        total: Tensor | None = None
        for x in images:
            window = (-(-x.shape[2] // height), -(-x.shape[3] // width))
            if window != (1, 1):
                x = F.max_pool2d(x, window, ceil_mode=True)
            if x.shape[1] < channels:
                x = F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))
            total = x if total is None else total + x
        assert total is not None
        return total


class FilterMaps(nn.Module):
    """Maps of one size, each a sum of convolutions of other maps, and a bias for every pixel.

    A kernel has |source - target| + 1 pixels in each axis: a valid convolution where the map shrinks, a
    full one where it grows. All are computed as one product with a matrix that repeats the kernels'
    weights, which on a CPU takes a fraction of the time of separate convolutions.

    Args:
        edges: ``"x_1x8x8>a x_1x8x8>b c_1x5x4>b"``: name and shape of a source, name of its target.
            Sources and targets come in the order in which they are first named.
        height: of the targets. [pixels]
        width: of the targets. [pixels]
        active: whether a leaky ReLU follows, clipped at the top with no gradient above.
    """

    table: Tensor

    def __init__(self, edges: str, height: int, width: int, active: bool = True) -> None:
        super().__init__()
        pairs = [(source, target) for source, target in (e.split(">") for e in edges.split())]
        sources, targets = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
        self.maps, self.size, self.active = len(targets), (height, width), active
        self.kernels = nn.ParameterDict()
        places, end = {}, 0
        for source, target in pairs:
            c_in, rows, columns = map(int, source.rpartition("_")[2].split("x"))
            shape = (c_in, abs(rows - height) + 1, abs(columns - width) + 1)
            self.kernels[f"{source}_to_{target}"] = nn.Parameter(torch.empty(shape))
            places[source, target] = self.places_of(c_in, rows, columns, height, width, end)
            end += self.kernels[f"{source}_to_{target}"].numel()
        for target in targets:  # He et al. 2015, the fan-in taken over all kernels of a target
            own = [self.kernels[f"{a}_to_{b}"] for a, b in pairs if b == target]
            for kernel in own:
                nn.init.normal_(kernel, std=(2 / sum(each.numel() for each in own)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(self.maps * height * width))
        blocks = []
        for source in sources:  # pixels that no kernel joins read the 0 behind all kernels
            inputs = next(len(block) for (a, _), block in places.items() if a == source)
            none = torch.full((inputs, height * width), -1, device="cpu")
            row = [places.get((source, target), none) for target in targets]
            blocks.append(torch.cat(row, 1))
        table = torch.cat(blocks)
        table = torch.where(table < 0, end, table).flatten()
        # made on the CPU and moved, because a meta device takes a hundred times as long
        self.register_buffer("table", table.to(self.bias.device), persistent=False)

    @staticmethod
    def places_of(c_in: int, rows: int, columns: int, height: int, width: int, end: int) -> Tensor:
        """Return [inputs, outputs]: index of the weight that joins two pixels, or -1 for none."""
        pad = max(0, height - rows), max(0, width - columns)
        high, wide = abs(rows - height) + 1, abs(columns - width) + 1
        row, column, channel = (torch.arange(n, device="cpu") for n in (rows, columns, c_in))
        y, x = torch.arange(height, device="cpu"), torch.arange(width, device="cpu")
        down = row[:, None, None, None] - y[:, None] + pad[0]
        right = column[:, None, None] - x + pad[1]
        seen = (down >= 0) & (down < high) & (right >= 0) & (right < wide)
        place = (down * wide + right + end).reshape(1, -1)
        place = place + channel[:, None] * high * wide
        place = torch.where(seen.reshape(1, -1), place, -1)
        return place.reshape(c_in * rows * columns, height * width)

    def forward(self, *images: Tensor) -> Tensor:
        """[B, C_i, H_i, W_i] of every source -> [B, targets, height, width]."""
        x = torch.cat([image.flatten(1) for image in images], 1)
        kernels = [kernel.flatten() for kernel in self.kernels.values()]
        numbers = torch.cat([*kernels, self.bias.new_zeros(1)])
        matrix = numbers.index_select(0, self.table).view(x.shape[1], -1)
        y = torch.addmm(self.bias, x, matrix)
        if self.active:
            y = F.leaky_relu(y, 0.005).clamp(max=5.5)
        return y.view(-1, self.maps, *self.size)


class Activation(nn.Sequential):
    """ReLU, GELU or SiLU."""

    def __init__(self, name: str) -> None:
        super().__init__({"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}[name]())


class SqueezeExcitation(nn.Module):
    """Scale every channel by what the means of all channels say (Hu et al. 2017, 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, channels // 4)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> [B, channels, H, W]."""
        means = F.avg_pool2d(x, x.shape[2:])
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


class ConvBNAct(nn.Module):
    """Convolution, max pooling of 2 if asked for, batch norm, activation, squeeze-excitation.

    A kernel of even size has no padding. The pooling rounds the size up.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        stride: int = 1,
        activation: str = "relu",
        pool: bool = False,
        se: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, bias=False)
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if pool else nn.Identity()
        self.norm = nn.BatchNorm2d(c_out)
        self.active = Activation(activation)
        self.se = SqueezeExcitation(c_out) if se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / stride), ceil(W / stride)], halved by a pooling."""
        y: Tensor = self.se(self.active(self.norm(self.pool(self.conv(x)))))
        return y


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2015, 1512.03385).

    The shortcut of a stride is averaged first (He et al. 2018, 1812.01187).
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int = 1,
        activation: str = "relu",
        se: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            Activation(activation),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
            SqueezeExcitation(c_out) if se else nn.Identity(),
        )
        self.shortcut = Shortcut(c_in, c_out, stride)
        self.active = Activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / stride), ceil(W / stride)]."""
        y: Tensor = self.active(self.body(x) + self.shortcut(x))
        return y


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution, the inner ones of fewer channels, beside a shortcut.

    Sources: He et al. 2015 (1512.03385); without groups, otherwise as in RegNet (2003.13678).
    """

    def __init__(
        self,
        c_in: int,
        inner: int,
        c_out: int,
        stride: int = 1,
        activation: str = "relu",
        se: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            Activation(activation),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            nn.BatchNorm2d(inner),
            Activation(activation),
            nn.Conv2d(inner, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
            SqueezeExcitation(c_out) if se else nn.Identity(),
        )
        self.shortcut = Shortcut(c_in, c_out, stride)
        self.active = Activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / stride), ceil(W / stride)]."""
        y: Tensor = self.active(self.body(x) + self.shortcut(x))
        return y


class Shortcut(nn.Sequential):
    """The identity, or where shapes differ an average pooling and a 1 x 1 convolution with norm."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        parts: list[nn.Module] = []
        if stride > 1:
            parts.append(nn.AvgPool2d(stride, ceil_mode=True))
        if stride > 1 or c_in != c_out:
            parts += [nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out)]
        super().__init__(*parts)


class MBConv(nn.Module):
    """Inverted bottleneck: wider by 1 x 1, depthwise, back by 1 x 1; added where shapes agree.

    Sources: Sandler et al. 2018 (1801.04381); Tan & Le 2019 (1905.11946) for squeeze-excitation.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        expansion: int,
        stride: int = 1,
        activation: str = "relu",
        se: bool = False,
    ) -> None:
        super().__init__()
        inner = c_in * expansion
        self.body = nn.Sequential(
            nn.Conv2d(c_in, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            Activation(activation),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            Activation(activation),
            SqueezeExcitation(inner) if se else nn.Identity(),
            nn.Conv2d(inner, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.added = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] -> [B, c_out, ceil(H / stride), ceil(W / stride)]."""
        y: Tensor = self.body(x)
        return x + y if self.added else y


class Views(nn.Module):
    """Every image and copies of it, one set after the other along the batch; in eval mode only.

    Copies are mirrored, shifted by one pixel up and left, and by one pixel down and right; the border
    is repeated. `mean_of_views` of a plan averages what the network says of them. With `on` = False
    there are no copies.
    """

    def __init__(self, shifts: int, mirrored: bool) -> None:
        super().__init__()
        self.shifts, self.mirrored, self.on = shifts, mirrored, True

    @property
    def count(self) -> int:
        """Views of every image now. [count]"""
        return (1 + self.shifts) * (1 + self.mirrored) if self.on and not self.training else 1

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [count * B, C, H, W], the images as they are first."""
        if self.count == 1:
            return x
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        views = [x, padded[:, :, 2:, 2:], padded[:, :, :-2, :-2]][: 1 + self.shifts]
        if self.mirrored:
            views += [view.flip(3) for view in views]
        return torch.cat(views)


class Temperature(nn.Module):
    """Logits divided by a number, found on held-out rows, that makes their probabilities fit."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """[B, outputs] -> [B, outputs]."""
        return x / self.value


#: Every module that a plan may call, by name.
MODULES: dict[str, type[nn.Module]] = {
    module.__name__: module
    for module in (
        ConvBN,
        ConvBNReLU,
        ReLUConvBN,
        SeparableConv,
        DilatedConv,
        FactorizedConv,
        FactorizedReduce,
        GroupedReduce,
        Align,
        ResidualBlock,
        MaxPool,
        AvgPool,
        SameConv,
        Reshape,
        PReLU,
        TokenEmbedding,
        GlobalPool1d,
        ResidualDense,
        RectConv,
        PadConcat,
        ScaledConv,
        PooledSum,
        FilterMaps,
        Activation,
        SqueezeExcitation,
        ConvBNAct,
        Shortcut,
        BasicBlock,
        Bottleneck,
        MBConv,
        Views,
        Temperature,
        TokenWindow,
        MaskedConv1d,
        MaskedGRU,
        HashedBag,
        RecurrentCell,
        TreeCell,
        FusedCell,
        LanguageModel,
        NGrams,
        InterpolatedModel,
        TextBag,
        Genome,
        DropPath,
        Auxiliary,
        *TABLES,
        *POLYNOMIALS,
        *SERIES,
        nn.Conv1d,
        nn.Conv2d,
        nn.MaxPool1d,
        nn.MaxPool2d,
        nn.AvgPool2d,
        nn.PixelUnshuffle,
        nn.Linear,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.ReLU,
        nn.LeakyReLU,
        nn.Sigmoid,
        nn.Softmax,
        nn.Dropout,
    )
}
