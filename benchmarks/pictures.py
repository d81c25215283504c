"""Pictures as people have them: large, of any size, turned by a camera, cut out. Drawn, not taken.

Every picture shows one shape on a ground with a colour gradient, blotches and noise. Classes differ
in ways that a wrong reading destroys: an arch that is not turned by its EXIF orientation is a bowl,
upright stripes lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("arch", "bowl", "cross", "disc", "lying", "ring", "square", "upright")
EDGES = (200, 360)  # of a picture [pixels]
BLOTCHES, NOISE = 6, 14.0  # of a ground [count], [grey levels]
CUT_OUT = 0.25  # share of pictures on a transparent ground, as PNG
TURNED = 0.5  # share of the others that their orientation turns
ORIENTATION = 0x0112  # the tag of EXIF
#: orientation -> how its pixels are stored: the reader undoes it
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
#: shape -> whether a point is on it, in units of its size, from (-1, -1) at the upper left
ON: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "arch": lambda x, y: (np.hypot(x, y) < 1) & (y < 0.1),
    "bowl": lambda x, y: (np.hypot(x, y) < 1) & (y > -0.1),
    "cross": lambda x, y: np.minimum(abs(x), abs(y)) < 0.28,
    "disc": lambda x, y: np.hypot(x, y) < 1,
    "lying": lambda x, y: (y * 2.5) % 1 < 0.5,
    "ring": lambda x, y: abs(np.hypot(x, y) - 0.75) < 0.25,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.85,
    "upright": lambda x, y: (x * 2.5) % 1 < 0.5,
}


def write_photographs(folder: Path, sizes: Mapping[str, int], *, seed: int = 0) -> None:
    """Write pictures into ``folder/PART/SHAPE/``, of every shape as many, or one more.

    Args:
        folder: where to.
        sizes: part (``train``, ``test``) -> pictures. [count]
        seed: equal seeds draw equal pictures.
    """
    for number, (part, count) in enumerate(sizes.items()):
        for index in range(count):
            rng = np.random.default_rng([seed, number, index])
            shape = SHAPES[index % len(SHAPES)]
            place = folder / part / shape
            place.mkdir(parents=True, exist_ok=True)
            write(place / f"{index:05}", shape, rng)


def write(path: Path, shape: str, rng: np.random.Generator) -> None:
    """Write a picture of a shape, with the ending of its format."""
    pixels, mask = drawn(shape, rng)
    if rng.random() < CUT_OUT:
        alpha = np.where(mask, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([pixels, alpha])).save(path.with_suffix(".png"))
        return
    orientation = int(rng.choice(list(STORED))) if rng.random() < TURNED else None
    photograph(path.with_suffix(".jpg"), pixels, orientation)


def photograph(file: Path, pixels: np.ndarray, orientation: int | None) -> None:
    """Write a picture [H, W, 3] as a camera does that is held like this; None is upright."""
    image, exif = Image.fromarray(pixels), Image.Exif()
    if orientation is not None:
        image = image.transpose(STORED[orientation])
        exif[ORIENTATION] = orientation
    image.save(file, quality=85, exif=exif)


def drawn(shape: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture [H, W, 3] uint8 that is never square, and where its shape is [H, W]."""
    height, width = sized(rng)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    size = min(height, width) * rng.uniform(0.2, 0.42)
    y = (rows - rng.uniform(size, height - size)) / size
    x = (columns - rng.uniform(size, width - size)) / size
    angle = rng.normal(0, 0.12)  # [radians]
    x, y = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    mask = ON[shape](x, y) & (np.maximum(abs(x), abs(y)) < 1)
    behind = ground(rows / height, columns / width, rng)
    colour = behind.mean(axis=(0, 1)) + contrast(rng)
    pixels = np.where(mask[..., None], colour, behind) + rng.normal(0, NOISE, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8), mask


def sized(rng: np.random.Generator) -> tuple[int, int]:
    """Return height and width, which differ by a sixth at least. [pixels]"""
    while True:
        height, width = map(int, rng.integers(EDGES[0], EDGES[1] + 1, 2))
        if max(height, width) * 6 >= min(height, width) * 7:
            return height, width


def ground(rows: np.ndarray, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a ground [H, W, 3]: a gradient between two colours, with soft blotches.

    Args:
        rows: place of every pixel. [H, W], 0 to 1
        columns: the same from left to right.
        rng: of the colours and the places.
    """
    first, last = rng.uniform(60, 195, (2, 3))
    found = first + (last - first) * (rows if rng.random() < 0.5 else columns)[..., None]
    for _ in range(BLOTCHES):
        row, column, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.25)
        soft = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
        found = found + soft[..., None] * rng.uniform(-45, 45, 3)
    return np.asarray(found)


def contrast(rng: np.random.Generator) -> np.ndarray:
    """Return the difference of a shape's colour from its ground [3], now small, now large."""
    way = rng.normal(size=3)
    return way / np.linalg.norm(way) * rng.uniform(30, 110)
