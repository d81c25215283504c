"""Whole series: arrays, tables of time steps, .ts files; scales, gaps, refusals."""

from typing import Any

import numpy as np
import pytest
from tests.task.helpers import refusal

from evolvent.errors import DataError, SettingError
from evolvent.task.images import Images
from evolvent.task.memory import given
from evolvent.task.opening import open_task, unnamed_kind
from evolvent.task.options import kind_of, with_split
from evolvent.task.portable.errors import Unreadable
from evolvent.task.portable.sequences import read_ts, standardised
from evolvent.task.series import series_of_arrays


def waves(count=60, channels=2, steps=12, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = rng.normal(size=(count, channels, steps)) + 5 * y[:, None, None]
    return x, y


def arrays(**changed):
    x, y = waves()
    return series_of_arrays("data.npz", Images(**({"x": x, "y": y} | changed)))


def test_arrays_are_scaled_by_the_training_part():
    made = arrays()
    assert made.kind == "series" and made.input_shape == (2, 12) and made.outputs == 3
    assert made.facts.ahead == 0
    assert abs(made.train.x.mean()) < 1e-5
    np.testing.assert_allclose(made.train.x.std((0, 2)), 1, rtol=1e-5)
    assert made.counts == {"train": 42, "validation": 9, "test": 9}


def test_series_of_one_channel_need_no_axis_for_it():
    x, y = waves(channels=1)
    first, second = (series_of_arrays("data", Images(each, y)) for each in (x, x[:, 0]))
    assert first.input_shape == (1, 12) and first.fingerprint == second.fingerprint


def test_validation_and_test_arrays_are_what_was_given():
    (xv, yv), (xt, yt) = waves(9, seed=1), waves(6, seed=2)
    made = arrays(x_validation=xv, y_validation=yv, x_test=xt, y_test=yt)
    assert made.counts == {"train": 60, "validation": 9, "test": 6}
    np.testing.assert_array_equal(made.validation.y, yv)
    np.testing.assert_allclose(made.validation.x, standardised(xv, made.reading))


def test_targets_with_a_fraction_are_quantities_and_names_are_those_given():
    x, y = waves()
    made = arrays(y=y + 0.5)
    assert made.metric == "r2" and made.outputs == 1
    named = arrays(class_names=("a", "b", "c"))
    assert named.classes == ("a", "b", "c")
    many = series_of_arrays("data", Images(np.repeat(x, 5, 0), np.arange(300) // 5))
    assert "60 different whole numbers are taken for classes" in " ".join(many.note)
    whole = series_of_arrays("data", Images(x, np.arange(60)), kind="regression")
    assert whole.metric == "r2"


def test_a_missing_value_is_the_last_before_it_or_the_first():
    reading = {"mean": [0.0, 0.0], "std": [1.0, 2.0]}
    x = np.array([[[np.nan, 1, np.nan, 3], [np.nan] * 4]])
    assert standardised(x, reading).tolist() == [[[1, 1, 1, 3], [0, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x": waves(steps=3)[0]}, "series of 3 steps, at least 4"),
        ({"x": np.zeros((60, 2, 3, 4))}, "[N, channels, time] or [N, time] are needed"),
        ({"x": np.full((60, 2, 5), np.inf)}, "infinite numbers"),
        ({"y": np.zeros(60, int)}, "there is one class only"),
        ({"y": np.arange(59)}, "60 series and 59 targets"),
        ({"x_test": waves(steps=9)[0], "y_test": waves()[1]}, "make them alike"),
    ],
)
def test_arrays_that_are_no_series_are_refused(changed, reason):
    with pytest.raises(DataError) as error:
        arrays(**changed)
    assert reason in refusal(error)


# ---- files ---------------------------------------------------------------------------------------


def test_a_table_of_time_steps(tmp_path):
    x, y = waves(channels=1)
    lines = [",".join(["abc"[k], *map(str, row)]) for row, k in zip(x[:, 0], y, strict=True)]
    file = tmp_path / "steps.csv"
    header = ",".join(["kind", *(f"t{step}" for step in range(12))])
    file.write_text("\n".join([header, *lines]) + "\n")
    settings = {"target": "kind", "series": True, "kind": "classification"}
    made: Any = open_task(str(file), settings)
    assert made.facts.input_shape == (1, 12) and made.kind == "series"
    assert made.classes == ("a", "b", "c")
    assert unnamed_kind(str(file), {"target": "kind", "series": True})
    file.write_text("\n".join([header.replace("t3", "t3"), *(each + "x" for each in lines)]) + "\n")
    with pytest.raises(DataError, match="every column beside 'kind' is a time step, and 't11'"):
        open_task(str(file), settings)


def test_a_table_of_time_steps_keeps_groups_whole_and_takes_files_for_parts(tmp_path):
    x, y = waves(channels=1)
    header = ",".join(["kind", "who", *(f"t{step}" for step in range(12))])

    def written(name, rows):
        cells = [[f"k{y[row]}", f"p{row % 20}", *map(str, x[row, 0])] for row in rows]
        (tmp_path / name).write_text("\n".join([header, *map(",".join, cells)]) + "\n")
        return str(tmp_path / name)

    settings = {"target": "kind", "series": True, "kind": "classification", "groups": "who"}
    made: Any = open_task(written("all.csv", range(60)), settings)
    assert made.facts.input_shape == (1, 12) and made.division.by == "groups"
    assert len(made.division.codes) == len(made.train) + len(made.validation)
    known = {part: {row.tobytes() for row in own.x} for part, own in parts_of(made).items()}
    people = {
        part: {
            row % 20
            for row in range(60)
            if standardised(x[row : row + 1], made.reading).tobytes() in own
        }
        for part, own in known.items()
    }
    assert sum(map(len, people.values())) == 20 and all(people.values())
    early, late = written("early.csv", range(20)), written("late.csv", range(20, 30))
    del settings["groups"]
    ignore = {"ignore": ["who"]}
    parted: Any = open_task(early, settings | ignore | {"validation": late, "test": late})
    assert parted.counts == {"train": 20, "validation": 10, "test": 10}
    np.testing.assert_allclose(parted.validation.x, standardised(x[20:30], parted.reading))
    assert "10 of 10 test rows (100.0%) also occur in training or validation" in " ".join(
        parted.note
    )


def parts_of(made):
    return {"training": made.train, "validation": made.validation, "test": made.test}


def test_arrays_in_files_and_in_memory_take_other_ones_for_parts(tmp_path):
    (x, y), (xv, yv) = waves(), waves(9, seed=1)
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    np.savez(first, x_train=x, y_train=y)
    np.savez(second, x_train=xv, y_train=yv)
    own = {"validation": str(second), "test": str(second)}
    made: Any = open_task(str(first), {"series": True, **own})
    assert made.counts == {"train": 60, "validation": 9, "test": 9}
    np.testing.assert_allclose(made.validation.x, standardised(xv, made.reading))
    with pytest.raises(DataError, match="the data bring their own test part"):
        np.savez(first, x_train=x, y_train=y, x_test=x, y_test=y)
        open_task(str(first), {"series": True, **own})
    data, said = with_split(given((x, y)), {"series": True}, validation=(xv, yv))
    memory: Any = open_task(data, said)
    assert memory.counts["validation"] == 9 and memory.counts["train"] == 51
    with pytest.raises(SettingError, match="--groups"):
        with_split(str(first), {"series": True}, groups="who")


TS = """# a comment
@problemName waves
@univariate false
@classLabel true up down
@data
{lines}
"""


def ts(tmp_path, name, count=24):
    lines = "\n".join(
        f"{k},2,3,4.5,{k}:{k * k},?,1,0,1:{'up' if k % 2 else 'down'}" for k in range(count)
    )
    file = tmp_path / name
    file.write_text(TS.format(lines=lines))
    return file


def test_a_ts_file_and_the_test_file_beside_it(tmp_path):
    file = ts(tmp_path, "Waves_TRAIN.ts")
    found = read_ts(file)
    assert found.x.shape == (24, 2, 5) and not found.quantity
    assert found.labels[:3] == ["down", "up", "down"] and np.isnan(found.x[:, 1, 1]).all()
    alone = open_task(str(file), {})
    assert kind_of(str(file), {}) == "series" and alone.counts["test"] == 4
    ts(tmp_path, "Waves_TEST.ts", 10)
    made = open_task(str(file), {})
    assert made.counts["test"] == 10 and "Waves_TEST.ts" in " ".join(made.note)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("1,2,3:up\n1,2:up", "differ in length"),
        ("1,b,3:up", "'b' is no number"),
        ("(0,1),(1,2):up", "time stamps"),
        ("", "has no series"),
    ],
)
def test_ts_files_that_cannot_be_read_are_refused(tmp_path, lines, reason):
    file = tmp_path / "odd.ts"
    file.write_text(TS.format(lines=lines))
    with pytest.raises(Unreadable, match=reason):
        read_ts(file)


def test_settings_of_images_are_not_for_series(tmp_path):
    file = tmp_path / "data.npz"
    x, y = waves()
    np.savez(file, x_train=x, y_train=y)
    assert open_task(str(file), {"series": True}).kind == "series"
    with pytest.raises(SettingError, match="flip is for images"):
        open_task(str(file), {"series": True, "flip": True})
    with pytest.raises(SettingError, match="are images, which have classes"):
        open_task("digits", {"kind": "regression"})
