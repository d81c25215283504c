"""A controlled comparison: the same task, space, estimator and budget for several strategies.

Seeds are paired: seed s is the same for every strategy. Validation selects, test reports, and random
search is always among those compared. Searches on a table take milliseconds and run many to a
worker; on data each is a search of its own, followed by one look at test for what it chose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..config.pacing import settle
from ..config.request import Request
from ..config.resolve import reading_of, resolve
from ..config.settings import PARTS, differences, validated
from ..config.setup import Asked, Draft, Setup
from ..engine.store import Store
from ..errors import CandidateFailed, EvolventError, RunError, SettingError, unknown
from ..execute import Executor, Place, check_elsewhere, cores
from ..execute.inline import Inline
from ..execute.processes import LocalSlots
from ..execute.waiting import as_done
from ..execute.worker import Spec
from ..files import write_atomically
from ..identification import mirroring, settings_with_kind
from ..task import AnyTask
from ..task.opening import open_task
from ..task.options import kind_of, settings_of, with_columns, with_split
from . import statistics
from .play import Trace, play

CONTROL = "random"
CHUNK = 25  # seeds per call on a table, where one search takes milliseconds
AHEAD = 4  # calls per worker that are submitted at a time, so that none waits for its next


def compare(
    task: str,
    *,
    strategies: Sequence[str],
    seeds: int = 20,
    budget: str = "100t",
    recipe: str | None = None,
    space: str | None = None,
    estimator: str | None = None,
    target: str | Sequence[str] | None = None,
    text: str | None = None,
    kind: str | None = None,
    validation: str | float | None = None,
    test: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    folds: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    where: Place | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Compare strategies under equal conditions; continue if the folder holds this comparison.

    Args:
        task: a table (``table:NAME``), a named data set, or a path.
        strategies: names; random search is added where it is missing.
        seeds: searches per strategy, numbered from 0. [count]
        budget: of each search: trials, or seconds (charged from a table's cost column).
        recipe: whose space and estimator to use.
        space: in place of the recipe's.
        estimator: in place of the recipe's.
        target: the column to predict, where the task is a table, or several.
        text: the column of texts, where there is one.
        kind: ``classification`` or ``regression``, of a table; None finds out.
        validation: the validation part: a file or folder, or a share of the rows; None splits it off.
        test: the test part, a file or folder; None splits it off.
        groups: a column whose groups are never in two parts.
        time: a column in whose order the rows are split.
        folds: a column of folds or of names of parts.
        settings: part or strategy -> name -> value.
        out: the comparison's folder; None keeps nothing on disk.
        workers: processes; None is one per core, 0 is this process. [count]
        where: searches run in place of processes of this machine, as in `search`.
        say: is told what happens.

    Raises:
        UserError: for unknown names, impossible pairs, or a folder that holds another comparison.
    """
    if seeds < 1:
        raise SettingError(f"seeds={seeds}: at least 1, and 5 for any statement")
    names = list(dict.fromkeys(strategies))
    names += [] if CONTROL in names else [CONTROL]
    given = {part: dict(values) for part, values in (settings or {}).items()}
    for part in given:
        if part not in (*PARTS, *names):
            raise unknown("part or strategy", part, (*PARTS, *names))
    count = cores() if workers is None else workers
    if where is not None:
        check_elsewhere(workers)
        count = where.planned(device=Request.device, workers=workers) or count
    said = with_columns(task, given.get("task", {}), target=target, text=text, kind=kind)
    parts = {"validation": validation, "test": test}
    _, said = with_split(task, said, **parts, groups=groups, time=time, folds=folds)
    if said:
        given["task"] = said
    shared = {part: given[part] for part in PARTS if part in given}
    request = Request(task, recipe, space, None, estimator, budget, 0, set=shared)
    known = validated("task", said, settings_of(task))
    known = reading_of(request, kind_of(task, known)) | known
    read, _ = settings_with_kind(task, known, seconds=None, seed=0, say=say)
    opened, _ = mirroring.settled(open_task(task, read), seconds=None, seed=0, say=say)
    setups: dict[str, Setup] = {}
    for name in names:
        own = dataclasses.replace(
            request, strategy=name, set=shared | {"strategy": given.get(name, {})}
        )
        draft = resolve(own, opened)
        if setups:
            draft = _under_equal_conditions(draft, next(iter(setups.values())))
        setups[name] = settle(draft, workers=max(1, count))
    plan = {"request": dataclasses.asdict(request), "strategies": names, "settings": given}
    folder = None if out is None else Path(out)
    store = _open(folder, plan) if folder else None
    try:
        spec = dataclasses.replace(next(iter(setups.values())).spec, seed=0)
        if where is not None:
            make: Callable[[], Executor] = partial(
                where.executor, spec, folder=folder, say=say, workers=workers
            )
        else:
            make = partial(_here, spec, count)
        traces = _played(setups, seeds, make, AHEAD if count else 1, store, say)
    finally:
        if store:
            store.close()
        if where is not None:
            where.release()
    result = Comparison(task, budget, seeds, traces, opened, setups)
    if folder:
        write_atomically(folder / "comparison.json", json.dumps(result.to_json()))
    return result


def _under_equal_conditions(draft: Draft, first: Setup) -> Draft:
    """Return `draft` with the estimator and the epochs of the first: they are settled once."""
    estimator = first.parts.estimator
    asked = Asked(first.schedule.epochs, first.schedule.timeout, draft.asked.horizon)
    train = draft.train
    if train.settings.get("precision") == "auto":
        train = train.having(precision=first.train.network.hyper.precision)
    draft = draft.having(draft.parts.having("estimator", **estimator.settings), train)
    return dataclasses.replace(draft, asked=asked)


def _open(folder: Path, plan: Mapping[str, Any]) -> Store:
    """Return the store of the comparison in `folder`, refusing another one's."""
    file = folder / "config.yaml"
    plain = json.loads(json.dumps(plan))
    if file.exists():
        lines = differences(yaml.safe_load(file.read_text()) or {}, plain)
        if lines:
            raise RunError(
                f"{folder} holds another comparison ({'; '.join(lines)}): choose another --out"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} holds other files: choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, yaml.safe_dump(plain, sort_keys=False))
    return Store(folder / "run.db", write=True)


def _played(
    setups: Mapping[str, Setup],
    seeds: int,
    make: Callable[[], Executor],
    ahead: int,
    store: Store | None,
    say: Callable[[str], None],
) -> dict[str, list[Trace]]:
    """Return strategy -> trace per seed, playing those that the store does not hold.

    Args:
        setups: strategy -> what its searches were settled on.
        seeds: searches per strategy. [count]
        make: returns the executor that plays, if anything is missing.
        ahead: calls per worker that are submitted at a time. [count]
        store: of the comparison.
        say: is told how far it is.
    """
    task = next(iter(setups.values())).task
    known: dict[tuple[str, int], Trace] = {}
    for name in setups:
        for seed in range(seeds):
            if store and (told := store.meta(f"{name}/{seed}")) is not None:
                known[name, seed] = Trace(**told)
    chunk = 1 if task.trainable else CHUNK
    missing = [
        (
            name,
            [seed for seed in range(start, min(start + chunk, seeds)) if (name, seed) not in known],
        )
        for start in range(0, seeds, chunk)
        for name in setups
    ]
    missing = [(name, rest) for name, rest in missing if rest]
    setup_of = {name: setup.to_json() for name, setup in setups.items()}
    searches = [(name, (setup_of[name], rest)) for name, rest in missing]
    start, left = time.monotonic(), len(missing)
    with contextlib.closing(_traces(searches, make, ahead)) as found:
        for name, traces in found:
            for trace in traces:
                known[name, trace.seed] = trace
                if store:
                    store.note(f"{name}/{trace.seed}", dataclasses.asdict(trace))
            left -= 1
            if task.trainable:
                passed = time.monotonic() - start
                say(f"{passed:6.0f} s  {name}: {len(traces)} more, {left} left")
    return {name: [known[name, seed] for seed in range(seeds)] for name in setups}


def _traces(
    searches: Sequence[tuple[str, Sequence[Any]]], make: Callable[[], Executor], ahead: int
) -> Generator[tuple[str, list[Trace]], None, None]:
    """Yield strategy and traces of the searches, as they end; nothing is started for none."""
    if not searches:
        return
    with make() as executor:
        for name, future in as_done(executor, play, searches, ahead=ahead):
            try:
                yield name, future.result()
            except CandidateFailed as error:
                raise EvolventError(f"a search of {name} failed: {error}") from error


def _here(spec: Spec, workers: int) -> Executor:
    """Return the executor of searches on this machine."""
    if not workers:
        return Inline(spec)
    return LocalSlots(spec, workers=workers, fresh=spec.device != "cpu")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of a comparison, as plain values.

    ``print(comparison)`` shows it. ``to_json()`` is all of it: ``["strategies"][NAME]["val"]`` and
    ``["test"]`` have ``mean``, ``std``, ``iqm`` and ``ci95``, and ``["tests"]`` holds the paired
    differences. ``finals("test")`` has one number per seed, ``curves(NAME, "val")`` one per trial too.

    Args:
        task: as the user called it.
        budget: of each search.
        seeds: searches per strategy. [count]
        traces: strategy -> one trace per seed.
        data: the task.
        setups: strategy -> what its searches were settled on.
    """

    task: str
    budget: str
    seeds: int
    traces: Mapping[str, list[Trace]]
    data: AnyTask
    setups: Mapping[str, Setup]

    def __str__(self) -> str:
        return text(self.to_json())

    def finals(self, what: str) -> dict[str, np.ndarray]:
        """Return strategy -> the last value of a curve (``val`` or ``test``) per seed [seeds]."""
        return {
            name: np.array([np.nan if not t.curve(what) else t.curve(what)[-1] for t in traces])
            for name, traces in self.traces.items()
        }

    @property
    def along(self) -> str:
        """The score that is known after every trial: ``test`` from a table, else ``val``.

        On data test is read once, for what a search chose in the end, so curves show validation.
        """
        every = [trace for traces in self.traces.values() for trace in traces]
        known = all(trace.test and len(trace.test) == len(trace.val) for trace in every)
        return "test" if known else "val"

    def curves(self, name: str, what: str) -> np.ndarray:
        """Return the curves of a strategy over trials [seeds, trials], the last value held."""
        rows = [trace.curve(what) for trace in self.traces[name]]
        length = max((len(row) for row in rows), default=0)
        padded = [row + [row[-1] if row else np.nan] * (length - len(row)) for row in rows]
        return np.array(padded, dtype=float)

    def to_json(self) -> dict[str, Any]:
        """Return everything a reader needs, as plain values."""
        values = {"val": self.finals("val"), "test": self.finals("test")}
        has_test = not any(np.isnan(v).any() for v in values["test"].values())
        first = next(iter(self.setups.values()))
        told: dict[str, Any] = {
            "task": self.task,
            "budget": self.budget,
            "metric": self.data.metric,
            "seeds": self.seeds,
            "space": first.parts.space.name,
            "estimator": first.to_json()["estimator"],
            "strategies": {},
            "tests": statistics.compare(values["test" if has_test else "val"])
            if len(self.traces) > 1
            else [],
            "tests_on": "test" if has_test else "val",
            "curves_on": self.along,
        }
        for name in self.traces:
            told["strategies"][name] = self._strategy(name, values, has_test)
        if self.seeds < statistics.FEW:
            told["warning"] = (
                f"{self.seeds} seeds: fewer than {statistics.FEW} say little about a difference"
            )
        if not has_test:
            told["note"] = (
                "there is no test column: validation alone, which flatters every strategy"
            )
        return told

    def _strategy(
        self, name: str, values: Mapping[str, Mapping[str, np.ndarray]], has_test: bool
    ) -> dict[str, Any]:
        traces, what = self.traces[name], "test" if has_test else "val"
        row: dict[str, Any] = {
            "settings": self.setups[name].to_json()["strategy"],
            "val": statistics.summary(values["val"][name]),
            "test": statistics.summary(values["test"][name]) if has_test else None,
            "trials": float(np.mean([len(trace.val) for trace in traces])),
            "epochs": float(np.mean([sum(trace.epochs) for trace in traces])),
            "cost_seconds": float(np.mean([sum(trace.cost) for trace in traces])),
            "search_seconds": float(np.mean([trace.seconds for trace in traces])),
            "chosen": [
                {
                    "seed": t.seed,
                    "arch": t.arch,
                    "test": (t.test or t.val)[-1],
                    "flops": t.flops,
                    "params": t.params,
                }
                for t in traces
                if t.val
            ],
        }
        curves = self.curves(name, self.along)
        row["curve"] = _band(curves)
        if name != CONTROL:
            control = self.curves(CONTROL, self.along)
            final = values[what][name] - values[what][CONTROL]
            row["ahead_of_random"] = _ahead(_aligned(curves, control), final)
            level = float(np.nanmean(control[:, -1]))
            row["trials_to_random"] = _reached(np.nanmean(curves, axis=0), level)
        if (best := getattr(self.data, "optimum", None)) is not None:
            row["regret"] = float(np.nanmean(statistics.regret(curves[:, -1], best(what))))
            row["share_at_optimum"] = float(np.mean(curves[:, -1] >= best(what) - 1e-6))
        return row


def _aligned(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    length = min(first.shape[1], second.shape[1])
    return np.asarray(first[:, :length] - second[:, :length])


def _band(curves: np.ndarray) -> dict[str, list[Any]]:
    """Return mean and 95 % interval of a curve over trials, at no more than 200 points."""
    length = curves.shape[1]
    at = np.unique(np.linspace(0, length - 1, min(length, 200)).round().astype(int))
    with np.errstate(invalid="ignore"):
        low, high = statistics.bootstrap(curves[:, at], resamples=1000)
    lines = {"mean": curves[:, at].mean(axis=0), "low": low, "high": high}
    return {"trial": [int(i) + 1 for i in at]} | {
        # JSON has no NaN: before every seed has a score there is no mean of them
        name: [round(float(v), 6) if np.isfinite(v) else None for v in line]
        for name, line in lines.items()
    }


def _ahead(difference: np.ndarray, final: np.ndarray) -> dict[str, Any]:
    """Return the paired lead at the end and the trial from which its interval stays above 0.

    Args:
        difference: of the curves [seeds, trials].
        final: of what is reported in the end: test, where there is one [seeds].
    """
    low, high = statistics.bootstrap(difference, resamples=2000)
    ends = statistics.bootstrap(final, resamples=2000)
    above = low > 0
    from_trial = None
    if above[-1]:
        below = np.flatnonzero(~above)
        from_trial = int(below[-1]) + 2 if len(below) else 1
    return {
        "lead": float(final.mean()),
        "ci95": [float(end) for end in ends],
        "from_trial": from_trial,
        "lead_at": {
            str(trial): {
                "lead": float(difference[:, trial - 1].mean()),
                "ci95": [float(low[trial - 1]), float(high[trial - 1])],
            }
            for trial in (10, 20, 50, 100, 200, 500)
            if trial <= difference.shape[1]
        },
    }


def _reached(curve: np.ndarray, level: float) -> int | None:
    trials = float(statistics.time_to(curve, level))
    return int(trials) if np.isfinite(trials) else None


def text(told: Mapping[str, Any]) -> str:
    """Return a comparison as lines for a terminal."""
    column = "test" if told["tests_on"] == "test" else "val"
    lines = [
        f"{told['task']}: {told['seeds']} paired seeds, {told['budget']} each "
        f"({column} of what validation chose)",
        "",
        f"{'strategy':<24} {'mean':>8} {'95 % interval':>19} {'IQM':>8} {'std':>7} {'val':>8} "
        f"{'ms':>8}",
    ]
    ranked = sorted(told["strategies"].items(), key=lambda item: -item[1][column]["mean"])
    for name, row in ranked:
        values = row[column]
        low, high = values["ci95"]
        lines.append(
            f"{name:<24} {values['mean']:>8.4f} {low:>9.4f} ..{high:>7.4f} {values['iqm']:>8.4f} "
            f"{values['std']:>7.4f} {row['val']['mean']:>8.4f} {1000 * row['search_seconds']:>8.0f}"
        )
    lines.append("")
    by = " by validation" if told["curves_on"] != told["tests_on"] else ""
    for name, row in ranked:
        if ahead := row.get("ahead_of_random"):
            since = ahead["from_trial"]
            low, high = ahead["ci95"]
            lines.append(
                f"{name}: {ahead['lead']:+.4f} ({low:+.4f} .. {high:+.4f}) against random; "
                + (
                    f"ahead{by} from trial {since} on"
                    if since
                    else f"not ahead{by} by its interval"
                )
            )
    for pair in told["tests"]:
        lines.append(
            f"{pair['first']} - {pair['second']}: {pair['difference']:+.4f}, wins "
            f"{pair['wins']:.0%}, p {pair['p_holm']:.2g} (Wilcoxon, Holm)"
        )
    for key in ("warning", "note"):
        if key in told:
            lines.append(f"{key}: {told[key]}")
    return "\n".join(lines)
