"""Ask and tell of regularized evolution against a bare loop of the same arithmetic, in one run.

    python benchmarks/strategy_speed.py [--trials 1000]

Prints the time per trial of both, their ratio, and the growth from 1,000 to 100,000 trials. The
space is 6 edges x 5 operations (cell201) and the score a sum, so that nothing but the strategy is
timed. "The same arithmetic": a queue, a sample of S, a maximum, one changed edge, seeded per trial.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import deque

from evolvent.space.cell201 import OPERATIONS, Cell201
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.types import Result, stream

POPULATION, SAMPLE = 100, 25


def value(arch: tuple[str, ...]) -> float:
    """Return a score that costs next to nothing."""
    return float(sum(len(name) for name in arch))


def ours(trials: int) -> float:
    """Return the seconds per trial of the strategy. [s]"""
    strategy = RegularizedEvolution(Cell201(), population=POPULATION, sample=SAMPLE)
    start = time.perf_counter()
    for _ in range(trials):
        candidate = strategy.ask()
        strategy.tell(Result(candidate, value(candidate.arch)))
    return (time.perf_counter() - start) / trials


def bare(trials: int) -> float:
    """Return the seconds per trial of the same arithmetic without any structure around it. [s]"""
    queue: deque[tuple[float, tuple[str, ...]]] = deque()
    start = time.perf_counter()
    for trial in range(trials):
        rng = stream(0, "bare", trial)
        if trial < POPULATION:
            arch = tuple(rng.choice(OPERATIONS) for _ in range(6))
        else:
            rivals = [queue[rng.randrange(POPULATION)] for _ in range(SAMPLE)]
            parent = max(rivals, key=lambda member: member[0])[1]
            arch = parent
            if rng.random() >= 0.05:
                edge = rng.randrange(6)
                other = rng.choice([name for name in OPERATIONS if name != parent[edge]])
                arch = (*parent[:edge], other, *parent[edge + 1 :])
        queue.append((value(arch), arch))
        if len(queue) > POPULATION:
            queue.popleft()
    return (time.perf_counter() - start) / trials


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    trials = parser.parse_args().trials
    random.seed(0)
    ours(1000), bare(1000)  # warm-up
    pairs = [(ours(trials), bare(trials)) for _ in range(5)]
    mine, plain = (min(column) for column in zip(*pairs, strict=True))
    print(f"regularized evolution, ask + tell: {1000 * mine:.4f} ms per trial")
    print(f"bare loop of the same arithmetic:  {1000 * plain:.4f} ms per trial")
    print(f"ratio {mine / plain:.2f} (best of 5 alternating rounds of {trials:,} trials)")
    short = min(ours(1000) for _ in range(5))
    long = min(ours(100_000) for _ in range(3))
    print(f"growth from 1,000 to 100,000 trials: {long / short:.2f}x")


if __name__ == "__main__":
    main()
