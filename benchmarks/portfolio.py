"""A portfolio: winners of searches over many data sets, in the order in which to try them on new data.

    python -m benchmarks.portfolio RUN ... --data digits fashion-mnist multnist [--seconds 20]
        [--count 16] [--sets runs/sets] [--out runs/portfolio]

RUNs are finished runs of the recipe `stages`, or folders of such (``runs/worth/runs``). Every
winner, and every known member, is trained on every set for equal processor seconds of one thread;
scores stand in ``OUT/scores.jsonl``, and what stands there is not trained again. An architecture
for other images is brought to the space of these: other alternatives become the nearest ones, what
is too costly thinner.

A portfolio is built greedily: next comes the architecture with which the best of all so far is best
on average over the sets (Feurer et al. 2020, 2007.04074; Salinas & Erickson 2023, 2311.02971), by
validation scores as regrets, 0 for the best of a set, 1 for the median and what is worse.
``OUT/portfolio.json`` is that of all sets. What one is worth on data that nobody has seen, the
table tells: for every set, the portfolio of the others, without what was found on this one, against
as many known members. Validation chooses in both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.stages_members import measure
from benchmarks.worth_rows import RECIPE, Data, data_named

from evolvent.config.pacing import with_precision
from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.errors import InvalidArchitecture
from evolvent.files import write_atomically
from evolvent.run import Run
from evolvent.space.stages import RECIPE as GENES
from evolvent.space.stages import SHARES, STAGE, Stages
from evolvent.task import data_of
from evolvent.task.opening import open_task
from evolvent.types import Arch, freeze

Scores = Mapping[str, Mapping[str, float]]  # set -> architecture by name -> score


@dataclass(frozen=True)
class Found:
    """An architecture, and where it comes from.

    Args:
        name: unique.
        arch: as it was found; None for a known member, which every space has in its own form.
        on: the set that it was found on; None for a known member.
    """

    name: str
    arch: Arch | None
    on: str | None


# ---- what there is -------------------------------------------------------------------------------


def runs_in(folders: Iterable[Path]) -> list[Path]:
    """Return the folders of runs that have delivered, given by themselves or by their parent."""
    found: list[Path] = []
    for folder in folders:
        inner = [folder] if (folder / "run.db").is_file() else sorted(folder.iterdir())
        found += [each for each in inner if (each / "best" / "card.json").is_file()]
    return [folder for folder in found if (folder / "run.db").is_file()]


def winners(runs: Iterable[Path], sets: Sequence[Data]) -> list[Found]:
    """Return the winners of runs over the space `stages`, every architecture once per set.

    Args:
        runs: folders that have delivered.
        sets: by whose names it is said on which data a winner was found; others have a file's name.
    """
    names = {data.task: data.name for data in sets}
    found: dict[tuple[str, Arch], Found] = {}
    for folder in runs:
        run = Run(folder)
        if run.setup.parts.space.name != "stages":
            continue
        task, arch = run.setup.request.task, freeze(run.best.arch)
        on = names.get(task, Path(task).stem)
        found.setdefault((on, arch), Found(f"{on} {len(found)}", arch, on))
    return list(found.values())


def brought(space: Stages, arch: Arch) -> Arch | None:
    """Return an architecture of other images as one of this space; None if even thin it is none.

    Alternatives that this space has not become the nearest ones, or its first.
    """
    stem, rows, head, activation, recipe = arch
    stem = stem if stem in space.stems else space.stems[0]
    genes = tuple(
        nearest(value, space.values[name]) for name, value in zip(GENES, recipe, strict=True)
    )
    for share in SHARES:
        stages = tuple(
            tuple(
                nearest(value * share if name == "width" else value, space.values[name])
                for name, value in zip(STAGE, row, strict=True)
            )
            for row in rows[: space.counts[-1]]
        )
        made = (stem, stages, head, activation, genes)
        try:
            return space.checked(made)
        except InvalidArchitecture:
            continue
    return None


def nearest(value: Any, values: Sequence[Any]) -> Any:
    """Return the one of `values` that is `value`, else the nearest number, or of texts the first."""
    if isinstance(value, str):
        return value if value in values else values[0]
    return min(values, key=lambda each: abs(each - value))


# ---- scores --------------------------------------------------------------------------------------


class Measured:
    """Scores of architectures on sets, in a file that grows.

    Args:
        file: of one JSON object a line.
        seconds: of each training. [processor s]
    """

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds = file, seconds
        lines = file.read_text().splitlines() if file.exists() else []
        self.known = {json.dumps(row["asked"]): row["found"] for row in map(json.loads, lines)}

    def on(self, data: Data, found: Sequence[Found]) -> dict[str, dict[str, float]]:
        """Return name -> ``validation`` and ``test`` on a set, trained now where they are missing."""
        task = data_of(open_task(data.task, data.settings))
        draft = with_precision(
            resolve(Request(data.task, RECIPE, set={"task": data.settings}), task)
        )
        space: Any = draft.space
        members = space.known(task.facts)
        scores = {}
        for each in found:
            arch = members.get(each.name) if each.arch is None else brought(space, each.arch)
            if arch is None:
                continue
            asked = {"data": data.name, "arch": arch, "seconds": self.seconds}
            text = json.dumps(asked)
            if text not in self.known:
                hyper = draft.train.network.hyper
                told = measure(space, arch, task, hyper, seconds=self.seconds, seed=0)
                with self.file.open("a") as lines:
                    lines.write(json.dumps({"asked": asked, "found": told}) + "\n")
                self.known[text] = told
                print(data.name, each.name, told, flush=True)
            scores[each.name] = self.known[text]
        return scores


def regrets(scores: Mapping[str, float]) -> dict[str, float]:
    """Return name -> 0 for the best score of a set, 1 for the median and below, between them linear."""
    values = list(scores.values())
    best, middle = max(values), float(np.median(values))
    reach = max(best - middle, 1e-12)
    return {name: min(1.0, (best - score) / reach) for name, score in scores.items()}


# ---- the portfolio -------------------------------------------------------------------------------


def portfolio(scores: Scores, names: Sequence[str], count: int) -> list[str]:
    """Return at most `count` of `names`, in the order in which to try them on new data.

    Args:
        scores: of the sets to learn from; an architecture without a score on a set has regret 1 there.
        names: to choose from.
        count: at most.
    """
    lost = [regrets(each) for each in scores.values()]
    table = np.array([[row.get(name, 1.0) for name in names] for row in lost])  # [sets, names]
    chosen: list[int] = []
    so_far = np.full(len(table), 1.0)
    while len(chosen) < min(count, len(names)):
        means = np.minimum(table, so_far[:, None]).mean(axis=0) + 1e-6 * table.mean(axis=0)
        means[chosen] = np.inf  # of equally useful ones the better on average
        chosen.append(int(means.argmin()))
        so_far = np.minimum(so_far, table[:, chosen[-1]])
    return [names[at] for at in chosen]


def left_out(
    measured: Mapping[str, Mapping[str, Mapping[str, float]]], found: Sequence[Found], count: int
) -> list[dict[str, Any]]:
    """Return for every set the test score of the others' portfolio, and of as many known members.

    Args:
        measured: set -> name -> ``validation`` and ``test``.
        found: all architectures.
        count: of either.
    """
    rows = []
    for data, scores in measured.items():
        others = {
            each: {name: told["validation"] for name, told in rest.items()}
            for each, rest in measured.items()
            if each != data
        }
        names = [each.name for each in found if each.on not in (None, data)]
        tried = [name for name in portfolio(others, names, count) if name in scores]
        known = [each.name for each in found if each.on is None and each.name in scores][:count]
        if not tried or not known:
            continue
        row = {"data": data, "first": scores[tried[0]]["test"], "count": len(tried)}
        row["known_first"] = scores[known[0]]["test"]
        for key, some in (("portfolio", tried), ("known", known)):
            best = max(some, key=lambda name: scores[name]["validation"])
            row[key] = scores[best]["test"]
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what is learnt on other sets as Markdown."""
    lines = [
        "| left out | first of the portfolio | first known | best of the portfolio | best known |",
        "| --- | --: | --: | --: | --: |",
    ]
    for row in rows:
        values = (row[key] for key in ("first", "known_first", "portfolio", "known"))
        lines.append(f"| {row['data']} | {' | '.join(f'{value:.4f}' for value in values)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect winners of searches as a portfolio.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--sets", type=Path, default=Path("runs/sets"))
    parser.add_argument("--out", type=Path, default=Path("runs/portfolio"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    sets = [data_named(name, given.sets) for name in given.data]
    own = winners(runs_in(given.runs), sets)
    if not own:
        parser.error("none of these is a finished run over the space stages")
    first = data_of(open_task(sets[0].task, sets[0].settings))
    known = Stages.of(first.facts).known(first.facts)
    found = [*(Found(name, None, None) for name in known), *own]
    scores = Measured(given.out / "scores.jsonl", given.seconds)
    measured = {data.name: scores.on(data, found) for data in sets}
    validation = {
        data: {name: told["validation"] for name, told in each.items()}
        for data, each in measured.items()
    }
    archs = {each.name: each for each in own}
    chosen = [
        {"arch": archs[name].arch, "found_on": archs[name].on}
        for name in portfolio(validation, list(archs), given.count)
    ]
    write_atomically(given.out / "portfolio.json", json.dumps(chosen, indent=1))
    print(f"{len(chosen)} architectures in {given.out / 'portfolio.json'}")
    if len(sets) > 1:
        print(table(left_out(measured, found, given.count)))


if __name__ == "__main__":
    main()
