"""Batches: every example once per pass, normalised, changed only as the task allows."""

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch

from evolvent.network.data import Resident
from evolvent.task import Part


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_rules(task, **rules):
    """The training part of a task whose images may be changed as `rules` say."""
    return Resident(dataclasses.replace(task, augment=rules), task.train)


def changed(task, **rules):
    """The first batch of 32 as it is, and as it is after `rules`."""
    data = with_rules(task, **rules)
    order = torch.randperm(len(data), generator=generator())[:32]
    x, _ = next(data.shuffled(32, generator(), augment=True))
    return data.batch(order)[0], x


# ---- batches -------------------------------------------------------------------------------------


def test_in_order_is_the_whole_part_once(toy):
    data = Resident(toy, toy.train)
    sizes, targets = [], []
    for x, y in data.in_order(16):
        sizes.append(len(x))
        targets += y.tolist()
    assert targets == toy.train.y.tolist()
    assert sizes == [16] * (len(data) // 16) + ([len(data) % 16] if len(data) % 16 else [])


@pytest.mark.parametrize("size", [1, 7, 16, 10_000])
def test_every_example_comes_once_per_pass_but_for_a_short_rest(toy, size):
    x = np.arange(len(toy.train), dtype=np.float32).reshape(-1, 1, 1, 1)
    task = dataclasses.replace(toy, mean=(0.0,), std=(1.0,), scale=1.0)
    data = Resident(task, Part(x, toy.train.y))
    used = min(size, len(data))
    per_pass = len(data) // used
    batches = list(islice(data.shuffled(size, generator(), augment=False), 2 * per_pass))
    assert all(len(batch) == len(y) == used for batch, y in batches)
    numbers = [int(number) for batch, _ in batches for number in batch.flatten()]
    half = len(numbers) // 2
    for one_pass in (numbers[:half], numbers[half:]):
        assert len(set(one_pass)) == len(one_pass) == per_pass * used
    assert used == 1 or numbers[:half] != numbers[half:]
    targets = [int(target) for _, y in batches for target in y]
    assert targets == [int(toy.train.y[number]) for number in numbers]


def test_the_order_and_the_changes_depend_on_the_generator_alone(toy):
    data = with_rules(toy, flip=True, shift=2, cutout=3)

    def three(seed):
        torch.rand(seed)  # the global generator does not matter
        return [x for x, _ in islice(data.shuffled(16, generator(seed), augment=True), 3)]

    assert all(map(torch.equal, three(1), three(1)))
    assert not torch.equal(three(1)[0], three(2)[0])


def test_a_batch_is_channels_last_and_float(toy):
    data = with_rules(toy, flip=True, shift=1, cutout=3)
    for x, y in (data.batch(slice(0, 8)), *islice(data.shuffled(8, generator(), augment=True), 2)):
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert x.shape == (8, *toy.input_shape)
        assert x.is_contiguous(memory_format=torch.channels_last)


# ---- normalisation -------------------------------------------------------------------------------


def test_the_training_part_has_mean_0_and_standard_deviation_1(toy):
    x, _ = Resident(toy, toy.train).batch(slice(None))
    assert float(x.double().mean()) == pytest.approx(0, abs=1e-6)
    assert float(x.double().std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_every_channel_is_normalised_by_its_own_numbers(toy):
    task = dataclasses.replace(
        toy, input_shape=(2, 1, 1), mean=(0.25, 0.5), std=(0.5, 0.1), scale=200.0
    )
    part = Part(np.array([[[[50, 120]]], [[[150, 100]]]], np.uint8), np.array([0, 1]))
    x, _ = Resident(task, part).batch(slice(None))
    expected = [[(50 / 200 - 0.25) / 0.5, (120 / 200 - 0.5) / 0.1], [1.0, 0.0]]
    assert x.flatten(1).tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


def test_validation_images_are_normalised_by_the_training_part(toy):
    x, _ = Resident(toy, toy.validation).batch(slice(None))
    raw = torch.from_numpy(toy.validation.x).permute(0, 3, 1, 2).double()
    expected = (raw / toy.scale - toy.mean[0]) / toy.std[0]
    assert torch.allclose(x.double(), expected, atol=1e-5)


def test_arrays_that_may_not_be_written_to_are_fine(toy):
    x, y = toy.train.x.copy(), toy.train.y.copy()
    x.flags.writeable = y.flags.writeable = False
    data = Resident(toy, Part(x, y))  # a warning would be an error here
    assert len(data) == len(y)


# ---- changes -------------------------------------------------------------------------------------


def test_without_rules_nothing_changes(toy):
    before, after = changed(toy)
    assert torch.equal(before, after)


def test_without_augmentation_nothing_changes(toy):
    data = with_rules(toy, flip=True, shift=2, cutout=4)
    order = torch.randperm(len(data), generator=generator())[:32]
    x, _ = next(data.shuffled(32, generator(), augment=False))
    assert torch.equal(x, data.batch(order)[0])


def test_a_flip_mirrors_about_half_of_the_images_left_to_right(toy):
    before, after = changed(toy, flip=True)
    kept = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    mirrored = [torch.equal(one.flip(2), other) for one, other in zip(before, after, strict=True)]
    assert all(one != other for one, other in zip(kept, mirrored, strict=True))
    assert 6 <= sum(mirrored) <= 26  # of 32; outside with a chance of 1 in 1,000


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_shift_moves_every_image_by_up_to_so_many_pixels_and_fills_with_the_mean(toy, pixels):
    before, after = changed(toy, shift=pixels)
    height, width = before.shape[2:]
    offsets = set()
    for one, other in zip(before, after, strict=True):
        padded = torch.nn.functional.pad(one, (pixels,) * 4)  # zero is the mean
        found = [
            (row, column)
            for row in range(2 * pixels + 1)
            for column in range(2 * pixels + 1)
            if torch.equal(padded[:, row : row + height, column : column + width], other)
        ]
        assert found
        offsets.add(found[0])
    assert {row for row, _ in offsets} == {column for _, column in offsets}
    assert {row for row, _ in offsets} == set(range(2 * pixels + 1))


@pytest.mark.parametrize("pixels", [2, 5])
def test_a_cutout_blanks_one_square_per_image(toy, pixels):
    before, after = changed(toy, cutout=pixels)
    areas = []
    for one, other in zip(before, after, strict=True):
        blank = (other == 0).all(0)
        rows, columns = blank.any(1), blank.any(0)
        assert torch.equal(blank, rows[:, None] & columns[None, :])  # a rectangle
        assert torch.equal(other[:, ~blank], one[:, ~blank])
        assert max(int(rows.sum()), int(columns.sum())) <= pixels
        assert rows.nonzero().diff(dim=0).eq(1).all()
        areas.append(int(blank.sum()))
    assert max(areas) == pixels**2  # unless it lies at the edge
    assert min(areas) < pixels**2


def test_all_changes_can_be_combined(toy):
    before, after = changed(toy, flip=True, shift=1, cutout=2)
    assert before.shape == after.shape
    assert after.isfinite().all()


@pytest.mark.parametrize("seen", [0, 3, 8, 11])
def test_batches_go_on_from_a_state_wherever_it_was_taken(toy, seen):
    data = with_rules(toy, shift=2, flip=True)
    batches = data.shuffled(16, generator(), augment=True)
    list(islice(batches, seen))
    state = batches.state()
    expected = list(islice(batches, 12))
    other = data.shuffled(16, generator(99), augment=True)
    other.restore(state)
    for (x, y), (also, labels) in zip(expected, islice(other, 12), strict=True):
        assert torch.equal(x, also) and torch.equal(y, labels)
