"""Images with a quantity each: from arrays to `predict.py`."""

import json
import subprocess
import sys

import numpy as np
import pytest

import evolvent as ev
from evolvent.errors import DataError, SettingError
from evolvent.network.build import Size, views_of
from evolvent.space.stages import Stages
from evolvent.task.images import image_task
from evolvent.task.opening import open_task


@pytest.fixture(scope="module")
def arrays():
    """Grey images with one bright column, whose place is the quantity, in thousands."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 12, 240)
    x = rng.integers(0, 40, (240, 12, 12), dtype=np.uint8)
    x[np.arange(240), :, places] = 255
    return x, 1000.0 * places + 7


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    np.savez(folder / "places.npz", x_train=arrays[0], y_train=arrays[1])
    return ev.search(
        folder / "places.npz",
        kind="regression",
        recipe="random",
        space="stages",
        budget="2t",
        workers=0,
        settings={
            "estimator": {"epochs": 8.0},
            "train": {"epochs": 20.0, "finalists": 1, "controls": False},
            "space": {"multiply_adds": [50_000, 400_000]},
        },
        out=folder / "run",
    )


def test_a_quantity_has_its_unit_its_split_and_its_score(arrays):
    x, y = arrays
    task = image_task("places", x, y, kind="regression")
    assert (task.metric, task.outputs, task.classes) == ("r2", 1, ())
    assert task.test
    parts = (task.train, task.validation, task.test)
    assert sum(map(len, parts)) == len(x)
    assert task.unit == pytest.approx(task.reading["target_unit"])
    raw = np.concatenate([part.y for part in parts]) * task.unit + task.reading["target_mean"]
    assert sorted(np.round(raw, 2)) == sorted(y)


def test_nothing_moves_an_image_whose_quantity_may_be_a_place(arrays):
    task = image_task("places", *arrays, kind="regression")
    assert task.placed and not task.mirrored and task.facts.placed
    assert task.augment["shift"] == 0 and not task.guessed
    space = Stages.of(task.facts)
    assert all(
        space.training(arch).get("shift", 0) == 0 for arch in space.known(task.facts).values()
    )
    assert views_of(Size(views=6), task) == 1
    mirrored = image_task("places", *arrays, kind="regression", flip=True)
    assert views_of(Size(views=6), mirrored) == views_of(Size(views=2), mirrored) == 2
    classes = image_task("places", arrays[0], (arrays[1] > 5000).astype(int))
    assert not classes.placed and views_of(Size(views=6), classes) == 3


def test_from_arrays_to_predict(run, arrays, tmp_path):
    assert run.card["metric"] == "r2" and run.card["test_score"] > 0.9
    assert run.card["views"] == 1
    np.save(tmp_path / "few.npy", arrays[0][:8])
    done = subprocess.run(
        [sys.executable, run.folder / "best" / "predict.py", "--json", tmp_path / "few.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = np.array([line["target"] for line in lines])
    assert np.abs(told - arrays[1][:8]).max() < 3000  # raw units, of 0 to 11,000


def test_what_is_no_quantity_is_said(arrays, tmp_path):
    x, y = arrays
    with pytest.raises(DataError, match="one number per image"):
        image_task("places", x, np.array(["a"] * len(x)), kind="regression")
    with pytest.raises(DataError, match="no finite number"):
        image_task("places", x, np.where(y > 9000, np.nan, y), kind="regression")
    with pytest.raises(DataError, match="--kind regression"):
        image_task("places", x, y + 0.5)
    with pytest.raises(SettingError, match="one class or quantity"):
        open_task("places.npz", {"kind": "multi-label"})
    with pytest.raises(SettingError, match="which have classes"):
        open_task("digits", {"kind": "regression"})
