"""Shared weights of recurrent cells: what is carried along running text."""

import numpy as np
import pytest

from evolvent.estimator.shared import Shared
from evolvent.network.build import Size
from evolvent.network.train import Hyperparameters
from evolvent.space.recurrent import Recurrent
from evolvent.testing import small_task
from evolvent.types import Budget, Candidate

TASK = small_task("language")
SPACE = Recurrent(nodes=3)
HYPER = Hyperparameters(optimizer="adamw", lr=1e-2, batch=4, label_smoothing=0.0)


def shared(**settings):
    hyper = settings.pop("hyper", HYPER)
    return Shared(SPACE, TASK, size=Size(width=8), hyper=hyper, **settings)


def step(one, number, *, train=1, judge: int | None = 1):
    rows = {g.name: np.full((1, len(g.columns)), 1 / len(g.columns)) for g in SPACE.groups()}
    budget = Budget(train_batches=train, validation_batches=judge)
    return one.evaluate(Candidate(number, kind="step", mixture=rows, budget=budget), {}).result


def losses(one, count, **budget):
    found = [step(one, number, **budget).metrics for number in range(count)]
    return [(each.get("train_loss"), each.get("loss")) for each in found]


def test_mixtures_are_scored_behind_what_the_weights_learn_from():
    one = shared(architecture=0.25)
    whole = np.concatenate([part.x.numpy() for part in (one.train, one.judges)])
    assert (whole == TASK.train.x).all() and len(one.judges) == round(0.25 * len(TASK.train))


def test_training_and_scoring_carry_states_of_their_own():
    alone = losses(shared(), 9, judge=0)
    assert [train for train, _ in losses(shared(), 9, judge=3)] == [train for train, _ in alone]
    one = shared()
    seen = [step(one, n, train=0).metrics["loss"] for n in range(3)]
    other = shared()
    assert step(other, 0, train=0, judge=3).metrics["loss"] == pytest.approx(
        np.mean(seen), abs=1e-5
    )
    fresh = shared()
    fresh.carry.along = lambda: type(one.carry)(fresh.supernet).along()  # forgets what was before
    assert [step(fresh, n, train=0).metrics["loss"] for n in range(3)][1:] != seen[1:]


def test_a_second_order_gradient_leaves_the_training_as_it_is():
    hyper = Hyperparameters(lr=0.1, batch=4, label_smoothing=0.0)
    count = 9  # more than a pass
    plain = losses(shared(hyper=hyper, gradient=True), count)
    unrolled = losses(shared(hyper=hyper, gradient=True, unrolled=True), count)
    assert [train for train, _ in unrolled] == [train for train, _ in plain]
    assert [judged for _, judged in unrolled] != [judged for _, judged in plain]


@pytest.mark.parametrize("gradient", [False, True])
def test_a_restored_checkpoint_goes_on_to_the_last_bit(gradient):
    one = shared(gradient=gradient)
    losses(one, 5)
    state = one.checkpoint()
    arch = SPACE.decode([0, 1, 1, 0, 2, 3])
    trial = one.evaluate(Candidate(9, arch), {}).result.score
    wanted = losses(one, 7)
    other = shared(gradient=gradient)
    losses(other, 2)
    other.restore(state)
    assert other.evaluate(Candidate(9, arch), {}).result.score == trial
    assert losses(other, 7) == wanted


def test_a_whole_pass_begins_without_a_state():
    one = shared()
    first = step(one, 0, train=0, judge=None).metrics["loss"]
    step(one, 1, train=0)
    assert step(one, 2, train=0, judge=None).metrics["loss"] == first
