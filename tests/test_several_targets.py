"""Several targets per row, from data to predictions: quantities and labels."""

from typing import Any

import numpy as np
import pytest
import torch

from evolvent.deliver.ensemble import Predictions
from evolvent.errors import SettingError
from evolvent.network.folds import folds_of
from evolvent.network.losses import LOSSES
from evolvent.network.text_operations import HashedBag
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
def test_weights_of_rows_are_repeated_rows(loss):
    made, generator = LOSSES[loss], torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 2, generator=generator)
    y = torch.randint(2, (6, 2), generator=generator).float()
    times = torch.tensor([1, 2, 3, 1, 2, 1])
    long_outputs, long_y = (each.repeat_interleave(times, 0) for each in (outputs, y))
    weighted = made.sums(outputs, y, times.double())
    assert torch.allclose(weighted, made.sums(long_outputs, long_y))
    mean = made.mean(outputs, y, rows=times / times.float().mean())
    assert torch.allclose(mean, made.mean(long_outputs, long_y))
    few = made.metrics(made.sums(outputs, y, times / 100).tolist(), 0.1, 1.0)
    assert few == pytest.approx(made.metrics(weighted.tolist(), 10, 1.0))


def test_an_ensemble_is_judged_with_weights_and_labels():
    y = RNG.integers(0, 2, (8, 2)).astype(np.float32)
    said = np.clip(np.stack([y, 1 - y]) * 0.8 + 0.1, 0, 1)
    weight = np.array([1.0, 3, 1, 1, 1, 1, 2, 1])
    given = Predictions(said, y, weight=weight, labels=True)
    assert given.scores(said[0]).mean() == pytest.approx(1)
    assert given.losses(said[0]).mean() == pytest.approx(-np.log(0.9))
    kept = given.rows(np.arange(4))
    assert kept.labels and kept.weight is not None and len(kept.weight) == 4
    several = Predictions(np.stack([y + 1.0]), y, weight=weight)
    spread = [np.average((c - np.average(c, weights=weight)) ** 2, weights=weight) for c in y.T]
    assert several.scores(y + 1.0).mean() == pytest.approx(np.mean([1 - 1 / s for s in spread]))


@pytest.mark.parametrize("link", ["sigmoid", "identity"])
def test_a_bag_of_words_starts_from_every_target(link):
    bag = HashedBag(2, 1, 10, bayes=True, link=link)
    tokens = torch.tensor([[5, 9], [6, 9], [5, 9], [6, 9]] * 5)
    y = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]] * 5)
    y = y if link == "sigmoid" else y * torch.tensor([2.0, -4.0]) - torch.tensor([1.0, -2.0])
    bag.start([(tokens, y)])
    first, second = bag(torch.tensor([[5, 9], [6, 9]])).T
    assert first[0] > first[1]
    assert (second[0] < second[1]) == (link == "sigmoid")
    alone = HashedBag(1, 1, 10, bayes=True)
    if link == "identity":  # each column is what it would be alone
        alone.start([(tokens, y[:, 0])])
        assert torch.allclose(alone(tokens)[:, 0], bag(tokens)[:, 0], atol=1e-6)


def test_parts_of_rare_labels_and_the_users_own_split(tmp_path):
    who = np.arange(80) % 10
    rare = (np.arange(80) % 16 == 0).astype(int)  # of five rows
    often = (X[:, 1] > 0).astype(int)
    file = table(tmp_path, "rare,often,who", [rare, often, who])
    task: Any = open_task(file, {"target": ["rare", "often"], "ignore": "who"})
    for part in (task.train, task.validation, task.test):
        assert part.y[:, 0].any()
    folds = folds_of(task, 4, 1, 0)
    y = task.everything.y
    assert all(y[fold.held_out, 0].any() for fold in folds)
    split: Any = open_task(file, {"target": ["rare", "often"], "groups": "who"})
    assert split.division.by == "groups" and len(split.reading["columns"]) == 3
    parted: Any = open_task(file, {"target": ["rare", "often"], "test": file, "ignore": "who"})
    assert parted.test.y.tolist() == np.stack([rare, often], axis=1).tolist()


@pytest.mark.parametrize(
    "said, reason",
    [
        ({"target": ["wet", "wet"]}, "named twice"),
        ({"target": ["wet", "warm"], "text": "a"}, "--text with several targets"),
        ({"target": ["wet", "warm"], "series": True}, "--series with several targets"),
        ({"target": ["a", "b"], "window": 5}, "--window with several targets"),
        ({"target": ["wet", "warm"], "groups": "warm"}, "--groups warm and --target warm"),
        ({"target": ["wet", "warm"], "weight": "wet"}, "--weight wet and --target wet"),
        ({"target": "wet", "kind": "multi-label"}, "name several columns of two values"),
        ({"target": ["wet", "warm"], "kind": "classification"}, "are --kind multi-label"),
        ({"target": "wet", "labels_separator": ";", "kind": "regression"}, "lists are multi-label"),
    ],
)
def test_what_does_not_go_with_several_targets_is_refused(tmp_path, said, reason):
    wet, warm = np.where(X[:, 0] > 0, "Yes", "No"), (X[:, 1] > 0).astype(int)
    with pytest.raises(SettingError) as error:
        open_task(table(tmp_path, "wet,warm", [wet, warm]), said)
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy"])
def test_the_mean_loss_is_that_of_each(loss):
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


def test_scikit_learn_takes_weights_and_rows_to_validate_on_of_several():
    y = (X[:, :2] > 0).astype(int)
    model = EvolventClassifier(**FAST, validation=(X[60:], y[60:])).fit(
        X[:60], y[:60], np.arange(1.0, 61.0)
    )
    assert model.predict(X).shape == (80, 2)
    with pytest.raises(ValueError, match="other values than 0 and 1"):
        EvolventClassifier(**FAST, validation=(X[60:], y[60:] + 1)).fit(X[:60], y[:60])
    with pytest.raises(ValueError, match="make them alike"):
        EvolventRegressor(**FAST, validation=(X[60:], X[60:, :3])).fit(X[:60], X[:60, :2])
    found = EvolventRegressor(**FAST).fit(X, X[:, :2] * (1, 100))
    with pytest.raises(ValueError, match="it is for one quantity"):
        found.predict(X, interval=0.9)
