"""What runs in a worker: the estimator with the one guard around it, and trainings for delivery.

A worker gets everything it needs once, as a `Spec`; after that it is sent candidates and jobs. It
imports only the standard library, torch, numpy and safetensors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import registry
from .errors import EvolventError
from .estimator import Estimator, Evaluation
from .estimator.full import load, state_of, with_own_training
from .network.build import Size, build
from .network.cost import params
from .network.data import Resident
from .network.train import Hyperparameters, train
from .network.train import evaluate as evaluate_on
from .space import Space
from .task import Task
from .types import Arch, Candidate, State, failed


@dataclass(frozen=True)
class Spec:
    """What a worker needs to evaluate: names and settings, and the task with its data.

    Calling it builds the `Context`; that is how a worker makes its own.
    """

    task: Task
    space: str
    estimator: str
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __call__(self) -> Context:
        """Return space and estimator, built here."""
        space: Space = registry.find("space", self.space)(**self.space_settings)
        make = registry.find("estimator", self.estimator)
        estimator: Estimator = make(space, self.task, seed=self.seed, **self.estimator_settings)
        return Context(self, space, estimator)


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
        return context.estimator.evaluate(candidate, inherited)
    except EvolventError as error:
        return Evaluation(failed(candidate, str(error), seconds=time.monotonic() - start))
    except Exception as error:  # the one guard: a candidate may fail in any way
        if is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {error}"
        return Evaluation(failed(candidate, reason, seconds=time.monotonic() - start))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was not enough memory; torch has no type for it on a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "allocate memory" in text)
    )


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


@dataclass(frozen=True)
class Outcome:
    """What a job gave: plain numbers, and the trained weights."""

    numbers: dict[str, Any]
    state: State


def fit(context: Context, job: Job) -> Outcome:
    """Train one network as the job says."""
    task, start = context.spec.task, time.monotonic()
    space = registry.find("space", job.space)(**job.space_settings)
    net = build(space, job.arch, task, job.size, seed=job.seed)
    if job.state is not None:
        load(net, job.state)
    hyper = with_own_training(job.hyper, space, job.arch)
    part = task.everything if job.everything else task.train
    done = train(
        net,
        Resident(task, part),
        epochs=job.epochs,
        hyper=hyper,
        seed=job.seed,
        deadline=job.deadline,
    )
    numbers = {
        "epochs": done.epochs,
        "examples": len(part),
        "train_seconds": round(done.seconds, 3),
        "curve": done.curve,
        "cut": done.cut,
        "params": params(net),
        "seed": job.seed,
        "val": None if job.everything else evaluate_on(net, Resident(task, task.validation)),
        "test": evaluate_on(net, Resident(task, task.test)) if job.test and task.test else None,
    }
    return Outcome(numbers | {"seconds": round(time.monotonic() - start, 3)}, state_of(net))
