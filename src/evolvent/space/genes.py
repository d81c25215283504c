"""Identifiers of genes: what lets a child find its parent's weights.

A gene is named once, by the event that made it, and keeps its name through every later change. The
name is drawn from the event's own generator, so that operators stay pure functions; only genes of
equal name are ever compared, and only between relatives.
"""

from __future__ import annotations

import random
from collections.abc import Collection

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 4  # 456,976 names; one that is in use already is drawn again


def fresh(used: Collection[str], rng: random.Random) -> str:
    """Return a name that is not among `used`."""
    while (name := "".join(rng.choices(LETTERS, k=LENGTH))) in used:
        pass
    return name
