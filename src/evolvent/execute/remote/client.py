"""Requests of a worker to its coordinator."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import SettingError, UserError
from .protocol import HELD, MOST_JSON, MOST_MESSAGE

SILENCE = HELD + 20.0  # [s] without a byte, after which a connection is given up
CHUNK = 1 << 20  # [bytes]


class Over(Exception):
    """The coordinator has ended; the text says why."""


class Unknown(Exception):
    """The coordinator does not know this worker (any more): it must join."""


class Later(Exception):
    """The coordinator wants to be asked again."""


class Unwanted(Exception):
    """The coordinator cannot use what it was sent; the text says why."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Args:
        status: of HTTP.
        headers: of HTTP.
        body: whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as what it is."""
        try:
            told = json.loads(self.body)
        except ValueError as error:
            raise ConnectionError("an answer that is no JSON") from error
        if not isinstance(told, dict):
            raise ConnectionError("an answer that is no JSON object")
        return told


class Client:
    """One connection, which is made anew where it breaks. For one thread.

    Args:
        url: ``http://HOST:PORT`` or ``https://HOST:PORT``.
        token: of the coordinator.
        ca: PEM file of the certificates to trust, in place of the machine's own.

    Raises:
        SettingError: if the address or the file is none.
    """

    def __init__(self, url: str, token: str, ca: Path | None = None) -> None:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in ("http", "https") or not host or not token.isascii():
            raise SettingError(
                f"{url!r}: give the address and the token that the coordinator printed, such as "
                "http://127.0.0.1:8777"
            )
        self._token = token
        if parts.scheme == "https":
            try:
                trusted = ssl.create_default_context(cafile=ca)
            except (OSError, ssl.SSLError) as error:
                raise SettingError(f"--ca {ca}: {error}: give a PEM file") from error
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=SILENCE, context=trusted
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=SILENCE)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def post(
        self, path: str, body: bytes | Mapping[str, Any] = b"", headers: Mapping[str, str] = {}
    ) -> Answer:
        """Send a request and return its answer, if that is one of success.

        Raises:
            OSError: if the coordinator cannot be reached, or answers nonsense: another time it may not.
            UserError: if it refuses this worker.
            Over, Unknown, Later, Unwanted: if it says so.
        """
        with self._asked(path, body, headers) as found:
            told = found.read(MOST_MESSAGE + 1)
        if len(told) > MOST_MESSAGE:
            raise UserError(f"the coordinator sent more than {MOST_MESSAGE} bytes: it is none")
        return Answer(found.status, {k.lower(): v for k, v in found.headers.items()}, told)

    def fetch(self, path: str) -> Iterator[bytes]:
        """Yield the body of an answer in pieces; raises as `post` does."""
        with self._asked(path, b"", {}) as found:
            try:
                while piece := found.read(CHUNK):
                    yield piece
            except http.client.HTTPException as error:
                raise ConnectionError(str(error)) from error

    @contextlib.contextmanager
    def _asked(
        self, path: str, body: bytes | Mapping[str, Any], headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {self._token}", **headers}
        whole = False
        try:
            self._connection.request("POST", path, data, own)
            found = self._connection.getresponse()
            if found.status >= 300:
                line = found.read(MOST_JSON).decode(errors="replace").strip()[:500]
                whole = not found.will_close
                raise _refusal(found.status, line)
            yield found
            whole = found.isclosed()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{type(error).__name__} {error}") from error
        except ssl.SSLCertVerificationError as error:
            raise UserError(
                f"the coordinator's certificate is not trusted ({error.verify_message}): give the one "
                "that it was made with as --ca"
            ) from error
        finally:
            if not whole:
                self._connection.close()  # it connects anew at the next request


def _refusal(status: int, line: str) -> Exception:
    """Return the exception of an answer that is none of success."""
    match status:
        case 401 | 409:
            return UserError(f"refused: {line}")
        case 404:
            return Unknown(line)
        case 410:
            return Over(line)
        case 425:
            return Later(line)
        case 400 | 413:
            return Unwanted(line)
    return ConnectionError(f"status {status}: {line}")
