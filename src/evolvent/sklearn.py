"""scikit-learn estimators: a search is ``fit``, the network that it found answers ``predict``.

    from evolvent.sklearn import EvolventClassifier
    model = EvolventClassifier(budget="5m", random_state=0).fit(X, y)
    model.predict(X), model.predict_proba(X), model.score(X, y)
    model.save("net/"); EvolventClassifier.load("net/")

X is an array of numbers or a data frame, whose columns may hold numbers or text, and in both may miss
some. The interface and its rules are scikit-learn's (Buitinck et al. 2013, "API design for machine
learning software"); its ``check_estimator`` passes for both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load as load_weights
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from . import registry
from .config.setup import Setup
from .deliver.export import export
from .engine.events import Say
from .errors import DataError, UserError
from .files import new_folder, write_atomically
from .network.build import Assembled, Size, plan
from .network.plan import Plan
from .run import Run
from .session import search
from .task import Part, Task
from .task.frames import About, Frame, frame_of
from .task.images import check_settings
from .task.memory import NAME, pandas_frame
from .task.numbers import inputs, learnt, measured
from .task.scales import clipped, scale_of
from .task.splitting import LEAST, three_parts
from .types import freeze

FILE = "estimator.json"  # beside the exported network
BATCH = 4096  # rows at a time
LEAN = {"onnx": False, "proof": False, "controls": False}  # of a delivery: nobody reads the card


class _Evolvent(BaseEstimator):  # type: ignore[misc]
    """The base of both estimators.

    Args:
        budget: of the search and the final training, such as ``"5m"`` or ``"50t"``; with a time, two
            fits are not equal to the last digit.
        recipe: a system by name; None is the default for tables of numbers.
        n_jobs: processes; None or 1 is this one, -1 is one per core. [count]
        random_state: of the split, the search and the training.
        validation: share of the rows that the search is scored on; the final training uses all rows.
            (0..0.5]
        folder: where the run is kept, new or empty; None keeps no run.
        settings: part -> name -> value, as ``--set part.name=value``.
        verbose: whether to print what happens.

    Attributes:
        network_: the network that was found, a ``torch.nn.Module`` in float64.
        card_: what is known of it: its validation score, architecture, parameters and more.
        reading_: how the columns become its inputs.
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
        validation: float = 0.2,
        folder: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        verbose: bool = False,
    ) -> None:
        self.budget, self.recipe, self.n_jobs = budget, recipe, n_jobs
        self.random_state, self.validation, self.folder = random_state, validation, folder
        self.settings, self.verbose = settings, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Search a network for the data, train it on all rows, and keep it.

        Args:
            X: numbers [N, columns], or a data frame.
            y: classes, or quantities [N].

        Raises:
            ValueError: if the data or a setting cannot be used.
        """
        with _as_value_errors():
            frame = self._frame(X, y, reset=True)
            self._search(frame, self._targets(y))
        return self

    def _frame(self, X: Any, y: Any = "no_validation", *, reset: bool = False) -> Frame:
        """Return X as columns, checked against what was seen in `fit`."""
        table = None if isinstance(X, Mapping) else pandas_frame(X)
        if table is not None:
            X = table
            validate_data(self, X, y, reset=reset, skip_check_array=True)
            rows = X.set_axis(self._names(), axis=1)
            return frame_of(rows, "X", like=None if reset else self._seen())
        options = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        if reset:
            X, _ = validate_data(
                self, X, y, y_numeric=False, ensure_min_samples=2, multi_output=True, **options
            )
        else:
            X = validate_data(self, X, reset=False, **options)
        return Frame("X", dict(zip(self._names(), X.T, strict=True)))

    def _seen(self) -> Frame:
        """Return a frame without rows that says how the columns of `fit` were read."""
        forms = {column["name"]: column for column in self.reading_["columns"]}
        return Frame("fit", {}, about={name: About(form) for name, form in forms.items()})

    def _names(self) -> list[str]:
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_]
        return [f"x{place}" for place in range(self.n_features_in_)]

    def _targets(self, y: Any) -> np.ndarray:
        """Return the targets [N]: int64 classes, or float64 quantities."""
        raise NotImplementedError

    def _search(self, frame: Frame, y: np.ndarray) -> None:
        if len(frame) != len(y):
            raise DataError(f"X has {len(frame)} rows and y has {len(y)}")
        check_settings(0, self.validation, 1.0, None)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        task = self._task(frame, y, seed)
        given = {part: dict(values) for part, values in (self.settings or {}).items()}
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

    def _task(self, frame: Frame, y: np.ndarray, seed: int) -> Task:
        """Return the task; too few rows to split train and validate together."""
        target = "target"
        while target in frame.columns:
            target += "_"
        is_class = self.kind == "classification"
        rows = np.arange(len(y))
        parts = {"training": rows, "validation": rows}
        if len(y) >= LEAST and not (is_class and np.bincount(y).max() == 1):
            parts = three_parts(
                y,
                classes=is_class,
                seed=seed,
                validation=self.validation,
                fraction=1.0,
                test=False,
            )
        reading = {"kind": "numbers", "task": self.kind, "target": target}
        reading |= learnt(frame, target, [])
        about = self._about(y)
        x, y = inputs(frame, reading), self._scaled(y, about)
        return dataclasses.replace(
            _described(reading | about | {"width": x.shape[1]}),
            train=Part(x[parts["training"]], y[parts["training"]]),
            validation=Part(x[parts["validation"]], y[parts["validation"]]),
            seed=seed,
        )

    def _about(self, y: np.ndarray) -> dict[str, Any]:
        """Return the facts of the target, as plain values."""
        raise NotImplementedError

    def _scaled(self, y: np.ndarray, about: Mapping[str, Any]) -> np.ndarray:
        return y

    def _keep(self, run: Run, task: Task) -> None:
        """Take over the network that a run found."""
        setup, self.card_ = run.setup, run.card
        self.reading_ = dict(task.reading)
        self.design_ = {
            "space": setup.parts.space.name,
            "settings": dict(setup.parts.space.settings),
            "arch": self.card_["arch"],
            "size": self._size(setup),
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
        return plan(space, freeze(made["arch"]), task, Size(**made["size"]))

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network [N, outputs] float64."""
        check_is_fitted(self)
        with _as_value_errors():
            x = inputs(_alike(self._frame(X), self.reading_), self.reading_)
        with torch.no_grad():
            found = [
                self.network_(torch.from_numpy(x[at : at + BATCH]).double())
                for at in range(0, len(x), BATCH)
            ]
        return torch.cat(found).numpy()

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
            "params": self.get_params(deep=False) | {"folder": None},
            "columns": self.n_features_in_,
            "names": self._names() if hasattr(self, "feature_names_in_") else None,
            "design": self.design_,
            "reading": self.reading_,
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
            if told["classes"] is not None:
                made.classes_ = np.array(told["classes"]["values"], told["classes"]["dtype"])
            made._rebuild((Path(folder) / "weights.safetensors").read_bytes())
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{file} cannot be read ({error}): save the estimator anew") from error
        return made


class EvolventClassifier(ClassifierMixin, _Evolvent):  # type: ignore[misc]
    """A classifier with a searched network.

    Parameters, attributes, `save` and `load` are those of `_Evolvent`; ``classes_`` are the classes.
    """

    kind = "classification"

    def _targets(self, y: Any) -> np.ndarray:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, found = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y holds one class only, {self.classes_[0]!r}: at least 2 are needed to learn from"
            )
        return found.astype(np.int64)

    def _about(self, y: np.ndarray) -> dict[str, Any]:
        return {"classes": [str(each) for each in self.classes_]}

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of every class [N, classes], in the order of ``classes_``."""
        return torch.softmax(torch.from_numpy(self._outputs(X)), 1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of every row [N]."""
        best = self._outputs(X).argmax(1)
        found: np.ndarray = self.classes_[best]
        return found


class EvolventRegressor(RegressorMixin, _Evolvent):  # type: ignore[misc]
    """A regressor with a searched network.

    Parameters, attributes, `save` and `load` are those of `_Evolvent`.
    """

    kind = "regression"

    def _targets(self, y: Any) -> np.ndarray:
        y = column_or_1d(y, warn=True)
        numbers: np.ndarray = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        return numbers

    def _about(self, y: np.ndarray) -> dict[str, Any]:
        if y.min() == y.max():
            raise DataError(f"y is {y[0]:g} in every row: there is nothing to learn from it")
        scale = scale_of(y, "y", [])
        return {"target_mean": scale["mean"], "target_unit": scale["unit"]}

    def _scaled(self, y: np.ndarray, about: Mapping[str, Any]) -> np.ndarray:
        return clipped(y, scale_of(y, "y", []))

    def predict(self, X: Any) -> np.ndarray:
        """Return the quantity of every row [N], in its own unit."""
        found: np.ndarray = self._outputs(X)[:, 0]
        return found * float(self.reading_["target_unit"]) + float(self.reading_["target_mean"])


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Turn errors of the user's input into ValueError, as scikit-learn has it."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error


def _described(reading: Mapping[str, Any]) -> Task:
    """Return a task of such inputs and targets, without data."""
    width = reading["width"]
    empty = Part(np.zeros((0, width), np.float32), np.zeros(0, np.float32))
    classes = tuple(reading.get("classes", ()))
    return Task(
        name=NAME,
        kind="numbers",
        input_shape=(width,),
        outputs=max(1, len(classes)),
        classes=classes,
        train=empty,
        validation=empty,
        test=None,
        unit=reading.get("target_unit", 1.0),
        reading=reading,
        **measured(reading["task"]),
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


def _single(value: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array, real numbers in float32, as they were trained."""
    return (value.float() if value.is_floating_point() else value).numpy()


def _plain_classes(classes: np.ndarray | None) -> dict[str, Any] | None:
    return None if classes is None else {"values": classes.tolist(), "dtype": classes.dtype.str}
