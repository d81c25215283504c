"""The rows of a task as the user's table has them, for methods that are no networks.

A network sees inputs that were prepared for it. Trees take numbers with gaps and categories as they
are, and a bag of words takes whole texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from .frames import Frame
from .splitting import Parts


@dataclass(frozen=True, eq=False)
class Source:
    """The table that a task was made of. It stays in the coordinator: workers do not get it.

    Args:
        frame: the table.
        rows: part -> row numbers, of ``training``, ``validation`` and maybe ``test``.
    """

    frame: Frame
    rows: Parts

    def part(self, name: str) -> Frame | None:
        """Return the rows of a part of the table, in the order of the task's; None without any."""
        return self.frame.rows(self.rows[name]) if name in self.rows else None
