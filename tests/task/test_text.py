"""Texts: words, vocabulary, tokens, classes."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.task.helpers import refusal

from evolvent.errors import DataError
from evolvent.task.frames import Frame
from evolvent.task.portable.ragged import Ragged
from evolvent.task.portable.tokens import (
    HASHES,
    LONGEST,
    all_tokens,
    characters,
    pieces,
    tokens,
    words,
)
from evolvent.task.text import are_codes, frequent, text_task


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
    unused, copies = made.note
    assert unused == "columns beside 'text' and 'label' are not used: 'rating'"
    assert copies.startswith("copies: 10 of 10 test rows (100.0%) also occur in")


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


# ---- all tokens of a text --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It's GOOD.<br /><br/>Very good!", ["it's", "good", ".", "very", "good", "!"]),
        ("7.5 stars, 10/10 &amp; more", ["7.5", "stars", ",", "10", "/", "10", "&", "more"]),
        ("so 😀👍 :)", ["so", "😀", "👍", ":", ")"]),
        ("Üble_Straße", ["üble", "_", "straße"]),
        ("好电影 ok", ["好电", "电影", "ok"]),
        ("映 だ", ["映", "だ"]),
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),
        ("फ़िल्म अच्छी", ["फ़िल्म", "अच्छी"]),
        ("", []),
        ("<p> </p>", []),
        ("I <3 tea >:(", ["i", "<", "3", "tea", ">", ":", "("]),
        ("x < 5<!-- no --></B> and y > 3", ["x", "<", "5", "and", "y", ">", "3"]),
    ],
)
def test_all_of_a_text_is_read(text, wanted):
    assert pieces(text) == wanted


@given(st.text(max_size=300))
def test_the_pieces_of_any_text_have_no_blanks(text):
    for piece in pieces(text):
        assert piece.split() == [piece]
        assert piece == piece.lower()


def test_codes_are_read_by_their_pairs_of_characters():
    assert characters(" AB-1 ") == ["\x02a", "ab", "b-", "-1", "1\x03"]
    assert characters("  ") == []


def test_short_texts_of_words_that_occur_once_are_codes():
    assert are_codes([f"X{i}-{i % 7}" for i in range(50)])
    assert not are_codes([f"a {'good' if i % 2 else 'bad'}" for i in range(50)])
    assert not are_codes([f"a long text of many words, number {i}" for i in range(50)])
    assert not are_codes([""] * 50)


def test_unknown_words_are_hashes_above_the_vocabulary_the_same_everywhere():
    found = all_tokens([["a", "b", "strange"], [], ["strange"]], ["a", "b"])
    assert found[:].tolist()[0][:2] == [2, 3]
    assert found.lengths.tolist() == [3, 0, 1]
    assert found[np.array([2])].tolist() == [[4 + zlib.crc32(b"strange") % (HASHES - 4)]]


def test_of_a_very_long_text_the_begin_and_the_end_are_kept():
    text = [str(i) for i in range(LONGEST + 100)]
    found = all_tokens([text], [])
    ends = all_tokens([[text[0], text[-1]]], [])[:][0]
    assert found.lengths.tolist() == [LONGEST]
    assert found[:][0][[0, -1]].tolist() == ends.tolist()


def test_a_task_of_all_tokens_has_texts_of_their_own_lengths():
    frame = reviews(text=column(["!" * (1 + i % 7) + " 3.5" for i in range(40)]))
    made = task(frame, tokens="all")
    assert made.any_length
    assert made.facts.any_length
    assert made.reading["tokens"] == "all"
    assert isinstance(made.train.x, Ragged)
    lengths = {int(n) for part in (made.train, made.validation, made.test) for n in part.x.lengths}
    assert lengths == set(range(2, 9))
    again = task(frame, tokens="all")
    assert again.fingerprint == made.fingerprint != task(reviews(), tokens="all").fingerprint


def test_a_task_of_codes_says_that_it_reads_characters():
    made = task(reviews(text=column([f"Q{i}x{i % 5}" for i in range(40)])), tokens="all")
    assert made.reading["tokens"] == "characters"
    assert any("characters" in line for line in made.note)


def test_the_parts_of_texts_are_joined_for_the_final_training():
    made = task(reviews(), tokens="all")
    both = made.everything
    assert len(both) == len(made.train) + len(made.validation)
    joined = both.x[np.array([len(made.train)])]
    assert joined[0, : made.validation.x.lengths[0]].tolist() == made.validation.x[:1][0].tolist()


def test_rows_of_different_lengths_are_padded_when_they_are_taken_out():
    rows = Ragged.of([[1, 2, 3], [], [4]])
    assert rows[:].tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert rows[1:2].tolist() == [[0]]
    assert rows.taken(np.array([2, 0]))[:].tolist() == [[4, 0, 0], [1, 2, 3]]
    assert rows.shape == (3, 3)
    assert [index.tolist() for index in rows.by_length(2)] == [[1, 2], [0]]
