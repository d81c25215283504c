"""The whole of a delivery: a list of networks, mostly of one, and its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.setup import Setup
from ..network.build import Assembled
from ..network.cost import cost, latency
from .card.averaged import Averaged
from .finals import Finals
from .members import Member, plan_of


@dataclass(frozen=True)
class Whole:
    """The network of a delivery.

    Args:
        members: that it is the mean of; of a single network, that one.
        params: of all together. [count]
        val_score: on validation data.
        test: metrics on test data; empty without any.
        train_seconds: of all their trainings. [s]
        temperature: of its probabilities.
    """

    members: Sequence[Member]
    params: int
    val_score: float
    test: Mapping[str, float]
    train_seconds: float
    temperature: float = 1.0


def whole_of(outcome: Finals) -> Whole:
    """Return the whole of a delivery."""
    numbers: Mapping[str, Any] = outcome.winner
    members: Sequence[Member] = (alone(outcome),)
    val_score = outcome.val_score
    if (several := outcome.ensemble) is not None:
        numbers, members = several.numbers, several.members
        (val_score,) = several.numbers["val"].values()
    elif outcome.ngrams is not None:
        told = outcome.ngrams.numbers
        numbers = {**numbers, "test": told["test"], "params": told["params"]}
    test = numbers["test"] or {}
    own = (numbers["params"], val_score, test, numbers["train_seconds"])
    return Whole(members, *own, numbers.get("temperature", 1.0))  # an older run noted none


def alone(outcome: Finals) -> Member:
    """Return the winner as a list of one has it."""
    return Member(outcome.weights, outcome.arch, outcome.size, candidate=outcome.id)


def averaged(setup: Setup, outcome: Finals) -> Averaged | None:
    """Return the entry of a card about an ensemble; None for a single network.

    Times of one input are measured here, one after the other.
    """
    several = outcome.ensemble
    if several is None:
        return None
    task = setup.task
    each = [cost(plan_of(setup, [member], several.views), task) for member in several.members]
    members = tuple(
        {
            "candidate": member.candidate,
            "arch": member.arch,
            "space": None if member.space is None else "plain",  # a control's
            "size": dataclasses.asdict(member.size),
            "params": made.params,
            "epochs": member.epochs,
            "weights": member.weights,
            "times": member.times,
        }
        for member, made in zip(several.members, each, strict=True)
    )
    single = plan_of(setup, [alone(outcome)], several.views)
    both = (plan_of(setup, several.members, several.views), single)
    times = [round(1000 * latency(Assembled(made), task), 3) for made in both]
    found = cost(single, task)
    return Averaged(
        members=members,
        gain=several.gain,
        deviation=several.deviation,
        params=found.params,
        flops=found.flops,
        latency_ms=times[0],
        single_latency_ms=times[1],
        kept=several.kept,
    )
