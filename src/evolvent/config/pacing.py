"""The schedule of a run: epochs per candidate, horizon, time-outs, from its budget and the clock.

It is settled once, by one short measurement; it goes into ``config.yaml`` and is not settled again when
the run is resumed. There is one rule per kind of search: networks that are trained, under a budget in
trials or in seconds; shared weights; a table; a world to act in.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from ..errors import CandidateFailed, InvalidArchitecture, SettingError
from ..execute import cores
from ..execute.worker import evaluate, using_threads
from ..space import Space
from ..types import Arch, Budget, Candidate, Result, stream
from . import rehearsal, settable
from .clock import no_time, search_seconds
from .defaults import EPOCHS, at_most
from .equal_time import mean_length, pace, slowest_allowed, unit, with_paces
from .parts import Parts, make_strategy
from .settings import RunBudget, parse_budget
from .setup import Draft, Schedule, Setup

PACED = 20  # random candidates whose evaluation tells how fast a world is
TRIALS_AIMED_AT = 50  # with a budget in seconds, epochs shrink until about so many fit: `aim`
TYPICAL_SHARE = 0.1  # of a search: for measuring what a typical training takes
MEASURED = {"flops", "latency_ms", "description_length"}  # where a strategy looks at it
PATIENCE = 600.0  # [s] of one evaluation, where no clock tells what is too long
PATIENCE_AS_IS = 60.0  # [s] the same where nothing is trained


def settle(draft: Draft, *, workers: int, before: float = 0.0) -> Setup:
    """Return the setup of a draft: everything that depends on its budget and on the clock.

    A budget in trials needs no clock. For one in seconds three random architectures train a few
    steps; from their pace follow the epochs per candidate and the horizon.

    Args:
        draft: of the run.
        workers: evaluations at a time. [count]
        before: what the user has waited already. [s]

    Raises:
        SettingError: for a budget that is over already, or that means nothing for this task, or a
            space of which no random architecture can be trained.
    """
    began = time.monotonic()
    draft = with_precision(draft)
    before += time.monotonic() - began
    budget = parse_budget(draft.request.budget)
    search = search_seconds(draft, budget, before)
    if search is not None and search <= 0 and not draft.task.charged:
        assert budget.seconds is not None
        raise SettingError(no_time(before, budget.seconds))
    if draft.parts.stateful:
        setup = _for_shared_weights(draft, budget, search)
    elif draft.task.trainable:
        if draft.equal_seconds:
            draft = with_paces(draft, budget, search)
        elif _in_closed_form(draft):
            return _measuring(
                Setup.of(draft, _without_training(draft, budget, workers, search), budget)
            )
        if search is None:
            made = _by_trials(draft, budget)
        else:
            made = _by_seconds(draft, budget, workers, search)
        setup = Setup.of(draft, made, budget)
    elif draft.task.charged:
        setup = Setup.of(draft, _for_table(draft, budget), budget)
    else:
        setup = Setup.of(draft, _without_training(draft, budget, workers, search), budget)
    return _measuring(setup)


def with_precision(draft: Draft) -> Draft:
    """Return `draft` with a precision wherever it says ``auto``: the faster one, measured now.

    It is the same for the search and for the final training, and stands in ``config.yaml``, so that
    a run that is resumed, on another machine too, goes on as it began.
    """
    searched, final = draft.parts.estimator.settings, draft.train.settings
    if "auto" not in (searched.get("precision"), final.get("precision")):
        return draft
    word = _faster_precision(draft)
    parts, train = draft.parts, draft.train
    if searched.get("precision") == "auto":
        parts = parts.having("estimator", precision=word)
    if final.get("precision") == "auto":
        train = train.having(precision=word)
    return draft.having(parts, train)


def _faster_precision(draft: Draft) -> str:
    """Return the precision in which the first random architecture that can be trained is faster."""
    from ..network.precision import faster_precision

    network, device = draft.network, draft.request.device
    for arch in _samples(draft.space):
        try:
            with using_threads(1):  # as a worker has
                return faster_precision(
                    *(draft.space, arch, draft.task),
                    size=network.size,
                    hyper=network.hyper,
                    device=device,
                )
        except InvalidArchitecture:
            continue
    return "float32"  # what cannot be built is told when its pace is measured


def _by_trials(draft: Draft, budget: RunBudget) -> Schedule:
    """Return the schedule of trainings under a budget in trials: no clock is read."""
    epochs = draft.asked.epochs
    if epochs is None:
        epochs = at_most("trials", draft.task, draft.train.network.hyper.batch)
    horizon = budget.trials or TRIALS_AIMED_AT
    return _schedule(draft, epochs=epochs, horizon=horizon, timeout=PATIENCE)


def _by_seconds(draft: Draft, budget: RunBudget, workers: int, search: float) -> Schedule:
    """Return the schedule of trainings under a budget in seconds, from the pace of a few networks."""
    example = unit(draft) if draft.equal_seconds else _typical_pace(draft, search)
    epoch = example * len(draft.task.train) * _trainings(draft)
    core_seconds = max(1.0, 0.85 * search * workers)  # the rest starts workers and validates
    epochs, mean = draft.asked.epochs, mean_length(draft)
    if epochs is None:
        aim = draft.parts.estimator.settings.get("aim", TRIALS_AIMED_AT)
        own = "lengths" in draft.space.gives
        most = at_most("most", draft.task, draft.train.network.hyper.batch, own=own)
        wanted = core_seconds / (aim * mean) / epoch
        epochs = round(min(max(wanted, EPOCHS["least"]), most), 3)
    each = epochs * epoch * mean
    horizon = max(4, int(core_seconds / max(each, 0.02)))
    return _schedule(
        draft,
        epochs=epochs,
        horizon=min(horizon, budget.trials or horizon),
        timeout=round(max(20.0, 10 * each), 1),
        search_seconds=search,
        measured={"seconds_per_epoch": round(epoch, 4)},
        slowest=slowest_allowed(draft, budget) if draft.equal_seconds else None,
    )


def _trainings(draft: Draft) -> float:
    """Return the number of trainings of one evaluation: mostly one. [count]"""
    make, settings = draft.parts.estimator.make, draft.parts.estimator.settings
    if not hasattr(make, "trainings"):
        return 1.0
    rows = len(draft.task.train) + len(draft.task.validation)
    return float(make.trainings(rows, settings, draft.task.division))


def _for_table(draft: Draft, budget: RunBudget) -> Schedule:
    """Return the schedule of look-ups: the whole budget, charged as the table says."""
    return _schedule(
        draft,
        epochs=getattr(draft.task, "epochs", 1.0),
        horizon=_trials_of_a_table(budget, draft.task),
        timeout=PATIENCE_AS_IS,
        search_seconds=budget.seconds,
    )


def _without_training(
    draft: Draft, budget: RunBudget, workers: int, search: float | None
) -> Schedule:
    """Return the schedule where nothing is trained step by step, by what evaluations take now.

    That is a world to act in, and networks whose coefficients are found in closed form.
    """
    if search is None:
        each, horizon, measured = 0.0, int(budget.trials or TRIALS_AIMED_AT), {}
    else:
        each = _pace_of_evaluations(draft)
        measured = {"seconds_per_trial": round(each, 6)}
        horizon = max(4, int(search * workers / max(each, 1e-4)))
        horizon = min(horizon, budget.trials or horizon)
    return _schedule(
        draft,
        epochs=0.0,
        horizon=horizon,
        timeout=max(PATIENCE_AS_IS, round(100 * each)),
        search_seconds=search,
        measured=measured,
    )


def _in_closed_form(draft: Draft) -> bool:
    """Whether a random network of the space is found in closed form, so that no epochs are needed."""
    import torch

    from ..network.build import Assembled, plan
    from ..network.fit import in_closed_form

    for arch in _samples(draft.space):
        try:
            with torch.device("meta"):
                net = Assembled(plan(draft.space, arch, draft.task, draft.network.size))
            return in_closed_form(net)
        except InvalidArchitecture:
            continue
    return False


def _schedule(
    draft: Draft, *, epochs: float, horizon: int, timeout: float, **more: Any
) -> Schedule:
    """Return a schedule in which what the user or the recipe asked for stands."""
    asked = draft.asked
    return Schedule(
        epochs=epochs if asked.epochs is None else asked.epochs,
        timeout=timeout if asked.timeout is None else asked.timeout,
        horizon=horizon if asked.horizon is None else asked.horizon,
        **more,
    )


def _for_shared_weights(draft: Draft, budget: RunBudget, search: float | None) -> Setup:
    """Return the setup of a search on shared weights: their epochs, and the batches of each."""
    parts, task, seed = draft.parts, draft.task, draft.request.seed
    asked = draft.asked
    per_epoch = rehearsal.per_epoch(len(task.train), parts.estimator.settings, default=0.5)
    batches = parts.strategy.settings.get("batches", per_epoch)
    threads, measured = 1, {}  # two on a busy machine may take ten times as long as one

    def with_batches(count: int) -> Parts:
        return parts.having("strategy", batches=count)

    def fresh(horizon: int, count: int) -> Any:
        return make_strategy(
            with_batches(count),
            draft.space,
            draft.facts,
            seed=seed,
            epochs=float(horizon),
            horizon=horizon,
        )

    def with_steps(strategy: Any, count: int) -> Draft:
        return draft.having(with_batches(count).having("estimator", steps=strategy.train_batches))

    if asked.epochs is not None:
        horizon = max(1, round(asked.epochs))
    elif search is None:
        assert budget.trials is not None
        horizon = max(1, budget.trials - fresh(1, batches).more_trials)
    else:
        rehearsed = fresh(rehearsal.REHEARSED, batches)
        context = with_steps(rehearsed, batches).context()

        def answer(candidate: Candidate) -> Result:
            return evaluate(context, candidate, {}).result

        first = fresh(rehearsal.REHEARSED, batches)
        threads = rehearsal.faster(first, answer, (1, cores()), using_threads, search)
        with using_threads(threads):
            pace = rehearsal.rehearse(rehearsed, answer, batches=batches, seconds=search)
        horizon, batches = rehearsal.fitting(
            search, pace, batches=batches, more_trials=rehearsed.more_trials
        )
        measured = {
            "seconds_per_batch": round(pace.batch, 5),
            "seconds_per_trial": round(pace.trial, 5),
        }
    settled = with_steps(fresh(horizon, batches), batches)
    settled.context()  # refuses now what it would refuse later
    schedule = Schedule(
        epochs=float(horizon),
        timeout=PATIENCE if asked.timeout is None else asked.timeout,
        horizon=horizon,
        search_seconds=search,
        threads=threads,
        measured=measured,
    )
    return Setup.of(settled, schedule, budget)


def _measuring(setup: Setup) -> Setup:
    """Return a setup whose estimator measures what the strategy looks at, and only that.

    Raises:
        SettingError: for a measure that the estimator does not have.
    """
    asked, estimator = {*setup.objectives, *setup.reads}, setup.parts.estimator
    if "measures" in settable.of_estimator(estimator.make):
        already = estimator.settings.get("measures", ())
        if wanted := sorted({*already, *(asked & MEASURED)}):
            return setup.having(setup.parts.having("estimator", measures=wanted))
    elif without := sorted(asked & MEASURED - {"flops"}):
        raise SettingError(
            f"estimator {estimator.name} does not measure {without[0]}: let the strategy look at the "
            "score, params or flops alone, or use --estimator full"
        )
    return setup


def _pace_of_evaluations(draft: Draft) -> float:
    """Return the mean duration of a random architecture's evaluation, measured now. [s]"""
    estimator = draft.context().estimator
    archs = [draft.space.sample(stream("pace", index)) for index in range(PACED)]
    start = time.monotonic()
    for index, arch in enumerate(archs):
        estimator.evaluate(Candidate(index, arch, budget=Budget(epochs=0.0)), {})
    return (time.monotonic() - start) / PACED


def _trials_of_a_table(budget: RunBudget, table: Any) -> int:
    """Return the trials that a budget allows, by the table's mean cost. [count]"""
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


def _typical_pace(draft: Draft, search: float) -> float:
    """Return the mean pace of the first three random architectures that can be trained. [s]

    On a machine so busy that this takes a good part of the search, fewer must do.

    Args:
        draft: of the run.
        search: seconds of the search. [s]
    """
    network, end = draft.network, time.monotonic() + TYPICAL_SHARE * search
    found: list[float] = []
    for arch in _samples(draft.space):
        try:
            found.append(
                pace(
                    draft.space,
                    arch,
                    draft.task,
                    size=network.size,
                    hyper=network.hyper,
                    device=draft.request.device,
                )
            )
        except (CandidateFailed, InvalidArchitecture) as error:
            reason = error
        if len(found) == 3 or (found and time.monotonic() > end):
            break
    if not found:
        raise SettingError(
            f"none of 20 random architectures can be trained, the last because {reason}: "
            "other settings of the space or the training may help"
        )
    return statistics.mean(found)


def _samples(space: Space) -> Iterator[Arch]:
    """Yield random architectures to measure, as many as are tried."""
    return (space.sample(stream("pace", index)) for index in range(20))
