"""The known members of the space `series`: networks for series made by hand."""

from __future__ import annotations

from typing import Any

#: genes of every member that it does not say itself
USUAL: dict[str, Any] = {
    "normalisation": "none",
    "linear": 0,
    "kernels": 0,
    "dense": 0,
    "depth": 0,
    "width": 32,
    "kernel": 5,
    "dilated": 0,
    "stride": 1,
    "pool": "mean",
    "start": "fresh",
    "dropout": 0.1,
    "rate": 1.0,
    "weight_decay": 1e-2,
    "batch": 64,
    "longest": 60.0,
}
#: name -> the genes in which it differs, of whole series: the random convolutions of Dempster et al.
#: 2021 (2012.08791), the residual network of Wang et al. 2017 (1611.06455), both together
WHOLE: dict[str, dict[str, Any]] = {
    "rocket": {"kernels": 512, "start": "ridge", "rate": 0.03, "longest": 5.0},
    "resnet": {"depth": 3, "kernel": 7},
    "rocket-resnet": {"kernels": 256, "start": "ridge", "rate": 0.25, "depth": 2, "longest": 20.0},
    "resnet-max": {"depth": 3, "pool": "max", "stride": 2},
    "dense": {"dense": 128},
}
#: the same of windows that are forecast: autoregression as the least squares have it, as it is and of
#: the differences from the last value (Zeng et al. 2023, 2205.13504); dilated convolutions (Bai et al.
#: 2018, 1803.01271); dense layers on the lags; and what adds to the autoregression
AHEAD: dict[str, dict[str, Any]] = {
    "linear": {"linear": 1, "start": "ridge", "rate": 0.03, "longest": 5.0},
    "nlinear": {
        "normalisation": "last",
        "linear": 1,
        "start": "ridge",
        "rate": 0.03,
        "longest": 5.0,
    },
    "linear-dense": {"linear": 1, "start": "ridge", "dense": 128, "rate": 0.25},
    "dense": {"normalisation": "last", "dense": 128},
    "convolutions": {
        "normalisation": "last",
        "depth": 3,
        "kernel": 3,
        "dilated": 1,
        "pool": "last",
    },
    "linear-convolutions": {
        "linear": 1,
        "start": "ridge",
        "depth": 2,
        "kernel": 3,
        "dilated": 1,
        "pool": "last",
        "rate": 0.25,
    },
    "rocket-linear": {
        "linear": 1,
        "kernels": 128,
        "start": "ridge",
        "rate": 0.03,
        "longest": 5.0,
    },
}
