"""What trainings take, foretold from the work of networks."""

import dataclasses

import pytest

from evolvent.network.build import Size, plan
from evolvent.network.cost import cost
from evolvent.network.paces import USUAL, Paces, Work, fitted, work_of
from evolvent.network.train import Hyperparameters, mean_area
from evolvent.space.cell201 import Cell201
from evolvent.space.plain import Plain
from evolvent.space.tabular import Tabular
from evolvent.space.tabular_members import GOOD
from evolvent.testing import small_task

HYPER, SIZE = Hyperparameters(), Size(stages=2)
WORKS = [Work(1e6 * k, 1e4 * (k % 3 + 1), 10.0 * (k % 4 + 1)) for k in range(1, 9)]


def test_the_work_of_a_network_is_counted(toy):
    work = work_of(Plain(), (4,), toy, size=SIZE, hyper=HYPER)
    assert work.flops == cost(plan(Plain(), (4,), toy, SIZE), toy).flops
    assert work.numbers > 4 * 8 * 8  # the first convolution alone writes as many
    assert work.calls >= 5
    wider = work_of(Plain(), (8,), toy, size=SIZE, hyper=HYPER)
    assert wider.flops > work.flops
    assert wider.numbers > work.numbers
    assert wider.calls == work.calls


def test_smaller_images_at_the_beginning_are_less_work(toy):
    whole = work_of(Plain(), (4,), toy, size=SIZE, hyper=HYPER)
    half = dataclasses.replace(HYPER, resize=0.5)
    less = work_of(Plain(), (4,), toy, size=SIZE, hyper=half)
    assert less.flops == pytest.approx(whole.flops * mean_area(0.5))
    assert less.calls == whole.calls


def test_a_batch_of_its_own_shares_the_calls_among_more_examples():
    task = small_task("numbers")
    space = Tabular((5,), 3)

    def work(batch):
        arch = space.checked(tuple((GOOD | {"batch": batch}).values()))
        return work_of(space, arch, task, size=SIZE, hyper=HYPER)

    assert HYPER.batch == 128
    assert work(512).calls == work(128).calls / 4
    assert (work(512).flops, work(512).numbers) == (work(128).flops, work(128).numbers)


def test_a_training_sees_one_view_of_an_image(toy):
    once = work_of(Plain(), (4,), toy, size=SIZE, hyper=HYPER)
    views = dataclasses.replace(SIZE, views=6)
    assert work_of(Plain(), (4,), toy, size=views, hyper=HYPER) == once


def test_paces_that_were_there_are_found_again():
    true = Paces(flop=3e-11, number=5e-9, call=2e-6)
    found = fitted([(work, true.of(work)) for work in WORKS])
    for name, value in true.to_json().items():
        assert found.to_json()[name] == pytest.approx(value, rel=1e-6)
    assert Paces.from_json(found.to_json() | {"unit": 1.0}) == found


def test_no_pace_is_below_nothing_whatever_was_measured():
    noisy = [
        (work, 1e-5 * (1 + 0.9 * (-1) ** place) / (place + 1)) for place, work in enumerate(WORKS)
    ]
    found = fitted(noisy)
    assert min(found.to_json().values()) >= 0
    assert max(found.to_json().values()) > 0


def test_one_measurement_is_enough_for_a_guess():
    work = Work(1e6, 1e4, 10.0)
    assert fitted([(work, 1e-3)]).of(work) == pytest.approx(1e-3)


def test_usual_paces_put_a_larger_network_behind_a_smaller_one(toy):
    space = Cell201()
    big, small = (
        work_of(space, arch, toy, size=SIZE, hyper=HYPER)
        for arch in (("nor_conv_3x3",) * 6, ("skip_connect",) * 6)
    )
    assert USUAL.of(big) > 2 * USUAL.of(small)
