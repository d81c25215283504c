"""The reader of pictures that a table names."""

import csv

import numpy as np
import pytest
from tests.task.helpers import picture, refusal

from evolvent.errors import DataError, SettingError
from evolvent.task import data_of
from evolvent.task.listed import TABLE, Listing, listed, read_listed
from evolvent.task.opening import open_task


def write(folder, rows, header=("file_name", "age")):
    """A table and the pictures that its rows name, each of one brightness."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    for name, *_ in rows:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        value = 10 * int(file.stem)
        picture(file, value=value)
    return folder


def numbered(count, value, start=0):
    return [(f"pictures/{n}.png", value(n)) for n in range(start, start + count)]


def test_every_picture_has_the_number_of_its_own_row(tmp_path):
    rows = numbered(20, lambda n: n + 0.5)
    found = read_listed(write(tmp_path, rows[::-1]), listing=Listing(kind="regression"))
    assert found.y.tolist() == [n + 0.5 for n in reversed(range(20))]
    assert found.x[:, 0, 0, 0].tolist() == [10 * n for n in reversed(range(20))]
    assert found.target == "age"


def test_text_is_a_class_as_it_is_written(tmp_path):
    found = read_listed(write(tmp_path, numbered(8, lambda n: "01" if n % 2 else "1")))
    assert set(found.y) == {"01", "1"}


def test_few_whole_numbers_are_classes_and_that_is_said(tmp_path):
    found = read_listed(write(tmp_path, numbered(9, lambda n: n % 3)))
    assert found.y.tolist() == ["0", "1", "2"] * 3
    assert "3 whole numbers, which are read as classes: --kind regression" in found.note[0]


def test_numbers_with_fractions_need_a_word(tmp_path):
    write(tmp_path, numbered(9, lambda n: n / 4))
    with pytest.raises(SettingError, match=r"a class or a quantity.*9 different numbers"):
        read_listed(tmp_path)


def test_parts_have_tables_of_their_own(tmp_path):
    for at, (part, count) in enumerate({"train": 12, "val": 4, "test": 3}.items()):
        write(tmp_path / part, numbered(count, lambda n: n / 8, 5 * at))
    found = read_listed(tmp_path, listing=Listing(kind="regression"))
    assert len(found.y) == 12
    assert found.y_validation is not None
    assert found.y_test is not None
    assert found.y_validation.tolist() == [n / 8 for n in range(5, 9)]
    assert found.y_test.tolist() == [n / 8 for n in range(10, 13)]


def test_two_validation_folders_are_refused(tmp_path):
    for part in ("train", "val", "valid"):
        write(tmp_path / part, numbered(6, str))
    with pytest.raises(DataError, match="two validation folders"):
        read_listed(tmp_path)


def test_rows_without_a_target_and_pictures_without_a_row_are_told(tmp_path):
    write(tmp_path, [*numbered(9, lambda n: n / 4), ("pictures/9.png", "")])
    picture(tmp_path / "pictures" / "21.png", value=3)
    found = read_listed(tmp_path, listing=Listing(kind="regression"))
    assert len(found.y) == 9
    assert "1 rows without 'age' are left out" in found.note[0]
    assert "2 images below" in found.note[1]


def test_broken_pictures_take_their_numbers_with_them(tmp_path):
    write(tmp_path, numbered(9, lambda n: n / 4))
    (tmp_path / "pictures" / "3.png").write_bytes(b"no picture")
    asked = Listing(kind="regression")
    with pytest.raises(DataError, match=r"3\.png.*--skip-broken"):
        read_listed(tmp_path, listing=asked)
    found = read_listed(tmp_path, listing=asked, skip_broken=True)
    assert found.y.tolist() == [n / 4 for n in range(9) if n != 3]
    assert found.x[:, 0, 0, 0].tolist() == [10 * n for n in range(9) if n != 3]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (numbered(3, str), ("image", "age"), "no column 'file_name'"),
        ([(name, age, 1) for name, age in numbered(3, str)], ("file_name", "a", "b"), "--target"),
        ([("../0.png", "1")], ("file_name", "age"), "outside its folder"),
        ([(name, "") for name, _ in numbered(3, str)], ("file_name", "age"), "no row has 'age'"),
        ([*numbered(2, str), *numbered(1, str)], ("file_name", "age"), "more than once"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, rows, header, message):
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / TABLE).open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    for name, *_ in rows:
        (folder / name).parent.mkdir(exist_ok=True)
        picture(folder / name)
    with pytest.raises((DataError, SettingError), match=message) as caught:
        read_listed(folder)
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_missing_is_named(tmp_path):
    write(tmp_path, numbered(3, str))
    (tmp_path / "pictures" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1 files that are not there \('?pictures/1\.png"):
        read_listed(tmp_path)


def test_class_folders_stay_classes_until_a_target_is_named(tmp_path):
    rows = [(f"{kind}/{n}.png", n / 4) for kind in ("cat", "dog") for n in range(12)]
    write(tmp_path, rows)
    task = data_of(open_task(str(tmp_path), {}))
    assert task.classes == ("cat", "dog")
    assert any("--target COLUMN learns a column of metadata.csv" in line for line in task.note)
    task = data_of(open_task(str(tmp_path), {"target": "age", "kind": "regression"}))
    assert not task.classes
    assert task.reading["target"] == "age"


def test_a_target_without_a_table_is_refused(tmp_path):
    for kind in ("cat", "dog"):
        for n in range(4):
            (tmp_path / kind).mkdir(exist_ok=True)
            picture(tmp_path / kind / f"{n}.png", value=n)
    with pytest.raises(SettingError) as error:
        open_task(str(tmp_path), {"target": "age"})
    assert "has no metadata.csv" in refusal(error)
    assert listed(tmp_path) == {}


def test_the_quantity_is_in_the_units_of_the_table(tmp_path):
    write(tmp_path, numbered(25, lambda n: 100 + n))
    task = data_of(open_task(str(tmp_path), {"kind": "regression"}))
    assert 100 < task.reading["target_mean"] < 125
    assert task.test is not None
    y = np.concatenate([task.train.y, task.validation.y, task.test.y])
    values = np.sort(y * task.unit + task.reading["target_mean"])
    assert np.allclose(values, np.arange(100, 125))
