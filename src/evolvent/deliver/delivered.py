"""The folder that a search hands over: a network or a row of a table, with its card.

A run has one in ``best/``: its winner. Any candidate whose weights were kept can be exported beside it,
as the search trained it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.setup import Setup
from ..engine.alarms import shared_weights
from ..engine.store import Store
from ..engine.weights import Weights
from ..errors import RunError
from ..files import new_folder
from ..network.build import Assembled, plan, weights
from ..network.cost import cost
from ..network.fit import load
from ..network.plan import Plan, with_temperature
from ..ranking import rank
from ..types import Result, State
from . import card as cards
from . import export
from .card import Card, Control
from .card.baselines import Baseline, verdict
from .card.ngrams import NGrams
from .card.table import SINGLE
from .finals import Finals
from .front import front_of
from .held_out import LATE, errors_of, held_out, importance, interval_of
from .members import plan_of
from .members import weights_of as weights_of_members
from .onnx import Conversion
from .own import state_of
from .whole import averaged, whole_of

NO_NETWORK = "looked its candidates up in a table: there is no network to export"


def deliver_winner(
    folder: Path,
    setup: Setup,
    store: Store,
    outcome: Finals,
    patience: float | None = None,
    *,
    to: Path | None = None,
    beside: Mapping[str, Baseline] | None = None,
) -> Card:
    """Export the winner of a run, and write its card.

    Args:
        folder: of the run.
        setup: of the run, with its data.
        store: its log.
        outcome: of the final trainings.
        patience: how long ONNX and the proof may take; None is as long as it needs. [s]
        to: where to write it; None is ``best/`` of the run.
        beside: name -> baselines that were fitted beside it.
    """
    task, winner, best = setup.task, outcome.winner, to or folder / "best"
    stored, whole = Weights(folder / "weights"), whole_of(outcome)
    network = with_temperature(plan_of(setup, whole.members, outcome.size.views), whole.temperature)
    made, state = network, weights_of_members(stored, whole.members)
    if (several := outcome.ngrams) is not None:
        made, state = several.plan, several.state
    began = time.monotonic()
    reading, told = _held_out(setup, store, stored, outcome, (made, state), patience)
    if patience is not None:
        patience = max(0.0, patience - (time.monotonic() - began))
    proof = export.export(
        best,
        plan=made,
        state=state,
        task=task,
        more=reading,
        title=f"The network that {setup.recipe} found for {Path(task.name).name}.",
        provenance=f"Validation {task.metric} {whole.val_score:.4f}, "
        f"{whole.params:,} parameters, {winner['epochs']:g} epochs.",
        onnx=setup.train.onnx,
        proof=setup.train.proof,
        patience=patience,
    )
    results = store.results()
    card = Card(
        arch=outcome.arch,
        candidate=outcome.id,
        params=whole.params,
        flops=cost(network, task).flops if several is None else several.numbers["flops"],
        views=made.views,
        temperature=None if whole.temperature == 1.0 else whole.temperature,
        val_score=whole.val_score,
        test_score=whole.test.get(task.metric),
        same_weights=bool(outcome.kept),  # a final training has the validation data too
        kept=outcome.kept or None,
        size=dataclasses.asdict(outcome.size),
        test_metrics=whole.test or winner["test"],
        test_reads=_test_reads(store, winner["test"]),
        search_score=outcome.search_score,
        train_seconds=whole.train_seconds,
        train_epochs=winner["epochs"],
        total_epochs=winner["total_epochs"],
        train_examples=winner["examples"],
        cut=winner["cut"],
        finalists=outcome.finalists,
        controls=_controls(outcome, task.metric),
        averaged=averaged(setup, outcome),
        ngrams=_ngrams(outcome),
        random_is_the_winner=outcome.random_won,
        known=outcome.known,
        known_is_the_winner=outcome.known_won,
        seed=setup.request.seed,
        front=front_of(setup, results),
        shared_weights=shared_weights(setup.schedule.horizon, store),
        baselines=dict(beside or {}),
        **told,
        **_of_search(setup, store, results),
        **_of_network(setup),
        **proof,
    )
    card = dataclasses.replace(card, verdict=verdict(card))
    cards.write(card, best)
    return card


def deliver_as_is(
    folder: Path,
    setup: Setup,
    store: Store,
    patience: float | None = None,
    *,
    to: Path | None = None,
) -> Card:
    """Deliver the best of a search that is not trained any more; what solved the task comes first.

    That is a row of a table, where there is no network to export and test is one look-up, or a network
    whose weights are in its genes.

    Args:
        folder: of the run.
        setup: of the run, with its data.
        store: its log.
        patience: how long ONNX may take; None is as long as it needs. [s]
        to: where to write it; None is ``best/`` of the run.

    Raises:
        RunError: if no candidate has a score.
    """
    results = store.results()
    scored = [result for result in results if result.scored]
    if not scored:
        raise RunError("no candidate of the search has a score: `evolvent show` lists the reasons")
    solved = store.meta("solved")
    best = max(scored, key=lambda result: (result.candidate.id == solved, rank(result)))
    estimator: Any = setup.context().estimator
    test = estimator.test(best.candidate.arch) if "test" in estimator.gives else None
    lengths = getattr(estimator, "fidelities", ())  # a table may have a score at several
    card = Card(
        arch=best.candidate.arch,
        candidate=best.candidate.id,
        params=best.params,
        flops=best.flops,
        val_score=best.score,
        test_score=test,
        test_reads=_test_reads(store, test),
        same_weights=best.epochs == max(lengths, default=best.epochs),
        search_score=best.score,
        search_epochs=best.epochs,
        charged_seconds=round(sum(result.seconds for result in scored), 2),
        train_seconds=0.0,
        looked_up="network" not in estimator.gives,
        solved=solved is not None if "goal" in estimator.gives else None,
        seed=setup.request.seed,
        front=front_of(setup, results),
        **_of_search(setup, store, results),
    )
    to = to or folder / "best"
    to.mkdir(exist_ok=True)
    if not card.looked_up:
        card = dataclasses.replace(card, **_export_genes(to, setup, best, card, patience))
    cards.write(card, to)
    return card


def _export_genes(
    to: Path, setup: Setup, best: Result, card: Card, patience: float | None
) -> dict[str, Any]:
    """Export the network of a result with the weights that its architecture carries."""
    space, task, arch = setup.space, setup.task, best.candidate.arch
    made = plan(space, arch, task, setup.train.network.size)
    proof = export.export(
        to,
        onnx=setup.train.onnx,
        proof=setup.train.proof,
        patience=patience,
        plan=made,
        state=weights(space, arch),
        task=task,
        title=f"The network that {setup.recipe} found for {task.name}.",
        provenance=f"{task.metric} {best.value:.4f}, candidate {best.candidate.id} of {card.trials}.",
    )
    told = {"flops": cost(made, task).flops, "metrics": dict(best.metrics)}
    return told | _of_network(setup) | proof


def export_candidate(
    run: Path,
    setup: Setup,
    store: Store,
    result: Result,
    state: State,
    to: Path,
    *,
    onnx: bool = False,
) -> Card:
    """Export a candidate as the search trained it, and write its card.

    Args:
        run: the folder of the run.
        setup: of the run, with its data.
        store: its log.
        result: of the candidate.
        state: its weights, from `weights_of`.
        to: an empty folder.
        onnx: whether to write ``model.onnx`` too.
    """
    id, task = result.candidate.id, setup.task
    made = plan(setup.space, result.candidate.arch, task, setup.network.size)
    proof = export.export(
        to,
        onnx=onnx,
        plan=made,
        state=state,
        task=task,
        title=f"Candidate {id} of a search by {setup.recipe} on {Path(task.name).name}.",
        provenance=f"Validation {task.metric} {result.value:.4f}, {result.params:,} parameters, "
        f"{result.total_epochs:g} epochs, as the search trained it.",
    )
    card = Card(
        run=str(run),
        arch=result.candidate.arch,
        candidate=id,
        params=result.params,
        flops=cost(made, task).flops,
        views=made.views,
        val_score=result.score,
        same_weights=True,
        metrics=dict(result.metrics),
        search_score=result.score,
        search_epochs=result.epochs,
        train_epochs=result.epochs,
        total_epochs=result.total_epochs,
        train_seconds=result.metrics.get("train_seconds", result.seconds),
        seed=result.seed,
        **_of_search(setup, store, store.results()),
        **_of_network(setup),
        **proof,
    )
    cards.write(card, to)
    return card


def weights_of(run: Path, setup: Setup, result: Result) -> State:
    """Return the weights that the search gave a candidate.

    Raises:
        RunError: if there is no network of it, or its weights were not kept.
    """
    id, arch = result.candidate.id, result.candidate.arch
    if setup.task.kind == "table":
        raise RunError(f"{run} {NO_NETWORK}")
    if not result.ok or result.candidate.kind != "trial":
        what = result.reason or f"it was a {result.candidate.kind}"
        raise RunError(
            f"candidate {id} has no trained network ({what}): choose another --candidate"
        )
    space = setup.space
    if "weighted" in space.gives:  # they are genes
        return weights(space, arch)
    weights_ = Weights(run / "weights")
    if setup.parts.stateful or not weights_.has(str(id)):
        raise RunError(
            f"the weights of candidate {id} were not kept: evolvent train {run} --candidate {id} "
            "--epochs E --out FOLDER trains it (estimator.keep=true keeps those of a new search)"
        )
    return state_of(weights_, str(id))


def copy(best: Path, to: Path, *, onnx: bool = False) -> Card:
    """Copy a delivered network to a folder of its own; return its card.

    Args:
        best: the folder of the run's network.
        to: a new or empty folder.
        onnx: whether to write ``model.onnx`` there, if the run has none.

    Raises:
        RunError: if `to` is not a new or empty folder.
    """
    new_folder(to)
    for file in sorted(best.iterdir()):
        if file.is_file():  # loading model.py here leaves a folder of Python's beside it
            shutil.copyfile(file, to / file.name)
    card = Card.from_json(json.loads((to / "card.json").read_text()))
    if onnx and not (to / "model.onnx").is_file():
        card = dataclasses.replace(card, **Conversion(to).result())
        cards.write(card, to)
    return card


def _held_out(
    setup: Setup,
    store: Store,
    weights: Weights,
    outcome: Finals,
    made: tuple[Plan, State],
    patience: float | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entries of ``reading.json`` and of the card about a table's held-out rows.

    Args:
        setup: of the run, with its data.
        store: its log.
        weights: of the run.
        outcome: of the final trainings.
        made: plan and weights of the network that is delivered.
        patience: time left for the export, of which this takes a part. [s]
    """
    task = setup.task
    # inputs of a series are no columns, and rows that follow each other give no such intervals
    columns = bool(task.reading.get("columns")) and task.kind == "numbers" and not task.ahead
    quantity = task.loss == "mse" and task.outputs == 1
    beside = columns and setup.train.controls
    if not (beside or (columns and quantity)):
        return {}, {}
    # the worth of columns alone is not worth a training
    held = held_out(setup, store, weights, outcome, patience, train=quantity)
    if held is None:
        return {}, {"interval": {"level": None, "note": LATE}} if quantity else {}
    told: dict[str, Any] = {}
    if beside:
        told["importance"] = importance(held, task, setup.budget.seconds, setup.request.seed)
    if not quantity:
        return {}, told
    errors, net = errors_of(held, task), Assembled(made[0])
    load(net, made[1])
    given: Any = {"rows": len(task.validation), "delivered": held.delivered}
    told["interval"] = interval_of(errors, net.eval(), task, **given)
    return {"interval": errors}, told


# ---- parts of a card -----------------------------------------------------------------------------


def _of_search(setup: Setup, store: Store, results: Sequence[Result]) -> dict[str, Any]:
    """Return the entries of every card about its search."""
    return {
        "task": setup.request.task,
        "recipe": setup.recipe,
        "metric": setup.task.metric,
        "trials": sum(result.counts for result in results),
        "search_seconds": round(store.spent("search"), 2),
        "data": dict(setup.data),
        "versions": dict(setup.versions),
    }


def _test_reads(store: Store, test: Any) -> int | None:
    """Return the number of times that a run read test, this one included; None without test data."""
    return None if test is None or test == {} else int(store.meta("tested") or 0) + 1


def _of_network(setup: Setup) -> dict[str, Any]:
    """Return the entries of a card about inputs and outputs of a network."""
    task = setup.task
    return {"classes": tuple(task.classes), "input_shape": tuple(task.input_shape)}


def _ngrams(outcome: Finals) -> NGrams | None:
    """Return the entry of a card about the n-grams beside its network; None without any."""
    if outcome.ngrams is None:
        return None
    told = outcome.ngrams.numbers
    return NGrams(
        count=told["count"],
        networks=told["weights"],
        gain=told["gain"],
        deviation=told["deviation"],
    )


def _controls(outcome: Finals, metric: str) -> dict[str, Control]:
    """Return the controls that were trained, by name."""
    first = {"random": outcome.random_of}
    trained = dict(outcome.controls)
    if outcome.ensemble is not None or outcome.ngrams is not None:
        trained = {SINGLE: outcome.winner, **trained}
    return {
        name: Control(
            params=numbers["params"],
            test_score=_test_score(numbers, metric),
            train_seconds=numbers["train_seconds"],
            train_epochs=numbers["epochs"],
            train_examples=numbers.get("examples"),
            cut=numbers["cut"],
            best_of_first_random=first.get(name),
        )
        for name, numbers in trained.items()
    }


def _test_score(numbers: Mapping[str, Any], metric: str) -> float | None:
    """Return the score of a final training on test data; None without any."""
    return numbers["test"][metric] if numbers["test"] else None
