"""What every part of the recipe for images is worth: with all parts, and without each, at equal time.

    python benchmarks/recipe.py TASK [--seconds 60] [--seeds 0 1] [--rows all none muon resize ...]
        [--member airbench-32] [--batch 256] [--precision bfloat16] [--out runs/recipe.jsonl]

TASK is a data set of images as for a search: a name or an ``.npz`` file. A member of the space `stages`
is trained on the training part for some processor seconds of one thread: the time of a few steps at
every size of the images says how many epochs these are. Rows are ``all`` parts, ``none`` of them, ``all
without`` one (by its name), and ``all with`` one that is off otherwise (erase, mixup, bias-rate). Test
accuracy is of the image alone, of the image and its mirror (or its shift), and of all views. Nothing is
chosen by it. Rows that stand in the file already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from evolvent.network.build import Assembled, Size, build
from evolvent.network.data import Resident, loader
from evolvent.network.train import Hyperparameters, Trainer, evaluate, train
from evolvent.space.stages import LRS, Stages
from evolvent.task import Task, data_of
from evolvent.task.opening import open_task
from evolvent.types import Arch

#: part -> what it sets, and what stands in its place where it is off
PARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "muon": ({"optimizer": "muon", "lr": LRS["muon"]}, {"optimizer": "sgd", "lr": LRS["sgd"]}),
    "resize": ({"resize": 0.8}, {"resize": 1.0}),
    "flip": ({"flip": "alternate"}, {"flip": "random"}),
    "shift": ({"shift": 2}, {"shift": 0}),
    "average": ({"average": 0.25}, {"average": 0.0}),
    "smoothing": ({"label_smoothing": 0.2}, {"label_smoothing": 0.0}),
    "head": ({"head": "max"}, {"head": "mean"}),
    "schedule": ({"schedule": "one-cycle"}, {"schedule": "cosine"}),
}
#: parts that are off in the recipe
MORE: dict[str, dict[str, Any]] = {
    "erase": {"erase": 0.25},
    "mixup": {"mixup": 0.2},
    "bias-rate": {"bias_rate": 4.0},
}
WARMUP, MEASURED = 2, 5  # steps at every size of the images
PHASES = {
    0.0: 0.35,
    0.5: 0.3,
    0.9: 0.35,
}  # of a training: where its steps are measured -> its share


def settings_of(row: str) -> dict[str, Any]:
    """Return the hyperparameters and the head of a row."""
    found: dict[str, Any] = {}
    for name, (on, off) in PARTS.items():
        found |= off if row in ("none", name) else on
    return found | MORE.get(row, {})


def step_seconds(net: Assembled, data: Resident, hyper: Hyperparameters) -> float:
    """Return the mean processor seconds of a training step, over the sizes of the images."""
    trainer = Trainer(net, data, steps=1000, hyper=hyper, seed=0)
    mean = 0.0
    for share, weight in PHASES.items():
        trainer.done = round(share * trainer.steps)
        for _ in range(WARMUP):
            trainer.step()
        start = time.process_time()
        for _ in range(MEASURED):
            trainer.step()
        mean += weight * (time.process_time() - start) / MEASURED
    return mean


def measure(
    task: Task, member: str, row: str, common: dict[str, Any], *, seconds: float, seed: int
) -> dict[str, Any]:
    """Return what a training by the recipe of a row gives."""
    own = settings_of(row)
    head = own.pop("head")
    hyper = Hyperparameters(**common | own)
    space = Stages.of(task.facts)
    arch: Arch = space.known(task.facts)[member]
    arch = (*arch[:2], head, *arch[3:])
    data, size = loader(task, task.train), Size(views=6)
    steps = seconds / step_seconds(build(space, arch, task, size), data, hyper)
    epochs = steps / max(1, len(data) // hyper.batch)
    net = build(space, arch, task, size, seed=seed)
    start = time.process_time()
    train(net, data, epochs=epochs, hyper=hyper, seed=seed)
    used = time.process_time() - start
    return {"epochs": round(epochs, 2), "seconds": round(used, 1)} | seen(net, task)


def seen(net: Assembled, task: Task) -> dict[str, float]:
    """Return the test accuracy with one, two and all views of every image."""
    assert task.test is not None
    test, views = loader(task, task.test), net.get_submodule("views")
    one, two, every = (False, 0), (True, 0 if task.mirrored else 1), (True, 2)
    found = {}
    for name, (on, shifts) in {"one view": one, "two views": two, "all views": every}.items():
        views.on, views.shifts = on, shifts  # type: ignore[assignment]  # plain numbers of `Views`
        found[name] = round(evaluate(net, test)["accuracy"], 4)
    return found


def main() -> None:
    rows = ("all", "none", *PARTS, *MORE)
    parser = argparse.ArgumentParser(description="What the parts of the recipe are worth.")
    parser.add_argument("task")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows))
    parser.add_argument("--member", default="airbench-32")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("runs/recipe.jsonl"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = data_of(open_task(given.task, {}))
    common = {"batch": given.batch, "precision": given.precision}
    said = {"task": given.task, "member": given.member, "aim": given.seconds, "common": common}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    done = given.out.read_text().splitlines() if given.out.exists() else []
    known = {json.dumps(row["asked"]): row["found"] for row in map(json.loads, done)}
    table: dict[str, list[dict[str, Any]]] = {row: [] for row in given.rows}
    with given.out.open("a") as lines:
        for seed in given.seeds:  # rows in turn, so that a busy hour disturbs all of them
            for row in given.rows:
                asked = said | {"row": row, "seed": seed, "settings": settings_of(row)}
                found = known.get(json.dumps(asked))
                if found is None:
                    found = measure(
                        task, given.member, row, common, seconds=given.seconds, seed=seed
                    )
                    lines.write(json.dumps({"asked": asked, "found": found}) + "\n")
                    lines.flush()
                table[row].append(found)
                print(seed, row, found, flush=True)
    _print(table)


def _print(table: dict[str, list[dict[str, Any]]]) -> None:
    columns = ("epochs", "seconds", "one view", "two views", "all views")
    print(f"\n| recipe | {' | '.join(columns)} |\n| --- |{' --: |' * len(columns)}")
    for row, found in table.items():
        what = "without" if row in PARTS else "with"
        label = row if row in ("all", "none") else f"all {what} {row}"
        means = [statistics.mean(each[name] for each in found) for name in columns]
        cells = [f"{means[0]:.2f}", f"{means[1]:.1f}", *(f"{mean:.4f}" for mean in means[2:])]
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
