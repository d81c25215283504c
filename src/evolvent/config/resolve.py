"""From what the user asked for to what will be done: names to parts, settings and defaults.

Parts that must fit each other are linked and checked here. What depends on the clock is settled after
that, in `settling`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import registry
from ..errors import SettingError
from ..strategy.common.phases import Phases
from ..strategy.common.warm import Warm
from ..task import Task
from . import recipes
from .defaults import suggested
from .parts import OF_PHASES, in_phases, known, make_space, network_settings
from .settings import fields, validated
from .trying import try_parts


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


def task_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the data of a run are read: as the user said, and what was found out about them."""
    return dict(config["request"]["set"].get("task", {})) | dict(config.get("task", {}))


def choose(request: Request, task: Task) -> dict[str, Any]:
    """Return the names and validated settings of every part, as plain data for ``config.yaml``.

    Raises:
        SettingError: for unknown names, wrong types, and combinations that cannot work.
    """
    _check_device(request.device)
    name = request.recipe or recipes.DEFAULT.get(task.kind)
    if name is None:
        raise SettingError(f"a task of kind {task.kind} needs --recipe, or --space and --strategy")
    recipe = recipes.find(name)
    names = {
        "space": request.space or recipe.space,
        "strategy": request.strategy or recipe.strategy,
        "estimator": request.estimator or recipe.estimator,
    }
    published = all(own == getattr(recipe, part) for part, own in names.items())
    label = name if published else " x ".join(names.values())
    chosen: dict[str, Any] = {"recipe": label, "deliver": recipe.deliver}
    for part, own in names.items():
        make = registry.find(part, own)
        settable = known(part, make)
        if part == "strategy" and in_phases(make, registry.find("estimator", names["estimator"])):
            settable = settable | fields(Phases, without=OF_PHASES)
        # the recipe's settings belong to its own parts: another part starts from its own defaults
        base = recipe.of(part, task.kind) if own == getattr(recipe, part) else {}
        given = validated(part, request.set.get(part, {}), settable, who=own)
        chosen[part] = {"name": own} | suggested(part, task, settable) | dict(base) | given
    settable = known("train", None)
    given = validated("train", request.set.get("train", {}), settable)
    chosen["deliver"] = given.pop("deliver", recipe.deliver)
    inherited = {k: v for k, v in chosen["estimator"].items() if k in settable and k != "epochs"}
    chosen["train"] = inherited | recipe.of("train", task.kind) | given
    _link_weights(chosen)
    _link_sharing(chosen, request)
    _check(chosen, task)
    return chosen


def _link_sharing(chosen: dict[str, Any], request: Request) -> None:
    """Tell an estimator of mixtures what is asked of them: a gradient, and limits to keep.

    The gradient is computed where the strategy climbs by it, and only there; limits hold for the
    network that is delivered.
    """
    strategy, estimator = chosen["strategy"], chosen["estimator"]
    if "gradient" in known("estimator", registry.find("estimator", estimator["name"])):
        estimator["gradient"] = "gradient" in registry.find("strategy", strategy["name"]).needs
        limits = {"max_params": request.max_params, "max_flops": request.max_flops}
        if given := {name: limit for name, limit in limits.items() if limit is not None}:
            size = network_settings(chosen, "train")["size"]
            estimator |= given | {"delivered": dataclasses.asdict(size)}


def _link_weights(chosen: dict[str, Any]) -> None:
    """Let children inherit where the estimator can, and keep weights where somebody goes on from them.

    Raises:
        SettingError: for inheritance with an estimator that has none, and for a delivery that would
            go on from weights that there are not, or not in its size.
    """
    strategy, estimator = chosen["strategy"], chosen["estimator"]
    make = registry.find("strategy", strategy["name"])
    evaluates = registry.find("estimator", estimator["name"])
    can_inherit = "inheritance" in evaluates.gives
    if "inherit" in known("strategy", make):
        strategy.setdefault("inherit", can_inherit)
    if strategy.get("inherit") and not can_inherit:
        raise SettingError(
            f"strategy.inherit=true, and estimator {estimator['name']} starts every candidate afresh: "
            "use --estimator inherit"
        )
    continues = chosen["deliver"] == "continue"
    if continues and "weights" not in evaluates.gives:
        raise SettingError(
            f"this recipe's winner goes on from its weights, and estimator {estimator['name']} keeps "
            "none: use --set train.deliver=retrain, or --estimator inherit"
        )
    sizes = [network_settings(chosen, part)["size"].bare() for part in ("estimator", "train")]
    if continues and sizes[0] != sizes[1]:
        raise SettingError(
            f"the winner goes on from its weights, so it keeps the size of the search ({sizes[0]}): "
            "leave train's size alone, or use --set train.deliver=retrain"
        )
    passes_on = hasattr(make, "alive") and strategy.get("inherit", True)
    if (passes_on or continues) and "keep" in known("estimator", evaluates):
        estimator["keep"] = True


def _check(chosen: Mapping[str, Any], task: Task) -> None:
    names = tuple(chosen[part]["name"] for part in ("space", "strategy", "estimator"))
    registry.check_kind(names[2], task.kind)
    needs = registry.find("strategy", names[1]).needs
    if sampler := chosen["strategy"].get("sampler"):
        needs |= registry.find("strategy", sampler).needs
    if chosen["strategy"].get("warm"):
        needs |= Warm.needs
    evaluates = registry.find("estimator", names[2])
    if in_phases(registry.find("strategy", names[1]), evaluates):
        needs |= Phases.needs
    space = make_space(chosen, task)
    registry.check(space, needs, evaluates, (names[0], names[1], names[2]), task.kind)
    if hasattr(evaluates, "proxy_column"):  # whether there is a proxy is for the data to say
        own = chosen["estimator"].get("proxy")
        evaluates.proxy_column(task, own, needed="proxy" in needs)
    try_parts(chosen, space, task)


def _check_device(device: str) -> None:
    import torch

    if device == "cpu":
        return
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        what = str(error).splitlines()[0]
        raise SettingError(f"device {device!r} cannot be used ({what}): cpu always can") from error
