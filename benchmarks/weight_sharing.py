"""What shared weights are worth: their rank correlation, their known failure, the cost of a step.

    python benchmarks/weight_sharing.py ranks    [--space cell201] [--archs 40] [--fraction 0.1]
                                                 [--epochs 48] [--alone 3]
    python benchmarks/weight_sharing.py collapse [--task FILE.npz] [--cells 3] [--budget 6m] [--seed 0]
    python benchmarks/weight_sharing.py overhead [--strategy darts] [--steps 200]

`ranks` trains a supernet at uniform samples, scores random architectures with its weights, with and
without measured statistics of their norms, then trains each of them alone and prints Kendall's tau
between the two. `collapse` searches with DARTS on `cell201`, to the end and with the early stop, and
looks what they derive up in NAS-Bench-201 (photographs and some depth drift to skip connections, grey
clothes and one cell per stage to poolings). `overhead` prints what asking, storing and telling cost
beside the step itself. Data: fashion-mnist unless `--task` says it, and the table nasbench201, both
below $EVOLVENT_DATA.
"""

from __future__ import annotations

import argparse
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
from evolvent.space.cell201 import Cell201
from evolvent.space.layers import Layers
from evolvent.task.named import load
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
    from evolvent.space.cell201 import digits
    from evolvent.task.tables import load_table

    table = load_table("nasbench201")
    column = "cifar10_test_200ep"
    values = dict(zip(table.archs, table.columns[column], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        for way, more in (("to the end", {}), ("early stop", {"most_skips": 2})):
            said: list[str] = []
            run = ev.search(
                name,
                space="cell201",
                strategy="darts",
                estimator="shared",
                budget=budget,
                seed=seed,
                out=Path(folder) / way,
                settings={
                    "strategy": more,
                    "estimator": {"width": 8, "cells": cells, "batch": 64, "lr": 0.05},
                    "train": {"share": 0.1, "epochs": 0.1, "finalists": 1, "controls": False},
                },
                callbacks=[Say(said.append)],
            )
            alarmed = [line for line in said if line.startswith("alarm")]
            trials = run.results()
            for trial in trials:
                arch = digits(trial.candidate.arch)
                note = trial.candidate.note
                print(
                    f"{way}: epoch {note['epoch']}: {arch} skips {note['skips']:.0%} entropy "
                    f"{note['entropy']:.3f}: CIFAR-10 test after 200 epochs {values[arch]:.4f}"
                )
            print(f"{way}: {len(trials)} trials; {alarmed or 'no alarm'}", flush=True)


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
    parser.add_argument("what", choices=("ranks", "collapse", "overhead"))
    parser.add_argument("--space", default="cell201", choices=SPACES)
    parser.add_argument("--archs", type=int, default=40)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--epochs", type=float, default=48.0)
    parser.add_argument("--alone", type=float, default=3.0)
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--budget", default="6m")
    parser.add_argument("--strategy", default="darts")
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
    else:
        overhead(given.strategy, given.steps)


if __name__ == "__main__":
    main()
