"""The parts of a resolved configuration: what settings each knows, and the objects made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from .. import registry
from ..execute.worker import Spec
from ..space import Space
from ..strategy import Strategy
from ..strategy.common.phases import Phases
from ..strategy.common.warm import Warm
from ..task import AnyTask
from ..types import Arch
from .settings import fields, grouped

OF_BOTH = ("rounds", "scores", "judged", "reference", "finalists", "batches")  # of `Phases`
OF_PHASES = ("seed", "horizon")  # arguments of `Phases` that are no settings of their own
RUN_SETTINGS = ("epochs", "timeout", "aim")  # of the part `estimator`, read by the run
RULES: dict[str, Any] = {  # settings of several parts, with what their types leave open
    "epochs": Annotated[float, Field(ge=0)],
    "timeout": Annotated[float, Field(gt=0)],
    "aim": Annotated[int, Field(ge=1)],
    "finalists": Annotated[int, Field(ge=1)],
    "share": Annotated[float, Field(ge=0.1, le=0.9)],
    "deliver": Literal["retrain", "continue"],
    "cells": Annotated[int, Field(ge=0)],
    "width": Annotated[int, Field(ge=1)],
    "stages": Annotated[int, Field(ge=1)],
    "stem_stride": Literal[1, 2],
}


def known(part: str, make: Any) -> dict[str, Any]:
    """Return name -> type of the settings of a part.

    Args:
        part: ``space``, ``strategy``, ``estimator`` or ``train``.
        make: what is registered under its name; nothing for ``train``.
    """
    if part == "train":
        own = {"epochs": float, "finalists": int, "share": float, "deliver": str}
        own |= dict.fromkeys(("onnx", "proof", "controls"), bool)
        return _ruled(own) | known_to_network()
    if part == "strategy":
        own = fields(make, without=("epochs", "seed")) | {"warm": int}
        return own | ({"sampler": str | None} if "sampler" in own else {})  # by its name
    if part == "estimator":
        own = fields(make, without=("seed", "device", "delivered"))
        return _ruled(own | dict.fromkeys(RUN_SETTINGS, float))
    return fields(make)


def known_to_network() -> dict[str, Any]:
    """Return name -> type of what can be said of a network's size and its training."""
    from ..network.build import Size
    from ..network.train import Hyperparameters

    return _ruled(fields(Size) | fields(Hyperparameters))


def _ruled(kinds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: RULES.get(name, kind) for name, kind in kinds.items()}


def in_phases(strategy: Any, estimator: Any) -> bool:
    """Whether phases of training come between what a strategy asks for.

    It is so where weights are shared, unless the strategy's own steps train them.
    """
    return "sharing" in estimator.gives and "gradient" not in strategy.needs


def is_stateful(chosen: Mapping[str, Any]) -> bool:
    """Whether the estimator of a resolved configuration carries state between candidates."""
    return bool(registry.find("estimator", chosen["estimator"]["name"]).stateful)


def network_settings(chosen: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return ``size`` and ``hyper`` of a part (``estimator`` or ``train``)."""
    from ..network.build import Size
    from ..network.train import Hyperparameters

    made = {}
    for key, kind in (("size", Size), ("hyper", Hyperparameters)):
        names = {field.name for field in dataclasses.fields(kind)}
        made[key] = kind(**{k: v for k, v in chosen[part].items() if k in names})
    return made


def make_space(chosen: Mapping[str, Any], task: AnyTask) -> Space:
    """Return the space of a resolved configuration."""
    settings = dict(chosen["space"])
    space: Space = registry.make_space(settings.pop("name"), task.facts, settings)
    return space


def in_space(chosen: Mapping[str, Any], arch: Arch) -> dict[str, Any]:
    """Return what a `Job` is told of an architecture: its space, the settings of that, and itself."""
    settings = dict(chosen["space"])
    return {"space": settings.pop("name"), "space_settings": settings, "arch": arch}


def make_strategy(chosen: Mapping[str, Any], space: Space, seed: int) -> Strategy:
    """Return a fresh strategy of a resolved and settled configuration."""
    settings = dict(chosen["strategy"])
    make = registry.find("strategy", settings.pop("name"))
    warm = settings.pop("warm", 0)
    common = {"seed": seed, "epochs": chosen["estimator"]["epochs"]}
    sampler = settings.pop("sampler", None)

    evaluates = registry.find("estimator", chosen["estimator"]["name"])
    if in_phases(make, evaluates):
        outer = {name: settings.pop(name) for name in tuple(settings) if name in OF_BOTH}
        horizon = {"horizon": settings.pop("horizon")} if "horizon" in settings else {}

        def scored(count: int) -> Strategy:
            inner: Strategy = make(space, horizon=count, **settings, **common)
            return inner

        return Phases(scored, space, seed=seed, **outer, **horizon)  # type: ignore[arg-type]

    def over(samples: Space) -> Strategy:
        own = settings | common
        if sampler:
            horizon = {"horizon": settings["horizon"]} if "horizon" in settings else {}
            own["sampler"] = registry.find("strategy", sampler)(samples, **horizon, **common)
        strategy: Strategy = make(samples, **own)
        return strategy

    return Warm(over, space, count=warm, seed=seed) if warm else over(space)


def make_spec(chosen: Mapping[str, Any], task: AnyTask, seed: int, device: str = "cpu") -> Spec:
    """Return what a worker needs."""
    space, estimator = dict(chosen["space"]), dict(chosen["estimator"])
    make = registry.find("estimator", estimator["name"])
    own = {k: v for k, v in estimator.items() if k != "name" and k not in RUN_SETTINGS}
    name = space.pop("name")
    return Spec(task, name, estimator["name"], space, grouped(make, own), seed, device)


def objectives(chosen: Mapping[str, Any], task: AnyTask) -> tuple[str, ...]:
    """Return the metrics that the strategy of a settled configuration keeps low beside the score."""
    if not hasattr(registry.find("strategy", chosen["strategy"]["name"]), "objectives"):
        return ()
    strategy = make_strategy(chosen, make_space(chosen, task), 0)
    return tuple(getattr(strategy, "objectives", ()))
