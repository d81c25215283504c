"""The data sets of the benchmarks, made from tiny stand-ins of their sources."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from benchmarks import sets
from benchmarks.pictures import ORIENTATION, SHAPES, STORED, drawn, photograph, write_photographs
from benchmarks.sets import cut, described, drawn_of, evenly, made, multnist, rank_in_class, tiles
from PIL import Image, ImageOps

from evolvent.errors import DataError
from evolvent.task.named import load

PARTS = ("train", "val", "test")
SIZES = {"train": 120, "val": 40, "test": 60}


def sources(shape):
    """Three parts of 50 images each; the first pixel is the image's own number, the next its label."""
    found = {}
    for part, first in zip(PARTS, (0, 50, 100), strict=True):
        x, y = np.zeros((50, *shape), np.uint8), np.arange(50) % 10
        x[:, 0, 0] = np.arange(first, first + 50).reshape(50, *(1,) * len(shape[2:]))
        x[:, 0, 1] = y.reshape(50, *(1,) * len(shape[2:]))
        found[part] = (x, y)
    return found


def test_the_class_of_multnist_is_the_last_digit_of_the_product():
    found = multnist(sources((3, 4)), SIZES)
    for part in PARTS:
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        assert x.shape == (SIZES[part], 3, 4, 3)
        assert np.array_equal(x[:, 0, 1].astype(int).prod(axis=1) % 10, y)
        counts = np.bincount(y, minlength=10)
        assert counts.max() - counts.min() <= 1


def test_the_class_of_tiles_is_the_number_of_different_objects_less_one():
    found = tiles(sources((3, 4, 3)), SIZES)
    for part in PARTS:
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        assert x.shape == (SIZES[part], 6, 8, 3)
        labels = x[:, [0, 0, 3, 3], [1, 5, 1, 5], 0]
        assert [len(set(row)) - 1 for row in labels.tolist()] == y.tolist()
        assert np.array_equal(np.bincount(y), [SIZES[part] // 4] * 4)
    patterns = {tuple(row) for row in labels[y == 1].tolist()}
    assert len(patterns) > 10  # other objects and other places


@pytest.mark.parametrize(("make", "shape"), [(multnist, (3, 4)), (tiles, (3, 4, 3))])
def test_no_image_of_the_source_is_in_two_parts(make, shape):
    found = make(sources(shape), SIZES)
    first = {"multnist": lambda x: x[:, 0, 0], "tiles": lambda x: x[:, ::3, ::4, 0]}[make.__name__]
    used = [set(first(found[f"x_{part}"]).ravel().tolist()) for part in PARTS]
    assert all(len(each) > 20 for each in used)
    assert not any(one & other for one, other in itertools.combinations(used, 2))


@pytest.mark.parametrize(("make", "shape"), [(multnist, (3, 4)), (tiles, (3, 4, 3))])
def test_equal_seeds_make_equal_sets(make, shape):
    first, again, other = (make(sources(shape), SIZES, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_examples_are_drawn_by_their_label():
    rng = np.random.default_rng(0)
    labels, wanted = np.array([2, 0, 2, 5]), np.array([0, 5, 2, 2, 2, 2, 2, 2, 2, 2])
    places = drawn_of(labels, wanted, rng)
    assert np.array_equal(labels[places], wanted)
    assert set(places[2:].tolist()) == {0, 2}
    with pytest.raises(DataError, match="label 3"):
        drawn_of(labels, np.array([3]), rng)
    assert np.bincount(evenly(11, 4, rng)).tolist() == [3, 3, 3, 2]


def test_a_source_is_cut_into_training_and_validation():
    x, y = np.arange(10)[:, None], np.arange(10) % 2
    parts = cut(x, y, 4)
    assert parts["train"][0].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert parts["val"][0].ravel().tolist() == [6, 7, 8, 9]
    with pytest.raises(DataError, match="10 of 10"):
        cut(x, y, 10)
    assert rank_in_class(np.array([1, 1, 0, 1, 0])).tolist() == [0, 1, 0, 2, 1]


def test_a_set_is_written_once_and_read_as_a_task(tmp_path, monkeypatch):
    calls = []

    def write_small(path: Path, seed: int) -> None:
        calls.append(seed)
        np.savez(path, **multnist(sources((16, 16)), SIZES, seed=seed))

    monkeypatch.setitem(sets.MADE, "multnist", ("multnist.npz", write_small))
    path = made("multnist", tmp_path / "sets")
    assert made("multnist", tmp_path / "sets") == path
    assert made("multnist", tmp_path / "sets", seed=3) != path
    assert calls == [0, 3]
    task = load(path)
    assert (len(task.train), len(task.validation), task.outputs) == (120, 40, 10)
    assert task.test is not None
    assert len(task.test) == 60
    line = described(path)
    assert "120 train, 40 val, 60 test images 16x16x3" in line


def test_a_set_whose_making_fails_is_not_there(tmp_path, monkeypatch):
    def fail(path: Path, seed: int) -> None:
        path.write_bytes(b"half")
        raise DataError("the source ends early")

    monkeypatch.setitem(sets.MADE, "tiles", ("tiles.npz", fail))
    with pytest.raises(DataError, match="ends early"):
        made("tiles", tmp_path)
    assert not (tmp_path / "tiles.npz").exists()


def test_sources_are_looked_for_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    with pytest.raises(DataError, match="EVOLVENT_DATA"):
        sets.root()
    monkeypatch.setenv("EVOLVENT_DATA", str(tmp_path))
    assert sets.root() == tmp_path


# ---- photographs ---------------------------------------------------------------------------------


def opened(file):
    return Image.open(io.BytesIO(file.read_bytes()))


def test_photographs_are_what_people_have(tmp_path):
    write_photographs(tmp_path / "set", {"train": 40, "test": 16})
    files = sorted((tmp_path / "set").rglob("*.*"))
    images = [opened(file) for file in files]
    assert len(files) == 56
    assert all(min(image.size) >= 200 and image.width != image.height for image in images)
    turned = [image.getexif().get(ORIENTATION, 1) for image in images]
    assert len(set(turned)) > 4
    assert {image.mode for image in images} == {"RGB", "RGBA"}
    assert "16 test, 40 train pictures" in described(tmp_path / "set")
    task = load(tmp_path / "set")
    assert task.classes == SHAPES
    assert (len(task.train) + len(task.validation), len(task.test or ())) == (40, 16)
    assert any("transparency" in line for line in task.note)


@pytest.mark.parametrize("orientation", [None, *STORED])
def test_the_orientation_of_a_photograph_brings_it_upright(tmp_path, orientation):
    wanted, _ = drawn("arch", np.random.default_rng(0))
    photograph(tmp_path / "one.jpg", wanted, orientation)
    image = opened(tmp_path / "one.jpg")
    assert image.getexif().get(ORIENTATION) == orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert upright.shape == wanted.shape
    assert np.abs(upright.astype(float) - wanted).mean() < 12  # of JPEG
    if orientation is not None:
        assert not np.array_equal(np.asarray(image), upright)


def test_equal_seeds_draw_equal_photographs(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write_photographs(tmp_path / name, {"train": 8}, seed=seed)
    digests = [described(tmp_path / name).rsplit(" ", 1)[1] for name in ("one", "two", "other")]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_a_part_of_its_picture(shape):
    pixels, mask = drawn(shape, np.random.default_rng(0))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*mask.shape, 3)
    assert 0.01 < mask.mean() < 0.6
