"""N-grams beside the language model that is delivered, where the mean of both is better.

The share of the network is found on the validation part, with the weights that were chosen and with
n-grams of the training part, which are the two that have not seen it. What is delivered has n-grams of
both parts, whichever weights the network has: counting costs no time. Controls stay networks alone, and
so does the winner among them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..network.build import Assembled, Size, plan
from ..network.data import loader
from ..network.fit import load, scored
from ..network.ngrams import (
    MOST_TOKENS,
    chances_of_targets,
    shares_of,
    state_with_ngrams,
    tables,
    with_ngrams,
)
from ..network.plan import Plan
from ..task import Part, Task
from ..task.language import tokens_of
from ..task.portable.running import beginning
from ..types import Arch, Result, State
from .own import Own, state_of
from .timing import LOOK, Lengths
from .trainings import Numbers, Trainings

NAME = "ngrams"  # of its note and its numbers
BESIDE = 2.0  # times as long as the network alone takes to read a text
LOOKING_SHARE = 0.05  # of the time that is left: the most that finding the shares may take
LEAST_SEGMENTS = 32  # that they are found by [count]
DEVIATIONS = 2.0  # of a gain: what the luck of the draw explains


@dataclass(frozen=True)
class Beside:
    """N-grams that are delivered beside the network.

    Args:
        shares: of the network, by the tokens that the n-grams know before a token. [0..1]
        count: n-grams that are delivered.
        gain: on validation over the network alone, by its metric.
        deviation: of that gain.
        numbers: of both together: ``val`` and ``test``.
    """

    shares: tuple[float, ...]
    count: int
    gain: float
    deviation: float
    numbers: Numbers


@dataclass
class Interpolation:
    """Finds how a network and n-grams are weighed, and reads test for both together.

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
        return len(_learnt(task, whole=True)) <= MOST_TOKENS

    def settle(self, winner: Result, own: Own | None) -> None:
        """Find the shares, once per run, and keep time free to read test with both."""
        if not self.is_asked_for:
            return
        if self.store.meta(NAME) is None:
            self.store.note(NAME, self._found(winner, own))
        if self.store.meta(NAME) and self.trainings.known(NAME) is None:
            self.lengths.timing.reserved = self._reading(winner, self.setup.task.test)

    def _found(self, winner: Result, own: Own | None) -> dict[str, Any]:
        """Return shares and gain as they are noted; nothing where n-grams are not delivered."""
        task = self.setup.task
        if own is None:
            self.say(
                "no n-grams beside the network: no weights of the training part alone were kept"
            )
            return {}
        arch, size = winner.candidate.arch, own.size
        made, state = self._both(arch, size, own.name, (), whole=False)
        net = Assembled(made)
        load(net, state)
        part = self._affordable(winner)
        data = loader(task, part, device=self.setup.request.device)
        network, ngrams, known = chances_of_targets(net, data)
        shares = shares_of(network, ngrams, known)
        both = np.log(np.array(shares)[known] * network + (1 - np.array(shares)[known]) * ngrams)
        gains = both - np.log(network)
        gain, deviation = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
        self.say(
            f"n-grams beside the network: validation {task.metric} {both.mean():.4f} for "
            f"{np.log(network).mean():.4f}"
        )
        if gain <= DEVIATIONS * deviation:
            return {}
        return {"shares": shares, "val": own.score + gain, "gain": gain, "deviation": deviation}

    def complete(self, winner: Result, size: Size, name: str, numbers: Numbers) -> Beside | None:
        """Return the n-grams of the delivery with the scores of both; None without any.

        Args:
            winner: of the choice.
            size: of the network that is delivered.
            name: of its weights.
            numbers: of the training that gave them.
        """
        self.lengths.timing.reserved = 0.0
        told = self.store.meta(NAME)
        if not told:
            return None
        task, known = self.setup.task, self.trainings.known(NAME)
        if known is None:
            began = time.monotonic()
            made, state = self._both(winner.candidate.arch, size, name, told["shares"], whole=True)
            net = Assembled(made)
            load(net, state)
            test = None
            if task.test and numbers["test"] is not None:
                test = scored(
                    net, task, task.test, device=self.setup.request.device, uncertain=True
                )
            known = {"val": {task.metric: told["val"]}, "test": test, "cut": False}
            known |= {"count": _count(state), "epochs": numbers["epochs"]}
            known |= {"seconds": round(time.monotonic() - began, 3)}
            self.trainings.note(NAME, known)
        own = (tuple(told["shares"]), known["count"], told["gain"], told["deviation"])
        return Beside(*own, known)

    def _both(
        self, arch: Arch, size: Size, name: str, shares: Sequence[float], *, whole: bool
    ) -> tuple[Plan, State]:
        made = plan(self.setup.space, arch, self.setup.task, size)
        return both(self.setup.task, made, state_of(self.weights, name), shares, whole=whole)

    def _affordable(self, winner: Result) -> Part:
        """Return the beginning of the validation part, as much as there is time to read."""
        whole: Part = self.setup.task.validation
        each = self._reading(winner, whole) / len(whole)
        count = LOOKING_SHARE * max(0.0, self.lengths.timing.left) / max(each, 1e-9)
        return whole.taken(np.arange(min(len(whole), max(LEAST_SEGMENTS, int(min(count, 1e9))))))

    def _reading(self, winner: Result, part: Any) -> float:
        """Return the time in which the network and n-grams read a part of the text. [s]"""
        look = LOOK[self.setup.train.network.hyper.precision]
        return BESIDE * look * self.lengths.example(winner) * (0 if part is None else len(part))


def both(
    task: Task, made: Plan, state: State, shares: Sequence[float], *, whole: bool = True
) -> tuple[Plan, State]:
    """Return plan and weights of a language model beside n-grams.

    Args:
        task: whose text they are of.
        made: plan of the network alone.
        state: its weights.
        shares: of the network.
        whole: whether the n-grams are of the validation part as well.
    """
    first = beginning(dict(task.reading))
    found = tables(_learnt(task, whole=whole), task.outputs, first)
    return with_ngrams(made, found, shares, first), state_with_ngrams(state, found)


def _learnt(task: Task, *, whole: bool) -> np.ndarray:
    text = tokens_of(task.train)
    return np.concatenate([text, tokens_of(task.validation)]) if whole else text


def _count(state: Mapping[str, np.ndarray]) -> int:
    return sum(len(value) for name, value in state.items() if ".ngrams.codes" in name)
