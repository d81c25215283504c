"""Candidates that share weights: scores, gradients as data, both orders, checkpoints."""

import dataclasses
import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.network.shared.naive_supernet import NaiveSupernet
from torch.func import functional_call

from evolvent.errors import CandidateFailed, SettingError
from evolvent.estimator.shared import Shared
from evolvent.network.build import Size
from evolvent.network.shared.mixture import MixtureWeights
from evolvent.network.train import Hyperparameters
from evolvent.space.cell import Cell
from evolvent.space.cell201 import Cell201
from evolvent.types import Budget, Candidate

CELL = Cell(nodes=2, distinct=True)
ENAS = Cell(operations="enas", nodes=2, output="loose", zero=False)
SIZE = Size(cells=1, width=4, stages=2)
HYPER = Hyperparameters(batch=8, lr=0.05, schedule="constant", warmup=0)
CASES = [
    pytest.param(CELL, False, id="cell"),
    pytest.param(CELL, True, id="cell-pool-norm"),
    pytest.param(ENAS, False, id="cell-loose"),
    pytest.param(Cell201(), False, id="cell201"),
]


def shared(space, task, *, double=True, hyper=HYPER, **settings):
    made = Shared(space, task, size=settings.pop("size", SIZE), hyper=hyper, **settings)
    if double:
        made.supernet.double()
    return made


def alphas(space, seed=0):
    """Logits of every group, to be learnt, as the strategies hold them."""
    rng = np.random.default_rng(seed)
    shapes = {g.name: (len(g.rows), len(g.columns)) for g in space.groups()}
    return {n: torch.tensor(rng.normal(size=s), requires_grad=True) for n, s in shapes.items()}


def softmax(alpha, generator):
    return alpha.softmax(1)


def gumbel(alpha, generator):
    """One-hot forward, soft sample backward (Dong & Yang 2019)."""
    noise = -torch.empty(alpha.shape, dtype=alpha.dtype).exponential_(generator=generator).log()
    sample = ((alpha.log_softmax(1) + noise) / 2.0).softmax(1)
    hard = F.one_hot(sample.argmax(1), alpha.shape[1]).to(alpha.dtype)
    return (hard - sample).detach() + sample


def rows_of(mixtures):
    return {name: m.detach().numpy() for name, m in mixtures.items()}


def candidate(number=0, *, mixture=None, arch=None, train=0, judge: int | None = 1):
    budget = Budget(train_batches=train, validation_batches=judge)
    return Candidate(number, arch=arch, kind="step", mixture=mixture, budget=budget)


def first_of(one):
    """The batch that the next step will be judged by."""
    state = one.judged.state()
    batch = next(one.judged)
    one.judged.restore(state)
    return batch


# ---- gradients as data ---------------------------------------------------------------------------


@pytest.mark.parametrize("relaxation", [softmax, gumbel])
@pytest.mark.parametrize(("space", "pool_norm"), CASES)
def test_a_gradient_as_data_is_that_of_end_to_end_autograd(toy, space, pool_norm, relaxation):
    one = shared(space, toy, gradient=True, pool_norm=pool_norm)
    x, y = first_of(one)
    ours, theirs = alphas(space), alphas(space)

    def relaxed(values):
        generator = torch.Generator().manual_seed(3)
        return {name: relaxation(alpha, generator) for name, alpha in values.items()}

    mixtures = relaxed(theirs)
    logits = one.supernet(x, MixtureWeights.of(mixtures))
    F.cross_entropy(logits, y).backward()

    mixtures = relaxed(ours)
    found, gradient = one._differentiated(rows_of(mixtures), x, y)
    for name, mixture in mixtures.items():
        mixture.backward(torch.tensor(gradient[name]))
    torch.testing.assert_close(found, logits.detach(), rtol=0, atol=1e-12)
    for name in ours:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=0, atol=1e-12)
        assert theirs[name].grad.abs().max() > 1e-6

    result = one.evaluate(candidate(mixture=rows_of(mixtures)), {}).result
    assert result.score == pytest.approx(float((logits.argmax(1) == y).double().mean()))
    assert result.metrics["loss"] == pytest.approx(F.cross_entropy(logits, y).item(), abs=1e-6)
    for name, slopes in result.gradient.items():
        assert slopes.dtype == np.float32
        np.testing.assert_allclose(slopes, gradient[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("space", "pool_norm"), CASES)
def test_the_gradient_at_an_architecture_is_that_of_its_one_hot_rows(toy, space, pool_norm):
    one = shared(space, toy, gradient=True, pool_norm=pool_norm)
    arch = space.sample(random.Random(2))
    x, y = first_of(one)
    tensors = {n: torch.tensor(r, requires_grad=True) for n, r in space.one_hot(arch).items()}
    F.cross_entropy(one.supernet(x, MixtureWeights.of(tensors)), y).backward()
    _, gradient = one._differentiated(space.one_hot(arch), x, y)
    for name, tensor in tensors.items():
        slopes = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(gradient[name], slopes, rtol=0, atol=1e-12)
    assert one.evaluate(candidate(arch=arch), {}).result.gradient is not None


def test_a_gradient_over_several_batches_is_their_mean(toy):
    one = shared(Cell201(), toy, gradient=True)
    rows = rows_of({n: a.softmax(1) for n, a in alphas(Cell201()).items()})
    each = [one.evaluate(candidate(mixture=rows), {}).result.gradient["cell"] for _ in range(2)]
    one = shared(Cell201(), toy, gradient=True)
    both = one.evaluate(candidate(mixture=rows, judge=2), {}).result.gradient["cell"]
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-5, atol=1e-9)


def test_a_group_that_no_cell_uses_has_a_gradient_of_zeros(toy):
    for unrolled in (False, True):
        one = shared(CELL, toy, gradient=True, unrolled=unrolled, size=Size(stages=1, width=4))
        rows = rows_of({n: a.softmax(1) for n, a in alphas(CELL).items()})
        gradient = one.evaluate(candidate(mixture=rows), {}).result.gradient
        assert gradient["normal"].any()
        assert gradient["reduction"].shape == rows["reduction"].shape
        assert not gradient["reduction"].any()


def test_without_the_setting_there_is_no_gradient_but_the_same_score(toy):
    rows = rows_of({n: a.softmax(1) for n, a in alphas(CELL).items()})
    asked = candidate(mixture=rows, judge=2)
    results = [
        shared(CELL, toy, gradient=gradient).evaluate(asked, {}).result
        for gradient in (True, False)
    ]
    assert results[0].gradient and results[1].gradient is None
    assert results[0].score == results[1].score


# ---- second order --------------------------------------------------------------------------------


def exact_second_order(one, rows, x, y, *, space, pool_norm):
    """The gradient behind one step of the optimiser, by differentiating through it.

    With the naive supernet, by plain autograd.
    """
    net = NaiveSupernet(space, one.task, SIZE, pool_norm=pool_norm).double()
    net.load_state_dict(one.supernet.state_dict())
    own = dict(one.supernet.named_parameters())
    weights: dict[str, torch.Tensor] = dict(net.named_parameters())
    tensors = {n: torch.tensor(r, requires_grad=True) for n, r in rows.items()}
    hyper, batch = one.hyper, one.trainer.upcoming()
    images = batch[0].double()
    logits = functional_call(net, weights, (images, MixtureWeights.of(tensors)))
    loss = F.cross_entropy(logits, batch[1], label_smoothing=hyper.label_smoothing)
    slopes: tuple[torch.Tensor | None, ...] = torch.autograd.grad(
        loss, list(weights.values()), create_graph=True, allow_unused=True
    )
    moved = {}
    for (name, weight), slope in zip(weights.items(), slopes, strict=True):
        if slope is None:
            moved[name] = weight
            continue
        slope = slope + (hyper.weight_decay if weight.ndim > 1 else 0) * weight
        velocity = one.trainer.optimizer.state.get(own[name], {}).get("momentum_buffer")
        velocity = slope if velocity is None else hyper.momentum * velocity + slope
        moved[name] = weight - one.trainer.lr * (slope + hyper.momentum * velocity)
    logits = functional_call(net, moved, (x.double(), MixtureWeights.of(tensors)))
    by = list(tensors.values())
    return torch.autograd.grad(F.cross_entropy(logits, y), by, materialize_grads=True)


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize(
    ("space", "pool_norm"), [(CELL, True), (Cell201(), False)], ids=["cell", "cell201"]
)
def test_the_second_order_is_the_exact_implicit_gradient(toy, monkeypatch, space, pool_norm, steps):
    # so short that no ReLU changes its side, where the exact gradient jumps
    monkeypatch.setattr("evolvent.estimator.shared.REACH", 1e-6)
    hyper = dataclasses.replace(HYPER, weight_decay=0.01)
    one = shared(
        space, toy, gradient=True, unrolled=True, pool_norm=pool_norm, hyper=hyper, steps=10
    )
    rows = rows_of({n: a.softmax(1) for n, a in alphas(space).items()})
    if steps:  # so that there is a momentum
        one.evaluate(candidate(mixture=rows, train=steps, judge=0), {})
    x, y = first_of(one)
    before = {name: value.clone() for name, value in one.supernet.state_dict().items()}
    exact = exact_second_order(one, rows, x, y, space=space, pool_norm=pool_norm)
    _, found = one._differentiated(rows, x, y)
    one.unrolled = False
    _, first = one._differentiated(rows, x, y)
    for name, slopes in zip(rows, exact, strict=True):
        np.testing.assert_allclose(found[name], slopes, rtol=0, atol=1e-6)
        assert np.abs(first[name] - slopes.numpy()).max() > 1e-4  # the first order is another one
    after = one.supernet.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_weights_are_restored_when_a_second_order_gradient_fails(toy, monkeypatch):
    one = shared(CELL, toy, gradient=True, unrolled=True, double=False)
    before = {name: value.clone() for name, value in one.supernet.state_dict().items()}
    rows = rows_of({n: a.softmax(1) for n, a in alphas(CELL).items()})

    def broken(*args):
        raise KeyError

    monkeypatch.setattr(one, "_logits", broken)
    with pytest.raises(KeyError):
        one.evaluate(candidate(mixture=rows), {})
    after = one.supernet.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


# ---- steps and trials ----------------------------------------------------------------------------


def test_the_three_parts_of_the_data_have_nothing_in_common(toy):
    one = shared(Cell201(), toy)
    parts = [{x.numpy().tobytes() for x in part.x} for part in (one.train, one.judges)]
    parts.append({x.numpy().tobytes() for x in one.validation.x})
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert len(parts[0] | parts[1]) == len(toy.train.y)
    assert len(parts[2]) == len(toy.validation.y)
    merged = shared(Cell201(), toy, architecture=0)
    assert len(merged.train) == len(toy.train.y)
    assert torch.equal(merged.judges.x, merged.validation.x)


def test_shared_weights_learn(digits):
    hyper = Hyperparameters(batch=32, lr=0.1)
    one = Shared(Cell201(), digits, size=Size(cells=1, width=4, stages=2), hyper=hyper, steps=60)
    arch = ("nor_conv_3x3",) * 6
    losses = []
    for number in range(3):
        asked = candidate(number, arch=arch, train=20, judge=0)
        losses.append(one.evaluate(asked, {}).result.metrics["train_loss"])
    assert losses[2] < losses[0] - 0.3
    found = one.evaluate(Candidate(3, arch=arch), {}).result
    assert found.ok and found.value > 0.3  # of ten classes
    assert found.params and found.flops and found.total_epochs > 0
    worse = one.evaluate(Candidate(4, arch=("none",) * 6), {}).result
    assert worse.value < 0.2


def test_a_step_that_only_trains_has_no_score(toy):
    result = (
        shared(Cell201(), toy, double=False)
        .evaluate(candidate(arch=("skip_connect",) * 6, train=2, judge=0), {})
        .result
    )
    assert (result.score, result.gradient, result.ok) == (None, None, True)
    assert math.isfinite(result.metrics["train_loss"])


def test_a_loss_that_is_no_number_is_a_failed_candidate(toy):
    one = shared(Cell201(), toy, double=False, gradient=True)
    with torch.no_grad():
        next(one.supernet.parameters()).fill_(math.nan)
    arch = ("nor_conv_3x3",) * 6
    for asked in (
        candidate(arch=arch, train=1, judge=0),
        candidate(arch=arch),
        Candidate(0, arch=arch),
    ):
        with pytest.raises(CandidateFailed, match="lower learning rate"):
            one.evaluate(asked, {})


def test_a_trial_leaves_everything_as_it_is(toy):
    one = shared(CELL, toy, calibrate=2, double=False)
    before = one.checkpoint()
    arch = CELL.sample(random.Random(0))
    first, again = (one.evaluate(Candidate(n, arch=arch), {}).result for n in (0, 1))
    assert first.score == again.score and first.metrics == again.metrics
    after = one.checkpoint()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_measured_statistics_make_a_score_independent_of_the_batch(toy):
    arch, one = ("nor_conv_3x3",) * 6, shared(Cell201(), toy, calibrate=2, double=False)
    mixture = one._mixture(Cell201().one_hot(arch))
    x, _ = one.validation.batch(slice(0, 6))
    with torch.no_grad():
        with one._statistics(mixture):
            torch.testing.assert_close(
                one.supernet(x, mixture)[:2], one.supernet(x[:2], mixture), rtol=0, atol=1e-4
            )
        differs = one.supernet(x, mixture)[:2] - one.supernet(x[:2], mixture)
    assert differs.abs().max() > 1e-3


# ---- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "unrolled"), [("sgd", False), ("sgd", True), ("adamw", False)]
)
def test_a_restored_checkpoint_goes_on_to_the_last_bit(toy, optimizer, unrolled):
    hyper = dataclasses.replace(HYPER, optimizer=optimizer, lr=0.01, schedule="cosine")
    settings = {"hyper": hyper, "gradient": True, "unrolled": unrolled, "double": False}
    rows = [rows_of({n: a.softmax(1) for n, a in alphas(CELL, s).items()}) for s in range(4)]
    # the judge comes first, as in DARTS: with `unrolled` a batch has then been taken early
    asked = [candidate(0, mixture=rows[0], train=3, judge=0), candidate(1, mixture=rows[1])]
    later = [candidate(n, mixture=rows[n], train=n % 2 * 2, judge=1) for n in (2, 3)]
    one = shared(CELL, toy, steps=12, **settings)
    for step in asked:
        one.evaluate(step, {})
    kept = {name: value.copy() for name, value in one.checkpoint().items()}
    expected = [one.evaluate(step, {}).result for step in later]
    other = shared(CELL, toy, steps=12, **settings)
    other.evaluate(later[1], {})  # anything
    found = [other.evaluate(later[0], {7: kept}).result, other.evaluate(later[1], {}).result]
    for left, right in zip(expected, found, strict=True):
        assert left.metrics == right.metrics and left.score == right.score
        assert all(np.array_equal(left.gradient[n], right.gradient[n]) for n in rows[0])
    ours, theirs = one.checkpoint(), other.checkpoint()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_comes_once_per_pass(toy):
    one = shared(Cell201(), toy, double=False)
    assert one.per_epoch >= 2
    arch, states = ("skip_connect",) * 6, []
    for number in range(2 * one.per_epoch):
        asked = candidate(number, arch=arch, train=1, judge=0)
        states.append(one.evaluate(asked, {}).state is not None)
    assert states == ([False] * (one.per_epoch - 1) + [True]) * 2


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"), [("steps", 0), ("architecture", 1.0), ("calibrate", -1)]
)
def test_a_setting_outside_its_rule_is_refused(toy, setting, value):
    with pytest.raises(SettingError, match=f"{setting}={value}"):
        Shared(Cell201(), toy, **{setting: value})


def test_second_order_is_of_sgd_in_full_precision(toy):
    with pytest.raises(SettingError, match="optimizer=sgd"):
        Shared(Cell201(), toy, unrolled=True, hyper=Hyperparameters(optimizer="adamw"))
    low = Shared(Cell201(), toy, unrolled=True, hyper=Hyperparameters(precision="bfloat16"))
    assert low.hyper.precision == "float32"
