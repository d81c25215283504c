"""Is it worth it? What a search delivers, beside networks made by hand that had all of its time.

    python -m benchmarks.worth --data digits fashion-mnist --budget 5m 20m --seeds 3 --out runs/worth
        [--rows delivered,known,known-first,known-ranked,plain,random,cells] [--without muon,resize]
        [--cores 1] [--sets runs/sets] [--autokeras PYTHON] [--plan] [--table]

Every run is a process of its own on so many cores, its whole wait is the budget, and rows of one
table have equal core-seconds. One JSON file per run, and runs that are there are not repeated, so
that a table can be measured piece by piece. The known members of the space come in three ways:
chosen fairly, by validation after equal short trainings that are part of the budget (``known``);
the first one (``known-first``); and the one that the search ranked first on its lowest rung, as if
that had cost nothing (``known-ranked``, of seeds whose row ``delivered`` is there). Both are as
wide as the search of this seed had them, where it is there. ``--without`` adds the default without
a part. ``--data`` are names (digits, mnist, fashion-mnist, cifar-jpeg, and those of
`benchmarks.sets`, made in ``--sets`` when they are missing) or paths. ``--plan`` says what is
missing and runs nothing, ``--table`` prints the table of what is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import Wait, machine, named, watched
from benchmarks.worth_rows import (
    MEMBER,
    ROWS,
    WITHOUT,
    Cell,
    Data,
    command,
    data_named,
    known_archs,
    known_members,
    known_scores,
    missing_option,
    resolved,
)
from benchmarks.worth_table import table

from evolvent.config.clock import lateness
from evolvent.config.settings import parse_budget
from evolvent.deliver.export import load
from evolvent.files import write_atomically
from evolvent.network.data import loader
from evolvent.run import Run
from evolvent.task import Task, data_of
from evolvent.task.opening import open_task
from evolvent.types import Arch

BATCH = 250  # of test images, all views counted
AGREES = 1.5  # test images by which an exported network may differ from its card: ties of outputs
NOTHING = ("no candidate of the search has a score", "no time was left")
EARLY = ("delivered", "known", "known-first", "known-ranked", "plain", "random", "cells")


# ---- one run -------------------------------------------------------------------------------------


def played(
    cell: Cell,
    data: Data,
    out: Path,
    *,
    autokeras: str | None = None,
    arch: Arch | None = None,
) -> dict[str, Any]:
    """Run a cell; return its record. Arguments as of `command`."""
    folder = out / "runs" / cell.key
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped: its time is not known
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = command(cell, data, folder, autokeras=autokeras, arch=arch)
    log = out / "runs" / f"{cell.key}.log"
    if cell.row == "autokeras":
        write_arrays(folder.with_suffix(".npz"), opened(data))
    wait = watched(words, cores=cell.cores, seconds=cell.seconds, log=log)
    record = dataclasses.asdict(cell) | {"key": cell.key, "task": data.task, "command": words}
    record |= {"machine": machine(), "wait": dataclasses.asdict(wait)}
    record |= {"in_time": wait.took <= cell.seconds + lateness(cell.seconds)}
    if cell.row.startswith(MEMBER):
        record["first"] = cell.row == f"{MEMBER}{next(iter(known_members(data)))}"
    return record | _outcome(wait, folder, data)


def _outcome(wait: Wait, folder: Path, data: Data) -> dict[str, Any]:
    """Return what came of a run."""
    if wait.code != 0:
        nothing = any(reason in wait.said for reason in NOTHING)
        return {"outcome": "nothing" if nothing else "error"}
    if (told := folder / "result.json").is_file():  # another program's
        found: dict[str, Any] = json.loads(told.read_text())
        return {"outcome": "network"} | found
    card = json.loads((folder / "best" / "card.json").read_text())
    task = opened(data)
    wrong = misread(folder / "best", task)
    images = len(task.test) if task.test else 0
    candidates: list[dict[str, Any]] = []
    reads = [1 - len(wrong) / max(1, images)]
    if (folder / "run.db").is_file():
        candidates = Run(folder).candidates()
    if (Path(data.task) / "test").is_dir():
        reads.append(script_score(folder / "best", Path(data.task)))
    return {
        "outcome": "network",
        "test": card["test_score"],
        "test_images": images,
        "wrong": wrong,
        "agrees": all(abs(read - card["test_score"]) * images < AGREES for read in reads),
        "validation": card["val_score"],
        "epochs": card["total_epochs"],
        "params": card["params"],
        "arch": card["arch"],
        "known": known_scores(candidates),
        "known_archs": known_archs(candidates),
        "line": line_of(folder / "best"),
        "card": card,
    }


@functools.lru_cache(maxsize=1)
def opened(data: Data) -> Task:
    """Return the data as a search reads them."""
    return data_of(open_task(data.task, data.settings))


def misread(best: Path, task: Task) -> list[int]:
    """Return the test images that an exported network reads wrong, as their places in the test part."""
    if task.test is None:
        return []
    net, data = load(best), loader(task, task.test)
    batch = max(1, BATCH // getattr(getattr(net, "views", None), "count", 1))
    told = []
    with torch.inference_mode():
        for x, y in data.in_order(batch):
            told.append(net(x).argmax(dim=1) != y)
    places: list[int] = torch.cat(told).nonzero().flatten().tolist()
    return places


def script_score(best: Path, folder: Path) -> float:
    """Return the accuracy of an exported ``predict.py`` on the pictures of ``folder/test/CLASS/``."""
    files = sorted(file for file in (folder / "test").glob("*/*") if file.is_file())
    words = [sys.executable, str(best / "predict.py"), "--json", *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told = [json.loads(line)["class"] for line in done.stdout.splitlines()]
    right = sum(name == file.parent.name for name, file in zip(told, files, strict=True))
    return float(right) / len(files)


def write_arrays(file: Path, task: Task) -> None:
    """Write the data for a program that reads arrays: the parts and sizes that a search sees."""
    parts = {"train": task.train, "val": task.validation, "test": task.test}
    arrays: dict[str, Any] = {}
    for name, part in parts.items():
        if part is not None:
            arrays |= {f"x_{name}": np.asarray(part.x[:]), f"y_{name}": part.y}
    np.savez(file, **arrays)


def line_of(best: Path) -> str:
    """Return the first sentence of a card, and the one about the known members if there is one."""
    file = best / "card.md"
    if not file.is_file():
        return ""
    lines = [line for line in file.read_text().splitlines()[1:] if line]
    told = [line for line in lines if "best known member" in line]
    return " ".join(dict.fromkeys([*lines[:1], *told]))


# ---- all runs ------------------------------------------------------------------------------------


def cells_of(given: argparse.Namespace) -> Iterator[tuple[Cell, Data]]:
    """Yield every run that was asked for; rows in turn, so that a busy hour disturbs all of them."""
    rows = [*given.rows.split(","), *(f"without-{part}" for part in given.parts)]
    for seed in range(given.seeds):
        for name in given.data:
            data = data_named(name, given.sets)
            for budget in given.budget:
                for row in rows:
                    yield Cell(data.name, budget, given.cores, row, seed), data


def stored(out: Path, cell: Cell) -> dict[str, Any] | None:
    """Return the record of a run that gave a network; None if it is to be run."""
    file = out / f"{cell.key}.json"
    if not file.is_file():
        return None
    record: dict[str, Any] = json.loads(file.read_text())
    return record if record["outcome"] != "error" else None


def all_records(out: Path) -> list[dict[str, Any]]:
    """Return every record of a folder."""
    return [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]


def why_not(cell: Cell, autokeras: str | None) -> str | None:
    """Return why a run cannot be made here; None if it can."""
    if cell.row == "autokeras" and (autokeras is None or not Path(autokeras).is_file()):
        return "give the Python of an environment that has AutoKeras 3 by --autokeras PYTHON"
    option = missing_option(cell.row)
    return None if option is None else f"this version has no {option}"


def run_all(given: argparse.Namespace) -> None:
    """Run what is missing, or say what that is."""
    seconds = 0
    for asked, data in cells_of(given):
        before = stored(given.out, dataclasses.replace(asked, row="delivered"))
        row = resolved(asked.row, data, before)
        cell = dataclasses.replace(asked, row=row or asked.row)
        reason = why_not(cell, given.autokeras)
        if row is None:
            reason = "there is no row delivered that has ranked the known members"
        if reason is not None:
            print(f"{asked.key}: left out: {reason}", flush=True)
            continue
        if stored(given.out, cell) is not None:
            continue
        seconds += cell.seconds
        if given.plan:
            print(cell.key, flush=True)
            continue
        arch = (before or {}).get("known_archs", {}).get(cell.row.removeprefix(MEMBER))
        record = played(cell, data, given.out, autokeras=given.autokeras, arch=arch)
        write_atomically(given.out / f"{cell.key}.json", json.dumps(record))
        print(line(record), flush=True)
    if given.plan:
        print(f"{seconds / 3600:.1f} hours are missing")


def line(record: dict[str, Any]) -> str:
    """Return a run in one line."""
    wait = record["wait"]
    text = f"{record['key']:44} {wait['took']:7.1f} s{'' if record['in_time'] else ' LATE'}"
    if record["outcome"] != "network":
        return f"{text}  {record['outcome']}: {' '.join(wait['said'].split())[-200:]}"
    validation = record["validation"]
    seen = "" if validation is None else f"  validation {validation:.4f}"
    epochs = "" if record["epochs"] is None else f"  {record['epochs']:.1f} epochs"
    odd = "" if record["agrees"] else "  THE EXPORTED NETWORK DISAGREES WITH THE CARD"
    busy = f"  others {wait['others']:.2f}"
    return f"{text}  test {record['test']:.4f}{seen}{epochs}{busy}{odd}"


def printed(records: Sequence[dict[str, Any]]) -> str:
    """Return the whole table, with the machines that it was measured on."""
    if not records:
        return "nothing was measured yet"
    machines = {named(record["machine"]) for record in records}
    return "\n".join([f"Measured on {'; '.join(sorted(machines))}.", "", table(records)])


def asked_for() -> argparse.Namespace:
    """Return what the command line says, checked."""
    parser = argparse.ArgumentParser(description="Is a search worth its time?")
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--budget", nargs="+", default=["5m"])
    parser.add_argument("--rows", default=",".join(EARLY), help=f"of {','.join(ROWS)}")
    parser.add_argument("--without", default="", help=f"of {','.join(WITHOUT)}")
    parser.add_argument("--seeds", type=int, default=1, help="0 and so on")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/worth"))
    parser.add_argument("--sets", type=Path, default=Path("runs/sets"))
    parser.add_argument("--autokeras", help="Python of an environment that has it")
    parser.add_argument("--plan", action="store_true", help="say what is missing")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args()
    given.parts = [part for part in given.without.split(",") if part]
    for what, names, known in (
        ("rows", given.rows.split(","), ROWS),
        ("without", given.parts, WITHOUT),
    ):
        if unknown := [name for name in names if name and name not in known]:
            parser.error(f"--{what} {unknown[0]}: take of {', '.join(known)}")
    given.rows = ",".join(name for name in given.rows.split(",") if name)
    seconds = [(text, parse_budget(text).seconds) for text in given.budget]
    if bad := [text for text, found in seconds if found is None]:
        parser.error(f"--budget {bad[0]}: a time, such as 5m")
    given.budget = [round(found) for _, found in seconds if found is not None]
    return given


def main() -> None:
    given = asked_for()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        run_all(given)
    if not given.plan:
        print(f"\n{printed(all_records(given.out))}")


if __name__ == "__main__":
    main()
