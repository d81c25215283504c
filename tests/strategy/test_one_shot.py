"""Strategies over the gradient beyond DARTS and GDAS: their samples, slopes and stages."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.strategy.common.test_relaxation import favouring, noise, run

from evolvent.errors import SettingError
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.strategy.common.relaxation import softmax
from evolvent.strategy.darts import Darts
from evolvent.strategy.darts_pt import DartsPt
from evolvent.strategy.drnas import DrNas
from evolvent.strategy.gdas import Gdas
from evolvent.strategy.p_darts import PDarts
from evolvent.strategy.pc_darts import PcDarts
from evolvent.strategy.snas import GRADIENTS, UNHEARD, Snas
from evolvent.types import Result, failed

EVERY = pytest.mark.parametrize("make", [DrNas, PcDarts, PDarts, Snas])


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


# ---- P-DARTS -------------------------------------------------------------------------------------


def test_every_stage_begins_with_fresh_logits_of_what_it_keeps():
    strategy = PDarts(Cell201(), lr=0.1, batches=10, horizon=3, warmup=0.5, seed=2)
    seen = run(strategy, favouring("nor_conv_3x3"))
    steps = [candidate for candidate, _ in seen if candidate.kind == "step"]
    first = [steps[place].mixture["cell"] for place in (0, 10, 20)]
    assert [int((rows > 0).sum(1).max()) for rows in first] == [5, 4, 2]
    assert first[2][:, [0, 2, 3, 4]].max() < 0.51, "two operations, all but equal"
    ends = [steps[place].mixture["cell"][:, 3].min() for place in (9, 29)]
    assert all(end > 0.3 for end in ends)
    judged = [step.budget.validation_batches for step in steps]
    assert judged == 3 * (5 * [0] + 5 * [1])


def test_dropped_skips_are_made_up_for_and_have_no_slope():
    strategy = PDarts(Cell201(), keep=(1.0,), dropout=(0.5,), batches=500, horizon=1, spread=0.5)
    rows = softmax(strategy.logits["cell"])
    sent = [strategy.sent(id)["cell"] for id in range(400)]
    others = [0, 2, 3, 4]
    assert all(np.array_equal(own[:, others], rows[:, others]) for own in sent)
    share = np.mean([own[:, 1] == 0 for own in sent])
    assert 0.2 < share < 0.4, "half of them at the start, none at the end, and this is most of it"
    np.testing.assert_allclose(np.mean(sent, 0)[:, 1], rows[:, 1], rtol=0.15)
    id = next(id for id, own in enumerate(sent) if own[0, 1] == 0)
    weight = np.zeros((6, 5))
    weight[0, 1] = 1.0
    assert not strategy.slope("cell", weight, id, strategy.logits["cell"])[0].any()


@pytest.mark.parametrize("space", [Cell201(), Cell(nodes=4, distinct=True)], ids=["201", "cell"])
def test_the_weakest_skips_are_taken_out_of_what_is_derived(space):
    strategy = PDarts(space, batches=1, horizon=1)
    for name, group in strategy.groups.items():
        skip = group.columns.index("skip_connect")
        strategy.logits[name][:, skip] = 2 + 0.1 * np.arange(len(group.rows))
    whole = space.one_hot(space.derive(strategy.probabilities()))
    derived = space.one_hot(strategy.derived())
    name, group = next(iter(strategy.groups.items()))
    skip = group.columns.index("skip_connect")
    assert whole[name][:, skip].sum() > 2 == derived[name][:, skip].sum()
    strongest = np.flatnonzero(whole[name][:, skip])[-2:]
    assert np.array_equal(np.flatnonzero(derived[name][:, skip]), strongest)
    assert np.isfinite(strategy.probabilities()[name]).all()


@pytest.mark.parametrize("given", [{"dropout": (1.0,)}, {"dropout": ()}, {"skips": -1}])
def test_settings_of_p_darts_outside_their_rules_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        PDarts(Cell201(), **given)


# ---- SNAS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_every_gradient_of_a_sample_finds_the_best_operations(gradient):
    strategy = Snas(Cell201(), gradient=gradient, lr=0.03, batches=20, horizon=10, seed=1)
    seen = run(strategy, favouring("nor_conv_3x3"))
    assert trials_of(seen)[-1].arch == 6 * ("nor_conv_3x3",)
    steps = [candidate for candidate, _ in seen if candidate.kind == "step"]
    for step in steps[:20]:
        rows = step.mixture["cell"]
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-10)
        if gradient != "concrete" and step.budget.train_batches:
            assert set(rows.ravel()) == {0.0, 1.0}
        elif gradient != "concrete":
            assert set(rows.ravel()) == {UNHEARD, 1.0}


def test_reinmax_is_the_second_order_of_its_paper():
    """Exact for a loss that is quadratic in the sample, in the mean over samples."""
    strategy = Snas(Cell201(), gradient="reinmax")
    logits = np.array([[0.6, -0.4, 0.1]])
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    matrix = matrix + matrix.T

    def slope_of(own, id):
        noisy = own.relaxed("cell", id, logits)
        sample = (noisy == noisy.max(-1, keepdims=True)).astype(float)
        return own.slope("cell", sample @ matrix, id, logits)

    leaf = torch.tensor(logits, requires_grad=True)
    exact = (leaf.softmax(-1)[0] * torch.tensor(np.diag(matrix)) / 2).sum()
    (wanted,) = torch.autograd.grad(exact, leaf)
    found = np.array([slope_of(strategy, id) for id in range(4000)])
    error = found.std(0) / np.sqrt(len(found))
    assert (np.abs(found.mean(0) - wanted.numpy()) < 4 * error).all()


def test_an_unknown_gradient_is_refused():
    with pytest.raises(SettingError, match="gradient='rein'"):
        Snas(Cell201(), gradient="rein")
    with pytest.raises(SettingError, match="perturb"):
        Snas(Cell201(), gradient="reinmax", perturb="random")


# ---- DARTS-PT ------------------------------------------------------------------------------------


def selecting(strategy, worth):
    """Search without a gradient; return the candidates.

    Args:
        strategy: to be run to its end.
        worth: mixture -> score, where mixtures are compared.
    """
    seen = []
    while (candidate := strategy.ask()) is not None:
        score = worth(candidate.mixture) if candidate.budget.paired else 0.5
        learns = candidate.kind == "step" and not candidate.budget.validation_batches
        strategy.tell(Result(candidate, None if learns else score))
        seen.append(candidate)
    return seen


@pytest.mark.parametrize("by", ["loss", "score"])
def test_an_operation_stays_that_is_missed_most_however_small_its_weight(by):
    strategy = DartsPt(Cell201(), batches=4, horizon=6, by=by, judged=3, select=0.5, seed=1)
    strategy.logits["cell"][:, 3] = -2.0
    seen = selecting(strategy, lambda rows: float((rows["cell"][:, 3] > 0).sum()))
    compared = [candidate for candidate in seen if candidate.budget.paired]
    assert len(compared) == 6 * 5
    assert all(candidate.budget.validation_batches == 3 for candidate in compared)
    trials = [candidate for candidate in seen if candidate.kind == "trial"]
    assert len(trials) == 6 and trials[-1].arch == 6 * ("nor_conv_3x3",)
    assert trials[2].arch != trials[-1].arch and "begun" not in trials[-1].note
    steps = [c for c in seen if c.kind == "step" and not c.budget.paired]
    assert set(steps[-1].mixture["cell"].ravel().round(12)) == {0.0, 1.0}
    assert all(c.budget.validation_batches == 0 for c in steps[-12:])
    assert len({c.mixture["cell"].tobytes() for c in steps[-12:]}) == 6


def test_edges_stay_that_are_missed_most_and_none_is_never_kept():
    space = Cell(nodes=3, distinct=True)
    group = space.groups()[0]
    dear = [group.rows.index(row) for row in ("1>3", "2>3", "0>4", "3>4")]
    weight = np.where(np.isin(np.arange(len(group.rows)), dear), 2.0, 1.0)
    sep = group.columns.index("sep_conv_3x3")

    def worth(rows):
        kept = (rows["normal"].sum(1) > 0) * weight + (rows["normal"][:, sep] > 0)
        return float(kept.sum() + (rows["reduction"] > 0).sum())

    seen = selecting(DartsPt(space, batches=3, horizon=2, select=0.5), worth)
    normal = seen[-1].arch[0]
    assert [(node[0], node[2]) for node in normal] == [(0, 1), (1, 2), (0, 3)]
    assert all(name == "sep_conv_3x3" for node in normal for name in (node[1], node[3]))
    assert sum(c.budget.paired for c in seen) == 2 * (9 * 7 + 3 + 4 + 3)


def test_without_any_answer_the_largest_weight_decides():
    strategy = DartsPt(Cell201(), batches=2, horizon=2, spread=0.0)
    strategy.logits["cell"][:, 2] = 1.0
    last = None
    while (candidate := strategy.ask()) is not None:
        strategy.tell(failed(candidate, "toy"))
        last = candidate
    assert last is not None and last.arch == 6 * ("nor_conv_1x1",)


@pytest.mark.parametrize("given", [{"select": 0.0}, {"judged": 0}, {"by": "accuracy"}])
def test_settings_of_a_selection_outside_their_rules_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        DartsPt(Cell201(), **given)
