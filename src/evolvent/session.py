"""A session: one stretch of work on a run, from the request to the delivered network.

The same request on an existing folder continues it; another request is refused with the difference.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import recipes
from .config.config_file import check_format, read_config, write_config
from .config.pacing import settle
from .config.request import Request
from .config.resolve import resolve
from .config.settings import PARTS, differences, parse_budget, validated
from .config.setup import Setup
from .config.versions import versions
from .deliver.delivered import deliver_as_is, deliver_winner
from .deliver.finals import LATENESS, Delivery
from .engine.events import Events
from .engine.runner import Runner
from .engine.store import Store
from .engine.weights import Weights
from .errors import DataError, RunError, SettingError, unknown
from .execute import Executor, cores
from .execute.inline import Inline
from .identification import Identified, settings_with_kind
from .report import files as report
from .run import Run
from .task.opening import memory_told, names, open_task, settings_of, with_columns

if TYPE_CHECKING:
    from .task import AnyTask


def search(
    task: str | os.PathLike[str] | AnyTask,
    *,
    recipe: str | None = None,
    space: str | None = None,
    strategy: str | None = None,
    estimator: str | None = None,
    budget: str = "10m",
    workers: int | None = None,
    seed: int = 0,
    max_params: int | None = None,
    max_flops: int | None = None,
    max_latency_ms: float | None = None,
    device: str = "cpu",
    target: str | None = None,
    text: str | None = None,
    kind: str | None = None,
    missing: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    numeric: Sequence[str] | None = None,
    date: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    callbacks: Sequence[object] = (),
    began: float | None = None,
) -> Run:
    """Search, train, export; return the finished run.

    Args:
        task: a built-in name, a named data set, or a path; or a `Task` in memory, with which alone the
            run can be continued.
        recipe: a published system; None is the default for the kind of task.
        space: in place of the recipe's.
        strategy: in place of the recipe's.
        estimator: in place of the recipe's.
        budget: such as ``"10m"``, ``"200t"`` or ``"1h,500t"``; a time is the whole wait.
        workers: processes; None is one per core, 0 is this process, without protection. [count]
        seed: of the search.
        max_params: of the delivered network. [count]
        max_flops: of the delivered network, for one input. [count]
        max_latency_ms: of the delivered network on this machine. [ms]
        device: where to train.
        target: the column to predict, where the task is a table of the user's.
        text: the column of texts, where there is one; all others are then left out.
        kind: ``classification`` or ``regression``, of a table; None finds out.
        missing: of a table: texts that stand for a missing cell in place of the usual ones.
        categorical: of a table: columns that hold categories; names, or several with commas between.
        numeric: of a table: columns that hold numbers.
        date: of a table: columns that hold dates, times or durations.
        ignore: of a table: columns that are left out.
        out: the run's folder; None makes a name from the request below ``runs/``.
        settings: part -> name -> value, as ``--set part.name=value``.
        callbacks: objects with some of ``on_start``, ``on_message``, ``on_asked``, ``on_result`` and
            ``on_end``, as `callbacks` describes; an exception in one never ends the search.
        began: `time.monotonic()` at which the wait began; None is now. [s]

    Raises:
        UserError: if the request cannot be met; nothing that was stored before is lost.
    """
    said = {part: dict(values) for part, values in (settings or {}).items()}
    name = _task_name(task)
    columns = with_columns(
        name,
        said.get("task", {}),
        target=target,
        text=text,
        kind=kind,
        missing=missing,
        categorical=categorical,
        numeric=numeric,
        date=date,
        ignore=ignore,
    )
    if columns:
        said["task"] = columns
    request = Request(
        name,
        recipe,
        space,
        strategy,
        estimator,
        budget,
        seed,
        max_params,
        max_flops,
        max_latency_ms,
        device,
        said,
    )
    _check_request(request)
    folder = Path(out) if out is not None else Path("runs") / _folder_name(request)
    given = None if isinstance(task, str | os.PathLike) else task
    return _Session(folder, request, workers, Events(callbacks), began, given).run()


def resume(
    folder: str | os.PathLike[str],
    *,
    workers: int | None = None,
    callbacks: Sequence[object] = (),
    began: float | None = None,
) -> Run:
    """Continue the run in `folder` with the request that started it.

    Args:
        folder: of the run.
        workers: processes; None is one per core, 0 is this process. [count]
        callbacks: as in `search`.
        began: `time.monotonic()` at which the wait began; None is now. [s]

    Raises:
        UserError: if the folder holds no run, or one of another format.
    """
    run = Run(folder)
    check_format(run.folder, run.config)
    return _Session(run.folder, run.setup.request, workers, Events(callbacks), began).run()


class _Session:
    """One stretch of work on a run: create or open it, search, deliver."""

    def __init__(
        self,
        folder: Path,
        request: Request,
        workers: int | None,
        events: Events,
        began: float | None,
        task: AnyTask | None = None,
    ) -> None:
        if workers is not None and workers < 0:
            raise SettingError(f"workers={workers}: give at least 1, or 0 for this process alone")
        self.folder, self.request, self.events, self.task = folder, request, events, task
        self.began = began or time.monotonic()
        self.asked_workers = workers
        self.workers = cores() if workers is None else workers
        self.identified: Identified | None = None  # the kind of the target, if found out now

    def run(self) -> Run:
        """Search and deliver, from wherever the run stands."""
        before = self._known_setup()
        if before is not None and self.task is not None:
            self._check_data(before, self.task)
        if before is not None and (self.folder / "best" / "card.json").is_file():
            self.events.say(f"{self.folder} is finished; showing its result")
            return Run(self.folder)
        task = self._load_task(before)
        if before is None:
            setup = self._first_setup(task)  # refuses before anything is made
        else:
            self._check_data(before, task)
            setup = before.on(task)
        store = self._open(new=before is None)
        try:
            if before is None:
                write_config(self.folder, setup.to_json())
            self.events.start(Run(self.folder))
            self._work(setup, store)
        finally:
            store.close()
        self.events.end(run := Run(self.folder))
        self.events.say(f"page: {report.write(self.folder)}")
        return run

    def _check_data(self, before: Setup, task: AnyTask) -> None:
        if before.data["fingerprint"] != task.fingerprint:
            raise RunError(
                f"the data of {self.request.task} are not those that {self.folder} began with: "
                "restore them, or choose another --out"
            )

    def _open(self, *, new: bool) -> Store:
        file = self.folder / "run.db"
        if not new and not file.is_file():
            raise RunError(f"{file} is missing: restore it from a copy, or choose another --out")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be made ({error.strerror}): choose another --out"
            ) from error
        store = Store(file, write=True)
        if new and next(store.events(), None) is not None:
            store.close()
            raise RunError(
                f"{self.folder} holds a search without its config.yaml: restore it, or choose "
                "another --out"
            )
        return store

    def _known_setup(self) -> Setup | None:
        """Return the setup of the run in the folder, or None if there is no run yet."""
        if not (self.folder / "config.yaml").exists():
            if self.folder.exists() and not _is_empty(self.folder):
                raise RunError(
                    f"{self.folder} is neither a run nor an empty folder: choose another --out"
                )
            return None
        config = read_config(self.folder)
        check_format(self.folder, config)
        lines = differences(config["request"], self.request.to_json())
        if lines:
            raise RunError(
                f"{self.folder} was made with other settings ({'; '.join(lines)}): "
                "repeat those, or choose another --out"
            )
        return Setup.from_json(config)

    def _load_task(self, before: Setup | None) -> AnyTask:
        if self.task is not None:
            return self.task
        name = self.request.task
        said = validated("task", self.request.said("task"), settings_of(name))
        if line := memory_told(name):
            self.events.say(line)
        if before is not None:
            return open_task(name, before.task_settings)
        said, self.identified = settings_with_kind(
            name,
            said,
            seconds=parse_budget(self.request.budget).seconds,
            seed=self.request.seed,
            say=self.events.say,
        )
        return open_task(name, said)

    def _first_setup(self, task: AnyTask) -> Setup:
        """Return the setup of a new run, refusing what could not be built."""
        draft = resolve(self.request, task)
        if draft.parts.stateful and (self.asked_workers or 0) > 1:
            raise SettingError(
                f"--workers {self.asked_workers}: estimator {draft.parts.estimator.name} holds state "
                "between candidates, so its search is one process: leave out --workers"
            )
        setup = settle(draft, workers=max(1, self.workers))
        for part in (setup.strategy, lambda: setup.spec, lambda: setup.train.network):
            part()  # refuses now what it would refuse later
        data = task.facts.to_json() | {
            "fingerprint": task.fingerprint,
            "notes": list(task.note),
        }
        found = self.identified
        if found is not None:
            data["identified"] = found.to_json()
        read = {} if found is None else {"kind": found.kind}
        return setup.described(data=data, read=read, versions=versions())

    def _work(self, setup: Setup, store: Store) -> None:
        self._announce(setup)
        spent = store.spent("setup") + time.monotonic() - self.began
        store.spend("setup", spent)
        runner = Runner(store, self.folder, setup, max(1, self.workers), self.events)
        if setup.parts.stateful:
            runner.run_with_state()
        with _executor(setup, self.workers) as executor:
            if not setup.parts.stateful:
                runner.run(executor)
            self._deliver(setup, store, executor)

    def _announce(self, setup: Setup) -> None:
        say, schedule, task = self.events.say, setup.schedule, setup.task
        named = self.request.recipe or setup.recipe not in recipes.RECIPES
        said = "" if named else " (the default for this kind of data)"
        say(
            f"{setup.recipe}{said}: {' x '.join(setup.parts.names)} on {task.name}: {task.describe()}"
        )
        for line in (*task.note, getattr(setup.strategy(), "note", "")):
            if line:
                say(line)
        if setup.parts.stateful:
            batches = setup.parts.strategy.settings["batches"]
            say(
                f"budget {self.request.budget}: {schedule.horizon} epochs of the shared weights, "
                f"{batches} batches each, one candidate at a time on {schedule.threads} of {cores()} "
                f"cores; folder {self.folder}"
            )
            return
        say(
            f"budget {self.request.budget}: {schedule.epochs:g} epochs per candidate, about "
            f"{schedule.horizon} trials, {max(1, self.workers)} at a time; folder {self.folder}"
        )

    def _deliver(self, setup: Setup, store: Store, executor: Executor) -> None:
        seconds = setup.budget.seconds
        before = store.spent("deliver")
        start = time.monotonic()
        left = None if seconds is None else max(0.0, seconds - sum(store.phases().values()))
        if not setup.task.trainable:
            deliver_as_is(self.folder, setup, store, patience=left)
            store.note("state", "done")
            return

        def tick() -> None:
            store.spend("deliver", before + time.monotonic() - start)

        delivery = Delivery(
            store=store,
            weights=Weights(self.folder / "weights"),
            setup=setup,
            executor=executor,
            workers=max(1, self.workers),
            seconds=left,
            say=self.events.say,
            tick=tick,
        )
        try:
            outcome = delivery.run()
            self.events.say(f"writing the network to {self.folder / 'best'} and proving it")
            spare = None
            if seconds is not None and left is not None:
                spare = left + LATENESS * seconds - (time.monotonic() - start)
            deliver_winner(self.folder, setup, store, outcome, patience=spare)
        finally:
            tick()
        store.note("state", "done")


def _executor(setup: Setup, workers: int) -> Executor:
    from .execute.processes import LocalSlots

    return LocalSlots(setup.spec, workers=workers) if workers else Inline(setup.context)


def _task_name(task: str | os.PathLike[str] | AnyTask) -> str:
    """Return the name of a task as it is stored: paths whole, so that a run can be resumed."""
    if not isinstance(task, str | os.PathLike):
        return task.name
    text = os.fspath(task)
    if not text:
        raise DataError("the task is empty: give a name (`evolvent list tasks`) or a path")
    if text in names() or not Path(text).exists():
        return text
    return str(Path(text).absolute())


def _folder_name(request: Request) -> str:
    text = json.dumps(dataclasses.asdict(request), sort_keys=True)
    name = request.recipe or request.strategy or "search"
    return f"{Path(request.task).name}-{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _is_empty(folder: Path) -> bool:
    """Whether nothing is here, or what a session left that was killed as it began."""
    names = ("run.db", "run.db-wal", "run.db-shm", "run.lock")
    parts = (".run.db.part", ".run.db.part-journal", ".config.yaml.part")
    return folder.is_dir() and {file.name for file in folder.iterdir()} <= {*names, *parts}


def _check_request(request: Request) -> None:
    """Refuse a request that can be seen to be wrong without its data."""
    for part in request.set:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    parse_budget(request.budget)
    for name, value in request.limits.items():
        if value <= 0:
            raise SettingError(f"{name}={value}: a limit must be above 0")
    if request.recipe is not None:
        recipes.find(request.recipe)
