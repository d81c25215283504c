"""Stratified batches: every batch has its share of every class.

A rare class that comes by chance is missing in some batches and crowded in others; its share in every
batch makes the steps alike. Classes with fewer rows than there are batches are in as many different
batches as they have rows: no row comes twice in a pass.
"""

from __future__ import annotations

import torch
from torch import Tensor


def balanced(order: Tensor, classes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return the rows in an order in which every batch has its share of every class.

    A class with n rows in the B whole batches has n / B rows in each, rounded down or up. The rows that
    fill no whole batch stand last; they are a share of every class, too.

    Args:
        order: rows in random order [N].
        classes: of these rows, in this order [N] int64.
        size: of a batch, at most N. [count]
        generator: of the order of the batches and within them, on the CPU.
    """
    batches, left = divmod(len(order), size)
    rows = order[classes.argsort(stable=True)]  # one class after the other, each in random order
    out = torch.zeros(len(rows), dtype=torch.bool)
    if left:
        first = torch.rand((), generator=generator, dtype=torch.float64)
        out[((torch.arange(left) + first) * len(rows) / left).long()] = True
    dealt = rows[~out].view(size, batches)  # neighbours, of one class, go to different batches
    dealt = dealt[:, torch.randperm(batches, generator=generator)]
    mixed = torch.rand(size, batches, generator=generator).argsort(0)
    return torch.cat([dealt.gather(0, mixed).T.flatten(), rows[out]])


def lengthwise(classes: Tensor) -> Tensor:
    """Return the order [N] of rows that are sorted by length in which classes are spread evenly.

    The shortest rows of every class come first: batches that are cut from this order one after the
    other have rows of similar lengths, and about their share of every class.

    Args:
        classes: of the rows, the shortest first [N] int64.
    """
    place = torch.empty(len(classes), dtype=torch.float64)
    for label in range(int(classes.max()) + 1):
        mine = classes == label
        count = int(mine.sum())
        place[mine] = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return place.argsort(stable=True)
