"""The live page: a small server that reads the run's folder and never writes to it.

A page listens to ``events`` (server-sent events): the first holds all rows so far, later ones the new
rows. The id of an event is the number of its last row of the log, so that a browser that lost the
connection continues exactly there, also after a restart of the server. Only folders found at the start
of a request are served, by their names: no path of a request ever becomes a path of a file.

It listens at this machine's own address and answers only requests with that host name, so that pages
of other sites cannot reach it through a host name of their own. At any other address a token is
needed: the printed address contains it, and then a cookie keeps it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import RunError, SettingError
from ..execute.remote.address import is_own as is_own
from .files import comparison, found, index, kind_of, listed
from .page import page
from .reading import Reader

POLL = 0.3  # [s] between two reads of the log
TICK = 2.0  # [s] between two events that only update the times
ALIVE = 15.0  # [s] between two keep-alive messages without news: sending them reveals closed pages
BATCH = 2000  # rows per event: a long log comes in parts, and others are served between them
COOKIE = "evolvent"
Answer = Callable[[Request], Awaitable[Response]]


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve a run, or a folder of runs, until interrupted.

    Args:
        folder: to show.
        host: address to listen at.
        port: to listen at; 0 is any that is free.
        token: that a page needs; None makes one if `host` is not this machine's own address.
        say: called with the address to open.

    Raises:
        UserError: if the folder holds no run or comparison, or the address cannot be used.
    """
    serving = Serving(folder, host=host, port=port, token=token)
    say(f"{serving.address}  (Ctrl-C ends it)")
    serving.run()


class Serving:
    """A server that listens already, and answers once `run` is called; see `serve`."""

    def __init__(self, folder: Path, *, host: str, port: int, token: str | None = None) -> None:
        import uvicorn

        kind_of(folder)
        own = is_own(host)
        if token is None and not own:
            token = secrets.token_urlsafe(16)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except (OSError, OverflowError) as error:
            raise SettingError(
                f"--host {host} --port {port} cannot be listened at ({error}): choose another --port"
            ) from error
        self.port = self._socket.getsockname()[1]
        named = f"[{host}]" if ":" in host else host
        secret = f"?token={quote(token)}" if token else ""
        #: address of the page, the token included [URL]
        self.address = f"http://{named}:{self.port}/{secret}"
        hosts = {named, "localhost", "127.0.0.1", "[::1]"} if own else None
        config = uvicorn.Config(
            application(folder, hosts=hosts, token=token, over=lambda: self._server.should_exit),
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Answer until interrupted or stopped."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._server.should_exit = True


def application(
    folder: Path,
    *,
    hosts: Iterable[str] | None = ("localhost",),
    token: str | None = None,
    over: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """Return the server as an ASGI application.

    Args:
        folder: of a run, or of runs.
        hosts: host names that a request may use; None allows any.
        token: that every request needs; None needs none.
        over: returns whether streams of events must end, since the server waits for them to stop.
    """
    shown = _Shown(folder, over)
    routes = [
        Route("/", shown.index),
        Route("/events", shown.events),
        Route("/details/{id:int}", shown.details),
        Route("/{name}", shown.slash),
        Route("/{name}/", shown.index),
        Route("/{name}/events", shown.events),
        Route("/{name}/details/{id:int}", shown.details),
    ]
    return _Guard(Starlette(routes=routes), None if hosts is None else frozenset(hosts), token)


class _Guard:
    """Refuses requests with a foreign host name, without the token, or that would write."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, token: str | None) -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        answer: ASGIApp = self.app
        host = request.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.hosts is not None and name.lower() not in self.hosts:
            answer = Response("this server does not answer to that name\n", 421)
        elif self.token is not None and not self._knows(request):
            answer = Response("open the address that was printed: it holds the token\n", 403)
        elif request.method not in ("GET", "HEAD"):
            answer = Response("read only\n", 405)
        elif self.token is not None and "token" in request.query_params:
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        await answer(scope, receive, send)

    def _knows(self, request: Request) -> bool:
        given = request.query_params.get("token") or request.cookies.get(COOKIE, "")
        return hmac.compare_digest(given.encode(), (self.token or "").encode())


class _Shown:
    """The routes of the server, over one shown folder.

    Args:
        folder: of a run, of a comparison, or of such folders.
        over: returns whether streams of events must end.
    """

    def __init__(self, folder: Path, over: Callable[[], bool]) -> None:
        self.folder, self.over = folder, over

    def _find(self, request: Request) -> Path | None:
        """Return the folder of a request: the shown one, or one in it by name; None if unknown."""
        name = request.path_params.get("name")
        return self.folder if name is None else found(self.folder).get(name)

    async def slash(self, request: Request) -> Response:
        """Redirect to the address with a slash at its end, since the page's requests are relative."""
        if self._find(request) is None:
            return _missing()
        return RedirectResponse(quote(f"/{request.path_params['name']}/"), 307)

    async def index(self, request: Request) -> Response:
        """Return the page of a run or a comparison, or the list of a folder."""
        folder = self._find(request)
        if folder is None:
            return _missing()
        try:
            kind = kind_of(folder)
            if kind == "comparison":
                return _html(comparison(folder))
            if kind == "folder":
                rows = await asyncio.to_thread(index, folder)
                body = listed(rows, lambda name: f"/{quote(name)}/")
                return _html(page(None, title=folder.resolve().name, body=body))
            reader = Reader(folder)
            head = reader.head()
            reader.close()
        except RunError as error:
            return Response(f"{error}\n", 404)
        return _html(page(head | {"live": True}, title=head["name"], live=True))

    async def details(self, request: Request) -> Response:
        """Return the details of one candidate as JSON."""
        folder = self._find(request)
        if folder is None:
            return _missing()
        try:
            reader = Reader(folder)
            told = reader.details(request.path_params["id"])
            reader.close()
        except RunError as error:
            return Response(f"{error}\n", 404)
        return _missing() if told is None else JSONResponse(told)

    async def events(self, request: Request) -> Response:
        """Stream the rows so far, and then new ones as they come."""
        folder = self._find(request)
        if folder is None:
            return _missing()
        # a browser that reconnects by itself names the last event, a page that asks anew the row
        last = request.headers.get("last-event-id") or request.query_params.get("after", "")
        try:
            reader = Reader(folder)
        except RunError as error:
            return Response(f"{error}\n", 404)
        return StreamingResponse(
            news(reader, int(last) if last.isascii() and last.isdigit() else 0, self.over),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def news(
    reader: Reader, after: int, over: Callable[[], bool] = lambda: False
) -> AsyncGenerator[str, None]:
    """Yield events: the rows after row `after` of the log, and the state when it changes."""
    told: dict[str, Any] = {}
    clock: dict[str, float] = {}
    quiet = 0.0  # [s] since the last message
    try:
        yield "retry: 1000\n\n"
        while not over():
            found = reader.news(after, BATCH)
            state = reader.state()
            phases = state.pop("phases")  # a clock that is always running is no news
            if found["seq"] > after or state != told or (phases != clock and quiet >= TICK):
                after, told, clock, quiet = found["seq"], state, phases, 0.0
                data = json.dumps(
                    found | {"state": state | {"phases": phases}}, separators=(",", ":")
                )
                yield f"event: news\nid: {after}\ndata: {data}\n\n"
                await asyncio.sleep(0)
                continue
            quiet += POLL
            if quiet >= ALIVE:
                quiet = 0.0
                yield ": alive\n\n"
            await asyncio.sleep(POLL)
    finally:
        reader.close()


def _missing() -> Response:
    return Response("there is nothing of that name here\n", 404)


def _html(text: str) -> Response:
    return HTMLResponse(
        text,
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Opener-Policy": "same-origin",
        },
    )
