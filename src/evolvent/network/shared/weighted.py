"""The operations of a supernet times their weights; equal ones that read one state run as one.

Several edges that leave a state have a separable convolution each. Their kernels side by side are one
convolution to as many times the channels, their norms one norm: fewer and larger calls, and the
gradients by the state are summed up inside of them. Nothing but the order of sums differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..depthwise import LAST, Depthwise, depthwise, on_cpu
from ..operations import FactorizedReduce

#: On a CPU it pays to compute several edges as one while their outputs stay in the caches. [bytes]
CACHE = 1 << 20


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
        return normed([self], x, None if gate is None else [gate])

    def measured(self) -> tuple[Tensor, Tensor]:
        """Return the mean [C] of the measured means, and of the measured variances."""
        assert self.sums is not None, "nothing was measured with this operation"
        means, variances, number = self.sums
        return means / number, variances / number

    def measure(self, x: Tensor) -> None:
        """Add the statistics of images [B, C, H, W] to the measured ones."""
        variance, mean = torch.var_mean(x.float() if x.dtype == torch.bfloat16 else x, (0, 2, 3))
        means, variances, number = self.sums or (0.0, 0.0, 0)
        self.sums = means + mean, variances + variance, number + 1


def normed(norms: Sequence[Norm], x: Tensor, gates: Sequence[Tensor] | None = None) -> Tensor:
    """Return the outputs of equal norms for inputs that are concatenated in their channels.

    Args:
        norms: E of them, of C channels each.
        x: [B, E C, H, W].
        gates: E numbers [] that the outputs are multiplied by.
    """
    one = norms[0]
    weight = None if one.weight is None else _joined([norm.weight for norm in norms])
    bias = None if one.bias is None else _joined([norm.bias for norm in norms])
    if gates is not None:  # contiguous: the kernel is ten times slower on an expanded number
        scale = _side_by_side(gates, one.channels)
        weight = scale if weight is None else weight * scale
        weight = weight.to(torch.promote_types(x.dtype, torch.float32))
    if one.mode == "measure":
        for norm, part in zip(norms, x.detach().chunk(len(norms), 1), strict=True):
            norm.measure(part)
    if one.mode != "measured":
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, one.eps)
    means, variances = zip(*(norm.measured() for norm in norms), strict=True)
    return F.batch_norm(x, _joined(means), _joined(variances), weight, bias, False, 0.0, one.eps)


def together(x: Tensor) -> int:
    """Return the best number of edges on images [B, C, H, W] to compute as one. [count]"""
    if not on_cpu(x):
        return 1 << 20
    return max(1, CACHE // (x.numel() * x.element_size()))


def weighted(
    modules: Sequence[nn.Module], x: Tensor, relu: Callable[[], Tensor], gates: Sequence[Tensor]
) -> Tensor:
    """Return the outputs of equal operations on one state, each times its weight, side by side.

    The weight is the scale of an operation's last norm, if it has one.

    Args:
        modules: E of them; more than one only if they are `joinable`.
        x: the state [B, C, H, W].
        relu: returns its ReLU, which may be known already.
        gates: E weights [].

    Returns:
        [B, E C', H', W'], a new image.
    """
    one = modules[0]
    if isinstance(one, FactorizedReduce):
        reduced: Tensor = one.norm(halves(one, relu()), gates[0])
        return reduced
    if not isinstance(one, nn.Sequential):
        image: Tensor = one(x) * gates[0]
        return image
    wide = False
    columns: list[Any] = list(zip(*modules, strict=True))
    for place, layers in enumerate(columns):
        last = place == len(columns) - 1
        if isinstance(layers[0], Norm):
            x = normed(layers, x, gates if last else None)
        elif isinstance(layers[0], nn.Conv2d):
            x = _convolved(layers, x, wide=wide)
            wide = len(layers) > 1
        else:
            x = relu() if place == 0 else F.relu(x)
    if isinstance(columns[-1][0], Norm):
        return x
    return x * _side_by_side(gates, x.shape[1] // len(gates))[:, None, None]


def joinable(module: nn.Module) -> bool:
    """Whether `weighted` can compute several operations like this one as one."""
    return isinstance(module, nn.Sequential) and all(
        isinstance(layer, nn.ReLU | Norm) or (isinstance(layer, nn.Conv2d) and layer.bias is None)
        for layer in module
    )


def halves(module: FactorizedReduce, x: Tensor, index: Tensor | None = None) -> Tensor:
    """Return the joint output of the two convolutions of `module`, for some channels or for all.

    Its two convolutions are the two corners of one kernel of 2 x 2, so that no image is shifted, and
    neither outputs nor their gradients have to be put together from halves.
    """
    corners = F.pad(module.even.weight, (0, 1, 0, 1)), F.pad(module.odd.weight, (1, 0, 1, 0))
    weight = torch.cat(corners)
    if index is not None:
        weight = weight[:, index].contiguous(memory_format=LAST)
    odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    return F.conv2d(F.pad(x, odd) if any(odd) else x, weight, stride=2)


def _convolved(layers: Sequence[nn.Conv2d], x: Tensor, *, wide: bool) -> Tensor:
    """Return the outputs of equal convolutions side by side; their inputs are, too, if `wide`."""
    one, count = layers[0], len(layers)
    weight = _joined([layer.weight for layer in layers])
    groups = one.groups * count
    if one.groups == 1 and not wide:
        groups = 1  # the input of all of them is the same
        if one.kernel_size == one.stride == (1, 1) and on_cpu(x):
            # a product of matrices takes two thirds of the time there, gradients included
            return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
    elif count > 1 and not wide:
        x = x.permute(0, 2, 3, 1).repeat(1, 1, 1, count).permute(0, 3, 1, 2)
    if isinstance(one, Depthwise):
        return depthwise(x, weight, one.stride[0], one.dilation[0])
    return F.conv2d(x, weight, None, one.stride, one.padding, one.dilation, groups)


def _side_by_side(gates: Sequence[Tensor], channels: int) -> Tensor:
    """Return E numbers [] as [E channels], each repeated for its channels."""
    if len(gates) == 1:
        return gates[0].expand(channels).contiguous()
    return torch.stack(list(gates)).repeat_interleave(channels)


def _joined(parts: Sequence[Any]) -> Tensor:
    result: Tensor = parts[0] if len(parts) == 1 else torch.cat(list(parts))
    return result
