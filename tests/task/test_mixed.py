"""Columns of texts beside other columns."""

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.task import data_of
from evolvent.task.mixed import is_text
from evolvent.task.opening import open_task
from evolvent.task.portable.bounds import bounds
from evolvent.task.portable.features import MOST_TOKEN, features, tokens_at
from evolvent.types import Facts

WORDS = (
    *("the", "film", "was", "good", "but", "a", "bit", "long", "and", "its"),
    *("end", "seemed", "rather", "weak", "to", "me", "then"),
)


def cells(made):
    found = np.empty(200, object)
    found[:] = [made(row) for row in range(200)]
    return found


def sentence(row):
    drawn = np.random.default_rng(row)
    return " ".join(drawn.choice(WORDS, drawn.integers(5, 12)))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (sentence, True),
        (
            lambda row: (
                "这家酒店的早餐非常好吃服务也很周到"
                + "好坏大小多少"[row % 6 :] * (row % 3)
                + str(row)
            ),
            True,
        ),
        (lambda row: f"no {row} is like another", False),
        (
            lambda row: f"{row:08x}-{row * 7:04x}-{row * 13:04x}-{row * 31:04x}-{row * 97:012x}",
            False,
        ),
        (lambda row: f"Name{row} Surname{row * 3}", False),
        (lambda row: WORDS[row % 7], False),
        (lambda row: " ".join(WORDS[row % 5 :]), False),  # five different ones are categories
    ],
)
def test_sentences_are_told_from_names_codes_and_categories(made, wanted):
    assert is_text(cells(made)) is wanted


def table(folder, **more):
    file = folder / "t.csv"
    columns = {"note": sentence, "size": lambda row: f"{row * 0.37:.2f}", **more}
    lines = [",".join([*columns, "y"])]
    for row in range(200):
        lines.append(",".join([*(made(row) for made in columns.values()), f"{row * 0.5:g}"]))
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


def test_inputs_are_the_length_and_the_tokens_behind_all_other_columns(tmp_path):
    task = data_of(open_task(table(tmp_path), {"target": "y", "kind": "regression"}))
    last = task.reading["columns"][-1]
    assert (last["name"], last["type"]) == ("note", "text")
    assert task.texts == (last["length"],)
    assert task.input_shape == (1 + 1 + last["length"],)
    assert task.columns == (("number", 2),)
    assert task.facts.shape == (2,)
    assert Facts.from_json(task.facts.to_json()).texts == task.texts
    (place,) = tokens_at(task.reading)
    tokens = task.train.x[:, place]
    assert tokens.max() <= MOST_TOKEN
    assert (tokens == np.round(tokens)).all()
    assert (tokens[:, :5] > 0).all()  # the shortest sentence has five words
    assert any(note.startswith("column 'note' is read as texts") for note in task.note)


def test_a_long_text_keeps_its_begin_and_its_end(tmp_path):
    task = data_of(open_task(table(tmp_path), {"target": "y", "kind": "regression"}))
    length = task.texts[0]
    long = " ".join(f"w{at}" for at in range(3 * length))
    ends = [*long.split()[: length // 3], *long.split()[3 * length - (length - length // 3) :]]
    columns = {
        "size": np.array([1.0, 1.0, 1.0]),
        "note": np.array([long, " ".join(ends), ""], object),
    }
    x = features(columns, task.reading)
    (place,) = tokens_at(task.reading)
    assert np.array_equal(x[0, place], x[1, place])
    assert not x[2, place].any()
    assert np.isfinite(x).all()


def test_the_user_says_what_is_text_and_what_is_not(tmp_path):
    file = table(tmp_path, tag=lambda row: f"k{row % 3}")
    asked = {"target": "y", "kind": "regression"}
    forced = data_of(open_task(file, asked | {"texts": ["tag"]}))
    assert {c["name"]: c["type"] for c in forced.reading["columns"]} == {
        "size": "number",
        "note": "text",
        "tag": "text",
    }
    plain = data_of(open_task(file, asked | {"ignore": ["note"]}))
    assert plain.texts == ()
    with pytest.raises(SettingError, match="two columns are needed"):
        open_task(file, asked | {"texts": "y"})
    with pytest.raises(SettingError, match=r"task\.texts=tag,note, without --text"):
        open_task(file, {"target": "y", "kind": "classification", "text": "note", "texts": "tag"})


def test_bounds_are_those_of_split_conformal_prediction():
    errors = list(range(-10, 9))  # 19 rows: one beyond each side at 0.9
    assert bounds(errors, 0.9) == (-10, 8)
    assert bounds(errors, 0.8) == (-9, 7)
    with pytest.raises(
        ValueError, match=r"needs 39 held-out rows, there were 19: ask for at most 0\.9"
    ):
        bounds(errors, 0.95)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bounds(errors, 90)
    draw = np.random.default_rng(0)
    inside = []
    for _ in range(400):  # skewed errors: the share holds on average over the draws
        low, high = bounds(sorted(draw.lognormal(size=39)), 0.8)
        fresh = draw.lognormal(size=50)
        inside.append(((fresh >= low) & (fresh <= high)).mean())
    assert np.mean(inside) == pytest.approx(0.8, abs=0.02)
