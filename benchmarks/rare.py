"""A rare class: networks chosen by average precision beside networks chosen by accuracy.

    python -m benchmarks.rare [--sets cloud fraud] [--seeds 5] [--budget 60s] [--out rare.jsonl]
    python -m benchmarks.rare --table rare.jsonl

Two sets of 24,000 rows with 1 % positives, both made here. `cloud`: 20 numbers, of which 6 tell the
class, with overlaps (scikit-learn's `make_classification`). `fraud`: payments with categories, times
and skewed amounts, where a few combinations are dangerous. The same file, split and seed for both
metrics; the score is the average precision of the positives on the test part, of the network as it is
delivered.
One line of JSON per set, seed and metric; what the file holds is not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_classification

import evolvent as ev
from evolvent.task import data_of
from evolvent.task.metrics import average_precision
from evolvent.task.opening import open_task

ROWS, POSITIVES = 24_000, 0.01
METRICS = ("average-precision", "accuracy")


def cloud(seed: int) -> pd.DataFrame:
    """Return numbers whose classes overlap."""
    x, y = make_classification(
        ROWS,
        n_features=20,
        n_informative=6,
        n_redundant=4,
        n_clusters_per_class=3,
        weights=[1 - POSITIVES],
        flip_y=0.002,
        class_sep=0.9,
        random_state=seed,
    )
    frame = pd.DataFrame(x.round(5), columns=[f"x{place}" for place in range(x.shape[1])])
    return frame.assign(target=y)


def fraud(seed: int) -> pd.DataFrame:
    """Return payments, of which the riskiest one in a hundred, but for chance, are fraud."""
    rng = np.random.default_rng(seed)
    shops = np.array(["food", "fuel", "travel", "games", "cash", "clothes"])
    shop = rng.choice(shops, ROWS, p=[0.4, 0.2, 0.1, 0.05, 0.1, 0.15])
    country = rng.choice([f"c{place}" for place in range(12)], ROWS, p=_falling(12))
    hour = rng.integers(0, 24, ROWS)
    amount = np.exp(rng.normal(3, 1.2, ROWS)).round(2)
    age = rng.gamma(2, 400, ROWS).round()
    before = rng.poisson(3, ROWS)
    night = (hour < 6).astype(float)
    risk = 1.1 * np.log(amount) * np.isin(shop, ["games", "cash"]) + 2.0 * night * (before > 5)
    risk += 1.5 * np.isin(country, ["c7", "c9", "c11"]) * (amount > 60) - 0.002 * age
    risk += rng.logistic(0, 0.6, ROWS)
    target = (risk >= np.quantile(risk, 1 - POSITIVES)).astype(int)
    columns = {"shop": shop, "country": country, "hour": hour, "amount": amount}
    return pd.DataFrame({**columns, "age": age, "before": before, "target": target})


def _falling(count: int) -> np.ndarray:
    shares = 1 / np.arange(1, count + 1)
    return np.asarray(shares / shares.sum())


SETS: dict[str, Callable[[int], pd.DataFrame]] = {"cloud": cloud, "fraud": fraud}


def measured(name: str, seed: int, metric: str, budget: str) -> dict[str, Any]:
    """Search with a metric; return the average precision of the delivered network on test."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"{name}.csv"
        SETS[name](seed).to_csv(file, index=False)
        said: dict[str, Any] = {"target": "target", "kind": "classification", "metric": metric}
        run = ev.search(file, **said, budget=budget, workers=0, seed=seed, out=Path(place) / "run")
        test = data_of(open_task(file, {**said, **run.setup.read})).test
        assert test is not None
        with torch.no_grad():
            told = run.best.load()(torch.from_numpy(test.x)).softmax(1)[:, 1].numpy()
        return {
            "set": name,
            "seed": seed,
            "metric": metric,
            "budget": budget,
            "recipe": run.card["recipe"],
            "trials": run.card["trials"],
            "average_precision": average_precision(told, test.y == 1),
        }


def table(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a row per set: mean and standard deviation of both, and of their paired difference."""
    yield "| set | by average precision | by accuracy | paired difference | seeds |"
    yield "| --- | --: | --: | --: | --: |"
    for name in SETS:
        found = {
            metric: {
                line["seed"]: line["average_precision"]
                for line in lines
                if (line["set"], line["metric"]) == (name, metric)
            }
            for metric in METRICS
        }
        seeds = sorted(found[METRICS[0]].keys() & found[METRICS[1]].keys())
        if len(seeds) < 2:
            continue
        first, second = ([found[metric][seed] for seed in seeds] for metric in METRICS)
        ahead = [a - b for a, b in zip(first, second, strict=True)]
        error = statistics.stdev(ahead) / math.sqrt(len(ahead))
        shown = [
            f"{statistics.mean(v):.3f} (sd {statistics.stdev(v):.3f})" for v in (first, second)
        ]
        gain = f"{statistics.mean(ahead):+.3f} (se {error:.3f})"
        yield f"| {name} | {shown[0]} | {shown[1]} | {gain} | {len(seeds)} |"


def main() -> None:
    """Measure what the file does not hold, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--out", type=Path, default=Path("rare.jsonl"))
    parser.add_argument("--table", type=Path, help="only print the table of such a file")
    asked = parser.parse_args()
    file = asked.table or asked.out
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    done = {(line["set"], line["seed"], line["metric"]) for line in lines}
    wanted = [
        (name, seed, metric)
        for seed in range(asked.seeds)
        for name in asked.sets
        for metric in METRICS
        if asked.table is None and (name, seed, metric) not in done
    ]
    for each in wanted:
        lines.append(measured(*each, asked.budget))
        with file.open("a") as stream:
            stream.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps(lines[-1]), flush=True)
    print("\n".join(table(lines)))


if __name__ == "__main__":
    main()
