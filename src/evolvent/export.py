"""A network as plain PyTorch: readable source, weights, and the proof that they agree.

The folder that `export` writes needs torch and nothing else. The proof is a fresh process that cannot
import evolvent: it loads the network from the folder and must give the outputs that it gave here.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .errors import EvolventError
from .network.build import Assembled
from .network.operations import MODULES
from .network.plan import Block, Call, Plan, Value
from .store import write_atomically
from .task import Task
from .types import State

HEADER = '''"""{title}

Written by evolvent {version}; needs torch only.

    import model
    net = model.load("FOLDER")              # a torch.nn.Module in eval mode
    net(model.preprocess(inputs))           # {outputs} numbers per input

{provenance}
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

'''

FOOTER = '''

def preprocess(images) -> Tensor:
    """Turn raw images [B, H, W, C] (or [B, H, W]), as in the data, into inputs [B, C, H, W]."""
    x = torch.as_tensor(images).float()
    x = (x.unsqueeze(-1) if x.ndim == 3 else x).permute(0, 3, 1, 2) / SCALE
    shape = (1, -1, 1, 1)
    return (x - torch.tensor(MEAN).reshape(shape)) / torch.tensor(STD).reshape(shape)


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


def load(folder=Path(__file__).parent) -> nn.Module:
    """Return the trained network, in eval mode."""
    net = Network()
    net.load_state_dict(read_safetensors(Path(folder) / "weights.safetensors"))
    return net.eval()
'''

CHECK = """
import importlib.util, sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("evolvent", "safetensors"):
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Forbidden())
import torch
torch.set_num_threads(1)
folder, inputs = sys.argv[1:]
spec = importlib.util.spec_from_file_location("model", folder + "/model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
read = model.read_safetensors(inputs)
with torch.no_grad():
    there = model.load(folder)(read["x"])
print(float((there - read["y"]).abs().max()))
"""


def export(
    folder: Path, *, plan: Plan, state: State, task: Task, title: str, provenance: str
) -> float:
    """Write ``model.py`` and ``weights.safetensors`` into `folder`, and prove them.

    Returns:
        The largest absolute difference between the outputs here and in the fresh process.

    Raises:
        EvolventError: if the fresh process cannot run the network, or disagrees.
    """
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    text = source(plan, task, title=title, provenance=provenance)
    write_atomically(folder / "model.py", text)
    write_atomically(folder / "weights.safetensors", save(state))
    return parity(folder, plan, state, task)


def parity(folder: Path, plan: Plan, state: State, task: Task) -> float:
    """Return how far the exported network is from the one in memory. [largest absolute difference]"""
    from safetensors.torch import save_file

    net = Assembled(plan)
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((7, *task.input_shape)).astype(np.float32))
    with torch.no_grad():
        y = net.eval()(x)
    with tempfile.TemporaryDirectory() as temporary:
        inputs = Path(temporary) / "inputs.safetensors"
        save_file({"x": x, "y": y}, inputs)
        command = [sys.executable, "-I", "-c", CHECK, str(folder.absolute()), str(inputs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EvolventError(f"the exported network does not run by itself: {done.stderr.strip()}")
    difference = float(done.stdout)
    if not difference <= 1e-4:
        raise EvolventError(f"the exported network differs by {difference} from the trained one")
    return difference


def source(plan: Plan, task: Task, *, title: str, provenance: str) -> str:
    """Return the source of `plan` as one readable module."""
    from . import __version__

    parts = [
        HEADER.format(title=title, version=__version__, provenance=provenance, outputs=task.outputs)
    ]
    parts.append(
        f"CLASSES = {json.dumps(list(task.classes), ensure_ascii=False)}\n"
        f"SCALE, MEAN, STD = {task.scale}, {list(task.mean)}, {list(task.std)}\n"
    )
    parts += [_operation(name) for name in _operations(plan)]
    parts += [_class(block, plan) for block in plan.blocks]
    return "\n".join(parts) + FOOTER


def _operations(plan: Plan) -> list[str]:
    """Return the operations of our own that `plan` needs, those they are made of first."""
    needed = {call.op for block in plan.blocks for call in block.calls if call.op in MODULES}
    for name in list(needed):
        text = inspect.getsource(MODULES[name]) if _is_ours(name) else ""
        needed |= {other for other in MODULES if re.search(rf"\b(?<!\.){other}\(", text)}
    return [name for name in MODULES if name in needed and _is_ours(name)]


def _is_ours(name: str) -> bool:
    return not MODULES[name].__module__.startswith("torch.")


def _operation(name: str) -> str:
    text = inspect.getsource(MODULES[name])
    return "\n" + re.sub(r" *# type: ignore.*", "", text)


def _class(block: Block, plan: Plan) -> str:
    """Return the source of one block."""
    params = "".join(f", {param}: int" for param in block.params)
    lines = [f"\nclass {block.name}(nn.Module):"]
    lines += [f'    """{block.doc}"""\n'] if block.doc else []
    lines += [f"    def __init__(self{params}) -> None:", "        super().__init__()"]
    for call in block.calls:
        if call.op in MODULES or plan.block(call.op):
            lines.append(f"        self.{call.out} = {_constructor(call, block)}")
    arguments = ", ".join(f"{name}: Tensor" for name in block.inputs)
    lines += ["", f"    def forward(self, {arguments}) -> Tensor:"]
    lines += [f"        {_line(call)}" for call in block.calls]
    lines += [f"        return {block.output}", ""]
    return "\n".join(lines)


def _constructor(call: Call, block: Block) -> str:
    name = call.op if call.op not in MODULES or _is_ours(call.op) else f"nn.{call.op}"
    return f"{name}({', '.join(f'{key}={_value(value, block)}' for key, value in call.args)})"


def _value(value: Value, block: Block) -> str:
    return value if isinstance(value, str) and value in block.params else repr(value)


def _line(call: Call) -> str:
    match call.op:
        case "add":
            return f"{call.out} = {' + '.join(call.inputs)}"
        case "concat":
            return f"{call.out} = torch.cat([{', '.join(call.inputs)}], dim=1)"
        case "zeros":
            return f"{call.out} = torch.zeros_like({call.inputs[0]})"
        case "flatten":
            return f"{call.out} = {call.inputs[0]}.flatten(1)"
        case "pool":
            x = call.inputs[0]
            return f"{call.out} = F.avg_pool2d({x}, {x}.shape[2:]).flatten(1)"
    return f"{call.out} = self.{call.out}({', '.join(call.inputs)})"


def load(folder: Path) -> nn.Module:
    """Return the network of an exported folder."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        f"_exported_{abs(hash(folder))}", folder / "model.py"
    )
    if spec is None or spec.loader is None:
        raise EvolventError(f"{folder} holds no model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net: nn.Module = module.load(folder)
    return net
