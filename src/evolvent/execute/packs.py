"""The final training of several networks at once: one architecture from several seeds, as a pack."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ..network.build import Assembled, build
from ..network.cost import params
from ..network.data import Resident, Streamed, loader
from ..network.fit import final_parts, started, state_of, with_own_training
from ..network.packed import Member, takes
from ..network.packing import Packing, train_pack
from ..network.train import worth_it
from ..task import data_of
from .worker import Context, Job, Outcome, peak_memory

PACED_STEPS = 4  # whose time tells that of a whole training [count]
SLACK = 0.1  # of the time that is left: what a plan leaves free


def fit_pack(context: Context, jobs: Sequence[Job]) -> list[Outcome]:
    """Train networks that differ in their seeds alone, as many as there is time for.

    How long steps of the pack take is measured first. Where there is no time for all before the
    deadline, the first half is measured, and so on. Networks whose weights are no longer finite are
    left out, and so are all if the deadline comes all the same, or if they cannot be packed.

    Args:
        context: of the worker.
        jobs: that learn from the same rows, from fresh weights and equally long.
    """
    task, first, start = data_of(context.spec.task), jobs[0], time.monotonic()
    part = task.train
    if first.everything:
        part, _ = final_parts(task, hold=first.holds)
    data = loader(task, part, device=context.spec.device)
    made = [_member(context, job, data) for job in jobs]
    if isinstance(data, Streamed) or not takes(made[0].net, made[0].hyper):
        return []
    epochs = worth_it(made[0].hyper, first.epochs, len(data))
    made = _fitting(made, data, epochs, first.deadline)
    if not made:
        return []
    done = train_pack(made, data, epochs=epochs, deadline=first.deadline)
    seconds = time.monotonic() - start
    if done.cut:
        return []
    told = {
        "epochs": done.epochs[0],
        "total_epochs": done.epochs[0],
        "examples": len(part),
        "train_seconds": round(done.seconds / len(made), 3),
        "seconds": round(seconds / len(made), 3),
        "cut": False,
        "params": params(made[0].net),
        "val": None,
        "test": None,
        "threads": torch.get_num_threads(),
        "peak_mib": peak_memory(),
    }
    return [
        Outcome(told | {"seed": each.seed}, state_of(each.net))
        for each, finite in zip(made, done.finite, strict=True)
        if finite
    ]


def _member(context: Context, job: Job, data: Resident) -> Member:
    """Return a network with fresh weights, as `fit` would begin with it."""
    space, task = job.space or context.space, data.task
    net: Assembled = build(space, job.arch, task, job.size, seed=job.seed)
    random = torch.get_rng_state()
    started(net, data)
    hyper = with_own_training(job.hyper, space, job.arch)
    return Member(net, hyper, None, job.seed, random)


def _fitting(
    made: list[Member], data: Resident, epochs: float, deadline: float | None
) -> list[Member]:
    """Return the first of some members, as many as can be trained before the deadline."""
    while made and deadline is not None:
        trial = Packing(made, data, epochs=epochs)  # it has weights of its own
        trial.step()  # finds its memory
        began = time.monotonic()
        for _ in range(PACED_STEPS):
            trial.step()
        now = time.monotonic()
        needed = (now - began) / PACED_STEPS * trial.steps
        if needed <= (1 - SLACK) * (deadline - now):
            break
        made = made[: len(made) // 2]
    return made
