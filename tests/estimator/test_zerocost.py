"""Scoring candidates without training, alone and in front of full training."""

import dataclasses
import json
import random

import numpy as np
import pytest
import torch

from evolvent.config.settings import fields, grouped
from evolvent.errors import CandidateFailed, SettingError
from evolvent.estimator.cascade import Cascade
from evolvent.estimator.full import Full
from evolvent.estimator.zerocost import ZeroCost
from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.proxies import PROXIES, score
from evolvent.network.train import Hyperparameters
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201, parse
from evolvent.task import Part
from evolvent.types import Budget, Candidate, stream

SPACE, SIZE = Cell201(), Size(cells=1, width=4, stages=2)
ARCH = parse("321341")


def ask(estimator, arch=ARCH, id=0, kind="trial", epochs=1.0):
    candidate = Candidate(id, arch, kind=kind, budget=Budget(epochs=epochs))
    return estimator.evaluate(candidate, {}).result


def make(task, proxy="synflow", **settings):
    return ZeroCost(SPACE, task, proxy=proxy, size=SIZE, **settings)


@pytest.mark.parametrize("proxy", PROXIES)
def test_every_proxy_gives_a_result_that_can_be_stored(toy, proxy):
    result = ask(make(toy, proxy))
    assert toy.kind in ZeroCost.kinds
    assert result.ok and result.metrics == {proxy: result.score}
    made = cost(plan(SPACE, ARCH, toy, SIZE), toy)
    assert (result.params, result.flops) == (made.params, made.flops)
    assert (result.epochs, result.total_epochs) == (0, 0)
    assert result.seconds > 0 and result.threads == torch.get_num_threads()
    json.dumps(result.to_json(), allow_nan=False)


def test_it_is_the_proxy_of_fresh_weights_on_one_batch_of_training_data(toy):
    estimator = make(toy, "snip", batch=16, seed=3)
    assert estimator.x.shape == (16, *toy.input_shape)
    seed = stream(3, "train", 7).getrandbits(31)
    net = build(SPACE, ARCH, toy, SIZE, seed=seed)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = ask(estimator, id=7)
    assert (result.score, result.seed) == (score("snip", net, estimator.x, estimator.y), seed)


def test_neither_validation_nor_test_data_are_read(toy):
    spoilt = dataclasses.replace(
        toy, validation=Part(toy.validation.x * 0, toy.validation.y * 0), test=None
    )
    for proxy in ("jacob_cov", "grad_norm"):
        assert ask(make(spoilt, proxy)).score == ask(make(toy, proxy)).score


def test_the_batch_is_the_same_for_all_candidates_and_another_for_another_seed(toy):
    first, again, other = (make(toy, batch=8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
    assert not torch.equal(first.x, other.x)


def test_a_batch_is_at_most_the_training_part(toy):
    assert len(make(toy, batch=10_000).x) == len(toy.train)


def test_equal_candidates_score_the_same_and_another_id_draws_other_weights(toy):
    estimator = make(toy, "grad_norm")
    assert ask(estimator, id=1).score == ask(estimator, id=1).score != ask(estimator, id=2).score


def test_the_training_length_asked_for_does_not_matter(toy):
    estimator = make(toy)
    assert ask(estimator, epochs=0).score == ask(estimator, epochs=50).score


def test_a_value_that_is_not_finite_is_a_failure_with_its_reason(toy):
    nothing_passes = parse("000000")
    with pytest.raises(CandidateFailed, match=r"jacob_cov is nan.*not a finite number"):
        ask(make(toy, "jacob_cov"), nothing_passes)


@pytest.mark.parametrize("bad", [{"proxy": "snap"}, {"batch": 1}])
def test_bad_settings_are_refused(toy, bad):
    with pytest.raises(SettingError, match=r"did you mean 'snip'|batch=1: at least 2"):
        ZeroCost(SPACE, toy, **bad)


def test_its_settings_can_be_addressed_one_by_one(toy):
    assert set(fields(ZeroCost)) >= {"proxy", "batch", "cells", "width"}
    given = grouped(ZeroCost, {"proxy": "nwot", "batch": 8, "cells": 0, "width": 4})
    estimator = ZeroCost(SPACE, toy, **given)
    assert len(estimator.x) == 8 and estimator.size.cells == 0


def test_it_scores_other_spaces(toy):
    space = Cell()
    estimator = ZeroCost(space, toy, size=SIZE)
    assert ask(estimator, space.sample(random.Random(0))).ok


def test_bigger_cells_have_more_synflow(toy):
    scores = [ask(make(toy), parse(cell)).value for cell in ("444444", "222222", "333333")]
    assert scores == sorted(scores) and len(set(scores)) == 3


# -- a proxy first, then full training ---------------------------------------------------------------


@pytest.fixture
def cascade(toy):
    return Cascade(SPACE, toy, proxy="nwot", size=SIZE, hyper=Hyperparameters(batch=16), seed=5)


def test_a_cascade_answers_steps_by_the_proxy(cascade, toy):
    alone = ask(ZeroCost(SPACE, toy, proxy="nwot", size=SIZE, seed=5), id=4)
    step = ask(cascade, id=4, kind="step")
    assert (step.score, step.metrics, step.epochs) == (alone.score, alone.metrics, 0)


def test_a_cascade_trains_trials_as_full_does(cascade, toy):
    hyper = Hyperparameters(batch=16)
    alone = ask(Full(SPACE, toy, size=SIZE, hyper=hyper, seed=5), id=4)
    trial = ask(cascade, id=4)
    assert (trial.score, trial.epochs) == (alone.score, alone.epochs)
    assert trial.metrics["loss"] == alone.metrics["loss"]


def test_a_cascade_keeps_weights_if_it_is_told_to(toy):
    estimator = Cascade(SPACE, toy, size=SIZE, keep=True)
    trial = estimator.evaluate(Candidate(0, ARCH, budget=Budget(epochs=0.1)), {})
    step = estimator.evaluate(Candidate(1, ARCH, kind="step"), {})
    assert trial.state is not None and step.state is None
    assert {"proxy", "score", "weights"} <= estimator.gives and toy.kind in estimator.kinds


def test_a_cascade_takes_the_settings_of_both(toy):
    known = fields(Cascade)
    assert {"proxy", "proxy_batch", "batch", "lr", "width"} <= set(known)
    estimator = Cascade(SPACE, toy, **grouped(Cascade, {"proxy_batch": 8, "batch": 4}))
    assert len(estimator.first.x) == 8 and estimator.then.hyper.batch == 4


def test_the_sample_of_the_batch_has_the_classes_of_the_data(toy):
    assert len(np.unique(make(toy, batch=32).y.numpy())) == toy.outputs
