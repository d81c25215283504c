"""The seconds that a training takes per example, foretold from the work of a network.

A network of few FLOPs is not always a fast one: depthwise and 1 x 1 convolutions and maps of full size
move more memory than they compute, and many small layers wait for their calls. So three amounts of work
count: FLOPs, numbers written, and calls. What each costs on a machine is fitted to a few trainings that
were measured there; it is kept with the run, so that what follows from it does not change again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..space import Space
from ..types import Arch
from .build import Assembled, Data, Size, plan
from .cost import cost
from .fit import with_own_training
from .train import Hyperparameters, mean_area


@dataclass(frozen=True)
class Work:
    """The work of a network for one input, in a forward pass.

    Args:
        flops: a multiply-add counts as two. [count]
        numbers: that its modules write. [count]
        calls: of modules that compute, in a batch of the usual size; fewer in a larger one of its
            own, whose examples share them. [count]
    """

    flops: float
    numbers: float
    calls: float


@dataclass(frozen=True)
class Paces:
    """The seconds of a training per example for each piece of the work of a network.

    Args:
        flop: of one FLOP of a forward pass. [s]
        number: of one number that is written. [s]
        call: of one call, shared by the examples of a batch. [s]
    """

    flop: float
    number: float
    call: float

    def of(self, work: Work) -> float:
        """Return the seconds of a training per example of a network of this work. [s]"""
        return self.flop * work.flops + self.number * work.numbers + self.call * work.calls

    def to_json(self) -> dict[str, float]:
        """Return name -> seconds."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, float]) -> Paces:
        """Return the paces that `to_json` wrote; other entries are passed over."""
        return Paces(data["flop"], data["number"], data["call"])


#: of one core of 2020 or so, in float32: for runs in trials, where no clock may decide
USUAL = Paces(flop=6e-11, number=6e-9, call=1e-6)


def work_of(space: Space, arch: Arch, data: Data, *, size: Size, hyper: Hyperparameters) -> Work:
    """Return the work of training the network of an architecture on inputs like those of `data`.

    A training sees one view of every image, however many the delivered network looks at.

    Args:
        space: of the architecture; it says what the architecture sets in its own training.
        arch: of the network.
        data: shapes of inputs and outputs.
        size: of the network.
        hyper: of the training, which may begin with smaller images.

    Raises:
        InvalidArchitecture: if the architecture cannot be realised for these shapes.
    """
    batch = hyper.batch
    hyper = with_own_training(hyper, space, arch)
    made = plan(space, arch, data, replace(size, views=1))
    with torch.device("meta"):
        net = Assembled(made).eval()
        x = torch.zeros(1, *data.input_shape)
    written: list[int] = []

    def note(module: nn.Module, given: object, made: object) -> None:
        if isinstance(made, Tensor):
            written.append(made.numel())

    leaves = [module for module in net.modules() if not [*module.children()]]
    hooks = [module.register_forward_hook(note) for module in leaves]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    area = mean_area(hyper.resize) if made.any_size else 1.0
    calls = len(written) * batch / hyper.batch
    return Work(cost(made, data).flops * area, sum(written) * area, calls)


def fitted(seen: Sequence[tuple[Work, float]]) -> Paces:
    """Return the paces that fit measured trainings best, by their relative errors.

    Least squares in which no pace is below 0: of all choices of paces that are above 0, the best one.

    Args:
        seen: work of a network, and the seconds of its training per example. [s, > 0]
    """
    rows = np.array([astuple(work) for work, _ in seen], float)
    rows /= np.array([seconds for _, seconds in seen])[:, None]
    scale = np.maximum(rows.max(0), 1e-30)  # FLOPs are millions, calls are tens
    best, least = np.zeros(3), np.inf
    for size in (1, 2, 3):
        for chosen in itertools.combinations(range(3), size):
            part = rows[:, chosen] / scale[list(chosen)]
            found = np.linalg.lstsq(part, np.ones(len(rows)), rcond=None)[0]
            error = float(((part @ found - 1) ** 2).sum())
            if (found >= 0).all() and error < least * (1 - 1e-6):
                best, least = np.zeros(3), error
                best[list(chosen)] = found / scale[list(chosen)]
    return Paces(*best.tolist())
