"""Addresses that servers listen at."""

from __future__ import annotations

import ipaddress
import re
import socket

from ...errors import SettingError
from .protocol import PORT


def is_own(host: str) -> bool:
    """Return whether an address is only reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        SettingError: if the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"--serve {host}:{port} cannot be listened at ({error}): choose another port or address"
        ) from error
    # a small answer in two pieces would wait 40 ms for an acknowledgement; connections inherit it
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``:PORT``, ``PORT`` or ``HOST``.

    Raises:
        SettingError: if it is none of these.
    """
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::(\d{1,5}))?", text.strip())
    host, port = ("", "") if found is None else (found[1].strip("[]"), found[2] or "")
    if host.isdigit() and not port:
        host, port = "", host
    if not (host or port) or int(port or PORT) > 65535:
        raise SettingError(f"--serve {text!r}: give HOST:PORT, such as 127.0.0.1:{PORT}, or a port")
    return host or "127.0.0.1", int(port or PORT)
