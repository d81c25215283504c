"""N-grams beside the language model that is delivered, where the weighted mean of both is better.

Where several networks may be delivered as one (`train.ensemble`), the controls that had a final
training are in the mean too, those that it is better with.

How all are weighed is found on text that none learnt from: segments that final trainings leave out
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
from ..network.build import Assembled
from ..network.cost import cost, params
from ..network.data import loader
from ..network.fit import MOST_SEGMENTS, final_parts, load, scored
from ..network.ngrams import (
    chances_of_targets,
    mean_of,
    shares_of,
    state_with_ngrams,
    tables,
    with_ngrams,
)
from ..network.plan import Plan
from ..task.language import tokens_of
from ..task.portable.running import beginning
from ..types import Result, State
from .members import Member, plan_of
from .own import state_of
from .timing import Lengths
from .trainings import Numbers, Trainings

NAME = "ngrams"  # of its numbers
WINNER = "winner"  # of the weights of a final training
NONE: Numbers = {"names": [], "shares": []}  # where the winner alone is as good
CONTROLS = 3  # that may be averaged as well, at most [count]
DEVIATIONS = 2.0  # of a gain: what the luck of the draw explains


@dataclass(frozen=True)
class Beside:
    """N-grams, and perhaps other networks, that are delivered beside the winner.

    Args:
        plan: of all as one network.
        state: its weights.
        numbers: ``names`` of the networks, the winner first, their ``weights`` in the mean over the
            text by which they were found, ``count`` of n-grams, ``params`` and ``flops`` of all,
            ``gain`` over the winner alone there with its ``deviation``, and the metrics of ``test``.
    """

    plan: Plan
    state: State
    numbers: Numbers


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

    def reserve(self, winner: Result) -> None:
        """Keep time free to weigh all and to read test with them."""
        if self.trainings.weighs_ngrams and self.trainings.known(NAME) is None:
            self.lengths.timing.reserved = self._reading(winner)

    def complete(
        self, winner: Member, controls: Sequence[Member], numbers: Numbers
    ) -> Beside | None:
        """Return the n-grams and networks beside the winner, with the scores of all; None for nothing.

        Args:
            winner: as it would be delivered alone.
            controls: that had a final training, on the same rows.
            numbers: of the training of the winner.
        """
        self.lengths.timing.reserved = 0.0
        if not self.trainings.weighs_ngrams:
            return None
        others = controls if self.setup.train.ensemble else ()
        members = {each.weights: each for each in (winner, *others)}
        known, began = self.trainings.known(NAME), time.monotonic()
        weighed = known or self._weighed(list(members.values()), kept=winner.weights != WINNER)
        chosen = [members[name] for name in weighed["names"]]
        text = tokens_of(self.setup.task.everything)
        made = self._together(chosen, text, weighed["shares"]) if chosen else None
        if known is None:
            if made is not None:
                weighed = weighed | self._measured(chosen, *made, numbers)
            seconds = round(time.monotonic() - began, 3)
            self.store.note(f"trained/{NAME}", weighed | {"seconds": seconds})
        return None if made is None else Beside(*made, weighed)

    def _weighed(self, members: Sequence[Member], *, kept: bool) -> dict[str, Any]:
        """Return names and shares of the networks of the mean; none if the winner alone is as good."""
        task = self.setup.task
        train, held = (task.train, task.validation) if kept else final_parts(task, hold=True)
        held = held.taken(np.arange(min(len(held), MOST_SEGMENTS)))
        if not len(held):
            return NONE
        made, state = self._together(members, tokens_of(train), ())
        net = Assembled(made)
        load(net, state)
        data = loader(task, held, device=self.setup.request.device)
        networks, ngrams, there = chances_of_targets(net, data)
        picked = _picked(networks, ngrams, there)
        shares = shares_of(networks[picked], ngrams, there)
        mean = mean_of(shares, networks[picked], ngrams, there)
        gain, deviation = _gain(mean, networks[0])
        if gain <= DEVIATIONS * deviation:
            return NONE
        names = [members[at].weights for at in picked]
        share = np.array(shares)[there].mean(0)
        self.say(
            f"n-grams beside {', '.join(names)}: {task.metric} by {gain:.4f} +- {deviation:.4f} better"
        )
        weights = dict(zip(names, share.tolist(), strict=True))
        return {"names": names, "shares": shares, "weights": weights} | {
            "gain": gain,
            "deviation": deviation,
        }

    def _measured(
        self, members: Sequence[Member], made: Plan, state: State, numbers: Numbers
    ) -> dict[str, Any]:
        """Return the numbers of all together, the metrics on test among them, which is read here."""
        task, net, test = self.setup.task, Assembled(made), None
        if task.test and numbers["test"] is not None:
            load(net, state)
            test = scored(net, task, task.test, device=self.setup.request.device, uncertain=True)
            self.say(f"all together: test {task.metric} {test[task.metric]:.4f}")
        count = sum(len(value) for name, value in state.items() if ".ngrams.codes" in name)
        # looking up n-grams costs none
        flops = sum(cost(plan_of(self.setup, [each], 1), task).flops for each in members)
        return {"test": test, "count": count, "params": params(net), "flops": flops}

    def _together(
        self, members: Sequence[Member], learnt: np.ndarray, shares: Sequence[Sequence[float]]
    ) -> tuple[Plan, State]:
        """Return plan and weights of language models beside n-grams.

        Args:
            members: the networks.
            learnt: text of the n-grams [N].
            shares: of every network, by the tokens that the n-grams know before a token. [0..1]
        """
        task = self.setup.task
        first = beginning(dict(task.reading))
        found = tables(learnt, task.outputs, first)
        plans = [plan_of(self.setup, [each], 1) for each in members]
        states = [state_of(self.weights, each.weights) for each in members]
        name = plans[0].network.output
        made = with_ngrams(plans, found, shares, first)
        return made, state_with_ngrams(states, found, name)

    def _reading(self, winner: Result) -> float:
        """Return the time in which all read what they are asked for. [s]"""
        test = self.setup.task.test
        segments = MOST_SEGMENTS + (0 if test is None else len(test))
        networks = 1 + (CONTROLS if self.setup.train.ensemble else 0)
        look = self.lengths.look * self.lengths.example(winner)
        return (networks + 1) * look * segments


def _picked(networks: np.ndarray, ngrams: np.ndarray, known: np.ndarray) -> list[int]:
    """Return the networks that the mean is better with, one after the other, the winner first."""

    def mean(picked: list[int]) -> np.ndarray:
        some = networks[picked]
        return mean_of(shares_of(some, ngrams, known), some, ngrams, known)

    picked, left = [0], list(range(1, len(networks)))
    best = mean(picked)
    while left:
        means = {at: mean([*picked, at]) for at in left}
        first = max(means, key=lambda at: float(np.log(means[at]).mean()))
        gain, deviation = _gain(means[first], best)
        if gain <= DEVIATIONS * deviation:
            break
        picked, best = [*picked, first], means[first]
        left.remove(first)
    return picked


def _gain(mean: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the gain in mean log-likelihood of one set of probabilities [N] over another [nats]."""
    gains = np.log(mean) - np.log(np.maximum(other, 1e-300))
    return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
