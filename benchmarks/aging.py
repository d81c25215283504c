"""Aging against non-aging evolution under noise: the toy of Real et al. 2018, supplement C.

    python benchmarks/aging.py [--seeds 8]

An architecture is 100 bits, its true score the share of ones; a model's measured score is that plus
Gaussian noise drawn once per model. The answer of a search is its best by measured score; the table
shows the true score of that answer, mean +- standard deviation over seeds. Scores are not clipped.
"""

from __future__ import annotations

import argparse
import random
import statistics

from evolvent.space import Move
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.types import Arch, Result, stream

BITS = 100


class Bits:
    """Strings of bits; a mutation flips one."""

    family = "bits"
    gives: frozenset[str] = frozenset()

    def sample(self, rng: random.Random) -> Arch:
        """Return random bits."""
        return tuple(rng.randrange(2) for _ in range(BITS))

    def mutate(self, arch: Arch, rng: random.Random) -> Move:
        """Flip one bit."""
        at = rng.randrange(BITS)
        return Move((*arch[:at], 1 - arch[at], *arch[at + 1 :]), "flip")


def search(
    *, population: int, sample: int, trials: int, noise: float, aging: bool, seed: int
) -> float:
    """Return the true score of the best by measured score. [fraction of ones]"""
    strategy = RegularizedEvolution(
        Bits(), population=population, sample=sample, identity=0.0, aging=aging, seed=seed
    )
    best, found = -1.0, 0.0
    for trial in range(trials):
        candidate = strategy.ask()
        truth = sum(candidate.arch) / BITS
        score = truth + stream(seed, "noise", trial).gauss(0, noise)
        if score > best:
            best, found = score, truth
        strategy.tell(Result(candidate, score))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    seeds = parser.parse_args().seeds
    print(f"{'noise sd':>8} {'P/S/C':>13} {'aging':>15} {'non-aging':>15}   ({seeds} seeds)")
    rows = [(noise, 100, 25, 5000) for noise in (0.0, 0.01, 0.03, 0.1)]
    rows += [(0.03, population, max(2, population // 4), 2000) for population in (10, 20, 50, 300)]
    for noise, population, sample, trials in rows:
        shown = []
        for aging in (True, False):
            values = [
                search(
                    population=population,
                    sample=sample,
                    trials=trials,
                    noise=noise,
                    aging=aging,
                    seed=seed,
                )
                for seed in range(seeds)
            ]
            shown.append(f"{statistics.mean(values):.3f} +- {statistics.stdev(values):.3f}")
        sizes = f"{population}/{sample}/{trials}"
        print(f"{noise:>8} {sizes:>13} {shown[0]:>15} {shown[1]:>15}", flush=True)


if __name__ == "__main__":
    main()
