"""Several targets per row from a file to predict.py: two quantities, labels in columns and in lists."""

import csv
import json

import numpy as np
import pytest
from tests.helpers_predict import predict

from evolvent import search

ROWS = 160
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3)).round(4)
WHO = RNG.integers(0, 20, ROWS)
SMALL = {
    "estimator": {"epochs": 6, "folds": 0},
    "train": {"epochs": 30, "onnx": False, "finalists": 1},
}


def write(file, **columns):
    table = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]} | columns
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
    return file


def found(file, folder, **said):
    return search(
        file, recipe="tabular", budget="2t", workers=0, out=folder, settings=SMALL, **said
    )


def predicted(run, *arguments, fails=False):
    done = predict(run.folder / "best", *arguments)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def explained(told, truth):
    return 1 - np.square(told - truth).sum(0) / np.square(truth - truth.mean(0)).sum(0)


def test_two_quantities_each_in_its_own_unit(tmp_path):
    y = np.stack([1e6 + 1e4 * X[:, 0], 1e-3 * X[:, 1]], axis=1)
    file = write(tmp_path / "data.csv", large=y[:, 0], small=y[:, 1])
    run = found(file, tmp_path / "run", target=["large", "small"])
    header, *rows = csv.reader(predicted(run, file).splitlines())
    assert header == ["large", "small"] and len(rows) == ROWS
    assert explained(np.array(rows, float), y).min() > 0.6
    assert json.loads(predicted(run, file, "--json").splitlines()[0]).keys() == {"large", "small"}
    assert "one quantity" in predicted(run, file, "--interval", "0.9", fails=True)
    told = (run.folder / "best" / "card.md").read_text()
    assert "By target on test: large r2" in told and "small r2" in told
    assert run.card["parity_max_abs_diff"] < 1e-5
    assert {"linear", "boosted-trees", "extra-trees"} <= run.card["baselines"].keys()


def test_labels_in_columns_with_weights_and_groups(tmp_path):
    wet, warm = np.where(X[:, 0] > 0, "Yes", "No"), (X[:, 1] > 0.8).astype(int)
    columns = {"wet": wet, "warm": warm, "who": WHO, "w": 1 + WHO % 3}
    file = write(tmp_path / "data.csv", **columns)
    said = {"target": ["wet", "warm"], "groups": "who", "weight": "w"}
    run = found(file, tmp_path / "run", **said)
    assert run.card["metric"] == "average-precision" and run.card["data"]["notes"]
    header, *rows = csv.reader(predicted(run, file, "--probabilities").splitlines())
    assert header == ["wet", "warm", "wet probability", "warm probability"]
    told = np.array(rows)
    assert (told[:, 0] == wet).mean() > 0.8
    assert set(told[:, 1]) <= {"0", "1"}
    sums = told[:, 2:].astype(float).sum(1)
    assert sums.min() < 0.9 and sums.max() > 1.1  # they do not exclude each other
    page = (run.folder / "best" / "card.md").read_text()
    assert "no group of 'who' is in two parts" in page and "F1 by label" in page


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dense", "tabular"])
def test_lists_of_labels_beside_a_column_of_texts(tmp_path, recipe):
    draw = np.random.default_rng(1)
    filling = ["the", "room", "was", "near", "a", "station", "and", "we", "had", "it"]
    texts = [" ".join([*draw.choice(filling, 8), "great" if b > 0 else "awful"]) for b in X[:, 1]]
    tags = [
        "; ".join(tag for tag, has in (("red", a > 0), ("good", b > 0)) if has) for a, b, _ in X
    ]
    file = write(tmp_path / "data.csv", text=np.array(texts), tags=np.array(tags))
    settings = SMALL | {"task": {"texts": "text"}}
    settings["estimator"] = SMALL["estimator"] if recipe == "tabular" else {"epochs": 6}
    run = search(
        file,
        recipe=recipe,
        budget="2t",
        workers=0,
        out=tmp_path / "run",
        settings=settings,
        target="tags",
        labels_separator=";",
    )
    header, *rows = csv.reader(predicted(run, file).splitlines())
    assert header == ["tags"]
    right = [
        ("good" in row[0].split(";")) == ("good" in tag)
        for row, tag in zip(rows, tags, strict=True)
    ]
    assert np.mean(right) > 0.9  # which the texts alone tell
    first = json.loads(predicted(run, file, "--json").splitlines()[0])
    assert isinstance(first["tags"], list) and first["probabilities"].keys() == {"good", "red"}
