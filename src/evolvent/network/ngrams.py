"""N-grams beside trained language models: their tables, the plan of all, and the share of each.

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
LEAST_SHARE = 0.01  # of each: none is so sure that the others may not be asked
BATCH = 16  # segments at a time [count]
SMALL = 250_000  # tokens of a text whose n-grams are all kept
KEPT = 3  # tokens of the longest n-grams that are kept of longer texts though they occur once
MOST_TOKENS = 20_000_000  # of a text, whose n-grams take seconds and megabytes per million [count]


def tables(text: np.ndarray, vocabulary: int, first: int) -> State:
    """Return the n-grams of a text [N] as an `NGrams` has them, up to the longest that there are."""
    kept = ORDER if len(text) <= SMALL else KEPT
    single, *longer = KneserNey(text, vocabulary, first).tables(kept)
    found: State = {"single": (single.values + single.shared[0] / vocabulary).astype(np.float32)}
    for order, each in enumerate(longer, start=2):
        if not len(each.codes):
            break
        found[f"codes{order}"] = each.codes
        found[f"values{order}"] = each.values.astype(np.float32)
        found[f"shared{order}"] = each.shared.astype(np.float32)
    return found


def with_ngrams(
    plans: Sequence[Plan], found: State, shares: Sequence[Sequence[float]], first: int
) -> Plan:
    """Return the plan of language models beside n-grams.

    Args:
        plans: of networks that are a `LanguageModel` each.
        found: n-grams, from `tables`.
        shares: of every network, by the tokens that n-grams know before a token.
        first: the token that stands before every text.
    """
    network = plans[0].network
    (line,) = network.calls
    counts = [len(value) for name, value in found.items() if name.startswith("codes")]
    args: dict[str, Value] = {
        "vocabulary": dict(line.args)["vocabulary"],
        "networks": " | ".join(_network(each) for each in plans),
        "counts": " ".join(map(str, counts)),
        "shares": " | ".join(" ".join(f"{share:.4f}" for share in row) for row in shares),
        "first": first,
    }
    changed = replace(line, op=InterpolatedModel.__name__, args=tuple(args.items()))
    return replace(plans[0], blocks=(replace(network, calls=(changed,)),))


def _network(plan: Plan) -> str:
    """Return width, output and cell of a language model, as an `InterpolatedModel` is told them."""
    (line,) = plan.network.calls
    args = dict(line.args)
    return f"{args['width']} {args.get('output', 'all')} {args['cell']}"


def state_with_ngrams(states: Sequence[State], found: State, name: str) -> State:
    """Return weights of language models and n-grams, as the network of `with_ngrams` has them.

    Args:
        states: of the networks.
        found: n-grams.
        name: of the one line of their plans.
    """
    own = {
        f"{name}.models.{number}.{key.removeprefix(f'{name}.')}": value
        for number, state in enumerate(states)
        for key, value in state.items()
    }
    return own | {f"{name}.ngrams.{key}": value for key, value in found.items()}


def shares_of(networks: np.ndarray, ngrams: np.ndarray, known: np.ndarray) -> list[list[float]]:
    """Return the share of every network by the tokens that n-grams know before a token.

    Args:
        networks: probability of every token of a text by each, none of which learnt from it [K, N].
        ngrams: the same by n-grams [N].
        known: tokens before each that these know [N].
    """
    chances = np.concatenate([networks, ngrams[None]])
    shares = np.full((ORDER, len(chances)), 1 / len(chances))
    for _ in range(ROUNDS):
        credit = shares[known].T * chances
        credit /= credit.sum(0)
        for depth in np.unique(known):
            shares[depth] = credit[:, known == depth].mean(1).clip(LEAST_SHARE)
        shares /= shares.sum(1, keepdims=True)
    return [row[:-1] for row in shares.tolist()]


def mean_of(
    shares: Sequence[Sequence[float]], networks: np.ndarray, ngrams: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Return the weighted mean of probabilities [N], from the result and arguments of `shares_of`."""
    own = np.array(shares)[known].T
    found: np.ndarray = (own * networks).sum(0) + (1 - own.sum(0)) * ngrams
    return found


def chances_of_targets(net: Assembled, data: Resident) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probability of every token by networks and n-grams, and what these know before it.

    Args:
        net: of a plan of `with_ngrams`; its shares are no matter.
        data: the text.

    Returns:
        Probabilities by every network [K, N] and by n-grams [N], and the tokens known before each [N].
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
            logs = [each(x).log_softmax(-1).gather(-1, target)[..., 0] for each in model.models]
            own = torch.stack(logs).double().exp()[:, asked]
            told.append((own, chances.double().gather(-1, target)[..., 0][asked], known[asked]))
    networks, ngrams, there = (
        torch.cat(parts, -1).cpu().numpy() for parts in zip(*told, strict=True)
    )
    return networks, ngrams, there
