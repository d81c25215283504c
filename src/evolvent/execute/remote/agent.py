"""The worker's side: a process that asks a coordinator for calls and answers them, until all is over.

It needs the standard library, torch, numpy and safetensors. The calls run in processes of their own, so
that this one always answers: it tells the coordinator that it lives, and ends calls that are no longer
wanted. A coordinator that is away for a while is waited for.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SettingError, UserError
from .. import described
from ..processes import LocalSlots
from .client import Answer, Client, Later, Over, Unknown, Unwanted
from .data import Cache, Fetched
from .perform import failure, perform, prepare
from .protocol import BEATS, DIGEST, FENCE, MOST_REASON, NAME, NOW, TIMEOUT, WORKER, version
from .wire import Malformed

PATIENCE = 600.0  # [s] for which a coordinator that does not answer is waited for
PAUSES = (0.1, 0.3, 1.0, 2.0, 5.0)  # [s] between attempts to reach it; the last for ever


class _Another(Exception):
    """At this address is the coordinator of another search now."""


@dataclass(eq=False)
class Held:
    """A call that this worker runs.

    Args:
        name: in words.
        fence: of its lease.
        digest: of the call.
        future: of its answer.
        began: [s, monotonic]
    """

    name: str
    fence: str
    digest: str
    future: Future[bytes]
    began: float


def work(
    url: str,
    *,
    token: str,
    slots: int = 1,
    threads: int = 1,
    memory: int | None = None,
    device: str = "",
    cache: Path | None = None,
    ca: Path | None = None,
    patience: float = PATIENCE,
    say: Callable[[str], None] = print,
) -> str:
    """Work for a coordinator until it ends; return why it did.

    Args:
        url: of the coordinator.
        token: of the coordinator.
        slots: calls at the same time, each in a process of its own. [count, >= 1]
        threads: of the numerical libraries in each. [count, >= 1]
        memory: largest resident memory of each; None is an equal share of 80 % of what is free. [bytes]
        device: where to train, in place of what the search says; "" is that.
        cache: folder of fetched data; None is one in the machine's temporary folder.
        ca: PEM file of the certificates to trust, in place of the machine's own.
        patience: how long a coordinator that does not answer is waited for. [s]
        say: is told what happens, in lines.

    Raises:
        UserError: if the coordinator refuses this worker, or does not answer, or the worker cannot do
            its work.
    """
    if slots < 1:
        raise SettingError(f"slots={slots} must be at least 1")
    client = Client(url, token, ca)
    while True:
        agent = Agent(client, lambda: Client(url, token, ca), slots, Cache(cache), patience, say)
        make = {"workers": slots, "threads": threads, "memory": memory}
        try:
            return agent.run(make, device)
        except _Another:
            say("another search is served there now: joining that")


class Agent:
    """A worker that has one search to work for. `run` is its life.

    Args:
        client: connection of the main thread.
        connect: makes the connections of others.
        slots: calls at the same time. [count]
        cache: of data.
        patience: how long a coordinator that does not answer is waited for. [s]
        say: is told what happens, in lines.
    """

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Client],
        slots: int,
        cache: Cache,
        patience: float,
        say: Callable[[str], None],
    ) -> None:
        self._client, self._connect, self._count = client, connect, slots
        self._cache, self._patience, self._say = cache, patience, say
        self._worker = self._spec = ""
        self._lease = 0.0  # [s]
        self._ready = False
        self._held: list[Held] = []
        self._lock, self._joining = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        self._failure: BaseException | None = None  # what ended it
        self.answered = 0  # [count]

    def run(self, make: Mapping[str, Any], device: str) -> str:
        """Join, fetch, work; return why the coordinator ended."""
        try:
            self._join(self._client, "")
            factory = self._fetched(device)
            fresh = _device_of(factory) != "cpu"
            with LocalSlots(factory, fresh=fresh, losses=1, **make) as self._slots:
                self._prepare()
                return self._work()
        except Over as error:
            return str(error)
        except BaseException as error:
            if not isinstance(error, _Another):
                self._leave(error)
            raise
        finally:
            self._ended.set()

    def _prepare(self) -> None:
        """Make the context of a process, so that what is wrong with it fails no candidate."""
        try:
            self._slots.submit(prepare).result()
            self._ready = True
        except KeyboardInterrupt:
            raise
        except Exception as error:
            raise UserError(f"this worker cannot prepare the search: {described(error)}") from error

    def _work(self) -> str:
        """Let every slot ask and answer, and tell meanwhile that this worker lives."""
        for _ in range(self._count):
            threading.Thread(target=self._slot, daemon=True).start()
        try:
            while not self._ended.wait(self._lease / BEATS):
                self._beat()
        finally:
            self._ended.set()
        if isinstance(self._failure, Over):
            return str(self._failure)
        raise self._failure or RuntimeError("a worker ended without a reason")

    def _beat(self) -> None:
        with self._lock:
            held = {each.fence: each.digest for each in self._held}
        told = self._ask(self._client, "/beat", {"held": held}).json()
        with self._lock:
            for each in self._held:
                each.fence = told["moved"].get(each.fence, each.fence)
                if each.fence in told["ended"]:
                    self._slots.cancel(each.future)

    def _slot(self) -> None:
        """Ask for one call after another and answer them, until the end."""
        try:
            client = self._connect()
            while not self._ended.is_set():
                answer = self._ask(client, "/lease", {})
                if answer.status != 204:
                    self._run(client, answer)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this worker
            self._failure = self._failure or error
            self._ended.set()

    def _run(self, client: Client, leased: Answer) -> None:
        """Run a call that was leased, and answer it."""
        told, now = leased.headers, time.monotonic()
        timeout = told.get(TIMEOUT)
        future = self._slots.submit(
            perform,
            leased.body,
            now - float(told[NOW]),
            timeout=None if timeout is None else float(timeout),
        )
        held = Held(told.get(NAME) or "a call", told[FENCE], told[DIGEST], future, now)
        with self._lock:
            self._held.append(held)
        try:
            self._answer(client, held)
        finally:
            with self._lock:
                self._held.remove(held)

    def _answer(self, client: Client, held: Held) -> None:
        """Wait for a call and send what came of it."""
        path, body = "/answer", b""
        how = reason = ""
        try:
            body = held.future.result()
        except Exception as error:  # noqa: BLE001 - a call may fail in any way
            how, reason = failure(error)
            path = "/failed"
        if path == "/failed" and not how:
            if not self._ended.is_set():
                self._say(f"{held.name}: no longer wanted")
            return
        sent: bytes | Mapping[str, Any] = body if body else {"how": how, "reason": reason}
        try:
            taken = self._ask(client, path, sent, held).json().get("taken")
        except Unwanted as error:
            self._say(f"{held.name}: its answer cannot be used: {error}")
            return
        took = time.monotonic() - held.began
        self.answered += 1
        if taken:
            self._say(f"{held.name}: {took:.1f} s" + (f", {reason}" if reason else ""))
        else:
            self._say(f"{held.name}: {took:.1f} s, too late: somebody else has it")

    def _ask(
        self,
        client: Client,
        path: str,
        body: bytes | Mapping[str, Any],
        held: Held | None = None,
    ) -> Answer:
        """Send a request, again where that may help, as long as there is patience."""
        tried, began = 0, time.monotonic()
        while True:
            worker = self._worker
            if self._ended.is_set():
                raise self._failure or Over("this worker has ended")
            sent = body if isinstance(body, bytes) else {**body, "worker": worker}
            headers = {WORKER: worker}
            if held is not None:
                headers |= {FENCE: held.fence, DIGEST: held.digest}
            try:
                return client.post(path, sent, headers)
            except Unknown:
                self._join(client, worker)
            except Later:
                self._ended.wait(1.0)
            except OSError as error:
                if tried == 1:
                    self._say(f"the coordinator does not answer ({error}); trying again")
                self._pause(tried, began, error)
                tried += 1

    def _join(self, client: Client, before: str) -> None:
        """Join, unless another thread has done so meanwhile."""
        with self._joining:
            if self._worker != before:
                return
            tried, began = 0, time.monotonic()
            name = f"{socket.gethostname()}:{os.getpid()}"
            asked = {"name": name, "slots": self._count, "ready": self._ready, **version()}
            while True:
                try:
                    told = client.post("/join", asked).json()
                    break
                except OSError as error:
                    if not tried:
                        self._say("waiting for the coordinator to answer")
                    self._pause(tried, began, error)
                    tried += 1
                except (Unknown, Later, Unwanted) as error:
                    raise UserError(
                        f"at this address is no coordinator of evolvent: {error}"
                    ) from error
            if self._spec not in ("", told["spec"]):
                raise _Another
            self._worker, self._spec = str(told["worker"]), str(told["spec"])
            self._lease = float(told["lease"])
            self._say("joined" + (" again" if before else f" as {name}"))

    def _pause(self, tried: int, began: float, error: OSError) -> None:
        if time.monotonic() - began > self._patience:
            raise UserError(
                f"the coordinator did not answer for {self._patience:g} s ({error}): check the "
                "address, or give more --patience"
            ) from error
        self._ended.wait(PAUSES[min(tried, len(PAUSES) - 1)])

    def _fetched(self, device: str) -> Fetched:
        """Fetch the spec and the data that are not here yet."""
        head = self._ask(self._client, "/spec", b"").body
        try:
            missing = self._cache.missing(head)
        except (Malformed, ValueError, KeyError, TypeError) as error:
            raise UserError(f"the coordinator sent no spec that can be read: {error}") from error
        start = time.monotonic()
        for digest, size in missing.items():
            self._fetch(digest, size)
        if missing:
            took, size = time.monotonic() - start, sum(missing.values())
            self._say(f"fetched {size / 1e6:.1f} MB in {took:.1f} s")
        return Fetched(self._cache.folder, head, device)

    def _fetch(self, digest: str, size: int) -> None:
        tried, began = 0, time.monotonic()
        while True:
            try:
                self._cache.store(digest, size, self._client.fetch(f"/data/{digest}"))
                return
            except ConnectionError as error:
                self._pause(tried, began, error)
                tried += 1
            except OSError as error:
                raise UserError(
                    f"{self._cache.folder} cannot hold the data ({error.strerror or error}): choose "
                    "another --cache"
                ) from error

    def _leave(self, error: BaseException) -> None:
        """Tell the coordinator that this worker goes; what it ran is given to others at once."""
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        with contextlib.suppress(Exception):
            client = self._connect()
            client.post("/leave", {"worker": self._worker, "reason": reason[:MOST_REASON]})
            client.close()


def _device_of(factory: Fetched) -> str:
    return factory.device or str(json.loads(factory.head)["has"]["device"])
