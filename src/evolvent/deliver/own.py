"""The finalist's own weights: those whose score chose it, and what is delivered if nothing is better.

A candidate that the search trained has the weights of that training; a finalist that was trained
longer for the choice has those too, and the better of the two on validation data are its own. On
shared weights no candidate has any of its own before the choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..config.setup import Setup
from ..engine.weights import Weights
from ..execute.worker import Job, fit_for
from ..network.build import Size, build
from ..network.fit import TRAINED, calibrated, load
from ..network.train import Hyperparameters
from ..types import Result, State

CHANCE = 2.0  # deviations of a score by which a final training must not fall behind


@dataclass(frozen=True)
class Own:
    """Weights of a finalist, with a score of these very weights.

    Args:
        name: under which they are stored.
        score: on validation data.
        epochs: of the training that gave them. [epochs]
        total_epochs: the same with what was inherited. [epochs]
        train_seconds: of that training. [s]
        cut: whether a deadline ended it.
        size: of the network.
        hyper: of that training.
    """

    name: str
    score: float
    epochs: float
    total_epochs: float
    train_seconds: float
    cut: bool
    size: Size
    hyper: Hyperparameters

    def least(self, count: float) -> float:
        """Return the lowest score with which a final training is not worse beyond chance.

        It is one on the validation rows, which the final training learns from and these weights did
        not: whoever is worse there is worse.

        Args:
            count: validation examples; where they have weights, `Part.effective`. [count]
        """
        if self.score < 0:  # of an error
            return self.score * (1 + CHANCE / math.sqrt(max(1, count)))
        share = min(1.0, max(0.0, self.score))
        errors = max(1.0, (1 - share) * count)
        return self.score - CHANCE * math.sqrt(max(share, 1 / count) * errors) / count


def own_weights(
    setup: Setup, weights: Weights, result: Result, seen: Mapping[str, Any] | None
) -> Own | None:
    """Return the own weights of a finalist; None if none were kept.

    Views of an image need no training: they are those of the final training in any case.

    Args:
        setup: of the run, with its data.
        weights: of the run.
        result: of the search.
        seen: numbers of its training for the choice, if there was one.
    """
    found, id = [], str(result.candidate.id)
    views = setup.train.network.size.views
    if not setup.parts.stateful and weights.has(id):
        size = replace(setup.network.size, views=views)
        seconds = float(result.metrics.get("train_seconds", result.seconds))
        lengths = (result.epochs, result.total_epochs, seconds, False)
        found.append(Own(id, result.value, *lengths, size, setup.network.hyper))
    if seen is not None and (longer := own_of_choice(setup, weights, result, seen)) is not None:
        found.append(longer)
    return max(found, key=lambda own: (own.score, own.total_epochs), default=None)


def own_of_choice(
    setup: Setup, weights: Weights, result: Result, seen: Mapping[str, Any]
) -> Own | None:
    """Return the weights of a finalist's training for the choice; None if they were not kept."""
    name = f"finalist-{result.candidate.id}"
    if not weights.has(name):
        return None
    network = setup.train.network
    lengths = (seen["epochs"], seen["total_epochs"], seen["train_seconds"], seen["cut"])
    score = seen["val"][setup.task.metric]
    return Own(name, score, *lengths, network.size, network.hyper)


def state_of(weights: Weights, name: str) -> State:
    """Return stored weights without what was noted beside them."""
    return {key: value for key, value in weights.read(name).items() if key != TRAINED}


def temperature_of(setup: Setup, weights: Weights, own: Own, result: Result) -> float:
    """Return the temperature of own weights, for which validation is read here."""
    net = build(setup.space, result.candidate.arch, setup.task, own.size)
    load(net, state_of(weights, own.name))
    return calibrated(net, setup.task, setup.task.validation, device=setup.request.device)


def tested(
    setup: Setup, weights: Weights, own: Own, result: Result, temperature: float
) -> dict[str, Any]:
    """Return the numbers of own weights, with their test scores, which are read here.

    This process does it: no worker needs to start for it.

    Args:
        setup: of the run, with its data.
        weights: of the run.
        own: what is tested.
        result: of the search.
        temperature: of its probabilities.
    """
    job = Job(
        "own",
        arch=result.candidate.arch,
        size=own.size,
        hyper=own.hyper,
        epochs=0.0,
        everything=True,
        test=True,
        seed=result.seed,
        state=state_of(weights, own.name),
        temperature=temperature,
    )
    return fit_for(setup.spec, setup.space, job).numbers | {
        "epochs": own.epochs,
        "total_epochs": own.total_epochs,
        "train_seconds": own.train_seconds,
        "examples": len(setup.task.train),
        "cut": own.cut,
    }
