"""Lazy Adam: the same as torch's for sparse gradients, and beside any other optimiser."""

import pytest
import torch
from torch import nn

from evolvent.network.lazy import WithLazyRows, lazy_tables


def table():
    torch.manual_seed(0)
    return nn.Embedding(9, 3, sparse=True)


def batches(count):
    torch.manual_seed(1)
    return [torch.randint(0, 9, (4,)) for _ in range(count)]


def test_it_steps_as_torchs_sparse_adam():
    ours, theirs = table(), table()
    rest = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    own = WithLazyRows(rest, lazy_tables(ours), lr=0.1)
    other = torch.optim.SparseAdam(theirs.parameters(), lr=0.1)
    for rows in batches(5):
        for net, optimiser in ((ours, own), (theirs, other)):
            optimiser.zero_grad()
            net(rows).square().sum().backward()
            optimiser.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_only_rows_with_a_gradient_decay():
    net = table()
    before = net.weight.detach().clone()
    rest = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    own = WithLazyRows(rest, lazy_tables(net), lr=0.1, weight_decay=0.5)
    (net(torch.tensor([2])) * 0).sum().backward()
    own.step()
    assert torch.allclose(net.weight[2], before[2] * 0.95)
    rows = [0, 1, 3, 4, 5, 6, 7, 8]
    assert torch.equal(net.weight[rows], before[rows])


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW])
def test_all_other_weights_learn_by_the_other_optimiser(make):
    net, dense = table(), nn.Linear(3, 1)
    alone = nn.Linear(3, 1)
    alone.load_state_dict(dense.state_dict())
    own = WithLazyRows(make(dense.parameters(), lr=0.1), lazy_tables(net), lr=0.1)
    other = make(alone.parameters(), lr=0.1)
    for rows in batches(3):
        vectors = net(rows).detach()
        other.zero_grad()
        alone(vectors).sum().backward()
        other.step()
        own.zero_grad()
        dense(vectors).sum().backward()
        own.step()
    for mine, theirs in zip(dense.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert {id(weight) for weight in own.state} <= {id(weight) for weight in dense.parameters()}


def test_only_embeddings_with_sparse_gradients_are_lazy():
    net = nn.Sequential(nn.Embedding(5, 2), nn.Embedding(5, 2, sparse=True), nn.Linear(2, 2))
    assert [id(each) for each in lazy_tables(net)] == [id(net[1].weight)]
