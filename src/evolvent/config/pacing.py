"""Whatever depends on the clock: epochs per candidate, horizon, and so the population.

It is settled once, by one short measurement; it goes into ``config.yaml`` and is not settled again when
the run is resumed.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping
from typing import Any

from .. import registry
from ..errors import CandidateFailed, InvalidArchitecture, SettingError
from ..execute import cores
from ..execute.worker import evaluate, using_threads
from ..space import Space
from ..task import AnyTask, Part, Task, data_of
from ..types import Arch, Candidate, Result, stream
from . import rehearsal as sharing
from .defaults import EPOCHS, at_most
from .parts import (
    is_stateful,
    known,
    make_space,
    make_spec,
    make_strategy,
    network_settings,
    objectives,
)
from .resolve import Request
from .settings import RunBudget, parse_budget

AS_IS_SHARE = 0.85  # of a budget in seconds where the winner is delivered as it is
PACED = 20  # random candidates whose evaluation tells how fast a world is
DELIVERY_SHARE = 0.45  # of a budget in seconds: final training, controls and export; `train.share`
TRIALS_AIMED_AT = 50  # with a budget in seconds, epochs shrink until about so many fit: `aim`


def settle(chosen: dict[str, Any], request: Request, task: AnyTask, workers: int) -> dict[str, Any]:
    """Return `chosen` with everything that depends on the budget and the clock.

    A budget in trials needs no clock. For one in seconds three random architectures train a few
    steps; from their pace follow the epochs per candidate and the horizon.
    """
    budget = parse_budget(request.budget)
    estimator = dict(chosen["estimator"])
    plan = dataclasses.asdict(budget) | {"search_seconds": budget.seconds}
    settled = dict(chosen) | {"estimator": estimator, "budget": plan}
    if is_stateful(settled):
        estimator.setdefault("timeout", 600.0)
        settled["strategy"] = dict(chosen["strategy"])
        return _settle_sharing(settled, request, task)
    if not (task.trainable or task.charged):
        estimator.setdefault("epochs", 0.0)
        estimator.setdefault("timeout", 60.0)
        horizon = _trials_of_a_world(settled, task, request, workers)
    elif not task.trainable:
        estimator.setdefault("epochs", getattr(task, "epochs", 1.0))
        estimator.setdefault("timeout", 60.0)
        horizon = _trials_of_a_table(budget, task)
    elif budget.seconds is None:
        estimator.setdefault("epochs", at_most("trials", data_of(task), _batch(chosen)))
        estimator.setdefault("timeout", 600.0)
        horizon = budget.trials or TRIALS_AIMED_AT
    else:
        search = budget.seconds * _search_share(chosen)
        plan["search_seconds"] = search  # a table's whole budget is for the search
        data = data_of(task)
        per_example = _typical_pace(chosen, data, request.device)
        epoch = per_example * len(data.train)
        core_seconds = max(1.0, 0.85 * search * workers)  # the rest starts workers and validates
        aimed = core_seconds / estimator.get("aim", TRIALS_AIMED_AT) / epoch
        most = at_most("most", data, _batch(chosen))
        estimator.setdefault("epochs", round(min(max(aimed, EPOCHS["least"]), most), 3))
        each = estimator["epochs"] * epoch
        estimator.setdefault("timeout", round(max(20.0, 10 * each), 1))
        settled["measured"] = {"seconds_per_epoch": round(epoch, 4)}
        horizon = max(4, int(core_seconds / max(each, 0.02)))
        horizon = min(horizon, budget.trials or horizon)
    settled["strategy"] = {"horizon": horizon} | chosen["strategy"]
    _link_measures(settled, task)
    return settled


def _settle_sharing(settled: dict[str, Any], request: Request, task: AnyTask) -> dict[str, Any]:
    """Return `settled` with the epochs of the shared weights, and how many batches these have."""
    estimator, strategy, plan = settled["estimator"], settled["strategy"], settled["budget"]
    space = make_space(settled, task)
    batches = strategy.setdefault(
        "batches", sharing.per_epoch(len(data_of(task).train), estimator, default=0.5)
    )
    given = estimator.get("epochs")
    settled["threads"] = 1  # two on a busy machine may take ten times as long as one

    def fresh(horizon: int) -> Any:
        strategy["horizon"], estimator["epochs"] = horizon, float(horizon)
        made: Any = make_strategy(settled, space, request.seed)
        estimator["steps"] = made.train_batches
        return made

    if plan["seconds"] is not None:
        plan["search_seconds"] = plan["seconds"] * _search_share(settled)
    if given is not None:
        horizon = max(1, round(given))
    elif plan["seconds"] is None:
        horizon = max(1, plan["trials"] - fresh(1).more_trials)
    else:
        rehearsed = fresh(sharing.REHEARSED)
        context = make_spec(settled, task, request.seed, request.device)()

        def answer(candidate: Candidate) -> Result:
            return evaluate(context, candidate, {}).result

        settled["threads"] = sharing.faster(
            fresh(sharing.REHEARSED), answer, (1, cores()), using_threads
        )
        with using_threads(settled["threads"]):
            pace = sharing.rehearse(rehearsed, answer, batches=batches)
        horizon, strategy["batches"] = sharing.fitting(
            plan["search_seconds"], pace, batches=batches, more_trials=rehearsed.more_trials
        )
        settled["measured"] = {
            "seconds_per_batch": round(pace.batch, 5),
            "seconds_per_trial": round(pace.trial, 5),
        }
    fresh(horizon)
    # refuses now what it would refuse later
    make_spec(settled, task, request.seed, request.device)()
    return settled


def _batch(chosen: Mapping[str, Any]) -> int:
    hyper = network_settings(chosen, "train")["hyper"]
    return int(hyper.batch)


def _search_share(chosen: Mapping[str, Any]) -> float:
    """Return the share of a budget in seconds that the search has. [0..1]"""
    return 1 - float(chosen["train"].get("share", DELIVERY_SHARE))


def _link_measures(settled: dict[str, Any], task: AnyTask) -> None:
    """Have what the strategy's objectives ask for measured, and only that: it takes time.

    Raises:
        SettingError: for a latency that the estimator cannot measure.
    """
    asked, name = objectives(settled, task), settled["estimator"]["name"]
    if "measures" in known("estimator", registry.find("estimator", name)):
        already = settled["estimator"].get("measures", ())
        wanted = sorted({*already, *({"flops", "latency_ms"} & set(asked))})
        if wanted:
            settled["estimator"]["measures"] = wanted
    elif "latency_ms" in asked:
        raise SettingError(
            f"estimator {name} does not measure latency_ms: keep params or flops low, or use "
            "--estimator full"
        )


def _trials_of_a_world(
    settled: dict[str, Any], task: AnyTask, request: Request, workers: int
) -> int:
    """Return how many trials a budget allows where nothing is trained, by how long some take now."""
    plan = settled["budget"]
    if plan["seconds"] is None:
        return int(plan["trials"] or TRIALS_AIMED_AT)
    plan["search_seconds"] = plan["seconds"] * AS_IS_SHARE
    estimator = make_spec(settled, task, request.seed)().estimator
    space = make_space(settled, task)
    archs = [space.sample(stream("pace", index)) for index in range(PACED)]
    start = time.monotonic()
    for index, arch in enumerate(archs):
        estimator.evaluate(Candidate(index, arch), {})
    each = (time.monotonic() - start) / PACED
    settled["measured"] = {"seconds_per_trial": round(each, 6)}
    horizon = max(4, int(plan["search_seconds"] * workers / max(each, 1e-4)))
    return min(horizon, plan["trials"] or horizon)


def _trials_of_a_table(budget: RunBudget, table: Any) -> int:
    """Return how many trials a budget allows, by the seconds that the table says they took."""
    if budget.seconds is None:
        return budget.trials or TRIALS_AIMED_AT
    if table.cost is None:
        raise SettingError(
            f"{table.name} has no column of seconds, so a budget of {budget.seconds:g} s means nothing "
            "here: give trials, such as 100t, or name one with --set task.cost=COLUMN"
        )
    mean = float(table.columns[table.cost].mean())
    expected = max(1, int(budget.seconds / max(mean, 1e-9)))
    return min(expected, budget.trials or expected)


def _typical_pace(chosen: Mapping[str, Any], task: Task, device: str) -> float:
    """Return the mean pace of the first three random architectures that can be trained."""
    space = make_space(chosen, task)
    network = network_settings(chosen, "estimator")
    found: list[float] = []
    for index in range(20):
        arch = space.sample(stream("pace", index))
        try:
            found.append(pace(space, arch, task, device=device, **network))
        except (CandidateFailed, InvalidArchitecture) as error:
            reason = error
        if len(found) == 3:
            break
    if not found:
        raise SettingError(
            f"none of 20 random architectures can be trained, the last because {reason}: "
            "other settings of the space or the training may help"
        )
    return statistics.mean(found)


def pace(
    space: Space,
    arch: Arch,
    task: Task,
    *,
    size: Any,
    hyper: Any,
    device: str = "cpu",
    threads: int = 1,
) -> float:
    """Return how long training takes per example with `threads`, from a few steps now. [s]"""
    from ..network.build import build
    from ..network.data import loader
    from ..network.train import train

    count = min(len(task.train), 8 * hyper.batch)
    part = Part(task.train.x[:count], task.train.y[:count])
    net, data = build(space, arch, task, size), loader(task, part, device=device)
    with using_threads(threads):  # as a worker has; what runs in this process keeps its own
        train(net, data, epochs=0.25, hyper=hyper, seed=0)  # the first steps find their memory
        done = train(net, data, epochs=1, hyper=hyper, seed=0)
    return float(done.seconds / (done.epochs * count))
