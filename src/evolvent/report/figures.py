"""Figures of a comparison as SVG text, without dependencies: read only, for pages and files.

Axes span the data, but the vertical one leaves out the first tenth of the trials, where every curve
is steep, so that late differences can be seen. Colours are those of Okabe & Ito, "Color Universal
Design" (2008), which the colour-blind can distinguish; dashes and shapes distinguish the strategies
too. Text and lines follow the reader's light or dark scheme; on a narrow screen text grows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeGuard

CONTROL = "random"  # drawn in the colour of the text
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
DASHES = ("", "9 4", "2 4", "9 4 2 4")  # for more strategies than colours, and for the control
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 384, 92, 18, 20, 66  # of the plot [px]
ROW = 30  # height of a row of the legend [px]
LONGEST = 25  # characters of a name that fit the legend

#: style of a figure in a file of its own; on a page style.css has the same with the page's colours
_STYLE = (
    "<style>"
    ".ev-figure{--ev-ink:#1b2126;--ev-faint:#e2e3df;--ev-paper:#fff;"
    "display:block;width:100%;max-width:760px;height:auto}"
    ".ev-figure text{font:13px system-ui,sans-serif;fill:var(--ev-ink)}"
    ".ev-figure .ev-grid{stroke:var(--ev-faint);stroke-width:1}"
    ".ev-figure .ev-axis{stroke:var(--ev-ink);stroke-width:1}"
    "@media (prefers-color-scheme:dark){"
    ".ev-figure{--ev-ink:#e7eaec;--ev-faint:#2d343a;--ev-paper:#1a1e22}}"
    "@media (max-width:520px){.ev-figure text{font-size:19px}}"
    "</style>"
)


def curves(told: Mapping[str, Any], *, page: bool = False) -> str:
    """Return the score over trials of every strategy, with the 95 % interval of its mean.

    Args:
        told: the comparison as from `Comparison.to_json`.
        page: whether the figure is part of a page, which has the styles.

    Returns:
        An SVG element; empty text if no strategy has a curve.
    """
    lines = {name: _curve(row["curve"]) for name, row in told["strategies"].items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return ""
    every = [point for points in lines.values() for point in points]
    last = max(point.x for point in every)
    late = [point for point in every if point.x >= last / 10]
    best = _optimum(told)
    low, high = min(point.low for point in late), max(point.high for point in every)
    if best is not None and high <= best <= high + (high - low):
        high = best
    frame = _Frame(min(point.x for point in every), last, *_padded(low, high))
    measure = _measure(told, "curves_on" if "curves_on" in told else "tests_on")
    parts = [*_grid(frame, "trials [count]; mean and its 95 % interval", measure)]
    if best is not None and frame.low <= best <= frame.high:
        parts.append(_level(frame, best, "the best there is"))
    # the control first, so that it lies under the others
    order = sorted(lines, key=lambda name: name != CONTROL)
    opacity = 0.16 if len(lines) <= 4 else 0.08
    drawn = [_band(frame, lines[name], _look(told, name), opacity) for name in order]
    drawn += [_line(frame, lines[name], _look(told, name)) for name in order]
    parts.append(_clipped(drawn))
    title = f"{measure} of {told['task']} over trials, mean of {told['seeds']} seeds"
    kinds = {name: "mark" if len(points) == 1 else "line" for name, points in lines.items()}
    legend = [(name, _look(told, name), kinds.get(name, "line")) for name in told["strategies"]]
    return _figure(title, parts, legend, page)


def tradeoff(told: Mapping[str, Any], *, page: bool = False) -> str:
    """Return the score of every seed's choice against its FLOPs.

    Args:
        told: the comparison as from `Comparison.to_json`.
        page: whether the figure is part of a page, which has the styles.

    Returns:
        An SVG element; empty text if no choice has FLOPs.
    """
    found = {
        name: Counter(
            (float(one["flops"]), float(one["test"]))
            for one in row["chosen"]
            if _known(one.get("flops")) and one["flops"] > 0 and _known(one.get("test"))
        )
        for name, row in told["strategies"].items()
    }
    every = [point for points in found.values() for point in points]
    if not every:
        return ""
    x, y = [point[0] for point in every], [point[1] for point in every]
    frame = _Frame(min(x) / 1.15, max(x) * 1.15, *_padded(min(y), max(y)), log=True)
    parts = [*_grid(frame, "FLOPs of one input [count, log]; area: seeds", _measure(told))]
    for name in sorted(found, key=lambda name: name != CONTROL):
        look = _look(told, name)
        for (flops, score), seeds in sorted(found[name].items(), key=lambda item: -item[1]):
            size = min(4.5 * math.sqrt(seeds), 16)
            what = f"{name}: {seeds} seed{'s' * (seeds > 1)}, {_number(flops)} FLOPs, {score:.4f}"
            mark = _mark(look, frame.at(flops), frame.up(score), size, what)
            parts.append(mark)
    title = f"{_measure(told)} of {told['task']} against FLOPs, one choice per seed"
    legend = [(name, _look(told, name), "mark") for name in told["strategies"] if found[name]]
    return _figure(title, parts, legend, page)


@dataclass(frozen=True)
class _Point:
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class _Look:
    colour: str
    dash: str
    shape: int


@dataclass(frozen=True)
class _Frame:
    """The plot: data in, pixels out."""

    first: float
    last: float
    low: float
    high: float
    log: bool = False

    def at(self, x: float) -> float:
        """Return the pixel of `x` from the left."""
        read: Callable[[float], float] = math.log10 if self.log else float
        span = read(self.last) - read(self.first)
        share = (read(x) - read(self.first)) / span if span else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def up(self, y: float) -> float:
        """Return the pixel of `y` from the top."""
        share = (y - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _curve(curve: Mapping[str, Sequence[float | None]]) -> list[_Point]:
    """Return the points that have a mean; a missing end of the interval becomes the mean."""
    points = []
    for x, y, low, high in zip(
        curve["trial"], curve["mean"], curve["low"], curve["high"], strict=True
    ):
        if _known(x) and _known(y):
            least, most = (end if _known(end) else y for end in (low, high))
            points.append(_Point(float(x), float(y), float(least), float(most)))
    return points


def _padded(low: float, high: float) -> tuple[float, float]:
    """Return a somewhat larger range, which is never empty."""
    room = 0.05 * (high - low) or max(abs(high) * 0.01, 1e-3)
    return low - room, high + room


def _measure(told: Mapping[str, Any], shown: str = "tests_on") -> str:
    metric = str(told.get("metric", "score"))
    unit = " [fraction]" if "accuracy" in metric else ""
    return f"{'test' if told[shown] == 'test' else 'validation'} {metric}{unit}"


def _optimum(told: Mapping[str, Any]) -> float | None:
    """Return the best score of a table, a mean plus its regret; None without a regret."""
    what = "test" if told["tests_on"] == "test" else "val"
    for row in told["strategies"].values():
        if _known(row.get("regret")) and _known(row[what]["mean"]):
            return float(row[what]["mean"] + row["regret"])
    return None


def _look(told: Mapping[str, Any], name: str) -> _Look:
    others = [other for other in told["strategies"] if other != CONTROL]
    if name == CONTROL:
        return _Look("var(--ev-ink)", DASHES[2], 0)
    place = others.index(name)
    again, colour = divmod(place, len(COLOURS))
    return _Look(COLOURS[colour], DASHES[again % len(DASHES)], 1 + place)


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers in a range, with at most `most` steps between them."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(range(10, 100))):
        scale = 10 if len(factors) > 6 else 1
        ticks = [factor / scale * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks[:: math.ceil(len(ticks) / 6)] if ticks else [low, high]


def _number(value: float) -> str:
    """Return a count with a letter for its power of 1,000: 1500000 is 1.5 M."""
    for size, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _grid(frame: _Frame, across: str, upward: str) -> Iterator[str]:
    """Yield grid lines, axes, numbers and labels."""
    right, bottom, middle = WIDTH - RIGHT, HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    ticks = _ticks(frame.low, frame.high)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else frame.high - frame.low
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for tick in ticks:
        y = frame.up(tick)
        yield f'<path class="ev-grid" d="M{LEFT} {y}H{right}"/>'
        yield _text(LEFT - 8, y + 5, f"{tick:.{digits}f}", "end")
    if frame.log:
        marks = _log_ticks(frame.first, frame.last)
    elif frame.last > frame.first:
        marks = [frame.first, *(t for t in _ticks(0, frame.last) if t > frame.first)]
        marks = [t for i, t in enumerate(marks) if i != 1 or frame.at(t) - frame.at(marks[0]) > 30]
    else:
        marks = [frame.last]
    for tick in marks:
        x = frame.at(tick)
        yield f'<path class="ev-axis" d="M{x} {bottom}v5"/>'
        yield _text(x, bottom + 23, _number(tick) if frame.log else f"{tick:g}", "middle")
    yield f'<path class="ev-axis" d="M{LEFT} {bottom}H{right}"/>'
    yield _text((LEFT + right) / 2, bottom + 50, across, "middle")
    turned = f'transform="rotate(-90 20 {middle:g})"'
    yield _text(20, middle, upward, "middle", turned)


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def _level(frame: _Frame, value: float, words: str) -> str:
    y = frame.up(value)
    line = f'<path class="ev-axis" stroke-dasharray="1 4" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
    return line + _text(LEFT + 4, y - 6, words)


def _band(frame: _Frame, points: Sequence[_Point], look: _Look, opacity: float) -> str:
    above = [f"{frame.at(p.x)} {frame.up(p.high)}" for p in points]
    below = [f"{frame.at(p.x)} {frame.up(p.low)}" for p in reversed(points)]
    path = "L".join(above + below)
    if len(points) == 1:  # an interval at one place: a whisker
        return f'<path d="M{path}" stroke-width="2" stroke="{look.colour}"/>'
    return f'<path d="M{path}Z" fill-opacity="{opacity}" fill="{look.colour}"/>'


def _line(frame: _Frame, points: Sequence[_Point], look: _Look) -> str:
    if len(points) == 1:
        return _mark(look, frame.at(points[0].x), frame.up(points[0].y), 6, "")
    path = "L".join(f"{frame.at(p.x)} {frame.up(p.y)}" for p in points)
    return f'<path d="M{path}" {_stroke(look)}/>'


def _clipped(parts: Sequence[str]) -> str:
    """Return parts of a figure, clipped to the plot."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    box = f'x="{LEFT}" y="{TOP}" width="{wide}" height="{high}"'
    return f'<svg {box} viewBox="{LEFT} {TOP} {wide} {high}">{"".join(parts)}</svg>'


def _stroke(look: _Look) -> str:
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    return f'fill="none" stroke-width="2.5" stroke-linejoin="round"{dash} stroke="{look.colour}"'


def _mark(look: _Look, x: float, y: float, size: float, title: str) -> str:
    """Return a mark of about the area of a circle of radius `size`."""
    r = round(size, 1)
    shapes = (
        f"M{-r} 0a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z",  # circle
        f"M{-0.9 * r:.1f} {-0.9 * r:.1f}h{1.8 * r:.1f}v{1.8 * r:.1f}h{-1.8 * r:.1f}Z",  # square
        f"M0 {-1.3 * r:.1f}L{1.2 * r:.1f} {0.8 * r:.1f}H{-1.2 * r:.1f}Z",  # triangle
        f"M0 {-1.25 * r:.1f}L{1.25 * r:.1f} 0L0 {1.25 * r:.1f}L{-1.25 * r:.1f} 0Z",  # diamond
        f"M0 {1.3 * r:.1f}L{1.2 * r:.1f} {-0.8 * r:.1f}H{-1.2 * r:.1f}Z",  # triangle, down
    )
    shape = shapes[look.shape % len(shapes)]
    paint = f'fill="{look.colour}" stroke="var(--ev-paper)"'
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<path transform="translate({x} {y})" d="{shape}" fill-opacity=".75" {paint}>{inner}</path>'


def _figure(
    title: str, parts: Sequence[str], legend: Sequence[tuple[str, _Look, str]], page: bool
) -> str:
    """Return the whole SVG element, with a legend of two columns below the plot."""
    rows = math.ceil(len(legend) / 2)
    keys = []
    for place, (name, look, kind) in enumerate(legend):
        x, y = 24 + (place % 2) * (WIDTH - 24) / 2, HEIGHT + ROW * (place // 2) + 14
        sample = (
            f'<path d="M{x:g} {y}h34" {_stroke(look)}/>'
            if kind == "line"
            else _mark(look, x + 17, y, 7, "")
        )
        short = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        words = _text(x + 42, y + 5, short)
        keys.append(f"<g><title>{escape(name)}</title>{sample}{words}</g>")
    height, style = HEIGHT + ROW * rows + 4, "" if page else _STYLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ev-figure" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>{style}'
        f"{''.join(parts)}{''.join(keys)}</svg>"
    )
