"""The members of an ensemble: trained networks, their plan as one, and their predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..config.defaults import MOST_FINALISTS
from ..config.setup import Setup
from ..engine.limits import beyond
from ..engine.weights import Weights
from ..network.build import Assembled, Size, plan, viewed
from ..network.cost import Cost, cost, latency
from ..network.data import loader
from ..network.fit import load
from ..network.joined import joined, joined_state
from ..network.plan import Plan
from ..network.train import place
from ..ranking import distinct
from ..space import Space
from ..task import Part
from ..types import Arch, Result, State
from .controls import Controls
from .ensemble import Predictions
from .own import own_weights, state_of
from .timing import LOOK, Lengths
from .trainings import Trainings

BATCH = 250  # examples of a forward pass
ANSWERS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {  # of outputs, by `Task.link`
    "softmax": lambda y: y.softmax(1),
    "sigmoid": torch.sigmoid,
    "identity": lambda y: y.flatten(1),
}


@dataclass(frozen=True)
class Member:
    """A trained network that may be averaged with others.

    Args:
        weights: name under which they are stored.
        arch: of the network.
        size: of the network; its views are those of the whole.
        space: of the architecture; None is the run's.
        candidate: its id; None for one that no search found.
        epochs: behind its weights. [epochs]
        seconds: of the training that gave them. [s]
        pace: of its training at the final size. [s per example]
        times: how often it counts in the mean. [count]
        reseeded: whether it is the winner's architecture once more, from another seed.
    """

    weights: str
    arch: Arch
    size: Size
    space: Space | None = None
    candidate: int | None = None
    epochs: float = 0.0
    seconds: float = 0.0
    pace: float = 0.0
    times: int = 1
    reseeded: bool = False

    @property
    def final_name(self) -> str:
        """The name of its final training, if it gets one for the ensemble."""
        named = self.reseeded or self.candidate is None
        return f"member-{self.weights if named else self.candidate}"


# ---- as one network ------------------------------------------------------------------------------


def plan_of(setup: Setup, members: Sequence[Member], views: int) -> Plan:
    """Return the plan of the mean of some members; of a list of one, of that network.

    Args:
        setup: of the run, with its data.
        members: in the order in which they are called.
        views: of every image, which all members look at. [count]
    """
    task = setup.task
    plans = [
        plan(each.space or setup.space, each.arch, task, replace(each.size, views=1))
        for each in members
    ]
    times = [each.times for each in members]
    whole = joined(plans, times, link=task.link)
    return viewed(whole, replace(members[0].size, views=views), task)


def weights_of(weights: Weights, members: Sequence[Member]) -> State:
    """Return the weights of the network of `plan_of`."""
    return joined_state([state_of(weights, each.weights) for each in members])


def breaks(setup: Setup, members: Sequence[Member], views: int) -> str:
    """Return the user's limit that the mean of some members breaks, in words; empty if none."""
    if not setup.request.limits:
        return ""
    return beyond(setup.request, plan_of(setup, members, views), setup.task) or ""


class Fitting:
    """The user's limits, for several members together.

    Parameters, FLOPs and times add up, so each network is counted and measured once.

    Args:
        setup: of the run, with its data.
        members: that may be chosen.
        views: of every image. [count]
    """

    def __init__(self, setup: Setup, members: Sequence[Member], views: int) -> None:
        self.request = setup.request
        self.costs: list[Cost] = []
        self.times: list[float] = []  # [ms]
        if not self.request.limits:
            return
        for each in members:
            made = plan_of(setup, [replace(each, times=1)], views)
            self.costs.append(cost(made, setup.task))
            timed = self.request.max_latency_ms is not None
            self.times.append(1000 * latency(Assembled(made), setup.task) if timed else 0.0)

    def __call__(self, which: frozenset[int]) -> bool:
        """Whether these members, by their places, are allowed together."""
        if not self.request.limits:
            return True
        most = (self.request.max_params, self.request.max_flops, self.request.max_latency_ms)
        sums = (
            sum(self.costs[each].params for each in which),
            sum(self.costs[each].flops for each in which),
            sum(self.times[each] for each in which),
        )
        return all(limit is None or sum_ <= limit for limit, sum_ in zip(most, sums, strict=True))


# ---- what was trained ----------------------------------------------------------------------------


def trained(
    setup: Setup,
    weights: Weights,
    winner: Result,
    results: Sequence[Result],
    trainings: Trainings,
    lengths: Lengths,
    controls: Controls,
) -> list[Member]:
    """Return the networks that were trained on the training part alone and kept, the winner first.

    Without the weights of the winner there are none. They are the best few candidates of the search,
    each with the better of its weights, and the controls that were trained beside the finalists.
    """
    few = max(MOST_FINALISTS, setup.train.finalists or 0)
    best = distinct(results, setup.space, few)
    others = [each for each in best if each.candidate.id != winner.candidate.id]
    found = []
    for result in [winner, *others]:
        id = result.candidate.id
        own = own_weights(setup, weights, result, trainings.known(f"finalist-{id}"))
        if own is not None:
            size = replace(own.size, views=1)
            lasted = (own.total_epochs, own.train_seconds, lengths.example(result))
            found.append(Member(own.name, result.candidate.arch, size, None, id, *lasted))
        elif result is winner:
            return []
    for name, what in controls.what(winner).items() if found else ():
        numbers = trainings.known(name)
        if numbers is not None and numbers["val"] is not None and weights.has(name):
            found.append(_of_control(setup, name, what, numbers))
    return found


def _of_control(
    setup: Setup, name: str, what: Mapping[str, Any], numbers: Mapping[str, Any]
) -> Member:
    size = replace(what.get("size", setup.train.network.size), views=1)
    seconds, epochs = numbers["train_seconds"], numbers["epochs"]
    pace = seconds / max(1e-9, epochs * numbers["examples"])
    lasted = (numbers["total_epochs"], seconds, pace)
    return Member(name, what["arch"], size, what.get("space"), None, *lasted)


def reading(setup: Setup, members: Sequence[Member], part: Part | None, views: int = 1) -> float:
    """Return the time in which the members predict a part of the data, all views of it. [s]"""
    share = LOOK[setup.train.network.hyper.precision] * views
    return share * sum(each.pace for each in members) * (0 if part is None else len(part))


def predictions(setup: Setup, weights: Weights, members: Sequence[Member]) -> Predictions:
    """Return the predictions of the members for the validation part."""
    task = setup.task
    values = [_outputs(setup, weights, each, task.validation) for each in members]
    part, learnt = task.validation, len(task.train)
    bound = task.division.bound
    own = None if bound is None else bound[learnt : learnt + len(part)]
    how: Any = {"bound": own, "weight": part.weight, "labels": bool(task.labels)}
    return Predictions(np.stack(values), np.asarray(part.y), **how)


def _outputs(setup: Setup, weights: Weights, member: Member, part: Part) -> np.ndarray:
    """Return the probabilities or quantities that a member gives for a part [rows, outputs]."""
    task, device = setup.task, setup.request.device
    net = Assembled(plan_of(setup, [member], 1))
    load(net, state_of(weights, member.weights))
    data = loader(task, part, device=device)
    place(net.eval(), data.device)
    with torch.inference_mode():
        y = torch.cat([net(x).double() for x, _ in data.in_order(BATCH)])
    found: np.ndarray = ANSWERS[task.link](y).cpu().numpy()
    return found
