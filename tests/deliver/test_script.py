"""A program made of several modules stands alone, and does what they do."""

import ast
import subprocess
import sys

import pytest

from evolvent.deliver.export import PREDICTORS
from evolvent.deliver.script import compose, read_module

KINDS = ("forecast", "image", "language", "numbers", "series", "text")
MAIN = '''"""Print a number.

    python main.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .parts.double import double
from .parts.values import (
    VALUES,
)

# ---- the number


def total(values: Sequence[int]) -> int:
    """Return twice the sum."""
    return math.prod([double(each) for each in values])  # not the sum


if __name__ == "__main__":
    print(total(VALUES), __doc__.split(".")[0])
'''
DOUBLE = '''"""Doubling."""

import math as maths
from collections.abc import Callable, Sequence
from os import path

from .values import FACTOR


def double(value: int) -> int:
    """Return twice a number."""
    return maths.prod([value, FACTOR])


USED: tuple[object, ...] = (Callable, Sequence, path)
'''
VALUES = '''"""What is doubled, and how."""

VALUES = (1, 2, 3)
FACTOR = 2
'''


@pytest.fixture
def written(tmp_path):
    """A function that writes the three modules, some replaced, and returns the program's file."""

    def write(**replaced):
        (tmp_path / "parts").mkdir(exist_ok=True)
        texts = {"main": MAIN, "double": DOUBLE, "values": VALUES} | replaced
        for name, text in texts.items():
            folder = tmp_path if name == "main" else tmp_path / "parts"
            (folder / f"{name}.py").write_text(text)
        return tmp_path / "main.py"

    return write


def run(text, folder):
    """What a program prints, with nothing else to import."""
    (folder / "alone.py").write_text(text)
    command = [sys.executable, "-I", str(folder / "alone.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def complaints(text):
    """What ruff says of a source: undefined and unused names, unsorted imports, its form."""
    options = ["--isolated", "--line-length", "100", "--target-version", "py311"]
    said = ""
    for words in (["check", "--select", "E4,E7,E9,F,I", "-q"], ["format", "--diff"]):
        command = [sys.executable, "-m", "ruff", *words, *options, "--no-cache", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        said += done.stdout + (done.stderr if done.returncode else "")
    return said


def test_the_parts_stand_in_one_file_that_runs_alone(written, tmp_path):
    text = compose(written())
    assert run(text, tmp_path) == "48 Print a number\n"
    assert text.startswith(MAIN[: MAIN.index("import math")])
    assert text.index("VALUES = (1") < text.index("def double") < text.index("def total")
    assert text.count("FACTOR = 2") == text.count("import Callable, Sequence") == 1
    assert "# ---- Doubling ---" in text
    assert "return math.prod([double(each) for each in values])  # not the sum" in text


def test_imports_are_merged_and_sorted(written):
    lines = compose(written()).splitlines()
    imports = [line for line in lines if line.startswith(("import", "from"))]
    assert imports == [
        "from __future__ import annotations",
        "import math",
        "import math as maths",
        "from collections.abc import Callable, Sequence",
        "from os import path",
    ]


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"double": DOUBLE.replace("import FACTOR", "import FACTOR as F")}, "line 7"),
        ({"double": DOUBLE.replace("import FACTOR", "import *")}, "cannot become part of one file"),
        (
            {"double": DOUBLE.replace("from .values import FACTOR", "from . import values")},
            "line 7",
        ),
        (
            {"double": DOUBLE.replace("    return", "    from .values import FACTOR\n    return")},
            "line 12",
        ),
        ({"double": DOUBLE.partition("\n")[2]}, "has no docstring"),
        ({"values": VALUES + "\n\ndef double(): ...\n"}, "both define 'double'"),
        ({"values": VALUES + "total, other = 1, 2\n"}, "both define 'total'"),
        ({"values": VALUES + "\n\nclass USED: ...\n"}, "both define 'USED'"),
    ],
)
def test_modules_that_cannot_stand_in_one_file_are_refused(written, replaced, reason):
    with pytest.raises(ValueError, match=reason):
        compose(written(**replaced))


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_program_is_readable_and_has_no_undefined_name(kind):
    file = PREDICTORS / f"{kind}.py"
    text = compose(file)
    assert complaints(text) == ""
    assert "F821" in complaints(text + "\nundefined\n")
    assert text.startswith(read_module(file).doc)
    assert "from ." not in text
    assert text == compose(file)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_program_imports_the_standard_library_numpy_and_torch(kind):
    imported = set()
    for node in ast.walk(ast.parse(compose(PREDICTORS / f"{kind}.py"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    tables = {"pyarrow", "python_calamine"}  # where installed
    optional = {"image": {"PIL"}, "language": set()}.get(kind, tables)
    assert imported - sys.stdlib_module_names == {"numpy", "torch"} | optional


def test_there_is_a_program_for_every_kind():
    programs = {each.stem for each in PREDICTORS.glob("*.py") if "__main__" in each.read_text()}
    assert programs == set(KINDS)
