"""Self-organizing networks on the Mackey-Glass series, beside dense networks of equal size.

    PYTHONPATH=src python benchmarks/sonn.py [--trials 2000] [--seeds 5] [--epochs 120,1000]

The recipe `sonn` searches by hand, without a store; the network of the best validation score is then
found from the training and the validation part, and a plain dense network of about as many parameters
(two layers of ReLU, the default training for tables) learns from the same for each number of epochs.
Errors are on the test part, read once for each. Seconds are processor seconds of this process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from evolvent.config.defaults import suggested
from evolvent.config.recipes import find
from evolvent.estimator.full import Full
from evolvent.network.build import Size, plan
from evolvent.network.cost import params_of
from evolvent.network.fit import fit, scored
from evolvent.network.train import Hyperparameters
from evolvent.registry import make_space
from evolvent.space.plain import Plain
from evolvent.strategy.annealing import Annealing
from evolvent.task.opening import open_task

HEAD = "| network | test rmse | parameters | seconds |\n| --- | --- | --- | --- |"


def searched(task: Any, space: Any, trials: int, seed: int) -> tuple[Any, float]:
    """Return the best result of a search on validation, and its seconds."""
    settings: Any = dict(find("sonn").settings["strategy"])
    strategy = Annealing(space, horizon=trials, seed=seed, **settings)
    estimator = Full(space, task, measures=strategy.reads, seed=seed)
    start, results = time.process_time(), []
    for _ in range(trials):
        results.append(estimator.evaluate(strategy.ask(), {}).result)
        strategy.tell(results[-1])
    return max(results, key=lambda each: each.value), time.process_time() - start


def tested(task: Any, space: Any, arch: Any, epochs: float, seed: int) -> tuple[float, int, float]:
    """Return the test error of a network that learns from all but test, its size and its seconds."""
    known = dict.fromkeys(Hyperparameters.__dataclass_fields__, object)
    hyper = Hyperparameters(**suggested(task, known))
    start = time.process_time()
    made = fit(space, arch, task, task.everything, hyper=hyper, epochs=epochs, seed=seed)
    seconds = time.process_time() - start
    size = sum(each.numel() for each in made.net.parameters())
    return scored(made.net, task, task.test)["rmse"], size, seconds


def row(name: str, found: list[tuple[float, int, float]]) -> str:
    errors, sizes, seconds = zip(*found, strict=True)
    spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
    each = ", ".join(f"{error:.4f}" for error in errors)
    return (
        f"| {name} | {statistics.mean(errors):.4f} +- {spread:.4f} ({each}) | "
        f"{min(sizes)} to {max(sizes)} | {statistics.mean(seconds):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", default="120,1000")
    options = parser.parse_args()
    torch.set_num_threads(1)
    task: Any = open_task("mackey-glass", {"windows": "lags"})
    space = make_space("polynomial", task.facts, {})
    rows: dict[str, list[tuple[float, int, float]]] = {}
    for seed in range(options.seeds):
        best, seconds = searched(task, space, options.trials, seed)
        error, size, last = tested(task, space, best.candidate.arch, 0.0, seed)
        found = (error, size, seconds + last)
        rows.setdefault(f"sonn, {options.trials:,} trials", []).append(found)
        print(seed, len(best.candidate.arch), "nodes", found, flush=True)
        widths = {w: params_of(plan(Plain(), (w,), task, Size())) for w in range(2, 65)}
        width = min(widths, key=lambda each: abs(widths[each] - size))
        for epochs in map(float, options.epochs.split(",")):
            found = tested(task, Plain(), (width,), epochs, seed)
            rows.setdefault(f"dense, {epochs:g} epochs", []).append(found)
            print(seed, "dense", epochs, found, flush=True)
    print(HEAD)
    for name, each in rows.items():
        print(row(name, each))


if __name__ == "__main__":
    main()
