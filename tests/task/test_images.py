"""From arrays to a task: the split, the pixels, and what is refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.task.helpers import GOOD_X, GOOD_Y, found_in_order, numbered, numbers, parts, refusal

from evolvent.errors import DataError, SettingError
from evolvent.task import images
from evolvent.task.images import image_task
from evolvent.types import Facts

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


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
    monkeypatch.setattr(images, "_BLOCK", 4000)  # several blocks
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
    assert task.facts.mirrored is expected
    assert Facts.from_json(task.facts.to_json()) == task.facts
    told = [line for line in task.note if "--set task.flip=" in line]
    assert len(told) == (flip is None)
    assert flip is not None or f"task.flip={str(not expected).lower()}" in told[0]


def test_uneven_classes_are_told_and_are_in_every_part():
    x, _ = numbered(n=100)
    y = np.array(["cat"] * 90 + ["dog"] * 7 + ["eel"] * 3)
    task = image_task("uneven", x, y)
    told = [line for line in task.note if "uneven" in line]
    assert told == [
        "classes are uneven: 90 images of 'cat', 3 of 'eel'; to answer 'cat' always has an accuracy "
        "of 0.900"
    ]
    assert all(
        set(part.y) == {0, 1, 2} for part in (task.train, task.validation, task.test) if part
    )
    even = image_task("even", x, np.arange(100) % 3)
    assert not any("uneven" in line for line in even.note)


@pytest.mark.parametrize(("edge", "shift"), [(4, 1), (15, 1), (16, 2), (40, 2), (41, 4)])
def test_larger_images_are_shifted_further(edge, shift):
    x, y = numbered(height=edge, width=edge + 9)
    assert image_task("t", x, y).augment == {"flip": False, "shift": shift, "cutout": 0}


# ---- arrays that cannot be used ------------------------------------------------------------------

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


def test_importing_tasks_loads_no_reader():
    code = (
        "import sys, evolvent.task, evolvent.task.images, evolvent.task.arrays, evolvent.task.folders;"
        "print({'PIL', 'sklearn', 'pandas', 'torch'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
