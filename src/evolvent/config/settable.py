"""The settings that each part of a run has, by name and type: what ``--set part.name=value`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ..strategy.common.phases import Phases
from .settings import fields

OF_THE_RUN = ("epochs", "timeout", "aim")  # of the part `estimator`: read by the run, not by it
OF_PHASES = ("seed", "horizon")  # arguments of `Phases` that are no settings of their own
RULES: dict[str, Any] = {  # settings of several parts, with what their types leave open
    "epochs": Annotated[float, Field(ge=0)],
    "timeout": Annotated[float, Field(gt=0)],
    "aim": Annotated[int, Field(ge=1)],
    "finalists": Annotated[int, Field(ge=1)],
    "share": Annotated[float, Field(ge=0.1, le=0.9)],
    "deliver": Literal["retrain", "continue"],
    "cells": Annotated[int, Field(ge=0)],
    "width": Annotated[int, Field(ge=1)],
    "stages": Annotated[int, Field(ge=1)],
    "stem_stride": Literal[1, 2],
}


def of_space(make: Any) -> dict[str, Any]:
    """Return name -> type of the settings of a space."""
    return fields(make)


def of_strategy(make: Any, *, phased: bool = False) -> dict[str, Any]:
    """Return name -> type of the settings of a strategy.

    Args:
        make: its class.
        phased: whether it is put in phases of training shared weights, which have settings too.
    """
    own = fields(make, without=("epochs", "seed")) | {"warm": int, "known": bool}
    if "sampler" in own:
        own["sampler"] = str | None  # by its name
    return own | (fields(Phases, without=OF_PHASES) if phased else {})


def of_estimator(make: Any) -> dict[str, Any]:
    """Return name -> type of the settings of an estimator."""
    own = fields(make, without=("seed", "device", "delivered"))
    return _ruled(own | dict.fromkeys(OF_THE_RUN, float))


def of_network() -> dict[str, Any]:
    """Return name -> type of the settings of a network's size and its training."""
    from ..network.build import Size
    from ..network.train import Hyperparameters

    return _ruled(fields(Size) | fields(Hyperparameters))


def of_train() -> dict[str, Any]:
    """Return name -> type of the settings of the final training."""
    own: dict[str, Any] = {"epochs": float, "finalists": int, "share": float, "deliver": str}
    own |= dict.fromkeys(("onnx", "proof", "controls", "ensemble", "calibrate", "ngrams"), bool)
    return _ruled(own) | of_network()


def _ruled(kinds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: RULES.get(name, kind) for name, kind in kinds.items()}
