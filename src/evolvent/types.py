"""The values that travel between the parts: plain, frozen, JSON in and out.

An architecture (`Arch`) is a plain, hashable value made of tuples, strings and numbers. JSON knows
lists only, so `freeze` turns every list that comes back from JSON into a tuple.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .errors import SettingError

Arch = Any  # tuples, strings, numbers, nested; typed loosely because mypy has no recursive JSON
State = dict[str, np.ndarray]  # the weights of one network: parameter name -> array
Kind = Literal["trial", "step"]
NAMED = (
    "kind",
    "metric",
    "input_shape",
    "outputs",
    "vocabulary",
    "recurrent",
    "mirrored",
    "placed",
    "any_length",
    "successive",
    "columns",
    "ahead",
    "texts",
    "link",
)  # of `Facts`, as its JSON says them
COUNTED = ("train", "validation", "test", "architectures")  # what a task may have counts of
Status = Literal["ok", "failed", "refused", "cut"]


def freeze(value: Any) -> Any:
    """Return `value` with every list, however deep, turned into a tuple."""
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    if isinstance(value, dict):
        return {key: freeze(item) for key, item in value.items()}
    return value


def stream(*key: object) -> random.Random:
    """Return a generator that depends on `key` alone: (seed, purpose, index).

    A text seed is hashed with SHA-512 by the standard library, so the stream is the same in every
    process and on every platform, and there is no generator state to save.
    """
    return random.Random("/".join(str(part) for part in key))


@dataclass(frozen=True)
class Facts:
    """The facts of a task that spaces, networks and pages need, without its data.

    A run keeps them in its config.yaml, so that what reads the run needs no data.

    Args:
        kind: what a network gets: ``image``, ``numbers``, ``text``, ``series``, ``language`` (running
            text); ``control`` is a world to act in, ``table`` a list of measured architectures.
        metric: the name of the score.
        input_shape: of one input: (C, H, W), (F,), tokens (T,), series (C, T), or (moments, numbers);
            () is not known.
        outputs: numbers that a network returns per input. [count]
        vocabulary: different tokens that inputs are made of; 0 if they are no tokens. [count]
        recurrent: whether an input is less than the whole state of the world.
        mirrored: whether a mirrored image keeps its label.
        placed: whether the target may be that of a place in the image, which a shift would move.
        any_length: whether inputs are tokens of any number, of which `input_shape` is a usual one, and
            words outside the vocabulary have tokens above it.
        successive: whether every example continues the one before it, as segments of a text do; a
            network then returns `outputs` numbers for every token of an input.
        columns: of a table, its inputs in order, as pairs (kind, count): so many ``number``, or so many
            ``flag`` (0 or 1, or a place on a circle), or the inputs of one ``category``, of which one
            is 1; () is not known. Of a text it is the length alone, a ``number``.
        texts: tokens of each column of texts beside others. Each stands behind the length of the text,
            and these behind all other inputs. [count]
        ahead: steps after the end of an input that are forecast, the rows being ordered in time; 0
            is no forecast. [count]
        link: where an input has several targets, what turns outputs into answers: ``sigmoid`` of
            labels, ``identity`` of quantities; ``""`` for a single one.
        counts: examples per part, or architectures. [count]
        archs: the architectures of a table. They are no part of the JSON: whoever reads that gives
            those that it knows.
    """

    kind: str
    metric: str
    input_shape: tuple[int, ...] = ()
    outputs: int = 0
    vocabulary: int = 0
    recurrent: bool = False
    mirrored: bool = False
    placed: bool = False
    any_length: bool = False
    successive: bool = False
    columns: tuple[tuple[str, int], ...] = ()
    ahead: int = 0
    texts: tuple[int, ...] = ()
    link: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    archs: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input as a space sees it, without the tokens of `texts`.

        Raises:
            SettingError: if it is not known.
        """
        if not self.input_shape:
            raise SettingError(
                f"the shape of the inputs is not known of this task, of kind {self.kind}: a table has "
                "none, use --space listed; a run that does not say it is of an earlier version"
            )
        if self.texts:
            return (self.input_shape[0] - sum(self.texts),)
        return self.input_shape

    def to_json(self) -> dict[str, Any]:
        """Return a flat JSON-able dictionary without defaults; `from_json` is its inverse."""
        empty = Facts("", "")
        said = {name: getattr(self, name) for name in NAMED}
        said = {name: value for name, value in said.items() if value != getattr(empty, name)}
        return said | dict(self.counts)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Facts:
        """Return the facts that `to_json` wrote; other entries are passed over."""
        said = {name: freeze(data[name]) for name in NAMED if name in data}
        counts = {name: data[name] for name in COUNTED if name in data}
        first = {"kind": "image", "metric": ""}  # what the first versions had, and did not say
        return Facts(**{**first, **said, "counts": counts})


@dataclass(frozen=True)
class Budget:
    """The training length of one candidate.

    Args:
        epochs: passes over the training part; may be a fraction. [epochs, >= 0]
        train_batches: of a step: batches to train the shared weights. [count]
        validation_batches: of a step: batches to score with; None is the whole part. [count]
        rung: what results are ranked by before their scores: a longer planned training has a higher
            one. None is `epochs`; where candidates train equally long in seconds, epochs say nothing.
        radius: of a step: the shared weights learn at a mixture whose entries differ by no more from
            the given one, drawn at random; 0 is the given one. [>= 0]
        ascents: of a step: so many steps in which that mixture is moved to where the training loss is
            larger. [count]
        paired: of a step: it is compared with other steps, and so scored on the same batches as they
            are; it has no gradient.
    """

    epochs: float = 0.0
    train_batches: int | None = None
    validation_batches: int | None = None
    rung: float | None = None
    radius: float = 0.0
    ascents: int = 0
    paired: bool = False


@dataclass(frozen=True)
class Candidate:
    """One proposal of a strategy.

    Args:
        id: unique within a run, in the order of asking. [count from 0]
        arch: a point of the space; None for a step that only carries a mixture.
        kind: a `trial` has a score on the whole validation part and can win; a `step` cannot.
        mixture: of a step: group name -> operation weights [rows, columns].
        parents: ids this one descends from.
        operator: what made it: ``"sample"``, or the name of the move.
        weights_from: ids whose weights it starts from; empty means fresh weights.
        budget: its training length.
        note: JSON that only its strategy reads.
    """

    id: int
    arch: Arch = None
    kind: Kind = "trial"
    mixture: Mapping[str, np.ndarray] | None = None
    parents: tuple[int, ...] = ()
    operator: str = "sample"
    weights_from: tuple[int, ...] = ()
    budget: Budget = field(default_factory=Budget)
    note: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary; `from_json` is its inverse but for a mixture.

        Of a mixture there is a digest, by which it is known again: the strategy that made it makes it
        anew, and nothing else reads it.
        """
        mixture = None if self.mixture is None else _digest(self.mixture)
        return vars(self) | {"budget": dict(vars(self.budget)), "mixture": mixture}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Candidate:
        """Return the candidate that `to_json` wrote."""
        values = {key: freeze(item) for key, item in data.items()}
        return Candidate(**{**values, "budget": Budget(**data["budget"])})


@dataclass(frozen=True)
class Result:
    """The answer of an estimator.

    Args:
        candidate: what was asked.
        score: higher is better, on validation data; None unless the status is ``ok``, and of a step
            that only trains.
        status: ``ok``; ``failed`` (with a reason); ``refused`` by a limit before any training, which
            uses no trial; ``cut`` by the end of the budget, which uses none either.
        reason: why it is not ``ok``.
        metrics: further numbers by name: ``accuracy``, ``loss``, ...
        seconds: what the evaluation cost. [s]
        params: trainable numbers of the network. [count]
        flops: multiply-adds times two of one forward pass of one input. [count]
        epochs: trained for this candidate. [epochs]
        total_epochs: the same with what its inherited weights had been trained before. [epochs]
        weights: name of the stored weights, if they are kept.
        gradient: of a step: group name -> gradient of the loss by the mixture [rows, columns], float32.
        seed: what its training was seeded with.
        threads: torch threads it was trained with; a score is bit-exact only at the same number.
    """

    candidate: Candidate
    score: float | None = None
    status: Status = "ok"
    reason: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    params: int | None = None
    flops: int | None = None
    epochs: float = 0.0
    total_epochs: float = 0.0
    weights: str | None = None
    gradient: Mapping[str, np.ndarray] | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        unscored = self.score is None and self.candidate.kind == "step"  # it may only train
        if self.status == "ok" and not unscored and not math.isfinite(self.value):
            # A NaN would win or lose comparisons at random: it is a failure with a reason.
            object.__setattr__(self, "status", "failed")
            object.__setattr__(self, "reason", f"the score is {self.score}, not a finite number")
        if self.status != "ok":
            object.__setattr__(self, "score", None)

    @property
    def ok(self) -> bool:
        """Whether there is a score."""
        return self.status == "ok"

    @property
    def scored(self) -> bool:
        """Whether it is a trial with a score: only such results are ranked, and can win."""
        return self.ok and self.candidate.kind == "trial"

    @property
    def counts(self) -> bool:
        """Whether it used one of the budget's trials: refused and cut ones, and steps, use none."""
        return self.candidate.kind == "trial" and self.status in ("ok", "failed")

    @property
    def value(self) -> float:
        """The score, or minus infinity where there is none."""
        return -math.inf if self.score is None else self.score

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary; `from_json` is its inverse, given candidate and gradient."""
        metrics = dict(self.metrics)
        return vars(self) | {"candidate": self.candidate.id, "gradient": None, "metrics": metrics}

    @staticmethod
    def from_json(
        data: Mapping[str, Any],
        candidate: Candidate,
        gradient: Mapping[str, np.ndarray] | None = None,
    ) -> Result:
        """Return the result that `to_json` wrote, joined with its candidate and its gradient."""
        return Result(**{**data, "candidate": candidate, "gradient": gradient})


def _digest(mixture: Mapping[str, Any]) -> dict[str, str]:
    """Return a short text per group that is equal for equal rows; those that are texts stay."""

    def short(rows: Any) -> str:
        data = np.ascontiguousarray(rows, dtype=np.float64).tobytes()
        return hashlib.sha256(data).hexdigest()[:16]

    return {name: r if isinstance(r, str) else short(r) for name, r in mixture.items()}


def failed(candidate: Candidate, reason: str, *, seconds: float = 0.0) -> Result:
    """Return the result of a candidate that could not be scored."""
    return Result(candidate, status="failed", reason=reason, seconds=seconds)
