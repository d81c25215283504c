"""The reader of pictures in folders, one folder per class.

Pillow reads every common format; `read_folder` states the rules by which all pictures become one
array. Sizes and colours are read from the headers first, so that memory is allocated once.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, SettingError
from .files import LIMIT, check_memory, existing, reading, some, why
from .images import Images
from .rows import Rows, taken

if TYPE_CHECKING:
    from PIL import Image

_MAX_PIXELS = 2**30 // 12  # per picture, as in Pillow: a gigabyte of four-byte colours
_AT_ONCE = 512  # pictures decoded at a time when all of them are checked
_MAX_EDGE = 64  # unless a size is given [pixels]
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_EXTENSIONS = frozenset(
    [".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"]
    + [".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"]
)
_GREY_MODES = frozenset(["1", "L", "LA", "La", "I"])
_ORIENTATION = 0x0112  # the tag of EXIF; 5 to 8 swap height and width
PARTS = {
    "train": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
SUFFIXES = {"training": "", "validation": "_validation", "test": "_test"}  # of `Images`' fields


def read_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    *,
    limit: int = LIMIT,
    memory: int | None = None,
    skip_broken: bool = False,
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
        limit: how much all images together may take in memory. [bytes]
        memory: above this size pictures are decoded whenever they are needed; None: never. [bytes]
        skip_broken: whether pictures that cannot be read are left out, and counted in a note.

    Raises:
        SettingError: if `size` is not one or two numbers from 1 to 4096.
        DataError: if there is no class folder, or pictures cannot be read: all of them are named.
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
        raise DataError(f"{str(root)!r} cannot be read ({why(error)})") from error
    how: Any = {"limit": limit, "memory": memory, "skip_broken": skip_broken}
    images = in_rows(root, found, target, notes, **how)
    for part, pictures in found.items():
        left = set(getattr(images, f"y{SUFFIXES[part]}").tolist())
        if gone := sorted({label for _, label in pictures} - left):
            raise DataError(
                f"no image of {some(gone)} can be read: repair some, or remove the folder of the class"
            )
    return images


Found = dict[str, list[tuple[Path, Any]]]  # part -> pictures, each with its label or quantity


def in_rows(
    root: Path,
    found: Found,
    target: tuple[int, int] | None,
    notes: list[str],
    *,
    limit: int,
    memory: int | None,
    skip_broken: bool,
) -> Images:
    """Return pictures of all parts as arrays of one size; `read_folder` states the rules.

    Args:
        root: the folder, for messages.
        found: the pictures.
        target: (height, width) of all; None is found from them. [pixels]
        notes: what a user should know.
        limit: see `read_folder`.
        memory: see there.
        skip_broken: see there.

    Raises:
        DataError: if a picture cannot be read.
    """
    more: list[str] = []
    x, broken = _read(_files(found), target, root, limit, memory, more)
    if broken and not skip_broken:
        raise _unreadable(root, broken, len(_files(found)))
    if broken:
        notes.append(_left_out(broken, len(_files(found))))
        found = {
            part: [pair for pair in pictures if pair[0] not in broken]
            for part, pictures in found.items()
        }
        # what is left is read as if the others had never been there
        more = []
        x, broken = _read(_files(found), target, root, limit, memory, more)
        if broken:
            raise _unreadable(root, broken, len(_files(found)))
    arrays: dict[str, Any] = {}
    start = 0
    for part, pictures in found.items():
        rows = np.arange(start, start := start + len(pictures))
        arrays[f"x{SUFFIXES[part]}"] = taken(x, rows)
        arrays[f"y{SUFFIXES[part]}"] = np.array([label for _, label in pictures])
    return Images(**arrays, note=(*notes, *more))


def _files(found: Found) -> list[Path]:
    """Return the pictures of all parts, one part after the other."""
    return [file for pictures in found.values() for file, _ in pictures]


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


# ---- the files -----------------------------------------------------------------------------------


def _part_folders(root: Path, notes: list[str]) -> dict[str, Path]:
    """Return part -> the folder that holds its class folders."""
    folders = {folder.name.lower(): folder for folder in folders_in(root, root, notes)}
    parts = {name: folder for name, folder in folders.items() if name in PARTS}
    nested = "train" in parts and bool(folders_in(parts["train"], root, []))
    if not nested and (not folders or len(parts) < len(folders)):
        return {"training": root}
    if not nested:
        raise DataError(
            f"{str(root)!r} holds {some(sorted(parts))} but no train/ with one folder per class: "
            "put the class folders into train/"
        )
    others = sorted(set(folders) - set(parts))
    if others:
        raise DataError(
            f"{str(root)!r}: train/ holds class folders, so {some(others)} beside it is neither a "
            "part (train, val, test) nor a class: move it away"
        )
    return by_part(root, parts)


def by_part(root: Path, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return part -> folder, the training part first, of folders by their names in `PARTS`.

    Raises:
        DataError: for two folders of one part.
    """
    chosen = {PARTS[name]: folder for name, folder in folders.items()}
    if len(chosen) < len(folders):
        raise DataError(f"{str(root)!r} has two validation folders ({some(sorted(folders))})")
    return {part: chosen[part] for part in SUFFIXES if part in chosen}


def folders_in(folder: Path, root: Path, notes: list[str]) -> list[Path]:
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
    loose = sum(is_picture(entry) and not _hidden(entry.name) for entry in folder.iterdir())
    links: list[str] = []
    classes = folders_in(folder, root, links)
    if folder != root:
        notes += links  # those of the root itself are noted already
    if not classes:
        extra = f"it holds {loose} images" if loose else "it is empty of images"
        extra += "; links that leave the folder are not followed" if links else ""
        raise DataError(
            f"{str(folder)!r} has no sub-folder ({extra}): put the images of every class into a "
            "folder of its own"
        )
    if loose:
        notes.append(f"{loose} images beside the class folders of {folder.name!r} are not read")
    files = [(file, _utf8(group)) for group in classes for file in walk(group)]
    pictures = [(file, label) for file, label in files if is_picture(file)]
    filled = {label for _, label in pictures}
    for group in classes:
        if part == "training" and group.name not in filled:
            raise DataError(
                f"{str(group)!r} holds no image ({', '.join(sorted(_EXTENSIONS))}): "
                "add some or remove the folder"
            )
    if not pictures:
        raise DataError(f"{str(folder)!r} holds no images: add some or remove the folder")
    if strange := len(files) - len(pictures):
        notes.append(f"{strange} files of {folder.name!r} are not images by name: not read")
    return pictures


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file below, in one order on every file system, without hidden ones."""

    def stop(error: OSError) -> None:
        raise error  # os.walk would leave the folder out in silence

    for where, inner, files in os.walk(folder, onerror=stop):
        inner[:] = sorted(name for name in inner if not _hidden(name))
        yield from (Path(where, name) for name in sorted(files) if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_picture(file: Path) -> bool:
    """Whether a file is a picture by its name."""
    return file.suffix.lower() in _EXTENSIONS


def _utf8(folder: Path) -> str:
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the folder name {str(folder)!r} is not UTF-8: rename it") from error
    return folder.name


# ---- pictures that cannot be read ----------------------------------------------------------------

Broken = dict[Path, str]  # file -> why it cannot be read


@contextmanager
def _noting(file: Path, broken: Broken) -> Iterator[None]:
    """Note in `broken` that a picture cannot be read, instead of stopping at it."""
    try:
        yield
    except DataError as error:
        broken[file] = why(error.__cause__ or error)


def _unreadable(root: Path, broken: Broken, count: int) -> DataError:
    """Return the error that names all pictures that cannot be read, of so many."""
    if len(broken) == 1:
        [(file, reason)] = broken.items()
        return DataError(
            f"{str(file)!r} is not a readable image ({reason}): repair it or remove it, or go on "
            "without it by --skip-broken"
        )
    named = sorted((str(file.relative_to(root)), reason) for file, reason in broken.items())
    listed = ", ".join(f"{name!r} ({reason})" for name, reason in named)
    return DataError(
        f"{str(root)!r}: {len(broken)} of {count} images cannot be read; repair or remove them, or go "
        f"on without them by --skip-broken: {listed}"
    )


def _left_out(broken: Broken, count: int) -> str:
    names = some(sorted(file.name for file in broken))
    return f"{len(broken)} of {count} images cannot be read and are left out: {names}"


# ---- the pictures --------------------------------------------------------------------------------


def _read(
    files: list[Path],
    target: tuple[int, int] | None,
    root: Path,
    limit: int,
    memory: int | None,
    notes: list[str],
) -> tuple[Any, Broken]:
    """Return all pictures, and those that cannot be read, whose rows mean nothing."""
    broken: Broken = {}
    target, grey = _survey(files, target, root, notes, broken)
    size_in_memory = len(files) * target[0] * target[1] * (1 if grey else 3)
    if memory is not None and size_in_memory > memory:
        return _decode_later(files, target, grey, notes, broken), broken
    check_memory(root, size_in_memory, limit)
    return _decode_all(files, target, grey, notes, broken), broken


def _survey(
    files: list[Path],
    target: tuple[int, int] | None,
    root: Path,
    notes: list[str],
    broken: Broken,
) -> tuple[tuple[int, int], bool]:
    """Return (height, width) to use and whether all pictures are grey, from their headers alone."""
    sizes, grey = [], True
    for file in files:
        with _noting(file, broken), _picture(file) as image:
            sizes.append(_upright(image))
            grey = grey and (image.mode in _GREY_MODES or image.mode.startswith("I;16"))
    if not sizes:
        raise _unreadable(root, broken, len(files))
    target = target or _usual(sizes)
    changed = sum(each != target for each in sizes)
    if changed:
        notes.append(
            f"{changed} of {len(files)} images were stretched to {target[0]} x {target[1]} pixels "
            "(height x width): --set task.size=N for another edge"
        )
    return target, grey


def _upright(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) of a picture after its EXIF orientation is applied."""
    width, height = image.size
    # A TIFF is turned by Pillow itself. Asking a PNG for its EXIF would decode it.
    exif = "exif" in image.info and image.format != "TIFF"
    turned = exif and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _usual(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the size that all pictures have, or their median, at most `_MAX_EDGE`."""
    median = [float(edge) for edge in np.median(np.array(sizes), axis=0)]
    shrink = min(1.0, _MAX_EDGE / max(median))
    return max(1, round(median[0] * shrink)), max(1, round(median[1] * shrink))


def _decode_all(
    files: list[Path], target: tuple[int, int], grey: bool, notes: list[str], broken: Broken
) -> np.ndarray:
    """Return all pictures [N, H, W, C], with one channel if all of them are grey."""
    seen: Counter[str] = Counter()
    x = Pictures(tuple(files), target, grey).told(np.arange(len(files)), seen, broken)
    _tell(seen, notes)
    if not grey and (x == x[..., :1]).all():  # grey pictures that were stored as colour ones
        x = np.ascontiguousarray(x[..., :1])
    return x


@dataclass(frozen=True)
class Pictures:
    """Pictures that are decoded whenever they are read: a source of `Rows`."""

    files: tuple[Path, ...]
    target: tuple[int, int]
    grey: bool
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, H, W, C]"""
        return (len(self.files), *self.target, 1 if self.grey else 3)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return some pictures [B, H, W, C]."""
        return self.told(index, Counter())

    def told(
        self, index: np.ndarray, seen: Counter[str], broken: Broken | None = None
    ) -> np.ndarray:
        """Return some pictures [B, H, W, C]; count in `seen` those that were converted.

        Args:
            index: of the pictures [B].
            seen: kind of conversion -> pictures.
            broken: takes those that cannot be read, whose rows stay black; None raises.
        """
        x = np.zeros((len(index), *self.shape[1:]), np.uint8)
        for row, each in zip(x, index.tolist(), strict=True):
            file = self.files[each]
            if broken is not None and file in broken:
                continue
            with (
                nullcontext() if broken is None else _noting(file, broken),
                _picture(file) as image,
            ):
                row[...] = _decode(image, self.target, self.grey, seen).reshape(row.shape)
        return x


def _decode_later(
    files: list[Path], target: tuple[int, int], grey: bool, notes: list[str], broken: Broken
) -> Rows:
    """Return the pictures as rows, after decoding each of them once as a check."""
    source, seen, colourless = Pictures(tuple(files), target, grey), Counter[str](), True
    for start in range(0, len(files), _AT_ONCE):
        x = source.told(np.arange(start, min(start + _AT_ONCE, len(files))), seen, broken)
        colourless = colourless and bool((x == x[..., :1]).all())
    _tell(seen, notes)
    rows = Rows.of(replace(source, grey=grey or colourless))
    notes.append(
        f"{rows.nbytes / 2**30:,.2f} GiB of images are decoded batch by batch, again and again"
    )
    return rows


def _tell(seen: Counter[str], notes: list[str]) -> None:
    """Add notes about pictures that were converted."""
    if seen["transparent"]:
        notes.append(f"{seen['transparent']} images with transparency were laid over white")
    if seen["deep"]:
        notes.append(
            f"of {seen['deep']} images with 16 bits the upper 8 are kept: use an .npz for more"
        )


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
    """Open one picture; every error within the block names the file."""
    from PIL import Image

    # Given a path, Pillow (11 to 13 at least) maps the file and garbles turned TIFFs.
    with (
        reading(file, "image", "repair it or remove it", Image.DecompressionBombError),
        warnings.catch_warnings(action="ignore"),  # of small damage, which Pillow can repair
        file.open("rb") as stream,
        Image.open(stream, formats=_FORMATS) as image,
    ):
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError(f"more than {_MAX_PIXELS:,} pixels")
        yield image
