"""What predict.py says of cells that it cannot read, and what --strict makes of it."""

import pytest
from tests.deliver.predict.test_tables import exported, predicted

from evolvent.task.frames import read_frame
from evolvent.task.numbers import numbers_task
from evolvent.task.portable.dates import date_seconds
from evolvent.task.text import text_task

SEXES = ("female", "male")
ROWS = [f"{20 + i}.5,{SEXES[i % 2]},2024-01-{1 + i % 28:02},{i % 2}" for i in range(60)]
HEADER = "Age,Sex,Day,y"


def csv_of(rows):
    return "\n".join([HEADER, *rows]) + "\n"


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A network of numbers, categories and dates, one row of them with a category of its own."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "train.csv").write_text(csv_of([*ROWS, "30.5,other,2024-02-01,1"]))
    task = numbers_task("n", read_frame(folder / "train.csv"), target="y", kind="classification")
    exported(folder / "net", task)
    return folder


def test_the_training_file_itself_is_read_without_a_word(net):
    done = predicted(net / "net", net / "train.csv", "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 62


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "thirty,male,2024-01-01,0",
            "column 'Age': 1 of 61 cells could not be read as numbers, such as 'thirty' (row 61): "
            "taken as missing",
        ),
        (
            "30.5,male,some day,0",
            "column 'Day': 1 of 61 cells could not be read as dates, such as 'some day' (row 61): "
            "taken as missing",
        ),
        (
            "30.5,Male,2024-01-01,0",
            "column 'Sex': 1 of 61 cells hold categories that the network has not seen, such as "
            "'Male' (known: 'female', 'male'; is 'male' meant?)",
        ),
        (
            "inf,male,2024-01-01,0",
            "column 'Age': 1 of 61 cells could not be read as numbers, such as 'inf' (row 61): "
            "taken as missing",
        ),
        (
            "30.5,robot,2024-01-01,0",
            "column 'Sex': 1 of 61 cells hold categories that the network has not seen, such as "
            "'robot' (known: 'female', 'male')",
        ),
    ],
)
def test_what_cannot_be_read_is_counted_and_named(net, tmp_path, row, said):
    (tmp_path / "new.csv").write_text(csv_of([*ROWS, row]))
    done = predicted(net / "net", tmp_path / "new.csv")
    assert (done.returncode, done.stderr) == (0, f"predict.py: {said}\n")
    assert len(done.stdout.splitlines()) == 62
    strict = predicted(net / "net", tmp_path / "new.csv", "--strict")
    assert (strict.returncode, strict.stdout) == (2, "")
    assert strict.stderr.startswith(f"predict.py: {said}")
    assert len(strict.stderr.splitlines()) == 1


def test_texts_without_a_word_and_without_a_known_one_are_counted(tmp_path):
    (tmp_path / "train.csv").write_text(
        "text,y\n" + "".join(f"a {('bad', 'good')[i % 2]} film,{i % 2}\n" for i in range(60))
    )
    frame = read_frame(tmp_path / "train.csv")
    exported(tmp_path / "net", text_task("t", frame, text="text", target="y", length=7))
    (tmp_path / "new.csv").write_text("text\na good film\n!!\nquelque chose\n")
    done = predicted(tmp_path / "net", tmp_path / "new.csv")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "predict.py: column 'text': 1 of 3 texts hold no word, the first in row 2",
        "predict.py: column 'text': 1 of 3 texts hold no word that the network knows, the first in "
        "row 3",
    ]
    strict = predicted(tmp_path / "net", tmp_path / "new.csv", "--strict")
    assert (strict.returncode, strict.stdout, len(strict.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("-1 days +23:00:00", -3600),
        ("-2 days +00:00:01", -2 * 86400 + 1),
        ("1 days 02:00:00", 93600),
        ("-1:30:00", -5400),
    ],
)
def test_durations_as_pandas_writes_them(cell, seconds):
    assert date_seconds(cell, "duration") == seconds
    assert date_seconds(cell, "clock") == seconds


def test_strange_texts_of_the_training_file_are_no_news(tmp_path):
    rows = [f"{'good film' if i % 2 else 'bad film'},{i % 2}" for i in range(60)]
    for name, more in (("plain", []), ("strange", [",0", "xylophon,1"])):
        file = tmp_path / f"{name}.csv"
        file.write_text("\n".join(["review,y", *rows, *more]) + "\n")
        task = text_task("t", read_frame(file), text="review", target="y")
        exported(tmp_path / name, task)
    file = tmp_path / "strange.csv"
    assert predicted(tmp_path / "strange", file, "--strict").stderr == ""
    told = predicted(tmp_path / "plain", file).stderr.splitlines()
    assert told == [
        "predict.py: column 'review': 1 of 62 texts hold no word, the first in row 61",
        "predict.py: column 'review': 1 of 62 texts hold no word that the network knows, the first in "
        "row 62",
    ]
