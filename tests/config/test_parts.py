"""From a resolved configuration to objects."""

from typing import Any

from tests.helpers_resolve import settled

from evolvent.config.defaults import at_most
from evolvent.config.parts import make_space, make_spec, make_strategy


def test_the_parts_get_what_was_resolved(toy):
    found = settled(
        toy,
        budget="60t",
        recipe="amoebanet",
        set={"estimator": {"width": 3, "lr": 0.01, "keep": True}, "space": {"nodes": 2}},
    )
    space: Any = make_space(found, toy)
    strategy: Any = make_strategy(found, space, 7)
    assert (space.nodes, strategy.seed, strategy.budget.epochs) == (
        2,
        7,
        at_most("trials", toy, 32),
    )
    spec = make_spec(found, toy, 7)
    assert spec.estimator_settings["size"].width == 3
    assert spec.estimator_settings["hyper"].lr == 0.01
    assert spec.estimator_settings["keep"] is True
    estimator: Any = spec().estimator
    assert (estimator.seed, estimator.size.width) == (7, 3)


def test_an_estimator_that_knows_the_cpu_only_need_not_name_it(toy):
    found = settled(toy, budget="5t")
    assert make_spec(found, toy, 0).device == "cpu"
    estimator: Any = make_spec(found, toy, 0, "meta")().estimator
    assert estimator.device == "meta"
