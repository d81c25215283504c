"""Encoder, predictor and decoder of NAO: architectures as points that a gradient can move.

Source: Luo et al. 2018, "Neural Architecture Optimization" (1808.07233), section 3. The encoder is an
LSTM whose outputs are scaled to length 1; an architecture's embedding is their mean, scaled likewise.
The predictor reads the embedding; the decoder is an LSTM that starts from it and attends to the
encoder's outputs.
What differs: an ensemble of members with different weights is held in one set of tensors, members in
front, which costs little more than one model and errs less; the embedding of its place is added to
every token, so that few architectures suffice to learn from. Numbers are float64, in one thread, and
all randomness is from a generator of its own: the same calls give the same weights in every process.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..space import Decision

START = 0  # the token before the first decision, and the padding of short sequences
Choices = tuple[int, ...]

_TINY = 1e-12  # a gradient of zero has no direction
_SPREAD = (
    0.3  # of the initial weights of tokens: small, so that they act almost additively at first
)
_REMEMBER = 1.0  # initial bias of the forget gates (Jozefowicz et al. 2015)


class Batch(NamedTuple):
    """Sequences of tokens.

    Args:
        tokens: of N architectures, padded with `START` [N, T], int64.
        mask: where there is a token [N, T], bool.
    """

    tokens: Tensor
    mask: Tensor


class Codes(NamedTuple):
    """Outputs of the encoder for N architectures.

    Args:
        outputs: one per step, of length 1 each [members, N, T, width].
        mask: where there is a step [N, T], bool.
    """

    outputs: Tensor
    mask: Tensor

    @property
    def embedding(self) -> Tensor:
        """The mean of the outputs of each architecture, of length 1 [members, N, width]."""
        present = self.mask[None, :, :, None].to(self.outputs.dtype)
        return F.normalize((self.outputs * present).sum(dim=2), dim=-1)


class Memory(NamedTuple):
    """The decoder between two steps: hidden and cell state [members, N, width]."""

    hidden: Tensor
    cell: Tensor


class Model:
    """Encoder, predictor and decoder, trained together.

    Args:
        vocabulary: number of tokens, `START` included. [count]
        length: places with embeddings of their own; later places share the last. [count]
        members: size of the ensemble. [count]
        width: of the LSTMs and of the embedding. [numbers]
        hidden: of the predictor's hidden layer. [numbers]
        rate: Adam's learning rate.
        decay: weight decay, per step in units of `rate`.
        seed: of the initial weights.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        *,
        members: int = 1,
        width: int = 32,
        hidden: int = 64,
        rate: float = 0.03,
        decay: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.vocabulary, self.length = vocabulary, length
        self.members, self.width = members, width
        generator = torch.Generator().manual_seed(seed)

        def uniform(bound: float, *shape: int) -> Tensor:
            draws = torch.rand((members, *shape), generator=generator, dtype=torch.float64)
            return (bound * (2 * draws - 1)).requires_grad_()

        self.weights: dict[str, Tensor] = {}
        near, far = 1 / math.sqrt(width), 1 / math.sqrt(hidden)
        for part in ("encoder", "decoder"):
            self.weights[f"{part}.token"] = uniform(_SPREAD, vocabulary, 4 * width)
            self.weights[f"{part}.place"] = uniform(_SPREAD, length, 4 * width)
            self.weights[f"{part}.state"] = uniform(near, width, 4 * width)
            with torch.no_grad():  # the first quarter of the gates is the forget gate
                self.weights[f"{part}.place"][..., :width] += _REMEMBER
        self.weights["predictor.hidden"] = uniform(near, width, hidden)
        self.weights["predictor.hidden_bias"] = uniform(near, 1, hidden)
        self.weights["predictor.score"] = uniform(far, hidden, 1)
        self.weights["predictor.score_bias"] = uniform(far, 1, 1)
        self.weights["decoder.own"] = uniform(near, width, vocabulary)
        self.weights["decoder.context"] = uniform(near, width, vocabulary)
        self.weights["decoder.bias"] = uniform(near, 1, vocabulary)
        self._optimizer = torch.optim.AdamW(
            self.weights.values(), lr=rate, weight_decay=decay, fused=True
        )

    def pack(self, rows: Sequence[Sequence[int]]) -> Batch:
        """Return sequences of tokens as a batch; tokens beyond the vocabulary are left out."""
        length = max(map(len, rows))
        tokens = torch.tensor([(*row, *(START,) * (length - len(row))) for row in rows])
        tokens.masked_fill_(tokens >= self.vocabulary, START)
        return Batch(tokens, tokens != START)

    def encode(self, batch: Batch) -> Codes:
        """Return the encoder's outputs for a batch of N architectures."""
        zero = torch.zeros(self.members, len(batch.tokens), self.width, dtype=torch.float64)
        outputs, _ = self._lstm("encoder", batch.tokens, Memory(zero, zero))
        return Codes(F.normalize(outputs, dim=-1), batch.mask)

    def predict(self, embedding: Tensor) -> Tensor:
        """Return the score predicted by each member, 0 to 1 [members, N]."""
        weights = self.weights
        hidden = embedding @ weights["predictor.hidden"] + weights["predictor.hidden_bias"]
        score = torch.relu(hidden) @ weights["predictor.score"] + weights["predictor.score_bias"]
        return torch.sigmoid(score.squeeze(-1))

    @torch.no_grad()
    def expect(self, batch: Batch) -> list[float]:
        """Return the mean of the scores predicted by the members, 0 to 1 [N]."""
        expected: list[float] = self.predict(self.encode(batch).embedding).mean(dim=0).tolist()
        return expected

    def decode(
        self, codes: Codes, tokens: Tensor, memory: Memory | None = None, place: int = 0
    ) -> tuple[Tensor, Memory]:
        """Return the logits of the tokens that follow, and the decoder's memory.

        Args:
            codes: what to decode, of N architectures.
            tokens: the tokens before those asked for, `START` first [members or 1, N, T].
            memory: after the tokens before these; None at the start.
            place: of the first token. [count from 0]

        Returns:
            Logits [members, N, T, vocabulary], and the memory after the last token.
        """
        weights = self.weights
        embedding = codes.embedding
        memory = memory or Memory(embedding, embedding)
        own, memory = self._lstm("decoder", tokens, memory, place)
        match = own @ codes.outputs.transpose(-1, -2)
        share = match.masked_fill(~codes.mask[None, :, None], -torch.inf).softmax(dim=-1)
        context = share @ codes.outputs
        logits = own @ weights["decoder.own"][:, None]
        logits = logits + context @ weights["decoder.context"][:, None]
        return logits + weights["decoder.bias"][:, None], memory

    def learn(self, batch: Batch, scores: np.ndarray, share: float) -> float:
        """Take one step of training and return the loss, the mean of the members'.

        Encoder input, decoder input and decoder target are the same sequences, so that all three have
        the symmetric form given in `batch`.

        Args:
            batch: N architectures; those without a score last.
            scores: of the first of them, 0 to 1 [M], M <= N.
            share: weight of the predictor in the loss, lambda of the paper. (0..1)
        """
        codes = self.encode(batch)
        expected = self.predict(codes.embedding[:, : len(scores)])
        miss = (expected - torch.from_numpy(scores)).square().mean()
        before = F.pad(batch.tokens[:, :-1], (1, 0), value=START)
        logits, _ = self.decode(codes, before[None])
        chances = logits.log_softmax(dim=-1)
        targets = batch.tokens[None, :, :, None].expand(self.members, -1, -1, -1)
        surprise = -chances.gather(-1, targets).squeeze(-1)[:, batch.mask].mean()
        loss = share * miss + (1 - share) * surprise
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step()
        return float(loss.detach())

    def ascend(self, codes: Codes, sizes: Sequence[float]) -> Codes:
        """Return the codes moved up the gradient of the expected score, once per step size.

        Every encoder output is moved, and scaled to length 1 again. The gradient of an architecture
        is scaled to length 1 per output (root mean square), so that a step size means the same for
        every architecture, member and state of training.

        Args:
            codes: of N architectures.
            sizes: of the steps, in lengths of an output [S].

        Returns:
            Codes of S * N architectures, the step sizes outermost.
        """
        outputs = codes.outputs.detach().requires_grad_()
        expected = self.predict(Codes(outputs, codes.mask).embedding)
        (slope,) = torch.autograd.grad(expected.sum(), outputs)
        count = codes.mask.sum(dim=1)[None, :, None, None]
        length = slope.square().sum(dim=(2, 3), keepdim=True).div(count).sqrt()
        direction = slope / length.clamp_min(_TINY)
        moved = [F.normalize(outputs.detach() + size * direction, dim=-1) for size in sizes]
        return Codes(torch.cat(moved, dim=1), codes.mask.repeat(len(sizes), 1))

    def _lstm(
        self, part: str, tokens: Tensor, memory: Memory, place: int = 0
    ) -> tuple[Tensor, Memory]:
        """Return the outputs [members, N, T, width] and the last memory of an LSTM.

        Tokens [N, T] are the same for all members; tokens [members, N, T] may differ.
        """
        table, state = self.weights[f"{part}.token"], self.weights[f"{part}.state"]
        tokens = tokens.expand(self.members, *tokens.shape[-2:])
        member = torch.arange(self.members)[:, None, None]
        places = torch.arange(place, place + tokens.shape[-1]).clamp_max(self.length - 1)
        inputs = table[member, tokens] + self.weights[f"{part}.place"][:, None, places]
        hidden, cell = memory
        outputs = []
        for step in inputs.unbind(dim=2):
            gates = torch.baddbmm(step, hidden, state)
            keep, write, show = torch.sigmoid(gates[..., : 3 * self.width]).chunk(3, dim=-1)
            cell = torch.addcmul(keep * cell, write, torch.tanh(gates[..., 3 * self.width :]))
            hidden = show * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=2), Memory(hidden, cell)


@dataclass(frozen=True)
class _Beam:
    """A sequence that is being decoded, in a place of the decoder."""

    chance: float  # its log-likelihood among legal sequences
    choices: Choices
    slot: int = 0  # of the beams before, whose memory it goes on from
    token: int = START  # the last one
    over: bool = False


@torch.no_grad()
def beams(
    model: Model,
    codes: Codes,
    decide: Callable[[Choices], Decision | None],
    first: Mapping[str, int],
    width: int = 1,
) -> list[tuple[int, list[Choices]]]:
    """Decode codes by beam search over legal sequences; a width of 1 is greedy decoding.

    Args:
        model: its members decode, each its own codes.
        codes: of N architectures.
        decide: returns the decision after some choices, None when they are complete.
        first: name of a decision -> the token of its value 0. For a missing name the first legal
            value is taken, because the model has no token for it.
        width: sequences that are kept at every step. [count]

    Returns:
        (row of the codes, choices of each sequence, the most likely first), for every row and each of
        the members in turn.
    """
    count, members = codes.outputs.shape[1], model.members
    wide = Codes(
        codes.outputs.repeat_interleave(width, dim=1), codes.mask.repeat_interleave(width, dim=0)
    )
    found = [[_Beam(0.0, ())] for _ in range(members * count)]
    decisions: dict[Choices, Decision | None] = {}  # many sequences begin alike
    memory = None
    for place in itertools.count():
        tokens, slots = _laid_out(found, width)
        if memory is not None:
            memory = _going_on(
                memory, torch.from_numpy(slots).reshape(members, count * width), width
            )
        shaped = torch.from_numpy(tokens).reshape(members, count * width, 1)
        logits, memory = model.decode(wide, shaped, memory, place)
        likely = logits.reshape(len(found), width, -1).numpy()
        for at, kept in enumerate(found):
            found[at] = _followed(kept, likely[at], decisions, decide, first, width)
        if all(one.over for kept in found for one in kept):
            break
    return [
        (row, [one.choices for one in found[member * count + row]])
        for row in range(count)
        for member in range(members)
    ]


def _laid_out(found: Sequence[Sequence[_Beam]], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the last token and the slot before of every beam [rows, width]; spare places have 0."""
    tokens = np.full((len(found), width), START)
    slots = np.zeros((len(found), width), dtype=np.int64)
    for at, kept in enumerate(found):
        for slot, one in enumerate(kept):
            tokens[at, slot], slots[at, slot] = one.token, one.slot
    return tokens, slots


def _going_on(memory: Memory, slots: Tensor, width: int) -> Memory:
    """Return a decoder's memory in the order of the beams that go on from it.

    Args:
        memory: of all beams [members, N * width, size].
        slots: of every beam the one before, within its row [members, N * width].
        width: beams of a row. [count]
    """
    members, places = slots.shape
    rows = torch.arange(places) // width * width
    index = (rows + slots)[..., None].expand(members, places, memory.hidden.shape[-1])
    return Memory(memory.hidden.gather(1, index), memory.cell.gather(1, index))


def _followed(
    kept: Sequence[_Beam],
    likely: np.ndarray,
    decisions: dict[Choices, Decision | None],
    decide: Callable[[Choices], Decision | None],
    first: Mapping[str, int],
    width: int,
) -> list[_Beam]:
    """Return the most likely sequences of one step more, in the order of their likelihood.

    Args:
        kept: sequences of one code so far.
        likely: logits of the tokens that follow each of them [width, vocabulary].
        decisions: those already looked up, by the choices before them.
        decide: see `beams`.
        first: see `beams`.
        width: sequences that are kept. [count]
    """
    grown = []
    for slot, one in enumerate(kept):
        if one.choices not in decisions:
            decisions[one.choices] = decide(one.choices)
        if (decision := decisions[one.choices]) is None:
            grown.append(dataclasses.replace(one, slot=slot, token=START, over=True))
            continue
        start = first.get(decision.name, likely.shape[1])
        if start >= likely.shape[1]:
            grown.append(_Beam(one.chance, (*one.choices, decision.legal[0]), slot))
            continue
        legal = likely[slot, [start + choice for choice in decision.legal]]
        chances = legal - np.logaddexp.reduce(legal)
        for choice, chance in zip(decision.legal, chances.tolist(), strict=True):
            chosen = (*one.choices, choice)
            grown.append(_Beam(one.chance + chance, chosen, slot, start + choice))
    return sorted(grown, key=lambda one: -one.chance)[:width]
