"""Train every candidate from scratch for its epochs, then score it on the validation part.

The oldest and most honest estimator. Its settings allow low fidelity: fewer epochs, a small proxy
network, part of the data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import SettingError, unknown
from ..network.build import Size, plan
from ..network.cost import cost, latency, params
from ..network.data import loader
from ..network.fit import Beginning, fit, load, scored, trained_epochs
from ..network.losses import description_length
from ..network.paces import Paces, work_of
from ..network.train import Hyperparameters
from ..space import Space
from ..task import Task
from ..types import Candidate, Result, State, stream
from . import Evaluation

EQUAL = ("epochs", "seconds")
MEASURES = ("flops", "latency_ms", "description_length")  # of a trained network, if asked for


class Full:
    """Trains from fresh weights, or from a checkpoint of the same architecture.

    Args:
        space: the search space of the candidates.
        task: train and validation parts are used, never test.
        size: of the proxy network.
        hyper: hyperparameters of the training.
        keep: whether to return the trained weights, for strategies that continue from them.
        measures: further measurements of every trained network, out of `MEASURES`: ``flops``;
            ``latency_ms``, the median of a few forward passes of one input, which is noisy, because
            other processes run on this machine; ``description_length``, what its errors on the
            validation part and its parameters take to be written down, per example [nats]. [names]
        equal: of candidates of equal budgets: ``epochs``, or ``seconds`` of training, so that a fast
            network sees the data more often than a slow one.
        pace: of equal seconds: the `Paces` of this machine by name, with ``unit``, the seconds per
            example of the network whose epochs a budget counts, and ``most``, the longest training
            that is worth it. [s, epochs]
        seed: of the run; with the candidate's id it seeds weights, order and augmentation, so that
            an architecture that is proposed again is trained anew.
        device: where to train.

    Raises:
        SettingError: for an unknown measure or equality, and for equal seconds without paces.
    """

    gives = frozenset({"score", "weights"})
    needs: frozenset[str] = frozenset()
    kinds = frozenset({"image", "numbers", "text", "series", "language"})
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
        equal: str = "epochs",
        pace: Mapping[str, float] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.space, self.task, self.size, self.hyper = space, task, size, hyper
        for name in measures:
            if name not in MEASURES:
                raise unknown("measure", name, MEASURES)
        if equal not in EQUAL:
            raise unknown("equal", equal, EQUAL)
        self.pace = dict(pace or {})
        if equal == "seconds" and not self.pace:
            raise SettingError("equal=seconds needs pace, which a run measures: leave it out here")
        self.keep, self.measures, self.seed, self.device = keep, measures, seed, device
        self.train = loader(task, task.train, device=device)
        self.validation = loader(task, task.validation, device=device)

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train for the epochs that `begin` returns, then score on the validation part."""
        start = time.monotonic()
        seed = stream(self.seed, "train", candidate.id).getrandbits(31)
        made = fit(
            self.space,
            candidate.arch,
            self.task,
            self.train,
            size=self.size,
            hyper=self.hyper,
            epochs=self._epochs(candidate),
            begin=lambda net, epochs: self.begin(net, epochs, inherited),
            seed=seed,
        )
        net, done = made.net, made.done
        metrics: dict[str, Any] = dict(scored(net, self.task, self.validation))
        score = metrics[self.task.metric]
        more: dict[str, Any] = {"curve": done.curve, "train_seconds": round(done.seconds, 4)}
        if "latency_ms" in self.measures:
            more["latency_ms"] = 1000.0 * latency(net, self.task)
        if "description_length" in self.measures:
            more["description_length"] = description_length(
                self.task, metrics["loss"], params(net), len(self.task.validation)
            )
        flops = None
        if "flops" in self.measures:  # counting takes about as long as an epoch on small data
            flops = cost(plan(self.space, candidate.arch, self.task, self.size), self.task).flops
        result = Result(
            candidate,
            score,
            metrics=metrics | more | dict(made.begun.metrics),
            seconds=time.monotonic() - start,
            params=params(net),
            flops=flops,
            epochs=done.epochs,
            total_epochs=made.total_epochs,
            seed=seed,
            threads=torch.get_num_threads(),
        )
        return Evaluation(result, made.state if self.keep else None)

    def _epochs(self, candidate: Candidate) -> float:
        """Return the epochs of a candidate: those it asks for, or as many as take equally long."""
        asked = candidate.budget.epochs
        if not self.pace:
            return asked
        how: Any = {"size": self.size, "hyper": self.hyper}
        own = Paces.from_json(self.pace).of(work_of(self.space, candidate.arch, self.task, **how))
        return float(min(asked * self.pace["unit"] / own, self.pace["most"]))

    def begin(self, net: nn.Module, epochs: float, inherited: Mapping[int, State]) -> Beginning:
        """Load a checkpoint into `net`, if there is one; train up to so many epochs in all.

        Fresh weights train for all of the candidate's epochs. A checkpoint trains only for the
        epochs that it lacks, with a learning-rate schedule of its own.
        """
        before = 0.0
        for state in inherited.values():
            before = max(before, trained_epochs(state))
            load(net, state)
        return Beginning(before, max(0.0, epochs - before))
