"""The rows of a task as the user's table has them, for methods that are no networks.

A network sees inputs that were prepared for it. Trees take numbers with gaps and categories as they
are, and a bag of words takes whole texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

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

    answers: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict, init=False)

    def part(self, name: str) -> Frame | None:
        """Return the rows of a part of the table, in the order of the task's; None without any."""
        return self.frame.rows(self.rows[name]) if name in self.rows else None


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers by rule that stand beside those of networks; other methods take the inputs of these.

    Args:
        answers: rule -> part -> outputs, as those of a network [N, outputs].
    """

    answers: Mapping[str, Mapping[str, np.ndarray]]

    def part(self, name: str) -> None:
        """Return None: there is no table of examples."""
