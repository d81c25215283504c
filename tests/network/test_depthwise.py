"""Depthwise convolutions: torch's numbers, by another way."""

import pytest
import torch
from torch import nn

from evolvent.network.depthwise import Depthwise, with_fast_gradients


def convolution(kernel=3, *, stride=1, dilation=1, channels=5, **settings):
    pad = kernel // 2 * dilation
    settings = {"groups": channels, "bias": False} | settings
    return nn.Conv2d(channels, channels, kernel, stride, pad, dilation, **settings).double()


def image(height, width, seed=0, channels=5):
    x = torch.randn(
        3, channels, height, width, generator=torch.Generator().manual_seed(seed)
    ).double()
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (6, 9), (2, 3), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_it_is_the_convolution_that_it_stands_for(kernel, dilation, stride, size):
    plain = convolution(kernel, stride=stride, dilation=dilation)
    assert Depthwise.takes(plain)
    ours = Depthwise(plain)
    assert ours.weight is plain.weight and list(ours.state_dict()) == ["weight"]
    found: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []
    for conv, results in ((ours, found), (plain, expected)):
        x = image(*size)
        y = conv(x)
        slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).double()
        results += [y.detach(), *torch.autograd.grad(y, [x, conv.weight], slope)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_only_the_gradient_that_is_asked_for_is_computed(monkeypatch):
    called = []
    monkeypatch.setattr(
        "evolvent.network.depthwise._by_weight", lambda x, slope, weight: called.append(1)
    )
    x, frozen = image(8, 8), Depthwise(convolution())
    frozen.weight.requires_grad_(False)
    torch.autograd.grad(frozen(x).sum(), [x])
    assert not called
    Depthwise(convolution())(x).sum().backward()
    assert called


@pytest.mark.parametrize(
    "other",
    [
        convolution(1),
        convolution(7),
        convolution(dilation=3),
        convolution(groups=1),
        convolution(bias=True),
        convolution(channels=1),
        convolution(stride=3),
        nn.Conv2d(4, 4, 3, padding=0, groups=4, bias=False),
        nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=4, bias=False),
        nn.Linear(3, 3),
    ],
)
def test_other_layers_are_left_alone(other):
    assert not Depthwise.takes(other)


def test_it_stays_in_single_precision_where_half_is_slow():
    conv, x = Depthwise(convolution(5, dilation=2).float()), image(8, 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
        half = conv(x.bfloat16())
    assert y.dtype == half.dtype == torch.float32
    assert torch.equal(y, conv(x))
    y.sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.dtype == torch.float32


def test_every_depthwise_convolution_of_a_network_is_replaced_and_keeps_its_name():
    plain = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.Conv2d(4, 8, 1))
    names = list(plain.state_dict())
    inner = with_fast_gradients(nn.Sequential(plain, nn.ReLU()))
    assert [type(layer) for layer in inner[0]] == [Depthwise, nn.Conv2d]  # type: ignore[index]
    assert list(inner[0].state_dict()) == names  # type: ignore[index]
