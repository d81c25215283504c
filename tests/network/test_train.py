"""The training loop."""

import dataclasses
import math
import time

import pytest
import torch
from torch import nn

from evolvent.errors import CandidateFailed, SettingError
from evolvent.network.build import Size, build
from evolvent.network.data import Resident
from evolvent.network.train import Hyperparameters, evaluate, rate, train
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.task import Part

HYPER = Hyperparameters(lr=0.1, batch=16)


@pytest.fixture(scope="module")
def data(toy):
    return Resident(toy, toy.train)


def network(task, seed=0):
    return build(Plain(), (4,), task, Size(stages=2), seed=seed)


def weights(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def trained(task, data, *, seed=0, epochs=1.0, net_seed=0, **changes):
    net = network(task, net_seed)
    done = train(net, data, epochs=epochs, hyper=dataclasses.replace(HYPER, **changes), seed=seed)
    return net, done


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- reproducible --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_same_seed_gives_the_same_weights_to_the_last_bit(toy, data, optimizer):
    one, _ = trained(toy, data, seed=3, optimizer=optimizer, lr=0.01)
    torch.rand(7)  # the global generator does not matter
    other, _ = trained(toy, data, seed=3, optimizer=optimizer, lr=0.01)
    assert equal(weights(one), weights(other))


def test_another_seed_gives_another_order_and_other_weights(toy, data):
    assert not equal(weights(trained(toy, data, seed=3)[0]), weights(trained(toy, data, seed=4)[0]))


def test_training_for_no_epochs_leaves_the_network_as_it_is(toy, data):
    net = network(toy)
    before = weights(net)
    done = train(net, data, epochs=0, hyper=HYPER, seed=0)
    assert equal(before, weights(net))
    assert (done.epochs, done.curve, done.cut) == (0.0, [], False)


# ---- how long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "batch", "steps"),
    [
        (1, 16, 3),
        (2, 16, 6),
        (0.5, 16, 2),
        (0.01, 16, 1),
        (1, 10_000, 1),
        (3, 10_000, 3),
        (1, 1, 60),
    ],
)
def test_steps_are_counted_in_whole_batches(toy, epochs, batch, steps):
    data = Resident(toy, Part(toy.train.x[:60], toy.train.y[:60]))
    net, counted = CountingNet(), []
    net.register_forward_hook(lambda *_: counted.append(1))
    done = train(net, data, epochs=epochs, hyper=dataclasses.replace(HYPER, batch=batch), seed=0)
    assert len(counted) == steps
    assert done.epochs == pytest.approx(steps / (60 // min(batch, 60)))


class CountingNet(nn.Module):
    """A linear classifier."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 3)

    def forward(self, x):
        return self.linear(x.flatten(1))


def test_a_deadline_shortens_a_schedule_that_would_miss_it(toy, data):
    net = CountingNet()
    start = time.monotonic()
    done = train(net, data, epochs=1e6, hyper=HYPER, seed=0, deadline=start + 0.1)
    assert done.cut or done.shortened
    assert 0 < done.epochs < 1e6
    assert time.monotonic() - start < 5


def test_a_deadline_in_the_past_leaves_one_step(toy, data):
    done = train(CountingNet(), data, epochs=9, hyper=HYPER, seed=0, deadline=time.monotonic() - 1)
    assert done.cut
    assert done.epochs == pytest.approx(1 / (len(data) // 16))
    assert len(done.curve) == 1


def test_a_deadline_in_the_future_cuts_nothing(toy, data):
    done = train(CountingNet(), data, epochs=2, hyper=HYPER, seed=0, deadline=time.monotonic() + 99)
    assert (done.cut, done.epochs) == (False, 2.0)


def test_the_curve_has_about_twenty_points_and_ends_at_the_end(toy, data):
    _, done = trained(toy, data, epochs=40, batch=16)
    assert 20 <= len(done.curve) <= 30
    epochs = [epoch for epoch, _ in done.curve]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 40


# ---- the schedule --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("cosine", {0.0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1.0: 0}),
        ("one-cycle", {0.0: 0, 0.1: 0.5, 0.2: 1, 0.4: 0.75, 0.6: 0.5, 1.0: 0}),
        ("constant", {0.0: 0, 0.1: 0.5, 0.2: 1, 0.6: 1, 1.0: 1}),
    ],
)
def test_values_of_the_schedules(schedule, values):
    hyper = Hyperparameters(schedule=schedule, warmup=0.2)
    for share, value in values.items():
        assert rate(hyper, share) == pytest.approx(value, abs=1e-12)


def test_without_warmup_a_schedule_begins_at_its_peak():
    assert rate(Hyperparameters(schedule="cosine", warmup=0), 0.0) == 1
    assert rate(Hyperparameters(schedule="one-cycle", warmup=0), 0.25) == 0.75


def rates_used(monkeypatch, data, epochs, hyper):
    """The learning rate of every step of a training."""
    used = []
    step = torch.optim.SGD.step

    def recording(self, *args, **kwargs):
        used.append([group["lr"] for group in self.param_groups])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    train(CountingNet(), data, epochs=epochs, hyper=hyper, seed=0)
    assert all(one == other for one, other in used)
    return [one for one, _ in used]


def test_a_short_training_is_a_whole_schedule(monkeypatch, toy, data):
    hyper = Hyperparameters(lr=0.4, batch=16, schedule="one-cycle", warmup=0.0)
    per_epoch = len(data) // 16
    for epochs in (1, 2):
        steps = per_epoch * epochs
        expected = [0.4 * (1 - (step + 0.5) / steps) for step in range(steps)]
        assert rates_used(monkeypatch, data, epochs, hyper) == pytest.approx(expected)


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "adam"),
        ("schedule", "step"),
        ("precision", "float16"),
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("batch", 0),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("label_smoothing", 1.5),
        ("clip", -1.0),
        ("cutout", -1),
        ("optimizer", "adam"),
        ("flip", "up"),
        ("resize", 0.0),
        ("shift", -1),
        ("erase", 1.5),
        ("mixup", -0.1),
        ("average", 2.0),
        ("bias_rate", 0.0),
    ],
)
def test_a_setting_outside_its_rule_is_refused(name, value):
    with pytest.raises(SettingError, match=f"{name}={value!r}"):
        Hyperparameters(**{name: value})


def test_norms_and_biases_do_not_decay(toy, data):
    """Where the gradient is zero, only the decay moves a weight."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Silent())
    before = weights(net)
    hyper = Hyperparameters(lr=0.1, batch=16, weight_decay=0.5, schedule="constant", warmup=0)
    train(net, data, epochs=1, hyper=hyper, seed=0)
    after = weights(net)
    assert torch.equal(before["1.bias"], after["1.bias"])
    assert float(after["1.weight"].norm()) < float(before["1.weight"].norm())


class Silent(nn.Module):
    """Outputs that do not depend on the inputs, though a gradient flows: it is zero."""

    def forward(self, x):
        return x * 0.0


def test_clipping_bounds_the_step(toy, data):
    moved = []
    for clip in (0.0, 1e-3):
        net = CountingNet()
        before = weights(net)
        hyper = Hyperparameters(
            lr=1.0, batch=len(data), momentum=0, schedule="constant", warmup=0, clip=clip
        )
        train(net, data, epochs=1, hyper=dataclasses.replace(hyper, weight_decay=0.0), seed=0)
        after = weights(net)
        moved.append(math.sqrt(sum(float((after[n] - before[n]).square().sum()) for n in after)))
    assert moved[0] > 0.1
    assert moved[1] == pytest.approx(1e-3, rel=1e-2)


def test_bfloat16_learns_too(toy, data):
    net, _ = trained(toy, data, epochs=8, precision="bfloat16")
    assert evaluate(net, data)["accuracy"] > 0.9
    assert all(weight.dtype == torch.float32 for weight in net.parameters())


# ---- failures ------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_fails_with_a_reason(toy, data):
    net = CountingNet()
    nn.init.constant_(net.linear.bias, math.nan)
    with pytest.raises(CandidateFailed, match=r"training loss became nan in epoch .*learning rate"):
        train(net, data, epochs=1, hyper=HYPER, seed=0)


def test_a_learning_rate_that_is_far_too_high_fails_with_a_reason(toy, data):
    with pytest.raises(CandidateFailed, match="a lower learning rate may help"):
        trained(toy, data, epochs=30, lr=1e30, momentum=0.9)


def test_outputs_that_are_no_numbers_have_no_accuracy(toy, data):
    net = CountingNet()
    nn.init.constant_(net.linear.bias, math.nan)
    with pytest.raises(CandidateFailed, match="outputs are not finite"):
        evaluate(net, data)


# ---- it learns -----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_it_learns_what_is_easy_to_tell_apart(toy, data, optimizer):
    validation = Resident(toy, toy.validation)
    net = network(toy)
    before = evaluate(net, validation)
    hyper = Hyperparameters(optimizer=optimizer, lr=0.05, batch=16, label_smoothing=0.0)
    done = train(net, data, epochs=20, hyper=hyper, seed=0)
    after = evaluate(net, validation)
    assert after["accuracy"] == 1.0
    assert after["loss"] < before["loss"] / 3
    assert done.curve[-1][1] < done.curve[0][1]


def test_accuracy_and_loss_are_means_over_every_example(toy, data):
    net = CountingNet().eval()
    expected = evaluate(net, data)
    for batch in (1, 7, 1000):
        found = evaluate(net, data, batch=batch)
        assert found["accuracy"] == expected["accuracy"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    x, y = data.batch(slice(None))
    with torch.no_grad():
        logits = net(x)
    assert expected["accuracy"] == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert expected["loss"] == pytest.approx(
        float(nn.functional.cross_entropy(logits, y)), rel=1e-5
    )


def test_scoring_changes_no_weight_and_no_statistic(toy, data):
    net = network(toy)
    before = weights(net)
    evaluate(net, data)
    assert equal(before, weights(net))
    assert not any(weight.grad is not None for weight in net.parameters())


def test_the_digits_are_learnt(digits):
    net = build(Plain(), (8,), digits, Size(stages=2), seed=0)
    train(net, Resident(digits, digits.train), epochs=15, hyper=Hyperparameters(), seed=0)
    assert evaluate(net, Resident(digits, digits.validation))["accuracy"] > 0.9


# ---- what helps only the training ----------------------------------------------------------------


class Scheduled(CountingNet):
    """Takes down how much of the training is said to be done."""

    def __init__(self):
        super().__init__()
        self.shares = []

    def reach(self, share):
        self.shares.append(share)


@pytest.mark.parametrize("epochs", [1, 4, 0.01])
def test_whoever_wants_it_is_told_how_far_the_training_is_up_to_its_end(toy, data, epochs):
    net = Scheduled()
    train(net, data, epochs=epochs, hyper=HYPER, seed=0)
    steps = max(1, round(epochs * (len(data) // 16)))
    assert net.shares == pytest.approx([(step + 1) / steps for step in range(steps)])
    assert net.shares[-1] == 1.0


class Helped(CountingNet):
    """Offers logits of a second classifier."""

    def __init__(self, weight):
        super().__init__()
        self.second, self.weight = nn.Linear(64, 3), weight

    def forward(self, x):
        self.seen = self.second(x.flatten(1))
        return super().forward(x)

    def offer(self):
        return self.weight, self.seen


def test_losses_of_offered_logits_are_added_with_their_weights(toy, data):
    hyper = Hyperparameters(
        lr=0.1, batch=len(data), momentum=0, schedule="constant", warmup=0, weight_decay=0
    )
    moved, main, curves = [], [], []
    for weight in (0.0, 0.2, 0.4):
        net = Helped(weight)
        before = weights(net)
        curves.append(train(net, data, epochs=1, hyper=hyper, seed=0).curve)
        after = weights(net)
        moved.append(after["second.weight"] - before["second.weight"])
        main.append(after["linear.weight"])
    assert not moved[0].any()
    assert moved[1].any()
    assert torch.allclose(moved[2], 2 * moved[1], rtol=1e-3, atol=1e-7)
    assert torch.equal(main[0], main[2])  # the network itself learns from its own loss
    assert curves[0] == curves[2]  # and only that is shown


def test_the_helpers_train_the_same_way_twice_and_another_way_than_none(toy, data):
    size = Size(cells=1, width=4, stages=2)
    helped = dataclasses.replace(size, drop_path=0.5, auxiliary=0.4)
    arch = ("nor_conv_3x3",) * 6

    def after(size):
        net = build(Cell201(), arch, toy, size, seed=0)
        train(net, data, epochs=1.0, hyper=HYPER, seed=0)
        return weights(net)

    assert equal(after(helped), after(helped))
    assert not equal(after(helped), after(size))
    for one in (dataclasses.replace(size, drop_path=0.5), dataclasses.replace(size, auxiliary=0.4)):
        assert not equal(after(one), after(size))
        assert after(helped).keys() == after(size).keys()


def test_it_learns_with_all_helpers_in_half_precision_too(toy, data):
    size = Size(cells=1, width=4, stages=2, drop_path=0.2, auxiliary=0.4)
    net = build(Cell201(), ("nor_conv_3x3", *["skip_connect"] * 4, "nor_conv_3x3"), toy, size)
    hyper = dataclasses.replace(HYPER, precision="bfloat16", cutout=2)
    train(net, data, epochs=12, hyper=hyper, seed=0)
    assert evaluate(net, data)["accuracy"] > 0.9


def test_a_cutout_that_is_said_reaches_the_images_however_short_the_training(toy, data):
    seen = []
    net = CountingNet()
    net.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].clone()))
    for cutout in (None, 0, 4):
        hyper = dataclasses.replace(HYPER, cutout=cutout)
        train(net, data, epochs=0.01, hyper=hyper, seed=0)
    assert torch.equal(seen[0], seen[1])
    blank = (seen[2] == 0) & (seen[1] != 0)
    assert blank.flatten(1).any(1).all()
    assert torch.equal(seen[2][~blank], seen[1][~blank])
