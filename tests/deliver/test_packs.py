"""The winner from several seeds: delivered as one where the estimator packs, and within limits."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import evolvent as ev
from evolvent.deliver import packs
from evolvent.deliver.card import Card, page, rows
from evolvent.deliver.packs import SEEDS
from evolvent.deliver.trainings import Trainings
from evolvent.engine.weights import Weights

SETTINGS: dict[str, Any] = {
    "space": {"widths": [16, 16], "depths": [1, 1], "members": [1]},
    "estimator": {"epochs": 2.0, "folds": 3, "repeats": 1},
    "train": {"onnx": False, "proof": False, "controls": False},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A file of 120 rows of two classes, which no line divides."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    y = np.where(x[:, 0] * x[:, 1] + 0.5 * rng.normal(size=120) > 0, "yes", "no")
    lines = [",".join([*map(str, row), name]) for row, name in zip(x.round(3), y, strict=True)]
    file = tmp_path_factory.mktemp("table") / "data.csv"
    file.write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    return file


def run_of(table, folder, **more):
    given: Any = {"recipe": "tabular", "budget": "2t", "workers": 0, "settings": SETTINGS} | more
    return ev.search(table, target="y", out=folder, **given)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return run_of(table, tmp_path_factory.mktemp("packs") / "run")


def test_the_mean_of_the_seeds_is_delivered_as_one_network(run):
    card, told = run.card, run.card["averaged"]
    assert len(told["members"]) == SEEDS
    assert {each["candidate"] for each in told["members"]} == {card["candidate"]}
    assert {each["epochs"] for each in told["members"]} == {card["total_epochs"]}
    assert card["params"] == SEEDS * told["params"]
    net, stored = run.best.load(), Weights(run.folder / "weights")
    state = net.state_dict()
    for number, each in enumerate(told["members"], start=1):
        own = stored.read(each["weights"])
        wanted = own["logits.weight"]
        assert np.array_equal(state[f"member{number}.logits.weight"].numpy(), wanted)
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    said = [getattr(net, f"member{at}")(x).softmax(1) for at in range(1, SEEDS + 1)]
    assert torch.allclose(net(x).softmax(1), torch.stack(said).mean(0), atol=1e-6)


def test_the_card_says_what_is_averaged_and_has_the_winner_alone_beside_it(run):
    card = Card.from_json(json.loads((run.folder / "best" / "card.json").read_text()))
    text = page(card)
    assert f"the mean of {SEEDS} networks" in text
    assert f"trained from {SEEDS} seeds on the same rows" in text
    assert "the winner alone" in [row.label for row in rows(card)]


def test_the_score_of_the_winner_is_not_told_as_that_of_the_mean():
    """All seeds learnt from the validation rows, so that the mean has no score there."""
    lines: list[str] = []
    store, setup = (
        SimpleNamespace(note=lambda *args: None),
        SimpleNamespace(task=SimpleNamespace(metric="r2")),
    )
    parts: Any = (store, None, setup, None, 1, None, lines.append, None)
    numbers = {
        "val": {"r2": 0.25},
        "test": {"r2": 0.5},
        "cut": False,
        "epochs": 4.0,
        "seconds": 1.0,
    }
    made = Trainings(*parts)
    made.note("ensemble", numbers, validated=False)
    made.note("winner", numbers)
    assert lines[0] == "ensemble: test r2 0.5000, 4 epochs (1.0 s)"
    assert "validation r2 0.2500, test r2 0.5000" in lines[1]


def test_a_killed_delivery_ends_with_the_same_networks(run, table, tmp_path, monkeypatch):
    def killed(self, winner, numbers):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(packs.Packs, "members", killed)
        run_of(table, tmp_path / "run")
    again = ev.resume(tmp_path / "run", workers=0)
    assert again.card["averaged"]["members"] == run.card["averaged"]["members"]
    assert again.card["test_score"] == run.card["test_score"]
    theirs, ours = (each.best.load().state_dict() for each in (run, again))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_single_and_limits_are_kept(run, table, tmp_path):
    alone = run_of(table, tmp_path / "single", single=True)
    assert alone.card["averaged"] is None
    one = alone.card["params"]
    few = run_of(table, tmp_path / "few", max_params=3 * one + 1)
    assert few.card["params"] <= 3 * one + 1
    assert len(few.card["averaged"]["members"]) == 3
