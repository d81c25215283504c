"""N-grams beside the language model that is delivered, where the mean of both is better.

How they are weighed is found on text that neither learnt from: segments that final trainings leave out
(`held_rows`) or, of a winner that keeps the weights that were chosen, the validation part. The n-grams
that are delivered are of training and validation part in any case: counting costs no time. Controls
stay networks alone, and so does the winner among them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..network.build import Assembled, Size, plan
from ..network.data import loader
from ..network.fit import MOST_SEGMENTS, final_parts, load, scored
from ..network.ngrams import (
    MOST_TOKENS,
    chances_of_targets,
    shares_of,
    state_with_ngrams,
    tables,
    with_ngrams,
)
from ..network.plan import Plan
from ..task import Task
from ..task.language import tokens_of
from ..task.portable.running import beginning
from ..types import Result, State
from .own import state_of
from .timing import LOOK, Lengths
from .trainings import Numbers, Trainings

NAME = "ngrams"  # of its numbers
BESIDE = 2.0  # times as long as the network alone takes to read a text
DEVIATIONS = 2.0  # of a gain: what the luck of the draw explains


@dataclass(frozen=True)
class Beside:
    """N-grams that are delivered beside the network.

    Args:
        shares: of the network, by the tokens that the n-grams know before a token. [0..1]
        count: n-grams that are delivered.
        gain: over the network alone, on text that neither learnt from.
        deviation: of that gain.
        test: metrics of both on test data; None without any.
    """

    shares: tuple[float, ...]
    count: int
    gain: float
    deviation: float
    test: Numbers | None


@dataclass
class Interpolation:
    """Weighs a network and n-grams, and reads test for both together.

    Args:
        store: of the run.
        weights: of the run.
        setup: of the run, with its data.
        trainings: of the delivery.
        lengths: of its trainings.
        say: is told what happens, in lines.
    """

    store: Store
    weights: Weights
    setup: Setup
    trainings: Trainings
    lengths: Lengths
    say: Callable[[str], None]

    @property
    def is_asked_for(self) -> bool:
        """Whether there may be n-grams: not beside limits, which hold for all that is delivered."""
        task = self.setup.task
        if not (task.successive and self.setup.train.ngrams) or self.setup.request.limits:
            return False
        tokens = (len(task.train) + len(task.validation)) * task.input_shape[0]
        return bool(tokens <= MOST_TOKENS)

    def reserve(self, winner: Result) -> None:
        """Keep time free to weigh both and to read test with them."""
        if self.is_asked_for and self.trainings.known(NAME) is None:
            self.lengths.timing.reserved = self._reading(winner)

    def complete(
        self, winner: Result, size: Size, name: str, numbers: Numbers, *, kept: bool
    ) -> Beside | None:
        """Return the n-grams of the delivery with the scores of both; None without any.

        Args:
            winner: of the choice.
            size: of the network that is delivered.
            name: of its weights.
            numbers: of the training that gave them.
            kept: whether these are the weights that were chosen.
        """
        self.lengths.timing.reserved = 0.0
        if not self.is_asked_for:
            return None
        known = self.trainings.known(NAME)
        if known is None:
            began = time.monotonic()
            made = plan(self.setup.space, winner.candidate.arch, self.setup.task, size)
            network = made, state_of(self.weights, name)
            known = self._weighed(network, kept=kept)
            if known["shares"]:
                known |= self._tested(network, known["shares"], numbers)
            seconds = round(time.monotonic() - began, 3)
            self.store.note(f"trained/{NAME}", known | {"seconds": seconds})
        if not known["shares"]:
            return None
        own = (tuple(known["shares"]), known["count"], known["gain"], known["deviation"])
        return Beside(*own, known["test"])

    def _weighed(self, network: tuple[Plan, State], *, kept: bool) -> dict[str, Any]:
        """Return the shares, and the gain; no shares where both are not better than the network."""
        task = self.setup.task
        train, held = (task.train, task.validation) if kept else final_parts(task, hold=True)
        held = held.taken(np.arange(min(len(held), MOST_SEGMENTS)))
        if not len(held):
            return {"shares": []}
        made, state = both(task, *network, tokens_of(train), ())
        net = Assembled(made)
        load(net, state)
        data = loader(task, held, device=self.setup.request.device)
        own, ngrams, there = chances_of_targets(net, data)
        shares = shares_of(own, ngrams, there)
        share = np.array(shares)[there]
        gains = np.log(share * own + (1 - share) * ngrams) - np.log(own)
        gain, deviation = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
        if gain <= DEVIATIONS * deviation:
            return {"shares": []}
        self.say(
            f"n-grams beside the network: {task.metric} by {gain:.4f} +- {deviation:.4f} better"
        )
        return {"shares": shares, "gain": gain, "deviation": deviation}

    def _tested(
        self, network: tuple[Plan, State], shares: Sequence[float], numbers: Numbers
    ) -> dict[str, Any]:
        """Return the number of n-grams, and the metrics of both on test, which is read here."""
        task = self.setup.task
        made, state = both(task, *network, tokens_of(task.everything), shares)
        test = None
        if task.test and numbers["test"] is not None:
            net = Assembled(made)
            load(net, state)
            test = scored(net, task, task.test, device=self.setup.request.device, uncertain=True)
            self.say(f"both: test {task.metric} {test[task.metric]:.4f}")
        count = sum(len(value) for name, value in state.items() if ".ngrams.codes" in name)
        return {"test": test, "count": count}

    def _reading(self, winner: Result) -> float:
        """Return the time in which the network and n-grams read what they are asked for. [s]"""
        test = self.setup.task.test
        look = LOOK[self.setup.train.network.hyper.precision]
        segments = MOST_SEGMENTS + (0 if test is None else len(test))
        return BESIDE * look * self.lengths.example(winner) * segments


def both(
    task: Task, made: Plan, state: State, learnt: np.ndarray, shares: Sequence[float]
) -> tuple[Plan, State]:
    """Return plan and weights of a language model beside n-grams.

    Args:
        task: of the text.
        made: plan of the network alone.
        state: its weights.
        learnt: text of the n-grams [N].
        shares: of the network.
    """
    first = beginning(dict(task.reading))
    found = tables(learnt, task.outputs, first)
    return with_ngrams(made, found, shares, first), state_with_ngrams(state, found)
