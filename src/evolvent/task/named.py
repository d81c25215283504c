"""Image tasks by name or by path, as a user writes them after ``evolvent search``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, SettingError, unknown
from . import Task
from .arrays import is_idx, read_idx, read_npz
from .division import stratified
from .fetching import OWN, fetch
from .files import LIMIT, existing
from .folders import check_size, read_folder
from .images import Images, check_settings, image_task
from .listed import TABLE, Listing, has_classes, listed, read_listed
from .own_split import TOLD, files_of, share_of
from .portable.forms import READ

NAMES: dict[str, str] = {
    "digits": "8 x 8 grey digits, 10 classes, 1,797 images; built in",
    "mnist": "28 x 28 grey digits, 10 classes, 60,000 + 10,000 images",
    "fashion-mnist": "28 x 28 grey pictures of clothes, 10 classes, 60,000 + 10,000 images",
    "emnist-balanced": "28 x 28 grey digits and letters, 47 classes, 112,800 + 18,800 images",
    "emnist-digits": "28 x 28 grey digits, 10 classes, 240,000 + 40,000 images",
    "cifar10": "32 x 32 colour photographs, 10 classes, 50,000 + 10,000 images",
    "cifar100": "32 x 32 colour photographs, 100 classes, 50,000 + 10,000 images",
}

_SHARE = 0.2  # of the memory that is free: copies for workers and the final training come on top

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_OBJECTS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# The 47 classes of EMNIST Balanced: small letters that look like their capitals are joined to them.
_SIGNS = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
_CLASSES = {"fashion-mnist": _CLOTHES, "emnist-balanced": _SIGNS, "cifar10": _OBJECTS}

# name -> training files, test files, bytes of label before the pixels (the last one counts)
_CIFAR = {
    "cifar10": (tuple(f"data_batch_{index}.bin" for index in range(1, 6)), ("test_batch.bin",), 1),
    "cifar100": (("train.bin",), ("test.bin",), 2),
}
_CIFAR_IMAGES = (50_000, 10_000)  # training, test
_CIFAR_PIXELS = 3 * 32 * 32


def load(
    spec: str | os.PathLike[str],
    *,
    seed: int = 0,
    validation: float | str = 0.1,
    test: str | None = None,
    fraction: float = 1.0,
    flip: bool | None = None,
    size: int | tuple[int, int] | None = None,
    memory: float | None = None,
    skip_broken: bool = False,
    kind: str | None = None,
    target: str | None = None,
) -> Task:
    """Return the image task that a name or a path stands for.

    A name of `NAMES` goes before a path; ``./digits`` is always a path. Named data sets other than
    ``digits`` are looked for in the folder of the environment variable ``EVOLVENT_DATA``, in a
    sub-folder of the data set's name, written with ``-`` or ``_``; what is not there is fetched once
    into a cache, see `fetching`.

    Args:
        spec: a name of `NAMES`, a folder with one sub-folder of images per class, a folder with idx
            files or one of them, or an ``.npz`` file.
        seed: of the split between training and validation. [>= 0]
        validation: share of the training data to validate on, or the path of the validation images.
            (0..0.5]
        test: path of the test images.
        fraction: share of the remaining training data to keep, for proxies. (0..1]
        flip: whether a mirrored image keeps its label; None: yes for colour images and clothes.
        size: edge, or (height, width), to bring the images of a folder to. [pixels]
        memory: for the images at a path; larger data stay in their files and are read batch by batch.
            None is a fifth of the free memory. [GiB]
        skip_broken: whether pictures of a folder that cannot be read are left out.
        kind: ``classification`` or ``regression``; None is classes, or what a table of pictures
            plainly holds.
        target: the column of a table of pictures that is predicted.

    Raises:
        SettingError: for an unknown name, or a setting outside its rule.
        DataError: if the data are not there, or cannot be used as given.
    """
    said = {"validation": validation, "test": test}
    files, validation = files_of(said), share_of(said, 0.1)
    check_settings(seed, validation, fraction, flip)
    size = check_size(size)
    name = _spec(spec)
    scale: float | None = None
    if isinstance(spec, str) and name in NAMES:
        _refuse_size(name, size)
        images = _digits() if name == "digits" else _public(name)
        scale = 16.0 if name == "digits" else None
        if name == "fashion-mnist" and flip is None:
            flip = True
            images = _with_note(
                images,
                "images are mirrored at random, mirrored clothes stay clothes: "
                "--set task.flip=false turns it off",
            )
    else:
        listing = Listing(target, kind)
        images = _at_path(name, spec, size, _room(memory), listing, skip_broken=skip_broken)
        for part, file in files.items():
            images = _with_part(images, part, file, _room(memory), listing, skip_broken=skip_broken)
    return image_task(
        name,
        images.x,
        images.y,
        images.x_test,
        images.y_test,
        x_validation=images.x_validation,
        y_validation=images.y_validation,
        seed=seed,
        validation=validation,
        fraction=fraction,
        flip=flip,
        class_names=images.class_names,
        scale=scale,
        kind=kind or "classification",
        note=images.note,
        reading=images.reading,
        target=images.target,
    )


def _with_part(
    images: Images, part: str, file: str, memory: int, listing: Listing, *, skip_broken: bool
) -> Images:
    """Return images with those at a path as a part, brought to the size of the training images.

    Raises:
        DataError: if they cannot be read, or there are two of this part.
    """
    path = existing(file)
    size = tuple(images.x.shape[1:3]) if path.is_dir() and not is_idx(path) else None
    other = _at_path(file, file, check_size(size), memory, listing, skip_broken=skip_broken)
    if getattr(images, f"x_{part}") is not None:
        raise DataError(f"{file!r}: the data bring their own {part} part: leave --{part} out")
    if other.x_validation is not None or other.x_test is not None:
        raise DataError(f"{file!r} has parts of its own: name the folder or file of one part")
    x, channels = other.x, images.x.shape[-1]
    grey = isinstance(x, np.ndarray) and x.ndim == 4 and x.shape[-1] == 1
    if grey and images.x.ndim == 4 and channels == 3:
        x = np.repeat(x, 3, axis=-1)  # grey pictures beside colour ones
    line = f"{TOLD}{len(other.y):,} images of {file!r} are the {part} part"
    images = _with_note(images, line)
    if part == "validation":
        return replace(images, x_validation=x, y_validation=other.y)
    return replace(images, x_test=x, y_test=other.y)


def _spec(spec: Any) -> str:
    name = os.fspath(spec) if isinstance(spec, str | os.PathLike) else spec
    if not isinstance(name, str):
        raise SettingError(f"task {spec!r} must be a name or a path, as text")
    return name


def _refuse_size(name: str, size: tuple[int, int] | None) -> None:
    if size is not None:
        raise SettingError(
            f"task.size={size} is for folders of images, {name!r} has one size: leave it out"
        )


def _with_note(images: Images, line: str) -> Images:
    return replace(images, note=(*images.note, line))


def _room(memory: float | None) -> int:
    """Return the memory limit for the examples of a task. [bytes]

    Args:
        memory: as set by the user; None is a fifth of the free memory. [GiB]
    """
    if memory is not None:
        return int(memory * 2**30)
    import psutil

    return min(LIMIT, int(_SHARE * psutil.virtual_memory().available))


# ---- paths ---------------------------------------------------------------------------------------


def _at_path(
    name: str,
    spec: str | os.PathLike[str],
    size: tuple[int, int] | None,
    memory: int,
    listing: Listing = Listing(),
    *,
    skip_broken: bool = False,
) -> Images:
    """Return the data at a path; a text that does not look like a path is a misspelt name."""
    try:
        path = existing(spec)
    except DataError:
        if isinstance(spec, str) and not _looks_like_a_path(name):
            raise SettingError(
                f"{unknown('task', name, NAMES)}; or the path of a folder or file"
            ) from None
        raise
    if path.is_dir() and not is_idx(path):
        return _folder(path, size, memory, listing, skip_broken=skip_broken)
    _refuse_size(name, size)
    if listing.target is not None:
        raise SettingError(
            f"--target {listing.target}: {name!r} holds arrays, whose target is y: leave it out"
        )
    if path.suffix.lower() == ".npz":
        return read_npz(path, memory=memory)
    if is_idx(path):
        return read_idx(path, memory=memory)
    raise DataError(
        f"{name!r} is not of a kind that is read: of images give an .npz file, a file named like "
        "train-images-idx3-ubyte, or a folder with one sub-folder of images per class; of tables "
        f"{READ}"
    )


def _folder(
    path: Path, size: tuple[int, int] | None, memory: int, listing: Listing, *, skip_broken: bool
) -> Images:
    """Return the data of a folder: of the CIFAR files in it, of its table, or of its class folders."""
    for each, (train, _, _) in _CIFAR.items():
        if all((path / file).is_file() for file in train):
            _refuse_size(str(path), size)
            return _cifar(each, path)
    entries = sorted(path.iterdir())
    arrays = [entry for entry in entries if entry.suffix.lower() == ".npz"]
    if arrays and not any(entry.is_dir() for entry in entries):
        raise DataError(
            f"{str(path)!r} holds .npz files and no class folders: give the path of one of them, "
            f"such as {str(arrays[0])!r}"
        )
    how: Any = {"memory": memory, "skip_broken": skip_broken}
    named = listed(path)
    classes = bool(named) and listing.target is None and has_classes(named["training"])
    if named and not classes:
        return read_listed(path, size, listing=listing, **how)
    if listing.target is not None:
        raise SettingError(
            f"--target {listing.target}: {str(path)!r} has no {TABLE} that names its pictures, so "
            "its folders are the classes: leave --target out"
        )
    images = read_folder(path, size, **how)
    if classes:
        images = _with_note(
            images, f"its folders are the classes: --target COLUMN learns a column of {TABLE}"
        )
    return images


def _looks_like_a_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.startswith(("~", ".")) or bool(Path(name).suffix)


# ---- names ---------------------------------------------------------------------------------------


def _digits() -> Images:
    """Return scikit-learn's digits; a fixed fifth of every class is the test part."""
    from sklearn.datasets import load_digits  # takes a second, and most tasks do not need it

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8), bunch.target
    rest, chosen = stratified(y, 0.2, 0)
    return Images(x[rest], y[rest], x[chosen], y[chosen])


def _public(name: str) -> Images:
    """Return a public data set from the user's folder of data sets."""
    folder = _data_folder(name)
    if name in _CIFAR:
        return _cifar(name, folder)
    if not is_idx(folder):
        raise DataError(
            f"{str(folder)!r} does not hold the data of {name!r}: put {_wanted(name)} there"
        )
    images = replace(read_idx(_first_of_set(folder, name)), class_names=_CLASSES.get(name))
    if images.x_test is None:
        raise DataError(
            f"{str(folder)!r} has no test files, and {name!r} stands for the original data: "
            f"put {_wanted(name)} there"
        )
    if name.startswith("emnist-") and images.x.ndim == images.x_test.ndim == 3:
        return _with_note(
            replace(
                images,
                x=images.x.swapaxes(1, 2),
                x_test=images.x_test.swapaxes(1, 2),
                reading={"transposed": True},
            ),
            "EMNIST's files hold every image transposed: turned upright",
        )
    return images


def _data_folder(name: str) -> Path:
    """Return the user's own folder of a public set, else the one of the cache."""
    if root := os.environ.get(OWN):
        for each in (name, name.replace("-", "_")):
            folder = Path(root).expanduser() / each
            if folder.is_dir():
                return existing(folder)
    return fetch(name, _wanted(name))


def _wanted(name: str) -> str:
    """Return the files of a public data set, in words."""
    if name in _CIFAR:
        train, tests, _ = _CIFAR[name]
        span = f"{train[0]} to {train[-1]}" if len(train) > 1 else train[0]
        return f"the files {span} and {tests[0]} of its binary version"
    front = f"{name}-" if name.startswith("emnist-") else ""
    test = "test" if front else "t10k"
    return (
        f"the files {front}train-images-idx3-ubyte.gz, {front}train-labels-idx1-ubyte.gz and the "
        f"same two with {test}- for train-"
    )


def _first_of_set(folder: Path, name: str) -> Path:
    """Return one file of the set: a folder may hold all sets of EMNIST."""
    own = [file for file in sorted(folder.iterdir()) if file.name.startswith(f"{name}-")]
    return next((file for file in own if is_idx(file)), folder)


def _cifar(name: str, folder: Path) -> Images:
    """Return CIFAR from its binary version, complete or not at all."""
    train, test, _ = _CIFAR[name]
    inner = folder / ("cifar-10-batches-bin" if name == "cifar10" else "cifar-100-binary")
    place = inner if inner.is_dir() else folder
    missing = [file for file in (*train, *test) if not (place / file).is_file()]
    if missing:
        copies = sorted(str(file) for file in folder.glob("*.npz"))
        hint = f"; another copy is used by its path: {', '.join(copies)}" if copies else ""
        raise DataError(
            f"{str(place)!r} has no {missing[0]}: the name {name!r} stands for the complete original "
            f"data: put {_wanted(name)} there{hint}"
        )
    x, y = _records(name, [place / file for file in train], _CIFAR_IMAGES[0])
    x_test, y_test = _records(name, [place / file for file in test], _CIFAR_IMAGES[1])
    return Images(
        x,
        y,
        x_test,
        y_test,
        class_names=_CLASSES.get(name) or _fine_names(place),
        reading={"record": _CIFAR[name][2]},
    )


def _records(name: str, files: Iterable[Path], images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images [N, 32, 32, 3] and labels [N] of CIFAR's binary files."""
    label = _CIFAR[name][2]
    files = list(files)
    wanted = images * (label + _CIFAR_PIXELS) // len(files)
    blocks = []
    for file in files:
        try:
            if file.stat().st_size != wanted:
                raise DataError(
                    f"{str(file)!r} has {file.stat().st_size} bytes, the original has {wanted}: "
                    "fetch it again"
                )
            blocks.append(np.frombuffer(file.read_bytes(), np.uint8))
        except OSError as error:
            raise DataError(f"{str(file)!r} cannot be read: {error.strerror}") from error
    rows = np.concatenate(blocks).reshape(-1, label + _CIFAR_PIXELS)
    x = rows[:, label:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), rows[:, label - 1].copy()


def _fine_names(folder: Path) -> tuple[str, ...] | None:
    """Return the names that come with CIFAR-100, if they are there."""
    try:
        lines = (folder / "fine_label_names.txt").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None  # the labels' numbers do as well
    return tuple(lines)
