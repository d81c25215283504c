"""Tables of numbers: splits, what is learnt from the training rows, inputs, targets, odd tables."""

import json
import math

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.task.helpers import refusal

from evolvent.errors import DataError
from evolvent.task.frames import Frame
from evolvent.task.numbers import CLIP, inputs, learnt, numbers_task
from evolvent.task.opening import open_task


def texts(*cells):
    column = np.empty(len(cells), object)
    column[:] = cells
    return column


def table(n=60, **columns):
    rng = np.random.default_rng(0)
    some = {
        "a": rng.normal(5, 2, n),
        "b": texts(*rng.choice(["x", "y", "z"], n)),
        "y": np.arange(n) % 3.0,
    }
    return Frame("data.csv", some | columns)


def task(frame, kind="classification", **options):
    return numbers_task("data.csv", frame, target="y", kind=kind, **options)


def parts(made):
    return made.train, made.validation, made.test


def refused(frame, kind="classification", **options):
    with pytest.raises(DataError) as error:
        task(frame, kind, **options)
    return refusal(error)


def wild(n=200):
    """Numbers with missing and wild ones, categories with rare and missing ones."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=n), rng.exponential(100, n)
    a[rng.random(n) < 0.2] = math.nan
    b[3] = 1e7
    c = rng.choice(["red", "green", ""], n, p=[0.5, 0.3, 0.2]).astype("<U5")
    c[:2] = "rare"
    return Frame("data.csv", {"a": a, "b": b, "c": texts(*c), "y": rng.normal(7, 3, n)})


# ---- classes and quantities ----------------------------------------------------------------------


def test_classes_keep_their_names_and_their_shares_in_every_part():
    made = task(table(n=90, y=texts(*["lo", "hi", "lo"] * 30)))
    assert made.classes == ("hi", "lo")
    assert (made.outputs, made.loss, made.metric) == (2, "cross-entropy", "accuracy")
    for part in parts(made):
        assert part.y.dtype == np.int64
        assert part.y.mean() == pytest.approx(2 / 3, abs=0.05)
        assert part.x.dtype == np.float32
    assert made.describe().endswith("2 classes")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((1.0, 2.0, 10.0), ("1", "2", "10")),
        ((0.5, 1.5, 0.25), ("0.25", "0.5", "1.5")),
        ((1e300, 0.0, 2.0), ("0.0", "1e+300", "2.0")),
    ],
)
def test_numbers_may_be_classes(values, names):
    assert task(table(y=np.array(values * 20))).classes == names


def labelled(tmp_path, name, cells, **said):
    """The task of a file whose last column holds these labels."""
    file = tmp_path / name
    rows = [f"{place % 7},{cell}" for place, cell in enumerate(cells)]
    file.write_text("\n".join(["a,y", *rows]), "utf-8")
    return open_task(str(file), {"target": "y", "kind": "classification", **said})


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1", "2", "None", "-"] * 9, ("-", "1", "2", "None")),
        ([*["1", "2"] * 9, "None", "-", "?"], ("1", "2")),  # rare, so these are missing
        ([*[str(n) for n in range(30)] * 4, *["A"] * 4], (*sorted(map(str, range(30))), "A")),
        (["inf", "1", "2"] * 9, ("1", "2", "inf")),
        (["2024-01-02", "2024-01-03", "NA"] * 9, ("2024-01-02", "2024-01-03", "NA")),
        ([*["2024-01-02", "2024-01-03"] * 9, "NA"], ("2024-01-02", "2024-01-03")),
    ],
)
def test_texts_beside_numbers_or_dates_are_classes_where_they_are_frequent(
    tmp_path, cells, classes
):
    made = labelled(tmp_path, "data.csv", cells)
    assert made.classes == classes
    told = [line for line in made.note if "is one of them and not missing" in line]
    assert len(told) == len({"None", "-", "NA"} & set(classes))


def test_classes_of_a_test_file_are_read_as_those_of_the_other(tmp_path):
    (tmp_path / "test.csv").write_text("a,y\n1,1\n2,NA\n3,1\n4,1\n")
    made = labelled(tmp_path, "data.csv", ["1", "2", "NA"] * 9, test=str(tmp_path / "test.csv"))
    assert made.test.y.tolist() == [0, 2, 0, 0]
    said = labelled(tmp_path, "data.csv", ["1", "2", "NA"] * 9, missing=["NA"])
    assert said.classes == ("1", "2")


def test_a_quantity_is_standardised_by_the_training_part():
    made = task(table(y=np.random.default_rng(0).normal(50, 8, 60)), "regression")
    assert (made.outputs, made.loss, made.metric, made.classes) == (1, "mse", "r2", ())
    assert made.train.y.mean() == pytest.approx(0, abs=1e-6)
    assert made.train.y.std() == pytest.approx(1, abs=1e-6)
    assert made.validation.y.std() != pytest.approx(1, abs=1e-3)
    again = made.train.y * made.unit + made.reading["target_mean"]
    assert 30 < again.min() < 50 < again.max() < 70
    assert made.describe().endswith("a quantity")


def test_the_test_part_is_the_same_for_every_seed_and_validation_for_every_fraction():
    first, other = task(table(), seed=1), task(table(), seed=2)
    assert np.array_equal(first.test.x[:, 1:], other.test.x[:, 1:])
    assert not np.array_equal(first.validation.y, other.validation.y) or (
        first.validation.x.tobytes() != other.validation.x.tobytes()
    )
    small = task(table(), seed=1, fraction=0.5)
    assert len(small.validation) == len(first.validation)
    assert len(small.train) == pytest.approx(len(first.train) / 2, abs=2)
    assert task(table(), seed=1).fingerprint == first.fingerprint != other.fingerprint


def test_rows_are_in_one_part_only():
    frame = table(n=100, a=np.arange(100.0))
    for kind in ("classification", "regression"):
        made = task(frame, kind)
        column = made.reading["columns"][0]
        seen = []
        for part in parts(made):
            z = part.x[:, 0].astype(float)
            z = z / np.sqrt(1 - (z / CLIP) ** 2)
            seen += (z * column["std"] + column["mean"]).round().astype(int).tolist()
        assert sorted(seen) == list(range(100))


def test_a_class_with_one_row_is_learnt_and_told():
    made = task(table(y=texts(*["a", "b"] * 29, "c", "d")))
    assert made.classes == ("a", "b", "c", "d")
    assert {2, 3} <= set(made.train.y.tolist())
    assert not {2, 3} & set(np.concatenate([made.validation.y, made.test.y]).tolist())
    assert "learnt and never scored: 'c', 'd'" in made.note[0]


def test_rows_without_a_target_are_left_out_and_told():
    y = np.arange(60) % 3.0
    y[:10] = math.nan
    made = task(table(y=y))
    assert sum(made.counts.values()) == 50
    assert "10 rows without 'y' are left out" in made.note


# ---- inputs --------------------------------------------------------------------------------------


def test_inputs_are_those_of_scikit_learn_s_preprocessing():
    frame = wild()
    reading = learnt(frame, "y", [])
    numbers = np.stack([frame.columns["a"], frame.columns["b"]], axis=1)
    usual = np.delete(numbers, 3, axis=0)  # the wild number says nothing about the scale
    z = (
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        .fit(usual)
        .transform(numbers)
    )
    z[:, 0] = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit_transform(
        numbers
    )[:, 0]
    z = z / np.sqrt(1 + (z / CLIP) ** 2)
    encoder = OneHotEncoder(min_frequency=3, sparse_output=False)
    known = make_column_transformer((encoder, [0])).fit_transform(frame.columns["c"][:, None])
    wanted = np.column_stack([z[:, 0], np.isnan(numbers[:, 0]), z[:, 1], known])
    assert inputs(frame, reading) == pytest.approx(wanted, abs=1e-6)
    assert inputs(frame, reading).dtype == np.float32


def test_a_wild_number_stays_within_the_clip_and_keeps_its_order():
    x = inputs(wild(), learnt(wild(), "y", []))[:, 2]
    assert x.max() <= CLIP
    assert x.argmax() == 3


def test_what_is_learnt_is_learnt_from_the_training_rows_alone():
    frame = wild()
    made = numbers_task("d", frame, target="y", kind="regression")
    filled = made.train.x[made.train.x[:, 1] == 0, 0]
    column = made.reading["columns"][0]
    assert column["median"] == pytest.approx(
        column["mean"] + column["std"] * np.median(filled), abs=0.01
    )
    worse = {key: value.copy() for key, value in frame.columns.items()}
    test_rows = ~np.isin(frame.columns["y"], _target(made, made.train))
    worse["b"][test_rows] = 1e9
    again = numbers_task("d", Frame("d", worse), target="y", kind="regression")
    assert again.reading == made.reading
    assert np.array_equal(again.train.x, made.train.x)


def _target(made, part):
    """The targets of a part in their own unit, found again among the rounded ones."""
    own = part.y.astype(float) * made.unit + made.reading["target_mean"]
    known = wild().columns["y"]
    return known[[np.abs(known - value).argmin() for value in own]]


def test_reading_is_plain_json_and_enough_to_make_the_inputs():
    made = task(wild(), "regression")
    reading = json.loads(json.dumps(made.reading))
    assert reading == made.reading
    assert {
        "kind",
        "task",
        "target",
        "target_mean",
        "target_unit",
        "columns",
        "clip",
    } <= reading.keys()
    assert reading["kind"] == made.kind == "numbers"
    assert inputs(wild(), reading).shape == (200, *made.input_shape)


def test_a_category_that_was_never_seen_is_the_rare_one_or_none():
    reading = learnt(wild(), "y", [])
    odd = Frame("new", {"a": np.zeros(1), "b": np.zeros(1), "c": texts("violet")})
    assert inputs(odd, reading)[0, 3:].tolist() == [0, 0, 0, 1]
    reading["columns"][2]["rare"] = False
    assert inputs(odd, reading)[0, 3:].tolist() == [0, 0, 0]


def test_columns_that_say_nothing_are_left_out_and_told():
    n = 60
    made = task(
        table(
            n,
            same=np.full(n, 4.0),
            void=np.full(n, math.nan),
            names=texts(*[f"person {i}" for i in range(n)]),
            only_missing_differs=np.where(np.arange(n) % 2, math.nan, 1.0),
        )
    )
    names = [column["name"] for column in made.reading["columns"]]
    assert names == ["a", "b", "only_missing_differs"]
    told = " ".join(made.note)
    assert "empty are left out: 'void'" in told
    assert "the same in every training row are left out: 'same'" in told
    assert "--text COLUMN" in told


# ---- a test file ---------------------------------------------------------------------------------


def test_a_test_file_is_the_test_part_and_all_else_is_learnt_from():
    made = task(table(n=60), test=table(n=30))
    assert made.counts == {"train": 48, "validation": 12, "test": 30}
    assert made.test is not None
    assert np.array_equal(made.test.x, inputs(table(n=30), made.reading))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"b": np.zeros(60)}, "column 'b' holds numbers, in 'data.csv' it holds text"),
        ({"y": np.full(60, 9.0)}, "labels that the training part has not"),
    ],
)
def test_a_test_file_of_another_form_is_refused(changes, reason):
    assert reason in refused(table(), test=table(**changes))
    lacking = Frame("other.csv", {"a": np.zeros(9), "y": np.zeros(9)})
    assert "'other.csv' has no column 'b'" in refused(table(), test=lacking)


def test_a_column_that_is_empty_in_the_test_file_is_missing_there():
    made = task(table(), test=table(b=texts(*[""] * 60)))
    assert made.test is not None
    assert not made.test.x[:, 1:].any()


# ---- what cannot be learnt -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "kind", "reason"),
    [
        (table(y=np.full(60, 5.0)), "regression", "is 5 in every training row"),
        (table(y=np.full(60, 5.0)), "classification", "one class only, '5'"),
        (table(y=texts(*"ab" * 30)), "regression", "holds text such as 'a'"),
        (table(y=np.full(60, math.nan)), "regression", "column 'y' is empty"),
        (table(y=np.arange(60.0)), "classification", "it is a quantity (--kind regression)"),
        (table(n=9), "regression", "9 rows with a target, at least 10"),
        (Frame("data.csv", {"y": np.arange(60.0)}), "regression", "0 inputs besides 'y'"),
        (table(a=np.zeros(60), b=texts(*["q"] * 60)), "regression", "0 inputs"),
        (Frame("data.csv", {"a": np.arange(60.0)}), "regression", "no column 'y'"),
    ],
)
def test_what_cannot_be_learnt_is_one_clear_line(frame, kind, reason):
    assert reason in refused(frame, kind)
