"""The three ablations of Large-Scale Evolution, on a part of Fashion-MNIST and two cores.

    python benchmarks/large_scale_evolution.py [--seeds 5] [--trials 400] [--out runs/lse.jsonl]

Real et al. 2017 (1703.01041) vary the population (2 to 1,000), the training length of an individual
(256 to 25,600 steps) and whether weights are inherited. Here: 10,000 training and 2,000 validation
images, every search starts from the network without hidden layers and trains as many individuals as
the others for as many steps each. The answer of a search is its best individual by validation, tested
with the weights it has, as in the paper; beside it the same network trained from scratch by the same
recipe, for as many steps as one individual and as many as its whole line of ancestors.

Searches that are done are kept in --out, one line each, so that a second call goes on where the first
stopped. One process and one thread per search. `EVOLVENT_DATA` must name the folder of the data.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from evolvent.estimator.inherit import Inherit
from evolvent.execute.worker import Context, Spec
from evolvent.execute.worker import evaluate as guarded
from evolvent.network.build import build
from evolvent.network.data import Resident
from evolvent.network.train import Hyperparameters, evaluate
from evolvent.space.graph import Graph
from evolvent.strategy.tournament import Tournament
from evolvent.task import Task
from evolvent.task.named import load
from evolvent.types import Budget, Candidate, Result, State

TRAIN, VALIDATION, BATCH = 10_000, 2_000, 50
HYPER = Hyperparameters(
    batch=BATCH,
    schedule="constant",
    warmup=0.0,
    weight_decay=1e-4,
    label_smoothing=0.0,
    shift_from=1e9,
    precision="bfloat16",
)
CASES = {  # name -> population, inherited, epochs per individual
    "P 20": (20, True, 0.3),
    "P 20, nothing inherited": (20, False, 0.3),
    "P 2": (2, True, 0.3),
    "P 20, a quarter of the steps": (20, True, 0.075),
}


@functools.cache
def data() -> Task:
    """Return the part of Fashion-MNIST."""
    share = VALIDATION / 60_000
    return load("fashion-mnist", validation=share, fraction=TRAIN / (60_000 - VALIDATION))


def search(case: str, seed: int, trials: int) -> dict[str, Any]:
    """Run one search and return what came out."""
    torch.set_num_threads(1)
    population, inherited, epochs = CASES[case]
    task, begun = data(), time.monotonic()
    space = Graph.of(task.facts, least_channels=16, multiply_adds=1_500_000)
    strategy = Tournament(
        space, population=population, inherit=inherited, epochs=epochs, horizon=trials, seed=seed
    )
    estimator = Inherit(space, task, hyper=HYPER, seed=seed)
    context = Context(Spec(task, "graph", "inherit"), space, estimator)
    weights: dict[int, State] = {}
    results: list[Result] = []
    best, kept = None, None
    while len(results) < trials:
        candidate = strategy.ask()
        assert candidate is not None  # nothing runs beside it
        answer = guarded(context, candidate, {id: weights[id] for id in candidate.weights_from})
        results.append(answer.result)
        if answer.state is not None:
            weights[candidate.id] = answer.state
            if best is None or answer.result.value > best.value:
                best, kept = answer.result, answer.state
        strategy.tell(answer.result)
        weights = {id: weights[id] for id in strategy.alive()}
    assert best is not None and kept is not None
    return {
        "case": case,
        "seed": seed,
        "trials": trials,
        "first": max(result.value for result in results[:population]),
        "validation": best.value,
        "test": tested(estimator, best.candidate, kept),
        "steps": round(best.total_epochs * (TRAIN // BATCH)),
        "params": best.params,
        "failed": sum(not result.ok for result in results),
        "scratch_once": from_scratch(estimator, best, epochs),
        "scratch_all": from_scratch(estimator, best, best.total_epochs),
        "seconds": round(time.monotonic() - begun, 1),
    }


def from_scratch(estimator: Inherit, best: Result, epochs: float) -> float:
    """Return the test accuracy of the same network, trained from fresh weights."""
    candidate = Candidate(best.candidate.id, best.candidate.arch, budget=Budget(epochs))
    answer = estimator.evaluate(candidate, {})
    assert answer.state is not None
    return tested(estimator, candidate, answer.state)


def tested(estimator: Inherit, candidate: Candidate, state: State) -> float:
    """Return the test accuracy of a network with its weights."""
    task = estimator.task
    assert task.test is not None
    net = build(estimator.space, candidate.arch, task, estimator.size)
    net.load_state_dict({name: torch.from_numpy(state[name]) for name in net.state_dict()})
    return evaluate(net, Resident(task, task.test))["accuracy"]


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean and standard deviation over seeds of every case."""

    def spread(case: str, name: str) -> str:
        values = [row[name] for row in rows if row["case"] == case]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.4f} +- {deviation:.4f}"

    lines = [
        "| case | first validation | best validation | test | cumulative steps of the best | "
        "the same network from scratch, own steps | from scratch, cumulative steps |",
        "| --- " * 7 + "|",
    ]
    for case in CASES:
        own = [row for row in rows if row["case"] == case]
        if not own:
            continue
        steps = statistics.mean(row["steps"] for row in own)
        cells = [spread(case, name) for name in ("first", "validation", "test")]
        cells += [f"{steps:,.0f}", spread(case, "scratch_once"), spread(case, "scratch_all")]
        lines.append(f"| {case} ({len(own)} seeds) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _job(job: tuple[str, int, int]) -> dict[str, Any]:
    return search(*job)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/large_scale_evolution.jsonl"))
    args = parser.parse_args()
    rows = (
        [json.loads(line) for line in args.out.read_text().splitlines()]
        if args.out.exists()
        else []
    )
    rows = [row for row in rows if row["trials"] == args.trials]
    done = {(row["case"], row["seed"]) for row in rows}
    jobs = [(case, seed, args.trials) for seed in range(args.seeds) for case in CASES]
    jobs = [job for job in jobs if job[:2] not in done]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool, args.out.open("a") as out:
        for row in pool.imap_unordered(_job, jobs):
            rows.append(row)
            print(json.dumps(row), file=out, flush=True)
            print(
                f"{row['case']}, seed {row['seed']}: test {row['test']:.4f} in {row['seconds']} s",
                flush=True,
            )
    print(table(rows))


if __name__ == "__main__":
    main()
