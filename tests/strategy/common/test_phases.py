"""Phases: what shared weights learn at, what is scored, and what the strategy inside is told."""

from collections import Counter

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.strategy.common.phases import Phases
from evolvent.strategy.evolution import RegularizedEvolution
from evolvent.strategy.nao import NAO
from evolvent.strategy.random import Random
from evolvent.strategy.reinforce import Reinforce
from evolvent.types import Candidate, Result

SPACE = Cell201()


class Recording:
    """A strategy that asks for the same few architectures and keeps what it was told."""

    needs = frozenset[str]()
    ends = True

    def __init__(self, archs):
        self.archs, self.told = archs, []

    def ask(self):
        id = len(self.told)
        return Candidate(id, self.archs[id % len(self.archs)]) if id < 3 * len(self.archs) else None

    def tell(self, result):
        self.told.append(result)


def run(strategy, score):
    """Search to the end; return the candidates. `score` is given a candidate and its place."""
    seen: list[Candidate] = []
    while (candidate := strategy.ask()) is not None:
        assert strategy.ask() is None, "nothing runs beside a step"
        trains = candidate.kind == "step" and candidate.budget.validation_batches == 0
        strategy.tell(Result(candidate, None if trains else score(candidate, len(seen))))
        seen.append(candidate)
    return seen


def kinds(seen):
    return Counter(
        "trial" if c.kind == "trial" else "train" if c.budget.train_batches else "score"
        for c in seen
    )


def arch_of(candidate):
    return candidate.arch if candidate.kind == "trial" else SPACE.derive(candidate.mixture)


def convs(candidate, place=0):
    return arch_of(candidate).count("nor_conv_3x3") / 6


@pytest.mark.parametrize("rounds", [None, 1, 3, 50])
def test_every_epoch_trains_and_every_round_scores(rounds):
    strategy = Phases(
        lambda count: Random(SPACE, horizon=count),
        SPACE,
        rounds=rounds,
        scores=4,
        batches=7,
        finalists=3,
        horizon=6,
    )
    seen = run(strategy, convs)
    turns = 6 if rounds in (None, 50) else rounds
    assert kinds(seen) == {"train": 6 * 7, "score": 6 * 4, "trial": 6 + 2}
    assert strategy.train_batches == 6 * 7 and strategy.more_trials == 2
    trials = [candidate for candidate in seen if candidate.kind == "trial"]
    drawn = [trial for trial in trials if trial.operator == "drawn"]
    assert len(drawn) == 6 - turns  # there is always something to deliver
    assert [trial.budget.epochs for trial in trials] == [1, 2, 3, 4, 5, 6, 6, 6]
    if rounds == 1:  # all training comes first
        order = ["train" if c.budget.train_batches else "score" for c in seen if c.kind == "step"]
        assert order == 42 * ["train"] + 24 * ["score"]


def test_the_best_of_a_round_are_tried_each_once():
    archs = [SPACE.decode((3,) * n + (0,) * (6 - n)) for n in (2, 5, 1, 4, 3)]
    inner = Recording(archs)
    strategy = Phases(
        lambda count: inner, SPACE, rounds=1, scores=8, batches=2, finalists=3, horizon=2
    )
    seen = run(strategy, lambda candidate, place: convs(candidate) - place / 1000)
    assert [arch_of(c) for c in seen[-3:]] == [archs[1], archs[3], archs[4]]
    assert {c.operator for c in seen[-3:]} == {"chosen"}
    assert len(inner.told) == 3 * len(archs)  # it ended before the round did
    assert [result.candidate.id for result in inner.told] == list(range(15))
    assert all(result.candidate.kind == "trial" for result in inner.told)


def test_scores_are_told_relative_to_random_architectures_of_the_same_moment():
    """Weights that have learnt more make everything better, and no architecture better than another."""
    archs = [SPACE.decode((3,) * 6)]
    inner = Recording(archs)
    strategy = Phases(
        lambda count: inner, SPACE, scores=1, batches=3, reference=2, horizon=3, finalists=1
    )
    run(strategy, lambda candidate, place: 0.01 * place + (arch_of(candidate) == archs[0]))
    values = [result.score for result in inner.told]
    np.testing.assert_allclose(values, values[0], atol=0.02)
    assert 0.9 < values[0] < 1.1


def test_a_policy_draws_what_the_weights_learn_at():
    def over(count):
        return Reinforce(SPACE, horizon=count, lr=0.05, entropy=0.0, seed=1)

    strategy = Phases(over, SPACE, scores=20, batches=12, horizon=25, seed=1)
    seen = run(strategy, convs)
    drawn = [convs(c) for c in seen if c.kind == "step" and c.budget.train_batches]
    assert np.mean(drawn[-60:]) > np.mean(drawn[:12]) + 0.3
    notes = [c.note for c in seen if c.kind == "trial"]
    assert notes[0]["begun"] >= notes[0]["entropy"] > 0.8 and notes[-1]["entropy"] < 0.5
    assert notes[-1]["begun"] == notes[0]["begun"]


def test_a_pool_draws_what_the_weights_learn_at():
    def over(count):
        return NAO(SPACE, horizon=count, initial=10, members=1, steps=1, starts=20, width=8)

    strategy = Phases(over, SPACE, rounds=2, scores=8, batches=6, horizon=6)
    seen = run(strategy, convs)
    scored = {arch_of(c) for c in seen if c.kind == "step" and not c.budget.train_batches}
    last = [arch_of(c) for c in seen if c.kind == "step" and c.budget.train_batches][-6:]
    assert set(last) <= scored


def test_others_leave_it_to_uniform_samples():
    strategy = Phases(
        lambda count: RegularizedEvolution(SPACE, horizon=count), SPACE, batches=400, horizon=1
    )
    seen = run(strategy, convs)
    drawn = np.mean([c.mixture["cell"] for c in seen if c.kind == "step"][:400], axis=0)
    np.testing.assert_allclose(drawn, 0.2, atol=0.1)


def test_a_score_may_be_from_all_of_the_part():
    strategy = Phases(
        lambda count: Random(SPACE, horizon=count), SPACE, judged=None, batches=1, horizon=1
    )
    budgets = {c.budget.validation_batches for c in run(strategy, convs) if c.kind == "step"}
    assert budgets == {0, None}


def test_pairs_of_cells_are_sent_as_their_rows():
    space = Cell(nodes=2)
    strategy = Phases(lambda count: Random(space, horizon=count), space, batches=3, horizon=1)
    step = strategy.ask()
    assert step is not None and step.mixture is not None
    assert {name: rows.sum() for name, rows in step.mixture.items()} == {
        "normal": 4,
        "reduction": 4,
    }


@pytest.mark.parametrize("name", ["rounds", "scores", "judged", "finalists", "batches"])
def test_settings_outside_their_rules_are_refused(name):
    with pytest.raises(SettingError, match=name):
        Phases(lambda count: Random(SPACE), SPACE, **{name: 0})
    with pytest.raises(SettingError, match="reference"):
        Phases(lambda count: Random(SPACE), SPACE, reference=-1)
