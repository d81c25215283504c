"""Nothing that comes from a disk or a network is unpickled, and nothing that is pickled goes there."""

import ast
from pathlib import Path

import pytest
from tests.helpers import ROOT

SOURCES = sorted((ROOT / "src" / "evolvent").rglob("*.py"))
#: where pickles travel between processes of one user on one machine, over pipes that they alone have
PIPES = {
    "execute/__init__.py": "calls to the training processes",
    "execute/processes.py": "the same, and their answers",
    "deliver/baselines/process.py": "rows to the process that fits controls",
    "deliver/baselines/fitting.py": "the same",
    "testing/common.py": "calls to a fresh process, of the checks of one's own parts",
}
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NUMPY, PANDAS, TORCH = {"np", "numpy"}, {"pd", "pandas"}, {"torch"}


def place(file):
    return file.relative_to(ROOT / "src" / "evolvent").as_posix()


def imported(tree):
    """The top names of all that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.split(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


def calls(tree):
    """Calls of a name of a module: (module, name, keywords)."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
                yield module, name, {each.arg: each.value for each in node.keywords}


def is_constant(value, wanted):
    return isinstance(value, ast.Constant) and value.value is wanted


def faults(source):
    """Calls of a module that would unpickle a file."""
    for module, name, given in calls(ast.parse(source)):
        if module in TORCH and name == "load" and not is_constant(given.get("weights_only"), True):
            yield "torch.load without weights_only=True"
        if module in TORCH and name == "save":
            yield "torch.save"
        pickles = given.get("allow_pickle")  # the default is none
        if module in NUMPY and name == "load" and pickles and not is_constant(pickles, False):
            yield "numpy.load of objects"
        if module in PANDAS and name in ("read_pickle", "read_hdf"):
            yield f"pandas.{name}"


def test_only_the_pipes_of_one_machine_carry_pickles():
    found = {
        place(file) for file in SOURCES if UNPICKLING & {*imported(ast.parse(file.read_text()))}
    }
    assert found == {*PIPES}


@pytest.mark.parametrize("name", sorted(PIPES))
def test_and_they_neither_read_nor_write_files_of_pickles(name):
    tree = ast.parse((ROOT / "src" / "evolvent" / name).read_text())
    for module, call, _ in calls(tree):
        assert (module, call) != ("pickle", "dump"), "into a file"
    loads = [
        ast.unparse(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pickle.load"
    ]
    assert {*loads} <= {"sys.stdin.buffer"}
    assert "read_bytes" not in ast.unparse(tree), "a pickle could come from a file"


def test_no_source_unpickles_a_file_through_torch_numpy_or_pandas():
    found = {place(file): [*faults(file.read_text())] for file in SOURCES}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "torch.save(net, file)",
        "np.load(file, allow_pickle=True)",
        "numpy.load(file, allow_pickle=given)",
        "pd.read_pickle(file)",
    ],
)
def test_the_search_for_them_finds_them(line):
    assert [*faults(f"def f(file):\n    return {line}")]
    assert [*imported(ast.parse("def f():\n    import pickle.x\n    from dill import a"))] == [
        *("pickle", "dill")
    ]


def test_tokens_are_compared_in_constant_time():
    """Wherever a server checks a token, and nowhere by ``==``."""
    checked: list[Path] = []
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = (node.left, *node.comparators)
                texts = [ast.unparse(side) for side in sides]
                secret = any(text.split(".")[-1] in ("token", "authorization") for text in texts)
                assert not secret, f"{place(file)}: {ast.unparse(node)}"
        if any(call == ("hmac", "compare_digest") for call in ((m, n) for m, n, _ in calls(tree))):
            checked.append(file)
    assert {place(file) for file in checked} >= {
        "report/server.py",
        "execute/remote/coordinator.py",
    }
