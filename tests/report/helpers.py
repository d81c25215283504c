"""Runs to look at: folders as a search leaves them, made in no time."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from evolvent import registry
from evolvent.engine.store import Store
from evolvent.types import Budget, Candidate, Facts, Result, stream

CELL = {"name": "cell", "operations": "amoebanet", "nodes": 5, "output": "loose"}
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e" + "x" * 10_000


def config_of(space: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The settings of a run."""
    return {
        "request": {
            "task": "digits",
            "recipe": "amoebanet",
            "space": None,
            "strategy": None,
            "budget": "200t",
            "seed": 3,
            "max_params": None,
            "device": "cpu",
            "set": {"space": {"nodes": 5}},
        },
        "seed": 3,
        "data": {
            "kind": "image",
            "fingerprint": "c0ffee",
            "train": 1295,
            "validation": 143,
            "test": 359,
            "metric": "accuracy",
            "input_shape": [1, 8, 8],
            "outputs": 10,
            "notes": ["grey images are not mirrored"],
        },
        "versions": {"evolvent": "0.1.0", "torch": "2.13.0"},
        "recipe": "amoebanet",
        "deliver": "retrain",
        "space": space,
        "strategy": {"name": "regularized-evolution", "horizon": 200, "population": 20},
        "estimator": {"name": "full", "epochs": 2.0},
        "train": {},
        "budget": {"seconds": None, "trials": 200, "search_seconds": None},
    } | more


def make_run(folder: Path, **config: Any) -> Path:
    """A run folder with its settings and an empty log."""
    folder.mkdir(parents=True)
    settled = config_of(config.pop("space", CELL), **config)
    (folder / "config.yaml").write_text(yaml.safe_dump(settled, sort_keys=False))
    Store(folder / "run.db", write=True).close()
    return folder


def results(count: int, space: dict[str, Any] = CELL, seed: int = 0, curve: int = 30) -> Any:
    """Yield (candidate, result) as an evolution would make them, some of them failed."""
    settings = dict(space)
    made = registry.make_space(settings.pop("name"), Facts("image", "accuracy"), settings)
    rng = stream(seed, "page")
    archs: list[Any] = []
    for id in range(count):
        parents: tuple[int, ...] = ()
        operator = "sample"
        if id >= 20:
            parents = (max(rng.sample(range(max(0, id - 40), id), 5)),)
            arch, operator = made.mutate(archs[parents[0]], rng)
        else:
            arch = made.sample(rng)
        archs.append(arch)
        candidate = Candidate(
            id,
            arch,
            parents=parents,
            operator=operator,
            weights_from=parents if id % 2 else (),
            budget=Budget(epochs=2.0),
        )
        if id % 23 == 22:
            yield candidate, Result(candidate, status="failed", reason="out of memory: 8 GB")
            continue
        score = round(0.95 - 0.5 * math.exp(-id / (0.3 * count + 1)) * rng.random(), 6)
        points = [
            [round(0.1 * step, 3), round(2.3 / (1 + step) + rng.random() / 20, 5)]
            for step in range(curve)
        ]
        yield (
            candidate,
            Result(
                candidate,
                score,
                metrics={
                    "accuracy": score,
                    "loss": 1 - score,
                    "curve": points,
                    "train_seconds": 1.5,
                },
                seconds=1.0 + rng.random(),
                params=rng.randrange(20_000, 90_000),
                flops=rng.randrange(1_000_000, 9_000_000),
                epochs=2.0,
                total_epochs=4.0,
                seed=id,
            ),
        )


def fill(folder: Path, pairs: Any, *, phases: bool = True) -> None:
    """Append candidates and their results to a run's log; a result may be None: still running."""
    store = Store(folder / "run.db", write=True)
    with store.together():
        for candidate, result in pairs:
            store.asked(candidate)
            if result is not None:
                store.told(result)
    if phases:
        store.note("state", "searching")
        for phase, seconds in (("setup", 2.0), ("search", 100.0)):
            store.spend(phase, seconds)
    store.close()


def deliver(folder: Path, winner: int, **card: Any) -> None:
    """Write the card of a delivered network."""
    (folder / "best").mkdir()
    control = {"train_seconds": 30.0, "train_epochs": 20.0, "cut": False}
    whole = {
        "task": "digits",
        "recipe": "amoebanet",
        "candidate": winner,
        "params": 28_490,
        "flops": 1_333_696,
        "val_score": 0.986,
        "test_score": 0.9833,
        "metric": "accuracy",
        "train_seconds": 37.0,
        "finalists": {str(winner): 0.986},
        "random_is_the_winner": False,
        "controls": {
            "random": control | {"test_score": 0.981, "params": 19_938, "best_of_first_random": 16},
            "plain": control | {"test_score": 0.9791, "params": 18_914},
        },
    }
    (folder / "best" / "card.json").write_text(json.dumps(whole | card))


#: of a weight-sharing run: what the store has of it beside its candidates
STEPS = [
    {
        "index": index,
        "seconds": 0.5,
        "metrics": {"loss": 2.3 / (1 + index / 20), "entropy": 1.9 - index / 200},
    }
    for index in range(120)
]
ALARMS = [
    {
        "candidate": 90,
        "name": "skip connections",
        "text": "6 of 8 edges of the normal cell are skips",
        "advice": "stop earlier, or --set strategy.regularisation=...",
    }
]
MIXTURE = [
    {
        "group": "normal",
        "rows": ["0>2", "1>2", "0>3"],
        "columns": ["none", "skip_connect", "sep_conv_3x3"],
        "values": [[0.1, 0.7, 0.2], [0.3, 0.3, 0.4], [0.05, 0.9, 0.05]],
    }
]
