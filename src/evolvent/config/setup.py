"""The setup of a run: one frozen object from the request to the delivered network.

`resolve` makes a `Draft` of a request and its data: the parts by name with their settings, checked
against each other. `pacing` adds the `Schedule`, which depends on the budget and on the clock. The
`Setup` that comes of it is written to ``config.yaml`` once, and read from there ever after.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from .. import registry
from ..space import Space
from ..strategy import Strategy
from ..types import Facts
from .config_file import FORMAT
from .parts import Component, Parts, make_strategy
from .request import Request
from .settable import OF_THE_RUN
from .settings import RunBudget, grouped

if TYPE_CHECKING:  # readers of runs need no torch
    from ..execute.worker import Context, Spec
    from ..network.build import Size
    from ..network.paces import Paces
    from ..network.train import Hyperparameters


@dataclass(frozen=True)
class NetworkSettings:
    """Size and training of a network."""

    size: Size
    hyper: Hyperparameters

    @staticmethod
    def of(settings: Mapping[str, Any]) -> NetworkSettings:
        """Return it from flat settings; those that concern neither are left out."""
        from ..network.build import Size
        from ..network.train import Hyperparameters

        def own(kind: type) -> dict[str, Any]:
            names = {each.name for each in dataclasses.fields(kind)}
            return {name: value for name, value in settings.items() if name in names}

        return NetworkSettings(Size(**own(Size)), Hyperparameters(**own(Hyperparameters)))


@dataclass(frozen=True)
class FinalTraining:
    """The part ``train``: how networks are trained at the end, and what is delivered with them.

    Args:
        settings: of size and training; those that are not given are the search's.
        epochs: of every final training; None is what the budget allows. [epochs]
        finalists: trained for the choice; None is a few. [count]
        share: of a budget in seconds that the delivery gets; None is the default. [0.1..0.9]
        controls: whether controls are trained beside the winner.
        onnx: whether ``model.onnx`` is written.
        proof: whether the export is run in a process of its own.
        ensemble: whether several trained networks may be delivered as one, where that pays.
        calibrate: whether a temperature of the probabilities is found, on validation rows that final
            trainings leave out.
        ngrams: of running text, whether n-grams may be delivered beside the network.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    finalists: int | None = None
    share: float | None = None
    controls: bool = True
    onnx: bool = True
    proof: bool = True
    ensemble: bool = False
    calibrate: bool = True
    ngrams: bool = True

    @cached_property
    def network(self) -> NetworkSettings:
        """Size and training of the delivered network."""
        return NetworkSettings.of(self.settings)

    def having(self, **settings: Any) -> FinalTraining:
        """Return the same with some settings of size and training in place of its own."""
        return dataclasses.replace(self, settings={**self.settings, **settings})

    def to_json(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults as one flat dictionary."""
        own = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name != "settings" and getattr(self, each.name) != each.default
        }
        return {**self.settings, **own}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> FinalTraining:
        """Return the final training that `to_json` wrote."""
        names = {each.name for each in dataclasses.fields(FinalTraining)} - {"settings"}
        own = {name: value for name, value in data.items() if name in names}
        return FinalTraining({k: v for k, v in data.items() if k not in names}, **own)


@dataclass(frozen=True)
class Schedule:
    """The settings that depend on the budget and the clock: settled once per run.

    Args:
        epochs: of a candidate; of a search on shared weights, of these. [epochs]
        timeout: of one evaluation. [s]
        horizon: trials that schedules are stretched over; on shared weights, epochs of these. [count]
        search_seconds: of the search, the rest of the budget is the delivery's; None has no limit. [s]
        threads: of a search that is one process. [count]
        measured: paces that it was settled by, by name. [s]
        slowest: training per example of the slowest network that the final training has time for;
            slower ones are refused. None has no limit. [s]
    """

    epochs: float
    timeout: float
    horizon: int
    search_seconds: float | None = None
    threads: int = 1
    measured: Mapping[str, float] = field(default_factory=dict)
    slowest: float | None = None


@dataclass(frozen=True)
class Stretch:
    """A later stretch of a run, which was given more budget.

    Args:
        budget: of the whole run from here on, as the user said it.
        horizon: trials that the strategy plans for, those before among them. [count]
        since: events of the log before it. [count]
    """

    budget: str
    horizon: int
    since: int


@dataclass(frozen=True)
class Asked:
    """The part of the schedule that user or recipe fix; None is left to the budget.

    Args:
        epochs: of a candidate. [epochs]
        timeout: of one evaluation. [s]
        horizon: of the strategy's schedules. [count]
    """

    epochs: float | None = None
    timeout: float | None = None
    horizon: int | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A request resolved for its data; only the schedule is missing.

    Args:
        request: of the user.
        recipe: name of the recipe, or of the three parts where they are no recipe's.
        deliver: how the winner is delivered: ``retrain``, ``continue`` or ``as-is``.
        parts: space, strategy and estimator.
        train: the final training.
        task: the data; None where a run is read without them.
        asked: what was said of the schedule.
    """

    request: Request
    recipe: str
    deliver: str
    parts: Parts
    train: FinalTraining
    task: Any = field(default=None, compare=False, repr=False)
    asked: Asked = field(default=Asked(), compare=False)

    @cached_property
    def space(self) -> Space:
        """The space, made once."""
        part = self.parts.space
        made: Space = registry.build_space(part.name, part.make, self.facts, part.settings)
        return made

    @property
    def facts(self) -> Facts:
        """The facts of the data."""
        found: Facts = self.task.facts
        return found

    @cached_property
    def network(self) -> NetworkSettings:
        """Size and training of the networks of the search."""
        return NetworkSettings.of(self.parts.estimator.settings)

    @property
    def widens(self) -> bool:
        """Whether the delivered network is wider than the candidates of the search."""
        return self.network.size.widen != self.train.network.size.widen

    @property
    def equal_seconds(self) -> bool:
        """Whether candidates of equal budgets are trained equally long in seconds."""
        return self.parts.estimator.settings.get("equal") == "seconds"

    @property
    def paces(self) -> Paces | None:
        """The seconds of a training for a network's work, where trainings are equal in seconds."""
        from ..network.paces import Paces

        found = self.parts.estimator.settings.get("pace")
        return Paces.from_json(found) if found else None

    @cached_property
    def spec(self) -> Spec:
        """Everything a worker needs, with the data."""
        from ..execute.worker import Spec

        space, estimator = self.parts.space, self.parts.estimator
        own = {k: v for k, v in estimator.settings.items() if k not in OF_THE_RUN}
        return Spec(
            self.task,
            space.name,
            estimator.name,
            space.settings,
            grouped(estimator.make, own),
            self.request.seed,
            self.request.device,
        )

    def context(self) -> Context:
        """Return the context that a worker makes of `spec`, for this process and with its space."""
        from ..execute.worker import Context

        return Context(self.spec, self.space, self.spec.make_estimator(self.space, self.spec.seed))

    def on(self, task: Any) -> Self:
        """Return the same for (other) data."""
        return dataclasses.replace(self, task=task)

    def having(self, parts: Parts, train: FinalTraining | None = None) -> Self:
        """Return the same with parts of other settings; the space stays the one that was made.

        Args:
            parts: in place of its own.
            train: in place of its own final training; None keeps that.
        """
        changed = dataclasses.replace(self, parts=parts, train=train or self.train)
        self._pass_on_space(changed)
        return changed

    def _pass_on_space(self, other: Draft) -> None:
        """Let another draft over the same space and data have the space that was made."""
        if "space" in vars(self) and other.parts.space == self.parts.space:
            vars(other)["space"] = self.space

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the data, and without what was made of them."""
        names = {each.name for each in dataclasses.fields(self)}
        return {name: value for name, value in vars(self).items() if name in names} | {"task": None}


@dataclass(frozen=True, kw_only=True)
class Setup(Draft):
    """All that a run was settled on: what ``config.yaml`` holds.

    Args:
        schedule: what depends on the budget and the clock; its horizon is the first stretch's.
        budget: of the whole run, all stretches.
        data: what is known of the data: kind, counts, shapes, notes, fingerprint.
        read: settings of the data's reader that were found out, such as ``kind``.
        versions: of what a result depends on.
        stretches: in which it was given more budget; mostly none.
    """

    schedule: Schedule
    budget: RunBudget
    data: Mapping[str, Any] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    stretches: tuple[Stretch, ...] = ()

    @staticmethod
    def of(draft: Draft, schedule: Schedule, budget: RunBudget) -> Setup:
        """Return a draft with its schedule."""
        own = {each.name: getattr(draft, each.name) for each in dataclasses.fields(Draft)}
        setup = Setup(schedule=schedule, budget=budget, **own)
        draft._pass_on_space(setup)
        return setup

    def described(
        self, *, data: Mapping[str, Any], read: Mapping[str, Any], versions: Mapping[str, str]
    ) -> Setup:
        """Return the same with what is known of its data and of the machine."""
        told = dataclasses.replace(self, data=data, read=read, versions=versions)
        self._pass_on_space(told)
        return told

    def strategy(self, *, seed: int | None = None, space: Space | None = None) -> Strategy:
        """Return the strategy, fresh.

        Args:
            seed: of its search; None is the run's.
            space: that it searches; None is the run's.
        """
        return make_strategy(
            self.parts,
            space or self.space,
            self.facts,
            seed=self.request.seed if seed is None else seed,
            epochs=self.schedule.epochs,
            horizon=self.schedule.horizon,
        )

    @property
    def facts(self) -> Facts:
        """The facts of the data, also where these are not at hand."""
        return Facts.from_json(self.data) if self.task is None else super().facts

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """Metrics that the strategy keeps low beside a high score; mostly none."""
        if not hasattr(self.parts.strategy.make, "objectives"):
            return ()
        return tuple(getattr(self.strategy(), "objectives", ()))

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Metrics of results that the strategy reads in place of the score; mostly none."""
        if not hasattr(self.parts.strategy.make, "reads"):
            return ()
        return tuple(getattr(self.strategy(), "reads", ()))

    @property
    def budgets(self) -> tuple[str, ...]:
        """The budgets that were asked for, one after the other; the last one holds."""
        return (self.request.budget, *(each.budget for each in self.stretches))

    @property
    def horizons(self) -> tuple[tuple[int, int], ...]:
        """Of every later stretch: events of the log before it, and its horizon. [count, trials]"""
        return tuple((each.since, each.horizon) for each in self.stretches)

    @property
    def task_settings(self) -> dict[str, Any]:
        """Settings of the data's reader: those of the user, and those found out."""
        return self.request.said("task") | dict(self.read)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, in the layout of ``config.yaml``."""
        schedule = self.schedule
        strategy = {"horizon": schedule.horizon} | self.parts.strategy.to_json()
        lengths = {"epochs": schedule.epochs, "timeout": schedule.timeout}
        told = {
            "format": FORMAT,
            "request": self.request.to_json(),
            "seed": self.request.seed,
            "data": dict(self.data),
            "versions": dict(self.versions),
            "recipe": self.recipe,
            "deliver": self.deliver,
            "space": self.parts.space.to_json(),
            "strategy": strategy,
            "estimator": self.parts.estimator.to_json() | lengths,
            "train": self.train.to_json(),
            "budget": dataclasses.asdict(self.budget) | {"search_seconds": schedule.search_seconds},
            "slowest": schedule.slowest,
            "measured": dict(schedule.measured),
            "threads": schedule.threads,
            "task": dict(self.read),
        }
        if self.stretches:
            told["stretches"] = [dataclasses.asdict(each) for each in self.stretches]
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Setup:
        """Return the setup that `to_json` wrote, or one of an older format, without its data."""
        budget, estimator, strategy = data["budget"], data["estimator"], data["strategy"]
        return Setup(
            request=Request.from_json(data["request"]),
            recipe=data["recipe"],
            deliver=data.get("deliver", "retrain"),
            parts=Parts(
                Component.from_json("space", data["space"]),
                Component.from_json("strategy", strategy, without=("horizon",)),
                Component.from_json("estimator", estimator, without=("epochs", "timeout")),
            ),
            train=FinalTraining.from_json(data["train"]),
            schedule=Schedule(
                float(estimator.get("epochs", 0.0)),
                float(estimator.get("timeout", 0.0)),
                int(strategy.get("horizon", 0)),
                budget.get("search_seconds"),
                int(data.get("threads", 1)),
                data.get("measured", {}),
                data.get("slowest"),
            ),
            budget=RunBudget(budget.get("seconds"), budget.get("trials")),
            data=data["data"],
            read=data.get("task", {}),
            versions=data.get("versions", {}),
            stretches=tuple(Stretch(**each) for each in data.get("stretches", ())),
        )
