"""A session: one stretch of work on a run, from the request to the delivered network.

The same request on an existing folder continues it; another request is refused with the difference.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .callbacks import Callbacks
from .config import recipes
from .config.pacing import settle
from .config.parts import is_stateful, make_space, make_spec, make_strategy, network_settings
from .config.resolve import Request, choose, task_settings
from .config.settings import PARTS, differences, parse_budget, read_config, validated
from .deliver import card as cards
from .deliver.finals import LATENESS, Delivery
from .engine.runner import Searching
from .engine.store import Store
from .engine.weights import Weights
from .errors import DataError, RunError, SettingError, unknown
from .execute import Executor, cores
from .execute.inline import Inline
from .files import write_atomically
from .identification import Identified, settings_with_kind
from .report import files as report
from .run import Run
from .task import data_of
from .task.opening import open_task, settings_of, with_columns
from .types import Result

if TYPE_CHECKING:
    from .execute.worker import Spec
    from .task import AnyTask

#: what a reader of the run wants to know of a task without opening its data
Say = Callable[[str], None]
Listen = Callable[[Result], None]


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
    out: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    say: Say = lambda line: None,
    listen: Listen = lambda result: None,
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
        out: the run's folder; None makes a name from the request below ``runs/``.
        settings: part -> name -> value, as ``--set part.name=value``.
        say: is told what happens, one line each.
        listen: is told every result.
        callbacks: objects with some of ``on_start``, ``on_asked``, ``on_result`` and ``on_end``, as
            `callbacks` describes; an exception in one is said and never ends the search.
        began: `time.monotonic()` at which the wait began; None is now. [s]

    Raises:
        UserError: if the request cannot be met; nothing that was stored before is lost.
    """
    said = {part: dict(values) for part, values in (settings or {}).items()}
    name = _task_name(task)
    if columns := with_columns(name, said.get("task", {}), target=target, text=text, kind=kind):
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
    for part in request.set:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    parse_budget(budget)
    _check_limits(request)
    folder = Path(out) if out is not None else Path("runs") / _folder_name(request)
    told = Callbacks(callbacks, say)
    began = began or time.monotonic()
    given = None if isinstance(task, str | os.PathLike) else task
    return _Session(folder, request, workers, say, listen, told, began, given).run()


def resume(folder: str | os.PathLike[str], **options: Any) -> Run:
    """Continue the run in `folder` with the request that started it.

    Args:
        folder: of the run.
        options: `workers`, `say`, `listen`, `callbacks`, `began` of `search`.
    """
    run = Run(folder)
    try:
        request = Request(**run.config["request"])
    except TypeError as error:
        raise RunError(f"{run.folder} was made by another version of evolvent: {error}") from error
    nothing = {"workers": None, "say": lambda line: None, "listen": lambda result: None}
    options = nothing | {"callbacks": (), "began": None} | options
    told = Callbacks(options["callbacks"], options["say"])
    began = options["began"] or time.monotonic()
    return _Session(
        run.folder, request, options["workers"], options["say"], options["listen"], told, began
    ).run()


class _Session:
    """One stretch of work on a run: create or open it, search, deliver."""

    def __init__(
        self,
        folder: Path,
        request: Request,
        workers: int | None,
        say: Say,
        listen: Listen,
        callbacks: Callbacks,
        began: float,
        task: AnyTask | None = None,
    ) -> None:
        if workers is not None and workers < 0:
            raise SettingError(f"workers={workers}: give at least 1, or 0 for this process alone")
        self.folder, self.request, self.began, self.task = folder, request, began, task
        self.asked_workers = workers
        self.workers = cores() if workers is None else workers
        self.say, self.listen, self.callbacks = say, listen, callbacks
        self.identified: Identified | None = None  # what was found out about the target, now

    def run(self) -> Run:
        """Do whatever is left to do."""
        before = self._known_config()
        if before is not None and self.task is not None:
            self._check_data(before, self.task)
        if before is not None and (self.folder / "best" / "card.json").is_file():
            self.say(f"{self.folder} is finished; showing its result")
            return Run(self.folder)
        task = self._load_task(before)
        if before is not None:
            self._check_data(before, task)
        config = before or self._first_config(task)  # refuses before anything is made
        store = self._open(new=before is None)
        try:
            if before is None:
                text = yaml.safe_dump(config, sort_keys=False)
                write_atomically(self.folder / "config.yaml", text)
            self.callbacks("on_start", Run(self.folder))
            self._work(config, task, store)
        finally:
            store.close()
        self.callbacks("on_end", run := Run(self.folder))
        self.say(f"page: {report.write(self.folder)}")
        return run

    def _check_data(self, before: Mapping[str, Any], task: AnyTask) -> None:
        if before["data"]["fingerprint"] != task.fingerprint:
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

    def _known_config(self) -> dict[str, Any] | None:
        """Return what the run in the folder was settled on, or None if there is no run yet."""
        if not (self.folder / "config.yaml").exists():
            if self.folder.exists() and not _is_empty(self.folder):
                raise RunError(
                    f"{self.folder} is neither a run nor an empty folder: choose another --out"
                )
            return None
        config = read_config(self.folder)
        lines = differences(config["request"], self._plain_request)
        if lines:
            raise RunError(
                f"{self.folder} was made with other settings ({'; '.join(lines)}): "
                "repeat those, or choose another --out"
            )
        return config

    def _load_task(self, before: Mapping[str, Any] | None) -> AnyTask:
        if self.task is not None:
            return self.task
        name = self.request.task
        said = validated("task", self.request.set.get("task", {}), settings_of(name))
        if before is not None:
            return open_task(name, task_settings(before))
        said, self.identified = settings_with_kind(
            name,
            said,
            seconds=parse_budget(self.request.budget).seconds,
            seed=self.request.seed,
            say=self.say,
        )
        return open_task(name, said)

    @property
    def _plain_request(self) -> dict[str, Any]:
        """The request as it comes back from a file: lists for tuples."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self.request)))
        return plain

    def _first_config(self, task: AnyTask) -> dict[str, Any]:
        """Return the resolved settings of a new run, refusing what could not be built."""
        chosen = choose(self.request, task)
        if is_stateful(chosen) and (self.asked_workers or 0) > 1:
            raise SettingError(
                f"--workers {self.asked_workers}: estimator {chosen['estimator']['name']} holds state "
                "between candidates, so its search is one process: leave out --workers"
            )
        settled = settle(chosen, self.request, task, max(1, self.workers))
        make_strategy(settled, make_space(settled, task), self.request.seed)
        make_spec(settled, task, self.request.seed)
        network_settings(settled, "train")
        config = {
            "request": self._plain_request,
            "seed": self.request.seed,
            "data": {
                **task.facts.to_json(),
                "fingerprint": task.fingerprint,
                "notes": list(task.note),
            },
            "versions": versions(),
            **settled,
        }
        if self.identified:
            config["task"] = {"kind": self.identified.kind}
            config["data"]["identified"] = self.identified.to_json()
        plain: dict[str, Any] = json.loads(json.dumps(config))
        return plain

    def _work(self, config: dict[str, Any], task: AnyTask, store: Store) -> None:
        space = make_space(config, task)
        strategy = make_strategy(config, space, config["seed"])
        self._announce(config, task, getattr(strategy, "note", ""))
        spec = make_spec(config, task, config["seed"], self.request.device)
        setup = store.spent("setup") + time.monotonic() - self.began
        store.spend("setup", setup)
        searching = Searching(
            store=store,
            folder=self.folder,
            config=config,
            task=task,
            space=space,
            workers=max(1, self.workers),
            say=self.say,
            asked=partial(self.callbacks, "on_asked"),
            listen=self._heard,
        )
        if is_stateful(config):
            searching.run_with_state(strategy, spec)
        with _executor(spec, self.workers) as executor:
            if not is_stateful(config):
                searching.run(strategy, executor)
            self._deliver(config, task, store, executor)

    def _announce(self, config: Mapping[str, Any], task: AnyTask, note: str) -> None:
        named = self.request.recipe or config["recipe"] not in recipes.RECIPES
        said = "" if named else " (the default for this kind of data)"
        self.say(
            f"{config['recipe']}{said}: {config['space']['name']} x {config['strategy']['name']} x "
            f"{config['estimator']['name']} on {task.name}: {task.describe()}"
        )
        for line in (*task.note, note):
            if line:
                self.say(line)
        if is_stateful(config):
            self.say(
                f"budget {self.request.budget}: {config['strategy']['horizon']} epochs of the shared "
                f"weights, {config['strategy']['batches']} batches each, one candidate at a time on "
                f"{config['threads']} of {cores()} cores; folder {self.folder}"
            )
            return
        self.say(
            f"budget {self.request.budget}: {config['estimator']['epochs']:g} epochs per candidate, "
            f"about {config['strategy']['horizon']} trials, {max(1, self.workers)} at a time; "
            f"folder {self.folder}"
        )

    def _heard(self, result: Result) -> None:
        self.listen(result)
        self.callbacks("on_result", result)

    def _deliver(
        self, config: Mapping[str, Any], task: AnyTask, store: Store, executor: Executor
    ) -> None:
        seconds = config["budget"]["seconds"]
        before = store.spent("deliver")
        start = time.monotonic()
        left = None if seconds is None else max(0.0, seconds - sum(store.phases().values()))
        if not task.trainable:
            cards.write_as_is(self.folder, config, task, store, patience=left)
            store.note("state", "done")
            return

        def tick() -> None:
            store.spend("deliver", before + time.monotonic() - start)

        delivery = Delivery(
            store=store,
            weights=Weights(self.folder / "weights"),
            config=config,
            task=data_of(task),
            space=make_space(config, task),
            executor=executor,
            workers=max(1, self.workers),
            seconds=left,
            say=self.say,
            tick=tick,
        )
        try:
            outcome = delivery.run()
            self.say(f"writing the network to {self.folder / 'best'} and proving it")
            spare = None if left is None else left + LATENESS * seconds - (time.monotonic() - start)
            cards.write(self.folder, config, data_of(task), store, outcome, patience=spare)
        finally:
            tick()
        store.note("state", "done")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    import numpy
    import torch

    from . import __version__

    return {
        "evolvent": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _executor(spec: Spec, workers: int) -> Executor:
    from .execute.processes import LocalSlots

    return LocalSlots(spec, workers=workers) if workers else Inline(spec)


def _task_name(task: str | os.PathLike[str] | AnyTask) -> str:
    """Return the name of a task as it is stored: paths whole, so that a run can be resumed."""
    from .task.opening import names

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
    """Whether there is nothing here, or what a session left that was killed as it began."""
    names = ("run.db", "run.db-wal", "run.db-shm", "run.lock")
    parts = (".run.db.part", ".run.db.part-journal", ".config.yaml.part")
    return folder.is_dir() and {file.name for file in folder.iterdir()} <= {*names, *parts}


def _check_limits(request: Request) -> None:
    for name in ("max_params", "max_flops", "max_latency_ms"):
        value = getattr(request, name)
        if value is not None and value <= 0:
            raise SettingError(f"{name}={value}: a limit must be above 0")
    if request.recipe is not None:
        recipes.find(request.recipe)
