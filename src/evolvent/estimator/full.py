"""Train every candidate from scratch for its epochs, then score it on the validation part.

The oldest and most honest estimator. Its settings allow low fidelity: fewer epochs, a small proxy
network, part of the data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import unknown
from ..network.build import Size, build, plan
from ..network.cost import cost, latency, params
from ..network.data import loader
from ..network.train import Hyperparameters, evaluate, train
from ..space import Space, training
from ..task import Task
from ..types import Candidate, Result, State, stream
from . import Evaluation

MEASURES = ("flops", "latency_ms")  # of a trained network, if asked for
TRAINED = "trained_epochs"  # key of a state: epochs that its weights were trained for


@dataclass(frozen=True)
class Beginning:
    """The start of a network's training, and the epochs still to train.

    Args:
        before: epochs that its initial weights were already trained for. [epochs]
        epochs: epochs to train now. [epochs]
        metrics: metrics of the start for the result, such as the names of inherited parameters.
    """

    before: float
    epochs: float
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Full:
    """Trains from fresh weights, or from a checkpoint of the same architecture.

    Args:
        space: the search space of the candidates.
        task: train and validation parts are used, never test.
        size: of the proxy network.
        hyper: hyperparameters of the training.
        keep: whether to return the trained weights, for strategies that continue from them.
        measures: further measurements of every trained network, out of `MEASURES`: ``flops``, and
            ``latency_ms``, the median of a few forward passes of one input. Latency is measured on
            this machine while other processes run, so it is noisy. [names]
        seed: of the run; with the candidate's id it seeds weights, order and augmentation, so that
            an architecture that is proposed again is trained anew.
        device: where to train.

    Raises:
        SettingError: for an unknown measure.
    """

    gives = frozenset({"score", "weights"})
    needs: frozenset[str] = frozenset()
    kinds = frozenset({"image", "numbers", "text"})
    stateful = False

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        keep: bool = False,
        measures: Sequence[str] = (),
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.space, self.task, self.size, self.hyper = space, task, size, hyper
        for name in measures:
            if name not in MEASURES:
                raise unknown("measure", name, MEASURES)
        self.keep, self.measures, self.seed, self.device = keep, measures, seed, device
        self.train = loader(task, task.train, device=device)
        self.validation = loader(task, task.validation, device=device)

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train for the epochs that `begin` returns, then score on the validation part."""
        start = time.monotonic()
        seed = stream(self.seed, "train", candidate.id).getrandbits(31)
        net = build(self.space, candidate.arch, self.task, self.size, seed=seed)
        begun = self.begin(net, candidate, inherited)
        hyper = with_own_training(self.hyper, self.space, candidate.arch)
        done = train(net, self.train, epochs=begun.epochs, hyper=hyper, seed=seed)
        metrics: dict[str, Any] = dict(evaluate(net, self.validation))
        score = metrics[self.task.metric]
        more: dict[str, Any] = {"curve": done.curve, "train_seconds": round(done.seconds, 4)}
        if "latency_ms" in self.measures:
            more["latency_ms"] = 1000.0 * latency(net, self.task)
        flops = None
        if "flops" in self.measures:  # counting takes about as long as an epoch on small data
            flops = cost(plan(self.space, candidate.arch, self.task, self.size), self.task).flops
        result = Result(
            candidate,
            score,
            metrics=metrics | more | dict(begun.metrics),
            seconds=time.monotonic() - start,
            params=params(net),
            flops=flops,
            epochs=done.epochs,
            total_epochs=begun.before + done.epochs,
            seed=seed,
            threads=torch.get_num_threads(),
        )
        if not self.keep:
            return Evaluation(result)
        return Evaluation(result, state_of(net) | {TRAINED: np.array(result.total_epochs)})

    def begin(
        self, net: nn.Module, candidate: Candidate, inherited: Mapping[int, State]
    ) -> Beginning:
        """Load the inherited checkpoint into `net`, if there is one; return the epochs to train.

        Fresh weights train for all of the candidate's epochs. A checkpoint trains only for the
        epochs that it lacks, with a learning-rate schedule of its own.
        """
        before = 0.0
        for state in inherited.values():
            before = max(before, trained_epochs(state))
            load(net, state)
        return Beginning(before, max(0.0, candidate.budget.epochs - before))


def trained_epochs(state: State) -> float:
    """Return the epochs that the weights of `state` were trained for. [epochs]"""
    return float(state.get(TRAINED, np.zeros(())))


def with_own_training(hyper: Hyperparameters, space: Space, arch: Any) -> Hyperparameters:
    """Return `hyper`, overridden by the training settings that the architecture carries."""
    return replace(hyper, **training(space, arch))


def state_of(net: nn.Module) -> State:
    """Return a copy of the weights and statistics of `net` as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in net.state_dict().items()}


def load(net: nn.Module, state: State) -> None:
    """Load weights of the same architecture into `net`."""
    net.load_state_dict(
        {name: torch.from_numpy(np.array(v)) for name, v in state.items() if name != TRAINED}
    )
