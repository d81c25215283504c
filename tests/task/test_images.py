import gzip
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evolvent.errors import DataError, SettingError
from evolvent.task import Task, images
from evolvent.task.images import image_task, read_folder, read_idx, read_npz

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def numbered(n=60, classes=3, height=4, width=5, channels=1, start=0):
    """Images that all differ, the first two bytes being their number, and their labels."""
    x = np.zeros((n, height, width, channels), np.uint8)
    number = np.arange(start, start + n)
    x[:, 0, 0, 0], x[:, 0, 1, 0] = number // 256, number % 256
    return x, np.arange(n) % classes


def numbers(part):
    return set((part.x[:, 0, 0, 0].astype(int) * 256 + part.x[:, 0, 1, 0]).tolist())


def parts(task: Task):
    assert task.test is not None
    return task.train, task.validation, task.test


def refusal(error):
    """The message of an error, which is one line."""
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


# ---- the split -----------------------------------------------------------------------------------


@QUICK
@given(
    counts=st.lists(st.integers(3, 30), min_size=2, max_size=5),
    seed=st.integers(0, 2**40),
    validation=st.floats(0.01, 0.5),
    fraction=st.floats(0.01, 1),
)
def test_no_example_is_in_two_parts_and_every_class_is_in_each(counts, seed, validation, fraction):
    y = np.repeat(np.arange(len(counts)), counts)
    x = numbered(len(y))[0]
    task = image_task("t", x, y, seed=seed, validation=validation, fraction=fraction)
    found = [numbers(part) for part in parts(task)]
    assert sum(len(each) for each in found) == len(set.union(*found))
    assert fraction < 1 or len(set.union(*found)) == len(y)
    for part in parts(task):
        assert set(part.y.tolist()) == set(range(len(counts)))
        assert all(
            y[number] == label for number, label in zip(found_in_order(part), part.y, strict=True)
        )


def found_in_order(part):
    return (part.x[:, 0, 0, 0].astype(int) * 256 + part.x[:, 0, 1, 0]).tolist()


def test_equal_seeds_give_equal_tasks_and_other_seeds_other_splits():
    x, y = numbered()
    assert image_task("t", x, y, seed=3).fingerprint == image_task("t", x, y, seed=3).fingerprint
    one, other = image_task("t", x, y, seed=3), image_task("t", x, y, seed=4)
    assert numbers(one.validation) != numbers(other.validation)


def test_the_split_is_the_same_in_another_process():
    code = (
        "import numpy as np; from evolvent.task.images import image_task;"
        "x = np.arange(60 * 20, dtype=np.int64).reshape(60, 4, 5) % 251;"
        "print(image_task('t', x, np.arange(60) % 3, seed=7).fingerprint)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    }
    x = np.arange(60 * 20).reshape(60, 4, 5) % 251
    assert answers == {image_task("t", x, np.arange(60) % 3, seed=7).fingerprint + "\n"}


def test_a_missing_test_part_is_split_off_alike_for_every_seed_and_told():
    x, y = numbered(200, classes=2)
    tasks = [image_task("t", x, y, seed=seed) for seed in range(3)]
    assert len({frozenset(numbers(parts(task)[2])) for task in tasks}) == 1
    assert len(parts(tasks[0])[2]) == 30
    assert any("no test part" in line and "30 examples (15%)" in line for line in tasks[0].note)


def test_a_given_test_part_is_used_whole_and_untouched():
    x, y = numbered()
    x_test, y_test = numbered(10, start=1000)
    task = image_task("t", x, y, x_test, y_test)
    assert found_in_order(parts(task)[2]) == list(range(1000, 1010))
    assert numbers(task.train) | numbers(task.validation) == set(range(60))
    assert not any("test part" in line for line in task.note)


def test_a_given_validation_part_is_used_whole():
    x, y = numbered()
    x_val, y_val = numbered(9, start=1000)
    task = image_task("t", x, y, x_validation=x_val, y_validation=y_val)
    assert numbers(task.validation) == set(range(1000, 1009))
    assert any("own validation part of 9" in line for line in task.note)


def test_a_fraction_keeps_a_share_of_every_class_and_the_whole_validation_part():
    x, y = numbered(600)
    full, proxy = image_task("t", x, y), image_task("t", x, y, fraction=0.2)
    assert numbers(proxy.validation) == numbers(full.validation)
    assert numbers(parts(proxy)[2]) == numbers(parts(full)[2])
    assert numbers(proxy.train) < numbers(full.train)
    assert np.bincount(proxy.train.y).tolist() == [
        round(0.2 * count) for count in np.bincount(full.train.y)
    ]
    assert any("training examples are used" in line for line in proxy.note)


def test_a_fraction_keeps_a_class_with_one_training_example():
    x, y = numbered(6, classes=2)
    assert np.bincount(image_task("t", x, y, fraction=0.01).train.y).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("validation", value)
        for value in (0, -0.1, 0.500001, 1, float("nan"), float("inf"), "0.1", True, None)
    ]
    + [("fraction", value) for value in (0, -1, 1.01, float("nan"), "1", None, True)]
    + [("seed", value) for value in (-1, 0.5, "0", None, True)]
    + [("flip", value) for value in ("true", 1, 0.0)],
)
def test_a_setting_outside_its_rule_is_refused(setting, value):
    x, y = numbered()
    with pytest.raises(SettingError, match=f"task.{setting}=") as error:
        image_task("t", x, y, **{setting: value})
    refusal(error)


# ---- pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "top", "kept", "scale"),
    [
        (np.uint8, 255, np.uint8, 255.0),
        (np.int64, 255, np.uint8, 255.0),
        (np.uint16, 65535, np.float32, 1.0),
        (np.int16, 256, np.float32, 1.0),
        (np.bool_, 1, np.uint8, 1.0),
        (np.float32, 1, np.float32, 1.0),
        (np.float64, 1, np.float32, 1.0),
        (np.float16, 1, np.float32, 1.0),
    ],
)
def test_types_of_pixels(dtype, top, kept, scale):
    x = (np.random.default_rng(0).random((40, 6, 6)) * top).astype(dtype)
    x[:, 0, 0] = top
    task = image_task("t", x, np.arange(40) % 2)
    assert task.scale == scale
    for part in parts(task):
        assert part.x.dtype == kept
        assert part.x.flags["C_CONTIGUOUS"]
        assert part.x.max() == top
        assert part.y.dtype == np.int64


def test_negative_integers_stay_negative():
    x = np.random.default_rng(0).integers(-5, 5, (40, 6, 6))
    assert image_task("t", x, np.arange(40) % 2).train.x.min() == -5


def test_parts_of_different_types_are_refused():
    x, y = numbered()
    with pytest.raises(DataError, match="training uint8, test float64"):
        image_task("t", x, y, x / 255.0, y)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mean_and_std_are_those_of_the_scaled_training_part(channels, dtype, monkeypatch):
    monkeypatch.setattr(images, "_CHUNK", 4000)  # several blocks
    x = np.random.default_rng(0).integers(0, 256, (90, 7, 6, channels)).astype(dtype)
    x += np.arange(channels).astype(dtype)
    task = image_task("t", x, np.arange(90) % 3, seed=1)
    scaled = task.train.x.astype(np.float64) / task.scale
    assert task.mean == pytest.approx(scaled.mean((0, 1, 2)), rel=1e-12)
    assert task.std == pytest.approx(scaled.std((0, 1, 2)), rel=1e-12)


def test_test_and_validation_images_do_not_change_mean_and_std():
    x, y = numbered()
    one = image_task("t", x, y, x, y, x_validation=x, y_validation=y)
    other = image_task("t", x, y, x + 9, y, x_validation=x + 7, y_validation=y)
    assert (one.mean, one.std) == (other.mean, other.std)


@pytest.mark.parametrize("value", [0, 7, 255, 0.1, -3e4, 1e30])
def test_the_std_of_a_constant_channel_is_one(value):
    x = np.full((30, 5, 5, 2), value, np.float32 if isinstance(value, float) else np.uint8)
    x[:15, :, :, 1] += 1 if abs(value) < 1e10 else value
    task = image_task("t", x, np.arange(30) % 2)
    assert task.std[0] == 1.0
    assert 0 < task.std[1] != 1.0


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((40, 9, 8), (1, 9, 8)),
        ((40, 9, 8, 1), (1, 9, 8)),
        ((40, 9, 8, 2), (2, 9, 8)),
        ((40, 9, 8, 3), (3, 9, 8)),
        ((40, 9, 8, 4), (4, 9, 8)),
        ((40, 1, 9, 8), (1, 9, 8)),
        ((40, 3, 9, 8), (3, 9, 8)),
        ((40, 3, 9, 3), (3, 3, 9)),  # the last axis may be channels, so it is
    ],
)
def test_layouts(shape, expected):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    x[:, 0, 0] = 255
    task = image_task("t", x, np.arange(40) % 2)
    assert task.input_shape == expected
    assert task.train.x.shape[1:] == (*expected[1:], expected[0])
    moved = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 2, 3, 4)
    assert moved == any("channels, height, width" in line for line in task.note)


def test_channels_first_is_a_transposition_and_not_a_reshape():
    x, y = numbered(channels=3, height=6, width=7)
    x += np.array([0, 1, 2], np.uint8)
    last, first = image_task("t", x, y), image_task("t", x.transpose(0, 3, 1, 2), y)
    assert last.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("channels", "flip", "expected"),
    [
        (1, None, False),
        (2, None, False),
        (3, None, True),
        (4, None, True),
        (1, True, True),
        (3, False, False),
    ],
)
def test_colour_images_are_mirrored_and_a_note_says_how_to_change_it(channels, flip, expected):
    x, y = numbered(channels=channels)
    task = image_task("t", x, y, flip=flip)
    assert task.augment["flip"] is expected
    told = [line for line in task.note if "--set task.flip=" in line]
    assert len(told) == (flip is None)
    assert flip is not None or f"task.flip={str(not expected).lower()}" in told[0]


@pytest.mark.parametrize(("edge", "shift"), [(4, 1), (15, 1), (16, 2), (40, 2), (41, 4)])
def test_larger_images_are_shifted_further(edge, shift):
    x, y = numbered(height=edge, width=edge + 9)
    assert image_task("t", x, y).augment == {"flip": False, "shift": shift, "cutout": 0}


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([7, 3, -2], ("-2", "3", "7")),
        ([2.0, 0.0, 10.0], ("0", "2", "10")),
        (["b", "a", "ä"], ("a", "b", "ä")),
        ([b"b", b"a", "ä".encode()], ("a", "b", "ä")),
        (np.array(["b", "a", "c"], object), ("a", "b", "c")),
        (np.array([[1], [0], [2]], np.uint8), ("0", "1", "2")),
        (np.array([True, False, True]), ("0", "1")),
    ],
)
def test_classes_are_the_sorted_labels(labels, classes):
    x, _ = numbered()
    task = image_task("t", x, np.concatenate([np.asarray(labels)] * 20))
    assert task.classes == classes
    assert task.outputs == len(classes)
    assert task.metric == "accuracy"
    for part in parts(task):
        for number, label in zip(found_in_order(part), part.y, strict=True):
            given_label = np.asarray(labels).ravel()[number % 3]
            text = given_label.decode() if isinstance(given_label, bytes) else given_label
            wanted = text if isinstance(text, str) else str(int(text))
            assert task.classes[label] == wanted


def test_class_names_name_the_labels_from_0_up():
    x, y = numbered()
    task = image_task("t", x, y, class_names=["cat", "ape", "dog", "emu"])
    assert task.classes == ("cat", "ape", "dog")
    assert any("'emu'" in line for line in task.note)


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (np.arange(60) % 3 + 1, ["a", "b", "c"], "do not name the labels 3"),
        (np.arange(60) % 3 - 1, ["a", "b", "c"], "do not name the labels -1"),
        (np.arange(60) % 3, ["a", "b", "a"], "'a' twice"),
        (np.array(["x", "y", "z"] * 20), ["x", "y"], "'z'"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(labels, names, words):
    with pytest.raises(DataError, match=words) as error:
        image_task("t", numbered()[0], labels, class_names=names)
    refusal(error)


# ---- arrays that cannot be used ------------------------------------------------------------------

GOOD_X, GOOD_Y = numbered()
HOLE = GOOD_X.astype(np.float32)
HOLE[17, 2, 2] = np.nan
FAR = GOOD_X.astype(np.float64)
FAR[4, 0, 0] = 1e300


@pytest.mark.parametrize(
    ("given_arrays", "words"),
    [
        ((GOOD_X[:0], GOOD_Y[:0]), "no images"),
        ((GOOD_X, GOOD_Y[:-1]), "60 images and 59 labels"),
        ((GOOD_X, GOOD_Y[:0]), "60 images and 0 labels"),
        ((GOOD_X, None), "only one of them"),
        ((None, None), "only one of them"),
        ((GOOD_X, GOOD_Y, GOOD_X), "only one of them"),
        ((GOOD_X, GOOD_Y, None, GOOD_Y), "only one of them"),
        ((GOOD_X, GOOD_Y, GOOD_X[:0], GOOD_Y[:0]), "test part holds no images"),
        ((GOOD_X, GOOD_Y, GOOD_X, GOOD_Y + 1), "training part has not: 3"),
        ((GOOD_X, GOOD_Y, GOOD_X, GOOD_Y.astype(str)), "numbers in one part and text"),
        ((GOOD_X, GOOD_Y, GOOD_X[:, :3], GOOD_Y), "one size"),
        ((GOOD_X, GOOD_Y, np.repeat(GOOD_X, 3, 3), GOOD_Y), "one size"),
        ((GOOD_X, np.zeros(60, int)), "one class only, '0'"),
        ((GOOD_X, np.where(np.arange(60) == 5, 9, GOOD_Y)), "class '9' has 1 example"),
        ((GOOD_X, np.where(np.arange(60) < 2, 9, GOOD_Y)), "class '9' has 2 examples, at least 3"),
        ((GOOD_X, np.where(np.arange(60) < 1, 9, GOOD_Y), GOOD_X, GOOD_Y), "1 example, at least 2"),
        ((HOLE, GOOD_Y), "training image 17 holds NaN"),
        ((np.full_like(FAR, -np.inf), GOOD_Y), "image 0 holds NaN or infinity"),
        ((FAR, GOOD_Y), "image 4 holds NaN or infinity"),
        ((GOOD_X.astype(float), GOOD_Y, HOLE, GOOD_Y), "test image 17"),
        ((GOOD_X.astype(complex), GOOD_Y), "complex"),
        ((GOOD_X.astype(object), GOOD_Y), "object"),
        ((GOOD_X.astype(str), GOOD_Y), "<U"),
        ((GOOD_X.astype("M8[s]"), GOOD_Y), "datetime64"),
        (([[[1, 2], [3]], [[1]]], [0, 1]), "not a plain array"),
        ((GOOD_X.reshape(60, 20), GOOD_Y), "reshape them"),
        ((GOOD_X[0, 0, 0, 0], GOOD_Y), "reshape them"),
        ((GOOD_X[..., None], GOOD_Y), "reshape them"),
        ((np.zeros((60, 8, 8, 5), np.uint8), GOOD_Y), "1 to 4 channels"),
        ((np.zeros((60, 8, 8, 0), np.uint8), GOOD_Y), "1 to 4 channels"),
        ((np.zeros((60, 0, 8, 3), np.uint8), GOOD_Y), "at least one pixel"),
        ((np.zeros((60, 5, 8, 8), np.uint8), GOOD_Y), "1 to 4 channels"),
        ((GOOD_X, np.eye(3)[GOOD_Y]), "argmax"),
        ((GOOD_X, 3), "one label per image"),
        ((GOOD_X, GOOD_Y + 0.5), "whole numbers"),
        ((GOOD_X, np.where(GOOD_Y == 1, np.nan, 1.0)), "whole numbers"),
        ((GOOD_X, np.where(GOOD_Y == 1, np.inf, 1.0)), "whole numbers"),
        ((GOOD_X, GOOD_Y * 1e300), "whole numbers"),
        ((GOOD_X, GOOD_Y.astype(np.uint64) + 2**63), "whole numbers"),
        ((GOOD_X, GOOD_Y.astype(complex)), "integers or text"),
        ((GOOD_X, np.array([None, "a", "b"] * 20, object)), "integers or text"),
        ((GOOD_X, np.array([b"\xff", b"a", b"b"] * 20)), "UTF-8"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(given_arrays, words):
    with pytest.raises(DataError, match=words) as error:
        image_task("some\nname", *given_arrays)
    assert "'some\\nname'" in refusal(error)


# ---- .npz ----------------------------------------------------------------------------------------


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def npy(array, **changes):
    """The bytes of an array's .npy file, with a header that says something else."""
    stream = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(stream, header | changes)
    return stream.getvalue() + array.tobytes()


def pack(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_gives_the_arrays_back(tmp_path, write):
    x, y = numbered(channels=3)
    path = tmp_path / "a.npz"
    write(
        path,
        x_train=np.asfortranarray(x),
        y_train=y,
        x_test=x[:9],
        y_test=y[:9],
        x_val=x[:6],
        y_val=y[:6],
        class_names=np.array([b"a", b"b", b"c"]),
        index=np.arange(3),
    )
    found = read_npz(path)
    assert found.x_test is not None
    assert found.x_validation is not None
    assert np.array_equal(found.x, x)
    assert np.array_equal(found.y, y)
    assert (len(found.x_test), len(found.x_validation)) == (9, 6)
    assert found.class_names == ("a", "b", "c")
    assert found.note == ("arrays that are not used: 'index'",)


def test_npz_compressed_in_other_ways_is_read(tmp_path):
    x, y = numbered()
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = pack(tmp_path / "a.npz", {"x_train.npy": npy(x), "y_train.npy": npy(y)}, method)
        assert np.array_equal(read_npz(path).x, x)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


X, Y = npy(GOOD_X), npy(GOOD_Y)
BAD_NPZ = {
    "no images": ({"y_train.npy": Y}, "no array 'x_train'; it holds 'y_train'"),
    "no labels": ({"x_train.npy": X}, "no array 'y_train'"),
    "nothing": ({}, "no array 'x_train', 'y_train'"),
    "half a test part": ({"x_train.npy": X, "y_train.npy": Y, "x_test.npy": X}, "'y_test'"),
    "half a validation part": ({"x_train.npy": X, "y_train.npy": Y, "y_val.npy": Y}, "'x_val'"),
    "path tricks": ({"../x_train.npy": X, "/y_train.npy": Y}, "no array 'x_train'"),
    "no npy": ({"x_train.npy": b"pixels", "y_train.npy": Y}, "not a readable"),
    "empty member": ({"x_train.npy": b"", "y_train.npy": Y}, "not a readable"),
    "cut off": ({"x_train.npy": X[:-1], "y_train.npy": Y}, "does not fill"),
    "too long": ({"x_train.npy": X + b"!", "y_train.npy": Y}, "does not fill"),
    "huge": ({"x_train.npy": npy(GOOD_X, shape=(2**40, 99)), "y_train.npy": Y}, "does not fill"),
    "beyond 64 bits": (
        {"x_train.npy": npy(GOOD_X, shape=(2**62, 2**62)), "y_train.npy": Y},
        "does not fill",
    ),
    "negative": ({"x_train.npy": npy(GOOD_X, shape=(-1, 2)), "y_train.npy": Y}, "is empty"),
    "without size": ({"x_train.npy": X, "y_train.npy": npy(np.zeros(0), descr="<U0")}, "of type"),
    "no examples": ({"x_train.npy": npy(GOOD_X[:0]), "y_train.npy": Y}, "is empty"),
    "header of code": (
        {
            "x_train.npy": X.replace(b"'fortran_order': False", b"'fortran_order': exit "),
            "y_train.npy": Y,
        },
        "not a readable",
    ),
    "nested header": (
        {
            "x_train.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000,
            "y_train.npy": Y,
        },
        "not a readable",
    ),
    "version 3": ({"x_train.npy": X.replace(b"Y\x01", b"Y\x03", 1), "y_train.npy": Y}, "version"),
    "dates": ({"x_train.npy": X, "y_train.npy": npy(GOOD_Y.astype("M8[s]"))}, "of type"),
    "records": (
        {"x_train.npy": X, "y_train.npy": npy(np.zeros(60, "u1,u1"))},
        "not a readable|of type",
    ),
    "names as numbers": (
        {"x_train.npy": X, "y_train.npy": Y, "class_names.npy": Y},
        "class_names must be a list of text",
    ),
    "names in two dimensions": (
        {"x_train.npy": X, "y_train.npy": Y, "class_names.npy": npy(np.array([["a"]]))},
        "class_names must be a list of text",
    ),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_wrong_npz_is_refused(case, tmp_path):
    members, words = BAD_NPZ[case]
    path = pack(tmp_path / "bad.npz", members, zipfile.ZIP_DEFLATED)
    before = sorted(Path().iterdir())
    with pytest.raises(DataError, match=words) as error:
        read_npz(path)
    assert "bad.npz" in refusal(error)
    assert sorted(tmp_path.iterdir()) == [path]
    assert sorted(Path().iterdir()) == before


def test_pickles_in_an_npz_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = np.array([Evil()] * 60, object)
    np.savez(tmp_path / "a.npz", x_train=GOOD_X, y_train=evil)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Evil()))
    for name, words in (("a.npz", "never loaded"), ("b.npz", "not a readable")):
        with pytest.raises(DataError, match=words) as error:
            read_npz(name)
        refusal(error)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"no zip at all" * 99, b"\x93NUMPY", npy(GOOD_X), gzip.compress(b"x")]
)
def test_what_is_no_npz_is_refused(data, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz.*numpy\.savez") as error:
        read_npz(path)
    refusal(error)


def test_a_bomb_is_refused_before_it_is_read(tmp_path):
    zeros = np.zeros((400, 100, 100), np.uint8)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=zeros, y_train=np.arange(400))
    assert path.stat().st_size < 20_000
    with pytest.raises(DataError, match=r"at most 0\.0 GiB") as error:
        read_npz(path, limit=3_999_999)
    refusal(error)
    assert len(read_npz(path, limit=4_003_200).x) == 400


def test_the_limit_is_eight_gibibytes_of_all_arrays_together():
    assert images.LIMIT == 8 * 2**30


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        for name, data in (("x_train", X), ("x_train", X), ("y_train", Y)):
            archive.writestr(f"{name}.npy", data)
    with pytest.raises(DataError, match="two arrays of one name"):
        read_npz(path)


def test_a_locked_npz_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", x_train=GOOD_X, y_train=GOOD_Y)
    data = bytearray(path.read_bytes())
    for at in range(len(data) - 4):  # the flag "encrypted" of every entry, in both its places
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            if data[at : at + 4] == mark:
                data[at + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"encrypted|password"):
        read_npz(path)


def test_a_changed_pixel_is_noticed(tmp_path):
    path = save(tmp_path / "a.npz", x_train=GOOD_X, y_train=GOOD_Y)
    data = bytearray(path.read_bytes())
    data[data.index(b"x_train.npy") + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        read_npz(path)


# ---- idx -----------------------------------------------------------------------------------------


def idx(array, kind=8, **changes):
    shape = changes.get("shape", array.shape)
    magic = changes.get("magic", struct.pack(">HBB", 0, kind, len(shape)))
    return magic + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_idx(folder, front="", zipped=False, test="t10k", link="-"):
    x, y = numbered(height=6, width=5)
    folder.mkdir(exist_ok=True)
    for part, count in (("train", 60), (test, 9)):
        for what, array in (("images", x[:count, ..., 0]), ("labels", y[:count].astype(np.uint8))):
            data = idx(array)
            name = f"{front}{part}-{what}{link}idx{array.ndim}-ubyte{'.gz' if zipped else ''}"
            (folder / name).write_bytes(gzip.compress(data) if zipped else data)
    return x[..., 0], y


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("front", ["", "emnist-digits-"])
@pytest.mark.parametrize(("test", "link"), [("t10k", "-"), ("test", "-"), ("t10k", ".")])
def test_idx_gives_the_arrays_back(tmp_path, zipped, front, test, link):
    x, y = write_idx(tmp_path, front, zipped, test, link)
    files = sorted(tmp_path.iterdir())
    for given_path in (tmp_path, str(tmp_path), *files):
        found = read_idx(given_path)
        assert found.x_test is not None
        assert np.array_equal(found.x, x)
        assert np.array_equal(found.y, y)
        assert np.array_equal(found.x_test, x[:9])


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")],
)
def test_every_type_of_idx_is_read(tmp_path, kind, dtype):
    x, _ = write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(x.astype(dtype), kind))
    found = read_idx(tmp_path)
    assert found.x.dtype.isnative
    assert np.array_equal(found.x, x)
    assert image_task("t", found.x, found.y).input_shape == (1, 6, 5)


def test_idx_without_test_files_has_no_test_part(tmp_path):
    write_idx(tmp_path)
    for file in tmp_path.glob("t10k*"):
        file.unlink()
    assert read_idx(tmp_path).x_test is None


def test_two_idx_sets_in_a_folder_are_told_apart_by_a_file(tmp_path):
    write_idx(tmp_path, "one-")
    write_idx(tmp_path, "two-")
    with pytest.raises(DataError, match="2 data sets"):
        read_idx(tmp_path)
    assert len(read_idx(tmp_path / "one-train-images-idx3-ubyte").x) == 60


IMAGES = GOOD_X[..., 0]
GOOD_IDX = idx(IMAGES)
BAD_IDX = {
    "empty": (b"", "not a readable idx"),
    "header cut off": (GOOD_IDX[:9], "not a readable idx"),
    "pixels cut off": (GOOD_IDX[:-20], "ends after 1180 of the 1200 bytes|cannot hold the 1200"),
    "one byte cut off": (GOOD_IDX[:-1], "ends after 1199 of the 1200 bytes"),
    "too long": (GOOD_IDX + b"!", "longer than the 1200 bytes"),
    "wrong magic": (idx(IMAGES, magic=b"\x01\x00\x08\x03"), "first four bytes"),
    "unknown type": (idx(IMAGES, kind=7), "first four bytes"),
    "no axes": (b"\x00\x00\x08\x00", "first four bytes"),
    "many axes": (idx(IMAGES, shape=(1,) * 99), "first four bytes"),
    "an image instead": (b"\x89PNG\r\n\x1a\n" * 99, "first four bytes"),
    "labels instead": (idx(GOOD_Y.astype(np.uint8)), "1 dimensions"),
    "absurd shape": (idx(IMAGES, shape=(2**31, 2**31, 2**31)), "at most 8.0 GiB are allowed"),
    "almost absurd shape": (
        idx(IMAGES, shape=(2**12, 2**10, 2**10)),
        "cannot hold the 4294967296 bytes",
    ),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", BAD_IDX)
def test_a_wrong_idx_file_is_refused(case, zipped, tmp_path):
    data, words = BAD_IDX[case]
    write_idx(tmp_path, zipped=zipped)
    name = "train-images-idx3-ubyte" + (".gz" if zipped else "")
    (tmp_path / name).write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(DataError, match=words) as error:
        read_idx(tmp_path)
    assert name in refusal(error)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "flipped", "empty"])
def test_a_damaged_gzip_is_refused(damage, tmp_path):
    write_idx(tmp_path, zipped=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    data = bytearray(file.read_bytes())
    data[-6] ^= 255  # of the checksum
    changed = {"cut": data[:-20], "no gzip": GOOD_IDX, "flipped": data, "empty": b""}[damage]
    file.write_bytes(changed)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz.*fetch it again") as error:
        read_idx(tmp_path)
    refusal(error)


def test_a_missing_idx_file_is_named(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no train-labels-idx1-ubyte\[\.gz\]") as error:
        read_idx(tmp_path)
    refusal(error)


def test_an_idx_limit_counts_all_files_together(tmp_path):
    write_idx(tmp_path)
    total = 60 * 30 + 60 + 9 * 30 + 9
    assert len(read_idx(tmp_path, limit=total).x) == 60
    with pytest.raises(DataError, match="at most"):
        read_idx(tmp_path, limit=total - 1)


# ---- folders -------------------------------------------------------------------------------------


def picture(file, mode="L", size=(6, 5), value=0, **options):
    """A picture of one value, or of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(file, **options)
    return file


def tree(root, classes=("cat", "dog"), n=4, mode="L", size=(6, 5), suffix=".png"):
    for index, label in enumerate(classes):
        for number in range(n):
            value = 10 * index + number
            colour = value if mode == "L" else (value, 100, 200)
            picture(root / label / f"{number}{suffix}", mode, size, colour)
    return root


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    found = read_folder(tree(tmp_path))
    assert found.x.shape == (8, 5, 6, 1)
    assert found.x.dtype == np.uint8
    assert found.x[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert found.y.tolist() == ["cat"] * 4 + ["dog"] * 4
    assert found.note == ()
    task = image_task("t", found.x, found.y)
    assert task.classes == ("cat", "dog")
    assert task.input_shape == (1, 5, 6)


def test_train_val_and_test_folders_stay_what_they_are(tmp_path):
    for name, n in (("train", 5), ("val", 2), ("test", 3)):
        tree(tmp_path / name, n=n, mode="RGB")
    found = read_folder(tmp_path)
    assert found.x_test is not None
    assert found.x_validation is not None
    assert found.y_validation is not None
    assert (len(found.x), len(found.x_validation), len(found.x_test)) == (10, 4, 6)
    assert found.x_validation.shape == (4, 5, 6, 3)
    assert found.y_validation.tolist() == ["cat", "cat", "dog", "dog"]


def test_classes_may_be_called_test_or_train(tmp_path):
    assert set(read_folder(tree(tmp_path, ("bus", "test", "train"))).y) == {"bus", "test", "train"}


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif", ".pgm"]
)
def test_every_type_of_file_is_read(tmp_path, suffix):
    found = read_folder(tree(tmp_path, suffix=suffix))
    assert found.x.shape == (8, 5, 6, 1)
    assert np.abs(found.x[:, 2, 2, 0] - [0, 1, 2, 3, 10, 11, 12, 13]).max() <= 2


def test_hidden_files_and_other_files_are_not_read(tmp_path):
    tree(tmp_path)
    for name in (".hidden.png", "cat/._0.png", "cat/.cache/a.png", ".git/a.png", "__MACOSX/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    assert read_folder(tmp_path).note == ()
    (tmp_path / "cat" / "readme.txt").write_text("about cats")
    picture(tmp_path / "loose.png")
    found = read_folder(tmp_path)
    assert len(found.x) == 8
    assert any("1 files" in line for line in found.note)
    assert any("1 images beside the class folders" in line for line in found.note)


def test_pictures_deeper_in_a_class_folder_count(tmp_path):
    picture(tree(tmp_path) / "dog" / "small" / "brown" / "x.png")
    assert len(read_folder(tmp_path).x) == 9


def test_links_that_leave_the_folder_are_not_followed(tmp_path):
    outside = tree(tmp_path / "outside", ("wolf",))
    root = tree(tmp_path / "root")
    (root / "fox").symlink_to(outside / "wolf", target_is_directory=True)
    (root / "inner").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "deep").symlink_to(outside / "wolf", target_is_directory=True)
    found = read_folder(root)
    assert set(found.y) == {"cat", "dog", "inner"}
    assert len(found.x) == 12
    assert any("'fox'" in line and "not followed" in line for line in found.note)


def test_links_in_a_circle_end(tmp_path):
    root = tree(tmp_path / "root")
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root / "self")
    assert len(read_folder(root).x) == 8


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(64, 30)] * 4, (30, 64)),
        ([(65, 65)] * 4, (64, 64)),
        ([(10, 12), (20, 22), (20, 22), (30, 8)], (17, 20)),
        ([(640, 480)] * 4, (48, 64)),
        ([(300, 1)] * 4, (1, 64)),
    ],
)
def test_the_size_is_the_median_up_to_64(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        picture(tmp_path / "ab"[number % 2] / f"{number}.png", size=size)
    found = read_folder(tmp_path)
    assert found.x.shape[1:3] == expected
    changed = sum((height, width) != expected for width, height in sizes)
    assert bool(found.note) == bool(changed)
    assert not changed or f"{changed} of 4 images were stretched" in found.note[0]


@pytest.mark.parametrize(
    ("size", "expected"), [(9, (9, 9)), ((3, 7), (3, 7)), ([200, 1], (200, 1))]
)
def test_a_given_size_is_used(tmp_path, size, expected):
    assert read_folder(tree(tmp_path), size).x.shape == (8, *expected, 1)


@pytest.mark.parametrize("size", [0, -3, 4097, 8.0, "8", (8,), (8, 8, 3), (8, None), True])
def test_a_wrong_size_is_refused(tmp_path, size):
    with pytest.raises(SettingError, match=r"task\.size=") as error:
        read_folder(tree(tmp_path), size)
    refusal(error)


def test_resizing_averages(tmp_path):
    for label in "ab":
        board = (np.indices((40, 40)).sum(0) % 2 * 255).astype(np.uint8)
        (tmp_path / label).mkdir()
        Image.fromarray(board).save(tmp_path / label / "board.png")
    assert np.abs(read_folder(tmp_path, 4).x.astype(int) - 127).max() < 20


ROT = {1: 0, 2: 0, 3: 2, 6: 3, 8: 1}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_applied(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 255
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "x.png", form, exif=exif)
    found = read_folder(tmp_path)
    expected = np.rot90(pixels, ROT[orientation])
    assert found.x.shape[1:3] == expected.shape
    assert np.abs(found.x[0, ..., 0].astype(int) - expected).max() < 60
    assert found.note == ()


def colours(tmp_path, image):
    """The pixel that a picture becomes, beside a coloured one."""
    for label in "ab":
        (tmp_path / label).mkdir()
        picture(tmp_path / label / "colour.png", "RGB", image.size, (1, 2, 3))
        image.save(
            tmp_path / label / "given.tif" if image.mode == "F" else tmp_path / label / "g.png"
        )
    found = read_folder(tmp_path)
    return found.x[1, 0, 0].tolist(), found.note


def test_rule_for_grey(tmp_path):
    assert colours(tmp_path, Image.new("L", (4, 4), 9))[0] == [9, 9, 9]


def test_rule_for_two_levels(tmp_path):
    assert colours(tmp_path, Image.new("1", (4, 4), 1))[0] == [255, 255, 255]


def test_rule_for_palettes(tmp_path):
    image = Image.new("RGB", (4, 4), (200, 10, 30)).quantize(4)
    assert colours(tmp_path, image)[0] == [200, 10, 30]


def test_rule_for_16_bits(tmp_path):
    pixel, note = colours(tmp_path, Image.fromarray(np.full((4, 4), 0x1234, np.uint16)))
    assert pixel == [0x12] * 3
    assert any("of 2 images with 16 bits the upper 8 are kept" in line for line in note)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), [255] * 3),
        ("RGBA", (40, 50, 60, 255), [40, 50, 60]),
        ("LA", (0, 0), [255] * 3),
        ("LA", (0, 51), [204] * 3),
    ],
)
def test_rule_for_transparency(tmp_path, mode, colour, expected):
    pixel, note = colours(tmp_path, Image.new(mode, (4, 4), colour))
    assert pixel == expected
    assert any("2 images with transparency were laid over white" in line for line in note)


def test_rule_for_the_transparent_colour_of_a_palette(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.info["transparency"] = 0
    assert colours(tmp_path, image)[0] == [255] * 3


def test_rule_for_print_colours(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.tif", "CMYK", (4, 4), (0, 255, 255, 0))
    assert read_folder(tmp_path).x[0, 0, 0].tolist() == [255, 0, 0]


def test_rule_for_animations(tmp_path):
    first, second = Image.new("L", (4, 4), 10), Image.new("L", (4, 4), 90)
    for label in "ab":
        (tmp_path / label).mkdir()
        first.save(tmp_path / label / "x.gif", save_all=True, append_images=[second])
    assert (read_folder(tmp_path).x == 10).all()


def test_floats_have_no_rule_and_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"given\.tif.*float") as error:
        colours(tmp_path, Image.new("F", (4, 4), 0.5))
    refusal(error)


def test_integers_beyond_16_bits_have_no_rule_and_are_refused(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "x.tif", "I", value=70_000)
    with pytest.raises(DataError, match=r"x\.tif.*outside 0\.\.65535"):
        read_folder(tmp_path)


def test_a_bomb_is_refused_even_where_pillow_was_told_to_allow_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tree(tmp_path) / "cat" / "bomb.png").write_bytes(png_of(10_000, 9_000))
    with pytest.raises(DataError, match=r"bomb\.png.*more than 89,478,485 pixels"):
        read_folder(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_that_are_all_grey_have_one_channel(tmp_path, mode):
    for label in "ab":
        picture(tmp_path / label / "x.png", "L", value=0)
        file = picture(tmp_path / label / "y.png", "L", value=255)
        image = Image.open(file)
        image.load()
        made = (
            Image.fromarray(np.full((5, 6), 65535, np.uint16))
            if mode == "I;16"
            else image.convert(mode)
        )
        made.save(file)
    found = read_folder(tmp_path)
    assert found.x.shape == (4, 5, 6, 1)
    assert found.x[:, 0, 0, 0].tolist() == [0, 255, 0, 255]


def test_one_coloured_picture_makes_all_of_them_rgb(tmp_path):
    picture(tree(tmp_path) / "cat" / "z.png", "RGB", value=(1, 2, 3))
    assert read_folder(tmp_path).x.shape == (9, 5, 6, 3)


# ---- folders that cannot be used -----------------------------------------------------------------


def empty(root):
    root.mkdir(exist_ok=True)


def flat(root):
    picture(root / "a.png")


def empty_class(root):
    tree(root)
    (root / "eel").mkdir()


def one_class(root):
    tree(root, ("cat",))


def no_train(root):
    tree(root / "test")
    tree(root / "val")


def flat_train(root):
    picture(root / "train" / "a.png")
    picture(root / "test" / "a.png")


def mixed(root):
    tree(root / "train")
    tree(root / "bus")


def two_validations(root):
    for name in ("train", "val", "valid"):
        tree(root / name)


def empty_test(root):
    tree(root / "train")
    (root / "test" / "cat").mkdir(parents=True)


def flat_test(root):
    tree(root / "train")
    picture(root / "test" / "a.png")


def only_links(root):
    tree(root.parent / "away")
    root.mkdir(exist_ok=True)
    for name in ("cat", "dog"):
        (root / name).symlink_to(root.parent / "away" / name)


def not_utf8(root):
    tree(root)
    os.rename(root / "dog", os.fsencode(root) + b"/d\xffg")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "no sub-folder .it is empty of images.*folder of its own"),
        (flat, "it holds 1 images"),
        (empty_class, r"eel.*holds no image \(\.bmp"),
        (no_train, "no train/"),
        (flat_train, "no train/ with one folder per class"),
        (mixed, "'bus' beside it"),
        (two_validations, "two validation folders"),
        (empty_test, "test.*holds no images"),
        (flat_test, "test.*no sub-folder"),
        (only_links, "links that leave the folder are not followed"),
    ]
    + ([(not_utf8, "UTF-8")] if sys.platform == "linux" else []),
)
def test_a_folder_that_cannot_be_used_is_refused(make, words, tmp_path):
    root = tmp_path / "root"
    make(root)
    with pytest.raises(DataError, match=words) as error:
        read_folder(root)
    assert "root" in refusal(error)


def test_one_class_folder_is_refused_by_the_task(tmp_path):
    one_class(tmp_path)
    found = read_folder(tmp_path)
    with pytest.raises(DataError, match="one class only, 'cat'"):
        image_task("t", found.x, found.y)


def png_of(width, height):
    """A PNG whose header declares any size."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def encoded(form, size=(60, 40), **options):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, form, **options)
    return stream.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")
BAD_PICTURES = {
    "empty": (b"", "bad one"),
    "text": (b"no image", "bad one"),
    "cut png": (PNG[: len(PNG) // 2], "bad one"),
    "cut jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "header only": (PNG[:33], "bad one"),
    "broken png": (PNG[:60] + bytes(90) + PNG[150:], "bad one"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "bad one"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "bad one"),
    "pickle": (pickle.dumps([1]), "bad one"),
    "bomb": (png_of(20_000, 20_000), "pixels"),
    "small bomb": (png_of(10_000, 9_000), "pixels"),
    "no size": (png_of(0, 0), "bad one"),
}


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_picture_that_cannot_be_read_is_named(case, size, tmp_path):
    data, words = BAD_PICTURES[case]
    (tree(tmp_path) / "dog" / "bad one.png").write_bytes(data)
    with pytest.raises(DataError, match=words) as error:
        read_folder(tmp_path, size)
    assert "bad one.png' is not a readable image" in refusal(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tree(tmp_path) / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="not a regular file"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        read_npz(tmp_path / "a.npz")


def test_a_broken_link_is_named(tmp_path):
    (tree(tmp_path) / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png"):
        read_folder(tmp_path)


def test_a_folder_over_the_limit_is_refused(tmp_path):
    tree(tmp_path)
    assert len(read_folder(tmp_path, limit=8 * 30).x) == 8
    with pytest.raises(DataError, match="at most"):
        read_folder(tmp_path, limit=8 * 30 - 1)


# ---- every reader --------------------------------------------------------------------------------


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


@pytest.mark.parametrize("which", range(len(HEALTHY)))
def test_damage_of_any_kind_is_a_data_error_or_harmless(which, tmp_path):
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
            found = reader(root / name if reader is read_npz else root)
            image_task("t", found.x, found.y)
        except DataError as error:
            assert "\n" not in str(error)


def test_importing_tasks_loads_no_reader():
    code = (
        "import sys, evolvent.task, evolvent.task.images;"
        "print({'PIL', 'sklearn', 'pandas', 'torch'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
