"""The operations: shapes, memory format, gradients, and what they compute."""

import pytest
import torch
from torch import nn

from evolvent.network.operations import (
    MODULES,
    Align,
    AvgPool,
    DilatedConv,
    FactorizedConv,
    FactorizedReduce,
    GroupedReduce,
    MaxPool,
    ResidualBlock,
    SeparableConv,
)
from evolvent.network.tables import TABLES

KERNELS = {
    "ConvBN": (1, 3, 5),
    "ConvBNReLU": (1, 3, 5),
    "ReLUConvBN": (1, 3, 5),
    "SeparableConv": (3, 5, 7),
    "DilatedConv": (3, 5),
    "FactorizedConv": (3, 7),
}
POOLS = {"MaxPool": (3, 5, 7), "AvgPool": (3, 5)}
#: (label, how to make it from 4 to 6 channels, does it change channels?, its stride)
CASES = (
    [
        (f"{name}{kernel}/{stride}", MODULES[name], (4, 6, kernel, stride), 6, stride)
        for name, kernels in KERNELS.items()
        for kernel in kernels
        for stride in (1, 2)
    ]
    + [
        (f"{name}{kernel}/{stride}", MODULES[name], (kernel, stride), 4, stride)
        for name, kernels in POOLS.items()
        for kernel in kernels
        for stride in (1, 2)
    ]
    + [(f"Align/{stride}", Align, (4, 6, stride), 6, stride) for stride in (1, 2)]
    + [
        ("FactorizedReduce", FactorizedReduce, (4, 7), 7, 2),
        ("GroupedReduce", GroupedReduce, (4,), 4, 2),
        ("ResidualBlock", ResidualBlock, (4, 6), 6, 2),
        ("BatchNorm2d", nn.BatchNorm2d, (4,), 4, 1),
        ("ReLU", nn.ReLU, (), 4, 1),
        ("Dropout", nn.Dropout, (), 4, 1),
    ]
)
#: Operations of one family alone, or of torch itself, tested with the networks that have them.
ELSEWHERE = {
    *("Conv1d", "Conv2d", "MaxPool1d", "MaxPool2d", "Linear"),  # chained
    *("BatchNorm1d", "GlobalPool1d", "ResidualDense"),  # chained
    *("LeakyReLU", "PReLU", "Sigmoid", "Softmax", "TokenEmbedding"),  # chained
    *("SameConv", "Reshape"),  # graphs
    *("FilterMaps", "AvgPool2d"),  # filtered
    *("RectConv", "PadConcat"),  # layered
    *("ScaledConv", "PooledSum", "PixelUnshuffle"),  # assembled
    *("DropPath", "Auxiliary"),  # cells in training
    *("Activation", "Shortcut", "SqueezeExcitation", "ConvBNAct"),  # stages
    *("BasicBlock", "Bottleneck", "MBConv"),  # stages
    "Views",  # in test_views
    "Temperature",  # in test_calibration
    "Genome",  # genes
    *(made.__name__ for made in TABLES),  # in test_tables
    *("PolynomialNode", "FittedLogits"),  # in families/test_polynomial
    *("TokenWindow", "MaskedConv1d", "MaskedGRU", "HashedBag"),  # texts
    "TextBag",  # in test_mixed
    *("AtLevel", "KernelBank", "RidgeLinear"),  # in test_series_operations
    *("SeriesBlock", "SeriesLevel", "SeriesNorm", "SeriesPool"),  # in test_series_operations
    *("FusedCell", "LanguageModel", "RecurrentCell", "TreeCell"),  # in test_language
    *("NGrams", "InterpolatedModel"),  # in test_ngrams
}
every_operation = pytest.mark.parametrize(
    ("make", "args", "channels", "stride"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
SIZES = [(1, 1), (2, 3), (5, 4), (7, 7), (8, 8)]


def images(channels, height, width):
    torch.manual_seed(0)
    x = torch.randn(2, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last)


def ceil(edge, stride):
    return -(-edge // stride)


def test_every_operation_is_tested():
    assert {make.__name__ for _, make, *_ in CASES} | ELSEWHERE == set(MODULES)


@every_operation
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_sizes_are_divided_by_the_stride_and_rounded_up(
    make, args, channels, stride, height, width
):
    y = make(*args).eval()(images(4, height, width))
    assert y.shape == (2, channels, ceil(height, stride), ceil(width, stride))


@every_operation
@pytest.mark.parametrize(("height", "width"), [(5, 4), (7, 7), (8, 8)])
@pytest.mark.parametrize("training", [True, False])
def test_channels_stay_last_in_memory(make, args, channels, stride, height, width, training):
    operation = make(*args).to(memory_format=torch.channels_last).train(training)
    y = operation(images(4, height, width))
    assert y.is_contiguous(memory_format=torch.channels_last)


@every_operation
def test_gradients_are_finite_and_reach_every_parameter(make, args, channels, stride):
    operation, x = make(*args), images(4, 6, 5).requires_grad_()
    y = operation(x)
    (y * torch.randn_like(y)).sum().backward()
    for gradient in (x.grad, *(weight.grad for weight in operation.parameters())):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


@every_operation
def test_images_of_zeros_have_a_finite_gradient(make, args, channels, stride):
    x = torch.zeros(2, 4, 6, 6, requires_grad=True)
    make(*args)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@every_operation
def test_no_convolution_before_a_norm_has_a_bias(make, args, channels, stride):
    convolutions = [each for each in make(*args).modules() if isinstance(each, nn.Conv2d)]
    assert all(each.bias is None for each in convolutions)


# ---- parameters, counted by hand -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (MODULES["ReLUConvBN"](4, 6, 3), 4 * 6 * 9 + 2 * 6),
        (SeparableConv(4, 6, 5), 4 * 25 + 4 * 4 + 2 * 4 + 4 * 25 + 4 * 6 + 2 * 6),
        (DilatedConv(4, 6, 3), 4 * 9 + 4 * 6 + 2 * 6),
        (FactorizedConv(4, 6, 7), 4 * 6 * 7 + 6 * 6 * 7 + 2 * 6),
        (FactorizedReduce(4, 7), 4 * 3 + 4 * 4 + 2 * 7),
        (ResidualBlock(4, 6), 4 * 6 * 9 + 12 + 6 * 6 * 9 + 12 + 4 * 6),
        (Align(4, 6), 4 * 6 + 2 * 6),
        (nn.Linear(4, 6), 4 * 6 + 6),
        (MaxPool(3), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_operations_have_as_many_parameters_as_the_papers_say(operation, expected):
    assert sum(weight.numel() for weight in operation.parameters()) == expected


# ---- what they compute ---------------------------------------------------------------------------


def test_the_padding_of_an_average_does_not_count():
    assert torch.equal(AvgPool(3)(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
    y = AvgPool(3, 2)(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert y.flatten().tolist() == [2.0, 3.0, 5.0, 6.0]


def test_max_pooling_takes_the_largest_of_its_window():
    y = MaxPool(3, 2)(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert y.flatten().tolist() == [4.0, 5.0, 7.0, 8.0]


def test_the_halves_of_a_factorized_reduction_see_even_and_odd_pixels():
    reduce = FactorizedReduce(1, 2).eval()
    for half in (reduce.even, reduce.odd):
        nn.init.ones_(half.weight)
    y = reduce(torch.arange(25.0).reshape(1, 1, 5, 5)) * (1 + 1e-5) ** 0.5  # undo the norm
    assert y[0, 0].flatten().tolist() == pytest.approx([0, 2, 4, 10, 12, 14, 20, 22, 24])
    assert y[0, 1].flatten().tolist() == pytest.approx([6, 8, 0, 16, 18, 0, 0, 0, 0])


def test_a_dilated_convolution_sees_every_second_pixel():
    convolution = DilatedConv(1, 1, 3).eval()
    for each in convolution.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.ones_(each.weight)
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1
    seen = (convolution(x)[0, 0] > 0).nonzero().tolist()
    assert seen == [[row, column] for row in (1, 3, 5) for column in (1, 3, 5)]


def test_operations_inside_cells_begin_with_a_relu():
    x = -torch.rand(2, 4, 5, 5)
    for operation in (MODULES["ReLUConvBN"](4, 4, 3), SeparableConv(4, 4, 3), DilatedConv(4, 4, 3)):
        assert torch.equal(operation.eval()(x), torch.zeros(2, 4, 5, 5))
