"""Known members of the space `stages` beside random ones, at equal processor seconds of one thread.

    python benchmarks/stages_members.py TASK [--seconds 25] [--random 8] [--seed 0] [--genes sgd|all]
        [--precision bfloat16] [--out runs/stages-members.jsonl]

Is the space worth searching? Its random members should come close to the hand-made ones, and some of
these should lead. The processor time of a few steps says how many epochs a network gets; then it is
trained for them on the training part, by one schedule, and scored on the validation and the test part.
Nothing is chosen by either. Rows that stand in the file already are not trained again.

With ``--genes sgd`` optimizer, resizing, shift, mirroring, erasing and averaging are no genes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch

from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.data import Resident, loader
from evolvent.network.fit import with_own_training
from evolvent.network.train import Hyperparameters, Trainer, evaluate, train
from evolvent.space.stages import GENES, Stages
from evolvent.task import Task
from evolvent.task.named import load
from evolvent.types import Arch, stream

#: settings of the space: its own alternatives, and only the first one of each
ALL: dict[str, Any] = {f"{name}s": values for name, values in GENES.items()}
SGD: dict[str, Any] = {name: values[:1] for name, values in ALL.items()}
WARMUP, MEASURED = 3, 10  # steps


def step_seconds(
    space: Stages, arch: Arch, task: Task, data: Resident, hyper: Hyperparameters
) -> float:
    """Return the processor seconds of a training step of a fresh network."""
    net = build(space, arch, task, Size())
    trainer = Trainer(net, data, steps=1000, hyper=hyper, seed=0)
    for _ in range(WARMUP):
        trainer.step()
    start = time.process_time()
    for _ in range(MEASURED):
        trainer.step()
    return (time.process_time() - start) / MEASURED


def measure(
    space: Stages, arch: Arch, task: Task, hyper: Hyperparameters, *, seconds: float, seed: int
) -> dict[str, Any]:
    """Return what a training of `arch` for some processor seconds gives."""
    own = with_own_training(hyper, space, arch)
    data = loader(task, task.train)
    steps = seconds / step_seconds(space, arch, task, data, own)
    epochs = steps / max(1, len(data) // own.batch)
    net = build(space, arch, task, Size(), seed=seed)
    start = time.process_time()
    train(net, data, epochs=epochs, hyper=own, seed=seed)
    used = time.process_time() - start
    assert task.test is not None
    scores = [
        evaluate(net, loader(task, part))["accuracy"] for part in (task.validation, task.test)
    ]
    size = cost(plan(space, arch, task, Size()), task)
    return {
        "params": size.params,
        "flops": size.flops,
        "epochs": round(epochs, 2),
        "seconds": round(used, 1),
        "validation": round(scores[0], 4),
        "test": round(scores[1], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Train known and random members of `stages`.")
    parser.add_argument("task")
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--random", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--genes", choices=("sgd", "all"), default="all")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("runs/stages-members.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = load(given.task)
    space = Stages.of(task.facts, **(ALL if given.genes == "all" else SGD))
    hyper = Hyperparameters(batch=given.batch, precision=given.precision, schedule="one-cycle")
    archs = dict(space.known(task.facts))
    for index in range(given.random):
        archs[f"random-{index}"] = space.sample(stream(given.seed, "stages", index))
    said = {"task": given.task, "genes": given.genes, "aim": given.seconds, "seed": given.seed}
    said |= {"hyper": dataclasses.asdict(hyper)}
    rows = []
    given.out.parent.mkdir(parents=True, exist_ok=True)
    done = given.out.read_text().splitlines() if given.out.exists() else []
    with given.out.open("a") as lines:
        for name, arch in archs.items():
            asked = json.loads(json.dumps(said | {"name": name, "arch": arch}))
            known = [row for row in map(json.loads, done) if row["asked"] == asked]
            if known:
                found = known[-1]["found"]
            else:
                found = measure(space, arch, task, hyper, seconds=given.seconds, seed=given.seed)
                lines.write(json.dumps({"asked": asked, "found": found}) + "\n")
                lines.flush()
            rows.append((name, found))
            print(name, found, flush=True)
    print("\n| member | parameters | MFLOPs | epochs | s | validation | test |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, row in sorted(rows, key=lambda pair: -pair[1]["test"]):
        numbers = (
            f"{row['params']:,} | {row['flops'] / 1e6:.1f} | {row['epochs']} | {row['seconds']}"
        )
        print(f"| {name} | {numbers} | {row['validation']} | {row['test']} |")


if __name__ == "__main__":
    main()
