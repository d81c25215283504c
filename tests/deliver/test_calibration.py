"""A delivery's probabilities: from the rows that chose the winner to the files that are handed over."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evolvent import search
from evolvent.deliver.trainings import Trainings
from evolvent.network.data import Resident
from evolvent.network.fit import final_parts
from evolvent.network.train import Hyperparameters
from evolvent.task.images import image_task

SMOOTH = {
    "estimator": {"epochs": 4.0, "label_smoothing": 0.4},
    "train": {"onnx": False, "epochs": 6.0},
}


def searched(folder, **train):
    """A search of easy images by networks that are taught to claim too little."""
    rng = np.random.default_rng(0)
    patterns, y = rng.normal(size=(3, 6, 6, 1)), np.arange(2000) % 3
    x = (128 + 60 * patterns[y] + 30 * rng.normal(size=(2000, 6, 6, 1))).clip(0, 255)
    task = image_task("easy", x.astype(np.uint8), y, flip=False, validation=0.3)
    settings = {"estimator": SMOOTH["estimator"], "train": SMOOTH["train"] | train}
    run = search(
        task, recipe="random", budget="3t", workers=0, seed=0, out=folder, settings=settings
    )
    return run, task


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("calibrated") / "run")


def outputs(net, task):
    return torch.cat([net(x) for x, _ in Resident(task, task.test).in_order(100)]).detach()


def test_networks_that_claim_too_little_are_told_to_claim_more(delivered):
    run, _ = delivered
    assert run.card["temperature"] < 0.8
    assert (
        f"divided by {run.card['temperature']:g}" in (run.folder / "best" / "card.md").read_text()
    )


def test_the_source_divides_and_the_card_tells_the_loss_of_that(delivered):
    run, task = delivered
    assert (
        f"Temperature(value={run.card['temperature']})"
        in (run.folder / "best" / "model.py").read_text()
    )
    said = outputs(run.best.load(), task)
    loss = torch.nn.functional.cross_entropy(said, torch.from_numpy(np.asarray(task.test.y)))
    assert run.card["test_metrics"]["loss"] == pytest.approx(float(loss), rel=1e-4)
    raw = torch.nn.functional.cross_entropy(
        said * run.card["temperature"], torch.from_numpy(np.asarray(task.test.y))
    )
    assert loss < raw
    assert run.card["parity_max_abs_diff"] == 0.0


def test_the_rows_that_tell_it_are_learnt_from_without_it(delivered, tmp_path):
    run, task = delivered
    plain, _ = searched(tmp_path / "run", calibrate=False)
    assert plain.card["temperature"] is None
    assert "Temperature" not in (plain.folder / "best" / "model.py").read_text()
    everything = len(task.train) + len(task.validation)
    assert plain.card["train_examples"] == everything
    assert run.card["train_examples"] == everything - len(task.validation) // 10


@pytest.mark.parametrize("balanced", ["", "search", "final"])
def test_balanced_classes_have_no_temperature(delivered, balanced):
    """They claim a rare class too often by a factor, which no temperature makes up for."""
    hyper = {part: Hyperparameters() for part in ("search", "final")}
    if balanced:
        hyper[balanced] = Hyperparameters(class_weight="balanced")
    networks = {part: SimpleNamespace(hyper=each) for part, each in hyper.items()}
    train = SimpleNamespace(calibrate=True, network=networks["final"])
    setup = SimpleNamespace(task=delivered[1], network=networks["search"], train=train)
    parts: Any = (None, None, setup, *[None] * 5)
    assert Trainings(*parts).calibrates == (not balanced)


def test_rows_that_are_left_out_are_the_same_every_time_and_of_validation():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (3000, 4, 4, 1), np.uint8), np.arange(3000) % 2
    task = image_task("t", x, y, flip=False, validation=0.3)
    learnt, held = final_parts(task, hold=True)
    assert len(held) == len(task.validation) // 10
    assert len(learnt) + len(held) == len(task.train) + len(task.validation)
    assert np.array_equal(learnt.x[: len(task.train)], task.train.x)
    seen = {each.tobytes() for each in learnt.x}
    assert not seen & {each.tobytes() for each in held.x}
    assert np.array_equal(final_parts(task, hold=True)[1].x, held.x)
    everything, none = final_parts(task, hold=False)
    assert (len(everything), len(none)) == (len(task.train) + len(task.validation), 0)
