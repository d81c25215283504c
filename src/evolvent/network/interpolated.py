"""Language models beside n-grams, as plain PyTorch: the weighted mean of their probabilities.

The classes stand alone, since `export` copies their source. `ngrams` makes them of trained parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .language import LanguageModel


class NGrams(nn.Module):
    """Probabilities of the next token by the longest n-grams that are known, and by shorter ones.

    Args:
        vocabulary: tokens. [count]
        counts: of the n-grams of two tokens, of three and so on. [count]
    """

    single: Tensor

    def __init__(self, vocabulary: int, counts: list[int]) -> None:
        super().__init__()
        self.vocabulary, self.orders = vocabulary, range(2, len(counts) + 2)
        self.register_buffer("single", torch.zeros(vocabulary))
        shorter = vocabulary
        for order, count in zip(self.orders, counts, strict=True):
            self.register_buffer(f"codes{order}", torch.zeros(count, dtype=torch.int64))
            self.register_buffer(f"values{order}", torch.zeros(count))
            self.register_buffer(f"shared{order}", torch.zeros(shorter))
            shorter = count

    def forward(self, seen: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Tokens [B, S] -> probabilities behind the last `length` of them, and contexts known there.

        Returns:
            Probabilities [B, length, vocabulary], and how many tokens before each the longest known
            n-gram has [B, length].
        """
        contexts = [each[:, -length:].flatten() for each in self.numbers(seen)]
        rows = len(contexts[0])
        found = torch.zeros(rows * self.vocabulary, device=seen.device)
        factor = torch.ones(rows, device=seen.device)
        known = torch.zeros(rows, dtype=torch.int64, device=seen.device)
        for order, context in reversed(list(zip(self.orders, contexts, strict=True))):
            codes, valid = getattr(self, f"codes{order}"), context >= 0
            first = torch.searchsorted(codes, context * self.vocabulary)
            last = torch.searchsorted(codes, (context + 1) * self.vocabulary)
            count = (last - first) * valid
            row = torch.repeat_interleave(count)
            behind = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
            at = first[row] + behind
            value = factor[row] * getattr(self, f"values{order}")[at]
            found.index_add_(0, row * self.vocabulary + codes[at] % self.vocabulary, value)
            known = torch.where((count > 0) & (known == 0), order - 1, known)
            shared = getattr(self, f"shared{order}")[context.clamp(min=0)]
            factor = factor * torch.where(valid, shared, 1.0)
        found = found.view(rows, -1) + factor[:, None] * self.single
        return found.view(len(seen), length, -1), known.view(len(seen), length)

    def numbers(self, seen: Tensor) -> list[Tensor]:
        """Tokens [B, S] -> the numbers of the n-grams of one token, two and so on that end there.

        -1 is none that is known. Those of the longest are not asked for.
        """
        found = [seen]
        for order in self.orders[:-1]:
            codes, before = getattr(self, f"codes{order}"), found[-1][:, :-1]
            asked = before * self.vocabulary + seen[:, 1:]
            at = torch.searchsorted(codes, asked).clamp(max=len(codes) - 1)
            there = (before >= 0) & (codes[at] == asked)
            number = torch.where(there, at, -1)
            found.append(torch.cat([torch.full_like(number[:, :1], -1), number], 1))
        return found


class InterpolatedModel(nn.Module):
    """Language models beside n-grams: logits of the weighted mean of their probabilities.

    Args:
        vocabulary: tokens. [count]
        networks: ``"200 all relu-0 tanh-1 | 300 all gru"``: width, output and cell of every
            `LanguageModel`.
        counts: of the n-grams of two tokens, of three and so on. [count]
        shares: ``"0.5 0.1 | 0.4 0.1"``: of every network, where the n-grams know nothing before a
            token, one token, two and so on; the rest is theirs. [0..1]
        first: the token that stands before every text.
    """

    def __init__(
        self, vocabulary: int, networks: str, counts: str, shares: str, first: int = 0
    ) -> None:
        super().__init__()
        parts = [text.split(" ", 2) for text in networks.split(" | ")]
        made = [
            LanguageModel(vocabulary, int(width), cell, output) for width, output, cell in parts
        ]
        self.models, self.sizes = nn.ModuleList(made), [model.state_size for model in made]
        self.ngrams = NGrams(vocabulary, [int(count) for count in counts.split()])
        self.shares = [[float(share) for share in row.split()] for row in shares.split(" | ")]
        self.first, self.past = first, len(counts.split())  # tokens that are looked back at
        self.carrying = False  # whether a batch goes on where the one before it ended
        self.carried = torch.empty(0, self.past)

    def initial(self, batch: int) -> Tensor:
        """Return the state [batch, numbers] before a text: those of the cells, and the last tokens."""
        zeros = self.ngrams.single.new_zeros(batch, sum(self.sizes))
        return torch.cat([zeros, zeros.new_full((batch, self.past), self.first)], 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, vocabulary]."""
        logits, seen = [model(tokens) for model in self.models], self.behind(tokens)
        return self.mean(logits, *self.ngrams(seen, tokens.shape[1]))

    def behind(self, tokens: Tensor) -> Tensor:
        """Return tokens [B, past + T] with those before them."""
        before = tokens.new_full((len(tokens), self.past), self.first)
        if self.carrying and len(self.carried) >= len(tokens):
            before = self.carried[: len(tokens)].to(tokens.dtype)
        seen = torch.cat([before, tokens], 1)
        if self.carrying:
            self.carried = seen[:, -self.past :]
        return seen

    def mean(self, logits: list[Tensor], chances: Tensor, known: Tensor) -> Tensor:
        """Return the logarithms of the weighted mean of probabilities [B, T, vocabulary]."""
        shares = chances.new_tensor(self.shares)[known]
        found = ((1 - shares.sum(-1, keepdim=True)) * chances).log()
        for number, each in enumerate(logits):
            weighed = shares[..., number : number + 1].log() + each.log_softmax(-1)
            found = torch.logaddexp(found, weighed)
        return found

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B] and a state [B, numbers] -> logits [B, vocabulary] and the next state."""
        *inner, before = torch.split(state, [*self.sizes, self.past], 1)
        told = []
        for model, own in zip(self.models, inner, strict=True):
            assert isinstance(model, LanguageModel)
            told.append(model.step(tokens, own))
        seen = torch.cat([before.long(), tokens[:, None]], 1)
        logits = [each[:, None] for each, _ in told]
        states = [after for _, after in told]
        state = torch.cat([*states, seen[:, 1:].to(states[0].dtype)], 1)
        return self.mean(logits, *self.ngrams(seen, 1))[:, 0], state
