"""Packs: every member learns what it would learn alone; members that lose stop."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from evolvent.network.build import Size, build, plan
from evolvent.network.data import loader
from evolvent.network.fit import fit, started, with_own_training
from evolvent.network.packed import Member, shape_of, takes
from evolvent.network.packing import train_pack
from evolvent.network.train import Hyperparameters
from evolvent.space.tabular import GENES, Tabular
from evolvent.space.tabular_members import GOOD, MEMBERS
from evolvent.testing import small_task

TASK = small_task("numbers")
SPACE = Tabular.of(TASK.facts)
DATA = loader(TASK, TASK.train)
HYPER = Hyperparameters()


def arch(**genes):
    return SPACE.checked(tuple((GOOD | {"batch": 32} | genes).values()))


def member(arch, seed, hyper=HYPER, rows=None, task=TASK, data=DATA):
    net = build(SPACE, arch, task, Size(), seed=seed)
    random = torch.get_rng_state()
    started(net, data)
    return Member(net, with_own_training(hyper, SPACE, arch), rows, seed, random)


def difference(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs if a.is_floating_point())


#: name -> genes of five members, of which each has a value of its own where a list stands
PACKS: dict[str, dict[str, Any]] = {
    **{name: genes | {"batch": 32} for name, genes in MEMBERS.items()},
    "equal rates": {"dropout": 0.2, "residual": 1},
    "own rates": {
        "rate": GENES["rate"][:5],
        "weight_decay": GENES["weight_decay"],
        "label_smoothing": (0.0, 0.05, 0.1, 0.0, 0.05),
        "dropout": GENES["dropout"],
        "embedding": "periodic",
        "sigma": GENES["sigma"],
    },
    "norm": {"norm": "batch", "dropout": 0.35, "scaled": 1},
    "norm of members": {"norm": "batch", "members": 4},
    "average": {"average": 0.5, "embedding": "piecewise", "scaling": "quantile"},
}


@pytest.mark.parametrize("name", PACKS)
def test_every_member_learns_what_it_would_learn_alone(name):
    archs = [
        arch(**{gene: v[k] if isinstance(v, tuple) else v for gene, v in PACKS[name].items()})
        for k in range(5)
    ]
    members = [member(each, seed) for seed, each in enumerate(archs)]
    assert all(takes(each.net, each.hyper) for each in members)
    done = train_pack(members, DATA, epochs=10)
    assert done.epochs == (10.0,) * 5
    assert done.finite == (True,) * 5
    for seed, each in enumerate(archs):
        alone = fit(SPACE, each, TASK, DATA, epochs=10, seed=seed)
        assert difference(alone.net, members[seed].net) < 1e-5


def test_a_quantity_is_learnt_as_alone():
    rows = replace(TASK.train, y=TASK.train.x[:, 0].copy())
    task = replace(TASK, train=rows, outputs=1, classes=(), loss="mse", metric="r2")
    data = loader(task, task.train)
    members = [member(arch(members=m), 1, task=task, data=data) for m in (1, 4)]
    for each, count in zip(members, (1, 4), strict=True):
        train_pack([each], data, epochs=5)
        alone = fit(SPACE, arch(members=count), task, data, epochs=5, seed=1)
        assert difference(alone.net, each.net) < 1e-5


def test_members_learn_from_rows_of_their_own():
    halves = [torch.arange(0, 36), torch.arange(36, 72)]
    members = [member(arch(), 3, rows=rows) for rows in halves]
    train_pack(members, DATA, epochs=4)
    for each, rows in zip(members, halves, strict=True):
        part = TASK.train.taken(rows.numpy())
        net = member(arch(), 3).net  # its scaling begins from all rows, as that of the pack did
        alone = [Member(net, each.hyper, None, 3, each.random)]
        train_pack(alone, loader(TASK, part), epochs=4)
        assert difference(net, each.net) < 1e-5
    assert difference(members[0].net, members[1].net) > 1e-3


def test_losers_stop_and_the_others_go_on_as_if_alone():
    archs = [arch(rate=rate) for rate in (1.0, 2.0, 0.5, 1.0)]
    members = [member(each, seed) for seed, each in enumerate(archs)]
    asked = []

    def losers(going):
        asked.append(going)
        return [[2], [0, 3]][len(asked) - 1]

    done = train_pack(members, DATA, epochs=10, looks=(0.7, 0.3), losers=losers)
    assert asked == [(0, 1, 2, 3), (0, 1, 3)]
    assert done.epochs == (7.0, 10.0, 3.0, 7.0)
    alone = fit(SPACE, archs[1], TASK, DATA, epochs=10, seed=1)
    assert difference(alone.net, members[1].net) < 1e-5
    whole = fit(SPACE, archs[2], TASK, DATA, epochs=10, seed=2)
    assert difference(whole.net, members[2].net) > 1e-3


def test_a_pack_of_which_all_stop_ends():
    members = [member(arch(), seed) for seed in range(2)]
    done = train_pack(members, DATA, epochs=10, looks=(0.5,), losers=lambda going: going)
    assert done.epochs == (5.0, 5.0)


def test_a_member_whose_weights_are_no_numbers_is_named():
    members = [member(arch(), seed) for seed in range(3)]
    members[1] = replace(members[1], hyper=replace(members[1].hyper, lr=1e30))
    assert train_pack(members, DATA, epochs=3).finite == (True, False, True)


def test_nothing_is_learnt_in_no_epochs():
    one, other = member(arch(), 0), member(arch(), 0)
    assert train_pack([one], DATA, epochs=0).epochs == (0.0,)
    assert difference(one.net, other.net) == 0


def test_what_cannot_be_packed_is_told():
    made = member(arch(), 0)
    assert takes(made.net, made.hyper)
    for wrong in (
        {"optimizer": "muon"},
        {"clip": 1.0},
        {"mixup": 0.2},
        {"precision": "bfloat16"},
    ):
        assert not takes(made.net, replace(made.hyper, **wrong))
    assert takes(made.net, replace(made.hyper, class_weight="balanced"))
    made.net.add_module("strange", torch.nn.Bilinear(2, 2, 2))
    assert not takes(made.net, made.hyper)


def test_a_shape_is_all_but_what_members_have_for_themselves():
    def shape(**genes):
        made = arch(embedding="periodic", **genes)
        hyper = with_own_training(HYPER, SPACE, made)
        return shape_of(plan(SPACE, made, TASK, Size()), hyper)

    for own in (
        {"rate": 2.0},
        {"weight_decay": 0.0},
        {"dropout": 0.5},
        {"sigma": 1.0},
        {"label_smoothing": 0.1},
    ):
        assert shape(**own) == shape()
    for other in ({"width": 64}, {"average": 0.5}, {"scaling": "quantile"}, {"activation": "relu"}):
        assert shape(**other) != shape()
