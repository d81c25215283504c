"""Train every candidate from scratch for its epochs, then score it on the validation part.

The oldest and most honest estimator; low fidelity (fewer epochs, a small proxy network, part of the
data) is a matter of its settings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..network.build import Size, build
from ..network.cost import params
from ..network.data import Resident
from ..network.train import Hyperparameters, evaluate, train
from ..space import Space, training
from ..task import Task
from ..types import Candidate, Result, State, stream
from . import Evaluation

TRAINED = "trained_epochs"  # a state says beside its weights how long they were trained


class Full:
    """Trains from fresh weights, or from a checkpoint of the same architecture.

    Args:
        space: builds what it may be asked for.
        task: train and validation parts are used, never test.
        size: of the proxy network.
        hyper: how it is trained.
        keep: whether to return the trained weights, for strategies that continue from them.
        seed: of the run; with the candidate's id it seeds weights, order and augmentation, so that
            an architecture that is proposed again is trained anew.
        device: where to train.
    """

    gives = frozenset({"score", "weights"})
    needs: frozenset[str] = frozenset()
    kinds = frozenset({"image"})
    stateful = False

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        keep: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.space, self.task, self.size, self.hyper = space, task, size, hyper
        self.keep, self.seed, self.device = keep, seed, device
        self.train = Resident(task, task.train, device=device)
        self.validation = Resident(task, task.validation, device=device)

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train up to ``candidate.budget.epochs`` in all and score on the validation part.

        Fresh weights train that long; inherited ones only what is missing, by a schedule of its own.
        """
        start = time.monotonic()
        seed = stream(self.seed, "train", candidate.id).getrandbits(31)
        net = build(self.space, candidate.arch, self.task, self.size, seed=seed)
        before = 0.0
        for state in inherited.values():
            before = max(before, float(state.get(TRAINED, np.zeros(()))))
            load(net, state)
        hyper = with_own_training(self.hyper, self.space, candidate.arch)
        rest = max(0.0, candidate.budget.epochs - before)  # a promotion trains the difference
        done = train(net, self.train, epochs=rest, hyper=hyper, seed=seed)
        metrics: dict[str, Any] = dict(evaluate(net, self.validation))
        score = metrics[self.task.metric]
        result = Result(
            candidate,
            score,
            metrics=metrics | {"curve": done.curve, "train_seconds": round(done.seconds, 4)},
            seconds=time.monotonic() - start,
            params=params(net),
            epochs=done.epochs,
            total_epochs=before + done.epochs,
            seed=seed,
            threads=torch.get_num_threads(),
        )
        if not self.keep:
            return Evaluation(result)
        return Evaluation(result, state_of(net) | {TRAINED: np.array(result.total_epochs)})


def with_own_training(hyper: Hyperparameters, space: Space, arch: Any) -> Hyperparameters:
    """Return `hyper` with what the architecture says about its own training."""
    return replace(hyper, **training(space, arch))


def state_of(net: torch.nn.Module) -> State:
    """Return a copy of the weights and statistics of `net` as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in net.state_dict().items()}


def load(net: torch.nn.Module, state: State) -> None:
    """Put weights of the same architecture into `net`."""
    net.load_state_dict(
        {name: torch.from_numpy(np.array(v)) for name, v in state.items() if name != TRAINED}
    )
