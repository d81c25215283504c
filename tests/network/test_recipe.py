"""The parts of the modern recipe for images: each is off unless set, and resumes exactly."""

import dataclasses
import time
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from evolvent.deliver.export import export
from evolvent.errors import SettingError
from evolvent.network import data as network_data
from evolvent.network.build import Size, build, plan
from evolvent.network.data import Resident
from evolvent.network.fit import state_of
from evolvent.network.muon import inner, newton_schulz, orthogonal
from evolvent.network.plan import Block, Plan, call
from evolvent.network.train import (
    Hyperparameters,
    Trainer,
    area_until,
    mean_area,
    scale_at,
    smaller,
    train,
)
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.types import stream

HYPER = Hyperparameters(lr=0.05, batch=16)
ALL = {
    "optimizer": "muon",
    "resize": 0.6,
    "flip": "alternate",
    "shift": 1,
    "cutout": 2,
    "erase": 0.5,
    "mixup": 0.3,
    "average": 0.5,
    "bias_rate": 4.0,
}


@pytest.fixture(scope="module")
def task(toy):
    return dataclasses.replace(toy, augment={"flip": True, "shift": 1, "cutout": 0})


@pytest.fixture(scope="module")
def data(task):
    return Resident(task, task.train)


def trainer(task, data, *, steps=12, **changes):
    net = build(Plain(), (4,), task, Size(stages=2), seed=0)
    hyper = dataclasses.replace(HYPER, **changes)
    return Trainer(net, data, steps=steps, hyper=hyper, seed=3, shift=True)


def test_singular_values_become_about_one():
    torch.manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8)):
        values = torch.linalg.svdvals(newton_schulz(torch.randn(shape), steps=5))
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3


def test_half_precision_makes_steps_orthogonal_as_well():
    torch.manual_seed(0)
    move = torch.randn(16, 8, 3, 3)
    whole, half = (orthogonal([move], each)[0] for each in (torch.float32, torch.bfloat16))
    assert half.dtype is torch.float32
    assert float((half - whole).norm() / whole.norm()) < 0.02
    assert not torch.equal(half, whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_are_made_orthogonal_in_the_precision_of_the_training(toy, precision):
    made = trainer(toy, network_data.loader(toy, toy.train), optimizer="muon", precision=precision)
    assert made.optimizer.dtype is getattr(torch, precision)


def test_a_batch_of_equal_shapes_gives_what_each_alone_gives():
    torch.manual_seed(0)
    moves = [torch.randn(s) for s in ((8, 4, 3, 3), (6, 5), (8, 4, 3, 3), (12, 5))]
    for move, made in zip(moves, orthogonal(moves), strict=True):
        torch.testing.assert_close(made, orthogonal([move])[0])
        assert made.shape == move.shape


def test_only_filters_and_hidden_matrices_are_orthogonalised():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.BatchNorm2d(8),
        nn.Linear(8, 8),
        nn.Embedding(5, 8),
        nn.Linear(8, 2),
    )
    assert inner(net) == {id(net[0].weight), id(net[3].weight)}


@pytest.mark.parametrize("part", [*({k: v} for k, v in ALL.items()), ALL], ids=str)
def test_a_training_continues_exactly_from_its_state(task, data, part):
    whole, first = trainer(task, data, **part), trainer(task, data, **part)
    losses = [float(whole.step()) for _ in range(12)]
    for _ in range(8):
        first.step()
    state, weights = first.state(), {k: v.clone() for k, v in first.net.state_dict().items()}
    second = trainer(task, data, **part)
    second.net.load_state_dict(weights)
    second.restore(state)
    assert [float(second.step()) for _ in range(4)] == losses[8:]
    whole.finish()
    second.finish()
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name


def test_muon_foresees_no_step(task, data):
    with pytest.raises(SettingError, match="use sgd"):
        trainer(task, data, optimizer="muon").planned([])


def test_every_image_is_mirrored_in_every_second_epoch(task, data):
    batches = data.shuffled(16, torch.Generator().manual_seed(5), augment=True, shift=False,
                            flip="alternate")  # fmt: skip
    plain, mirrored = data.batch(slice(None))[0], []
    for _ in range(3):
        seen = torch.zeros(len(data), dtype=torch.long)
        for x, _ in islice(batches, batches.per_pass):
            chosen = batches.order[(batches.place - 1) * 16 : batches.place * 16]
            same = torch.tensor([torch.equal(a, plain[i]) for a, i in zip(x, chosen, strict=True)])
            seen[chosen] = torch.where(same, 1, -1)
        mirrored.append(seen)
    both = (mirrored[0] != 0) & (mirrored[1] != 0)
    assert torch.equal(mirrored[0][both], -mirrored[1][both])
    assert {-1, 1} <= set(mirrored[0].tolist())
    both = (mirrored[0] != 0) & (mirrored[2] != 0)
    assert torch.equal(mirrored[0][both], mirrored[2][both])


def test_images_are_shifted_in_trainings_that_are_long_enough_alone(task, data, monkeypatch):
    seen: list[int] = []
    shifted = network_data._shifted

    def noted(x, pixels, generator):
        seen.append(pixels)
        return shifted(x, pixels, generator)

    monkeypatch.setattr(network_data, "_shifted", noted)
    net = build(Plain(), (4,), task, Size(stages=2), seed=0)
    hyper = dataclasses.replace(HYPER, shift=1, shift_from=2.0)
    for epochs in (1.0, 3.0):
        train(net, data, epochs=epochs, hyper=hyper, seed=0)
        assert set(seen) == (set() if epochs < 2 else {1})


def test_images_are_mirrored_only_where_the_task_allows_it(toy):
    plain = Resident(dataclasses.replace(toy, augment={"flip": False, "shift": 0}), toy.train)
    batches = plain.shuffled(16, torch.Generator().manual_seed(5), augment=True, flip="alternate")
    x, _ = next(batches)
    assert torch.equal(x, plain.batch(batches.order[:16])[0])


def test_a_rectangle_of_some_images_is_erased(task, data):
    batches = data.shuffled(16, torch.Generator().manual_seed(5), augment=True, shift=False,
                            flip="none", erase=0.5)  # fmt: skip
    x, _ = next(batches)
    changed = (x != data.batch(batches.order[:16])[0]).any(1).float().mean((1, 2))
    assert 0 < int((changed > 0).sum()) < 16
    assert float(changed.max()) < 0.5


def test_images_are_small_first_then_between_then_whole():
    assert [scale_at(0.5, share) for share in (0, 0.34, 0.36, 0.64, 0.66, 1)] == [
        0.5, 0.5, 0.75, 0.75, 1, 1,
    ]  # fmt: skip
    assert smaller(torch.ones(1, 3, 32, 28), 0.625).shape == (1, 3, 20, 18)
    assert smaller(torch.ones(1, 3, 10, 6), 0.2).shape == (1, 3, 8, 6)


def test_only_a_network_for_any_size_is_given_smaller_images(task, data):
    assert not trainer(task, data).resizes
    assert trainer(task, data, resize=0.5).resizes
    flat = (
        call("flat", "flatten", "x"),
        call("y", "Linear", "flat", in_features=4, out_features=2),
    )
    assert not Plan((Block("Network", ("x",), "y", flat),)).any_size


def test_the_record_says_whether_images_were_smaller(task, data):
    for resize in (1.0, 0.5):
        net = build(Plain(), (4,), task, Size(stages=2), seed=0)
        hyper = dataclasses.replace(HYPER, resize=resize)
        assert train(net, data, epochs=1, hyper=hyper, seed=0).resized == (resize < 1)


def test_later_steps_count_more_in_the_average(task, data):
    run = trainer(task, data, steps=4, average=0.5)
    seen = []
    for _ in range(4):
        run.step()
        seen.append({k: v.clone() for k, v in run.net.state_dict().items()})
    run.finish()
    for name, value in run.net.state_dict().items():
        if value.is_floating_point():
            expected = (seen[2][name] + 2 * seen[3][name]) / 3
            torch.testing.assert_close(value, expected)


def test_biases_learn_at_their_own_rate(task, data):
    moved = []
    for factor in (1.0, 4.0):
        run = trainer(task, data, bias_rate=factor)
        before = [p.detach().clone() for p in run.net.parameters() if p.ndim == 1]
        run.step()
        after = [p.detach() for p in run.net.parameters() if p.ndim == 1]
        moved.append(np.array([float((a - b).norm()) for a, b in zip(after, before, strict=True)]))
    np.testing.assert_allclose(moved[1], 4 * moved[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("space", [Plain(), Cell201()], ids=["plain", "cell201"])
def test_the_maximum_before_the_classifier_is_built_and_exported(task, data, tmp_path, space):
    arch = space.sample(stream("head"))
    size = Size(cells=1, width=4, stages=2, head="max")
    net = build(space, arch, task, size, seed=0)
    planned = plan(space, arch, task, size)
    assert "pool_max" in {line.op for line in planned.network.calls}
    assert planned.any_size
    train(net, data, epochs=1, hyper=HYPER, seed=0)
    proof = export(
        tmp_path, plan=planned, state=state_of(net), task=task, title="t", provenance="p"
    )
    assert proof["parity_max_abs_diff"] == 0
    assert ".amax((2, 3))" in (tmp_path / "model.py").read_text()


def test_a_head_that_is_not_known_is_refused():
    with pytest.raises(SettingError, match="head='median': one of mean, max"):
        Size(head="median")


# ---- a schedule that comes to its end ------------------------------------------------------------


def test_the_area_of_a_schedule_is_the_sum_over_its_steps():
    for resize in (1.0, 0.8, 0.5):
        whole = np.mean([scale_at(resize, (step + 0.5) / 1000) ** 2 for step in range(1000)])
        assert mean_area(resize) == pytest.approx(whole, rel=1e-3)
        half = sum(scale_at(resize, (step + 0.5) / 1000) ** 2 for step in range(500)) / 1000
        assert area_until(resize, 0.5) == pytest.approx(half, rel=1e-3)


def test_a_training_that_is_too_slow_for_its_deadline_ends_its_schedule_by_it(toy):
    net = build(Plain(), (4,), toy, Size(stages=2), seed=0)
    data = Resident(toy, toy.train)
    start = time.monotonic()
    hyper = Hyperparameters(batch=16)
    done = train(net, data, epochs=1e6, hyper=hyper, seed=0, deadline=start + 3.0)
    assert done.shortened
    assert not done.cut
    assert done.epochs < 1e6
    assert time.monotonic() - start < 60


def test_the_learning_rate_of_a_shortened_schedule_comes_down_to_nothing(toy):
    net = build(Plain(), (4,), toy, Size(stages=2), seed=0)
    trainer = Trainer(
        net, Resident(toy, toy.train), steps=100, hyper=Hyperparameters(batch=16), seed=0
    )
    for _ in range(20):
        trainer.step()
    before = trainer.lr
    trainer.pace(spent=5.0, steps=10, left=10.0)  # half a second a step: nearly twenty more
    assert trainer.steps == 39
    trainer.pace(spent=1.0, steps=10, left=10.0)  # it became faster
    assert trainer.steps == 100
    trainer.pace(spent=5.0, steps=10, left=10.0)
    while trainer.done < trainer.steps:
        last = trainer.lr
        trainer.step()
    assert last < 0.05 * before


def test_slow_first_steps_do_not_shorten_a_training(toy, monkeypatch):
    net = build(Plain(), (4,), toy, Size(stages=2), seed=0)
    clock, taken = [0.0], [0]
    monkeypatch.setattr("evolvent.network.train.time.monotonic", lambda: clock[0])
    step = Trainer.step

    def timed(self, *args):
        taken[0] += 1
        clock[0] += 5.0 if taken[0] < 5 else 0.1
        return step(self, *args)

    monkeypatch.setattr(Trainer, "step", timed)
    data = Resident(toy, toy.train)
    hyper = Hyperparameters(batch=16)
    done = train(net, data, epochs=20.0, hyper=hyper, seed=0, deadline=60.0)
    assert (done.shortened, done.cut, done.epochs) == (False, False, 20.0)
