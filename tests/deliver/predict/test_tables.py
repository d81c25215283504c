"""The scripts that travel with networks of numbers and texts read files as the search did."""

import csv
import gzip
import inspect
import io
import types
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers_predict import predict

from evolvent.deliver.export import PREDICTORS, export
from evolvent.deliver.predict import forecast
from evolvent.deliver.predict.network import Odd
from evolvent.deliver.predict.table import _added
from evolvent.deliver.script import compose
from evolvent.errors import DataError
from evolvent.network.build import Size, build, plan
from evolvent.space.plain import Plain
from evolvent.task.forecast import forecast_task
from evolvent.task.frames import read_frame
from evolvent.task.numbers import inputs, numbers_task
from evolvent.task.portable import columns, csv_reader, dates, features, numerals
from evolvent.task.portable import tokens as tokenizer
from evolvent.task.portable.tokens import tokens, words
from evolvent.task.text import text_task


def program(kind) -> Any:
    """The program of a kind of task, as it is exported, as a module."""
    made = types.ModuleType(kind)
    made.__file__ = str(PREDICTORS / "predict.py")
    exec(compile(compose(PREDICTORS / f"{kind}.py"), made.__file__, "exec"), made.__dict__)
    return made


SCRIPTS = {"numbers": program("numbers"), "text": program("text")}
numbers_script, text_script = SCRIPTS.values()
ROWS = """length;weight;colour;kind
1,5;10;red;a
2;?;green;b
-3,25;1e3;;a
none;7;red;b
"""
FILE = "length;weight;colour;kind\n" + "".join(ROWS.splitlines(keepends=True)[1:] * 12)
FORMS = {
    "as it was": FILE,
    "commas": FILE.replace(",", ".").replace(";", ","),
    "tabs and a mark": ("\ufeff" + FILE.replace(",", ".").replace(";", "\t")),
    "other columns": "\n".join(f"{line};more" for line in FILE.splitlines()),
    "other order": "\n".join(";".join(line.split(";")[::-1]) for line in FILE.splitlines()),
}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A task of numbers and the file it was read from."""
    file = tmp_path_factory.mktemp("numbers") / "data.csv"
    file.write_text(FILE)
    return numbers_task("n", read_frame(file), target="kind", kind="classification"), file


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A task of texts and the file it was read from."""
    file = tmp_path_factory.mktemp("texts") / "data.csv"
    rows = ['"It\'s good,<br />""very"" good!",1', '"不好 bad\nbad film, too long",0', "NA,1"] * 20
    file.write_text("text,y\n" + "\n".join(rows) + "\n")
    return text_task("t", read_frame(file), text="text", target="y", length=7), file


def exported(folder, task):
    """The folder of a plain network of `task` that was never trained, with its script."""
    net = build(Plain(), (4,), task, Size())
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    made = plan(Plain(), (4,), task, Size())
    export(folder, plan=made, state=state, task=task, title="Plain.", provenance="Untrained.")
    return net.eval()


def predicted(folder, *args):
    """What the script prints, where nothing but torch and numpy can be imported."""
    return predict(folder, *args)


@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_a_file_of_any_form_are_those_of_the_search(numbers, tmp_path, form):
    task, file = numbers
    (tmp_path / "new.csv").write_text(FORMS[form])
    found = numbers_script.inputs(tmp_path / "new.csv", dict(task.reading))
    assert np.array_equal(found, inputs(read_frame(file), task.reading))
    assert found.dtype == np.float32


def test_texts_of_a_file_are_those_of_the_search(texts):
    task, file = texts
    found = text_script.inputs(file, dict(task.reading))
    own = tokens(map(words, read_frame(file).column("text")), task.reading)
    assert np.array_equal(found, own)
    assert found.dtype == np.int32


@settings(max_examples=40)
@given(
    st.text(alphabet='a1.,;"\n\t| -é\r', max_size=60),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_what_the_search_can_read_the_scripts_read_alike(tmp_path_factory, text, encoding):
    file = tmp_path_factory.mktemp("any") / "data.csv"
    file.write_bytes(text.encode(encoding))
    try:
        frame = read_frame(file, index=True)
    except DataError:
        with pytest.raises(numbers_script.Unreadable):
            numbers_script.read_table(file)
        return
    table, _, notes, *_ = numbers_script.read_table(file)
    assert set(notes) <= set(frame.note)
    assert list(table) == list(frame.columns)
    for name, own in frame.columns.items():
        form = frame.about[name].form
        found, foreign = numbers_script.read_column(table[name], form)
        assert not foreign.other
        if own.dtype.kind == "f":
            assert np.array_equal(found, own, equal_nan=True)
        else:
            empty = set(form["marks"])
            assert found.tolist() == own.tolist()
            assert own.tolist() == ["" if cell.strip() in empty else cell for cell in table[name]]


@pytest.mark.parametrize(
    ("kind", "modules"),
    [
        ("numbers", (csv_reader, columns, numerals, dates, features)),
        ("text", (csv_reader, columns, tokenizer)),
    ],
)
def test_a_program_holds_the_very_functions_of_the_search(kind, modules):
    text = compose(PREDICTORS / f"{kind}.py")
    for module in modules:
        own = [each for _, each in inspect.getmembers(module, inspect.isfunction)]
        own = [each for each in own if each.__module__ == module.__name__]
        assert own
        assert all(inspect.getsource(each) in text for each in own)


def test_a_gzipped_file_is_predicted_as_the_plain_one(numbers, tmp_path):
    task, file = numbers
    exported(tmp_path / "net", task)
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    done = predicted(tmp_path / "net", tmp_path / "new.csv.gz", "--probabilities")
    assert done.returncode == 0, done.stderr
    assert done.stdout == predicted(tmp_path / "net", file, "--probabilities").stdout
    assert len(done.stdout.splitlines()) == 1 + len(task.train.x) + len(task.validation.x) + len(
        task.test.x
    )


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_prints_a_line_per_row_that_the_network_said(kind, numbers, texts, tmp_path):
    task, file = numbers if kind == "numbers" else texts
    net = exported(tmp_path / "net", task)
    done = predicted(tmp_path / "net", file, "--probabilities")
    assert done.returncode == 0, done.stderr
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == [task.reading["target"], *task.classes]
    x = torch.from_numpy(SCRIPTS[kind].inputs(file, dict(task.reading)))
    with torch.no_grad():
        shares = net(x).softmax(1)
    assert [row[0] for row in rows[1:]] == [task.classes[i] for i in shares.argmax(1)]
    assert np.array([row[1:] for row in rows[1:]], float) == pytest.approx(shares.numpy(), abs=1e-5)
    assert not (tmp_path / "net" / "__pycache__").exists()


def test_a_quantity_is_printed_in_its_own_unit(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("a,y\n" + "".join(f"{i},{1000 + 50 * (i % 7)}\n" for i in range(40)))
    task = numbers_task("q", read_frame(file), target="y", kind="regression")
    net = exported(tmp_path / "net", task)
    done = predicted(tmp_path / "net", file)
    printed = np.array(done.stdout.split()[1:], float)
    with torch.no_grad():
        own = net(torch.from_numpy(inputs(read_frame(file), task.reading)))[:, 0].double().numpy()
    assert done.stdout.split()[0] == "y"
    assert printed == pytest.approx(own * task.unit + task.reading["target_mean"], rel=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("", "is empty"),
        ("length,colour\n1,red\n", "no column 'weight', which the network needs"),
        ("length,weight,colour\n1,2\n", "line 2: 2 cells, the header has 3"),
        ('length,weight,colour\n1,"2\n', "line 2"),
        ("length,weight,colour\n", "no rows"),
        (b"\xff\xfelength,", "is not a readable table"),
        (b"length,\x00", "zero bytes"),
    ],
)
def test_a_file_that_cannot_be_predicted_is_one_line(numbers, tmp_path, content, reason):
    exported(tmp_path / "net", numbers[0])
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "bad.csv").write_bytes(data)
    done = predicted(tmp_path / "net", tmp_path / "bad.csv")
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_forecast_from_rows_that_go_back_in_time_is_told(tmp_path, capsys):
    """The newest row first is how many tables come; their last rows are the oldest."""
    lines = [f"2024-01-{1 + i % 28:02d}T{i // 28:02d}:00,{i % 5}" for i in range(200)]
    lines.sort()
    task = forecast_task("t", frame_of(tmp_path / "t.csv", lines), target="y", window=6)
    reading = dict(task.reading)
    forecast.inputs(tmp_path / "t.csv", reading)
    assert not capsys.readouterr().err
    frame_of(tmp_path / "t.csv", lines[::-1])
    forecast.inputs(tmp_path / "t.csv", reading)
    assert "the rows go back in time in column 'when'" in capsys.readouterr().err
    with pytest.raises(Odd, match="not for series"):
        _added(reading, 0.9)


def frame_of(file, lines):
    file.write_text("\n".join(["when,y", *lines]) + "\n")
    return read_frame(file)
