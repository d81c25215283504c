"""The story of the field in one table: how a search became cheap, step by step.

    python benchmarks/story.py [--budget 10m] [--epochs 4] [--random 3] [--seed 0] [--out runs/story]
                               [--only TEXT]

One system per step, all on fashion-mnist with the same budget of time, all but nothing of it for the
delivery: full training at the final size, small proxies that are scaled up later, inherited weights,
shared weights, gradients, sampled gradients. Every winner is then trained by one recipe (`evolvent
train`, the same epochs; cells at the same final size, a network that grew whole as it is), and so are
the first random cells that the search by small proxies tried. All cells are of one space, that of
DARTS, so that their rows differ in the search alone. The table has the search's core-minutes, the
FLOPs that its trainings took (three forward passes per example; two for a gradient by a mixture, one
for a score), and accuracies. A row that stands already in the folder is not run again. `--only` takes
the beginning of a step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import evolvent as ev
from evolvent.config.recipes import RECIPES
from evolvent.engine.store import Store
from evolvent.execute import cores
from evolvent.network.build import plan
from evolvent.network.cost import cost, mixed_cost
from evolvent.run import Run
from evolvent.task.named import load
from evolvent.training import train
from evolvent.types import stream

WIDTH = 16  # of every network of cells at the end [channels]; others have their own, None
CELL = RECIPES["darts"].settings["space"]  # one space of cells, so that rows differ in the search
MEASURED = {"measures": ["flops"]}
#: Recipe, settings of the part `estimator`, width at the end.
STEPS: dict[str, tuple[str, Mapping[str, Any], int | None]] = {
    "full training": ("amoebanet", MEASURED | {"width": WIDTH}, WIDTH),
    "small proxy, scaled up": ("amoebanet", MEASURED, WIDTH),
    "inherited weights": ("large-scale-evolution", MEASURED, None),
    "shared weights": ("enas", {}, WIDTH),
    "gradient": ("darts", {}, WIDTH),
    "sampled gradient": ("gdas", {}, WIDTH),
}
FULL = "full training"  # the step whose trials train as long as a winner does
#: The run's own delivery, which the one recipe makes superfluous.
LITTLE = {"share": 0.1, "finalists": 1, "epochs": 0.05, "controls": False}
FINAL = {"lr": 0.1, "clip": 5.0, "precision": "float32"}
RANDOM_OF = "small proxy, scaled up"  # the step whose first candidates are the random control
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
    setup = run.setup.on(task)
    space, size = setup.space, setup.network.size
    mixed = mixed_cost(space, task, size)
    every = mixed.base.flops + sum(float(rows.sum()) for rows in mixed.flops.values())
    archs = [space.sample(stream("story", index)) for index in range(DRAWS)]
    single = float(np.mean([cost(plan(space, arch, task, size), task).flops for arch in archs]))
    each = every if setup.parts.strategy.name == "darts" else single
    store = Store(run.folder / "run.db")
    steps = store.steps()
    store.close()
    batch = setup.network.hyper.batch
    total = 0.0
    for step in steps:
        budget = step.candidate.budget
        judged = 2.0 if step.gradient is not None else 1.0
        passes = 3.0 * (budget.train_batches or 0) + judged * (budget.validation_batches or 0)
        total += passes * batch * each
    return total


def trained(
    search: Path, out: Path, *, epochs: float, width: int | None, candidate: int | None = None
) -> Any:
    """Return the card of a winner, or of another candidate, that the one recipe has trained."""
    if not (out / "card.json").is_file():
        train(
            search,
            epochs=epochs,
            width=width,
            out=out,
            candidate=candidate,
            settings={"train": FINAL},
        )
    return json.loads((out / "card.json").read_text())


def show(*cells: object) -> None:
    """Print a row of the table."""
    print(" | ".join(str(cell) for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--random", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/story"))
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    task = load("fashion-mnist")
    show("step", "recipe", "core min", "TFLOP", "parameters", "validation", "test")
    for step, (recipe, settings, width) in STEPS.items():
        if not step.startswith(given.only):
            continue
        folder = given.out / step.replace(", ", " ").replace(" ", "-")
        of_cells = {"space": CELL} if width else {}
        length = {"epochs": given.epochs} if step == FULL else {}
        run = ev.search(
            "fashion-mnist",
            recipe=recipe,
            budget=given.budget,
            seed=given.seed,
            out=folder / "search",
            settings=of_cells | {"estimator": {**settings, **length}, "train": LITTLE},
        )
        card = trained(run.folder, folder / "net", epochs=given.epochs, width=width)
        shared = "shared_weights" in run.card
        spent = flops_of_steps(run, task) if shared else flops_of_trials(run, len(task.train))
        minutes = (
            run.card["search_seconds"] * (run.setup.schedule.threads if shared else cores()) / 60
        )
        size = f"{card['params']:,}"
        scores = f"{card['val_score']:.4f}", f"{card['test_score']:.4f}"
        show(step, recipe, f"{minutes:.1f}", f"{spent / 1e12:.2f}", size, *scores)
        if step != RANDOM_OF:
            continue
        drawn = [r.candidate.id for r in run.results() if r.ok and r.candidate.operator == "sample"]
        for id in sorted(drawn)[: given.random]:
            out = folder / f"random-{id}"
            card = trained(run.folder, out, epochs=given.epochs, width=width, candidate=id)
            scores = f"{card['val_score']:.4f}", f"{card['test_score']:.4f}"
            show(f"random cell {id}", "-", "0", "0", f"{card['params']:,}", *scores)


if __name__ == "__main__":
    main()
