"""A pack of networks for a table beside as many single trainings: seconds, at equal results.

    python -m benchmarks.packs FOLDER [--sets phoneme] [--members 32] [--epochs 3] [--rounds 3]

Members of one shape (known members of the space `tabular`) differ in rate, decay, dropout and seed.
They are trained as one pack and one by one, in turn, by the code that a search calls, with one thread;
the time is the least of the rounds. Differences: the largest of any weight after the training, and of
the validation score.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from evolvent.network.build import Size, build
from evolvent.network.data import Resident, loader
from evolvent.network.fit import fit, scored, started, with_own_training
from evolvent.network.packed import Member
from evolvent.network.packing import train_pack
from evolvent.network.train import Hyperparameters
from evolvent.space.tabular import GENES, Tabular
from evolvent.task import data_of
from evolvent.task.opening import open_task

NAMES = ("mlp", "mlp-plr")
REGRESSIONS = ("abalone", "auto_mpg", "boston_housing", "concrete", "power_plant", "yacht")


def members_of(space: Tabular, known: Any, count: int) -> list[Any]:
    """Return architectures of the shape of a known one, each with a recipe of its own."""
    cycled = {key: GENES[key] for key in ("rate", "weight_decay", "dropout")}
    found = []
    for at in range(count):
        own = {key: values[at % len(values)] for key, values in cycled.items()}
        genes = dict(zip(space.names, known, strict=True)) | own
        found.append(space.checked(tuple(genes.values())))
    return found


def packed(space: Tabular, archs: list[Any], data: Resident, epochs: float) -> list[Any]:
    """Return the networks of a pack after their training."""
    made = []
    for seed, arch in enumerate(archs):
        net = build(space, arch, data.task, Size(), seed=seed)
        random = torch.get_rng_state()
        started(net, data)
        hyper = with_own_training(Hyperparameters(), space, arch)
        made.append(Member(net, hyper, None, seed, random))
    train_pack(made, data, epochs=epochs)
    return [each.net for each in made]


def alone(space: Tabular, archs: list[Any], data: Resident, epochs: float) -> list[Any]:
    """Return the same networks, each trained by itself."""
    own: dict[str, Any] = {"epochs": epochs}
    return [
        fit(space, arch, data.task, data, seed=seed, **own).net for seed, arch in enumerate(archs)
    ]


def main() -> None:
    """Print a row per set and member."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=["phoneme", "concrete", "german_credit"])
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| set | member | one by one [s] | as a pack [s] | times | weights | score |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for name in given.sets:
        kind = "regression" if name in REGRESSIONS else "classification"
        file = next(given.folder.glob(f"{name}.csv*"))
        task = data_of(open_task(str(file), {"target": "target", "kind": kind}))
        space, data = Tabular.of(task.facts), loader(task, task.train)
        for member in NAMES:
            archs = members_of(space, space.known(task.facts)[member], given.members)
            seconds: dict[str, list[float]] = {"alone": [], "packed": []}
            for _ in range(given.rounds):
                nets = {}
                for way, call in (("alone", alone), ("packed", packed)):
                    start = time.monotonic()
                    nets[way] = call(space, archs, data, given.epochs)
                    seconds[way].append(time.monotonic() - start)
            pairs = [*zip(nets["alone"], nets["packed"], strict=True)]
            weights = max(
                float((a - b).abs().max())
                for one, other in pairs
                for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
                if a.is_floating_point()
            )
            both = [[scored(net, task, task.validation)[task.metric] for net in p] for p in pairs]
            score = max(abs(a - b) for a, b in both)
            slow, quick = min(seconds["alone"]), min(seconds["packed"])
            told = f"{slow:.2f} | {quick:.2f} | {slow / quick:.1f} | {weights:.1e} | {score:.4f}"
            print(f"| {name} | {member} | {told} |", flush=True)


if __name__ == "__main__":
    main()
