"""The connection of this process to a Ray cluster: found and refused in seconds."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import os
import re
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SettingError, UserError

AUTO, LOCAL = "auto", "local"
PATIENCE = 5.0  # [s] for the first words of a cluster; Ray itself takes minutes to give up
#: with which a client of gRPC begins
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
FRAME, SETTINGS = 9, 4  # [bytes] of the head of a frame; the kind of the first one
#: of the environment: no reports to anybody, no warning, and trainings as urgent as the coordinator
SETTINGS_OF_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}
PRINTS = "print_to_stdstream"  # function of Ray's that prints what befell its processes
_own = False  # whether this module made the connection
_printing: Any = None  # that function, while it is replaced


def check(address: str) -> None:
    """Refuse a text that is no address, and an installation without ray.

    Raises:
        SettingError: saying so.
    """
    if address not in (AUTO, LOCAL) and not re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
        raise SettingError(
            f"--ray {address!r}: give local (this machine), auto (the cluster that this machine is "
            "in), or HOST:PORT of the head node, such as 10.0.0.1:6379"
        )
    if importlib.util.find_spec("ray") is None:
        raise SettingError(
            f"--ray {address} needs Ray, which is not installed: pip install 'evolvent[cluster]'"
        )


def connect(address: str, *, cpus: int | None = None) -> None:
    """Connect this process, unless it is connected already, as a program that uses Ray itself is.

    Args:
        address: ``auto``, ``local`` or ``HOST:PORT``.
        cpus: of the cluster that ``local`` begins; None are those of this machine. [count]

    Raises:
        UserError: if no cluster answers there, or one of another version.
    """
    global _own
    for name, value in SETTINGS_OF_RAY.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return
    found = _known() if address == AUTO else "" if address == LOCAL else address
    if found:
        _ask(address, found)
    more: dict[str, Any] = (
        {} if address != LOCAL else {"num_cpus": cpus, "include_dashboard": False}
    )
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except ConnectionError as error:
        where = "no cluster runs here" if address == AUTO else "no cluster of Ray answers there"
        raise _unreachable(address, where) from error
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError, SystemExit) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"--ray {address}: Ray cannot be used: {line}") from error
    _own = True
    _print(False)


def close() -> None:
    """End the connection, if `connect` made it; a cluster that it began ends with it."""
    global _own
    if _own:
        import ray

        _own = False
        ray.shutdown()
        _print(True)


def _print(wanted: bool) -> None:
    """Let Ray print, or not: dumps of state, to the standard output, where results alone belong.

    There is no setting for it. Who was lost is said by the coordinator in a line of its own.
    """
    global _printing
    inner = importlib.import_module("ray._private.worker")
    if wanted and _printing is not None:
        setattr(inner, PRINTS, _printing)
        _printing = None
    elif not wanted and hasattr(inner, PRINTS):
        _printing = getattr(inner, PRINTS)
        setattr(inner, PRINTS, lambda *args, **more: None)


def fits(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return the calls that a node has room for at the same time. [count]

    Args:
        resources: of the node, by Ray's names.
        cpus: of one call. [count]
        gpus: of one call. [count]
    """
    wanted = {name: each for name, each in (("CPU", cpus), ("GPU", gpus)) if each}
    shares = [resources.get(name, 0.0) / each + 1e-6 for name, each in wanted.items()]
    return math.floor(min(shares))


def room(cpus: float, gpus: float) -> int:
    """Return the calls that the nodes of this moment have room for, all of their resources free."""
    import ray

    return sum(fits(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"])


def _known() -> str:
    """Return the address that ``auto`` will find, where it is where Ray keeps it."""
    if said := os.environ.get("RAY_ADDRESS", ""):
        return said if re.fullmatch(r"[^\s:/]+:\d{1,5}", said) else ""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    try:
        return (folder / "ray" / "ray_current_cluster").read_text().strip()
    except OSError:
        return ""


def _ask(address: str, found: str) -> None:
    """Refuse an address where nothing answers, or something else than Ray."""
    host, _, port = found.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as wire:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                wire.sendall(PREFACE)
                if wire.recv(FRAME)[3:4] != bytes([SETTINGS]):
                    raise _unreachable(address, f"what answers at {found} is not Ray")
    except (OSError, OverflowError) as error:
        told = "in time" if isinstance(error, TimeoutError) else f"({error})"
        raise _unreachable(address, f"{found} does not answer {told}") from error


def _unreachable(address: str, why: str) -> UserError:
    return UserError(
        f"--ray {address}: {why}: start a cluster (ray start --head, and ray start "
        "--address=HOST:PORT on other machines), give the address of its head node, or --ray local"
    )
