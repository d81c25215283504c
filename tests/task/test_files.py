"""What holds for every reader: paths, and damage of any kind."""

import gzip
import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from tests.task.helpers import GOOD_IDX, GOOD_X, GOOD_Y, encoded, tree, write_idx

from evolvent.errors import DataError
from evolvent.task.arrays import read_idx, read_npz
from evolvent.task.folders import read_folder
from evolvent.task.images import image_task


@pytest.mark.parametrize("reader", [read_npz, read_idx, read_folder])
@pytest.mark.parametrize(
    "path", ["", "nowhere", "no/where", "a\0b", "x" * 5000, "~no-such-user-x/y"]
)
def test_a_path_that_does_not_exist_is_said(reader, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="check the path") as error:
        reader(path)
    assert "\n" not in str(error.value)


def test_the_wrong_kind_of_path_is_refused(tmp_path):
    file = tmp_path / "file.npz"
    file.write_bytes(b"x")
    with pytest.raises(DataError):
        read_npz(tmp_path)
    with pytest.raises(DataError):
        read_folder(file)
    with pytest.raises(DataError, match="no train-images"):
        read_idx(file)


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    tree(tmp_path / "pets")
    assert len(read_folder("~/pets").x) == 8


STORED = io.BytesIO()
np.savez(STORED, x_train=GOOD_X, y_train=GOOD_Y)
SQUEEZED = io.BytesIO()
np.savez_compressed(SQUEEZED, x_train=GOOD_X, y_train=GOOD_Y)
HEALTHY = [
    ("a.npz", STORED.getvalue()),
    ("a.npz", SQUEEZED.getvalue()),
    ("train-images-idx3-ubyte", GOOD_IDX),
    ("train-images-idx3-ubyte.gz", gzip.compress(GOOD_IDX)),
] + [
    ("cat/x.png", encoded(form, (12, 9)))
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
]


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("which", range(len(HEALTHY)))
def test_damage_of_any_kind_is_a_data_error_or_harmless(which, memory, tmp_path):
    name, healthy = HEALTHY[which]
    rng = random.Random(which)
    write_idx(tmp_path / "idx", zipped=name.endswith(".gz"))
    tree(tmp_path / "tree")
    reader, root = {".npz": (read_npz, tmp_path), ".png": (read_folder, tmp_path / "tree")}.get(
        Path(name).suffix, (read_idx, tmp_path / "idx")
    )
    for _ in range(60):
        data = bytearray(healthy[: rng.randrange(len(healthy))] if rng.random() < 0.2 else healthy)
        for _ in range(rng.choice([1, 2, 8]) if data else 0):
            data[rng.randrange(min(len(data), rng.choice([60, 300, 10**6])))] = rng.randrange(256)
        (root / name).write_bytes(data)
        try:
            found = reader(root / name if reader is read_npz else root, memory=memory)
            image_task("t", found.x, found.y)
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tree(tmp_path) / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="not a regular file"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        read_npz(tmp_path / "a.npz")
