"""Several targets per row, from data to predictions: quantities and labels."""

from typing import Any

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.network.losses import LOSSES
from evolvent.sklearn import EvolventClassifier, EvolventRegressor
from evolvent.task.opening import open_task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
FAST: dict[str, Any] = {"budget": "1t", "random_state": 0, "settings": {"estimator": {"epochs": 1}}}


def table(folder, header, columns):
    file = folder / "data.csv"
    rows = zip(*X.T.round(4).tolist(), *columns, strict=True)
    file.write_text("\n".join([f"a,b,c,{header}", *(",".join(map(str, row)) for row in rows)]))
    return str(file)


def test_every_quantity_has_its_own_scale(tmp_path):
    file = table(tmp_path, "large,small", [1000 + 50 * X[:, 0], 0.01 * X[:, 1]])
    task: Any = open_task(file, {"target": ["large", "small"]})
    assert (task.loss, task.outputs, task.quantities) == ("mse", 2, ("large", "small"))
    assert np.allclose(task.train.y.std(0), 1, atol=1e-4)
    assert not {"large", "small"} & {each["name"] for each in task.reading["columns"]}


def test_labels_come_back_as_they_are_written(tmp_path):
    wet, warm = np.where(X[:, 0] > 0, "Yes", "No"), (X[:, 1] > 0).astype(int)
    task: Any = open_task(table(tmp_path, "wet,warm", [wet, warm]), {"target": ["wet", "warm"]})
    assert (task.loss, task.labels) == ("binary-cross-entropy", ("wet", "warm"))
    assert task.reading["values"] == [["No", "Yes"], ["0", "1"]]


def test_a_column_of_lists_of_labels(tmp_path):
    lists = ["red; round" if v > 0 else "red" if v > -1 else "" for v in X[:, 0]]
    task: Any = open_task(
        table(tmp_path, "tags", [lists]), {"target": "tags", "labels_separator": ";"}
    )
    assert task.labels == ("red", "round")
    assert any("rows without a label" in line for line in task.note)


def test_targets_of_different_kinds_are_refused(tmp_path):
    file = table(tmp_path, "y,kind", [X[:, 0], np.where(X[:, 1] > 0, "u", "v")])
    with pytest.raises(SettingError, match="several targets are all quantities"):
        open_task(file, {"target": ["y", "kind"]})


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy"])
def test_the_mean_loss_is_that_of_each(loss):
    import torch

    outputs, y = torch.randn(6, 2), torch.randint(2, (6, 2)).float()
    made = LOSSES[loss]
    assert torch.allclose(made.mean(outputs, y), made.each(outputs, y).mean())
    told = made.metrics(made.sums(outputs, y).tolist(), 6, (1.0, 1.0), ("u", "v"))
    assert told["loss"] == pytest.approx(float(made.mean(outputs, y)), abs=1e-6)


def test_scikit_learn_predicts_several():
    y = np.stack([X[:, 0] * 100, X[:, 1]], axis=1)
    assert EvolventRegressor(**FAST).fit(X, y).predict(X).shape == (80, 2)
    labels = (y > 0).astype(int)
    model = EvolventClassifier(**FAST).fit(X, labels)
    assert set(np.unique(model.predict(X))) <= {0, 1}
    assert model.predict_proba(X).shape == (80, 2)
