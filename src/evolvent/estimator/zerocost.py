"""Score every candidate by a zero-cost proxy: one batch through fresh weights, no training.

It takes seconds instead of hours, and ranks more roughly. See `network/proxies.py` for the proxies and
their sources. A proxy's value is not an accuracy and has no unit; compare it within one run only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch

from ..errors import CandidateFailed, SettingError, unknown
from ..network.build import Size, build, plan
from ..network.cost import cost
from ..network.data import loader
from ..network.losses import LOSSES
from ..network.proxies import PROXIES, score
from ..network.train import place
from ..space import Space
from ..task import Part, Task
from ..types import Candidate, Result, State, stream
from . import Evaluation


class ZeroCost:
    """Scores untrained networks by a zero-cost proxy.

    Args:
        space: the search space of the candidates.
        task: one batch of its training part is used, the same for all candidates and without
            augmentation; never validation or test data.
        proxy: a name of `network.proxies.PROXIES`.
        batch: batch size; at most the size of the training part. [count, >= 2]
        size: of the network.
        seed: of the run; chooses the batch, and with the candidate's id it seeds the weights.
        device: where to score.

    Raises:
        SettingError: for an unknown proxy, or a batch below 2.
    """

    gives = frozenset({"score"})
    needs: frozenset[str] = frozenset()
    kinds = frozenset({"image"})
    stateful = False

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        proxy: str = "synflow",
        batch: int = 64,
        size: Size = Size(),
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if proxy not in PROXIES:
            raise unknown("proxy", proxy, PROXIES)
        if batch < 2:
            raise SettingError(f"batch={batch}: at least 2, since proxies compare inputs")
        self.space, self.task, self.size = space, task, size.bare()
        self.proxy, self.seed, self.device = proxy, seed, device
        order = list(range(len(task.train)))
        stream(seed, "proxy batch").shuffle(order)
        chosen = sorted(order[:batch])
        part = Part(task.train.x[chosen], task.train.y[chosen])
        self.x, self.y = loader(task, part, device=device).batch(slice(None))

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Score the network with fresh weights; inherited weights are not used.

        Raises:
            CandidateFailed: if the proxy's value is not a finite number.
        """
        start = time.monotonic()
        seed = stream(self.seed, "train", candidate.id).getrandbits(31)
        net = build(self.space, candidate.arch, self.task, self.size, seed=seed)
        place(net, self.device)
        value = score(self.proxy, net, self.x, self.y, loss=LOSSES[self.task.loss].mean)
        if not math.isfinite(value):
            raise CandidateFailed(f"{self.proxy} is {value} for this network, not a finite number")
        made = cost(plan(self.space, candidate.arch, self.task, self.size), self.task)
        result = Result(
            candidate,
            value,
            metrics={self.proxy: value},
            seconds=time.monotonic() - start,
            params=made.params,
            flops=made.flops,
            seed=seed,
            threads=torch.get_num_threads(),
        )
        return Evaluation(result)
