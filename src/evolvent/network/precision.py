"""The precision that trains faster on this machine, measured.

What a processor says of itself does not tell: without matrix units bfloat16 may be faster or slower,
by its vector units, the kind of layers and their sizes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from ..space import Space
from ..task import Part, Task
from ..types import Arch
from .build import Size, build
from .data import loader
from .fit import with_own_training
from .train import Hyperparameters, Trainer

WORDS = ("float32", "bfloat16")
STEPS = 4  # of each; the first one finds its memory and does not count
MOST_EXAMPLES, LEAST_EXAMPLES = 64, 4  # in a batch
MOST_PLACES = (
    2**16
)  # pixels or tokens in a batch: large images would take the budget of a short run
GAIN = 0.9  # of the time that float32 takes: bfloat16 has to be that fast, for it rounds more


def faster_precision(
    space: Space,
    arch: Arch,
    task: Task,
    *,
    size: Size,
    hyper: Hyperparameters,
    device: str = "cpu",
) -> str:
    """Return ``float32``, or ``bfloat16`` where training steps are at least a tenth faster in it.

    A few steps are taken in both, in turn. On a CPU processor time counts, which other programs
    disturb little.

    Args:
        space: of the architecture.
        arch: a typical one.
        task: its training part gives the examples.
        size: of the network.
        hyper: how it is trained; its own precision does not matter.
        device: where it is trained.

    Raises:
        InvalidArchitecture: if the architecture cannot be realised for these shapes.
    """
    own = with_own_training(hyper, space, arch)
    fitting = max(LEAST_EXAMPLES, MOST_PLACES // math.prod(task.input_shape[-2:]))
    count = min(len(task.train), own.batch, MOST_EXAMPLES, fitting)
    part = Part(task.train.x[:count], task.train.y[:count])
    data = loader(task, part, device=device)
    now = _clock(device)
    trainers, seconds = {}, {}
    for word in WORDS:
        net = build(space, arch, task, size)
        plain = replace(own, precision=word, resize=1.0)  # most steps see whole images
        trainers[word] = Trainer(net, data, steps=STEPS, hyper=plain, seed=0)
        seconds[word] = [0.0] * STEPS
    for step in range(STEPS):
        for word, trainer in trainers.items():
            start = now()
            trainer.step()
            seconds[word][step] = now() - start
    took = {word: min(each[1:]) for word, each in seconds.items()}
    return "bfloat16" if took["bfloat16"] < GAIN * took["float32"] else "float32"


def _clock(device: str) -> Callable[[], float]:
    """Return a clock that says when what was asked of a device is done. [s]"""
    if torch.device(device).type != "cuda":
        return time.process_time

    def done() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return done
