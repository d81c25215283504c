"""Folds: every row is held out once per repeat, classes are spread evenly."""

from dataclasses import replace

import numpy as np
import pytest

from evolvent.network.folds import folds_of, standard_error
from evolvent.testing import small_task

TASK = small_task("numbers")  # 96 rows to train and validate on, 32 of each class


@pytest.mark.parametrize("folds", [2, 5, 7])
def test_every_row_is_held_out_once_per_repeat(folds):
    found = folds_of(TASK, folds, 3, seed=1)
    assert len(found) == 3 * folds
    for repeat in range(3):
        own = found[repeat * folds : (repeat + 1) * folds]
        held = np.concatenate([fold.held_out for fold in own])
        assert sorted(held) == list(range(96))
        sizes = [len(fold.held_out) for fold in own]
        assert max(sizes) - min(sizes) <= 1
        for fold in own:
            assert sorted([*fold.training, *fold.held_out]) == list(range(96))
    assert not np.array_equal(found[0].held_out, found[folds].held_out)


def test_classes_are_spread_evenly():
    y = np.concatenate([TASK.train.y, TASK.validation.y])
    for fold in folds_of(TASK, 5, 2, seed=0):
        counts = np.bincount(y[fold.held_out], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_folds_are_those_of_the_seed_and_of_no_class_for_a_quantity():
    def held(task, seed):
        return [fold.held_out.tolist() for fold in folds_of(task, 4, 1, seed)]

    assert held(TASK, 3) == held(TASK, 3)
    assert held(TASK, 3) != held(TASK, 4)
    assert held(replace(TASK, classes=()), 3) != held(TASK, 3)


def test_repeats_do_not_lower_the_standard_error():
    scores = [0.7, 0.8, 0.9, 0.8]
    once = standard_error(scores, 4)
    assert once == pytest.approx(np.std(scores, ddof=1) / 2)
    assert standard_error(scores * 9, 4) == pytest.approx(once, rel=0.15)
    assert standard_error([0.7], 4) == 0.0
