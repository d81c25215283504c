"""Baselines of scikit-learn beside a winner: what they learn from, their limits, what the card says."""

import dataclasses
import importlib.util
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score
from tests.helpers_cli import PATIENCE

from evolvent.deliver.baselines import beside, fitting, process
from evolvent.deliver.baselines.bags import Bag, counted, log_ratio
from evolvent.deliver.baselines.beside import Baselines, judged, rows_of
from evolvent.deliver.baselines.fitting import Rows, outputs
from evolvent.deliver.baselines.process import Fitted, fitted
from evolvent.deliver.card import Card, page, rows
from evolvent.deliver.card.baselines import Baseline, better
from evolvent.task.opening import open_task

BOTH = ["training", "validation"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A table with gaps, categories and dates, and texts of three classes."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    lines = [
        f"{a:.4f},{'' if i % 9 == 0 else f'{b:.4f}'},{'red' if c > 0 else 'blue'},"
        f"2020-0{1 + i % 9}-11,{3 * a + (c > 0):.4f},{'yes' if a * c > 0 else 'no'}"
        for i, (a, b, c) in enumerate(x)
    ]
    (folder / "data.csv").write_text("a,b,c,when,size,side\n" + "\n".join(lines) + "\n")
    texts = []
    for i in range(300):
        words = list(rng.choice(["alpha", "beta", "gamma", "delta"], 5))
        words.insert(rng.integers(5), ["good", "bad", "not good"][i % 3])
        texts.append(f"{' '.join(words)},{'abc'[i % 3]}")
    (folder / "texts.csv").write_text("text,label\n" + "\n".join(texts) + "\n")
    return folder


def opened(files: Any, kind: str) -> Any:
    if kind == "text":
        return open_task(str(files / "texts.csv"), {"text": "text", "target": "label"})
    target = "side" if kind == "classification" else "size"
    left = "size" if kind == "classification" else "side"
    settings = {"target": target, "kind": kind, "ignore": [left]}
    return open_task(str(files / "data.csv"), settings)


def rows_in(task: Any, seed: int = 0) -> Any:
    """Return the rows of a task that has some."""
    found, why = rows_of(task, seed)
    assert found is not None and not why
    return found


# ---- the rows ------------------------------------------------------------------------------------


def test_a_table_is_taken_as_its_file_has_it(files):
    task = opened(files, "classification")
    found = rows_in(task)
    assert found.parts == ["training", "validation", "test"]
    lengths = {part: len(cells) for part, cells in found.numbers.items()}
    assert lengths == {"training": 204, "validation": 51, "test": 45}
    numbers, categories = found.numbers["training"], found.categories["training"]
    assert numbers.shape[1] == 3  # two numbers and a date
    gaps = np.isnan(np.concatenate([found.numbers[part] for part in found.parts])).sum(0)
    assert gaps.tolist() == [0, 34, 0]
    assert set(categories.ravel()) == {"red", "blue"}
    assert task.source is not None
    first = task.source.part("validation").column("a")  # the rows are those of the task's targets
    red = task.source.part("validation").column("c") == "red"
    sides = np.array(task.classes)[task.validation.y] == "yes"
    assert ((first > 0) == red).tolist() == sides.tolist()


def test_texts_are_those_of_the_file(files):
    task = opened(files, "text")
    found = rows_in(task, 0)
    assert found is not None
    for text, label in zip(found.texts["test"], task.test.y.tolist(), strict=True):
        assert ("bad" in text) == (label == 1)
        assert ("not good" in text) == (label == 2)


def test_the_source_stays_where_it_is(files):
    task = opened(files, "text")
    sent = pickle.loads(pickle.dumps(task))
    assert sent.source is None
    assert task.source is not None
    assert sent.fingerprint == task.fingerprint


def test_a_task_without_its_table_gives_the_inputs_of_networks(files):
    task = dataclasses.replace(opened(files, "regression"), source=None)
    found = rows_in(task, 0)
    assert found is not None
    assert np.array_equal(found.numbers["test"], task.test.x.astype(float))
    assert found.categories["test"].shape == (len(task.test), 0)
    texts, why = rows_of(dataclasses.replace(opened(files, "text"), source=None), 0)
    assert texts is None and "does not have its texts" in why


# ---- the models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "least"),
    [
        ("classification", "boosted-trees", 0.9),
        ("classification", "extra-trees", 0.9),
        ("classification", "linear", 0.3),
        ("regression", "boosted-trees", 0.9),
        ("regression", "extra-trees", 0.9),
        ("regression", "linear", 0.99),
        ("text", "nb-pairs", 0.95),
        ("text", "tf-idf", 0.95),
    ],
)
def test_every_baseline_learns_and_answers_alike_from_one_seed(files, kind, name, least):
    task = opened(files, kind)
    found = rows_in(task, 3)
    told = outputs(found, name, BOTH, "test")
    again = outputs(rows_in(task, 3), name, BOTH, "test")
    assert told.shape == (len(task.test), task.outputs)
    assert np.array_equal(told, again)
    assert judged(told, task.test.y, task)[0] >= least
    if kind != "regression":
        assert np.exp(told).sum(1) == pytest.approx(np.ones(len(told)))


def test_scores_are_those_of_scikit_learn(files):
    task = opened(files, "classification")
    told = outputs(rows_in(task), "linear", ["training"], "validation")
    y = task.validation.y
    score, error = judged(told, y, task)
    assert error == pytest.approx(np.sqrt(score * (1 - score) / len(y)), rel=0.2)
    assert score == pytest.approx(accuracy_score(y, told.argmax(1)), abs=1e-12)
    by_loss = dataclasses.replace(task, metric="neg-log-loss")
    assert judged(told, y, by_loss)[0] == pytest.approx(-log_loss(y, np.exp(told)), abs=1e-9)
    amount = opened(files, "regression")
    told = outputs(rows_in(amount), "linear", ["training"], "validation")
    expected = r2_score(amount.validation.y, told[:, 0])
    assert judged(told, amount.validation.y, amount)[0] == pytest.approx(expected, abs=1e-9)


def test_validation_is_answered_for_from_the_training_rows_alone(files):
    """Other validation targets change no answer, and other test rows no test answer of the others."""
    task = opened(files, "text")
    found = rows_in(task, 0)
    for name in fitting.NAMES["text"]:
        before = outputs(found, name, ["training"], "validation")
        other = {**found.y, "validation": (found.y["validation"] + 1) % 3}
        assert np.array_equal(
            before, outputs(dataclasses.replace(found, y=other), name, ["training"], "validation")
        )
        texts = {**found.texts, "test": ["alpha omega zeta"] * 9}
        changed = dataclasses.replace(found, texts=texts)
        assert outputs(changed, name, ["training"], "validation") == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("tokens", ["all", "characters"])
def test_texts_are_split_as_the_network_splits_them(tmp_path, tokens):
    """A control that does not see emoji, or codes by their letters, would make a network look good."""
    rng = np.random.default_rng(0)
    marks = ["\U0001f600", "\U0001f621"] if tokens == "all" else ["KX", "QZ"]
    filled = "tea on the bus" if tokens == "all" else "".join(rng.choice(list("AB"), 2))
    ends = ["" if tokens == "all" else str(rng.integers(1000, 9999)) for _ in range(200)]
    lines = [f"{filled} {marks[i % 2]} again,{i / 7:.3f},{i % 2}" for i in range(200)]
    if tokens == "characters":
        lines = [f"{filled}{marks[i % 2]}{end},{i / 7:.3f},{i % 2}" for i, end in enumerate(ends)]
    (tmp_path / "t.csv").write_text("text,a,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    alone = {"text": "text", "target": "label", "tokens": "all"}
    beside_others = {"texts": "text", "target": "label", "kind": "classification"}
    for settings, name in ((alone, "nb-pairs"), (alone, "tf-idf"), (beside_others, "linear")):
        task: Any = open_task(str(tmp_path / "t.csv"), settings)
        found = rows_in(task)
        assert list(found.tokens) == [tokens]
        assert judged(outputs(found, name, BOTH, "test"), task.test.y, task)[0] == 1


def test_a_class_without_training_rows_has_hardly_a_probability():
    y = {"training": np.array([0, 1] * 10), "validation": np.array([2] * 3)}
    numbers = {part: np.arange(len(each), dtype=float)[:, None] for part, each in y.items()}
    none = {part: np.empty((len(each), 0), object) for part, each in y.items()}
    table = Rows("numbers", 3, y, numbers=numbers, categories=none)
    texts = {"training": ["good", "bad"] * 10, "validation": ["good"] * 3}
    for found in (table, Rows("text", 3, y, texts=texts)):
        for name in fitting.NAMES[found.kind]:
            told = outputs(found, name, ["training"], "validation")
            assert told.shape == (3, 3)
            assert (np.exp(told[:, 2]) < 1e-9).all()


def test_words_and_pairs_are_counted():
    counts = counted(["a b a b", "b a", ""]).toarray()
    assert counts.shape == (3, 4)  # a, b, ab, ba
    assert counts.tolist() == [[2, 2, 2, 1], [1, 1, 0, 1], [0, 0, 0, 0]]
    assert counted(["", "!"]).shape == (2, 0)


def test_the_log_ratios_are_those_of_naive_bayes():
    x = counted(["good film", "good", "bad film"])
    ratio = log_ratio((x > 0).astype(np.float32), np.array([True, True, False]))
    inside, outside = (
        np.array([3.0, 2, 1, 2, 1]),
        np.array([1.0, 2, 2, 1, 2]),
    )  # good film bad gf bf
    expected = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    assert sorted(ratio) == pytest.approx(sorted(expected))


def test_texts_without_a_word_are_answered_for():
    bag = Bag("nb-pairs", 2).fit(counted(["good", "bad", "good", ""]), np.array([1, 0, 1, 0]))
    told = bag.predict_proba(counted(["good", "bad", "good", ""]))
    assert np.isfinite(told).all()
    assert told[0, 1] > 0.5 > told[1, 1]


# ---- the process ---------------------------------------------------------------------------------


def test_a_process_of_its_own_gives_the_same_answers(files):
    task = opened(files, "regression")
    found = rows_in(task, 1)
    told = fitted(found, PATIENCE)
    assert list(told) == ["boosted-trees", "linear", "extra-trees"]
    for name, each in told.items():
        assert not each.left_out
        assert (each.seconds or 0) > 0
        assert each.test is not None
        expected = outputs(found, name, ["training"], "validation")
        assert each.validation == pytest.approx(expected, abs=1e-9)
        assert each.test.shape == (len(task.test), 1)


def test_a_busy_machine_is_named(files, monkeypatch):
    """Whoever gets no time is not waited for without end."""
    found = rows_in(opened(files, "classification"), 0)
    monkeypatch.setattr(process, "PATIENCE", 0.0)
    told = fitted(found, 60.0)
    assert all("the busy machine gave it" in each.left_out for each in told.values())


def test_one_that_takes_too_long_is_ended_and_named(files, monkeypatch):
    found = rows_in(opened(files, "classification"), 0)
    monkeypatch.setattr(process, "PATIENCE", 1e4)
    told = fitted(found, 0.2)
    assert all("not done within 0.2 s" in each.left_out for each in told.values())


def test_a_failure_is_told_and_costs_no_other(files, monkeypatch, tmp_path):
    found = rows_in(opened(files, "text"), 0)
    broken = dataclasses.replace(found, outputs=2)  # there are three classes

    def failing(rows, name, learnt, asked):
        if name == "nb-pairs":
            raise ValueError("no\nway")
        return outputs(found, name, learnt, asked)

    monkeypatch.setattr(fitting, "outputs", failing)
    fitting.fit_all(tmp_path, broken)
    told = {name: process._outcome(tmp_path, name, "") for name in fitting.NAMES["text"]}
    assert told["nb-pairs"] == Fitted(left_out="no way")
    assert told["tf-idf"].validation is not None


def test_a_process_that_breaks_is_no_end_of_the_run(files, monkeypatch):
    found = rows_in(opened(files, "text"), 0)
    told = fitted(dataclasses.replace(found, kind="numbers"), PATIENCE)
    assert all("ended with code 1" in each.left_out for each in told.values())


# ---- beside a winner -----------------------------------------------------------------------------


class OfRun:
    """As much of a setup as baselines read."""

    def __init__(self, task: Any, *, controls: bool = True, seconds: float | None = None) -> None:
        self.task = task
        self.train = type("Train", (), {"controls": controls})
        self.budget = type("Budget", (), {"seconds": seconds})
        self.request = type("Request", (), {"seed": 0})


def test_without_scikit_learn_a_line_says_what_is_left_out(files, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    lines: list[str] = []
    made = Baselines(setup(opened(files, "text")), None, lines.append)
    made.fit()
    told = made.scored()
    assert {each.left_out for each in told.values()} == {
        "scikit-learn is not installed: pip install scikit-learn"
    }
    assert len(lines) == 2 and "pip install scikit-learn" in lines[0]


def test_no_controls_no_time_no_baselines(files):
    task = opened(files, "text")
    off = Baselines(setup(task, controls=False), None, print)
    late = Baselines(setup(task, seconds=20.0), 5.0, print)
    off.fit()
    late.fit()
    assert off.scored() == {}
    assert {each.left_out for each in late.found.values()} == {"no time is left for it"}


def test_a_tenth_of_the_budget_is_the_limit(files, monkeypatch):
    limits: list[float] = []

    def limited(rows, limit):
        limits.append(limit)
        return {}

    monkeypatch.setattr(beside, "fitted", limited)
    for seconds in (300.0, None):
        Baselines(setup(opened(files, "text"), seconds=seconds), seconds, print).fit()
    assert limits == [30.0, 60.0]


def setup(task: Any, **more: Any) -> Any:
    return OfRun(task, **more)


# ---- the card ------------------------------------------------------------------------------------

CARD = Card(
    task="digits",
    recipe="random",
    metric="accuracy",
    val_score=0.87,
    test_score=0.87,
    data={"kind": "text", "validation": 2500, "test": 25000},
)


def card(**scores):
    made = {
        name: Baseline(val_score=val, test_score=test, seconds=12.0)
        for name, (val, test) in scores.items()
    }
    return dataclasses.replace(CARD, baselines={k.replace("_", "-"): v for k, v in made.items()})


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ({"tf_idf": (0.88, 0.885), "nb_pairs": (0.91, 0.9155)}, "nb-pairs"),
        ({"nb_pairs": (0.86, 0.9155)}, None),  # not on validation
        ({"nb_pairs": (0.91, 0.86)}, None),  # not on test
        ({"nb_pairs": (0.872, 0.872)}, None),  # luck
        ({"nb_pairs": (0.91, None)}, None),  # test was not answered for
        ({}, None),
    ],
)
def test_better_is_better_on_both_parts_beyond_luck(scores, found):
    assert better(card(**scores)) == found


def test_without_test_data_validation_decides():
    alone = dataclasses.replace(card(nb_pairs=(0.93, None)), test_score=None)
    assert better(alone) == "nb-pairs"
    assert better(dataclasses.replace(alone, val_score=0.925)) is None


def test_the_card_begins_with_the_better_method():
    from evolvent.deliver.card.baselines import verdict

    made = card(nb_pairs=(0.91, 0.9155))
    made = dataclasses.replace(made, verdict=verdict(made))
    text = page(made)
    assert text.splitlines()[2].startswith("**Better than this network, by more than chance: words")
    assert "test accuracy 0.9155 against 0.8700" in text
    assert "validation accuracy 0.9100 against 0.8700" in text
    label, _, val, test = rows(made)[-1].cells
    assert "naive Bayes" in label
    assert (val, test) == ("0.9100", "0.9155")
    assert Card.from_json(made.to_json()).baselines == made.baselines
    assert "**Better" not in page(card(nb_pairs=(0.8, 0.8)))


def test_what_is_left_out_is_said_with_its_reason():
    left = {"extra-trees": Baseline(left_out="too slow"), "linear": Baseline(left_out="too slow")}
    made = dataclasses.replace(CARD, baselines=left)
    assert "Left out: extra-trees, linear (too slow)." in page(made)
    assert len(rows(made)) == 1
