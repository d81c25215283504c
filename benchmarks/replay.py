"""How long it takes to replay a search of 1,000 trials, for the recipes whose strategies learn.

    python benchmarks/replay.py [--trials 1000] [--recipes nas-rl,nasnet,nao]

The strategy of every recipe searches its own space on toy scores; then a fresh one is told the log.
Only the strategy's own work is timed: that is what resuming costs before anything is evaluated.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

from evolvent.config.recipes import RECIPES
from evolvent.engine.loop import replay
from evolvent.engine.store import Memory
from evolvent.registry import find, make_space
from evolvent.task.named import load
from evolvent.types import Result, stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--recipes", default="nas-rl,nasnet,nao")
    given = parser.parse_args()
    task = load("digits")
    print(f"{'recipe':10} {'search [s]':>10} {'replay [s]':>10}")
    for name in given.recipes.split(","):
        recipe = RECIPES[name]
        space = make_space(recipe.space, task.facts, recipe.settings.get("space", {}))
        settings = recipe.settings.get("strategy", {})

        made: Any = find("strategy", recipe.strategy)
        fresh = partial(made, space, horizon=given.trials, **settings)
        strategy, log = fresh(), Memory()
        start = time.process_time()
        for _ in range(given.trials):
            candidate = strategy.ask()
            choices = space.encode(candidate.arch)
            worth = [stream("toy", *place).random() for place in enumerate(choices)]
            result = Result(candidate, sum(worth) / len(worth))
            log.asked(candidate)
            log.told(result)
            strategy.tell(result)
        searched = time.process_time() - start
        start = time.process_time()
        replay(fresh(), log)
        print(f"{name:10} {searched:10.1f} {time.process_time() - start:10.1f}", flush=True)


if __name__ == "__main__":
    main()
