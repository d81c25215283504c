"""Every space, strategy and estimator by name, loaded when it is used.

One dictionary per axis, name -> ``"module:Name"`` within this package. A name with a
colon (``"mypackage.mine:MySearch"``) is used as it stands, so that one's own parts need no
registration; they are held to the contract of their axis.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .contract import check_contract as check_contract
from .contract import check_made
from .contract import kinds_of as kinds_of
from .errors import SettingError, unknown

if TYPE_CHECKING:
    from .types import Facts  # at run time that would load numpy

SPACES = {
    "blueprint": "space.blueprint:Blueprint",
    "cell": "space.cell:Cell",
    "cell201": "space.cell201:Cell201",
    "chain": "space.chain:Chain",
    "filters": "space.filters:Filters",
    "graph": "space.graph:Graph",
    "layers": "space.layers:Layers",
    "listed": "space.listed:Listed",
    "plain": "space.plain:Plain",
    "polynomial": "space.polynomial:Polynomial",
    "recurrent": "space.recurrent:Recurrent",
    "rnn-tree": "space.rnn_tree:RnnTree",
    "series": "space.series:Series",
    "stages": "space.stages:Stages",
    "text": "space.text:Text",
    "tabular": "space.tabular:Tabular",
    "topology": "space.topology:Topology",
}
STRATEGIES = {
    "random": "strategy.random:Random",
    "regularized-evolution": "strategy.evolution:RegularizedEvolution",
    "genetic": "strategy.genetic:Genetic",
    "tournament": "strategy.tournament:Tournament",
    "exact": "strategy.exact:Exact",
    "local": "strategy.local:LocalSearch",
    "annealing": "strategy.annealing:Annealing",
    "bayes": "strategy.bayes:Bayes",
    "reinforce": "strategy.reinforce:Reinforce",
    "ppo": "strategy.ppo:PPO",
    "pareto": "strategy.pareto:Pareto",
    "nao": "strategy.nao:NAO",
    "darts": "strategy.darts:Darts",
    "gdas": "strategy.gdas:Gdas",
    "drnas": "strategy.drnas:DrNas",
    "pc-darts": "strategy.pc_darts:PcDarts",
    "p-darts": "strategy.p_darts:PDarts",
    "snas": "strategy.snas:Snas",
    "darts-pt": "strategy.darts_pt:DartsPt",
    "neat": "strategy.neat:NEAT",
    "codeepneat": "strategy.codeepneat:CoDeepNEAT",
    "successive-halving": "strategy.hyperband:SuccessiveHalving",
    "hyperband": "strategy.hyperband:Hyperband",
    "asha": "strategy.asha:Asha",
    "learning-curve": "strategy.curve:LearningCurve",
}
ESTIMATORS = {
    "full": "estimator.full:Full",
    "inherit": "estimator.inherit:Inherit",
    "packed": "estimator.packed:Packed",
    "shared": "estimator.shared:Shared",
    "table": "estimator.table:TableEstimator",
    "zerocost": "estimator.zerocost:ZeroCost",
    "cascade": "estimator.cascade:Cascade",
    "simulation": "estimator.simulation:Simulation",
}
AXES = {"space": SPACES, "strategy": STRATEGIES, "estimator": ESTIMATORS}


def find(axis: str, name: str) -> Any:
    """Return the class registered as `name` on `axis` (``space``, ``strategy``, ``estimator``).

    Raises:
        SettingError: for a name that is neither registered nor a ``module:Name`` that imports, and
            for what does not keep the contract of its axis.
    """
    table = AXES[axis]
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), attribute)
    module, colon, attribute = name.partition(":")
    if not colon:
        raise unknown(axis, name, table)
    try:
        make = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module from outside may fail in any way while it is read
        what = error if isinstance(error, ImportError | AttributeError) else repr(error)
        raise SettingError(f"{axis} {name!r} cannot be imported: {what}") from error
    check_contract(axis, name, make)
    return make


def is_own(axis: str, name: str) -> bool:
    """Whether a name is registered: its part is of this package."""
    return name in AXES[axis]


def make_space(name: str, task: Facts, settings: Mapping[str, Any]) -> Any:
    """Return the space `name` for a task; one that is read from the task (`of`) is given its facts.

    Raises:
        SettingError: for an unknown name or setting, a space that is not for such a task, and what
            turns out to be no space.
    """
    return build_space(name, find("space", name), task, settings)


def build_space(name: str, make: Any, task: Facts, settings: Mapping[str, Any]) -> Any:
    """Return the space of a class that was found under `name`; see `make_space`."""
    check_space_kind(name, task.kind, make)
    space = make.of(task, **settings) if hasattr(make, "of") else make(**settings)
    if not is_own("space", name):
        check_made("space", name, space)
    return space


def gives(axis: str, name: str) -> frozenset[str]:
    """Return the capabilities of a part that its class declares."""
    given = getattr(find(axis, name), "gives", None)
    return given if isinstance(given, frozenset) else frozenset()


def check_space_kind(name: str, kind: str, make: Any = None) -> None:
    """Refuse a space whose networks do not read what a task has; most read images, or none.

    Args:
        name: of the space.
        kind: of the task.
        make: the space's class, where it is at hand.

    Raises:
        SettingError: naming those that do.
    """
    read = kinds_of("space", make or find("space", name))
    if kind in ("image", "numbers", "text", "series", "language") and kind not in read:
        fitting = [each for each in SPACES if kind in kinds_of("space", find("space", each))]
        raise SettingError(
            f"space {name} is for tasks of kind {', '.join(sorted(read))}, this one is of kind {kind}: "
            f"use {' or '.join(fitting)}"
        )


def check_kind(name: str, kind: str, make: Any = None) -> None:
    """Refuse an estimator for a task of a kind that it cannot evaluate, before a space is made for it.

    Args:
        name: of the estimator.
        kind: of the task.
        make: the estimator's class, where it is at hand.

    Raises:
        SettingError: naming those that can.
    """
    kinds = kinds_of("estimator", make or find("estimator", name))
    if kind not in kinds:
        fitting = [
            other for other in ESTIMATORS if kind in kinds_of("estimator", find("estimator", other))
        ]
        raise SettingError(
            f"estimator {name} evaluates tasks of kind {', '.join(sorted(kinds))}, this one is of kind "
            f"{kind}: use {' or '.join(fitting) or 'another task'}"
        )


def check(
    space: Any, needs: frozenset[str], estimator: Any, names: tuple[str, str, str], kind: str
) -> None:
    """Refuse a combination whose needs are not met, before anything is spent.

    Args:
        space: the space, as built: what it gives may depend on its settings.
        needs: of the strategy.
        estimator: class with `gives` and `needs`.
        names: of the three, for the message.
        kind: of the task.

    Raises:
        SettingError: naming what is missing and the nearest valid choice.
    """
    given = set(space.gives) | set(estimator.gives)
    for part, needed in ((names[1], needs), (names[2], estimator.needs)):
        missing = sorted(set(needed) - given)
        if missing:
            raise SettingError(
                f"{part} needs {', '.join(missing)}, which {names[0]} x {names[2]} does not give: "
                f"{_nearest(missing, given, kind)}"
            )


def _nearest(missing: list[str], given: set[str], kind: str) -> str:
    spaces = [name for name in SPACES if set(missing) <= gives("space", name) | given]
    estimators = [
        name
        for name in ESTIMATORS
        if kind in kinds_of("estimator", find("estimator", name))
        and set(missing) <= gives("estimator", name) | given
    ]
    if spaces:
        return f"use one of the spaces {', '.join(spaces)}"
    if estimators:
        return f"use one of the estimators {', '.join(estimators)}"
    return "use another strategy, such as random or regularized-evolution"
