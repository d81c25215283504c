"""Labels and categories of any text come back as they were written, wherever they go."""

import contextlib
import csv
import io
import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import evolvent as ev
from evolvent import registry
from evolvent.deliver import onnx as onnx_export
from evolvent.deliver.export import export
from evolvent.deliver.onnx import available, labels
from evolvent.network.build import Assembled, Size, plan
from evolvent.sklearn import EvolventClassifier
from evolvent.task.numbers import inputs
from evolvent.task.opening import frame_with_target, open_task
from evolvent.task.portable.columns import MISSING

ROWS = 8  # of every label
TINY: dict[str, dict[str, Any]] = {
    "estimator": {"epochs": 1.0},
    "train": {"epochs": 1.0, "finalists": 1, "controls": False, "proof": False},
}
ODD = (
    *("01", "1", "1.0", "1e0", "007", "7", "1E5", "1e5", "100000", "-0", "0", "+1", "1,5", "1.5"),
    *("12345678901234567890", "12345678901234567891", "1.234", "1.234,5", "$1", "1 %", "(1)", "1-"),
    *("NA", "N/A", "NaN", "nan", "None", "none", "NULL", "null", "?", "-", "<NA>", "NaT", "inf"),
    *("True", "true", "False", "yes", "'", '"', '""', "''", ",", ";", "|", "\t", "#", "%", "//"),
    *("2024-01-02", "01/02/2024", "2024-01-02 00:00:00", "12:30", "1 day", "\u200b", "\ufeff", "é"),
    *("a", " a", "a ", "  a  ", "a\nb", "a\r\nb", "a\rb", "a\n", "[]", "{}", "=1+1", "\\", "\\n"),
    *("x" * 5000, "名前", "🦜", "e\u0301", "ß", "SS", "\u00a0a", "a\u2028b", "a\x0bb", "\x7f"),
)
TEXTS = st.one_of(
    st.sampled_from(ODD),
    st.from_regex(r"[+-]?0{0,3}[0-9]{1,25}([.,][0-9]{1,4})?([eE][0-9])?", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)
MOST = 40  # categories with an input each; a column with more is hashed
# In every file a cell of blanks alone is missing, and a column whose cells all look missing is empty.
SEEN = TEXTS.filter(lambda text: bool(text.strip()))
LABELS = st.lists(SEEN, min_size=2, max_size=8, unique=True).filter(
    lambda names: not {name.strip() for name in names} <= MISSING
)


def written(folder: Path, names: list[str]) -> Path:
    """A table whose class is its only column of words, too."""
    file = folder / "data.csv"
    rows = [(place % 7 / 4, name, name) for place, name in enumerate(names * ROWS)]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("size", "word", "label"), *rows])
    return file


def exported(folder: Path, task) -> Path:
    """A network without a training, exported."""
    space = registry.make_space("chain", task.facts, {})
    made = plan(space, space.sample(random.Random(0)), task, Size())
    state = {name: each.numpy() for name, each in Assembled(made).state_dict().items()}
    export(
        folder / "net", plan=made, state=state, task=task, title="t", provenance="p", proof=False
    )
    return folder / "net"


def predicted(net: Path, *words: str) -> list[list[str]]:
    """The cells that predict.py prints, run in this process."""
    file, before, out = net / "predict.py", (sys.argv, sys.dont_write_bytecode), io.StringIO()
    try:
        sys.argv = [str(file), *words]
        program = {"__name__": "__main__", "__file__": str(file)}
        with contextlib.redirect_stdout(out):
            exec(compile(file.read_text("utf-8"), str(file), "exec"), program)
    finally:
        sys.argv, sys.dont_write_bytecode = before
    return list(csv.reader(io.StringIO(out.getvalue(), newline="")))


@settings(max_examples=40)
@given(LABELS)
@example([name for name in ODD if name.strip()])
@example(["01", "1", "NA", "None"])
@example(["1", "2", "NA", "None", "-"])
@example(["2024-01-02", "2024-01-03", "NA", "None", "-"])
def test_labels_are_as_written_in_task_card_script_and_onnx(names):
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = written(folder, names)
        said = {"target": "label", "kind": "classification", "categorical": ["word"]}
        task: Any = open_task(str(file), said)
        assert sorted(task.classes) == sorted(names)
        net = exported(folder, task)
        header, *rows = predicted(net, str(file), "--probabilities")
        assert header == ["label", *task.classes]
        assert len(rows) == len(names) * ROWS
        assert {row[0] for row in rows} <= set(names)
        described = json.loads((net / "reading.json").read_text("utf-8"))
        assert json.loads(labels(described)["classes"]) == list(task.classes)
        (word,) = (each for each in described["columns"] if each["name"] == "word")
        assert set(word["categories"]) <= set(names)
        assert len(word["categories"]) == min(MOST, len(names))
        frame, _ = frame_with_target(str(file), said)
        if len(names) <= MOST:
            chosen = inputs(frame, task.reading)[:, -len(names) :]
            assert chosen.sum(1).tolist() == [1.0] * len(frame)
            assert len(np.unique(chosen, axis=0)) == len(names)


@settings(max_examples=10)
@given(LABELS)
@example([*ODD, "\0", "a\0", "", " "])
def test_labels_are_as_given_in_scikit_learn(names):
    y = np.array(names * ROWS, object)
    x = np.arange(float(len(y))).reshape(-1, 1)
    model = EvolventClassifier(recipe="dense", budget="1t", random_state=0, settings=TINY).fit(x, y)
    assert model.classes_.tolist() == sorted(names)
    assert model.reading_["classes"] == sorted(names)
    assert set(model.predict(x).tolist()) <= set(names)


@pytest.mark.skipif(not available(), reason="needs onnx, onnxscript and onnxruntime")
def test_labels_of_a_whole_search_are_as_written(tmp_path, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnx_export, "available", available)  # the tests' setup turns it off
    names = [name for name in ODD if name.strip()]
    run = ev.search(
        written(tmp_path, names),
        target="label",
        kind="classification",
        budget="1t",
        workers=0,
        settings=TINY,
        out=tmp_path / "run",
    )
    best = run.folder / "best"
    known = json.loads((best / "reading.json").read_text("utf-8"))["classes"]
    assert sorted(known) == sorted(names)
    assert predicted(best, str(tmp_path / "data.csv"), "--probabilities")[0] == ["label", *known]
    session = onnxruntime.InferenceSession(best / "model.onnx", providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == known
    assert json.loads(told["target"]) == "label"
