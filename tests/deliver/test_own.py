"""What is delivered is never worse than what was chosen: a winner that keeps its own weights."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from evolvent import search
from evolvent.deliver import export, finals, timing
from evolvent.deliver.card import Card, page, rows
from evolvent.deliver.card.falling import fall_of
from evolvent.deliver.own import Own
from evolvent.engine.weights import Weights
from evolvent.execute import worker
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters

SMALL: dict[str, dict[str, Any]] = {
    "estimator": {"epochs": 2.0, "width": 4},
    "train": {"proof": False, "onnx": False, "controls": False},
}


def run_of(toy, tmp_path, **options):
    return search(
        toy, budget="3t", workers=0, out=tmp_path / "run", settings=SMALL | options, seed=1
    )


def test_the_weights_of_the_best_few_are_kept_and_no_others(toy, tmp_path):
    given = {"train": SMALL["train"] | {"finalists": 1}}
    run = search(
        toy, budget="9t", workers=0, out=tmp_path / "run", settings=SMALL | given, recipe="random"
    )
    files = {file.stem for file in (run.folder / "weights").iterdir()}
    best = {str(row["id"]) for row in run.leaderboard(4)}
    assert {name for name in files if name.isdigit()} == best
    stored = {str(r.candidate.id) for r in run.results() if r.weights}
    assert best <= stored


def test_a_final_training_that_is_cut_falls_back_to_own_weights(toy, tmp_path, monkeypatch):
    def cut(spec, space, job):
        if job.name == "winner":
            job = dataclasses.replace(job, deadline=time.monotonic() - 1)
        return worker.fit_for(spec, space, job)

    monkeypatch.setattr(
        "evolvent.deliver.trainings.fit",
        lambda context, job: cut(context.spec, context.space, job),
    )
    run = run_of(toy, tmp_path)
    card = run.card
    assert "the budget cut the final training" in card["kept"]
    assert card["same_weights"]
    assert not card["cut"]
    assert card["total_epochs"] >= 2.0
    own = {name for name in ("0", "1", "2") if Weights(run.folder / "weights").has(name)}
    assert str(card["candidate"]) in own
    net = run.best.load()
    stored = [
        Weights(run.folder / "weights").read(name)
        for name in (str(card["candidate"]), f"finalist-{card['candidate']}")
    ]
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    assert any(
        all(np.array_equal(value, state[name]) for name, value in weights.items())
        for state in stored
    )


def test_a_final_training_that_is_worse_falls_back_before_test_is_read(toy, tmp_path, monkeypatch):
    """What learnt from the validation rows and is worse on these is worse."""
    jobs = []

    def spoilt(context, job):
        jobs.append(job)
        if job.name == "winner":
            job = dataclasses.replace(job, epochs=0.0)  # fresh weights
        return worker.fit(context, job)

    monkeypatch.setattr("evolvent.deliver.trainings.fit", spoilt)
    given = {"estimator": SMALL["estimator"] | {"epochs": 20.0}}
    run = run_of(toy, tmp_path, **given)
    assert "worse" in run.card["kept"]
    assert run.card["val_score"] > 0.8
    assert run.card["test_score"] > 0.6
    assert "**the winner** | " in page(Card.from_json(run.card))


@pytest.mark.parametrize(("epochs", "useful"), [(1.0, False), (3.95, True), (9.0, True)])
def test_a_training_that_had_to_be_shortened_below_its_own_is_not_delivered(epochs, useful):
    lengths: dict[str, Any] = {
        "epochs": 4.0,
        "total_epochs": 4.0,
        "train_seconds": 1.0,
        "cut": False,
    }
    own = Own("3", 0.9, **lengths, size=Size(), hyper=Hyperparameters())
    numbers = {"epochs": epochs, "total_epochs": epochs, "cut": False, "shortened": True}
    assert bool(finals._useless(numbers, own, "accuracy")) != useful
    assert finals._useless(numbers | {"shortened": False}, own, "accuracy") == ""


def test_without_time_nothing_is_trained_and_own_weights_are_delivered(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(timing.Timing, "left", property(lambda self: 0.0))
    monkeypatch.setattr("evolvent.deliver.trainings.fit", None)
    run = search(
        toy,
        recipe="plain-cells",
        budget="8s",
        workers=0,
        out=tmp_path / "run",
        settings=SMALL | {"estimator": {"epochs": 0.5, "width": 4}},
    )
    card = run.card
    assert card["kept"] == finals.NO_TIME
    assert card["controls"] == {}
    assert card["val_score"] == next(
        r.score for r in run.results() if r.candidate.id == card["candidate"]
    )
    assert card["total_epochs"] == next(
        r.total_epochs for r in run.results() if r.candidate.id == card["candidate"]
    )


def test_networks_of_a_smaller_search_are_delivered_in_its_size(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(finals, "_useless", lambda *args: "for this test")
    given = {"train": SMALL["train"] | {"width": 12, "epochs": 1.0}}
    run = run_of(toy, tmp_path, **given)
    assert run.card["size"]["width"] == 4
    assert run.best.load()(np_images(toy)).shape == (2, toy.outputs)


def np_images(task):
    import torch

    return torch.zeros(2, *task.input_shape)


def own(score):
    return Own("1", score, 1.0, 1.0, 1.0, False, Size(), Hyperparameters())


@pytest.mark.parametrize(
    ("score", "count", "least"),
    [(0.965, 143, 0.9343), (0.5, 100, 0.4), (1.0, 50, 0.98 - 0.0004), (0.0, 10, -0.2)],
)
def test_worse_is_two_deviations_of_a_share(score, count, least):
    assert own(score).least(count) == pytest.approx(least, abs=0.03)
    assert own(score).least(count) < score


# ---- the card ------------------------------------------------------------------------------------

CARD = Card(
    task="t",
    recipe="r",
    metric="accuracy",
    candidate=3,
    params=10,
    val_score=0.965,
    test_score=0.0975,
    same_weights=False,
    trials=20,
    data={"kind": "image", "validation": 143, "test": 359},
)


def test_a_fall_beyond_chance_is_said_in_words():
    assert fall_of(CARD) == pytest.approx(0.8675)
    assert "Test accuracy is 0.0975" in page(CARD)
    assert "chance does not explain" in page(CARD)


@pytest.mark.parametrize(
    "change",
    [
        {"test_score": 0.94},
        {"test_score": 0.99},
        {"test_score": None},
        {"val_score": None},
        {"data": {"kind": "image"}},
        {"data": {"kind": "image", "validation": 4, "test": 3}, "test_score": 0.7},
    ],
)
def test_what_chance_explains_is_not_said(change):
    card = dataclasses.replace(CARD, **change)
    assert fall_of(card) is None
    assert "chance does not explain" not in page(card)


def test_scores_of_different_weights_are_never_in_one_row():
    (row,) = rows(CARD)
    assert (row.val_score, row.test_score) == (None, 0.0975)
    kept = dataclasses.replace(CARD, same_weights=True, kept=finals.NO_TIME, test_score=0.95)
    (row,) = rows(kept)
    assert (row.val_score, row.test_score) == (0.965, 0.95)
    assert f"chose it for: {finals.NO_TIME}" in page(kept)
    assert "final training had the validation data" not in page(kept)


def test_a_missing_proof_is_said():
    assert "was not run by itself" in page(dataclasses.replace(CARD, parity_note=export.NO_TIME))
