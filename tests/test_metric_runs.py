"""Searches that are judged by another metric than accuracy or R2."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score, mean_absolute_error
from tests.helpers_cli import evolvent

import evolvent as ev
from evolvent.deliver.card import Card, page
from evolvent.deliver.card.falling import fall_of
from evolvent.deliver.own import Own
from evolvent.deliver.selection import Change
from evolvent.errors import SettingError
from evolvent.network.build import Size
from evolvent.network.data import loader
from evolvent.network.losses import LOSSES, class_weights
from evolvent.network.train import Hyperparameters, evaluate
from evolvent.session import resume
from evolvent.task.metrics import judged
from evolvent.task.opening import open_task
from evolvent.task.options import with_metric

TINY: dict[str, Any] = {
    "estimator": {"epochs": 4.0},
    "space": {"units": [4, 12]},
    "train": {"epochs": 6.0, "finalists": 1, "controls": False, "onnx": False},
}


@pytest.fixture(scope="module", autouse=True)
def unproven():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        yield


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A table with one positive in fifteen, and a quantity above 0."""
    file = tmp_path_factory.mktemp("rare") / "rare.csv"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    odds = x[:, 0] + 0.5 * rng.normal(size=600)
    hit = odds > np.quantile(odds, 14 / 15)
    lines = [
        f"{a:.4f},{b:.4f},{c:.4f},{'yes' if h else 'no'},{math.exp(a):.5f}"
        for (a, b, c), h in zip(x, hit, strict=True)
    ]
    file.write_text("a,b,c,left,price\n" + "\n".join(lines) + "\n")
    return file


def run_of(rare, tmp_path, **more: Any):
    given = {"target": "left", "budget": "3t", "workers": 0, "settings": TINY, **more}
    given.setdefault("recipe", "dense")
    return ev.search(rare, out=tmp_path / "run", **given)


def task_of(rare, **more: Any) -> Any:
    return open_task(str(rare), {"target": "left", "kind": "classification", **more})


# ---- runs ----------------------------------------------------------------------------------------


def test_average_precision_of_the_rarer_class_chooses_and_is_reported(rare, tmp_path):
    run = run_of(rare, tmp_path, metric="average_precision")
    card = run.card
    assert card["metric"] == "average-precision:yes"
    assert any("of class 'yes', the rarer one" in line for line in card["data"]["notes"])
    task = task_of(rare)
    net = run.best.load()
    with torch.no_grad():
        told = net(torch.from_numpy(task.test.x)).softmax(1).numpy()
    place = task.classes.index("yes")
    expected = average_precision_score(task.test.y == place, told[:, place])
    assert card["test_score"] == pytest.approx(expected, abs=1e-6)
    balanced = balanced_accuracy_score(task.test.y, told.argmax(1))
    assert card["test_metrics"]["balanced-accuracy"] == pytest.approx(balanced, abs=1e-6)
    best = max(run.results(), key=lambda result: result.value)
    assert best.score == best.metrics["average-precision:yes"]
    text = (run.folder / "best" / "card.md").read_text()
    assert "The standard error of test average-precision:yes is 0." in text
    assert "balanced accuracy (the mean of the recalls of the classes)" in text
    again = resume(run.folder, budget="4t", workers=0)
    assert again.card["metric"] == "average-precision:yes"


def test_an_error_is_scored_as_its_negative(rare, tmp_path):
    run = run_of(rare, tmp_path, target="price", metric="mae")  # which says that it is a quantity
    card = run.card
    assert card["metric"] == "neg-mae"
    task: Any = open_task(str(rare), {"target": "price", "kind": "regression"})
    with torch.no_grad():
        told = run.best.load()(torch.from_numpy(task.test.x)).numpy()[:, 0]
    truth = task.reading["target_mean"] + task.unit * task.test.y
    # the exported network answers in the unit of the target or in its scale
    own = [told, task.reading["target_mean"] + task.unit * told]
    errors = [-mean_absolute_error(truth, each) for each in own]
    assert min(abs(card["test_score"] - each) for each in errors) < 1e-4
    assert card["test_score"] == pytest.approx(-card["test_metrics"]["mae"], rel=1e-4)
    assert all(result.value < 0 for result in run.results())


def test_skewed_classes_without_a_metric_are_chosen_by_log_loss(rare):
    task = task_of(rare)
    assert task.metric == "neg-log-loss"
    assert any("skewed beyond 10 : 1 and no metric is named" in line for line in task.note)
    assert task_of(rare, metric="accuracy").metric == "accuracy"
    told = [line for line in task_of(rare, metric="accuracy").note if "skewed" in line]
    assert told == []


def test_the_metric_is_no_part_of_the_data(rare):
    assert task_of(rare).fingerprint == task_of(rare, metric="f1").fingerprint


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "nonsense"), "there is no metric 'nonsense'"),
        (("--metric", "r2", "--kind", "classification"), "these fit: accuracy"),
        (("--metric", "accuracy", "--kind", "regression"), "these fit: r2"),
        (("--metric", "accuracy", "--positive", "yes"), "has no positive class"),
        (("--positive", "yes"), "name the metric too"),
    ],
)
def test_a_wrong_metric_is_one_line_before_the_data_are_read(words, said, tmp_path):
    table = tmp_path / "broken.csv"
    table.write_bytes(b"\x00\x01")
    done = evolvent("search", str(table), "--target", "left", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    lines = done.stderr.strip().splitlines()
    assert [line for line in lines if line != "starting ..."] == lines[-1:]  # of a slow machine


def test_a_task_without_data_has_a_score_of_its_own():
    with pytest.raises(SettingError, match="'xor' has a score of its own"):
        with_metric("xor", {}, "f1", None)
    with pytest.raises(SettingError, match="say it once"):
        with_metric("digits", {"metric": "f1"}, "accuracy", None)


def test_a_metric_without_a_value_on_a_part_is_refused(rare):
    task = task_of(rare)
    place = task.classes.index("no")
    part = dataclasses.replace(task.validation, y=np.full_like(task.validation.y, place))
    alone = dataclasses.replace(task, validation=part)
    with pytest.raises(SettingError, match="validation part has no row of class 'yes'"):
        judged(alone, "average-precision")
    with pytest.raises(SettingError, match="rows of one class only"):
        judged(alone, "roc-auc")
    price: Any = open_task(str(rare), {"target": "a", "kind": "regression"})
    with pytest.raises(SettingError, match="targets below 0"):
        judged(price, "rmsle")


# ---- decisions -----------------------------------------------------------------------------------


def test_errors_are_not_taken_for_shares():
    before, after = ({"neg-mae": -2.0, "loss": 1.0}, {"neg-mae": -2.1, "loss": 1.01})
    change = Change.of([(before, after)], "neg-mae")
    assert not change.is_worse(count=1000, tried=5)
    worse = Change.of([(before, after | {"loss": 2.0})], "neg-mae")
    assert worse.is_worse(count=1000, tried=5)
    own = Own("0", -2.0, 1.0, 1.0, 1.0, False, Size(), Hyperparameters())
    assert -2.3 < own.least(400) < -2.0


def test_the_fall_to_test_is_held_against_the_standard_error():
    base = Card(
        task="t",
        recipe="r",
        metric="neg-mae",
        val_score=-1.0,
        test_score=-1.5,
        trials=1,
        data={"validation": 100, "test": 100},
    )
    assert fall_of(base) is None  # nothing says how uncertain it is
    sure = dataclasses.replace(base, test_metrics={"standard-error": 0.1})
    unsure = dataclasses.replace(base, test_metrics={"standard-error": 0.3})
    assert fall_of(sure) == pytest.approx(0.5)
    assert fall_of(unsure) is None


def test_the_standard_error_of_r2_is_told_without_a_metric(rare):
    """A share of so many rows would have a far smaller one where a few rows are far away."""
    task = task_of(rare, target="price", kind="regression", ignore=["left"])
    inputs = task.input_shape[0]
    told = evaluate(torch.nn.Linear(inputs, 1), loader(task, task.validation), uncertain=True)
    assert told["standard-error"] > 0
    later = evaluate(torch.nn.Linear(inputs, 1), loader(task, task.validation))
    assert "standard-error" not in later  # in a search, which needs none


def test_the_card_tells_the_standard_error_of_accuracy():
    card = Card(task="t", recipe="r", metric="accuracy", test_score=0.8, data={"test": 400})
    card = dataclasses.replace(card, val_score=0.8, same_weights=True, kept="so")
    assert "The standard error of test accuracy is 0.0200" in page(card)
    assert json.dumps(card.to_json())


# ---- class weights -------------------------------------------------------------------------------


def test_balanced_classes_weigh_the_same():
    y = np.array([0] * 90 + [1] * 10)
    weights = class_weights(y, 3)
    assert weights.tolist() == pytest.approx([100 / 180, 5.0, 0.0])
    outputs = torch.zeros(100, 3)
    outputs[:, 0] = 2.0
    loss = LOSSES["cross-entropy"].mean(outputs, torch.from_numpy(y), 0.0, weights)
    each = -outputs.log_softmax(1)[0, :2]
    assert float(loss) == pytest.approx(float(each.mean()), rel=1e-5)


def test_class_weights_find_more_of_the_rare_class(rare, tmp_path):
    scores = {}
    for weight in ("none", "balanced"):
        said = {**TINY, "estimator": {"epochs": 8.0, "class_weight": weight}}
        run = run_of(rare, tmp_path / weight, metric="balanced-accuracy", settings=said)
        scores[weight] = max(result.value for result in run.results())
    assert scores["balanced"] > scores["none"]


def test_class_weights_are_for_classes(rare, tmp_path):
    said = {**TINY, "estimator": {"epochs": 1.0, "class_weight": "balanced"}}
    with pytest.raises(ev.UserError, match="is for classes"):
        run_of(rare, tmp_path, target="price", kind="regression", settings=said)
    with pytest.raises(SettingError, match="class_weight='even'"):
        Hyperparameters(class_weight="even")
