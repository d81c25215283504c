"""Hard limits: checked before any training, on the network that will be delivered."""

import pytest

from evolvent.config.request import Request
from evolvent.config.resolve import resolve
from evolvent.engine import limits
from evolvent.engine.limits import Limits
from evolvent.errors import InvalidArchitecture
from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost, params
from evolvent.space.cell201 import Cell201
from evolvent.types import Candidate

BIG, SMALL = ("nor_conv_3x3",) * 6, ("skip_connect",) * 6


def reason(toy, arch, settings=None, **wanted):
    given = {"estimator": {"width": 4}} | (settings or {})
    draft = resolve(Request("toy", recipe="plain-cells", set=given, **wanted), toy)
    return Limits(draft).reason(Candidate(0, arch))


def size_of(toy, arch, width=4):
    return cost(
        plan(Cell201(), arch, toy, Size(cells=1, width=width, stages=2, reduction="conv")), toy
    )


@pytest.mark.parametrize(("what", "name"), [("params", "parameters"), ("flops", "FLOPs")])
def test_a_limit_lets_through_what_just_fits_and_says_what_does_not(toy, what, name):
    exact = getattr(size_of(toy, BIG), what)
    assert reason(toy, BIG, **{f"max_{what}": exact}) is None
    refused = reason(toy, BIG, **{f"max_{what}": exact - 1})
    assert f"{exact:,} {name}" in refused
    assert f"{exact - 1:,}" in refused
    assert reason(toy, SMALL, **{f"max_{what}": exact - 1}) is None


def test_what_counts_is_the_network_as_it_will_be_delivered(toy):
    exact = size_of(toy, BIG).params
    assert reason(toy, BIG, {"train": {"width": 8}}, max_params=exact) is not None
    assert reason(toy, BIG, {"train": {"width": 8}}, max_params=size_of(toy, BIG, 8).params) is None


def test_the_parameters_are_those_of_the_trained_network(toy):
    net = build(Cell201(), BIG, toy, Size(cells=1, width=4, stages=2, reduction="conv"))
    assert size_of(toy, BIG).params == params(net)


def test_a_limit_on_the_latency_is_measured(toy):
    assert reason(toy, SMALL, max_latency_ms=10_000.0) is None
    assert "the limit is 1e-06 ms" in reason(toy, SMALL, max_latency_ms=1e-6)


def test_every_limit_counts(toy):
    loose = {"max_params": 10**9, "max_flops": 10**12, "max_latency_ms": 1e5}
    assert reason(toy, BIG, **loose) is None
    for name in loose:
        assert reason(toy, BIG, **loose | {name: 1e-6}) is not None


@pytest.mark.parametrize("error", [InvalidArchitecture("no path"), RuntimeError("bad shape")])
def test_what_cannot_be_built_is_refused_with_its_reason(toy, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(limits, "cost", fail)
    assert reason(toy, BIG, max_params=1) == f"it cannot be built: {error}"
