"""Train one candidate of a run fully: longer, scaled up, or transferred to other data."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import export
from .card import new_folder
from .errors import EvolventError, RunError, SettingError
from .execute import LocalSlots
from .network.build import plan
from .network.cost import cost
from .resolve import EPOCHS, make_space, make_spec, network_settings, pace
from .run import Run
from .settings import parse_budget, validated
from .store import write_atomically
from .task.opening import open_task, settings_of
from .worker import Job, fit


def train(
    run: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    candidate: int | None = None,
    task: str | None = None,
    cells: int | None = None,
    width: int | None = None,
    epochs: float | None = None,
    budget: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a candidate from fresh weights on the training part, score it, export it.

    Args:
        run: the folder of the run that found it.
        out: a new or empty folder for the network.
        candidate: its id; None is the winner.
        task: other data of the same kind; shapes and classes are adapted. None is the run's own.
        cells: normal cells per stage. [count]
        width: channels of the first stage. [count]
        epochs: training length. [epochs]
        budget: training time instead of epochs, such as ``"10m"``.
        seed: of weights, order and augmentation.
        say: is told what happens.

    Returns:
        The card that stands in the folder.

    Raises:
        UserError: for an unknown candidate, a task of another kind, or a folder that holds files.
    """
    began, found, folder = time.monotonic(), Run(run), Path(out)
    config = found.config
    if (epochs is None) == (budget is None):
        raise SettingError("give either --epochs or --budget")
    _check("epochs", epochs, 0.001)
    _check("cells", cells, 0)
    _check("width", width, 1)
    seconds = None if budget is None else parse_budget(budget).seconds
    if budget is not None and seconds is None:
        raise SettingError(f"--budget {budget}: a training takes a time, such as 10m")
    own = config["request"]
    # how other data are split and read is theirs to say
    given = own["set"].get("task", {}) if task is None else {}
    settings = validated("task", given, settings_of(own["task"]))
    data = open_task(task or own["task"], settings)
    if not data.trainable:
        raise SettingError(f"{data.name} is a table: it is looked up, there is nothing to train")
    id = found.card["candidate"] if candidate is None else candidate
    result = next((r for r in found.results() if r.candidate.id == id), None)
    if result is None:
        raise RunError(f"{run} has no candidate {id}: evolvent show {run} lists them")
    arch, space = result.candidate.arch, make_space(config, data)
    network = network_settings(config, "train")
    given_size = {"cells": cells, "width": width}
    changes = {name: value for name, value in given_size.items() if value is not None}
    network["size"] = dataclasses.replace(network["size"], **changes)
    new_folder(folder, "--out")
    deadline = None
    if epochs is None and seconds is not None:
        deadline = began + seconds
        per_epoch = pace(space, arch, data, device=own["device"], **network) * len(data.train)
        epochs = min(0.9 * seconds / per_epoch, 10 * EPOCHS["final"])
    assert epochs is not None
    say(f"training candidate {id} for {epochs:.3g} epochs on {len(data.train):,} examples")
    named = dict(config["space"])
    job = Job("train", named.pop("name"), arch, epochs=epochs, test=True, seed=seed, **network)
    job = dataclasses.replace(job, space_settings=named, deadline=deadline)
    with LocalSlots(make_spec(config, data, seed, own["device"]), workers=1) as executor:
        outcome = executor.submit(fit, job).result()
    made, numbers = plan(space, arch, data, network["size"]), outcome.numbers
    difference = export.export(
        folder,
        plan=made,
        state=outcome.state,
        task=data,
        title=f"Candidate {id} of a search by {config['recipe']}, trained on {Path(data.name).name}.",
        provenance=f"{numbers['params']:,} parameters, {numbers['epochs']:g} epochs.",
    )
    if numbers["val"] is None:
        raise EvolventError("the training gave no score")
    card = {
        "task": task or own["task"],
        "recipe": config["recipe"],
        "run": str(found.folder),
        "candidate": id,
        "arch": arch,
        "size": dataclasses.asdict(network["size"]),
        "params": numbers["params"],
        "flops": cost(made, data).flops,
        "val_score": numbers["val"][data.metric],
        "test_score": numbers["test"][data.metric] if numbers["test"] else None,
        "metric": data.metric,
        "train_seconds": numbers["train_seconds"],
        "train_epochs": numbers["epochs"],
        "seed": seed,
        "parity_max_abs_diff": difference,
    }
    write_atomically(folder / "card.json", json.dumps(card, indent=1))
    return card


def _check(name: str, value: float | None, least: float) -> None:
    if value is not None and not value >= least:
        raise SettingError(f"--{name} {value:g}: at least {least:g}")
