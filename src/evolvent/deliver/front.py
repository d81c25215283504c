"""The candidates among which a user chooses: the front of a search, and any of them exported.

What a front has no single answer to is the user's to decide, so every candidate whose weights were
kept can be exported as the search trained it, without another training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.parts import make_space, network_settings, objectives
from ..engine.weights import Weights
from ..errors import RunError
from ..estimator.full import TRAINED
from ..files import write_atomically
from ..network.build import plan, weights
from ..network.cost import cost
from ..ranking import rung
from ..strategy.pareto import costs
from ..task import AnyTask, NetworkTask
from ..types import Result, State
from . import export


def front(results: Sequence[Result], minimise: Sequence[str]) -> dict[int, tuple[float, ...]]:
    """Return the trials of the longest training that no other beats in score and in every metric.

    Args:
        results: of a search.
        minimise: metrics of a result to keep low, or ``params``, ``flops``, ``seconds``.

    Returns:
        Id -> its metrics, in the order of the first of them.
    """
    import moocore

    told = [result for result in results if result.scored]
    longest = max((rung(result.candidate) for result in told), default=0.0)
    points = {
        r.candidate.id: (-r.value, *costs(r, minimise))
        for r in told
        if rung(r.candidate) == longest and math.isfinite(sum(costs(r, minimise)))
    }
    if not points:
        return {}
    keeps = moocore.is_nondominated(np.array(list(points.values())))
    found = {id: point[1:] for (id, point), keep in zip(points.items(), keeps, strict=True) if keep}
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0])))


def of_card(config: Mapping[str, Any], task: AnyTask, results: Sequence[Result]) -> dict[str, Any]:
    """Return what a card says of the front; nothing for a search with one goal."""
    minimise = objectives(config, task)
    if not minimise:
        return {}
    scores = {r.candidate.id: r.score for r in results}
    points = [
        {"id": id, "score": scores[id]} | dict(zip(minimise, values, strict=True))
        for id, values in front(results, minimise).items()
    ]
    return {"front": {"minimise": list(minimise), "points": points}}


def page(card: Mapping[str, Any]) -> str:
    """Return the front of a card as a part of its page; nothing where it has none."""
    if "front" not in card:
        return ""
    names = card["front"]["minimise"]
    lines = [
        "",
        f"## The front: {card['metric']} against {', '.join(names)}",
        "",
        f"| candidate | validation {card['metric']} | {' | '.join(names)} |",
        f"| --: | --: |{' --: |' * len(names)}",
    ]
    for point in card["front"]["points"]:
        values = " | ".join(_shown(point[name]) for name in names)
        lines.append(f"| {point['id']} | {point['score']:.4f} | {values} |")
    said = (
        "No candidate of the search beats one of these in all columns; scores are the search's own."
    )
    if "latency_ms" in names:
        said += (
            " Latency is the median of a few passes on the machine and beside the processes of the "
            "search: it compares candidates roughly, and is no promise for another machine."
        )
    if not card.get("looked_up"):
        said += (
            " `evolvent export RUN --candidate ID --to FOLDER` gives one as the search trained it, "
            "`evolvent train RUN --candidate ID --epochs E --out FOLDER` trains it fully."
        )
    return "\n".join([*lines, "", said, ""])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def weights_of(run: Path, config: Mapping[str, Any], task: AnyTask, result: Result) -> State:
    """Return the weights that the search gave a candidate.

    Raises:
        RunError: if there is no network of it, or its weights were not kept.
    """
    id, arch = result.candidate.id, result.candidate.arch
    if task.kind == "table":
        raise RunError(f"{run} looked its candidates up in a table: there is no network to export")
    if not result.ok or result.candidate.kind != "trial":
        what = result.reason or f"it was a {result.candidate.kind}"
        raise RunError(
            f"candidate {id} has no trained network ({what}): choose another --candidate"
        )
    space = make_space(config, task)
    if "weighted" in space.gives:  # they are genes
        return weights(space, arch)
    state = Weights(run / "weights").of([id]).get(id)
    if state is None:
        raise RunError(
            f"the weights of candidate {id} were not kept: evolvent train {run} --candidate {id} "
            "--epochs E --out FOLDER trains it (estimator.keep=true keeps those of a new search)"
        )
    return {name: value for name, value in state.items() if name != TRAINED}


def export_candidate(
    run: Path,
    config: Mapping[str, Any],
    task: NetworkTask,
    result: Result,
    state: State,
    to: Path,
    *,
    onnx: bool = False,
) -> dict[str, Any]:
    """Write the network of a candidate, as the search trained it, with a card; return the card.

    Args:
        run: the folder of the run.
        config: its resolved settings.
        task: its data.
        result: of the candidate.
        state: its weights, from `weights_of`.
        to: an empty folder.
        onnx: whether to write ``model.onnx`` too.
    """
    id = result.candidate.id
    size = network_settings(config, "estimator")["size"]
    made = plan(make_space(config, task), result.candidate.arch, task, size)
    card = {
        "task": config["request"]["task"],
        "recipe": config["recipe"],
        "run": str(run),
        "arch": result.candidate.arch,
        "candidate": id,
        "params": result.params,
        "flops": cost(made, task).flops,
        "val_score": result.score,
        "test_score": None,
        "metric": task.metric,
        "metrics": dict(result.metrics),
        "train_epochs": result.epochs,
        "total_epochs": result.total_epochs,
        "train_seconds": result.metrics.get("train_seconds", result.seconds),
        "seed": result.seed,
    }
    card |= export.export(
        to,
        onnx=onnx,
        plan=made,
        state=state,
        task=task,
        title=f"Candidate {id} of a search by {config['recipe']} on {Path(task.name).name}.",
        provenance=f"Validation {task.metric} {result.value:.4f}, {result.params:,} parameters, "
        f"{result.total_epochs:g} epochs, as the search trained it.",
    )
    write_atomically(to / "card.md", _candidate_page(card))
    write_atomically(to / "card.json", json.dumps(card, indent=1))
    return card


def _candidate_page(card: Mapping[str, Any]) -> str:
    return (
        f"# Candidate {card['candidate']} for {Path(card['task']).name}\n\n"
        f"Found by `{card['recipe']}` in `{card['run']}`: validation {card['metric']} "
        f"{card['val_score']:.4f}, {card['params']:,} parameters, "
        f"{card['flops']:,} FLOPs per input.\n\n"
        f"These are the weights of the search, {card['total_epochs']:.3g} epochs; test was not read. "
        "`evolvent train` trains it fully and reads test once.\n"
    )
