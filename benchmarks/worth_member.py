"""One hand-made network, trained for the whole of a budget: what a search has to beat.

    python -m benchmarks.worth_member TASK --member NAME [--budget 5m] [--seed 0] [--out FOLDER]
        [--arch JSON] [--set task.name=value ...]

NAME is a known member of the space of the recipe `stages`, in the form that a search had it in
where ``--arch`` says it; ``plain`` is the plain control of every card, as large as the first known
member and trained by the same recipe, ``plain-classic`` the same with the settings that the
recipe's estimator has without genes. The budget is the whole wait, as that of a search is: the
start of Python, reading the data, training on training and validation data together, one look at
test with the views that the recipe delivers, and the export, for which as much time is kept as a
search keeps. Nothing is chosen. All cores train where that is faster. ``FOLDER/best`` gets network
and card.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from evolvent.config.clock import closing
from evolvent.config.defaults import at_most
from evolvent.config.equal_time import pace
from evolvent.config.pacing import with_precision
from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.config.settings import parse_budget, parse_set
from evolvent.config.setup import Draft
from evolvent.deliver.export import export
from evolvent.deliver.selection import plain_width
from evolvent.deliver.timing import LOOK, SLACK
from evolvent.execute import cores
from evolvent.execute.worker import Job, Outcome, fit_for, using_threads
from evolvent.network.build import Size, plan, views_of
from evolvent.network.cost import cost
from evolvent.network.fit import with_own_training
from evolvent.network.train import Hyperparameters
from evolvent.space import Space, capabilities
from evolvent.space.plain import Plain
from evolvent.task import data_of
from evolvent.task.opening import open_task
from evolvent.types import Arch, freeze

RECIPE = "stages"
PLAIN, CLASSIC = "plain", "plain-classic"
LEAST = 0.05  # of a training, however late it is [epochs]


@dataclass(frozen=True)
class Network:
    """A network by hand and its training."""

    space: Space
    arch: Arch
    size: Size
    hyper: Hyperparameters


def by_hand(name: str, draft: Draft, arch: Arch | None = None) -> Network:
    """Return a known member of a draft's space, or the plain control.

    Args:
        name: of the member, or `PLAIN` or `CLASSIC`.
        draft: of a search.
        arch: of the member, as a search had it; None is the space's.

    Raises:
        ValueError: if there is none of this name.
    """
    space, task = draft.space, draft.task
    network = draft.train.network
    members = capabilities.known(space).known(task.facts)
    if name not in (PLAIN, CLASSIC):
        if name not in members:
            raise ValueError(
                f"--member {name}: take one of {', '.join([*members, PLAIN, CLASSIC])}"
            )
        own = members[name] if arch is None else arch
        return Network(space, own, network.size, network.hyper)
    first = next(iter(members.values()))
    like = cost(plan(space, first, task, network.size), task)
    plain = (plain_width(task, network.size, like),)
    if name == CLASSIC:
        return Network(Plain(), plain, network.size, network.hyper)
    hyper = with_own_training(network.hyper, space, first)
    return Network(Plain(), plain, dataclasses.replace(network.size, head=first[2]), hyper)


def trained(made: Network, draft: Draft, *, seed: int, end: float) -> tuple[Outcome, bool]:
    """Train a network until `end`, and read test.

    Args:
        made: the network.
        draft: of a search, for its data.
        seed: of weights, order and augmentation.
        end: by the monotonic clock. [s]

    Returns:
        The outcome, and whether it was as long as any training of a delivery may be, so that time was
        left over.
    """
    task, hyper = draft.task, made.hyper
    how: dict[str, Any] = {"size": made.size, "hyper": hyper}
    examples = len(task.train) + len(task.validation)
    paces = {
        threads: pace(made.space, made.arch, task, threads=threads, **how)
        for threads in sorted({1, cores()})
    }
    threads = min(paces, key=lambda count: paces[count])
    epoch = paces[threads] * examples
    further = (views_of(made.size, task) - 1) * (len(task.test) if task.test else 0) / examples
    looking = LOOK[hyper.precision] * further  # in epochs
    most = at_most("final", task, hyper.batch)
    fitting = (1 - SLACK) * (end - time.monotonic()) / epoch - looking
    job = Job(
        made_name(made),
        arch=made.arch,
        size=made.size,
        hyper=hyper,
        epochs=max(LEAST, min(fitting, most)),
        everything=True,
        test=True,
        seed=seed,
        deadline=end - looking * epoch,
        threads=threads,
    )
    with using_threads(threads):
        return fit_for(draft.spec, made.space, job), fitting > most


def made_name(made: Network) -> str:
    """Return the name of a network's training."""
    return f"{made.space.family} by hand"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train one hand-made network for a whole budget.")
    parser.add_argument("task")
    parser.add_argument("--member", required=True)
    parser.add_argument("--arch", type=json.loads, help="of the member, as a search had it")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    given = parser.parse_args()
    budget = parse_budget(given.budget).seconds
    if budget is None:
        parser.error(f"--budget {given.budget}: a time, such as 5m")
    before = time.time() - psutil.Process().create_time()
    settings = parse_set(given.set)
    task = data_of(open_task(given.task, settings.get("task", {})))
    request = Request(given.task, RECIPE, budget=given.budget, seed=given.seed, set=settings)
    draft = with_precision(resolve(request, task))
    made = by_hand(given.member, draft, None if given.arch is None else freeze(given.arch))
    gone = time.time() - psutil.Process().create_time()
    end = time.monotonic() + budget - gone - closing(before, budget)
    outcome, capped = trained(made, draft, seed=given.seed, end=end)
    numbers, best = outcome.numbers, given.out / "best"
    built = plan(made.space, made.arch, task, made.size)
    title = f"{given.member}, a network made by hand, trained on {Path(task.name).name}."
    proof = export(
        best,
        plan=built,
        state=outcome.state,
        task=task,
        title=title,
        provenance=given.budget,
        patience=max(0.0, end + closing(before, budget) - time.monotonic()),
    )
    card = {
        "member": given.member,
        "arch": made.arch,
        "params": numbers["params"],
        "flops": cost(built, task).flops,
        "views": built.views,
        "val_score": None,
        "test_score": numbers["test"][task.metric] if numbers["test"] else None,
        "total_epochs": numbers["total_epochs"],
        "train_seconds": numbers["train_seconds"],
        "threads": numbers["threads"],
        "cut": numbers["cut"],
        "as_long_as_any": capped,
        "training": dataclasses.asdict(with_own_training(made.hyper, made.space, made.arch)),
    }
    (best / "card.json").write_text(json.dumps(card | proof))


if __name__ == "__main__":
    main()
