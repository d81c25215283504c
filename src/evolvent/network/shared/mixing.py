"""Concatenations and weighted sums of images with cheap gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class _Concat(torch.autograd.Function):
    """Concatenation of channels whose gradients are whole images, not views into a wider one.

    Every operation that leads to a node would have to copy such a view again.
    """

    @staticmethod
    def forward(ctx: Any, *images: Tensor) -> Tensor:
        ctx.channels = [image.shape[1] for image in images]
        return torch.cat(images, 1)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        parts = torch.split(slope, ctx.channels, 1)
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


_concat: Callable[..., Tensor] = _Concat.apply


def concat(images: Sequence[Tensor]) -> Tensor:
    """Return images [B, C, H, W] side by side in their channels."""
    return _concat(*images)


class _Mixed(torch.autograd.Function):
    """Weighted sums of images as one product of matrices; both gradients are such products too.

    Image by image, torch would store every product, and once more for the gradients, and then add up.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, *images: Tensor) -> tuple[Tensor, ...]:
        ctx.shape = images[0].permute(0, 2, 3, 1).shape
        rows = _rows(images)
        gates = gates.to(rows.dtype)
        ctx.save_for_backward(gates, rows)
        return _images(_product(gates, rows), ctx.shape)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        gates, rows = ctx.saved_tensors
        slope = _rows(slopes)
        by_gates = slope @ rows.t() if ctx.needs_input_grad[0] else None
        if not any(ctx.needs_input_grad[1:]):
            return by_gates, *[None] * len(rows)
        return by_gates, *_images(_product(gates.t(), slope), ctx.shape)


_mixed: Callable[..., tuple[Tensor, ...]] = _Mixed.apply


def mixed(images: Sequence[Tensor], gates: Tensor) -> tuple[Tensor, ...]:
    """Return E weighted sums of the same K images.

    Args:
        images: K times [B, C, H, W].
        gates: the weights [E, K].

    Returns:
        E times [B, C, H, W], which may share memory: do not change them in place.
    """
    device = images[0].device.type
    known = torch.amp.is_autocast_available(device)
    if known and torch.is_autocast_enabled(device):  # autocast would round the products
        with torch.autocast(device, enabled=False):
            return mixed(images, gates)
    return _mixed(gates, *images)


def _product(gates: Tensor, rows: Tensor) -> Tensor:
    return gates * rows if gates.numel() == 1 else gates @ rows


def _rows(images: Sequence[Tensor]) -> Tensor:
    """Return images [B, C, H, W] as rows of numbers, channels last."""
    flat = [image.permute(0, 2, 3, 1).reshape(1, -1) for image in images]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def _images(rows: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Return rows of numbers as images, channels last in memory; `shape` is [B, H, W, C]."""
    return tuple(row.view(shape).permute(0, 3, 1, 2) for row in rows.unbind())
