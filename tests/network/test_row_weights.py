"""Weights of rows in the loss and in metrics: a row of weight 2 counts as two, one of 0 as none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs

from evolvent.network.build import Size, build
from evolvent.network.data import loader
from evolvent.network.fit import fit, started, with_own_training
from evolvent.network.losses import LOSSES, class_weights
from evolvent.network.packed import Member
from evolvent.network.packing import train_pack
from evolvent.network.train import Hyperparameters, evaluate
from evolvent.space.tabular import Tabular
from evolvent.space.tabular_members import GOOD
from evolvent.task import Part
from evolvent.task.metrics import QUANTITIES, Scale, paired_error, score, standard_error
from evolvent.testing import small_task

RNG = np.random.default_rng(0)
N = 200
Y = RNG.integers(0, 2, N)
OUTPUTS = RNG.normal(size=(N, 2)).round(1) + np.eye(2)[Y]  # with ties
POWERS = np.exp(OUTPUTS - OUTPUTS.max(1, keepdims=True))
CHANCES = POWERS / POWERS.sum(1, keepdims=True)
THREE = RNG.integers(0, 3, N)
THREE_OUTPUTS = RNG.normal(size=(N, 3)) + np.eye(3)[THREE]
THREE_CHANCES = torch.tensor(THREE_OUTPUTS).softmax(1).numpy()
W = RNG.integers(0, 4, N).astype(float)
AMOUNT = RNG.uniform(1, 5, N)
TOLD = AMOUNT + RNG.normal(size=N)
SCALES = {2: Scale(("a", "b")), 3: Scale(("a", "b", "c")), 0: Scale()}

BINARY = {
    "accuracy": theirs.accuracy_score(Y, OUTPUTS.argmax(1), sample_weight=W),
    "balanced-accuracy": theirs.balanced_accuracy_score(Y, OUTPUTS.argmax(1), sample_weight=W),
    "f1": theirs.f1_score(Y, OUTPUTS.argmax(1), average="macro", sample_weight=W),
    "f1:b": theirs.f1_score(Y, OUTPUTS.argmax(1), sample_weight=W),
    "roc-auc": theirs.roc_auc_score(Y, CHANCES[:, 1], sample_weight=W),
    "average-precision:b": theirs.average_precision_score(Y, CHANCES[:, 1], sample_weight=W),
    "neg-log-loss": -theirs.log_loss(Y, CHANCES, sample_weight=W),
    "neg-brier": -theirs.brier_score_loss(Y, CHANCES[:, 1], sample_weight=W),
}
OF_THREE = {
    "roc-auc": theirs.roc_auc_score(THREE, THREE_CHANCES, multi_class="ovr", sample_weight=W),
    "neg-log-loss": -theirs.log_loss(THREE, THREE_CHANCES, sample_weight=W),
}
OF_AMOUNTS = {
    "r2": theirs.r2_score(AMOUNT, TOLD, sample_weight=W),
    "neg-rmse": -theirs.root_mean_squared_error(AMOUNT, TOLD, sample_weight=W),
    "neg-mse": -theirs.mean_squared_error(AMOUNT, TOLD, sample_weight=W),
    "neg-mae": -theirs.mean_absolute_error(AMOUNT, TOLD, sample_weight=W),
    "neg-mape": -theirs.mean_absolute_percentage_error(AMOUNT, TOLD, sample_weight=W),
    "neg-rmsle": -theirs.root_mean_squared_log_error(AMOUNT, np.maximum(TOLD, 0), sample_weight=W),
    "neg-quantile": -theirs.mean_pinball_loss(AMOUNT, TOLD, alpha=0.5, sample_weight=W),
}


@pytest.mark.parametrize("name", BINARY)
def test_weighted_metrics_of_two_classes_are_scikit_learns(name):
    assert score(name, OUTPUTS, Y, SCALES[2], W) == pytest.approx(BINARY[name], abs=1e-6)


@pytest.mark.parametrize("name", OF_THREE)
def test_weighted_metrics_of_three_classes_are_scikit_learns(name):
    found = score(name, THREE_OUTPUTS, THREE, SCALES[3], W)
    assert found == pytest.approx(OF_THREE[name], abs=1e-6)


@pytest.mark.parametrize("name", QUANTITIES)
def test_weighted_metrics_of_quantities_are_scikit_learns(name):
    assert score(name, TOLD, AMOUNT, SCALES[0], W) == pytest.approx(OF_AMOUNTS[name], abs=1e-6)


@pytest.mark.parametrize("name", [*BINARY, "average-precision"])
def test_whole_weights_are_repeated_rows(name):
    rows = np.repeat(np.arange(N), W.astype(int))
    repeated = score(name, OUTPUTS[rows], Y[rows], SCALES[2])
    assert score(name, OUTPUTS, Y, SCALES[2], W) == pytest.approx(repeated, abs=1e-9)


def test_a_standard_error_is_of_the_weighted_score():
    plain = standard_error("accuracy", OUTPUTS, Y, SCALES[2])
    few = np.where(np.arange(N) < 20, 1.0, 0.0)
    assert plain is not None
    weighted = standard_error("accuracy", OUTPUTS, Y, SCALES[2], few)
    assert weighted is not None
    assert weighted > 2 * plain  # 20 rows tell less than 200


def test_a_paired_error_does_not_count_what_both_share():
    better = OUTPUTS.copy()
    better[:5] += 3 * np.eye(2)[Y[:5]]
    alone = standard_error("accuracy", OUTPUTS, Y, SCALES[2])
    paired = paired_error("accuracy", (better, OUTPUTS), Y, SCALES[2])
    assert alone is not None
    assert paired is not None
    assert 0 < paired < alone / 2
    assert paired_error("accuracy", (OUTPUTS, OUTPUTS), Y, SCALES[2]) == 0


# ---- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss, y", [("cross-entropy", Y), ("mse", AMOUNT)])
def test_sums_over_weighted_rows_are_those_of_repeated_rows(loss, y):
    outputs = torch.tensor(OUTPUTS if loss == "cross-entropy" else TOLD[:, None])
    rows = np.repeat(np.arange(N), W.astype(int))
    measure, target = LOSSES[loss], torch.tensor(y)
    weighted = measure.sums(outputs, target, torch.tensor(W))
    repeated = measure.sums(outputs[rows], target[rows])
    torch.testing.assert_close(weighted, repeated.to(weighted.dtype))
    told = measure.metrics(weighted.tolist(), W.sum(), 1.0)
    assert told == pytest.approx(measure.metrics(repeated.tolist(), len(rows), 1.0))


def test_balanced_classes_weigh_the_same_with_weights_of_rows_too():
    weights = class_weights(Y, 2, W).numpy()
    assert weights[0] * W[Y == 0].sum() == pytest.approx(weights[1] * W[Y == 1].sum())
    assert class_weights(Y, 3).tolist()[2] == 0


# ---- trainings -----------------------------------------------------------------------------------

TASK = small_task("numbers")
SPACE = Tabular.of(TASK.facts)
HYPER = Hyperparameters(optimizer="adamw", lr=3e-3, label_smoothing=0.05)
HALF = np.arange(len(TASK.train)) % 2 == 0


def _weighted(weight):
    return replace(TASK, train=replace(TASK.train, weight=weight))


def _difference(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs if a.is_floating_point())


def _arch(**genes):
    return SPACE.checked(tuple((GOOD | {"batch": 32} | genes).values()))


def test_rows_without_weight_teach_nothing():
    wrong = replace(TASK.train, y=np.where(HALF, TASK.train.y, (TASK.train.y + 1) % 3))
    nets = []
    for part in (TASK.train, wrong):
        task = replace(TASK, train=replace(part, weight=np.where(HALF, 2.0, 0.0)))
        nets.append(fit(SPACE, _arch(embedding="none"), task, task.train, epochs=4, seed=1).net)
    assert _difference(*nets) == 0


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_equal_weights_change_nothing_whatever_they_are(factor):
    plain = fit(SPACE, _arch(), TASK, TASK.train, epochs=4, seed=1).net
    task = _weighted(np.full(len(TASK.train), factor))
    assert _difference(plain, fit(SPACE, _arch(), task, task.train, epochs=4, seed=1).net) < 1e-4


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("members", [1, 4])
def test_a_pack_weighs_rows_and_classes_as_one_training_does(class_weight, rows, members):
    rng = np.random.default_rng(3)
    skewed = np.flatnonzero((TASK.train.y == 0) | (rng.random(len(TASK.train)) < 0.3))
    part = TASK.train.taken(skewed)
    if rows:
        part = part.weighing(rng.uniform(0, 2, len(part)))
    task = replace(TASK, train=part)
    data, hyper = loader(task, task.train), replace(HYPER, class_weight=class_weight, batch=16)
    made = []
    for seed in (1, 2):
        arch = _arch(members=members, batch=32)
        net = build(SPACE, arch, task, Size(), seed=seed)
        random = torch.get_rng_state()
        started(net, data)
        own = with_own_training(hyper, SPACE, arch)
        made.append((arch, Member(net, own, None, seed, random)))
    train_pack([member for _, member in made], data, epochs=5)
    for seed, (arch, member) in zip((1, 2), made, strict=True):
        alone = fit(SPACE, arch, task, data, hyper=hyper, epochs=5, seed=seed)
        assert _difference(alone.net, member.net) < 1e-4  # unweighted, they are 1e-2 apart


def test_weights_are_in_the_score_of_a_network_and_its_error_is_told():
    net = fit(SPACE, _arch(), TASK, TASK.train, epochs=1, seed=1).net.eval()
    part = TASK.validation
    outputs = net(torch.from_numpy(part.x)).argmax(1).detach().numpy()
    right = outputs == part.y
    weight = np.where(right, 3.0, 1.0)
    told = evaluate(net, loader(TASK, part.weighing(weight)), uncertain=True)
    assert told["accuracy"] == pytest.approx(3 * right.sum() / weight.sum())
    assert told["standard-error"] > 0


def test_parts_keep_the_weights_of_their_rows():
    weight = np.arange(float(len(TASK.train)))
    task = _weighted(weight)
    assert task.train.taken(np.array([3, 5])).weights.tolist() == [3, 5]
    everything = task.everything.weights
    assert everything[: len(weight)].tolist() == weight.tolist()
    assert set(everything[len(weight) :]) == {1.0}
    assert TASK.everything.weight is None
    assert task.fingerprint != TASK.fingerprint
    assert Part(np.zeros((4, 1)), np.zeros(4), np.array([1.0, 1, 0, 0])).effective == 2
