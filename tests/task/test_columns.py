"""What a column holds: numbers of any country, dates, codes, categories and what is missing."""

import csv
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.deliver.predict.test_tables import SCRIPTS, exported, predicted
from tests.task.helpers import refusal

from evolvent.errors import DataError, SettingError
from evolvent.task.asked import Asked
from evolvent.task.frames import read_frame
from evolvent.task.memory import given as given_data
from evolvent.task.numbers import inputs, learnt, numbers_task
from evolvent.task.opening import memory_told, open_task
from evolvent.task.portable.columns import Wish, decide, read_column
from evolvent.task.portable.dates import date_seconds


def held(cells, **wish):
    return decide("c", cells, Wish(**wish))


def opened(name, settings) -> Any:
    return open_task(name, settings)


def saved(file, rows, header=("x", "y")):
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.234,50", "7,25", "12"], [1234.5, 7.25, 12]),
        (["1,234.50", "7.25", "12"], [1234.5, 7.25, 12]),
        (["$2,350", "$1,100.50", "$7"], [2350, 1100.5, 7]),
        (["-$5.5", "$1"], [-5.5, 1]),
        (["2.350,00 €", "7,50 €"], [2350, 7.5]),
        (["12 %", "7.5%", "3%"], [12, 7.5, 3]),
        (["1 234,5", "2\u00a0000,75", "3,5"], [1234.5, 2000.75, 3.5]),
        (["1'234.5", "2’000.75"], [1234.5, 2000.75]),
        (["(1,234.50)", "20.00", "(3)"], [-1234.5, 20, -3]),
        (["12,5", "-3,25", "4"], [12.5, -3.25, 4]),
        (["1,23,456.5", "12"], [123456.5, 12]),
        (["12 km", "7.5 km"], [12, 7.5]),
        (["120-", "5", "−7"], [-120, 5, -7]),
        (["145.082", "150.000", "99.120", "343", "12", "801"], [145082, 150000, 99120, 343, 12, 801]),
        (["1.5", "145.082"], [1.5, 145.082]),
        (["1e5", "2.5"], [1e5, 2.5]),
    ],
)  # fmt: skip
def test_numbers_of_any_country_are_read_by_their_column(cells, values):
    found = held(cells)
    assert found.form["type"] == "number"
    assert found.values.tolist() == pytest.approx(values)
    again, foreign = read_column(cells, found.form)
    assert again.tolist() == pytest.approx(values)
    assert not foreign.unread
    assert not foreign.other


def test_a_point_is_a_decimal_point_without_evidence_and_that_is_said():
    found = held(["1.234", "5.678"])
    assert found.values.tolist() == [1.234, 5.678]
    assert "points are decimal signs" in found.notes[0]
    assert "task.decimal=comma" in found.notes[0]
    assert held(["1.234", "5.678"], decimal="comma").values.tolist() == [1234, 5678]
    assert held(["1.5", "5.678"]).notes == []


def test_another_column_of_the_file_tells_the_decimal_sign(tmp_path):
    rows = [("1.234", "7,5"), ("5.678", "0,25")]
    frame = read_frame(saved(tmp_path / "a.csv", rows))
    assert frame.columns["x"].tolist() == [1234, 5678]
    assert "points are thousands signs" in " ".join(frame.note)
    (tmp_path / "b.csv").write_text("x;y\n1.234;a\n5.678;b\n")  # semicolons alone say nothing
    assert read_frame(tmp_path / "b.csv").columns["x"].tolist() == [1.234, 5.678]


def test_conflicting_signs_are_refused_with_the_option_that_decides(tmp_path):
    file = saved(
        tmp_path / "a.csv", [("1.234,5", i % 2) for i in range(20)] + [("1,234.5", 1)] * 20
    )
    with pytest.raises(
        DataError, match=r"task\.decimal=point or --set task\.decimal=comma"
    ) as error:
        opened(str(file), {"target": "y", "kind": "classification"})
    assert "'x'" in refusal(error)
    with pytest.raises(DataError, match="decimal"):
        opened(str(file), {"target": "x", "kind": "regression"})
    frame = read_frame(file, asked=Asked.of({"decimal": {"x": "comma"}}))
    assert frame.columns["x"][0] == 1234.5
    assert math.isnan(frame.columns["x"][-1])
    with pytest.raises(SettingError, match="give point or comma"):
        Asked.of({"decimal": "dot"})


def test_a_file_from_another_country_is_read_by_its_own_sign():
    form = held(["1.5", "2.25"]).form
    values, foreign = read_column(["7,25", "3"], form)
    assert values.tolist() == [7.25, 3]
    assert foreign.other
    values, foreign = read_column(["thirty", "3", ""], form)
    assert foreign.unread == ["thirty"]


def test_a_target_of_such_numbers_is_a_quantity(tmp_path):
    rows = [(i, f"{i + 1}.{100 + i},50 €") for i in range(40)]
    task = opened(str(saved(tmp_path / "a.csv", rows)), {"target": "y", "kind": "regression"})
    assert 1000 < task.reading["target_mean"] < 41_000
    rows = [(i, f"{i}.5" if i % 3 else "unknown") for i in range(40)]
    task = opened(str(saved(tmp_path / "b.csv", rows)), {"target": "y", "kind": "regression"})
    assert sum(task.counts.values()) == 26


# ---- codes, categories and what is missing -------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["01", "02", "007"],
        ["1E5", "100E3", "1e5"],
        ["1234567890123456789", "1234567890123456788"],
        ["1A", "2A", "3A"],
        ["Q1", "Q2"],
    ],
)
def test_codes_are_categories_as_written(cells):
    found = held(cells)
    assert found.form["type"] == "category"
    assert found.values.tolist() == cells


def test_a_frequent_text_that_looks_missing_is_a_label_and_that_is_said():
    cells = ["EU", "AS", "SA", "NA"] * 10
    found = held(cells)
    assert found.values.tolist() == cells
    assert "'NA' (10 rows)" in found.notes[0]
    assert held([*["yes", "no"] * 50, "NA", "NA", ""]).gaps == {"NA": 2, "": 1}
    assert held(cells, missing=frozenset({"NA"})).gaps == {"NA": 10}
    assert held(["?", "x", "y"], missing=frozenset()).values.tolist() == ["?", "x", "y"]


def test_missing_cells_are_counted_and_told(tmp_path):
    rows = [("NA" if i % 4 == 0 else i, "" if i == 1 else i % 2) for i in range(40)]
    task = opened(str(saved(tmp_path / "a.csv", rows)), {"target": "y", "kind": "classification"})
    told = " ".join(task.note)
    assert "missing cells: 'x' 10 (10 'NA')" in told
    assert "1 rows without 'y' are left out" in told


def test_options_name_types_and_columns_that_are_left_out(tmp_path):
    rows = [(i, f"{i % 28 + 1}/1/2020", i % 3, "q" * (i % 5 + 1), i % 2) for i in range(60)]
    file = saved(tmp_path / "a.csv", rows, ("id", "day", "grade", "junk", "y"))
    said = {"target": "y", "kind": "classification", "ignore": ["id,junk"]}
    said |= {"categorical": ["grade"], "date": ["day"]}
    task = opened(str(file), said)
    types = {each["name"]: each["type"] for each in task.reading["columns"]}
    assert types == {"day": "date", "grade": "category"}
    with pytest.raises(DataError, match=r"no column 'idd' \(ignore\): did you mean 'id'"):
        opened(str(file), said | {"ignore": ["idd"]})


def test_classes_come_back_as_written_in_the_order_of_numbers(tmp_path):
    for labels in (["01", "02", "007"], ["1E5", "100E3", "1e5"], ["1", "2", "10"], ["1", "1.0"]):
        rows = [(i, labels[i % len(labels)]) for i in range(60)]
        task = opened(
            str(saved(tmp_path / "a.csv", rows)), {"target": "y", "kind": "classification"}
        )
        assert set(task.classes) == set(labels)
    assert "the same number" in " ".join(task.note)
    frame = pd.DataFrame({"x": range(60), "y": [True, False, True] * 20})
    frame.to_parquet(tmp_path / "b.parquet")
    task = opened(str(tmp_path / "b.parquet"), {"target": "y", "kind": "classification"})
    assert task.classes == ("False", "True")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, min_size=2, max_size=4, unique=True))
@example([" a", "a", "a "])
@example(["NA", "?", "nan"])
@example(["1", "1.0", "01"])
def test_labels_and_categories_of_any_text_come_back_as_written(tmp_path_factory, texts):
    """Blank texts alone are missing; a file whose every text looks missing has none."""
    texts = [each for each in texts if each.strip()]
    rows = [(i, texts[i % len(texts)], texts[i % len(texts)]) for i in range(60)] if texts else []
    file = tmp_path_factory.mktemp("labels") / "data.csv"
    looks_missing = all(decide("y", [each], Wish()).gaps for each in texts)
    if len(texts) < 2 or looks_missing:
        return
    saved(file, rows, ("n", "c", "y"))
    task = opened(
        str(file), {"target": "y", "kind": "classification", "categorical": ["c"], "ignore": ["n"]}
    )
    assert set(task.classes) == set(texts)
    assert set(task.reading["columns"][0]["categories"]) == set(texts)


def test_predict_py_writes_labels_as_they_were_written(tmp_path):
    labels = ["007", " a", 'so "quoted", it is', "two\nlines", "é;|", "NA", "1E5"]
    rows = [(labels[i % 7], labels[i % 7]) for i in range(140)]
    file = saved(tmp_path / "data.csv", rows)
    task = opened(str(file), {"target": "y", "kind": "classification"})
    exported(tmp_path / "net", task)
    done = predicted(tmp_path / "net", file, "--probabilities")
    assert done.returncode == 0, done.stderr
    header, *lines = csv.reader(done.stdout.splitlines(keepends=True))
    assert sorted(header[1:]) == sorted(labels)
    assert len(lines) == 140
    assert {line[0] for line in lines} <= set(labels)


# ---- dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "order", "seconds"),
    [
        ("1970-01-02", "ymd", 86400),
        ("1970-01-01T01:00:00+01:00", "ymd", 0),
        ("1970-01-01 12:30:15.5Z", "ymd", 45015.5),
        ("31.1.1970", "dmy", 30 * 86400),
        ("1/31/70 1:05 PM", "mdy", 30 * 86400 + 47100),
        ("3 Jan 1970", "words", 2 * 86400),
        ("January 3rd, 1970", "words", 2 * 86400),
        ("1:30:00", "clock", 5400),
        ("90 min", "duration", 5400),
        ("1h 30m", "duration", 5400),
        ("PT1H30M", "duration", 5400),
        ("1 day 02:00:00", "clock", 93600),
        ("31.2.1970", "dmy", None),
        ("12:61", "clock", None),
    ],
)
def test_dates_times_and_durations_are_seconds(cell, order, seconds):
    assert date_seconds(cell, order) == seconds


def test_the_order_of_dates_is_decided_by_the_column_and_said():
    assert held(["1/2/2020", "13/2/2020"]).form["order"] == "dmy"
    assert held(["1/2/2020", "2/13/2020"]).form["order"] == "mdy"
    doubtful = held(["1/2/2020", "3/4/2020"])
    assert doubtful.form["order"] == "mdy"
    assert "fit both orders" in doubtful.notes[0]
    assert "task.dates=day-first" in doubtful.notes[0]
    assert held(["1/2/2020", "3/4/2020"], dates="day-first").form["order"] == "dmy"
    assert "task.dates=day-first" in held(["13/2/2020", "2/13/2020"]).conflict
    assert "in UTC" in held(["2020-01-01T00:00Z", "2020-01-02T00:00+02:00"]).notes[0]


def test_dates_become_elapsed_time_and_what_comes_round(tmp_path):
    days = pd.date_range("2023-01-01", periods=120, freq="D")
    rows = [(day.strftime("%d.%m.%Y"), i % 2) for i, day in enumerate(days)]
    frame = read_frame(saved(tmp_path / "a.csv", rows))
    notes: list[str] = []
    reading = learnt(frame, "y", notes)
    x = inputs(frame, reading)
    assert reading["columns"][0]["cycles"] == ["month", "weekday"]
    assert x.shape == (120, 5)
    assert np.all(np.diff(x[:, 0]) > 0)
    assert np.allclose(x[:-7, 3:], x[7:, 3:], atol=1e-6)
    assert "dates (day, month, year)" in notes[0]


# ---- scales --------------------------------------------------------------------------------------


def quantity(tmp_path, y):
    rows = [(i, repr(float(each))) for i, each in enumerate(y)]
    return opened(str(saved(tmp_path / "a.csv", rows)), {"target": "y", "kind": "regression"})


def test_any_scale_of_a_target_can_be_learnt_and_is_printed_with_its_figures(tmp_path):
    rng = np.random.default_rng(0)
    for mean, unit in ((1.7e9, 3.0), (0.0, 1e-15), (5.0, 1e200)):
        task = quantity(tmp_path, mean + unit * rng.normal(size=100))
        assert task.train.y.std() == pytest.approx(1, abs=1e-4)
    task = quantity(tmp_path, 1.7e9 + 3 * rng.normal(size=100))
    exported(tmp_path / "net", task)
    done = predicted(tmp_path / "net", tmp_path / "a.csv")
    assert len({*done.stdout.split()[1:]}) > 90


def test_a_wild_target_is_cut_and_told_and_an_infinite_one_refused(tmp_path):
    y = np.random.default_rng(0).normal(size=600)
    y[4] = 1e30
    task = quantity(tmp_path, y)
    assert max(np.abs(p.y).max() for p in (task.train, task.validation, task.test)) < 10
    y[[4, 9]] = math.inf
    with pytest.raises(DataError, match="infinite in data rows 5, 10"):
        quantity(tmp_path, y)


# ---- many categories, uneven classes -------------------------------------------------------------


def test_columns_of_very_many_categories_are_hashed_and_told(tmp_path):
    rows = [(f"c{i % 300}", i % 2) for i in range(1500)]
    file = saved(tmp_path / "a.csv", rows)
    task = opened(str(file), {"target": "y", "kind": "classification"})
    assert task.input_shape == (72,)
    assert "300 categories; the 40 most frequent" in " ".join(task.note)
    assert (task.train.x.sum(1) == 1).all()


def test_uneven_classes_are_told_for_tables(tmp_path):
    rows = [(i, "rare" if i % 10 == 0 else "usual") for i in range(200)]
    task = numbers_task(
        "a", read_frame(saved(tmp_path / "a.csv", rows)), target="y", kind="classification"
    )
    assert "classes are uneven: " in " ".join(task.note)
    assert "to answer 'usual' always has an accuracy of 0.9" in " ".join(task.note)


def test_the_memory_of_a_large_file_is_told_before_it_is_read(tmp_path):
    file = tmp_path / "large.csv"
    with file.open("wb") as stream:
        stream.truncate(100_000_000)
    assert "about 1.4 GiB of memory" in str(memory_told(str(file)))
    assert memory_told(str(saved(tmp_path / "small.csv", [(1, 2)]))) is None
    assert memory_told("digits") is None


# ---- cells of every form -------------------------------------------------------------------------


def mixed():
    """Numbers with a mark, whole numbers that are categories, dates, text with blanks, lists."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    return pd.DataFrame(
        {
            "n": [-999 if i % 6 == 0 else i for i in range(60)],
            "grade": [i % 3 for i in range(60)],
            "day": days,
            "word": [" a" if i % 2 else "a" for i in range(60)],
            "list": [[i] for i in range(60)],
            "y": ["yes" if i % 2 else "no" for i in range(60)],
        }
    )


SAID = {
    "target": "y",
    "kind": "classification",
    "missing": ["-999"],
    "categorical": ["grade"],
    "ignore": ["list"],
}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "feather", "memory"])
def test_what_is_said_of_columns_holds_for_every_form(tmp_path, form):
    data = mixed()
    if form == "memory":
        task = opened(given_data(data), SAID)
    else:
        if form not in ("parquet", "feather"):
            data["day"] = data["day"].dt.strftime("%Y-%m-%d")
        if form == "jsonl":
            data.to_json(tmp_path / "data.jsonl", orient="records", lines=True)
        elif form == "csv":
            data.to_csv(tmp_path / "data.csv", index=False)
        else:
            getattr(data, f"to_{form}")(tmp_path / f"data.{form}")
        task = opened(str(tmp_path / f"data.{form}"), SAID)
    columns = {each["name"]: each for each in task.reading["columns"]}
    assert {name: each["type"] for name, each in columns.items()} == {
        "n": "number",
        "grade": "category",
        "day": "date",
        "word": "category",
    }
    assert columns["n"]["missing"]
    assert columns["n"]["median"] > 0
    assert columns["grade"]["categories"] == ["0", "1", "2"]
    assert columns["word"]["categories"] == [" a", "a"]
    assert "'n' 10 (10 '-999')" in " ".join(task.note)


def test_predict_py_reads_another_form_than_the_search(tmp_path):
    data = mixed().drop(columns="list")
    data["day"] = data["day"].dt.strftime("%Y-%m-%d")
    files = [tmp_path / "data.csv", tmp_path / "data.parquet", tmp_path / "data.jsonl"]
    data.to_csv(files[0], index=False)
    data.to_parquet(files[1])
    data.to_json(files[2], orient="records", lines=True)
    said = {key: value for key, value in SAID.items() if key != "ignore"}
    for file in files[:2]:
        task = opened(str(file), said)
        own = inputs(read_frame(file, asked=Asked.of(said)), task.reading)
        for new in files:
            found = SCRIPTS["numbers"].inputs(new, dict(task.reading))
            assert np.array_equal(found, own), (file.name, new.name)


def test_numbers_of_typed_files_are_not_printed_and_read_again():
    cells = np.array([1.234, 5.678, np.nan, np.inf])
    found = held(cells)
    assert found.values.tolist() == pytest.approx([1.234, 5.678, math.nan, math.nan], nan_ok=True)
    assert (found.notes, found.gaps, found.infinite) == ([], {"": 1, "infinite": 1}, [3])
    comma = held(["1,5", "2,25"]).form
    assert read_column(cells, comma).values.tolist()[:2] == [1.234, 5.678]
    large = np.array([2**62 + 1, 2**62 + 2, 2**62 + 1])
    assert held(large).values.tolist() == [str(2**62 + 1), str(2**62 + 2), str(2**62 + 1)]


def test_durations_of_typed_files_are_seconds(tmp_path):
    spans = pd.to_timedelta([90, -3600, 86400.5], unit="s")
    pd.DataFrame({"x": spans, "y": [1, 2, 3]}).to_parquet(tmp_path / "a.parquet")
    assert read_frame(tmp_path / "a.parquet").columns["x"].tolist() == [90, -3600, 86400.5]


def test_the_index_of_a_data_frame_that_was_saved_can_be_named_as_ignored(tmp_path):
    rows = [(i, i % 3, i % 2) for i in range(40)]
    file = saved(tmp_path / "a.csv", rows, ("Unnamed: 0", "x", "y"))
    frame = read_frame(file, asked=Asked.of({"ignore": ["Unnamed: 0"]}))
    assert list(frame.columns) == ["x", "y"]
    assert frame.note == ()
