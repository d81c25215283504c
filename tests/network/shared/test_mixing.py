"""Concatenations and weighted sums: numbers and gradients are those of torch's own operations."""

import pytest
import torch

from evolvent.network.shared.mixing import concat, mixed


def images(count, *, dtype=torch.float64, gradient=True):
    torch.manual_seed(count)
    made = torch.randn(count, 2, 3, 4, 5, dtype=dtype)
    return [x.contiguous(memory_format=torch.channels_last).requires_grad_(gradient) for x in made]


def plain(given, gates):
    return [sum(g * x for g, x in zip(row, given, strict=True)) for row in gates]


@pytest.mark.parametrize("sums", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_sums_and_their_gradients(count, sums):
    given = images(count)
    gates = torch.rand(sums, count, dtype=torch.float64, requires_grad=True)
    slopes = [torch.randn_like(given[0]) for _ in range(sums)]
    found = mixed(given, gates)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in found)
    for one, other in zip(found, plain(given, gates), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    ours = torch.autograd.grad(found, [gates, *given], slopes)
    theirs = torch.autograd.grad(plain(given, gates), [gates, *given], slopes)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_a_sum_that_nothing_reads_has_no_share_in_the_gradient():
    given, gates = images(2), torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(mixed(given, gates)[1].sum(), gates)
    assert not slope[[0, 2]].any()
    torch.testing.assert_close(slope[1], torch.stack([x.sum() for x in given]))


def test_numbers_alone_or_images_alone_can_be_differentiated_by():
    gates = torch.rand(2, 2, dtype=torch.float64)
    fixed, free = images(2, gradient=False), images(2)
    assert not mixed(fixed, gates)[0].requires_grad
    by = mixed(fixed, gates.clone().requires_grad_())[0].sum()
    by.backward()
    torch.stack(mixed(free, gates)).sum().backward()
    torch.testing.assert_close(free[0].grad, gates[:, 0].sum().expand_as(free[0]))


def test_mixed_precision_does_not_round_a_sum():
    given, gates = images(3, dtype=torch.float32), torch.rand(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = mixed(given, gates)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], plain(given, gates)[0])
    halves = [x.detach().bfloat16() for x in given]
    with torch.autocast("cpu", torch.bfloat16):
        assert mixed([halves[0], given[1], halves[2]], gates)[0].dtype == torch.float32


def test_a_concatenation_and_its_gradients():
    given = images(3)
    joined = concat(given)
    torch.testing.assert_close(joined, torch.cat(given, 1))
    slopes = torch.autograd.grad(joined, given, torch.randn_like(joined).square())
    assert all(s.is_contiguous(memory_format=torch.channels_last) for s in slopes)
    assert all((slope > 0).all() for slope in slopes)
