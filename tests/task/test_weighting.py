"""A column of weights: no input, split with its rows, refused where it holds anything else."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.helpers_cli import evolvent

import evolvent as ev
from evolvent.deliver.baselines.beside import rows_of
from evolvent.deliver.baselines.fitting import outputs
from evolvent.errors import DataError, SettingError
from evolvent.task import data_of
from evolvent.task.opening import open_task

ROWS = 240


def table(**columns):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "w": np.arange(ROWS) % 4 + 0.5})
    frame = frame.assign(y=np.where(x[:, 0] > 0, "yes", "no"), text="word", z=3 * x[:, 0])
    frame["text"] = ["good day" if each > 0 else "bad night" for each in x[:, 0]]
    return frame.assign(**columns)


@pytest.fixture
def file(tmp_path):
    def write(frame, name="rows.csv"):
        frame.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return write


def opened(path, **said):
    return data_of(open_task(path, {"target": "y", "kind": "classification", **said}))


def test_weights_follow_their_rows_and_are_no_input(file):
    task = opened(file(table()[["a", "b", "w", "y"]]), weight="w")
    assert [each["name"] for each in task.reading["columns"]] == ["a", "b"]
    assert task.train.weights.mean() == pytest.approx(1)
    source = pd.read_csv(file(table()))
    scale = None
    for part, name in (
        (task.train, "training"),
        (task.validation, "validation"),
        (task.test, "test"),
    ):
        own = task.source.part(name)
        assert "w" not in own.columns
        rows = [int(np.flatnonzero(np.isclose(source["a"], a))[0]) for a in own.column("a")]
        ratio = part.weights / source["w"].to_numpy()[rows]
        scale = ratio[0] if scale is None else scale
        assert np.allclose(ratio, scale)
    assert any("rows are weighted by 'w'" in line for line in task.note)


def test_texts_and_quantities_have_weights_too(file):
    path = file(table())
    texts = opened(path, weight="w", text="text")
    assert texts.train.weight is not None
    amounts = opened(path, weight="w", target="z", kind="regression", ignore=["text", "y"])
    assert amounts.test is not None
    assert amounts.test.weight is not None


@pytest.mark.parametrize(
    "weights, said",
    [
        (np.where(np.arange(ROWS) == 3, -2.0, 1.0), "are -2 in data row 4"),
        (["much"] * ROWS, "hold 'much' in data row 1"),
        ([""] + ["1.5"] * (ROWS - 1), "are empty in data row 1"),
        (np.zeros(ROWS), "are zero in every row"),
    ],
)
def test_other_cells_than_weights_end_with_one_line(file, weights, said):
    with pytest.raises(DataError, match=said) as caught:
        opened(file(table(w=weights)), weight="w")
    assert "weights are numbers of at least 0" in str(caught.value) or "nothing" in str(
        caught.value
    )


def test_a_column_is_not_weight_and_something_else(file):
    path = file(table())
    with pytest.raises(SettingError, match="--weight y and --target y"):
        opened(path, weight="y")
    with pytest.raises(DataError, match=r"no column 'ww'.*did you mean 'w'"):
        opened(path, weight="ww")


def test_a_test_file_may_have_weights_of_its_own_or_none(file):
    path, other = file(table()), file(table(w=2.0), "other.csv")
    own = opened(path, weight="w", test=other, ignore=["text", "z"]).test
    assert own is not None
    assert len(set(own.weights)) == 1
    bare = file(table().drop(columns="w"), "bare.csv")
    task = opened(path, weight="w", test=bare, ignore=["text", "z"])
    assert any("has no column 'w': its rows weigh the same" in line for line in task.note)


@pytest.mark.parametrize("said", [{}, {"text": "text"}])
@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_weights_follow_the_rows_of_three_files(file, said, fraction):
    columns = ["a", "w", "y", "text"] if said else ["a", "b", "w", "y"]
    files = {
        part: table(w=np.arange(ROWS) % (3 + at) + 1.0)[at::3][columns]
        for at, part in enumerate(("training", "validation", "test"))
    }
    paths = {part: file(frame, f"{part}.csv") for part, frame in files.items()}
    others = {part: paths[part] for part in ("validation", "test")}
    task = opened(paths["training"], weight="w", fraction=fraction, **others, **said)
    parts = {"training": task.train, "validation": task.validation, "test": task.test}
    by_y = {part: frame.groupby("y")["w"].sum() for part, frame in files.items()}
    assert len(task.train) == pytest.approx(fraction * len(files["training"]), abs=1)
    mean = None
    for part, own in parts.items():
        rows = len(files[part]) if part != "training" else len(task.train)
        assert len(own) == rows and own.weight is not None
        if part == "training" and fraction < 1:
            continue
        sums = np.bincount(own.y, own.weight)
        wanted = by_y[part][list(task.classes)].to_numpy()
        mean = wanted[0] / sums[0] if mean is None else mean
        assert np.allclose(sums * mean, wanted)
        assert not said or "w" not in task.source.part(part).columns


def test_rows_of_a_file_without_weights_weigh_as_much_as_the_others_on_average(file):
    path, bare = file(table()[["a", "b", "w", "y"]]), file(table()[["a", "b", "y"]], "bare.csv")
    task = opened(path, weight="w", validation=bare, test=bare)
    assert np.allclose(task.validation.weights, task.validation.weights[0])
    assert task.validation.weights[0] == pytest.approx(1, rel=0.05)  # of the rows that are kept
    assert sum("its rows weigh the same" in line for line in task.note) == 2
    with pytest.raises(SettingError, match="--groups w and --weight w: two columns"):
        opened(path, weight="w", groups="w")


@pytest.mark.parametrize("kind", ["table", "text"])
def test_controls_learn_with_weights(file, kind):
    """Half of the rows lie, and weigh nothing."""
    lies = np.arange(ROWS) % 2 == 0
    truth = table()["y"].to_numpy()
    said = np.where(lies, np.where(truth == "yes", "no", "yes"), truth)
    frame = table(y=said, w=np.where(lies, 0.0, 1.0)).drop(columns="z")
    more = {"text": "text"} if kind == "text" else {"ignore": ["text"]}
    task = opened(file(frame), weight="w", **more)
    rows, _ = rows_of(task, 0)
    assert rows is not None
    names = ("nb-pairs", "tf-idf") if kind == "text" else ("boosted-trees", "linear", "extra-trees")
    part = task.validation
    for name in names:
        told = outputs(rows, name, ["training"], "validation").argmax(1)
        right = told == part.y
        assert right[part.weights > 0].mean() > 0.7, name
        assert right[part.weights == 0].mean() < 0.3, name


def test_weights_from_file_to_card(file, tmp_path):
    path = file(table()[["a", "b", "w", "y"]])
    said = ("--target", "y", "--kind", "classification", "--budget", "2t", "--workers", "0")
    small = ("--set", "estimator.epochs=2", "--set", "train.epochs=2", "--set", "train.onnx=false")
    out = str(tmp_path / "run")
    done = evolvent("search", path, *said, *small, "--weight", "w", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert "standard-error" in card["test_metrics"]  # of weighted accuracy, by the bootstrap
    assert card["input_shape"] == [2]
    refused = evolvent("search", path, *said, "--weight", "y", "--out", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert "two columns are needed" in refused.stderr


def test_python_takes_a_column_of_weights_of_a_frame(tmp_path):
    with pytest.raises(DataError, match="no column 'weight'"):
        ev.search(table(), target="y", kind="classification", weight="weight", out=tmp_path / "run")
