"""The network of this folder, and what is wrong in one line."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...task.portable.errors import Unreadable
from ...task.portable.ragged import Ragged

FOLDER = Path(__file__).resolve().parent
BATCH = 256  # examples at a time, all views counted


class Odd(Exception):
    """Something in a file that ``--strict`` does not allow; the message is one line."""


def remark(line: str, reading: dict[str, Any]) -> None:
    """Say on stderr what is odd in a file; with ``--strict`` that is an error."""
    if reading.get("strict"):
        raise Odd(f"{line} (--strict does not allow that)")
    print(f"predict.py: {line}", file=sys.stderr)


def how_to_read() -> dict[str, Any]:
    """Return the content of ``reading.json``: the steps from a raw example to an input."""
    found: dict[str, Any] = json.loads((FOLDER / "reading.json").read_text("utf-8"))
    return found


def outputs(x: Any) -> Iterator[np.ndarray]:
    """Yield the outputs of the network [B, outputs] float64, batch by batch.

    Args:
        x: raw images, or the inputs of other networks [N, ...]; of texts of different lengths, which
            are computed with those of a similar length, all outputs come at once.
    """
    if isinstance(x, Ragged):
        yield _in_order(x)
        return
    net, preprocess = loaded()
    size = max(1, BATCH // getattr(getattr(net, "views", None), "count", 1))
    for start in range(0, len(x), size):
        with torch.no_grad():
            y = net(preprocess(np.array(x[start : start + size])))
        yield y.double().numpy()


def _in_order(x: Ragged) -> np.ndarray:
    """Return the outputs of texts [N, outputs], in their order."""
    places = [*x.by_length(BATCH)]
    net, preprocess = loaded()
    with torch.no_grad():
        found = [net(preprocess(x[index])).double().numpy() for index in places]
    order = np.concatenate(places)
    y = np.empty((len(x), found[0].shape[1]))
    y[order] = np.concatenate(found)
    return y


@functools.cache
def loaded() -> tuple[Any, Callable[[np.ndarray], Any]]:
    """Return the network, and what makes its inputs of raw examples."""
    sys.dont_write_bytecode = True  # the folder stays as it is
    spec = importlib.util.spec_from_file_location("model", FOLDER / "model.py")
    assert spec is not None
    assert spec.loader is not None
    model: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    # only images have a preprocessing
    return model.load(FOLDER), getattr(model, "preprocess", torch.from_numpy)


def softmax(y: np.ndarray) -> np.ndarray:
    """Return the probability of every class [N, classes], from the logits of the network."""
    powers = np.exp(y - y.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sigmoid(y: np.ndarray) -> np.ndarray:
    """Return the probability of every label [N, labels], from the logits of the network."""
    shares: np.ndarray = 0.5 * (1 + np.tanh(0.5 * y))
    return shares


def run(predict: Callable[[], None]) -> None:
    """Run a program; a file that cannot be read ends it with one line."""
    try:
        predict()
        sys.stdout.flush()  # here, where an error is caught, and not at the end of Python
    except BrokenPipeError:  # the reader of our lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Odd as error:
        print(f"predict.py: {error}", file=sys.stderr)
        sys.exit(2)
    except (Unreadable, OSError) as error:
        sys.exit(f"predict.py: {error}")
