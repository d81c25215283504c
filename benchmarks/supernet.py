"""The supernet against one written down naively, and a sampled search step against a mixed one.

    python benchmarks/supernet.py [--threads 1] [--device cpu] [--rounds 5] [--only TEXT | --search]
    python benchmarks/supernet.py --calls [--only TEXT]

Milliseconds per step (forward, gradients by all weights and by the mixture) of both, in alternating
rounds of one run, the best of each; batch 64. With one thread it is the processor's time that counts,
which other processes blur less; on a GPU it is the wall's, to the end of its work. `naive` is
tests/network/naive_supernet.py: a module per edge and operation, contiguous memory; with a one-hot
mixture it too runs nothing of weight 0. The last table compares the two kinds of search as wholes: a
training step of the weights, then the gradient by the mixture on another batch (`Shared.evaluate`):
softmax rows (DARTS), one operation per edge (GDAS). `--calls` counts what torch is asked to compute in
a step, which is what a step takes on a GPU: without what is special to a CPU, each edge alone and equal
operations of several edges as one; views and allocations do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.network.shared.naive_supernet import NaiveSupernet

from evolvent.estimator.shared import Shared
from evolvent.network.build import Size
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.shared.supernet import Supernet
from evolvent.network.train import Hyperparameters
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.task.images import image_task
from evolvent.types import Budget, Candidate

BATCH = 64
DARTS, CELL201 = Cell(distinct=True), Cell201()
CASES: dict[
    str, tuple[Cell | Cell201, int, int, int, int]
] = {  # space, pixels, width, cells per stage, stages
    "darts cell, width 8, 14 px": (DARTS, 14, 8, 1, 2),
    "darts cell, width 16, 14 px": (DARTS, 14, 16, 1, 2),
    "darts cell, width 8, 28 px": (DARTS, 28, 8, 1, 2),
    "darts cell, width 16, 28 px": (DARTS, 28, 16, 1, 2),
    "cell201, width 16, 14 px": (CELL201, 14, 16, 1, 3),
    "cell201, width 16, 28 px": (CELL201, 28, 16, 1, 3),
}


FREE = {"view", "_unsafe_view", "permute", "expand", "t", "transpose", "detach", "alias", "unbind"}
FREE |= {"split", "slice", "select", "as_strided", "unsqueeze", "squeeze", "promote_types"}
FREE |= {"empty", "empty_like", "new_empty", "empty_strided"}  # calls that compute nothing


class Images:
    """Shapes of data."""

    outputs = 10

    def __init__(self, pixels: int) -> None:
        self.input_shape = (1, pixels, pixels)


def networks(
    only: str, device: str = "cpu"
) -> Iterator[tuple[str, Cell | Cell201, int, NaiveSupernet, Supernet]]:
    """Yield name, space, pixels, the naive and the fast network of the cases that are asked for."""
    for name, (space, pixels, width, cells, stages) in CASES.items():
        if only in name:
            size, data = Size(cells=cells, width=width, stages=stages), Images(pixels)
            fast = Supernet(space, data, size, pool_norm=True)
            fast.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            naive = NaiveSupernet(space, data, size, pool_norm=True).to(device)
            yield name, space, pixels, naive, fast


def rows(space: Cell | Cell201, kind: str, seed: int) -> dict[str, np.ndarray]:
    """Return softmax rows, or one operation per edge."""
    rng = np.random.default_rng(seed)
    if kind == "softmax":
        raw = {
            g.name: np.exp(rng.normal(size=(len(g.rows), len(g.columns)))) for g in space.groups()
        }
        return {name: values / values.sum(1, keepdims=True) for name, values in raw.items()}
    return {
        g.name: np.eye(len(g.columns))[rng.integers(0, len(g.columns), len(g.rows))]
        for g in space.groups()
    }


def stepper(
    net: nn.Module, mixtures: list[MixtureWeights], x: torch.Tensor
) -> Callable[[int], None]:
    """Return a step: forward, and gradients by weights and mixture."""
    y = torch.arange(len(x), device=x.device) % 10

    def step(number: int) -> None:
        net.zero_grad(set_to_none=True)
        mixture = mixtures[number % len(mixtures)]
        F.cross_entropy(net(x, mixture), y).backward()  # type: ignore[no-untyped-call]

    return step


def clock(device: str) -> float:
    """Return seconds of this process, or of the wall with several threads or a GPU. [s]"""
    if device != "cpu":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def alternating(
    steps: list[Callable[[int], None]], rounds: int, inner: int, device: str
) -> list[float]:
    """Return the best seconds of each, measured in turn. [s]"""
    best = [float("inf")] * len(steps)
    for step in steps:
        for number in range(inner):
            step(number)
    for _ in range(rounds):
        for index, step in enumerate(steps):
            start = clock(device)
            for number in range(inner):
                step(number)
            best[index] = min(best[index], (clock(device) - start) / inner)
    return best


def against_naive(rounds: int, only: str, device: str) -> None:
    """Print the table of steps."""
    print("| network | mixture | naive [ms] | fast [ms] | ratio |\n| --- | --- | --- | --- | --- |")
    for name, space, pixels, naive, fast in networks(only, device):
        x = torch.randn(BATCH, 1, pixels, pixels, device=device)
        for kind, inner in (("softmax", 1), ("one-hot", 4)):
            mixtures = [
                MixtureWeights(rows(space, kind, seed), device=torch.device(device), gradient=True)
                for seed in range(inner)
            ]
            steps = [stepper(net, mixtures, x) for net in (naive, fast)]
            slow, quick = alternating(steps, rounds, inner, device)
            print(
                f"| {name} | {kind} | {1000 * slow:.1f} | {1000 * quick:.1f} | {slow / quick:.1f} |",
                flush=True,
            )


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What torch is asked to compute: how often."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += func.overloadpacket.__name__ not in FREE
        return func(*args, **(kwargs or {}))


def calls(only: str) -> None:
    """Print how many calls a step is, as on a GPU."""
    print("| network | mixture | naive | each edge alone | equal operations as one |")
    print("| --- | --- | --- | --- | --- |")
    for name, space, pixels, naive, fast in networks(only):
        x = torch.randn(2, 1, pixels, pixels)
        for kind, steps in (("softmax", 1), ("one-hot", 4)):
            mixtures = [
                MixtureWeights(rows(space, kind, seed), gradient=True) for seed in range(steps)
            ]
            counted = []
            for net, edges in ((naive, 1), (fast, 1), (fast, 1 << 20)):
                with (
                    patch(
                        "evolvent.network.shared.supernet.together", lambda x, edges=edges: edges
                    ),
                    patch("evolvent.network.shared.weighted.on_cpu", lambda x: False),
                    patch("evolvent.network.depthwise.on_cpu", lambda x: False),
                    Calls() as found,
                ):
                    step = stepper(net, mixtures, x)
                    for number in range(len(mixtures)):
                        step(number)
                counted.append(f"{found.number / len(mixtures):.0f}")
            print(f"| {name} | {kind} | {' | '.join(counted)} |", flush=True)


def mixed_against_sampled(rounds: int, device: str) -> None:
    """Print what a whole step of a search costs with softmax rows and with one operation per edge."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (1200, 14, 14, 1), np.uint8), np.arange(1200) % 10
    task = image_task("noise", x, y, flip=False, validation=0.25)
    print("| search step | softmax [ms] | one-hot [ms] | ratio |\n| --- | --- | --- | --- |")
    for width in (8, 16):
        hyper = Hyperparameters(batch=BATCH, lr=0.02, clip=5)
        size = Size(width=width, stages=2)
        settings: dict[str, Any] = {"gradient": True, "pool_norm": True, "steps": 10**4}
        settings["device"] = device
        one = Shared(DARTS, task, size=size, hyper=hyper, **settings)

        def step(number: int, kind: str, one: Shared = one) -> None:
            budget = Budget(train_batches=1, validation_batches=1)
            mixture = rows(DARTS, kind, number)
            one.evaluate(Candidate(number, kind="step", mixture=mixture, budget=budget), {})

        kinds = [lambda n: step(n, "softmax"), lambda n: step(n, "one-hot")]
        mixed, sampled = alternating(kinds, rounds, 4, device)
        print(
            f"| darts cell, width {width}, 14 px | {1000 * mixed:.1f} | {1000 * sampled:.1f} "
            f"| {mixed / sampled:.1f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--search", action="store_true", help="search steps only")
    parser.add_argument("--calls", action="store_true", help="count calls, measure nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.calls:
        calls(arguments.only)
        return
    where = f"{arguments.threads} thread(s), {arguments.device}"
    print(f"{where}, torch {torch.__version__}, batch {BATCH}\n")
    if not arguments.search:
        against_naive(arguments.rounds, arguments.only, arguments.device)
        print()
    if not arguments.only:
        mixed_against_sampled(arguments.rounds, arguments.device)


if __name__ == "__main__":
    main()
