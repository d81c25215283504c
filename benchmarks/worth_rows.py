"""The rows of the table "is it worth it", as commands, and the data sets by name."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sets import JPEGS, MADE, made, root

from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.space import capabilities
from evolvent.task import data_of
from evolvent.task.opening import open_task
from evolvent.types import Arch

RECIPE = "stages"  # the default for images that is measured
NAMES = ("digits", "mnist", "fashion-mnist")  # sets that evolvent knows by name
SEARCH = (sys.executable, "-m", "evolvent.cli", "search")
FOLDER = Path(__file__).parent
#: data -> settings of the task that their owner would say: a mirrored digit is no digit
SAID = {"multnist": ("task.flip=false",)}

#: row -> options of the search, beside data, budget, cores and seed
SEARCHED: dict[str, tuple[str, ...]] = {
    "delivered": ("--recipe", RECIPE),
    "random": ("--recipe", RECIPE, "--strategy", "random"),
    "known": ("--recipe", RECIPE, "--strategy", "random", "--set", "strategy.known=true"),
    "cells": ("--recipe", "plain-cells"),
}
#: part of the default -> options that take it away
WITHOUT: dict[str, tuple[str, ...]] = {
    "muon": ("--set", "space.optimizers=[sgd]", "--set", "estimator.optimizer=sgd"),
    "resize": ("--set", "space.resizes=[1.0]", "--set", "estimator.resize=1.0"),
    "known": ("--set", "strategy.known=false"),
    "equal": ("--set", "estimator.equal=epochs"),
    "views": ("--set", "train.views=1"),
    "ensemble": ("--single",),
}
#: what each row is, for the table
ROWS = {
    "delivered": "what the default recipe delivers",
    "known": "known members alone: equal short trainings, the best has the rest of the time",
    "known-first": "the first known member, trained for all the time",
    "known-ranked": "the known member that is first on the search's lowest rung, for all the time",
    "plain": "a plain network made by hand, with the recipe of the known members, for all the time",
    "plain-classic": "the same with the recipe of before",
    "random": "random search in the same space",
    "cells": "the recipe plain-cells",
    "autokeras": "AutoKeras 3",
}
KNOWN_ROWS = ("known", "known-first", "known-ranked")  # rows of the best known member
KNOWN = "known "  # before the name of a member, in the operator of a candidate
MEMBER, PLAINS = "member-", ("plain", "plain-classic")


@dataclass(frozen=True)
class Data:
    """A data set.

    Args:
        name: in the table.
        task: as a search takes it: a name or a path.
        said: its settings, as ``--set`` takes them.
    """

    name: str
    task: str
    said: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings as the reader takes them."""
        from evolvent.config.settings import parse_set

        return parse_set(self.said).get("task", {})


@dataclass(frozen=True)
class Cell:
    """One run: a row on some data, with a budget and a seed.

    Args:
        data: by name.
        seconds: budget, the whole wait. [s]
        cores: of the run. [count]
        row: one of `ROWS`, ``without-PART``, or ``member-NAME`` for a known member.
        seed: of search and training.
    """

    data: str
    seconds: int
    cores: int
    row: str
    seed: int

    @property
    def key(self) -> str:
        """The name of its file."""
        return f"{self.data}-{self.seconds}s-{self.cores}c-{self.row}-{self.seed}"


def data_named(name: str, sets: Path) -> Data:
    """Return a set by its name, made now if it is one of `MADE`; any other name is a path.

    Args:
        name: of the set.
        sets: folder of those that are made.
    """
    if name in NAMES:
        return Data(name, name)
    if name == "cifar-jpeg":
        return Data(name, str(root() / JPEGS))
    if name in MADE:
        return Data(name, str(made(name, sets).absolute()), SAID.get(name, ()))
    return Data(Path(name).stem, str(Path(name).absolute()))


@functools.cache
def known_members(data: Data) -> dict[str, Arch]:
    """Return the known members of the default's space for these data, best first."""
    task = data_of(open_task(data.task, data.settings))
    draft = resolve(Request(data.task, RECIPE, set={"task": data.settings}), task)
    return dict(capabilities.known(draft.space).known(task.facts))


def command(
    cell: Cell,
    data: Data,
    folder: Path,
    *,
    autokeras: str | None = None,
    arch: Arch | None = None,
) -> list[str]:
    """Return the command of a run that leaves its network in ``folder/best``.

    Args:
        cell: of the run.
        data: of the run.
        folder: of the run.
        autokeras: Python of an environment that has it.
        arch: of a known member, where a search had it in a form of its own; None is the space's.

    Raises:
        ValueError: for a row that there is not.
    """
    common = ["--budget", _budget(cell, data), "--seed", str(cell.seed), "--out", str(folder)]
    said = [text for each in data.said for text in ("--set", each)]
    searched = _searched(cell.row)
    if searched is not None:
        return [*SEARCH, data.task, *searched, *common, "--workers", str(cell.cores), *said]
    if cell.row == "autokeras":
        if autokeras is None:
            raise ValueError("the row autokeras needs --autokeras PYTHON")
        script, arrays = str(FOLDER / "worth_autokeras.py"), str(folder.with_suffix(".npz"))
        seconds = ["--seconds", str(cell.seconds), *common[2:]]
        return [autokeras, script, arrays, *seconds]
    name = cell.row.removeprefix(MEMBER)
    if cell.row not in PLAINS and name == cell.row:
        raise ValueError(f"there is no row {cell.row!r}: take of {', '.join(ROWS)}")
    script = str(FOLDER / "worth_member.py")
    own = [] if arch is None else ["--arch", json.dumps(arch)]
    return [sys.executable, script, data.task, "--member", name, *own, *common, *said]


def _searched(row: str) -> tuple[str, ...] | None:
    part = row.removeprefix("without-")
    if part != row:
        return (*SEARCHED["delivered"], *WITHOUT[part])
    return SEARCHED.get(row)


def _budget(cell: Cell, data: Data) -> str:
    """Return the budget; known members alone are a number of trials as well."""
    trials = f",{len(known_members(data))}t" if cell.row == "known" else ""
    return f"{cell.seconds}s{trials}"


@functools.cache
def has_option(name: str) -> bool:
    """Whether the search has an option, such as ``--single``."""
    done = subprocess.run([*SEARCH, "--help"], capture_output=True, text=True, check=True)
    return re.search(rf"(?<!\S){re.escape(name)}(?!\S)", done.stdout) is not None


def missing_option(row: str) -> str | None:
    """Return the option that a row needs and this version does not have; None without one."""
    options = [text for text in _searched(row) or () if text.startswith("--") and text != "--set"]
    return next((name for name in options if not has_option(name)), None)


def resolved(row: str, data: Data, delivered: Mapping[str, Any] | None) -> str | None:
    """Return a row with the name of its known member; None if it is not known yet.

    Args:
        row: of `ROWS`.
        data: whose members.
        delivered: what came of the row ``delivered`` of the same data, budget, cores and seed.
    """
    if row == "known-first":
        return f"{MEMBER}{next(iter(known_members(data)))}"
    if row == "known-ranked":
        name = first_ranked((delivered or {}).get("known", {}))
        return None if name is None else f"{MEMBER}{name}"
    return row


def first_ranked(known: Mapping[str, float]) -> str | None:
    """Return the known member with the best score, of equal ones the first; None without any."""
    return max(known, key=lambda name: known[name], default=None)


def known_archs(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Arch]:
    """Return name -> architecture of the known members that a search asked for.

    They are thinner than the space's own where its budget had no time for these.
    """
    found: dict[str, Arch] = {}
    for row in candidates:
        operator = row["operator"] or ""
        if operator.startswith(KNOWN):
            found.setdefault(operator.removeprefix(KNOWN), row["arch"])
    return found


def known_scores(candidates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return name -> validation score of known members after their shortest training, in order."""
    found: dict[str, tuple[float, float]] = {}
    for row in candidates:
        operator = row["operator"] or ""
        if operator.startswith(KNOWN) and row["score"] is not None and row["status"] == "ok":
            name, length = operator.removeprefix(KNOWN), row["budget"]
            if name not in found or length < found[name][0]:
                found[name] = (length, row["score"])
    return {name: score for name, (_, score) in found.items()}
