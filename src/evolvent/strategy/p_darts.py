"""P-DARTS: stages that prune operations, and two rules against skip connections.

Source: Chen, Xie, Wu, Tian 2019, "Progressive Differentiable Architecture Search: Bridging the Depth
Gap between Search and Evaluation" (1904.12760). Three stages with 8, 5 and 3 operations per edge, each
with fresh logits and 10 of 25 epochs in which the weights learn alone; dropout on skip connections, of
0, 0.4 and 0.7 at the start of a stage, that decays within it (section 3.3); and of the derived normal
cell at most two operations are skip connections: the weakest above that are taken out one by one, and
the cell derived anew. Adam with 6e-4.
What differs: the supernet does not become deeper from stage to stage (5, 11, 17 cells there), and keeps
its weights; dropout leaves whole skip connections out for a batch instead of entries of their output,
and decays linearly; ``none`` may be left over. Otherwise as in `relaxation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import SettingError
from ..types import Arch
from .common.relaxation import SKIPS, Relaxable, Rows, generator, of_softmax, skips_among, softmax
from .darts import Darts


class PDarts(Darts):
    """Gradient descent on a softmax of fewer and fewer operations. Arguments: see `Relaxation`, and

    Args:
        space: as there.
        keep: as there.
        warmup: as there.
        dropout: of skip connections at the start of each stage; the last also holds for further ones.
            [0..1) each
        skips: maximum skip connections in the first group of what is derived; None sets no maximum.
            [count]
        more: as there.
    """

    paper_steps = 11_700  # 3 x 15 epochs of 25,000 images, 96 at a time
    paper_lr = 6e-4
    restarts = True

    def __init__(
        self,
        space: Relaxable,
        *,
        keep: tuple[float, ...] = (1.0, 0.625, 0.375),
        warmup: float = 0.4,
        dropout: tuple[float, ...] = (0.0, 0.4, 0.7),
        skips: int | None = 2,
        **more: Any,
    ) -> None:
        for name, allowed, rule in (
            ("dropout", bool(dropout) and all(0 <= p < 1 for p in dropout), "in [0, 1) each"),
            ("skips", skips is None or skips >= 0, "at least 0"),
        ):
            if not allowed:
                raise SettingError(f"{name}={locals()[name]!r}: {rule}")
        self.dropout, self.skips = tuple(dropout), skips
        super().__init__(space, keep=keep, warmup=warmup, **more)

    def sent(self, id: int, *, judged: bool = False) -> Rows:
        """Return the softmax of the logits, without the skip connections dropped in step `id`."""
        return {name: softmax(self.logits[name]) * self._scales(name, id) for name in self.groups}

    def slope(self, name: str, gradient: np.ndarray, id: int, logits: np.ndarray) -> np.ndarray:
        """Return the gradient by the logits, none through a skip connection that was dropped."""
        return of_softmax(softmax(logits), gradient * self._scales(name, id))

    def _scales(self, name: str, id: int) -> np.ndarray:
        """Return factors of a group's entries [rows, columns]: 1, and of skip connections dropout's."""
        group = self.groups[name]
        found = np.ones((len(group.rows), len(group.columns)))
        progress = min(1.0, id / self.last) * len(self.keep) - self.stage
        rate = self.dropout[min(self.stage, len(self.dropout) - 1)] * (
            1 - min(1.0, max(0.0, progress))
        )
        kept = generator(self.seed, "dropped", name, id).random(len(group.rows)) >= rate
        for column, operation in enumerate(group.columns):
            if operation in SKIPS:
                found[:, column] = kept / (1 - rate)
        return found

    def derived(self) -> Arch:
        """Return the derived architecture, with no more skip connections than it may have."""
        rows = self.strengths()
        name, group = next(iter(self.groups.items()))
        columns = [place for place, operation in enumerate(group.columns) if operation in SKIPS]
        while True:
            arch = self.space.derive(rows)
            found = self.space.one_hot(arch)[name][:, columns]
            if self.skips is None or skips_among(self._operations(arch)) <= self.skips:
                return arch
            chosen = np.where(found > 0, rows[name][:, columns], np.inf)
            row, column = np.unravel_index(int(chosen.argmin()), chosen.shape)
            rows[name][row, columns[column]] = -1.0  # below whatever else may be chosen
