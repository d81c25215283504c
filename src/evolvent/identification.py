"""Regression or classification? Small networks are evolved under both readings of a target.

Source: Dufourq & Bassett 2017, "Automated Problem Identification: Regression vs Classification via
Evolutionary Deep Networks" (1707.00703): networks of both kinds are evolved, and the kind is named by
which does better on held-out data, not by rules about the data. How the two are compared is not
published in the parts we know; here it is this.

Cross-entropy and squared error are no comparable numbers, but both readings can be asked the same
question: how probable was the value that a held-out row has, among the values that occur? The reading
as a class answers by its softmax. The reading as a quantity has one number per row, and answers by a
normal density around it, taken at the values that occur and normalised over them: all that it knows of
a value is where it lies. Both may be tempered, and mixed with the frequencies of the values, by a few
numbers fitted on the rows that choose parents. The mean of -log p over rows that neither training nor
choice has seen is a code length per row [nats]: one scale, one event, one no-information predictor (the
frequencies) for both, whatever the resolution of the target is.

Few rows per value are used (`ROWS`), because there the readings differ most: a quantity can be told at
values that were hardly seen, a class cannot. If the quantity's code is shorter by `SURE` standard
errors and by `WORTH` of the frequencies' code, and shorter than that, the order and the distance of
the values help to predict them, and the target is a quantity. Otherwise they do not help, and it is a
class, if classes can be told at all. If neither reading can tell anything, the answer is marked as
undecided, and values that repeat are taken for classes.

With two values both readings are the same family of predictors, since a distance that is always the
same says nothing: that is a class without a search, and so is text.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from . import registry
from .config import recipes
from .errors import CandidateFailed, SettingError
from .network.build import Size, build
from .network.data import Resident
from .network.train import Hyperparameters, train
from .space import Space, training
from .strategy import Strategy
from .task import Part, Task
from .task.frames import Frame
from .task.numbers import inputs, learnt, measured, with_target
from .task.opening import frame_with_target, unnamed_kind
from .types import Arch, Candidate, Result, failed, stream

ROWS, EACH, AT_LEAST = 512, 12, 300  # rows in all, of one value, and of all where values are few
ROUNDS = 2  # splits of the rows, each with populations of its own
TRIALS = 18  # networks of a reading in a round
STEPS = 150.0  # of the longest training
JUDGED = 3  # best networks of a reading whose codes are averaged
SURE = 2.0  # standard errors
WORTH = 0.05  # of the frequencies' code: what where the values lie must save at least
REPEATED = 8.0  # rows per value from which an undecided target is taken for a class
SHARE = 0.1  # of a run's budget in seconds, at most
HYPER = Hyperparameters(
    optimizer="adamw", lr=5e-3, batch=32, warmup=0.1, label_smoothing=0.0, weight_decay=1e-2
)
MIXED = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)  # share of the frequencies in an answer
KINDS = {"class": "classification", "quantity": "regression"}


@dataclass(frozen=True)
class Identified:
    """What a target is, and the evidence.

    Args:
        kind: ``classification`` or ``regression``.
        reason: why, in a sentence.
        sure: whether the evidence is more than a guess.
        values: different values of the target. [count]
        rows: that were looked at. [count]
        code: mean code length of a held-out row by reading (``none``: by the frequencies). [nats]
        difference: the class's code minus the quantity's. [nats per row]
        error: standard error of it. [nats per row]
        trials: networks that were trained. [count]
        seconds: that it took. [s]
        loss: the loss that goes with the kind.
        archs: the best network of each reading.
    """

    kind: str
    reason: str
    sure: bool
    values: int
    rows: int
    code: Mapping[str, float] | None = None
    difference: float | None = None
    error: float | None = None
    trials: int = 0
    seconds: float = 0.0
    loss: str = ""
    archs: Mapping[str, Arch] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def identify(
    file: str | os.PathLike[str],
    target: str | None,
    *,
    seconds: float | None = None,
    seed: int = 0,
) -> Identified:
    """Return what the column `target` of a table is.

    Args:
        file: a CSV or parquet file.
        target: a column of it.
        seconds: after which no further network is trained; None has no limit. [s]
        seed: of the rows, the networks and their evolution.

    Raises:
        UserError: if the file or the column cannot be used.
    """
    frame, column = frame_with_target(os.fspath(file), {"target": target} if target else {})
    return identify_column(frame, column, seconds=seconds, seed=seed)


def identify_column(
    frame: Frame, target: str, *, seconds: float | None = None, seed: int = 0
) -> Identified:
    """Return what a column of a table is; see `identify`."""
    start = time.monotonic()
    frame = with_target(frame, target, [])
    y = frame.column(target)
    values = len(set(y.tolist()))
    if y.dtype.kind != "f":
        return _without_a_search("it holds text", values, len(y))
    if values <= 2:
        why = "it has two values, and the distance of two values says nothing"
        return _without_a_search(why if values == 2 else "it has one value", values, len(y))
    deadline = math.inf if seconds is None else start + seconds
    judged = [each for each in _rounds(frame, target, seed, deadline) if each is not None]
    return _decided(judged, values, time.monotonic() - start)


def _without_a_search(why: str, values: int, rows: int) -> Identified:
    loss = measured("classification")["loss"]
    return Identified("classification", why, True, values, rows, loss=loss)


# ---- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in three parts: to train, to choose by, to judge by.

    Args:
        x: inputs [N, F] float32.
        place: of the row's value among `values` [N].
        values: that occur in these rows, ascending [K]; standardised by the training rows.
        share: frequency of every value in the training rows, none of them 0 [K].
        part: 0, 1 or 2 [N].
    """

    x: np.ndarray
    place: np.ndarray
    values: np.ndarray
    share: np.ndarray
    part: np.ndarray


def chosen_rows(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of rows: some values at random, and at most so many rows of each."""
    values, place = np.unique(y, return_inverse=True)
    most = max(EACH, AT_LEAST // len(values))
    found: list[np.ndarray] = []
    for value in rng.permutation(len(values)):
        found.append(rng.permutation(np.flatnonzero(place == value))[:most])
        if sum(map(len, found)) >= ROWS:
            break
    return np.concatenate(found)


def _drawn(frame: Frame, target: str, rng: np.random.Generator) -> Rows:
    some = frame.rows(chosen_rows(frame.column(target), rng))
    y = some.column(target)
    values, place = np.unique(y, return_inverse=True)
    order = np.lexsort((rng.random(len(y)), place))
    part = np.empty(len(y), np.int64)
    for start in range(0, len(y), 3):  # of three neighbours one goes to each part
        rows = order[start : start + 3]
        part[rows] = rng.permutation(3)[: len(rows)]
    own = part == 0
    x = inputs(some, learnt(some.rows(own), target, []))
    mean, unit = y[own].mean(), y[own].std() or 1.0
    return Rows(x, place, (values - mean) / unit, frequencies(place[own], len(values)), part)


def frequencies(place: np.ndarray, count: int) -> np.ndarray:
    """Return how probable every value is by its rows alone [count], none of them impossible.

    Values that never occurred share what Good & Turing (1953) expect of them, the share of the rows
    whose value occurred once; so where all values differ, all are equally probable.
    """
    counts = np.bincount(place, minlength=count)
    new = max((counts == 1).sum(), 1) / len(place)
    return np.asarray((1 - new) * counts / len(place) + new / count)


# ---- readings ------------------------------------------------------------------------------------


class ClassReading:
    """Every value is a class of its own: a softmax over the values that the training rows have."""

    name = "class"

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        own = rows.place[rows.part == 0]
        self.known = np.unique(own)
        self.y = np.searchsorted(self.known, own)
        self.outputs = len(self.known)

    def answers(self, outputs: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probability of the values `at` [N], once per temperature."""
        column = np.searchsorted(self.known, at).clip(max=self.outputs - 1)
        seen = self.known[column] == at
        for temperature in (0.7, 1.0, 1.5, 2.2, 3.3, 5.0):
            p = _softmax(outputs / temperature)
            yield np.where(seen, p[np.arange(len(at)), column], 0.0)


class QuantityReading:
    """A value is known by where it lies: a normal density around one number, at the values there are.

    Its width may grow with the number, and the density may be weighed by the frequencies.
    """

    name = "quantity"
    outputs = 1

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.y = rows.values[rows.place[rows.part == 0]].astype(np.float32)

    def answers(self, outputs: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probability of the values `at` [N], once per width and weight."""
        values, weight = self.rows.values[None], np.log(self.rows.share)[None]
        for growth in (0.0, 0.3, 0.6):
            wider = np.exp(growth * outputs.clip(-2, 2))
            for width in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0):
                density = -0.5 * ((values - outputs) / (width * wider)) ** 2
                for logits in (density, density + weight):
                    yield _softmax(logits)[np.arange(len(at)), at]


Reading = ClassReading | QuantityReading


def _softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def code_lengths(reading: Reading, outputs: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean code of the choosing rows, and the code of every judging row. [nats]

    Args:
        reading: of the target.
        outputs: what a network says of all rows [N, outputs].
    """
    rows = reading.rows
    choose, judge = rows.part == 1, rows.part == 2
    both = choose | judge
    first = choose[both]
    frequency = rows.share[rows.place[both]]
    best, kept = math.inf, np.empty(0)
    for p in reading.answers(outputs[both], rows.place[both]):
        for mixed in MIXED:
            code = -np.log((1 - mixed) * p + mixed * frequency)
            mean = float(code[first].mean())
            if mean < best:
                best, kept = mean, code[~first]
    return best, kept


# ---- evolution -----------------------------------------------------------------------------------


class Population:
    """The evolution of networks that read a target in one way.

    Args:
        reading: of the target.
        seed: of rows, networks and evolution.
    """

    def __init__(self, reading: Reading, seed: str) -> None:
        self.reading, self.seed, self.trials = reading, seed, 0
        rows, row = reading.rows, recipes.find("identify")
        own = rows.x[rows.part == 0]
        self.task = Task(
            name="reading",
            kind="numbers",
            input_shape=rows.x.shape[1:],
            outputs=reading.outputs,
            classes=(),
            train=Part(own, reading.y),
            validation=Part(own[:0], reading.y[:0]),
            test=None,
            loss=measured(KINDS[reading.name])["loss"],
        )
        epochs = STEPS / max(1, len(own) // HYPER.batch)
        self.space: Space = registry.make_space(row.space, self.task.facts, row.settings["space"])
        make = registry.find("strategy", row.strategy)
        number = stream("identify", seed, reading.name).getrandbits(31)
        settings = row.settings["strategy"]
        self.strategy: Strategy = make(
            self.space, epochs=epochs, horizon=TRIALS, seed=number, **settings
        )
        self.data = Resident(self.task, self.task.train)
        self.found: list[tuple[float, int, Arch, np.ndarray]] = []

    def step(self) -> None:
        """Train one network and tell how it did."""
        candidate = self.strategy.ask()
        assert candidate is not None  # every trial is told before the next is asked
        self.trials += 1
        try:
            mean, codes = code_lengths(self.reading, self._outputs(candidate))
        except CandidateFailed as error:
            self.strategy.tell(failed(candidate, str(error)))
            return
        self.found.append((mean, candidate.id, candidate.arch, codes))
        self.strategy.tell(Result(candidate, -mean))

    def judged(self) -> tuple[np.ndarray, Arch]:
        """Return the mean codes of the best networks on the judging rows, and the best network."""
        best = sorted(self.found, key=lambda each: each[:2])[:JUDGED]
        return np.mean([codes for *_, codes in best], axis=0), best[0][2]

    def _outputs(self, candidate: Candidate) -> np.ndarray:
        seed = stream("identify", self.seed, self.reading.name, candidate.id).getrandbits(31)
        net = build(self.space, candidate.arch, self.task, Size(), seed=seed)
        hyper = Hyperparameters(**asdict(HYPER) | dict(training(self.space, candidate.arch)))
        train(net, self.data, epochs=candidate.budget.epochs, hyper=hyper, seed=seed)
        net.eval()
        with torch.inference_mode():
            outputs = net(torch.from_numpy(self.reading.rows.x)).double().numpy()
        if not np.isfinite(outputs).all():
            raise CandidateFailed("the network's outputs are not finite")
        return np.asarray(outputs)


@dataclass(frozen=True)
class Round:
    """What one split of the rows gave: codes of the judging rows by reading [N]. [nats]"""

    codes: Mapping[str, np.ndarray]
    archs: Mapping[str, Arch]
    rows: int
    trials: int


def _rounds(frame: Frame, target: str, seed: int, deadline: float) -> Iterator[Round | None]:
    """Yield one result per split; the first one is trained a little however late it is."""
    for number in range(ROUNDS):
        if number and time.monotonic() > deadline:
            return
        rng = np.random.default_rng((seed, number))
        rows = _drawn(frame, target, rng)
        populations = [
            Population(reading, f"{seed}/{number}")
            for reading in (ClassReading(rows), QuantityReading(rows))
        ]
        for trial in range(TRIALS):
            if trial >= JUDGED and time.monotonic() > deadline:
                break
            for population in populations:  # in turn, so that both have as many when time is up
                population.step()
        yield _round(rows, populations)


def _round(rows: Rows, populations: list[Population]) -> Round | None:
    if not all(population.found for population in populations):
        return None
    told = {each.reading.name: each.judged() for each in populations}
    codes = {name: codes for name, (codes, _) in told.items()}
    codes["none"] = -np.log(rows.share[rows.place[rows.part == 2]])
    trials = sum(population.trials for population in populations)
    return Round(codes, {name: arch for name, (_, arch) in told.items()}, len(rows.x), trials)


def _decided(rounds: list[Round], values: int, seconds: float) -> Identified:
    """Return the decision by the codes of all judging rows."""
    if not rounds:
        raise SettingError(
            "no network could be trained to tell what the target is: say --kind classification or "
            "--kind regression"
        )
    codes = {
        name: np.concatenate([each.codes[name] for each in rounds])
        for name in ("none", "class", "quantity")
    }
    difference, error = _mean(codes["class"] - codes["quantity"])
    tells = {name: _beyond(codes["none"] - codes[name]) for name in KINDS}
    per_value = sum(each.rows for each in rounds) / len(rounds) / values
    sure = True
    saves = max(SURE * error, WORTH * float(codes["none"].mean()))
    if difference > saves and tells["quantity"]:
        kind, reason = "regression", "where its values lie helps to predict them"
    elif tells["class"]:
        kind, reason = "classification", "its values can be told, and where they lie does not help"
    else:
        sure = False
        kind = "classification" if per_value >= REPEATED else "regression"
        reason = "undecided: neither reading predicts it; its values " + (
            "repeat" if kind == "classification" else "hardly repeat"
        )
    return Identified(
        kind,
        reason,
        sure,
        values,
        rounds[0].rows,
        code={name: round(float(each.mean()), 4) for name, each in codes.items()},
        difference=round(difference, 4),
        error=round(error, 4),
        trials=sum(each.trials for each in rounds),
        seconds=round(seconds, 2),
        loss=measured(kind)["loss"],
        archs=rounds[0].archs,
    )


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and its standard error."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.inf
    return float(values.mean()), spread / math.sqrt(len(values))


def _beyond(gains: np.ndarray) -> bool:
    """Return whether the mean of some gains is above zero for sure."""
    mean, error = _mean(gains)
    return mean > SURE * error


def described(found: Identified, target: str) -> list[str]:
    """Return the decision and its evidence, for lines of output."""
    lines = [f"{target!r} is read as {_NAMES[found.kind]}: {found.reason} (--kind says otherwise)"]
    if found.code is not None:
        lines.append(
            f"  evidence: {found.code['class']:.3f} nats per row as a class, "
            f"{found.code['quantity']:.3f} as a quantity, {found.code['none']:.3f} by frequency alone; "
            f"difference {found.difference:+.3f} +- {found.error:.3f}, {found.trials} networks, "
            f"{found.seconds:.1f} s"
        )
    return lines


def settings_with_kind(
    name: str,
    settings: Mapping[str, Any],
    *,
    seconds: float | None,
    seed: int,
    say: Callable[[str], None],
) -> tuple[dict[str, Any], Identified | None]:
    """Return how a task is to be read, its kind found out where it is not said, and what was found.

    Args:
        name: of the task.
        settings: of it, as the user said them.
        seconds: of the whole run; a tenth of it may be used. None has no limit. [s]
        seed: of the search.
        say: is told the decision and its evidence.
    """
    if not unnamed_kind(name, settings):
        return dict(settings), None
    limit = None if seconds is None else SHARE * seconds
    found = identify(name, settings.get("target"), seconds=limit, seed=seed)
    for line in described(found, str(settings.get("target"))):
        say(line)
    return dict(settings) | {"kind": found.kind}, found


_NAMES = {"classification": "classes (classification)", "regression": "a quantity (regression)"}
