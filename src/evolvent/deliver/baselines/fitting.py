"""The process that fits baselines: ``python -m evolvent.deliver.baselines.fitting FOLDER``.

It gets the rows through its standard input, so that no pickle is on disk, and writes for every
baseline ``NAME.validation.npy`` and ``NAME.test.npy``, its outputs, and ``NAME.json``, its processor
seconds or the reason of a failure.
Whatever is written when the process is ended is whole. It sees no targets of validation rows before it
has answered for them, and none of test rows at all.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

#: kind of data -> baselines, in the order in which they are fitted
NAMES = {
    "numbers": ("boosted-trees", "linear", "extra-trees"),
    "series": ("boosted-trees", "linear", "extra-trees"),
    "text": ("nb-pairs", "tf-idf"),
}
OF_SEVERAL = ("linear", "extra-trees")  # learn several quantities at once
TINY = 1e-15  # a probability of 0 has no logarithm
FAILURES = (ValueError, ArithmeticError, LookupError, MemoryError, TypeError, RuntimeError)


@dataclass
class Rows:
    """The rows of a task as baselines take them.

    Args:
        kind: ``numbers`` or ``text``.
        outputs: classes; labels; quantities. [count]
        y: part -> classes [N] int64, quantities [N] float32, or several or labels [N, outputs], of
            ``training`` and ``validation``.
        numbers: part -> [N, F] float64, NaN for a gap; of ``test`` too, if there is one.
        categories: part -> [N, C] object, text.
        texts: part -> N texts.
        beside: part -> columns of N texts beside numbers and categories.
        seed: of whatever is drawn.
        weight: part -> weights of its rows [N], of ``training`` and ``validation``; none is 1.
        independent: whether any rows may be apart: only then may a model hold some out by itself.
        labels: whether the targets are labels, 0 or 1.
        tokens: how each column of texts is split, as the network reads it: a control that does not see
            the emoji which the network sees would flatter it. Of texts alone, empty is by words.
    """

    kind: str
    outputs: int
    y: Mapping[str, np.ndarray]
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    categories: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    beside: Mapping[str, list[list[str]]] = field(default_factory=dict)
    seed: int = 0
    weight: Mapping[str, np.ndarray] = field(default_factory=dict)
    independent: bool = True
    labels: bool = False
    tokens: Sequence[str] = ()

    @property
    def parts(self) -> list[str]:
        """The parts that there are rows of, in the order of `x`."""
        return [part for part in ("training", "validation", "test") if part in self._rows]

    @property
    def _rows(self) -> Mapping[str, Any]:
        return self.texts if self.kind == "text" else self.numbers

    @cached_property
    def x(self) -> Any:
        """All rows: counts of words and pairs, sparse [N, features], or cells [N, columns] object."""
        if self.kind == "text":
            from .bags import counted

            texts = [text for part in self.parts for text in self.texts[part]]
            return counted(texts, *self.tokens)
        from .trees import table

        return np.concatenate(
            [table(self.numbers[p], self.categories[p], self.beside.get(p, [])) for p in self.parts]
        )

    def at(self, part: str) -> slice:
        """Return the places of a part's rows in `x`."""
        before = 0
        for name in self.parts:
            if name == part:
                return slice(before, before + len(self._rows[name]))
            before += len(self._rows[name])
        raise KeyError(part)

    def model(self, name: str, y: np.ndarray) -> Any:
        """Return a baseline that is to be fitted to `y`."""
        if self.kind == "text":
            from .bags import Bag

            return Bag(name, self.outputs, self.seed)
        from .trees import model

        counts = {
            "numbers": self.numbers["training"].shape[1],
            "categories": self.categories["training"].shape[1],
        }
        own: dict[str, Any] = {"seed": self.seed, "apart": self.independent}
        return model(name, **counts, texts=self.tokens, y=y, **own)


def outputs(rows: Rows, name: str, learnt: list[str], asked: str) -> np.ndarray:
    """Return the outputs of a baseline, as those of a network.

    Args:
        rows: of all parts.
        name: of the baseline.
        learnt: parts that it is fitted on.
        asked: the part that it answers for.

    Returns:
        Logarithms of probabilities [N, classes], logits of labels [N, labels], or quantities
        [N, outputs]; float64.
    """
    y = np.concatenate([rows.y[part] for part in learnt])
    asked_for = rows.x[rows.at(asked)]
    if y.dtype.kind != "i":
        return _of_columns(rows, name, learnt, y.reshape(len(y), -1), asked_for)
    fitted = _fitted(rows, name, learnt, y)
    told = np.asarray(fitted.predict_proba(asked_for), np.float64)
    found = np.full((len(told), rows.outputs), TINY)
    found[:, getattr(fitted, "classes_", np.arange(rows.outputs))] = np.maximum(told, TINY)
    return np.asarray(np.log(found))


def _fitted(rows: Rows, name: str, learnt: list[str], y: np.ndarray) -> Any:
    """Return a baseline that has learnt the targets [N], or [N, outputs], of the parts `learnt`."""
    model = rows.model(name, y if y.ndim == 1 else y[:, 0])
    given: dict[str, Any] = {}
    if rows.weight:
        weight = np.concatenate([rows.weight[part] for part in learnt])
        steps = getattr(model, "steps", None)  # of a pipeline, the last one learns the targets
        given["sample_weight" if steps is None else f"{steps[-1][0]}__sample_weight"] = weight
    return model.fit(rows.x[: rows.at(learnt[-1]).stop], y, **given)


def _of_columns(
    rows: Rows, name: str, learnt: list[str], y: np.ndarray, asked_for: Any
) -> np.ndarray:
    """Return the quantities or the logits of labels [N, outputs], of a model for each.

    Of several quantities one model learns all, where it can.

    Args:
        rows: of all parts.
        name: of the baseline.
        learnt: parts that it is fitted on.
        y: their targets [N, outputs].
        asked_for: rows.
    """
    if not rows.labels and name in OF_SEVERAL and y.shape[1] > 1:
        told = _fitted(rows, name, learnt, y).predict(asked_for)
        return np.asarray(told, np.float64).reshape(-1, y.shape[1])
    columns = []
    for column in y.T:
        if not rows.labels:
            told = _fitted(rows, name, learnt, column).predict(asked_for)
            columns.append(np.asarray(told, np.float64).reshape(-1))
            continue
        has = column.astype(np.int64)
        if has.min() == has.max():  # nobody has the label, or everybody
            chance = np.full(asked_for.shape[0], float(has[0]))
        else:
            fitted = _fitted(rows, name, learnt, has)
            chance = np.asarray(fitted.predict_proba(asked_for), np.float64)[:, 1]
        within = np.clip(chance, TINY, 1 - TINY)
        columns.append(np.log(within / (1 - within)))
    return np.stack(columns, axis=1)


def fit_all(folder: Path, rows: Rows) -> None:
    """Fit every baseline to rows, and write its outputs into a folder."""
    for module in ("ensemble", "linear_model", "pipeline", "feature_extraction.text"):
        importlib.import_module(f"sklearn.{module}")
    loaded = time.process_time()
    assert rows.x is not None  # preparing the rows counts for each of them
    prepared = time.process_time() - loaded
    for name in NAMES[rows.kind]:
        began = time.process_time() - prepared
        try:
            _fit(folder, rows, name, began)
        except FAILURES as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            _tell(folder, name, {"failure": reason})


def _fit(folder: Path, rows: Rows, name: str, began: float) -> None:
    """Fit a baseline to the training rows, then to these and the validation rows."""
    _write(folder / f"{name}.validation.npy", outputs(rows, name, ["training"], "validation"))
    _tell(folder, name, {"seconds": round(time.process_time() - began, 3)})
    if "test" in rows.parts:
        both = ["training", "validation"]
        _write(folder / f"{name}.test.npy", outputs(rows, name, both, "test"))


def _write(file: Path, values: np.ndarray) -> None:
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.save(stream, values)
    part.replace(file)


def _tell(folder: Path, name: str, told: Mapping[str, Any]) -> None:
    part = folder / f"{name}.part"
    part.write_text(json.dumps(told))
    part.replace(folder / f"{name}.json")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of solvers that stop early
    fit_all(Path(sys.argv[1]), pickle.load(sys.stdin.buffer))
