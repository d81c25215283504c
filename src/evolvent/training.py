"""Train one candidate of a run fully: longer, scaled up, or transferred to other data.

Search small, stack later: a cell found in a small network is repeated in a large one. What helps only
the training (drop-path, an auxiliary classifier) is in no number and no file of the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from .config import settable
from .config.defaults import adapted, at_most
from .config.equal_time import pace
from .config.settings import parse_budget, validated
from .config.setup import NetworkSettings, Setup
from .config.versions import versions
from .contract import kinds_of
from .deliver import card as cards
from .deliver import export
from .deliver.card import Card
from .deliver.timing import LOOK
from .errors import EvolventError, InvalidArchitecture, RunError, SettingError, unknown
from .execute import cores
from .execute.processes import LocalSlots
from .execute.worker import Job, Outcome, fit, using_threads
from .files import new_folder
from .network.build import Size, plan, training_plan, views_of
from .network.cost import cost
from .network.plan import Plan
from .network.precision import faster_precision
from .run import Run
from .task import Task, data_of
from .task.frames import is_table
from .task.opening import open_task
from .task.options import COLUMNS, settings_of, with_columns, with_split
from .task.own_split import COLUMNS as SPLIT
from .types import Arch, Result

PARTS = ("task", "train")  # what settings may concern
Settings = Mapping[str, Mapping[str, Any]]


def train(
    run: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    candidate: int | None = None,
    task: str | None = None,
    target: str | Sequence[str] | None = None,
    labels_separator: str | None = None,
    text: str | None = None,
    kind: str | None = None,
    validation: str | float | None = None,
    test: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    folds: str | None = None,
    cells: int | None = None,
    width: int | None = None,
    epochs: float | None = None,
    budget: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a candidate from fresh weights on the training part, score it, export it.

    Args:
        run: the folder of the run that found it.
        out: a new or empty folder for the network.
        candidate: its id; None is the winner.
        task: other data of the same kind; shapes and classes are adapted. None is the run's own.
        target: the column to predict, where the task is a table, or several; None is the run's.
        labels_separator: between the labels of a cell, where one target holds lists of them.
        text: the column of texts, where there is one; None is the run's.
        kind: ``classification`` or ``regression``; None is the run's.
        validation: the validation part: a file or folder, or a share of the rows; None is the run's.
        test: the test part, a file or folder; None is the run's.
        groups: a column whose groups are never in two parts; None is the run's.
        time: a column in whose order the rows are split; None is the run's.
        folds: a column of folds or of names of parts; None is the run's.
        cells: normal cells per stage. [count]
        width: channels of the first stage. [count]
        epochs: training length. [epochs]
        budget: training time instead of epochs, such as ``"10m"``.
        seed: of weights, order and augmentation.
        threads: of the training; None is one per core. [count]
        settings: ``task`` and ``train`` -> name -> value, in place of the run's own.
        say: is told what happens.

    Returns:
        The card that stands in the folder.

    Raises:
        UserError: for an unknown candidate, a task of another kind, settings that are wrong or change
            nothing, or a folder that holds files.
    """
    began, found, folder = monotonic(), Run(run), Path(out)
    setup, settings = found.setup, settings or {}
    seconds = _length(epochs, budget)
    _check("cells", cells, 0)
    _check("width", width, 1)
    _check("threads", threads, 1)
    given = _given(settings, {"cells": cells, "width": width})
    own = {"validation": validation, "test": test, "groups": groups, "time": time, "folds": folds}
    columns = {"target": target, "labels_separator": labels_separator, "text": text, "kind": kind}
    data = _data(setup, task, settings, columns, own)
    result = _candidate(found, candidate)
    setup = setup.on(data)
    base = dict(setup.train.settings) if task is None else adapted(setup, data)
    onnx = given.pop("onnx", setup.train.onnx)
    threads = threads or cores()
    network = NetworkSettings.of(base | given)
    made = _plan(setup.space, result, data, network, given)
    if network.hyper.precision == "auto":
        word = _faster_precision(setup, result.candidate.arch, network, threads)
        network = NetworkSettings.of(base | given | {"precision": word})
    with _new(folder):
        if epochs is None:
            assert seconds is not None
            epochs = _epochs_in(seconds, setup, result.candidate.arch, network, threads)
        job = Job(
            "train",
            epochs=epochs,
            test=True,
            seed=seed,
            deadline=None if seconds is None else began + seconds,
            arch=result.candidate.arch,
            size=network.size,
            hyper=network.hyper,
        )
        say(_announcement(result, job, made, data))
        spec = dataclasses.replace(setup.spec, seed=seed)
        with LocalSlots(spec, workers=1, threads=threads, fresh=spec.device != "cpu") as executor:
            outcome = executor.submit(fit, job).result()
        card = _card(found, result, task or setup.request.task, data, job, made, outcome)
        proof = export.export(
            folder,
            onnx=onnx,
            plan=made,
            state=outcome.state,
            task=data,
            title=f"Candidate {result.candidate.id} of a search by {setup.recipe} on "
            f"{Path(setup.request.task).name}, trained on {Path(data.name).name}.",
            provenance=f"{card.params:,} parameters, {card.train_epochs:g} epochs.",
        )
        seconds = round(monotonic() - began, 2)
        card = dataclasses.replace(card, seconds=seconds, **proof)
        cards.write(card, folder)
    return card.to_json()


# ---- what was asked for --------------------------------------------------------------------------


def _length(epochs: float | None, budget: str | None) -> float | None:
    """Return the seconds of a budget, or None where epochs are given."""
    if (epochs is None) == (budget is None):
        raise SettingError("give either --epochs or --budget")
    _check("epochs", epochs, 0.001)
    if budget is None:
        return None
    seconds = parse_budget(budget).seconds
    if seconds is None:
        raise SettingError(f"--budget {budget}: a training takes a time, such as 10m")
    return seconds


def _epochs_in(
    seconds: float, setup: Setup, arch: Arch, network: NetworkSettings, threads: int
) -> float:
    """Return the epochs that fit into a budget, by a short measurement. [epochs]"""
    data, size, hyper = setup.task, network.size, network.hyper
    device = setup.request.device
    each = pace(setup.space, arch, data, size=size, hyper=hyper, device=device, threads=threads)
    most = 10 * at_most("final", data, hyper.batch)
    found = 0.9 * seconds / (each * len(data.train))
    scored = len(data.validation) + (len(data.test) if data.test else 0)
    looking = (
        LOOK[hyper.precision] * (views_of(size, data) - 1) * scored / len(data.train)
    )  # in further views
    return float(min(max(found / 2, found - looking), most))


def _faster_precision(setup: Setup, arch: Arch, network: NetworkSettings, threads: int) -> str:
    with using_threads(threads):
        return faster_precision(
            *(setup.space, arch, setup.task),
            size=network.size,
            hyper=network.hyper,
            device=setup.request.device,
        )


def _check(name: str, value: float | None, least: float) -> None:
    if value is not None and not value >= least:
        raise SettingError(f"--{name} {value:g}: at least {least:g}")


def _given(settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size and training that settings and options ask for."""
    for part in settings:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    own = dict(settings.get("train", {}))
    said = {name: value for name, value in options.items() if value is not None}
    for name in ("epochs", *said):
        if name in own:
            raise SettingError(
                f"train.{name}={own[name]}: here --{name} says it, and says it alone"
            )
    return validated("train", own, settable.of_network() | {"onnx": bool}) | said


def _data(
    setup: Setup,
    task: str | None,
    settings: Settings,
    columns: Mapping[str, str | Sequence[str] | None],
    own: Mapping[str, Any],
) -> Task:
    """Open the data to train on, refusing those that a network of the run cannot learn."""
    name = task or setup.request.task
    said = with_columns(name, settings.get("task", {}), **columns)
    said = validated("task", with_split(name, said, **own)[1], settings_of(name))
    read = setup.task_settings
    if task:  # how other data are read is theirs to say; what is predicted may stay what it was
        stays = set(COLUMNS if is_table(name) else ()) - ({"kind"} if "text" in said else set())
        stays |= {"tokens"} & settings_of(name).keys()  # which the network reads
        read = {key: value for key, value in read.items() if key in stays}
    if any(key in said for key in SPLIT):  # another split in place of the run's
        read = {key: value for key, value in read.items() if key not in (*SPLIT, "keep")}
    data = open_task(name, dict(read) | said)
    if not data.trainable:
        what = (
            "is a table: it is looked up, there is nothing to train"
            if data.charged
            else "has no examples, and the weights of its networks are genes: there is nothing to "
            "train; evolvent export gives a candidate as it is"
        )
        raise SettingError(f"{data.name} {what}")
    noted = setup.data.get("kind")
    kinds = {noted} if noted else kinds_of("estimator", setup.parts.estimator.make)
    if data.kind not in kinds:
        raise SettingError(
            f"{data.name} is a task of kind {data.kind}, and what this run found is for tasks of kind "
            f"{', '.join(sorted(kinds))} ({setup.request.task}): choose data of that kind, or search "
            "anew"
        )
    return data_of(data)


def _candidate(run: Run, id: int | None) -> Result:
    id = run.card["candidate"] if id is None else id
    for result in run.results():
        if result.candidate.id == id:
            return result
    raise RunError(f"{run.folder} has no candidate {id}: evolvent show {run.folder} lists them")


def _plan(
    space: Any, result: Result, data: Task, network: NetworkSettings, given: Mapping[str, Any]
) -> Plan:
    """Return the plan of what is delivered, refusing what cannot be built and what has no effect."""
    size, arch = network.size, result.candidate.arch
    try:
        trained = training_plan(space, arch, data, size)
    except InvalidArchitecture as error:
        raise SettingError(
            f"candidate {result.candidate.id} cannot be built for {data.name}: {error}"
        ) from error
    for name, other in _others(size, given).items():
        if training_plan(space, arch, data, dataclasses.replace(size, **{name: other})) == trained:
            raise SettingError(
                f"{name}={given[name]} changes nothing in this network of space "
                f"{space.family!r}: leave it out"
            )
    edge = min(data.input_shape[1:], default=0)
    if data.kind == "image" and (network.hyper.cutout or 0) >= edge:
        raise SettingError(
            f"train.cutout={network.hyper.cutout}: below the edge of the images, {edge} pixels"
        )
    return plan(space, arch, data, size)


def _others(size: Size, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return another value for each given number that ought to make a difference."""
    grown = {name: getattr(size, name) + 1 for name in ("cells", "width") if name in given}
    looks = {"views": 1} if given.get("views", 1) > 1 else {}
    return grown | looks | {name: 0.0 for name in ("drop_path", "auxiliary") if given.get(name)}


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[None]:
    """Make a folder; take it away again if nothing came to stand in it."""
    known = folder.exists()
    new_folder(folder, "--out")
    try:
        yield
    except BaseException:
        if not known:
            with contextlib.suppress(OSError):  # it holds files
                folder.rmdir()
        raise


# ---- what came out -------------------------------------------------------------------------------


def _announcement(result: Result, job: Job, made: Plan, data: Task) -> str:
    cells = _cells(made)
    shape = f"{cells} cells of width {job.size.width}, " if cells else ""
    helps = {"drop-path": job.size.drop_path, "auxiliary": job.size.auxiliary}
    with_ = "".join(f", {name} {value:g}" for name, value in helps.items() if value)
    return (
        f"training candidate {result.candidate.id}: {shape}{cost(made, data).params:,} parameters, "
        f"{job.epochs:.3g} epochs on {len(data.train):,} examples{with_}"
    )


def _cells(made: Plan) -> int:
    """Return the number of cells, reduction cells included; 0 for a network without cells."""
    return sum(made.block(call.op) is not None for call in made.network.calls)


def _card(
    run: Run, result: Result, task: str, data: Task, job: Job, made: Plan, outcome: Outcome
) -> Card:
    numbers, cells = outcome.numbers, _cells(made)
    if numbers["val"] is None:
        raise EvolventError("the training gave no score")
    return Card(
        task=task,
        recipe=run.setup.recipe,
        run=str(run.folder.absolute()),
        found_on=run.setup.request.task,
        candidate=result.candidate.id,
        search_score=result.score,
        search_epochs=result.epochs,
        search_seconds=run.status()["phases"].get("search", 0.0),
        trials=sum(other.counts for other in run.results()),
        arch=result.candidate.arch,
        cells=cells or None,
        width=job.size.width if cells else None,
        size=dataclasses.asdict(job.size),
        training=dataclasses.asdict(job.hyper),
        params=numbers["params"],
        flops=cost(made, data).flops,
        views=made.views,
        val_score=numbers["val"][data.metric],
        test_score=numbers["test"][data.metric] if numbers["test"] else None,
        same_weights=True,  # it trains on the training part alone
        test_metrics=numbers["test"],
        metric=data.metric,
        train_examples=numbers["examples"],
        train_epochs=numbers["epochs"],
        total_epochs=numbers["total_epochs"],
        train_seconds=numbers["train_seconds"],
        cut=numbers["cut"],
        threads=numbers["threads"],
        peak_mib=numbers["peak_mib"],
        seed=job.seed,
        classes=tuple(data.classes),
        input_shape=tuple(data.input_shape),
        data={"kind": data.kind, "fingerprint": data.fingerprint, **data.counts},
        versions=versions(),
    )
