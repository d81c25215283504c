import gzip
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evolvent.errors import DataError, SettingError
from evolvent.task import Task, named
from evolvent.task.named import NAMES, load

DATA = Path(os.environ.get("EVOLVENT_DATA") or "nowhere")


def part_of(task: Task):
    assert task.test is not None
    return task.test


def refusal(error):
    """The message of an error, which is one line."""
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def write_idx(folder, front="", test="t10k", classes=3, edge=6):
    """Files of MNIST's form; every image holds its label in the top right corner."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 60), (test, 12)):
        y = (np.arange(count) % classes).astype(np.uint8)
        x = np.zeros((count, edge, edge), np.uint8)
        x[:, 0, -1] = y
        for what, array in (("images", x), ("labels", y)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            file = folder / f"{front}{part}-{what}-idx{array.ndim}-ubyte.gz"
            file.write_bytes(gzip.compress(header + array.tobytes()))
    return folder


def write_cifar(folder, labels=1, n=20, classes=10):
    """Binary files of CIFAR's form, each pixel being 10 times its channel."""
    folder.mkdir(parents=True, exist_ok=True)
    record = np.zeros((n, labels + 3072), np.uint8)
    record[:, 0] = 99
    record[:, labels - 1] = np.arange(n) % classes
    record[:, labels:] = np.repeat([0, 10, 20], 1024).astype(np.uint8)
    files = [f"data_batch_{index}.bin" for index in range(1, 6)] + ["test_batch.bin"]
    for name in files if labels == 1 else ["train.bin", "test.bin"]:
        (folder / name).write_bytes(record.tobytes())
    return folder


def write_tree(folder, n=4):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(n):
            Image.new("RGB", (9, 8), (number, 50, 90)).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of public data sets, in the middle of an empty working folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("EVOLVENT_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def small_cifar(monkeypatch):
    monkeypatch.setattr(named, "_CIFAR_IMAGES", (100, 20))


# ---- digits --------------------------------------------------------------------------------------


def test_digits():
    task = load("digits")
    assert task.name == "digits"
    assert task.input_shape == (1, 8, 8)
    assert task.classes == tuple("0123456789")
    assert task.scale == 16.0
    assert task.train.x.dtype == np.uint8
    assert task.train.x.max() == 16
    assert task.augment == {"flip": False, "shift": 1, "cutout": 0}
    assert len(task.train) + len(task.validation) + len(part_of(task)) == 1797
    assert 0.19 < len(part_of(task)) / 1797 < 0.21
    assert 0 < task.mean[0] < 1


def test_the_test_part_of_digits_is_the_same_for_every_seed():
    tasks = [load("digits", seed=seed) for seed in range(3)]
    assert len({part_of(task).x.tobytes() for task in tasks}) == 1
    assert len({task.validation.x.tobytes() for task in tasks}) == 3
    assert load("digits", seed=1).fingerprint == tasks[1].fingerprint


def test_the_settings_reach_the_task():
    task = load("digits", validation=0.5, fraction=0.5, flip=True)
    assert task.augment["flip"] is True
    assert abs(len(task.train) / len(task.validation) - 0.5) < 0.02


@pytest.mark.parametrize(
    ("setting", "value"), [("validation", 0.6), ("fraction", 0), ("seed", -1), ("flip", "no")]
)
def test_a_wrong_setting_is_refused_before_data_are_looked_for(setting, value):
    with pytest.raises(SettingError, match=f"task.{setting}=") as error:
        load("no/such/data", **{setting: value})
    refusal(error)


def test_a_size_is_for_folders_only(data):
    write_tree(data / "pets")
    assert load("data/pets", size=5).input_shape == (3, 5, 5)
    assert load("data/pets", size=(5, 7)).input_shape == (3, 5, 7)
    write_idx(data / "mnist")
    for spec in ("digits", "mnist", "data/mnist"):
        with pytest.raises(SettingError, match="for folders of images"):
            load(spec, size=5)


# ---- public sets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["fashion-mnist", "fashion_mnist"])
def test_a_public_set_is_found_under_both_spellings(data, folder):
    write_idx(data / folder, classes=10)
    task = load("fashion-mnist")
    assert task.classes[9] == "Ankle boot"
    assert (len(task.train) + len(task.validation), len(part_of(task))) == (60, 12)


def test_clothes_are_mirrored_and_digits_are_not(data):
    write_idx(data / "fashion-mnist")
    write_idx(data / "mnist")
    assert load("fashion-mnist").augment["flip"] is True
    assert any("--set task.flip=false" in line for line in load("fashion-mnist").note)
    assert load("fashion-mnist", flip=False).augment["flip"] is False
    assert load("mnist").augment["flip"] is False
    assert any("--set task.flip=true" in line for line in load("mnist").note)


@pytest.mark.parametrize("name", ["emnist-balanced", "emnist-digits"])
def test_emnist_is_turned_upright_and_found_among_its_siblings(data, name):
    write_idx(data / name, front=f"{name}-", test="test", classes=5)
    write_idx(data / name, front="emnist-letters-", test="test", classes=2)
    task = load(name)
    assert task.outputs == 5
    assert (task.train.x[:, -1, 0, 0] == task.train.y).all()
    assert (part_of(task).x[:, -1, 0, 0] == part_of(task).y).all()


def test_the_names_of_emnist_balanced():
    assert len(set(named._SIGNS)) == 47


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_cifar10_is_read_from_its_binary_version(data, small_cifar, inner):
    write_cifar(data / "cifar10" / inner)
    task = load("cifar10")
    assert task.classes[:2] == ("airplane", "automobile")
    assert task.input_shape == (3, 32, 32)
    assert task.mean == pytest.approx((0, 10 / 255, 20 / 255))
    assert len(task.train) + len(task.validation) == 100
    assert task.augment["flip"] is True
    assert load(data / "cifar10" / inner).fingerprint == task.fingerprint


def test_cifar100_has_fine_labels(data, small_cifar):
    folder = write_cifar(data / "cifar100", labels=2, n=100, classes=20)
    (folder / "test.bin").write_bytes((folder / "test.bin").read_bytes()[: 20 * 3074])
    assert load("cifar100").classes == tuple(str(label) for label in range(20))
    names = [f"thing{index}" for index in range(100)]
    (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    assert load("cifar100").classes == tuple(names[:20])


def test_the_name_cifar10_is_refused_to_partial_copies(data):
    (data / "cifar10").mkdir()
    np.savez(data / "cifar10" / "some.npz", x_train=np.zeros((4, 2, 2)), y_train=[0, 1, 0, 1])
    with pytest.raises(DataError, match=r"data_batch_1\.bin.*original.*some\.npz") as error:
        load("cifar10")
    refusal(error)


@pytest.mark.parametrize("lost", ["data_batch_3.bin", "test_batch.bin"])
def test_an_incomplete_cifar10_is_refused(data, small_cifar, lost):
    folder = write_cifar(data / "cifar10")
    (folder / lost).unlink()
    with pytest.raises(DataError, match=f"no {lost}"):
        load("cifar10")


def test_a_cut_cifar10_is_refused(data, small_cifar):
    file = write_cifar(data / "cifar10") / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin.* 61459 bytes.* 61460") as error:
        load("cifar10")
    refusal(error)


def test_a_wrong_label_in_cifar10_is_refused(data, small_cifar):
    write_cifar(data / "cifar10", classes=11)
    with pytest.raises(DataError, match="do not name the labels 10"):
        load("cifar10")


PUBLIC = sorted(set(NAMES) - {"digits"})


@pytest.mark.parametrize("name", PUBLIC)
def test_absent_data_are_explained(data, name):
    with pytest.raises(DataError, match=f"{name}.*put the files .*{data}/{name}") as error:
        load(name)
    assert "EVOLVENT_DATA" in refusal(error)


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize("name", PUBLIC)
def test_an_unset_data_folder_is_explained(name, value, monkeypatch):
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("EVOLVENT_DATA", value)
    with pytest.raises(DataError, match="set the environment variable EVOLVENT_DATA") as error:
        load(name)
    refusal(error)


@pytest.mark.parametrize("name", PUBLIC)
def test_an_empty_data_folder_is_explained(data, name):
    (data / name).mkdir()
    with pytest.raises(DataError, match="put the files") as error:
        load(name)
    refusal(error)


def test_a_public_set_without_its_test_files_is_refused(data):
    for file in write_idx(data / "mnist").glob("t10k*"):
        file.unlink()
    with pytest.raises(DataError, match="no test files"):
        load("mnist")
    assert len(part_of(load(data / "mnist"))) == 9  # a path may do without


def test_a_damaged_public_set_is_refused(data):
    file = write_idx(data / "mnist") / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz") as error:
        load("mnist")
    refusal(error)


# ---- paths ---------------------------------------------------------------------------------------


def test_every_kind_of_path_is_read(data):
    write_idx(data / "signs")
    write_tree(data / "pets")
    np.savez(data / "own.NPZ.npz", x_train=np.zeros((30, 4, 4)), y_train=np.arange(30) % 2)
    (data / "own.NPZ.npz").rename(data / "own.NPZ")
    for spec, shape in (
        ("data/signs", (1, 6, 6)),
        ("data/signs/t10k-labels-idx1-ubyte.gz", (1, 6, 6)),
        ("data/pets", (3, 8, 9)),
        ("data/own.NPZ", (1, 4, 4)),
    ):
        for given_spec in (spec, Path(spec), data.parent / spec):
            task = load(given_spec)
            assert task.input_shape == shape
            assert task.name == str(given_spec)


def test_a_name_goes_before_a_path_and_a_path_can_still_be_meant(data):
    write_tree(data.parent / "digits")
    assert load("digits").outputs == 10
    assert load("./digits").outputs == 2
    assert load(Path("digits")).outputs == 2


@pytest.mark.parametrize(
    ("spec", "near"),
    [("digit", "digits"), ("fashion_mnist", "fashion-mnist"), ("CIFAR10", None), ("", None)],
)
def test_an_unknown_name_is_answered_with_the_nearest(data, spec, near):
    with pytest.raises(SettingError, match=f"unknown task '{spec}'") as error:
        load(spec)
    message = refusal(error)
    assert near is None or f"did you mean {near!r}" in message
    assert "known: cifar10, " in message
    assert "path" in message


@pytest.mark.parametrize(
    "spec", ["no/such", "./pets", "pets.npz", "~/no-such-pets", "a\0/b", "x/" * 3000, Path("pets")]
)
def test_a_path_that_does_not_exist_is_said(data, spec):
    with pytest.raises(DataError, match="cannot be read") as error:
        load(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", [None, 3, b"digits", ["digits"]])
def test_what_is_neither_a_name_nor_a_path_is_refused(spec):
    with pytest.raises(SettingError, match="a name or a path") as error:
        load(spec)
    refusal(error)


def test_other_files_are_refused(data):
    for name in ("table.csv", "text.txt", "model.pkl", "train-images.png"):
        (data / name).write_bytes(b"1,2,3\n")
        with pytest.raises(DataError, match=r"give an \.npz file") as error:
            load(data / name)
        refusal(error)


def test_a_folder_of_npz_files_is_answered_with_one_of_them(data):
    np.savez(data / "b.npz", x_train=np.zeros(3))
    np.savez(data / "a.npz", x_train=np.zeros(3))
    with pytest.raises(DataError, match=r"such as '.*a\.npz'") as error:
        load(data)
    refusal(error)


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is locked for this user"
)
def test_what_may_not_be_read_is_said(data, kind):
    path = write_tree(data / "pets")
    if kind == "file":
        path = data / "a.npz"
        path.write_bytes(b"x")
    path.chmod(0)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            load(path)
    finally:
        path.chmod(0o700)


# ---- the module ----------------------------------------------------------------------------------


def test_every_name_has_a_line_and_a_way_to_get_it(monkeypatch):
    monkeypatch.delenv("EVOLVENT_DATA", raising=False)
    for name, line in NAMES.items():
        assert line
        assert "\n" not in line
        assert name == "digits" or named._wanted(name).startswith("the files ")


def test_importing_the_names_loads_no_reader():
    code = (
        "import sys, evolvent.task.named;"
        "print({'PIL', 'sklearn', 'pandas', 'torch'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"


# ---- real data -----------------------------------------------------------------------------------


def real(*names):
    return pytest.mark.skipif(
        not any((DATA / name).is_dir() for name in names), reason="EVOLVENT_DATA has no such data"
    )


@real("fashion-mnist", "fashion_mnist")
def test_fashion_mnist():
    start = time.process_time()
    task = load("fashion-mnist")
    assert time.process_time() - start < 3
    assert (len(task.train), len(task.validation), len(part_of(task))) == (54000, 6000, 10000)
    assert np.bincount(task.validation.y).tolist() == [600] * 10
    assert np.bincount(part_of(task).y).tolist() == [1000] * 10
    assert task.mean[0] == pytest.approx(0.2860, abs=1e-3)
    assert task.std[0] == pytest.approx(0.3530, abs=1e-3)


@real("mnist")
def test_mnist():
    task = load("mnist", fraction=0.1)
    assert len(part_of(task)) == 10000
    assert 5350 < len(task.train) < 5450
    assert task.mean[0] == pytest.approx(0.1307, abs=2e-3)
    assert task.std[0] == pytest.approx(0.3081, abs=2e-3)


@pytest.mark.skipif(
    not (DATA / "cifar10" / "cifar10_lossless_5k.npz").is_file(), reason="EVOLVENT_DATA lacks it"
)
def test_a_part_of_cifar10_by_its_path():
    task = load(DATA / "cifar10" / "cifar10_lossless_5k.npz")
    assert task.input_shape == (3, 32, 32)
    assert task.classes[0] == "airplane"
    assert len(part_of(task)) == 1000
    assert task.mean == pytest.approx((0.4916, 0.4818, 0.4447), abs=3e-3)
