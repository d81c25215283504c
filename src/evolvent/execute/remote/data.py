"""The task of a worker with its data: sent once, array by array, each known by the hash of its bytes.

A worker keeps what it fetched in a folder of its machine, so that the workers there share it, and a
further search on the same data sends nothing. Arrays are files of numpy without pickled objects.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError, UserError
from ...task.rows import Mapped, Rows, blocks
from .wire import CLASSES, Malformed, Unsendable, decode, encode

if TYPE_CHECKING:  # the process that fetches needs no torch
    from ..worker import Context, Spec

KEPT = 7 * 86400.0  # [s] that fetched data are kept after they were last used


@dataclass(frozen=True)
class Blob:
    """An array as the bytes of a file.

    Args:
        array: in memory, or `Rows`.
        head: of the file: its type and shape.
    """

    array: Any
    head: bytes

    @classmethod
    def of(cls, array: Any) -> Blob:
        """Return an array that is to be sent.

        Raises:
            Unsendable: if it holds objects.
        """
        if array.dtype.kind not in "biuf":
            raise Unsendable(f"an array of {array.dtype} cannot be sent to another machine")
        told = {
            "descr": np.lib.format.dtype_to_descr(array.dtype),
            "fortran_order": False,
            "shape": tuple(array.shape),
        }
        stream = io.BytesIO()
        np.lib.format.write_array_header_2_0(stream, told)
        return cls(array, stream.getvalue())

    @property
    def size(self) -> int:
        """Size of the file. [bytes]"""
        return len(self.head) + int(self.array.nbytes)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the file."""
        yield self.head
        if self.array.ndim == 0:
            yield self.array.tobytes()
            return
        for block in blocks(self.array):
            yield np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


class Bundle:
    """The spec of a search, ready to be fetched.

    Args:
        spec: of the workers.

    Raises:
        UserError: if it holds something that cannot be sent.
    """

    def __init__(self, spec: Spec) -> None:
        self.blobs: dict[str, Blob] = {}
        try:
            tree = encode(spec, self._named)
        except Unsendable as error:
            raise UserError(
                f"{error}: settings and tasks for workers elsewhere are plain values; leave --serve or "
                "--ray out"
            ) from error
        self.head = json.dumps(tree, separators=(",", ":")).encode()
        self.digest = hashlib.sha256(self.head).hexdigest()

    def _named(self, array: Any) -> dict[str, Any]:
        blob = Blob.of(array)
        digest = hashlib.sha256()
        for chunk in blob.chunks():
            digest.update(chunk)
        name = digest.hexdigest()
        self.blobs[name] = blob
        return {"sha256": name, "size": blob.size, "mapped": isinstance(array, Rows)}


class Cache:
    """The data that workers of this machine fetched.

    Args:
        folder: where they are; None is one for this user in the machine's temporary folder.

    Raises:
        UserError: if the folder cannot be used, or belongs to somebody else.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _default_folder()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            told = self.folder.stat()
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be made ({error.strerror}): choose another --cache"
            ) from error
        if hasattr(os, "getuid") and told.st_uid != os.getuid():
            raise UserError(f"{self.folder} belongs to another user: choose another --cache")
        self._forget_old()

    def _forget_old(self) -> None:
        for file in self.folder.glob("*.npy"):
            with contextlib.suppress(OSError):  # another worker may do the same
                if time.time() - file.stat().st_mtime > KEPT:
                    file.unlink()

    def path(self, digest: str) -> Path:
        """Return the file of an array."""
        return self.folder / f"{digest}.npy"

    def missing(self, head: bytes) -> dict[str, int]:
        """Return hash -> size of the arrays of a spec that are not here, whole. [bytes]

        Raises:
            Malformed: if `head` is no spec.
        """
        found = {}
        for digest, size in _named_in(json.loads(head)):
            file = self.path(digest)
            if _is_whole(file, digest, size):
                with contextlib.suppress(OSError):
                    os.utime(file)
            else:
                found[digest] = size
        return found

    def store(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Keep an array, if its bytes are those that were announced.

        Raises:
            DataError: if they are not.
            OSError: if the disk is full.
        """
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        found, count = hashlib.sha256(), 0
        try:
            with os.fdopen(handle, "wb") as stream:
                for chunk in chunks:
                    count += len(chunk)
                    if count > size:
                        break
                    found.update(chunk)
                    stream.write(chunk)
            if count != size or found.hexdigest() != digest:
                raise DataError(f"data {digest[:12]} came damaged or cut: {count} of {size} bytes")
            Path(name).replace(self.path(digest))
        finally:
            Path(name).unlink(missing_ok=True)

    def read(self, node: Any) -> Any:
        """Return the array that a spec names."""
        ((digest, _),) = _named_in({"array": node})
        file = self.path(digest)
        if not node.get("mapped"):
            return np.load(file, allow_pickle=False)
        told = np.lib.format.open_memmap(file, mode="r")
        shape = tuple(told.shape)
        return Rows.of(Mapped.of(file, int(told.offset), shape, told.dtype.str, "C"))


@dataclass(frozen=True)
class Fetched:
    """A spec whose data are in a cache: makes the context of a worker on that machine.

    Args:
        folder: of the cache.
        head: of the spec.
        device: where to train in place of what the search says; "" is that.
    """

    folder: Path
    head: bytes
    device: str = ""

    def spec(self) -> Spec:
        """Read the spec and its data."""
        from ..worker import Spec

        spec = decode(json.loads(self.head), Cache(self.folder).read, CLASSES.keys())
        if not isinstance(spec, Spec):
            raise Malformed(f"a {type(spec).__name__} is no spec")
        return dataclasses.replace(spec, device=self.device) if self.device else spec

    def __call__(self) -> Context:
        """Read the data, and build space and estimator."""
        return self.spec()()


def _is_whole(file: Path, digest: str, size: int) -> bool:
    if not file.is_file() or file.stat().st_size != size:
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == digest


def _named_in(tree: Any) -> Iterator[tuple[str, int]]:
    """Yield hash and size of every array that a spec names. [bytes]"""
    if isinstance(tree, dict) and (node := tree.get("array")) is not None:
        digest = node.get("sha256", "") if isinstance(node, dict) else ""
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise Malformed(f"{str(node)[:80]} names no array")
        yield digest, int(node["size"])
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from _named_in(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _named_in(each)


def _default_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"evolvent-{user}"
