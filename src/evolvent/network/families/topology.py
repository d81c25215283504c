"""The family ``topology``: genomes as networks, one to deliver or many side by side.

`genome.Genome` is the module that is exported, in float32. `Many` runs a whole population in float64
numpy: a node's sum is taken source by source, so that the outputs of a network do not depend, to the
last bit, on the other networks that are evaluated with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ...space.topology import Gene, Topology, hidden
from ...types import Arch, State
from ..build import Data, Size
from ..plan import Block, Plan, call

STEEPNESS = 4.9  # of the sigmoid, as in the paper


def plan(space: Topology, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plan of a genome; its size is in its genes, so `size` is not used."""
    line = call(
        "genome",
        "Genome",
        "x",
        inputs=len(space.inputs) - 1,
        outputs=len(space.outputs),
        nodes=len(space.outputs) + len(hidden(arch)),
        connections=len(_computing(arch)),
        depth=Many(space, [arch]).depth,
        recurrent=space.recurrent,
    )
    doc = "The network that evolved, its weights included."
    return Plan((Block("Network", ("x",), "genome", (line,), doc=doc),))


def state(space: Topology, arch: Arch) -> State:
    """Return the weights that the genes of `arch` hold, named as in its plan."""
    nodes = [*space.outputs, *hidden(arch)]
    sources = {name: at for at, name in enumerate([*space.inputs, *nodes])}
    targets = {name: at for at, name in enumerate(nodes)}
    genes = _computing(arch)
    return {
        "genome.weight": np.array([gene[2] for gene in genes], np.float32),
        "genome.source": np.array([sources[gene[0]] for gene in genes], np.int64),
        "genome.target": np.array([targets[gene[1]] for gene in genes], np.int64),
    }


def many(space: Topology, archs: Sequence[Arch]) -> Many:
    """Return the networks of genomes, to be run side by side."""
    return Many(space, archs)


def _computing(arch: Arch) -> list[Gene]:
    """Return the enabled genes; if there are none, the first gene with weight 0."""
    return [gene for gene in arch if gene[3]] or [(*arch[0][:2], 0.0, True)]


class Many:
    """Networks that run side by side, each on an input of its own.

    Args:
        space: of the genomes.
        archs: P genomes.

    ``given`` [nodes, inputs + 1, P] and ``passed`` [nodes, nodes, P] hold the weights, absent and
    disabled ones 0; ``values`` [nodes, P] the node values after the last call.
    """

    def __init__(self, space: Topology, archs: Sequence[Arch]) -> None:
        outputs, recurrent = space.outputs, space.recurrent
        fixed = {name: place for place, name in enumerate(space.inputs)}
        tables = [self._places(arch, outputs) for arch in archs]
        nodes = max(map(len, tables), default=len(outputs))
        self.given = np.zeros((nodes, len(fixed), len(archs)))
        self.passed = np.zeros((nodes, nodes, len(archs)))
        genes = [
            (places[target], fixed.get(source, -1), places.get(source, 0), which, weight)
            for which, (arch, places) in enumerate(zip(archs, tables, strict=True))
            for source, target, weight, is_enabled in arch
            if is_enabled
        ]
        for table, from_input in ((self.given, True), (self.passed, False)):
            mine = [gene for gene in genes if (gene[1] >= 0) == from_input]
            if mine:
                target, input, node, which, weight = zip(*mine, strict=True)
                table[target, input if from_input else node, which] = weight
        self.params = [len(_computing(arch)) for arch in archs]
        self.outputs, self.recurrent = len(outputs), recurrent
        self.depth = 1 if recurrent else self._depth()
        self._tidy()
        self.reset()

    def __len__(self) -> int:
        return self.given.shape[-1]

    @staticmethod
    def _places(arch: Arch, outputs: Sequence[str]) -> dict[str, int]:
        return {name: at for at, name in enumerate([*outputs, *hidden(arch)])}

    def _depth(self) -> int:
        """Return the longest chain of nodes in any of the networks."""
        links = (self.passed != 0).transpose(2, 0, 1)
        reached, depth = links.any(axis=2), 1
        while reached.any():
            reached = (links & reached[:, None, :]).any(axis=2)
            depth += 1
        return depth

    def _tidy(self) -> None:
        """List the nodes that other nodes read: only their columns are added up."""
        self._read = [at for at in range(len(self.passed)) if self.passed[:, at].any()]

    def reset(self) -> None:
        """Set all node values to 0."""
        self.values = np.zeros((len(self.passed), len(self)))

    def take(self, which: np.ndarray) -> Self:
        """Return the networks at the places `which`, with their values; a place may be repeated."""
        other = object.__new__(type(self))
        other.outputs, other.recurrent, other.depth = self.outputs, self.recurrent, self.depth
        other.params = [self.params[at] for at in which]
        other.given = np.ascontiguousarray(self.given[..., which])
        other.passed = np.ascontiguousarray(self.passed[..., which])
        other.values = np.ascontiguousarray(self.values[:, which])
        other._tidy()
        return other

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of every network for its own input.

        Args:
            x: [inputs, P]

        Returns:
            [outputs, P]
        """
        given = self.given
        base = given[:, -1].copy()
        for at in range(len(x)):
            base += given[:, at] * x[at]
        for _ in range(self.depth):
            total = base.copy()
            for at in self._read:
                total += self.passed[:, at] * self.values[at]
            self.values = _sigmoid(total)
        answers: np.ndarray = self.values[: self.outputs]
        return answers


def _sigmoid(total: np.ndarray) -> np.ndarray:
    np.multiply(total, -STEEPNESS, out=total)
    np.minimum(total, 500.0, out=total)  # exp of more may overflow, and the sigmoid is 0 anyway
    np.exp(total, out=total)
    total += 1.0
    np.reciprocal(total, out=total)
    return total
