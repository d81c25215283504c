"""Score a text with the language model of this folder, or continue one; needs torch and numpy only.

    python predict.py FILE [FILE...]
    python predict.py --continue "the beginning" [--count N] [--temperature T] [--seed S]

FILE is a UTF-8 text, read as the training text was. Of each one line is written: tokens, the share that
is outside the vocabulary, cross-entropy per token [nats], perplexity, bits per token. With
``--continue`` N further tokens are drawn (50); a temperature (1) below 1 prefers likely ones, 0 takes
the likeliest; equal seeds (0) give equal texts.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...task.portable.errors import Unreadable
from ...task.portable.running import (
    END,
    IGNORED,
    UNKNOWN,
    beginning,
    numbered,
    pieces,
    running_text,
    segments,
    stream_rows,
)
from .network import how_to_read, loaded, run

# ---- scores --------------------------------------------------------------------------------------


def cross_entropy(ids: np.ndarray, reading: dict[str, Any]) -> float:
    """Return the mean negative log-likelihood of a text's tokens [nats], as a search scores one.

    The text goes through the network in streams side by side, whose state is carried on.
    """
    net, _ = loaded()
    x, y = segments(ids, reading["length"], beginning(reading))
    state, total = None, 0.0
    for rows in stream_rows(len(x)):
        state = net.initial(len(rows)) if state is None else state[: len(rows)]
        for step in range(x.shape[1]):
            logits, state = net.step(torch.from_numpy(x[rows, step]), state)
            truth = torch.from_numpy(y[rows, step])
            given = torch.nn.functional.cross_entropy(
                logits, truth, ignore_index=IGNORED, reduction="sum"
            )
            total += float(given)
    return total / len(ids)


def score(file: Path, reading: dict[str, Any]) -> str:
    """Return the line about a text."""
    ids = numbered(pieces(running_text(file), reading["tokens"]), reading)
    unknown = float((ids == reading["words"].index(UNKNOWN)).mean())
    nats = cross_entropy(ids, reading)
    return (
        f"{file}: {len(ids):,} tokens, {unknown:.2%} outside the vocabulary, cross-entropy {nats:.4f} "
        f"nats, perplexity {math.exp(min(nats, 700.0)):.2f}, {nats / math.log(2):.4f} bits"
    )


# ---- continuation --------------------------------------------------------------------------------


def continued(prompt: str, count: int, temperature: float, seed: int) -> str:
    """Return `count` tokens behind `prompt`, drawn one by one; never the unknown one."""
    reading, (net, _) = how_to_read(), loaded()
    characters, words = reading["tokens"] == "characters", reading["words"]
    given = list(prompt) if characters else prompt.split()
    generator = torch.Generator().manual_seed(seed)
    state, logits = net.initial(1), torch.empty(0)
    for token in (beginning(reading), *numbered(given, reading)):
        logits, state = net.step(torch.tensor([int(token)]), state)
    found = []
    for _ in range(count):
        logits[:, words.index(UNKNOWN)] = -math.inf
        if temperature > 0:
            shares = (logits[0] / temperature).softmax(0)
            token = int(torch.multinomial(shares, 1, generator=generator))
        else:
            token = int(logits[0].argmax())
        found.append(words[token])
        logits, state = net.step(torch.tensor([token]), state)
    if characters:
        return prompt + "".join(found)
    text = " ".join([*given, *found]).replace(f" {END} ", "\n").replace(f" {END}", "\n")
    return text.replace(f"{END} ", "\n")


# ---- the program ---------------------------------------------------------------------------------


def main() -> None:
    """Read the command line and write lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--continue", dest="prompt", metavar="TEXT")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if not given.files and given.prompt is None:
        parser.error("name a FILE to score, or --continue TEXT")
    if given.count < 1 or not 0 <= given.temperature < math.inf:
        raise Unreadable("--count is at least 1, --temperature a number of at least 0")
    with torch.no_grad():
        for file in given.files:
            print(score(file, how_to_read()))
        if given.prompt is not None:
            print(continued(given.prompt, given.count, given.temperature, given.seed))
    sys.stdout.flush()


if __name__ == "__main__":
    run(main)
