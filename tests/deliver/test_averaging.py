"""An ensemble as a run delivers it: when, of what, within which limits, and exact after a kill."""

import dataclasses
import json
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from evolvent import resume, search
from evolvent.deliver import averaging
from evolvent.deliver.card import Card, page, rows
from evolvent.deliver.ensemble import Gain
from evolvent.deliver.members import Member
from evolvent.deliver.onnx import convert
from evolvent.engine.store import Store
from evolvent.engine.weights import Weights
from evolvent.errors import EvolventError
from evolvent.execute import worker
from evolvent.network.data import Resident
from evolvent.task.images import image_task

SETTINGS: dict[str, dict[str, Any]] = {
    "estimator": {"epochs": 4.0, "width": 4, "batch": 32, "precision": "float32"},
    "train": {"onnx": False, "epochs": 8.0, "ensemble": True},
}


@pytest.fixture(scope="module")
def noisy():
    """Six classes in so much noise that small networks err, and not all in the same places."""
    rng = np.random.default_rng(0)
    patterns, y = rng.normal(size=(6, 8, 8, 1)), np.arange(700) % 6
    x = 128 + 28 * patterns[y] + 62 * rng.normal(size=(700, 8, 8, 1))
    return image_task("noisy", x.clip(0, 255).astype(np.uint8), y, flip=False, validation=0.4)


def run_of(task, folder, settings=SETTINGS, **options):
    given: dict[str, Any] = {"budget": "8t", "workers": 0, "seed": 1, "recipe": "random"} | options
    return search(task, out=folder, settings=settings, **given)


@pytest.fixture(scope="module")
def run(noisy, tmp_path_factory):
    """A run that finds by itself that an ensemble pays."""
    return run_of(noisy, tmp_path_factory.mktemp("averaged") / "run")


def stored(run, name):
    return Weights(run.folder / "weights").read(name)


# ---- what is delivered ---------------------------------------------------------------------------


def test_where_the_mean_gains_it_is_delivered_as_one_network(run, noisy):
    card, told = run.card, run.card["averaged"]
    assert 2 <= len(told["members"]) <= 4
    assert told["gain"] > 0
    assert card["params"] == sum(each["params"] for each in told["members"]) > told["params"]
    assert card["parity_max_abs_diff"] == 0.0
    files = {file.name for file in (run.folder / "best").iterdir()}
    assert {"model.py", "weights.safetensors", "predict.py", "reading.json"} <= files
    assert card["test_reads"] == 1


def test_its_outputs_are_the_mean_of_its_members(run, noisy):
    net, x = run.best.load(), Resident(noisy, noisy.test).batch(slice(0, 20))[0]
    told = run.card["averaged"]["members"]
    said = [getattr(net, f"member{number}")(x).softmax(1) for number in range(1, len(told) + 1)]
    times = [each["times"] for each in told]
    wanted = sum(t * each for t, each in zip(times, said, strict=True)) / sum(times)
    heat = run.card["temperature"] or 1.0
    assert torch.allclose((net(x) * heat).softmax(1), wanted, atol=1e-6)
    state = net.state_dict()
    for number, each in enumerate(told, start=1):
        for name, value in stored(run, each["weights"]).items():
            if name != "trained_epochs":
                assert np.array_equal(state[f"member{number}.{name}"].numpy(), value)


def test_the_test_score_of_the_card_is_that_of_the_network(run, noisy):
    net, data = run.best.load(), Resident(noisy, noisy.test)
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in data.in_order(50))
    assert run.card["test_score"] == pytest.approx(right / len(data))


def test_every_member_was_trained_as_long_as_the_winner(run):
    assert {each["epochs"] for each in run.card["averaged"]["members"]} == {
        run.card["train_epochs"]
    }
    assert not run.card["averaged"]["kept"]


def test_the_card_shows_the_single_network_and_the_price(run):
    card = Card.from_json(run.card)
    assert Card.from_json(card.to_json()) == card
    labels = [row.label for row in rows(card)]
    assert "the mean of" in labels[0]
    assert labels[1] == "the winner alone"
    text = page(card)
    told = card.averaged
    assert told is not None
    assert card.params is not None
    assert f"gained {told.gain:.4f} +- {told.deviation:.4f} accuracy" in text
    assert f"has {card.params / told.params:.1f} times the parameters" in text
    assert "for one input on this machine in place of" in text


def test_the_classes_of_its_source_stand_side_by_side(run):
    text = (run.folder / "best" / "model.py").read_text()
    names = [line.split()[1].split("(")[0] for line in text.splitlines() if line[:6] == "class "]
    assert len(names) == len(set(names))
    assert "log_softmax(2).logsumexp(0)" in text
    assert "evolvent." not in text


@pytest.mark.slow
def test_onnx_agrees(run):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert convert(run.folder / "best") <= 1e-4


def test_predict_gives_the_mean_of_the_probabilities(run, noisy, tmp_path):
    file = tmp_path / "images.npy"
    np.save(file, noisy.test.x[:4])
    command = [sys.executable, "-I", run.folder / "best" / "predict.py", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [list(json.loads(line)["probabilities"].values()) for line in done.stdout.splitlines()]
    x = Resident(noisy, noisy.test).batch(slice(0, 4))[0]
    assert np.allclose(found, run.best.load()(x).softmax(1).detach().numpy(), atol=1e-5)


# ---- when it is not ------------------------------------------------------------------------------


def test_single_forbids_it_and_changes_nothing_else(run, noisy, tmp_path):
    alone = run_of(noisy, tmp_path / "run", single=True)
    assert alone.card["averaged"] is None
    assert alone.card["controls"].keys() == run.card["controls"].keys() - {"single"}
    assert alone.card["test_score"] == run.card["controls"]["single"]["test_score"]
    assert alone.card["params"] == run.card["averaged"]["params"]
    assert alone.card["arch"] == run.card["arch"]


def test_where_one_network_errs_in_nothing_it_stays_single(toy, tmp_path):
    longer = SETTINGS | {"estimator": SETTINGS["estimator"] | {"epochs": 20.0, "width": 8}}
    run = run_of(toy, tmp_path / "run", longer)
    assert run.card["val_score"] > 0.9
    assert run.card["averaged"] is None
    assert "single" not in run.card["controls"]


@pytest.mark.parametrize("limit", ["max_params", pytest.param("max_flops", marks=pytest.mark.slow)])
def test_limits_hold_for_all_members_together(run, noisy, tmp_path, limit):
    """Every candidate keeps within a limit that the ensemble of the run without one breaks."""
    name = limit.removeprefix("max_")
    most = int(0.5 * (run.card[name] + run.card["averaged"][name]))
    assert run.card["averaged"][name] <= most < run.card[name]
    limited = run_of(noisy, tmp_path / "run", **{limit: most})
    assert limited.card[name] <= most


def test_a_latency_that_the_whole_breaks_leaves_it_single(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(averaging, "breaks", lambda *args: "9.99 ms, the limit is 5 ms")
    told: list[str] = []
    listener = type("Listener", (), {"on_message": lambda self, line: told.append(line)})()
    run = run_of(noisy, tmp_path / "run", callbacks=[listener])
    assert run.card["averaged"] is None
    assert any("stays single: several have 9.99 ms" in line for line in told)


# ---- while networks still learn ------------------------------------------------------------------


class Choice:
    """A store of a choice that gained `score`, where doubling the training brought `rise`."""

    def __init__(self, score, rise):
        gained = dataclasses.asdict(Gain(score, 0.001, 0.1, 0.01))
        self.noted = {"times": {"1": 1, "2": 1}, "gain": gained, "rise": rise}

    def meta(self, key):
        return self.noted


@pytest.mark.parametrize(
    ("score", "rise", "epochs", "pays"),
    [
        (0.01, 0.05, 40.0, False),  # two doublings bring more
        (0.01, 0.05, 8.0, True),  # hardly longer than it was
        (0.01, -0.02, 400.0, True),  # longer is worse
        (0.01, None, 8.0, False),  # nothing is known of it
        (0.20, 0.05, 40.0, True),
    ],
)
def test_what_the_final_training_still_brings_is_set_against_the_gain(
    toy, score, rise, epochs, pays
):
    made: Any = averaging.Averaging.__new__(averaging.Averaging)
    made.store = Choice(score, rise)
    made.setup = type("Setup", (), {"task": toy})()
    everything = len(toy.train) + len(toy.validation)
    made.lengths = type("Lengths", (), {"everything": everything})()
    members = [Member("1", None, None, epochs=10.0)]  # type: ignore[arg-type]
    assert made._is_worth_more(members, epochs) is pays


# ---- killed --------------------------------------------------------------------------------------


def story(run):
    told = {"controls", "train_seconds", "search_seconds", "versions", "averaged"}
    card = {name: value for name, value in run.card.items() if name not in told}
    timed = {"latency_ms", "single_latency_ms"}
    averaged = {k: v for k, v in run.card["averaged"].items() if k not in timed}
    tests = {name: each["test_score"] for name, each in run.card["controls"].items()}
    return card, averaged, tests, (run.folder / "best" / "weights.safetensors").read_bytes()


SLOWER = [pytest.param(moment, marks=pytest.mark.slow) for moment in ("winner", "predictions")]


@pytest.mark.parametrize("moment", ["member", "ensemble", *SLOWER])
def test_killed_in_the_final_phase_a_resumed_run_gives_the_same_ensemble(
    run, noisy, tmp_path, monkeypatch, moment
):
    """Before the winner, before a member, in the choice, and after all of them."""
    with monkeypatch.context() as patch:
        fit, write, note = worker.fit, Weights.write, Store.note

        def dying_fit(context, job):
            if job.name.startswith(moment):
                raise KeyboardInterrupt
            return fit(context, job)

        def dying_write(self, name, state):
            if name == moment:
                raise KeyboardInterrupt
            return write(self, name, state)

        def dying_note(self, key, value):
            if key == f"trained/{moment}":
                raise KeyboardInterrupt
            note(self, key, value)

        patch.setattr("evolvent.deliver.trainings.fit", dying_fit)
        patch.setattr(Weights, "write", dying_write)
        patch.setattr(Store, "note", dying_note)
        with pytest.raises(KeyboardInterrupt):
            run_of(noisy, tmp_path / "run")
    assert not (tmp_path / "run" / "best" / "card.json").is_file()
    again = run_of(noisy, tmp_path / "run")
    assert story(again) == story(run)


def test_a_finished_run_is_shown_as_it_is(run):
    before = (run.folder / "best" / "card.json").read_text()
    assert resume(run.folder).card == json.loads(before)


# ---- the winner from other seeds -----------------------------------------------------------------


@pytest.fixture
def timely(monkeypatch):
    """Nothing is chosen among what was trained, and time is left behind the final training."""
    monkeypatch.setattr(averaging, "gain", lambda *args: None)


def test_where_time_is_left_the_winner_is_trained_from_other_seeds(noisy, tmp_path, timely):
    few = SETTINGS | {"train": SETTINGS["train"] | {"controls": False}}
    run = run_of(noisy, tmp_path / "run", few, budget="120s,4t")
    told = run.card["averaged"]
    assert told is not None
    assert {each["candidate"] for each in told["members"]} == {run.card["candidate"]}
    assert {each["times"] for each in told["members"]} == {1}
    assert len(told["members"]) >= 3
    assert told["gain"] > 0
    weights = [stored(run, each["weights"]) for each in told["members"]]
    name = next(name for name, value in weights[0].items() if value.ndim == 4)
    assert not np.array_equal(weights[0][name], weights[1][name])
    text = (run.folder / "best" / "model.py").read_text()
    assert text.count("\nclass Member(") == 1  # one shape, written once
    assert "class Member_2(" not in text


def test_without_a_clock_nobody_trains_more_than_was_asked_for(noisy, tmp_path, timely):
    run = run_of(noisy, tmp_path / "run")
    assert run.card["averaged"] is None
    assert not any(file.stem.startswith("seed-") for file in (run.folder / "weights").iterdir())


def test_settings_without_networks_to_average_are_refused_by_name(noisy, tmp_path):
    with pytest.raises(EvolventError, match="ensemble"):
        run_of(noisy, tmp_path / "run", {"train": {"ensemble": "many"}})
