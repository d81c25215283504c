"""An n-gram model of running text: interpolated Kneser-Ney smoothing with three discounts.

Source: Chen & Goodman 1998 ("An empirical study of smoothing techniques for language modeling", section
3): the longest n-grams by their counts, shorter ones by the number of different tokens before them; of
each order n-grams seen once, twice and more often lose a discount of their own, and what they lose
is shared out by the next shorter order, the last by equal probabilities of all tokens.

The text is one stream: n-grams reach across the ends of lines, which are tokens as any other. No kept
package that installs from PyPI has it (KenLM's only asks models; NLTK's has one discount, and takes
hours for a large text), so it is written here, as a few sorts of whole numbers per order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ORDER = 5
LEAST = 0.1  # discount: what is never seen must have a probability, however small the text


class Order(NamedTuple):
    """The n-grams of one length.

    Args:
        codes: sorted: number of the n-gram without its last token x size of the vocabulary + that.
        often: how often each occurs [n-grams].
        counts: the same of the longest; of shorter ones after how many tokens [n-grams] float64.
        lost: of each [n-grams].
        total: of counts, by the n-gram without its last token [shorter n-grams].
        shared: what is lost there, as a share of `total` [shorter n-grams].
    """

    codes: np.ndarray
    often: np.ndarray
    counts: np.ndarray
    lost: np.ndarray
    total: np.ndarray
    shared: np.ndarray


class Table(NamedTuple):
    """The n-grams of one length, as probabilities.

    Args:
        codes: as of an `Order`, of the n-grams that are there.
        values: probability of the last token of each, but for what shorter ones add [n-grams].
        shared: the share of shorter ones, by the n-gram without its last token [shorter n-grams].
    """

    codes: np.ndarray
    values: np.ndarray
    shared: np.ndarray


class KneserNey:
    """An n-gram model.

    Args:
        text: tokens that it learns from [N] int64.
        vocabulary: tokens that there are. [count]
        first: token that stands before every text.
        order: length of the longest n-grams. [count, >= 2]
    """

    def __init__(self, text: np.ndarray, vocabulary: int, first: int, order: int = ORDER) -> None:
        self.vocabulary, self.first = vocabulary, first
        tokens = self._padded(text, order)
        numbers = tokens  # of the n-gram that ends at each place
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # codes, counts, where each is
        ends = [tokens]
        for _ in range(order - 1):
            codes = numbers[:-1] * vocabulary + tokens[len(tokens) - len(numbers) + 1 :]
            kinds, where, numbers, often = np.unique(
                codes, return_index=True, return_inverse=True, return_counts=True
            )
            found.append((kinds, often.astype(np.float64), where))
            ends.append(numbers)
        self.orders: list[Order] = []
        shorter = 1
        for at in range(order):
            kinds = np.arange(vocabulary) if at == 0 else found[at - 1][0]
            if at < order - 1:  # of each longer n-gram one place, and there the shorter one in it
                inside = ends[at][found[at][2] + 1]
                counts = np.bincount(inside, minlength=len(kinds)).astype(np.float64)
            else:
                counts = found[at - 1][1]
            before = kinds // vocabulary if at else np.zeros(vocabulary, np.int64)
            often = found[at - 1][1] if at else np.bincount(tokens, minlength=vocabulary)
            self.orders.append(
                _discounted(kinds, often.astype(np.float64), counts, before, shorter)
            )
            shorter = len(kinds)

    def _padded(self, text: np.ndarray, order: int) -> np.ndarray:
        return np.concatenate([np.full(order - 1, self.first), text]).astype(np.int64)

    def tables(self, kept: int = ORDER) -> list[Table]:
        """Return its probabilities of n-grams of one token, two, three and so on.

        Args:
            kept: tokens of the longest n-grams that are there though they occur once: of longer ones
                there are most, and they tell least. What they had is shared out by shorter ones.
        """
        found = []
        renumbered = np.zeros(1, np.int64)  # of the shorter n-grams; -1 is left out
        for at, each in enumerate(self.orders):
            stays = each.often > 1 if at >= kept else np.ones(len(each.codes), bool)
            before, token = np.divmod(each.codes[stays], self.vocabulary)
            values = (each.counts - each.lost)[stays] / np.maximum(each.total[before], 1.0)
            shorter = renumbered[renumbered >= 0]
            there = renumbered[before]
            share = 1 - np.bincount(there, values, len(shorter))
            found.append(Table(there * self.vocabulary + token, values, share))
            renumbered = np.where(stays, np.cumsum(stays) - 1, -1)
        return found

    def log_likelihoods(self, text: np.ndarray) -> np.ndarray:
        """Return the logarithm of the probability of every token of a text, by those before it [N]."""
        order = len(self.orders)
        tokens = self._padded(text, order)
        found = np.full(len(tokens), 1 / self.vocabulary)
        numbers = np.zeros(len(tokens) + 1, np.int64)  # of the n-gram before each place; -1 is none
        for each in self.orders:
            if not len(each.codes):
                break  # of a text of one token
            before = numbers[:-1]
            place, seen = _places(each.codes, before * self.vocabulary + tokens, before >= 0)
            known = (before >= 0) & (each.total[np.maximum(before, 0)] > 0)
            there = before[known]
            own = np.where(seen, each.counts[place] - each.lost[place], 0.0)[known]
            found[known] = own / each.total[there] + each.shared[there] * found[known]
            numbers = np.concatenate([[-1], np.where(seen, place, -1)])
        return np.asarray(np.log(found[order - 1 :]))


def _places(
    codes: np.ndarray, asked: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where codes stand among sorted ones [N], and whether they do."""
    place = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
    return place, valid & (codes[place] == asked)


def _discounted(
    codes: np.ndarray, often: np.ndarray, counts: np.ndarray, before: np.ndarray, shorter: int
) -> Order:
    """Return n-grams with their discounts.

    Args:
        codes: of each.
        often: how often each occurs.
        counts: of each, from which the discounts follow.
        before: number of each without its last token.
        shorter: how many of these there are. [count]
    """
    kinds = [float((counts == times).sum()) for times in (1, 2, 3, 4)]
    share = kinds[0] / (kinds[0] + 2 * kinds[1]) if kinds[0] else 0.5
    discounts = [0.0]
    for times in (1, 2, 3):
        more = (times + 1) * share * kinds[times] / kinds[times - 1] if kinds[times - 1] else 0.0
        discounts.append(float(np.clip(times - more, LEAST, times)))
    lost = np.array(discounts)[np.minimum(counts, 3).astype(np.int64)]
    total = np.bincount(before, counts, shorter)
    shared = np.bincount(before, lost, shorter) / np.maximum(total, 1.0)
    return Order(codes, often, counts, lost, total, shared)
