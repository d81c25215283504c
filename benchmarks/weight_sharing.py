"""What shared weights are worth: their rank correlation, their known failure, the cost of a step.

    python benchmarks/weight_sharing.py ranks    [--space cell201] [--archs 40] [--fraction 0.1]
                                                 [--epochs 48] [--alone 3]
    python benchmarks/weight_sharing.py collapse [--task FILE.npz] [--cells 3] [--budget 6m] [--seed 0]
    python benchmarks/weight_sharing.py lookup   [--strategy drnas] [--set strategy.keep=[1]] [--seed 0]
                                                 [--task FILE.npz] [--cells 3] [--budget 20m]
    python benchmarks/weight_sharing.py overhead [--strategy darts] [--steps 200]

`ranks` trains a supernet at uniform samples, scores random architectures with its weights, with and
without measured statistics of their norms, then trains each of them alone and prints Kendall's tau
between the two. `collapse` searches with DARTS on `cell201`, to the end and with the early stop, and
looks what they derive up in NAS-Bench-201 (photographs and some depth drift to skip connections, grey
clothes and one cell per stage to poolings). `lookup` searches with any strategy over the gradient and
looks its cells up likewise, beside 100 random cells of the table. `overhead` prints what asking,
storing and telling cost beside the step itself. Data: fashion-mnist unless `--task` says it, and the
table nasbench201, both below $EVOLVENT_DATA.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

import evolvent as ev
from evolvent.config.recipes import DARTS_CELL, ENAS_CELL
from evolvent.config.settings import parse_set
from evolvent.engine.evaluators import InMemory
from evolvent.engine.events import Say
from evolvent.engine.loop import Search
from evolvent.engine.store import Store
from evolvent.estimator.full import Full
from evolvent.estimator.shared import Shared
from evolvent.execute.worker import Context, Spec
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.registry import find
from evolvent.space import Space
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, digits
from evolvent.space.layers import Layers
from evolvent.task.named import load
from evolvent.task.tables import load_table
from evolvent.types import Budget, Candidate, stream

SPACES: dict[str, Space] = {
    "cell201": Cell201(),
    "cell": Cell(**DARTS_CELL),  # type: ignore[arg-type]
    "enas": Cell(**ENAS_CELL),  # type: ignore[arg-type]
    "layers": Layers(operations="enas", depths=(6,), filters=(16,), join="add"),
}
SIZE = Size(width=8, stages=3, stem_stride=2, reduction="conv")
HYPER = Hyperparameters(batch=64, lr=0.05, clip=5.0, label_smoothing=0.0, warmup=0.0)
ALONE = Hyperparameters(batch=64, lr=0.1)


def ranks(
    name: str, *, archs: int, fraction: float, epochs: float, alone: float, seed: int
) -> None:
    """Print tau between shared and stand-alone scores, after so many epochs of either training."""
    space, whole = SPACES[name], load("fashion-mnist")
    # little to learn from, but all of validation: 600 examples would hide the differences
    task = replace(load("fashion-mnist", fraction=fraction), validation=whole.validation)
    start = time.monotonic()
    steps = int(epochs * len(task.train) * 0.9 / HYPER.batch)
    estimator = Shared(
        space, task, size=SIZE, hyper=HYPER, steps=steps, architecture=0.1, calibrate=0, seed=seed
    )
    for index in range(steps):
        mixture = space.one_hot(space.sample(stream(seed, "train", index)))  # type: ignore[attr-defined]
        budget = Budget(train_batches=1, validation_batches=0)
        estimator.evaluate(Candidate(index, kind="step", mixture=mixture, budget=budget), {})
    seconds = time.monotonic() - start
    drawn = [space.sample(stream(seed, "judged", index)) for index in range(archs)]
    shared: dict[int, list[float]] = {}
    for calibrate in (0, 8):
        estimator.calibrate = calibrate
        found = [estimator.evaluate(Candidate(i, a), {}).result for i, a in enumerate(drawn)]
        shared[calibrate] = [result.score or 0.0 for result in found]
    full = Full(space, task, size=SIZE, hyper=ALONE, seed=seed)
    budget = Budget(epochs=alone)
    own = [
        full.evaluate(Candidate(i, a, budget=budget), {}).result.score or 0.0
        for i, a in enumerate(drawn)
    ]
    for calibrate, scores in shared.items():
        told = kendalltau(scores, own)
        print(
            f"{name}: {archs} architectures, {steps} batches of shared weights ({seconds:.0f} s), "
            f"{'measured' if calibrate else 'batch'} statistics: tau {told.statistic:.3f} "
            f"(p {told.pvalue:.1g}); shared {np.mean(scores):.3f} +- {np.std(scores):.3f}, "
            f"alone {np.mean(own):.3f} +- {np.std(own):.3f}",
            flush=True,
        )


def collapse(name: str, *, cells: int, budget: str, seed: int) -> None:
    """Print what DARTS derives on `cell201` at the end, and with the early stop."""
    for way, more in (("to the end", {}), ("early stop", {"most_skips": 2})):
        derived(way, name, "darts", {"strategy": more}, cells=cells, budget=budget, seed=seed)


def lookup(
    name: str, strategy: str, changed: list[str], *, cells: int, budget: str, seed: int
) -> None:
    """Print what a strategy derives on `cell201` after every epoch, beside random cells."""
    values = table_values()
    drawn = stream(seed, "random cells").sample(sorted(values), 100)
    some = np.array([values[arch] for arch in drawn])
    print(
        f"100 random cells: {some.mean():.4f}, median {np.median(some):.4f}, "
        f"90th percentile {np.percentile(some, 90):.4f}"
    )
    given = parse_set(changed)
    last = derived(strategy, name, strategy, given, cells=cells, budget=budget, seed=seed)
    said = " ".join(changed)
    print(f"lookup: {strategy} {said} seed {seed}: {last} {values[last]:.4f}", flush=True)


def table_values() -> dict[str, float]:
    """Return the CIFAR-10 test accuracy after 200 epochs of every cell of NAS-Bench-201, by digits."""
    table = load_table("nasbench201")
    return dict(zip(table.archs, table.columns["cifar10_test_200ep"], strict=True))


def derived(
    way: str,
    name: str,
    strategy: str,
    changed: dict[str, dict[str, Any]],
    *,
    cells: int,
    budget: str,
    seed: int,
) -> str:
    """Search on `cell201`, print the cells that are derived, and return the last, by its digits."""
    values = table_values()
    settings: dict[str, dict[str, Any]] = {
        "strategy": {},
        "estimator": {"width": 8, "cells": cells, "batch": 64, "lr": 0.05},
        "train": {"share": 0.1, "epochs": 0.1, "finalists": 1, "controls": False},
    }
    for part, own in changed.items():
        settings[part] |= own
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        run = ev.search(
            name,
            space="cell201",
            strategy=strategy,
            estimator="shared",
            budget=budget,
            seed=seed,
            out=Path(folder) / "run",
            settings=settings,
            callbacks=[Say(said.append)],
        )
        trials = run.results()
    for trial in trials:
        arch, note = digits(trial.candidate.arch), trial.candidate.note
        print(
            f"{way}: epoch {note['epoch']}: {arch} skips {note['skips']:.0%} entropy "
            f"{note.get('entropy', math.nan):.3f}: CIFAR-10 test after 200 epochs {values[arch]:.4f}"
        )
    alarmed = [line for line in said if line.startswith("alarm")]
    print(f"{way}: {len(trials)} trials; {alarmed or 'no alarm'}", flush=True)
    return digits(trials[-1].candidate.arch)


def overhead(strategy: str, steps: int) -> None:
    """Print the share of a step that asking, submitting, storing and telling take."""
    space, task = SPACES["cell"], load("fashion-mnist", fraction=0.1)
    settings: dict[str, Any] = {
        "size": SIZE,
        "hyper": HYPER,
        "steps": steps,
        "gradient": True,
        "pool_norm": True,
    }
    spec = Spec(task, "cell", "shared", {}, settings)
    context = Context(spec, space, Shared(space, task, **settings))
    search = find("strategy", strategy)(space, batches=steps, horizon=1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run.db", write=True)
        told: list[Any] = []
        start, cpu = time.monotonic(), time.process_time()
        Search(InMemory(context), listen=told.append, trials=1, stateful=True).run(search, store)
        store.close()
        wall, cpu = time.monotonic() - start, time.process_time() - cpu
    inside = sum(result.seconds for result in told)
    print(
        f"{strategy}: {len(told)} candidates in {wall:.1f} s, {1000 * inside / len(told):.1f} ms each; "
        f"beside them {1000 * (wall - inside) / len(told):.3f} ms, {(wall - inside) / inside:.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ranks", "collapse", "lookup", "overhead"))
    parser.add_argument("--space", default="cell201", choices=SPACES)
    parser.add_argument("--archs", type=int, default=40)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--epochs", type=float, default=48.0)
    parser.add_argument("--alone", type=float, default=3.0)
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--budget", default="6m")
    parser.add_argument("--strategy", default="darts")
    parser.add_argument("--set", action="append", default=[], metavar="PART.NAME=VALUE")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "ranks":
        ranks(
            given.space,
            archs=given.archs,
            fraction=given.fraction,
            epochs=given.epochs,
            alone=given.alone,
            seed=given.seed,
        )
    elif given.what == "collapse":
        collapse(given.task, cells=given.cells, budget=given.budget, seed=given.seed)
    elif given.what == "lookup":
        lookup(
            given.task,
            given.strategy,
            given.set,
            cells=given.cells,
            budget=given.budget,
            seed=given.seed,
        )
    else:
        overhead(given.strategy, given.steps)


if __name__ == "__main__":
    main()
