"""Texts: words, vocabulary, tokens, classes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.task.helpers import refusal

from evolvent.errors import DataError
from evolvent.task.frames import Frame
from evolvent.task.portable.tokens import tokens, words
from evolvent.task.text import frequent, text_task


def column(cells):
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def reviews(n=40, **columns):
    texts = [
        f"A {'good' if i % 2 else 'bad'} film, number {i}!<br /><br />The end." for i in range(n)
    ]
    labels = ["pos" if i % 2 else "neg" for i in range(n)]
    return Frame("data.csv", {"text": column(texts), "label": column(labels)} | columns)


def task(frame, **options):
    return text_task("data.csv", frame, text="text", target="label", **options)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It's GOOD.<br /><br/>Very good!", ["it's", "good", "very", "good"]),
        ("''quoted'' rock'n'roll don't'", ["quoted", "rock'n'roll", "don't"]),
        ("3.5 stars, 10/10 a < b > c", ["3", "5", "stars", "10", "10", "a", "c"]),
        ("Üble_Straße", ["üble", "straße"]),
        ("好电影 ok 映画", ["好", "电", "影", "ok", "映", "画"]),
        ("", []),
        ("?!… --", []),
    ],
)
def test_what_words_are(text, wanted):
    assert words(text) == wanted


@given(st.text(max_size=300))
def test_words_of_any_text_have_no_blanks_and_are_in_lower_case(text):
    for word in words(text):
        assert word == word.lower()
        assert word.split() == [word]


def test_frequent_words_get_a_token_the_most_frequent_first():
    texts = [["b", "a", "b"], ["c", "b", "a"], ["once"]]
    assert frequent(texts, 10) == ["b", "a"]
    assert frequent(texts, 3) == ["b"]


def test_texts_are_cut_in_the_middle_and_filled_up_at_the_end():
    reading = {"words": ["a", "b", "c", "d", "e"], "length": 4}
    found = tokens([list("abcde"), ["a", "strange"], []], reading)
    assert found.tolist() == [[2, 4, 5, 6], [2, 1, 0, 0], [0, 0, 0, 0]]
    assert found.dtype == np.int32


def test_a_task_has_tokens_classes_and_a_vocabulary_of_the_training_part_alone():
    made = task(reviews(), validation=0.25, length=12)
    assert (made.kind, made.classes, made.metric) == ("text", ("neg", "pos"), "accuracy")
    assert made.train.x.shape == (26, 12)
    assert made.vocabulary == 2 + len(made.reading["words"]) > made.train.x.max()
    assert set(made.reading["words"]) == {"a", "bad", "good", "film", "number", "the", "end"}
    for part in (made.train, made.validation, made.test):
        assert part is not None
        assert (part.x[:, 0] == 2 + made.reading["words"].index("a")).all()
        assert set(part.y.tolist()) == {0, 1}
    assert json.loads(json.dumps(made.reading)) == made.reading


def test_a_word_of_the_other_parts_is_unknown():
    made = task(reviews(), vocabulary=4)
    assert made.vocabulary == 4
    assert (made.train.x <= 3).all()
    assert (made.train.x == 1).any()


def test_a_test_file_is_the_test_part_and_other_columns_are_told():
    made = task(reviews(rating=np.zeros(40)), test=reviews(10))
    assert made.counts["test"] == 10
    assert made.note == ("columns beside 'text' and 'label' are not used: 'rating'",)


def test_a_text_column_of_numbers_and_empty_texts_are_texts():
    numbers = np.where(np.arange(40) % 4 < 2, 10.0, 2.5)
    numbers[0] = np.nan
    made = task(reviews(text=numbers))
    assert set(made.reading["words"]) == {"10", "2", "5"}
    assert not made.train.x[0].any() or len(made.train.x) < 40


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (reviews(text=column(["?"] * 40)), "no word that occurs 2 times"),
        (reviews(label=column(["one"] * 40)), "one class only"),
        (reviews(8), "at least 10"),
        (Frame("data.csv", {"label": column(["a", "b"] * 9)}), "no column 'text'"),
    ],
)
def test_what_cannot_be_learnt_is_one_clear_line(frame, reason):
    with pytest.raises(DataError) as error:
        task(frame)
    assert reason in refusal(error)
