"""The candidates under evaluation: those that are done are found without asking all of them."""

from __future__ import annotations

from concurrent.futures import Future
from queue import Empty, SimpleQueue

from ..estimator import Evaluation
from ..types import Candidate

Ended = tuple[Future[Evaluation], Candidate]


class Running:
    """Futures of evaluations with their candidates; the time of a wait does not grow with their number.

    ``concurrent.futures.wait`` locks every future in every call, which with ten thousand workers
    takes longer than their answers are apart.
    """

    def __init__(self) -> None:
        self._candidates: dict[Future[Evaluation], Candidate] = {}
        self._done: SimpleQueue[Future[Evaluation]] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._candidates)

    def add(self, future: Future[Evaluation], candidate: Candidate) -> None:
        """Take a candidate whose evaluation was submitted."""
        self._candidates[future] = candidate
        future.add_done_callback(self._done.put)

    def done(self, timeout: float) -> list[Ended]:
        """Wait until one is done; return all that are by then, in the order of their ids.

        Late answers of those that were given up are passed over.

        Args:
            timeout: longest wait; then nothing is returned. [s, >= 0]
        """
        found = []
        try:
            found.append(self._done.get(timeout=timeout))
            while True:
                found.append(self._done.get_nowait())
        except Empty:
            return self._taken([future for future in found if future in self._candidates])

    def rest(self) -> list[Ended]:
        """Return all that are not done, in the order of their ids; from now on none is running."""
        return self._taken(list(self._candidates))

    def _taken(self, futures: list[Future[Evaluation]]) -> list[Ended]:
        taken = [(future, self._candidates.pop(future)) for future in futures]
        return sorted(taken, key=lambda each: each[1].id)
