"""Many short searches on a machine that is more or less busy: is what they deliver safe, and in time?

    python benchmarks/short_runs.py --out runs/short [--runs 100] [--seed 0]

Every run draws a recipe, a budget of 10 to 60 seconds, 0 to 4 busy processes and data. Its command is
timed from outside, from the start of the process to its end. Then test, which decides here alone, is
read for the finalist's own stored weights as well: what was delivered must not be worse beyond chance.
A run is late if it ends more than 3 % of its budget, or 5 s, after it. One line per run, a summary at
the end; runs that are done already are not repeated. The exit code is 1 if any run broke a rule.

A budget that is over before one candidate has a score ends with a line that says so; such runs are
counted as `nothing`, and must be in time too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolvent.config.clock import lateness
from evolvent.deliver.own import own_weights, tested
from evolvent.engine.store import Store
from evolvent.engine.weights import Weights
from evolvent.run import Run
from evolvent.task.opening import open_task

IMAGES = (
    "plain-cells",
    "stages",
    "random",
    "amoebanet",
    "nas-rl",
    "large-scale-evolution",
    "exact",
    "codeepneat",
    "darts",
    "random-ws",
)
RECIPES = {"digits": IMAGES, "few": IMAGES, "table": ("dense",)}
ROUNDED = 0.02  # of a training length: it is a whole number of steps
DEVIATIONS = 3.0  # of the difference of two test scores: of 100 runs some lie beyond 2 by chance


@dataclass(frozen=True)
class Case:
    """One search: its data by name, recipe, budget, load and seed."""

    data: str
    recipe: str
    seconds: int
    busy: int
    seed: int


def drawn(seed: int, index: int) -> Case:
    rng = random.Random(f"short runs/{seed}/{index}")
    data = rng.choice(sorted(RECIPES))
    return Case(
        data, rng.choice(RECIPES[data]), rng.randint(10, 60), rng.randint(0, 4), rng.randrange(1000)
    )


def path_of(data: str, folder: Path) -> tuple[str, list[str]]:
    """Return the task, which is written if it is a file, and the options that it needs."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    if data == "digits":
        return data, []
    if data == "few":  # seventy images whose class is the corner that is bright
        file = folder / "few.npz"
        if not file.is_file():
            y = np.arange(140) % 3
            x = rng.integers(0, 120, (140, 16, 16, 1)).astype(np.uint8)
            for name, (row, column) in enumerate(((0, 0), (0, 8), (8, 0))):
                x[y == name, row : row + 8, column : column + 8] += 60
            np.savez(file, x_train=x[:70], y_train=y[:70], x_test=x[70:], y_test=y[70:])
        return str(file), []
    file = folder / "table.csv"
    if not file.is_file():
        cells = rng.normal(size=(1500, 8))
        positive = cells[:, 0] * cells[:, 1] + 0.3 * rng.normal(size=1500) > 0
        rows = [
            ",".join([*(f"{v:.4f}" for v in row), "yes" if label else "no"])
            for row, label in zip(cells, positive.tolist(), strict=True)
        ]
        file.write_text("\n".join([",".join([*"abcdefgh", "label"]), *rows]) + "\n")
    return str(file), ["--target", "label", "--kind", "classification"]


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy in the context."""
    loads = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


def played(case: Case, folder: Path) -> dict[str, Any]:
    """Run a case in `folder`; return what came of it."""
    task, options = path_of(case.data, folder.parent / "data")
    command = [sys.executable, "-m", "evolvent.cli", "search", task, *options]
    command += ["--recipe", case.recipe, "--budget", f"{case.seconds}s", "--workers", "1"]
    if case.recipe in ("darts", "random-ws"):
        command = command[:-2]  # shared weights are one process
    command += ["--seed", str(case.seed), "--out", str(folder)]
    with busy(case.busy):
        load, start = os.getloadavg()[0], time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - start
    late = took - case.seconds
    found = {"took": round(took, 2), "load": load, "in_time": late <= lateness(case.seconds)}
    if done.returncode:
        reasons = ("no candidate of the search has a score", "no time was left")
        nothing = any(reason in done.stderr for reason in reasons)
        return found | {"outcome": "nothing" if nothing else "error", "said": done.stderr[-400:]}
    return found | {"outcome": "network"} | compared(folder)


def compared(folder: Path) -> dict[str, Any]:
    """Return the test scores of what a run delivered and of its finalist's own weights."""
    run = Run(folder)
    card = run.card
    task: Any = open_task(run.setup.request.task, run.setup.task_settings)
    setup, weights = run.setup.on(task), Weights(folder / "weights")
    result = next(r for r in run.results() if r.candidate.id == card["candidate"])
    store = Store(folder / "run.db")
    seen = store.meta(f"trained/finalist-{result.candidate.id}")
    store.close()
    own, delivered = own_weights(setup, weights, result, seen), card["test_score"]
    told = {
        "delivered": delivered,
        "val": card["val_score"],
        "kept": card["kept"],
        "epochs": card["total_epochs"],
        "own": None,
        "safe": True,
    }
    if own is None:
        return told
    read = tested(setup, weights, own, result, temperature=1.0)["test"]
    score, count = read[task.metric], len(task.test)
    share = min(1.0, max(0.0, (score + delivered) / 2))
    reach = DEVIATIONS * math.sqrt(2 * max(share * (1 - share), 1 / count) / count)
    longer = card["total_epochs"] >= own.total_epochs * (1 - ROUNDED)
    return told | {
        "own": score,
        "own_epochs": own.total_epochs,
        "safe": delivered >= score - reach and longer,
    }


def line(index: int, case: Case, told: dict[str, Any]) -> str:
    text = (
        f"{index:4} {case.data:7} {case.recipe:22} {case.seconds:3} s  busy {case.busy}  "
        f"took {told['took']:6.1f} s {'' if told['in_time'] else 'LATE'}  {told['outcome']}"
    )
    if told["outcome"] == "network":
        own = "none" if told["own"] is None else f"{told['own']:.4f}"
        text += f"  test {told['delivered']:.4f}, own weights {own}"
        text += f"{'' if told['safe'] else ' WORSE'}{', own delivered' if told['kept'] else ''}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = []
    for index in range(given.runs):
        case, file = drawn(given.seed, index), given.out / f"{index}.json"
        if file.is_file():
            told = json.loads(file.read_text())["told"]
        else:
            folder = given.out / f"run-{index}-{os.getpid()}"
            told = played(case, folder)
            file.write_text(json.dumps({"case": asdict(case), "told": told}))
        found.append(told)
        print(line(index, case, told), flush=True)
    networks = [told for told in found if told["outcome"] == "network"]
    late, worse = (
        sum(not told[key] for told in part)
        for key, part in (("in_time", found), ("safe", networks))
    )
    errors = sum(told["outcome"] == "error" for told in found)
    print(
        f"{len(found)} runs: {len(networks)} networks, {errors} errors, "
        f"{len(found) - len(networks) - errors} without a candidate in time; {late} late, "
        f"{worse} worse than the finalist's own weights, "
        f"{sum(bool(told['kept']) for told in networks)} delivered with these"
    )
    sys.exit(bool(late or worse or errors))


if __name__ == "__main__":
    main()
