"""The card of a network: what it is, how good it is, what it cost and what that rests on.

Every delivery makes a `Card` and writes it with `write`: ``card.json`` has all of it, ``card.md`` is
the page that `page` makes of it.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...files import write_atomically
from .sections import page, remarks
from .table import Row, rows
from .values import Card, Control

__all__ = ["Card", "Control", "Row", "page", "remarks", "rows", "write"]


def write(card: Card, folder: Path) -> None:
    """Write ``card.md`` and ``card.json``; the latter comes last, since it stands for the whole.

    Args:
        card: of the network.
        folder: that exists, with all other files of the network.
    """
    write_atomically(folder / "card.md", page(card))
    write_atomically(folder / "card.json", json.dumps(card.to_json(), indent=1))
