"""From a request and its data to a draft: names to parts, settings and defaults.

Parts that must fit each other are linked and checked here. What depends on the clock follows in
`pacing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import registry
from ..errors import SettingError, unknown
from ..strategy.common.known import Known
from ..strategy.common.phases import Phases
from ..strategy.common.warm import Warm
from . import recipes, settable
from .defaults import LEAST_EDGE, suggested
from .parts import Component, Parts
from .request import Request
from .settings import PARTS, parse_budget, read_known, validated
from .setup import Asked, Draft, FinalTraining, NetworkSettings
from .trying import try_parts


def check_request(request: Request, kind: str | None, *, workers: int | None = None) -> None:
    """Refuse wrong names, settings and pairs of parts, as far as they show without data.

    Args:
        request: of the user.
        kind: of its task, as far as its name tells; None leaves the parts to `resolve`.
        workers: that were asked for. [count]

    Raises:
        SettingError: as `resolve`.
    """
    for part in request.set:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    parse_budget(request.budget)
    for limit, value in request.limits.items():
        if value <= 0:
            raise SettingError(f"{limit}={value}: a limit must be above 0")
    _check_device(request.device)
    name = request.recipe or recipes.DEFAULT.get(kind or "")
    recipe = None if name is None else recipes.find(name)
    if recipe is None or kind is None:
        return
    parts = _bare(request, recipe)
    known = _known(parts)
    for axis in registry.AXES:
        part = getattr(parts, axis)
        base = recipe.of(axis, kind) if part.name == getattr(recipe, axis) else {}
        said = validated(axis, _said(request, part), known[axis], who=part.name)
        parts = dataclasses.replace(parts, **{axis: part.having(**base | said)})
    validated("train", request.said("train"), settable.of_train())
    check_workers(parts.estimator, workers)
    _check_fit(parts, kind)


def check_workers(estimator: Component, workers: int | None) -> None:
    """Refuse several workers for an estimator that holds state.

    Raises:
        SettingError: saying so.
    """
    if estimator.make.stateful and (workers or 0) > 1:
        raise SettingError(
            f"--workers {workers}: estimator {estimator.name} holds state between candidates, so its "
            "search is one process: leave out --workers"
        )


def _check_fit(parts: Parts, kind: str) -> None:
    """Refuse parts that cannot fit whatever the data are; what settings change is checked later."""
    registry.check_kind(parts.estimator.name, kind)
    registry.check_space_kind(parts.space.name, kind)
    space = parts.space.make
    if not hasattr(space, "of"):  # it is made of its settings alone
        space = space(**parts.space.settings)
    if isinstance(getattr(space, "gives", None), frozenset):
        _check_needs(parts, space, kind)


def _check_needs(parts: Parts, space: Any, kind: str) -> None:
    """Refuse parts of which one needs what the others do not give."""
    _check_known(parts)
    needs = parts.strategy.make.needs | _needs_around(parts.strategy.settings)
    if parts.phased:
        needs |= Phases.needs
    registry.check(space, needs, parts.estimator.make, parts.names, kind)


def _check_known(parts: Parts) -> None:
    """Refuse known members where they would not be tried, or not before anything else."""
    settings = parts.strategy.settings
    if not settings.get("known"):
        return
    if "sharing" in parts.estimator.make.gives:
        raise SettingError(
            f"strategy.known=true, and estimator {parts.estimator.name} scores with weights that are "
            "shared and not trained yet: leave it out, or use --estimator full"
        )
    if settings.get("warm"):
        raise SettingError(
            f"strategy.known=true and strategy.warm={settings['warm']} both say what is tried first: "
            "leave one of them out"
        )


def space_kinds(recipe: str | None, space: str | None, kind: str | None) -> frozenset[str]:
    """Return the kinds of data that the space of a request is for.

    Args:
        recipe: that was asked for, or None.
        space: likewise.
        kind: of the task, which decides where neither is named.
    """
    name = recipe or recipes.DEFAULT.get(kind or "")
    if space is None and name is not None:
        space = recipes.find(name).space
    return (
        frozenset() if space is None else registry.kinds_of("space", registry.find("space", space))
    )


def reading_of(request: Request, kind: str | None) -> dict[str, Any]:
    """Return the settings with which the recipe of a request has its data read, for its own space.

    Args:
        request: of the user, whose own settings of the data come before these.
        kind: of the task, as far as its name tells.
    """
    name = request.recipe or recipes.DEFAULT.get(kind or "")
    if name is None or kind is None:
        return {}
    recipe = recipes.find(name)
    return recipe.of("task", kind) if request.space in (None, recipe.space) else {}


def resolve(request: Request, task: Any) -> Draft:
    """Return names and validated settings of every part of a run.

    Raises:
        SettingError: for unknown names, wrong types, and combinations that cannot work.
    """
    _check_device(request.device)
    name = request.recipe or recipes.DEFAULT.get(task.kind)
    if name is None:
        raise SettingError(f"a task of kind {task.kind} needs --recipe, or --space and --strategy")
    recipe = recipes.find(name)
    parts, asked = _without_schedule(_parts(request, recipe, task))
    published = parts.names == (recipe.space, recipe.strategy, recipe.estimator)
    train, deliver = _final_training(request, recipe, parts, task)
    draft = Draft(
        request=request,
        recipe=name if published else " x ".join(parts.names),
        deliver=deliver,
        parts=parts,
        train=train,
        task=task,
        asked=asked,
    )
    draft = _with_inheritance(draft)
    draft = _with_gradient(draft)
    _check(draft)
    return draft


def _parts(request: Request, recipe: recipes.Recipe, task: Any) -> Parts:
    """Return the three parts with their settings: suggested by the data, the recipe's, the user's."""
    bare = _bare(request, recipe)
    known = _known(bare)
    parts = {}
    for axis in registry.AXES:
        part = getattr(bare, axis)
        # the recipe's settings belong to its own parts: another part starts from its own defaults
        base = recipe.of(axis, task.kind) if part.name == getattr(recipe, axis) else {}
        given = validated(axis, _said(request, part), known[axis], who=part.name)
        default = suggested(task, known[axis]) if axis == "estimator" else {}
        parts[axis] = part.having(**default | base | given)
    return Parts(**parts)


def _said(request: Request, part: Component) -> dict[str, Any]:
    """Return the settings of a part that the user gave, architectures read from their file."""
    said = request.said(part.axis)
    if part.axis == "space" and "known" in said and hasattr(part.make, "known"):
        said["known"] = read_known(said["known"])
    return said


def _bare(request: Request, recipe: recipes.Recipe) -> Parts:
    """Return the three parts by name."""
    found = {
        axis: Component(axis, getattr(request, axis) or getattr(recipe, axis))
        for axis in registry.AXES
    }
    return Parts(**found)


def _known(parts: Parts) -> dict[str, dict[str, Any]]:
    """Return axis -> name -> type of the settings of three parts."""
    return {
        "space": settable.of_space(parts.space.make),
        "strategy": settable.of_strategy(parts.strategy.make, phased=parts.phased),
        "estimator": settable.of_estimator(parts.estimator.make),
    }


def _without_schedule(parts: Parts) -> tuple[Parts, Asked]:
    """Return the parts without what they say of the schedule, and that."""
    strategy, estimator = dict(parts.strategy.settings), dict(parts.estimator.settings)
    asked = Asked(
        estimator.pop("epochs", None), estimator.pop("timeout", None), strategy.pop("horizon", None)
    )
    bare = Parts(
        parts.space,
        parts.strategy.with_settings(strategy),
        parts.estimator.with_settings(estimator),
    )
    return bare, asked


def _final_training(
    request: Request, recipe: recipes.Recipe, parts: Parts, task: Any
) -> tuple[FinalTraining, str]:
    """Return the final training, which is the search's but for what is said, and the delivery."""
    known = settable.of_train()
    given = validated("train", request.said("train"), known)
    deliver = given.pop("deliver", recipe.deliver)
    shared = {
        name: value
        for name, value in parts.estimator.settings.items()
        if name in known and name != "epochs"
    }
    own = recipe.of("train", task.kind)
    if "views" in own and not allows_views(request, task):
        own.pop("views")
    return FinalTraining.from_json(shared | own | given), deliver


def allows_views(request: Request, task: Any) -> bool:
    """Whether views of an image are on by default: they cost FLOPs and time, and need some pixels.

    A limit on either holds for all views together, so that a smaller network would have to pay.
    """
    unlimited = request.max_flops is None and request.max_latency_ms is None
    return unlimited and min(task.input_shape[1:]) >= LEAST_EDGE


def _with_gradient(draft: Draft) -> Draft:
    """Return `draft` with an estimator of mixtures told what is asked of these.

    The gradient is computed where the strategy climbs by it, and only there; limits hold for the
    network that is delivered.
    """
    parts = draft.parts
    if "gradient" not in settable.of_estimator(parts.estimator.make):
        return draft
    told: dict[str, Any] = {"gradient": "gradient" in parts.strategy.make.needs}
    limits = draft.request.limits
    limits.pop("max_latency_ms", None)
    if limits:
        told |= limits | {"delivered": dataclasses.asdict(draft.train.network.size)}
    return draft.having(parts.having("estimator", **told))


def _with_inheritance(draft: Draft) -> Draft:
    """Return `draft` with children that inherit where the estimator can, and weights kept for them.

    Raises:
        SettingError: for inheritance with an estimator that has none, and for a delivery that would
            go on from weights that there are not, or not in its size.
    """
    parts = draft.parts
    strategy, estimator = parts.strategy, parts.estimator
    can_inherit = "inheritance" in estimator.make.gives
    if "inherit" in settable.of_strategy(strategy.make):
        strategy = strategy.having(**{"inherit": can_inherit} | dict(strategy.settings))
    if strategy.settings.get("inherit") and not can_inherit:
        raise SettingError(
            f"strategy.inherit=true, and estimator {estimator.name} starts every candidate afresh: "
            "use --estimator inherit"
        )
    continues = draft.deliver == "continue"
    if continues:
        _check_continuation(draft)
    passes_on = hasattr(strategy.make, "alive") and strategy.settings.get("inherit", True)
    if (passes_on or continues) and "keep" in settable.of_estimator(estimator.make):
        estimator = estimator.having(keep=True)
    return draft.having(Parts(parts.space, strategy, estimator))


def _check_continuation(draft: Draft) -> None:
    """Refuse a delivery that goes on from weights that are not kept, or not in its size."""
    estimator = draft.parts.estimator
    if "weights" not in estimator.make.gives:
        raise SettingError(
            f"this recipe's winner goes on from its weights, and estimator {estimator.name} keeps "
            "none: use --set train.deliver=retrain, or --estimator inherit"
        )
    searched = NetworkSettings.of(estimator.settings).size.bare()
    final = dataclasses.replace(draft.train.network.size.bare(), views=searched.views)
    if searched != final:  # views need no training
        raise SettingError(
            f"the winner goes on from its weights, so it keeps the size of the search ({searched}): "
            "leave train's size alone, or use --set train.deliver=retrain"
        )


def _check(draft: Draft) -> None:
    """Refuse parts that do not fit each other, before anything is spent."""
    parts, task = draft.parts, draft.task
    estimator = parts.estimator.make
    registry.check_kind(parts.estimator.name, task.kind, estimator)
    _check_needs(parts, draft.space, task.kind)
    if hasattr(estimator, "proxy_column"):  # whether there is a proxy is for the data to say
        needs = parts.strategy.make.needs | _needs_around(parts.strategy.settings)
        own = parts.estimator.settings.get("proxy")
        estimator.proxy_column(task, own, needed="proxy" in needs)
    try_parts(draft)


def _needs_around(strategy: Mapping[str, Any]) -> frozenset[str]:
    """Return the needs of the sampler below a strategy, and of what stands before it."""
    needs: frozenset[str] = frozenset()
    if sampler := strategy.get("sampler"):
        needs |= registry.find("strategy", sampler).needs
    for name, before in (("warm", Warm), ("known", Known)):
        needs |= before.needs if strategy.get(name) else frozenset()
    return needs


def _check_device(device: str) -> None:
    import torch

    if device == "cpu":
        return
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        what = str(error).splitlines()[0]
        raise SettingError(f"device {device!r} cannot be used ({what}): cpu always can") from error
