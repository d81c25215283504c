"""The matrix of docs/data.md: each form of input, by search, predict.py, scikit-learn and Python."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.helpers_cli import evolvent
from tests.helpers_forms import ALIKE, FORMS, ROWS, alike, file_of, frame, in_memory
from tests.helpers_forms import arff as arff_of
from tests.helpers_predict import predict

import evolvent as ev
from evolvent.sklearn import EvolventClassifier
from evolvent.task.opening import open_task
from evolvent.task.portable.forms import read_table

TINY: dict[str, dict[str, Any]] = {
    "estimator": {"epochs": 1},
    "train": {"epochs": 1, "finalists": 1, "controls": False, "proof": False, "onnx": False},
}
FRAMES = ("pandas", "polars", "pyarrow", "mapping")
WORDS = [f"a {'good' if i % 2 else 'bad'} film" for i in range(60)]
ARRAYS: dict[str, tuple[Any, Any, str]] = {
    "numbers": (np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2, "numbers"),
    "column": (np.random.default_rng(0).normal(size=60), ["u", "v"] * 30, "numbers"),
    "tensors": (torch.randn(60, 3), torch.arange(60) % 2, "numbers"),
    "frame": (frame()[["size", "colour"]], frame()["kind"], "numbers"),
    "images": (np.arange(60 * 64).reshape(60, 8, 8) % 256, np.arange(60) % 2, "image"),
    "texts": (WORDS, [i % 2 for i in range(60)], "text"),
}


def searched(data, folder, **options):
    return ev.search(data, budget="1t", workers=0, settings=TINY, out=folder, **options)


def predicted(net, file, *options):
    """What predict.py prints, and says."""
    done = predict(net, file, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def csv_run(tmp_path_factory):
    """A network that learnt from CSV, and what it says of every row."""
    folder = tmp_path_factory.mktemp("csv")
    file = file_of(folder, "csv")
    run = searched(file, folder / "run", target="kind")
    said, notes = predicted(run.folder / "best", file)
    assert notes == ""
    return run, said


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_any_form_is_searched_by_its_path(csv_run, tmp_path, form):
    run = searched(file_of(tmp_path, form), tmp_path / "run", target="kind")
    assert run.setup.data["fingerprint"] == csv_run[0].setup.data["fingerprint"]
    said, _ = predicted(run.folder / "best", file_of(tmp_path, form))
    assert len(said.splitlines()) == 1 + ROWS


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_any_form_is_predicted_as_the_csv_file_is(csv_run, tmp_path, form):
    net, said = csv_run[0].folder / "best", csv_run[1]
    assert predicted(net, file_of(tmp_path, form)) == (said, "")


@pytest.mark.parametrize("name", ALIKE)
def test_a_file_of_another_name_or_packing_is_read_as_the_csv_file_is(csv_run, tmp_path, name):
    file, run = alike(tmp_path, name), csv_run[0]
    task = open_task(str(file), {"target": "kind", "kind": "classification"})
    assert task.fingerprint == run.setup.data["fingerprint"]
    reading = json.loads((run.folder / "best" / "reading.json").read_text())
    table = read_table(file, learnt=reading["file"])
    numbers = table.columns["size"]
    assert [float(each) for each in numbers] == frame()["size"].tolist()
    assert [*table.columns["colour"]] == frame()["colour"].tolist()


def test_a_new_file_is_read_as_learnt_and_options_say_otherwise(csv_run, tmp_path):
    net, said = csv_run[0].folder / "best", csv_run[1]
    file = tmp_path / "new.csv"
    file.write_bytes(frame().to_csv(index=False, sep=";").encode("utf-16-le"))
    again, notes = predicted(net, file)
    assert (again, len(notes.splitlines())) == (said, 1)
    assert "UTF-16" in notes
    assert predicted(net, file, "--encoding", "utf-16-le") == (said, "")


def test_a_program_that_reads_only_the_first_lines_ends_it_quietly(csv_run, tmp_path):
    net = csv_run[0].folder / "best"
    file = tmp_path / "many.csv"
    pd.concat([frame()] * 300).to_csv(file, index=False)
    for wanted in (0, 1):  # lines that are read before the pipe is closed
        with subprocess.Popen(
            [sys.executable, str(net / "predict.py"), str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            lines = [running.stdout.readline() for _ in range(wanted)]
            running.stdout.close()
            assert running.stderr.read() == ""
        assert lines == ["kind\n"] * wanted


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_in_memory_is_searched_by_its_target(tmp_path, kind):
    run = searched(in_memory(kind), tmp_path / "run", target="kind")
    assert run.card["task"] == "data in memory"
    said, _ = predicted(run.folder / "best", file_of(tmp_path, "csv"))
    assert len(said.splitlines()) == 1 + ROWS
    again = searched(in_memory(kind), tmp_path / "run", target="kind")
    assert again.best.score == run.best.score


@pytest.mark.parametrize("kind", FRAMES[:3])
def test_scikit_learn_takes_frames(kind):
    rows = frame()
    x = in_memory(kind)
    x = x.drop("kind") if kind == "polars" else x.drop_columns("kind") if kind == "pyarrow" else x
    x = x.drop(columns="kind") if kind == "pandas" else x
    model = EvolventClassifier(budget="1t", random_state=0, settings=TINY).fit(x, rows["kind"])
    assert model.feature_names_in_.tolist() == ["size", "colour", "count"]
    plain = model.predict_proba(rows.drop(columns="kind"))
    assert np.array_equal(model.predict_proba(x), plain)


def by_scipy(folder):
    """The table as scipy reads it from ARFF, which takes letters of ASCII and no free texts."""
    arff = pytest.importorskip("scipy.io.arff")
    rows = frame().replace({"colour": {"grün": "green", "blue sky": "blue"}})
    text = arff_of(rows).replace("'colour' string", "'colour' {red,green,blue}")
    file = folder / "data.arff"
    file.write_text(text.replace("'kind' string", "'kind' {no,yes}").replace("'", ""))
    read = pd.DataFrame(arff.loadarff(file)[0])
    return read.assign(kind=read["kind"].str.decode("utf-8"))


def by_pandas(folder, form):
    """The table as pandas reads it from a file of a form."""
    file = file_of(folder, form)
    match form:
        case "tsv" | "txt":
            return pd.read_csv(file, sep={"tsv": "\t", "txt": " "}[form])
        case "json" | "jsonl":
            return pd.read_json(file, lines=form == "jsonl")
        case "parquet":
            return pd.read_parquet(file)
        case "feather":
            return pd.read_feather(file)
        case "xlsx":
            return pd.read_excel(file, engine="calamine")
    return pd.read_csv(file)


def fitted(rows):
    """What an estimator says of rows from which it learnt."""
    x = rows.drop(columns="kind")
    model = EvolventClassifier(budget="1t", random_state=0, settings=TINY).fit(x, rows["kind"])
    assert model.classes_.tolist() == ["no", "yes"]
    assert [each["type"] for each in model.reading_["columns"]] == ["number", "category", "number"]
    return model.predict_proba(x)


@pytest.fixture(scope="module")
def fitted_frame():
    return fitted(frame())


@pytest.mark.parametrize("form", FORMS)
def test_scikit_learn_takes_what_pandas_or_scipy_reads_from_a_file(fitted_frame, tmp_path, form):
    rows = by_scipy(tmp_path) if form == "arff" else by_pandas(tmp_path, form)
    assert np.allclose(fitted(rows), fitted_frame, atol=1e-9)


@pytest.mark.parametrize("name", ["numbers", "frame"])
@pytest.mark.parametrize("made", [lambda x: x, lambda x: np.asarray(x).tolist()])
def test_scikit_learn_takes_arrays_frames_and_lists(name, made):
    x, y, _ = ARRAYS[name]
    model = EvolventClassifier(budget="1t", random_state=0, settings=TINY).fit(made(x), y)
    assert model.n_features_in_ == np.shape(x)[1]
    assert set(model.predict(made(x))) <= set(model.classes_.tolist())


@pytest.mark.parametrize("name", ARRAYS)
def test_x_and_y_are_searched(tmp_path, name):
    x, y, kind = ARRAYS[name]
    run = searched((x, y), tmp_path / "run")
    assert run.setup.data["kind"] == kind
    assert run.best.score is not None
    assert run.setup.data["outputs"] == 2


def test_another_process_cannot_go_on_with_data_in_memory(tmp_path):
    run = searched(ARRAYS["numbers"][:2], tmp_path / "run")
    os.remove(run.folder / "best" / "card.json")
    with pytest.raises(ev.UserError, match=r"call ev\.search with them again"):
        ev.resume(run.folder)


def test_other_data_in_memory_get_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y, _ = ARRAYS["numbers"]
    one, two = searched((x, y), None), searched((x + 1, y), None)
    assert one.folder != two.folder
    assert one.folder.name.startswith("data-in-memory-")


X = np.zeros((6, 2))


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (X, {}, r"an array of shape \(6, 2\), which has no targets: give .*\(x, y\)"),
        (None, {}, "a NoneType: give"),
        ((X,), {}, "a tuple of 1 elements"),
        (frame(), {}, "with target=, one of size, colour"),
        (frame(), {"target": "knd"}, "did you mean 'kind'"),
        (frame(), {"target": "kind", "text": ["size", "colour"]}, "there is one, give one name"),
        (frame(), {"target": "kind", "encoding": "gbk"}, "files of text"),
        ((X, [1] * 6), {"target": "z"}, "y is the target"),
        ((X, [1] * 5), {}, "6 examples and y has 5"),
        ((X, np.eye(6)), {}, r"argmax\(1\)"),
        ((np.zeros((6, 2, 2, 2, 2)), [1] * 6), {}, "are numbers"),
        (([[1], [1, 2]], [0, 1]), {}, "rows have equal length"),
        ({"a": [1], "y": [1, 2]}, {"target": "y"}, "do not make a table"),
    ],
)
def test_what_python_hands_over_wrongly_is_one_line(tmp_path, data, options, reason):
    with pytest.raises(ev.UserError, match=reason) as error:
        searched(data, tmp_path / "run", **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def said(stderr):
    """Return the lines of a command but those that name what lasts, on a slow machine."""
    return [line for line in stderr.splitlines() if not line.endswith(" ...")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("data.csv", "--text", "kind", "--text", "size"), "--text is given 2 times"),
        (
            ("data.csv", "--target", "kind", "--target", "size"),
            "several targets are all quantities",
        ),
        (("data.sav", "--target", "kind"), "data.sav' is none; .csv, .tsv"),
        (("data.sav",), "is not of a kind that is read"),
        (("digits", "--target", "kind"), "'digits' is none: leave it out"),
        (("data.csv", "--target", "kind", "--encoding", "utf-99"), "none of that name"),
    ],
)
def test_what_a_command_says_wrongly_is_one_line(tmp_path, words, reason):
    file_of(tmp_path, "csv")
    (tmp_path / "data.sav").write_text("x")
    done = evolvent("search", *words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert reason in line


def test_an_encoding_is_said_on_the_command_line(tmp_path):
    data = frame().to_csv(index=False).encode("cp437")
    (tmp_path / "data.csv").write_bytes(data)
    done = evolvent("identify", "data.csv", "--target", "kind", "--encoding", "cp437", cwd=tmp_path)
    assert (done.returncode, said(done.stderr)) == (0, [])
