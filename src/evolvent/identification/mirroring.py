"""Does a mirrored image keep its label? A small network that saw no mirrored image is asked.

Mirroring doubles photographs of most things for nothing, and it makes other symbols of letters, digits
and traffic signs. Whether it does shows in what a network that learnt from the images as they are says
of mirrored ones: it takes a mirrored cat for a cat, about as often as before, and a mirrored 7, or an
arrow to the left, for something else.

It is asked where images would be mirrored and nobody said that they may be: see `task.images`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..config.equal_time import pace
from ..network.build import Assembled, Size, build
from ..network.data import loader
from ..network.train import Hyperparameters, train
from ..space.stages import LRS, Stages
from ..task import AnyTask, Part, Task
from ..task.images import MIRRORED

MEMBER = "airbench-32"  # of the space `stages`, half as wide
STEPS, BATCH = 150, 64  # of its training
SHARE, MOST = 0.05, 30.0  # of a run's budget, and seconds, that it may take
SHOWN = 2000  # validation images that are mirrored, at most
LOST = 0.25  # of what it knows beyond guessing: what recognising mirrored images may lose
OF_A_CLASS = 0.5  # of its images: what recognising one class may lose
LEAST = 0.1  # beyond guessing: what it must know to say that labels are kept
ENOUGH = 12  # images of a class from which that is looked at
SURE = 2.0  # standard errors


@dataclass(frozen=True)
class Mirrored:
    """Accuracies of a network on images and on mirrored ones.

    Args:
        kept: whether they keep their labels; None cannot be told.
        accuracy: of the images as they are. [0..1]
        mirrored: of the same, mirrored. [0..1]
        images: that were shown. [count]
        worst: name of the class that lost the most.
    """

    kept: bool | None
    accuracy: float
    mirrored: float
    images: int
    worst: str = ""

    @property
    def line(self) -> str:
        """The finding in one line, with the evidence and the setting that says otherwise."""
        seen = (
            f"a small network recognised {self.accuracy:.0%} of {self.images} images and "
            f"{self.mirrored:.0%} of them mirrored"
        )
        if self.kept is None:
            return f"{seen}, too little to tell: mirrored at random; else --set task.flip=false"
        if self.kept:
            return f"{seen}: they are mirrored at random; --set task.flip=false turns it off"
        what = f", those of {self.worst} least" if self.worst else ""
        return f"{seen}{what}: they are not mirrored; --set task.flip=true if labels stay the same"


def settled(
    task: AnyTask,
    *,
    seconds: float | None,
    seed: int,
    say: Callable[[str], None],
    phase: Callable[[str], None] = lambda line: None,
) -> tuple[AnyTask, dict[str, Any]]:
    """Return a task whose guess about mirrored images is checked, and the setting that was found.

    Args:
        task: any; only of images for which it was guessed is anything asked.
        seconds: of the whole run; None is a budget without a clock. [s]
        seed: of the training.
        say: is told the finding and its evidence.
        phase: is told what is being done, before it is done.
    """
    if not isinstance(task, Task) or "flip" not in task.guessed:
        return task, {}
    phase("finding out whether mirrored images keep their labels (--set task.flip says it at once)")
    found = judged(task, seconds=seconds, seed=seed)
    say(found.line)
    flip = found.kept is not False
    notes = tuple(line for line in task.note if line != MIRRORED)
    known = dataclasses.replace(
        task, augment={**task.augment, "flip": flip}, note=notes, guessed=()
    )
    return known, {"flip": flip}


def judged(task: Task, *, seconds: float | None, seed: int = 0) -> Mirrored:
    """Return whether mirrored images keep their labels.

    Args:
        task: of images.
        seconds: of the run's budget; None is a budget without a clock. [s]
        seed: of the training and of the images that are shown.
    """
    net = _taught(task, seconds, seed)
    count = min(SHOWN, len(task.validation))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(task.validation))[:count])
    x, y = np.asarray(task.validation.x[chosen]), np.asarray(task.validation.y[chosen])
    plain = _answers(net, task, Part(x, y)) == y
    turned = _answers(net, task, Part(np.ascontiguousarray(x[:, :, ::-1]), y)) == y
    return _verdict(task, y, plain, turned)


def _taught(task: Task, seconds: float | None, seed: int) -> Assembled:
    """Return a network that learnt from the images as they are."""
    facts = dataclasses.replace(task.facts, mirrored=False)
    space, size = Stages.of(facts), Size(widen=0.5)
    members = space.known(facts)
    arch = members.get(MEMBER, next(iter(members.values())))
    hyper = Hyperparameters(
        optimizer="muon", lr=LRS["muon"], batch=BATCH, schedule="one-cycle", augment=False
    )
    examples, deadline = float(STEPS * BATCH), None
    if seconds is not None:
        deadline = time.monotonic() + min(MOST, SHARE * seconds)
        example = pace(space, arch, task, size=size, hyper=hyper, steps=3)
        examples = min(examples, (deadline - time.monotonic()) / example)
    epochs = max(0.0, examples) / max(1, len(task.train))
    net = build(space, arch, task, size, seed=seed)
    train(net, loader(task, task.train), epochs=epochs, hyper=hyper, seed=seed, deadline=deadline)
    return net


def _answers(net: Assembled, task: Task, part: Part) -> np.ndarray:
    """Return the class of every image that is the most probable one. [N]"""
    net.eval()
    found = []
    with torch.inference_mode():
        for images, _ in loader(task, part).in_order(250):
            found.append(net(images).argmax(1).numpy())
    return np.concatenate(found)


def _verdict(task: Task, y: np.ndarray, plain: np.ndarray, turned: np.ndarray) -> Mirrored:
    accuracy, mirrored, count = float(plain.mean()), float(turned.mean()), len(y)
    guessed = float(np.bincount(y).max() / count)
    error = float(np.std(plain.astype(float) - turned)) / count**0.5
    known, lost = accuracy - guessed, accuracy - mirrored
    told: dict[str, Any] = {"accuracy": accuracy, "mirrored": mirrored, "images": count}
    drops = {}
    for number, name in enumerate(task.classes):
        mine = y == number
        if mine.sum() >= ENOUGH:
            drops[name] = float(plain[mine].mean() - turned[mine].mean())
    worst = max(drops, key=lambda name: drops[name], default="")
    if lost > SURE * error and lost > LOST * max(known, 0.0):
        return Mirrored(False, worst=worst, **told)
    if worst and drops[worst] > OF_A_CLASS:
        return Mirrored(False, worst=worst, **told)
    spread = SURE * (accuracy * (1 - accuracy) / count) ** 0.5
    return Mirrored(True if known > max(LEAST, spread) else None, **told)
