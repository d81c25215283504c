"""Fixtures for all tests."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from evolvent.deliver import onnx as onnx_export
from evolvent.task import Part, Task, fetching
from evolvent.task.images import image_task
from evolvent.task.named import load

# How fast this machine is today decides nothing.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """One thread: tests share the machine, and results are bit-exact at equal numbers of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_onnx():
    """Runs of tests write no ONNX, which takes seconds of each: its own tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "available", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network(tmp_path_factory):
    """No test fetches anything from a real site, or finds what a user of this machine fetched."""
    nowhere = {
        name: dataclasses.replace(
            public,
            sources=tuple(
                dataclasses.replace(source, places=("http://127.0.0.1:9/",))
                for source in public.sources
            ),
        )
        for name, public in fetching.SETS.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "SETS", nowhere)
        patch.setenv("EVOLVENT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


def make_toy(n=96, channels=1, size=8, seed=0) -> Task:
    """Images whose class is the corner that is bright: easy to tell apart, with some noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 60, (n, size, size, channels), np.uint8), np.arange(n) % 3
    half = size // 2
    for corner, (row, column) in enumerate(((0, 0), (0, half), (half, 0))):
        x[y == corner, row : row + half, column : column + half] += 150
    return image_task("toy", x, y, flip=False, validation=0.25)


@pytest.fixture(scope="session")
def toy() -> Task:
    """Three classes of 8 x 8 grey images, a few dozen of each."""
    return make_toy()


@pytest.fixture(scope="session")
def digits() -> Task:
    """The built-in digits."""
    return load("digits")


@pytest.fixture(scope="session")
def poisoned(toy: Task) -> Task:
    """The toy with other test data of the same form."""
    assert toy.test is not None
    wrong = Part(255 - toy.test.x, (toy.test.y + 1) % toy.outputs)
    return dataclasses.replace(toy, test=wrong)
