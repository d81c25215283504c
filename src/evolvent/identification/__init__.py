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

Few rows per value are used (`rows.ROWS`), because there the readings differ most: a quantity can be
told at values that were hardly seen, a class cannot. If the quantity's code is shorter by `SURE`
standard errors and by `WORTH` of the frequencies' code, and shorter than that, the order and the
distance of the values help to predict them, and the target is a quantity. Otherwise they do not help,
and it is a class, if classes can be told at all. If neither reading can tell anything, the answer is
marked as undecided, and values that repeat are taken for classes.

With two values both readings are the same family of predictors, since a distance that is always the
same says nothing: that is a class without a search, and so is text.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import SettingError
from ..task.division import Division
from ..task.frames import Frame
from ..task.memory import Given
from ..task.numbers import with_target
from ..task.opening import frame_with_target, unnamed_kind
from ..task.own_split import OwnSplit, bound_rows
from ..task.targets import measured
from ..task.weighting import without
from ..types import Arch, Result
from .evolution import evolved
from .readings import KINDS, ClassReading, QuantityReading
from .rows import Rows, drawn

ROUNDS = 2  # splits of the rows, each with populations of its own
TRIALS = 18  # networks of a reading in a round
JUDGED = 3  # best networks of a reading whose codes are averaged
SURE = 2.0  # standard errors
WORTH = 0.05  # of the frequencies' code: what where the values lie must save at least
REPEATED = 8.0  # rows per value from which an undecided target is taken for a class
SHARE = 0.1  # of a run's budget in seconds, at most


@dataclass(frozen=True)
class Identified:
    """The kind of a target, and the evidence.

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
    encoding: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    folds: str | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Identified:
    """Return the kind of the column `target` of a table.

    Args:
        file: a table of any form.
        target: a column of it.
        encoding: of a file of text; None finds it.
        groups: a column whose groups are never apart in a split; it is no input.
        time: a column in whose order the rows are split; it is no input.
        folds: a column of folds, which are never apart; it is no input.
        seconds: after which no further network is trained; None has no limit. [s]
        seed: of the rows, the networks and their evolution.

    Raises:
        UserError: if the file or the column cannot be used.
    """
    said = {"target": target, "encoding": encoding, "groups": groups, "time": time, "folds": folds}
    settings = {name: value for name, value in said.items() if value}
    frame, column = frame_with_target(os.fspath(file), settings)
    return identify_column(frame, column, OwnSplit.of(settings), seconds=seconds, seed=seed)


def identify_column(
    frame: Frame,
    target: str,
    own: OwnSplit = OwnSplit(),
    *,
    seconds: float | None = None,
    seed: int = 0,
) -> Identified:
    """Return the kind of a column of a table; see `identify`."""
    start = time.monotonic()
    frame, division = bound_rows(with_target(frame, target, []), own)
    y = frame.column(target)
    values = len(set(y.tolist()))
    if y.dtype.kind != "f":
        return _without_a_search("it holds text", values, len(y))
    if values <= 2:
        why = "it has two values, and the distance of two values says nothing"
        return _without_a_search(why if values == 2 else "it has one value", values, len(y))
    deadline = math.inf if seconds is None else start + seconds
    judged = [each for each in _rounds(frame, target, division, seed, deadline) if each is not None]
    return _decided(judged, values, time.monotonic() - start)


def _without_a_search(why: str, values: int, rows: int) -> Identified:
    loss = measured("classification")["loss"]
    return Identified("classification", why, True, values, rows, loss=loss)


@dataclass(frozen=True)
class Round:
    """The outcome of one split of the rows: codes of the judging rows by reading [N]. [nats]"""

    codes: Mapping[str, np.ndarray]
    archs: Mapping[str, Arch]
    rows: int
    trials: int


def _rounds(
    frame: Frame, target: str, division: Division, seed: int, deadline: float
) -> Iterator[Round | None]:
    """Yield one result per split; the first one is trained a little however late it is."""
    for number in range(ROUNDS):
        if number and time.monotonic() > deadline:
            return
        rows = drawn(frame, target, np.random.default_rng((seed, number)), division)
        yield _round(rows, f"{seed}/{number}", deadline)


def _round(rows: Rows, seed: str, deadline: float) -> Round | None:
    """Evolve networks of both readings, as many of one as of the other; None where all of one fail."""
    half = (time.monotonic() + deadline) / 2
    own: dict[str, Any] = {"horizon": TRIALS, "least": JUDGED, "seed": seed}
    classes = evolved(ClassReading(rows), trials=TRIALS, until=half, **own)
    quantities = evolved(QuantityReading(rows), trials=len(classes), until=deadline, **own)
    # a reading that had more tries would have the better best ones
    told = {"class": classes[: len(quantities)], "quantity": quantities}
    best = {name: _best(results) for name, results in told.items()}
    if not all(best.values()):
        return None
    codes = {
        name: np.mean([result.metrics["codes"] for result in results], axis=0)
        for name, results in best.items()
    }
    codes["none"] = -np.log(rows.share[rows.place[rows.part == 2]])
    archs = {name: results[0].candidate.arch for name, results in best.items()}
    return Round(codes, archs, len(rows.x), len(classes) + len(quantities))


def _best(results: Sequence[Result]) -> list[Result]:
    """Return the few whose codes of the choosing rows are shortest, however long they trained."""
    scored = [result for result in results if result.scored]
    return sorted(scored, key=lambda result: (-result.value, result.candidate.id))[:JUDGED]


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
    name: str | Given,
    settings: Mapping[str, Any],
    *,
    seconds: float | None,
    seed: int,
    say: Callable[[str], None],
    phase: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], Identified | None]:
    """Return the settings of a task, with its kind inferred where it is not given, and the evidence.

    Args:
        name: of the task, or data in memory.
        settings: of it, as the user said them.
        seconds: of the whole run; a tenth of it may be used. None has no limit. [s]
        seed: of the search.
        say: is told the decision and its evidence.
        phase: is told what is being done, before it is done.
    """
    if not unnamed_kind(name, settings):
        return dict(settings), None
    limit = None if seconds is None else SHARE * seconds
    frame, target = frame_with_target(name, settings)
    if (weight := settings.get("weight")) is not None:
        frame = without(frame, weight)  # it is no input
    phase(f"finding out whether {target!r} is a class or a quantity (--kind says it at once)")
    own = OwnSplit.of(settings)
    found = identify_column(frame, target, own, seconds=limit, seed=seed)
    for line in described(found, str(settings.get("target"))):
        say(line)
    return dict(settings) | {"kind": found.kind}, found


_NAMES = {"classification": "classes (classification)", "regression": "a quantity (regression)"}
