"""What to try next: the contract of a strategy.

A strategy is two methods. It does no input or output, reads no clock, and knows no network, device,
worker or log. Its randomness comes from `types.stream(seed, purpose, index)`, so that telling the
log again restores it exactly: resume is replay.

Declared on the class:

* `needs`: the capabilities it cannot do without, of the space (``decisions``, ``crossover``, ...)
  or of the estimator (``gradient``, ...).
* `ends`: whether ``ask`` may return None for good while budget is left (an exhausted space).

Optional: ``alive()``, the ids whose weights may still be inherited (all others may be deleted), and
``objectives``, the names of the metrics of a front, and ``together``, how many it asks for before it
waits (a generation), which an estimator may evaluate in one go.

On shared weights the horizon counts epochs of theirs. Strategies that train them say how many batches
they will ask for (``train_batches``) and how many trials beside one per epoch (``more_trials``); others
are put in phases, and may say what the weights learn at (``draw(rngs)``, an architecture per generator)
and how undecided they are (``entropy_share()``).
"""

from __future__ import annotations

from typing import Protocol

from ..types import Candidate, Result


class Strategy(Protocol):
    """Decides which architecture to try next, from the results so far."""

    needs: frozenset[str]
    ends: bool

    def ask(self) -> Candidate | None:
        """Return the next candidate; None means "wait for a tell" and changes nothing."""

    def tell(self, result: Result) -> None:
        """Take a result, in any order, failed ones included."""


class Inheriting(Protocol):
    """What a strategy whose children inherit weights has beside the rest."""

    def alive(self) -> frozenset[int]:
        """Return the ids whose weights may still be inherited."""
