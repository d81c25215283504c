"""PC-DARTS: few channels go through operations, and edges into a node have weights of their own.

Source: Xu, Xie, Zhang, Chen, Qi, Tian, Xiong 2020, "PC-DARTS: Partial Channel Connections for
Memory-Efficient Architecture Search" (1907.05737). Partial channels (section 3.2) are a setting of the
supernet (``estimator.partial``, 4 in the paper). Edge normalisation (section 3.3) is here: a softmax
over the edges into a node, by which the softmax over the operations of each is multiplied, in the
search as in what is derived. The weights learn alone for 15 of 50 epochs; Adam with 6e-4.
What differs: as in `relaxation`; edges are normalised in spaces that say which rows a node sums up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .common.relaxation import Relaxable, Rows, generator, of_softmax, softmax
from .darts import Darts

EDGES = "edges of "  # a group, in the names of logits


class PcDarts(Darts):
    """Gradient descent on the softmax of operations times that of edges. Arguments: see `Relaxation`.

    Args:
        space: as there.
        warmup: as there.
        more: as there.
    """

    paper_steps = 3_430  # 35 epochs of 25,000 images, 256 at a time
    paper_lr = 6e-4

    def __init__(self, space: Relaxable, *, warmup: float = 0.3, **more: Any) -> None:
        super().__init__(space, warmup=warmup, **more)

    def initial(self) -> Rows:
        """Return the logits of operations, and those of edges [1, rows]."""
        drawn = super().initial()
        for name, group in self.groups.items():
            rng = generator(self.seed, "edges", self.stage, name)
            drawn[EDGES + name] = self.spread * rng.standard_normal((1, len(group.rows)))
        return drawn

    def sent(self, id: int, *, judged: bool = False) -> Rows:
        """Return the softmax of operations times that of the edges into their node."""
        return {
            name: self.edges(name, self.logits) * softmax(self.logits[name]) for name in self.groups
        }

    def slopes(self, gradients: Rows, id: int, logits: Rows) -> Rows:
        """Return the gradients by the logits of operations and of edges."""
        found = {}
        for name, gradient in gradients.items():
            rows, edges = softmax(logits[name]), self.edges(name, logits)
            found[name] = of_softmax(rows, edges * gradient)
            by_edges = (rows * gradient).sum(-1)[..., None, :]
            found[EDGES + name] = self._per_node(
                name, of_softmax, np.swapaxes(edges, -1, -2), by_edges
            )
        return found

    def edges(self, name: str, logits: Rows) -> np.ndarray:
        """Return the weights of a group's edges [..., rows, 1], which sum to 1 in every node."""
        return np.swapaxes(self._per_node(name, softmax, logits[EDGES + name]), -1, -2)

    def strengths(self) -> Rows:
        """Return the mixture, in which edges compete by their weights too."""
        return self.sent(self.asked)

    def _per_node(self, name: str, apply: Any, *rows: np.ndarray) -> np.ndarray:
        """Return a function of rows [..., 1, edges], node by node."""
        made = np.zeros(np.broadcast_shapes(*(each.shape for each in rows)))
        for places in self.groups[name].sums():
            made[..., places] = apply(*(each[..., places] for each in rows))
        return made
