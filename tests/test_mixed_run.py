"""Texts beside other columns, from a file to predict.py: quantities with intervals, and classes."""

import csv
import json
import random

import numpy as np
import pytest
from tests.helpers_predict import predict

from evolvent import search

ROWS = 240
GOOD, BAD = ("great", "lovely", "很好吃"), ("awful", "dull", "难吃极了")
FILLING = (
    *("the", "room", "was", "near", "a", "station", "and", "we"),
    *("had", "it", "for", "our", "stay", "with", "breakfast"),
)


def rows(count, seed=0):
    """Return rows of a table whose answer depends on the words of a text, a number and a category."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        tone = draw.choice((-1, 1))
        words = draw.choices(FILLING, k=draw.randint(6, 14))
        words += [draw.choice(GOOD if tone > 0 else BAD), draw.choice(("😀", "!", "."))]
        draw.shuffle(words)
        price, city = draw.gauss(100, 20), draw.choice(("Oslo", "Rome"))
        answer = 50 + 10 * tone + 5 * (city == "Rome") + 0.1 * (price - 100) + draw.gauss(0, 2)
        day = f"2023-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"
        made.append([" ".join(words), f"{price:.2f}", city, day, f"{answer:.2f}"])
    return made


def write(file, lines):
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["review", "price", "city", "day", "answer"], *lines])
    return file


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    file = write(folder / "stays.csv", rows(ROWS))
    return search(
        file,
        target="answer",
        kind="regression",
        recipe="tabular",
        budget="3t",
        out=folder / "run",
        settings={
            "estimator": {"epochs": 4, "equal": "epochs", "folds": 0},
            "train": {"epochs": 12, "onnx": False},
        },
    )


def predicted(run, file, *options):
    made = predict(run.folder / "best", file, *options)
    if made.returncode:
        return made.returncode, made.stderr
    return [[float(cell) for cell in line.split(",")] for line in made.stdout.splitlines()[1:]]


def test_the_column_of_texts_is_read_beside_the_others_and_said(found):
    reading = json.loads((found.folder / "best" / "reading.json").read_text())
    assert [each["type"] for each in reading["columns"]] == ["number", "category", "date", "text"]
    notes = found.card["data"]["notes"]
    assert any(note.startswith("column 'review' is read as texts: a bag") for note in notes), notes
    assert found.card["test_score"] > 0.5  # r2; without the words it is below 0.1


def test_intervals_hold_the_true_value_as_often_as_they_say(found, tmp_path):
    fresh = rows(400, seed=1)
    told = np.array(predicted(found, write(tmp_path / "new.csv", fresh), "--interval", "0.8"))
    truth = np.array([float(row[-1]) for row in fresh])
    assert told.shape == (400, 3)
    assert (told[:, 1] < told[:, 2]).all()
    inside = ((truth >= told[:, 1]) & (truth <= told[:, 2])).mean()
    assert 0.68 < inside < 0.97  # 41 rows calibrate
    code, why = predicted(found, tmp_path / "new.csv", "--interval", "0.99")
    assert code == 2
    assert "needs 199 held-out rows" in why


def test_the_card_tells_intervals_and_what_columns_are_worth(found):
    interval, worth = found.card["interval"], found.card["importance"]
    assert interval["level"] == 0.9
    assert interval["width"] > 0
    assert 0 <= interval["coverage"] <= 1
    assert next(iter(worth["columns"])) == "review"
    assert set(worth["columns"]) == {"review", "price", "city", "day"}
    assert worth["repeats"] == 5
    page = (found.folder / "best" / "card.md").read_text()
    assert "predict.py --interval 0.9" in page
    assert "| review |" in page


def test_predictions_do_not_depend_on_the_rows_beside_them(found, tmp_path):
    odd = [
        ["", "80", "Oslo", "2023-01-02", ""],
        ["酒店很好吃早餐很棒 没有空格的文字", "120", "Rome", "", ""],
        ["😀😀 great 🎉", "100", "Rome", "2023-05-05", ""],
        ["lovely room " * 900, "", "", "2023-07-01", ""],
        *rows(300, seed=2),
    ]
    order = random.Random(0).sample(range(len(odd)), len(odd))
    straight = predicted(found, write(tmp_path / "a.csv", odd))
    mixed = predicted(found, write(tmp_path / "b.csv", [odd[place] for place in order]))
    assert np.allclose([straight[place] for place in order], mixed, atol=1e-4)
    alone = predicted(found, write(tmp_path / "c.csv", odd[:1]))
    assert np.allclose(alone, straight[:1], atol=1e-4)
    assert np.isfinite(straight).all()
