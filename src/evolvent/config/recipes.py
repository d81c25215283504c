"""Recipes: named points of space x strategy x estimator, each one published system or control.

A row reads like the table of systems in the documentation: three names, how the winner is delivered
(``retrain`` from scratch, ``continue`` from inherited weights, ``as-is``), the source, and settings
where they differ from the parts' own defaults. Sizes are proxies for two CPU cores; whoever has more
sets ``estimator.width`` and ``estimator.cells``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import unknown

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """One system.

    Args:
        space: name of its space.
        strategy: name of its strategy.
        estimator: name of its estimator.
        deliver: ``retrain``, ``continue`` or ``as-is``.
        source: where it comes from.
        settings: part -> settings, for the parts task (how the data are read), space, strategy,
            estimator, train.
        by_kind: kind of task -> the same, where data of that kind need others.
    """

    space: str
    strategy: str
    estimator: str
    deliver: str
    source: str
    settings: Settings = field(default_factory=dict)
    by_kind: Mapping[str, Settings] = field(default_factory=dict)

    def of(self, part: str, kind: str) -> dict[str, Any]:
        """Return the settings of a part for data of a kind."""
        return dict(self.settings.get(part, {})) | dict(self.by_kind.get(kind, {}).get(part, {}))


AMOEBANET_CELL = {"operations": "amoebanet", "nodes": 5, "output": "loose"}

NASNET_CELL = {
    "operations": "nasnet",
    "nodes": 5,
    "combine": ("add", "concat"),
    "output": "loose",
}

DARTS_CELL = {"operations": "darts", "nodes": 4, "output": "all", "distinct": True}

ENAS_CELL = {"operations": "enas", "nodes": 5, "output": "loose"}

SUPERNET = {
    "width": 8,
    "cells": 1,
    "batch": 64,
    "lr": 0.05,
    "clip": 5.0,
    "label_smoothing": 0.0,
    "warmup": 0.0,
    "precision": "float32",
}

#: One channel in four goes through operations, of a network of twice the width.
PARTIAL = SUPERNET | {"pool_norm": True, "width": 16, "partial": 4}

#: How what was found on shared weights is trained from scratch: as the winners of other searches are.
FRESH = {"lr": 0.1, "clip": 5.0, "label_smoothing": 0.1, "warmup": 0.15, "share": 0.65}

PLAIN_NETWORK = {"width": 24, "cells": 1, "reduction": "conv"}

#: Of `asha`: known members and mutations of the best on the lowest rung, each training a whole one.
KNOWN_FIRST = {"known": True, "sampler": "regularized-evolution", "continue_": False}

#: activations of EDEN's output, a gene
HEADS = ("linear", "relu", "leaky_relu", "prelu", "sigmoid", "softmax")

LANGUAGE_WIDTH = 200  # of embedding and cell of a language model

#: of language models found on shared weights, which are narrower: mixed cells take long
LANGUAGE_SHARED = {"width": 100, "architecture": 0.1}
LANGUAGE_FINAL = {"width": LANGUAGE_WIDTH, "share": 0.7, "finalists": 2}

ENAS_RECURRENT = {"nodes": 11, "output": "loose"}

#: Of what is delivered by our own defaults, where images and limits allow it: see `resolve`.
VIEWS: Mapping[str, Settings] = {"image": {"train": {"views": 6}}}

RECIPES = {
    "plain-cells": Recipe(
        "cell201",
        "regularized-evolution",
        "full",
        "retrain",
        "cells of plain convolutions (Dong & Yang 2020) for machines without a GPU",
        {"estimator": PLAIN_NETWORK},
        VIEWS,
    ),
    "stages": Recipe(
        "stages",
        "asha",
        "full",
        "retrain",
        "known networks and mutations of the best, halved in equal seconds",
        {
            "strategy": KNOWN_FIRST | {"levels": 2},
            "estimator": {"equal": "seconds", "aim": 12},
            "train": {"share": 0.8, "finalists": 2},
        },
        VIEWS,
    ),
    "text": Recipe(
        "text",
        "asha",
        "full",
        "retrain",
        "bags of n-grams from naive Bayes, convolutions and recurrent units, known ones first",
        {
            "strategy": KNOWN_FIRST | {"levels": 3},
            "estimator": {"aim": 26, "warmup": 0.0},
            "train": {"share": 0.5, "finalists": 4},
        },
        {"text": {"task": {"tokens": "all"}}},
    ),
    "language": Recipe(
        "recurrent",
        "regularized-evolution",
        "full",
        "retrain",
        "recurrent cells of highway nodes, published ones first, then mutations of the best",
        {
            "strategy": {"known": True},
            "estimator": {"width": LANGUAGE_WIDTH},
            "train": {"share": 0.7, "finalists": 2, "ensemble": True},
        },
    ),
    "nas-rl-rnn": Recipe(
        "rnn-tree",
        "reinforce",
        "full",
        "retrain",
        "Zoph & Le 2016, recurrent cells",
        {
            "estimator": {"width": LANGUAGE_WIDTH},
            "train": {"share": 0.7, "finalists": 2},
        },
    ),
    "enas-rnn": Recipe(
        "recurrent",
        "reinforce",
        "shared",
        "retrain",
        "Pham et al. 2018, recurrent cells",
        {"space": ENAS_RECURRENT, "estimator": LANGUAGE_SHARED, "train": LANGUAGE_FINAL},
    ),
    "darts-rnn": Recipe(
        "recurrent",
        "darts",
        "shared",
        "retrain",
        "Liu et al. 2018, recurrent cells, first order",
        {
            "strategy": {"betas": (0.9, 0.999)},
            "estimator": LANGUAGE_SHARED,
            "train": LANGUAGE_FINAL,
        },
    ),
    "gdas-rnn": Recipe(
        "recurrent",
        "gdas",
        "shared",
        "retrain",
        "Dong & Yang 2019, recurrent cells",
        {"estimator": LANGUAGE_SHARED, "train": LANGUAGE_FINAL},
    ),
    "nao-rnn": Recipe(
        "recurrent",
        "nao",
        "full",
        "retrain",
        "Luo et al. 2018, recurrent cells",
        {
            "space": ENAS_RECURRENT,
            "estimator": {"width": LANGUAGE_WIDTH},
            "train": {"share": 0.7, "finalists": 2},
        },
    ),
    "nao-rnn-ws": Recipe(
        "recurrent",
        "nao",
        "shared",
        "retrain",
        "Luo et al. 2018, recurrent cells with weight sharing",
        {
            "space": ENAS_RECURRENT,
            "strategy": {"rounds": 5, "reference": 10},
            "estimator": LANGUAGE_SHARED,
            "train": LANGUAGE_FINAL,
        },
    ),
    "series": Recipe(
        "series",
        "asha",
        "full",
        "retrain",
        "random convolutions, residual ones, autoregression: known networks and mutations of the best",
        {
            "strategy": KNOWN_FIRST | {"levels": 2},
            "estimator": {"aim": 16, "warmup": 0.05},
            "train": {"share": 0.45, "finalists": 3},
        },
    ),
    "random": Recipe(
        "cell201",
        "random",
        "full",
        "retrain",
        "the control of every comparison",
        {"estimator": PLAIN_NETWORK},
        {
            **VIEWS,
            "language": {"estimator": {"width": LANGUAGE_WIDTH}, "train": {"share": 0.7}},
        },
    ),
    "amoebanet": Recipe(
        "cell",
        "regularized-evolution",
        "full",
        "retrain",
        "Real et al. 2018",
        {"space": AMOEBANET_CELL, "estimator": {"width": 8, "cells": 1}},
    ),
    "eden": Recipe(
        "chain",
        "genetic",
        "full",
        "retrain",
        "Dufourq & Bassett 2017",
        {
            "space": {"multiply_adds": 6_000_000, "heads": HEADS},
            "estimator": {"aim": 100, "optimizer": "adamw", "warmup": 0.1, "augment": False},
        },
        {
            "text": {
                "space": {
                    "depth": 6,
                    "embeddings": (16, 64),
                    "filters": (16, 48),
                    "lrs": (1e-3, 2e-2),
                    "multiply_adds": 2_000_000,
                },
                "estimator": {"aim": 40, "lr": 5e-3, "weight_decay": 1e-2},
            }
        },
    ),
    "identify": Recipe(
        "chain",
        "genetic",
        "full",
        "retrain",
        "Dufourq & Bassett 2017: small dense chains for both readings of a target",
        {
            "space": {"depth": 3, "units": (8, 64), "lrs": (1e-3, 2e-2), "weights": 200_000},
            "strategy": {"population": 6, "generations": 3},
        },
    ),
    "dense": Recipe(
        "chain",
        "regularized-evolution",
        "full",
        "retrain",
        "dense chains with batch norm and skip connections, for tables of numbers",
        {
            "space": {"units": (16, 256), "lrs": (5e-4, 2e-2)},
            "estimator": {"aim": 60},
        },
    ),
    "tabular": Recipe(
        "tabular",
        "local",
        "packed",
        "retrain",
        "known networks for tables and mutations of the best, in equal seconds; on folds of small sets",
        {
            "space": {"optimizers": ("adamw",)},  # others are not trained in packs
            # how long a network learns is a gene: shorter rungs would favour short trainings
            "strategy": {"known": True, "starts": 8},
            "estimator": {"equal": "seconds", "aim": 8},
            "train": {"finalists": 3, "ensemble": True},
        },
    ),
    "large-scale-evolution": Recipe(
        "graph",
        "tournament",
        "inherit",
        "continue",
        "Real et al. 2017",
        {
            "space": {"least_channels": 16, "multiply_adds": 10_000_000},
            "estimator": {"aim": 300, "schedule": "constant", "warmup": 0.0, "weight_decay": 1e-4},
            "train": {"schedule": "cosine"},
        },
    ),
    "nas-rl": Recipe(
        "layers",
        "reinforce",
        "full",
        "retrain",
        "Zoph & Le 2016",
        {"space": {"filters": (8, 12, 16, 24)}, "estimator": {"batch": 64}},
    ),
    "nasnet": Recipe(
        "cell",
        "ppo",
        "full",
        "retrain",
        "Zoph et al. 2017",
        {
            "space": NASNET_CELL,
            "strategy": {"entropy": 0.02},
            "estimator": {"width": 8, "cells": 1},
        },
    ),
    "nao": Recipe(
        "cell",
        "nao",
        "full",
        "retrain",
        "Luo et al. 2018",
        {
            "space": {"operations": "nao", "nodes": 5, "output": "loose"},
            "estimator": {"width": 8, "cells": 1},
        },
    ),
    "enas": Recipe(
        "cell",
        "reinforce",
        "shared",
        "retrain",
        "Pham et al. 2018, micro search",
        {"space": ENAS_CELL, "estimator": SUPERNET | {"architecture": 0.1}, "train": FRESH},
    ),
    "enas-macro": Recipe(
        "layers",
        "reinforce",
        "shared",
        "retrain",
        "Pham et al. 2018, macro search",
        {
            "space": {"operations": "enas", "depths": (6,), "filters": (16,), "join": "add"},
            "estimator": SUPERNET | {"architecture": 0.1},
            "train": FRESH,
        },
    ),
    "darts": Recipe(
        "cell",
        "darts",
        "shared",
        "retrain",
        "Liu et al. 2018, first order",
        {"space": DARTS_CELL, "estimator": SUPERNET | {"pool_norm": True}, "train": FRESH},
    ),
    "darts-2nd": Recipe(
        "cell",
        "darts",
        "shared",
        "retrain",
        "Liu et al. 2018, second order",
        {
            "space": DARTS_CELL,
            "estimator": SUPERNET | {"pool_norm": True, "unrolled": True},
            "train": FRESH,
        },
    ),
    "gdas": Recipe(
        "cell",
        "gdas",
        "shared",
        "retrain",
        "Dong & Yang 2019",
        {"space": DARTS_CELL, "estimator": SUPERNET | {"pool_norm": True}, "train": FRESH},
    ),
    "gdas-frc": Recipe(
        "cell",
        "gdas",
        "shared",
        "retrain",
        "Dong & Yang 2019, with the fixed reduction cell",
        {
            "space": DARTS_CELL | {"reduction": "fixed"},
            "estimator": SUPERNET | {"pool_norm": True},
            "train": FRESH,
        },
    ),
    "sdarts-rs": Recipe(
        "cell",
        "darts",
        "shared",
        "retrain",
        "Chen & Hsieh 2020, random smoothing",
        {
            "space": DARTS_CELL,
            "strategy": {"perturb": "random"},
            "estimator": SUPERNET | {"pool_norm": True},
            "train": FRESH,
        },
    ),
    "sdarts-adv": Recipe(
        "cell",
        "darts",
        "shared",
        "retrain",
        "Chen & Hsieh 2020, adversarial",
        {
            "space": DARTS_CELL,
            # seven in the paper: a step would take eight times as long as one of darts, here three
            "strategy": {"perturb": "adversarial", "ascents": 2},
            "estimator": SUPERNET | {"pool_norm": True},
            "train": FRESH,
        },
    ),
    "drnas": Recipe(
        "cell",
        "drnas",
        "shared",
        "retrain",
        "Chen et al. 2021, Dirichlet",
        {"space": DARTS_CELL, "estimator": PARTIAL, "train": FRESH},
    ),
    "pc-darts": Recipe(
        "cell",
        "pc-darts",
        "shared",
        "retrain",
        "Xu et al. 2020, partial channels",
        {"space": DARTS_CELL, "estimator": PARTIAL, "train": FRESH},
    ),
    "p-darts": Recipe(
        "cell",
        "p-darts",
        "shared",
        "retrain",
        "Chen et al. 2019, progressive",
        {"space": DARTS_CELL, "estimator": SUPERNET | {"pool_norm": True}, "train": FRESH},
    ),
    "snas": Recipe(
        "cell",
        "snas",
        "shared",
        "retrain",
        "Xie et al. 2018, concrete distribution",
        {"space": DARTS_CELL, "estimator": SUPERNET | {"pool_norm": True}, "train": FRESH},
    ),
    "darts-pt": Recipe(
        "cell",
        "darts-pt",
        "shared",
        "retrain",
        "Wang et al. 2021, perturbation-based selection",
        {"space": DARTS_CELL, "estimator": SUPERNET | {"pool_norm": True}, "train": FRESH},
    ),
    "nao-ws": Recipe(
        "cell",
        "nao",
        "shared",
        "retrain",
        "Luo et al. 2018, with weight sharing",
        {
            "space": ENAS_CELL,
            "strategy": {"rounds": 5, "reference": 10},
            "estimator": SUPERNET | {"architecture": 0.1},
            "train": FRESH,
        },
    ),
    "random-ws": Recipe(
        "cell",
        "random",
        "shared",
        "retrain",
        "Li & Talwalkar 2019",
        {
            "space": DARTS_CELL,
            "strategy": {"rounds": 1},
            "estimator": SUPERNET | {"architecture": 0.1},
            "train": FRESH,
        },
    ),
    "spos": Recipe(
        "cell",
        "regularized-evolution",
        "shared",
        "retrain",
        "Guo et al. 2019, single path one-shot, on cells",
        {
            "space": DARTS_CELL,
            "strategy": {"rounds": 1, "judged": 4},
            "estimator": SUPERNET | {"architecture": 0.1, "calibrate": 4},
            "train": FRESH,
        },
    ),
    "neat": Recipe(
        "topology",
        "neat",
        "simulation",
        "as-is",
        "Stanley & Miikkulainen 2002",
    ),
    "neat-1000": Recipe(
        "topology",
        "neat",
        "simulation",
        "as-is",
        "Stanley & Miikkulainen 2002, as for the poles without velocities",
        {
            # The paper's rates for 1,000 members, and from its program means of weights and fewer new
            # nodes. Its threshold (4, with 3.0 for weights) parts them into hundreds of species here.
            "space": {"power": 1.0, "average": 0.4, "add_node": 0.01, "add_connection": 0.3},
            "strategy": {"population": 1000},
        },
    ),
    "sonn": Recipe(
        "polynomial",
        "annealing",
        "full",
        "retrain",
        "Tenorio & Lee 1988, self-organizing neural networks",
        {"strategy": {"energy": "description_length", "start": "minimal"}},
    ),
    "codeepneat": Recipe(
        "blueprint",
        "codeepneat",
        "full",
        "retrain",
        "Miikkulainen et al. 2017",
        {
            "space": {
                "filters": (16, 64),
                "dropouts": (0.0, 0.3),  # what trains for some epochs only cannot lose more
                "lrs": (0.01, 0.3),
                "multiply_adds": 10_000_000,
            },
            # some hundred networks are too few to grow from nothing
            "strategy": {"start": "random"},
            "estimator": {"aim": 80},
        },
    ),
    "exact": Recipe(
        "filters",
        "exact",
        "inherit",
        "retrain",
        "Desell 2017",
        {
            # his later work's mutation, and a start from random networks: few trials must do
            "space": {"add_map": 8.0, "maps": 200, "grown": 80},
            "strategy": {"start": "random"},
            "estimator": {
                "aim": 300,
                "lr": 0.1,
                "weight_decay": 1e-3,
                "augment": False,
            },
            "train": {"lr": 0.2},
        },
    ),
    "table": Recipe(
        "listed",
        "regularized-evolution",
        "table",
        "as-is",
        "a tabular benchmark, looked up instead of trained",
    ),
}

#: kind of task -> the recipe for whoever names none. Chosen by measurement, see docs/results.md.
DEFAULT = {
    "image": "stages",
    "numbers": "tabular",
    "text": "text",
    "language": "language",
    "series": "series",
    "table": "table",
    "control": "neat",
}


def find(name: str) -> Recipe:
    """Return the recipe `name`.

    Raises:
        SettingError: for an unknown name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
