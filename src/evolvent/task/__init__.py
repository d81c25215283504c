"""The contract of a task: data in numpy arrays, and the specification of what to learn.

A task is data with one fixed train, validation and test split, made once from the task's own seed and
equal for every candidate and worker. A search sees `train` and `validation` only. Readers of files
run in the coordinator; a worker is handed the finished task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np

from ..errors import SettingError
from ..types import Facts
from .division import INDEPENDENT, Division, strata

#: loss -> what turns the outputs of a network into answers: ``softmax`` into probabilities of classes
#: that exclude each other, ``sigmoid`` of labels that do not, ``identity`` leaves quantities
LINKS = {
    "cross-entropy": "softmax",
    "next-token": "softmax",
    "binary-cross-entropy": "sigmoid",
    "mse": "identity",
}


@dataclass(frozen=True)
class Part:
    """One part of the data.

    Args:
        x: inputs; images are [N, H, W, C], uint8 or float32.
            numbers are [N, F] float32, series [N, C, T] float32, tokens [N, T] int32. Inputs too large
            for memory are `rows.Rows`, which are read when they are indexed; texts of different lengths
            are `portable.ragged.Ragged`, which are padded when they are indexed.
        y: targets; classes are [N] int64 in ``range(outputs)``, quantities [N] float32 in units of
            `Task.unit` from their mean, several quantities [N, outputs]; labels are [N, outputs]
            float32, 1 where a row has the label and 0 where not.
        weight: of every row, in the loss and in every metric, 0 or more; those of the training part
            have the mean 1 [N] float64. None is 1 of every row.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def taken(self, index: np.ndarray) -> Part:
        """Return the examples at the indices `index`."""
        from .rows import taken

        weight = None if self.weight is None else self.weight[index]
        return Part(taken(self.x, index), self.y[index], weight)

    def weighing(self, weight: np.ndarray) -> Part:
        """Return the same examples with weights [N]."""
        return Part(self.x, self.y, weight)

    @property
    def weights(self) -> np.ndarray:
        """The weight of every row, 1 where none is given. [N] float64"""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def effective(self) -> float:
        """Rows of equal weight that tell as much as these (Kish 1965): fewer where weights differ."""
        return float(self.weights.sum() ** 2 / np.square(self.weights).sum())


class Origin(Protocol):
    """The table that a task was made of (`source.Source`), for methods that are no networks."""

    @property
    def answers(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Answers by a rule, beside those of methods: rule -> part -> outputs [N, outputs]."""

    def part(self, name: str) -> Any:
        """Return the rows of ``training``, ``validation`` or ``test``; None without any."""


class AnyTask(Protocol):
    """The part of a task that every run needs: a `Task` has data, a `Table` or `Control` none."""

    @property
    def name(self) -> str:
        """The user's name for it."""

    @property
    def kind(self) -> str:
        """The kind of input; see `Facts`."""

    @property
    def metric(self) -> str:
        """The name of the score, higher is better."""

    @property
    def trainable(self) -> bool:
        """Whether networks are trained on its data; it is a `Task` then."""

    @property
    def charged(self) -> bool:
        """Whether a result says itself what it cost, whatever its look-up took."""

    @property
    def note(self) -> tuple[str, ...]:
        """Notes for the user, one line each."""

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of examples or architectures, by name. [count]"""

    @property
    def fingerprint(self) -> str:
        """Hash of the data and its split: two runs can be compared if it is equal."""

    @property
    def facts(self) -> Facts:
        """The facts that need no data."""

    def describe(self) -> str:
        """Return a description in one line."""


class NetworkTask(AnyTask, Protocol):
    """The part of a task that a delivered network needs: all but a `Table` have it.

    The attributes are those of `Task`.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input."""

    @property
    def outputs(self) -> int:
        """Numbers per input. [count]"""

    @property
    def vocabulary(self) -> int:
        """Different tokens. [count]"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, if the outputs are classes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, if a row may have several of them."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """The names of several quantities per row."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel; empty where inputs are used as they are. [C]"""

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel. [C]"""

    @property
    def scale(self) -> float:
        """Raw inputs are divided by it. [raw units]"""

    @property
    def reading(self) -> Mapping[str, Any]:
        """The steps from a raw example to an input, as plain JSON."""


def for_networks(task: AnyTask) -> NetworkTask:
    """Return `task` as one that networks are delivered for.

    Raises:
        SettingError: if it has no inputs for them.
    """
    if not task.facts.input_shape:
        raise SettingError(
            f"{task.name} is of kind {task.kind}, which has no inputs for a network: use a data set"
        )
    return cast(NetworkTask, task)


def data_of(task: AnyTask) -> Task:
    """Return `task` as what it is: data to train on.

    Raises:
        SettingError: if it has none.
    """
    if not task.trainable:
        raise SettingError(
            f"{task.name} has no data to train on, it is of kind {task.kind}: use a data set"
        )
    return cast(Task, task)


@dataclass(frozen=True)
class Task:
    """Data with one fixed split, and the specification of what to learn from them.

    Args:
        name: how the user called it.
        kind: of the inputs: ``"image"``, ``"numbers"``, ``"text"``, ``"series"`` or
            ``"language"``.
        input_shape: of one input as the network sees it; images are (C, H, W), numbers (F,), tokens
            (T,), series (C, T).
        outputs: numbers that the network returns per input; classes: one per class. [count]
        classes: the names of the classes, in the order of the outputs; empty for a quantity.
        train: what candidates learn from.
        validation: what candidates are scored on; decides everything.
        test: read once, for the winner and its controls; None where there is none.
        mean: per channel, of the training part, after `scale`; empty where inputs are used as they
            are. [C]
        std: per channel, of the training part, after `scale`; never 0. [C]
        scale: raw inputs are divided by this first: 255 for uint8 images. [raw units]
        augment: changes that keep the label: ``flip`` (bool), ``shift`` and ``cutout`` [pixels].
        loss: ``"cross-entropy"``, ``"mse"`` for quantities, ``"binary-cross-entropy"`` for labels, or
            ``"next-token"``, whose targets are tokens [N, T] int64, -1 for none.
        metric: the score, higher is better: ``"accuracy"``, a fraction, 0 to 1; ``"r2"``, the share
            of a quantity's variance that is explained, at most 1; or another one of `metrics`.
        vocabulary: number of different tokens; 0 if inputs are not tokens. [count]
        any_length: whether inputs have any number of tokens, `input_shape` being a usual one; then
            tokens may lie at or above `vocabulary`, which are hashes of words outside it.
        successive: whether every example continues the one before it: segments of one text, in batches
            whose rows do so too, so that a network may carry its state from batch to batch.
        told: the sizes of the parts in one line, where examples are not what is counted.
        ahead: steps after the end of an input that are forecast, of its first channel; 0 is no
            forecast. The rows of a part are then ordered in time, and those of the validation and the
            test part come after it. [count]
        unit: of a quantity: its standard deviation in the training part; of several one each. [its
            own unit]
        labels: the names of labels of which a row has none, one or several, in the order of the
            outputs; empty for other targets.
        quantities: the names of several quantities, in the order of the outputs; empty for one.
        seed: of the split.
        note: what a user should know about how the data were read, one line each.
        guessed: settings of the reader that nobody said, and that the data may contradict: ``flip``.
        reading: how a raw example becomes an input of the network, as plain JSON: it travels with the
            exported network, whose ``predict.py`` reads files of the original kind by it.
        source: the rows as the user's table has them, if it is made of one; see `source.Source`.
        division: what may be apart among the training rows and then the validation rows, in this
            order, wherever they are divided once more.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    outputs: int
    classes: tuple[str, ...]
    train: Part
    validation: Part
    test: Part | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 255.0
    augment: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross-entropy"
    metric: str = "accuracy"
    vocabulary: int = 0
    any_length: bool = False
    successive: bool = False
    told: str = ""
    ahead: int = 0
    unit: float | tuple[float, ...] = 1.0
    labels: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    seed: int = 0
    note: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    source: Origin | None = field(default=None, repr=False, compare=False)
    division: Division = field(default=INDEPENDENT, repr=False, compare=False)

    trainable = True  # a table is not: it answers without a network
    charged = False  # a table charges the measured cost of its results, not the time of a look-up

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the source: networks do not need it."""
        return {**vars(self), "source": None}

    @property
    def counts(self) -> dict[str, int]:
        """Examples per part. [count]"""
        test = len(self.test) if self.test else 0
        return {"train": len(self.train), "validation": len(self.validation), "test": test}

    @property
    def link(self) -> str:
        """The way from outputs to answers, by the loss; one of `LINKS`."""
        return LINKS[self.loss]

    @property
    def spread(self) -> bool:
        """Whether rows are divided so that every part has its share of what `alike` returns."""
        return bool(self.classes or self.labels)

    def alike(self, y: np.ndarray) -> np.ndarray:
        """Return the classes by which rows are divided [N] int64, of labels the rarest of each row.

        Args:
            y: targets of the task; quantities are returned as they are.
        """
        return strata(y) if self.labels else y

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the outputs, where a row has several targets."""
        return self.labels or self.quantities

    @property
    def mirrored(self) -> bool:
        """Whether a mirrored image keeps its label."""
        return bool(self.augment.get("flip"))

    @property
    def placed(self) -> bool:
        """Whether the target of an image may be that of a place in it, which a shift would move."""
        return self.kind == "image" and not self.classes

    @property
    def texts(self) -> tuple[int, ...]:
        """Tokens of each column of texts beside other columns, as in `Facts`. [count]"""
        columns = self.reading.get("columns", ()) if self.kind == "numbers" else ()
        return tuple(int(each["length"]) for each in columns if each["type"] == "text")

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """The kinds of the inputs of a table in their order, as in `Facts`; () is not known."""
        from .portable.features import width

        if self.kind != "numbers" or self.ahead:
            return ()
        found: list[tuple[str, int]] = []
        for column in self.reading.get("columns", ()):
            if column["type"] == "category":
                found.append(("category", width(column)))
                continue
            flags = 0 if column["type"] == "text" else width(column) - 1
            for kind, count in (("number", 1), ("flag", flags)):
                last, before = found[-1] if found else ("", 0)
                if count and last == kind:
                    found[-1] = (kind, before + count)
                elif count:
                    found.append((kind, count))
        return tuple(found)

    @property
    def facts(self) -> Facts:
        """The facts that need no data."""
        return Facts(
            self.kind,
            self.metric,
            self.input_shape,
            self.outputs,
            vocabulary=self.vocabulary,
            mirrored=self.mirrored,
            placed=self.placed,
            any_length=self.any_length,
            successive=self.successive,
            columns=self.columns,
            ahead=self.ahead,
            texts=self.texts,
            link=self.link if self.outputs > 1 and self.link != "softmax" else "",
            counts=self.counts,
        )

    def describe(self) -> str:
        """Return the sizes of the parts and the kind of target, in one line."""
        if self.told:
            return self.told
        aim = f"{self.outputs} classes" if self.classes else "a quantity"
        if self.targets:
            aim = f"{self.outputs} {'labels' if self.labels else 'quantities'} per example"
        return (
            f"{len(self.train):,} training, {len(self.validation):,} validation, "
            f"{len(self.test) if self.test else 0:,} test examples, {aim}"
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the data and its split: two runs can be compared if it is equal."""
        from .rows import blocks

        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            arrays = () if part is None else (part.x, part.y, part.weight)
            for array in (each for each in arrays if each is not None):
                digest.update(f"{array.dtype}{array.shape}".encode())
                for block in blocks(array):
                    digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()[:16]

    @property
    def everything(self) -> Part:
        """Training and validation data together, for the final training of the winner."""
        from .rows import joined

        parts = (self.train, self.validation)
        weighted = any(part.weight is not None for part in parts)
        return Part(
            joined(self.train.x, self.validation.x),
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.weights for part in parts]) if weighted else None,
        )
