"""N-grams beside the language model that a run delivers: when, how weighed, and exact after a kill."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from evolvent import search
from evolvent.deliver import finals, interpolation
from evolvent.deliver.card import Card, page
from evolvent.deliver.card.baselines import Baseline, better
from evolvent.deliver.card.table import rows
from evolvent.deliver.own import state_of
from evolvent.engine.store import Store
from evolvent.engine.weights import Weights
from evolvent.network.fit import final_parts, scored
from evolvent.network.ngrams import tables
from evolvent.task.language import load as load_text
from evolvent.task.language import tokens_of
from evolvent.task.portable.running import beginning

SETTINGS: dict[str, dict[str, Any]] = {
    "space": {"nodes": 2},
    "estimator": {"width": 8, "epochs": 1.0, "batch": 4, "lr": 0.02, "dropout": 0.0},
    "train": {"epochs": 2.0, "controls": False},
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text of thirty words, each of which is followed by one of four."""
    rng = np.random.default_rng(0)
    following = rng.integers(0, 30, (30, 4))
    words: list[str] = []
    last = 0
    for chosen in rng.choice(4, 4000, p=[0.6, 0.2, 0.1, 0.1]):
        last = following[last, chosen]
        words.append(f"word{last}" + ("\n" if len(words) % 10 == 9 else ""))
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text(" ".join(words), "utf-8")
    return load_text(f"language:{file}", length=10)


def run_of(task, folder, train=None, **more):
    settings = SETTINGS | {"train": SETTINGS["train"] | (train or {})}
    given = {"budget": "2t", "workers": 0, "out": folder, "settings": settings} | more
    return search(task, **given)


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    return run_of(text, tmp_path_factory.mktemp("ngrams") / "run")


def test_it_is_better_than_the_network_and_says_so(run):
    card = Card.from_json(run.card)
    assert Card.from_json(card.to_json()) == card
    assert card.ngrams is not None
    assert card.ngrams.gain > 2 * card.ngrams.deviation
    assert run.card["test_score"] > run.card["controls"]["single"]["test_score"]
    assert [row.label for row in rows(card)][1] == "the winner alone"
    text = page(card)
    assert f"{card.ngrams.count:,} n-grams of training and validation part" in text
    assert f"gained {card.ngrams.gain:.4f} +- {card.ngrams.deviation:.4f}" in text


def test_n_grams_alone_are_not_called_better_for_their_validation_score(run):
    """That of the network alone, when it was chosen, is no score of what is delivered."""
    card = Card.from_json(run.card)
    own = run.card["test_score"]
    better_there: dict[str, Any] = {
        "val_score": run.card["val_score"] + 1,
        "val_error": 0.01,
        "test_error": 0.01,
    }
    same = Baseline(**better_there, test_score=own + 0.001)
    beside = dataclasses.replace(card, baselines={"kneser-ney": same})
    assert better(beside) is None
    ahead = dataclasses.replace(same, test_score=own + 0.5)
    assert better(dataclasses.replace(card, baselines={"kneser-ney": ahead})) == "kneser-ney"


def test_its_n_grams_are_those_of_training_and_validation_part(run, text):
    task, net = text, run.best.load()
    learnt = tokens_of(task.everything)
    for name, value in tables(learnt, task.outputs, beginning(dict(task.reading))).items():
        assert np.array_equal(net.logits.ngrams.state_dict()[name].numpy(), value)


def test_its_score_is_that_of_both_and_its_network_is_the_winner(run, text):
    task, net = text, run.best.load()
    assert scored(net, task, task.test)[task.metric] == pytest.approx(
        run.card["test_score"], abs=1e-5
    )
    state = state_of(Weights(run.folder / "weights"), "winner")
    for name, value in state.items():
        own = net.state_dict()[name.replace("logits.", "logits.models.0.")]
        assert np.array_equal(own.numpy(), value)


def test_without_it_the_network_is_delivered_alone(run, text, tmp_path):
    alone = run_of(text, tmp_path / "run", {"ngrams": False})
    assert alone.card["ngrams"] is None
    assert "single" not in alone.card["controls"]
    assert alone.card["train_examples"] == len(text.everything)
    assert alone.card["test_score"] < run.card["test_score"]
    assert "NGrams" not in (alone.folder / "best" / "model.py").read_text()


def test_limits_hold_for_all_that_is_delivered(text, tmp_path):
    limited = run_of(text, tmp_path / "run", max_params=100_000)
    assert limited.card["ngrams"] is None
    assert limited.card["train_examples"] == len(text.everything)  # nothing is left out for them


def test_it_is_weighed_by_text_that_the_final_training_left_out(run, text):
    learnt, held = final_parts(text, hold=True)
    assert 0 < len(held) < len(text.validation)
    assert run.card["train_examples"] == len(learnt) == len(text.everything) - len(held)
    whole = np.concatenate([tokens_of(learnt), tokens_of(held)])
    assert np.array_equal(whole, tokens_of(text.everything))


def test_a_winner_that_keeps_its_weights_is_weighed_by_the_validation_part(
    text, tmp_path, monkeypatch
):
    monkeypatch.setattr(finals, "_useless", lambda *given: "it came out worse")
    kept = run_of(text, tmp_path / "run")
    assert kept.card["kept"] == "it came out worse"
    assert kept.card["train_examples"] == len(text.train)
    assert kept.card["ngrams"]["gain"] > 0


def test_other_networks_are_in_the_mean_where_they_make_it_better(text, tmp_path, monkeypatch):
    """Here each is, by decree, but for one."""
    monkeypatch.setattr(interpolation, "_picked", lambda *given: [0, 2, 3])
    several = run_of(text, tmp_path / "run", {"controls": True, "ensemble": True})
    told = several.card["ngrams"]["networks"]
    assert list(told) == ["winner", "plain", "gru"]
    controls = several.card["controls"]
    params = [controls[name]["params"] for name in ("single", "plain", "gru")]
    assert several.card["params"] == sum(params)
    net = several.best.load()
    assert scored(net, text, text.test)[text.metric] == pytest.approx(
        several.card["test_score"], abs=1e-5
    )
    label = rows(Card.from_json(several.card))[0].label
    assert "beside 2 other networks and" in label
    assert "an LSTM (" in page(Card.from_json(several.card))
    again = run_of(text, tmp_path / "run", {"controls": True, "ensemble": True})
    assert again.card == several.card


def test_a_network_is_picked_if_the_mean_is_better_with_it():
    rng = np.random.default_rng(0)
    known = np.zeros(2000, np.int64)
    good = rng.uniform(0.2, 0.6, 2000)
    other = 0.8 - good  # right where the first is wrong
    picked = interpolation._picked(np.stack([good, good, other]), 0.1 + 0 * good, known)
    assert picked == [0, 2]


@pytest.mark.parametrize("key", ["trained/winner", "trained/ngrams"])
def test_killed_in_between_a_resumed_run_gives_the_same(run, text, tmp_path, monkeypatch, key):
    with monkeypatch.context() as patch:
        note = Store.note

        def dying(self, name, value):
            if name == key:
                raise KeyboardInterrupt
            note(self, name, value)

        patch.setattr(Store, "note", dying)
        with pytest.raises(KeyboardInterrupt):
            run_of(text, tmp_path / "run")
    again = run_of(text, tmp_path / "run")
    assert again.card["ngrams"] == run.card["ngrams"]
    assert again.card["test_score"] == run.card["test_score"]
    files = [each.folder / "best" / "weights.safetensors" for each in (run, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
