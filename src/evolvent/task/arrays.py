"""Readers of images stored as arrays: ``.npz`` files, and idx files as MNIST has them.

Nothing is unpickled, and every size that a file declares is compared with a limit before memory is
taken for it.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError
from .files import LIMIT, check_memory, existing, reading, some
from .images import Images
from .labels import as_text
from .rows import Mapped, Rows

_GZIP_MOST = 1100  # bytes that one byte of gzip unpacks to at most, a little rounded up
STREAMED = "{size:,.2f} GiB of images stay in their file and are read batch by batch"
STREAM = (
    "store the images uncompressed (numpy.savez, plain idx files), to have them read batch by batch"
)
_CHUNK = 2**24  # read at a time, so that memory grows with the file and not with its header [bytes]

# ---- .npz ----------------------------------------------------------------------------------------

_FIELDS = {  # array in the file -> field of `Images`
    "x_train": "x",
    "y_train": "y",
    "x_val": "x_validation",
    "y_val": "y_validation",
    "x_test": "x_test",
    "y_test": "y_test",
    "class_names": "class_names",
}
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {  # version of .npy -> reader of its header
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path: str | os.PathLike[str], *, limit: int = LIMIT, memory: int | None = None
) -> Images:
    """Return the arrays ``x_train, y_train[, x_val, y_val][, x_test, y_test][, class_names]``.

    Args:
        path: a file that ``numpy.savez`` or ``numpy.savez_compressed`` wrote.
        limit: how much all arrays together may take in memory. [bytes]
        memory: above this size uncompressed images stay in the file and are read as they are
            needed; None: never. [bytes]

    Raises:
        DataError: if it is not an .npz file, lacks an array, holds pickled objects or is too large.
    """
    file = existing(path)
    with (
        reading(file, ".npz file", "write it with numpy.savez"),
        zipfile.ZipFile(file) as archive,
    ):
        members = _members(file, archive)
        used = {key: members[key] for key in _FIELDS if key in members}
        sizes = {key: _declared(file, archive, info) for key, info in used.items()}
        large = memory is not None and sum(sizes.values()) > memory
        apart = {key for key in sizes if large and _is_stored(key, used[key])}
        kept = sum(size for key, size in sizes.items() if key not in apart)
        check_memory(file, kept, limit, STREAM)
        arrays: dict[str, Any] = {
            _FIELDS[key]: _mapped(file, archive, info) if key in apart else _member(archive, info)
            for key, info in used.items()
        }
        names = arrays.pop("class_names", None)
    others = sorted(set(members) - set(used))
    notes = [f"arrays that are not used: {some(others)}"] if others else []
    if apart:
        notes.append(STREAMED.format(size=sum(sizes[key] for key in apart) / 2**30))
    return Images(
        **arrays,
        class_names=None if names is None else _class_names(file, names),
        note=tuple(notes),
    )


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an archive by name, after checking that no needed one is missing."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    members = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(members) < len(infos):
        raise DataError(f"{str(file)!r} holds two arrays of one name: write it with numpy.savez")
    wanted = ["x_train", "y_train"]
    for pair in (["x_val", "y_val"], ["x_test", "y_test"]):
        wanted += pair if members.keys() & pair else []
    missing = [key for key in wanted if key not in members]
    if missing:
        raise DataError(
            f"{str(file)!r} has no array {some(missing)}; it holds {some(sorted(members))}: "
            "save the images as x_train, y_train and, if there are any, x_test, y_test"
        )
    return members


def _declared(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return the size of one array by its header, after checking the header. [bytes]"""
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{name} is of .npy version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers from Python 2 are fine
            shape, _, dtype = _HEADERS[version](stream)
        start = stream.tell()
    if dtype.hasobject:
        raise DataError(
            f"{str(file)!r}: {name} holds Python objects, which are never loaded (a pickle can run "
            "any program): save it as numbers or as text"
        )
    if dtype.kind not in "biufUS" or not dtype.itemsize:  # items without size could be 2**60
        raise DataError(f"{str(file)!r}: {name} is of type {dtype}: numbers or text are needed")
    if any(edge < 1 for edge in shape):
        raise DataError(f"{str(file)!r}: {name} is empty, its shape is {shape}: add examples")
    size = int(math.prod(shape) * dtype.itemsize)
    if start + size != info.file_size:
        raise ValueError(
            f"{name} of shape {str(shape)[:80]} does not fill its {info.file_size} bytes"
        )
    return size


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    with archive.open(info) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # the end: zipfile compares the checksum there
    return array


def _is_stored(key: str, info: zipfile.ZipInfo) -> bool:
    """Whether an array of images is stored in the archive uncompressed."""
    return key.startswith("x_") and info.compress_type == zipfile.ZIP_STORED


def _mapped(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Rows:
    """Return one array as rows that are read from the archive when indexed."""
    with file.open("rb") as stream:
        stream.seek(info.header_offset)
        head = stream.read(30)
        if head[:4] != b"PK\3\4":
            raise ValueError(f"{info.filename} has no header")
        name, extra = struct.unpack("<HH", head[26:])
        start = info.header_offset + 30 + name + extra
        stream.seek(start)
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
        if stream.tell() + math.prod(shape) * dtype.itemsize != start + info.file_size:
            raise ValueError(f"{info.filename} is not what the archive says")
        order = "F" if fortran else "C"
        return Rows.of(Mapped.of(file, stream.tell(), shape, dtype.str, order))


def _class_names(file: Path, names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{str(file)!r}: class_names must be a list of text, not {names.dtype}")
    return tuple(as_text(f"{str(file)!r}: class_names", names).tolist())


# ---- idx -----------------------------------------------------------------------------------------

_IDX_NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)-(?P<what>images|labels)[-.]idx\d-ubyte(\.gz)?"
)
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(path: Path) -> bool:
    """Whether `path` is named like a file of MNIST, or is a folder with such a file."""
    if path.is_dir():
        return any(_IDX_NAME.fullmatch(file.name) for file in path.iterdir())
    return _IDX_NAME.fullmatch(path.name) is not None


def read_idx(
    path: str | os.PathLike[str], *, limit: int = LIMIT, memory: int | None = None
) -> Images:
    """Return the data of idx files named like MNIST's, plain or gzipped.

    ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte`` are needed, the same with ``t10k-``
    or ``test-`` are the test part. A name in front, as in ``emnist-digits-train-...``, is allowed.

    Args:
        path: the folder that holds the files, or one of the files.
        limit: how much all arrays together may take in memory. [bytes]
        memory: above this size the images of plain files stay there; None: never. [bytes]

    Raises:
        DataError: if a file is missing, damaged or too large.
    """
    given = existing(path)
    folder = given if given.is_dir() else given.parent
    files = _idx_files(folder, None if given.is_dir() else given.name)
    needed = {"images": "train-images-idx3-ubyte[.gz]", "labels": "train-labels-idx1-ubyte[.gz]"}
    missing = [name for what, name in needed.items() if ("train", what) not in files]
    if missing:
        raise DataError(
            f"{str(folder)!r} has no {' and '.join(missing)}: put the files of MNIST's form there"
        )
    arrays: dict[tuple[str, str], Any] = {}
    sizes = [file.stat().st_size for file in files.values()]
    large = memory is not None and sum(sizes) > memory
    for key in sorted(files):
        apart = large and key[1] == "images" and files[key].suffix != ".gz"
        taken = sum(each.nbytes for each in arrays.values() if not isinstance(each, Rows))
        arrays[key] = _idx_array(files[key], taken, limit, apart=apart)
        if (arrays[key].ndim == 1) != (key[1] == "labels"):
            raise DataError(
                f"{str(files[key])!r} holds an array of {arrays[key].ndim} dimensions, not one "
                f"of {key[1]}: take the original file"
            )
    return Images(
        arrays["train", "images"],
        arrays["train", "labels"],
        arrays.get(("test", "images")),
        arrays.get(("test", "labels")),
        note=tuple(
            STREAMED.format(size=each.nbytes / 2**30)
            for each in arrays.values()
            if isinstance(each, Rows)
        ),
    )


def _idx_files(folder: Path, name: str | None) -> dict[tuple[str, str], Path]:
    """Return (part, what) -> file, of the set that `name` belongs to, or of the only one."""
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for file in sorted(folder.iterdir(), reverse=True):  # so that a plain file replaces its .gz
        if match := _IDX_NAME.fullmatch(file.name):
            part = "train" if match["part"] == "train" else "test"
            found.setdefault(match["set"], {})[part, match["what"]] = file
    if name is not None:
        match = _IDX_NAME.fullmatch(name)
        return found.get(match["set"], {}) if match else {}
    if len(found) > 1:
        raise DataError(
            f"{str(folder)!r} holds the files of {len(found)} data sets ({some(sorted(found))}): "
            "give the path of one of the files"
        )
    return next(iter(found.values()), {})


def _idx_array(file: Path, taken: int, limit: int, *, apart: bool) -> np.ndarray | Rows:
    """Return the array of one idx file, where `taken` bytes of the limit are in use.

    Args:
        file: plain or gzipped.
        taken: by the arrays before. [bytes]
        limit: for all of them. [bytes]
        apart: whether to leave it in its file.
    """
    zipped = file.suffix == ".gz"
    with (
        reading(file, "idx file", "fetch it again"),
        gzip.open(file) if zipped else file.open("rb") as stream,
    ):
        zero, kind, rank = struct.unpack(">HBB", stream.read(4))
        if zero or kind not in _IDX_TYPES or not 1 <= rank <= 4:
            raise ValueError("its first four bytes are not those of an idx file")
        shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
        dtype = np.dtype(_IDX_TYPES[kind])
        size = math.prod(shape) * dtype.itemsize
        if apart:
            if file.stat().st_size != 4 + 4 * rank + size:
                raise EOFError(f"it does not hold the {size} bytes that it declares")
            return Rows.of(Mapped.of(file, 4 + 4 * rank, shape, dtype.str, "C"))
        check_memory(file, taken + size, limit, STREAM)
        if size > file.stat().st_size * (_GZIP_MOST if zipped else 1):  # before memory is taken
            raise EOFError(f"it cannot hold the {size} bytes that it declares")
        data = _exactly(stream, size).view(dtype).reshape(shape)
        return data.astype(dtype.newbyteorder("="), copy=False)


def _exactly(stream: gzip.GzipFile | IO[bytes], size: int) -> np.ndarray:
    """Return the remaining `size` bytes of a stream; more or fewer are an error."""
    data = np.empty(size, np.uint8)
    done = 0
    while block := stream.read(_CHUNK):
        if done + len(block) > size:
            raise ValueError(f"it is longer than the {size} bytes that it declares")
        data[done : done + len(block)] = np.frombuffer(block, np.uint8)
        done += len(block)
    if done < size:
        raise EOFError(f"it ends after {done} of the {size} bytes that it declares")
    return data
