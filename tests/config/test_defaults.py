"""What the data themselves suggest."""

import math
import types
from typing import Any

import pytest

from evolvent.config.defaults import EPOCHS, EPOCHS_OF_IMAGES, STEPS, UNCLOCKED, at_most


@pytest.mark.parametrize(("what", "steps"), STEPS.items())
def test_small_data_are_trained_for_some_steps_and_large_ones_for_some_epochs(what, steps, toy):
    bound = UNCLOCKED[what] if what == "trials" else math.inf  # where no clock bounds them
    many: Any = types.SimpleNamespace(train=range(64_000), kind="numbers")
    images: Any = types.SimpleNamespace(train=range(64_000), kind="image")
    assert at_most(what, toy, 27) == min(steps / 2, bound)  # [epochs]; 54 examples are two batches
    assert at_most(what, toy, 1000) == min(steps, bound)
    assert at_most(what, many, 64) == EPOCHS[what]
    assert at_most(what, images, 64) == EPOCHS_OF_IMAGES.get(what, EPOCHS[what])
