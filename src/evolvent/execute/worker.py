"""The functions that a worker runs: guarded evaluation of candidates, and trainings for delivery.

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
from typing import Any, Protocol

import torch
from torch import nn

from .. import registry
from ..errors import EvolventError, is_out_of_memory
from ..estimator import Estimator, Evaluation
from ..network.build import Size, views_of
from ..network.cost import params
from ..network.fit import (
    LOOKED_AT,
    Beginning,
    calibrated,
    final_parts,
    load,
    look_seconds,
    scored,
    state_of,
)
from ..network.fit import fit as fit_network
from ..network.train import Hyperparameters
from ..space import Space
from ..task import AnyTask, Part, data_of
from ..types import Arch, Candidate, State, failed

LONG = 20.0  # [s] in less the time that reading takes is measured on few rows
FEW_LOOKED_AT = 32  # these [count]
READING = 1.1  # of the time that was measured for it
REASON = 500  # characters of an exception's text; torch writes pages


@dataclass(frozen=True)
class Spec:
    """The input of a worker: the task with its data, and names and settings of space and estimator.

    Calling it builds the `Context`; every worker does so once.
    """

    task: AnyTask
    space: str
    estimator: str
    space_settings: Mapping[str, Any] = field(default_factory=dict)
    estimator_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    def __call__(self) -> Context:
        """Build space and estimator in this process."""
        space: Space = registry.make_space(self.space, self.task.facts, self.space_settings)
        return Context(self, space, self.make_estimator(space, self.seed))

    def make_estimator(self, space: Space, seed: int) -> Estimator:
        """Return the estimator over `space`, seeded for one search."""
        make = registry.find("estimator", self.estimator)
        settings = dict(self.estimator_settings)
        if self.device != "cpu":  # an estimator for the CPU alone needs no such argument
            settings["device"] = self.device
        estimator: Estimator = make(space, self.task, seed=seed, **settings)
        return estimator


@dataclass(frozen=True)
class Context:
    """The state of a worker between calls: spec, space and estimator."""

    spec: Spec
    space: Space
    estimator: Estimator


class Evaluating(Protocol):
    """Anything that holds an estimator, such as a `Context`."""

    @property
    def estimator(self) -> Estimator:
        """The estimator that evaluates."""


def evaluate(
    context: Evaluating, candidate: Candidate, inherited: Mapping[int, State]
) -> Evaluation:
    """Evaluate one candidate; any error becomes a failed result with its reason.

    Out-of-memory errors are passed on: the executor tries such a candidate once more, alone.
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
    context: Evaluating, asked: Sequence[tuple[Candidate, Mapping[int, State]]]
) -> list[Evaluation]:
    """Evaluate candidates with their inherited weights, in one call if the estimator can.

    If that call fails, each is evaluated by itself, so that one bad candidate does not fail the rest.
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
        arch: what to build.
        size: of the network.
        hyper: how to train it.
        epochs: its training length. [epochs]
        everything: train on training and validation data together; there is no score then.
        test: read the test part, once, after the training.
        least: score on the validation rows without which the training is useless, and one that was cut
            too: test is not read then. None is any score, cut or not.
        seed: of weights, order and augmentation.
        deadline: `time.monotonic()` at which to stop. [s]
        state: weights to continue from, or None for fresh ones.
        before: how long these were trained. [epochs]
        space: of `arch`; None is the context's own, which a control's is not.
        threads: of the training; 1 leaves those of the worker. [count, >= 1]
        views: whether validation is scored with the network's views of an image too, as test is.
        temperature: of its probabilities where test is read; None is found on rows that it does not
            learn from: those of the validation part, or some that `everything` then leaves out.
        leaves: whether `everything` leaves out these rows in any case.
    """

    name: str
    arch: Arch
    size: Size
    hyper: Hyperparameters
    epochs: float
    everything: bool = False
    test: bool = False
    least: float | None = None
    seed: int = 0
    deadline: float | None = None
    state: State | None = None
    before: float = 0.0
    space: Space | None = None
    threads: int = 1
    views: bool = True
    temperature: float | None = 1.0
    leaves: bool = False

    @property
    def holds(self) -> bool:
        """Whether `everything` leaves out some rows (`held_rows`)."""
        return self.leaves or self.temperature is None


@dataclass(frozen=True)
class Outcome:
    """The result of a job: plain numbers, and the trained weights."""

    numbers: dict[str, Any]
    state: State


def fit(context: Context, job: Job) -> Outcome:
    """Train one network as `job` says; the returned state is that of the delivered network."""
    if job.threads == 1:
        return fit_for(context.spec, context.space, job)
    with using_threads(job.threads):
        return fit_for(context.spec, context.space, job)


def fit_for(spec: Spec, space: Space, job: Job) -> Outcome:
    """Train one network as `job` says, without an estimator."""
    task, start = data_of(spec.task), time.monotonic()
    space = job.space or space
    part, held, device = task.train, task.validation, spec.device
    if job.everything:
        part, held = final_parts(task, hold=job.holds)

    def begin(net: nn.Module, epochs: float) -> Beginning:
        if job.state is not None:
            load(net, job.state)
        return Beginning(job.before, epochs)

    def reading(net: nn.Module) -> float:
        """Return the seconds in which validation and test are read after the training."""
        left = max(0.0, (job.deadline or start) - time.monotonic())
        rows = LOOKED_AT if left > LONG else FEW_LOOKED_AT
        count = views_of(job.size, task)
        seen = len(task.validation) * (count if job.views else 1)
        seen = 0 if job.everything and job.least is None else seen
        seen += len(held) if job.temperature is None else 0
        tested = count * len(task.test) if job.test and task.test else 0
        each = look_seconds(net, task, rows=rows, device=device)
        return min(READING * each * (seen + tested), left / 2)

    made = fit_network(
        space,
        job.arch,
        task,
        part,
        size=job.size,
        hyper=job.hyper,
        epochs=job.epochs,
        begin=begin,
        whole=job.state is not None,
        seed=job.seed,
        deadline=job.deadline,
        after=reading,
        device=device,
    )
    net, done = made.net, made.done

    def score(part: Part, views: bool = True, **more: Any) -> dict[str, float]:
        return scored(net, task, part, device=device, views=views, **more)

    seen, useful = None, True
    if job.least is not None:
        seen = None if done.cut else score(task.validation, job.views)
        useful = seen is not None and seen[task.metric] >= job.least
    temperature = job.temperature
    if temperature is None:
        temperature = calibrated(net, task, held, device=device)
    test = None
    if job.test and task.test and useful:
        test = score(task.test, uncertain=True, temperature=temperature)
    numbers = {
        "epochs": done.epochs,
        "total_epochs": made.total_epochs,
        "examples": len(part),
        "train_seconds": round(done.seconds, 3),
        "curve": done.curve,
        "cut": done.cut,
        "shortened": done.shortened,
        "params": params(net),
        "seed": job.seed,
        "val": None if job.everything else score(task.validation, job.views),
        "seen": seen,  # on the validation rows, after they were learnt from
        "useful": useful,
        "test": test,
        "temperature": temperature,
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
    """Return the peak resident memory of this process; None where it is not known. [MiB]

    Linux reports it in /proc; `getrusage` would count the memory of the parent process as well.
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
