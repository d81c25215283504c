"""Language models beside n-grams: the probabilities, their mean, and the share of each."""

import numpy as np
import pytest
import torch

from evolvent.network import ngrams
from evolvent.network.build import Assembled, Size, plan
from evolvent.network.data import loader
from evolvent.network.fit import load, scored, state_of
from evolvent.network.interpolated import InterpolatedModel, NGrams
from evolvent.network.kneser_ney import KneserNey
from evolvent.network.ngrams import (
    chances_of_targets,
    shares_of,
    state_with_ngrams,
    tables,
    with_ngrams,
)
from evolvent.space.plain import Plain
from evolvent.task.language import tokens_of
from evolvent.testing import small_task

VOCABULARY, FIRST = 6, 0


def text_of(seed=1, size=400):
    rng = np.random.default_rng(seed)
    return rng.choice(VOCABULARY - 1, size, p=[0.5, 0.2, 0.1, 0.1, 0.1])  # the last is unseen


def ngrams_of(found):
    counts = [len(value) for name, value in found.items() if name.startswith("codes")]
    made = NGrams(VOCABULARY, counts)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    return made


def padded(text, past):
    return torch.tensor([[FIRST] * past + list(text)])


def pruned(model, kept):
    """Return `probability(context, token)` by the tables, n-gram by n-gram."""
    grams: list[dict] = [{(): 0}]
    found = []
    for table in model.tables(kept):
        names = {number: gram for gram, number in grams[-1].items()}
        pairs = [divmod(int(code), VOCABULARY) for code in table.codes]
        grams.append({(*names[before], token): at for at, (before, token) in enumerate(pairs)})
        found.append(table)

    def probability(context, token):
        chance = 1 / VOCABULARY
        for order, table in enumerate(found):
            before = tuple(context[len(context) - order :])
            if before in grams[order]:
                at = grams[order + 1].get((*before, token))
                own = 0.0 if at is None else table.values[at]
                chance = own + table.shared[grams[order][before]] * chance
        return chance

    return probability


def test_of_two_tokens_they_are_those_of_kneser_ney():
    text, asked = text_of(), text_of(2, 60)
    model = KneserNey(text, VOCABULARY, FIRST, order=2)
    single, double = model.tables()
    found = {
        "single": (single.values + single.shared[0] / VOCABULARY).astype(np.float32),
        "codes2": double.codes,
        "values2": double.values.astype(np.float32),
        "shared2": double.shared.astype(np.float32),
    }
    chances, _ = ngrams_of(found)(padded([FIRST, *asked[:-1]], 0), len(asked))
    own = chances[0].gather(1, torch.from_numpy(asked)[:, None])[:, 0]
    assert np.allclose(own.log().numpy(), model.log_likelihoods(asked), atol=1e-5)


@pytest.mark.parametrize("kept", [3, 5])
def test_longer_ones_that_occur_once_are_left_out_and_shared_out(monkeypatch, kept):
    monkeypatch.setattr(ngrams, "SMALL", 0 if kept == 3 else 400)
    text, asked = text_of(), text_of(2, 60)
    model = KneserNey(text, VOCABULARY, FIRST)
    assert sum((each.often == 1).sum() for each in model.orders[3:]) > 50
    assert all(
        len(table.codes) == (each.often > (kept == 3)).sum()
        for table, each in zip(model.tables(kept)[3:], model.orders[3:], strict=True)
    )
    made, probability = ngrams_of(tables(text, VOCABULARY, FIRST)), pruned(model, kept)
    seen = padded([FIRST, *asked], 3)
    chances, known = made(seen, len(asked) + 1)
    assert torch.allclose(chances.sum(-1), torch.ones(1, len(asked) + 1), atol=1e-5)
    for at in range(len(asked) + 1):
        context = seen[0, : at + 4].tolist()
        wanted = [probability(context[-4:], token) for token in range(VOCABULARY)]
        assert np.allclose(chances[0, at].numpy(), wanted, atol=1e-6)
    assert set(known.flatten().tolist()) <= set(range(5))
    assert len(set(known.flatten().tolist())) > 2


def test_an_unknown_context_leaves_single_tokens():
    made = ngrams_of(tables(text_of(), VOCABULARY, FIRST))
    unseen = VOCABULARY - 1
    chances, known = made(torch.tensor([[unseen] * 4]), 1)
    assert known.tolist() == [[0]]
    assert torch.allclose(chances[0, 0], made.single)


def test_of_a_text_without_repetitions_only_short_ones_are_there(monkeypatch):
    monkeypatch.setattr(ngrams, "SMALL", 0)
    found = tables(np.array([1, 2, 3, 4]), VOCABULARY, FIRST)
    assert {name for name in found if name.startswith("codes")} == {"codes2", "codes3"}
    chances, known = ngrams_of(found)(torch.tensor([[FIRST, 1, 2]]), 2)
    assert torch.allclose(chances.sum(-1), torch.ones(1, 2))
    assert known.tolist() == [[2, 2]]


@pytest.fixture
def both():
    task = small_task("language")
    made = plan(Plain(), (8,), task, Size())
    net = Assembled(made)
    first = 0
    found = tables(tokens_of(task.train), task.outputs, first)
    counts = sum(name.startswith("codes") for name in found)
    shares = np.linspace(0.2, 0.6, counts + 1)[:, None].tolist()
    whole = Assembled(with_ngrams([made], found, shares, first))
    load(whole, state_with_ngrams([state_of(net)], found, "logits"))
    return task, net.eval(), whole.eval(), shares


def test_it_gives_the_mean_of_the_probabilities(both):
    task, net, whole, shares = both
    x = torch.from_numpy(task.validation.x[:3]).long()
    model = whole.logits
    assert isinstance(model, InterpolatedModel)
    with torch.no_grad():
        chances, known = model.ngrams(model.behind(x), x.shape[1])
        share = torch.tensor(shares, dtype=torch.float32)[known]
        wanted = share * net(x).softmax(-1) + (1 - share) * chances
        assert torch.allclose(whole(x).exp(), wanted, atol=1e-4)
        assert torch.allclose(whole(x).exp().sum(-1), torch.ones(x.shape), atol=1e-4)


def test_step_by_step_it_gives_what_it_gives_at_once(both):
    task, _, whole, _ = both
    x = torch.from_numpy(task.validation.x[:2]).long()
    with torch.no_grad():
        state, found = whole.initial(2), []
        for token in x.unbind(1):
            logits, state = whole.step(token, state)
            found.append(logits)
        assert torch.allclose(torch.stack(found, 1), whole(x), atol=1e-5)


def test_the_last_tokens_are_carried_from_batch_to_batch(both):
    """In one stream, all segments give what the whole text gives at once."""
    task, _, whole, _ = both
    x = torch.from_numpy(task.validation.x[:4]).long()
    with torch.no_grad():
        at_once = whole(x.reshape(1, -1))[0]
        whole.logits.carrying = whole.logits.models[0].carrying = True
        pieces = torch.cat([whole(row[None])[0] for row in x])
    assert torch.allclose(pieces, at_once, atol=1e-5)


def test_shares_are_those_that_make_a_text_likeliest(both):
    task, net, whole, _ = both
    data = loader(task, task.validation)
    shares = shares_of(*chances_of_targets(whole, data))
    whole.logits.shares = shares
    best = scored(whole, task, data)["loss"]
    for other in (0.5, 0.02, 0.98):
        whole.logits.shares = [[other]] * len(shares)
        assert scored(whole, task, data)["loss"] >= best - 1e-6
    assert best < scored(net, task, data)["loss"]


def test_whoever_knows_more_has_the_larger_share():
    known = np.array([0, 0, 1, 1, 3, 3])
    network = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.1])
    shares = shares_of(network[None], 1 - network, known)
    assert shares[0][0] > 0.98
    assert shares[1][0] < 0.02
    assert shares[2:] == [[0.5], [0.5], [0.5]]  # nothing was asked there, or both are as good
