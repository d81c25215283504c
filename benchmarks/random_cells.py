"""Winners of searches on shared weights beside random architectures under the same final recipe.

    python benchmarks/random_cells.py RUN... [--count 5] [--seed 0] [--out runs/random-cells.jsonl]

Which of these searches find more than chance? For every space, size and final training among the
finished runs, some random architectures are trained as the winners were: the same epochs on training
and validation data together, then the test, read once. What stands in the file already is not trained
again. A row per run: its steps, its entropy, its winner, and where that stands among the random ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from evolvent.execute.worker import Job, fit
from evolvent.run import Run
from evolvent.task import Task
from evolvent.task.named import load
from evolvent.types import stream

HEAD = (
    "recipe",
    "batches",
    "judged",
    "with a gradient",
    "entropy",
    "final epochs",
    "test",
    "random",
    "range",
    "difference / sd",
)


def final_recipe(run: Run) -> dict[str, Any]:
    """Return what decides how good an architecture becomes: space, size, training and its length."""
    network = run.setup.train.network
    return {
        "space": run.setup.parts.space.to_json(),
        "size": dataclasses.asdict(network.size),
        "hyper": dataclasses.asdict(network.hyper),
        "epochs": run.card["train_epochs"],
    }


def trained(run: Run, task: Task, *, index: int, seed: int) -> float:
    """Return the test score of random architecture `index`."""
    setup = run.setup.on(task)
    network = setup.train.network
    job = Job(
        f"random-{index}",
        epochs=run.card["train_epochs"],
        everything=True,
        test=True,
        seed=stream(seed, "trained", index).getrandbits(31),
        arch=setup.space.sample(stream(seed, "random cells", index)),
        size=network.size,
        hyper=network.hyper,
    )
    outcome = fit(setup.context(), job)
    return float(outcome.numbers["test"][task.metric])


def beside(run: Run, task: Task, *, count: int, seed: int, file: Path) -> list[float]:
    """Return the test scores of `count` random architectures, of which some may stand in `file`."""
    key = json.dumps([final_recipe(run), seed], sort_keys=True)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    found = {row["index"]: row["test"] for row in rows if row["key"] == key}
    for index in range(count):
        if index not in found:
            found[index] = trained(run, task, index=index, seed=seed)
            with file.open("a") as out:
                out.write(json.dumps({"key": key, "index": index, "test": found[index]}) + "\n")
    return [found[index] for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/random-cells.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    print(" | ".join(HEAD), flush=True)
    for folder in given.runs:
        run = Run(folder)
        task = load(run.setup.request.task)
        card, moved = run.card, run.card["shared_weights"]
        scores = beside(run, task, count=given.count, seed=given.seed, file=given.out)
        mean, spread = statistics.mean(scores), statistics.stdev(scores)
        entropy = (moved["entropy_before"], moved["entropy_after"])
        row = (
            str(card["recipe"]),
            f"{moved['weight_steps']:,}",
            f"{moved['architecture_steps']:,}",
            f"{moved['gradients']:,}",
            "-" if entropy[0] is None else f"{entropy[0]:.3f} to {entropy[1]:.3f}",
            f"{card['train_epochs']:g}",
            f"{card['test_score']:.4f}",
            f"{mean:.4f} (sd {spread:.4f})",
            f"{min(scores):.4f} to {max(scores):.4f}",
            f"{(card['test_score'] - mean) / spread:+.1f}"
            + (" NOT A SEARCH" if moved["moved"] is False else ""),
        )
        print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
