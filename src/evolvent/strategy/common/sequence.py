"""A strategy that asks for one candidate after the other, as a plan says them."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Candidate, Result


class Sequence:
    """Asks only when the last answer is there; ends with its plan.

    What a strategy on shared weights asks next depends on what the last step did to them, so nothing
    may run beside it.
    """

    needs: frozenset[str] = frozenset()
    ends = True

    def __init__(self) -> None:
        self.asked = 0  # also the id of the next candidate
        self._flying = False
        self._plan = self.plan()

    def plan(self) -> Iterator[Candidate]:
        """Yield what is asked; it goes on after the answer was told."""
        raise NotImplementedError

    def ask(self) -> Candidate | None:
        """Return the next candidate of the plan."""
        if self._flying:
            return None
        candidate = next(self._plan, None)
        if candidate is not None:
            self.asked, self._flying = self.asked + 1, True
        return candidate

    def tell(self, result: Result) -> None:
        """Let the plan go on."""
        self._flying = False
