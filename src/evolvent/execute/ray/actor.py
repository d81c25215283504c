"""The worker's side: an actor that has the data and runs one call at a time in a process of its own.

The process that computes is below the actor, as it is below one that asks a server for calls: it can be
ended for its time, for its memory, or because nobody wants it any more, while the actor answers.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ...errors import DataError, UserError
from .. import described
from ..processes import LocalSlots
from ..remote.data import Cache, Fetched
from ..remote.perform import failure, perform, prepare
from ..remote.protocol import described as version_in_words
from ..remote.protocol import version
from .connection import fits

Answer = bytes | tuple[str, str]  # a message, or how and why there is none


@dataclass(frozen=True)
class Order:
    """The plan of an actor besides the spec, as plain values.

    Args:
        version: that must be the actor's too.
        paths: where the coordinator imports from; parts of the user's own may be there.
        device: where to train; ``""`` is what the spec says.
        cpus: of a call. [count]
        gpus: of a call. [count]
    """

    version: Mapping[str, Any]
    paths: tuple[str, ...]
    device: str
    cpus: float
    gpus: float


class Worker:
    """An actor's life: `begin`, then `run` one call after another; the rest may come meanwhile.

    Args:
        order: what it is made from.
        head: of the spec.
        arrays: hash of an array -> its size [bytes], and the objects that hold its pieces.
    """

    def __init__(
        self, order: Order, head: bytes, arrays: Mapping[str, tuple[int, Sequence[Any]]]
    ) -> None:
        self._order, self._head, self._arrays = order, head, arrays
        self._slots: LocalSlots | None = None
        self._running: dict[str, Future[bytes]] = {}

    def begin(self) -> tuple[str, str]:
        """Fetch the data, make the context; return a name in words, and what is wrong if anything."""
        import ray

        context = ray.get_runtime_context()
        name = f"{ray.util.get_node_ip_address()}:{os.getpid()}"
        try:
            self._check_version()
            sys.path += [each for each in self._order.paths if each not in sys.path]
            node = next(each for each in ray.nodes() if each["NodeID"] == context.get_node_id())
            self._slots = self._started(node["Resources"])
            self._slots.submit(prepare).result()
        except Exception as error:  # noqa: BLE001 - whatever it is, the coordinator is told
            return name, str(error) if isinstance(error, UserError) else described(error)
        return name, ""

    def run(self, fence: str, data: bytes, now: float, timeout: float | None) -> Answer:
        """Run a call; return its answer, or how and why there is none.

        Args:
            fence: of its lease.
            data: the call as a message.
            now: `time.monotonic()` of the coordinator as it sent it. [s]
            timeout: of the call. [s]
        """
        assert self._slots is not None, "it has begun"
        future = self._slots.submit(perform, data, time.monotonic() - now, timeout=timeout)
        self._running[fence] = future
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - a call may fail in any way
            return failure(error)
        finally:
            del self._running[fence]

    def cancel(self, fence: str) -> None:
        """End a call that nobody wants any more."""
        future = self._running.get(fence)
        if future is not None and self._slots is not None:
            self._slots.cancel(future)

    def beat(self) -> None:
        """Tell, by the answer, that this actor lives."""

    def _check_version(self) -> None:
        if version() != self._order.version:
            raise UserError(
                f"it is {version_in_words(version())}, the coordinator "
                f"{version_in_words(self._order.version)}: install the same on every node"
            )

    def _started(self, resources: Mapping[str, float]) -> LocalSlots:
        """Return a place for one call, with its share of the node's memory as Ray counts it."""
        order, cache = self._order, Cache()
        self._fetch(cache)
        factory = Fetched(cache.folder, self._head, order.device)
        share = resources.get("memory", 0.0) / max(1, fits(resources, order.cpus, order.gpus))
        return LocalSlots(
            factory,
            workers=1,
            memory=int(share) or None,
            threads=max(1, int(order.cpus)),
            fresh=bool(order.gpus),
            losses=1,
        )

    def _fetch(self, cache: Cache) -> None:
        """Write the data that are not on this machine yet into its cache, one actor at a time."""
        with (cache.folder / "fetching.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                for digest, size in cache.missing(self._head).items():
                    cache.store(digest, size, _pieces(self._arrays[digest][1]))
            except OSError as error:
                raise DataError(
                    f"{cache.folder} cannot hold the data ({error.strerror or error}): make room there"
                ) from error


def _pieces(objects: Sequence[Any]) -> Iterator[bytes]:
    """Yield the bytes that objects of the object store hold, without a copy."""
    import ray

    for each in objects:
        yield ray.get(each).data
