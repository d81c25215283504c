"""Strategies over the gradient: what they send, how they learn, what they derive, when they stop."""

import dataclasses

import numpy as np
import pytest
import torch

from evolvent.errors import SettingError
from evolvent.space.cell import Cell
from evolvent.space.cell201 import OPERATIONS, Cell201
from evolvent.space.recurrent import Recurrent
from evolvent.strategy.common.relaxation import entropy, softmax
from evolvent.strategy.darts import Darts
from evolvent.strategy.gdas import Gdas
from evolvent.types import Result, stream

EVERY = pytest.mark.parametrize("make", [Darts, Gdas])
SPACES = pytest.mark.parametrize(
    "space", [Cell201(), Cell(nodes=2, distinct=True)], ids=["cell201", "cell"]
)


def run(strategy, loss_of):
    """Search on a loss of the mixture; return every candidate with its result.

    Args:
        strategy: to be run to its end.
        loss_of: tensors of a mixture -> loss.
    """
    seen = []
    while (candidate := strategy.ask()) is not None:
        assert strategy.ask() is None, "nothing runs beside a step"
        if candidate.kind == "trial":
            result = Result(candidate, 0.5)
        elif candidate.budget.validation_batches:
            tensors = {n: torch.tensor(r, requires_grad=True) for n, r in candidate.mixture.items()}
            loss = loss_of(tensors)
            slopes = torch.autograd.grad(loss, list(tensors.values()))
            gradient = {n: s.numpy() for n, s in zip(tensors, slopes, strict=True)}
            result = Result(candidate, -float(loss.detach()), gradient=gradient)
        else:
            result = Result(candidate)
        strategy.tell(result)
        seen.append((candidate, result))
    return seen


def favouring(operation):
    """A loss that falls with the weight of one operation, a little more on later edges."""
    column = OPERATIONS.index(operation)

    def loss(tensors):
        rows = tensors["cell"]
        return -(rows[:, column] * torch.linspace(1, 2, len(rows), dtype=rows.dtype)).sum()

    return loss


@EVERY
def test_it_finds_the_operations_that_lower_the_loss(make):
    strategy = make(Cell201(), lr=0.03, batches=20, horizon=10, seed=3)
    seen = run(strategy, favouring("nor_conv_3x3"))
    trials = [candidate for candidate, _ in seen if candidate.kind == "trial"]
    assert trials[-1].arch == 6 * ("nor_conv_3x3",)
    assert len(trials) == 10
    assert [trial.budget.epochs for trial in trials] == list(range(1, 11))
    notes = [trial.note for trial in trials]
    assert notes[0]["entropy"] > 0.8 > notes[-1]["entropy"]
    assert all(note["begun"] == notes[0]["begun"] > 0.9999 for note in notes)  # all but uniform
    assert all(np.allclose(np.sum(note["mixture"]["cell"], 1), 1, atol=1e-3) for note in notes)


@EVERY
@SPACES
def test_the_slope_is_that_of_autograd(make, space):
    """From logits through the softmax, or through the straight-through sample, to a loss."""
    strategy = make(space, batches=5, horizon=4, spread=1.0, seed=1)
    for id in (0, 7):
        sent = strategy.sent(id)
        for name, logits in strategy.logits.items():
            weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(id)).double()
            leaf = torch.tensor(logits, requires_grad=True)
            if make is Darts:
                rows = leaf.softmax(1)
            else:
                rng = np.random.default_rng(stream(1, "gumbel", name, id).getrandbits(63))
                noise = torch.tensor(-np.log(rng.exponential(size=logits.shape)))
                soft = ((leaf.log_softmax(1) + noise) / strategy.temperature(id)).softmax(1)
                hard = torch.nn.functional.one_hot(soft.argmax(1), soft.shape[1]).double()
                rows = hard - soft.detach() + soft
            np.testing.assert_allclose(rows.detach().numpy(), sent[name], atol=1e-12)
            (rows * weight).sum().backward()
            assert leaf.grad is not None
            found = strategy.slope(name, weight.numpy(), id, logits)
            np.testing.assert_allclose(found, leaf.grad.numpy(), atol=1e-12)


def noise(generator):
    """A loss whose gradient has another direction at every step."""

    def loss(tensors):
        return sum(
            (rows * torch.randn(rows.shape, generator=generator, dtype=rows.dtype)).sum()
            for rows in tensors.values()
        )

    return loss


@pytest.mark.parametrize("seed", range(3))
@EVERY
def test_noise_leads_no_further_than_the_walks_beside_the_search(make, seed):
    """Independent gradients move the entropy as well, which is not a search."""
    strategy = make(Cell(nodes=2, distinct=True), lr=0.02, batches=40, horizon=5, seed=seed)
    seen = run(strategy, noise(torch.Generator().manual_seed(seed)))
    note = [candidate.note for candidate, _ in seen if candidate.kind == "trial"][-1]
    mean, deviation = note["walk"]
    assert note["begun"] - note["entropy"] > 0.015
    assert abs(note["entropy"] - mean) < 4 * deviation


@EVERY
def test_a_direction_leads_further_than_noise(make):
    strategy = make(Cell201(), lr=0.02, batches=40, horizon=5, seed=1)
    seen = run(strategy, favouring("nor_conv_3x3"))
    note = [candidate.note for candidate, _ in seen if candidate.kind == "trial"][-1]
    mean, deviation = note["walk"]
    assert note["entropy"] < mean - 10 * deviation


@EVERY
def test_its_adam_is_torchs(make):
    strategy = make(Cell201(), lr=0.03, batches=6, horizon=1, spread=0.5, seed=2)
    leaf = torch.tensor(strategy.logits["cell"].copy(), requires_grad=True)
    adam = torch.optim.Adam([leaf], lr=0.03, betas=(0.5, 0.999), eps=1e-8, weight_decay=1e-3)
    for candidate, result in run(strategy, favouring("avg_pool_3x3")):
        if result.gradient is None:
            continue
        again = make(Cell201(), lr=0.03, batches=6, horizon=1, seed=2)
        again.logits["cell"] = leaf.detach().numpy().copy()
        slope = again.slope("cell", result.gradient["cell"], candidate.id, again.logits["cell"])
        leaf.grad = torch.tensor(slope)
        adam.step()
    np.testing.assert_allclose(strategy.logits["cell"], leaf.detach().numpy(), atol=1e-12)


def test_gdas_draws_anew_for_every_step_and_cools_down():
    strategy = Gdas(Cell201(), batches=30, horizon=2, seed=0)
    seen = run(strategy, lambda tensors: 0 * tensors["cell"].sum())
    steps = [candidate for candidate, _ in seen if candidate.kind == "step"]
    assert [step.budget.train_batches for step in steps[:4]] == [1, 0, 1, 0]
    assert [step.budget.validation_batches for step in steps[:4]] == [0, 1, 0, 1]
    assert all(((step.mixture["cell"] == 0) | (step.mixture["cell"] == 1)).all() for step in steps)
    assert all((step.mixture["cell"].sum(1) == 1).all() for step in steps)
    assert len({step.mixture["cell"].tobytes() for step in steps}) > len(steps) / 2
    temperatures = [strategy.temperature(candidate.id) for candidate, _ in seen]
    assert temperatures[0] == 10 and temperatures[-1] == pytest.approx(0.1)
    assert temperatures == sorted(temperatures, reverse=True)


def test_gdas_draws_operations_as_often_as_their_probability_says():
    strategy = Gdas(Cell201(), batches=1, horizon=1, seed=5)
    strategy.logits["cell"] = np.log(np.tile([0.5, 0.2, 0.15, 0.1, 0.05], (6, 1)))
    drawn = np.array([strategy.sent(id)["cell"] for id in range(1500)]).mean((0, 1))
    assert np.abs(drawn - [0.5, 0.2, 0.15, 0.1, 0.05]).max() < 0.02


@EVERY
def test_a_warm_up_leaves_the_architecture_alone(make):
    strategy = make(Cell201(), batches=4, horizon=4, warmup=0.5, seed=0)
    first = strategy.logits["cell"].copy()
    while (candidate := strategy.ask()) is not None:
        warm = strategy.asked <= 2 * 5  # two epochs of four batches and a trial
        if candidate.kind == "step" and warm:
            assert candidate.budget.train_batches and not candidate.budget.validation_batches
        if warm:
            assert np.array_equal(strategy.logits["cell"], first)
        gradient = {"cell": np.ones((6, 5)) * np.arange(5)}
        judged = candidate.budget.validation_batches
        strategy.tell(
            Result(
                candidate, 0.5, gradient=gradient if candidate.kind == "step" and judged else None
            )
        )
    assert not np.array_equal(strategy.logits["cell"], first)
    assert strategy.train_batches == 4 * 4


def test_it_stops_before_it_derives_too_many_skips():
    free = run(Darts(Cell201(), batches=8, horizon=12, spread=1.0), favouring("skip_connect"))
    strategy = Darts(Cell201(), batches=8, horizon=12, spread=1.0, most_skips=3)
    seen = run(strategy, favouring("skip_connect"))
    assert seen[-1][0].kind == "step" and len(seen) < len(free)
    trials = [candidate for candidate, _ in seen if candidate.kind == "trial"]
    assert all(trial.arch.count("skip_connect") <= 3 for trial in trials)
    shares = [trial.note["skips"] for trial, _ in free if trial.kind == "trial"]
    assert shares[-1] == 1.0 and shares[0] < 1.0


@pytest.mark.parametrize(
    ("operation", "skips", "free"),
    [("skip_connect", 1.0, 1.0), ("avg_pool_3x3", 0.0, 1.0), ("nor_conv_1x1", 0.0, 0.0)],
)
def test_the_note_counts_what_has_no_weights(operation, skips, free):
    seen = run(Darts(Cell201(), batches=20, horizon=10), favouring(operation))
    note = seen[-1][0].note
    assert (note["skips"], note["free"]) == (skips, free)


def test_the_learning_rate_lets_a_short_search_travel_as_far_as_the_papers():
    assert Darts(Cell201(), batches=390, horizon=50).lr == Darts.paper_lr
    short = Darts(Cell201(), batches=39, horizon=50)
    assert short.lr == pytest.approx(10 * Darts.paper_lr) and "learning rate" in short.note
    sampled = Gdas(Cell201(), batches=390, horizon=50)  # its paper has 250 epochs
    assert sampled.lr == pytest.approx(5 * Darts.paper_lr)
    assert Darts(Cell201(), batches=2, horizon=2).lr == 0.05
    assert Darts(Cell201(), lr=0.5, batches=2, horizon=2).note == ""


def test_softmax_and_entropy():
    rows = softmax(np.array([[1000.0, 1000.0, 1000.0], [0.0, 800.0, 0.0]]))
    assert np.abs(rows - np.array([[1 / 3, 1 / 3, 1 / 3], [0, 1, 0]])).max() < 1e-12
    assert entropy(rows[:1]) == pytest.approx(1.0)
    assert entropy(rows[1:]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "given",
    [
        {"lr": 0.0},
        {"betas": (0.5, 1.0)},
        {"weight_decay": -1.0},
        {"spread": -1.0},
        {"warmup": 1.0},
        {"most_skips": -1},
        {"batches": 0},
    ],
)
@EVERY
def test_settings_outside_their_rules_are_refused(make, given):
    with pytest.raises(SettingError, match=next(iter(given))):
        make(Cell201(), **given)


def test_temperatures_must_fall():
    with pytest.raises(SettingError, match="tau"):
        Gdas(Cell201(), tau=(0.1, 10.0))


@EVERY
def test_the_order_in_which_a_gradient_names_its_groups_makes_no_difference(make):
    """A log gives them in another order than a worker, and what it replays must be the same search."""
    first, second = (make(Recurrent(nodes=3), batches=4, horizon=3, seed=1) for _ in range(2))
    seen = run(first, noise(torch.Generator().manual_seed(0)))
    for candidate, result in seen:
        asked = second.ask()
        assert (asked.id, asked.arch, asked.note) == (candidate.id, candidate.arch, candidate.note)
        turned = result.gradient and dict(reversed(result.gradient.items()))
        second.tell(dataclasses.replace(result, gradient=turned))
