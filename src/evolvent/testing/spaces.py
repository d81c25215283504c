"""The rules of every space."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..contract import check_contract, check_made
from ..errors import SettingError
from ..space import Space, key, sample_decisions
from ..space.drawing import KINDS, Drawing
from ..types import Arch
from .common import elsewhere, facts_of, from_json, name_of, require, run_rules
from .tasks import small_task


@dataclass(frozen=True)
class SpaceCase:
    """A space to check.

    Args:
        name: for messages.
        make: what makes it: a class, or anything that is called without arguments.
        space: made by it.
        data: shapes for its networks.
        network: whether there are networks to build.
        of_data: whether the space is made of `data`.
    """

    name: str
    make: Callable[..., Any]
    space: Any
    data: Any
    network: bool
    of_data: bool


def check_space(make: Callable[..., Any], task: Any = None, *, network: bool = True) -> None:
    """Check a space against its contract, and the networks that its family builds.

    Args:
        make: the class, or anything that returns a space when called; a class with ``of(task)`` is
            given the task.
        task: the data, as a task or its `Facts`; None is the ``input_shape`` of the space, or images
            of 2 x 7 x 6, with three outputs.
        network: False for a space whose architectures are only looked up, and never built.

    Raises:
        AssertionError: for the first rule that is broken, with what to do.
    """
    run_rules(SPACE_RULES, space_case(make, task, network=network))


def space_case(make: Callable[..., Any], task: Any = None, *, network: bool = True) -> SpaceCase:
    """Return the case that `SPACE_RULES` check; the arguments are those of `check_space`.

    Raises:
        AssertionError: if it is no space at all.
    """
    name, data = name_of(make), facts_of(task)
    try:
        check_contract("space", name, make)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    of_data = hasattr(make, "of")
    space = _made(make, data, of_data)
    if task is None and getattr(space, "kinds", None) == {"language"}:
        data = facts_of(small_task("language"))  # no image stands for a running text
    elif task is None:
        shape = getattr(space, "input_shape", data.input_shape)
        data = replace(data, input_shape=shape)
    return SpaceCase(name, make, space, data, network, of_data)


def _made(make: Callable[..., Any], data: Any, of_data: bool) -> Any:
    return make.of(data) if of_data else make()  # type: ignore[attr-defined]


def samples(space: Any, count: int, seed: int = 0) -> list[Arch]:
    """Return random architectures."""
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def walk(space: Any, steps: int, seed: int = 0) -> Iterator[Arch]:
    """Yield the architectures of a random walk, crossovers with fresh samples among the moves."""
    rng = random.Random(seed)
    arch = space.sample(rng)
    for step in range(steps):
        if step % 5 == 4 and "crossover" in space.gives:
            arch = space.crossover(arch, space.sample(rng), rng).arch
        else:
            arch = space.mutate(arch, rng).arch
        yield arch


# ---- sample and mutate ---------------------------------------------------------------------------


def keeps_the_contract(case: SpaceCase) -> None:
    """It has the attributes of a space, and the methods of the capabilities that it gives."""
    try:
        check_made("space", case.name, case.space)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    require(isinstance(case.space, Space), "it has no sample, mutate, family or gives")


def is_decided_by_the_generator(case: SpaceCase) -> None:
    """The same generator gives the same architectures, and another one others."""
    space = case.space
    require(
        list(walk(space, 50)) == list(walk(space, 50)) and samples(space, 20) == samples(space, 20),
        "the same generator gave other architectures: draw from `rng` alone, never from the random "
        "module, a counter or a set",
    )
    require(
        len({json.dumps(arch) for arch in samples(space, 20)}) > 1,
        "20 samples are all equal: sample must draw from `rng`",
    )


def is_the_same_in_another_process(case: SpaceCase) -> None:
    """The same generator gives the same architectures in another process."""
    there = elsewhere(_walk_of, case.make, case.data, case.of_data)
    require(
        from_json(there) == tuple(walk(case.space, 30)),
        "the same generator gave other architectures in another process: sort what comes from a set, "
        "and use no hash of a text",
    )


def _walk_of(make: Callable[..., Any], data: Any, of_data: bool) -> list[Arch]:
    return list(walk(_made(make, data, of_data), 30))


def moves_are_pure(case: SpaceCase) -> None:
    """A move changes something, names its operator, and leaves its input as it was."""
    rng = random.Random(1)
    for arch in samples(case.space, 100):
        before = json.dumps(arch)
        move = case.space.mutate(arch, rng)
        require(
            hasattr(move, "arch") and hasattr(move, "operator"),
            f"mutate returned {move!r}: return Move(arch, 'name of the operator')",
        )
        require(json.dumps(arch) == before, "mutate changed its input: return a new architecture")
        require(
            move.arch != arch or move.operator == "identity",
            f"mutate returned its input {arch!r} as {move.operator!r}: a move goes to another "
            "architecture, unless it is called 'identity'",
        )
        require(move.operator, "mutate returned an empty operator: name what it did")


def survives_json(case: SpaceCase) -> None:
    """An architecture can be hashed, stored and read again."""
    for arch in [*samples(case.space, 20), *walk(case.space, 100)]:
        again = from_json(arch)
        require(
            again == arch and json.dumps(again) == json.dumps(arch),
            f"{arch!r} comes back from JSON as {again!r}: make it of tuples, strings and numbers",
        )
        require(hash(again) == hash(arch), f"{arch!r} hashes differently after JSON")


def equal_architectures_have_equal_keys(case: SpaceCase) -> None:
    """Equal architectures have equal keys, which can be hashed."""
    for arch in samples(case.space, 30):
        own = key(case.space, arch)
        require(own == key(case.space, from_json(arch)), f"canonical differs for {arch!r}")
        hash(own)


def crossovers_are_pure(case: SpaceCase) -> None:
    """A crossover is decided by its parents and the generator, and leaves the parents as they were."""
    if "crossover" not in case.space.gives:
        return
    archs = samples(case.space, 40)
    for first, second in zip(archs[::2], archs[1::2], strict=True):
        before = json.dumps([first, second])
        one, other = (case.space.crossover(first, second, random.Random(7)) for _ in range(2))
        require(one == other, "crossover with the same generator gave another child")
        require(json.dumps([first, second]) == before, "crossover changed a parent")
        require(one.operator, "crossover returned an empty operator: name what it did")
        require(from_json(one.arch) == one.arch, f"{one.arch!r} does not survive JSON")


def starts_are_architectures(case: SpaceCase) -> None:
    """The minimal architecture is decided by the generator, and can be mutated."""
    if "start" not in case.space.gives:
        return
    one, other = (case.space.start(random.Random(7)) for _ in range(2))
    require(one == other, "start with the same generator gave another architecture")
    require(from_json(one) == one, f"{one!r} does not survive JSON")
    require(case.space.mutate(one, random.Random(8)).operator, "the start cannot be mutated")


# ---- networks ------------------------------------------------------------------------------------


def _built(case: SpaceCase, arch: Arch) -> Any:
    import torch

    from ..network.build import Assembled, plan

    with torch.device("meta"):
        return Assembled(plan(case.space, arch, case.data, _small())).eval()


def _small() -> Any:
    from ..network.build import Size

    return Size(cells=1, width=4, stages=2)


def moves_stay_buildable(case: SpaceCase) -> None:
    """Two hundred random moves lead to networks that take the inputs and return the outputs."""
    if not case.network:
        return
    import torch

    from ..network.build import plan

    for step, arch in enumerate(walk(case.space, 200)):
        made = plan(case.space, arch, case.data, _small())
        require(made.network.calls, f"the plan of {arch!r} has no calls")
        if step % 10 == 9:  # a module takes a hundred times as long as its plan
            with torch.no_grad():
                y = _built(case, arch)(torch.empty(2, *case.data.input_shape, device="meta"))
            require(
                (len(y), y.shape[-1]) == (2, case.data.outputs),
                f"the network of {arch!r} makes {tuple(y.shape)} of 2 inputs, and must make "
                f"(2, {case.data.outputs})",
            )


def starts_and_training_are_usable(case: SpaceCase) -> None:
    """The minimal architecture can be built, and what architectures say of their training is known."""
    from ..network.fit import with_own_training
    from ..network.train import Hyperparameters

    if case.network and "start" in case.space.gives:
        require(len(list(_built(case, case.space.start(random.Random(9))).modules())), "no network")
    for arch in samples(case.space, 10) if "training" in case.space.gives else ():
        with_own_training(Hyperparameters(), case.space, arch)


def _names(case: SpaceCase, arch: Arch) -> list[str]:
    return list(_built(case, arch).state_dict())


def parameters_are_named_by_genes(case: SpaceCase) -> None:
    """Parameters of equal architectures have equal names, whatever was built before."""
    if not case.network:
        return
    rng = random.Random(10)
    for arch in samples(case.space, 5):
        names = _names(case, arch)
        require(names == _names(case, from_json(arch)), "equal architectures, other names")
        _names(case, case.space.mutate(arch, rng).arch)
        require(
            names == _names(case, arch),
            "the names of parameters depend on what was built before: derive them from genes, not "
            "from a counter",
        )


# ---- known members -------------------------------------------------------------------------------


def known_members_are_of_the_space(case: SpaceCase) -> None:
    """Known members are architectures like any other, and no two of them are the same network."""
    if "known" not in case.space.gives:
        return
    members = case.space.known(case.data)
    require(members, "it gives known, and has no known member for these data")
    require(
        dict(members) == dict(case.space.known(case.data)), "known returned others the second time"
    )
    keys = {key(case.space, arch) for arch in members.values()}
    require(len(keys) == len(members), f"two of {', '.join(members)} are the same network")
    for name, arch in members.items():
        require(isinstance(name, str) and name, f"the name of {arch!r} is {name!r}")
        require(from_json(arch) == arch, f"{name}: {arch!r} does not survive JSON")
        require(case.space.mutate(arch, random.Random(11)).operator, f"{name} cannot be mutated")
        if "decisions" in case.space.gives:
            choices = case.space.encode(arch)
            _require_legal(case.space, choices)
            require(case.space.decode(choices) == arch, f"{name}: decode(encode(arch)) is another")


def known_members_are_networks(case: SpaceCase) -> None:
    """Every known member can be built, and says of its training only what is known."""
    if "known" not in case.space.gives or not case.network:
        return
    import torch

    from ..network.fit import with_own_training
    from ..network.train import Hyperparameters

    for name, arch in case.space.known(case.data).items():
        x = torch.empty(2, *case.data.input_shape, device="meta")
        with torch.no_grad():
            shape = tuple(_built(case, arch)(x).shape)
        steps = case.data.input_shape if case.data.successive else ()
        wanted = (2, *steps, case.data.outputs)
        require(shape == wanted, f"{name} makes {shape} of 2 inputs, and must make {wanted}")
        with_own_training(Hyperparameters(), case.space, arch)


# ---- drawings ------------------------------------------------------------------------------------


def draws_every_architecture(case: SpaceCase) -> None:
    """A drawing has nodes with ids of their own, and edges within a group."""
    for arch in walk(case.space, 100) if "drawing" in case.space.gives else ():
        drawing = case.space.drawing(arch)
        ids = [node.id for node in drawing.nodes]
        require(len(set(ids)) == len(ids) > 0, f"the drawing of {arch!r} has no or equal ids")
        require(
            all(node.label and node.kind in KINDS for node in drawing.nodes),
            f"the drawing of {arch!r} has a node without a label, or of no kind of {KINDS}",
        )
        groups = {node.id: node.group for node in drawing.nodes}
        for edge in drawing.edges:
            require(groups[edge.source] == groups[edge.target], f"{edge} joins two groups")
        require(drawing == case.space.drawing(from_json(arch)), f"{arch!r} has two drawings")


def drawings_show_what_a_move_changed(case: SpaceCase) -> None:
    """A drawing shows what a move changed, and keeps the ids of the rest."""
    if "drawing" not in case.space.gives:
        return
    rng, changed, kept = random.Random(6), 0, 0
    for arch in walk(case.space, 60):
        move = case.space.mutate(arch, rng)
        before, after = _genes(case.space.drawing(arch)), _genes(case.space.drawing(move.arch))
        if key(case.space, arch) != key(case.space, move.arch):
            require(before != after, f"{move.operator} changed {arch!r}, and its drawing is equal")
            changed += 1
            kept += bool(before[0].items() & after[0].items())
    require(
        kept >= 0.9 * changed > 0,
        f"of {changed} moves only {kept} kept a node of the drawing: name nodes by their genes",
    )


def _genes(drawing: Drawing) -> tuple[dict[Any, Any], dict[Any, Any], Any]:
    """The content of a drawing: nodes and edges by identity, with their labels."""
    nodes = {node.id: node[1:] for node in drawing.nodes}
    edges = {(edge.source, edge.target, edge.kind == "skip"): edge.label for edge in drawing.edges}
    return nodes, edges, drawing.facts


# ---- decisions -----------------------------------------------------------------------------------


def _require_legal(space: Any, choices: Any) -> None:
    for at, choice in enumerate(choices):
        decision = space.decision(choices[:at])
        require(decision is not None, f"{choices} is longer than decision(prefix) says")
        require(decision.kind in ("choice", "pointer", "bit"), f"{decision} is of no known kind")
        require(choice in decision.legal, f"choice {choice} of {choices} is not among {decision}")
        require(set(decision.legal) <= set(range(decision.size)), f"{decision}: legal is too large")
        require(list(decision.legal) == sorted(decision.legal), f"{decision}: legal is not sorted")
    require(space.decision(choices) is None, f"{choices} is complete, and decision goes on")


def decode_is_the_inverse_of_encode(case: SpaceCase) -> None:
    """Every architecture is a sequence of legal decisions, and comes back from it."""
    space = case.space
    for arch in walk(space, 200) if "decisions" in space.gives else ():
        choices = space.encode(arch)
        _require_legal(space, choices)
        back = space.decode(choices)
        require(back == arch, f"decode(encode(arch)) is {back!r}, not {arch!r}")


def every_legal_path_decodes(case: SpaceCase) -> None:
    """Every sequence of legal decisions is an architecture, and comes back from it."""
    space, rng = case.space, random.Random(2)
    for _ in range(200) if "decisions" in space.gives else ():
        choices = sample_decisions(space, rng)
        back = space.encode(space.decode(choices))
        require(back == choices, f"encode(decode(choices)) is {back}, not {choices}")
        require(space.decode(list(choices)) == space.decode(choices), "a list decodes differently")


def equal_names_are_equal_decisions(case: SpaceCase) -> None:
    """Decisions of equal name have equal kind and size."""
    space, rng = case.space, random.Random(3)
    seen: dict[str, tuple[str, int]] = {}
    for _ in range(20) if "decisions" in space.gives else ():
        choices = sample_decisions(space, rng)
        for at in range(len(choices)):
            decision = space.decision(choices[:at])
            known = seen.setdefault(decision.name, (decision.kind, decision.size))
            require(
                known == (decision.kind, decision.size),
                f"decisions named {decision.name!r} are {known} and {decision.kind, decision.size}: "
                "give them two names",
            )


def equivalents_are_the_same_network(case: SpaceCase) -> None:
    """Equivalents are legal, have the same key, and cost the same."""
    space, rng = case.space, random.Random(4)
    archs = samples(space, 50) if "decisions" in space.gives else []
    for number, arch in enumerate(archs):
        other = space.equivalents(space.encode(arch), rng)
        _require_legal(space, other)
        same = space.decode(other)
        require(key(space, same) == key(space, arch), f"{same!r} has another key than {arch!r}")
        if case.network and "canonical" in space.gives and number < 10:
            sizes = [
                sorted(tuple(weight.shape) for weight in _built(case, each).parameters())
                for each in (arch, same)
            ]
            require(sizes[0] == sizes[1], f"{same!r} has other parameters than {arch!r}")


# ---- mixture -------------------------------------------------------------------------------------


def one_hot_has_the_form_of_the_groups(case: SpaceCase) -> None:
    """The one-hot weights of an architecture have a row per row of its groups, none below 0."""
    space = case.space
    for arch in samples(space, 20) if "mixture" in space.gives else ():
        weights = space.one_hot(arch)
        names = [group.name for group in space.groups()]
        require(list(weights) == names, f"one_hot has {list(weights)}, groups are {names}")
        for group in space.groups():
            shape, form = weights[group.name].shape, (len(group.rows), len(group.columns))
            require(shape == form, f"one_hot of {group.name} is {shape}, must be {form}")
            require((weights[group.name] >= 0).all(), f"one_hot of {group.name} is below 0")


def derive_is_the_inverse_of_one_hot(case: SpaceCase) -> None:
    """The architecture derived from its own one-hot weights is the same network."""
    space = case.space
    for arch in walk(space, 200) if "mixture" in space.gives else ():
        back = space.derive(space.one_hot(arch))
        require(key(space, back) == key(space, arch), f"derive(one_hot({arch!r})) is {back!r}")


def any_mixture_derives_an_architecture(case: SpaceCase) -> None:
    """Any weights stand for a valid architecture."""
    space, rng = case.space, np.random.default_rng(0)
    for _ in range(50) if "mixture" in space.gives else ():
        weights = {
            group.name: rng.dirichlet(np.ones(len(group.columns)), len(group.rows))
            for group in space.groups()
        }
        arch = space.derive(weights)
        require(arch == from_json(arch), f"derive returned {arch!r}, which does not survive JSON")
        if "decisions" in space.gives:
            _require_legal(space, space.encode(arch))


def shared_weights_take_any_mixture(case: SpaceCase) -> None:
    """The network with shared weights takes every one-hot and any mixture."""
    space, data = case.space, case.data
    if "mixture" not in space.gives or not case.network:
        return
    import torch

    from ..network.shared.mixture import MixtureWeights
    from ..network.shared.supernet import Supernet

    mixtures = [space.one_hot(arch) for arch in samples(space, 2)]
    mixtures.append({g.name: np.full((len(g.rows), len(g.columns)), 0.1) for g in space.groups()})
    with torch.device("meta"), torch.no_grad():
        net, x = Supernet(space, data, _small()), torch.empty(2, *data.input_shape)
        for mixture in mixtures:
            shape = tuple(net(x, MixtureWeights(mixture, device="meta")).shape)
            tokens = data.input_shape if data.successive else ()  # each has outputs of its own
            form = (2, *tokens, data.outputs)
            require(shape == form, f"the supernet makes {shape} of 2 inputs, must make {form}")


SPACE_RULES: tuple[Callable[[SpaceCase], None], ...] = (
    keeps_the_contract,
    moves_are_pure,
    survives_json,
    is_decided_by_the_generator,
    is_the_same_in_another_process,
    equal_architectures_have_equal_keys,
    crossovers_are_pure,
    starts_are_architectures,
    moves_stay_buildable,
    starts_and_training_are_usable,
    parameters_are_named_by_genes,
    known_members_are_of_the_space,
    known_members_are_networks,
    draws_every_architecture,
    drawings_show_what_a_move_changed,
    decode_is_the_inverse_of_encode,
    every_legal_path_decodes,
    equal_names_are_equal_decisions,
    equivalents_are_the_same_network,
    one_hot_has_the_form_of_the_groups,
    derive_is_the_inverse_of_one_hot,
    any_mixture_derives_an_architecture,
    shared_weights_take_any_mixture,
)
