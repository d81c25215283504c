"""The contract of an estimator, which scores candidates and reports what each evaluation cost.

``evaluate(candidate, inherited)`` answers with an `Evaluation`: the result, and the trained weights
where the estimator keeps them (None otherwise). `inherited` holds the weights of the ids in
``candidate.weights_from``; the executor supplies them. An estimator raises `CandidateFailed` or any
other exception when an evaluation goes wrong: the guard around it turns every exception into a failed
result, so one bad candidate never ends a search.

Class attributes: `gives` (capabilities that strategies may need, such as ``gradient``), `needs`
(capabilities of the space), `kinds` (of task that it can evaluate; by default images, numbers, texts),
and `stateful` (whether it keeps state between candidates). A stateful estimator runs in one process
only. Its states are checkpoints: the first candidate after a resume inherits the last one, and a step
that fails leaves the state unusable.

Optional: ``evaluate_many(asked)`` takes pairs (candidate, inherited weights) when several candidates
wait. It returns their evaluations in the same order, each as if it had been evaluated alone. Some
capabilities add methods or change delivery: ``test`` (``test(arch)``: the score on test data),
``goal`` (``solved(result)``: whether the task is solved, which ends the search; None where only the
slower ``confirmed(result)`` can tell), ``network`` (the architecture is a finished network and is
delivered as it is), ``packs`` (networks that differ in their seeds are trained at once, so that a final
training of several costs little more than that of one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from ..types import Arch, Candidate, Result, State


@dataclass(frozen=True)
class Evaluation:
    """A result, and the trained weights if the estimator keeps them."""

    result: Result
    state: State | None = None


class Estimator(Protocol):
    """Scores candidates and reports the cost of each evaluation."""

    gives: frozenset[str]
    needs: frozenset[str]
    kinds: frozenset[str]
    stateful: bool

    def evaluate(self, candidate: Candidate, inherited: Mapping[int, State]) -> Evaluation:
        """Return the score of `candidate` on validation data, and the cost of the evaluation."""


class Tested(Protocol):
    """Capability ``test``."""

    def test(self, arch: Arch) -> float:
        """Return the test score of `arch`, in the unit of the score."""


def tested(estimator: Estimator) -> Tested | None:
    """Return `estimator` if it knows test scores, else None."""
    return cast(Tested, estimator) if "test" in estimator.gives else None
