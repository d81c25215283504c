"""A network as plain PyTorch: readable source, weights, and the proof that they agree.

The folder that `export` writes needs torch and nothing else. The proof is a fresh process that cannot
import evolvent: it loads the network from the folder and must give the outputs that it gave here.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
import textwrap
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import EvolventError
from ..execute import warm
from ..files import write_atomically
from ..network.build import Assembled
from ..network.operations import MODULES
from ..network.plan import Block, Call, Plan, Value
from ..task import NetworkTask
from ..task.portable.features import MOST_TOKEN, tokens_at
from ..types import State
from .onnx import Conversion
from .script import compose

HEADER = '''"""{title}

Written by evolvent {version}; needs torch only.

    import model
    net = model.load("FOLDER")              # a torch.nn.Module in eval mode
    net({inputs:<35} # {outputs} numbers per input

{provenance}
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

'''

IMAGES = """SCALE = {scale}
MEAN = {mean}
STD = {std}
"""

PREPROCESS = '''
def preprocess(images) -> Tensor:
    """Turn raw images [B, H, W, C] (or [B, H, W]), as in the data, into inputs [B, C, H, W]."""
    x = torch.as_tensor(images).float() / SCALE
    x = (x.unsqueeze(-1) if x.ndim == 3 else x).permute(0, 3, 1, 2)
    mean, std = (x.new_tensor(values).reshape(1, -1, 1, 1) for values in (MEAN, STD))
    return (x - mean) / std
'''

READER = '''
def read_safetensors(file) -> dict[str, Tensor]:
    """Read a .safetensors file: the length of a JSON header, the header, then raw numbers."""
    types = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "F64": torch.float64}
    data = bytearray(Path(file).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        kind, shape = types[entry["dtype"]], entry["shape"]
        numbers = data[start + first : start + last]
        tensors[name] = torch.frombuffer(numbers, dtype=kind).reshape(shape)
    return tensors

'''

LOAD = '''
def load(folder=Path(__file__).parent) -> nn.Module:
    """Return the trained network, in eval mode."""
    net = Network()
    net.load_state_dict(read_safetensors(Path(folder) / "weights.safetensors"))
    return net.eval()
'''

FOOTER = READER + LOAD

LOAD_WITH_VIEWS = '''
def load(folder=Path(__file__).parent, views=True) -> nn.Module:
    """Return the trained network, in eval mode.

    It averages what it says of {count} views of every image. With `views` = False, or with
    ``net.views.on = False`` later, it looks at the image alone, which is {count} times as fast.
    """
    net = Network()
    net.load_state_dict(read_safetensors(Path(folder) / "weights.safetensors"))
    net.views.on = views
    return net.eval()
'''

TOLERANCE = 1e-4  # of the largest output, or of 1
PROOF_SECONDS = 2.0  # that a proof gets however late it is: a warm process needs a fraction of it
CARRIES = "not written: a network that carries a state from token to token is model.py alone so far"
NO_TIME = "not run by itself: the budget left no time for it"
#: parts of operations that a delivered network has no use for
TRAINING_ONLY = (
    "start",
    "start_from_bayes",
    "start_from_means",
    "every_row",
    "solved",
    "closed_form",
)
WIDTH = 100  # of the source [characters]
INDENT = "    "
PREDICTORS = Path(__file__).parent / "predict"  # one program per kind of task

#: the beginning of a program that can import neither evolvent nor safetensors
ALONE = """
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("evolvent", "safetensors"):
            raise ImportError(f"{name} must not be needed")
for name in [name for name in sys.modules if name.split(".")[0] in ("evolvent", "safetensors")]:
    del sys.modules[name]
sys.meta_path.insert(0, Forbidden())
sys.dont_write_bytecode = True
"""

CHECK = f"""{ALONE}
import importlib.util
import torch
torch.set_num_threads(1)
def main(folder, inputs):
    spec = importlib.util.spec_from_file_location("model", folder + "/model.py")
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    read = model.read_safetensors(inputs)
    with torch.no_grad():
        there = model.load(folder)(read["x"])
    return float((there - read["y"]).abs().max())
"""


def export(
    folder: Path,
    *,
    plan: Plan,
    state: State,
    task: NetworkTask,
    title: str,
    provenance: str,
    onnx: bool = False,
    patience: float | None = None,
    proof: bool = True,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a network into `folder`, and prove it.

    ``model.py`` and ``weights.safetensors`` are the network, ``reading.json`` says how a raw example
    becomes its input, and ``predict.py`` does it, where a kind of task has such a program.

    Args:
        folder: where to.
        plan: of the network.
        state: its weights.
        task: what it was trained for.
        title: the first line of its source.
        provenance: where it comes from, in the source.
        onnx: whether to write ``model.onnx`` too.
        patience: how long that may take, and the proof; None is ten minutes for ONNX, and as long
            as it needs for the proof. [s]
        proof: whether to run the fresh process, which takes seconds.
        more: for ``reading.json``, what the task does not know of.

    Returns:
        For the card: ``parity_max_abs_diff``, the largest absolute difference between the outputs here
        and in the fresh process, or None without a proof, and ``parity_note``, why a proof that was
        asked for is missing; of ONNX, where it was asked for,
        ``onnx_max_abs_diff`` or the reason why there is none, ``onnx_note``.

    Raises:
        EvolventError: if the weights do not fit, or if the fresh process cannot run the network or
            disagrees.
    """
    from safetensors.numpy import save

    _check(state, plan)
    folder.mkdir(parents=True, exist_ok=True)
    text = source(plan, task, title=title, provenance=provenance)
    write_atomically(folder / "model.py", text)
    write_atomically(folder / "weights.safetensors", save(state))
    write_atomically(
        folder / "reading.json", json.dumps({**reading(task), **(more or {})}, indent=1)
    )
    predictor = PREDICTORS / f"{reading(task)['kind']}.py"
    if predictor.is_file():
        write_atomically(folder / "predict.py", compose(predictor))
    carries = getattr(task, "successive", False)
    conversion = Conversion(folder, patience) if onnx and not carries else None  # beside the proof
    try:
        proven = (
            _proof(folder, plan, state, task, patience) if proof else {"parity_max_abs_diff": None}
        )
        if onnx and carries:
            return proven | {"onnx_max_abs_diff": None, "onnx_note": CARRIES}
        return proven | (conversion.result() if conversion else {})
    finally:
        if conversion is not None:
            conversion.stop()


def _proof(
    folder: Path, plan: Plan, state: State, task: NetworkTask, patience: float | None
) -> dict[str, Any]:
    limit = None if patience is None else max(patience, PROOF_SECONDS)
    try:
        difference = parity(folder, plan, state, task, limit)
    except TimeoutError:
        return {"parity_max_abs_diff": None, "parity_note": NO_TIME}
    return {"parity_max_abs_diff": difference}


def reading(task: NetworkTask) -> dict[str, Any]:
    """Return the steps from a raw example to an input, and the form of inputs: ``reading.json``."""
    inputs: dict[str, Any] = {"shape": list(task.input_shape), "type": "float32"}
    if task.vocabulary:
        inputs |= {"type": "int64", "below": task.vocabulary}
        inputs |= {"any_length": True} if getattr(task, "any_length", False) else {}
    if found := tokens_at(task.reading):
        inputs["tokens"] = [[each.start, each.stop] for each in found]
    return {"kind": task.kind, "input": inputs, **task.reading}


def _check(state: State, plan: Plan) -> None:
    """Refuse weights that are not exactly those of the network, by name and shape."""
    with torch.device("meta"):
        wanted = {name: tuple(each.shape) for name, each in Assembled(plan).state_dict().items()}
    given = {name: value.shape for name, value in state.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise EvolventError(
                f"the weights do not fit the network: {name!r} has the shape "
                f"{given.get(name, 'missing')}, the network needs {wanted.get(name, 'none')}: "
                "take the weights that were trained with this architecture and size"
            )


def parity(
    folder: Path, plan: Plan, state: State, task: NetworkTask, patience: float | None = None
) -> float:
    """Return the largest absolute difference between the exported network and the one in memory.

    Raises:
        EvolventError: if the exported network does not run by itself, or differs.
        TimeoutError: if it takes more than `patience` seconds.
    """
    from safetensors.torch import save_file

    net = Assembled(plan)
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    x = _inputs(task)
    with torch.no_grad():
        y = net.eval()(x).contiguous()
    with tempfile.TemporaryDirectory() as temporary:
        inputs = Path(temporary) / "inputs.safetensors"
        save_file({"x": x, "y": y}, inputs)
        try:
            told = warm.alone(CHECK, (str(folder.absolute()), str(inputs)), patience=patience)
        except warm.Failed as error:
            raise EvolventError(f"the exported network does not run by itself: {error}") from error
    difference = float(told)
    if not difference <= TOLERANCE * max(1.0, float(y.abs().max())):
        raise EvolventError(f"the exported network differs by {difference} from the trained one")
    return difference


def _inputs(task: NetworkTask) -> torch.Tensor:
    """Return seven random inputs of the form that the network takes."""
    rng, shape = np.random.default_rng(0), (7, *task.input_shape)
    if task.vocabulary:
        return torch.from_numpy(rng.integers(0, task.vocabulary, shape))
    x = rng.standard_normal(shape)
    for place in tokens_at(task.reading):
        x[:, place] = rng.integers(0, MOST_TOKEN, x[:, place].shape)
    return torch.from_numpy(x.astype(np.float32))


def source(plan: Plan, task: NetworkTask, *, title: str, provenance: str) -> str:
    """Return the source of `plan` as one readable module."""
    from .. import __version__

    head = HEADER.format(
        title=_prose(title),
        version=__version__,
        provenance=_prose(provenance),
        inputs="model.preprocess(inputs))" if task.mean else "inputs)",
        outputs=task.outputs,
    )
    if task.classes:
        head += f"CLASSES = {_names(task.classes)}\n"
    if targets := getattr(task, "targets", ()):
        head += f"TARGETS = {_names(targets)}\n"
    if task.mean:
        head += IMAGES.format(scale=task.scale, mean=list(task.mean), std=list(task.std))
    classes = [_operation(name) for name in _operations(plan)]
    classes += [_class(block, plan) for block in plan.blocks[:-1]]
    seen = plan.views
    footer = FOOTER.replace(LOAD, LOAD_WITH_VIEWS.format(count=seen)) if seen > 1 else FOOTER
    foot = [PREPROCESS, footer] if task.mean else [footer]
    shape = "T" if getattr(task, "any_length", False) else ", ".join(map(str, task.input_shape))
    usual = f"[B, {shape}] -> [B, {task.outputs}]."
    classes.append(_class(plan.network, plan, plan.network.shapes or usual))
    return "\n\n\n".join(part.strip("\n") for part in (head, *classes, *foot)) + "\n"


def _prose(text: str) -> str:
    """Return `text` so that it can stand in a docstring, in lines that are not too long."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return "\n".join(
        textwrap.fill(_printable(line), WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in escaped.split("\n")
    )


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _names(names: Sequence[str]) -> str:
    """Return the list of the names as source; JSON's text is Python's too."""
    texts = [_printable(json.dumps(name, ensure_ascii=False)) for name in names]
    return "\n".join(_folded("CLASSES = [", texts, "]", ""))[len("CLASSES = ") :]


def _folded(head: str, items: Sequence[str], tail: str, indent: str) -> list[str]:
    """Return ``head items tail`` as one line or, if that is too long, as several."""
    line = f"{indent}{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH:
        return [line]
    rows = [""]
    for item in items:
        if rows[-1] and len(f"{indent}    {rows[-1]} {item},") > WIDTH:
            rows.append("")
        rows[-1] += f"{' ' if rows[-1] else ''}{item},"
    return [indent + head, *(f"{indent}    {row}" for row in rows), indent + tail]


def _operations(plan: Plan) -> list[str]:
    """Return the operations of our own that `plan` needs, those they are made of first."""
    waiting = [call.op for block in plan.blocks for call in block.calls if call.op in MODULES]
    needed = set(waiting)
    while waiting:
        name = waiting.pop()
        text = inspect.getsource(MODULES[name]) if _is_ours(name) else ""
        within = {other for other in MODULES if re.search(rf"\b(?<!\.){other}\(", text)} - needed
        waiting += within
        needed |= within
    return [name for name in MODULES if name in needed and _is_ours(name)]


def _is_ours(name: str) -> bool:
    return not MODULES[name].__module__.startswith("torch.")


def _operation(name: str) -> str:
    """Return the source of an operation, without what begins a training."""
    text = re.sub(r" *# type: ignore.*", "", inspect.getsource(MODULES[name]))
    lines = text.splitlines()
    (defined,) = ast.parse(text).body
    assert isinstance(defined, ast.ClassDef)
    for part in reversed(defined.body):
        if set(_names_of(part)) & set(TRAINING_ONLY):
            marks = part.decorator_list if isinstance(part, ast.FunctionDef) else []
            first = min([part.lineno, *(each.lineno for each in marks)])
            del lines[first - 1 : part.end_lineno]
    return "\n".join(lines).rstrip() + "\n"


def _names_of(part: ast.stmt) -> list[str]:
    """Return the names that a statement of a class defines."""
    if isinstance(part, ast.FunctionDef):
        return [part.name]
    targets = part.targets if isinstance(part, ast.Assign) else []
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _class(block: Block, plan: Plan, shapes: str = "") -> str:
    """Return the source of one block; `shapes` says what its forward makes of its input."""
    params = [f"{param}: int" for param in block.params]
    lines = [f"class {block.name}(nn.Module):"]
    lines += [f'    """{block.doc}"""', ""] if block.doc else []
    lines += _folded("def __init__(", ["self", *params], ") -> None:", INDENT)
    lines += [f"{INDENT * 2}super().__init__()"]
    for call in block.calls:
        if call.op in MODULES or plan.block(call.op):
            args = [f"{key}={_value(value, block)}" for key, value in call.args]
            lines += _folded(f"self.{call.out} = {_module(call.op)}(", args, ")", INDENT * 2)
    arguments = [f"{name}: Tensor" for name in block.inputs]
    lines += ["", *_folded("def forward(", ["self", *arguments], ") -> Tensor:", INDENT)]
    lines += [f'{INDENT * 2}"""{shapes}"""'] if shapes else []
    for call in block.calls:
        head, items, tail = _line(call)
        lines += _folded(f"{call.out} = {head}", items, tail, INDENT * 2)
    lines += [f"{INDENT * 2}return {block.output}"]
    for name in block.passes:
        lines += ["", f"{INDENT}def {name}(self, *args: Tensor | int):"]
        lines += [f'{INDENT * 2}"""As of the module `{block.output}`."""']
        lines += [f"{INDENT * 2}return self.{block.output}.{name}(*args)"]
    return "\n".join(lines)


def _module(name: str) -> str:
    return name if name not in MODULES or _is_ours(name) else f"nn.{name}"


def _value(value: Value, block: Block) -> str:
    return value if isinstance(value, str) and value in block.params else repr(value)


def _line(call: Call) -> tuple[str, Sequence[str], str]:
    """Return the right side of one line of a forward: what precedes its items, they, the rest."""
    inputs = call.inputs
    match call.op:
        case "add" | "concat" if len(inputs) == 1:
            return inputs[0], (), ""
        case "add":
            total = " + ".join(inputs)
            return (total, (), "") if len(total) < WIDTH // 2 else ("sum([", inputs, "])")
        case "concat":
            return "torch.cat([", inputs, "], dim=1)"
        case "zeros":
            return "torch.zeros_like(", inputs, ")"
        case "flatten":
            return inputs[0], (), ".flatten(1)"
        case "pool_max":
            return inputs[0], (), ".amax((2, 3))"
        case "mean":
            return "torch.stack([", inputs, "]).mean(0)"
        case "mean_of_softmax":
            return "torch.stack([", inputs, "]).log_softmax(2).logsumexp(0)"
        case "mean_of_sigmoid":
            return "torch.stack([", inputs, "]).sigmoid().mean(0).logit(1e-6)"
        case "mean_of_views":
            return inputs[0], (), f".unflatten(0, (-1, {inputs[1]}.shape[0])).mean(0)"
        case "pool":
            return "F.avg_pool2d(", (inputs[0], f"{inputs[0]}.shape[2:]"), ").flatten(1)"
    return f"self.{call.out}(", inputs, ")"


def load(folder: Path) -> nn.Module:
    """Return the network of an exported folder.

    Raises:
        EvolventError: if the folder holds no ``model.py``.
    """
    file = folder / "model.py"
    if not file.is_file():
        raise EvolventError(f"{folder} holds no model.py")
    module = types.ModuleType("model")
    module.__file__ = str(file)
    # not by importlib, which would leave a __pycache__ beside the network
    exec(compile(file.read_text("utf-8"), str(file), "exec"), module.__dict__)
    net: nn.Module = module.load(folder)
    return net
