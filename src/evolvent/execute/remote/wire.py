"""Values as bytes that travel between machines: JSON for what is small, safetensors for arrays.

A message is plain data: decoding it makes values of the classes named here and of no other, and runs
no code of the sender. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import struct
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

#: name of a class in messages -> where it is, and the arguments that make it (None: its fields)
CLASSES: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "Budget": ("types:Budget", None),
    "Candidate": ("types:Candidate", None),
    "Result": ("types:Result", None),
    "Evaluation": ("estimator:Evaluation", None),
    "Spec": ("execute.worker:Spec", None),
    "Job": ("execute.worker:Job", None),
    "Outcome": ("execute.worker:Outcome", None),
    "Trace": ("comparison.play:Trace", None),
    "Size": ("network.build:Size", None),
    "Hyperparameters": ("network.train:Hyperparameters", None),
    "Plain": ("space.plain:Plain", ("smallest", "largest")),
    "Task": ("task:Task", None),
    "Part": ("task:Part", None),
    **{
        name: (f"task.division:{name}", None)
        for name in ("Division", "Groups", "Times", "Folds", "Given", "Windows")
    },
    "Ragged": ("task.portable.ragged:Ragged", ("values", "ends")),
    "Table": ("task.tables:Table", None),
    "Control": ("task.control:Control", None),
    "Xor": ("task.control:Xor", None),
    "DoublePole": ("task.control:DoublePole", None),
}
ANSWERS = frozenset({"Budget", "Candidate", "Result", "Evaluation", "Outcome", "Trace"})
LEFT_BEHIND = {"Task": {"source"}}  # networks do not need it
MOST_HEADER = 64 << 20  # [bytes] of the JSON of a message
HEAD = struct.Struct("<I")  # length of the JSON, which begins every message [bytes]
Encoded = Callable[[Any], Any]


class Unsendable(TypeError):
    """A value that has no form in messages."""


class Malformed(ValueError):
    """Bytes that are no message, or one that is not allowed here."""


def pack(value: Any) -> bytes:
    """Return a value as a message.

    Raises:
        Unsendable: if it holds what has no form in messages.
    """
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}

    def kept(array: np.ndarray) -> str:
        if array.dtype.kind not in "biuf":
            raise Unsendable(f"an array of {array.dtype} cannot be sent to another machine")
        arrays[name := str(len(arrays))] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    head = json.dumps(encode(value, kept), separators=(",", ":")).encode()
    return HEAD.pack(len(head)) + head + (save(arrays) if arrays else b"")


def unpack(data: bytes, allowed: Collection[str] = CLASSES.keys()) -> Any:
    """Return the value of a message.

    Args:
        data: the message.
        allowed: names of the classes that it may hold.

    Raises:
        Malformed: if it is none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        (length,) = HEAD.unpack_from(data)
        if length > min(MOST_HEADER, len(data) - HEAD.size):
            raise Malformed(f"a head of {length} bytes in {len(data)} bytes")
        tree = json.loads(data[HEAD.size : HEAD.size + length])
        rest = data[HEAD.size + length :]
        arrays = load(rest) if rest else {}
        return decode(tree, lambda name: arrays[name], allowed)
    except (
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        SafetensorError,
    ) as error:
        raise Malformed(f"this is no message: {type(error).__name__}: {error}") from error


def encode(value: Any, array: Encoded) -> Any:
    """Return a value as JSON has it.

    Lists stay lists; everything else that holds values is a dictionary with one telling key.

    Args:
        value: plain values, arrays and objects of `CLASSES`, nested.
        array: returns the JSON that stands for an array, or for what is like one.

    Raises:
        Unsendable: for anything else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) is list:
        return [encode(each, array) for each in value]
    if type(value) is tuple:
        return {"tuple": [encode(each, array) for each in value]}
    if isinstance(value, Mapping):
        return {"map": [[encode(k, array), encode(v, array)] for k, v in value.items()]}
    name = type(value).__name__
    if name in CLASSES and isinstance(value, class_of(name)):
        left = LEFT_BEHIND.get(name, set())
        fields = {each: getattr(value, each) for each in _fields(name) if each not in left}
        return {"of": name, "has": {key: encode(each, array) for key, each in fields.items()}}
    if hasattr(value, "dtype") and hasattr(value, "__len__"):
        return {"array": array(value)}
    raise Unsendable(f"a {type(value).__module__}.{name} cannot be sent to another machine")


def decode(tree: Any, array: Encoded, allowed: Collection[str]) -> Any:
    """Return the value that `encode` turned into JSON.

    Raises:
        Malformed: for any other JSON.
    """
    if isinstance(tree, list):
        return [decode(each, array, allowed) for each in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"tuple": list(items), **rest} if not rest:
            return tuple(decode(each, array, allowed) for each in items)
        case {"map": list(pairs), **rest} if not rest:
            return {decode(k, array, allowed): decode(v, array, allowed) for k, v in pairs}
        case {"array": what, **rest} if not rest:
            return array(what)
        case {"of": str(name), "has": dict(fields), **rest} if not rest and name in allowed:
            unknown = fields.keys() - set(_fields(name))
            if unknown:
                raise Malformed(f"a {name} has no {', '.join(sorted(map(str, unknown)))}")
            return class_of(name)(**{k: decode(v, array, allowed) for k, v in fields.items()})
    raise Malformed(f"{str(tree)[:80]} has no meaning here")


def class_of(name: str) -> Any:
    """Return a class of `CLASSES`; only now is its module imported."""
    module, _, attribute = CLASSES[name][0].partition(":")
    return getattr(importlib.import_module(f"...{module}", __package__), attribute)


def _fields(name: str) -> tuple[str, ...]:
    given = CLASSES[name][1]
    return given or tuple(each.name for each in dataclasses.fields(class_of(name)) if each.init)


def is_state(value: Any) -> bool:
    """Whether a value is the weights of a network, or None."""
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(k, str) and isinstance(v, np.ndarray) for k, v in value.items())
    )


def is_plain(value: Any) -> bool:
    """Whether a value can be stored as JSON."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)
