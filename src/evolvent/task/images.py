"""Image tasks: raw images and labels are checked, split and measured, and become one `Task`.

The readers of files (`arrays.read_npz`, `arrays.read_idx`, `folders.read_folder`) return `Images`: raw
arrays as they were given. Any error in the data becomes a `DataError` of one line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from ..errors import DataError, SettingError
from . import Part, Task
from .copies import hashes_of_images, told_copies
from .division import INDEPENDENT, stratified
from .files import some, why
from .labels import class_indices, name_classes, note_imbalance
from .rows import Rows, blocks
from .splitting import LEAST
from .targets import as_quantities, scaled, scales_of, told_of

TARGET = "target"  # what a quantity is called that has no name
TEST_SHARE = 0.15  # of the data, where no test part is given
_BLOCK = 2**24  # summed at a time [bytes]


@dataclass(frozen=True)
class Images:
    """Raw images and labels from a reader; `image_task` checks and splits them.

    Args:
        x: training images [N, H, W] or [N, H, W, C].
        y: their labels [N], integers or text.
        x_test: test images, or None.
        y_test: their labels, or None.
        x_validation: validation images where the data come with their own, or None.
        y_validation: their labels, or None.
        class_names: the name of label 0, of label 1, ...; None if the labels name themselves.
        note: what a user should know about how the data were read, one line each.
        reading: what the reader did to a file beyond taking its array; see `Task.reading`.
        target: what a class or a quantity is called, where the data say so.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    note: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    target: str = TARGET


#: what the user is told where nobody said whether a mirrored image keeps its label
MIRRORED = "colour images are mirrored at random: --set task.flip=false if that changes a label"


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
    kind: str = "classification",
    note: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
    target: str = TARGET,
) -> Task:
    """Return the task of classifying images, or of telling a quantity of each.

    Every split of classes is stratified. The validation part depends on `seed` alone and not on
    `fraction`, so that a proxy is scored on the same examples as the full data. A test part that has
    to be split off is the same for every seed, so that no search ever trains on another one's test
    examples.

    Args:
        name: how the user called the data.
        x: training images [N, H, W], [N, H, W, C] or, with 1 or 3 channels, [N, C, H, W]; uint8 and
            float32 are kept, other integers become uint8 if they lie in 0..255, else float32.
        y: their labels [N]: integers, text, or floats that are whole numbers; or quantities.
        x_test: test images of the same kind and size; None: 15 % of the data are kept for it.
        y_test: their labels, all of which occur in `y`.
        x_validation: validation images, if the data bring their own; None: split from `x`.
        y_validation: their labels, all of which occur in `y`.
        seed: of the split between training and validation. [>= 0]
        validation: share of the training data to validate on. (0..0.5]
        fraction: share of the remaining training data to keep, for proxies. (0..1]
        flip: whether a mirrored image keeps its label; None: yes for colour, no for grey images, and
            no for quantities.
        class_names: the name of label 0, of label 1, ...
        scale: raw values are divided by this; None: 255 for integers in 0..255, else 1. [raw units]
        kind: ``classification`` or ``regression``. Images with a quantity are neither mirrored nor
            shifted, unless `flip` says so: it may be that of a place.
        note: lines that the reader wants the user to know.
        reading: what the reader did to the files: ``transposed`` (idx), ``record`` (bytes of label in
            CIFAR's files).
        target: what a quantity is called.

    Raises:
        SettingError: if `seed`, `validation`, `fraction` or `flip` is outside its rule.
        DataError: if the arrays cannot be used as given.
    """
    check_settings(seed, validation, fraction, flip)
    notes = list(note)
    given = {
        "training": (x, y),
        "validation": (x_validation, y_validation),
        "test": (x_test, y_test),
    }
    with _naming(name):
        pairs = _pairs(given)
        images, natural = _images({part: pair[0] for part, pair in pairs.items()}, notes)
        labels, classes = _targets(
            {part: pair[1] for part, pair in pairs.items()}, kind, notes, class_names
        )
        parts = {part: _part(part, images[part], labels[part]) for part in pairs}
        if kind == "classification":
            _check_counts(parts, classes)
            note_imbalance(parts["training"].y, classes, notes, of="images")
    parts = _split(parts, seed, validation, notes)
    notes += _told_copies(parts)
    train = _thinned(parts["training"], fraction, seed)
    if fraction < 1:
        notes.append(f"{len(train)} of {len(parts['training'])} training examples are used")
    parts["training"] = train
    about: dict[str, Any] = {"classes": list(classes)}
    if kind == "regression":
        with _naming(name):
            parts, about = _in_units(parts, target, notes)
    scale = natural if scale is None else scale
    mean, std = _statistics(train.x, scale)
    height, width, channels = train.x.shape[1:]
    augment = _augmentation(min(height, width), channels, flip, notes, kind)
    return Task(
        name=name,
        kind="image",
        input_shape=(channels, height, width),
        train=parts["training"],
        validation=parts["validation"],
        test=parts["test"],
        mean=mean,
        std=std,
        scale=scale,
        augment=augment,
        guessed=("flip",) if flip is None and augment["flip"] else (),
        seed=int(seed),
        note=tuple(notes),
        reading={
            "shape": [channels, height, width],
            **about,
            "scale": scale,
            "mean": list(mean),
            "std": list(std),
            "resize": "stretched to height x width, bilinear",  # of pictures; arrays have to fit
            "transparency": "over white",
            **(reading or {}),
        },
        **told_of({"task": kind} | about),
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


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the data before the text of every `DataError` within the block."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name!r}: {error}") from error


def _pairs(given: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, np.ndarray]]:
    """Return the parts that were given, as arrays; the training part always is."""
    pairs: dict[str, tuple[Any, np.ndarray]] = {}
    for part, (x, y) in given.items():
        if x is None and y is None and part != "training":
            continue
        if x is None or y is None:
            raise DataError(
                f"the {part} part needs images and labels, and only one of them is given"
            )
        try:
            pairs[part] = x if isinstance(x, Rows) else np.asarray(x), np.asarray(y)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(
                f"the {part} part is not a plain array ({why(error)}): all images must have one size"
            ) from error
    return pairs


# ---- pixels --------------------------------------------------------------------------------------


def _images(
    given: Mapping[str, np.ndarray], notes: list[str]
) -> tuple[dict[str, np.ndarray], float]:
    """Return every part as [N, H, W, C] of one size and type, and the scale of the raw values."""
    images = {part: _channels_last(part, x) for part, x in given.items()}
    if given["training"].ndim == 4 and given["training"].shape != images["training"].shape:
        notes.append(
            f"images of shape {given['training'].shape[1:]} were read as channels, height, width"
        )
    shape = images["training"].shape[1:]
    for part, x in images.items():
        if x.shape[1:] != shape:
            raise DataError(
                f"{part} images are {_size(x.shape)}, training images are "
                f"{_size(images['training'].shape)}: bring them to one size"
            )
    return _pixels(images)


def _channels_last(part: str, x: Any) -> np.ndarray:
    """Return images as [N, H, W, C]."""
    given = x.shape
    if x.ndim == 3:
        x = replace(x, layout="grey") if isinstance(x, Rows) else x[..., None]
    elif x.ndim == 4 and given[1] in (1, 3) and given[3] not in (1, 3):
        lazy = isinstance(x, Rows)
        x = replace(x, layout="turned") if lazy else np.moveaxis(x, 1, 3)
    if x.ndim != 4:
        raise DataError(
            f"{part} images have shape {given}: reshape them to [N, H, W] or [N, H, W, C]"
        )
    if len(x) == 0:
        raise DataError(f"the {part} part holds no images: give at least 2 per class")
    if not 1 <= x.shape[3] <= 4 or 0 in x.shape:
        raise DataError(
            f"{part} images of shape {given} have {_size(x.shape)}: at least one "
            "pixel and 1 to 4 channels (the last axis) are needed"
        )
    return cast(np.ndarray, x)


def _pixels(images: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """Return the images as uint8 or as finite float32, contiguous, and their scale."""
    kinds = {"i" if x.dtype.kind == "u" else x.dtype.kind for x in images.values()}
    if len(kinds) > 1 or not kinds <= set("bif"):
        types = ", ".join(f"{part} {x.dtype}" for part, x in images.items())
        raise DataError(f"images must be all integers, all floats or all true/false, not {types}")
    if kinds != {"f"} and all(_small(x) for x in images.values()):
        scale = 1.0 if kinds == {"b"} else 255.0
        return {part: _converted(x, np.uint8) for part, x in images.items()}, scale
    with np.errstate(over="ignore", invalid="ignore"):
        floats = {part: _converted(x, np.float32) for part, x in images.items()}
        for part, x in floats.items():
            start = 0
            for block in blocks(x):
                bad = np.flatnonzero(~np.isfinite(block).reshape(len(block), -1).all(1))
                if len(bad):
                    raise DataError(
                        f"{part} image {start + bad[0]} holds NaN or infinity (as float32): repair "
                        "it or leave it out"
                    )
                start += len(block)
    return floats, 1.0


def _small(x: np.ndarray) -> bool:
    """Whether all values fit in a byte."""
    if x.dtype == np.uint8 or x.dtype.kind == "b":
        return True
    return all(block.min() >= 0 and block.max() <= 255 for block in blocks(x))


def _converted(x: Any, dtype: Any) -> np.ndarray:
    return cast(
        np.ndarray, x.astype(dtype) if isinstance(x, Rows) else np.ascontiguousarray(x, dtype)
    )


def _size(shape: tuple[int, ...]) -> str:
    _, height, width, channels = shape
    return f"{height} x {width} pixels and {channels} channels"


# ---- the parts -----------------------------------------------------------------------------------


def _targets(
    given: Mapping[str, np.ndarray],
    kind: str,
    notes: list[str],
    class_names: Sequence[str] | None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return every part's targets, classes [N] int64 or quantities [N] float64, and the classes."""
    if kind == "classification":
        labels, values = class_indices(given)
        return labels, name_classes(values, class_names, notes)
    if class_names is not None:
        raise DataError(
            "the targets are classes with names: a regression needs one number per image"
        )
    found = as_quantities(given, "image")
    if len(found["training"]) < LEAST:
        raise DataError(f"{len(found['training'])} training images, at least {LEAST} are needed")
    return found, ()


def _in_units(
    parts: Mapping[str, Part], target: str, notes: list[str]
) -> tuple[dict[str, Part], dict[str, Any]]:
    """Return the parts with their quantities in units of training's, and what is known of these."""
    scales, known = scales_of(parts["training"].y, [target], notes)
    made = {name: Part(part.x, scaled(part.y, scales)) for name, part in parts.items()}
    return made, {"task": "regression", "target": target, **known}


def _part(part: str, x: np.ndarray, y: np.ndarray) -> Part:
    if len(x) != len(y):
        raise DataError(
            f"the {part} part has {len(x)} images and {len(y)} labels: every image needs one label"
        )
    return Part(x, y)


def _check_counts(parts: Mapping[str, Part], classes: tuple[str, ...]) -> None:
    """Refuse data with too few examples of a class to put one in every part."""
    if len(classes) < 2:
        raise DataError(f"there is one class only, {classes[0]!r}: at least 2 are needed")
    to_split_off = {"validation": "validate", "test": "test"}
    aims = ["train"] + [aim for part, aim in to_split_off.items() if part not in parts]
    counts = np.bincount(parts["training"].y, minlength=len(classes))
    rare = [classes[index] for index in np.flatnonzero(counts < len(aims))]
    if rare:
        have = "1 example" if counts.min() == 1 else f"{counts.min()} examples"
        raise DataError(
            f"class {some(rare)} has {have}, at least {len(aims)} are needed "
            f"(to {', to '.join(aims)}): add examples of it or leave the class out"
        )


def _split(
    parts: Mapping[str, Part], seed: int, validation: float, notes: list[str]
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
    if part.y.dtype.kind == "f":
        rows = np.arange(len(part))
        rest, chosen = INDEPENDENT.cut(part.y, rows, share, seed, classes=False)
    else:
        rest, chosen = stratified(part.y, share, seed)
    return part.taken(rest), part.taken(chosen)


def _told_copies(parts: Mapping[str, Part]) -> list[str]:
    """Return the line about images that are in several parts, if there are any."""
    found = hashes_of_images({name: part.x for name, part in parts.items()})
    if found is None:
        return []
    rows, start = {}, 0
    for name, each in found.items():
        rows[name] = np.arange(start, start := start + len(each))
    return told_copies(np.concatenate(list(found.values())), rows, "images")


def _thinned(part: Part, fraction: float, seed: int) -> Part:
    """Return `fraction` of every class; a class's last example always stays."""
    if fraction == 1:
        return part
    if part.y.dtype.kind == "f":
        return _divided(part, fraction, seed)[1]
    alone = np.bincount(part.y)[part.y] == 1  # nothing to choose, and `stratified` refuses it
    kept, many = np.flatnonzero(alone), np.flatnonzero(~alone)
    if len(many):
        kept = np.sort(np.concatenate([kept, many[stratified(part.y[many], fraction, seed)[1]]]))
    return part.taken(kept)


def _statistics(x: np.ndarray, scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel [C], of the scaled values.

    Summed in float64, block by block: a float64 copy of the whole would take eight times the
    memory of bytes.
    """
    size, count, channels = _BLOCK * x.dtype.itemsize // 8, math.prod(x.shape[:3]), x.shape[3]
    means, squares = np.zeros(channels), np.zeros(channels)
    for block in blocks(x, size):
        means += [float(block[..., each].sum(dtype=np.float64)) for each in range(channels)]
    means /= count
    for block in blocks(x, size):
        for each in range(channels):
            off = block[..., each].astype(np.float64).ravel() - means[each]
            squares[each] += float(np.einsum("i,i->", off, off))
    found = []
    for mean, square in zip(means.tolist(), squares.tolist(), strict=True):
        std = math.sqrt(square / count)
        # A channel that varies by less than float32 resolves is constant: do not scale it up.
        found.append((mean / scale, std / scale if std > 1e-7 * abs(mean) else 1.0))
    return tuple(mean for mean, _ in found), tuple(std for _, std in found)


def _augmentation(
    edge: int, channels: int, flip: bool | None, notes: list[str], kind: str
) -> dict[str, Any]:
    """Return the augmentations that keep the label of an image."""
    if kind == "regression":
        if flip is None:
            notes.append(
                "images are neither mirrored nor shifted, since a quantity may be that of a place: "
                "--set task.flip=true if a mirrored image keeps its quantity"
            )
        return {"flip": bool(flip), "shift": 0, "cutout": 0}
    if flip is None:
        flip = channels >= 3
        notes.append(
            MIRRORED
            if flip
            else "grey images are not mirrored (a mirrored digit is another symbol): "
            "--set task.flip=true if a mirrored image keeps its label"
        )
    return {"flip": bool(flip), "shift": 1 if edge < 16 else 2 if edge <= 40 else 4, "cutout": 0}
