"""Image tasks: arrays, ``.npz`` files, idx files and folders of pictures become one `Task`.

A reader (`read_npz`, `read_idx`, `read_folder`) returns `Images`: raw arrays as they were given.
`image_task` checks them, splits them and measures them. Whatever is wrong with the data becomes a
`DataError` of one line. Nothing is unpickled, nothing is unpacked to disk, and every size that a
file declares is compared with a limit before memory is taken for it.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, SettingError
from . import Part, Task, stratified

if TYPE_CHECKING:
    from PIL import Image

try:
    from lzma import LZMAError
except ImportError:  # a Python built without liblzma
    LZMAError = zlib.error  # type: ignore[misc,assignment]

LIMIT = 8 * 2**30  # what one data set may take in memory [bytes]
TEST_SHARE = 0.15  # of the data, where no test part is given
_MAX_PIXELS = 2**30 // 12  # per picture, as in Pillow: a gigabyte of four-byte colours
_MAX_EDGE = 64  # of pictures read from a folder, unless a size is given [pixels]
_GZIP_MOST = 1100  # bytes that one byte of gzip can stand for, a little rounded up
_CHUNK = 2**24  # read at a time, so that memory grows with the file and not with its header [bytes]

# What the standard library, numpy and Pillow raise on damaged files, as fuzzing them shows.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    LZMAError,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class Images:
    """What a reader found, as it was found; `image_task` checks and splits it.

    Args:
        x: training images [N, H, W] or [N, H, W, C].
        y: their labels [N], integers or text.
        x_test: test images, or None.
        y_test: their labels, or None.
        x_validation: validation images where the data come with their own, or None.
        y_validation: their labels, or None.
        class_names: the name of label 0, of label 1, ...; None if the labels name themselves.
        note: what a user should know about how the data were read, one line each.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    note: tuple[str, ...] = ()


# ---- from arrays to a task -----------------------------------------------------------------------


def image_task(
    name: str,
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    x_validation: Any = None,
    y_validation: Any = None,
    seed: int = 0,
    validation: float = 0.1,
    fraction: float = 1.0,
    flip: bool | None = None,
    class_names: Sequence[str] | None = None,
    scale: float | None = None,
    note: Sequence[str] = (),
) -> Task:
    """Return the task of telling the classes of images apart.

    Every split is stratified. The validation part depends on `seed` alone and not on `fraction`, so
    that a proxy is scored on the same examples as the full data. A test part that has to be split
    off is the same for every seed, so that no search ever trains on another one's test examples.

    Args:
        name: how the user called the data.
        x: training images [N, H, W], [N, H, W, C] or, with 1 or 3 channels, [N, C, H, W]; uint8 and
            float32 are kept, other integers become uint8 if they lie in 0..255, else float32.
        y: their labels [N]: integers, text, or floats that are whole numbers.
        x_test: test images of the same kind and size; None: 15 % of the data are kept for it.
        y_test: their labels, all of them known in `y`.
        x_validation: validation images, if the data bring their own; None: split from `x`.
        y_validation: their labels, all of them known in `y`.
        seed: of the split between training and validation. [>= 0]
        validation: share of the training data to validate on. (0..0.5]
        fraction: share of the remaining training data to keep, for proxies. (0..1]
        flip: whether a mirrored image keeps its label; None: yes for colour, no for grey images.
        class_names: the name of label 0, of label 1, ...
        scale: raw values are divided by this; None: 255 for integers in 0..255, else 1. [raw units]
        note: lines that the reader wants the user to know.

    Raises:
        SettingError: if `seed`, `validation`, `fraction` or `flip` is outside its rule.
        DataError: if the arrays cannot be used as given.
    """
    check_settings(seed, validation, fraction, flip)
    pairs = _pairs(
        name,
        {"training": (x, y), "validation": (x_validation, y_validation), "test": (x_test, y_test)},
    )
    notes = list(note)
    images, natural = _images(name, {part: pair[0] for part, pair in pairs.items()}, notes)
    labels, classes = _classes(
        name, {part: pair[1] for part, pair in pairs.items()}, class_names, notes
    )
    parts = {part: _part(name, part, images[part], labels[part]) for part in pairs}
    _check_counts(name, parts, classes)
    parts = _split(parts, seed, validation, notes)
    train = _thinned(parts["training"], fraction, seed)
    if fraction < 1:
        notes.append(f"{len(train)} of {len(parts['training'])} training examples are used")
    scale = natural if scale is None else scale
    mean, std = _statistics(train.x, scale)
    height, width, channels = train.x.shape[1:]
    return Task(
        name=name,
        kind="image",
        input_shape=(channels, height, width),
        outputs=len(classes),
        classes=classes,
        train=train,
        validation=parts["validation"],
        test=parts["test"],
        mean=mean,
        std=std,
        scale=scale,
        augment=_augmentation(min(height, width), channels, flip, notes),
        seed=int(seed),
        note=tuple(notes),
    )


def check_settings(seed: Any, validation: Any, fraction: Any, flip: Any) -> None:
    """Check the settings that every image task has, before any data are read.

    Raises:
        SettingError: if one of them is outside its rule.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise SettingError(f"task.seed={seed!r} must be a whole number from 0 up")
    for key, value, top in (("validation", validation, 0.5), ("fraction", fraction, 1.0)):
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and 0 < value <= top):
            raise SettingError(f"task.{key}={value!r} must be above 0 and at most {top:g}")
    if flip is not None and not isinstance(flip, bool | np.bool_):
        raise SettingError(f"task.flip={flip!r} must be true or false")


def _pairs(
    name: str, given: dict[str, tuple[Any, Any]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the parts that were given, as arrays; the training part always is."""
    pairs = {}
    for part, (x, y) in given.items():
        if x is None and y is None and part != "training":
            continue
        if x is None or y is None:
            raise DataError(
                f"{name!r}: the {part} part needs images and labels, and only one of them is given"
            )
        try:
            pairs[part] = np.asarray(x), np.asarray(y)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(
                f"{name!r}: the {part} part is not a plain array ({_why(error)}): "
                "all images must have one size"
            ) from error
    return pairs


def _images(
    name: str, given: dict[str, np.ndarray], notes: list[str]
) -> tuple[dict[str, np.ndarray], float]:
    """Return every part as [N, H, W, C] of one size and type, and the scale of the raw values."""
    images = {part: _channels_last(name, part, x) for part, x in given.items()}
    if given["training"].ndim == 4 and given["training"].shape != images["training"].shape:
        notes.append(
            f"images of shape {given['training'].shape[1:]} were read as channels, height, width"
        )
    shape = images["training"].shape[1:]
    for part, x in images.items():
        if x.shape[1:] != shape:
            raise DataError(
                f"{name!r}: {part} images are {_size(x.shape[1:])}, training images are "
                f"{_size(shape)}: bring them to one size"
            )
    return _pixels(name, images)


def _channels_last(name: str, part: str, x: np.ndarray) -> np.ndarray:
    """Return images as [N, H, W, C]."""
    given = x.shape
    if x.ndim == 3:
        x = x[..., None]
    elif x.ndim == 4 and given[1] in (1, 3) and given[3] not in (1, 3):
        x = np.moveaxis(x, 1, 3)
    if x.ndim != 4:
        raise DataError(
            f"{name!r}: {part} images have shape {given}: reshape them to [N, H, W] or [N, H, W, C]"
        )
    if len(x) == 0:
        raise DataError(f"{name!r}: the {part} part holds no images: give at least 2 per class")
    if not 1 <= x.shape[3] <= 4 or 0 in x.shape:
        raise DataError(
            f"{name!r}: {part} images of shape {given} have {_size(x.shape[1:])}: at least one "
            "pixel and 1 to 4 channels (the last axis) are needed"
        )
    return x


def _pixels(name: str, images: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """Return the images as uint8 or as finite float32, contiguous, and what to divide them by."""
    kinds = {"i" if x.dtype.kind == "u" else x.dtype.kind for x in images.values()}
    if len(kinds) > 1 or not kinds <= set("bif"):
        types = ", ".join(f"{part} {x.dtype}" for part, x in images.items())
        raise DataError(
            f"{name!r}: images must be all integers, all floats or all true/false, not {types}"
        )
    small = all(x.dtype.kind == "b" or (x.min() >= 0 and x.max() <= 255) for x in images.values())
    if kinds != {"f"} and small:
        scale = 1.0 if kinds == {"b"} else 255.0
        return {part: np.ascontiguousarray(x, np.uint8) for part, x in images.items()}, scale
    with np.errstate(over="ignore", invalid="ignore"):
        floats = {part: np.ascontiguousarray(x, np.float32) for part, x in images.items()}
        for part, x in floats.items():
            if not (np.isfinite(x.min()) and np.isfinite(x.max())):  # no temporary of x's size
                at = int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))[0])
                raise DataError(
                    f"{name!r}: {part} image {at} holds NaN or infinity (as float32): "
                    "repair it or leave it out"
                )
    return floats, 1.0


def _classes(
    name: str,
    given: dict[str, np.ndarray],
    class_names: Sequence[str] | None,
    notes: list[str],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return every part's labels as [N] int64 in range(classes), and the names of the classes."""
    labels = {part: _labels(name, part, y) for part, y in given.items()}
    values = np.unique(labels["training"])
    for part, y in labels.items():
        if y.dtype.kind != values.dtype.kind:
            raise DataError(
                f"{name!r}: labels are numbers in one part and text in another: use one of them"
            )
        strangers = np.setdiff1d(y, values)
        if len(strangers):
            raise DataError(
                f"{name!r}: the {part} part has labels that the training part has not: "
                f"{_some(strangers.tolist())}: add training examples of them or leave them out"
            )
    indices = {part: np.searchsorted(values, y).astype(np.int64) for part, y in labels.items()}
    return indices, _names(name, values, class_names, notes)


def _labels(name: str, part: str, y: np.ndarray) -> np.ndarray:
    """Return labels as int64 or as text [N]."""
    where = f"{name!r}: {part} labels"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{where} have shape {y.shape}: one label per image is needed "
            "(of one-hot rows, take argmax(1))"
        )
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y):
        y = y.astype(str)
    if y.dtype.kind in "UST":
        try:
            return np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y.astype(str)
        except UnicodeDecodeError as error:
            raise DataError(f"{where} are not UTF-8 text: store them as text") from error
    if y.dtype.kind not in "biuf":
        raise DataError(f"{where} are of type {y.dtype}: integers or text are needed")
    if not len(y):
        return y.astype(np.int64)
    # Floats name whole numbers exactly up to 2**53; a NaN fails the comparison.
    whole = y.min() >= -(2**53) and y.max() <= 2**53
    if not (whole and (y.dtype.kind != "f" or bool((y == np.floor(y)).all()))):
        raise DataError(
            f"{where} are not all whole numbers below 2**53: images are sorted into classes, "
            "numbers to predict are not classes"
        )
    return y.astype(np.int64)


def _names(
    name: str, values: np.ndarray, class_names: Sequence[str] | None, notes: list[str]
) -> tuple[str, ...]:
    """Return the name of every label that occurs."""
    if class_names is None:
        return tuple(str(value) for value in values.tolist())
    known = [str(each) for each in class_names]
    doubles = [each for each, count in Counter(known).items() if count > 1]
    if doubles:
        raise DataError(f"{name!r}: class_names has {_some(doubles)} twice: every name needs one")
    if values.dtype.kind == "U":
        unnamed = [value for value in values.tolist() if value not in known]
        chosen = values.tolist()
    else:
        unnamed = [value for value in values.tolist() if not 0 <= value < len(known)]
        chosen = [] if unnamed else [known[value] for value in values.tolist()]
    if unnamed:
        raise DataError(
            f"{name!r}: {len(known)} class_names do not name the labels {_some(unnamed)}: "
            "integer labels count from 0"
        )
    empty = [each for each in known if each not in chosen]
    if empty:
        notes.append(f"class_names without a training example are left out: {_some(empty)}")
    return tuple(chosen)


def _part(name: str, part: str, x: np.ndarray, y: np.ndarray) -> Part:
    if len(x) != len(y):
        raise DataError(
            f"{name!r}: the {part} part has {len(x)} images and {len(y)} labels: "
            "every image needs one label"
        )
    return Part(x, y)


def _check_counts(name: str, parts: dict[str, Part], classes: tuple[str, ...]) -> None:
    """Refuse what cannot be split with every class on every side."""
    if len(classes) < 2:
        raise DataError(f"{name!r} has one class only, {classes[0]!r}: at least 2 are needed")
    aims = ["train"] + [
        aim
        for aim, part in (("validate", "validation"), ("test", "test"))
        if part not in parts  # so it will be split off
    ]
    counts = np.bincount(parts["training"].y, minlength=len(classes))
    rare = [classes[index] for index in np.flatnonzero(counts < len(aims))]
    if rare:
        have = "1 example" if counts.min() == 1 else f"{counts.min()} examples"
        raise DataError(
            f"{name!r}: class {_some(rare)} has {have}, at least {len(aims)} are needed "
            f"(to {', to '.join(aims)}): add examples of it or leave the class out"
        )


def _split(
    parts: dict[str, Part], seed: int, validation: float, notes: list[str]
) -> dict[str, Part]:
    """Return the three parts, splitting off the ones that are missing."""
    parts = dict(parts)
    if "test" not in parts:
        parts["training"], parts["test"] = _divided(parts["training"], TEST_SHARE, 0)
        notes.append(
            f"no test part is given: {len(parts['test'])} examples ({TEST_SHARE:.0%}) are kept "
            "for it, the same ones for every seed"
        )
    if "validation" in parts:
        notes.append(
            f"the data bring their own validation part of {len(parts['validation'])} examples: "
            "task.validation is not used"
        )
    else:
        parts["training"], parts["validation"] = _divided(parts["training"], validation, seed)
    return parts


def _divided(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    rest, chosen = stratified(part.y, share, seed)
    return Part(part.x[rest], part.y[rest]), Part(part.x[chosen], part.y[chosen])


def _thinned(part: Part, fraction: float, seed: int) -> Part:
    """Return `fraction` of every class; a class's last example always stays."""
    if fraction == 1:
        return part
    alone = np.bincount(part.y)[part.y] == 1  # nothing to choose, and `stratified` refuses it
    kept, many = np.flatnonzero(alone), np.flatnonzero(~alone)
    if len(many):
        kept = np.sort(np.concatenate([kept, many[stratified(part.y[many], fraction, seed)[1]]]))
    return Part(part.x[kept], part.y[kept])


def _statistics(x: np.ndarray, scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel [C], of the scaled values.

    Summed in float64, block by block: a float64 copy of the whole would take eight times the
    memory of bytes.
    """
    step = max(1, _CHUNK // max(1, 8 * x[0].size))
    blocks = [slice(start, start + step) for start in range(0, len(x), step)]
    means, stds = [], []
    for channel in range(x.shape[3]):
        count = x[..., channel].size
        mean = sum(float(x[block, ..., channel].sum(dtype=np.float64)) for block in blocks) / count
        square = 0.0
        for block in blocks:
            off = x[block, ..., channel].astype(np.float64).ravel()
            off -= mean
            square += float(np.einsum("i,i->", off, off))
        std = math.sqrt(square / count)
        # Less than float32 can tell apart is a constant channel, which must not be blown up.
        means.append(mean / scale)
        stds.append(std / scale if std > 1e-7 * abs(mean) else 1.0)
    return tuple(means), tuple(stds)


def _augmentation(edge: int, channels: int, flip: bool | None, notes: list[str]) -> dict[str, Any]:
    """Return what may be done to an image without making its label wrong."""
    if flip is None:
        flip = channels >= 3
        notes.append(
            "colour images are mirrored at random: --set task.flip=false if that changes a label"
            if flip
            else "grey images are not mirrored (a mirrored digit is another symbol): "
            "--set task.flip=true if a mirrored image keeps its label"
        )
    return {"flip": bool(flip), "shift": 1 if edge < 16 else 2 if edge <= 40 else 4, "cutout": 0}


# ---- .npz ----------------------------------------------------------------------------------------

_ARRAYS = {
    "x_train": "x",
    "y_train": "y",
    "x_val": "x_validation",
    "y_val": "y_validation",
    "x_test": "x_test",
    "y_test": "y_test",
    "class_names": "class_names",
}


def read_npz(path: str | os.PathLike[str], *, limit: int = LIMIT) -> Images:
    """Return the arrays ``x_train, y_train[, x_val, y_val][, x_test, y_test][, class_names]``.

    Args:
        path: a file that ``numpy.savez`` or ``numpy.savez_compressed`` wrote.
        limit: how much all arrays together may take. [bytes]

    Raises:
        DataError: if it is no such file, lacks an array, holds pickled objects or is too large.
    """
    file = existing(path)
    try:
        _check_regular(file)
        with zipfile.ZipFile(file) as archive:
            members = _members(file, archive)
            used = {key: members[key] for key in _ARRAYS if key in members}
            _check_size(file, sum(_declared(file, archive, used[key]) for key in used), limit)
            arrays = {_ARRAYS[key]: _member(archive, info) for key, info in used.items()}
    except _DAMAGED as error:
        raise DataError(
            f"{str(file)!r} is not a readable .npz file ({_why(error)}): write it with numpy.savez"
        ) from error
    names = arrays.pop("class_names", None)
    others = sorted(set(members) - set(used))
    return Images(
        **arrays,
        class_names=None if names is None else _text(file, names),
        note=(f"arrays that are not used: {_some(others)}",) if others else (),
    )


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an archive by name; the ones that are always needed are there."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    members = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(members) < len(infos):
        raise DataError(f"{str(file)!r} holds two arrays of one name: write it with numpy.savez")
    missing = [key for key in ("x_train", "y_train") if key not in members]
    for one, other in (("x_val", "y_val"), ("x_test", "y_test")):
        if (one in members) != (other in members):
            missing.append(one if other in members else other)
    if missing:
        raise DataError(
            f"{str(file)!r} has no array {_some(missing)}; it holds {_some(sorted(members))}: "
            "save the images as x_train, y_train and, if there are any, x_test, y_test"
        )
    return members


def _declared(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return how many bytes one array takes as its header says, after checking it."""
    name = info.filename.removesuffix(".npy")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read: Callable[..., Any] | None = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"{name} is of .npy version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers from Python 2 are fine
            shape, _, dtype = read(stream)
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
            f"{name} of shape {_shape(shape)} does not fill its {info.file_size} bytes"
        )
    return size


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # the end: zipfile compares the checksum there
    return array


def _text(file: Path, names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{str(file)!r}: class_names must be a list of text, not {names.dtype}")
    return tuple(_labels(str(file), "class_names as", names).tolist())


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


def read_idx(path: str | os.PathLike[str], *, limit: int = LIMIT) -> Images:
    """Return the data of idx files named like MNIST's, plain or gzipped.

    ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte`` are needed, the same with ``t10k-``
    or ``test-`` are the test part. A name in front, as in ``emnist-digits-train-...``, is allowed.

    Args:
        path: the folder that holds the files, or one of the files.
        limit: how much all arrays together may take. [bytes]

    Raises:
        DataError: if a file is missing, damaged or too large.
    """
    given = existing(path)
    folder = given if given.is_dir() else given.parent
    files = _idx_files(folder, None if given.is_dir() else given.name)
    missing = [what for what in ("images", "labels") if ("train", what) not in files]
    if missing:
        wanted = " and ".join(
            f"train-{what}-idx{3 if what == 'images' else 1}-ubyte[.gz]" for what in missing
        )
        raise DataError(f"{str(folder)!r} has no {wanted}: put the files of MNIST's form there")
    arrays: dict[tuple[str, str], np.ndarray] = {}
    for key in sorted(files):
        arrays[key] = _idx_array(files[key], sum(each.nbytes for each in arrays.values()), limit)
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
    )


def _idx_files(folder: Path, name: str | None) -> dict[tuple[str, str], Path]:
    """Return (part, what) -> file, of the set that `name` belongs to, or of the only one."""
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for file in sorted(folder.iterdir(), reverse=True):  # so that a plain file replaces its .gz
        match = _IDX_NAME.fullmatch(file.name)
        if match:
            part = "train" if match["part"] == "train" else "test"
            found.setdefault(match["set"], {})[part, match["what"]] = file
    if name is not None:
        match = _IDX_NAME.fullmatch(name)
        return found.get(match["set"], {}) if match else {}
    if len(found) > 1:
        raise DataError(
            f"{str(folder)!r} holds the files of {len(found)} data sets ({_some(sorted(found))}): "
            "give the path of one of the files"
        )
    return next(iter(found.values()), {})


def _idx_array(file: Path, taken: int, limit: int) -> np.ndarray:
    """Return the array of one idx file, where `taken` bytes of the limit are in use."""
    try:
        _check_regular(file)
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            zero, kind, rank = struct.unpack(">HBB", stream.read(4))
            if zero or kind not in _IDX_TYPES or not 1 <= rank <= 4:
                raise ValueError("its first four bytes are not those of an idx file")
            shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
            dtype = np.dtype(_IDX_TYPES[kind])
            size = math.prod(shape) * dtype.itemsize
            _check_size(file, taken + size, limit)
            present = file.stat().st_size * (_GZIP_MOST if file.suffix == ".gz" else 1)
            if size > present:  # before memory is asked for
                raise EOFError(f"it cannot hold the {size} bytes that it declares")
            data = _exactly(stream, size).view(dtype).reshape(shape)
            return data.astype(dtype.newbyteorder("="), copy=False)
    except _DAMAGED as error:
        raise DataError(
            f"{str(file)!r} is not a readable idx file ({_why(error)}): fetch it again"
        ) from error


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


# ---- folders -------------------------------------------------------------------------------------

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_EXTENSIONS = frozenset(
    [".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"]
    + [".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"]
)
_GREY_MODES = frozenset(["1", "L", "LA", "La", "I"])
_PARTS = {
    "train": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def read_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    *,
    limit: int = LIMIT,
) -> Images:
    """Return the pictures of a folder that has one sub-folder per class.

    The folder may instead hold ``train/`` and, if there are any, ``val/`` and ``test/`` with the
    class folders inside. Pictures below a class folder count at any depth; hidden files do not.
    Rules: the EXIF orientation is applied; of an animation the first frame counts; transparency is
    laid over white; of 16 bits the upper 8 are kept; palettes and other colour models become RGB;
    if every picture is grey, the images have one channel.

    Args:
        path: the folder.
        size: edge, or (height, width), that every picture is stretched to [pixels]; None: as they
            are if all have one size of at most 64 pixels, else their median height and width,
            scaled so that the longer is at most 64.
        limit: how much all images together may take. [bytes]

    Raises:
        SettingError: if `size` is not one or two numbers from 1 to 4096.
        DataError: if there is no class folder, or a picture cannot be read.
    """
    target = check_size(size)
    root = existing(path)
    notes: list[str] = []
    try:
        found = {
            part: _pictures(folder, root, part, notes)
            for part, folder in _part_folders(root, notes).items()
        }
    except OSError as error:
        raise DataError(f"{str(root)!r} cannot be read ({_why(error)})") from error
    files = [file for pictures in found.values() for file, _ in pictures]
    target, grey = _survey(files, target, notes)
    _check_size(root, len(files) * target[0] * target[1] * (1 if grey else 3), limit)
    x = _decode_all(files, target, grey, notes)
    arrays: dict[str, Any] = {}
    for part, pictures in found.items():
        suffix = "" if part == "training" else f"_{part}"
        arrays["x" + suffix], x = x[: len(pictures)], x[len(pictures) :]
        arrays["y" + suffix] = np.array([label for _, label in pictures])
    return Images(**arrays, note=tuple(notes))


def check_size(size: Any) -> tuple[int, int] | None:
    """Return `size`, an edge or (height, width), as (height, width); None stays None.

    Raises:
        SettingError: if it is neither.
    """
    if size is None:
        return None
    edges = tuple(size) if isinstance(size, tuple | list) else (size, size)
    whole = all(isinstance(edge, Integral) and not isinstance(edge, bool) for edge in edges)
    if len(edges) != 2 or not whole or not all(1 <= edge <= 4096 for edge in edges):
        raise SettingError(
            f"task.size={size!r} must be an edge or (height, width), from 1 to 4096 pixels"
        )
    return int(edges[0]), int(edges[1])


def _part_folders(root: Path, notes: list[str]) -> dict[str, Path]:
    """Return part -> the folder that holds its class folders."""
    folders = {folder.name.lower(): folder for folder in _folders(root, root, notes)}
    parts = {name: folder for name, folder in folders.items() if name in _PARTS}
    nested = "train" in parts and bool(_folders(parts["train"], root, []))
    if not nested and (not folders or len(parts) < len(folders)):
        return {"training": root}
    if not nested:
        raise DataError(
            f"{str(root)!r} holds {_some(sorted(parts))} but no train/ with one folder per class: "
            "put the class folders into train/"
        )
    others = sorted(set(folders) - set(parts))
    if others:
        raise DataError(
            f"{str(root)!r}: train/ holds class folders, so {_some(others)} beside it is neither a "
            "part (train, val, test) nor a class: move it away"
        )
    chosen = {_PARTS[name]: folder for name, folder in parts.items()}
    if len(chosen) < len(parts):
        raise DataError(f"{str(root)!r} has two validation folders ({_some(sorted(parts))})")
    return {part: chosen[part] for part in ("training", "validation", "test") if part in chosen}


def _folders(folder: Path, root: Path, notes: list[str]) -> list[Path]:
    """Return the sub-folders, sorted, without hidden ones and links that leave the root."""
    kept = []
    for entry in sorted(folder.iterdir()):
        if _hidden(entry.name) or not entry.is_dir():
            continue
        if entry.is_symlink() and not entry.resolve().is_relative_to(root.resolve()):
            notes.append(f"{entry.name!r} is a link that leaves the folder: not followed")
            continue
        kept.append(entry)
    return kept


def _pictures(folder: Path, root: Path, part: str, notes: list[str]) -> list[tuple[Path, str]]:
    """Return (file, class) for every picture of one part."""
    loose = sum(
        entry.suffix.lower() in _EXTENSIONS and not _hidden(entry.name)
        for entry in folder.iterdir()
    )
    links: list[str] = []
    classes = _folders(folder, root, links)
    if folder != root:
        notes += links  # those of the root itself are told already
    if not classes:
        extra = f"it holds {loose} images" if loose else "it is empty of images"
        extra += "; links that leave the folder are not followed" if links else ""
        raise DataError(
            f"{str(folder)!r} has no sub-folder ({extra}): put the images of every class into a "
            "folder of its own"
        )
    if loose:
        notes.append(f"{loose} images beside the class folders of {folder.name!r} are not read")
    pictures, strange = [], 0
    for group in classes:
        label = _utf8(group)
        files = list(_walk(group))
        chosen = [file for file in files if file.suffix.lower() in _EXTENSIONS]
        if not chosen and part == "training":
            raise DataError(
                f"{str(group)!r} holds no image ({', '.join(sorted(_EXTENSIONS))}): "
                "add some or remove the folder"
            )
        strange += len(files) - len(chosen)
        pictures += [(file, label) for file in chosen]
    if not pictures:
        raise DataError(f"{str(folder)!r} holds no images: add some or remove the folder")
    if strange:
        notes.append(f"{strange} files of {folder.name!r} are not images by name: not read")
    return pictures


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below, in one order on every file system, without hidden ones."""

    def stop(error: OSError) -> None:
        raise error  # os.walk would leave the folder out in silence

    for where, inner, files in os.walk(folder, onerror=stop):
        inner[:] = sorted(name for name in inner if not _hidden(name))
        yield from (Path(where, name) for name in sorted(files) if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _utf8(folder: Path) -> str:
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the folder name {str(folder)!r} is not UTF-8: rename it") from error
    return folder.name


def _survey(
    files: list[Path], target: tuple[int, int] | None, notes: list[str]
) -> tuple[tuple[int, int], bool]:
    """Return (height, width) to use and whether all pictures are grey, from their headers alone."""
    sizes, grey = [], True
    for file in files:
        with _picture(file) as image:
            width, height = image.size
            # A TIFF is turned by Pillow itself. Asking a PNG for its EXIF would decode it.
            if "exif" in image.info and image.format != "TIFF":
                turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
                width, height = (height, width) if turned else (width, height)
            sizes.append((height, width))
            grey = grey and (image.mode in _GREY_MODES or image.mode.startswith("I;16"))
    if target is None and len(set(sizes)) == 1 and max(sizes[0]) <= _MAX_EDGE:
        return sizes[0], grey
    if target is None:
        median = [float(edge) for edge in np.median(np.array(sizes), axis=0)]
        shrink = min(1.0, _MAX_EDGE / max(median))
        target = max(1, round(median[0] * shrink)), max(1, round(median[1] * shrink))
    changed = sum(each != target for each in sizes)
    if changed:
        notes.append(
            f"{changed} of {len(files)} images were stretched to {target[0]} x {target[1]} pixels "
            "(height x width): --set task.size=N for another edge"
        )
    return target, grey


def _decode_all(
    files: list[Path], target: tuple[int, int], grey: bool, notes: list[str]
) -> np.ndarray:
    """Return all pictures [N, H, W, C], with one channel if all of them are grey."""
    x = np.empty((len(files), *target, 1 if grey else 3), np.uint8)
    seen: Counter[str] = Counter()
    for row, file in zip(x, files, strict=True):
        with _picture(file) as image:
            row[...] = _decode(image, target, grey, seen).reshape(row.shape)
    if seen["transparent"]:
        notes.append(f"{seen['transparent']} images with transparency were laid over white")
    if seen["deep"]:
        notes.append(
            f"of {seen['deep']} images with 16 bits the upper 8 are kept: use an .npz for more"
        )
    if not grey and (x == x[..., :1]).all():  # grey pictures that were stored as colour ones
        x = np.ascontiguousarray(x[..., :1])
    return x


def _decode(
    image: Image.Image, target: tuple[int, int], grey: bool, seen: Counter[str]
) -> np.ndarray:
    """Return one picture as bytes [H, W] or [H, W, 3]."""
    from PIL import Image, ImageOps

    # A JPEG is decoded at a fraction of its size, many times faster, if twice the target is left.
    image.draft(None, (2 * max(target), 2 * max(target)))
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("pixels of type float have no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels outside 0..65535 have no known range")
        seen["deep"] += 1
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        seen["transparent"] += 1
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if grey else "RGB")
    height, width = target
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


@contextmanager
def _picture(file: Path) -> Iterator[Image.Image]:
    """Open one picture; whatever goes wrong with it names the file."""
    from PIL import Image

    try:
        _check_regular(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of small damage that it can repair
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Given a path, Pillow (11 to 13 at least) maps the file and garbles turned TIFFs.
            with file.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ValueError(f"more than {_MAX_PIXELS:,} pixels")
                yield image
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{str(file)!r} is not a readable image ({_why(error)}): repair it or remove it"
        ) from error


# ---- words ---------------------------------------------------------------------------------------


def existing(path: str | os.PathLike[str]) -> Path:
    """Return `path`, with ``~`` replaced.

    Raises:
        DataError: if there is nothing, or nothing that may be looked at.
    """
    try:
        if not os.fspath(path):
            raise FileNotFoundError  # and not the working folder, as Path("") would be
        found = Path(path).expanduser()
        found.stat()
        if found.is_dir():
            next(found.iterdir(), None)  # may it be listed?
    except (OSError, ValueError, RuntimeError) as error:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else _why(error)
        raise DataError(f"{str(path)!r} cannot be read: {reason}; check the path") from error
    return found


def _check_regular(file: Path) -> None:
    if not file.is_file():
        raise OSError("it is not a regular file")  # opening a pipe would wait for ever


def _check_size(file: Path, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(
            f"{str(file)!r} would take {size / 2**30:,.1f} GiB in memory, at most "
            f"{limit / 2**30:,.1f} GiB are allowed: make the images smaller or fewer"
        )


def _why(error: BaseException) -> str:
    """Return the reason of an error in one short line."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split())[:160] or type(error).__name__


def _some(names: Sequence[object], most: int = 5) -> str:
    """Return the first few names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _size(shape: tuple[int, ...]) -> str:
    height, width, channels = shape
    return f"{height} x {width} pixels and {channels} channels"


def _shape(shape: tuple[int, ...]) -> str:
    return str(shape)[:80]
