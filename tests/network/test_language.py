"""Language models: the fast cell is the plain one, and a carried state is one long pass."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost
from evolvent.network.data import loader
from evolvent.network.fit import fit, scored
from evolvent.network.language import LanguageModel, RecurrentCell, TreeCell
from evolvent.network.losses import LOSSES
from evolvent.network.recurrent import FastCell
from evolvent.network.train import Hyperparameters, Trainer, carrying, evaluate
from evolvent.space import rnn_tree as trees
from evolvent.space.plain import Plain
from evolvent.space.recurrent import MEMBERS, Recurrent, parse
from evolvent.space.rnn_tree import written
from evolvent.task import Part
from evolvent.task.portable.running import segments
from evolvent.testing import small_task

TASK = small_task("language")
HYPER = Hyperparameters(optimizer="adamw", lr=2e-2, batch=4, label_smoothing=0.0, clip=0.5)
SIZE = Size(width=12)


@pytest.mark.parametrize(
    ("nodes", "output"),
    [*MEMBERS.values(), ("sigmoid-0 identity-0 tanh-0 tanh-1 relu-1", "all"), ("relu-0", "loose")],
)
@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_the_fast_cell_and_its_gradient_are_those_of_the_plain_one(nodes, output, drop):
    torch.manual_seed(0)
    plain = RecurrentCell(3, nodes, output, drop).double()
    fast = FastCell(plain)
    x = torch.randn(5, 2, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    found = []
    for cell in (plain, fast):
        torch.manual_seed(1)  # of the mask
        outputs, last = cell(x, state)
        loss = (outputs**2).sum() + last.sin().sum()
        found.append((outputs, *torch.autograd.grad(loss, [x, state, *plain.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_cell_is_what_its_paper_says():
    torch.manual_seed(0)
    cell = RecurrentCell(2, "relu-0 identity-1")
    x, h = torch.randn(1, 2), torch.randn(1, 2)

    def highway(pre, below, activation):
        gate, value = pre[:, :2].sigmoid(), activation(pre[:, 2:])
        return gate * value + (1 - gate) * below

    first = highway(x @ cell.input + h @ cell.hidden, h, torch.tanh)
    second = highway(first @ cell.inner[0], first, torch.relu)
    third = highway(second @ cell.inner[1], second, lambda value: value)
    outputs, _ = cell(x[None], h)
    torch.testing.assert_close(outputs[0], (second + third) / 2)


NAS, LSTM = (
    written((trees.parse(text), trees.parse(inject)[0], at, keep))
    for text, inject, at, keep in trees.MEMBERS.values()
)
TREE = "add-tanh multiply-relu add-sigmoid inject add-tanh 2 keep 0"


def test_a_tree_is_the_cell_that_its_paper_found():
    torch.manual_seed(0)
    cell = TreeCell(2, NAS)
    x, h, c = torch.randn(3, 1, 2).unbind()
    u, v = (x @ cell.input).chunk(8, 1), (h @ cell.hidden).chunk(8, 1)
    sums = [a + b for a, b in zip(u, v, strict=True)]
    sums[3] = u[3] * v[3]
    one = sums[0].sigmoid() * sums[1].relu()
    two = (sums[2].sigmoid() + sums[3].relu()).tanh()
    three = (sums[4].tanh() * sums[5].sigmoid()).tanh()
    four = (sums[6].tanh() + sums[7].sigmoid()).sigmoid()
    memory = (one.tanh() + c).tanh() * two
    wanted = (memory * (three + four).tanh()).tanh()
    output, last = cell(x[None], torch.cat([h, c], 1))
    torch.testing.assert_close(output[0], wanted)
    torch.testing.assert_close(last, torch.cat([wanted, memory], 1))


def test_an_lstm_is_a_tree():
    torch.manual_seed(0)
    cell = TreeCell(2, LSTM)
    x, h, c = torch.randn(3, 1, 2).unbind()
    made = x @ cell.input + h @ cell.hidden
    f, f2, i, g, *o = made.chunk(8, 1)
    memory = (f + f2).sigmoid() * c + i.sigmoid() * g.tanh()
    output, last = cell(x[None], torch.cat([h, c], 1))
    torch.testing.assert_close(last[:, 2:], memory)
    torch.testing.assert_close(output[0], torch.stack(o).sum(0).sigmoid() * memory.tanh())


@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh-0 relu-1", TREE])
def test_a_carried_state_equals_one_long_pass_and_single_steps(cell):
    torch.manual_seed(0)
    net = LanguageModel(7, 6, cell).eval()
    tokens = torch.randint(0, 7, (3, 12))
    with torch.no_grad():
        whole = net(tokens)
        with carrying(net):
            parts = torch.cat([net(part) for part in tokens.split(4, 1)], 1)
        torch.testing.assert_close(whole, parts)
        assert not net.carrying and not len(net.carried)
        state, single = net.initial(3), []
        for each in tokens.unbind(1):
            logits, state = net.step(each, state)
            single.append(logits)
    torch.testing.assert_close(whole, torch.stack(single, 1))


def test_a_score_counts_every_token_once_whatever_the_batch():
    net = build(Recurrent(nodes=2), parse("tanh-0 relu-1"), TASK, SIZE)
    ids = np.random.default_rng(0).integers(0, 3, 61)
    part = Part(*segments(ids, 8, 0))
    found = evaluate(net, loader(TASK, part))
    with torch.no_grad():
        logits = net(torch.tensor([[0, *ids[:-1]]]))
    loss = torch.nn.functional.cross_entropy(logits[0], torch.tensor(ids))
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert found["neg-cross-entropy"] == -found["loss"]
    assert found["perplexity"] == pytest.approx(float(loss.exp()), rel=1e-5)
    assert found["bits"] == pytest.approx(float(loss) / np.log(2), rel=1e-5)


def test_batches_of_a_pass_follow_each_other():
    data = loader(TASK, TASK.train)
    batches = data.shuffled(4, torch.Generator().manual_seed(0), augment=True)
    for _ in range(2):
        seen = []
        for _ in range(batches.per_pass):
            next(batches)
            seen.append(batches.order[(batches.place - 1) * 4 : batches.place * 4])
        for before, after in pairwise(seen):
            assert (after == (before + 1) % len(data)).all()
        rows = torch.cat(seen)
        assert len(rows.unique()) == len(rows) == len(data) // 4 * 4


def test_a_training_that_is_restored_goes_on_as_if_it_had_not_stopped():
    def trainer():
        net = build(Recurrent(nodes=2), parse("tanh-0 relu-1"), TASK, SIZE)
        return net, Trainer(net, loader(TASK, TASK.train), steps=20, hyper=HYPER, seed=0)

    net, one = trainer()
    for _ in range(7):
        one.step()
    state, weights = one.state(), {k: v.clone() for k, v in net.state_dict().items()}
    scored(net, TASK, TASK.validation)  # whose state is another one
    net.train()
    wanted = [float(one.step()) for _ in range(25)]
    other_net, other = trainer()
    other_net.load_state_dict(weights)
    other.restore(state)
    assert [float(other.step()) for _ in range(25)] == wanted
    other.finish()
    assert not other_net.logits.carrying


@pytest.mark.parametrize("cell", ["darts-v2", "nas", "lstm", "gru"])
def test_a_language_model_learns_what_follows(cell):
    space: Any = Plain()
    arch: Any = (12, cell)
    if cell in MEMBERS:
        space, arch = Recurrent(), parse(MEMBERS[cell][0])
    if cell == "nas":
        space = trees.RnnTree()
        arch = space.known(TASK.facts)[cell]
    made = fit(space, arch, TASK, TASK.train, size=SIZE, hyper=HYPER, epochs=6)
    assert scored(made.net, TASK, TASK.test)["perplexity"] < 1.8  # of 3 by chance


def test_dropout_is_for_training_only():
    space, arch = Recurrent(nodes=2), parse("tanh-0 relu-1")
    size = Size(width=12, dropout=0.5, drop_hidden=0.5, drop_words=0.5)
    net = build(space, arch, TASK, size)
    x = torch.randint(0, 3, (2, 8))
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))
    assert plan(space, arch, TASK, size) == plan(space, arch, TASK, SIZE)
    assert cost(plan(space, arch, TASK, size), TASK).params == sum(
        p.numel() for p in net.parameters()
    )


def test_the_loss_is_torchs_own_over_real_targets():
    loss, y = LOSSES["next-token"], torch.tensor([[1, 2], [0, -1]])
    outputs = torch.randn(2, 2, 3)
    wanted = torch.nn.functional.cross_entropy(outputs.reshape(4, 3)[:3], torch.tensor([1, 2, 0]))
    torch.testing.assert_close(loss.mean(outputs, y), wanted)
    assert loss.metrics(loss.sums(outputs, y).tolist(), 2, 1.0)["loss"] == pytest.approx(
        float(wanted), rel=1e-6
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_flops_are_those_of_all_steps(cell):
    made = plan(Plain(), (4, cell), TASK, SIZE)
    gates = {"lstm": 4, "gru": 3}[cell]
    assert cost(made, TASK).flops == 2 * 8 * (gates * 2 * 4 * 4 + 4 * 3)
    cell_of_nodes = plan(Recurrent(nodes=2), parse("tanh-0 relu-1"), TASK, SIZE)
    assert cost(cell_of_nodes, TASK).flops == 2 * 8 * (4 * 12 * 24 + 12 * 3)


def test_dropout_follows_the_length_of_the_training_where_it_is_not_said():
    size = Size(dropout=None, drop_words=None, drop_hidden=0.25)

    def shares(epochs: float, tokens: int = 93_000) -> tuple[float, float]:
        lasting = size.lasting(epochs, tokens)
        assert lasting.dropout is not None and lasting.drop_words is not None
        assert lasting.drop_hidden == 0.25
        return lasting.dropout, lasting.drop_words

    found = [shares(epochs) for epochs in (0.1, 6, 20, 500)]
    assert [round(dropout, 1) for dropout, _ in found] == [0.0, 0.2, 0.5, 0.6]
    assert all(words < dropout or not dropout for dropout, words in found)
    assert shares(20, 930_000) < shares(20)
    assert Size(dropout=0.3, drop_words=None).lasting(500, 93_000).dropout == 0.3
    assert Size(dropout=0.3).lasting(500, 93_000).drop_words == 0.0
    assert size.bare().dropout == 0.0
