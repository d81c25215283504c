"""scikit-learn estimators: a search is ``fit``, the network that it found answers ``predict``.

    from evolvent.sklearn import EvolventClassifier
    model = EvolventClassifier(budget="5m", random_state=0).fit(X, y)
    model.predict(X), model.predict_proba(X), model.score(X, y)
    model.save("net/"); EvolventClassifier.load("net/")

X is an array of numbers or words, or a data frame of pandas, polars or pyarrow. Its columns are read as
those of a file are: numbers, dates, durations, truth values, categories, each with gaps. What was found
stands in ``card_["data"]["notes"]``; what may not be as it is meant is a `DataWarning`. The interface
and its rules are scikit-learn's (Buitinck et al. 2013, "API design for machine learning software"); its
``check_estimator`` passes for both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from safetensors.torch import load as load_weights
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from . import registry
from .config.request import Request
from .config.resolve import reading_of
from .config.settings import validated
from .config.setup import Setup
from .deliver.export import export
from .engine.events import Say
from .errors import DataError, SettingError, UserError
from .files import new_folder, write_atomically
from .network.build import Assembled, Size, plan
from .network.joined import joined
from .network.plan import Plan
from .run import Run
from .session import search
from .space.plain import Plain
from .task import Part, Task
from .task.asked import LISTS, WORDS, Asked
from .task.division import INDEPENDENT, strata
from .task.files import some
from .task.frames import About, Frame, frame_of_table, table_of
from .task.images import check_settings
from .task.memory import NAME, frame_of_array, pandas_frame, target_names, typed_labels
from .task.metrics import THRESHOLD, check_metric, judged, sigmoid
from .task.numbers import inputs, prepared, same_columns, tell_gaps
from .task.options import SETTINGS
from .task.own_split import Divided, File, OwnSplit, divide, keys_of, stacked
from .task.portable.bounds import bounds
from .task.portable.features import width as width_of
from .task.portable.ragged import Ragged
from .task.portable.raw import RawTable
from .task.portable.tokens import FIRST_WORD, read_texts
from .task.splitting import LEAST, note_counts
from .task.targets import told_of
from .task.text import prepared_texts, texts_of
from .task.weighting import checked, weighted
from .types import freeze

if TYPE_CHECKING:
    import pandas as pd

FILE = "estimator.json"  # beside the exported network
BATCH = 4096  # rows at a time
TEXTS = ("text", "vocabulary", "length", "tokens")  # settings of a task of texts
COLUMNS = {  # settings of a task that say how its columns are read
    name: kind for name, kind in SETTINGS["frame"].items() if name in (*LISTS, *WORDS, *TEXTS)
}
UNKNOWN = "categories that did not occur in fit"
# of what is noted of the data, what may not be as the user means it
WARNED = (
    "left out",
    "are not used",
    "taken as missing",
    "and not missing",
    "thousands signs",
    "decimal sign",
    "fit both orders",
    UNKNOWN,
)


class DataWarning(UserWarning):
    """Data are used in part, or may be read otherwise than they are meant."""


LEAN = {"onnx": False, "proof": False, "controls": False}  # of a delivery: nobody reads the card


class _Evolvent(BaseEstimator):  # type: ignore[misc]
    """The base of both estimators.

    Args:
        budget: of the search and the final training, such as ``"5m"`` or ``"50t"``; with a time, two
            fits are not equal to the last digit.
        recipe: a system by name; None is the default for tables of numbers.
        n_jobs: processes; None or 1 is this one, -1 is one per core. [count]
        random_state: of the split, the search and the training.
        scoring: metric that networks are chosen by, by our name or scikit-learn's; None is accuracy
            or R2. `score` keeps scikit-learn's default.
        validation: share of the rows that the search is scored on, or (X, y) of such rows; the final
            training uses all rows. (0..0.5]
        folder: where the run is kept, new or empty; None keeps no run.
        settings: part -> name -> value, as ``--set part.name=value``.
        verbose: whether to print what happens.

    Attributes:
        network_: the network that was found, a ``torch.nn.Module`` in float64.
        card_: what is known of it: its validation score, architecture, parameters and more.
        reading_: how the columns become its inputs.
        rare_: column -> the categories that `fit` saw and that have no input of their own.
        n_features_in_: columns seen in `fit`. [count]
        feature_names_in_: their names, where X is a data frame.
    """

    kind = ""

    def __init__(
        self,
        *,
        budget: str = "1m",
        recipe: str | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        scoring: str | None = None,
        validation: Any = 0.2,
        folder: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        verbose: bool = False,
    ) -> None:
        self.budget, self.recipe, self.n_jobs = budget, recipe, n_jobs
        self.random_state, self.validation, self.folder = random_state, validation, folder
        self.settings, self.verbose, self.scoring = settings, verbose, scoring

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        time: Any = None,
        folds: Any = None,
    ) -> Self:
        """Search a network for the data, train it on all rows, and keep it.

        Args:
            X: numbers or words [N, columns]; or a data frame of pandas, polars or pyarrow.
            y: classes, or quantities [N]; several quantities, or labels that are 0 or 1, [N, outputs].
            sample_weight: of every row, in the loss and in what networks are chosen by, numbers of at
                least 0 [N]; None is 1, and so is the weight of every row of ``validation=(X, y)``.
            groups: of every row: rows of one group are never apart, in no split and no fold [N].
            time: of every row, numbers or dates: the last rows validate [N].
            folds: of every row: the last fold validates, of a small set each in turn [N].

        Raises:
            ValueError: if the data or a setting cannot be used.
        """
        with _as_value_errors():
            own = {"groups": groups, "time": time, "folds": folds}
            self._search(self._table(X, y, reset=True), y, sample_weight, own)
        return self

    def _table(self, X: Any, y: Any = "no_validation", *, reset: bool = False) -> RawTable:
        """Return the cells of X, checked against what was seen in `fit`."""
        rows = None if isinstance(X, Mapping) else pandas_frame(X)
        rows = _frame_of_words(X) if rows is None else rows
        if rows is not None:
            validate_data(self, rows, y, reset=reset, skip_check_array=True)
            return table_of(rows.set_axis(self._names(), axis=1), "X")
        options = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        if reset:
            X, _ = validate_data(
                self, X, y, y_numeric=False, ensure_min_samples=2, multi_output=True, **options
            )
        else:
            X = validate_data(self, X, reset=False, **options)
        return RawTable(dict(zip(self._names(), X.T, strict=True)), False, [], {})

    def _names(self) -> list[str]:
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_]
        return [f"x{place}" for place in range(self.n_features_in_)]

    def _targets(self, y: Any) -> np.ndarray:
        """Return the targets [N]: int64 classes, or float64 quantities; several are [N, outputs]."""
        raise NotImplementedError

    def _search(self, table: RawTable, y: Any, sample_weight: Any, own: Mapping[str, Any]) -> None:
        rows = len(next(iter(table.columns.values())))
        found = self._targets(y)
        names = [_free_name(name, table.columns) for name in target_names(y, found)]
        target = names[0] if found.ndim == 1 else names
        if rows != len(found):
            raise DataError(f"X has {rows} rows and y has {len(found)}")
        weights = _weights(sample_weight, rows)
        pair = isinstance(self.validation, tuple | list)
        check_settings(0, 0.2 if pair else self.validation, 1.0, None)
        about = self._about(target, self._kind(found))
        check_metric(self.scoring, None, about["task"])
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        given = {part: dict(values) for part, values in (self.settings or {}).items()}
        said = validated("task", given.pop("task", {}), COLUMNS)
        texts = {name: said.pop(name) for name in TEXTS if name in said}
        if "text" in texts:
            texts = reading_of(Request(NAME, self.recipe), "text") | texts
        written = [texts["text"]] if "text" in texts else []
        frame = frame_of_table("X", table, asked=Asked.of(said), written=written)
        files = {"training": _file("X", frame, own)}
        if pair:
            frame, found = self._with_validation(frame, found, files)
        notes = list(frame.note)
        divided = self._divided(found, about, seed, files, notes)
        task = self._task(frame, found, target, about, seed, texts, divided, notes)
        if weights is not None:
            weights = np.concatenate([weights, np.ones(len(found) - rows)])  # of ``validation=``
            parts = {part: weights[places] for part, places in divided.parts.items()}
            task = weighted(task, parts, "sample_weight")
        if self.scoring is not None:
            task = judged(task, self.scoring)
        self.rare_ = _rare(frame, task.reading)
        _warn(task.note)
        given["train"] = LEAN | given.get("train", {})
        if self.folder is not None:
            self._keep(self._run(task, Path(self.folder), seed, given), task)
            return
        with tempfile.TemporaryDirectory() as folder:
            self._keep(self._run(task, Path(folder) / "run", seed, given), task)

    def _run(
        self, task: Task, folder: Path, seed: int, settings: Mapping[str, Mapping[str, Any]]
    ) -> Run:
        return search(
            task,
            recipe=self.recipe,
            budget=self.budget,
            workers=0 if self.n_jobs in (None, 1) else self._workers(),
            seed=seed,
            out=folder,
            settings=settings,
            callbacks=[Say(partial(print, file=sys.stderr))] if self.verbose else [],
        )

    def _workers(self) -> int | None:
        assert self.n_jobs is not None
        return None if self.n_jobs < 0 else self.n_jobs

    def _task(
        self,
        frame: Frame,
        y: np.ndarray,
        target: str | list[str],
        about: Mapping[str, Any],
        seed: int,
        texts: Mapping[str, Any],
        divided: Divided,
        notes: list[str],
    ) -> Task:
        """Return the task, of texts if their column is named."""
        given: dict[str, Any] = {"target": target, "divided": divided, "notes": notes, "seed": seed}
        if not texts:
            tell_gaps(frame, target, notes)
            return prepared(NAME, frame, y, about=about, **given)
        if "text" not in texts:
            raise SettingError(
                f"task.{next(iter(texts))} is for texts: name their column, task.text"
            )
        if "classes" not in about:
            raise SettingError("task.text and a regression: texts are sorted into classes")
        frame.column(texts["text"])
        return prepared_texts(NAME, frame, y, classes=tuple(about["classes"]), **texts, **given)

    def _divided(
        self,
        y: np.ndarray,
        about: Mapping[str, Any],
        seed: int,
        files: Mapping[str, File],
        notes: list[str],
    ) -> Divided:
        """Return the rows to train and to validate on; too few to split are both."""
        kind, own, alike = self._kind(y), files["training"].own, y
        if "classes" in about:
            note_counts(y[: files["training"].rows], about["classes"], notes)
        if kind == "multi-label":
            alike = strata(y)
        alone = "validation" not in files and not own.by
        single = kind != "regression" and np.bincount(alike).max() == 1
        if alone and (len(y) < LEAST or single):
            rows = np.arange(len(y))
            return Divided({"training": rows, "validation": rows}, INDEPENDENT)
        return divide(
            *(alike, files, own),
            classes=about.get("classes", ()),
            spread=kind != "regression",
            seed=seed,
            validation=0.2 if "validation" in files else self.validation,
            fraction=1.0,
            test=False,
            notes=notes,
        )

    def _with_validation(
        self, frame: Frame, y: np.ndarray, files: dict[str, File]
    ) -> tuple[Frame, np.ndarray]:
        """Return the rows of fit and then those of ``validation=(X, y)``, which `files` gets."""
        if len(self.validation) != 2:
            raise SettingError("validation: give a share of the rows, or a pair (X, y)")
        if files["training"].own.by:
            raise SettingError(
                f"validation=(X, y) and {files['training'].own.by}=: each says which rows validate, "
                "leave one out"
            )
        X, targets = self.validation
        other = frame_of_table("the X of validation", self._table(X), like=frame)
        found = self._known_targets(targets, y)
        if found.shape[1:] != y.shape[1:]:
            raise DataError(
                f"the y of validation has shape {found.shape} and that of fit {y.shape}: make them "
                "alike"
            )
        if len(other) != len(found):
            raise DataError(f"the X of validation has {len(other)} rows and its y {len(found)}")
        files["validation"] = File(other.source, len(other))
        other = same_columns(other, frame)
        return stacked(frame, [other], list(frame.columns)), np.concatenate([y, found])

    def _known_targets(self, y: Any, fitted: np.ndarray) -> np.ndarray:
        """Return targets of the kind that `fit` has seen, which are `fitted` [N], or [N, outputs]."""
        raise NotImplementedError

    def _kind(self, y: np.ndarray) -> str:
        """Return the kind of targets as `_targets` returns them."""
        several = y.ndim == 2 and self.kind == "classification"
        return "multi-label" if several else self.kind

    def _about(self, target: str | list[str], kind: str) -> dict[str, Any]:
        """Return the facts of the target, as plain values."""
        return {"task": kind}

    def _keep(self, run: Run, task: Task) -> None:
        """Take over the network that a run found."""
        setup, self.card_ = run.setup, run.card
        told = json.loads((run.folder / "best" / "reading.json").read_text("utf-8"))
        self.reading_ = dict(task.reading) | {k: told[k] for k in ("interval",) if k in told}
        self.design_ = {
            "space": setup.parts.space.name,
            "settings": dict(setup.parts.space.settings),
            "arch": self.card_["arch"],
            "size": self._size(setup),
            "members": (self.card_["averaged"] or {}).get("members", []),
        }
        self._rebuild((run.folder / "best" / "weights.safetensors").read_bytes())

    def _size(self, setup: Setup) -> dict[str, Any]:
        """Return the size of the network: of a winner with the search's weights, that of the search."""
        said = self.card_["size"]
        size = setup.train.network.size if said is None else Size(**said)
        return dataclasses.asdict(size.bare())

    def _rebuild(self, weights: bytes) -> None:
        net = Assembled(self._plan())
        net.load_state_dict(load_weights(weights))
        self.network_ = net.eval().double()  # so that an answer depends on its row alone

    def _plan(self) -> Plan:
        task, made = _described(self.reading_), self.design_
        space = registry.make_space(made["space"], task.facts, made["settings"])
        alone = {"arch": made["arch"], "size": made["size"], "times": 1}
        members = made.get("members") or [alone]  # older ones have no such list
        plans = [
            plan(Plain() if each.get("space") else space, freeze(each["arch"]), task, size)
            for each in members
            for size in [Size(**each["size"])]
        ]
        times = [each["times"] for each in members]
        return joined(plans, times, link=task.link)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network [N, outputs] float64."""
        check_is_fitted(self)
        with _as_value_errors():
            frame = frame_of_table("X", self._table(X), like=self._seen())
            x = self._inputs(frame)
        known = [line for line in frame.note if "left out" not in line]  # that `fit` warned of
        _warn([*known, *_strangers(frame, self.reading_, self.rare_)])
        with torch.no_grad():
            if isinstance(x, Ragged):
                return self._of_texts(x)
            found = [
                self.network_(torch.from_numpy(x[at : at + BATCH]))
                for at in range(0, len(x), BATCH)
            ]
        return torch.cat(found).numpy()

    def _of_texts(self, x: Ragged) -> np.ndarray:
        """Return the outputs for texts of different lengths [N, outputs] float64, in their order."""
        places = [*x.by_length(BATCH // 16)]
        found = torch.cat([self.network_(torch.from_numpy(x[index])) for index in places]).numpy()
        y = np.empty_like(found)
        y[np.concatenate(places)] = found
        return y

    def _inputs(self, frame: Frame) -> Any:
        """Return the inputs of the network: numbers [N, F] float64, or tokens [N, T]."""
        reading = self.reading_
        if reading["kind"] == "text":
            return read_texts(texts_of(frame, reading["text"]), reading)
        return inputs(_alike(frame, reading), reading).astype(np.float64)

    def _seen(self) -> Frame:
        """Return a frame without rows that says how the columns of `fit` were read."""
        reading = self.reading_
        if reading["kind"] == "text":
            form = {"type": "category", "marks": reading["marks"]}
            return Frame("fit", {}, about={reading["text"]: About(form)})
        return Frame("fit", {}, about={each["name"]: About(each) for each in reading["columns"]})

    # -- on disk ---------------------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted estimator into a new or empty folder, as plain files and no pickle.

        Beside ``estimator.json`` stands the exported network: ``model.py``, ``weights.safetensors``,
        ``reading.json``, and ``predict.py``, which need torch and numpy alone.

        Raises:
            ValueError: if the folder holds files, or a parameter cannot be written as JSON.
        """
        check_is_fitted(self)
        told = {
            "estimator": type(self).__name__,
            "params": self._plain_params(),
            "columns": self.n_features_in_,
            "names": self._names() if hasattr(self, "feature_names_in_") else None,
            "design": self.design_,
            "reading": self.reading_,
            "rare": self.rare_,
            "card": self.card_,
            "classes": _plain_classes(getattr(self, "classes_", None)),
        }
        try:
            text = json.dumps(told, indent=1)
        except TypeError as error:
            raise ValueError(
                f"{error}: use numbers and text as parameters (random_state: a whole number)"
            ) from error
        with _as_value_errors():
            new_folder(Path(folder), "folder")
        export(
            Path(folder),
            plan=self._plan(),
            state={name: _single(value) for name, value in self.network_.state_dict().items()},
            task=_described(self.reading_),
            title=f"The network of an {type(self).__name__}.",
            provenance=f"Validation {self.card_['metric']} {self.card_['val_score']:.4f}.",
            proof=False,
        )
        write_atomically(Path(folder) / FILE, text)

    def _plain_params(self) -> dict[str, Any]:
        """Return the parameters without data and places: rows to validate on are not kept."""
        told: dict[str, Any] = self.get_params(deep=False) | {"folder": None}
        if isinstance(self.validation, tuple | list):
            told["validation"] = 0.2
        return told

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the fitted estimator that `save` wrote.

        Raises:
            ValueError: if the folder holds none, or one of another class.
        """
        file = Path(folder) / FILE
        try:
            told = json.loads(file.read_text("utf-8"))
            if told["estimator"] != cls.__name__:
                raise ValueError(f"{file} holds an {told['estimator']}, not an {cls.__name__}")
            made = cls(**told["params"])
            made.n_features_in_ = told["columns"]
            if told["names"] is not None:
                made.feature_names_in_ = np.array(told["names"], object)
            made.design_, made.reading_, made.card_ = told["design"], told["reading"], told["card"]
            made.rare_ = told["rare"]
            if told["classes"] is not None:
                made.classes_ = np.array(told["classes"]["values"], told["classes"]["dtype"])
            made._rebuild((Path(folder) / "weights.safetensors").read_bytes())
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{file} cannot be read ({error}): save the estimator anew") from error
        return made


class EvolventClassifier(ClassifierMixin, _Evolvent):  # type: ignore[misc]
    """A classifier with a searched network.

    Parameters, attributes, `save` and `load` are those of `_Evolvent`; ``classes_`` are the classes, of
    labels (y is 0 or 1, [N, labels]) their places.
    """

    kind = "classification"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _targets(self, y: Any) -> np.ndarray:
        wide = len(np.asarray(y).shape) == 2
        if wide and type_of_target(y, input_name="y") == "multilabel-indicator":
            shown = check_array(y, accept_sparse=False, input_name="y")
            self.classes_ = np.arange(shown.shape[1])
            return np.asarray(shown > 0, np.float32)
        y = column_or_1d(typed_labels(y), warn=True)
        check_classification_targets(y)
        self.classes_, found = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y holds one class only, {self.classes_[0]!r}: at least 2 are needed to learn from"
            )
        return found.astype(np.int64)

    def _known_targets(self, y: Any, fitted: np.ndarray) -> np.ndarray:
        if fitted.ndim == 2:
            shown = check_array(y, accept_sparse=False, input_name="y")
            if not np.isin(shown, (0, 1)).all():
                raise DataError(
                    "the y of validation has other values than 0 and 1: labels are these"
                )
            return np.asarray(shown, np.float32)
        y = column_or_1d(typed_labels(y), warn=True)
        strange = np.setdiff1d(y, self.classes_).tolist()
        if strange:
            raise DataError(
                f"the y of validation has labels that the y of fit has not: {some(strange)}: add rows "
                "of them to fit, or leave them out"
            )
        found: np.ndarray = np.searchsorted(self.classes_, y).astype(np.int64)
        return found

    def _about(self, target: str | list[str], kind: str) -> dict[str, Any]:
        found = super()._about(target, kind)
        if kind == "classification":
            return found | {"classes": [str(each) for each in self.classes_]}
        return found | {"labels": list(target), "values": [["0", "1"]] * len(target)}

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of every class [N, classes], in the order of ``classes_``.

        Of labels it is that of each [N, labels], whatever the others are.
        """
        y = self._outputs(X)
        if "labels" in self.reading_:
            return sigmoid(y)
        return torch.softmax(torch.from_numpy(y), 1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every row [N]; 1 for every label above 0.5 [N, labels]."""
        y = self._outputs(X)
        if "labels" in self.reading_:
            return (sigmoid(y) > THRESHOLD).astype(np.int64)
        best = y.argmax(1)
        found: np.ndarray = self.classes_[best]
        return found


class EvolventRegressor(RegressorMixin, _Evolvent):  # type: ignore[misc]
    """A regressor with a searched network.

    Parameters, attributes, `save` and `load` are those of `_Evolvent`.
    """

    kind = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _targets(self, y: Any) -> np.ndarray:
        shape = np.asarray(y).shape
        if len(shape) != 2 or shape[1] == 1:
            y = column_or_1d(y, warn=True)
        numbers: np.ndarray = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        for each in np.atleast_2d(numbers.T):
            if each.min() == each.max():
                raise DataError(f"y is {each[0]:g} in every row: there is nothing to learn from it")
        return numbers

    def _known_targets(self, y: Any, fitted: np.ndarray) -> np.ndarray:
        y = y if fitted.ndim == 2 else column_or_1d(y, warn=True)
        found: np.ndarray = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        return found

    def predict(self, X: Any, interval: float | None = None) -> np.ndarray:
        """Return the quantity of every row [N], in its own unit; of several [N, outputs].

        Args:
            X: the rows.
            interval: share of such rows whose true value lies between two bounds, which are returned
                too: [N, 3], the quantity, the lower and the upper bound. (0..1)

        Raises:
            ValueError: for an interval that the rows held out in `fit` are too few for, or of several
                quantities.
        """
        y = self._outputs(X)
        mean, unit = (np.asarray(self.reading_[f"target_{key}"]) for key in ("mean", "unit"))
        found: np.ndarray = (y if mean.ndim else y[:, 0]) * unit + mean
        if interval is None:
            return found
        if mean.ndim:
            raise ValueError("interval: it is for one quantity, there are several: leave it out")
        if self.reading_.get("interval") is None:
            raise ValueError(
                "interval: no errors of held-out rows are known, because `fit` had no time left for "
                "them: give it a larger budget"
            )
        low, high = bounds(self.reading_["interval"], interval)
        return np.stack([found, found + low, found + high], axis=1)


def _file(source: str, frame: Frame, own: Mapping[str, Any]) -> File:
    """Return the rows of `fit`, with what its arguments say of their split."""
    said = {by: cells for by, cells in own.items() if cells is not None}
    if not said:
        return File(source, len(frame))
    OwnSplit.of({by: by for by in said})  # one of them
    ((by, cells),) = said.items()
    one = OwnSplit(by, by, alone=True)
    column = table_of(frame_of_array(np.asarray(cells).reshape(-1)).set_axis([by], axis=1), by)
    rows = frame_of_table(by, column)
    if len(rows) != len(frame):
        raise DataError(f"{by} has {len(rows)} entries and X has {len(frame)} rows")
    return File(source, len(frame), keys_of(rows, one), one)


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Turn errors of the user's input into ValueError, as scikit-learn has it."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error


def _described(reading: Mapping[str, Any]) -> Task:
    """Return a task of such inputs and targets, without data."""
    text = reading["kind"] == "text"
    width = reading["length"] if text else sum(map(width_of, reading["columns"]))
    empty = Part(np.zeros((0, width), np.float32), np.zeros(0, np.float32))
    return Task(
        name=NAME,
        kind=reading["kind"],
        input_shape=(width,),
        train=empty,
        validation=empty,
        test=None,
        vocabulary=FIRST_WORD + len(reading["words"]) if text else 0,
        any_length=reading.get("tokens", "words") != "words",
        reading=reading,
        **told_of(reading),
    )


def _alike(frame: Frame, reading: Mapping[str, Any]) -> Frame:
    """Return the frame, if every column holds what it held in `fit`."""
    for column in reading["columns"]:
        number = frame.column(column["name"]).dtype.kind == "f"
        if number != (column["type"] == "number"):
            held, holds = ("text", "numbers") if number else ("numbers", "text")
            raise DataError(
                f"column {column['name']!r} holds {holds}, in the data of fit it held {held}"
            )
    return frame


def _frame_of_words(X: Any) -> pd.DataFrame | None:
    """Return an array or lists that hold words, dates or durations as a data frame, else None."""
    array = X if isinstance(X, np.ndarray) else None
    if isinstance(X, list | tuple):
        try:
            array = np.array(X, object)
        except ValueError:  # rows of unequal length, which scikit-learn refuses
            return None
    if array is None or array.ndim != 2 or array.dtype.kind not in "OUSTmM":
        return None
    words = (str, bytes, date, time, timedelta, np.datetime64, np.timedelta64)
    if array.dtype.kind == "O" and not any(isinstance(cell, words) for cell in array.flat):
        return None
    return frame_of_array(array)


def _weights(given: Any, rows: int) -> np.ndarray | None:
    """Return the weights of rows [N] float64; None where none are given.

    Raises:
        DataError: if they are not one number of at least 0 for every row.
    """
    if given is None:
        return None
    found = np.asarray(given)
    if found.shape != (rows,):
        raise DataError(
            f"sample_weight has shape {found.shape}, X has {rows} rows: one weight per row is needed"
        )
    return checked(found, "the weights sample_weight")


def _free_name(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _warn(notes: Iterable[str]) -> None:
    """Warn of those notes that tell of a doubt or a loss."""
    for line in notes:
        if any(mark in line for mark in WARNED):
            warnings.warn(line, DataWarning, stacklevel=_outside())


def _outside() -> int:
    """Return the `stacklevel` of the first caller outside this file, for `_warn`."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level


def _categorical(reading: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in reading.get("columns", ()) if each["type"] == "category")


def _rare(frame: Frame, reading: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return column -> its categories that have no input of their own."""
    return {
        column["name"]: sorted(
            set(frame.column(column["name"]).tolist()) - {"", *column["categories"]}
        )
        for column in _categorical(reading)
    }


def _strangers(
    frame: Frame, reading: Mapping[str, Any], rare: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield a line for every column with categories that did not occur in `fit`."""
    for column in _categorical(reading):
        name = column["name"]
        known = {"", *column["categories"], *rare[name]}
        strange = [cell for cell in frame.column(name).tolist() if cell not in known]
        if strange:
            yield (
                f"X: column {name!r}: {len(strange):,} cells hold {UNKNOWN}: "
                f"{some(sorted(set(strange)))}"
            )


def _single(value: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array, real numbers in float32, as they were trained."""
    return (value.float() if value.is_floating_point() else value).numpy()


def _plain_classes(classes: np.ndarray | None) -> dict[str, Any] | None:
    return None if classes is None else {"values": classes.tolist(), "dtype": classes.dtype.str}
