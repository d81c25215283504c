"""The estimators of scikit-learn: its own rules, and what else a user does with them."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import evolvent as ev
from evolvent.sklearn import EvolventClassifier, EvolventRegressor

FAST: dict[str, Any] = {
    "budget": "2t",
    "settings": {"estimator": {"epochs": 4.0}, "train": {"epochs": 12.0, "finalists": 1}},
}


def classifier(**options):
    return EvolventClassifier(**(FAST | {"random_state": 0} | options))


def regressor(**options):
    return EvolventRegressor(**(FAST | {"random_state": 0} | options))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([EvolventClassifier(**FAST), EvolventRegressor(**FAST)])
def test_the_rules_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    """A frame of numbers, words and gaps; a class and a quantity that depend on them."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=150), rng.normal(size=150)
    colour = rng.choice(["red", "green", "blue"], 150)
    frame = pd.DataFrame({"a": a, "b": b, "colour": colour, "c": rng.normal(size=150)})
    quantity = 100 + 20 * a - 5 * b + 30 * (colour == "red") + rng.normal(size=150)
    frame.loc[::10, "c"] = np.nan
    return frame, np.where(a + (colour == "red") > 0, "yes", "no"), quantity


@pytest.fixture(scope="module")
def fitted(data):
    return classifier().fit(data[0], data[1]), regressor().fit(data[0], data[2])


# ---- what it does --------------------------------------------------------------------------------


def test_frames_with_words_and_gaps_are_learnt(data, fitted):
    frame, y, quantity = data
    assert fitted[0].score(frame, y) > 0.8
    assert fitted[1].score(frame, quantity) > 0.5
    assert fitted[0].classes_.tolist() == ["no", "yes"]
    assert fitted[0].n_features_in_ == 4
    chances = fitted[0].predict_proba(frame)
    assert np.allclose(chances.sum(1), 1)
    assert np.array_equal(fitted[0].classes_[chances.argmax(1)], fitted[0].predict(frame))
    card = fitted[1].card_
    assert (card["metric"], card["trials"]) == ("r2", 2)
    assert card["controls"] == {}


def test_what_is_unseen_in_a_column_of_words_is_no_error(data, fitted):
    frame = data[0].assign(colour="violet")
    assert np.isfinite(fitted[1].predict(frame)).all()
    assert np.isfinite(fitted[1].predict(data[0].assign(a=np.nan))).all()


def test_equal_states_give_equal_models_and_others_others(data):
    frame, y, _ = data
    first, again, other = (
        classifier(random_state=state).fit(frame, y).predict_proba(frame) for state in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    drawn = classifier(random_state=np.random.RandomState(0)).fit(frame, y)
    assert np.array_equal(drawn.predict_proba(frame), first)


def test_they_work_in_pipelines_grids_and_cross_validation(data):
    x, quantity = data[0][["a", "b"]], data[2]
    pipeline = make_pipeline(StandardScaler(), regressor())
    grid = GridSearchCV(
        pipeline,
        {"evolventregressor__settings": [FAST["settings"], {"train": {"epochs": 1.0}}]},
        cv=2,
    ).fit(x, quantity)
    assert grid.best_params_["evolventregressor__settings"] == FAST["settings"]
    assert len(cross_val_score(classifier(), x, data[1], cv=2)) == 2


def test_a_clone_is_unfitted_and_has_the_parameters(fitted):
    copy = clone(fitted[0])
    assert copy.get_params() == fitted[0].get_params()
    assert not hasattr(copy, "classes_")


def test_no_folder_is_left_and_a_folder_that_is_named_is_a_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    classifier().fit(data[0], data[1])
    assert not list(tmp_path.iterdir())
    model = classifier(folder=tmp_path / "run").fit(data[0], data[1])
    run = ev.Run(tmp_path / "run")
    assert run.card["val_score"] == model.card_["val_score"]
    with pytest.raises(ValueError, match=r"not those that .* began with"):
        classifier(folder=tmp_path / "run").fit(data[0][::2], data[1][::2])


def test_it_says_what_happens_where_it_is_asked(data, capsys):
    classifier().fit(data[0], data[1])
    assert capsys.readouterr() == ("", "")
    classifier(verbose=True).fit(data[0], data[1])
    assert "final training" in capsys.readouterr().err


def test_a_time_is_a_budget_too(data):
    model = regressor(budget="3s", settings=None).fit(data[0], data[2])
    assert model.card_["trials"] >= 1


def test_workers_can_be_processes(data):
    alone, beside = (regressor(n_jobs=n).fit(data[0], data[2]) for n in (None, 2))
    assert np.allclose(alone.predict(data[0]), beside.predict(data[0]), rtol=1e-3)


# ---- on disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_saved_is_loaded_without_a_pickle(data, fitted, which, tmp_path, monkeypatch):
    fitted[which].save(tmp_path / "net")
    names = {file.name for file in (tmp_path / "net").iterdir()}
    assert names == {
        "estimator.json",
        "model.py",
        "predict.py",
        "reading.json",
        "weights.safetensors",
    }
    monkeypatch.setattr("pickle.load", None)
    monkeypatch.setattr("pickle.loads", None)
    back = type(fitted[which]).load(tmp_path / "net")
    assert np.array_equal(back.predict(data[0]), fitted[which].predict(data[0]))
    assert back.get_params() == fitted[which].get_params()
    assert back.card_ == json.loads(json.dumps(fitted[which].card_))
    back.save(tmp_path / "again")
    for name in names:
        same = [(tmp_path / folder / name).read_bytes() for folder in ("net", "again")]
        assert same[0] == same[1]


def test_the_saved_network_predicts_a_file_by_itself(data, fitted, tmp_path):
    fitted[1].save(tmp_path / "net")
    data[0].to_csv(tmp_path / "data.csv", index=False)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "net" / "predict.py"), str(tmp_path / "data.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [float(line) for line in done.stdout.splitlines()[1:]]
    assert told == pytest.approx(fitted[1].predict(data[0]).tolist(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    "classes", [[3, 7], [-1.0, 2.0], ["a", "ü"], [True, False], np.array(["x", "y"], object)]
)
def test_classes_of_any_type_come_back(data, classes, tmp_path):
    y = np.asarray(classes)[(data[1] == "yes").astype(int)]
    model = classifier().fit(data[0], y)
    model.save(tmp_path / "net")
    back = EvolventClassifier.load(tmp_path / "net")
    assert back.classes_.dtype == model.classes_.dtype
    assert np.array_equal(back.predict(data[0]), model.predict(data[0]))


def test_what_cannot_be_saved_or_loaded_is_one_clear_line(data, fitted, tmp_path):
    fitted[0].save(tmp_path / "net")
    with pytest.raises(ValueError, match="nothing is overwritten"):
        fitted[0].save(tmp_path / "net")
    with pytest.raises(ValueError, match="holds an EvolventClassifier, not an EvolventRegressor"):
        EvolventRegressor.load(tmp_path / "net")
    with pytest.raises(ValueError, match="cannot be read"):
        EvolventClassifier.load(tmp_path)
    odd = clone(fitted[0]).set_params(random_state=np.random.RandomState(0)).fit(data[0], data[1])
    with pytest.raises(ValueError, match="random_state: a whole number"):
        odd.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


# ---- data at the edge ----------------------------------------------------------------------------


def test_few_rows_are_enough():
    x = np.arange(12.0).reshape(6, 2)
    assert set(classifier().fit(x, [0, 1] * 3).predict(x)) <= {0, 1}
    assert np.isfinite(regressor().fit(x[:2], [1.0, 2.0]).predict(x)).all()
    assert len(classifier().fit(x, range(6)).classes_) == 6  # each class with one member


def test_a_class_with_one_member_is_learnt(data):
    y = data[1].astype(object)
    y[3] = "perhaps"
    assert "perhaps" in classifier().fit(data[0], y).classes_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.full(150, "yes")}, "one class only, .*yes"),
        ({"y": None}, "requires y to be passed"),
        ({"y": np.arange(149) % 2}, "inconsistent|149"),
        ({"budget": "soon"}, "give time, trials or both"),
        ({"validation": 0.9}, "validation"),
        ({"settings": {"train": {"epoch": 1}}}, "unknown setting of train 'epoch'"),
        ({"settings": {"training": {}}}, "unknown part 'training'"),
        ({"recipe": "nasnet"}, "is for tasks of kind image"),
        ({"x": np.zeros((150, 3))}, "0 inputs"),
        ({"x": np.full((150, 2), np.inf)}, "infinity"),
    ],
)
def test_what_cannot_be_is_a_value_error_of_one_line(data, change, words):
    options = {key: value for key, value in change.items() if key not in ("x", "y")}
    with pytest.raises(ValueError, match=words) as error:
        classifier(**options).fit(change.get("x", data[0]), change.get("y", data[1]))
    assert len(str(error.value)) < 600


def test_a_constant_quantity_is_told(data):
    with pytest.raises(ValueError, match="3 in every row: there is nothing to learn"):
        regressor().fit(data[0], np.full(150, 3))


def test_a_column_that_changed_its_type_is_told(data, fitted):
    with pytest.raises(ValueError, match="'a' holds text, in the data of fit it held numbers"):
        fitted[0].predict(data[0].assign(a="much"))


def test_the_network_is_a_module(fitted):
    assert isinstance(fitted[0].network_, torch.nn.Module)
    assert not fitted[0].network_.training
