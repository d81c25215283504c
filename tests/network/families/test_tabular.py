"""Networks for tables: their cost is what the space says, training, members, and the export."""

import dataclasses
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from evolvent.deliver.export import export, load
from evolvent.deliver.onnx import convert
from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.fit import fit, fresh, scored, state_of
from evolvent.network.fit import load as load_state
from evolvent.network.tables import TABLES, Ramps, RobustScale
from evolvent.network.train import Hyperparameters
from evolvent.space.tabular import EMBEDDINGS, SCALINGS, Tabular
from evolvent.space.tabular_members import GOOD, MEMBERS
from evolvent.task.frames import read_frame
from evolvent.task.numbers import numbers_task
from evolvent.testing import small_task
from evolvent.types import Facts

COLUMNS = (("number", 3), ("flag", 1), ("category", 12), ("number", 1), ("category", 4))
FACTS = Facts("numbers", "accuracy", (21,), 3, columns=COLUMNS)
HYPER = Hyperparameters()


@pytest.fixture(scope="module")
def task():
    return small_task("numbers")


def arch(space, **genes):
    return space.checked(tuple((GOOD | {"batch": 32} | genes).values()))


def test_multiply_adds_are_those_that_the_space_counts():
    space, rng = Tabular.of(FACTS), random.Random(0)
    archs = [space.sample(rng) for _ in range(60)] + list(space.known(FACTS).values())
    for each in archs:
        assert cost(plan(space, each, FACTS, Size()), FACTS).flops == 2 * space.cost(each)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("members", [1, 4])
def test_every_weight_learns(embedding, scaling, members):
    space = Tabular.of(FACTS)
    genes = {"embedding": embedding, "scaling": scaling, "members": members, "scaled": 1}
    net = build(space, arch(space, **genes, residual=1, norm="batch"), FACTS, Size())
    y = net(torch.rand(8, 21))
    assert y.shape == ((8, 3) if members == 1 else (8, members, 3))
    y.square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", MEMBERS)
def test_known_members_learn(name, task):
    space = Tabular.of(task.facts)
    made = fit(space, space.known(task.facts)[name], task, task.train, hyper=HYPER, epochs=20)
    assert scored(made.net, task, task.validation)["accuracy"] > 0.7


def test_several_members_are_each_held_against_the_target(task):
    space = Tabular.of(task.facts)
    made = fit(space, arch(space, members=4), task, task.train, epochs=30)
    made.net.train()
    each = made.net(torch.from_numpy(task.train.x)).argmax(2)  # [N, members]
    right = (each == torch.from_numpy(task.train.y)[:, None]).float().mean(0)
    assert right.min() > 0.8


def test_scaling_and_bins_begin_from_the_training_rows(task):
    space = Tabular.of(task.facts)
    both = arch(space, scaling="robust", embedding="piecewise")
    made = fit(space, both, task, task.train, epochs=0)
    (scale,) = (each for each in made.net.modules() if isinstance(each, RobustScale))
    (ramps,) = (each for each in made.net.modules() if isinstance(each, Ramps))
    rows = torch.from_numpy(task.train.x)
    assert torch.allclose(scale.centre, rows.quantile(0.5, dim=0))
    # the bins are those of what they read, the scaled numbers
    assert torch.allclose(ramps.edges[:, 0], scale(rows).min(0).values)
    assert {"scaled_robust.centre", "piecewise.ramps.edges"} <= set(made.state)


def test_inherited_weights_come_with_their_statistics(task):
    space = Tabular.of(task.facts)
    both = arch(space, embedding="piecewise")
    first = fit(space, both, task, task.train, epochs=1).state
    other = dataclasses.replace(task.train, x=task.train.x * 5)

    def begin(net, epochs):
        load_state(net, first)
        return fresh(net, epochs)

    again = fit(space, both, task, other, epochs=0, begin=begin).state
    assert all(
        np.array_equal(again[name], first[name]) for name in first if name != "trained_epochs"
    )


def test_the_same_seed_is_the_same_training(task):
    space = Tabular.of(task.facts)
    dropped = arch(space, dropout=0.35, embedding="periodic", members=4)
    one, two = (fit(space, dropped, task, task.train, epochs=2, seed=5).state for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_the_kinds_of_inputs_are_those_of_the_columns(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["a,colour,b,y"]
    for row in range(120):
        b = "" if row % 7 == 0 else f"{rng.normal():.3f}"
        lines.append(f"{rng.normal():.3f},{['red', 'green', 'blue'][row % 3]},{b},{row % 2}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    frame = read_frame(tmp_path / "t.csv")
    made = numbers_task("t", frame, target="y", kind="classification")
    assert made.columns == (("number", 1), ("category", 3), ("number", 1), ("flag", 1))
    assert Facts.from_json(made.facts.to_json()) == made.facts
    assert made.input_shape == (6,)


@pytest.mark.parametrize("name", MEMBERS)
def test_an_exported_network_computes_the_same(name, tmp_path):
    task = dataclasses.replace(small_task("numbers"), input_shape=(21,))
    space = Tabular.of(FACTS)
    net = build(space, space.known(FACTS)[name], FACTS, Size(), seed=1).eval()
    made = plan(space, space.known(FACTS)[name], FACTS, Size())
    export(tmp_path, plan=made, state=state_of(net), task=task, title="t", provenance="p")
    x = torch.rand(5, 21)
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(x), net(x))


def test_every_operation_for_tables_is_exported(tmp_path):
    task = dataclasses.replace(small_task("numbers"), input_shape=(21,))
    space, rng, seen = Tabular.of(FACTS), random.Random(0), ""
    for number in range(24):
        arch = space.sample(rng)
        net = build(space, arch, FACTS, Size(), seed=1).eval()
        made, folder = plan(space, arch, FACTS, Size()), tmp_path / str(number)
        told: dict[str, Any] = {"title": "t", "provenance": "p", "proof": False}
        export(folder, plan=made, state=state_of(net), task=task, **told)
        seen += (folder / "model.py").read_text()
        x = torch.rand(3, 21)
        with torch.no_grad():
            assert torch.equal(load(folder)(x), net(x))
    assert [made.__name__ for made in TABLES if f"class {made.__name__}(" not in seen] == []


@pytest.mark.parametrize("name", ["mlp-plr", "tabm"])
def test_onnx_computes_the_same(name, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    task = dataclasses.replace(small_task("numbers"), input_shape=(21,))
    space = Tabular.of(FACTS)
    net = build(space, space.known(FACTS)[name], FACTS, Size(), seed=1).eval()
    made = plan(space, space.known(FACTS)[name], FACTS, Size())
    told: dict[str, Any] = {"title": "t", "provenance": "p", "proof": False}
    export(tmp_path, plan=made, state=state_of(net), task=task, **told)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the converter warns of its own code
        assert convert(tmp_path) < 1e-4
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for rows in (1, 7):
        x = torch.rand(rows, 21)
        (there,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            assert np.abs(there - net(x).numpy()).max() < 1e-4
