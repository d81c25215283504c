"""Equal seconds: what a network's training takes, measured once, and what follows from it.

Epochs of equal number favour slow networks, since a user waits for seconds. Where an estimator trains
for equal seconds, a budget counts the epochs of a usual network of the space, and every other one gets
as many of its own as take as long by the `Paces` that are measured here. They go into ``config.yaml``,
so a run is resumed with those that it began with.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from ..errors import CandidateFailed, InvalidArchitecture, SettingError
from ..execute.worker import using_threads
from ..network.paces import USUAL, Paces, Work, fitted, work_of
from ..space import Space, capabilities
from ..task import Part, Task
from ..types import Arch, stream
from .clock import search_share
from .defaults import at_most
from .parts import make_strategy
from .settings import RunBudget
from .setup import Draft

SAMPLED = 8  # random networks whose work tells what is usual in a space
FEWEST_PACED = 4  # networks whose training is measured, however long it takes
PACED_STEPS = 3  # of each
PACING_SHARE = 0.04  # of the search: for measuring more of them
FINAL_PART = 0.7  # of the delivery: for the training of the winner
WANTED_EPOCHS = 4  # of the final training, at least: slower networks are refused
WANTED_STEPS = 1000  # the same in steps: a small data set has few in an epoch
THINNER = 8  # times the cost of a candidate that is delivered wider, where its space can widen it
HORIZON = 50  # trials for which a strategy is asked how long they are on average
SIZES = 4  # steps in which progressive resizing shows every size


def with_paces(draft: Draft, budget: RunBudget, search: float | None) -> Draft:
    """Return a draft whose estimator knows how fast networks train, and whose space is not too slow.

    A budget in seconds measures it on known members and samples of the space, small and large ones in
    turn, for a small share of the time; without a clock the usual paces hold.
    """
    facts = draft.facts
    archs = [draft.space.sample(stream("pace", index)) for index in range(SAMPLED)]
    if "known" in draft.space.gives:
        archs += capabilities.known(draft.space).known(facts).values()
    network = draft.network
    how: Any = {"size": network.size, "hyper": network.hyper}
    works = [(work_of(draft.space, arch, facts, **how), arch) for arch in archs]
    samples = [work for work, _ in works[:SAMPLED]]
    paces = USUAL if search is None else _measured_paces(draft, works, PACING_SHARE * search)
    limit = slowest(draft, budget)
    if limit is not None and "sized" in draft.space.gives and not _says_size(draft):
        per_second = max(work.flops / 2 / paces.of(work) for work, _ in works)
        draft = _within(draft, int(limit * per_second))
        again = [draft.space.sample(stream("pace", index)) for index in range(SAMPLED)]
        samples = [work_of(draft.space, arch, facts, **how) for arch in again]
    one = statistics.median(map(paces.of, samples))
    own = "lengths" in draft.space.gives
    most = at_most("most", draft.task, network.hyper.batch, own=own)
    pace = paces.to_json() | {"unit": one, "most": most}
    return draft.having(draft.parts.having("estimator", pace=pace))


def _within(draft: Draft, multiply_adds: int) -> Draft:
    """Return a draft whose networks have at most so many multiply-adds when they are delivered.

    Short trainings of large networks tell little, and small networks are ahead in them. So where the
    space can widen its networks, candidates are thin, and see the data in the search about as often as
    the wide ones in the final training: a smaller proxy of the network, not of its training (Zoph et
    al. 2017). Where networks cannot be as thin, they are searched at full size, and where not even the
    smallest is as fast, the draft stays as it is.
    """
    told = {*draft.request.said("train"), *draft.request.said("estimator")}
    thins = "widened" in draft.space.gives and "widen" not in told
    for thinner in (THINNER, 1) if thins else (1,):
        within = capabilities.sized(draft.space).sized(max(1, multiply_adds // thinner))
        smaller = draft.having(draft.parts.having("space", **within))
        if thinner != 1:
            factor = round(math.sqrt(thinner), 2)
            smaller = smaller.having(smaller.parts, draft.train.having(widen=factor))
        if _has_networks(smaller):
            return smaller
    return draft


def _has_networks(draft: Draft) -> bool:
    """Whether the space of a draft has networks, and known members if its strategy asks for some."""
    try:
        draft.space.sample(stream("pace", 0))
    except SettingError:
        return False
    return not _begins_with_known(draft) or bool(capabilities.known(draft.space).known(draft.facts))


def _begins_with_known(draft: Draft) -> bool:
    return bool(draft.parts.strategy.settings.get("known"))


def _measured_paces(draft: Draft, works: Sequence[tuple[Work, Arch]], seconds: float) -> Paces:
    """Return the paces of trainings that are measured now, for about so many seconds."""
    ordered = sorted(works, key=lambda pair: pair[0].flops)
    half = len(ordered) // 2
    pairs = zip(ordered[:half], reversed(ordered[half:]), strict=False)
    end = time.monotonic() + seconds
    seen: list[tuple[Work, float]] = []
    for work, arch in itertools.chain.from_iterable(pairs):
        if len(seen) >= FEWEST_PACED and time.monotonic() > end:
            break
        with contextlib.suppress(CandidateFailed, InvalidArchitecture):
            network, device = draft.network, draft.request.device
            how: Any = {"size": network.size, "hyper": network.hyper, "device": device}
            seen.append((work, pace(draft.space, arch, draft.task, steps=PACED_STEPS, **how)))
    return fitted(seen) if seen else USUAL


def unit(draft: Draft) -> float:
    """Return the seconds per example of the network whose epochs are counted. [s]"""
    return float(draft.parts.estimator.settings["pace"]["unit"])


def slowest(draft: Draft, budget: RunBudget) -> float | None:
    """Return the pace of a network that the final training can show the data often enough. [s]"""
    if budget.seconds is None:
        return None
    seconds = budget.seconds * (1 - search_share(draft)) * FINAL_PART
    examples = len(draft.task.train) + len(draft.task.validation)
    return seconds / (wanted_epochs(draft.task, draft.network.hyper.batch) * examples)


def slowest_allowed(draft: Draft, budget: RunBudget) -> float | None:
    """Return the pace from which on networks are refused. [s]

    Never that of a usual network or of the fastest known member: however short the budget is, some
    networks of the space must be tried.
    """
    limit = slowest(draft, budget)
    if limit is None:
        return None
    network, paces = draft.network, draft.paces or USUAL
    how: Any = {"size": network.size, "hyper": network.hyper}
    members = (
        capabilities.known(draft.space).known(draft.facts) if _begins_with_known(draft) else {}
    )
    known = [paces.of(work_of(draft.space, arch, draft.facts, **how)) for arch in members.values()]
    return max(limit, unit(draft), min(known, default=0.0))


def wanted_epochs(task: Task, batch: int) -> float:
    """Return the final training that a network must have time for, or it is too large. [epochs]"""
    return max(WANTED_EPOCHS, WANTED_STEPS / max(1, len(task.train) // batch))


def _says_size(draft: Draft) -> bool:
    return "multiply_adds" in draft.parts.space.settings


def mean_length(draft: Draft) -> float:
    """Return the mean length of a trial as a share of the full one, as the strategy has it."""
    strategy = make_strategy(
        draft.parts, draft.space, draft.facts, seed=draft.request.seed, epochs=1.0, horizon=HORIZON
    )
    return float(getattr(strategy, "mean_length", 1.0))


def pace(
    space: Space,
    arch: Arch,
    task: Task,
    *,
    size: Any,
    hyper: Any,
    device: str = "cpu",
    threads: int = 1,
    steps: int = 8,
) -> float:
    """Return the training time per example, measured over a few steps now. [s]

    It is 0 where nothing is trained in steps, because the network is found in closed form.
    """
    from ..network.data import loader
    from ..network.fit import fit, in_closed_form, with_own_training
    from ..network.train import train

    count = min(len(task.train), steps * hyper.batch)
    part = Part(task.train.x[:count], task.train.y[:count])
    data = loader(task, part, device=device)
    with using_threads(threads):  # as a worker has; what runs in this process keeps its own
        # The first step with images of a size takes twice as long, as it finds its memory and the
        # kernels are made: a training that meets every size comes first, and is not measured.
        sizes = SIZES if with_own_training(hyper, space, arch).resize < 1 else 1
        first = min(1.0, sizes * hyper.batch / max(1, count))
        made = fit(space, arch, task, data, size=size, hyper=hyper, epochs=first)
        if in_closed_form(made.net):
            return 0.0
        done = train(made.net, data, epochs=1, hyper=made.hyper, seed=0)
    return float(done.seconds / (done.epochs * count))


def look(space: Space, arch: Arch, task: Task, *, size: Any, device: str = "cpu") -> float:
    """Return the time per example and view of a forward pass, measured now with one thread. [s]"""
    from ..network.build import build
    from ..network.fit import look_seconds

    with using_threads(1):
        return look_seconds(build(space, arch, task, size), task, device=device)
