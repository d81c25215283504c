"""Base of strategies that ask for one candidate at a time, in the order of a plan."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Candidate, Result


class Sequence:
    """Asks for the next candidate only after the last result; ends with its plan.

    Every step changes the shared weights on which the next one depends, so candidates cannot run in
    parallel.
    """

    needs: frozenset[str] = frozenset()
    ends = True

    def __init__(self) -> None:
        self.asked = 0  # also the id of the next candidate
        self._flying = False
        self._plan = self.plan()

    def plan(self) -> Iterator[Candidate]:
        """Yield the candidates; the plan continues after the result of each was told."""
        raise NotImplementedError

    def ask(self) -> Candidate | None:
        """Return the next candidate of the plan; None while a result is missing, or at the end."""
        if self._flying:
            return None
        candidate = next(self._plan, None)
        if candidate is not None:
            self.asked, self._flying = self.asked + 1, True
        return candidate

    def tell(self, result: Result) -> None:
        """Take a result, after which the plan continues."""
        self._flying = False
