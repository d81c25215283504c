"""From names, paths and options to tasks of numbers and texts."""

import gzip

import numpy as np
import pytest
from tests.task.helpers import refusal

from evolvent.errors import DataError, SettingError, UserError
from evolvent.task import data_of
from evolvent.task.opening import open_task, unnamed_kind
from evolvent.task.options import names, settings_of, with_columns


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, its like, and reviews."""
    root = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{i % 2}\n" for i, a in enumerate(rng.normal(size=60)))
    (root / "data.csv").write_text("a,y\n" + rows)
    (root / "more.csv").write_text("y,a\n" + "1,2\n0,1\n" * 5)
    said = "".join(f"a {'good' if i % 2 else 'bad'} film,{i % 2}\n" for i in range(40))
    (root / "films.csv").write_text("text,label\n" + said)
    (root / "imdb").mkdir()
    for part in ("train", "test"):
        content = gzip.compress(("rating,text,label\n" + said.replace("a ", "7,a ")).encode())
        (root / "imdb" / f"imdb_{part}.csv.gz").write_bytes(content)
    return root


def refused(name, settings, error=SettingError):
    with pytest.raises(error) as found:
        open_task(name, settings)
    return refusal(found)


def test_a_table_is_a_task_of_numbers_by_its_target_and_kind(folder):
    path = str(folder / "data.csv")
    made = data_of(
        open_task(path, {"target": "y", "kind": "classification", "validation": 0.3, "seed": 2})
    )
    assert (made.name, made.kind, made.seed) == (path, "numbers", 2)
    assert len(made.validation) == pytest.approx(0.3 * 51, abs=1)
    assert open_task(path, {"target": "a", "kind": "regression"}).metric == "r2"
    tested = open_task(
        path, {"target": "y", "kind": "classification", "test": str(folder / "more.csv")}
    )
    assert tested.counts["test"] == 10


def test_a_table_with_a_text_column_is_a_task_of_texts(folder):
    path = str(folder / "films.csv")
    settings = {"target": "label", "text": "text", "length": 5, "vocabulary": 10}
    made = data_of(open_task(path, settings))
    assert (made.kind, made.input_shape) == ("text", (5,))
    assert made.vocabulary <= 10


def test_imdb_is_read_from_the_folder_of_data_sets(folder, monkeypatch):
    monkeypatch.setenv("EVOLVENT_DATA", str(folder))
    made = data_of(open_task("imdb", {"length": 6}))
    assert made.counts == {"train": 36, "validation": 4, "test": 40}
    copies = (  # the files of this test hold two texts
        "copies: 4 of 4 validation rows (100.0%) also occur in training, 40 of 40 test rows (100.0%) "
        "also occur in training or validation, the same in every input: what they score may be memory"
    )
    assert (made.classes, made.note) == (("0", "1"), (copies,))
    monkeypatch.setenv("EVOLVENT_DATA", str(folder / "imdb"))
    assert "imdb_train.csv.gz and imdb_test.csv.gz" in refused("imdb", {}, DataError)
    assert "imdb" in names()


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("data.csv", {}, "name the column to predict with --target, one of a, y"),
        ("data.csv", {"target": "y"}, "a class or a quantity? --kind classification"),
        ("data.csv", {"target": "z"}, "no column 'z'"),
        ("data.csv", {"target": "y", "kind": "regression", "length": 9}, "--text"),
        ("data.csv", {"target": "y", "kind": "regression", "validation": 0.9}, "task.validation"),
        ("films.csv", {"target": "label", "text": "label"}, "two columns"),
        ("films.csv", {"target": "label", "text": "text", "kind": "regression"}, "classes"),
        ("none.csv", {"target": "y"}, "no such file"),
    ],
)
def test_what_is_asked_wrongly_is_one_clear_line(folder, name, settings, reason):
    assert reason in refused(str(folder / name), settings, UserError)


def test_options_name_the_columns_of_tables_and_of_nothing_else():
    assert with_columns("a.csv", {"seed": 1}, target="y", text=None, kind=None) == {
        "seed": 1,
        "target": "y",
    }
    assert with_columns("digits", {"seed": 1}, target=None) == {"seed": 1}
    with pytest.raises(SettingError, match="--target is for tables"):
        with_columns("digits", {}, target="y")
    with pytest.raises(SettingError, match=r"--target y and task\.target=z: say it once"):
        with_columns("a.csv", {"target": "z"}, target="y")


def test_only_a_table_without_kind_and_text_is_to_be_identified():
    assert unnamed_kind("a.csv", {"target": "y"})
    assert not unnamed_kind("a.csv", {"kind": "regression"})
    assert not unnamed_kind("a.parquet", {"text": "t"})
    assert not unnamed_kind("imdb", {})
    assert not unnamed_kind("digits", {})
    assert "target" in settings_of("a.tsv")
    assert "text" not in settings_of("digits")
    assert "vocabulary" in settings_of("imdb")
