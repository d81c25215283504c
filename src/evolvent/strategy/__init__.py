"""The contract of a strategy, which chooses the next architecture to try.

A strategy has two methods, `ask` and `tell`. It does no input or output, reads no clock, and knows no
network, device, worker or log. Its randomness comes from `types.stream(seed, purpose, index)`, so that
replaying the log restores it exactly: resume is replay.

Class attributes:

* `needs`: the capabilities it cannot do without, of the space (``decisions``, ``crossover``, ...)
  or of the estimator (``gradient``, ...).
* `ends`: whether ``ask`` may return None for good while budget is left (an exhausted space).

Optional: ``alive()``, the ids whose weights may still be inherited (all others may be deleted);
``objectives``, the names of the metrics of a front; ``reads``, those that it reads in place of the
score, which the estimator then measures; ``together``, the number of candidates asked for
before it waits (a generation), which an estimator may evaluate together; ``lengthen(horizon)``, which
takes the horizon of a run that was given more budget, and scales what followed from the first.
Without it a strategy goes on as it is: populations, models and controllers are kept either way.
``mean_length``, the mean training length of its trials as a share of the full one, where it trains
most of them for less; by it a budget in seconds is planned.

With shared weights the horizon counts their epochs. Strategies that train them declare the number of
training batches that they will ask for (``train_batches``) and of trials beyond one per epoch
(``more_trials``). Other strategies are wrapped in `common.phases`. They may choose the architectures
that the weights train at (``draw(rngs)``, one per generator), and report the entropy of their policy
as a share of its maximum (``entropy_share()``).
"""

from __future__ import annotations

from typing import Protocol

from ..types import Candidate, Result


class Strategy(Protocol):
    """Chooses the next architecture to try, from the results so far."""

    needs: frozenset[str]
    ends: bool

    def ask(self) -> Candidate | None:
        """Return the next candidate; None means "wait for a tell" and changes nothing."""

    def tell(self, result: Result) -> None:
        """Take a result, in any order, failed ones included."""


def lengthen(strategy: Strategy, horizon: int) -> None:
    """Tell a strategy that its run was given more budget, if it wants to know.

    Args:
        strategy: that has been told everything so far.
        horizon: trials of the run, those so far among them. [trials]
    """
    if (take := getattr(strategy, "lengthen", None)) is not None:
        take(horizon)


class Inheriting(Protocol):
    """A strategy whose children inherit weights."""

    def alive(self) -> frozenset[int]:
        """Return the ids whose weights may still be inherited."""
