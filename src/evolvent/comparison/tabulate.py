"""A table of one's own: train every distinct architecture of a small space, at several lengths.

Rows that are equal networks are trained once. The build can be stopped and goes on where it was; at
the end the table is written as two plain files (see `task.tables`) that list every architecture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.request import Request
from ..config.resolve import resolve
from ..config.settings import validated
from ..config.setup import Draft
from ..engine.store import Store
from ..errors import RunError, SettingError
from ..execute import Executor
from ..execute.inline import Inline
from ..execute.processes import LocalSlots
from ..execute.waiting import as_done
from ..execute.worker import Context, Job, fit
from ..network.build import plan
from ..network.cost import cost
from ..space import Decisions, key
from ..space.capabilities import decisions
from ..task import data_of
from ..task.opening import open_task
from ..task.options import settings_of
from ..task.tables import Table, home, save_table
from ..types import Arch, stream

LARGEST = 1_000_000  # architectures; a larger space is no table
AHEAD = 4  # rows per worker that are submitted at a time, so that none waits for its next


def build(
    task: str,
    *,
    space: str,
    name: str,
    epochs: Sequence[float] = (2, 8),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    work: Path | None = None,
    workers: int = 2,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Table:
    """Train every distinct architecture of a space and write the table.

    Args:
        task: a named data set or a path.
        space: a space with decisions.
        name: of the table, as in ``table:NAME``.
        epochs: training lengths, each a run with a schedule of its own. [epochs]
        settings: part -> name -> value, as for a search.
        folder: where the table goes; None is the user's folder of tables.
        work: where rows are kept until all are done; None is ``runs/table-NAME``.
        workers: processes; 0 is this process. [count]
        seed: of every row's training, with its number.
        say: is told how far it is.

    Raises:
        UserError: if the space cannot be listed, or the folder holds another build.
    """
    given = validated("task", (settings or {}).get("task", {}), settings_of(task))
    data = open_task(task, given)
    request = Request(task, None, space, "random", "full", "1t", seed, set=settings or {})
    draft = resolve(request, data)
    if draft.network.hyper.precision == "auto":  # all rows alike, on whatever machine they are made
        draft = draft.having(draft.parts.having("estimator", precision="float32"))
    if draft.parts.estimator.settings.get("equal") == "seconds":  # a row is of so many epochs
        draft = draft.having(draft.parts.having("estimator", equal="epochs"))
    made = draft.space
    if "decisions" not in made.gives:
        raise SettingError(f"space {space} has no decisions to list: use cell201, say")
    coded = decisions(made)
    archs = every(coded)
    first: dict[Any, int] = {}
    represented = [first.setdefault(key(made, arch), row) for row, arch in enumerate(archs)]
    distinct = sorted(set(represented))
    say(f"{len(archs):,} architectures, {len(distinct):,} of them distinct")
    work = work or Path("runs") / f"table-{name}"
    work.mkdir(parents=True, exist_ok=True)
    store = Store(work / "run.db", write=True)
    identity = {
        "task": data.fingerprint,
        "chosen": _chosen(draft),
        "epochs": list(epochs),
        "seed": seed,
    }
    if store.meta("identity") not in (None, _plain(identity)):
        store.close()
        raise RunError(f"{work} holds a build with other settings: choose another --out")
    store.note("identity", identity)
    try:
        _fill(store, draft, archs, distinct, epochs, workers, seed, say)
        rows = {row: store.meta(f"row/{row}") for row in distinct}
    finally:
        store.close()
    columns = {
        column: np.array([rows[row][column] for row in represented], dtype=float)
        for column in rows[distinct[0]]
    }
    longest = f"{max(epochs):g}ep"
    table = Table(
        name,
        tuple("".join(map(str, coded.encode(arch))) for arch in archs),
        columns,
        score=f"val_{longest}",
        test=f"test_{longest}" if data_of(data).test is not None else None,
        cost=f"seconds_{longest}",
        units={column: _unit(column) for column in columns},
    )
    save_table(table, folder or home())
    return table


def every(space: Decisions) -> list[Arch]:
    """Return every architecture of a space with decisions, in the order of its choices.

    Raises:
        SettingError: if there are more than a million, or a choice is not one digit.
    """
    open_paths: list[tuple[int, ...]] = [()]
    complete: list[Arch] = []
    while open_paths:
        path = open_paths.pop()
        decision = space.decision(path)
        if decision is None:
            complete.append(space.decode(path))
            continue
        if decision.size > 10:
            raise SettingError("a table's architectures are digits: at most 10 options a decision")
        open_paths += [(*path, value) for value in reversed(decision.legal)]
        if len(open_paths) + len(complete) > LARGEST:
            raise SettingError(f"the space has more than {LARGEST:,} architectures: no table")
    return complete


def measure(context: Context, jobs: Sequence[Job]) -> dict[str, float]:
    """Return the columns of one architecture, trained at every length."""
    found: dict[str, float] = {}
    metric = context.spec.task.metric
    for job in jobs:
        numbers = fit(context, job).numbers
        length = f"{job.epochs:g}ep"
        found[f"val_{length}"] = round(numbers["val"][metric], 6)
        found[f"val_loss_{length}"] = round(numbers["val"]["loss"], 5)
        if numbers["test"]:
            found[f"test_{length}"] = round(numbers["test"][metric], 6)
        found[f"seconds_{length}"] = round(numbers["train_seconds"], 3)
        found["params"] = numbers["params"]
    return found


def _fill(
    store: Store,
    draft: Draft,
    archs: Sequence[Arch],
    distinct: Sequence[int],
    epochs: Sequence[float],
    workers: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    space, data, network = draft.space, draft.task, draft.network
    missing = [row for row in distinct if store.meta(f"row/{row}") is None]

    def jobs(row: int) -> list[Job]:
        return [
            Job(
                f"{row}/{length:g}",
                epochs=length,
                test=True,
                seed=stream(seed, "table", row, length).getrandbits(31),
                arch=archs[row],
                size=network.size,
                hyper=network.hyper,
            )
            for length in epochs
        ]

    start, most = time.monotonic(), max(1, AHEAD * workers)
    rows = ((row, (jobs(row),)) for row in missing)  # made as they are submitted
    executor: Executor = Inline(draft.context)
    if workers:
        executor = LocalSlots(draft.spec, workers=workers, fresh=draft.spec.device != "cpu")
    with executor:
        trained = as_done(executor, measure, rows, most=most)
        for done, (row, future) in enumerate(trained, start=1):
            flops = cost(plan(space, archs[row], data, network.size), data).flops
            store.note(f"row/{row}", future.result() | {"flops": flops})
            if done % 100 == 0:
                pace = (time.monotonic() - start) / done
                left = pace * (len(missing) - done)
                say(f"{done:,} rows, about {left / 60:.0f} minutes left")


def _chosen(draft: Draft) -> dict[str, Any]:
    """Return the settings that a build is known by."""
    parts = draft.parts
    return {"space": parts.space.to_json(), "estimator": parts.estimator.to_json()}


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def _unit(column: str) -> str:
    if column in ("params", "flops"):
        return "count"
    if column.startswith("seconds"):
        return "s"
    return "nats" if "loss" in column else "fraction"
