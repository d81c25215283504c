"""Batches of one part of a task, resident on the device or streamed to it.

All work on a batch (gathering, normalising, augmenting) is a handful of tensor operations on the
whole batch, on the device, without a synchronisation with the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..task import Part, Task
from ..task.portable.ragged import Ragged
from ..task.portable.running import STREAMS, stream_rows
from ..types import State
from .strata import balanced, lengthwise

POOL = 16  # batches whose texts are sorted by length
DEVICE_SHARE = 0.4  # of the memory that is free on a device, for one part of the data


class Resident:
    """The inputs and targets of one part.

    Args:
        task: normalisation and augmentation.
        part: what to hold.
        device: where to hold it.
    """

    def __init__(self, task: Task, part: Part, *, device: str = "cpu") -> None:
        self.task, self.device = task, torch.device(device)
        self._hold(part)
        self.y = _tensor(part.y).to(self.device)
        #: weight of every row [N] float64; None is 1
        self.weight = None if part.weight is None else _tensor(part.weight).to(self.device)
        #: sum of the weights of its rows; their number where they have none
        self.total = float(part.weights.sum())
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(task.mean, device=self.device).reshape(shape) * task.scale
        self.std = torch.tensor(task.std, device=self.device).reshape(shape) * task.scale

    def _hold(self, part: Part) -> None:
        self.x = _channels_first(_tensor(part.x)).to(self.device)

    def _inputs(self, index: Tensor | slice) -> Tensor:
        return self.x[index]

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return inputs and targets [B]: images normalised [B, C, H, W], all else as it is."""
        x = self._inputs(index)
        if self.task.mean:
            x = (x.float() - self.mean) / self.std
            x = x.contiguous(memory_format=torch.channels_last)
        return x, self.y[index]

    def weights(self, index: Tensor | slice) -> Tensor | None:
        """Return the weights of rows, with the mean 1 over all of its rows [B]; None is 1 of each."""
        if self.weight is None:
            return None
        return (self.weight[index] * (len(self) / self.total)).float()

    def places(self, size: int) -> Iterator[Tensor | slice]:
        """Yield the places of all rows, batch by batch, in whatever order is fast."""
        for start in range(0, len(self), size):
            yield slice(start, start + size)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the whole part once, in its order; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def whole(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the whole part once, in whatever order is fast."""
        return (self.batch(index) for index in self.places(size))

    def grouped(
        self,
        order: Tensor,
        size: int,
        generator: torch.Generator,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Return an order [N] in which batches of `size` are fast, as random as it can be.

        Args:
            order: of all rows, at random [N].
            size: of a batch. [count]
            generator: of further randomness, on the CPU.
            classes: of all rows, of which every batch gets its share [N]; None is no matter.
        """
        return order if classes is None else balanced(order, classes[order], size, generator)

    def shuffled(
        self,
        size: int,
        generator: torch.Generator,
        *,
        augment: bool,
        shift: bool = True,
        cutout: int | None = None,
        flip: str | None = None,
        pixels: int | None = None,
        erase: float = 0.0,
        stratified: bool = False,
    ) -> Shuffled:
        """Return an endless stream of random batches of the part.

        Args:
            size: of a batch; not more than the part has. [count]
            generator: the only source of randomness, on the CPU.
            augment: whether to change inputs as `Task.augment` says.
            shift: whether that includes shifting and cutting out, which need a long training.
            cutout: edge of the square to cut out, also without `shift`; None: the task's. [pixels]
            flip: ``random``, ``alternate`` or ``none``, where the task allows it; None: ``random``.
            pixels: largest shift, also without `shift`; None: the task's. [pixels]
            erase: probability of erasing a rectangle of an image. [0..1]
            stratified: whether every batch has its share of every class; the targets are classes.
        """
        change = None
        if augment and self.task.augment:
            rules = self.task.augment
            if cutout is None:
                cutout = int(rules.get("cutout", 0)) if shift else 0
            if pixels is None:
                pixels = int(rules.get("shift", 0)) if shift else 0
            change = partial(
                self._augmented,
                generator=generator,
                flip=(flip or "random") if rules.get("flip") else "none",
                turn=_coins(len(self), generator) if flip == "alternate" else None,
                pixels=pixels,
                cutout=cutout,
                erase=erase,
            )
        classes = self.y.cpu() if stratified else None
        return Shuffled(self, min(size, len(self)), generator, change, classes)

    def _augmented(
        self,
        x: Tensor,
        chosen: Tensor,
        passes: int,
        *,
        generator: torch.Generator,
        flip: str,
        turn: Tensor | None,
        pixels: int,
        cutout: int,
        erase: float,
    ) -> Tensor:
        if flip == "random":
            mirrored = torch.rand(len(x), 1, 1, 1, generator=generator).to(self.device) < 0.5
            x = torch.where(mirrored, x.flip(3), x)
        elif flip == "alternate" and turn is not None:
            mirrored = (turn[chosen] ^ bool(passes % 2)).to(self.device)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        if pixels:
            x = _shifted(x, pixels, generator)
        if cutout:
            x = _cut_out(x, cutout, generator)
        if erase:
            x = _erased(x, erase, generator)
        return x.contiguous(memory_format=torch.channels_last)


class Streamed(Resident):
    """One part with inputs that stay in a file or in the memory of the host.

    One batch at a time is read and moved to the device; the batches equal those of `Resident`.
    """

    def _hold(self, part: Part) -> None:
        self.part = part

    def _inputs(self, index: Tensor | slice) -> Tensor:
        at = index if isinstance(index, slice) else index.cpu().numpy()
        return _channels_first(_tensor(self.part.x[at])).to(self.device)


class Unpadded(Streamed):
    """Texts of different lengths, padded batch by batch; a batch has texts of similar lengths."""

    def _hold(self, part: Part) -> None:
        super()._hold(part)
        self.rows = cast(Ragged, part.x)

    def places(self, size: int) -> Iterator[Tensor | slice]:
        """Yield the places of all texts, batch by batch, the shortest first."""
        for index in self.rows.by_length(size):
            yield torch.from_numpy(index).to(self.device)

    def grouped(
        self,
        order: Tensor,
        size: int,
        generator: torch.Generator,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Sort texts by length within pools of `POOL` batches; the batches come in random order."""
        lengths = torch.from_numpy(self.rows.lengths)
        pools = torch.split(order, POOL * size)
        if classes is not None:
            pools = torch.split(balanced(order, classes[order], size, generator), POOL * size)
        ordered = [pool[lengths[pool].argsort(stable=True)] for pool in pools]
        if classes is not None:
            ordered = [pool[lengthwise(classes[pool])] for pool in ordered]
        batches = [batch for pool in ordered for batch in torch.split(pool, size)]
        last = [batch for batch in batches if len(batch) < size]  # left out of a pass
        batches = [batch for batch in batches if len(batch) == size]
        places = torch.randperm(len(batches), generator=generator).tolist()
        return torch.cat([*(batches[place] for place in places), *last])


class Successive(Resident):
    """Segments of a text: row s of every batch continues row s of the batch before it."""

    def places(self, size: int) -> Iterator[Tensor | slice]:
        """Yield the places of all segments, in streams side by side; see `stream_rows`."""
        for rows in stream_rows(len(self), min(size, STREAMS)):
            yield torch.from_numpy(rows).to(self.device)

    def grouped(
        self,
        order: Tensor,
        size: int,
        generator: torch.Generator,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Return the segments of `size` streams, batch by batch, from a place that `order` draws.

        A text that is not a multiple of `size` segments long leaves out some of them, others in every
        pass. Behind its end comes its beginning.
        """
        each = len(order) // size
        steps, streams = torch.arange(each)[:, None], torch.arange(size)[None, :]
        return ((order[0] + streams * each + steps) % len(order)).flatten()


def loader(task: Task, part: Part, *, device: str = "cpu") -> Resident:
    """Return `part` resident on the device where it fits, else streamed to it."""
    if task.successive:
        return Successive(task, part, device=device)
    x: object = part.x  # declared as an array
    if isinstance(x, Ragged):
        return Unpadded(task, part, device=device)
    small = isinstance(part.x, np.ndarray) and part.x.nbytes <= DEVICE_SHARE * _free(device)
    return (Resident if small else Streamed)(task, part, device=device)


def _free(device: str) -> float:
    """Return the free memory of a GPU; infinite for the CPU, which holds the data already. [bytes]"""
    if torch.device(device).type != "cuda":
        return math.inf
    return float(torch.cuda.mem_get_info(device)[0])


class Shuffled:
    """Random batches of a part, every example once per pass; a last, shorter batch is left out.

    Args:
        data: the part.
        size: of a batch. [count]
        generator: the only source of randomness, on the CPU.
        change: augmentation of the inputs of every batch, given their places in the part [B] and the
            number of passes before this one; None is none.
        classes: of the rows, of which every batch gets its share [N]; None is no matter.
    """

    def __init__(
        self,
        data: Resident,
        size: int,
        generator: torch.Generator,
        change: Callable[[Tensor, Tensor, int], Tensor] | None = None,
        classes: Tensor | None = None,
    ) -> None:
        self.data, self.size, self.generator, self.change = data, size, generator, change
        self.classes = classes
        self.per_pass = len(data) // size  # [count]
        self.place = self.per_pass  # batches taken in this pass: the first batch begins a new one
        self.weights: Tensor | None = None  # of the rows of the last batch [B]; None is 1
        self.passes = -1  # ended before the present one; none has begun yet
        self.order = torch.empty(0, dtype=torch.long)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self.place == self.per_pass:
            self.place, self.passes = 0, self.passes + 1
            order = torch.randperm(len(self.data), generator=self.generator)
            self.order = self.data.grouped(order, self.size, self.generator, self.classes)
        chosen = self.order[self.place * self.size : (self.place + 1) * self.size]
        index = chosen.to(self.data.device)
        x, y = self.data.batch(index)
        self.weights = self.data.weights(index)
        self.place += 1
        return (x if self.change is None else self.change(x, chosen, self.passes)), y

    def state(self) -> State:
        """Return the position as arrays; `restore` continues from it with the same batches."""
        return {
            "place": np.array(self.place),
            "passes": np.array(self.passes),
            "order": self.order.numpy().copy(),
            "generator": self.generator.get_state().numpy().copy(),
        }

    def restore(self, state: State) -> None:
        """Continue from a `state` of the same part."""
        self.place = int(state["place"])
        self.passes = int(state.get("passes", 0))  # older states have none, nor need it
        self.order = torch.from_numpy(np.array(state["order"]))
        self.generator.set_state(torch.from_numpy(np.array(state["generator"])))


def _channels_first(x: Tensor) -> Tensor:
    """Return images [B, H, W, C] as [B, C, H, W], channels last in memory; all else as it is."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor; a read-only array is copied, as torch requires."""
    return torch.from_numpy(np.require(array, requirements="W"))


def _shifted(x: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Shift every image by up to `pixels` in both directions; the new border is zero (the mean)."""
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


def _coins(count: int, generator: torch.Generator) -> Tensor:
    """Return whether each of `count` images is mirrored first [count], from the seed alone."""
    own = torch.Generator().manual_seed(generator.initial_seed())
    return torch.rand(count, generator=own) < 0.5


def _erased(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Fill a rectangle of 2 to 33 % of some images with noise (Zhong et al. 2017)."""
    count, _, height, width = x.shape
    drawn = torch.rand(5, count, 1, generator=generator)
    area = (0.02 + 0.31 * drawn[0]) * height * width
    aspect = torch.exp((2 * drawn[1] - 1) * math.log(1 / 0.3))
    tall = (area * aspect).sqrt().clamp(max=height)
    wide = (area / aspect).sqrt().clamp(max=width)
    row, column = torch.arange(height), torch.arange(width)
    top, left = drawn[2] * (height - tall), drawn[3] * (width - wide)
    rows = (row + 0.5 >= top) & (row + 0.5 < top + tall) & (drawn[4] < probability)  # [B, H]
    columns = (column + 0.5 >= left) & (column + 0.5 < left + wide)  # [B, W]
    where = (rows[:, None, :, None] & columns[:, None, None, :]).to(x.device)
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return torch.where(where, noise, x)
