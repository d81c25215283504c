"""Language models as plain PyTorch: an embedding, a recurrent cell, and the embedding once more.

The classes stand alone, since `export` copies their source. A cell made of nodes is that of ENAS (Pham
et al. 2018, 1802.03268) and DARTS (Liu et al. 2018, 1806.09055): every node is a highway layer on an
earlier one. Input and output share one matrix (Press & Wolf 2016, 1608.05859); dropout takes the same
numbers in all steps of a segment (Gal & Ghahramani 2015, 1512.05287).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RecurrentCell(nn.Module):
    """A recurrent cell of highway nodes, each on an earlier one.

    Args:
        width: numbers of the state. [count]
        nodes: ``"relu-0 tanh-1"``: activation of every node behind the first, and the node that it
            reads. Node 0 reads input and state, by tanh.
        output: the new state is the mean of ``all`` nodes behind the first, or of the ``loose`` ones
            that no node reads.
        drop: share of the state that nodes do not see in training, the same in all steps. [0..1)
    """

    def __init__(self, width: int, nodes: str, output: str = "all", drop: float = 0.0) -> None:
        super().__init__()
        pairs = [node.split("-") for node in nodes.split()]
        self.names = [name for name, _ in pairs]
        self.sources = [int(source) for _, source in pairs]
        read = set(self.sources) if output == "loose" else {0}
        self.ends = [node for node in range(1, len(pairs) + 1) if node not in read]
        self.width, self.state_size, self.drop = width, width, drop
        self.input = nn.Parameter(torch.empty(width, 2 * width))
        self.hidden = nn.Parameter(torch.empty(width, 2 * width))
        self.inner = nn.Parameter(torch.empty(len(pairs), width, 2 * width))
        for weight in (self.input, self.hidden, self.inner):
            nn.init.uniform_(weight, -(width**-0.5), width**-0.5)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width] and state [B, width] -> outputs [T, B, width] and the last state."""
        mask = self.mask(state)
        outputs = []
        for drive in torch.matmul(x, self.input).unbind(0):  # of all steps at once
            state = self.step(drive, state, mask)
            outputs.append(state)
        return torch.stack(outputs), state

    def mask(self, state: Tensor) -> Tensor:
        """Return factors [B, width] of a state: 1, or in training 0 for those that are dropped."""
        return F.dropout(torch.ones_like(state), self.drop, self.training)

    def step(self, drive: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return the next state [B, width] from the input's share [B, 2 width] and the state."""
        states = [self.node("tanh", drive + torch.matmul(state * mask, self.hidden), state)]
        for number, (name, source) in enumerate(zip(self.names, self.sources, strict=True)):
            below = states[source]
            states.append(self.node(name, torch.matmul(below * mask, self.inner[number]), below))
        return torch.stack([states[node] for node in self.ends]).mean(0)

    def node(self, name: str, drive: Tensor, below: Tensor) -> Tensor:
        """Return a node [B, width]: what is below it, or by a gate an activation of it."""
        gate, value = drive.chunk(2, 1)
        if name != "identity":
            value = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}[name](value)
        return below + torch.sigmoid(gate) * (value - below)


class TreeCell(nn.Module):
    """A recurrent cell that is a binary tree with a memory (Zoph & Le 2016, 1611.01578).

    Args:
        width: numbers of the state, and of the memory behind it. [count]
        text: ``"add-tanh multiply-relu add-tanh inject add-tanh 2 keep 0"``: combination and activation
            of every node, the leaves first, which combine input and state, and the root last; how the
            memory is combined with the value of which node; and the node whose value before its
            activation is the new memory.
        drop: share of the state that leaves do not see in training, the same in all steps. [0..1)
    """

    def __init__(self, width: int, text: str, drop: float = 0.0) -> None:
        super().__init__()
        nodes, _, rest = text.partition(" inject ")
        inject, at, _, keep = rest.split()
        self.nodes = [tuple(node.split("-")) for node in nodes.split()]
        self.inject, self.at, self.keep = tuple(inject.split("-")), int(at), int(keep)
        self.leaves = (len(self.nodes) + 1) // 2
        self.width, self.state_size, self.drop = width, 2 * width, drop
        self.input = nn.Parameter(torch.empty(width, self.leaves * width))
        self.hidden = nn.Parameter(torch.empty(width, self.leaves * width))
        for weight in (self.input, self.hidden):
            nn.init.uniform_(weight, -(width**-0.5), width**-0.5)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width], state [B, 2 width] -> outputs [T, B, width] and the last state."""
        output, memory = state.chunk(2, 1)
        mask = F.dropout(torch.ones_like(output), self.drop, self.training)
        outputs = []
        for drive in torch.matmul(x, self.input).unbind(0):  # of all steps at once
            output, memory = self.step(drive, output, memory, mask)
            outputs.append(output)
        return torch.stack(outputs), torch.cat([output, memory], 1)

    def step(
        self, drive: Tensor, output: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the next output and memory [B, width] from the input's share [B, leaves x width]."""
        seen = torch.matmul(output * mask, self.hidden).chunk(self.leaves, 1)
        pairs = zip(drive.chunk(self.leaves, 1), seen, strict=True)
        below, kept = (
            [each for pair in pairs for each in pair],
            memory,
        )  # what leaves combine, first
        for number, (combination, activation) in enumerate(self.nodes):
            first, second = below[2 * number : 2 * number + 2]
            value = first + second if combination == "add" else first * second
            if number == self.keep:
                kept = value
            value = self.activated(activation, value)
            if number == self.at:
                value = value + memory if self.inject[0] == "add" else value * memory
                value = self.activated(self.inject[1], value)
            below.append(value)
        return below[-1], kept

    def activated(self, name: str, value: Tensor) -> Tensor:
        """Return the activation `name` of a value."""
        if name == "identity":
            return value
        return {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}[name](value)


class FusedCell(nn.Module):
    """An LSTM or a GRU of torch, whose state is one tensor.

    Args:
        width: numbers of the output. [count]
        kind: ``lstm`` or ``gru``.
    """

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.width, self.state_size = width, width * (2 if kind == "lstm" else 1)
        self.layer = nn.LSTM(width, width) if kind == "lstm" else nn.GRU(width, width)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [T, B, width] and state [B, state_size] -> outputs [T, B, width], the last state."""
        parts = [part.contiguous()[None] for part in state.chunk(self.state_size // self.width, 1)]
        if len(parts) == 1:
            outputs, last = self.layer(x, parts[0])
            return outputs, last[0]
        outputs, (output, memory) = self.layer(x, (parts[0], parts[1]))
        return outputs, torch.cat([output[0], memory[0]], 1)


class LanguageModel(nn.Module):
    """Logits of the next token, for every token of a text.

    Args:
        vocabulary: tokens. [count]
        width: of embedding and cell. [count]
        cell: ``lstm``, ``gru``, the text of a `TreeCell`, or the nodes of a `RecurrentCell`.
        output: of a `RecurrentCell`.
        dropout: share of the cell's inputs and outputs that is left out in training. [0..1)
        drop_hidden: the same of the state within a `RecurrentCell` or `TreeCell`. [0..1)
        drop_words: share of the vocabulary whose embedding is left out in training. [0..1)
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        cell: str,
        output: str = "all",
        dropout: float = 0.0,
        drop_hidden: float = 0.0,
        drop_words: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout, self.drop_words = dropout, drop_words
        self.table = nn.Parameter(torch.empty(vocabulary, width).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        made: RecurrentCell | TreeCell | FusedCell
        if cell in ("lstm", "gru"):
            made = FusedCell(width, cell)
        elif " inject " in cell:
            made = TreeCell(width, cell, drop_hidden)
        else:
            made = RecurrentCell(width, cell, output, drop_hidden)
        self.cell, self.state_size = made, made.state_size
        self.carrying = False  # whether a batch goes on where the one before it ended
        self.carried = torch.empty(0)

    def initial(self, batch: int) -> Tensor:
        """Return the state [batch, state_size] before a text."""
        return torch.zeros(batch, self.state_size, dtype=self.table.dtype, device=self.table.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, vocabulary]."""
        state = self.initial(len(tokens))
        if self.carrying and len(self.carried) >= len(tokens):
            state = self.carried[: len(tokens)]
        outputs, state = self.cell(self.embedded(tokens), state)
        if self.carrying:
            self.carried = state.detach()
        return F.linear(self.dropped(outputs).transpose(0, 1), self.table, self.bias)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B] and state [B, state_size] -> logits [B, vocabulary] and the next state."""
        outputs, state = self.cell(self.embedded(tokens[:, None]), state)
        return F.linear(outputs[0], self.table, self.bias), state

    def embedded(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [T, B, width]."""
        table: Tensor = self.table
        if self.training and self.drop_words:
            kept = F.dropout(torch.ones_like(self.bias), self.drop_words)
            table = table * kept[:, None]
        return self.dropped(F.embedding(tokens.long().transpose(0, 1), table))

    def dropped(self, x: Tensor) -> Tensor:
        """Leave out numbers [T, B, width] in training, the same in all steps."""
        return x * F.dropout(torch.ones_like(x[:1]), self.dropout, self.training)
