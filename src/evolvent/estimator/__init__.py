"""How good is it? The contract of an estimator.

``evaluate(candidate, inherited)`` answers with an `Evaluation`: the result, and the trained weights
where the estimator keeps them (None otherwise). `inherited` holds the weights of the ids in
``candidate.weights_from``; whoever runs the candidate brings them along. An estimator raises
`CandidateFailed` or anything else when an evaluation goes wrong: the guard around it turns every
exception into a failed result, so one bad candidate is a row, never the end of a search.

Declared: `gives` (capabilities that strategies may need, such as ``gradient``), `needs` (capabilities
of the space), `kinds` (of tasks that it can evaluate; images, numbers and texts, if it does not say),
and `stateful` (whether it holds state between candidates, which allows one process only; its states
are then checkpoints of its own, the first candidate after a resumption inherits the last, and a step
that fails has spoilt it).

Optional: ``evaluate_many(asked)``, for pairs of a candidate and what it inherits, used when several
wait: it answers in their order, each as if it had been alone. Further methods go by a capability:
``test`` (what was not scored), ``goal`` (``solved(result)``: nothing is left to search for, or None
where only ``confirmed(result)`` tells, which takes longer), ``network`` (the architecture is a finished
network, which is delivered as it is).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..types import Candidate, Result, State


@dataclass(frozen=True)
class Evaluation:
    """A result, and the trained weights if the estimator keeps them."""

    result: Result
    state: State | None = None


class Estimator(Protocol):
    """Says how good a candidate is, and at what cost."""

    gives: frozenset[str]
    needs: frozenset[str]
    kinds: frozenset[str]
    stateful: bool

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the score of `candidate` on validation data, and what it cost."""
