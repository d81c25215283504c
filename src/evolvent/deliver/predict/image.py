"""Classify images with the network of this folder, or tell their quantity.

    python predict.py FILE...           one line per image: which, its class, the probability; or which,
                                        its quantity
    python predict.py --json FILE...    one JSON object per image, with the probability of every class

A FILE is a picture (PNG; every common format where Pillow is installed), an array (``.npy``, or
``.npz`` with ``x_test`` or ``x``; [H, W, C], or [N, H, W, C] for many), or a file of MNIST's or CIFAR's
form. ``reading.json`` says how it becomes an input. Needs torch and numpy.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...task.portable.errors import Unreadable
from .answers import of_quantities
from .network import how_to_read, outputs, remark, run, softmax

# ---- from images to classes ----------------------------------------------------------------------

ARRAYS = ("x_test", "x", "x_val", "x_train")  # of an .npz, the first that is there
IDX = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
DAMAGED = (OSError, EOFError, ValueError, KeyError, struct.error, zlib.error, zipfile.BadZipFile)
MOST_PIXELS = 2**30 // 12
COLOURED = (
    "RGB",
    "RGBA",
    "P",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
)  # modes of Pillow that may have colour
GREY = 32  # between the channels of a grey picture, at most
PNG = b"\x89PNG\r\n\x1a\n"


def main() -> None:
    """Print one line per image of the files that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a picture, .npy, .npz or idx file"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per image")
    parser.add_argument(
        "--strict", action="store_true", help="a picture of another kind is an error"
    )
    said = parser.parse_args()

    def predict() -> None:
        reading = how_to_read() | {"strict": said.strict}
        for name in said.files:
            report(name, images_of(Path(name), reading), reading, said.json)

    run(predict)


def report(name: str, images: np.ndarray, reading: dict[str, Any], as_json: bool) -> None:
    """Print the class or the quantity of every image [N, H, W, C] of one file."""
    told = classes_of(images, reading) if "classes" in reading else quantities_of(images, reading)
    for index, (values, cells) in enumerate(told):
        which = name if len(images) == 1 else f"{name}[{index}]"
        print(json.dumps({"example": which} | values) if as_json else "\t".join([which, *cells]))


def classes_of(
    images: np.ndarray, reading: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the JSON of every image, and its class and the probability of it as text."""
    classes = reading["classes"]
    for chances in probabilities(images):
        best = int(chances.argmax())
        known = dict(zip(classes, chances.tolist(), strict=True))
        told = {"class": classes[best], "probabilities": known}
        yield told, [classes[best], f"{chances[best]:.4f}"]


def quantities_of(
    images: np.ndarray, reading: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the JSON of every image, and its quantity as text."""
    for y in outputs(images):
        for answer in of_quantities(y, reading):
            yield answer.values, answer.cells


def probabilities(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the probability of every class [classes] for raw images [N, H, W, C]."""
    for y in outputs(images):
        yield from softmax(y)


# ---- files ---------------------------------------------------------------------------------------


def images_of(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the raw images of a file [N, H, W, C], as the network learnt from such."""
    try:
        images = read(file, reading)
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or repr(error)
        raise Unreadable(f"{str(file)!r} cannot be read: {reason}") from error
    if images.dtype.kind not in "biuf":
        raise Unreadable(f"{str(file)!r} holds {images.dtype}: numbers are needed")
    images = shaped(file, images, reading["shape"])
    if images.dtype.kind == "f" and reading["scale"] == 255 and images.max(initial=0) <= 1:
        raise Unreadable(
            f"{str(file)!r} holds values from 0 to 1, the network learnt from 0 to 255: "
            "multiply by 255"
        )
    if not np.isfinite(images.min(initial=0) + images.max(initial=0)):
        raise Unreadable(f"{str(file)!r} holds NaN or infinity")
    return images if images.dtype == np.uint8 else images.astype(np.float32)


def read(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the array of a file as it stands there, or a picture as it is prepared [1, H, W, C]."""
    with file.open("rb") as stream:
        head = stream.read(8)
    name = file.name.lower().removesuffix(".gz")
    if head[:4] == b"PK\x03\x04" and name.endswith(".npz"):
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            known = [key for key in ARRAYS if key in archive] or archive.files
            if len(known) > 1 and known[0] not in ARRAYS:
                raise Unreadable(f"{str(file)!r} has no array x_test or x, but {known[:9]}")
            found: np.ndarray = archive[known[0]]
            return found
    if head[:6] == b"\x93NUMPY":
        array: np.ndarray = np.load(file, allow_pickle=False)
        return array
    if name.endswith("-ubyte"):
        return read_idx(file, reading)
    if name.endswith(".bin") and reading.get("record") is not None:
        rows = np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, reading["record"] + 3072)
        return rows[:, reading["record"] :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    if reading["scale"] != 255:
        raise Unreadable(
            f"{str(file)!r} is no .npy or .npz file, and the network learnt from arrays of other "
            "values than the bytes of pictures"
        )
    return picture(file, reading)[None]


def read_idx(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return the array of an idx file, plain or gzipped."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        zero, kind, rank = struct.unpack(">HBB", stream.read(4))
        if zero or kind not in IDX or rank not in (3, 4):
            raise ValueError("it is no idx file of images")
        shape = struct.unpack(f">{rank}I", stream.read(4 * rank))
        size = math.prod(shape) * np.dtype(IDX[kind]).itemsize
        data = stream.read(min(size, 2**34) + 1)
    if len(data) != size:
        raise ValueError(f"it declares {size} bytes of images and holds others")
    images = np.frombuffer(data, IDX[kind]).reshape(shape)
    images = images.astype(images.dtype.newbyteorder("="))
    return images.swapaxes(1, 2) if reading.get("transposed") else images


def shaped(file: Path, images: np.ndarray, shape: list[int]) -> np.ndarray:
    """Return images as [N, H, W, C], refusing another size than the network's."""
    channels, height, width = shape
    forms: list[tuple[int, ...]] = [(height, width, channels), (channels, height, width)]
    forms += [(height, width)] if channels == 1 else []
    for form in forms:
        for given in (images.shape, images.shape[1:]):
            if given == form:
                many = images.reshape(-1, *form)
                if form == forms[0]:
                    return many
                return many[..., None] if len(form) == 2 else np.moveaxis(many, 1, 3)
    raise Unreadable(
        f"{str(file)!r} has the shape {images.shape}: the network takes images of {height} x {width} "
        f"pixels and {channels} channels"
    )


# ---- pictures ------------------------------------------------------------------------------------


def picture(file: Path, reading: dict[str, Any]) -> np.ndarray:
    """Return a picture [H, W, C], turned, coloured and stretched as for the training."""
    channels, height, width = reading["shape"]
    if channels not in (1, 3):
        raise Unreadable(f"{str(file)!r}: pictures do not have the network's {channels} channels")
    try:
        from PIL import Image
    except ImportError:
        if channels == 1 and (data := file.read_bytes()).startswith(PNG):
            tell_colour(file, read_png(data), reading)
        return picture_by_hand(file, channels, height, width)
    try:
        with file.open("rb") as stream, Image.open(stream) as image:
            if channels == 1 and image.mode in COLOURED:
                tell_colour(file, np.asarray(image.convert("RGB")), reading)
            return prepared(image, channels, height, width)
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error


def prepared(image: Any, channels: int, height: int, width: int) -> np.ndarray:
    """Return an opened picture as for the training: the same steps in the same order."""
    from PIL import Image, ImageOps

    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"it has more than {MOST_PIXELS} pixels")
    image.draft(None, (2 * max(height, width), 2 * max(height, width)))
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("pixels of type float have no known range")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def tell_colour(file: Path, pixels: np.ndarray, reading: dict[str, Any]) -> None:
    """Say that a picture [H, W, 1 or 3] has colours, where the network learnt from grey ones."""
    spread = pixels.max(2).astype(np.int64) - pixels.min(2)
    if spread.max(initial=0) > GREY:
        remark(f"{str(file)!r} is in colour, the network learnt from grey pictures", reading)


def picture_by_hand(file: Path, channels: int, height: int, width: int) -> np.ndarray:
    """Return a PNG picture as `prepared` does, without Pillow."""
    data = file.read_bytes()
    if not data.startswith(PNG):
        raise Unreadable(
            f"{str(file)!r} is no PNG, .npy or .npz file: other pictures need Pillow "
            "(pip install pillow)"
        )
    pixels = read_png(data)
    if channels == 1 and pixels.shape[2] == 3:
        grey = pixels.astype(np.int64) @ np.array([19595, 38470, 7471])
        pixels = ((grey + 0x8000) >> 16).astype(np.uint8)[..., None]
    if channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, 2)
    if pixels.shape[:2] != (height, width):
        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        smaller = torch.nn.functional.interpolate(
            planes, (height, width), mode="bilinear", antialias=True
        )
        pixels = smaller[0].numpy().transpose(1, 2, 0)
    return pixels


def read_png(data: bytes) -> np.ndarray:
    """Return the pixels of a PNG [H, W, 1 or 3], transparency laid over white."""
    kinds: dict[bytes, bytes] = {}
    place, packed = 8, b""
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        if zlib.crc32(kind + body) != int.from_bytes(data[place + 8 + size : place + 12 + size]):
            raise ValueError("it is damaged")
        place += size + 12
        packed += body if kind == b"IDAT" else b""
        kinds.setdefault(kind, body)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", kinds[b"IHDR"])
    if interlaced or colour not in (0, 2, 3, 4, 6) or width * height > MOST_PIXELS:
        raise ValueError("interlaced and very large PNG files need Pillow (pip install pillow)")
    count = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    stride = (width * count * depth + 7) // 8
    raw = zlib.decompressobj().decompress(packed, height * (stride + 1))
    lines = unfiltered(raw, height, stride, max(1, count * depth // 8))
    samples = unpacked(lines, depth, width * count).reshape(height, width, count)
    extra = kinds.get(b"tRNS")
    alpha = np.full((height, width), 255)
    if colour == 3:
        table = np.frombuffer(kinds[b"PLTE"], np.uint8).reshape(-1, 3)
        if extra:
            opaque = np.full(256, 255)
            opaque[: len(extra)] = np.frombuffer(extra, np.uint8)
            alpha = opaque[samples[..., 0]]
        pixels = table[samples[..., 0]]
    else:
        if extra:
            key = np.frombuffer(extra, ">u2").astype(samples.dtype)
            alpha = np.where((samples == key).all(2), 0, 255)
        top = samples >> 8 if depth == 16 else samples * (255 // (2**depth - 1))
        pixels = top[..., : 3 if count > 2 else 1]
        alpha = top[..., -1] if colour in (4, 6) else alpha
    cover = alpha[..., None].astype(np.int64)
    over: np.ndarray = (pixels * cover + 255 * (255 - cover)) * 128 + 0x4000  # as Pillow rounds
    over = (((over >> 8) + over) >> 8) >> 7
    return over.astype(np.uint8)


def unpacked(lines: np.ndarray, depth: int, count: int) -> np.ndarray:
    """Return the samples [H, count] of lines of bytes [H, stride], 1 to 16 bits each."""
    if depth == 16:
        return lines.copy().view(">u2").astype(np.int64)
    if depth == 8:
        return lines.astype(np.int64)
    bits = np.unpackbits(lines, axis=1).reshape(len(lines), -1, depth)
    numbers: np.ndarray = bits.astype(np.int64) @ (1 << np.arange(depth)[::-1])
    return numbers[:, :count]


def unfiltered(raw: bytes, height: int, stride: int, step: int) -> np.ndarray:
    """Undo the filters of a PNG's lines; `step` is the distance to the pixel on the left. [bytes]"""
    if len(raw) != height * (stride + 1):
        raise ValueError("it ends early")
    given = np.frombuffer(raw, np.uint8).reshape(height, stride + 1)
    lines = np.zeros((height + 1, stride + step), np.uint8)  # with a line above, pixels to the left
    for number, (above, line) in enumerate(itertools.pairwise(lines)):
        kind, line[step:] = given[number, 0], given[number, 1:]
        if kind == 2:
            line[step:] += above[step:]
        elif kind == 1:
            for first in range(step):
                line[step + first :: step] = np.add.accumulate(
                    line[step + first :: step], dtype="u1"
                )
        elif kind in (3, 4):
            now, up = line.tolist(), above.tolist()
            for at in range(step, stride + step):
                left, top, corner = now[at - step], up[at], up[at - step]
                guess = (left + top) // 2 if kind == 3 else paeth(left, top, corner)
                now[at] = (now[at] + guess) & 255
            line[:] = now
        elif kind:
            raise ValueError(f"it has a line of filter {kind}")
    return lines[1:, step:]


def paeth(left: int, top: int, corner: int) -> int:
    """Return the neighbour that is nearest to left + top - corner."""
    guess = left + top - corner
    return min((left, top, corner), key=lambda each: abs(guess - each))


if __name__ == "__main__":
    main()
