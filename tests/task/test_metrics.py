"""Metrics by name: values of scikit-learn, names, classes that count as positive."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from evolvent.errors import SettingError
from evolvent.task.metrics import (
    CLASSES,
    KINDS,
    LABELS,
    QUANTITIES,
    Scale,
    check_metric,
    kind_of_metric,
    listed,
    parsed,
    resolved,
    score,
    standard_error,
)


@st.composite
def judged_classes(draw):
    """Logits with ties, and classes that all occur."""
    count = draw(st.integers(2, 4))
    rows = draw(st.integers(count, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 5, 1000]))
    logits = rng.integers(levels, size=(rows, count)) * (4 / levels)
    y = np.concatenate([np.arange(count), rng.integers(count, size=rows - count)])
    return logits, y


def probabilities(logits):
    found = np.exp(logits - logits.max(1, keepdims=True))
    return found / found.sum(1, keepdims=True)


def theirs(name, p, y):
    """Return what scikit-learn says."""
    answers, binary = p.argmax(1), p.shape[1] == 2
    labels = np.arange(p.shape[1])
    match name:
        case "accuracy":
            return sk.accuracy_score(y, answers)
        case "balanced-accuracy":
            return sk.balanced_accuracy_score(y, answers)
        case "f1":
            return sk.f1_score(y, answers, average="macro", zero_division=0)
        case "roc-auc":
            told = p[:, 1] if binary else p
            return sk.roc_auc_score(y, told, multi_class="ovr", labels=labels)
        case "average-precision":
            shown = np.eye(p.shape[1])[y]
            return sk.average_precision_score(shown, p, average="macro")
        case "neg-log-loss":
            return -sk.log_loss(y, p, labels=labels)
        case "neg-brier":
            return -sk.brier_score_loss(y, p[:, 1] if binary else p, labels=labels)
    raise AssertionError(name)


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=60, deadline=None)
@given(judged_classes())
def test_scores_of_classes_are_those_of_scikit_learn(name, drawn):
    logits, y = drawn
    p = probabilities(logits)
    scale = Scale(tuple("abcd"[: p.shape[1]]))
    assert score(name, logits, y, scale) == pytest.approx(theirs(name, p, y), abs=1e-6)
    for place, label in enumerate(scale.classes):
        mine = score(f"f1:{label}", logits, y, scale)
        expected = sk.f1_score(y == place, p.argmax(1) == place, zero_division=0)
        assert mine == pytest.approx(expected, abs=1e-9)
        mine = score(f"average-precision:{label}", logits, y, scale)
        expected = sk.average_precision_score(y == place, p[:, place])
        assert mine == pytest.approx(expected, abs=1e-6)


OF_QUANTITIES = {
    "r2": sk.r2_score,
    "neg-rmse": lambda y, p: -sk.root_mean_squared_error(y, p),
    "neg-mse": lambda y, p: -sk.mean_squared_error(y, p),
    "neg-mae": lambda y, p: -sk.mean_absolute_error(y, p),
    "neg-mape": lambda y, p: -sk.mean_absolute_percentage_error(y, p),
    "neg-rmsle": lambda y, p: -sk.root_mean_squared_log_error(y, np.maximum(p, 0)),
    "neg-quantile": lambda y, p: -sk.mean_pinball_loss(y, p, alpha=0.9),
}


@pytest.mark.parametrize("name", QUANTITIES)
@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.sampled_from([2, 1000]))
def test_scores_of_quantities_are_those_of_scikit_learn(name, rows, seed, levels):
    rng = np.random.default_rng(seed)
    truth, told = rng.integers(1, levels + 1, size=(2, rows)) / 7.0
    told = told - 1.0
    scale = Scale(mean=3.0, unit=2.5)
    outputs, y = (told - 3.0) / 2.5, (truth - 3.0) / 2.5
    full = f"{name}:0.9" if name == "neg-quantile" else name
    if len(np.unique(truth)) == 1 and name == "r2":
        return  # 0 or 1 by rounding
    expected = OF_QUANTITIES[name](truth, told)
    assert score(full, outputs[:, None], y, scale) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_every_metric_is_tested_and_of_one_kind():
    assert set(OF_QUANTITIES) == set(QUANTITIES)
    assert set(OF_LABELS) == set(LABELS)
    assert set(KINDS) == set(CLASSES) | set(QUANTITIES) | set(LABELS)


OF_LABELS = {
    "average-precision": lambda y, p: sk.average_precision_score(y, p, average="macro"),
    "f1": lambda y, p: sk.f1_score(y, p > 0.5, average="macro", zero_division=np.nan),
    "roc-auc": lambda y, p: sk.roc_auc_score(y, p, average="macro"),
    "subset-accuracy": lambda y, p: sk.accuracy_score(y, p > 0.5),
    "neg-log-loss": lambda y, p: (
        -np.mean([sk.log_loss(*pair) for pair in zip(y.T, p.T, strict=True)])
    ),
    "neg-brier": lambda y, p: -float(np.square(y - p).mean()),
}


@pytest.mark.parametrize("name", LABELS)
def test_scores_of_labels_are_those_of_scikit_learn(name):
    rng = np.random.default_rng(3)
    logits, y = rng.normal(size=(40, 3)), rng.integers(2, size=(40, 3))
    expected = OF_LABELS[name](y, 1 / (1 + np.exp(-logits)))
    mine = score(name, logits, y.astype(np.float32), Scale(labels=("a", "b", "c")))
    assert mine == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["r2", "neg-mae", "neg-rmse"])
def test_of_several_quantities_the_mean_of_their_scores_counts(name):
    rng = np.random.default_rng(4)
    outputs, y = rng.normal(size=(2, 30, 2))
    scale = Scale(mean=(3.0, -1.0), unit=(2.0, 50.0))
    truth, told = (np.array([3.0, -1.0]) + np.array([2.0, 50.0]) * each for each in (y, outputs))
    assert score(name, outputs, y, scale) == pytest.approx(OF_QUANTITIES[name](truth, told))


def test_a_score_of_one_class_alone_is_not_defined():
    alone = np.zeros(5, np.int64)
    assert math.isnan(score("roc-auc", np.zeros((5, 2)), alone, Scale(("a", "b"))))
    assert math.isnan(score("average-precision:b", np.zeros((5, 2)), alone, Scale(("a", "b"))))


def test_probabilities_of_0_have_a_log_loss():
    told = score("neg-log-loss", np.array([[1e4, 0.0]]), np.array([1]), Scale(("a", "b")))
    assert told == pytest.approx(-36.04, abs=0.01)


# ---- the standard error --------------------------------------------------------------------------


def test_the_standard_error_of_accuracy_is_that_of_a_share():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=2000)
    logits = np.eye(2)[np.where(rng.random(2000) < 0.8, y, 1 - y)]
    found = standard_error("accuracy", logits, y, Scale(("a", "b")))
    assert found == pytest.approx(math.sqrt(0.8 * 0.2 / 2000), rel=0.2)
    assert found == standard_error("accuracy", logits, y, Scale(("a", "b")))


def test_the_standard_error_of_many_rows_is_scaled():
    rng = np.random.default_rng(0)
    y = rng.normal(size=80_000)
    found = standard_error("neg-mae", y + rng.normal(size=80_000), y, Scale())
    assert found == pytest.approx(math.sqrt((1 - 2 / math.pi) / 80_000), rel=0.2)


def test_without_a_second_class_there_is_no_standard_error():
    y = np.zeros(50, np.int64)
    assert standard_error("roc-auc", np.zeros((50, 2)), y, Scale(("a", "b"))) is None


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("accuracy", ("accuracy", None)),
        ("Balanced_Accuracy", ("balanced-accuracy", None)),
        ("f1_macro", ("f1", None)),
        ("f1:cat", ("f1", "cat")),
        ("f1:a:b", ("f1", "a:b")),
        ("neg_log_loss", ("neg-log-loss", None)),
        ("log-loss", ("neg-log-loss", None)),
        ("brier", ("neg-brier", None)),
        ("neg_brier_score", ("neg-brier", None)),
        ("roc_auc_ovr", ("roc-auc", None)),
        ("neg_root_mean_squared_error", ("neg-rmse", None)),
        ("mean_absolute_error", ("neg-mae", None)),
        ("quantile:0.9", ("neg-quantile", "0.9")),
    ],
)
def test_names_and_those_of_scikit_learn(name, found):
    assert parsed(name) == found


def test_names_of_scikit_learn_mean_its_scorers():
    """Those that it has under the same name give the same value."""
    rng = np.random.default_rng(1)
    y, logits = rng.integers(2, size=40), rng.normal(size=(40, 2))

    class Told:
        classes_ = np.array([0, 1])
        _estimator_type = "classifier"

        def predict(self, X):
            return logits.argmax(1)

        def predict_proba(self, X):
            return probabilities(logits)

        def fit(self, X, y):
            return self

        def __sklearn_tags__(self):
            from sklearn.base import BaseEstimator, ClassifierMixin

            return type("Both", (ClassifierMixin, BaseEstimator), {})().__sklearn_tags__()

    names = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "average_precision")
    for name in (*names, "neg_log_loss", "neg_brier_score"):
        mine = resolved(name, "1" if name == "average_precision" else None, ("0", "1"), (20, 20))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = sk.get_scorer(name)(Told(), np.zeros((40, 1)), y)
        assert score(mine, logits, y, Scale(("0", "1"))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("acuracy", "did you mean 'accuracy'"),
        ("nonsense", "there are accuracy, balanced-accuracy"),
        ("quantile:2", "between 0 and 1"),
        ("accuracy:cat", "leave out ':cat'"),
    ],
)
def test_unknown_names_are_refused_with_those_that_there_are(name, what):
    with pytest.raises(SettingError, match=what):
        parsed(name)


def test_a_metric_must_fit_the_target():
    check_metric("r2", None, "regression")
    check_metric("r2", None, None)
    with pytest.raises(SettingError, match="the target is classes; these fit: accuracy"):
        check_metric("r2", None, "classification")
    with pytest.raises(SettingError, match="has no positive class"):
        check_metric("accuracy", "yes", "classification")
    with pytest.raises(SettingError, match="say it once"):
        check_metric("f1:no", "yes", None)
    with pytest.raises(SettingError, match="name the metric too"):
        check_metric(None, "yes", None)
    assert (kind_of_metric("mae"), kind_of_metric("f1")) == ("regression", "classification")
    assert "accuracy" not in listed("regression")


@pytest.mark.parametrize(
    ("name", "positive", "found"),
    [
        ("average-precision", None, "average-precision:yes"),
        ("average-precision", "no", "average-precision:no"),
        ("f1", None, "f1"),
        ("f1", "yes", "f1:yes"),
        ("f1:no", None, "f1:no"),
        ("accuracy", None, "accuracy"),
    ],
)
def test_the_rarer_class_is_positive_unless_another_is_named(name, positive, found):
    assert resolved(name, positive, ("no", "yes"), (90, 10)) == found
    with pytest.raises(SettingError, match="no class 'maybe'"):
        resolved("f1:maybe", None, ("no", "yes"), (90, 10))


def test_of_three_classes_none_is_positive():
    assert resolved("average-precision", None, ("a", "b", "c"), (3, 2, 1)) == "average-precision"
    assert resolved("quantile", None, (), ()) == "neg-quantile:0.5"
