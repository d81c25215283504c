"""Pareto search against random search: hypervolume of the front on NAS-Bench-Graph.

    EVOLVENT_DATA=DIR python benchmarks/pareto_front.py [--trials 400] [--seeds 20]

Accuracy on validation (higher is better) against latency (lower is better), data set cora. The
hypervolume is measured from accuracy 0 and the largest latency, as a share of the whole table's.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import moocore
import numpy as np

from evolvent.estimator.table import TableEstimator
from evolvent.space.listed import Listed
from evolvent.strategy.pareto import Pareto
from evolvent.strategy.random import Random
from evolvent.task.tables import load_table

TABLE = load_table("nasbench_graph")
LATENCY = TABLE.columns[TABLE.metrics["latency"]]
REFERENCE = [0.0, float(LATENCY.max())]


def hypervolume(points: np.ndarray) -> float:
    """Return the area that `points` (minus accuracy, latency) [N, 2] dominate."""
    return float(moocore.hypervolume(points, ref=REFERENCE))


def search(strategy: Any, estimator: TableEstimator, trials: int) -> float:
    """Return the hypervolume of everything that a search has tried."""
    points = []
    for _ in range(trials):
        candidate = strategy.ask()
        result = estimator.evaluate(candidate, {}).result
        strategy.tell(result)
        points.append((-result.value, result.metrics["latency"]))
    return hypervolume(np.array(points))


def main() -> None:
    """Print wins, means and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    space = Listed(TABLE.archs)
    estimator = TableEstimator(space, TABLE)
    whole = hypervolume(np.column_stack([-TABLE.columns[TABLE.score], LATENCY]))
    rows = []
    for seed in range(options.seeds):
        ours = Pareto(space, minimise=("latency",), seed=seed, horizon=options.trials)
        strategies = (ours, Random(space, seed=seed))
        rows.append([search(each, estimator, options.trials) / whole for each in strategies])
        print(f"seed {seed}: pareto {rows[-1][0]:.4f}, random {rows[-1][1]:.4f}", flush=True)
    pareto, control = zip(*rows, strict=True)
    wins = sum(first > second for first, second in rows)
    print(f"pareto above random in {wins} of {options.seeds} seeds at {options.trials} trials")
    for name, values in (("pareto", pareto), ("random", control)):
        print(
            f"{name}: {statistics.mean(values):.4f} +- {statistics.stdev(values):.4f} of the front"
        )


if __name__ == "__main__":
    main()
