"""Stratified batches: every batch has its share of every class, and the order is the seed's."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from evolvent.config.defaults import suggested
from evolvent.errors import SettingError
from evolvent.network.build import Assembled
from evolvent.network.data import loader
from evolvent.network.packed import Member
from evolvent.network.packing import Orders
from evolvent.network.plan import Block, Plan
from evolvent.network.strata import balanced, lengthwise
from evolvent.network.train import Hyperparameters, train
from evolvent.task import Part
from evolvent.task.portable.ragged import Ragged


@pytest.mark.parametrize("rows, size", [(1000, 100), (1013, 64), (90, 90), (75, 7)])
def test_every_batch_has_its_share_of_every_class(rows, size):
    rng = np.random.default_rng(rows)
    classes = torch.from_numpy(rng.choice(4, rows, p=[0.9, 0.07, 0.02, 0.01]))
    generator = torch.Generator().manual_seed(1)
    order = balanced(torch.randperm(rows, generator=generator), classes, size, generator)
    assert sorted(order.tolist()) == list(range(rows))
    # the classes are those of the rows in the random order
    found = balanced(torch.arange(rows), classes, size, torch.Generator().manual_seed(2))
    batches = rows // size
    kept = classes[found[: batches * size]]
    for label in range(4):
        total = int((kept == label).sum())
        counts = [int((batch == label).sum()) for batch in torch.split(kept, size)]
        assert max(counts) - min(counts) <= 1
        assert sum(count > 0 for count in counts) == min(total, batches)  # as often as it can be


def test_the_rows_left_out_are_a_share_of_every_class():
    classes = torch.tensor([0] * 900 + [1] * 100)
    found = balanced(torch.arange(1000), classes, 300, torch.Generator().manual_seed(0))
    assert int((classes[found[900:]] == 1).sum()) == 10


def test_sorted_texts_keep_their_order_within_a_class_and_spread_the_classes():
    classes = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0])
    order = lengthwise(classes)
    assert order[classes[order] == 1].tolist() == [0, 1]
    assert order[classes[order] == 0].tolist() == [2, 3, 4, 5, 6, 7]
    assert [int(classes[half].sum()) for half in torch.split(order, 4)] == [1, 1]


def _rare(toy, rows=200):
    y = (np.arange(rows) % 20 == 0).astype(np.int64)
    x = np.repeat(toy.train.x[:1], rows, 0)
    return replace(toy, train=Part(x, y), classes=("often", "rare"), outputs=2)


def test_batches_of_a_part_are_stratified_and_repeat_from_their_seed(toy):
    task = _rare(toy)
    data = loader(task, task.train)

    def labels(seed, **more):
        generator = torch.Generator().manual_seed(seed)
        batches = data.shuffled(20, generator, augment=False, stratified=True)
        return [next(batches)[1].tolist() for _ in range(20)]

    assert [sum(each) for each in labels(3)] == [1] * 20  # two passes
    assert labels(3) == labels(3) != labels(4)


def test_a_restored_position_goes_on_with_the_same_stratified_batches(toy):
    task = _rare(toy)
    data = loader(task, task.train)
    generator = torch.Generator().manual_seed(0)
    batches = data.shuffled(20, generator, augment=False, stratified=True)
    for _ in range(13):
        next(batches)
    state = batches.state()
    ahead = [next(batches)[1].tolist() for _ in range(9)]
    again = data.shuffled(20, torch.Generator(), augment=False, stratified=True)
    again.restore(state)
    assert [next(again)[1].tolist() for _ in range(9)] == ahead


def test_texts_of_different_lengths_are_stratified_too(toy):
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 50, rng.integers(1, 90)).tolist() for _ in range(640)]
    y = (np.arange(640) % 16 == 0).astype(np.int64)
    rows: Any = Ragged.of(texts)
    task = replace(toy, mean=(), std=(), classes=("often", "rare"), outputs=2)
    data = loader(task, Part(rows, y))
    batches = data.shuffled(32, torch.Generator().manual_seed(0), augment=False, stratified=True)
    counts = [int(next(batches)[1].sum()) for _ in range(20)]
    assert sum(counts) == 40
    assert min(counts) >= 1


def test_members_of_a_pack_have_the_batches_that_they_have_alone(toy):
    task = _rare(toy)
    data = loader(task, task.train)
    alone = data.shuffled(20, torch.Generator().manual_seed(7), augment=False, stratified=True)

    hyper, random = Hyperparameters(), torch.get_rng_state()
    net = Assembled(Plan((Block("Network", ("x",), "x", ()),)))
    orders = Orders([Member(net, hyper, None, 7, random)], 200, 20, data.y)
    for _ in range(15):
        assert data.y[orders.next()[0]].tolist() == next(alone)[1].tolist()


def test_skewed_classes_are_stratified_by_default_and_others_are_not(toy):
    known = {"stratified": bool, "batch": int}
    assert suggested(_rare(toy), known)["stratified"] is True
    assert "stratified" not in suggested(toy, known)
    assert "stratified" not in suggested(_rare(toy), {"batch": int})


def test_a_quantity_has_no_classes_to_stratify(toy):
    task = replace(toy, classes=(), outputs=1, loss="mse", metric="r2")
    data = loader(task, Part(toy.train.x, toy.train.y.astype(np.float32)))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(1))
    net(data.batch(slice(0, 1))[0])
    with pytest.raises(SettingError, match="stratified=true is for classes"):
        train(net, data, epochs=1, hyper=Hyperparameters(stratified=True), seed=0)
