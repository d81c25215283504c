"""Start from a parent's weights wherever they fit, and train on from there.

Source: Real et al. 2017, "Large-Scale Evolution of Image Classifiers" (1703.01041), section 3.4. A
tensor is inherited where identifier and shape match, never by position: spaces name their parameters
by genes, so an inserted layer does not shift the others. Tensors without a match start fresh. Weights
are copied, so training a child never changes its parent.

Papers leave two points open. Here the optimiser and its momentum start anew, because most children
train a different set of tensors from their parent. The running statistics of a batch norm are inherited
like weights, and adapt to the new network within some ten steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..network.build import Size
from ..network.fit import TRAINED, Beginning, trained_epochs
from ..network.train import Hyperparameters
from ..space import Space
from ..task import Task
from ..types import State
from .full import Full


class Inherit(Full):
    """Trains every candidate for its own epochs, starting from inherited weights.

    A result's `epochs` count its own training, its `total_epochs` that of its ancestors too; its
    metrics name the parameters that were copied and those that were fresh.

    Args:
        space: the search space of the candidates.
        task: train and validation parts are used, never test.
        size: of the network.
        hyper: hyperparameters of the training.
        statistics: whether the running statistics of batch norms are inherited.
        measures: further measurements of every trained network, as in `Full`. [names]
        seed: of the run; with the candidate's id it seeds fresh weights, order and augmentation.
        device: where to train.
    """

    gives = frozenset({"score", "weights", "inheritance"})

    def __init__(
        self,
        space: Space,
        task: Task,
        *,
        size: Size = Size(),
        hyper: Hyperparameters = Hyperparameters(),
        statistics: bool = True,
        measures: Sequence[str] = (),
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        own: dict[str, Any] = {"size": size, "hyper": hyper, "keep": True, "measures": measures}
        super().__init__(space, task, seed=seed, device=device, **own)
        self.statistics = statistics

    def begin(self, net: nn.Module, epochs: float, inherited: Mapping[int, State]) -> Beginning:
        """Copy the weights that fit into `net`; train for all of `epochs`."""
        copied, fresh = inherit(net, list(inherited.values()), statistics=self.statistics)
        before = max(map(trained_epochs, inherited.values()), default=0.0) if copied else 0.0
        record: dict[str, Any] = {"inherited": copied, "fresh": fresh}
        return Beginning(before, epochs, record)


def inherit(
    net: nn.Module, parents: list[State], *, statistics: bool = True
) -> tuple[list[str], list[str]]:
    """Copy tensors of `parents` into `net` where name and shape match, the first parent first.

    Args:
        net: the child, with fresh weights.
        parents: weights by name.
        statistics: whether to copy the buffers too: running means and variances.

    Returns:
        The names of the parameters that were copied, and of those that stayed fresh.
    """
    own = net.state_dict()
    parameters = {name for name, _ in net.named_parameters()}
    found: State = {}
    for name, value in own.items():
        for parent in parents if statistics or name in parameters else ():
            if name in parent and name != TRAINED and parent[name].shape == tuple(value.shape):
                found[name] = parent[name]
                break
    net.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in found.items()}, strict=False
    )
    return sorted(parameters & found.keys()), sorted(parameters - found.keys())
