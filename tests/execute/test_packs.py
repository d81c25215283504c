"""Final trainings of several seeds at once: the same networks as alone, and no later than asked."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolvent.execute import worker
from evolvent.execute.packs import fit_pack
from evolvent.execute.worker import Job, Spec
from evolvent.network.build import Size
from evolvent.network.packing import Packing
from evolvent.network.train import Hyperparameters
from evolvent.space.tabular_members import GOOD
from evolvent.testing import small_task

TASK = small_task("numbers")
CONTEXT = Spec(TASK, "tabular", "packed", estimator_settings={"folds": 0})()
ARCH = CONTEXT.space.checked(tuple((GOOD | {"batch": 32, "most_epochs": 5}).values()))  # type: ignore[attr-defined]
HYPER = Hyperparameters(batch=32, optimizer="adamw", lr=3e-3)


def jobs(count: int, **more: Any) -> list[Job]:
    given: Any = {"arch": ARCH, "size": Size(), "hyper": HYPER, "epochs": 8.0, "everything": True}
    return [Job(f"pack-{at}", seed=40 + at, **given | more) for at in range(count)]


def test_each_network_is_the_one_that_its_seed_gives_alone():
    found = fit_pack(CONTEXT, jobs(3))
    assert [each.numbers["seed"] for each in found] == [40, 41, 42]
    for outcome, job in zip(found, jobs(3), strict=True):
        alone = worker.fit(CONTEXT, job)
        assert (
            outcome.numbers["epochs"] == alone.numbers["epochs"] == 5.0
        )  # its architecture's most
        assert outcome.numbers["examples"] == alone.numbers["examples"]
        assert outcome.state.keys() == alone.state.keys()
        for name, value in alone.state.items():
            assert np.allclose(outcome.state[name], value, atol=1e-4), name


def test_what_cannot_be_packed_is_not_trained():
    muon = ARCH[:14] + ("muon", *ARCH[15:])
    assert fit_pack(CONTEXT, jobs(2, arch=muon)) == []


@pytest.mark.parametrize(("left", "count"), [(1000.0, 8), (90.0, 4), (1.0, 0)])
def test_as_many_are_trained_as_there_is_time_for(monkeypatch, left, count):
    now, inner = [0.0], Packing.step

    def step(self):
        now[0] += len(self.pack)  # a second for every network
        inner(self)

    monkeypatch.setattr(Packing, "step", step)
    monkeypatch.setattr("evolvent.execute.packs.time.monotonic", lambda: now[0])
    given = [replace(job, deadline=left, epochs=2.0) for job in jobs(8)]
    assert len(fit_pack(CONTEXT, given)) == count


def test_a_pack_that_comes_too_late_is_left_out():
    late = time.monotonic() - 1
    assert fit_pack(CONTEXT, jobs(2, deadline=late)) == []
