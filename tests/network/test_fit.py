"""From an architecture to a trained network: the one way that every training goes."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evolvent.errors import EvolventError
from evolvent.network import fit as fitting
from evolvent.network.build import Size, build
from evolvent.network.data import loader
from evolvent.network.fit import (
    TRAINED,
    Beginning,
    fit,
    load,
    scored,
    started,
    state_of,
    trained_epochs,
    with_own_training,
)
from evolvent.network.train import Hyperparameters, evaluate, train
from evolvent.space.cell201 import Cell201, parse
from evolvent.space.plain import Plain
from evolvent.testing import small_task

SIZE, HYPER = Size(cells=1, width=4, stages=2), Hyperparameters(lr=0.1, batch=16)
ARCH = parse("302141")


def made(task, **options):
    part = options.pop("part", task.train)
    given = {"size": SIZE, "hyper": HYPER, "epochs": 2.0, "seed": 3, **options}
    return fit(Cell201(), ARCH, task, part, **given)


def equal(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


class Willed(Plain):
    """A space whose architectures carry their own learning rate."""

    gives = frozenset({"training"})

    def training(self, arch):
        return {"lr": arch[1], "optimizer": "adamw"}


def test_it_is_building_training_and_scoring_in_a_row(toy):
    net = build(Cell201(), ARCH, toy, SIZE, seed=3)
    done = train(net, loader(toy, toy.train), epochs=2.0, hyper=HYPER, seed=3)
    found = made(toy)
    assert equal(state_of(found.net), state_of(net))
    assert (found.done.epochs, found.done.curve) == (done.epochs, done.curve)
    assert scored(found.net, toy, toy.validation) == evaluate(net, loader(toy, toy.validation))
    assert (found.hyper, found.begun, found.total_epochs) == (HYPER, Beginning(0.0, 2.0), 2.0)


def test_a_part_may_be_resident_already(toy, monkeypatch):
    held, judges = loader(toy, toy.train), loader(toy, toy.validation)
    expected = made(toy)
    score = scored(expected.net, toy, toy.validation)

    def again(*args, **options):
        raise AssertionError("what is resident was brought to the device once more")

    monkeypatch.setattr("evolvent.network.fit.loader", again)
    found = made(toy, part=held)
    assert equal(found.state, expected.state)
    assert scored(found.net, toy, judges) == score


def test_what_a_network_begins_with_decides_how_long_it_trains(toy):
    first = made(toy)
    assert trained_epochs(first.state) == first.state[TRAINED] == 2.0

    def begin(net, epochs):
        load(net, first.state)
        return Beginning(2.0, epochs - 2.0, {"from": "first"})

    longer = made(toy, epochs=5.0, begin=begin)
    assert (longer.done.epochs, longer.total_epochs) == (3.0, 5.0)
    assert longer.begun.metrics == {"from": "first"}
    kept = made(toy, epochs=2.0, begin=begin)
    assert equal(kept.state, first.state)


def test_a_deadline_ends_it(toy):
    late = made(toy, epochs=1000.0, deadline=time.monotonic())
    assert late.done.cut
    assert late.total_epochs < 1000


def test_another_seed_gives_another_network(toy):
    assert not equal(made(toy).state, made(toy, seed=4).state)


# ---- what operations begin with -------------------------------------------------------------------


class Centred(nn.Module):
    """Subtracts the mean of what it was given for the training rows."""

    mean: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))
        self.batches = 0
        self.told: list[Any] = []

    def start(self, batches):
        batches = list(batches)
        inputs, targets = (torch.cat(part) for part in zip(*batches, strict=True))
        self.told.append((inputs, targets))
        self.batches = len(batches)
        self.get_buffer("mean").copy_(inputs.float().mean(0))

    def forward(self, x):
        return x - self.mean


def test_operations_begin_once_from_what_they_are_given_for_the_rows():
    task = small_task("numbers")
    first, second = Centred(), Centred()
    net = nn.Sequential(first, nn.Flatten(), second, nn.Linear(5, 3))
    net.train()
    started(net, loader(task, task.train))
    assert len(first.told) == len(second.told) == 1
    rows = torch.from_numpy(task.train.x)
    assert torch.equal(first.told[0][0], rows)
    assert torch.equal(first.told[0][1], torch.from_numpy(task.train.y))
    assert torch.equal(second.told[0][0], rows - rows.mean(0))
    net(rows[:4])
    assert len(first.told) == 1, "they begin once"


def test_of_many_numbers_operations_begin_from_some_rows_and_of_tokens_from_all(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_BEGUN", 100)
    task = small_task("numbers")  # 72 rows of 5
    few = Centred()
    started(few, loader(task, task.train))
    assert torch.equal(few.told[0][0], torch.from_numpy(task.train.x)[::4])
    assert torch.equal(few.told[0][1], torch.from_numpy(task.train.y)[::4])
    tokens = dataclasses.replace(task.train, x=task.train.x.astype(np.int32))
    every = Centred()
    started(every, loader(task, tokens))
    assert len(every.told[0][0]) == 72
    monkeypatch.setattr(fitting, "START_BATCH", 30)
    several = Centred()
    started(several, loader(task, tokens))
    assert (len(several.told[0][0]), several.batches) == (72, 3)


def test_an_operation_that_is_never_called_cannot_begin():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = Centred()

        def forward(self, x):
            return x

    task = small_task("numbers")
    with pytest.raises(EvolventError, match="Centred: never called"):
        started(Idle(), loader(task, task.train))


def test_operations_do_not_begin_from_the_rows_where_all_weights_are_loaded(toy, monkeypatch):
    begun = []
    monkeypatch.setattr(fitting, "started", lambda net, data: begun.append(net))
    fit(Willed(), (4, 0.03), toy, toy.train, size=Size(), hyper=HYPER, epochs=0.0)
    assert len(begun) == 1
    fit(Willed(), (4, 0.03), toy, toy.train, size=Size(), hyper=HYPER, epochs=0.0, whole=True)
    assert len(begun) == 1


# ---- what an architecture says itself ------------------------------------------------------------


def test_an_architectures_own_training_overrides_the_settings(toy):
    own = dataclasses.replace(HYPER, lr=0.03, optimizer="adamw")
    assert with_own_training(HYPER, Willed(), (4, 0.03)) == own
    assert with_own_training(HYPER, Plain(), (4,)) == HYPER
    options: dict[str, Any] = {"size": SIZE, "epochs": 1.0}
    willed = fit(Willed(), (4, 0.03), toy, toy.train, hyper=HYPER, **options)
    assert willed.hyper == own
    assert equal(willed.state, fit(Plain(), (4,), toy, toy.train, hyper=own, **options).state)


# ---- weights -------------------------------------------------------------------------------------


def test_states_are_copies(toy):
    net = build(Cell201(), ARCH, toy, SIZE)
    state = state_of(net)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert state["logits.weight"].any()
    load(net, state)
    for value in state.values():
        value[...] = 0
    assert net.get_parameter("logits.weight").abs().sum() > 0
    assert all(isinstance(value, np.ndarray) for value in state.values())


def test_weights_of_another_architecture_are_refused(toy):
    state = state_of(build(Plain(), (4,), toy, SIZE))
    with pytest.raises(RuntimeError, match="Missing key"):
        load(build(Cell201(), ARCH, toy, SIZE), state)


def test_a_state_that_does_not_say_how_long_it_was_trained_counts_as_fresh(toy):
    assert trained_epochs(state_of(build(Plain(), (4,), toy, SIZE))) == 0.0
