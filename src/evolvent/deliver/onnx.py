"""An exported network as ONNX: written and checked by a process of its own.

What a converter meets there (a missing operation, a crash, a hang) is a note, and never costs the
network that it was to convert. The process reads the exported folder alone, so this file is its program
too.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the extra `onnx`
BATCHES = (1, 2, 7)  # at which ONNX has to agree
TOLERANCE = 1e-4  # of the largest output, or of 1
LEAST_SECONDS = 10.0  # less is not tried
MOST_SECONDS = 600.0
NOTE = 300  # characters of a reason at most


def available() -> bool:
    """Whether the packages that write and run ONNX are installed."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


class Conversion:
    """``model.onnx`` in the making, beside whatever this process does meanwhile.

    Args:
        folder: an exported one.
        patience: how long it may take; None is ten minutes. [s]
    """

    def __init__(self, folder: Path, patience: float | None = None) -> None:
        self.folder = folder
        self.end = time.monotonic() + (MOST_SECONDS if patience is None else patience)
        self.process: subprocess.Popen[str] | None = None
        self.note = ""
        if not available():
            self.note = "not written: it needs pip install 'evolvent[onnx]'"
        elif patience is not None and patience < LEAST_SECONDS:
            self.note = "not written: the budget leaves no time for it"
        else:
            command = [sys.executable, "-I", __file__, str(folder.absolute())]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )

    def result(self) -> dict[str, Any]:
        """Wait for it; return ``onnx_max_abs_diff`` or, where there is none, ``onnx_note``."""
        if self.process is None:
            return {"onnx_max_abs_diff": None, "onnx_note": self.note}
        try:
            left = max(0.0, self.end - time.monotonic())
            out, errors = self.process.communicate(timeout=left)
            if not self.process.returncode:
                return {"onnx_max_abs_diff": json.loads(out.splitlines()[-1]), "onnx_note": ""}
            note = f"not written: {_reason(errors)}"
        except subprocess.TimeoutExpired:
            note = "not written: the budget left no more time for it"
        finally:
            self.stop()
        return {"onnx_max_abs_diff": None, "onnx_note": note}

    def stop(self) -> None:
        """End it, and leave nothing that is half written."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            _part(self.folder).unlink(missing_ok=True)


def _reason(errors: str) -> str:
    """Return the last exception of what a process said, in one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    found = [line for line in lines if "Error" in line.partition(":")[0]]
    return " ".join((found or lines or ["it ended without a word"])[-1].split())[:NOTE]


def _part(folder: Path) -> Path:
    return folder / ".model.onnx.part"


# ---- in the process ------------------------------------------------------------------------------


def convert(folder: Path) -> float:
    """Write ``model.onnx``; return its largest difference from the network at the sizes `BATCHES`.

    The names of its outputs stand in its metadata (`labels`).

    Raises:
        ValueError: if they disagree; nothing is left then.
    """
    import onnxruntime
    import torch

    net, described = _network(folder), json.loads((folder / "reading.json").read_text("utf-8"))
    part, sizes = _part(folder), {0: torch.export.Dim("batch")}
    if described["input"].get("any_length"):
        sizes[1] = torch.export.Dim("tokens", min=2)
    program = torch.onnx.export(
        net,
        (_example(described["input"], 2),),
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=(sizes,),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(labels(described))
    program.save(part, external_data=False)
    session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
    difference = largest = 0.0
    for size in BATCHES:
        x = _example(described["input"], size)
        with torch.no_grad():
            wanted = net(x)
        (given,) = session.run(None, {"input": x.numpy()})
        difference = max(difference, float((wanted - torch.from_numpy(given)).abs().max()))
        largest = max(largest, float(wanted.abs().max()))
    if not difference <= TOLERANCE * max(1.0, largest):
        part.unlink()
        raise ValueError(f"ONNX differs by {difference} from the network")
    part.replace(folder / "model.onnx")
    return difference


def labels(described: dict[str, Any]) -> dict[str, str]:
    """Return the metadata of ``model.onnx`` about its outputs, every value as JSON.

    ``classes`` or ``labels`` are their names in the order of the outputs; ``target`` is the column that
    a table was searched for, or a list of several; of a quantity, which the network gives in units from
    its mean, ``target_mean`` and ``target_unit``, of several a list of each.

    Args:
        described: the content of ``reading.json``.
    """
    names = ("classes", "labels", "target", "target_mean", "target_unit")
    return {name: json.dumps(described[name]) for name in names if described.get(name) is not None}


def _network(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    model: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    return model.load(folder)


def _example(described: dict[str, Any], batch: int) -> Any:
    """Return random inputs [batch, ...] of the form that the network takes."""
    import torch

    generator = torch.Generator().manual_seed(batch)
    shape = (batch, *described["shape"])
    if "below" in described:
        return torch.randint(0, described["below"], shape, generator=generator)
    x = torch.randn(shape, generator=generator)
    for start, stop in described.get("tokens", ()):
        x[:, start:stop] = torch.randint(0, 2**24, (batch, stop - start), generator=generator)
    return x


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    import torch

    torch.set_num_threads(1)
    print(json.dumps(convert(Path(sys.argv[1]))))
