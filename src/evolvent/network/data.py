"""A part of a task, resident on the device, handed out in batches.

Everything that happens per batch (gathering, normalising, augmenting) is a handful of tensor
operations on the whole batch, on the device, without a word from the host.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..task import Part, Task


class Resident:
    """The inputs and targets of one part.

    Args:
        task: normalisation and augmentation.
        part: what to hold.
        device: where to hold it.
    """

    def __init__(self, task: Task, part: Part, *, device: str = "cpu") -> None:
        self.task, self.device = task, torch.device(device)
        x = _tensor(part.x).permute(0, 3, 1, 2)  # NHWC in memory: channels-last
        self.x = x.to(self.device)
        self.y = _tensor(part.y).to(self.device)
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(task.mean, device=self.device).reshape(shape) * task.scale
        self.std = torch.tensor(task.std, device=self.device).reshape(shape) * task.scale

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return normalised inputs [B, C, H, W] and targets [B]."""
        x = (self.x[index].float() - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last), self.y[index]

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the whole part once, in its order, the last batch as it comes."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def shuffled(
        self,
        size: int,
        steps: int,
        generator: torch.Generator,
        *,
        augment: bool,
        shift: bool = True,
        cutout: int | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `steps` random batches, every example once per pass; a short rest is left out.

        Args:
            size: of a batch; not more than the part has. [count]
            steps: how many batches. [count]
            generator: the only source of randomness, on the CPU.
            augment: whether to change inputs as `Task.augment` says.
            shift: whether that includes shifting and cutting out, which need a long training.
            cutout: edge to cut out in any training, in place of what the task says. [pixels]
        """
        size = min(size, len(self))
        per_pass = len(self) // size
        for step in range(steps):
            if step % per_pass == 0:
                order = torch.randperm(len(self), generator=generator).to(self.device)
            place = step % per_pass
            x, y = self.batch(order[place * size : (place + 1) * size])
            yield (self._augmented(x, generator, shift, cutout) if augment else x), y

    def _augmented(
        self, x: Tensor, generator: torch.Generator, shift: bool, cutout: int | None
    ) -> Tensor:
        rules = self.task.augment
        if rules.get("flip"):
            mirrored = torch.rand(len(x), 1, 1, 1, generator=generator).to(self.device) < 0.5
            x = torch.where(mirrored, x.flip(3), x)
        if shift and (pixels := int(rules.get("shift", 0))):
            x = _shifted(x, pixels, generator)
        if cutout is None:
            cutout = int(rules.get("cutout", 0)) if shift else 0
        if cutout:
            x = _cut_out(x, cutout, generator)
        return x.contiguous(memory_format=torch.channels_last)


def _tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor; one that may not be written to is copied, as torch asks for."""
    return torch.from_numpy(np.require(array, requirements="W"))


def _shifted(x: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Move every image by up to `pixels` in both directions; what comes in is zero (the mean)."""
    count, _, height, width = x.shape
    padded = torch.nn.functional.pad(x, (pixels,) * 4).permute(0, 2, 3, 1)
    offset = torch.randint(0, 2 * pixels + 1, (2, count, 1), generator=generator).to(x.device)
    rows = offset[0] + torch.arange(height, device=x.device)  # [B, H]
    columns = offset[1] + torch.arange(width, device=x.device)  # [B, W]
    which = torch.arange(count, device=x.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(x: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Blank one square of `pixels` edge per image, centred anywhere (DeVries & Taylor 2017)."""
    count, _, height, width = x.shape
    centre = torch.rand(2, count, 1, generator=generator).to(x.device)
    rows = (torch.arange(height, device=x.device) - centre[0] * height).abs() < pixels / 2
    columns = (torch.arange(width, device=x.device) - centre[1] * width).abs() < pixels / 2
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])
