"""What runs in a worker: the estimator with the one guard around it, and trainings for delivery.

A worker gets everything it needs once, as a `Spec`; after that it is sent candidates and jobs. It
imports only the standard library, torch, numpy and safetensors.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import registry
from ..errors import EvolventError, is_out_of_memory
from ..estimator import Estimator, Evaluation
from ..estimator.full import load, state_of, with_own_training
from ..network.build import Size, build
from ..network.cost import params
from ..network.data import loader
from ..network.train import Hyperparameters, train
from ..network.train import evaluate as evaluate_on
from ..space import Space
from ..task import AnyTask, Part, Task, data_of
from ..types import Arch, Candidate, State, failed

REASON = 500  # characters of an exception's text; torch writes pages


@dataclass(frozen=True)
class Spec:
    """What a worker needs to evaluate: names and settings, and the task with its data.

    Calling it builds the `Context`; that is how a worker makes its own.
    """

    task: AnyTask
    space: str
    estimator: str
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    def __call__(self) -> Context:
        """Return space and estimator, built here."""
        space: Space = registry.make_space(self.space, self.task.facts, self.space_settings)
        return Context(self, space, self.make_estimator(space, self.seed))

    def make_estimator(self, space: Space, seed: int) -> Estimator:
        """Return the estimator over `space`, seeded for one search."""
        make = registry.find("estimator", self.estimator)
        settings = dict(self.estimator_settings)
        if self.device != "cpu":  # an estimator that knows the CPU only need not name it
            settings["device"] = self.device
        estimator: Estimator = make(space, self.task, seed=seed, **settings)
        return estimator


@dataclass(frozen=True)
class Context:
    """What a worker holds between calls."""

    spec: Spec
    space: Space
    estimator: Estimator


def evaluate(context: Context, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
    """Evaluate one candidate; whatever goes wrong with it is a failed result with a reason.

    Running out of memory is passed on: the executor tries such a candidate once more, alone.
    """
    start = time.monotonic()
    try:
        return _checked(context.estimator.evaluate(candidate, inherited), candidate)
    except EvolventError as error:
        return Evaluation(failed(candidate, str(error), seconds=time.monotonic() - start))
    except Exception as error:  # the one guard: a candidate may fail in any way
        if is_out_of_memory(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:REASON]
        return Evaluation(failed(candidate, reason, seconds=time.monotonic() - start))


def evaluate_many(
    context: Context, asked: Sequence[tuple[Candidate, Mapping[int, State]]]
) -> list[Evaluation]:
    """Evaluate candidates, each with what it inherits, in one go if the estimator can.

    If that goes wrong each is evaluated by itself, so that one bad candidate spoils no other.
    """
    if len(asked) == 1 or not hasattr(context.estimator, "evaluate_many"):
        return [evaluate(context, candidate, inherited) for candidate, inherited in asked]
    try:
        found = context.estimator.evaluate_many(asked)
        return [
            _checked(each, candidate) for each, (candidate, _) in zip(found, asked, strict=True)
        ]
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return [evaluate(context, candidate, inherited) for candidate, inherited in asked]


def _checked(evaluation: Evaluation, candidate: Candidate) -> Evaluation:
    """Return `evaluation` if it answers for `candidate`, in plain numbers that can be stored."""
    if not isinstance(evaluation, Evaluation):
        raise TypeError(f"the estimator returned {evaluation!r}, not an Evaluation")
    result = evaluation.result
    if result.candidate.id != candidate.id:
        raise ValueError(f"the estimator answered for candidate {result.candidate.id}")
    json.dumps([result.score, result.metrics, result.seconds, result.params, result.flops])
    return evaluation


@dataclass(frozen=True)
class Job:
    """A training outside the search: a finalist, the winner, a control, or one that a user asks for.

    Args:
        name: under which its outcome is stored.
        space: name of the space of `arch`, which for a control is not the run's.
        arch: what to build.
        size: of the network.
        hyper: how to train it.
        epochs: its training length. [epochs]
        everything: train on training and validation data together; there is no score then.
        test: read the test part, once, after the training.
        seed: of weights, order and augmentation.
        deadline: `time.monotonic()` at which to stop. [s]
        state: weights to continue from, or None for fresh ones.
        before: how long these were trained. [epochs]
    """

    name: str
    space: str
    arch: Arch
    size: Size
    hyper: Hyperparameters
    epochs: float
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    everything: bool = False
    test: bool = False
    seed: int = 0
    deadline: float | None = None
    state: State | None = None
    before: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a job gave: plain numbers, and the trained weights."""

    numbers: dict[str, Any]
    state: State


def fit(context: Context, job: Job) -> Outcome:
    """Train one network as the job says; its state is that of the network as it is delivered."""
    task, start = data_of(context.spec.task), time.monotonic()
    space = registry.make_space(job.space, task.facts, job.space_settings)
    net = build(space, job.arch, task, job.size, seed=job.seed)
    if job.state is not None:
        load(net, job.state)
    hyper = with_own_training(job.hyper, space, job.arch)
    part = task.everything if job.everything else task.train
    device = context.spec.device
    done = train(
        net,
        loader(task, part, device=device),
        epochs=job.epochs,
        hyper=hyper,
        seed=job.seed,
        deadline=job.deadline,
    )
    numbers = {
        "epochs": done.epochs,
        "total_epochs": job.before + done.epochs,
        "examples": len(part),
        "train_seconds": round(done.seconds, 3),
        "curve": done.curve,
        "cut": done.cut,
        "params": params(net),
        "seed": job.seed,
        "val": None if job.everything else _scored(net, task, task.validation, device),
        "test": _scored(net, task, task.test, device) if job.test and task.test else None,
        "threads": torch.get_num_threads(),
        "peak_mib": peak_memory(),
    }
    return Outcome(numbers | {"seconds": round(time.monotonic() - start, 3)}, state_of(net))


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads in this process, and with its own afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory() -> float | None:
    """Return the largest resident set that this process has had, where the system tells. [MiB]

    Linux tells it in /proc; `getrusage` would count what the starting process held as well.
    """
    if sys.platform == "win32":
        return None
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        held = next(line for line in lines if line.startswith("VmHWM:"))
        return round(int(held.split()[1]) / 1024, 1)
    except (OSError, StopIteration):
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(largest / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _scored(net: nn.Module, task: Task, part: Part, device: str) -> dict[str, float]:
    return evaluate_on(net, loader(task, part, device=device))
