"""Identifiers of genes, by which a child finds its parent's weights.

A gene is named once, by the event that made it, and keeps its name through every later change, so that
operators stay pure functions. Where only relatives share genes, the name is drawn from the event's own
generator (`fresh`); where equal events must give equal genes in every lineage, it is derived from the
event (`derived`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 4  # 456,976 names; one that is in use already is drawn again
DERIVED = 6  # letters, 309 million names: two events must not share one


def fresh(used: Collection[str], rng: random.Random) -> str:
    """Return a name that is not among `used`."""
    while (name := "".join(rng.choices(LETTERS, k=LENGTH))) in used:
        pass
    return name


def derived(event: str, used: Collection[str]) -> str:
    """Return the first unused name of the gene that `event` makes.

    The same event gives the same name in every lineage and every process.
    """
    count = 0
    while (name := _spelt(f"{event} {count}")) in used:
        count += 1
    return name


def digest(*parts: object) -> str:
    """Return a short hash of `parts` as text, the same in every process."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _spelt(event: str) -> str:
    numbers = hashlib.sha256(event.encode()).digest()
    return "".join(LETTERS[number % len(LETTERS)] for number in numbers[:DERIVED])
