"""Docstrings say the thing itself: few begin with a clause such as "Return what ..."."""

import ast
import re

from tests.helpers import ROOT

CLAUSE = re.compile(
    r"^(?:[\w`.]+ (?:out )?){0,2}(?:what|how|who|whose|whom|whatever|which)\b", re.IGNORECASE
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
MOST = 20


def first_lines():
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{file.name}: {text.splitlines()[0]}"


def test_few_docstrings_begin_with_a_clause():
    lines = list(first_lines())
    found = [line for line in lines if CLAUSE.match(line.partition(": ")[2])]
    assert len(lines) > 1500
    assert len(found) <= MOST, "\n".join(found)
