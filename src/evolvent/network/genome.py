"""A genome of the family ``topology`` as a module; `export` copies its source.

`families.topology` makes it from genes, and runs many side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Genome(nn.Module):
    """Nodes with steep sigmoids, and the weights of the connections between them.

    Sources are the inputs, a constant, and the nodes; of the nodes the first are the outputs.
    ``forward(x)`` takes [B, inputs] where no connection closes a cycle: all nodes are computed `depth`
    times, after which they have settled. A recurrent network takes [B, T, inputs], T moments in a row;
    ``step`` computes one moment from the values [B, nodes] of the moment before.
    """

    def __init__(
        self, inputs: int, outputs: int, nodes: int, connections: int, depth: int, recurrent: bool
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.nodes = inputs, outputs, nodes
        self.depth, self.recurrent = depth, recurrent
        self.source: Tensor
        self.target: Tensor
        self.weight = nn.Parameter(torch.zeros(connections))
        self.register_buffer("source", torch.zeros(connections, dtype=torch.int64))
        self.register_buffer("target", torch.zeros(connections, dtype=torch.int64))

    def step(self, x: Tensor, values: Tensor) -> Tensor:
        """Return the values of all nodes [B, nodes]; the first are the outputs."""
        matrix = self.weight.new_zeros(self.inputs + 1 + self.nodes, self.nodes)
        matrix = matrix.index_put((self.source, self.target), self.weight)
        sources = torch.cat([x, torch.ones_like(x[:, :1]), values], dim=1)
        return torch.sigmoid(4.9 * (sources @ matrix))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, [B, outputs] or [B, T, outputs]."""
        values = x.new_zeros(x.shape[0], self.nodes)  # len(x) would fix the batch of an ONNX
        if not self.recurrent:
            for _ in range(self.depth):
                values = self.step(x, values)
            return values[:, : self.outputs]
        answers = []
        for moment in x.unbind(1):
            values = self.step(moment, values)
            answers.append(values[:, : self.outputs])
        return torch.stack(answers, 1)
