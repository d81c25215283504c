"""Training one candidate fully: longer, larger, on other data."""

import json

import numpy as np
import pytest

import evolvent as ev
from evolvent import full_training
from evolvent.errors import DataError, RunError, SettingError
from evolvent.execute import Inline
from evolvent.full_training import train
from evolvent.task.opening import open_task

TINY = {"estimator": {"epochs": 1.0, "width": 4}, "train": {"epochs": 2.0}}


def arrays(task):
    part = task.everything
    return {"x_train": part.x, "y_train": part.y, "x_test": task.test.x, "y_test": task.test.y}


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("full")
    np.savez(folder / "toy.npz", **arrays(toy))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.export.parity", lambda *args: 0.0)
        return ev.search(
            folder / "toy.npz", out=folder / "run", budget="4t", workers=0, settings=TINY
        ).folder


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Train in this process, and prove exports elsewhere: both take most of the time."""
    monkeypatch.setattr(full_training, "LocalSlots", lambda spec, workers: Inline(spec))
    monkeypatch.setattr("evolvent.export.parity", lambda *args: 0.0)


def test_the_winner_is_trained_as_long_as_said_and_exported(run, tmp_path):
    card = train(run, out=tmp_path / "net", epochs=3.0)
    assert card["candidate"] == ev.Run(run).card["candidate"]
    assert card["train_epochs"] == pytest.approx(3.0)
    assert json.loads((tmp_path / "net" / "card.json").read_text()).keys() == card.keys()
    assert {"model.py", "weights.safetensors"} <= {f.name for f in (tmp_path / "net").iterdir()}


def test_any_candidate_can_be_trained_larger(run, tmp_path):
    small = train(run, out=tmp_path / "small", candidate=1, epochs=1.0)
    large = train(run, out=tmp_path / "large", candidate=1, epochs=1.0, width=8, cells=2)
    assert small["arch"] == large["arch"]
    assert large["params"] > 3 * small["params"]
    bare = train(run, out=tmp_path / "bare", candidate=1, epochs=1.0, cells=0)
    assert bare["params"] < small["params"]


def test_it_is_transferred_to_data_of_another_form(run, toy, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (60, 12, 12, 3), np.uint8), np.arange(60) % 5
    np.savez(tmp_path / "other.npz", x_train=x, y_train=y)
    card = train(run, out=tmp_path / "net", task=str(tmp_path / "other.npz"), epochs=1.0)
    assert 0 <= card["val_score"] <= 1
    assert card["task"].endswith("other.npz")


def test_the_same_seed_gives_the_same_network(run, tmp_path):
    def weights(name, seed):
        train(run, out=tmp_path / name, epochs=1.0, seed=seed)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0) != weights("c", 1)


def test_a_time_may_be_given_instead(run, tmp_path, monkeypatch):
    monkeypatch.setattr(full_training, "pace", lambda *args, **options: 0.01)
    card = train(run, out=tmp_path / "net", budget="20s")
    examples = len(open_task(card["task"], {}).train)
    assert card["train_epochs"] == pytest.approx(0.9 * 20 / 0.01 / examples, rel=0.1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, SettingError, "either --epochs or --budget"),
        ({"epochs": 1.0, "budget": "1m"}, SettingError, "either --epochs or --budget"),
        ({"budget": "10t"}, SettingError, "takes a time"),
        ({"epochs": -1.0}, SettingError, "--epochs -1"),
        ({"epochs": float("nan")}, SettingError, "--epochs nan"),
        ({"epochs": 1.0, "width": 0}, SettingError, "--width 0"),
        ({"epochs": 1.0, "cells": -1}, SettingError, "--cells -1"),
        ({"epochs": 1.0, "candidate": 99}, RunError, "no candidate 99"),
        ({"epochs": 1.0, "task": "no/such/data"}, DataError, "no/such/data"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(
    run, tmp_path, options, error, message
):
    with pytest.raises(error, match=message):
        train(run, out=tmp_path / "net", **options)
    assert not (tmp_path / "net").exists()


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match=r"holds files already.*--out"):
        train(run, out=tmp_path, epochs=1.0)
