"""The known members of the space `tabular`: hand-made networks, and how they are trained."""

from __future__ import annotations

from typing import Any

#: the values of a good plain network; members say where they differ, and samples take its recipe
GOOD: dict[str, Any] = {
    "scaling": "robust",
    "embedding": "none",
    "embedding_width": 4,
    "embedding_size": 16,
    "sigma": 0.1,
    "category_width": 8,
    "scaled": 0,
    "depth": 2,
    "width": 128,
    "activation": "selu",
    "norm": "none",
    "residual": 0,
    "dropout": 0.1,
    "members": 1,
    "optimizer": "adamw",
    "rate": 1.0,
    "weight_decay": 1e-2,
    "label_smoothing": 0.05,
    "batch": 128,
    "average": 0.25,
    "most_epochs": 640,
}
PLR = {
    "scaling": "quantile",
    "embedding": "periodic",
    "embedding_width": 8,
    "sigma": 0.3,
    "activation": "relu",
}
PLAIN = {"scaling": "standard", "activation": "relu"}
#: name -> the genes that differ
MEMBERS: dict[str, dict[str, Any]] = {
    # Gorishniy et al. 2022 (2203.05556)
    "mlp-plr": PLR,
    "mlp": PLAIN,
    # finer, and faster in what learns it: for many rows
    "mlp-plr-fine": PLR | {"embedding_size": 32, "rate": 2.0},
    # the same where rows are few and noisy, and soon known by heart
    "mlp-plr-short": PLR | {"most_epochs": 10},
    "mlp-short": PLAIN | {"most_epochs": 10},
    # Holzmüller et al. 2024 (2407.04491): scaling, embedding, learnt factors, three layers
    "realmlp": {
        "embedding": "periodic",
        "scaled": 1,
        "depth": 3,
        "dropout": 0.1,
        "label_smoothing": 0.1,
    },
    "linear": {"scaling": "standard", "depth": 0, "dropout": 0.0, "average": 0.5},
    # Gorishniy et al. 2024 (2410.24210): members with shared layers
    "tabm": {
        "scaling": "quantile",
        "embedding": "piecewise",
        "embedding_width": 8,
        "activation": "relu",
        "width": 64,
        "members": 4,
        "rate": 0.5,
        "label_smoothing": 0.0,
    },
}
