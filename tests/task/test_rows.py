"""Data larger than memory: every part and every batch are those of the array in memory."""

import gzip
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from tests.task.helpers import idx, numbered, refusal

import evolvent as ev
from evolvent.errors import DataError
from evolvent.network import data as loading
from evolvent.network.data import Resident, Streamed, loader
from evolvent.task import rows
from evolvent.task.arrays import read_idx, read_npz
from evolvent.task.folders import read_folder
from evolvent.task.images import image_task
from evolvent.task.named import load
from evolvent.task.rows import Rows

NONE = 1e-9  # a memory for nothing [GiB]


def is_rows(x: object) -> bool:
    return isinstance(x, Rows)


def noise(n=60, height=6, width=5, channels=3, dtype=np.uint8):
    x = np.random.default_rng(0).integers(0, 256, (n, height, width, channels))
    return x.astype(dtype), np.arange(n) % 3


def both(path, **options):
    """The task of a path in memory, and the one whose images stay in their files."""
    whole, streamed = load(path, **options), load(path, memory=NONE, **options)
    assert all(is_rows(part.x) for part in (streamed.train, streamed.validation))
    return whole, streamed


def check_equal(whole, streamed):
    """The same task, and the same batches from the same seed."""
    assert streamed.fingerprint == whole.fingerprint
    for name in ("input_shape", "classes", "mean", "std", "scale", "augment", "reading"):
        assert getattr(streamed, name) == getattr(whole, name)
    for name in ("train", "everything", "test"):
        found = []
        for task in (whole, streamed):
            data = loader(task, getattr(task, name))
            assert isinstance(data, Streamed) == (task is streamed)
            generator = torch.Generator().manual_seed(3)
            batches = data.shuffled(7, generator, augment=True, cutout=2)
            found.append([*(next(batches) for _ in range(20)), *data.in_order(8)])
        for (x, y), (other_x, other_y) in zip(*found, strict=True):
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)
            assert other_x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16, ">u2", bool])
@pytest.mark.parametrize("form", ["last", "first", "grey", "fortran"])
def test_an_npz_that_is_not_compressed(tmp_path, dtype, form):
    x, y = noise(dtype=dtype)
    x = {
        "last": x,
        "first": x.transpose(0, 3, 1, 2).copy(),
        "grey": x[..., 0].copy(),
        "fortran": np.asfortranarray(x),
    }[form]
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:12], y_test=y[:12])
    whole, streamed = both(tmp_path / "a.npz", validation=0.3)
    assert any("read batch by batch" in line for line in streamed.note)
    check_equal(whole, streamed)


def test_plain_idx_files(tmp_path):
    x, y = noise(channels=1)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(x[..., 0]))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(y.astype(np.uint8)))
    check_equal(*both(tmp_path))


@pytest.mark.parametrize("colour", ["RGB", "L", "grey as RGB"])
def test_a_folder_of_pictures(tmp_path, colour):
    rng = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / ("cat", "dog")[number % 2]
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (9 + number % 3, 8, 3), np.uint8)
        image = Image.fromarray(pixels).convert("RGB" if colour == "RGB" else "L")
        image.convert("L" if colour == "L" else "RGB").save(folder / f"{number}.png")
    whole, streamed = both(tmp_path, size=8)
    assert whole.input_shape[0] == (3 if colour == "RGB" else 1)
    assert any("decoded batch by batch" in line for line in streamed.note)
    check_equal(whole, streamed)


def test_a_fraction_and_another_seed(tmp_path):
    x, y = noise(n=120)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    check_equal(*both(tmp_path / "a.npz", fraction=0.4, seed=5, validation=0.2))


def test_what_travels_to_a_worker_names_the_file_only(tmp_path):
    x, y = noise(n=600, height=20, width=20)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    _, streamed = both(tmp_path / "a.npz")
    sent = pickle.dumps(streamed)
    assert len(sent) < 40_000 < x.nbytes
    back = pickle.loads(sent)
    assert back.fingerprint == streamed.fingerprint
    assert np.array_equal(back.everything.x[:], streamed.everything.x[:])


def test_a_run_on_streamed_data_equals_the_one_in_memory(tmp_path):
    x, y = numbered(n=48, height=8, width=8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    settings = {"estimator": {"epochs": 1.0, "width": 4}, "train": {"epochs": 2.0, "proof": False}}
    scores = []
    for name, memory in (("whole", 1.0), ("streamed", NONE)):
        run = ev.search(
            tmp_path / "a.npz",
            out=tmp_path / name,
            recipe="plain-cells",
            budget="2t",
            workers=0,
            settings=settings | {"task": {"memory": memory}},
        )
        results = [result.metrics["loss"] for result in run.results()]
        scores.append((results, run.card["test_score"], run.card["val_score"]))
    assert scores[0] == scores[1]


# ---- when ----------------------------------------------------------------------------------------


def test_memory_that_is_free_decides_where_nobody_says(tmp_path, monkeypatch):
    import psutil

    x, y = noise()
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    assert not is_rows(load(tmp_path / "a.npz").train.x)

    class Little:
        available = 4 * x.nbytes

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    assert is_rows(load(tmp_path / "a.npz").train.x)
    assert not is_rows(load(tmp_path / "a.npz", memory=1.0).train.x)


def test_a_device_without_room_is_streamed_to(toy, monkeypatch):
    assert type(loader(toy, toy.train)) is Resident
    monkeypatch.setattr(loading, "_free", lambda device: 2.0 * toy.train.x.nbytes)
    data = loader(toy, toy.train)
    assert type(data) is Streamed
    x, y = data.batch(torch.tensor([3, 1]))
    other_x, other_y = Resident(toy, toy.train).batch(torch.tensor([3, 1]))
    assert torch.equal(x, other_x)
    assert torch.equal(y, other_y)


def test_the_memory_of_the_host_is_not_asked_for_a_limit():
    assert loading._free("cpu") == float("inf")


def test_nothing_is_streamed_where_no_memory_is_named(tmp_path):
    x, y = noise()
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    assert isinstance(read_npz(tmp_path / "a.npz").x, np.ndarray)


def test_blocks_are_the_whole_in_its_order():
    x = np.arange(1000).reshape(100, 10)
    pieces = list(rows.blocks(x, 800))
    assert len(pieces) == 10
    assert np.array_equal(np.concatenate(pieces), x)


# ---- what cannot be ------------------------------------------------------------------------------


def test_compressed_arrays_that_are_too_large_are_answered_with_a_way(tmp_path):
    x, y = noise()
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=y)
    assert isinstance(load(tmp_path / "a.npz", memory=NONE).train.x, np.ndarray)
    with pytest.raises(DataError, match=r"store the images uncompressed \(numpy\.savez") as error:
        read_npz(tmp_path / "a.npz", limit=1000, memory=1000)
    refusal(error)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x[..., 0])))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(y.astype(np.uint8)))
    with pytest.raises(DataError, match="store the images uncompressed"):
        read_idx(tmp_path, limit=1000, memory=1000)


def test_damage_is_seen_before_the_search(tmp_path):
    x, y = noise(channels=1)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    whole = (tmp_path / "a.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        start = archive.getinfo("x_train.npy").header_offset
    (tmp_path / "b.npz").write_bytes(whole[:start] + b"XXXX" + whole[start + 4 :])
    with pytest.raises(DataError, match=r"not a readable \.npz file") as error:
        load(tmp_path / "b.npz", memory=NONE)
    refusal(error)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(x[..., 0])[:-1])
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(y.astype(np.uint8)))
    with pytest.raises(DataError, match="does not hold the"):
        read_idx(tmp_path, memory=1000)


def test_a_picture_that_cannot_be_read_is_named_before_the_search(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(6):
            Image.new("L", (8, 8), number).save(tmp_path / label / f"{number}.png")
    file = tmp_path / "dog" / "3.png"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match=r"3\.png"):
        read_folder(tmp_path, memory=10)


def test_a_file_that_changes_is_not_read_any_more(tmp_path):
    x, y = noise()
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    found = read_npz(tmp_path / "a.npz", memory=0)
    np.savez(tmp_path / "a.npz", x_train=x[:30], y_train=y[:30])
    with pytest.raises(DataError, match="has changed since it was opened"):
        found.x[:2]


def test_infinity_is_found_wherever_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(rows.blocks, "__defaults__", (500,))
    x, y = noise(dtype=np.float32)
    x[41, 2, 3, 1] = np.inf
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    for memory in (1.0, NONE):
        with pytest.raises(DataError, match="training image 41 holds NaN or infinity"):
            load(tmp_path / "a.npz", memory=memory)


def test_statistics_do_not_depend_on_the_pieces(monkeypatch):
    x, y = noise(n=200)
    whole = image_task("a", x, y)
    monkeypatch.setattr("evolvent.task.images._BLOCK", 4000)
    pieces = image_task("a", x, y)
    assert pieces.mean == pytest.approx(whole.mean, rel=1e-12)
    assert pieces.std == pytest.approx(whole.std, rel=1e-12)
