"""Torch on one thread, so that a strategy's own network gives the same numbers in every process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread and record gradients; leave both as they were.

    With one thread, sums are added in the same order everywhere. Code that needs no gradients turns
    them off inside.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
