"""The three parts of a search: what is registered under their names, with settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import registry
from ..space import Space, capabilities
from ..strategy import Strategy
from ..strategy.common.known import Known
from ..strategy.common.phases import Phases
from ..strategy.common.warm import Warm
from ..types import Facts

OF_PHASES = ("rounds", "scores", "judged", "reference", "finalists", "batches")


@dataclass(frozen=True)
class Component:
    """A part of a search: what is registered under a name, with settings.

    Args:
        axis: ``space``, ``strategy`` or ``estimator``.
        name: registered, or ``module:Name``.
        settings: keyword arguments of it, groups of settings spelled out.
    """

    axis: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def make(self) -> Any:
        """The class, looked up once."""
        return registry.find(self.axis, self.name)

    def having(self, **settings: Any) -> Component:
        """Return the same part with further settings."""
        return self.with_settings({**self.settings, **settings})

    def with_settings(self, settings: Mapping[str, Any]) -> Component:
        """Return the same part with these settings alone."""
        changed = dataclasses.replace(self, settings=settings)
        vars(changed)["make"] = self.make  # looked up once
        return changed

    def to_json(self) -> dict[str, Any]:
        """Return name and settings as one flat dictionary."""
        return {"name": self.name, **self.settings}

    @staticmethod
    def from_json(axis: str, data: Mapping[str, Any], without: tuple[str, ...] = ()) -> Component:
        """Return the part that `to_json` wrote."""
        settings = {k: v for k, v in data.items() if k != "name" and k not in without}
        return Component(axis, str(data.get("name", "")), settings)


@dataclass(frozen=True)
class Parts:
    """The three parts of a search."""

    space: Component
    strategy: Component
    estimator: Component

    @property
    def names(self) -> tuple[str, str, str]:
        """Names of space, strategy and estimator."""
        return (self.space.name, self.strategy.name, self.estimator.name)

    @property
    def stateful(self) -> bool:
        """Whether the estimator holds state between candidates: one process evaluates them in turn."""
        return bool(self.estimator.make.stateful)

    @property
    def phased(self) -> bool:
        """Whether phases of training come between what the strategy asks for.

        It is so where weights are shared, unless the strategy's own steps train them.
        """
        shares = "sharing" in self.estimator.make.gives
        return shares and "gradient" not in self.strategy.make.needs

    def having(self, axis: str, **settings: Any) -> Parts:
        """Return the same parts, one of them with further settings."""
        return dataclasses.replace(self, **{axis: getattr(self, axis).having(**settings)})


def make_strategy(
    parts: Parts, space: Space, facts: Facts, *, seed: int, epochs: float, horizon: int
) -> Strategy:
    """Return a fresh strategy, as its settings say: in phases, after a warm start, from known members.

    Args:
        parts: of the search.
        space: that it searches.
        facts: of the data, for known members.
        seed: of its search.
        epochs: of a candidate. [epochs]
        horizon: of its schedules. [count]
    """
    make, settings = parts.strategy.make, dict(parts.strategy.settings)
    warm, sampler = settings.pop("warm", 0), settings.pop("sampler", None)
    known = settings.pop("known", False)
    common: dict[str, Any] = {"seed": seed, "epochs": epochs}
    if parts.phased:
        outer = {name: settings.pop(name) for name in tuple(settings) if name in OF_PHASES}

        def scored(count: int) -> Strategy:
            inner: Strategy = make(space, horizon=count, **settings, **common)
            return inner

        phases: Any = Phases  # a space of another kind was refused before
        in_phases: Strategy = phases(scored, space, seed=seed, horizon=horizon, **outer)
        return in_phases

    def over(samples: Space, trials: int = horizon) -> Strategy:
        own = settings | common | {"horizon": trials}
        if sampler:
            drawn = registry.find("strategy", sampler)
            own["sampler"] = drawn(samples, **common, horizon=trials)
        strategy: Strategy = make(samples, **own)
        return strategy

    if known:
        members = capabilities.known(space).known(facts)
        return Known(over, space, members, epochs=epochs, horizon=horizon)
    return Warm(over, space, count=warm, seed=seed) if warm else over(space)
