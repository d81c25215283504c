"""The plain control: a network by hand for images, texts and numbers."""

import pytest
import torch

from evolvent.network.build import Size, build, plan
from evolvent.network.cost import cost, params
from evolvent.space.plain import Plain


class Data:
    def __init__(self, input_shape, vocabulary=0, outputs=3):
        self.input_shape, self.outputs, self.vocabulary = input_shape, outputs, vocabulary


KINDS = {
    "images": (Data((2, 9, 8)), torch.randn(4, 2, 9, 8)),
    "texts": (Data((9,), 20), torch.randint(20, (4, 9))),
    "short texts": (Data((2,), 20), torch.randint(20, (4, 2))),
    "numbers": (Data((6,), outputs=1), torch.randn(4, 6)),
}


@pytest.mark.parametrize(("data", "x"), KINDS.values(), ids=KINDS)
def test_every_kind_of_data_has_a_plain_network_that_can_be_counted(data, x):
    net = build(Plain(), (5,), data, Size(stages=2))
    assert net(x).shape == (4, data.outputs)
    counted = cost(plan(Plain(), (5,), data, Size(stages=2)), data)
    assert counted.params == params(net)
    assert counted.flops > 0


@pytest.mark.parametrize(("data", "x"), KINDS.values(), ids=KINDS)
def test_a_wider_one_is_larger(data, x):
    sizes = [cost(plan(Plain(), (width,), data, Size()), data).params for width in (2, 8, 64)]
    assert sizes == sorted(set(sizes))


def test_names_of_weights_are_those_of_the_images_network_as_it_always_was():
    net = build(Plain(), (4,), Data((1, 8, 8)), Size(stages=1))
    assert {name.split(".")[0] for name in net.state_dict()} == {"conv0_0", "conv0_1", "logits"}
