"""Training one candidate fully: longer, larger, on other data."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

import evolvent as ev
from evolvent import training as full_training
from evolvent.config.defaults import adapted
from evolvent.deliver import export
from evolvent.deliver.card import Card
from evolvent.deliver.card import page as page_of
from evolvent.deliver.export import load
from evolvent.errors import CandidateFailed, DataError, RunError, SettingError
from evolvent.execute.inline import Inline
from evolvent.task import data_of
from evolvent.task.opening import open_task
from evolvent.training import train

PARITY = export.parity
TINY = {"estimator": {"epochs": 1.0, "width": 4}, "train": {"epochs": 2.0}}
CELLS: dict[str, Any] = {"recipe": "plain-cells", "budget": "2t", "workers": 0}


def arrays(task):
    part = task.everything
    return {"x_train": part.x, "y_train": part.y, "x_test": task.test.x, "y_test": task.test.y}


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("full")
    np.savez(folder / "toy.npz", **arrays(toy))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)
        return ev.search(
            folder / "toy.npz", **CELLS | {"out": folder / "run", "budget": "4t", "settings": TINY}
        ).folder


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Train in this process, and prove exports elsewhere: both take most of the time."""
    monkeypatch.setattr(full_training, "LocalSlots", lambda spec, **how: Inline(spec))
    monkeypatch.setattr("evolvent.deliver.export.parity", lambda *args: 0.0)


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


@pytest.fixture
def other(tmp_path):
    """Colour images, larger, of five classes: the path of the data."""
    return colours(tmp_path / "other.npz", 12)


def colours(path, edge, count=60):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (count, edge, edge, 3), np.uint8), np.arange(count) % 5
    np.savez(path, x_train=x, y_train=y)
    return str(path)


def test_it_is_transferred_to_data_of_another_form(run, other, tmp_path, monkeypatch):
    monkeypatch.setattr("evolvent.deliver.export.parity", PARITY)
    card = train(run, out=tmp_path / "net", task=other, epochs=1.0)
    assert 0 <= card["val_score"] <= 1
    assert card["task"] == other
    assert card["found_on"] == ev.Run(run).setup.request.task
    assert card["parity_max_abs_diff"] < 1e-4
    net = load(tmp_path / "net")
    assert net(torch.zeros(2, 3, 12, 12)).shape == (2, 5)
    source, data = (tmp_path / "net" / "model.py").read_text(), data_of(open_task(other, {}))
    assert f"MEAN = {list(data.mean)}" in source  # as the new data are, not those of the search


def test_the_skeleton_follows_the_new_images_where_nobody_said_otherwise(run, tmp_path):
    own = train(run, out=tmp_path / "own", epochs=0.1)["size"]
    same = train(run, out=tmp_path / "a", task=colours(tmp_path / "a.npz", 9), epochs=0.1)["size"]
    assert same == own
    assert (own["stem_stride"], own["stages"]) == (1, 2)
    large = colours(tmp_path / "b.npz", 26)
    size = train(run, out=tmp_path / "b", task=large, epochs=0.1)["size"]
    assert size == own | {"stem_stride": 2, "stages": 3}
    said = {"train": {"stages": 1}}
    size = train(run, out=tmp_path / "c", task=large, epochs=0.1, settings=said)["size"]
    assert size == own | {"stem_stride": 2, "stages": 1}


def test_what_the_user_said_of_the_skeleton_holds_for_other_data(run, toy, tmp_path):
    setup = ev.Run(run).setup
    data = open_task(colours(tmp_path / "b.npz", 26), {})
    assert adapted(setup, data)["stages"] == 3
    said = {**setup.request.set, "train": {**setup.request.said("train"), "stages": 2}}
    setup = dataclasses.replace(
        setup,
        request=dataclasses.replace(setup.request, set=said),
        train=dataclasses.replace(setup.train, settings={**setup.train.settings, "stages": 2}),
    )
    assert (adapted(setup, data)["stages"], adapted(setup, data)["stem_stride"]) == (2, 2)
    assert adapted(setup, data).keys() == setup.train.settings.keys()


# ---- what helps the training ---------------------------------------------------------------------

HELPED = {"drop_path": 0.2, "auxiliary": 0.4, "cutout": 2, "lr": 0.05, "batch": 16}


def test_helpers_are_in_the_training_and_in_nothing_that_it_leaves(run, tmp_path, monkeypatch):
    options: dict[str, Any] = {"candidate": 1, "epochs": 2.0, "cells": 2}
    plain = train(run, out=tmp_path / "plain", **options)
    monkeypatch.setattr("evolvent.deliver.export.parity", PARITY)
    said: list[str] = []
    helped = train(
        run, out=tmp_path / "helped", settings={"train": HELPED}, say=said.append, **options
    )
    for name in ("params", "flops", "cells", "width"):
        assert helped[name] == plain[name]
    assert helped["parity_max_abs_diff"] < 1e-4
    assert (helped["size"]["drop_path"], helped["size"]["auxiliary"]) == (0.2, 0.4)
    assert {name: helped["training"][name] for name in ("cutout", "lr", "batch")} == {
        name: HELPED[name] for name in ("cutout", "lr", "batch")
    }
    assert "drop-path 0.2, auxiliary 0.4" in said[-1]
    assert f"{helped['params']:,} parameters" in said[-1]
    nets = [load(tmp_path / name).state_dict() for name in ("plain", "helped")]
    assert list(nets[0]) == list(nets[1])
    assert any(not torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    source = (tmp_path / "helped" / "model.py").read_text()
    assert "DropPath" not in source
    assert "uxiliary" not in source


def test_a_search_may_use_them_too_and_delivers_the_plain_network(run, tmp_path):
    data = ev.Run(run).setup.request.task
    helps = {"drop_path": 0.2, "auxiliary": 0.4}
    settings = {"estimator": TINY["estimator"] | helps, "train": TINY["train"] | {"auxiliary": 0.2}}
    found = ev.search(data, out=tmp_path / "run", settings=settings, **CELLS)
    size = found.setup.train.network.size
    assert (size.drop_path, size.auxiliary) == (0.2, 0.2)
    without = {result.candidate.arch: result.params for result in ev.Run(run).results()}
    same = [r for r in found.results() if r.candidate.arch in without]
    assert same
    assert all(r.params == without[r.candidate.arch] for r in same)
    weights = found.best.load().state_dict()
    assert not any("auxiliary" in name for name in weights)


def test_settings_that_are_not_given_are_those_of_the_run(run, tmp_path):
    card = train(run, out=tmp_path / "net", epochs=0.1)
    network = ev.Run(run).setup.train.network
    assert card["size"] == dataclasses.asdict(network.size)
    assert card["training"] == dataclasses.asdict(network.hyper)


def test_data_can_be_read_otherwise(run, other, tmp_path):
    full = train(run, out=tmp_path / "full", epochs=0.1)
    part = {"task": {"fraction": 0.5}}
    half = train(run, out=tmp_path / "half", epochs=0.1, settings=part)
    assert half["train_examples"] == pytest.approx(full["train_examples"] / 2, abs=3)
    card = train(run, out=tmp_path / "other", epochs=0.1, task=other, settings=part)
    assert card["train_examples"] < 30


# ---- what the card says --------------------------------------------------------------------------


def test_the_card_says_what_it_took_and_where_the_cell_was_found(run, tmp_path):
    card = train(run, out=tmp_path / "net", candidate=1, epochs=1.0, cells=2, width=6)
    found = next(r for r in ev.Run(run).results() if r.candidate.id == 1)
    assert (card["run"], card["candidate"]) == (str(run), 1)
    assert (card["search_score"], card["search_epochs"]) == (found.score, found.epochs)
    assert card["width"] == 6
    assert card["cells"] == 4  # two stages of two
    assert 50 < card["peak_mib"] < 100_000
    assert 0 < card["train_seconds"] <= card["seconds"]
    assert card["threads"] == torch.get_num_threads()
    found_by = ev.Run(run).card
    assert [card[name] for name in ("trials", "search_seconds")] == [
        found_by[name] for name in ("trials", "search_seconds")
    ]
    page = (tmp_path / "net" / "card.md").read_text()
    assert page == page_of(Card.from_json(card))
    for part in (
        "4 cells of width 6",
        f"{card['params']:,} parameters",
        "MiB",
        str(run),
        "toy.npz",
    ):
        assert part in page
    assert "\n\n\n" not in page


def test_a_card_without_memory_test_or_cells_reads_well(run, tmp_path):
    card = train(run, out=tmp_path / "net", epochs=0.1)
    less = card | {"peak_mib": None, "test_score": None, "cells": None, "width": None}
    page = page_of(Card.from_json(less))
    assert "no test data" in page
    assert "None" not in page


def test_the_same_seed_gives_the_same_network(run, tmp_path):
    def weights(name, seed):
        train(run, out=tmp_path / name, epochs=1.0, seed=seed)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0) != weights("c", 1)


def test_a_time_may_be_given_instead(run, tmp_path, monkeypatch):
    monkeypatch.setattr(full_training, "pace", lambda *args, **options: 0.01)
    card = train(run, out=tmp_path / "net", budget="20s")
    examples = len(data_of(open_task(card["task"], {})).train)
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
        ({"epochs": 1.0, "task": "table:digits201"}, SettingError, "is a table: it is looked up"),
        ({"epochs": 1.0, "threads": 0}, SettingError, "--threads 0"),
        *(
            ({"epochs": 1.0, "settings": settings}, SettingError, message)
            for settings, message in (
                ({"space": {"nodes": 3}}, "unknown part 'space'.*task, train"),
                ({"train": {"drop_pth": 0.1}}, "did you mean 'drop_path'"),
                ({"train": {"drop_path": 1.0}}, r"drop_path=1.0: in \[0, 1\)"),
                ({"train": {"auxiliary": "much"}}, "train.auxiliary='much'"),
                ({"train": {"cutout": 8}}, "cutout=8: below the edge of the images, 8"),
                ({"train": {"epochs": 3}}, "here --epochs says it"),
                ({"train": {"finalists": 3}}, "unknown setting of train 'finalists'"),
                ({"task": {"fractoin": 0.5}}, "did you mean 'fraction'"),
            )
        ),
        (
            {"epochs": 1.0, "width": 8, "settings": {"train": {"width": 4}}},
            SettingError,
            "train.width=4: here --width says it",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(
    run, tmp_path, options, error, message
):
    with pytest.raises(error, match=message):
        train(run, out=tmp_path / "net", **options)
    assert not (tmp_path / "net").exists()


def test_data_of_another_kind_are_refused_with_the_reason(run, toy, tmp_path, monkeypatch):
    text = dataclasses.replace(toy, kind="text", name="letters")
    monkeypatch.setattr(full_training, "open_task", lambda name, settings: text)
    with pytest.raises(SettingError, match=r"letters is a task of kind text.*kind image \(.*toy"):
        train(run, out=tmp_path / "net", task="letters", epochs=1.0)
    assert not (tmp_path / "net").exists()


def test_a_run_on_a_table_found_nothing_to_train(tmp_path):
    run = ev.search(
        "table:digits201", strategy="random", budget="3t", workers=0, out=tmp_path / "run"
    ).folder
    with pytest.raises(SettingError, match="digits201 is a table"):
        train(run, out=tmp_path / "net", epochs=1.0)
    with pytest.raises(SettingError, match=r"digits is a task of kind image.*kind table"):
        train(run, out=tmp_path / "net", task="digits", epochs=1.0)
    assert not (tmp_path / "net").exists()


def test_a_setting_that_changes_nothing_is_refused(toy, tmp_path):
    """The layers of a chain have their sizes in their genes."""
    np.savez(tmp_path / "toy.npz", **arrays(toy))
    run = ev.search(
        tmp_path / "toy.npz", recipe="eden", budget="2t", workers=0, out=tmp_path / "run"
    ).folder
    for option in ({"cells": 3}, {"width": 8}):
        ((name, value),) = option.items()
        options: dict[str, Any] = {"epochs": 0.1, **option}
        with pytest.raises(SettingError, match=f"{name}={value} changes nothing.*'chain'"):
            train(run, out=tmp_path / "net", **options)
    for name in ("drop_path", "auxiliary"):
        with pytest.raises(SettingError, match=f"{name}=0.2 changes nothing"):
            train(run, out=tmp_path / "net", epochs=0.1, settings={"train": {name: 0.2}})
    assert not (tmp_path / "net").exists()
    card = train(run, out=tmp_path / "net", epochs=0.1, settings={"train": {"drop_path": 0.0}})
    assert (card["cells"], card["width"]) == (None, None)


def test_a_training_that_fails_leaves_no_folder(run, tmp_path):
    failing = {"train": {"lr": 1e30, "momentum": 0.9}}
    with pytest.raises(CandidateFailed, match="a lower learning rate may help"):
        train(run, out=tmp_path / "net", epochs=30.0, settings=failing)
    assert not (tmp_path / "net").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(CandidateFailed):
        train(run, out=tmp_path / "mine", epochs=30.0, settings=failing)
    assert (tmp_path / "mine").is_dir()


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match=r"holds files already.*--out"):
        train(run, out=tmp_path, epochs=1.0)
