"""Where the calls of a run run, if a coordinator serves them: what a user says of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import RunError, SettingError
from ...files import write_atomically
from .. import Executor
from ..worker import Spec
from .address import address, listening

TOKEN_FILE = "serve.token"  # of a run, so that its workers know it after a restart


@dataclass(frozen=True)
class Serve:
    """Workers on any machine, which ask for candidates: ``evolvent work URL --token T``.

    Args:
        address: to listen at: ``HOST:PORT``, or a port of this machine alone.
        token: that workers need; None is the run's own, made when it is first served.
        certificate: PEM files of certificate chain and private key, for TLS; None is none.

    Raises:
        SettingError: if the address or the token is none.
    """

    address: str
    token: str | None = None
    certificate: tuple[Path, Path] | None = None

    def __post_init__(self) -> None:
        address(self.address)
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise SettingError("--token: letters, digits and signs of ASCII")
        if self.token is not None and len(self.token) < 8:
            raise SettingError(f"--token has {len(self.token)} characters: at least 8")

    def planned(self, *, device: str, workers: int | None) -> int | None:
        """Return the count that the user said: workers may come at any time.

        Raises:
            SettingError: if the address cannot be listened at.
        """
        listening(*address(self.address)).close()
        return workers

    def release(self) -> None:
        """Do nothing: nothing is held."""

    def executor(
        self, spec: Spec, *, folder: Path | None, say: Callable[[str], None], workers: int | None
    ) -> Executor:
        """Return the executor of a run; it listens at once."""
        from .coordinator import Served

        host, port = address(self.address)
        token = self.token or (secrets.token_urlsafe(24) if folder is None else _kept(folder))
        return Served(
            spec, host=host, port=port, token=token, certificate=self.certificate, say=say
        )


def _kept(folder: Path) -> str:
    """Return the token of a run, from a file that only its owner may read; make it if need be."""
    file = folder / TOKEN_FILE
    try:
        if file.is_file() and len(token := file.read_text().strip()) >= 8:
            return token
        token = secrets.token_urlsafe(24)
        write_atomically(file, token, mode=0o600)
    except OSError as error:
        raise RunError(f"{file} cannot be used ({error.strerror}): give a --token") from error
    return token
