"""The user's own split: files that are parts, and columns of groups, of time and of folds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evolvent.deliver.ensemble import Predictions
from evolvent.errors import DataError, SettingError, UserError
from evolvent.estimator.packed import Packed
from evolvent.identification.rows import chosen_rows, drawn
from evolvent.network.folds import folds_of
from evolvent.space.tabular import Tabular
from evolvent.task import data_of
from evolvent.task.division import Folds, Groups, Times
from evolvent.task.frames import read_frame
from evolvent.task.memory import given
from evolvent.task.opening import open_task
from evolvent.task.options import with_split
from evolvent.task.own_split import OwnSplit, bound_rows

ROWS = 240
RNG = np.random.default_rng(0)
PATIENT = RNG.integers(0, 30, ROWS)
A = np.arange(ROWS, dtype=float)  # tells the rows apart
CLASS = np.where(RNG.random(ROWS) < 0.3, "yes", "no")
DAY = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in RNG.integers(0, 200, ROWS)]
FOLD = np.where(A % 8 == 7, "test", (A % 4 + 1).astype(int).astype(str))


def table(rows=range(ROWS), **changes):
    columns: dict[str, Any] = {
        "a": A,
        "b": A % 7,
        "patient": PATIENT,
        "day": DAY,
        "fold": FOLD,
        "y": CLASS,
    }
    lines = [",".join(changes.get("names", columns))]
    for row in rows:
        cells = {name: str(column[row]) for name, column in columns.items()}
        cells |= {name: each for name, each in changes.items() if name in columns}
        lines.append(",".join(cells[name] for name in changes.get("names", columns)))
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(table())
    return path


def opened(file, **said):
    settings = {"target": "y", "kind": "classification"} | said
    return data_of(open_task(str(file), settings))


def rows_of(task, part):
    """The rows of a part, by the column that tells them apart."""
    return cells(task, part, "a").astype(int)


def cells(task, part, column):
    return task.source.part(part).column(column)


def refused(*args, **said):
    with pytest.raises(UserError) as error:
        opened(*args, **said)
    assert "\n" not in str(error.value)
    return str(error.value)


def names(task):
    return [column["name"] for column in task.reading["columns"]]


# ---- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_group_is_in_two_parts_and_the_column_is_no_input(file, seed):
    task = opened(file, groups="patient", seed=seed)
    found = {part: set(PATIENT[rows_of(task, part)]) for part in ("training", "validation", "test")}
    assert not found["training"] & found["validation"]
    assert not (found["training"] | found["validation"]) & found["test"]
    assert sum(task.counts.values()) == ROWS
    assert 0.08 < task.counts["test"] / ROWS < 0.25
    assert "patient" not in names(task)
    (line,) = [each for each in task.note if each.startswith("split: ")]
    assert "no group of 'patient' is in two parts" in line and "is no input" in line
    assert found["test"] == set(PATIENT[rows_of(opened(file, groups="patient"), "test")])


def test_folds_of_a_small_table_and_halves_of_an_ensemble_keep_groups_whole(file):
    task = opened(file, groups="patient")
    learnt = np.concatenate([rows_of(task, "training"), rows_of(task, "validation")])
    groups = PATIENT[learnt]
    estimator = Packed(Tabular.of(task.facts), task)
    assert estimator.count == 5 and len(estimator.folds) == 10
    for fold in estimator.folds:
        assert not set(groups[fold.training]) & set(groups[fold.held_out])
        assert sorted([*fold.training, *fold.held_out]) == list(range(len(learnt)))
        shares = [(task.everything.y[rows] == 1).mean() for rows in (fold.training, fold.held_out)]
        assert abs(shares[0] - shares[1]) < 0.15
    with pytest.raises(SettingError, match="the groups of 'patient'"):
        Packed(Tabular.of(task.facts), task, folds=29)
    bound = task.division.bound[len(task.train) :]
    y = task.validation.y
    halves = Predictions(np.zeros((2, len(y), 2)), y, bound).halved(np.random.default_rng(0))
    assert sorted(np.concatenate(halves)) == list(range(len(y)))
    assert not set(bound[halves[0]]) & set(bound[halves[1]])


def test_what_the_shared_weights_learn_from_and_are_judged_on_are_other_groups(file):
    task = opened(file, groups="patient")
    rows = np.arange(len(task.train))
    kept, judged = task.division.taken(rows).cut(task.train.y, rows, 0.5, 3, classes=True)
    groups = PATIENT[rows_of(task, "training")]
    assert len(kept) + len(judged) == len(rows) and len(judged) > 0.3 * len(rows)
    assert not set(groups[kept]) & set(groups[judged])


def test_the_kind_of_a_target_is_found_out_with_groups_apart(file):
    frame, division = bound_rows(read_frame(file), OwnSplit("groups", "patient"))
    assert "patient" not in frame.columns
    rows = drawn(frame, "b", np.random.default_rng(0), division)
    groups: list[set[int]] = [set() for _ in range(3)]
    assert set(rows.part.tolist()) == {0, 1, 2}
    again = np.random.default_rng(0)
    index = chosen_rows(frame.column("b"), again)
    for row, part in zip(index, rows.part, strict=True):
        groups[part].add(int(PATIENT[row]))
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_a_group_that_alone_has_a_class_is_learnt():
    y = np.zeros(60, np.int64)
    y[:5] = 1
    groups = Groups("g", np.repeat(np.arange(12), 5))
    for seed in range(5):
        rest, chosen = groups.cut(y, np.arange(60), 0.2, seed, classes=True)
        assert set(range(5)) <= set(rest) and len(chosen) == 10
    with pytest.raises(DataError, match="'g' has 1 groups"):
        Groups("g", np.zeros(60, np.int64)).cut(y, np.arange(60), 0.2, 0, classes=False)


def test_labels_of_groups_that_differ_only_in_how_they_are_written_are_one(file):
    file.write_text(
        "a,g,y\n"
        + "".join(f"{i},{[' 7', '7.0', '07', 'x ', 'x'][i % 5]},{i % 2}\n" for i in range(40))
    )
    assert "groups: training, validation" in refused(file, groups="g")


def test_rows_without_a_group_count_as_one(file):
    file.write_text("a,g,y\n" + "".join(f"{i},{i % 9 or ''},{i % 2}\n" for i in range(180)))
    task = opened(file, groups="g")
    assert "20 rows without 'g' count as one group" in task.note
    assert (
        sum(
            any(r % 9 == 0 for r in rows_of(task, part))
            for part in ("training", "validation", "test")
        )
        == 1
    )


# ---- time ----------------------------------------------------------------------------------------


def test_validation_is_after_training_and_test_after_validation(file):
    task = opened(file, time="day", fraction=0.5)
    days = [np.array(DAY)[rows_of(task, part)] for part in ("training", "validation", "test")]
    assert max(days[0]) < min(days[1]) and max(days[1]) < min(days[2])
    assert "day" not in names(task)
    assert any(f"test {min(days[2])} to {max(days[2])}" in line for line in task.note)
    assert "day" in names(opened(file, time="day", keep="day"))


def test_folds_by_time_never_learn_from_later_rows(file):
    task = opened(file, time="day")
    learnt = np.concatenate([rows_of(task, "training"), rows_of(task, "validation")])
    days = np.array(DAY)[learnt]
    estimator = Packed(Tabular.of(task.facts), task)
    assert estimator.count == len(estimator.folds) == 5
    held = np.concatenate([fold.held_out for fold in estimator.folds])
    assert len(held) == len(set(held))
    for fold in estimator.folds:
        assert len(fold.held_out) > 10 and max(days[fold.training]) < min(days[fold.held_out])
    assert Packed.trainings(204, {}, task.division) == 2.0


@pytest.mark.parametrize(
    "counts", [[1] * 6, [50, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 50], [9, 1, 9, 1, 9, 1, 9]]
)
def test_as_many_folds_by_time_as_are_asked_for(counts):
    codes = np.repeat(np.arange(len(counts)), counts)
    found = Times("t", codes).folds(np.zeros(len(codes)), 5, 3, 0, classes=False)
    assert len(found) == 5
    for fold in found:
        assert len(fold.training) and codes[fold.training].max() < codes[fold.held_out].min()


def test_a_column_of_words_is_no_time(file):
    assert "holds neither numbers nor dates, such as" in refused(
        file, time="y", target="patient", kind="regression"
    )


# ---- folds ---------------------------------------------------------------------------------------


def test_the_users_folds_are_those_of_a_small_table_and_the_last_validates(file):
    task = opened(file, folds="fold")
    assert set(FOLD[rows_of(task, "test")]) == {"test"}
    learnt = np.concatenate([rows_of(task, "training"), rows_of(task, "validation")])
    assert set(FOLD[rows_of(task, "validation")]) == {"4"}
    estimator = Packed(Tabular.of(task.facts), task)
    held = [set(FOLD[learnt[fold.held_out]]) for fold in estimator.folds]
    assert held == [{"1"}, {"2"}, {"3"}, {"4"}]
    with pytest.raises(SettingError, match="the folds of 'fold'"):
        Packed(Tabular.of(task.facts), task, folds=3)
    (line,) = [each for each in task.note if each.startswith("split: ")]
    assert "'4', the last, validates" in line and "no test part" not in line


def test_a_column_may_name_the_parts(file):
    words = {"1": "train", "2": "Training", "3": "train", "4": "valid", "test": "test"}
    text = table()
    for old, new in words.items():
        text = text.replace(f",{old},yes", f",{new},yes").replace(f",{old},no", f",{new},no")
    file.write_text(text)
    task = opened(file, folds="fold")
    assert set(FOLD[rows_of(task, "validation")]) == {"4"} and task.counts["test"] == 30
    assert Packed(Tabular.of(task.facts), task).count == 0


def test_folds_without_test_rows_leave_no_test_part_and_say_so(file):
    file.write_text("a,fold,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(60)))
    task = opened(file, folds="fold")
    assert task.test is None
    assert any("there is no test part" in line for line in task.note)
    file.write_text("a,fold,y\n" + "".join(f"{i},{i % 3 or ''},{i % 2}\n" for i in range(60)))
    assert "20 rows have no 'fold'" in refused(file, folds="fold")


# ---- files ---------------------------------------------------------------------------------------


def test_files_are_the_parts_and_the_rest_of_the_rules_hold(tmp_path):
    paths = {}
    for name, rows in {
        "train": range(160),
        "val": range(160, 200),
        "test": range(200, 240),
    }.items():
        paths[name] = tmp_path / f"{name}.csv"
        paths[name].write_text(table(rows))
    files = {"validation": str(paths["val"]), "test": str(paths["test"])}
    task = opened(paths["train"], **files)
    assert rows_of(task, "validation").tolist() == list(range(160, 200))
    assert task.counts == {"train": 160, "validation": 40, "test": 40}
    assert Packed(Tabular.of(task.facts), task).count == 0
    assert any("40 rows of" in line and "validation part" in line for line in task.note)
    assert "are in" in refused(paths["train"], groups="patient", **files)
    assert "every part comes after" in refused(paths["train"], time="day", **files)
    assert "each says which rows validate" in refused(paths["train"], folds="fold", **files)
    in_order = opened(paths["train"], time="a", keep="a", **files)
    assert rows_of(in_order, "test").tolist() == list(range(200, 240))


@pytest.mark.parametrize(
    "text, reason",
    [
        (table(range(30), y="maybe"), "labels that the training part has not: 'maybe'"),
        (table(range(30), names=("a", "patient", "day", "fold", "y")), "has no column 'b'"),
        (table(range(30), b="blue"), "column 'b' holds text"),
        ("other,columns\n1,2\n3,4\n", "has no column"),
    ],
)
def test_a_validation_file_of_another_kind_is_refused_in_one_line(file, tmp_path, text, reason):
    other = tmp_path / "val.csv"
    other.write_text(text)
    assert reason in refused(file, validation=str(other))


def test_what_is_said_twice_or_of_other_tasks_is_refused(file):
    with pytest.raises(SettingError, match="one column says how"):
        with_split(str(file), {}, groups="patient", time="day")
    with pytest.raises(SettingError, match="names a column"):
        with_split("photos", {}, groups="patient")
    with pytest.raises(SettingError, match="parts of its own"):
        with_split("digits", {}, test=str(file))
    assert with_split(str(file), {}, validation="0.3")[1] == {"validation": 0.3}
    with pytest.raises(DataError, match="no such file"):
        with_split(str(file), {}, validation="nowhere.csv")
    assert "--groups y and --target y" in refused(file, groups="y")


def test_columns_that_are_left_out_may_say_how_to_split(file):
    assert opened(file, groups="patient", ignore=["patient", "day"]).division.by == "groups"


# ---- data in memory, texts, images ---------------------------------------------------------------


def test_data_in_memory_have_parts_and_cells_of_groups(tmp_path):
    x, y = np.stack([A, A % 7], axis=1), CLASS
    data, said = with_split(given((x, y)), {}, groups=PATIENT)
    assert said == {"groups": "groups"}
    task = data_of(open_task(data, said | {"target": "target", "kind": "classification"}))
    assert len(task.reading["columns"]) == 2 and task.division.by == "groups"
    data, said = with_split(given((x[:200], y[:200])), {}, validation=(x[200:], y[200:]))
    assert not isinstance(data, str)
    task = data_of(open_task(data, said | {"target": "target", "kind": "classification"}))
    assert len(task.validation) == 40 and data.digest != given((x[:200], y[:200])).digest
    images = RNG.integers(0, 255, (30, 6, 6), np.uint8), np.arange(30) % 3
    data, said = with_split(given(images), {}, validation=(images[0][:6], images[1][:6]))
    task = data_of(open_task(data, said))
    assert len(task.validation) == 6
    assert any("6 of 6 validation images (100.0%)" in line for line in task.note)
    with pytest.raises(SettingError, match="of another kind"):
        with_split(given((x, y)), {}, validation=images)


def test_texts_are_split_by_groups_and_copies_are_counted(tmp_path):
    path = tmp_path / "texts.csv"
    words = ["good film", "bad film", "so so"]
    path.write_text(
        "text,who,y\n" + "".join(f"{words[i % 3]} {i % 40},u{i % 20},{i % 2}\n" for i in range(200))
    )
    task = data_of(open_task(str(path), {"target": "y", "text": "text", "groups": "who"}))
    who = [set(cells(task, part, "text")) for part in ("training", "validation", "test")]
    users = [{int(text.split()[-1]) % 20 for text in part} for part in who]
    assert not users[0] & users[1] and not users[0] & users[2] and not users[1] & users[2]
    assert not any(line.startswith("copies") for line in task.note)
    plain = data_of(open_task(str(path), {"target": "y", "text": "text"}))
    (line,) = [each for each in plain.note if each.startswith("copies: ")]
    seen = set(cells(plain, "training", "text"))
    count = sum(each in seen for each in cells(plain, "validation", "text"))
    assert f"{count} of 16 validation rows" in line


def test_copies_of_rows_are_counted_whatever_their_target(tmp_path, file):
    lines = table(range(100)).splitlines()
    file.write_text("\n".join(lines) + "\n")
    (tmp_path / "test.csv").write_text(
        "\n".join([lines[0], lines[5], lines[9]]) + "\n" + table(range(200, 210)).split("\n", 1)[1]
    )
    task = opened(file, test=str(tmp_path / "test.csv"))
    assert any(
        "2 of 12 test rows (16.7%) also occur in training or validation" in n for n in task.note
    )


def test_folders_of_images_are_parts(tmp_path):
    for part, count in {"photos": 8, "val": 3, "odd": 2}.items():
        for name in ("cat", "dog") if part != "odd" else ("cat", "cow"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                shade = (
                    (hash((part, name, number)) % 200, number, 7)
                    if part == "photos"
                    else (number,) * 3
                )
                size = (8, 6) if part == "photos" else (12, 9)
                Image.new("RGB", size, shade).save(tmp_path / part / name / f"{number}.png")
    photos = str(tmp_path / "photos")
    task = data_of(open_task(photos, {"validation": str(tmp_path / "val")}))
    assert task.counts["validation"] == 6 and task.validation.x.shape[1:] == (6, 8, 3)
    with pytest.raises(DataError, match="labels that the training part has not: 'cow'"):
        open_task(photos, {"test": str(tmp_path / "odd")})


def test_folds_are_made_by_the_division_of_the_task(file):
    task = opened(file)
    codes = np.arange(len(task.train) + len(task.validation)) % 3
    own = replace(task, division=Folds("f", codes))
    assert [set(codes[fold.held_out]) for fold in folds_of(own, 3, 2, 0)] == [{0}, {1}, {2}]
