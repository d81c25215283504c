"""N-grams beside a trained language model: their tables, the plan of both, and the share of each.

A network knows what is alike, n-grams know what was written word for word, also once; the mean of both
is better than either, most of all on little text (Mikolov et al. 2011, "Empirical evaluation and
combination of advanced language modeling techniques"). The n-grams are those of `kneser_ney`; the share
of the network depends on the longest context that they know (Jelinek & Mercer 1980), and is found by
expectation maximisation on text that neither learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..task.portable.running import IGNORED
from ..types import State
from .build import Assembled
from .data import Resident
from .interpolated import InterpolatedModel
from .kneser_ney import ORDER, KneserNey
from .plan import Plan, Value
from .train import carrying, place

ROUNDS = 40  # of expectation maximisation, which has then come to rest
LEAST_SHARE = 0.01  # of either: neither is so sure that the other may not be asked
BATCH = 16  # segments at a time [count]
MOST_TOKENS = 20_000_000  # of a text, whose n-grams take seconds and megabytes per million [count]


def tables(text: np.ndarray, vocabulary: int, first: int) -> State:
    """Return the n-grams of a text [N] as an `NGrams` has them."""
    single, *longer = KneserNey(text, vocabulary, first).tables()
    found: State = {"single": _full(single.values, vocabulary, single.shared[0] / vocabulary)}
    for order, each in enumerate(longer, start=2):
        found[f"codes{order}"] = each.codes
        found[f"values{order}"] = each.values.astype(np.float32)
        found[f"shared{order}"] = each.shared.astype(np.float32)
    return found


def _full(values: np.ndarray, vocabulary: int, each: float) -> np.ndarray:
    assert len(values) == vocabulary  # tokens that never occur have a value, too
    return (values + each).astype(np.float32)


def with_ngrams(plan: Plan, found: State, shares: Sequence[float], first: int) -> Plan:
    """Return the plan of a language model beside n-grams.

    Args:
        plan: of a network that is a `LanguageModel`.
        found: n-grams, from `tables`.
        shares: of the network, by the tokens that n-grams know before a token.
        first: the token that stands before every text.
    """
    counts = [str(len(value)) for name, value in found.items() if name.startswith("codes")]
    more: dict[str, Value] = {
        "counts": " ".join(counts),
        "shares": " ".join(f"{share:.4f}" for share in shares),
        "first": first,
    }
    network = plan.network
    (line,) = network.calls
    changed = replace(line, op=InterpolatedModel.__name__, args=(*line.args, *more.items()))
    return replace(plan, blocks=(*plan.blocks[:-1], replace(network, calls=(changed,))))


def state_with_ngrams(state: State, found: State) -> State:
    """Return the weights of a language model and n-grams, as the network of `with_ngrams` has them."""
    own = {}
    for name, value in state.items():
        line, _, rest = name.partition(".")
        own[f"{line}.model.{rest}"] = value
    return own | {f"{line}.ngrams.{name}": value for name, value in found.items()}


def shares_of(network: np.ndarray, ngrams: np.ndarray, known: np.ndarray) -> list[float]:
    """Return the share of the network by the tokens that n-grams know before a token.

    Args:
        network: probability of every token of a text by the network, which did not learn from it [N].
        ngrams: the same by n-grams.
        known: tokens before each that these know [N].
    """
    shares = np.full(ORDER, 0.5)
    for _ in range(ROUNDS):
        both = shares[known] * network + (1 - shares[known]) * ngrams
        credit = np.bincount(known, shares[known] * network / both, len(shares))
        count = np.bincount(known, minlength=len(shares))
        shares = np.where(count > 0, credit / np.maximum(count, 1), shares)
        shares = shares.clip(LEAST_SHARE, 1 - LEAST_SHARE)
    return [float(share) for share in shares]


def chances_of_targets(net: Assembled, data: Resident) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probability of every token by network and n-grams, and what these know before it.

    Args:
        net: of a plan of `with_ngrams`; its shares are no matter.
        data: the text.

    Returns:
        Probabilities by the network and by n-grams, and the tokens known before each [N].
    """
    model: Any = net.get_submodule(net.block.output)
    place(net.eval(), data.device)
    told = []
    with torch.inference_mode(), carrying(model):
        for x, y in data.whole(BATCH):
            seen = model.behind(x)
            chances, known = model.ngrams(seen, x.shape[1])
            asked = y != IGNORED
            target = y.clamp(min=0)[..., None]
            own = model.model(x).log_softmax(-1).gather(-1, target).exp()[..., 0]
            told.append((own[asked], chances.gather(-1, target)[..., 0][asked], known[asked]))
    own, other, known = (torch.cat(parts).cpu().numpy() for parts in zip(*told, strict=True))
    return own.astype(np.float64), other.astype(np.float64), known
