"""The coordinator's side: an executor whose workers come over HTTP and ask for calls."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...errors import SettingError
from ..worker import Spec
from .address import is_own, listening
from .data import Bundle
from .leased import FAILURES, Leased
from .leases import Lease, Leases
from .protocol import (
    BEATS,
    DIGEST,
    FENCE,
    HELD,
    LEASE,
    MOST_JSON,
    MOST_MESSAGE,
    MOST_REASON,
    NAME,
    NOW,
    PORT,
    TIMEOUT,
    WORKER,
    described,
    version,
)
from .wire import Malformed

SWEEP = 0.25  # [s] between two looks for lost workers, at most
KEPT_OPEN = 75  # [s] of a connection without requests: longer than between two beats
LAST_WORD = 3.0  # [s] that workers have to hear that all is over, after their next beat


class Served(Leased):
    """Runs calls in workers on any machine, which ask for them: ``evolvent work URL --token T``.

    As a context manager it first waits for a worker. Workers come and go meanwhile: `workers` is the
    number of calls that those of the moment run. What a lost worker ran is issued again, at most
    twice, and its late answer is refused.

    Args:
        spec: of the workers.
        host: address to listen at.
        port: to listen at; 0 is any that is free.
        token: that every request needs.
        certificate: PEM files of certificate chain and private key, for TLS; None is none.
        lease: without a word after which a worker is lost. [s]
        say: is told of workers that come and go, and what they are started with.

    Raises:
        SettingError: if the address or the certificate cannot be used.
        UserError: if the task cannot be sent.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        token: str,
        certificate: tuple[Path, Path] | None = None,
        lease: float = LEASE,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        import uvicorn

        self._socket = listening(host, port)
        super().__init__(lease=lease, say=say)
        try:
            routes = _Routes(Bundle(spec), self.leases, token, lease)
            self._routes = routes
            pem = {} if certificate is None else _checked(*certificate)
            config = uvicorn.Config(
                Starlette(routes=routes.all(), lifespan=self._running, exception_handlers=ERRORS),
                log_level="critical",
                lifespan="on",
                timeout_graceful_shutdown=1,
                timeout_keep_alive=KEPT_OPEN,
                **pem,
            )
        except BaseException:
            self._socket.close()
            raise
        port = self._socket.getsockname()[1]
        named = f"[{host}]" if ":" in host else host
        #: address that workers are given [URL]
        self.url = f"http{'s' if pem else ''}://{named}:{port}"
        self.command = f"evolvent work {self.url} --token {token}"
        self._open = not (pem or is_own(host))
        self._server, self._stopped = uvicorn.Server(config), False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="evolvent-served", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Say how workers are started, and wait for one."""
        self._lines.put(f"workers are started with: {self.command}")
        if self._open:
            self._lines.put(
                "without TLS whoever sees the network sees data and token: use a tunnel or "
                "--tls-cert, see docs/cluster.md"
            )
        return super().__enter__()

    def _wait_on(self, waited: float) -> None:
        self._tell()
        if not self._thread.is_alive():
            raise SettingError(f"{self.url} cannot be served: choose another --serve")

    def shutdown(self) -> None:
        """End: unfinished futures get `Cancelled`, workers are told. A second time does nothing."""
        if self._stopped:
            return
        self._stopped = True
        self.leases.end("the search has ended")
        self._wake()
        end = time.monotonic() + self._lease / BEATS + LAST_WORD
        while self.leases.known and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.02)
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    @asynccontextmanager
    async def _running(self, app: Starlette) -> AsyncIterator[None]:
        """Sweep as long as the server runs."""
        self._loop = asyncio.get_running_loop()
        self._routes.news = asyncio.Event()
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            if self.leases.sweep():
                self._routes.wake()
            await asyncio.sleep(min(SWEEP, self._lease / 4))

    def _wake(self) -> None:
        """Let requests that are held open look again."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._routes.wake)


class _Routes:
    """The routes of the server.

    Args:
        bundle: what workers fetch.
        leases: of the calls.
        token: of every request.
        lease: its length. [s]
    """

    def __init__(self, bundle: Bundle, leases: Leases, token: str, lease: float) -> None:
        self.bundle, self.leases, self.token, self.lease = bundle, leases, token, lease
        self.news = asyncio.Event()  # that a call waits

    def all(self) -> list[Route]:
        """Return them."""
        own = {
            "/join": self.join,
            "/spec": self.spec,
            "/data/{name}": self.data,
            "/lease": self.give,
            "/beat": self.beat,
            "/answer": self.answer,
            "/failed": self.failed,
            "/leave": self.leave,
        }
        return [Route(path, self._guarded(each), methods=["POST"]) for path, each in own.items()]

    def wake(self) -> None:
        """Let the requests that wait for a call look again."""
        self.news.set()
        self.news = asyncio.Event()

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a route that first asks for the token, before anything of a body is read."""

        async def guard(request: Request) -> Response:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                raise HTTPException(401, "the token is not that of this coordinator")
            return await answer(request)

        return guard

    async def join(self, request: Request) -> Response:
        """Take a worker of the same version."""
        if self.leases.over:
            raise HTTPException(410, self.leases.over)
        told = await _json(request)
        own = version()
        if any(told.get(name) != value for name, value in own.items()):
            raise HTTPException(
                409,
                f"this worker is {described(told)}, the coordinator {described(own)}: "
                "install the same on both",
            )
        name, slots = str(told.get("name"))[:100], told.get("slots")
        if not (isinstance(slots, int) and 1 <= slots <= 10_000):
            raise HTTPException(400, "slots: a count from 1 to 10000")
        id = self.leases.join(name, slots, ready=told.get("ready") is True)
        return JSONResponse({"worker": id, "lease": self.lease, "spec": self.bundle.digest})

    async def spec(self, request: Request) -> Response:
        """Return the spec; the arrays that it names come by `data`."""
        return Response(self.bundle.head, media_type="application/json")

    async def data(self, request: Request) -> Response:
        """Return the bytes of one array."""
        blob = self.bundle.blobs.get(request.path_params["name"])
        if blob is None:
            raise HTTPException(404, "there are no data of that name")
        return StreamingResponse(
            iterate_in_threadpool(blob.chunks()),
            media_type="application/octet-stream",
            headers={"Content-Length": str(blob.size)},
        )

    async def give(self, request: Request) -> Response:
        """Lease a call to a worker; wait a while for one."""
        worker = self._worker(await _json(request))
        end = time.monotonic() + min(HELD, self.lease / 3)
        while True:
            news = self.news  # before the look: what comes after it rings this one
            if self.leases.over:
                self.leases.forget(worker)
                raise HTTPException(410, self.leases.over)
            if await request.is_disconnected():
                return Response(status_code=204)
            if (lease := self.leases.take(worker)) is not None:
                return Response(lease.call.data, headers=_told(lease))
            left = end - time.monotonic()
            if left <= 0:
                self.leases.hear(worker)
                return Response(status_code=204)
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue

    async def beat(self, request: Request) -> Response:
        """Hear of a worker and of what it runs."""
        told = await _json(request)
        worker = self._worker(told)
        held = told.get("held")
        if not isinstance(held, dict) or not all(isinstance(v, str) for v in held.values()):
            raise HTTPException(400, "held: fences and digests")
        if self.leases.over:
            self.leases.forget(worker)
            raise HTTPException(410, self.leases.over)
        ended, moved = self.leases.beat(worker, held)
        return JSONResponse({"ended": ended, "moved": moved})

    async def answer(self, request: Request) -> Response:
        """Take the answer of a call, if its lease still holds."""
        try:
            lease = self._lease(request.headers)
        except HTTPException:
            await _drained(request)
            raise
        if lease is None:
            await _drained(request)
            return JSONResponse({"taken": False})
        data = await _body(request, MOST_MESSAGE)
        try:
            value = await asyncio.to_thread(lease.call.value, data)
        except Malformed as error:
            self.leases.lose(lease, f"gave no answer that can be read: {error}")
            self.wake()
            raise HTTPException(400, str(error)) from error
        return JSONResponse({"taken": self.leases.settle(lease, value)})

    async def failed(self, request: Request) -> Response:
        """Take the failure of a call, if its lease still holds."""
        told = await _json(request)
        lease = self._lease(request.headers)
        how, reason = told.get("how"), str(told.get("reason"))[:MOST_REASON]
        if how != "lost" and how not in FAILURES:
            raise HTTPException(400, f"how: lost, {', '.join(FAILURES)}")
        if lease is None:
            return JSONResponse({"taken": False})
        if how == "lost":
            taken = self.leases.lose(lease, reason)
            self.wake()
        else:
            taken = self.leases.settle(lease, FAILURES[str(how)](reason))
        return JSONResponse({"taken": taken})

    async def leave(self, request: Request) -> Response:
        """Take leave of a worker."""
        told = await _json(request)
        self.leases.leave(str(told.get("worker")), str(told.get("reason"))[:MOST_REASON])
        self.wake()
        return JSONResponse({})

    def _worker(self, told: Mapping[str, Any]) -> str:
        worker = str(told.get("worker"))
        if not self.leases.hear(worker):
            if self.leases.over:
                raise HTTPException(410, self.leases.over)
            raise HTTPException(404, "this worker is not known: join")
        return worker

    def _lease(self, headers: Mapping[str, str]) -> Lease | None:
        """Return the lease of an answer, or None if it has ended; that of before a restart goes on."""
        worker, fence = self._worker({"worker": headers.get(WORKER, "")}), headers.get(FENCE, "")
        if self.leases.over:
            self.leases.forget(worker)
            raise HTTPException(410, self.leases.over)
        lease = self.leases.holds(worker, fence)
        lease = lease or self.leases.adopt(worker, fence, headers.get(DIGEST, ""))
        if lease is None and self.leases.is_early(fence):
            raise HTTPException(425, "nothing of that kind waits yet")
        return lease


def _told(lease: Lease) -> dict[str, str]:
    name = lease.call.name[:200].encode("ascii", "replace").decode()
    found = {FENCE: lease.fence, DIGEST: lease.call.digest, NAME: name, NOW: repr(time.monotonic())}
    if lease.call.timeout is not None:
        found[TIMEOUT] = repr(lease.call.timeout)
    return found


async def _error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    line = error.detail if isinstance(error, HTTPException) else "this is no request"
    headers = {"Connection": "close"} if status in (401, 413) else None
    return Response(f"{line}\n", status, headers, media_type="text/plain")


ERRORS: Any = {HTTPException: _error, ClientDisconnect: _error}


async def _body(request: Request, most: int) -> bytes:
    """Return the body of a request that is not too large."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise HTTPException(413, f"{said} bytes are too many: at most {most}")
    parts, size = [], 0
    async for chunk in request.stream():
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise HTTPException(413, f"these are too many bytes: at most {most}")
    return b"".join(parts)


async def _drained(request: Request) -> None:
    """Read a body that is not wanted, so that its sender gets to read the answer."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_MESSAGE:
            raise HTTPException(413, f"these are too many bytes: at most {MOST_MESSAGE}")


async def _json(request: Request) -> dict[str, Any]:
    try:
        told = json.loads(await _body(request, MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(told, dict):
        raise HTTPException(400, "the body is no JSON object")
    return told


def _checked(chain: Path, key: Path) -> dict[str, Any]:
    """Return the arguments of the server for TLS, of files that it can use."""
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingError(
            f"--tls-cert {chain} --tls-key {key}: {error}: give two PEM files that belong together"
        ) from error
    return {"ssl_certfile": str(chain), "ssl_keyfile": str(key)}
