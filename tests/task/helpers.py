"""Made-up data sets for the tests of tasks: arrays, idx files and folders of pictures."""

import gzip
import io
import struct

import numpy as np
from PIL import Image

from evolvent.task import Task


def numbered(n=60, classes=3, height=4, width=5, channels=1, start=0):
    """Images that all differ, the first two bytes being their number, and their labels."""
    x = np.zeros((n, height, width, channels), np.uint8)
    number = np.arange(start, start + n)
    x[:, 0, 0, 0], x[:, 0, 1, 0] = number // 256, number % 256
    return x, np.arange(n) % classes


def numbers(part):
    return set(found_in_order(part))


def parts(task: Task):
    assert task.test is not None
    return task.train, task.validation, task.test


def refusal(error):
    """The message of an error, which is one line."""
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def found_in_order(part):
    return (part.x[:, 0, 0, 0].astype(int) * 256 + part.x[:, 0, 1, 0]).tolist()


def idx(array, kind=8, **changes):
    shape = changes.get("shape", array.shape)
    magic = changes.get("magic", struct.pack(">HBB", 0, kind, len(shape)))
    return magic + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_idx(folder, front="", zipped=False, test="t10k", link="-"):
    x, y = numbered(height=6, width=5)
    folder.mkdir(exist_ok=True)
    for part, count in (("train", 60), (test, 9)):
        for what, array in (("images", x[:count, ..., 0]), ("labels", y[:count].astype(np.uint8))):
            data = idx(array)
            name = f"{front}{part}-{what}{link}idx{array.ndim}-ubyte{'.gz' if zipped else ''}"
            (folder / name).write_bytes(gzip.compress(data) if zipped else data)
    return x[..., 0], y


def picture(file, mode="L", size=(6, 5), value=0, **options):
    """A picture of one value, or of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(file, **options)
    return file


def tree(root, classes=("cat", "dog"), n=4, mode="L", size=(6, 5), suffix=".png"):
    for index, label in enumerate(classes):
        for number in range(n):
            value = 10 * index + number
            colour = value if mode == "L" else (value, 100, 200)
            picture(root / label / f"{number}{suffix}", mode, size, colour)
    return root


def encoded(form, size=(60, 40), **options):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, form, **options)
    return stream.getvalue()


GOOD_X, GOOD_Y = numbered()
IMAGES = GOOD_X[..., 0]
GOOD_IDX = idx(IMAGES)
