"""The known members of the space `stages`: networks made by hand, and a recipe for them."""

from __future__ import annotations

from typing import Any

Stage = tuple[Any, ...]

#: recipe of hand-made members, and the centre of samples
MODERN = {
    "optimizer": "muon",
    "rate": 1.0,
    "weight_decay": 5e-4,
    "label_smoothing": 0.2,
    "resize": 0.8,
    "shift": 2,
    "flip": "alternate",
    "erase": 0.0,
    "average": 0.25,
}
#: name -> stem, stages of ``(width, depth, block, down[, expansion, kernel, se])``, head, activation
MEMBERS: dict[str, tuple[str, tuple[Stage, ...], str, str]] = {
    "airbench-32": (
        "conv3",
        ((32, 2, "plain", "max-pool"), (64, 2, "plain", "max-pool"), (64, 2, "plain", "max-pool")),
        "max",
        "gelu",
    ),
    "airbench-64": (
        "conv3",
        (
            (64, 2, "plain", "max-pool"),
            (128, 2, "plain", "max-pool"),
            (128, 2, "plain", "max-pool"),
        ),
        "max",
        "gelu",
    ),
    "wide": (
        "conv3",
        (
            (48, 1, "plain", "max-pool"),
            (128, 1, "plain", "max-pool"),
            (128, 1, "plain", "max-pool"),
        ),
        "max",
        "gelu",
    ),
    "vgg": (
        "conv3",
        (
            (32, 2, "plain", "max-pool"),
            (64, 2, "plain", "max-pool"),
            (96, 3, "plain", "max-pool"),
            (128, 2, "plain", "max-pool"),
        ),
        "mean",
        "relu",
    ),
    "resnet": (
        "conv3",
        (
            (32, 1, "residual", "max-pool"),
            (64, 1, "residual", "stride"),
            (96, 1, "residual", "stride"),
        ),
        "max",
        "relu",
    ),
    "thin": (
        "conv3",
        ((16, 3, "plain", "max-pool"), (32, 3, "plain", "max-pool"), (64, 3, "plain", "max-pool")),
        "max",
        "gelu",
    ),
    "mbconv": (
        "patch2",
        (
            (32, 1, "mbconv", "none", 2, 3, 0),
            (48, 2, "mbconv", "stride", 4, 3, 0),
            (96, 2, "mbconv", "stride", 4, 3, 1),
        ),
        "mean",
        "silu",
    ),
    "plain": (
        "conv3",
        ((24, 2, "plain", "none"), (48, 2, "plain", "stride"), (96, 2, "plain", "stride")),
        "mean",
        "relu",
    ),
}
