"""Networks of polynomials, whose coefficients are found in closed form."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import nn

from evolvent.network.build import Assembled, Size, build, plan
from evolvent.network.fit import fit, in_closed_form, scored
from evolvent.network.losses import description_length
from evolvent.network.polynomials import FittedLogits, PolynomialNode
from evolvent.space.polynomial import FUNCTIONS, Polynomial
from evolvent.task import Part
from evolvent.testing import small_task

TASK = small_task("numbers")
NODES = (
    ("a", "x0", "x1", "quadratic"),
    ("b", "x2", "x0", "product"),
    ("c", "a", "b", "squares"),
)


def quantity(function, rows=200):
    """A task whose target is a function of five numbers."""
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    y = function(x).astype(np.float32)
    parts = [Part(x[at::4], y[at::4]) for at in range(4)]
    both = Part(np.concatenate([p.x for p in parts[:2]]), np.concatenate([p.y for p in parts[:2]]))
    about = {"outputs": 1, "classes": (), "loss": "mse", "metric": "r2"}
    return dataclasses.replace(TASK, train=both, validation=parts[2], test=parts[3], **about)


def test_a_node_finds_the_polynomial_that_made_the_targets():
    task = quantity(lambda x: 2 + x[:, 0] - 3 * x[:, 1] * x[:, 0] + 0.5 * x[:, 1] ** 2)
    space = Polynomial.of(task.facts)
    made = fit(space, NODES[:1], task, task.train, epochs=5.0)
    assert made.done.epochs == 0
    (weight,) = made.net.parameters()
    assert weight.detach().numpy()[0] == pytest.approx([2, 1, 0, -3, 0, 0.5], abs=1e-5)
    assert scored(made.net, task, task.validation)["r2"] == pytest.approx(1, abs=1e-6)


def test_a_later_node_makes_of_nodes_what_they_alone_cannot():
    task = quantity(lambda x: (x[:, 0] * x[:, 1]) ** 2 + x[:, 2])
    space = Polynomial.of(task.facts)
    scores = [
        scored(fit(space, NODES[:count], task, task.train).net, task, task.train)["r2"]
        for count in (1, 3)
    ]
    assert scores[1] > scores[0] + 0.05


def test_terms_that_say_the_same_do_no_harm():
    task = quantity(lambda x: 1 + x[:, 0])
    task = dataclasses.replace(
        task, train=Part(np.sign(task.train.x), np.sign(task.train.x[:, 0]) + 1)
    )
    net = fit(Polynomial.of(task.facts), NODES, task, task.train).net
    assert all(torch.isfinite(each).all() and each.abs().max() < 10 for each in net.parameters())


def test_classes_are_told_apart_and_their_logits_are_scaled():
    space = Polynomial.of(TASK.facts)
    arch = space.sample(random.Random(0))
    made = fit(space, arch, TASK, TASK.train)
    told = scored(made.net, TASK, TASK.train)
    assert told["accuracy"] > 0.8
    factor = next(m for m in made.net.modules() if isinstance(m, FittedLogits)).factor
    for times in (0.7, 1.4):  # no other factor makes the training rows likelier
        with torch.no_grad():
            factor.mul_(times)
            assert scored(made.net, TASK, TASK.train)["loss"] > told["loss"]
            factor.div_(times)


def test_labels_are_targets_of_one_and_minus_one():
    node = PolynomialNode(2, "1 a b", labels=True)
    a = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    b = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]])
    y = torch.cat([a > 0, b < 0], 1).float()
    node.start([((a, b), y)])
    assert node.weight.detach() == pytest.approx(torch.tensor([[0.0, 1, 0], [0, 0, -1]]), abs=1e-6)


def test_only_a_network_of_nothing_else_is_in_closed_form():
    space = Polynomial.of(TASK.facts)
    net = build(space, NODES, TASK, Size())
    assert in_closed_form(net)
    net.add_module("head", nn.Linear(2, 2))
    assert not in_closed_form(net)
    assert not in_closed_form(nn.Linear(2, 2)) and not in_closed_form(nn.ReLU())


def test_the_same_rows_give_the_same_coefficients():
    space = Polynomial.of(TASK.facts)
    states = [fit(space, NODES, TASK, TASK.train, seed=seed).net.state_dict() for seed in (0, 1)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_only_inputs_that_are_read_are_taken():
    made = plan(Polynomial.of(TASK.facts), NODES, TASK, Size())
    assert [line.out for line in made.network.calls if line.op == "Columns"] == ["x0", "x1", "x2"]
    terms = [len(FUNCTIONS[function].split()) for *_, function in NODES]
    assert sum(p.numel() for p in Assembled(made).parameters()) == 3 * sum(terms) + 1


def test_the_length_of_a_description_weighs_errors_against_coefficients():
    task = quantity(lambda x: x[:, 0])
    short, long = (description_length(task, 0.01, count, 100) for count in (3, 13))
    assert long - short == pytest.approx(0.5 * 10 * np.log(100) / 100)
    better = description_length(task, 0.005, 13, 100)
    assert better - long == pytest.approx(0.5 * np.log(0.5))
    assert description_length(TASK, 0.7, 10, 100) == pytest.approx(0.7 + 0.05 * np.log(100))
