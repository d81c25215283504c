"""From what the user asked for to what will be done: names to parts, defaults, one short measurement.

Whatever depends on the clock (epochs per candidate, horizon, and so the population) is settled here,
once; it goes into ``config.yaml`` and is not settled again when the run is resumed.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from . import recipes, registry, sharing
from .errors import CandidateFailed, InvalidArchitecture, SettingError
from .execute import cores
from .settings import RunBudget, fields, grouped, parse_budget, validated
from .space import Space
from .strategy import Strategy
from .strategy.phases import Phases
from .strategy.warm import Warm
from .task import Part, Task
from .types import Arch, Candidate, Result, stream
from .worker import Spec, evaluate, using_threads

AS_IS_SHARE = 0.85  # of a budget in seconds where the winner is delivered as it is
PACED = 20  # random candidates whose evaluation tells how fast a world is
DELIVERY_SHARE = 0.45  # of a budget in seconds: final training, controls and export; `train.share`
TRIALS_AIMED_AT = 50  # with a budget in seconds, epochs shrink until about so many fit: `aim`
EPOCHS = {
    "trials": 5.0,
    "least": 0.05,
    "most": 20.0,
    "final": 60.0,
}  # default; in search; at the end
OF_BOTH = ("rounds", "scores", "judged", "reference", "finalists", "batches")  # of `Phases`
OF_PHASES = ("seed", "horizon")  # arguments of `Phases` that are no settings of their own
STEPS = {
    "trials": 200.0,
    "most": 800.0,
    "final": 2400.0,
}  # small data train more epochs, up to this
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
        known = _known(part, make)
        if part == "strategy" and _in_phases(make, registry.find("estimator", names["estimator"])):
            known = known | fields(Phases, without=OF_PHASES)
        # the recipe's settings belong to its own parts: another part starts from its own defaults
        base = recipe.of(part, task.kind) if own == getattr(recipe, part) else {}
        given = validated(part, request.set.get(part, {}), known, who=own)
        chosen[part] = {"name": own} | _defaults(part, task, known) | dict(base) | given
    known = _known("train", None)
    given = validated("train", request.set.get("train", {}), known)
    chosen["deliver"] = given.pop("deliver", recipe.deliver)
    inherited = {k: v for k, v in chosen["estimator"].items() if k in known and k != "epochs"}
    chosen["train"] = inherited | recipe.of("train", task.kind) | given
    _link_weights(chosen)
    _link_sharing(chosen, request)
    _check(chosen, task)
    return chosen


def _in_phases(strategy: Any, estimator: Any) -> bool:
    """Whether phases of training come between what a strategy asks for.

    It is so where weights are shared, unless the strategy's own steps train them.
    """
    return "sharing" in estimator.gives and "gradient" not in strategy.needs


def is_stateful(chosen: Mapping[str, Any]) -> bool:
    """Whether the estimator of a resolved configuration carries state between candidates."""
    return bool(registry.find("estimator", chosen["estimator"]["name"]).stateful)


def _link_sharing(chosen: dict[str, Any], request: Request) -> None:
    """Tell an estimator of mixtures what is asked of them: a gradient, and limits to keep.

    The gradient is computed where the strategy climbs by it, and only there; limits hold for the
    network that is delivered.
    """
    strategy, estimator = chosen["strategy"], chosen["estimator"]
    if "gradient" in _known("estimator", registry.find("estimator", estimator["name"])):
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
    if "inherit" in _known("strategy", make):
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
    if (passes_on or continues) and "keep" in _known("estimator", evaluates):
        estimator["keep"] = True


def _known(part: str, make: Any) -> dict[str, Any]:
    if part == "train":
        own = {"epochs": float, "finalists": int, "share": float, "deliver": str}
        own |= dict.fromkeys(("onnx", "proof", "controls"), bool)
        return _ruled(own) | known_to_network()
    if part == "strategy":
        known = fields(make, without=("epochs", "seed")) | {"warm": int}
        return known | ({"sampler": str | None} if "sampler" in known else {})  # by its name
    if part == "estimator":
        known = fields(make, without=("seed", "device", "delivered"))
        return _ruled(known | dict.fromkeys(RUN_SETTINGS, float))
    return fields(make)


def known_to_network() -> dict[str, Any]:
    """Return name -> type of what can be said of a network's size and its training."""
    from .network.build import Size
    from .network.train import Hyperparameters

    return _ruled(fields(Size) | fields(Hyperparameters))


def _ruled(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: RULES.get(name, kind) for name, kind in known.items()}


def _defaults(part: str, task: Task, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the data themselves suggest, for the settings that the part has."""
    if part != "estimator" or task.kind not in _SUGGESTED:
        return {}
    suggested = _SUGGESTED[task.kind](task)
    return {name: value for name, value in suggested.items() if name in known}


def _for_images(task: Task) -> dict[str, Any]:
    edge, count = min(task.input_shape[1:]), len(task.train)
    stem = 2 if edge >= 24 else 1
    return {
        "stem_stride": stem,
        "stages": 3 if edge // stem >= 12 else 2,
        "batch": 128 if count >= 10_000 else 64 if count >= 4_000 else 32,
        "precision": "bfloat16" if edge >= 16 and has_fast_bfloat16() else "float32",
    }


def _for_numbers(task: Task) -> dict[str, Any]:
    count = len(task.train)
    return {
        "batch": 256
        if count >= 40_000
        else 128
        if count >= 8_000
        else 64
        if count >= 2_000
        else 32,
        "optimizer": "adamw",
        "lr": 3e-3,
        "weight_decay": 1e-2,
        "label_smoothing": 0.0,
    }


def _for_texts(task: Task) -> dict[str, Any]:
    return {
        "batch": 64 if len(task.train) >= 4_000 else 32,
        "optimizer": "adamw",
        "lr": 2e-3,
        "precision": "bfloat16" if has_fast_bfloat16() else "float32",
    }


_SUGGESTED = {"image": _for_images, "numbers": _for_numbers, "text": _for_texts}


def at_most(what: str, task: Task, batch: int) -> float:
    """Return the longest training that is worth it, of ``trials``, ``most`` or ``final``. [epochs]

    A small data set has few steps in an epoch, and a network needs some steps whatever it learns.
    """
    steps = max(1, len(task.train) // batch)
    return max(EPOCHS[what], STEPS[what] / steps)


def adapted(config: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return the settings of a run's final training for other data.

    What the data themselves suggest is suggested anew, unless the user or the recipe had said it:
    how the stem strides, how many stages there are, the batch, the precision.
    """
    request = config["request"]
    known = _known("estimator", registry.find("estimator", config["estimator"]["name"]))
    recipe = recipes.RECIPES.get(request["recipe"] or recipes.DEFAULT.get(task.kind, ""))
    parts = ("estimator", "train")
    said = {name for part in parts for name in request["set"].get(part, {})}
    said |= {name for part in parts for name in (recipe.of(part, task.kind) if recipe else {})}
    suggested = _defaults("estimator", task, known)
    return dict(config["train"]) | {k: v for k, v in suggested.items() if k not in said}


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AMX)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _check(chosen: Mapping[str, Any], task: Task) -> None:
    names = tuple(chosen[part]["name"] for part in ("space", "strategy", "estimator"))
    needs = registry.find("strategy", names[1]).needs
    if sampler := chosen["strategy"].get("sampler"):
        needs |= registry.find("strategy", sampler).needs
    if chosen["strategy"].get("warm"):
        needs |= Warm.needs
    evaluates = registry.find("estimator", names[2])
    if _in_phases(registry.find("strategy", names[1]), evaluates):
        needs |= Phases.needs
    registry.check(
        make_space(chosen, task), needs, evaluates, (names[0], names[1], names[2]), task.kind
    )
    if hasattr(evaluates, "proxy_column"):  # whether there is a proxy is for the data to say
        own = chosen["estimator"].get("proxy")
        evaluates.proxy_column(task, own, needed="proxy" in needs)


def objectives(chosen: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    """Return the metrics that the strategy of a settled configuration keeps low beside the score."""
    if not hasattr(registry.find("strategy", chosen["strategy"]["name"]), "objectives"):
        return ()
    strategy = make_strategy(chosen, make_space(chosen, task), 0)
    return tuple(strategy.objectives)  # type: ignore[attr-defined]


def _check_device(device: str) -> None:
    import torch

    if device == "cpu":
        return
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        what = str(error).splitlines()[0]
        raise SettingError(f"device {device!r} cannot be used ({what}): cpu always can") from error


def make_space(chosen: Mapping[str, Any], task: Task) -> Space:
    """Return the space of a resolved configuration."""
    settings = dict(chosen["space"])
    space: Space = registry.make_space(settings.pop("name"), task, settings)
    return space


def make_strategy(chosen: Mapping[str, Any], space: Space, seed: int) -> Strategy:
    """Return a fresh strategy of a resolved and settled configuration."""
    settings = dict(chosen["strategy"])
    make = registry.find("strategy", settings.pop("name"))
    warm = settings.pop("warm", 0)
    common = {"seed": seed, "epochs": chosen["estimator"]["epochs"]}
    sampler = settings.pop("sampler", None)

    evaluates = registry.find("estimator", chosen["estimator"]["name"])
    if _in_phases(make, evaluates):
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


def make_spec(chosen: Mapping[str, Any], task: Task, seed: int, device: str = "cpu") -> Spec:
    """Return what a worker needs."""
    space, estimator = dict(chosen["space"]), dict(chosen["estimator"])
    make = registry.find("estimator", estimator["name"])
    own = {k: v for k, v in estimator.items() if k != "name" and k not in RUN_SETTINGS}
    name = space.pop("name")
    return Spec(task, name, estimator["name"], space, grouped(make, own), seed, device)


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
    plan = dataclasses.asdict(budget) | {"search_seconds": budget.seconds}
    settled = dict(chosen) | {"estimator": estimator, "budget": plan}
    if is_stateful(settled):
        estimator.setdefault("timeout", 600.0)
        settled["strategy"] = dict(chosen["strategy"])
        return _settle_sharing(settled, request, task)
    if not (task.trainable or task.charged):
        estimator.setdefault("epochs", 0.0)
        estimator.setdefault("timeout", 60.0)
        horizon = _trials_of_a_world(settled, task, request, workers)
    elif not task.trainable:
        estimator.setdefault("epochs", getattr(task, "epochs", 1.0))
        estimator.setdefault("timeout", 60.0)
        horizon = _trials_of_a_table(budget, task)
    elif budget.seconds is None:
        estimator.setdefault("epochs", at_most("trials", task, _batch(chosen)))
        estimator.setdefault("timeout", 600.0)
        horizon = budget.trials or TRIALS_AIMED_AT
    else:
        search = budget.seconds * _search_share(chosen)
        plan["search_seconds"] = search  # a table's whole budget is for the search
        per_example = _typical_pace(chosen, task, request.device)
        epoch = per_example * len(task.train)
        core_seconds = max(1.0, 0.85 * search * workers)  # the rest starts workers and validates
        aimed = core_seconds / estimator.get("aim", TRIALS_AIMED_AT) / epoch
        most = at_most("most", task, _batch(chosen))
        estimator.setdefault("epochs", round(min(max(aimed, EPOCHS["least"]), most), 3))
        each = estimator["epochs"] * epoch
        estimator.setdefault("timeout", round(max(20.0, 10 * each), 1))
        settled["measured"] = {"seconds_per_epoch": round(epoch, 4)}
        horizon = max(4, int(core_seconds / max(each, 0.02)))
        horizon = min(horizon, budget.trials or horizon)
    settled["strategy"] = {"horizon": horizon} | chosen["strategy"]
    _link_measures(settled, task)
    return settled


def _settle_sharing(settled: dict[str, Any], request: Request, task: Task) -> dict[str, Any]:
    """Return `settled` with the epochs of the shared weights, and how many batches these have."""
    estimator, strategy, plan = settled["estimator"], settled["strategy"], settled["budget"]
    space = make_space(settled, task)
    batches = strategy.setdefault(
        "batches", sharing.per_epoch(len(task.train), estimator, default=0.5)
    )
    given = estimator.get("epochs")
    settled["threads"] = 1  # two on a busy machine may take ten times as long as one

    def fresh(horizon: int) -> Any:
        strategy["horizon"], estimator["epochs"] = horizon, float(horizon)
        made: Any = make_strategy(settled, space, request.seed)
        estimator["steps"] = made.train_batches
        return made

    if plan["seconds"] is not None:
        plan["search_seconds"] = plan["seconds"] * _search_share(settled)
    if given is not None:
        horizon = max(1, round(given))
    elif plan["seconds"] is None:
        horizon = max(1, plan["trials"] - fresh(1).more_trials)
    else:
        rehearsed = fresh(sharing.REHEARSED)
        context = make_spec(settled, task, request.seed, request.device)()

        def answer(candidate: Candidate) -> Result:
            return evaluate(context, candidate, {}).result

        settled["threads"] = sharing.faster(
            fresh(sharing.REHEARSED), answer, (1, cores()), using_threads
        )
        with using_threads(settled["threads"]):
            pace = sharing.rehearse(rehearsed, answer, batches=batches)
        horizon, strategy["batches"] = sharing.fitting(
            plan["search_seconds"], pace, batches=batches, more_trials=rehearsed.more_trials
        )
        settled["measured"] = {
            "seconds_per_batch": round(pace.batch, 5),
            "seconds_per_trial": round(pace.trial, 5),
        }
    fresh(horizon)
    make_spec(
        settled, task, request.seed, request.device
    )()  # refuses now what it would refuse later
    return settled


def _batch(chosen: Mapping[str, Any]) -> int:
    hyper = network_settings(chosen, "train")["hyper"]
    return int(hyper.batch)


def _search_share(chosen: Mapping[str, Any]) -> float:
    """Return the share of a budget in seconds that the search has. [0..1]"""
    return 1 - float(chosen["train"].get("share", DELIVERY_SHARE))


def _link_measures(settled: dict[str, Any], task: Task) -> None:
    """Have what the strategy's objectives ask for measured, and only that: it takes time.

    Raises:
        SettingError: for a latency that the estimator cannot measure.
    """
    asked, name = objectives(settled, task), settled["estimator"]["name"]
    if "measures" in _known("estimator", registry.find("estimator", name)):
        known = settled["estimator"].get("measures", ())
        wanted = sorted({*known, *({"flops", "latency_ms"} & set(asked))})
        if wanted:
            settled["estimator"]["measures"] = wanted
    elif "latency_ms" in asked:
        raise SettingError(
            f"estimator {name} does not measure latency_ms: keep params or flops low, or use "
            "--estimator full"
        )


def _trials_of_a_world(settled: dict[str, Any], task: Task, request: Request, workers: int) -> int:
    """Return how many trials a budget allows where nothing is trained, by how long some take now."""
    plan = settled["budget"]
    if plan["seconds"] is None:
        return int(plan["trials"] or TRIALS_AIMED_AT)
    plan["search_seconds"] = plan["seconds"] * AS_IS_SHARE
    estimator = make_spec(settled, task, request.seed)().estimator
    space = make_space(settled, task)
    archs = [space.sample(stream("pace", index)) for index in range(PACED)]
    start = time.monotonic()
    for index, arch in enumerate(archs):
        estimator.evaluate(Candidate(index, arch), {})
    each = (time.monotonic() - start) / PACED
    settled["measured"] = {"seconds_per_trial": round(each, 6)}
    horizon = max(4, int(plan["search_seconds"] * workers / max(each, 1e-4)))
    return min(horizon, plan["trials"] or horizon)


def _trials_of_a_table(budget: RunBudget, table: Any) -> int:
    """Return how many trials a budget allows, by the seconds that the table says they took."""
    if budget.seconds is None:
        return budget.trials or TRIALS_AIMED_AT
    if table.cost is None:
        raise SettingError(
            f"{table.name} has no column of seconds, so a budget of {budget.seconds:g} s means nothing "
            "here: give trials, such as 100t, or name one with --set task.cost=COLUMN"
        )
    mean = float(table.columns[table.cost].mean())
    expected = max(1, int(budget.seconds / max(mean, 1e-9)))
    return min(expected, budget.trials or expected)


def _typical_pace(chosen: Mapping[str, Any], task: Task, device: str) -> float:
    """Return the mean pace of the first three random architectures that can be trained."""
    space = make_space(chosen, task)
    network = network_settings(chosen, "estimator")
    found: list[float] = []
    for index in range(20):
        arch = space.sample(stream("pace", index))
        try:
            found.append(pace(space, arch, task, device=device, **network))
        except (CandidateFailed, InvalidArchitecture) as error:
            reason = error
        if len(found) == 3:
            break
    if not found:
        raise SettingError(
            f"none of 20 random architectures can be trained, the last because {reason}: "
            "other settings of the space or the training may help"
        )
    return statistics.mean(found)


def pace(
    space: Space,
    arch: Arch,
    task: Task,
    *,
    size: Any,
    hyper: Any,
    device: str = "cpu",
    threads: int = 1,
) -> float:
    """Return how long training takes per example with `threads`, from a few steps now. [s]"""
    from .network.build import build
    from .network.data import loader
    from .network.train import train

    count = min(len(task.train), 8 * hyper.batch)
    part = Part(task.train.x[:count], task.train.y[:count])
    net, data = build(space, arch, task, size), loader(task, part, device=device)
    with using_threads(threads):  # as a worker has; what runs in this process keeps its own
        train(net, data, epochs=0.25, hyper=hyper, seed=0)  # the first steps find their memory
        done = train(net, data, epochs=1, hyper=hyper, seed=0)
    return float(done.seconds / (done.epochs * count))
