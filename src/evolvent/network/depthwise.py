"""Depthwise convolutions with gradients that are fast on a CPU; the results are torch's own.

torch hands depthwise convolutions to oneDNN, which has fast code for the forward pass, but for
gradients neither with dilation nor, by the weights, for kernels wider than 3 pixels; it then takes up
to twenty times as long. This module expresses the gradients by fast operations:

- the gradient by the image is a forward pass with the kernel turned by 180 degrees;
- a dilated kernel sees the pixels of one parity only, so an image is taken apart by parity into four
  (a larger batch), on each of which the kernel has no dilation;
- a kernel of 5 columns is two of 3 columns that overlap in the middle one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .language import RecurrentCell
from .recurrent import FastCell

LAST = torch.channels_last
WIDEST = 3  # columns of a kernel that oneDNN has fast gradients for


class Depthwise(nn.Conv2d):
    """A depthwise convolution without bias, of odd kernel, that keeps the size at stride 1.

    Args:
        like: the convolution to replace, whose weight it shares.
    """

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__(1, 1, 1, bias=False, device="meta")
        self.__dict__.update({n: v for n, v in like.__dict__.items() if n != "_parameters"})
        self.weight = like.weight

    @staticmethod
    def takes(module: nn.Module) -> TypeGuard[nn.Conv2d]:
        """Whether `module` is a convolution that this class can replace."""
        if not isinstance(module, nn.Conv2d) or module.groups != module.in_channels:
            return False
        kernel, dilation = module.kernel_size[0], module.dilation[0]
        return (
            module.groups == module.out_channels > 1
            and module.bias is None
            and module.kernel_size == (kernel, kernel)
            and module.dilation == (dilation, dilation)
            and (dilation == 1 or dilation == 2)
            and kernel in (3, 5)
            and module.padding == (kernel // 2 * dilation,) * 2
            and module.stride[0] == module.stride[1] <= 2
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""
        return depthwise(x, self.weight, self.stride[0], self.dilation[0])


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Return a depthwise convolution without bias, padded so that stride 1 keeps the size.

    Args:
        x: [B, C, H, W].
        weight: [C, 1, k, k]; k is 3 or 5.
        stride: 1 or 2. [pixels]
        dilation: 1 or 2. [pixels]
    """
    if not on_cpu(x):
        return _convolved(x, weight, dilation, stride)
    if torch.is_autocast_enabled("cpu"):
        # in bfloat16 its gradients take up to five times as long
        with torch.autocast("cpu", enabled=False):
            return depthwise(x.float(), weight, stride, dilation)
    if stride == dilation == 2:  # sees every second pixel only
        x, stride, dilation = x[:, :, ::2, ::2].contiguous(memory_format=LAST), 1, 1
    if stride == 2:
        return _convolved(x, weight, dilation, stride)
    return _same(x, weight, dilation)


def on_cpu(x: Tensor) -> bool:
    """Whether `x` is on the CPU, the only device that needs this module."""
    return x.device.type == "cpu"


def with_fast_gradients(module: nn.Module) -> nn.Module:
    """Return `module` with what `Depthwise` takes, and every recurrent cell, replaced, itself too."""
    if Depthwise.takes(module):
        return Depthwise(module)
    if isinstance(module, RecurrentCell):
        return FastCell(module)
    for name, child in module.named_children():
        setattr(module, name, with_fast_gradients(child))
    return module


class _Same(torch.autograd.Function):
    """Depthwise convolution of stride 1 that keeps the size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _convolved(x, weight, dilation)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        slope = slope.contiguous(memory_format=LAST)
        by_image = by_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).contiguous(memory_format=LAST)
            by_image = _convolved(slope, turned, ctx.dilation)
        if ctx.needs_input_grad[1]:
            if ctx.dilation == 2:
                x, slope = _by_parity(x), _by_parity(slope)
            by_weight = _by_weight(x, slope, weight)
        return by_image, by_weight, None


_same: Callable[[Tensor, Tensor, int], Tensor] = _Same.apply


def _convolved(x: Tensor, weight: Tensor, dilation: int, stride: int = 1) -> Tensor:
    pad = weight.shape[2] // 2 * dilation
    return F.conv2d(x, weight, None, stride, pad, dilation, groups=len(weight))


def _by_parity(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [4 B, C, ceil(H / 2), ceil(W / 2)]: even and odd rows and columns."""
    batch, channels, height, width = x.shape
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2))
        height, width = x.shape[2:]
    split = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    parts = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // 2, width // 2, channels)
    return parts.permute(0, 3, 1, 2)


def _by_weight(x: Tensor, slope: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient by the kernel [C, 1, k, k] of a convolution without dilation."""
    kernel = weight.shape[2]
    if kernel == WIDEST:
        return _narrow(x, slope, kernel)
    # the left columns: as if the image stood one pixel further right than its gradient; then the right
    left = _narrow(F.pad(x, (1, 0)), F.pad(slope, (0, 1)), kernel)
    right = _narrow(F.pad(x, (0, 1)), F.pad(slope, (1, 0)), kernel)
    return torch.cat([left, right[..., 1:]], 3)


def _narrow(x: Tensor, slope: Tensor, rows: int) -> Tensor:
    """Return the gradient by a kernel [C, 1, rows, 3]."""
    channels = x.shape[1]
    shape = x.new_empty(()).expand(channels, 1, rows, WIDEST)
    found: Tensor = torch.ops.aten.convolution_backward(
        slope,
        x,
        shape,
        None,
        (1, 1),
        (rows // 2, WIDEST // 2),
        (1, 1),
        False,
        (0, 0),
        channels,
        (False, True, False),
    )[1]
    return found
