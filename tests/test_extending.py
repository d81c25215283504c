"""The page about parts of one's own: what it shows works, and what is wrong is refused in one line."""

import re
import shlex
import sys
from typing import Any

import pytest
from tests.helpers import ROOT
from tests.helpers_cli import evolvent

import evolvent as ev
from evolvent.errors import SettingError

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
FILES = {
    match[1]: text
    for language, text in BLOCKS
    if language == "python" and (match := re.match(r"# (\w+)\.py\n", text))
}
CHECKS = [text for language, text in BLOCKS if language == "python" and "import check_" in text]
COMMANDS = [
    line for language, text in BLOCKS for line in text.splitlines() if line.startswith("evolvent ")
]
QUICK = ("--set", "train.epochs=1", "--set", "train.finalists=1", "--set", "train.onnx=false")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder outside the package that holds the files of the page."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


def test_the_page_has_one_part_of_every_axis():
    assert set(FILES) == {"climb", "widths", "twice"}
    assert len(CHECKS) == 3
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("code", CHECKS, ids=lambda code: code.split()[1])
def test_what_the_page_shows_keeps_every_rule(folder, code):
    exec(compile(code, "docs/extending.md", "exec"), {})


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.split(" --")[1])
def test_every_command_of_the_page_runs(folder, line):
    words = shlex.split(line)[1:]
    quick = QUICK if words[0] == "search" else ()
    done = evolvent(*words, *quick, "--workers", 1, "--out", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    if words[0] == "search":
        assert (folder / "out" / "best" / "model.py").is_file()
        assert ev.Run(folder / "out").status()["trials"] == 4
        assert ev.Run(folder / "out").status()["failed"] == 0


def test_the_line_that_the_page_quotes_is_what_is_said(folder):
    (folder / "climb.py").write_text(FILES["climb"].replace("    needs = ", "    wants = "))
    done = evolvent("search", "digits", "--strategy", "climb:Climb", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] in PAGE  # "starting ..." may stand before it


# ---- what is wrong is refused before the first trial ---------------------------------------------

BAD = [
    ("climb", "    needs = ", "    wants = ", "no attribute needs"),
    ("climb", "frozenset()  # cap", "{'crossover'}  # cap", "needs is {'crossover'}, and must be"),
    ("climb", "def ask", "def question", "no method ask"),
    ("climb", "def tell(self, result)", "def tell(self)", r"must take tell\(result\)"),
    ("climb", "horizon: int = 100,", "", "constructor must take space, epochs=..., horizon=..."),
    ("climb", "patience: int = 10", "patience: int", "have a default .* 'patience'"),
    (
        "climb",
        "return Candidate(id, self",
        "return dict(id=id, arch=self",
        r"first ask\(\) returned",
    ),
    ("climb", "self.asked + 1", "self.askd + 1", r"ask\(\) failed, before the first trial"),
    ("climb", "ends = False", "ends = 0", "ends is 0, and must be bool"),
    ("widths", "    family = ", "    kind = ", "no attribute family"),
    ("widths", '"widths:plan"', '"widths"', "unknown family of spaces 'widths'.*'module:plan'"),
    ("widths", '"widths:plan"', '"nowhere:plan"', "cannot be imported.*nowhere"),
    ("widths", '"widths:plan"', '"widths:build"', "has no function build"),
    ("widths", "gives = frozenset()", 'gives = frozenset({"start"})', "no method start.*'start'"),
    ("widths", "import Move", "import Decision as Move", r"mutate\(arch, rng\) failed"),
    ("widths", "        return arch\n", "        return [arch]\n", "failed|made of tuples"),
    ("widths", "out_features=data.outputs", "out_features=7", r"must make \(2, 10\)"),
    ("widths", "in_features=channels", "in_features=5", "no network can be built of 20"),
    ("widths", '"ConvBNReLU"', '"Convolution"', "builds no network"),
    ("widths", '{"image"}', '{"text"}', "is for tasks of kind text, this one is of kind image"),
    ("twice", "gives = ", "offers = ", "no attribute gives"),
    ("twice", "stateful = False", "", "no attribute stateful"),
    ("twice", "def evaluate(self, candidate, inherited)", "def evaluate(self, one)", "must take"),
    ("twice", '"image", ', "", "estimator twice:Twice evaluates tasks of kind numbers, text"),
    ("twice", "loader(task, task.train", "loader(task, task.training", "making it failed"),
    ("twice", "import time", "import tiem", "cannot be imported"),
]
CLASSES = {
    "climb": ("strategy", "Climb"),
    "widths": ("space", "Widths"),
    "twice": ("estimator", "Twice"),
}


@pytest.mark.parametrize(("name", "right", "wrong", "message"), BAD)
def test_a_bad_part_is_refused_in_one_line_before_the_first_trial(
    folder, name, right, wrong, message
):
    assert FILES[name].count(right) == 1
    (folder / f"{name}.py").write_text(FILES[name].replace(right, wrong))
    axis, part = CLASSES[name]
    asked: dict[str, Any] = {"strategy": "random"} | {axis: f"{name}:{part}"}
    with pytest.raises(SettingError, match=message) as caught:
        ev.search("digits", out=folder / "out", budget="4t", workers=0, **asked)
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def test_a_part_without_kinds_is_for_what_the_page_says(folder):
    for name, kinds in (("widths", 'kinds = frozenset({"image"})'), ("twice", "    kinds = ")):
        assert FILES[name].count(kinds) == 1
        (folder / f"{name}.py").write_text(FILES[name].replace(kinds, kinds.replace("kinds", "k")))
    run = ev.search(
        "digits",
        space="widths:Widths",
        strategy="random",
        estimator="twice:Twice",
        budget="2t",
        workers=0,
        out=folder / "out",
        settings={"estimator": {"epochs": 1.0}, "train": {"epochs": 1.0, "finalists": 1}},
    )
    assert run.status()["failed"] == 0
