"""The penalty on mixtures that cost too much: expected costs, and their gradient."""

import numpy as np
import pytest

from evolvent.estimator.penalty import Penalty
from evolvent.estimator.shared import Shared
from evolvent.network.build import Size, plan
from evolvent.network.cost import cost, mixed_cost
from evolvent.network.train import Hyperparameters
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.types import Budget, Candidate, stream

SIZE = Size(width=4, stages=2, reduction="conv")
SPACES = [Cell201(), Cell(nodes=2), Cell(operations="enas", nodes=2, output="loose", zero=False)]


def uniform(space):
    return {
        g.name: np.full((len(g.rows), len(g.columns)), 1 / len(g.columns)) for g in space.groups()
    }


@pytest.mark.parametrize("space", SPACES, ids=["cell201", "cell", "loose"])
def test_the_expected_cost_of_an_architecture_is_nearly_its_own(space, toy):
    """Nearly: the counted one has all convolutions that bring states to shape."""
    found = mixed_cost(space, toy, SIZE)
    ratios = []
    for index in range(6):
        arch = space.sample(stream("arch", index))
        own, rows = cost(plan(space, arch, toy, SIZE), toy), space.one_hot(arch)
        for what, base, each in (
            (own.params, found.base.params, found.params),
            (own.flops, found.base.flops, found.flops),
        ):
            expected = base + sum(float((each[name] * rows[name]).sum()) for name in rows)
            ratios.append(expected / what)
    assert min(ratios) >= 1 and sorted(ratios)[len(ratios) // 2] < 1.5


def test_of_cell201_it_is_exact_where_all_states_are_read(toy):
    space, arch = Cell201(), 6 * ("nor_conv_3x3",)
    found, own = mixed_cost(space, toy, SIZE), cost(plan(space, arch, toy, SIZE), toy)
    rows = space.one_hot(arch)["cell"]
    assert found.base.flops + (found.flops["cell"] * rows).sum() == own.flops
    assert found.base.params + (found.params["cell"] * rows).sum() == own.params


def test_the_gradient_is_that_of_the_penalty(toy):
    space = Cell201()
    penalty = Penalty(space, toy, SIZE, max_params=300, max_flops=20_000, weight=0.5)
    rows = uniform(space)
    value, gradient = penalty(rows)
    assert value > 0
    for place in ((0, 3), (5, 1), (2, 0)):
        moved = {"cell": rows["cell"].copy()}
        moved["cell"][place] += 1e-6
        moved["cell"][place[0], 2] -= 1e-6  # rows go on adding up to 1
        slope = (penalty(moved)[0] - value) / 1e-6
        expected = gradient["cell"][place] - gradient["cell"][place[0], 2]
        assert slope == pytest.approx(expected, rel=1e-4)


def test_below_the_limits_there_is_none(toy):
    penalty = Penalty(Cell201(), toy, SIZE, max_params=10**6, max_flops=None, weight=1.0)
    value, gradient = penalty(uniform(Cell201()))
    assert value == 0 and not gradient["cell"].any()


def test_a_softmax_counts_as_many_operations_as_an_architecture_has(toy):
    space = Cell(nodes=2)
    penalty = Penalty(space, toy, SIZE, max_params=1, max_flops=None, weight=1.0)
    base = mixed_cost(space, toy, SIZE).base.params
    found = mixed_cost(space, toy, SIZE).params
    mean = sum(4 * found[name].sum() / rows.size for name, rows in uniform(space).items())
    assert penalty(uniform(space))[0] == pytest.approx(base + mean - 1)


def test_a_step_is_scored_and_differentiated_with_it(toy):
    space = Cell201()
    hyper = Hyperparameters(batch=16)
    plain, limited = (
        Shared(space, toy, size=SIZE, hyper=hyper, gradient=True, max_params=limit)
        for limit in (None, 200)
    )
    step = Candidate(
        0,
        kind="step",
        mixture=uniform(space),
        budget=Budget(train_batches=1, validation_batches=1),
    )
    first, second = (each.evaluate(step, {}).result for each in (plain, limited))
    value, gradient = Penalty(space, toy, SIZE, max_params=200, max_flops=None, weight=1.0)(
        uniform(space)
    )
    assert first.score is not None and second.score == pytest.approx(first.score - value)
    assert second.metrics["accuracy"] == first.metrics["accuracy"]
    assert first.gradient is not None and second.gradient is not None
    np.testing.assert_allclose(
        second.gradient["cell"], first.gradient["cell"] + gradient["cell"], rtol=1e-4, atol=1e-6
    )
