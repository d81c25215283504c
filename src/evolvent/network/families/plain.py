"""The family ``plain``: a network made by hand, the control that stands beside every winner.

Images: two 3 x 3 convolutions per stage, channels doubled where the size is halved, in the manner of
VGG with batch norm (Simonyan & Zisserman 2014; Ioffe & Szegedy 2015), with global average pooling.
Texts: an embedding, one convolution over three words, its largest values (Kim 2014, with one length).
Numbers: two dense layers. Running text: a language model of one layer, an LSTM (Hochreiter &
Schmidhuber 1997) or, of an architecture ``(width, "gru")``, a GRU (Cho et al. 2014).
Series: two residual blocks of convolutions over five steps and the mean of their values; of a window
that is forecast, two dense layers on all values.
"""

from __future__ import annotations

from typing import Any

from ...space import Space
from ...types import Arch
from ..build import Data, Size
from ..plan import Block, Call, Plan, Value, call, windowed


def plan(space: Space, arch: Arch, data: Data, size: Size) -> Plan:
    """Return the plain network of width ``arch[0]`` for inputs like those of `data`.

    Networks for images use the stages and the stem of `size`, others nothing of it.
    """
    vocabulary = getattr(data, "vocabulary", 0)
    if getattr(data, "successive", False):
        kind = arch[1] if len(arch) > 1 else "lstm"
        doc = f"A plain language model of one layer ({kind.upper()}), made by hand."
        return language_model(arch[0], data, size, doc, cell=kind)
    if len(data.input_shape) == 3:
        calls, features, what = _convolutions(arch[0], data.input_shape[0], size)
    elif vocabulary:
        calls, features, what = _words(arch[0], vocabulary, data)
    elif len(data.input_shape) == 2:
        calls, features, what = _steps(arch[0], data)
    else:
        calls, features, what = _dense(arch[0], data.input_shape[0])
    last = calls[-1].out
    calls.append(call("logits", "Linear", last, in_features=features, out_features=data.outputs))
    doc = f"A plain {what}network, made by hand."
    return Plan((Block("Network", ("x",), "logits", tuple(calls), doc=doc),))


def language_model(width: int, data: Data, size: Size, doc: str, **cell: str) -> Plan:
    """Return a language model of one layer.

    Args:
        width: of embedding and cell. [count]
        data: whose vocabulary it has.
        size: says the dropout.
        doc: for the reader of its source.
        cell: arguments of the `LanguageModel` that say its cell.
    """
    args: dict[str, Value] = {"vocabulary": data.outputs, "width": width, **cell}
    dropped = {name: getattr(size, name) for name in ("dropout", "drop_hidden", "drop_words")}
    args |= {name: share for name, share in dropped.items() if share}
    line = call("logits", "LanguageModel", "x", **args)
    block = Block(
        *("Network", ("x",), "logits", (line,)),
        doc=doc,
        shapes=f"[B, T] -> [B, T, {data.outputs}], the logits of the token behind each.",
        passes=("initial", "step"),
    )
    return Plan((block,))


def _convolutions(width: int, channels: int, size: Size) -> tuple[list[Call], int, str]:
    c_in, c, last = channels, width, "x"
    calls = []
    for stage in range(size.stages):
        stride = size.stem_stride if stage == 0 else 2
        for place, step in enumerate((stride, 1)):
            name = f"conv{stage}_{place}"
            calls.append(call(name, "ConvBNReLU", last, c_in=c_in, c_out=c, kernel=3, stride=step))
            c_in, last = c, name
        c *= 2
    return [*calls, call("features", "pool", last)], c_in, "convolutional "


def _words(width: int, vocabulary: int, data: Data) -> tuple[list[Call], int, str]:
    kernel = min(3, data.input_shape[0])
    calls: list[Call] = []
    first = windowed(calls, data, vocabulary)
    calls += [
        call("embedding", "TokenEmbedding", first, vocabulary=vocabulary, dimension=width),
        call(
            "conv", "Conv1d", "embedding", in_channels=width, out_channels=width, kernel_size=kernel
        ),
        call("relu", "ReLU", "conv"),
        call("features", "GlobalPool1d", "relu", how="max"),
    ]
    return calls, width, "convolutional "


def _steps(width: int, data: Data) -> tuple[list[Call], int, str]:
    channels, length = data.input_shape
    if getattr(data, "ahead", 0):
        calls, features, what = _dense(width, channels * length, "values")
        return [call("values", "flatten", "x"), *calls], features, what
    calls = []
    c_in, last = channels, "x"
    for place in range(2):
        args: Any = {"c_in": c_in, "c_out": width, "kernel": 5}
        calls.append(call(f"block{place}", "SeriesBlock", last, **args))
        c_in, last = width, f"block{place}"
    return [*calls, call("features", "SeriesPool", last, how="mean")], width, "convolutional "


def _dense(width: int, features: int, first: str = "x") -> tuple[list[Call], int, str]:
    calls = [
        call("dense0", "Linear", first, in_features=features, out_features=width),
        call("relu0", "ReLU", "dense0"),
        call("dense1", "Linear", "relu0", in_features=width, out_features=width),
        call("relu1", "ReLU", "dense1"),
    ]
    return calls, width, "dense "
