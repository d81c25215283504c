"""A proxy first, then full training: steps are scored by a proxy, trials are trained.

For strategies that screen many architectures cheaply before they ask for a few expensive trials, such
as `strategy.common.warm`. A step is asked with an architecture and costs one batch; it cannot win, and
proxy values are never compared with scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..network.build import Size
from ..network.train import Hyperparameters
from ..space import Space
from ..task import Task
from ..types import Candidate, State
from . import Evaluation
from .full import Full
from .zerocost import ZeroCost


class Cascade:
    """Scores steps as `ZeroCost` does and trials as `Full` does.

    Args:
        space: the search space of the candidates.
        task: train and validation parts are used, never test; the proxy sees the training part only.
        proxy: a name of `network.proxies.PROXIES`.
        proxy_batch: batch size of the proxy. [count, >= 2]
        size: of the network, for both.
        hyper: hyperparameters of the trials' training.
        keep: whether trials return their trained weights.
        measures: further measurements of every trained network, as in `Full`. [names]
        seed: of the run.
        device: where to score and train.

    Raises:
        SettingError: for an unknown proxy, or a `proxy_batch` below 2.
    """

    gives = frozenset({"proxy", "score", "weights"})
    needs: frozenset[str] = frozenset()
    kinds = ZeroCost.kinds
    stateful = False

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        proxy: str = "synflow",
        proxy_batch: int = 64,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        keep: bool = False,
        measures: Sequence[str] = (),
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.first = ZeroCost(
            space, task, proxy=proxy, batch=proxy_batch, size=size, seed=seed, device=device
        )
        own: dict[str, Any] = {"size": size, "hyper": hyper, "keep": keep, "measures": measures}
        self.then = Full(space, task, seed=seed, device=device, **own)

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Score a step by the proxy; train a trial and score it on the validation part."""
        stage = self.first if candidate.kind == "step" else self.then
        return stage.evaluate(candidate, inherited)
