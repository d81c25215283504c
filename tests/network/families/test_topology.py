"""Genomes as networks: many side by side, one to deliver, and both the same."""

import random

import numpy as np
import pytest
import torch

from evolvent.deliver.export import export, load
from evolvent.network.build import Assembled, Size, many, plan, weights
from evolvent.network.cost import params
from evolvent.space.topology import Topology
from evolvent.task.control import load as load_task

XOR, BLIND = load_task("xor"), load_task("double-pole-no-velocity")
CHAIN = (
    ("x0", "n1_a", 0.5, True),
    ("n1_a", "n2_b", -1.0, True),
    ("n2_b", "y0", 2.0, True),
    ("x1", "y0", 1.0, True),
    ("x1", "n1_a", 9.0, False),
)


def sigmoid(x):
    return 1 / (1 + np.exp(-4.9 * x))


def grown(space, moves, seed):
    draw = random.Random(seed)
    arch = space.start(draw)
    for _ in range(moves):
        arch = space.mutate(arch, draw).arch
    return arch


def rates(recurrent=False):
    shape = (8, 3) if recurrent else (3,)
    return Topology(shape, 2, recurrent=recurrent, add_node=0.3, add_connection=0.5)


def module(space, arch, task):
    net = Assembled(plan(space, arch, task, Size()))
    net.load_state_dict({name: torch.tensor(v) for name, v in weights(space, arch).items()})
    return net.eval()


def test_a_network_computes_its_nodes_in_the_order_of_their_connections():
    a = sigmoid(0.5 * 0.3)
    expected = sigmoid(2.0 * sigmoid(-a) - 0.7)
    nets = many(Topology(), [CHAIN])
    assert nets.depth == 3
    assert nets(np.array([[0.3], [-0.7]]))[0, 0] == pytest.approx(expected, abs=1e-12)


def test_a_feed_forward_network_forgets_what_it_saw():
    nets = many(Topology(), [CHAIN])
    x = np.array([[0.3], [-0.7]])
    first = nets(x)
    nets(np.array([[5.0], [5.0]]))
    assert (nets(x) == first).all()


def test_a_recurrent_network_reads_what_the_others_were_one_moment_before():
    arch = (("x0", "y0", 1.0, True), ("y0", "y0", 0.5, True))
    nets = many(Topology((1,), recurrent=True), [arch])
    x = np.array([[0.2]])
    first = sigmoid(0.2)
    assert nets(x)[0, 0] == pytest.approx(first)
    assert nets(x)[0, 0] == pytest.approx(sigmoid(0.2 + 0.5 * first))
    nets.reset()
    assert nets(x)[0, 0] == pytest.approx(first)


@pytest.mark.parametrize("recurrent", [False, True])
def test_what_one_answers_does_not_depend_on_the_others(recurrent):
    space = rates(recurrent)
    archs = [grown(space, place, place) for place in range(0, 40, 2)]
    x = np.random.default_rng(0).standard_normal((3, len(archs)))
    nets = many(space, archs)
    nets(x)
    together = nets(x)
    for place, arch in enumerate(archs):
        alone = many(space, [arch])
        alone(x[:, [place]])
        assert (alone(x[:, [place]])[:, 0] == together[:, place]).all()


def test_some_may_be_taken_with_their_memory_and_more_than_once():
    space = rates(recurrent=True)
    nets = many(space, [grown(space, 10, seed) for seed in range(4)])
    x = np.ones((3, 4))
    nets(x)
    some = nets.take(np.array([2, 2, 0]))
    assert len(some) == 3
    assert some.params == [nets.params[2], nets.params[2], nets.params[0]]
    expected = nets(x)
    assert (some(x[:, :3]) == expected[:, [2, 2, 0]]).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_module_to_deliver_answers_the_same(seed):
    space = rates()

    class Data:
        input_shape, outputs = (3,), 2

    arch = grown(space, 5 * seed, seed)
    x = np.random.default_rng(seed).standard_normal((3, 10))
    with torch.no_grad():
        delivered = module(space, arch, Data())(torch.tensor(x.T, dtype=torch.float32)).numpy()
    assert np.abs(delivered - many(space, [arch] * 10)(x).T).max() < 1e-4


def test_the_recurrent_module_answers_moment_by_moment_or_all_at_once():
    space = Topology.of(BLIND.facts, add_node=0.3, add_connection=0.5)
    arch = grown(space, 20, 1)
    net, nets = module(space, arch, BLIND), many(space, [arch])
    x = np.random.default_rng(0).standard_normal((1, 6, 3)).astype(np.float32)
    stepped = np.array([nets(moment[:, None])[0, 0] for moment in x[0]])
    values = torch.zeros(1, net.genome.nodes)
    with torch.no_grad():
        at_once = net(torch.tensor(x))[0, :, 0].numpy()
        for place in range(6):
            values = net.genome.step(torch.tensor(x[:, place]), values)
            assert values[0, 0].item() == pytest.approx(at_once[place], abs=1e-6)
    assert np.abs(at_once - stepped).max() < 1e-4


def test_parameters_are_the_connections_it_computes_with():
    net = module(Topology(), CHAIN, XOR)
    assert params(net) == many(Topology(), [CHAIN]).params[0] == 4


def test_a_genome_without_an_enabled_gene_still_is_a_network():
    off = (("x0", "y0", 3.0, False),)
    assert many(Topology(), [off])(np.ones((2, 1)))[0, 0] == 0.5
    assert module(Topology(), off, XOR)(torch.ones(1, 2)).item() == 0.5


@pytest.mark.parametrize("task", [XOR, BLIND], ids=["xor", "recurrent"])
def test_it_is_exported_and_loads_without_evolvent(task, tmp_path):
    space = Topology.of(task.facts)
    arch = grown(space, 30, 2)
    state = weights(space, arch)
    proof = export(
        tmp_path,
        plan=plan(space, arch, task, Size()),
        state=state,
        task=task,
        title="A network.",
        provenance="Grown by chance.",
    )
    assert proof["parity_max_abs_diff"] <= 1e-6
    text = (tmp_path / "model.py").read_text()
    assert "preprocess" not in text
    assert "net(inputs) " in text
    x = torch.randn(3, *task.input_shape)
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(x), module(space, arch, task)(x))
