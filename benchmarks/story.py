"""The story of the field in one table: how a search became cheap, step by step.

    python benchmarks/story.py [--budget 10m] [--epochs 4] [--seed 0] [--out runs/story] [--only TEXT]

One system per step, all on fashion-mnist with the same budget of time: full training at the final size,
small proxies that are stacked later, inherited weights, shared weights, gradients, sampled gradients.
Every winner, and random cells beside them, is then trained by one recipe (`evolvent train`, the same
epochs, the size of its row). The table has the search's core-minutes, the FLOPs that its trainings took
(three forward passes per example; two for a gradient by a mixture, one for a score), and accuracies.
A row that stands already in the folder is not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import evolvent as ev
from evolvent.full_training import train
from evolvent.network.build import plan
from evolvent.network.cost import cost, mixed_cost
from evolvent.parts import make_space, network_settings
from evolvent.run import Run
from evolvent.store import Store
from evolvent.task.named import load
from evolvent.types import stream

MEASURED = {"estimator": {"measures": ["flops"]}}
STEPS: dict[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "full training": ("amoebanet", {"estimator": {"width": 16, "cells": 2, "measures": ["flops"]}}),
    "small proxy, stacked": ("amoebanet", MEASURED),
    "inherited weights": ("large-scale-evolution", MEASURED),
    "shared weights": ("enas", {}),
    "gradient": ("darts", {}),
    "sampled gradient": ("gdas", {}),
}
FINAL = {"lr": 0.1, "clip": 5.0, "precision": "float32"}
DRAWS = 20  # random architectures whose mean cost stands for that of a sampled step


def flops_of_trials(run: Run, examples: int) -> float:
    """Return what the trainings of a search took."""
    return sum(
        3.0 * examples * result.epochs * result.flops
        for result in run.results()
        if result.flops is not None
    )


def flops_of_steps(run: Run, task: Any) -> float:
    """Return what the steps on shared weights took."""
    space, size = make_space(run.config, task), network_settings(run.config, "estimator")["size"]
    mixed = mixed_cost(space, task, size)
    every = mixed.base.flops + sum(float(rows.sum()) for rows in mixed.flops.values())
    archs = [space.sample(stream("story", index)) for index in range(DRAWS)]
    single = float(np.mean([cost(plan(space, arch, task, size), task).flops for arch in archs]))
    each = every if run.config["strategy"]["name"] == "darts" else single
    store = Store(run.folder / "run.db")
    steps = store.steps()
    store.close()
    batch = run.config["estimator"]["batch"]
    total = 0.0
    for step in steps:
        budget = step.candidate.budget
        judged = 2.0 if step.gradient is not None else 1.0
        passes = 3.0 * (budget.train_batches or 0) + judged * (budget.validation_batches or 0)
        total += passes * batch * each
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/story"))
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    task = load("fashion-mnist")
    head = (
        "step",
        "recipe",
        "search [core min]",
        "search [TFLOP]",
        "parameters",
        "validation",
        "test",
    )
    print(" | ".join(head), flush=True)
    for step, (recipe, settings) in STEPS.items():
        if given.only not in step:
            continue
        folder = given.out / step.replace(", ", " ").replace(" ", "-")
        run = ev.search(
            "fashion-mnist",
            recipe=recipe,
            budget=given.budget,
            seed=given.seed,
            out=folder / "search",
            settings=settings,
            say=lambda line: None,
        )
        if not (folder / "net" / "card.json").is_file():
            train(
                folder / "search",
                epochs=given.epochs,
                out=folder / "net",
                settings={"train": FINAL},
            )
        card = json.loads((folder / "net" / "card.json").read_text())
        shared = "shared_weights" in run.card
        spent = flops_of_steps(run, task) if shared else flops_of_trials(run, len(task.train))
        cores = run.config.get("threads", 2) if shared else 2
        row = (
            step,
            recipe,
            f"{run.card['search_seconds'] * cores / 60:.1f}",
            f"{spent / 1e12:.2f}",
            f"{card['params']:,}",
            f"{card['val_score']:.4f}",
            f"{card['test_score']:.4f}",
        )
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
