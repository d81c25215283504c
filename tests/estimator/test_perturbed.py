"""Mixtures near a given one: how far, where to, and what the shared weights learn at."""

import numpy as np
import pytest
import torch.nn.functional as F
from tests.estimator.test_shared import candidate, shared

from evolvent.estimator.perturbed import perturbed
from evolvent.space.cell201 import Cell201
from evolvent.types import Budget, Candidate

ROWS = {"cell": np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.1]])}


def near(radius, ascents=0, slopes=None, seed=0):
    rng = np.random.default_rng(seed)
    return perturbed(ROWS, radius=radius, ascents=ascents, rng=rng, slopes=slopes or (lambda r: r))


def test_random_entries_stay_near_and_rows_keep_their_sums():
    assert near(0.0) is ROWS
    for seed in range(20):
        found = near(0.3, seed=seed)["cell"]
        np.testing.assert_allclose(found.sum(1), ROWS["cell"].sum(1), atol=1e-12)
        assert (found >= 0).all() and (found[ROWS["cell"] == 0] == 0).all()
        assert not np.allclose(found[:2], ROWS["cell"][:2])
    assert np.abs(near(1e-3)["cell"] - ROWS["cell"]).max() < 3e-3


def test_ascents_go_to_the_corner_where_a_linear_loss_is_largest():
    slope = {"cell": np.array([[1.0, -1.0, -1.0]] * 4)}
    found = near(0.05, ascents=7, slopes=lambda rows: slope)["cell"]
    assert found[0, 0] > 0.14 and found[0, 1] < 0.16  # a scaled row may leave the cube again
    np.testing.assert_allclose(found[1], [0.55, 0.45, 0], atol=1e-3)


def step(radius=0.0, ascents=0, number=0):
    rows = {"cell": np.full((6, 5), 0.2)}
    budget = Budget(train_batches=1, validation_batches=0, radius=radius, ascents=ascents)
    return Candidate(number, kind="step", mixture=rows, budget=budget)


def test_an_adversary_raises_the_loss_of_the_batch_that_is_learnt_from(toy):
    learnt = {}
    for ascents in (None, 0, 5):
        one = shared(Cell201(), toy, gradient=True)
        asked = step() if ascents is None else step(0.1, ascents)
        learnt[ascents] = one.evaluate(asked, {}).result.metrics["train_loss"]
    assert learnt[5] > max(learnt[0], learnt[None])
    assert learnt[0] != learnt[None]


@pytest.mark.parametrize("ascents", [0, 2])
def test_what_is_learnt_near_a_mixture_goes_on_from_a_checkpoint(toy, ascents):
    one, other = (shared(Cell201(), toy, gradient=True) for _ in range(2))
    one.evaluate(step(0.2, ascents), {})
    other.restore(one.checkpoint())
    losses = [
        each.evaluate(step(0.2, ascents, 1), {}).result.metrics["train_loss"]
        for each in (one, other)
    ]
    assert losses[0] == losses[1]


def test_paired_steps_are_scored_on_the_same_batches_without_a_gradient(toy):
    one = shared(Cell201(), toy, gradient=True)
    budget = Budget(train_batches=0, validation_batches=2, paired=True)
    rows = {"cell": np.full((6, 5), 0.2)}
    results = []
    for number in range(3):
        paired = Candidate(number, kind="step", mixture=rows, budget=budget)
        results.append(one.evaluate(paired, {}).result)
        free = one.evaluate(candidate(9, mixture=rows, judge=2), {}).result
        assert free.gradient is not None
        assert free.metrics["loss"] != results[0].metrics["loss"]
    assert len({result.metrics["loss"] for result in results}) == 1
    assert all(result.gradient is None and result.score is not None for result in results)


def test_an_operation_of_almost_no_weight_has_its_own_gradient_and_changes_no_output(toy):
    """What is not run has the gradient of a number instead."""
    one = shared(Cell201(), toy, gradient=True)
    hard = np.eye(5)[[3, 2, 3, 1, 2, 3]]
    x, y = next(one.judged)

    def at(rows):
        logits, gradient = one._differentiated({"cell": rows}, x, y)
        return float(F.cross_entropy(logits, y)), gradient["cell"]

    (loss, unheard), (plain, silent) = at(np.maximum(hard, 1e-12)), at(hard)
    assert loss == pytest.approx(plain, abs=1e-9)
    for row, column in ((0, 2), (2, 4), (5, 2)):
        more = np.maximum(hard, 1e-12)
        more[row, column] += 1e-5
        found = (at(more)[0] - loss) / 1e-5
        assert unheard[row, column] == pytest.approx(found, rel=1e-2, abs=1e-6)
        assert abs(silent[row, column] - found) > 0.01 * abs(found)
