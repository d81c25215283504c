"""Strategies over the gradient beyond DARTS and GDAS: their samples, slopes and stages."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.strategy.common.test_relaxation import favouring, noise, run

from evolvent.errors import SettingError
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.strategy.darts import Darts
from evolvent.strategy.drnas import DrNas
from evolvent.strategy.gdas import Gdas
from evolvent.strategy.pc_darts import PcDarts

EVERY = pytest.mark.parametrize("make", [DrNas, PcDarts])


def trials_of(seen):
    return [candidate for candidate, _ in seen if candidate.kind == "trial"]


@EVERY
def test_it_finds_the_operations_that_lower_the_loss(make):
    strategy = make(Cell201(), lr=0.03, batches=20, horizon=10, seed=3)
    trials = trials_of(run(strategy, favouring("nor_conv_3x3")))
    assert trials[-1].arch == 6 * ("nor_conv_3x3",)
    assert len(trials) == 10
    notes = [trial.note for trial in trials]
    assert notes[0]["entropy"] > 0.8 > notes[-1]["entropy"]
    mean, deviation = notes[-1]["walk"]
    assert notes[-1]["entropy"] < mean - 5 * deviation


@EVERY
def test_noise_leads_no_further_than_the_walks_beside_the_search(make):
    for seed in range(2):
        strategy = make(Cell(nodes=2, distinct=True), lr=0.02, batches=40, horizon=5, seed=seed)
        seen = run(strategy, noise(torch.Generator().manual_seed(seed)))
        note = trials_of(seen)[-1].note
        mean, deviation = note["walk"]
        assert abs(note["entropy"] - mean) < 4 * deviation


# ---- stages --------------------------------------------------------------------------------------


def test_a_stage_keeps_the_most_probable_operations_and_runs_no_others():
    strategy = Darts(Cell201(), lr=0.05, batches=10, horizon=6, keep=(1.0, 0.8, 0.4), seed=1)
    seen = run(strategy, favouring("nor_conv_1x1"))
    steps = [candidate.mixture["cell"] for candidate, _ in seen if candidate.kind == "step"]
    left = [(rows > 0).sum(1) for rows in steps]
    assert [set(counts) for counts in left] == [{5}] * 20 + [{4}] * 20 + [{2}] * 20
    assert all(np.allclose(rows.sum(1), 1) for rows in steps)
    assert all(rows[:, 2].min() > 0 for rows in steps), "the favourite is kept"
    assert (np.isfinite(strategy.walks.logits["cell"]).sum(-1) == 2).all()
    assert np.isfinite(trials_of(seen)[-1].note["walk"]).all()
    assert trials_of(seen)[-1].arch == 6 * ("nor_conv_1x1",)


def test_a_stage_is_warmed_up_as_a_share_of_it():
    strategy = Darts(Cell201(), batches=10, horizon=4, keep=(1.0, 0.6), warmup=0.3)
    judged = [
        candidate.budget.validation_batches
        for candidate, _ in run(strategy, favouring("none"))
        if candidate.kind == "step"
    ]
    assert judged == 2 * (6 * [0] + 14 * [1])


@pytest.mark.parametrize("keep", [(), (1.0, 0.0), (0.5, 0.6), (1.5,)])
def test_shares_of_stages_must_fall(keep):
    with pytest.raises(SettingError, match="keep"):
        Darts(Cell201(), keep=keep)


# ---- perturbed mixtures --------------------------------------------------------------------------


def test_weights_learn_near_the_mixture_that_is_judged():
    settings: dict[str, Any] = {"perturb": "adversarial", "radius": (0.1, 0.2), "ascents": 3}
    strategy = Darts(Cell201(), lr=0.05, batches=10, horizon=4, **settings)
    seen = run(strategy, favouring("nor_conv_3x3"))
    steps = [candidate for candidate, _ in seen if candidate.kind == "step"]
    budgets = [step.budget for step in steps]
    assert len(steps) == 2 * 40
    assert [b.train_batches for b in budgets] == 40 * [1, 0]
    assert [b.validation_batches for b in budgets] == 40 * [0, 1]
    assert {b.ascents for b in budgets[::2]} == {3} and {b.radius for b in budgets[1::2]} == {0.0}
    radii = [b.radius for b in budgets[::2]]
    assert radii == sorted(radii) and radii[0] == 0.1 and 0.19 < radii[-1] <= 0.2
    assert np.array_equal(steps[0].mixture["cell"], steps[1].mixture["cell"])
    assert trials_of(seen)[-1].arch == 6 * ("nor_conv_3x3",)
    random = Darts(Cell201(), batches=2, horizon=1, perturb="random").ask()
    assert random is not None and random.budget.ascents == 0 < random.budget.radius


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (Gdas, {"perturb": "random"}),
        (Darts, {"perturb": "randomly"}),
        (Darts, {"radius": (0.0, 0.3)}),
        (Darts, {"ascents": 0}),
    ],
)
def test_perturbations_that_mean_nothing_are_refused(make, given):
    with pytest.raises(SettingError, match=next(iter(given))):
        make(Cell201(), **given)


# ---- DrNAS ---------------------------------------------------------------------------------------


def exact(logits, gradient):
    """The gradient of the mean of a linear loss by the logits of a Dirichlet distribution."""
    leaf: Any = torch.tensor(logits, requires_grad=True)
    beta = torch.where(torch.isfinite(leaf), torch.nn.functional.elu(leaf) + 1, 0.0)
    (beta / beta.sum(-1, keepdim=True) * torch.tensor(gradient)).sum().backward()
    return leaf.grad.numpy()


def test_the_slope_of_a_dirichlet_sample_is_right_in_the_mean():
    strategy = DrNas(Cell201(), batches=5, horizon=4)
    logits = np.array([[0.5, -0.7, 0.0, 1.0, -np.inf]])
    gradient = np.array([[1.0, 2.0, 3.0, -1.0, 5.0]])
    slopes = np.array([strategy.slope("cell", gradient, id, logits) for id in range(1500)])
    assert np.isfinite(slopes).all()
    error = slopes.std(0) / np.sqrt(len(slopes))
    wanted = exact(logits, gradient)
    assert (np.abs(slopes.mean(0) - wanted) <= 4 * error).all()
    assert np.abs(wanted[0, :4]).min() > 10 * error.max() > 0
    drawn = np.array([strategy.relaxed("cell", id, logits) for id in range(1500)])
    assert np.allclose(drawn.sum(-1), 1) and (drawn[..., 4] == 0).all()
    np.testing.assert_allclose(drawn.mean(0), strategy.probability(logits), atol=0.03)


def test_weights_and_architecture_get_samples_of_their_own_and_a_tell_sees_what_was_sent():
    strategy = DrNas(Cell201(), batches=3, horizon=2, warmup=0.0)
    first: Any = strategy.ask()
    assert np.array_equal(first.mixture["cell"], strategy.sent(first.id)["cell"])
    assert (first.budget.train_batches, first.budget.validation_batches) == (1, 0)
    assert not np.allclose(first.mixture["cell"], strategy.sent(first.id + 1)["cell"])
    assert (first.mixture["cell"] > 0).all()


# ---- PC-DARTS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Cell201(), Cell(nodes=3, distinct=True)], ids=["201", "cell"])
def test_edges_are_normalised_per_node_and_learnt_through_the_chain_rule(space):
    strategy = PcDarts(space, batches=5, horizon=4, spread=1.0, seed=1)
    sent = strategy.sent(0)
    for group in space.groups():
        alphas, betas = (
            torch.tensor(strategy.logits[name], requires_grad=True)
            for name in (group.name, f"edges of {group.name}")
        )
        weight = torch.randn(alphas.shape, generator=torch.Generator().manual_seed(0)).double()
        ends = [row.partition(">")[2] for row in group.rows]
        rows: list[Any] = [None] * len(ends)
        for end in set(ends):
            places = [place for place, other in enumerate(ends) if other == end]
            shares = betas[0, places].softmax(0)
            assert sent[group.name][places].sum() == pytest.approx(1)
            for share, place in zip(shares, places, strict=True):
                rows[place] = share * alphas[place].softmax(0)
        mixture = torch.stack(rows)
        np.testing.assert_allclose(mixture.detach().numpy(), sent[group.name], atol=1e-12)
        exact = torch.autograd.grad((mixture * weight).sum(), [alphas, betas])
        found = strategy.slopes({group.name: weight.numpy()}, 0, strategy.logits)
        for slope, wanted in zip(found.values(), exact, strict=True):
            np.testing.assert_allclose(slope, wanted.numpy(), atol=1e-12)


def test_the_derived_edges_are_those_of_large_weights():
    space = Cell(nodes=2, distinct=True)
    strategy = PcDarts(space, batches=1, horizon=1)
    group = space.groups()[0]
    edges = [0.0] * len(group.rows)
    for row in ("1>3", "2>3"):
        edges[group.rows.index(row)] = 1.0
    strategy.logits["edges of normal"][0] = edges
    node = strategy.derived()[0][1]
    assert (node[0], node[2]) == (1, 2)
