"""A session: one stretch of work on a run, from the request to the delivered network.

The same request on an existing folder continues it; another request is refused with the difference.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from .config import recipes
from .config.config_file import check_format, read_config, write_config
from .config.pacing import settle
from .config.request import Request
from .config.resolve import check_request, check_workers, reading_of, resolve, space_kinds
from .config.settings import differences, parse_budget, validated
from .config.setup import Setup
from .config.stretches import more_budget, stretched
from .config.versions import versions
from .deliver.baselines.beside import Baselines
from .deliver.delivered import deliver_as_is, deliver_winner
from .deliver.finals import Delivery
from .deliver.timing import Timing, final_epochs
from .engine.events import Events
from .engine.keeping import keeping
from .engine.runner import Runner
from .engine.store import Store
from .engine.weights import Weights
from .errors import DataError, RunError, SettingError
from .execute import Executor, Place, check_elsewhere, cores, warm
from .execute.inline import Inline
from .files import check_new_folder, replace_folder, restore_folder, written
from .identification import Identified, mirroring, settings_with_kind
from .report import files as report
from .run import Run
from .task import data_of
from .task.memory import Given, given
from .task.metrics import judged
from .task.opening import memory_told, open_task
from .task.options import (
    as_lags,
    check_settings_of,
    is_forecast,
    kind_of,
    names,
    settings_of,
    with_columns,
    with_metric,
    with_option,
    with_series,
    with_split,
)

if TYPE_CHECKING:
    from .task import AnyTask


def search(
    task: Any,
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
    single: bool = False,
    device: str = "cpu",
    target: str | Sequence[str] | None = None,
    labels_separator: str | None = None,
    text: str | None = None,
    kind: str | None = None,
    skip_broken: bool = False,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    numeric: Sequence[str] | None = None,
    date: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    metric: str | None = None,
    positive: str | None = None,
    weight: str | None = None,
    series: bool = False,
    window: int | None = None,
    season: int | None = None,
    validation: Any = None,
    test: Any = None,
    groups: Any = None,
    time: Any = None,
    folds: Any = None,
    out: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    callbacks: Sequence[object] = (),
    began: float | None = None,
    where: Place | None = None,
) -> Run:
    """Search, train, export; return the finished run.

    Args:
        task: a built-in name, a named data set, or a path; or data in memory, with which alone the run
            can be continued: a data frame (pandas, polars, pyarrow, or a mapping of columns) with
            `target`; or ``(x, y)``, see `task.memory.given`; or a `Task`.
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
        single: whether one trained network is delivered in any case, never the mean of several.
        device: where to train.
        target: the column to predict, where the task is a table of the user's; several are quantities,
            or labels of two values each.
        labels_separator: between the labels of a cell, where one target holds lists of them.
        text: the column of texts, where there is one; all others are then left out.
        kind: ``classification`` or ``regression``, of a table; None finds out.
        skip_broken: whether images that cannot be read are left out of a folder of images.
        encoding: of a table that is a file of text, such as ``gbk``; None finds it.
        missing: of a table: texts that stand for a missing cell in place of the usual ones.
        categorical: of a table: columns that hold categories; names, or several with commas between.
        numeric: of a table: columns that hold numbers.
        date: of a table: columns that hold dates, times or durations.
        ignore: of a table: columns that are left out.
        metric: that networks are chosen by and reported with, see `task.metrics`; None is accuracy or
            R2, and log-loss where classes are skewed beyond 10 : 1.
        positive: the class that counts as positive, for metrics of one class; None is the rarer one.
        weight: of a table: the column of the weights of rows, in the loss and in every metric; it is no
            input.
        series: whether the rows of a table, or of arrays, are series of one length: its columns beside
            the target are the time steps; arrays are [N, channels, time] or [N, time].
        window: of a table whose rows are in the order of time: rows that a forecast of the target is
            made from. [count]
        season: rows after which the target comes round, of a control; None finds out. [count]
        validation: the validation part: a file or folder like the task, or, of data in memory, such
            data; or the share of the rows to validate on. None splits it off.
        test: the test part, likewise; it is read once.
        groups: of a table: a column (of data in memory its cells too) whose groups are never in two
            parts or folds.
        time: of a table: a column in whose order the rows are split: test after validation after
            training.
        folds: of a table: a column of folds, or of the words train, validation and test.
        out: the run's folder; None makes a name from the request below ``runs/``.
        settings: part -> name -> value, as ``--set part.name=value``.
        callbacks: objects with some of ``on_start``, ``on_message``, ``on_asked``, ``on_result`` and
            ``on_end``, as `callbacks` describes; an exception in one never ends the search.
        began: `time.monotonic()` at which the wait began; None is now. [s]
        where: candidates and final trainings run in place of processes of this machine, such as
            `execute.remote.place.Serve` or `execute.ray.place.Ray`; `workers` is then how many there
            will be.

    Raises:
        UserError: if the request cannot be met; nothing that was stored before is lost.
    """
    said = {part: dict(values) for part, values in (settings or {}).items()}
    data = _task(task)
    name = data if isinstance(data, str) else data.name
    if isinstance(data, str | Given):
        windows = {"window": window, "season": season}
        seen = with_series(data, said.get("task", {}), series=series, **windows)
        columns = with_columns(
            data,
            seen,
            target=target,
            labels_separator=labels_separator,
            text=text,
            kind=kind,
            encoding=encoding,
            missing=missing,
            categorical=categorical,
            numeric=numeric,
            date=date,
            ignore=ignore,
            weight=weight,
        )
        if is_forecast(data, columns):
            kinds = space_kinds(recipe, space, kind_of(data, columns))
            columns = as_lags(data, columns, kinds)
        if columns:
            said["task"] = columns
    elif series or window or season:
        raise SettingError(
            "series, window and season are for files and for data in memory, this is a task "
            "that was opened already: leave them out"
        )
    own = {"validation": validation, "test": test, "groups": groups, "time": time, "folds": folds}
    if isinstance(data, str | Given):
        data, split = with_split(data, said.get("task", {}), **own)
        if split:
            said["task"] = split
    elif any(each is not None for each in own.values()):
        raise SettingError(f"{name} is a task that was opened already: it has its parts")
    if isinstance(data, str | Given):
        judged_by = with_metric(data, said.get("task", {}), metric, positive)
        if judged_by:
            said["task"] = judged_by
    elif weight is not None:
        raise SettingError(
            f"weight={weight!r}: the task is opened already, and its rows have the weights that they "
            "have: leave it out"
        )
    elif metric is not None or positive is not None:
        data = judged(data_of(data), metric, positive)
    if skip_broken:
        said["task"] = with_option(name, said.get("task", {}), "skip_broken", True)
    if single:
        said["train"] = said.get("train", {}) | {"ensemble": False}
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
    form = None  # of data in memory, whose parts are checked at once anyhow
    if isinstance(data, str):
        check_settings_of(name, validated("task", request.said("task"), settings_of(name)))
        form = kind_of(name, request.said("task"))
    check_request(request, form, workers=workers)
    folder = Path(out) if out is not None else Path("runs") / _folder_name(request, data)
    return _Session(folder, request, workers, Events(callbacks), began, data, where).run()


def resume(
    folder: str | os.PathLike[str],
    *,
    budget: str | None = None,
    workers: int | None = None,
    callbacks: Sequence[object] = (),
    began: float | None = None,
    where: Place | None = None,
) -> Run:
    """Continue the run in `folder` with the request that started it, or with more budget.

    With more budget a finished run goes on too: search, final training and export follow once more,
    and until they are complete the network that was delivered before stays in ``best/``.

    Args:
        folder: of the run.
        budget: of the whole run, what it had so far included, in the same units: ``"60t"`` after
            ``"40t"``, ``"20m"`` after ``"10m"``; None leaves it as it is.
        workers: processes; None is what the run was begun with, 0 is this process. [count]
        callbacks: as in `search`.
        began: `time.monotonic()` at which the wait began; None is now. [s]
        where: as in `search`; it need not be where the run was begun.

    Raises:
        UserError: if the folder holds no run, or one of another format, or the budget is of other
            units, or less, or none that this run can be given.
    """
    run = Run(folder)
    asked = run.setup.request
    session = _Session(run.folder, asked, workers, Events(callbacks), began, where=where)
    return session.run(budget)


class _Session:
    """One stretch of work on a run: create or open it, search, deliver."""

    def __init__(
        self,
        folder: Path,
        request: Request,
        workers: int | None,
        events: Events,
        began: float | None,
        task: str | Given | AnyTask | None = None,
        where: Place | None = None,
    ) -> None:
        if where is not None:
            check_elsewhere(workers)
        if workers is not None and workers < 0:
            raise SettingError(f"workers={workers}: give at least 1, or 0 for this process alone")
        self.folder, self.request, self.events = folder, request, events
        self.data: str | Given = task if isinstance(task, str | Given) else request.task
        self.task = None if task is None or isinstance(task, str | Given) else task
        self.began = began or time.monotonic()
        self.asked_workers, self.where = workers, where
        self.planned_workers: int | None = None  # by whoever runs them elsewhere [count]
        self.identified: Identified | None = None  # the kind of the target, if found out now
        self.reading: dict[str, Any] = {}  # how the recipe has the data read

    @property
    def workers(self) -> int:
        """Evaluations at a time; 0 is this process. [count]"""
        if self.asked_workers is None:
            return cores() if self.planned_workers is None else self.planned_workers
        return self.asked_workers

    def run(self, budget: str | None = None) -> Run:
        """Search and deliver, from wherever the run stands.

        Args:
            budget: of the whole run from now on; None is what it has.
        """
        try:
            with written(self.folder):
                return self._run(budget)
        finally:
            if self.where is not None:
                self.where.release()

    def _run(self, budget: str | None) -> Run:
        before = self._known_setup()
        if before is not None and self.task is not None:
            self._check_data(before, self.task)
        more = None if before is None or budget is None else more_budget(before, budget)
        if before is not None and more is None and self._is_finished(before):
            self.events.say(f"{self.folder} is finished; showing its result")
            return Run(self.folder)
        if before is None:
            check_new_folder(self.folder)
        else:
            check_format(self.folder)
        if self.where is not None:
            device = self.request.device
            asked = self.asked_workers
            self.planned_workers = self.where.planned(device=device, workers=asked)
        task = self._load_task(before)
        if before is None:
            setup = self._first_setup(task)  # refuses before anything is made
        else:
            self._check_data(before, task)
            setup = before.on(task)
        store = self._open(new=before is None)
        try:
            if before is None:
                write_config(self.folder, setup.to_json() | {"workers": self.asked_workers})
            elif more is not None and budget is not None:
                setup = self._extended(setup, budget, store)
            self._begin_stretch(setup, store)
            if not store.wal:
                self.events.say(
                    f"{self.folder} is on a network file system: the log is kept without WAL, more "
                    "slowly, and as safely"
                )
            self.events.start(Run(self.folder))
            self._work(setup, store)
        finally:
            store.close()
        self.events.end(run := Run(self.folder))
        self.events.say(f"page: {report.write(self.folder, setup)}")
        return run

    def _is_finished(self, setup: Setup) -> bool:
        if not (self.folder / "best" / "card.json").is_file():
            return False
        if not setup.stretches:
            return True
        store = Store(self.folder / "run.db")
        try:
            return store.delivered(len(setup.stretches))
        finally:
            store.close()

    def _extended(self, setup: Setup, budget: str, store: Store) -> Setup:
        """Give the run more budget, and keep that in its config."""
        if (solved := store.meta("solved")) is not None:
            raise SettingError(
                f"budget {budget}: candidate {solved} of {self.folder} solves the task, there is "
                "nothing more to search for"
            )
        longer = stretched(
            setup,
            budget,
            events=store.count(),
            spent=store.phases(),
            charged=setup.task.charged,
        )
        told = longer.to_json()
        changed = {name: told[name] for name in ("budget", "stretches")}
        write_config(self.folder, read_config(self.folder) | changed)
        return longer

    def _begin_stretch(self, setup: Setup, store: Store) -> None:
        """Let a further stretch search and deliver anew; what was delivered stays until it has."""
        restore_folder(self.folder / "best")
        tested = store.meta("tested") or 0
        trained = store.notes("trained/").values()
        told = Run(self.folder).card if store.delivered() else {}
        tested += told.get("test_score") is not None or any(each.get("test") for each in trained)
        store.begin_stretch(len(setup.stretches), tested=tested)

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
        setup = Setup.from_json(config)
        asked = self.request
        if asked.budget in setup.budgets:  # it was given more since
            asked = dataclasses.replace(asked, budget=setup.request.budget)
        lines = differences(setup.request.to_json(), asked.to_json())
        if lines:
            alone = len(lines) == 1 and asked.budget != setup.request.budget
            more = f"evolvent resume {self.folder} --budget {asked.budget} gives it more budget; "
            raise RunError(
                f"{self.folder} was made with other settings ({'; '.join(lines)}): "
                f"{more if alone else ''}repeat those, or choose another --out"
            )
        if self.asked_workers is None:  # what is not said is as the run began
            self.asked_workers = config.get("workers")
        return setup

    def _load_task(self, before: Setup | None) -> AnyTask:
        if self.task is not None:
            return self.task
        data = self.data
        if self.workers:
            warm.begin()  # while the data are read
        self.events.phase(f"reading {self.request.task}")
        said = validated("task", self.request.said("task"), settings_of(data))
        self.reading = reading_of(self.request, kind_of(data, said))
        said = self.reading | said
        if line := memory_told(data):
            self.events.say(line)
        if before is not None:
            return _judged_alike(open_task(data, before.task_settings), before)
        seconds = parse_budget(self.request.budget).seconds
        said, self.identified = settings_with_kind(
            data,
            said,
            seconds=seconds,
            seed=self.request.seed,
            say=self.events.say,
            phase=self.events.phase,
        )
        self.events.phase(f"reading {self.request.task}")
        task, found = mirroring.settled(
            open_task(data, said),
            seconds=seconds,
            seed=self.request.seed,
            say=self.events.say,
            phase=self.events.phase,
        )
        self.reading |= found
        return task

    def _first_setup(self, task: AnyTask) -> Setup:
        """Return the setup of a new run, refusing what could not be built."""
        draft = resolve(self.request, task)
        check_workers(draft.parts.estimator, self.asked_workers)
        self.events.phase("measuring how long a training takes")
        waited = time.monotonic() - self.began
        setup = settle(draft, workers=max(1, self.workers), before=waited)
        for part in (setup.strategy, lambda: setup.spec, lambda: setup.train.network):
            part()  # refuses now what it would refuse later
        data = task.facts.to_json() | {
            "fingerprint": task.fingerprint,
            "notes": list(task.note),
        }
        found = self.identified
        if found is not None:
            data["identified"] = found.to_json()
        read = self.reading | ({} if found is None else {"kind": found.kind})
        return setup.described(data=data, read=read, versions=versions())

    def _work(self, setup: Setup, store: Store) -> None:
        self._announce(setup)
        spent = store.spent("setup") + time.monotonic() - self.began
        store.spend("setup", spent)
        runner = Runner(store, self.folder, setup, self.events)
        if setup.parts.stateful:
            runner.run_with_state()
        with self._executor(setup) as executor:
            if not setup.parts.stateful:
                runner.run(executor)
            self._deliver(setup, store, executor)

    def _executor(self, setup: Setup) -> Executor:
        """Return where candidates and final trainings run."""
        if self.where is None:
            return _executor(setup, self.workers)
        spec = keeping(setup).spec
        return self.where.executor(
            spec, folder=self.folder, say=self.events.say, workers=self.asked_workers
        )

    def _announce(self, setup: Setup) -> None:
        say, schedule, task = self.events.say, setup.schedule, setup.task
        budget = setup.budgets[-1]
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
                f"budget {budget}: {schedule.horizon} epochs of the shared weights, "
                f"{batches} batches each, one candidate at a time on {schedule.threads} of {cores()} "
                f"cores; folder {self.folder}"
            )
            return
        horizon = setup.stretches[-1].horizon if setup.stretches else schedule.horizon
        say(
            f"budget {budget}: {schedule.epochs:g} epochs per candidate, about "
            f"{horizon} trials, {max(1, self.workers)} at a time; folder {self.folder}"
        )
        if setup.budget.seconds is None and setup.task.trainable and setup.train.epochs is None:
            say(
                f"no time was given: the final training is {final_epochs(setup):g} epochs long; "
                "--budget 10m,20t bounds both, --set estimator.epochs=E and train.epochs=E say it"
            )

    def _deliver(self, setup: Setup, store: Store, executor: Executor) -> None:
        seconds = setup.budget.seconds
        before = store.spent("deliver")
        start = time.monotonic()
        left = None if seconds is None else max(0.0, seconds - sum(store.phases().values()))
        to = self._place()
        if not setup.task.trainable:
            patience = Timing.of(store, setup, left).patience
            deliver_as_is(self.folder, setup, store, patience=patience, to=to)
            self._hand_over(to, store)
            return

        def tick() -> None:
            store.spend("deliver", before + time.monotonic() - start)

        baselines = Baselines(setup, left, self.events.say)
        if baselines.names:
            self.events.phase("fitting controls of scikit-learn")
            baselines.fit()
        if left is not None:
            left = max(0.0, left - (time.monotonic() - start))
        delivery = Delivery(
            store=store,
            weights=Weights(self.folder / "weights"),
            setup=setup,
            executor=executor,
            workers=executor.workers,
            seconds=left,
            say=self.events.say,
            tick=tick,
        )
        try:
            outcome = delivery.run()
            self.events.say(f"writing the network to {self.folder / 'best'} and proving it")
            patience = delivery.timing.patience
            deliver_winner(
                *(self.folder, setup, store, outcome),
                patience=patience,
                to=to,
                beside=baselines.scored(),
            )
        finally:
            tick()
        self._hand_over(to, store)

    def _place(self) -> Path:
        """Return where the network is written: beside an earlier one, which stays until it is whole."""
        best = self.folder / "best"
        if not (best / "card.json").is_file():
            return best
        place = self.folder / ".best.part"
        shutil.rmtree(place, ignore_errors=True)
        return place

    def _hand_over(self, place: Path, store: Store) -> None:
        if place.name != "best":
            replace_folder(place, self.folder / "best")
        store.note("state", "done")


def _executor(setup: Setup, workers: int) -> Executor:
    from .execute.processes import LocalSlots

    setup = keeping(setup)
    if not workers:
        return Inline(setup.context)
    return LocalSlots(setup.spec, workers=workers, fresh=setup.request.device != "cpu")


def _is_opened(task: Any) -> TypeGuard[AnyTask]:
    """Whether it is a task that was opened already."""
    return hasattr(task, "fingerprint") and hasattr(task, "facts")


def _judged_alike(task: AnyTask, before: Setup) -> AnyTask:
    """Return the data of a run with the metric that it began with, which an older version chose."""
    known = before.data.get("metric")
    if not task.trainable or known in (None, task.metric):
        return task
    return dataclasses.replace(data_of(task), metric=known)


def _task(task: Any) -> str | Given | AnyTask:
    """Return a task as a session takes it; paths are stored whole, so that a run can be resumed."""
    if _is_opened(task):
        return task
    if not isinstance(task, str | os.PathLike):
        return given(task)
    text = os.fspath(task)
    if not text:
        raise DataError("the task is empty: give a name (`evolvent list tasks`) or a path")
    if text in names() or not Path(text).exists():
        return text
    return str(Path(text).absolute())


def _folder_name(request: Request, data: str | Given | AnyTask) -> str:
    text = json.dumps(dataclasses.asdict(request), sort_keys=True)
    text += data.digest if isinstance(data, Given) else ""  # all such data have one name
    name = request.recipe or request.strategy or "search"
    task = Path(request.task).name.replace(" ", "-")
    return f"{task}-{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _is_empty(folder: Path) -> bool:
    """Whether nothing is here, or what a session left that was killed as it began."""
    names = ("run.db", "run.db-wal", "run.db-shm", "run.lock")
    parts = (".run.db.part", ".run.db.part-journal", ".config.yaml.part")
    found = {file.name for file in folder.iterdir()} if folder.is_dir() else {""}
    if "run.db" in found:  # whether that holds a search is seen when it is opened
        found -= {"weights"}
    return found <= {*names, *parts}
