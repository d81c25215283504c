"""Training-only modules (drop-path, auxiliary head); `families.regularised` adds them to plans."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a path at random, for each image by itself; in training only.

    Larsson, Maire, Shakhnarovich 2016 (1605.07648), with the schedule of Zoph et al. 2017: the
    probability grows linearly from 0 to `rate` over the training (ScheduledDropPath). A kept path is
    divided by the probability of keeping it, so that its expectation stays. No parameters.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.share = rate, 0.0

    def reach(self, share: float) -> None:
        """Set the share of the training that is done. [0..1]"""
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        keep = 1 - self.rate * self.share
        if not self.training or keep == 1:
            return x
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(keep).div_(keep)


class Auxiliary(nn.Module):
    """Identity with an auxiliary head: in training, the head also classifies the images.

    The head is that of Liu et al. 2018 for CIFAR-10: pooled to 2 x 2, 128 and 768 channels. It pools
    any size (in the paper windows of 5 for images of 8), and has no norm where one pixel is left:
    a norm could not train there on a batch of one. The head is training-only and no part of the
    network: its weights are never saved, and loading leaves them unchanged.
    """

    def __init__(self, c_in: int, outputs: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.logits: Tensor | None = None
        with torch.random.fork_rng(devices=()):  # the network's own weights stay the same
            self.head = nn.Sequential(
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(2),
                nn.Conv2d(c_in, 128, 1, bias=False),
                nn.BatchNorm2d(128),
                nn.ReLU(),
                nn.Conv2d(128, 768, 2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(768, outputs),
            )
        self.register_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_keep)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        if self.training:
            self.logits = self.head(x)
        return x

    def offer(self) -> tuple[float, Tensor]:
        """Return the weight of its loss, and the logits [B, outputs] of the last images, once."""
        assert self.logits is not None, "no images have passed since it was asked last"
        logits, self.logits = self.logits, None
        return self.weight, logits


def _forget(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Remove the weights of `module` from a state dictionary."""
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


def _keep(
    module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any, strict: bool, *lists: Any
) -> None:
    """Put the present weights of `module` into a state dictionary, which has none for it."""
    own = [*module.named_parameters(prefix[:-1]), *module.named_buffers(prefix[:-1])]
    state.update((name, value.detach().clone()) for name, value in own)
