"""Concatenations and weighted sums of images whose gradients cost no more than they must."""

from __future__ import annotations

from collections.abc import Sequence
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


def concat(images: Sequence[Tensor]) -> Tensor:
    """Return images [B, C, H, W] side by side in their channels."""
    joined: Tensor = _Concat.apply(*images)  # type: ignore[no-untyped-call]
    return joined


class _Added(torch.autograd.Function):
    """An image times a number, added to a sum in place.

    The number's gradient is one product of vectors; torch's own would write the product of two images
    down first, and then sum it.
    """

    @staticmethod
    def forward(ctx: Any, total: Tensor, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        ctx.mark_dirty(total)
        return total.addcmul_(x, gate)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, gate = ctx.saved_tensors
        by_x = slope * gate if ctx.needs_input_grad[1] else None
        by_gate = None
        if ctx.needs_input_grad[2]:
            ours, theirs = (image.permute(0, 2, 3, 1).reshape(-1) for image in (slope, x))
            by_gate = torch.dot(ours, theirs)
        return slope, by_x, by_gate


def added(total: Tensor | None, x: Tensor, gate: Tensor) -> Tensor:
    """Return `total` with `gate` times `x` added to it, in place.

    Args:
        total: [B, C, H, W], or None, which is nothing yet.
        x: the same shape.
        gate: a number [].
    """
    if total is None:
        return x * gate
    if total.dtype == x.dtype == gate.dtype:  # not so where autocast mixes precisions
        result: Tensor = _Added.apply(total, x, gate)  # type: ignore[no-untyped-call]
        return result
    return total.addcmul_(x, gate)
