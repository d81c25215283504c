"""The scale of a quantity: where it lies, how far it spreads, and which values are wild."""

from __future__ import annotations

import numpy as np

from ..errors import DataError

WILD = 1000.0  # interquartile ranges from the median, beyond which a target is cut


def usual_range(values: np.ndarray, wild: float) -> tuple[float, float]:
    """Return the lowest and the highest value that is not wild, by `wild` interquartile ranges.

    Where more than half of the values are one number, the range is that of the others.

    Args:
        values: without missing ones [N].
        wild: distance from the median. [interquartile ranges]
    """
    if not len(values):
        return -np.inf, np.inf
    low, middle, high = (float(each) for each in np.quantile(values, (0.25, 0.5, 0.75)))
    if not high > low:
        others = values[values != middle]
        if len(others) < 8:  # too few to tell a range
            return -np.inf, np.inf
        low, middle, high = (float(each) for each in np.quantile(others, (0.25, 0.5, 0.75)))
    if not high > low:
        return -np.inf, np.inf
    spread = high - low
    return middle - wild * spread, middle + wild * spread


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation, of values as large as floats are or as small, too."""
    most = float(np.abs(values).max(initial=0.0))
    if most == 0 or 1e-100 < most < 1e100:  # whose squares are numbers
        return float(values.mean()), float(values.std())
    return most * float((values / most).mean()), most * float((values / most).std())


def scale_of(y: np.ndarray, target: str, notes: list[str]) -> dict[str, float]:
    """Return mean and unit of a target by its training rows, and the range it is cut to.

    Args:
        y: of the training part [N] float64.
        target: its name.
        notes: gets a line if some values are wild.

    Raises:
        DataError: if all values are the same.
    """
    low, high = usual_range(y, WILD)
    usual = y[(y >= low) & (y <= high)]
    mean, unit = mean_and_std(usual)
    if not unit > 1e-13 * abs(mean):
        raise DataError(
            f"column {target!r} is {mean:g} in every training row: there is nothing to learn from it"
        )
    found = {"mean": mean, "unit": unit}
    if len(usual) == len(y):
        return found | {"low": low, "high": high}
    least, most = float(usual.min()), float(usual.max())
    wild = y[(y < low) | (y > high)]
    shown = ", ".join(f"{value:g}" for value in wild[:3].tolist())
    notes.append(
        f"{target!r}: {len(wild)} of {len(y):,} training values are far from all others ({shown}; the "
        f"others lie between {least:g} and {most:g}): they count as the nearest of these, in every part"
    )
    return found | {"low": least, "high": most}


def clipped(y: np.ndarray, scale: dict[str, float]) -> np.ndarray:
    """Return a target in units from its mean [N] float32, wild values as the nearest that are not."""
    within = np.clip(y, scale["low"], scale["high"])
    return np.asarray((within - scale["mean"]) / scale["unit"]).astype(np.float32)
