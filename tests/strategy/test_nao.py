"""Neural architecture optimization: the model, the climb, the search."""

import itertools
import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from tests.helpers import elsewhere
from tests.helpers_strategy import answered, asks, best, driven, rugged

from evolvent.errors import SettingError
from evolvent.space import Decision, key
from evolvent.space import Move as Step
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.space.listed import Listed
from evolvent.strategy import nao
from evolvent.strategy.common.threads import one_thread
from evolvent.strategy.nao import NAO, Vocabulary, normalised
from evolvent.strategy.nao_model import Codes, Model, beams
from evolvent.task.tables import load_table
from evolvent.types import Candidate, Result

SPACE = Listed(["".join(digits) for digits in itertools.product("01234", repeat=5)])
SMALL: dict[str, Any] = {"width": 8, "members": 1, "steps": 1, "starts": 20}


class Words:
    """Words of one to five letters; a letter 2 brings a second kind of decision after it."""

    family, gives = "words", frozenset({"decisions"})

    def sample(self, rng):
        word: tuple[int, ...] = ()
        while (decision := self.decision(word)) is not None:
            word += (rng.choice(decision.legal),)
        return word

    def mutate(self, arch, rng):
        cut = rng.randrange(len(arch))
        word = arch[:cut]
        while (decision := self.decision(word)) is not None:
            word += (rng.choice(decision.legal),)
        return Step(word, "regrow")

    def decision(self, prefix):
        if len(prefix) == 6 or (prefix and prefix[-1] == 0):
            return None
        if prefix and prefix[-1] == 2:
            return Decision("after 2", "choice", 2, (0, 1))
        return Decision("letter", "choice", 3, (0, 1, 2))

    def encode(self, arch):
        return arch

    def decode(self, choices):
        return tuple(choices)

    def equivalents(self, choices, rng):
        return choices


def drive(strategy, trials, score=rugged, slots=1, rng=None):
    return driven(strategy, trials, lambda c: answered(c, score(c.arch)), slots, rng)


@pytest.fixture
def quick(monkeypatch):
    """Hardly any training: enough for what does not depend on how good the model is."""
    monkeypatch.setattr(nao, "_FIRST", 10)
    monkeypatch.setattr(nao, "_FREE", 30)


# ---- what the model learns -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    """A model of 200 cells of the table that ships, and 200 others with their scores."""
    table = load_table("digits201")
    space, scores = Listed(table.archs), table.columns[table.score]
    rows = np.random.default_rng(0).permutation(len(table))[:400].tolist()
    strategy = NAO(space, initial=200, steps=1, members=1)
    for row in rows[:200]:
        strategy.ask()
        strategy.tell(Result(Candidate(row, table.archs[row]), score=float(scores[row])))
    strategy.ask()
    assert strategy._model is not None
    others = [table.archs[row] for row in rows[200:]]
    batch = strategy._model.pack([strategy._tokens(arch) for arch in others])
    return strategy, others, scores[rows[200:]], batch


def test_the_predictor_ranks_what_it_has_not_seen(learned):
    strategy, _, scores, batch = learned
    assert kendalltau(strategy._model.expect(batch), scores)[0] >= 0.6


def test_an_embedding_decodes_to_its_architecture(learned):
    strategy, others, _, batch = learned
    codes = strategy._model.encode(batch)
    decoded = beams(strategy._model, codes, strategy.space.decision, strategy._vocabulary.first)
    assert len(decoded) == 200 * strategy.members
    hits = [strategy.space.decode(choices) == others[row] for row, (choices,) in decoded]
    assert np.mean(hits) >= 0.95


def test_a_beam_holds_the_most_likely_sequences_in_their_order(learned):
    """Of a small space all sequences can be scored: the beam that holds all of them is exact."""
    space, rng = Words(), random.Random(0)
    vocabulary = Vocabulary(space)
    rows = [vocabulary.tokens(space.encode(space.sample(rng))) for _ in range(20)]
    model = Model(vocabulary.size, vocabulary.length, width=8, members=2)
    codes = model.encode(model.pack(rows[:3]))
    every: set[tuple[int, ...]] = set()
    begun: list[tuple[int, ...]] = [()]
    while begun:
        if (decision := space.decision(word := begun.pop())) is None:
            every.add(word)
        else:
            begun += [(*word, choice) for choice in decision.legal]
    whole = beams(model, codes, space.decision, vocabulary.first, width=len(every))
    few = beams(model, codes, space.decision, vocabulary.first, width=3)
    one = beams(model, codes, space.decision, vocabulary.first)
    with torch.no_grad():
        for at, (row, found) in enumerate(whole):
            assert set(found) == every
            chances = [likelihood(model, codes, vocabulary, row, at % 2, each) for each in found]
            np.testing.assert_allclose(chances, sorted(chances, reverse=True), atol=1e-9)
    assert [row for row, _ in few] == [row for row, _ in whole] == [0, 0, 1, 1, 2, 2]
    for (_, single), (_, three), (_, all_of_them) in zip(one, few, whole, strict=True):
        assert len(single) == 1
        assert len(three) == 3
        assert set(three) <= set(all_of_them)


def likelihood(model, codes, vocabulary, row, member, choices):
    """The log-likelihood of a sequence among the legal ones, step by step."""
    tokens, total = vocabulary.tokens(choices), 0.0
    alone = Codes(codes.outputs[:, row : row + 1], codes.mask[row : row + 1])
    logits, _ = model.decode(alone, torch.tensor([[(0, *tokens[:-1])]]))
    for place, choice in enumerate(choices):
        decision = vocabulary.space.decision(choices[:place])
        start = vocabulary.first[decision.name]
        legal = logits[member, 0, place, [start + each for each in decision.legal]]
        total += float(legal.log_softmax(0)[decision.legal.index(choice)])
    return total


def test_a_step_up_raises_the_predicted_score(learned):
    strategy, _, _, batch = learned
    model = strategy._model
    codes = model.encode(batch)
    before = model.predict(codes.embedding)
    moved = model.ascend(codes, [0.1, 0.2])
    after = model.predict(moved.embedding).reshape(model.members, 2, -1)
    assert (after[:, 0] > before).double().mean() >= 0.9
    assert (after[:, 1] > after[:, 0]).double().mean() >= 0.9


# ---- the model -----------------------------------------------------------------------------------


def toy_model(**settings):
    model = Model(7, 6, **({"width": 8, "hidden": 8, "members": 2} | settings))
    return model, model.pack([(1, 2, 3), (4, 5, 6, 1, 2), (3,)])


def test_outputs_and_embeddings_have_length_1():
    model, batch = toy_model()
    codes = model.encode(batch)
    assert codes.outputs.shape == (2, 3, 5, 8)
    assert codes.outputs.norm(dim=-1).detach().numpy() == pytest.approx(np.ones((2, 3, 5)))
    assert codes.embedding.norm(dim=-1).detach().numpy() == pytest.approx(np.ones((2, 3)))


def test_what_fills_up_a_sequence_changes_nothing():
    model, batch = toy_model()
    alone = model.pack([(1, 2, 3)])
    assert model.expect(batch)[0] == pytest.approx(model.expect(alone)[0], abs=1e-12)
    first = Codes(model.encode(batch).outputs[:, :1], batch.mask[:1])
    start = torch.zeros((2, 1, 1), dtype=torch.long)
    logits, _ = model.decode(first, start)
    expected, _ = model.decode(model.encode(alone), start)
    assert torch.allclose(logits, expected)


def test_decoding_step_by_step_equals_decoding_at_once():
    model, batch = toy_model()
    codes = model.encode(batch)
    tokens = torch.tensor([[[0, 1, 2, 3]] * 3])
    whole, _ = model.decode(codes, tokens)
    memory, steps = None, []
    for place in range(4):
        logits, memory = model.decode(codes, tokens[..., place : place + 1], memory, place)
        steps.append(logits)
    assert torch.allclose(torch.cat(steps, dim=2), whole)


def test_a_step_of_zero_stays_and_longer_steps_go_further():
    model, batch = toy_model()
    codes = model.encode(batch)
    moved = model.ascend(codes, (0.0, 0.5, 1.0))
    assert moved.outputs.shape == (2, 9, 5, 8)
    assert moved.mask.tolist() == batch.mask.tolist() * 3
    away = (moved.outputs - codes.outputs.repeat(1, 3, 1, 1)).norm(dim=-1).detach()
    away = (away * moved.mask).reshape(2, 3, 3, 5)
    assert float(away[:, 0].max()) < 1e-12
    assert torch.all(away[:, 2].sum(-1) > away[:, 1].sum(-1))
    assert torch.all(away[:, 1].sum(-1) > 0)


def test_training_lowers_both_parts_of_the_loss():
    for share in (0.01, 0.99):
        model, batch = toy_model()
        scores = np.array([0.0, 1.0])
        losses = [model.learn(batch, scores, share) for _ in range(60)]
        assert losses[-1] < 0.3 * losses[0]
    assert model.expect(batch)[0] < 0.2 < 0.8 < model.expect(batch)[1]


def test_members_do_not_influence_each_other():
    (model, batch), (other, _) = toy_model(), toy_model()
    for weight in other.weights.values():
        weight.data[1] *= 0.5
    for _ in range(3):
        model.learn(batch, np.array([0.0, 1.0]), 0.5)
        other.learn(batch, np.array([0.0, 1.0]), 0.5)
    for name, weight in other.weights.items():
        assert torch.equal(weight[0], model.weights[name][0])
        assert not torch.equal(weight[1], model.weights[name][1])


@pytest.mark.parametrize("space", [Cell(nodes=3, distinct=True), Words(), Listed(["0a", "1b"])])
def test_an_untrained_decoder_writes_nothing_illegal(space):
    vocabulary, rng = Vocabulary(space), random.Random(0)
    rows = [vocabulary.tokens(space.encode(space.sample(rng))) for _ in range(20)]
    model = Model(vocabulary.size, vocabulary.length, width=8, members=2)
    codes = model.encode(model.pack(rows))
    found = [
        (row, choices)
        for width in (1, 3)
        for row, sequences in beams(model, codes, space.decision, vocabulary.first, width)
        for choices in sequences
    ]
    for row, choices in found:
        assert row in range(20)
        for place, choice in enumerate(choices):
            assert choice in space.decision(choices[:place]).legal
        assert space.decision(choices) is None


def test_tokens_the_model_does_not_know_are_left_out():
    model, _ = toy_model()
    assert model.pack([(1, 9, 2)]).mask.tolist() == [[True, False, True]]
    assert math.isfinite(model.expect(model.pack([(1, 9, 2)]))[0])
    space = Words()
    for _, (choices,) in beams(model, model.encode(model.pack([(1, 2)])), space.decision, {}):
        assert choices == (0,)  # the first legal value


def test_torch_is_left_as_it_was(quick):
    strategy = NAO(SPACE, initial=5, **SMALL)
    drive(strategy, 5)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            strategy.ask()
            assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 1


def test_torch_is_imported_only_when_there_is_something_to_learn():
    code = (
        "import sys; from evolvent.registry import find; find('strategy', 'nao'); "
        "print('torch' in sys.modules)"
    )
    assert elsewhere(code, PYTHONPATH="src").strip() == "False"


# ---- targets and vocabulary ----------------------------------------------------------------------


def test_targets_lie_between_0_and_1_and_equal_scores_divide_nothing():
    assert normalised([1.0, 3.0, 2.0]).tolist() == [0.0, 1.0, 0.5]
    assert normalised([0.1, 0.9, 0.91], "rank").tolist() == [0.0, 0.5, 1.0]
    assert normalised([0.7] * 3).tolist() == normalised([0.7] * 3, "rank").tolist() == [0.5] * 3
    assert normalised([-math.inf, 0.2, 0.4, 0.6]).tolist() == pytest.approx([0, 0, 0.5, 1])


def test_decisions_of_equal_name_share_their_tokens():
    vocabulary = Vocabulary(Words())
    assert vocabulary.tokens((1, 2, 1, 0)) == (2, 3, 5, 1)
    assert vocabulary.first == {"letter": 1, "after 2": 4}
    assert (vocabulary.size, vocabulary.length) == (6, 4)


def test_the_model_learns_symmetric_forms_with_the_score_of_their_network(quick, monkeypatch):
    space = Cell(nodes=2)
    seen: list[tuple[list[int], float]] = []
    strategy = NAO(space, initial=12, **SMALL)
    events = drive(strategy, 12, score=lambda arch: random.Random(repr(arch)).random())
    told = [event for event in events if isinstance(event, Result)]
    scores = normalised([result.value for result in told], "rank")
    worth = {space.canonical(r.candidate.arch): s for r, s in zip(told, scores, strict=True)}

    def learn(self, batch, targets, share):
        seen.extend(zip(batch.tokens.tolist(), targets.tolist(), strict=False))
        return 0.0

    monkeypatch.setattr(Model, "learn", learn)
    strategy.ask()
    first, forms = strategy._vocabulary.first, set()
    for tokens, target in seen:
        choices: tuple[int, ...] = ()
        while (decision := space.decision(choices)) is not None:
            choices += (tokens[len(choices)] - first[decision.name],)
        forms.add(choices)
        assert target == worth[space.canonical(space.decode(choices))]
    assert len(forms) > len(told)


# ---- the search ----------------------------------------------------------------------------------


def test_it_finds_what_random_search_does_not():
    rng = random.Random(0)
    found = [best(drive(NAO(SPACE, seed=seed, members=1), 60)) for seed in range(2)]
    chance = [max(rugged(SPACE.sample(rng)) for _ in range(60)) for _ in range(2)]
    assert min(found) > max(chance)


@pytest.mark.parametrize("starts", [0, 20])
def test_it_says_where_a_candidate_comes_from(quick, starts):
    events = drive(NAO(SPACE, initial=10, **(SMALL | {"starts": starts})), 40)
    candidates = asks(events)
    assert {candidate.operator for candidate in candidates[:10]} == {"sample"}
    assert "ascent" in {candidate.operator for candidate in candidates[10:]}
    for candidate in candidates[10:]:
        assert len(candidate.parents) == (candidate.operator != "sample")
        assert all(parent < candidate.id for parent in candidate.parents)


@pytest.mark.parametrize("slots", [1, 7])
def test_no_network_is_asked_twice(quick, slots):
    space = Cell201()
    score = lambda arch: sum(space.encode(arch)) / 24  # noqa: E731
    candidates = asks(drive(NAO(space, initial=10, **SMALL), 50, score, slots, random.Random(0)))
    assert len({key(space, candidate.arch) for candidate in candidates[10:]}) >= len(
        candidates[10:]
    )
    assert len({key(space, c.arch) for c in candidates}) == len(candidates)


def test_more_may_be_in_flight_than_a_climb_gives(quick):
    strategy = NAO(SPACE, initial=5, batch=2, **SMALL)
    drive(strategy, 5)
    archs = [strategy.ask().arch for _ in range(30)]
    assert len(set(archs)) == 30


def test_a_small_space_is_searched_completely_and_is_no_dead_end(quick):
    space = Listed(["".join(digits) for digits in itertools.product("01", repeat=4)])
    candidates = asks(drive(NAO(space, initial=4, **SMALL), 20, lambda arch: arch.count("1")))
    assert len({candidate.arch for candidate in candidates[:16]}) == 16
    assert len(candidates) == 20


def test_decisions_may_depend_on_those_before_and_lengths_differ(quick):
    space = Words()
    assert best(drive(NAO(space, initial=8, **(SMALL | {"steps": 4})), 40, score=sum)) >= 8


def test_a_decision_met_late_gets_a_new_model(quick, monkeypatch):
    monkeypatch.setattr(nao, "_FREE", 1)
    space = Words()
    strategy = NAO(space, initial=3, batch=1, **SMALL)
    for id, arch in enumerate([(0,), (1, 0), (1, 1, 0)]):
        strategy.ask()
        strategy.tell(Result(Candidate(id, arch), score=float(id)))
    strategy._free = [strategy._tokens((0,))]
    strategy._vocabulary = Vocabulary(space)
    known = strategy._fit(random.Random(0))
    assert strategy._vocabulary.size == 4
    strategy._model = known
    assert strategy._fit(random.Random(0)) is known
    strategy._climb(known, random.Random(0))  # meets "after 2", of which the model knows nothing
    strategy.tell(Result(Candidate(3, (2, 1, 0)), score=3.0))
    assert strategy._fit(random.Random(0)).vocabulary == 6


@pytest.mark.parametrize("slots", [1, 20])
def test_it_lives_under_failures_with_many_workers_in_any_order(quick, slots):
    rng = random.Random(slots)
    flaky = lambda arch: None if rng.random() < 0.9 else rugged(arch)  # noqa: E731
    events = drive(NAO(SPACE, initial=10, **SMALL), 60, flaky, slots, rng)
    lost = {event.candidate.id for event in events if isinstance(event, Result) and not event.ok}
    assert not any(set(candidate.parents) & lost for candidate in asks(events))


def test_equal_scores_are_no_dead_end(quick):
    assert len(asks(drive(NAO(SPACE, initial=5, **SMALL), 25, score=lambda arch: 0.5))) == 25


def test_refused_candidates_do_not_shorten_the_start():
    strategy = NAO(SPACE, initial=5)
    for _ in range(8):
        candidate = strategy.ask()
        assert candidate.operator == "sample"
        strategy.tell(Result(candidate, status="refused", reason="toy"))


def test_replay_gives_the_same_asks_after_json(quick):
    events = drive(NAO(SPACE, seed=5, initial=10, **SMALL), 30, slots=4, rng=random.Random(1))
    again = NAO(SPACE, seed=5, initial=10, **SMALL)
    for event in events:
        if isinstance(event, Candidate):
            assert again.ask() == Candidate.from_json(json.loads(json.dumps(event.to_json())))
        else:
            again.tell(event)


def test_sizes_follow_the_horizon_up_to_the_papers():
    sizes = {h: NAO(SPACE, horizon=h) for h in (10, 100, 1000, 10_000)}
    assert [(s.initial, s.batch, s.seeds) for s in sizes.values()] == [
        (3, 1, 2),
        (20, 4, 6),
        (200, 40, 66),
        (600, 300, 100),
    ]
    assert "200 random architectures" in sizes[1000].note
    assert sizes[10_000].note == ""


@pytest.mark.parametrize(
    "wrong", [{"initial": 1}, {"batch": 0}, {"steps": 0}, {"share": 1.0}, {"targets": "ranks"}]
)
def test_settings_outside_their_rule_are_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        NAO(SPACE, **wrong)
