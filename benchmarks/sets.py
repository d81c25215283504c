"""Data sets of images for benchmarks, made from public ones or drawn: MultNIST, tiles, photographs.

    python -m benchmarks.sets [NAME ...] [--out runs/sets] [--seed 0]

multnist     three MNIST digits are the channels of a 28 x 28 image; its class is the last digit of
             their product. A mirrored digit is none, so tasks want ``task.flip=false``.
tiles        four photographs in a grid of 2 x 2, 64 x 64 pixels; the class is the number of different
             objects among them, less one.
photographs  a folder of pictures of 200 to 360 pixels, none square, JPEG and PNG, many of them turned
             by their EXIF orientation, many on a transparent ground; the class is the shape on it.

The first two are the ideas of two sets of the "Unseen Data" challenges (Geada et al. 2024,
2404.02189), made anew: images differ from the published ones. Classes are drawn evenly. Training,
validation and test images are put together from three different parts of the source, so that no
digit or photograph stands on two sides. Equal seeds make equal sets. Sources are looked for in the
folder of ``EVOLVENT_DATA``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.pictures import write_photographs

from evolvent.errors import DataError
from evolvent.task.arrays import read_idx, read_npz

JPEGS = "cifar10/cifar10_jpeg75_20k_4k.npz"  # of 20,000 + 4,000 photographs, below EVOLVENT_DATA
DIGITS, CHANNELS = 10, 3
TILES = 4  # of an image
#: part of a set -> images, unless said otherwise
MULTNIST = {"train": 45_000, "val": 5_000, "test": 10_000}
TILED = {"train": 20_000, "val": 2_000, "test": 4_000}
PICTURES = {"train": 1_200, "test": 400}
LATER = {"mnist": 10_000, "jpegs": 2_000}  # last training images of a source: for validation alone

Part = tuple[np.ndarray, np.ndarray]  # images [N, H, W(, C)] uint8, labels [N]


def root() -> Path:
    """Return the folder of the sources.

    Raises:
        DataError: if the environment variable ``EVOLVENT_DATA`` names none.
    """
    folder = Path(os.environ.get("EVOLVENT_DATA", ""))
    if not os.environ.get("EVOLVENT_DATA") or not folder.is_dir():
        raise DataError(
            f"EVOLVENT_DATA={str(folder)!r} is no folder: let it name the one that holds mnist/ and "
            f"{JPEGS}"
        )
    return folder


# ---- MultNIST ------------------------------------------------------------------------------------


def multnist(
    parts: Mapping[str, Part], sizes: Mapping[str, int], *, seed: int = 0
) -> dict[str, Any]:
    """Return the arrays of MultNIST.

    Args:
        parts: ``train``, ``val`` and ``test`` -> digits [N, H, W] and their labels 0 to 9 [N], at
            least one of each label.
        sizes: the same names -> images to make. [count]
        seed: of the drawing.

    Returns:
        ``x_train`` [N, H, W, 3] uint8, ``y_train`` [N], and the same of ``val`` and ``test``.
    """
    triples = np.array(list(itertools.product(range(DIGITS), repeat=CHANNELS)))
    classes = triples.prod(axis=1) % DIGITS
    found: dict[str, Any] = {}
    for number, (name, count) in enumerate(sizes.items()):
        rng = np.random.default_rng([seed, number])
        y = evenly(count, DIGITS, rng)
        wanted = triples[drawn_of(classes, y, rng)]  # labels of the three digits [N, 3]
        images, labels = parts[name]
        chosen = drawn_of(labels, wanted.ravel(), rng).reshape(wanted.shape)
        found |= {f"x_{name}": np.stack([images[each] for each in chosen.T], axis=-1)}
        found |= {f"y_{name}": y}
    return found


# ---- tiles ---------------------------------------------------------------------------------------


def tiles(
    parts: Mapping[str, Part], sizes: Mapping[str, int], *, objects: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Return the arrays of tiles: class k has k + 1 different objects.

    Args:
        parts: ``train``, ``val`` and ``test`` -> photographs [N, H, W, 3] and their labels [N], at
            least one of each label.
        sizes: the same names -> images to make. [count]
        objects: different labels of the photographs, at least 4. [count]
        seed: of the drawing.

    Returns:
        ``x_train`` [N, 2 H, 2 W, 3] uint8, ``y_train`` [N], and the same of ``val`` and ``test``.
    """
    patterns = np.array(list(itertools.product(range(TILES), repeat=TILES)))
    different = np.array(
        [len(set(row)) if max(row) < len(set(row)) else 0 for row in patterns.tolist()]
    )
    found: dict[str, Any] = {}
    for number, (name, count) in enumerate(sizes.items()):
        rng = np.random.default_rng([seed, number])
        y = evenly(count, TILES, rng)
        shuffled = rng.permuted(np.tile(np.arange(objects), (count, 1)), axis=1)
        pattern = patterns[drawn_of(different, y + 1, rng)]  # which of the objects is on which tile
        wanted = np.take_along_axis(shuffled, pattern, axis=1)
        images, labels = parts[name]
        chosen = drawn_of(labels, wanted.ravel(), rng).reshape(wanted.shape)
        upper, lower = (
            np.concatenate([images[chosen[:, at]], images[chosen[:, at + 1]]], axis=2)
            for at in (0, 2)
        )
        found |= {f"x_{name}": np.concatenate([upper, lower], axis=1), f"y_{name}": y}
    return found


# ---- drawing -------------------------------------------------------------------------------------


def evenly(count: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels [count] in a random order, of every class as many, or one more."""
    return rng.permutation(np.arange(count) % classes).astype(np.int64)


def drawn_of(labels: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each wanted label [N] the place of a random entry of `labels` that has it.

    Raises:
        DataError: for a wanted label that no entry has.
    """
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    first, last = (np.searchsorted(ordered, wanted, side=side) for side in ("left", "right"))
    if (missing := wanted[first == last]).size:
        raise DataError(f"no example of the source has the label {missing[0]}: take more of them")
    return order[rng.integers(first, last)]


def cut(images: np.ndarray, labels: np.ndarray, later: int) -> dict[str, Part]:
    """Return the training part and the validation part, the last `later` examples, of a source."""
    if not 0 < later < len(labels):
        raise DataError(f"{later} of {len(labels)} examples cannot be kept for validation")
    front, back = slice(None, -later), slice(-later, None)
    return {"train": (images[front], labels[front]), "val": (images[back], labels[back])}


# ---- files ---------------------------------------------------------------------------------------


def mnist_parts() -> dict[str, Part]:
    """Return the parts of MNIST: of its training images the last 10,000 for validation."""
    read: Any = read_idx(root() / "mnist")
    return cut(read.x, read.y, LATER["mnist"]) | {"test": (read.x_test, read.y_test)}


def jpeg_parts() -> dict[str, Part]:
    """Return the parts of the JPEG photographs: of the training ones 200 a class for validation."""
    read: Any = read_npz(root() / JPEGS)
    y = np.asarray(read.y).astype(np.int64)
    order = np.argsort(
        rank_in_class(y), kind="stable"
    )  # so that the end has as many of every class
    test = (read.x_test, np.asarray(read.y_test).astype(np.int64))
    return cut(read.x[order], y[order], LATER["jpegs"]) | {"test": test}


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """Return for each example [N] how many of its class stand before it."""
    ranks = np.empty(len(labels), np.int64)
    for each in np.unique(labels):
        places = np.flatnonzero(labels == each)
        ranks[places] = np.arange(len(places))
    return ranks


def write_multnist(path: Path, seed: int) -> None:
    np.savez(path, **multnist(mnist_parts(), MULTNIST, seed=seed))


def write_tiles(path: Path, seed: int) -> None:
    np.savez(path, **tiles(jpeg_parts(), TILED, seed=seed))


def write_pictures(path: Path, seed: int) -> None:
    write_photographs(path, PICTURES, seed=seed)


#: name -> its file or folder, and what writes it there
MADE: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "multnist": ("multnist.npz", write_multnist),
    "tiles": ("tiles.npz", write_tiles),
    "photographs": ("photographs", write_pictures),
}


def made(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Return the path of a set of `MADE`, made now if it is not there, whole or not at all."""
    file, write = MADE[name]
    path = folder / (file if seed == 0 else f"{seed}-{file}")
    if not path.exists():
        part = path.with_name(f"part-{os.getpid()}-{path.name}")
        folder.mkdir(parents=True, exist_ok=True)
        write(part, seed)
        part.rename(path)
    return path


def described(path: Path) -> str:
    """Return the sizes of a set in one line, with a digest by which two copies are compared."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        digest = hashlib.sha256()
        for file in files:
            digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
        counts = {part.name: sum(part in file.parents for file in files) for part in path.iterdir()}
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
        return f"{path}: {told} pictures, {size_of(files)}, sha256 {digest.hexdigest()[:12]}"
    with np.load(path, allow_pickle=False) as arrays:
        digest, lines = hashlib.sha256(), []
        for name in arrays.files:
            array = arrays[name]
            digest.update(np.ascontiguousarray(array).tobytes())
            if name.startswith("x_"):
                lines.append(f"{len(array):,} {name[2:]}")
                shape = "x".join(map(str, array.shape[1:]))
    told = ", ".join(lines)
    return f"{path}: {told} images {shape}, {size_of([path])}, sha256 {digest.hexdigest()[:12]}"


def size_of(files: list[Path]) -> str:
    """Return the size of files in words."""
    return f"{sum(file.stat().st_size for file in files) / 2**20:,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make data sets of images for benchmarks.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MADE)}; all of them"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/sets"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if unknown := set(given.names) - MADE.keys():
        parser.error(f"{sorted(unknown)[0]!r} is none of {', '.join(MADE)}")
    for name in given.names or MADE:
        print(described(made(name, given.out, seed=given.seed)), flush=True)


if __name__ == "__main__":
    main()
