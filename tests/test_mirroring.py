"""Whether a mirrored image keeps its label is asked of a small network."""

import dataclasses

import numpy as np
import pytest
import yaml

import evolvent as ev
from evolvent.identification.mirroring import Mirrored, judged, settled
from evolvent.task import Task
from evolvent.task.images import MIRRORED, image_task

COUNT, EDGE = 640, 16


def images(kind):
    """Colour images on noise: arrows to the left or right, disks above or below, or noise alone."""
    rng = np.random.default_rng(0)
    y = np.arange(COUNT) % 2
    x = rng.integers(0, 120, (COUNT, EDGE, EDGE, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:EDGE, :EDGE]
    for image, label in zip(x, y, strict=True):
        row, column = rng.integers(5, EDGE - 5, 2)
        if kind == "arrows":
            turned = column - columns if label else columns - column
            image[(abs(rows - row) <= turned) & (turned < 5)] += 100
        elif kind == "disks":
            row = 4 if label else EDGE - 4
            image[(rows - row) ** 2 + (columns - column) ** 2 < 10] += 100
    return x, y


def task(kind, **settings):
    return image_task("made", *images(kind), **settings)


@pytest.mark.parametrize(("kind", "kept"), [("arrows", False), ("disks", True), ("noise", None)])
def test_a_network_tells_whether_a_mirrored_image_keeps_its_label(kind, kept):
    found = judged(task(kind), seconds=None)
    assert found.kept is kept
    assert (found.accuracy > 0.9) == (kept is not None)
    assert (found.mirrored < 0.3) == (kind == "arrows")


def test_one_class_that_is_lost_is_enough():
    """Arrows among more disks."""
    x = np.concatenate([images("disks")[0], images("arrows")[0]])
    labels = np.concatenate([np.arange(COUNT) % 2, 2 + np.arange(COUNT) % 2])
    some = slice(0, COUNT + 200)
    found = judged(image_task("made", x[some], labels[some], validation=0.3), seconds=None)
    assert found.kept is False
    assert found.accuracy - found.mirrored < 0.25
    assert found.worst in ("2", "3")


def test_it_is_asked_only_where_it_was_guessed():
    told: list[str] = []
    for settings in ({"flip": True}, {"flip": False}):
        made = task("arrows", **settings)
        assert settled(made, seconds=None, seed=0, say=told.append) == (made, {})
    grey = dataclasses.replace(task("arrows", flip=False), guessed=())
    assert settled(grey, seconds=None, seed=0, say=told.append)[1] == {}
    assert told == []


def test_what_was_found_replaces_the_guess():
    told: list[str] = []
    phases: list[str] = []
    guess = task("arrows")
    assert guess.mirrored
    assert MIRRORED in guess.note
    found, read = settled(guess, seconds=None, seed=0, say=told.append, phase=phases.append)
    assert read == {"flip": False}
    assert isinstance(found, Task)
    assert (found.mirrored, found.guessed) == (False, ())
    assert MIRRORED not in found.note
    assert found.fingerprint == guess.fingerprint
    assert "they are not mirrored; --set task.flip=true" in told[0]
    assert len(phases) == 1


def test_too_little_time_leaves_the_guess():
    found = judged(task("arrows"), seconds=0.001)
    assert found.kept is None
    assert "too little to tell" in found.line


def test_every_finding_has_its_line():
    assert "least" in Mirrored(False, 0.9, 0.5, 100, "seven").line
    assert "--set task.flip=false" in Mirrored(True, 0.9, 0.9, 100).line


def test_a_search_asks_once_and_remembers(tmp_path):
    x, y = images("arrows")
    brief = {"estimator": {"epochs": 0.2}, "train": {"epochs": 0.2, "controls": False}}
    run = ev.search(
        (x, y), recipe="plain-cells", budget="1t", workers=0, out=tmp_path / "run", settings=brief
    )
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["task"] == {"flip": False}
    assert not any(MIRRORED in line for line in config["data"]["notes"])
    assert run.best.score is not None
