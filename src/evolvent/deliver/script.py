"""One program of several modules: how ``predict.py`` comes about.

A program that must stand alone is written as modules that import each other relatively, at their top.
`compose` copies their source into one file: the docstring of the program, every other import once, then
the code of each module behind those that it imports, the program itself last.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH = 100  # of the line above a module's code [characters]


@dataclass(frozen=True)
class Module:
    """The source of one module, taken apart.

    Args:
        file: where it stands.
        title: the first line of its docstring, without the full stop.
        doc: its docstring as it is written, with the quotes.
        imports: (module, name) of its absolute imports, either with its ``as``; the name is ``""``
            where a whole module is imported.
        needs: the files of the modules that it imports relatively.
        names: what it defines at its top.
        body: its source without the docstring and the imports.
    """

    file: Path
    title: str
    doc: str
    imports: frozenset[tuple[str, str]]
    needs: tuple[Path, ...]
    names: frozenset[str]
    body: str


def compose(program: Path) -> str:
    """Return the source of a program and of the modules that it imports relatively, as one file.

    Args:
        program: its file.

    Raises:
        ValueError: if they cannot stand in one file: a module without a docstring, a relative import
            that is not ``from .module import name`` at the top, or a name that two modules define.
    """
    modules = _with_needs(program, {})
    _check_names(modules)
    main = modules.pop()
    imports = set(main.imports).union(*(module.imports for module in modules))
    head = f"{main.doc}\n\n{_import_lines(imports)}\n\n"
    parts = [_below(_headline(module.title), module.body) for module in modules]
    return head + "\n\n\n".join([*parts, main.body]) + "\n"


def read_module(file: Path) -> Module:
    """Return the source of a module, taken apart.

    Raises:
        ValueError: if it has no docstring, or imports relatively in another way than
            ``from .module import name`` at its top.
    """
    text = file.read_text("utf-8")
    tree = ast.parse(text, str(file))
    doc = ast.get_docstring(tree)
    if doc is None:
        raise ValueError(
            f"{file} has no docstring: its first line is the title of the module's part"
        )
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    _check_relative(file, tree, imports)
    return Module(
        file=file,
        title=doc.splitlines()[0].rstrip("."),
        doc=ast.get_source_segment(text, tree.body[0]) or "",
        imports=frozenset(pair for node in imports for pair in _absolute(node)),
        needs=tuple(
            _file_of(file, node)
            for node in imports
            if isinstance(node, ast.ImportFrom) and node.level
        ),
        names=frozenset(name for node in tree.body for name in _defined(node)),
        body=_without(text, [tree.body[0], *imports]),
    )


def _with_needs(file: Path, found: dict[Path, Module]) -> list[Module]:
    """Return a module behind those that it needs, each once; `found` are those read before."""
    if file not in found:
        module = read_module(file)
        for needed in module.needs:
            _with_needs(needed, found)
        found[file] = module
    return list(found.values())


def _check_relative(file: Path, tree: ast.Module, top: Sequence[ast.stmt]) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        plain = all(alias.name != "*" and alias.asname is None for alias in node.names)
        if node not in top or node.module is None or not plain:
            raise ValueError(
                f"{file}, line {node.lineno}: {ast.unparse(node)!r} cannot become part of one file: "
                "write 'from .module import name' at the top of the module"
            )


def _check_names(modules: Sequence[Module]) -> None:
    owner: dict[str, Path] = {}
    for module in modules:
        for name in sorted(module.names):
            if name in owner:
                raise ValueError(
                    f"{owner[name]} and {module.file} both define {name!r}, and shall stand in one "
                    "file: rename one"
                )
            owner[name] = module.file


def _absolute(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of an import that is not relative."""
    for alias in node.names:
        name = alias.name + (f" as {alias.asname}" if alias.asname else "")
        if isinstance(node, ast.Import):
            yield name, ""
        elif not node.level:
            yield node.module or "", name


def _file_of(file: Path, node: ast.ImportFrom) -> Path:
    """Return the file of the module that a relative import in `file` names."""
    found = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    return found.with_suffix(".py")


def _defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top of a module gives a meaning."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for each in ast.walk(target) if target is not None else ():
            if isinstance(each, ast.Name):
                yield each.id


def _without(text: str, nodes: Iterable[ast.stmt]) -> str:
    """Return a source without the lines of some statements."""
    gone = {line for node in nodes for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = enumerate(text.splitlines(), start=1)
    return "\n".join(line for number, line in lines if number not in gone).strip("\n")


def _headline(title: str) -> str:
    return f"# ---- {title} ".ljust(WIDTH, "-")


def _below(headline: str, body: str) -> str:
    """Return code below a line, with the blank lines that a formatter leaves between them."""
    return headline + ("\n\n\n" if body.startswith(("def ", "class ", "@")) else "\n\n") + body


def _import_lines(imports: Iterable[tuple[str, str]]) -> str:
    """Return imports as they are usually sorted: the future, the standard library, others."""
    blocks: dict[int, list[str]] = {}
    names: dict[str, list[str]] = {}
    for module, name in sorted(imports):
        names.setdefault(module, []).extend([name] if name else [])
    for module, members in sorted(names.items(), key=lambda item: (item[1] != [], item[0])):
        members.sort(key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        line = f"from {module} import {', '.join(members)}" if members else f"import {module}"
        blocks.setdefault(_block(module), []).append(line)
    return "\n\n".join("\n".join(blocks[block]) for block in sorted(blocks))


def _block(module: str) -> int:
    root = module.split(".")[0].split(" ")[0]
    return 0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 2
