"""The evolution of networks that read a target in one way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .. import registry
from ..config import recipes
from ..engine.evaluators import InMemory
from ..engine.loop import Search
from ..engine.store import Memory
from ..errors import CandidateFailed
from ..estimator import Evaluation
from ..network.cost import params
from ..network.data import loader
from ..network.fit import fit
from ..network.train import Hyperparameters
from ..space import Space
from ..task import Part, Task
from ..task.targets import measured
from ..types import Candidate, Result, State, stream
from .readings import KINDS, Reading, code_lengths

STEPS = 150.0  # of the longest training
HYPER = Hyperparameters(
    optimizer="adamw", lr=5e-3, batch=32, warmup=0.1, label_smoothing=0.0, weight_decay=1e-2
)


class CodeLength:
    """Trains a network under one reading; its score is minus the code of the choosing rows. [nats]

    A result's metrics hold ``codes``, those of the judging rows, which nothing has chosen by. [nats]

    Args:
        space: builds what it may be asked for.
        task: of `task_of`; its training part alone is learnt from.
        reading: of the target.
        seed: of the search; with the reading and the candidate's id it seeds weights and order.
    """

    gives = frozenset({"score"})
    needs: frozenset[str] = frozenset()
    kinds = frozenset({"numbers"})
    stateful = False

    def __init__(self, space: Space, task: Task, reading: Reading, *, seed: str) -> None:
        self.space, self.task, self.reading, self.seed = space, task, reading, seed
        self.train = loader(task, task.train)

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Train from fresh weights and measure; inherited ones are not used.

        Raises:
            CandidateFailed: when the loss or the outputs are no longer finite numbers.
        """
        start = time.monotonic()
        seed = stream("identify", self.seed, self.reading.name, candidate.id).getrandbits(31)
        made = fit(
            self.space,
            candidate.arch,
            self.task,
            self.train,
            hyper=HYPER,
            epochs=candidate.budget.epochs,
            seed=seed,
        )
        mean, codes = code_lengths(self.reading, self._outputs(made.net))
        result = Result(
            candidate,
            -mean,
            metrics={"codes": codes.tolist()},
            seconds=time.monotonic() - start,
            params=params(made.net),
            epochs=made.done.epochs,
            total_epochs=made.total_epochs,
            seed=seed,
            threads=torch.get_num_threads(),
        )
        return Evaluation(result)

    def _outputs(self, net: nn.Module) -> np.ndarray:
        """Return the outputs of a network for all rows [N, outputs], unseen ones included."""
        net.eval()
        with torch.inference_mode():
            outputs = net(torch.from_numpy(self.reading.rows.x)).double().numpy()
        if not np.isfinite(outputs).all():
            raise CandidateFailed("the network's outputs are not finite")
        return np.asarray(outputs)


class Reader(NamedTuple):
    """Holds the estimator of one reading."""

    estimator: CodeLength


def task_of(reading: Reading) -> Task:
    """Return the task of learning the training rows under a reading; it has no other part."""
    rows = reading.rows
    own = rows.x[rows.part == 0]
    return Task(
        name="reading",
        kind="numbers",
        input_shape=rows.x.shape[1:],
        outputs=reading.outputs,
        classes=(),
        train=Part(own, reading.y),
        validation=Part(own[:0], reading.y[:0]),
        test=None,
        loss=measured(KINDS[reading.name])["loss"],
    )


def evolved(
    reading: Reading, *, horizon: int, trials: int, least: int, until: float, seed: str
) -> list[Result]:
    """Return the results of one search for networks that read a target in one way, in their order.

    Args:
        reading: of the target.
        horizon: trials that its evolution is planned for. [count]
        trials: most that are made. [count]
        least: made however late it is, if `trials` allows as many. [count]
        until: `time.monotonic()` from which no further one begins. [s]
        seed: of the networks and their evolution.
    """
    task, row = task_of(reading), recipes.find("identify")
    space: Space = registry.make_space(row.space, task.facts, row.settings["space"])
    strategy = registry.find("strategy", row.strategy)(
        space,
        epochs=STEPS / max(1, len(task.train) // HYPER.batch),
        horizon=horizon,
        seed=stream("identify", seed, reading.name).getrandbits(31),
        **row.settings["strategy"],
    )
    told: list[Result] = []
    Search(
        InMemory(Reader(CodeLength(space, task, reading, seed=seed))),
        trials=trials,
        listen=told.append,
        over=lambda: len(told) >= least and time.monotonic() > until,
    ).run(strategy, Memory())
    return told
