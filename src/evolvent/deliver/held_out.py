"""Measures on held-out rows beside a delivered network: errors for intervals, worth of columns.

A final training learns from the validation rows too, so that the errors of its network there are too
small. Both are measured on a network of the winner's architecture that never learnt from them: the
weights that chose it, or else a training like the final one, on the training part alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..config.setup import Setup
from ..engine.store import Store
from ..engine.weights import Weights
from ..execute.worker import Job, fit_for
from ..network.build import Assembled
from ..network.fit import load
from ..task import Part, Task
from ..task.metrics import scale_of_task, score
from ..task.portable.bounds import bounds
from ..task.portable.features import width
from ..types import State
from .finals import Finals
from .members import Member, plan_of
from .own import own_weights, state_of

LEVEL = 0.9  # of the intervals that the card tells of
MOST_ERRORS = 1000  # that travel with the network [count]
MOST_ROWS = 2000  # that columns are permuted in [count]
REPEATS = 5  # permutations of each column
SHARE, LEAST, MOST = 0.02, 0.5, 10.0  # of the budget, and [s]: time for the permutations
BATCH = 250  # rows of a forward pass
LATE = "no time was left to train a network without the validation rows"


@dataclass(frozen=True)
class HeldOut:
    """A network that did not learn from the validation rows.

    Args:
        net: in eval mode.
        delivered: whether it is the network that is delivered.
    """

    net: Assembled
    delivered: bool


def held_out(
    setup: Setup,
    store: Store,
    weights: Weights,
    outcome: Finals,
    seconds: float | None,
    *,
    train: bool,
) -> HeldOut | None:
    """Return a network like the winner that did not learn from the validation rows.

    Args:
        setup: of the run, with its data.
        store: its log.
        weights: of the run.
        outcome: of the final trainings.
        seconds: left, or None. [s]
        train: whether one is trained where no weights are kept, in at most half of that time.

    Returns:
        None where there is none, and none is trained.
    """
    if outcome.kept and outcome.ensemble is None:
        made = Member(outcome.weights, outcome.arch, outcome.size)
        return HeldOut(_net(setup, made, state_of(weights, made.weights)), True)
    result = next(each for each in store.results() if each.candidate.id == outcome.id)
    seen = store.meta(f"trained/finalist-{outcome.id}")
    own = own_weights(setup, weights, result, seen)
    if own is not None:
        made = Member(own.name, outcome.arch, own.size)
        return HeldOut(_net(setup, made, state_of(weights, own.name)), False)
    most = None if seconds is None else seconds / 2
    if not train or (most is not None and outcome.winner["train_seconds"] > most):
        return None
    network = setup.train.network
    epochs, seed = outcome.winner["total_epochs"], outcome.winner["seed"]
    end = None if most is None else time.monotonic() + most
    how: Any = {"epochs": epochs, "seed": seed, "deadline": end}
    job = Job("held-out", outcome.arch, network.size, network.hyper, **how)
    trained = fit_for(setup.spec, setup.space, job)
    if trained.numbers["cut"]:
        return None
    made = Member("", outcome.arch, network.size)
    return HeldOut(_net(setup, made, trained.state), False)


def _net(setup: Setup, member: Member, state: State) -> Assembled:
    net = Assembled(plan_of(setup, [replace(member, size=replace(member.size, views=1))], 1))
    load(net, state)
    return net.eval()


def outputs_of(net: Assembled, x: np.ndarray) -> np.ndarray:
    """Return the outputs of a network on the CPU for inputs of a table. [N, outputs] float64"""
    with torch.inference_mode():
        found = [
            net(torch.from_numpy(np.array(x[at : at + BATCH]))) for at in range(0, len(x), BATCH)
        ]
    return np.asarray(torch.cat(found).double().numpy())


# ---- intervals -----------------------------------------------------------------------------------


def errors_of(held: HeldOut, task: Task) -> list[float]:
    """Return true value less prediction of the validation rows, sorted. [unit of the target]

    Of more than `MOST_ERRORS` those at even ranks.
    """
    part = task.validation
    found = np.sort((part.y - outputs_of(held.net, part.x)[:, 0]) * task.unit)
    if len(found) > MOST_ERRORS:
        ranks = np.round(np.linspace(0, len(found) - 1, MOST_ERRORS)).astype(int)
        found = found[ranks]
    return [float(f"{each:.8g}") for each in found]


def interval_of(
    errors: Sequence[float], net: Assembled, task: Task, *, rows: int, delivered: bool
) -> dict[str, Any]:
    """Return the entry of a card about intervals, test rows read as all other scores of the winner.

    Args:
        errors: of held-out rows, sorted. [unit of the target]
        net: that is delivered.
        task: with its data.
        rows: that the errors are of. [count]
        delivered: whether these are errors of the delivered network itself.
    """
    told: dict[str, Any] = {"rows": rows, "delivered": delivered, "caveat": task.division.caveat}
    try:
        low, high = bounds(errors, LEVEL)
    except ValueError as error:
        return told | {"level": None, "note": str(error)}
    told |= {"level": LEVEL, "width": high - low}
    if task.test is not None:
        missed = (task.test.y - outputs_of(net, task.test.x)[:, 0]) * task.unit
        told["coverage"] = float(((missed >= low) & (missed <= high)).mean())
        told["test_rows"] = len(missed)
    return told


# ---- importance ----------------------------------------------------------------------------------


def importance(held: HeldOut, task: Task, budget: float | None, seed: int) -> dict[str, Any]:
    """Return the fall of the score where the cells of a column are permuted among validation rows.

    Permutation importance (Breiman 2001; Fisher et al. 2019, 1801.01489). All inputs that a column
    became are permuted together.

    Args:
        held: the network.
        task: with its data; a table.
        budget: of the run, of which a fiftieth may be spent, 0.5 s to 10 s. [s]
        seed: of the permutations.

    Returns:
        ``metric``, ``rows``, ``repeats`` and ``columns``: name -> [mean, standard deviation], the
        largest first; ``left_out``: names that there was no time for.
    """
    rng, part = np.random.default_rng(seed), task.validation
    if len(part) > MOST_ROWS:
        part = part.taken(np.sort(rng.choice(len(part), MOST_ROWS, replace=False)))
    end = time.monotonic() + (MOST if budget is None else min(MOST, max(LEAST, SHARE * budget)))
    base, falls = _score(held, task, part, part.x), dict[str, list[float]]()
    places = _places(task.reading["columns"])
    for _ in range(REPEATS):
        order = rng.permutation(len(part))
        for name, place in places.items():
            if time.monotonic() > end:
                break
            x = np.array(part.x)
            x[:, place] = x[order, place]
            falls.setdefault(name, []).append(base - _score(held, task, part, x))
    whole = min((len(each) for each in falls.values()), default=0)
    columns = {
        name: [float(np.mean(each)), float(np.std(each, ddof=1)) if len(each) > 1 else None]
        for name, each in sorted(falls.items(), key=lambda item: -np.mean(item[1]))
    }
    return {
        "metric": task.metric,
        "rows": len(part),
        "repeats": whole,
        "columns": columns,
        "left_out": [name for name in places if name not in falls],
    }


def _score(held: HeldOut, task: Task, part: Part, x: np.ndarray) -> float:
    outputs = outputs_of(held.net, x)
    return score(task.metric, outputs, part.y, scale_of_task(task), part.weight)


def _places(columns: Sequence[Mapping[str, Any]]) -> dict[str, slice]:
    """Return the inputs that each column of a table became."""
    found, at = {}, 0
    for column in columns:
        found[column["name"]] = slice(at, at + width(column))
        at += width(column)
    return found
