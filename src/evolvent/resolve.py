"""From what the user asked for to what will be done: names to parts, defaults, one short measurement.

Whatever depends on the clock (epochs per candidate, horizon, and so the population) is settled here,
once; it goes into ``config.yaml`` and is not settled again when the run is resumed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import recipes, registry
from .errors import SettingError
from .settings import fields, grouped, parse_budget, validated
from .space import Space
from .strategy import Strategy
from .task import Part, Task
from .types import Arch, stream
from .worker import Spec

SEARCH_SHARE = 0.55  # of a budget in seconds; the rest is final training, controls and export
TRIALS_AIMED_AT = 50  # with a budget in seconds, epochs shrink until about so many fit
EPOCHS = {"trials": 5.0, "most": 20.0, "final": 60.0}  # default, most in search, most at the end
RUN_SETTINGS = {"epochs": float, "timeout": float}  # of the part `estimator`, read by the run


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for; equal requests continue one run.

    Args:
        task: a name or a path.
        recipe: a name, or None for the default of the kind of task.
        space: in place of the recipe's.
        strategy: in place of the recipe's.
        estimator: in place of the recipe's.
        budget: such as ``10m``, ``200t``, ``1h,500t``.
        seed: of the search.
        max_params: of the delivered network. [count]
        max_flops: of the delivered network, for one input. [count]
        max_latency_ms: of the delivered network, one input, on this machine. [ms]
        device: where to train.
        set: part -> name -> value.
    """

    task: str
    recipe: str | None = None
    space: str | None = None
    strategy: str | None = None
    estimator: str | None = None
    budget: str = "10m"
    seed: int = 0
    max_params: int | None = None
    max_flops: int | None = None
    max_latency_ms: float | None = None
    device: str = "cpu"
    set: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def choose(request: Request, task: Task) -> dict[str, Any]:
    """Return the names and validated settings of every part, as plain data for ``config.yaml``.

    Raises:
        SettingError: for unknown names, wrong types, and combinations that cannot work.
    """
    name = request.recipe or recipes.DEFAULT.get(task.kind)
    if name is None:
        raise SettingError(f"a task of kind {task.kind} needs --recipe, or --space and --strategy")
    recipe = recipes.find(name)
    names = {
        "space": request.space or recipe.space,
        "strategy": request.strategy or recipe.strategy,
        "estimator": request.estimator or recipe.estimator,
    }
    chosen: dict[str, Any] = {"recipe": name, "deliver": recipe.deliver}
    for part, own in names.items():
        make = registry.find(part, own)
        known = _known(part, make)
        # the recipe's settings belong to its own parts: another part starts from its own defaults
        base = recipe.settings.get(part, {}) if own == getattr(recipe, part) else {}
        given = validated(part, request.set.get(part, {}), known, who=own)
        chosen[part] = {"name": own} | _defaults(part, task, known) | dict(base) | given
    known = _known("train", None)
    given = validated("train", request.set.get("train", {}), known)
    inherited = {k: v for k, v in chosen["estimator"].items() if k in known and k != "epochs"}
    chosen["train"] = inherited | dict(recipe.settings.get("train", {})) | given
    _check(chosen)
    return chosen


def _known(part: str, make: Any) -> dict[str, Any]:
    if part == "train":
        from .network.build import Size
        from .network.train import Hyperparameters

        return {"epochs": float, "finalists": int} | fields(Size) | fields(Hyperparameters)
    if part == "strategy":
        return fields(make, without=("epochs", "seed"))
    if part == "estimator":
        return fields(make, without=("seed", "device")) | RUN_SETTINGS
    return fields(make)


def _defaults(part: str, task: Task, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the data themselves suggest, for the settings that the part has."""
    if part != "estimator" or task.kind != "image":
        return {}
    edge, count = min(task.input_shape[1:]), len(task.train)
    stem = 2 if edge >= 24 else 1
    suggested = {
        "stem_stride": stem,
        "stages": 3 if edge // stem >= 12 else 2,
        "batch": 128 if count >= 10_000 else 64 if count >= 4_000 else 32,
        "precision": "bfloat16" if edge >= 16 and has_fast_bfloat16() else "float32",
    }
    return {name: value for name, value in suggested.items() if name in known}


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AMX)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _check(chosen: Mapping[str, Any]) -> None:
    names = tuple(chosen[part]["name"] for part in ("space", "strategy", "estimator"))
    registry.check(
        make_space(chosen),
        registry.find("strategy", names[1]),
        registry.find("estimator", names[2]),
        (names[0], names[1], names[2]),
    )


def make_space(chosen: Mapping[str, Any]) -> Space:
    """Return the space of a resolved configuration."""
    settings = dict(chosen["space"])
    space: Space = registry.find("space", settings.pop("name"))(**settings)
    return space


def make_strategy(chosen: Mapping[str, Any], space: Space, seed: int) -> Strategy:
    """Return a fresh strategy of a resolved and settled configuration."""
    settings = dict(chosen["strategy"])
    make = registry.find("strategy", settings.pop("name"))
    strategy: Strategy = make(space, seed=seed, epochs=chosen["estimator"]["epochs"], **settings)
    return strategy


def make_spec(chosen: Mapping[str, Any], task: Task, seed: int, device: str = "cpu") -> Spec:
    """Return what a worker needs."""
    space, estimator = dict(chosen["space"]), dict(chosen["estimator"])
    make = registry.find("estimator", estimator["name"])
    own = {k: v for k, v in estimator.items() if k != "name" and k not in RUN_SETTINGS}
    name = space.pop("name")
    settings = grouped(make, own) | ({"device": device} if device != "cpu" else {})
    return Spec(task, name, estimator["name"], space, settings, seed)


def network_settings(chosen: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return ``size`` and ``hyper`` of a part (``estimator`` or ``train``)."""
    from .network.build import Size
    from .network.train import Hyperparameters

    made = {}
    for key, kind in (("size", Size), ("hyper", Hyperparameters)):
        names = {field.name for field in dataclasses.fields(kind)}
        made[key] = kind(**{k: v for k, v in chosen[part].items() if k in names})
    return made


def settle(chosen: dict[str, Any], request: Request, task: Task, workers: int) -> dict[str, Any]:
    """Return `chosen` with everything that depends on the budget and the clock.

    A budget in trials needs no clock. For one in seconds three random architectures train a few
    steps; from their pace follow the epochs per candidate and the horizon.
    """
    budget = parse_budget(request.budget)
    estimator = dict(chosen["estimator"])
    settled = dict(chosen) | {"estimator": estimator, "budget": dataclasses.asdict(budget)}
    if budget.seconds is None:
        estimator.setdefault("epochs", EPOCHS["trials"])
        estimator.setdefault("timeout", 600.0)
        horizon = budget.trials or TRIALS_AIMED_AT
    else:
        search = budget.seconds * SEARCH_SHARE
        settled["budget"]["search_seconds"] = search
        per_example = _typical_pace(chosen, task)
        epoch = per_example * len(task.train)
        core_seconds = max(1.0, 0.85 * search * workers)  # the rest starts workers and validates
        aimed = core_seconds / TRIALS_AIMED_AT / epoch
        estimator.setdefault("epochs", round(min(max(aimed, 0.1), EPOCHS["most"]), 3))
        each = estimator["epochs"] * epoch
        estimator.setdefault("timeout", round(max(20.0, 10 * each), 1))
        settled["measured"] = {"seconds_per_epoch": round(epoch, 4)}
        horizon = max(4, int(core_seconds / max(each, 0.02)))
        horizon = min(horizon, budget.trials or horizon)
    settled["strategy"] = {"horizon": horizon} | chosen["strategy"]
    return settled


def _typical_pace(chosen: Mapping[str, Any], task: Task) -> float:
    space = make_space(chosen)
    network = network_settings(chosen, "estimator")
    archs = [space.sample(stream("pace", index)) for index in range(3)]
    return statistics.mean(pace(space, arch, task, **network) for arch in archs)


def pace(space: Space, arch: Arch, task: Task, *, size: Any, hyper: Any) -> float:
    """Return how long training takes per example, from a few steps here and now. [s]"""
    import torch

    from .network.build import build
    from .network.data import Resident
    from .network.train import train

    torch.set_num_threads(1)
    count = min(len(task.train), 8 * hyper.batch)
    part = Part(task.train.x[:count], task.train.y[:count])
    net, data = build(space, arch, task, size), Resident(task, part)
    train(net, data, epochs=0.25, hyper=hyper, seed=0)  # the first steps find their memory
    done = train(net, data, epochs=1, hyper=hyper, seed=0)
    return float(done.seconds / (done.epochs * count))
