"""Score networks that carry their weights by simulating a control task; nothing is trained.

A whole generation is simulated at once. The task defines how scoring and test differ: a strategy sees
the score only; `test` measures a network under conditions in which it was not scored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from ..network.build import many
from ..space import Space
from ..task.control import Control
from ..types import Arch, Candidate, Result, State
from . import Evaluation


class Simulation:
    """Scores networks by the task's own `score`.

    Args:
        space: of architectures that carry their weights.
        task: the control task.
        seed: not used: the simulations are deterministic.
    """

    gives = frozenset({"goal", "network", "score"})
    needs = frozenset({"weighted"})
    kinds = frozenset({"control"})
    stateful = False

    def __init__(self, space: Space, task: Control, *, seed: int = 0) -> None:
        self.space, self.task = space, task
        if task.tests:
            self.gives = self.gives | {"test"}

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the score of one candidate."""
        return self.evaluate_many([(candidate, inherited)])[0]

    def evaluate_many(
        self, asked: Sequence[tuple[Candidate, Mapping[int, State]]]
    ) -> list[Evaluation]:
        """Return the scores of candidates, each as if it were alone; seconds are shared evenly."""
        start = time.monotonic()
        candidates = [candidate for candidate, _ in asked]
        nets = many(self.space, [each.arch for each in candidates])
        found = self.task.score(nets)
        seconds = (time.monotonic() - start) / max(1, len(candidates))
        threads = torch.get_num_threads()
        return [
            Evaluation(
                Result(
                    candidate,
                    metrics[self.task.metric],
                    metrics=metrics,
                    seconds=seconds,
                    params=params,
                    threads=threads,
                )
            )
            for candidate, metrics, params in zip(candidates, found, nets.params, strict=True)
        ]

    def solved(self, result: Result) -> bool | None:
        """Whether a result solves the task; None where only `confirmed` can tell."""
        return self.task.solved(result.metrics)

    def confirmed(self, result: Result) -> bool:
        """Whether the network of a result solves the task; the check may take a while."""
        return self.task.confirmed(many(self.space, [result.candidate.arch]))

    def test(self, arch: Arch) -> float:
        """Return the test score of `arch`, under conditions in which it was not scored."""
        return self.task.test(many(self.space, [arch]))
