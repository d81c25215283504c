"""Running text becomes tokens and segments; bad text is one clear line."""

from itertools import pairwise

import numpy as np
import pytest

from evolvent.errors import DataError, SettingError
from evolvent.task import Part, data_of, opening, options
from evolvent.task.language import load, tokens_of, vocabulary_of
from evolvent.task.portable.running import (
    END,
    IGNORED,
    UNKNOWN,
    numbered,
    pieces,
    segments,
    stream_rows,
)


def story(lines=600, seed=0):
    rng = np.random.default_rng(seed)
    words = np.array(["the", "a", "cat", "dog", "sees", "likes", "one", "two"])
    return "\n".join(" ".join(words[rng.integers(0, 8, 6)]) for _ in range(lines)) + "\n"


def the_test_part(task) -> Part:
    assert isinstance(task.test, Part)
    return task.test


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(), "utf-8")
    return path


def test_every_token_is_a_target_once_and_the_input_is_the_one_before_it(file):
    task = load(f"language:{file}", length=7)
    whole = [int(each) for each in numbered(pieces(file.read_text(), "words"), dict(task.reading))]
    parts = [tokens_of(part) for part in (task.train, task.validation, the_test_part(task))]
    assert np.concatenate(parts).tolist() == whole
    x, y = task.train.x.flatten(), task.train.y.flatten()
    kept = y != IGNORED
    assert x[1:][kept[1:]].tolist() == y[:-1][kept[1:]].tolist()
    assert task.reading["words"][x[0]] == END
    assert task.facts.successive and task.vocabulary == task.outputs == len(task.reading["words"])
    assert f"{len(parts[0]):,} training" in task.describe()


def test_a_part_of_the_text_has_the_vocabulary_of_all(file):
    whole, tenth = load(f"language:{file}"), load(f"language:{file}", fraction=0.5)
    assert tenth.reading["words"] == whole.reading["words"]
    assert len(tokens_of(tenth.train)) == round(0.5 * len(tokens_of(whole.train)))
    assert (tenth.validation.y == whole.validation.y).all() and (
        the_test_part(tenth).y == the_test_part(whole).y
    ).all()
    assert any("learnt from the first" in line for line in tenth.note)


def test_words_that_training_lacks_are_the_unknown_one(tmp_path, file):
    other = tmp_path / "other.txt"
    other.write_text("zebra " * 10 + story(20, 1), "utf-8")
    task = load(f"language:{file}", test=str(other))
    unknown = task.reading["words"].index(UNKNOWN)
    assert (tokens_of(the_test_part(task)) == unknown).sum() == 10
    assert not (tokens_of(task.validation) == unknown).any()


def test_the_vocabulary_is_the_most_frequent_tokens():
    found = ["b"] * 3 + ["a"] * 3 + ["c"] * 2 + ["d", END]
    assert vocabulary_of(found, 10, 2) == [UNKNOWN, "a", "b", "c", END]
    assert vocabulary_of(found, 3, 1) == [UNKNOWN, "a", "b"]


def test_characters_are_tokens_too(file):
    task = load(f"language:{file}", tokens="characters")
    assert "\n" in task.reading["words"] and max(map(len, task.reading["words"][1:])) == 1


@pytest.mark.parametrize("count", [1, 7, 8, 100, 129, 1000])
def test_streams_go_through_all_segments_in_order(count):
    batches = stream_rows(count)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    for before, after in pairwise(batches):
        assert (after == before[: len(after)] + 1).all()


def test_segments_fill_up_the_last_one():
    x, y = segments(np.array([5, 6, 7]), 2, 9)
    assert x.tolist() == [[9, 5], [6, 9]] and y.tolist() == [[5, 6], [7, IGNORED]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n \n", "is empty"),
        (b"PK\x03\x04\x00\x00", "is no text"),
        ("caf\xe9 ".encode("latin-1") * 50, "is not UTF-8"),
        (b"word", "more text is needed"),
        (b"one two one two one two\n" * 3, "at least 700"),
    ],
)
def test_bad_text_is_one_line(tmp_path, content, said):
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        load(f"language:{file}")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_one_line(tmp_path, monkeypatch, file):
    with pytest.raises(DataError, match="nothing"):
        load(f"language:{tmp_path}/nothing.txt")
    with pytest.raises(DataError, match="folder"):
        load(f"language:{tmp_path}")
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    with pytest.raises(DataError, match="licensed"):
        load("ptb")
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"has no ptb\.train\.txt"):
        load("ptb")
    with pytest.raises(SettingError, match="fraction"):
        load(f"language:{file}", fraction=0.0)


def test_a_named_set_is_three_files(tmp_path, monkeypatch):
    folder = tmp_path / "ptb"
    folder.mkdir()
    for number, part in enumerate(("train", "valid", "test")):
        (folder / f"ptb.{part}.txt").write_text(story(200 + 50 * number, number), "utf-8")
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path))
    task = data_of(opening.open_task("ptb", {"length": 10}))
    assert [len(tokens_of(p)) for p in (task.train, task.validation, the_test_part(task))] == [
        1400,
        1750,
        2100,
    ]
    assert task.metric == "neg-cross-entropy" and task.unit == pytest.approx(1)
    with pytest.raises(SettingError, match="has a score of its own"):
        options.with_metric("ptb", {}, "accuracy", None)
