"""A Ray cluster as the place where the calls of a run run: what a user says of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import SettingError, UserError
from .. import Executor, cores
from ..worker import Spec
from .connection import LOCAL, check, close, connect, room


@dataclass(frozen=True)
class Ray:
    """Actors of a Ray cluster: one per call at a time, wherever the cluster has room.

    Args:
        address: ``auto`` (the cluster that this machine is in), ``HOST:PORT`` of its head node, or
            ``local``: a cluster of this machine alone, which ends with the search.
        cpus: that each call has. [count, > 0]
        gpus: that each call has, fractions among them; None is one where the device is a GPU, else
            none. [count]

    Raises:
        SettingError: if a value is outside its rule, or ray is not installed.
    """

    address: str
    cpus: float = 1.0
    gpus: float | None = None

    def __post_init__(self) -> None:
        if not (self.cpus > 0 and _is_amount(self.cpus)):
            raise SettingError(
                f"--cpus-per-candidate {self.cpus:g}: give 1, 2, ..., or a fraction of 1"
            )
        if self.gpus is not None and not (self.gpus >= 0 and _is_amount(self.gpus)):
            raise SettingError(
                f"--gpus-per-candidate {self.gpus:g}: give a fraction of 1, or 1, 2, ..."
            )
        check(self.address)

    def planned(self, *, device: str, workers: int | None) -> int:
        """Connect, and return the calls at a time that there will be. [count]

        Args:
            device: of the search.
            workers: that the user asked for; None are as many as there is room for. [count]

        Raises:
            UserError: if no cluster answers, or what is asked of it does not fit together.
        """
        gpus = self._gpus(device)
        began = None if workers is None else math.ceil(workers * self.cpus)
        connect(self.address, cpus=began or cores())
        there = room(self.cpus, gpus)
        if not there and self.address == LOCAL:
            close()
            raise UserError(
                f"--ray local: this machine has no {self.cpus:g} CPUs and {gpus:g} GPUs for a "
                "candidate: ask for less by --cpus-per-candidate and --gpus-per-candidate"
            )
        return max(1, there) if workers is None else workers

    def release(self) -> None:
        """End the connection, if there is one that `planned` made."""
        close()

    def executor(
        self, spec: Spec, *, folder: Path | None, say: Callable[[str], None], workers: int | None
    ) -> Executor:
        """Return the executor of a run."""
        self.planned(device=spec.device, workers=workers)
        from .executor import OnRay

        gpus = self._gpus(spec.device)
        try:
            return OnRay(spec, cpus=self.cpus, gpus=gpus, most=workers, say=say)
        except BaseException:
            close()
            raise

    def _gpus(self, device: str) -> float:
        """Return the GPUs of each call on a device. [count]"""
        here = device == "cpu"
        if here and self.gpus:
            raise SettingError(
                f"--gpus-per-candidate {self.gpus:g} with --device cpu: give --device cuda too"
            )
        if not here and self.gpus == 0:
            raise SettingError(
                f"--gpus-per-candidate 0 with --device {device}: give a share of a GPU, such as 0.25"
            )
        return float(not here) if self.gpus is None else self.gpus


def _is_amount(value: float) -> bool:
    """Whether Ray can give as much: a share of one, or whole ones."""
    return math.isfinite(value) and (value <= 1 or value == int(value))
