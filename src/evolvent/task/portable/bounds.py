"""Prediction intervals: bounds of a quantity, from errors on rows that were held out."""

from __future__ import annotations

import math
from collections.abc import Sequence


def bounds(errors: Sequence[float], level: float) -> tuple[float, float]:
    """Return (lower, upper), which added to a prediction bound the true value, at a level.

    Split conformal prediction (Vovk et al. 2005; Lei et al. 2018, 1604.04173), with a tail for each
    side: of rows that are drawn as the held-out ones were, at least `level` lie within, whatever the
    distribution.

    Args:
        errors: true value less prediction, of rows that the network did not learn from, sorted. [unit
            of the target]
        level: share of the rows that lie within. (0..1)

    Raises:
        ValueError: for a level outside its range, or one for which there are too few rows.
    """
    if not 0 < level < 1:
        raise ValueError(f"an interval of {level:g}: give a share between 0 and 1, such as 0.9")
    count = len(errors)
    place = math.floor((count + 1) * (1 - level) / 2 + 1e-9)
    if place < 1:
        most = max(0.0, math.floor(1000 * (1 - 2 / (count + 1))) / 1000)
        raise ValueError(
            f"an interval of {level:g} needs {math.ceil(2 / (1 - level)) - 1:,} held-out rows, there "
            f"were {count:,}: ask for at most {most:g}"
        )
    return errors[place - 1], errors[count - place]
