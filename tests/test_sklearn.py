"""The estimators of scikit-learn: its own rules, and what else a user does with them."""

import datetime as dt
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
from evolvent.sklearn import DataWarning, EvolventClassifier, EvolventRegressor

FAST: dict[str, Any] = {
    "recipe": "dense",
    "budget": "2t",
    "settings": {"estimator": {"epochs": 4.0}, "train": {"epochs": 12.0, "finalists": 1}},
}


def classifier(**options):
    return EvolventClassifier(**(FAST | {"random_state": 0} | options))


def regressor(**options):
    return EvolventRegressor(**(FAST | {"random_state": 0} | options))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [EvolventClassifier(**FAST), EvolventRegressor(**FAST)],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches and splits are drawn by rows: repeated rows are other draws than weighted ones"
        ),
    },
)
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
    with pytest.warns(DataWarning, match="'colour': 150 cells hold .* not occur in fit: 'violet'"):
        found = fitted[1].predict(frame)
    assert np.isfinite(found).all()
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


# ---- columns of every kind -----------------------------------------------------------------------

ONE: dict[str, Any] = {
    "recipe": "dense",
    "budget": "1t",
    "random_state": 0,
    "settings": {"estimator": {"epochs": 1.0}, "train": {"epochs": 1.0, "finalists": 1}},
}
ROWS = 60
ANSWERS = np.arange(ROWS) % 3 == 0


def mixture():
    """A frame with a column of every kind."""
    day = dt.datetime(2024, 1, 1)
    rows = range(ROWS)
    return {
        "when": [day + dt.timedelta(days=7 * i) for i in rows],
        "day": [(day + dt.timedelta(days=5 * i)).date() for i in rows],
        "took": [dt.timedelta(minutes=i * i) for i in rows],
        "word": [("left", "right", None)[i % 3] for i in rows],
        "flag": [i % 4 < 2 for i in rows],
        "price": [("1.234.500", "343", "12.500", "7")[i % 4] for i in rows],
        "code": [("01", "02", "007")[i % 3] for i in rows],
        "text": [f"no {i} is like another" for i in rows],
        "large": [None if i % 5 == 0 else 2**60 + i % 2 for i in rows],
        "list": [[1, 2]] * ROWS,
    }


def table_by(library, columns):
    """The columns as a table of a library."""
    if library == "pandas":
        large = pd.Series(columns["large"], dtype=object)
        return pd.DataFrame({**columns, "large": large})
    if library == "polars":
        return pytest.importorskip("polars").DataFrame(columns)
    return pytest.importorskip("pyarrow").table(columns)


TYPES = {
    "when": "date",
    "day": "date",
    "took": "number",
    "word": "category",
    "flag": "category",
    "price": "number",
    "code": "category",
    "large": "category",
}


def categories(model):
    return {c["name"]: c["categories"] for c in model.reading_["columns"] if "categories" in c}


@pytest.fixture(scope="module")
def of_pandas():
    with pytest.warns(DataWarning):
        return EvolventClassifier(**ONE).fit(table_by("pandas", mixture()), ANSWERS)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_columns_of_every_kind_are_read_as_those_of_a_file(library, of_pandas):
    table = table_by(library, mixture())
    with pytest.warns(DataWarning) as warned:
        model = EvolventClassifier(**ONE).fit(table, ANSWERS)
    assert {each["name"]: each["type"] for each in model.reading_["columns"]} == TYPES
    found = categories(model)
    assert found["code"] == ["007", "01", "02"]
    assert found["large"] == ["", str(2**60), str(2**60 + 1)]
    assert found["word"] == ["", "left", "right"]
    notes = model.card_["data"]["notes"]
    lines = (
        "column 'list' holds neither numbers nor text: it is left out",
        "columns of names or free text are left out: 'text'",
        "column 'price': points are thousands signs, commas are decimal signs",
        "column 'when' is read as dates",
        "missing cells: 'word' 20, 'large' 12",
    )
    for line in lines:
        assert any(note.startswith(line) for note in notes), notes
    told = [str(each.message) for each in warned]
    assert [any(line in each for each in told) for line in lines] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert {each.filename for each in warned} == {__file__}  # the line of the user
    assert np.array_equal(model.predict_proba(table), of_pandas.predict_proba(table))
    assert model.predict(table).dtype == bool
    assert 0 <= model.score(table, ANSWERS) <= 1


def test_what_is_foreign_in_new_rows_is_warned_of(of_pandas):
    table = table_by("pandas", mixture())
    odd = table.assign(word="Left", price=["7", *["cheap"] * (ROWS - 1)], day="soon")
    with pytest.warns(DataWarning) as warned:
        of_pandas.predict(odd)
    told = "\n".join(str(each.message) for each in warned)
    assert "column 'word': 60 cells hold categories that did not occur in fit: 'Left'" in told
    assert "column 'price': 59 cells cannot be read, such as 'cheap'" in told
    assert "column 'day': 60 cells cannot be read, such as 'soon'" in told
    assert len(warned) == 3


def test_categories_that_are_rare_in_fit_are_known(tmp_path):
    x = pd.DataFrame({"word": ["a", "b"] * 29 + ["once", "twice"], "n": np.arange(60.0)})
    model = EvolventClassifier(**ONE).fit(x, ANSWERS)
    model.save(tmp_path / "net")
    for each in (model, EvolventClassifier.load(tmp_path / "net")):
        each.predict(x)  # warnings are errors
        with pytest.warns(DataWarning, match="did not occur in fit: 'never'"):
            each.predict(x.assign(word="never"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[["b", "a"]], "must be in the same order"),
        (lambda x: x[["a"]], "seen at fit time, yet now missing:\n- b"),
        (lambda x: x.assign(c=1.0), "unseen at fit time:\n- c"),
    ],
)
def test_other_columns_than_those_of_fit_are_a_value_error(data, change, words):
    x = data[0][["a", "b"]]
    model = regressor(**ONE).fit(x, data[2])
    with pytest.raises(ValueError, match=words):
        model.predict(change(x))


def test_what_is_said_of_columns_is_done(data):
    asked = {"task": {"categorical": "code", "ignore": ["a"], "missing": ["none"]}}
    x = data[0].assign(code=np.arange(150) % 4, colour=["none", "NA", "red"] * 50)
    model = EvolventClassifier(**ONE | {"settings": ONE["settings"] | asked})
    model.fit(x, data[1])
    assert categories(model) == {"colour": ["", "NA", "red"], "code": ["0", "1", "2", "3"]}
    assert "a" not in {each["name"] for each in model.reading_["columns"]}
    model.set_params(settings={"task": {"ignore": "missing"}})
    with pytest.raises(ValueError, match="has no column 'missing'"):
        model.fit(x, data[1])
    model.set_params(settings={"task": {"target": "y"}})
    with pytest.raises(ValueError, match="unknown setting of task 'target'"):
        model.fit(x, data[1])


def test_texts_are_learnt_where_their_column_is_named(tmp_path):
    good = np.arange(80) % 2 == 0
    x = pd.DataFrame({"n": 1.5, "review": [f"{'fine' if g else 'poor'} film {i}" for i, g in
                                             enumerate(good)]})  # fmt: skip
    settings: dict[str, Any] = {"estimator": {"epochs": 8.0}}
    settings |= {"train": {"epochs": 8.0, "finalists": 1}}
    settings |= {"task": {"text": "review", "length": 8}}
    model = EvolventClassifier(**ONE | {"recipe": None, "settings": settings})
    with pytest.warns(DataWarning, match="columns beside 'review' .* are not used: 'n'"):
        model.fit(x, good)
    assert model.score(x, good) > 0.9
    model.save(tmp_path / "net")
    again = EvolventClassifier.load(tmp_path / "net")
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    with pytest.raises(ValueError, match="texts are sorted into classes"):
        EvolventRegressor(settings=settings).fit(x, np.arange(80.0))
    with pytest.raises(ValueError, match="name their column"):
        EvolventClassifier(settings={"task": {"length": 8}}).fit(x, good)


@pytest.mark.parametrize(
    ("x", "types"),
    [
        (np.array([["a", 1.5], ["b", 2.5], ["c", None]] * 20, object), ["category", "number"]),
        ([["a", 1], ["b", 2], ["c", 3]] * 20, ["category", "number"]),
        (np.array([["a", "1"], ["b", "2"], ["a", "3"]] * 20), ["category", "number"]),
        (np.arange(60).astype("datetime64[D]").reshape(-1, 1), ["date"]),
        (np.arange(60).astype("timedelta64[m]").reshape(-1, 1), ["number"]),
        ([[1.0, 2], [3, 4], [5, 6]] * 20, ["number", "number"]),
    ],
)
def test_arrays_and_lists_of_words_and_dates_are_read(x, types):
    model = EvolventClassifier(**ONE).fit(x, ANSWERS)
    assert [each["type"] for each in model.reading_["columns"]] == types
    assert len(model.predict(x)) == ROWS


TRUTH = [True, False] * 30
TEXTS = ["01", "1", "NA", "", " a", "a", "1e5", "100000", "é", "\u0000", "x\u0000", "x"] * 5
LABELS: dict[str, Any] = {
    "list": (TEXTS, object),
    "U": (np.array(["007", "7"] * 30), "<U3"),
    "object": (np.array(TEXTS, object), object),
    "categorical": (pd.Series(["01", "1"] * 30, dtype="category"), object),
    "ordered": (pd.Series([3, 1] * 30, dtype="category"), np.int64),
    "str": (pd.Series(["NA", "1.0"] * 30, dtype="string"), object),
    "bool": (np.array(TRUTH), bool),
    "truths": (TRUTH, bool),
    "boolean": (pd.Series(TRUTH, dtype="boolean"), bool),
    "objects": (pd.Series(TRUTH, dtype=object), bool),
    "int8": (np.array([1, -1] * 30, np.int8), np.int8),
    "Int16": (pd.Series([1, 2] * 30, dtype="Int16"), np.int16),
    "large": ([2**63 + 1, 2**63 + 2] * 30, np.uint64),
    "float": ([0.0, 2.0] * 30, np.float64),
    "frame": (pd.DataFrame({"y": TRUTH}, dtype="boolean"), bool),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_they_were_given(name, tmp_path):
    y, kind = LABELS[name]
    x = np.arange(60.0).reshape(-1, 1)
    given = np.asarray(y["y"] if name == "frame" else y, None if name != "list" else object)
    model = EvolventClassifier(**ONE).fit(x, y)
    assert model.classes_.dtype == kind
    assert model.classes_.tolist() == sorted(set(given.tolist()))
    assert model.predict(x).dtype == kind
    assert set(model.predict(x).tolist()) <= set(given.tolist())
    model.save(tmp_path / "net")
    assert EvolventClassifier.load(tmp_path / "net").classes_.tolist() == model.classes_.tolist()


def test_labels_of_polars_and_pyarrow_keep_their_type():
    x = np.arange(60.0).reshape(-1, 1)
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for y in (polars.Series("y", TRUTH), pyarrow.chunked_array([TRUTH])):
        assert EvolventClassifier(**ONE).fit(x, y).classes_.dtype == bool
    model = EvolventClassifier(**ONE).fit(x, polars.Series("y", ["01", "1"] * 30))
    assert model.classes_.tolist() == ["01", "1"]
    assert model.reading_["target"] == "y"


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1, "a"] * 30, r"several types, such as 1 \(int\) and 'a' \(str\): make them all text"),
        ([True, 2] * 30, "several types"),
        (["a", None] * 30, "misses 30 labels, the first in row 1"),
        (pd.Series([1, None] * 30, dtype="Int64"), "y contains NaN"),
        (pd.Series([None, "a"] * 30, dtype="category"), "contains NaN"),
    ],
)
def test_labels_that_are_missing_or_mixed_are_a_value_error(y, words):
    with pytest.raises(ValueError, match=words):
        EvolventClassifier(**ONE).fit(np.arange(60.0).reshape(-1, 1), y)


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


# ---- weights of rows -----------------------------------------------------------------------------


def test_rows_without_weight_are_not_learnt(data):
    frame, classes, _ = data
    other = np.where(classes == "yes", "no", "yes")
    half = np.arange(len(frame)) % 2 == 0
    mixed = np.where(half, classes, other)
    model = classifier().fit(frame, mixed, sample_weight=half.astype(float))
    assert model.score(frame[half], classes[half]) > 0.75
    assert any("weighted by 'sample_weight'" in note for note in model.card_["data"]["notes"])


@pytest.mark.parametrize(
    "weights, said",
    [
        (np.full(150, -1.0), "the weights sample_weight are -1 in data row 1"),
        (np.zeros(150), "zero in every row"),
        (np.ones(149), "one weight per row"),
        (["much"] * 150, "weights are numbers of at least 0"),
    ],
)
def test_weights_that_are_none_are_refused(data, weights, said):
    with pytest.raises(ValueError, match=said):
        classifier().fit(data[0], data[1], sample_weight=weights)
