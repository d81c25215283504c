"""The card of a network: its values, its page, its files."""

import json
from typing import Any

import pytest

from evolvent.deliver.card import Card, Control, page, rows, write
from evolvent.deliver.front import Front
from evolvent.engine.alarms import Alarm, SharedWeights
from evolvent.errors import RunError

CARD: dict[str, Any] = {
    "task": "/data/cats.npz",
    "recipe": "amoebanet",
    "search_seconds": 61.0,
    "trials": 30,
    "seed": 0,
    "train_epochs": 12.5,
    "total_epochs": 12.5,
    "train_examples": 1438,
    "train_seconds": 33.0,
    "metric": "accuracy",
    "val_score": 0.9876,
    "params": 12345,
    "test_score": 0.9765,
    "controls": {
        "random": {"best_of_first_random": 20, "params": 54321, "test_score": 0.9},
        "plain": {"params": 12000, "test_score": 0.95},
    },
    "random_is_the_winner": False,
    "flops": 1000000,
    "parity_max_abs_diff": 1.2e-7,
}


def text(card):
    return page(Card.from_json(card))


# ---- the values ----------------------------------------------------------------------------------


FULL = Card(
    task="digits",
    recipe="gdas",
    metric="accuracy",
    arch=("a", ("b", 1)),
    candidate=7,
    val_score=0.9,
    controls={"plain": Control(params=5, test_score=0.8), "tree": Control(test_score=0.7)},
    classes=("0", "1"),
    front=Front(("params",), ({"id": 7, "score": 0.9, "params": 5.0},)),
    shared_weights=SharedWeights(weight_steps=30, alarms=(Alarm(7, "entropy", "seen", "do"),)),
    other={"of_tomorrow": 1},
)


def test_a_card_comes_back_from_its_file(tmp_path):
    write(FULL, tmp_path)
    stored = json.loads((tmp_path / "card.json").read_text())
    again = Card.from_json(stored)
    assert json.loads(json.dumps(again.to_json())) == stored
    assert again.controls == FULL.controls
    assert again.front == FULL.front
    assert again.shared_weights == FULL.shared_weights
    assert (tmp_path / "card.md").read_text() == page(again)


def test_every_card_has_the_same_keys_and_those_of_other_versions():
    always = Card(task="digits", recipe="random", metric="accuracy").to_json()
    assert always.keys() >= {
        *("task", "recipe", "arch", "params", "flops", "val_score", "test_score", "metric"),
        *("search_seconds", "train_seconds", "trials", "seed", "parity_max_abs_diff"),
    }
    assert FULL.to_json().keys() == always.keys() | {"of_tomorrow"}
    assert Card.from_json(FULL.to_json()).other == {"of_tomorrow": 1}


def test_what_an_older_card_does_not_have_is_none():
    old = Card.from_json(CARD | {"controls": None})
    assert (old.arch, old.onnx_note, old.controls) == (None, None, {})
    least = Card.from_json({"task": "digits", "recipe": "random", "metric": "accuracy"})
    assert "None" not in page(least)
    with pytest.raises(RunError, match=r"no 'metric'.*resume"):
        Card.from_json({"task": "digits", "recipe": "random"})


def test_the_json_is_the_last_to_be_written(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "evolvent.deliver.card.write_atomically", lambda file, text: written.append(file.name)
    )
    write(FULL, tmp_path)
    assert written == ["card.md", "card.json"]


@pytest.mark.parametrize(
    ("more", "delivery"),
    [
        ({}, "winner"),
        ({"solved": False}, "genes"),
        ({"looked_up": True}, "table"),
        ({"run": "runs/a"}, "candidate"),
        ({"run": "runs/a", "found_on": "digits"}, "training"),
    ],
)
def test_a_card_knows_how_its_network_came_about(more, delivery):
    card = Card.from_json(CARD | {"candidate": 3, "arch": ["a"]} | more)
    assert card.delivery == delivery
    told = page(card)
    assert told.startswith("# ")
    assert "None" not in told
    assert "\n\n\n" not in told
    assert ("import model" in told) == (delivery != "table")


# ---- the page ------------------------------------------------------------------------------------


def test_the_page_has_the_figures_and_what_they_rest_on():
    told = text(CARD)
    for figure in (
        "12,345",
        "0.9765",
        "0.9876",
        "54,321",
        "0.9000",
        "0.9500",
        "1.2e-07",
        "cats.npz",
    ):
        assert figure in told
    assert "best of the first 20 random candidates" in told
    assert "test was read once" in told


@pytest.mark.parametrize("winner", [True, False])
def test_the_page_says_when_chance_won(winner):
    said = "The winner is itself the best of the first random candidates" in text(
        CARD | {"random_is_the_winner": winner}
    )
    assert said == winner


def test_the_page_says_when_there_are_no_test_data():
    assert "no test data" in text(CARD | {"test_score": None})


def test_scores_of_different_weights_never_stand_in_one_row():
    def scores(**more):
        card = Card.from_json(CARD | {"controls": {}} | more)
        assert "0.9876" in page(card)
        (row,) = rows(card)
        return (row.val_score, row.test_score)

    assert scores() == scores(same_weights=False) == (None, 0.9765)
    assert scores(test_score=None) == (None, None)
    assert scores(same_weights=True) == (0.9876, 0.9765)
    assert scores(solved=True) == scores(looked_up=True) == (0.9876, 0.9765)
    assert scores(looked_up=True, same_weights=False) == (None, 0.9765)


def test_the_weights_that_validation_chose_are_told():
    assert "0.9876 when it was chosen, trained on the training data alone" in text(
        CARD | {"finalists": {"3": 0.9876}}
    )
    assert "0.9876 when it was chosen, as the search had trained it" in text(
        CARD | {"finalists": {}}
    )
    assert "0.9876 when it was chosen, after 12 epochs" in text(
        CARD | {"looked_up": True, "same_weights": False, "search_epochs": 12.0}
    )
    assert "when it was chosen" not in text(CARD | {"same_weights": True})


def test_columns_without_a_number_are_left_out():
    def head(**more):
        return next(line for line in text(CARD | more).splitlines() if line.startswith("|"))

    assert head() == "| network | parameters | test accuracy |"
    assert head(same_weights=True) == (
        "| network | parameters | validation accuracy | test accuracy |"
    )
    assert head(test_score=None, controls={}) == "| network | parameters |"


def test_a_control_of_any_name_is_a_row():
    last = rows(FULL)[-1]
    assert (last.label, last.test_score, last.params) == ("control: tree", 0.7, None)
    assert "| control: tree | - | 0.7000 |" in page(FULL).splitlines()


def test_a_training_that_was_cut_is_told():
    control = CARD["controls"]["plain"] | {"cut": True}
    told = text(CARD | {"cut": True, "controls": {"plain": control}})
    assert told.count("cut by the budget") == 2
    assert "cut by the budget" not in text(CARD)


def test_without_controls_nothing_is_compared():
    assert "same recipe" in text(CARD)
    assert "same recipe" not in text(CARD | {"controls": {}})


def test_the_front_and_the_shared_weights_are_sections():
    told = page(FULL)
    assert "30 batches" in told
    assert "**alarm: seen: do.**" in told
    assert told.split("## ")[-1].startswith("The front: accuracy against params")
    assert "| 7 | 0.9000 | 5 |" in told
    assert "## The front" not in text(CARD)
    assert "shared weights" not in text(CARD)


def test_a_network_whose_weights_are_genes_is_not_to_be_trained():
    told = text(CARD | {"run": "runs/a", "data": {"kind": "control"}, "test_score": None})
    assert "Its weights are genes" in told
    assert "evolvent train" not in told
    assert "12,345 connections" in told


def test_controls_of_equal_seconds_are_said_to_be_what_they_are():
    plain = CARD["controls"]["plain"]
    controls = {"plain": plain, "usual": plain, "briefly": plain | {"train_seconds": 23.4}}
    told = text(CARD | {"controls": controls})
    assert "control: the plain network, by the usual training instead of the winner's" in told
    assert "the winner, trained as long as the controls (23 s)" in told
    assert "same recipe" not in told
    assert "trained on the training part alone, equally long in seconds" in told
    assert "once for each network of this table" in told


def test_controls_that_learnt_less_are_not_said_to_be_trained_as_the_winner():
    """They were trained as long as a candidate, and nothing of the winner is as long beside them."""
    plain = CARD["controls"]["plain"]
    controls = {"plain": plain | {"train_examples": 1000}, "usual": plain}
    card = CARD | {"controls": controls, "data": {"train": 1000, "validation": 438, "test": 300}}
    for more in ({}, {"kept": "so", "same_weights": True}):
        told = text(card | more)
        assert "same recipe" not in told and "final trainings" not in told
        assert "trained on the training part alone, as long in seconds as the winner" in told
    controls = {name: plain | {"train_examples": 1438} for name in ("plain", "usual")}
    told = text(card | {"controls": controls})
    assert "All but the one of the usual training were trained by the same recipe" in told


def beside_known(won: float, known: float, **more: Any) -> dict[str, Any]:
    controls = {
        name: {"params": 12000, "test_score": score, "train_seconds": 23.4}
        for name, score in (("known", known), ("briefly", won))
    }
    return CARD | {"controls": controls, "known": "resnet", "data": {"test": 4000}} | more


def test_a_card_says_what_the_search_gained_over_the_network_it_began_with():
    told = text(beside_known(0.85, 0.82))
    assert (
        "`resnet`, the best hand-made network that it began with, the search gained +0.0300" in told
    )
    error = (0.85 * 0.15 / 4000 + 0.82 * 0.18 / 4000) ** 0.5
    assert f"(standard error {error:.4f}: more than chance explains)" in told
    assert "both trained for 23 s for 61 s of search" in told
    assert "control: resnet, the best hand-made network that the search began with" in told
    assert "-0.0010 test accuracy" in text(beside_known(0.85, 0.851))
    assert "within chance" in text(beside_known(0.85, 0.851))


def test_a_known_member_that_wins_is_said_to_be_one():
    told = text(beside_known(0.85, 0.82, known_is_the_winner=True))
    assert "The winner is `resnet`, a hand-made network that the search began with" in told
    assert "the search gained" not in told


def test_of_a_score_that_is_no_share_the_error_of_the_gain_is_not_made_up():
    assert "the search gained" not in text(beside_known(-0.3, -0.4, metric="neg-log-loss"))
