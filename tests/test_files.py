"""Folders that are whole or absent, and those that cannot be made."""

import os

import pytest

from evolvent.errors import RunError
from evolvent.files import check_new_folder, replace_folder, restore_folder


def folder(path, text):
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def test_a_folder_takes_the_place_of_another(tmp_path):
    old = folder(tmp_path / "best", "old")
    replace_folder(folder(tmp_path / "new", "new"), old)
    assert (old / "file").read_text() == "new"
    replace_folder(folder(tmp_path / "other", "other"), tmp_path / "absent")
    assert sorted(os.listdir(tmp_path)) == ["absent", "best"]


def test_what_a_crash_left_aside_comes_back(tmp_path, monkeypatch):
    old, new = folder(tmp_path / "best", "old"), folder(tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        patch.setattr("evolvent.files.move", None)  # it ends between the two steps
        with pytest.raises(TypeError):
            replace_folder(new, old)
    assert not old.exists()
    restore_folder(old)
    assert (old / "file").read_text() == "old"
    restore_folder(old)  # nothing is left aside
    replace_folder(new, old)
    assert (old / "file").read_text() == "new"


def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path):
    check_new_folder(tmp_path / "some" / "new" / "run")
    assert not os.listdir(tmp_path)
    check_new_folder(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file" / "run", tmp_path / "new" / ("x" * 300)):
        with pytest.raises(RunError, match=r"cannot be made .*: choose another --out"):
            check_new_folder(place)
    assert os.listdir(tmp_path) == ["file"]
