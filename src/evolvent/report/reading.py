"""The data of a run's page as plain JSON, read from the run's folder, also during its search.

The overview has one short row per candidate (`FIELDS`); everything else about a candidate is in its
details. `read` returns the whole of a run for a file: the overview as it stands, the details packed,
since a page with 20,000 candidates opens few of them.

Weight-sharing runs have more: `steps`, the curves of the shared weights and of the strategy's notes
on its trials (rows ``{"index", "seconds", "metrics": {name: number}}``), `alarms` (``{"candidate",
"name", "text", "advice"}``) and the `mixture` of the last trial (``{"group", "rows", "columns",
"values"}``).
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import inspect
import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import registry
from ..config.config_file import read_config
from ..config.parts import Component
from ..config.request import Request
from ..config.setup import Setup
from ..deliver import card as cards
from ..engine.alarms import alarms
from ..engine.store import LogRow, Store
from ..errors import EvolventError, RunError
from ..ranking import best, rank
from ..space.drawing import Drawing
from ..types import Budget, Candidate, Result, freeze

#: of a row of the overview; `told` is the time of its last event [s since the epoch], `metrics` the
#: numeric metrics beside the score, `inherits` the candidates that it took its first weights from
FIELDS = (
    "id",
    "status",
    "score",
    "params",
    "flops",
    "seconds",
    "epochs",
    "told",
    "parents",
    "operator",
    "inherits",
    "reason",
    "metrics",
    "rank",
)
CHUNK = 128  # candidates whose details are packed together
CURVE_POINTS = 60  # of a training curve on a page, less where there are many candidates
ALL_POINTS = 320_000  # of all curves of a page together
FEWEST_POINTS = 12
STEPS = 3000  # of a page in a file, evenly taken
REASON = 300  # characters of a reason in the overview; the details have all of it

Row = list[Any]


class Reader:
    """A run's folder, read only.

    Args:
        folder: of the run.
        setup: of the run, where it is at hand; None reads it.

    Raises:
        RunError: if it is not the folder of a run, or damaged.
    """

    def __init__(self, folder: Path, setup: Setup | None = None) -> None:
        self.folder = Path(folder)
        self.config = read_config(self.folder)
        self.setup = setup or Setup.from_json(self.config)
        self._store = Store(self.folder / "run.db")
        self._asked: dict[int, Any] = {}  # candidates that were asked and not yet told
        self._notes: dict[int, Mapping[str, Any]] = {}  # of the trials of a weight-sharing run
        self._noted = 0  # last row of the log that was searched for notes

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def news(self, after: int = 0, most: int = -1) -> dict[str, Any]:
        """Return the rows and steps that were recorded after row `after` of the log.

        Returns:
            ``seq``: number of the last row of the log; ``rows`` of the overview, where a later row
            of a candidate replaces an earlier one; ``steps``.
        """
        rows: dict[int, Row] = {}
        steps: list[dict[str, Any]] = []
        seq = after
        for row in self._store.log(after, most):
            seq = row.seq
            asked: Any = row.data
            if row.kind == "step":
                steps.append(_step(row.candidate, row.data["seconds"], _step_metrics(row.data)))
                continue
            if row.kind == "asked":
                self._asked[row.candidate] = asked
                if marks := _numbers_of(_note(asked)):
                    steps.append(_step(row.candidate, 0.0, marks))
            else:
                asked = self._asked.pop(row.candidate, None)
                asked = asked or self._store.row("asked", row.candidate)
            rows[row.candidate] = _overview(asked, row)
        return {"seq": seq, "rows": list(rows.values()), "steps": steps}

    def state(self) -> dict[str, Any]:
        """Return the changing state of a run: phases, delivery, alarms and mixture."""
        card = self.folder / "best" / "card.json"
        delivered = json.loads(card.read_text()) if card.is_file() else None
        done = self._store.delivered()
        first = next(iter(self._store.log(0, 1)), None)
        return {
            "state": "done" if done else self._store.meta("state") or "new",
            "phases": {name: round(s, 2) for name, s in self._store.phases().items()},
            "card": delivered,
            **_of_card(delivered),
            "began": first.at if first else None,
            **self._shared(),
        }

    def _shared(self) -> dict[str, Any]:
        """Return alarms and mixture, from the notes of the trials so far."""
        for row in self._store.asked_trials(self._noted):
            self._noted = row.seq
            if _note(row.data):
                self._notes[row.candidate] = _note(row.data)
        trials = [Result(Candidate(id, note=note), 0.0) for id, note in self._notes.items()]
        last = next(reversed(self._notes.values()), {})
        return {
            "shared": bool(self._notes),
            "alarms": [
                dataclasses.asdict(alarm) for alarm in alarms(trials, self.setup.schedule.horizon)
            ],
            "mixture": self.painter().mixture(last.get("mixture", {})),
        }

    def best(self) -> Result | None:
        """Return the best trial so far, or None."""
        return best(self._store.results())

    def head(self) -> dict[str, Any]:
        """Return the constant data of a run: its name, configuration and command line."""
        return {
            "name": self.folder.resolve().name,
            "folder": str(self.folder),
            "config": self.config,
            "title": self.setup.recipe,
            "command": command(self.setup.request),
            "minimise": _minimised(self.setup.parts.strategy),
            "fields": FIELDS,
        }

    def details(self, id: int, *, points: int = CURVE_POINTS) -> dict[str, Any] | None:
        """Return everything about one candidate, or None if there is none of this id.

        Args:
            id: of the candidate.
            points: most of a training curve. [count]
        """
        asked = self._store.row("asked", id)
        if asked is None:
            return None
        return _details(asked, self._store.row("told", id) or {}, self.painter(), points)

    def drawing(self, id: int) -> Drawing:
        """Return the drawing of one candidate.

        Raises:
            RunError: if there is no such candidate, or it cannot be drawn.
        """
        asked, painter = self._store.row("asked", id), self.painter()
        if asked is None:
            raise RunError(
                f"{self.folder} has no candidate {id}: evolvent show {self.folder} lists them"
            )
        drawing = painter.draw(asked["arch"]) if asked["arch"] is not None else None
        if drawing is None:
            what = painter.problem or "it has no architecture"
            raise RunError(f"candidate {id} of {self.folder} cannot be drawn: {what}")
        return drawing

    def painter(self) -> Painter:
        """Return a `Painter` for the architectures of this run."""
        return Painter(self.setup, self._store)

    def all_details(self, count: int) -> Iterator[dict[str, Any]]:
        """Yield the details of every candidate, by id."""
        points = min(CURVE_POINTS, max(FEWEST_POINTS, ALL_POINTS // max(1, count)))
        painter = self.painter()
        rows: dict[int, dict[str, dict[str, Any]]] = {}
        for row in self._store.log():
            if row.kind != "step":
                rows.setdefault(row.candidate, {})[row.kind] = row.data
        for id in sorted(rows):
            yield _details(rows[id]["asked"], rows[id].get("told", {}), painter, points)


@contextmanager
def reading(folder: Path, setup: Setup | None = None) -> Iterator[Reader]:
    """Open the folder of a run for a ``with`` block; the arguments are those of `Reader`."""
    reader = Reader(folder, setup)
    try:
        yield reader
    finally:
        reader.close()


def read(folder: Path, setup: Setup | None = None) -> dict[str, Any]:
    """Return all data of the page of a run, as JSON; the arguments are those of `Reader`.

    Raises:
        RunError: if the folder is not that of a run, or damaged.
    """
    with reading(folder, setup) as reader:
        news = reader.news()
        details = {one["id"]: one for one in reader.all_details(len(news["rows"]))}
        last = max(details, default=-1)
        chunks = [
            _packed([details.get(id) for id in range(first, min(first + CHUNK, last + 1))])
            for first in range(0, last + 1, CHUNK)
        ]
        return {
            **reader.head(),
            "state": reader.state(),
            "rows": news["rows"],
            "steps": news["steps"][:: 1 + len(news["steps"]) // STEPS],
            "chunk": CHUNK,
            "chunks": chunks,
        }


def command(request: Request) -> str:
    """Return the command line that makes the same search again."""
    words = ["evolvent", "search", request.task]
    for field in dataclasses.fields(request):
        value = getattr(request, field.name)
        if field.name not in ("task", "set") and value != field.default:
            words += [f"--{field.name.replace('_', '-')}", str(value)]
    return shlex.join(words + set_options(request.set))


def set_options(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the ``--set`` options for `settings`, part -> name -> value."""
    words = []
    for part, values in settings.items():
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            words += ["--set", f"{part}.{name}={text}"]
    return words


def _minimised(strategy: Component) -> list[str]:
    """Return the measures that a strategy keeps low beside the score, as set or by default."""
    told = strategy.settings.get("minimise")
    if told is None and strategy.name in registry.STRATEGIES:
        takes = inspect.signature(strategy.make).parameters
        told = takes["minimise"].default if "minimise" in takes else None
    return [told] if isinstance(told, str) else list(told or ())


class Painter:
    """Draws the architectures of a run, as far as its space can.

    Args:
        setup: of the run.
        store: for spaces that are read from what was tried.
    """

    def __init__(self, setup: Setup, store: Store) -> None:
        self._space: Any = None
        self.problem = ""
        part = setup.parts.space
        name = part.name
        try:
            make = part.make
            # A name is any attribute that can be imported: nothing but what draws is called.
            if not (isinstance(make, type) and hasattr(make, "drawing")):
                self.problem = f"space {name} has no drawing"
            elif "listed" in getattr(make, "gives", ()):  # it grows with the search
                facts = dataclasses.replace(setup.facts, archs=_tried(store))
                self._space = registry.build_space(name, make, facts, part.settings)
            else:
                self._space = setup.space
        except (EvolventError, TypeError) as error:
            self.problem = f"space {name} cannot be made: {error}"

    def draw(self, arch: Any) -> Drawing | None:
        """Return the drawing of an architecture, or None if it cannot be drawn.

        A log may hold architectures that the space no longer knows: the page shows them as text.
        """
        if self._space is None:
            return None
        try:
            found: Drawing = self._space.drawing(freeze(arch))
        except (EvolventError, LookupError, TypeError, ValueError):
            return None
        return found

    def mixture(self, weights: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return mixture weights, group name -> [rows, columns], with the labels of the space."""
        if self._space is None or "mixture" not in self._space.gives:
            return []
        return [
            {
                "group": group.name,
                "rows": list(group.rows),
                "columns": list(group.columns),
                "values": weights[group.name],
            }
            for group in self._space.groups()
            if group.name in weights
        ]


def _tried(store: Store) -> tuple[str, ...]:
    """Return the architectures that were tried, distinct: all that is known of a list here."""
    rows = (row.data["arch"] for row in store.log() if row.kind == "asked")
    return tuple(dict.fromkeys(arch for arch in rows if isinstance(arch, str)))


def drawn(drawing: Drawing) -> dict[str, Any]:
    """Return a drawing as JSON."""
    return {
        "nodes": [list(node) for node in drawing.nodes],
        "edges": [list(edge) for edge in drawing.edges],
        "facts": [list(fact) for fact in drawing.facts],
    }


def _of_card(delivered: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the labels of the card's table, and what there is to say of it."""
    if delivered is None:
        return {"networks": [], "remarks": ""}
    card = cards.Card.from_json(delivered)
    labels = [row.label.replace("*", "") for row in cards.rows(card)]
    return {"networks": labels, "remarks": cards.remarks(card)}


def _overview(asked: Mapping[str, Any], row: LogRow) -> Row:
    told = row.data if row.kind == "told" else {}
    return [
        row.candidate,
        told.get("status", "running"),
        _short(told.get("score"), 6),
        told.get("params"),
        told.get("flops"),
        _short(told.get("seconds"), 4),
        _short(asked["budget"]["epochs"], 5),
        round(row.at, 2),
        asked["parents"],
        asked["operator"],
        asked["weights_from"],
        told.get("reason", "")[:REASON],
        _numbers(told),
        _ranked(asked, told),
    ]


def _ranked(asked: Mapping[str, Any], told: Mapping[str, Any]) -> list[float] | None:
    """Return the key by which a scored candidate is compared with others, as `ranking` has it."""
    if told.get("status") != "ok":
        return None
    candidate = Candidate(asked["id"], budget=Budget(**asked["budget"]))
    metrics = told.get("metrics", {})
    return [round(each, 6) for each in rank(Result(candidate, told["score"], metrics=metrics))]


def _numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that can be an axis: numbers other than the score."""
    return {
        name: short
        for name, value in told.get("metrics", {}).items()
        if name not in ("params", "flops", "seconds")  # a table gives them twice
        and value != told["score"]
        and (short := _short(value, 4)) is not None
    }


def _step(index: int, seconds: float, metrics: dict[str, float]) -> dict[str, Any]:
    return {"index": index, "seconds": round(seconds, 3), "metrics": metrics}


def _step_metrics(told: Mapping[str, Any]) -> dict[str, float]:
    metrics = {"score": told["score"], **told.get("metrics", {})}
    return {
        name: short
        for name, v in metrics.items()
        if (name == "score" or v != told["score"]) and (short := _short(v, 5)) is not None
    }


def _note(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the note of a trial if it has an epoch, as in weight sharing; else an empty one."""
    note = asked.get("note")
    return note if isinstance(note, dict) and "epoch" in note else {}


def _numbers_of(note: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: short
        for name, value in note.items()
        if name not in ("epoch", "begun") and (short := _short(value, 5)) is not None
    }


def _details(
    asked: Mapping[str, Any], told: Mapping[str, Any], painter: Painter, points: int
) -> dict[str, Any]:
    metrics = told.get("metrics", {})
    drawing = painter.draw(asked["arch"]) if asked["arch"] is not None else None
    return {
        "id": asked["id"],
        "arch": asked["arch"],
        "note": asked["note"],
        "reason": told.get("reason", ""),
        "curves": {
            name: _thinned(value, points) for name, value in metrics.items() if _is_curve(value)
        },
        "metrics": {name: v for name, v in metrics.items() if not _is_curve(v)},
        "total_epochs": _short(told.get("total_epochs"), 5),
        "seed": told.get("seed"),
        "threads": told.get("threads"),
        "weights": told.get("weights"),
        "drawing": drawn(drawing) if drawing else None,
        "undrawn": "" if drawing else painter.problem,
    }


def _is_curve(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(p, Sequence) and len(p) == 2 for p in value)
        and all(_short(number, 4) is not None for point in value for number in point)
    )


def _thinned(curve: Sequence[Sequence[float]], points: int) -> list[list[Any]]:
    """Return at most `points` points of a curve, the first and the last among them."""
    last = len(curve) - 1
    places: Iterable[int] = range(last + 1)
    if last + 1 > points:
        places = sorted({round(place * last / (points - 1)) for place in range(points)})
    return [[_short(curve[place][0], 4), _short(curve[place][1], 4)] for place in places]


def _short(value: Any, digits: int) -> float | int | None:
    """Return a number with `digits` significant digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if isinstance(value, int):
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _packed(details: Sequence[dict[str, Any] | None]) -> str:
    """Return details as text: JSON, gzip, base64; equal nodes and edges of drawings only once."""
    parts: dict[str, dict[tuple[Any, ...], int]] = {"nodes": {}, "edges": {}}
    rows = []
    for one in details:
        if one and one["drawing"]:
            drawing = dict(one["drawing"])
            for name, known in parts.items():
                drawing[name] = [known.setdefault(tuple(p), len(known)) for p in drawing[name]]
            one = one | {"drawing": drawing}
        rows.append(one)
    whole = {"rows": rows} | {name: list(known) for name, known in parts.items()}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
