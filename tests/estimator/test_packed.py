"""Packed: candidates of one shape at once, folds of small sets, and what a score is then."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolvent.errors import SettingError
from evolvent.estimator import packed
from evolvent.estimator.full import Full
from evolvent.estimator.packed import Packed, folds_by_default
from evolvent.network.build import Size, build
from evolvent.network.data import loader
from evolvent.network.fit import fit, load, scored, trained_epochs
from evolvent.network.packing import train_pack
from evolvent.network.train import Hyperparameters, seen_of
from evolvent.space.chain import Chain
from evolvent.space.tabular import Tabular
from evolvent.space.tabular_members import GOOD
from evolvent.task import Part
from evolvent.testing import check_estimator, small_task
from evolvent.types import Budget, Candidate, stream

TASK = small_task("numbers")
SPACE = Tabular.of(TASK.facts)


def candidate(id=0, epochs=5.0, **genes):
    arch = SPACE.checked(tuple((GOOD | {"batch": 32} | genes).values()))
    return Candidate(id, arch, budget=Budget(epochs=epochs))


def answer(result):
    return {name: value for name, value in result.metrics.items() if name in ("accuracy", "loss")}


@pytest.fixture
def packs(monkeypatch):
    """The sizes of the packs that were trained."""
    found, inner = [], train_pack

    def counted(members, *given, **more):
        found.append(len(members))
        return inner(members, *given, **more)

    monkeypatch.setattr(packed, "train_pack", counted)
    return found


def test_it_keeps_the_contract_on_folds_of_networks_for_tables():
    check_estimator(Packed, task=TASK, space=SPACE, settings={"folds": 3, "repeats": 1})


def test_without_folds_it_answers_as_full_does(packs):
    asked = [candidate(id, rate=rate) for id, rate in enumerate((0.5, 1.0, 2.0))]
    found = Packed(SPACE, TASK, folds=0, seed=4).evaluate_many([(each, {}) for each in asked])
    assert packs == [3]
    full = Full(SPACE, TASK, seed=4)
    for each, evaluation in zip(asked, found, strict=True):
        alone = full.evaluate(each, {}).result
        assert answer(evaluation.result) == pytest.approx(answer(alone), abs=1e-5)
        assert evaluation.result.epochs == alone.epochs == 5.0
        assert (evaluation.result.seed, evaluation.result.params) == (alone.seed, alone.params)


def test_weights_are_kept_where_one_training_judged():
    asked: Any = [(candidate(id, rate=rate), {}) for id, rate in enumerate((0.5, 1.0))]
    for each in Packed(SPACE, TASK, folds=0, seed=4, keep=True).evaluate_many(asked):
        assert each.state is not None
        assert trained_epochs(each.state) == 5.0
        net = build(SPACE, each.result.candidate.arch, TASK, Size())
        load(net, each.state)
        assert scored(net, TASK, TASK.validation)["loss"] == pytest.approx(
            each.result.metrics["loss"]
        )
    given: list[dict[str, Any]] = [{"folds": 0}, {"folds": 3, "keep": True}]
    for settings in given:
        found = Packed(SPACE, TASK, **settings).evaluate_many(asked)
        assert [each.state for each in found] == [None, None]


def test_classes_have_their_weights_as_full_gives_them():
    task = replace(TASK, train=Part(TASK.train.x[:48], np.sort(TASK.train.y)[:48]))
    hyper = Hyperparameters(class_weight="balanced")
    asked = [candidate(id, rate=rate) for id, rate in enumerate((0.5, 1.0))]
    found = Packed(SPACE, task, folds=0, hyper=hyper).evaluate_many([(each, {}) for each in asked])
    full = Full(SPACE, task, hyper=hyper)
    plain = Full(SPACE, task)
    for each, evaluation in zip(asked, found, strict=True):
        alone = answer(full.evaluate(each, {}).result)
        assert answer(evaluation.result) == pytest.approx(alone, abs=1e-5)
        assert answer(plain.evaluate(each, {}).result) != pytest.approx(alone, abs=1e-3)


def test_candidates_of_one_shape_are_one_pack_whatever_stands_between(packs):
    asked = [
        candidate(0),
        candidate(1, width=64),
        candidate(2, rate=2.0),
        candidate(3, epochs=2.0),
        candidate(4, dropout=0.5),
    ]
    found = Packed(SPACE, TASK, folds=0).evaluate_many([(each, {}) for each in asked])
    assert [each.result.candidate.id for each in found] == [0, 1, 2, 3, 4]
    assert packs == [3]  # of one shape and length; the others are trained by themselves
    two = Packed(SPACE, TASK, folds=0, pack=2)
    two.evaluate_many([(each, {}) for each in asked])
    assert packs[1:] == [2]


def test_the_score_is_that_of_all_rows_each_of_which_was_held_out(packs):
    estimator = Packed(SPACE, TASK, folds=4, repeats=2, seed=1)
    found = estimator.evaluate(candidate(), {}).result
    assert packs == [8]
    rows = Part(
        np.concatenate([TASK.train.x, TASK.validation.x]),
        np.concatenate([TASK.train.y, TASK.validation.y]),
    )
    right, scores = 0.0, []
    for number, fold in enumerate(estimator.folds):
        made = fit(
            SPACE,
            candidate().arch,
            TASK,
            rows.taken(fold.training),
            epochs=5.0,
            seed=stream(1, "train", 0, number).getrandbits(31),
        )
        held = loader(TASK, rows.taken(fold.held_out))
        right += seen_of(made.net, held)[0][0]
        scores.append(seen_of(made.net, held)[0][0] / len(held))
    assert found.score == pytest.approx(right / (2 * 96))
    assert found.metrics["fold_scores"] == pytest.approx(scores, abs=1e-6)
    assert found.metrics["folds"] == 4
    assert found.metrics["standard_error"] == pytest.approx(np.std(scores, ddof=1) / 2)


def test_candidates_share_the_folds_and_not_the_weights():
    estimator = Packed(SPACE, TASK, folds=4, repeats=1)
    again = Packed(SPACE, TASK, folds=4, repeats=1)
    for one, other in zip(estimator.folds, again.folds, strict=True):
        assert np.array_equal(one.held_out, other.held_out)
    found = estimator.evaluate_many([(candidate(0), {}), (candidate(1), {})])
    first, second = (each.result.metrics["loss"] for each in found)
    assert first != second


def test_small_sets_have_folds_by_default():
    assert [folds_by_default(rows) for rows in (9, 10, 999, 1000)] == [0, 5, 5, 0]
    estimator = Packed(SPACE, TASK)
    assert len(estimator.folds) == 10
    assert Packed.trainings(999, {}) == 4.0
    assert Packed.trainings(999, {"folds": 0}) == Packed.trainings(1000, {}) == 1.0
    assert Packed.trainings(5000, {"folds": 10, "repeats": 5}) == 20.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "folds=1: 0, or from 2 to 96, the rows"),
        ({"folds": 97}, "folds=97"),
        ({"repeats": 0}, "repeats=0: at least 1"),
        ({"pack": 0}, "pack=0: at least 1"),
    ],
)
def test_numbers_outside_the_rules_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Packed(SPACE, TASK, **settings)


def test_a_member_that_fails_does_not_fail_the_others():
    hyper = Hyperparameters()
    asked = [candidate(0), candidate(1), candidate(2)]
    estimator = Packed(SPACE, TASK, folds=0, hyper=hyper)
    inner = estimator._trainings

    def trainings(at, candidates):
        found = inner(at, candidates)
        if at == 1:
            found[0].hyper = replace(found[0].hyper, lr=1e30)
        return found

    estimator._trainings = trainings  # type: ignore[method-assign]
    found = [each.result for each in estimator.evaluate_many([(each, {}) for each in asked])]
    assert [each.status for each in found] == ["ok", "failed", "ok"]
    assert "no longer finite" in found[1].reason


def test_what_cannot_be_packed_is_trained_one_by_one(packs):
    chains = Chain.of(TASK.facts)
    arch = chains.known(TASK.facts)["norm-dense"]
    hyper = Hyperparameters(optimizer="adamw", batch=32)
    asked = Candidate(0, arch, budget=Budget(epochs=5.0))
    found = Packed(chains, TASK, folds=3, repeats=1, hyper=hyper).evaluate(asked, {}).result
    muon = Packed(SPACE, TASK, folds=3, repeats=1).evaluate(candidate(optimizer="muon"), {}).result
    assert packs == []
    assert len(found.metrics["fold_scores"]) == len(muon.metrics["fold_scores"]) == 3
    assert found.value > 0.6
