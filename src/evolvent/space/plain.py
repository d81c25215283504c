"""The hand-made control: one plain network for every kind of data, in any width. Nothing is searched.

Every run trains it beside its winner, at about the winner's size: a search that cannot beat it was not
worth its time. An architecture is ``(width,)``; for running text also
``(width, "gru")``.
"""

from __future__ import annotations

import random

from ..types import Arch
from . import Move
from .drawing import Drawing, Sketch


class Plain:
    """Widths of the plain network.

    Args:
        smallest: width. [channels or units]
        largest: width. [channels or units]
    """

    family = "plain"
    kinds = frozenset({"image", "numbers", "text", "series", "language"})
    gives = frozenset({"drawing"})

    def __init__(self, *, smallest: int = 2, largest: int = 256) -> None:
        self.smallest, self.largest = smallest, largest

    def sample(self, rng: random.Random) -> Arch:
        """Return a width."""
        return (rng.randint(self.smallest, self.largest),)

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Return a neighbouring width."""
        up = arch[0] < self.largest and (arch[0] == self.smallest or rng.random() < 0.5)
        return Move((arch[0] + (1 if up else -1),), "width")

    def drawing(self, arch: Arch) -> Drawing:
        """Return the pattern of the network: blocks that get wider as the feature maps get smaller."""
        sketch = Sketch()
        first = sketch.node("input", "input", "input")
        block = sketch.node("block", f"block of width {arch[0]}", "convolution")
        more = sketch.node("more", "further blocks, made by hand", "convolution")
        last = sketch.node("output", "output", "output")
        for source, target in ((first, block), (block, more), (more, last)):
            sketch.edge(source, target)
        return sketch.done()
