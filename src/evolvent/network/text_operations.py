"""The operations of networks for texts. Each class stands alone: `export` copies its source.

Inputs are tokens [B, T], of which 0 pads: what an operation says of a text does not depend on the texts
beside it in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenWindow(nn.Module):
    """The first third and the last two thirds of `length` tokens, of texts that have more.

    Args:
        length: of the window. [tokens]
        vocabulary: tokens from it on become 1, which stands for any unknown word.
        fixed: whether shorter texts are padded to `length` too.
    """

    def __init__(self, length: int, vocabulary: int, fixed: bool = False) -> None:
        super().__init__()
        self.length, self.vocabulary, self.fixed = length, vocabulary, fixed

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, length], or [B, min(T, length)] where it is not fixed."""
        tokens = tokens.long()
        tokens = torch.where(tokens < self.vocabulary, tokens, 1)
        if tokens.shape[1] > self.length:
            place = torch.arange(self.length, device=tokens.device)
            beyond = ((tokens != 0).sum(1, keepdim=True) - self.length).clamp(min=0)
            place = place + beyond * (place >= self.length // 3)
            tokens = tokens.gather(1, place)
        elif self.fixed:
            tokens = F.pad(tokens, (0, self.length - tokens.shape[1]))
        return tokens


class MaskedConv1d(nn.Module):
    """Convolution over words, ReLU, the largest values of every filter (Kim 2014, 1408.5882).

    Words beyond both ends are zeros. k-max pooling: Kalchbrenner et al. 2014 (1404.2188), here with the
    values by their size.

    Args:
        dimension: of the vectors of words.
        filters: channels. [count]
        kernel: words that a filter sees. [count]
        top: values of every filter that are kept. [count]
    """

    def __init__(self, dimension: int, filters: int, kernel: int, top: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dimension, filters, kernel)
        self.kernel, self.top = kernel, top

    def forward(self, vectors: Tensor, tokens: Tensor) -> Tensor:
        """[B, dimension, T] and tokens [B, T] -> [B, filters * top]."""
        there = (tokens != 0).unsqueeze(1)
        before = (self.kernel - 1) // 2
        padded = F.pad(vectors * there, (before, self.kernel - 1 - before))
        values = F.relu(self.conv(padded)) * there  # no value is below 0, so padding adds none
        if self.top == 1:
            return values.amax(2)
        values = F.pad(values, (0, self.top))
        return values.topk(self.top, 2).values.flatten(1)


class MaskedGRU(nn.Module):
    """A gated recurrent unit over words; the largest value of each of its outputs.

    Source: Cho et al. 2014 (1406.1078).
    """

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dimension, hidden, batch_first=True)

    def forward(self, vectors: Tensor, tokens: Tensor) -> Tensor:
        """[B, dimension, T] and tokens [B, T] -> [B, hidden]."""
        values: Tensor = self.gru(vectors.transpose(1, 2))[0]
        return torch.where((tokens != 0).unsqueeze(2), values, -1.0).amax(1)  # tanh is above -1


class HashedBag(nn.Module):
    """The sum or mean of learnt numbers of every n-gram of a text, order left out.

    An n-gram is a polynomial of its tokens modulo the prime 2^31 - 1, and a row of the table is that
    times a constant, again modulo the prime, its last bits (feature hashing: Weinberger et al. 2009,
    0902.2206). All tokens of a text are seen. The table's gradient is sparse: a step costs what the
    texts of its batch hold, however large the table is.

    With `dimension` 0 the table holds the logits themselves, one column per class, or one for two
    classes: a linear model. It may start from naive Bayes (Wang & Manning 2012): every n-gram has a
    fixed ``ratio``, the logarithm of how much likelier it is in texts of the class than in others, each
    counted once more than it occurs; what is learnt is the weight of it, `first` for all. The
    logits are multiplied by a number chosen then, so that those of the texts learnt from are of usual
    size, however long texts are.

    Args:
        outputs: classes. [count]
        orders: longest n-grams. [tokens]
        bits: the table has 2^bits rows.
        dimension: numbers per row; 0 for the logits themselves.
        mean: whether the mean is taken, and not the sum.
        repeats: whether an n-gram counts as often as it occurs, and not once.
        thinning: share of the n-grams of a text left out at random in training. [0..1)
        bayes: whether it starts from naive Bayes; with `dimension` 0 only.
        first: weight of every ratio at the start.
        link: of several targets per text, a column each: ``sigmoid`` of labels, whose naive Bayes is
            that of each against all other texts, ``identity`` of quantities; ``""`` of classes.
    """

    every_row = True
    scale: Tensor
    ratio: Tensor

    def __init__(
        self,
        outputs: int,
        orders: int,
        bits: int,
        dimension: int = 0,
        mean: bool = False,
        repeats: bool = False,
        thinning: float = 0.0,
        bayes: bool = False,
        first: float = 0.02,
        link: str = "",
    ) -> None:
        super().__init__()
        self.first, self.link = first, link
        self.outputs, self.orders, self.rows = outputs, orders, 2**bits
        self.dimension, self.mean, self.repeats = dimension, mean, repeats
        self.thinning, self.bayes = thinning, bayes
        columns = dimension or (1 if outputs == 2 and not link else outputs)
        self.table = nn.Embedding(self.rows + 1, columns, padding_idx=self.rows, sparse=True)
        with torch.no_grad():  # the last row is that of no n-gram
            self.table.weight.mul_(0.1 if dimension else 0.0)
        self.bias = nn.Parameter(torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns if link == "identity" else ()))
        if bayes:
            self.register_buffer("ratio", torch.zeros(self.rows + 1, columns))

    def ngrams(self, tokens: Tensor) -> Tensor:
        """Return the rows of the n-grams of texts [B, T] as [B, L], `self.rows` where there is none."""
        prime, found = 2**31 - 1, []
        tokens = tokens.long()
        there, code = tokens != 0, tokens
        for order in range(1, self.orders + 1):
            if order > 1:
                after = tokens[:, order - 1 :]
                code = (code[:, : after.shape[1]] * 1540483477 + after) % prime
                there = there[:, : after.shape[1]] & (after != 0)
            row = (code + order) * 1203072419 % prime % self.rows
            found.append(torch.where(there, row, self.rows))
        rows = torch.cat(found, 1)
        if not self.repeats:
            rows = rows.sort(1).values
            again = F.pad(rows[:, 1:] == rows[:, :-1], (1, 0))
            rows = torch.where(again, self.rows, rows)
        return rows

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, outputs], or [B, dimension]."""
        rows = self.ngrams(tokens)
        if self.training and self.thinning:
            left_out = torch.rand(rows.shape, device=rows.device) < self.thinning
            rows = torch.where(left_out, self.rows, rows)
        return self.pooled(rows)

    def pooled(self, rows: Tensor) -> Tensor:
        """Return the logits or vectors of texts, from the rows of their n-grams [B, L]."""
        total = self._total(rows)
        if self.training and self.thinning and not self.mean:
            total = total / (1 - self.thinning)
        total = total * self.scale + self.bias
        if self.dimension or self.outputs != 2 or self.link:
            return total
        return torch.cat([-total / 2, total / 2], 1)

    def _total(self, rows: Tensor) -> Tensor:
        """Return the sum or mean of the numbers of n-grams, from their rows [B, L]."""
        values: Tensor = self.table(rows)
        if self.bayes:
            values = values * F.embedding(rows, self.ratio)
        total = values.sum(1)
        if self.mean:
            total = total / (rows != self.rows).sum(1, keepdim=True).clamp(min=1)
        return total

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the table from the texts and targets that will be learnt from, if it is to start so.

        Args:
            batches: all of them, tokens [B, T] and classes [B], or quantities [B] about 0; several
                targets are [B, outputs].
        """
        if not self.bayes:
            return
        if self.outputs == 1 or self.link == "identity":
            self.start_from_means(batches)
        else:
            self.start_from_bayes(batches)

    def start_from_bayes(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the ratios from how often an n-gram occurs in texts of every class, or label."""
        device = self.table.weight.device
        seen = torch.zeros(
            self.rows + 1, self.outputs, device=device
        )  # texts of a class with a row
        every = torch.zeros(self.rows + 1, device=device)  # texts with a row
        texts, count, some = torch.zeros(self.outputs, device=device), 0, []
        for tokens, y in batches:
            rows = self.ngrams(tokens)
            has = y > 0.5 if self.link else F.one_hot(y, self.outputs) > 0
            for place in range(self.outputs):
                of_it = rows[has[:, place]].flatten()
                seen[:, place].index_add_(0, of_it, torch.ones(len(of_it), device=device))
            every.index_add_(0, rows.flatten(), torch.ones(rows.numel(), device=device))
            texts, count = texts + has.sum(0), count + len(y)
            some.append(rows[::10])
        seen[self.rows], every[self.rows] = 0, 0
        columns = self.table.weight.shape[1]
        within, texts_within = seen[:, -columns:], texts[-columns:]
        beyond, texts_beyond = every[:, None] - within, count - texts_within
        there = within + beyond > 0
        in_texts, in_others = ((count + 1) * there for count in (within, beyond))
        ratio = (in_texts / in_texts.sum(0)).log() - (in_others / in_others.sum(0)).log()
        self.ratio.copy_(torch.where(there, ratio, 0.0))
        self.table.weight[:-1] = self.first
        said = torch.cat([self._total(rows) for rows in some])
        usual = said.square().mean().sqrt().clamp(min=1e-6)
        self.scale.copy_(2.0 / usual)
        self.bias.copy_(((texts_within + 1) / (texts_beyond + 1)).log())

    def start_from_means(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the ratios to the mean of a quantity in texts with an n-gram, and 0 in five more."""
        device = self.table.weight.device
        sums = torch.zeros(self.rows + 1, self.outputs, device=device)
        counts, some = torch.zeros(self.rows + 1, device=device), []
        for tokens, y in batches:
            rows, targets = self.ngrams(tokens), y.reshape(len(y), -1)
            for place, target in enumerate(targets.T):
                sums[:, place].index_add_(
                    0, rows.flatten(), target[:, None].expand(rows.shape).flatten()
                )
            counts.index_add_(0, rows.flatten(), torch.ones(rows.numel(), device=device))
            some.append((rows[::10], targets[::10]))
        sums[self.rows] = 0
        self.ratio.copy_(sums / (counts + 5)[:, None])
        self.table.weight[:-1] = self.first
        said = torch.cat([self._total(rows) for rows, _ in some])
        wanted = torch.cat([targets for _, targets in some])
        said, middle = said - said.mean(0), said.mean(0)
        slope = (said * wanted).mean(0) / said.square().mean(0).clamp(min=1e-12)
        # half of what fits the rows that the means are of, which is too much for others
        self.scale.copy_(0.5 * slope.clamp(min=1e-3).reshape(self.scale.shape))
        self.bias.copy_(-middle * self.scale)


class TextBag(nn.Module):
    """A bag of words of one column of texts, whose logits are added to those of the other columns.

    Args:
        outputs: classes; 1 for a quantity. [count]
        start: first of the inputs that are tokens of this column.
        length: how many of these there are. [count]
        orders: longest n-grams. [tokens]
        bits: the table has 2^bits rows.
        thinning: share of the n-grams of a text left out at random in training. [0..1)
        first: weight of every ratio at the start.
        link: of several targets, as of `HashedBag`.
    """

    def __init__(
        self,
        outputs: int,
        start: int,
        length: int,
        orders: int,
        bits: int,
        thinning: float,
        first: float,
        link: str = "",
    ) -> None:
        super().__init__()
        self.first_token, self.length = start, length
        self.bag = HashedBag(
            outputs, orders, bits, thinning=thinning, bayes=True, first=first, link=link
        )

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """Inputs [B, F] and logits [B, outputs] or [B, members, outputs] -> those of `logits`."""
        tokens = x[:, self.first_token : self.first_token + self.length].long().clamp(min=0)
        added: Tensor = self.bag(tokens)
        return logits + (added if logits.ndim == 2 else added.unsqueeze(1))
