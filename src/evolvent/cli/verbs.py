"""The command line. Thin: it reads options, calls `session` and `run`, and prints.

Progress goes to stderr, results to stdout; with ``--json`` stdout is one JSON object and nothing else.
Exit code 0 is done, 2 the input is wrong (one line says what to do), 130 interrupted.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import EvolventError, UserError
from . import cluster
from . import comparison as cli_comparison

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Neural architecture search for one machine and your own data.",
)
BEGAN = time.monotonic()  # of a program that is not known to have been started for one command

MOST_STARTING = 60.0  # [s] more is no start: the program did something else before
_began = BEGAN

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of a part: part.name=value; may be repeated."),
]
Target = Annotated[
    list[str] | None,
    typer.Option(help="Of a table: the column to predict; repeat it for several per row."),
]
Separator = Annotated[
    str | None,
    typer.Option("--labels-separator", help="Between the labels of a cell, such as ';'."),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of a table of text, such as gbk, latin-1, utf-16; found where not said."),
]
Text = Annotated[str | None, typer.Option(help="Of a table: the column of texts.")]
Kind = Annotated[
    str | None, typer.Option(help="classification or regression; found out where it is not said.")
]
Missing = Annotated[
    list[str] | None,
    typer.Option(help="Of a table: texts that mean a missing cell, in place of the usual: NA,?"),
]
Categorical = Annotated[
    list[str] | None, typer.Option(help="Of a table: columns that hold categories: a,b")
]
Numeric = Annotated[list[str] | None, typer.Option(help="Columns that hold numbers.")]
Dates = Annotated[list[str] | None, typer.Option("--date", help="Columns of dates or durations.")]
Metric = Annotated[
    str | None,
    typer.Option(help="Chooses networks: accuracy, f1, roc-auc, log-loss, r2, rmse, mae, ..."),
]
Positive = Annotated[
    str | None, typer.Option(help="The class that counts as positive; default the rarer of two.")
]
Weight = Annotated[
    str | None, typer.Option(help="Of a table: the column of the weights of rows; it is no input.")
]
Series = Annotated[
    bool, typer.Option("--series", help="Rows are series: columns beside the target are steps.")
]
Window = Annotated[
    int | None, typer.Option(help="Forecast the target from so many rows, in the order of time.")
]
Season = Annotated[
    int | None, typer.Option(help="Rows after which the target comes round; found by itself.")
]
Validation = Annotated[
    str | None,
    typer.Option(help="A file or folder to validate on, like TASK; or a share of its rows."),
]
Test = Annotated[str | None, typer.Option(help="A file or folder to test on; it is read once.")]
Groups = Annotated[
    str | None, typer.Option(help="Of a table: a column whose groups are never in two parts.")
]
TIME = typer.Option(  # a parameter `time` would hide the module
    "--time", help="Of a table: a column in whose order rows train, validate and test."
)
Folds = Annotated[
    str | None,
    typer.Option(help="Of a table: a column of folds, or of train, validation and test."),
]
Ignore = Annotated[list[str] | None, typer.Option(help="Columns that are left out.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Workers = Annotated[int | None, typer.Option(help="Processes; default one per core.")]


def main() -> None:
    """Run the command line; turn our errors into one line and an exit code."""
    global _began
    _began = BEGAN - _starting()
    sys.path.append(str(Path.cwd()))  # one's own parts are named as module:Name; they hide no other
    try:
        # What ends a command early is returned as an exit code, or raised, by version of typer.
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except UserError as error:
        _fail(str(error), 2)
    except EvolventError as error:
        _fail(str(error), 1)
    except Exception as error:
        # Typer's own errors: their class is click's or typer's, by version, the method is the same.
        if not (explain := getattr(error, "format_message", None)):
            raise
        _fail(explain(), 2)


def program() -> None:
    """Be the command line's process: run it, and end at once.

    Taking apart what torch and others have loaded takes a second, and several on a busy machine; the
    user waits for it, and it does nothing for them. What asked to run at the exit still does.
    """
    code: object = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):  # whoever read it has seen enough
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _starting() -> float:
    """Return the age of this process as it came here: seconds, on a busy machine. [s]"""
    import psutil

    took = time.time() - psutil.Process().create_time() - (time.monotonic() - BEGAN)
    return min(max(0.0, took), MOST_STARTING)


def _fail(message: str, code: int) -> None:
    print(f"evolvent: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"evolvent {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Neural architecture search for one machine and your own data."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
@cluster.elsewhere
def search(
    task: Annotated[str, typer.Argument(help="A built-in name, a named data set, or a path.")],
    recipe: Annotated[
        str | None, typer.Option(help="A published system: evolvent list recipes.")
    ] = None,
    space: Annotated[str | None, typer.Option(help="In place of the recipe's space.")] = None,
    strategy: Annotated[str | None, typer.Option(help="In place of the recipe's strategy.")] = None,
    estimator: Annotated[
        str | None, typer.Option(help="In place of the recipe's estimator.")
    ] = None,
    target: Target = None,
    labels_separator: Separator = None,
    text: Text = None,
    kind: Kind = None,
    encoding: Encoding = None,
    missing: Missing = None,
    categorical: Categorical = None,
    numeric: Numeric = None,
    date: Dates = None,
    ignore: Ignore = None,
    metric: Metric = None,
    positive: Positive = None,
    weight: Weight = None,
    series: Series = False,
    window: Window = None,
    season: Season = None,
    validation: Validation = None,
    test: Test = None,
    groups: Groups = None,
    time_: Annotated[str | None, TIME] = None,
    folds: Folds = None,
    budget: Annotated[
        str, typer.Option(help="10m, 200t or 1h,500t; time is the whole wait.")
    ] = "10m",
    workers: Workers = None,
    max_params: Annotated[int | None, typer.Option(help="Largest number of parameters.")] = None,
    max_flops: Annotated[int | None, typer.Option(help="Most FLOPs for one input.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Longest time for one input.")
    ] = None,
    single: Annotated[
        bool, typer.Option("--single", help="Deliver one trained network, never a mean of several.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where to train.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Same seed, same search.")] = 0,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Go on without images that cannot be read.")
    ] = False,
    where: Any = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; default below runs/.")] = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Search, train and export a network for TASK; the same command continues a stopped search."""
    from ..config.settings import parse_set

    options = {
        "recipe": recipe,
        "space": space,
        "strategy": strategy,
        "estimator": estimator,
        "target": target or None,
        "labels_separator": labels_separator,
        "text": text,
        "kind": kind,
        "encoding": encoding,
        "missing": missing or None,
        "categorical": categorical or None,
        "numeric": numeric or None,
        "date": date or None,
        "ignore": ignore or None,
        "metric": metric,
        "positive": positive,
        "weight": weight,
        "series": series,
        "window": window,
        "season": season,
        "validation": validation,
        "test": test,
        "groups": groups,
        "time": time_,
        "folds": folds,
        "budget": budget,
        "workers": workers,
        "max_params": max_params,
        "max_flops": max_flops,
        "max_latency_ms": max_latency_ms,
        "single": single,
        "device": device,
        "seed": seed,
        "skip_broken": skip_broken,
        "out": out,
        "settings": parse_set(set_ or []),
        "where": where,
    }
    _search(task, as_json, **options)


@app.command()
def demo() -> None:
    """Search a network for the built-in digits in two minutes, from data to exported network."""
    _search("digits", False, budget="2m", out=Path("runs/demo"))


def _search(task: str, as_json: bool, **options: Any) -> None:
    from .deadline import Deadline
    from .display import Display

    # the clock of a table is what its rows cost
    budget = "1t" if task.startswith("table:") else options.get("budget", "10m")
    if options.get("where") is not None:
        budget = "1t"  # workers elsewhere may come at any time, and until then nothing is spent
    with Display() as display, _resumable(options.get("out")), Deadline(budget, _began) as deadline:
        from .. import session  # takes a second or two: torch

        done = session.search(task, callbacks=[display, deadline], began=_began, **options)
    _show_result(done, as_json)


class _resumable:
    """Prints the command that continues an interrupted search."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is KeyboardInterrupt:
            begun = self.folder and (self.folder / "config.yaml").is_file()
            how = f"evolvent resume {self.folder}" if begun else "repeat the same command"
            print(f"interrupted; everything is saved. To go on: {how}", file=sys.stderr)


def _show_result(done: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(done.card | {"folder": str(done.folder)}))
        return
    from ..deliver.card import Card, page

    print(page(Card.from_json(done.card)))
    if not done.card.get("looked_up"):
        print(_where(done.folder / "best"))


def _where(folder: Path) -> str:
    """Say where a network is, and how it is used."""
    line = f"The network is in {folder}: model.py, weights.safetensors, card.md"
    script = folder / "predict.py"
    return f"{line}; python {script} FILE predicts" if script.is_file() else line


@app.command()
@cluster.elsewhere
def resume(
    run: RunFolder,
    budget: Annotated[
        str | None, typer.Option(help="More, of the whole run: 60t after 40t, 20m after 10m.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; default what the run began with.")
    ] = None,
    where: Any = None,
    as_json: Json = False,
) -> None:
    """Go on with a search that was stopped, however it was stopped, or give it more budget."""
    from .display import Display

    with Display() as display, _resumable(run):
        from .. import session

        done = session.resume(
            run, budget=budget, workers=workers, callbacks=[display], began=_began, where=where
        )
    _show_result(done, as_json)


@app.command()
def status(run: RunFolder, as_json: Json = False) -> None:
    """Show the progress of a search; works while it runs."""
    from ..run import Run

    told = Run(run).status()
    if as_json:
        print(json.dumps(told))
        return
    best = "none yet" if told["best_score"] is None else f"{told['best_score']:.4f}"
    print(
        f"{told['recipe']} on {told['task']}: {told['state']}, {told['trials']} trials "
        f"({told['failed']} failed, {told['refused']} refused, {told['running']} open), "
        f"best validation score {best}, {told['seconds']:.0f} s"
    )


@app.command()
def show(
    run: RunFolder,
    candidate: Annotated[int | None, typer.Argument(metavar="[ID]", help="One candidate.")] = None,
    front: Annotated[
        str | None,
        typer.Option(help="Only what no other beats in score and in METRIC: params, ..."),
    ] = None,
    svg: Annotated[bool, typer.Option("--svg", help="The drawing of ID as SVG.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="The same for Mermaid.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="The same for Graphviz.")] = False,
    as_json: Json = False,
) -> None:
    """List the candidates of a run, the best first, or show one whole, or draw it."""
    form = _one_of({"svg": svg, "mermaid": mermaid, "dot": dot})
    if form:
        from ..report.files import picture

        print(picture(run, candidate, form), end="")
        return
    from ..run import Run

    opened = Run(run)
    rows = opened.front(front.split(",")) if front else opened.candidates()
    if candidate is not None:
        rows = [row for row in rows if row["id"] == candidate]
        if not rows:
            raise UserError(f"{run} has no candidate {candidate}: evolvent show {run} lists them")
    if as_json:
        print(json.dumps({"candidates": rows}))
    elif candidate is not None:
        for name, value in rows[0].items():
            print(f"{name:>10}: {json.dumps(value)}")
    else:
        order = {row["id"]: place for place, row in enumerate(opened.leaderboard(None))}
        _print_rows(sorted(rows, key=lambda row: order.get(row["id"], len(order))))


def _one_of(options: dict[str, bool]) -> str | None:
    """Return the name of the one option that was given, if any.

    Raises:
        UserError: if there are several.
    """
    given = [name for name, wanted in options.items() if wanted]
    if len(given) > 1:
        raise UserError(f"--{' --'.join(given)}: give one of them")
    return given[0] if given else None


def _print_rows(rows: list[dict[str, Any]]) -> None:
    print(f"{'id':>5} {'score':>8} {'epochs':>7} {'params':>10} {'seconds':>8}  made by")
    for row in rows:
        score = f"{row['score']:.4f}" if row["score"] is not None else row["status"]
        params = f"{row['params']:,}" if row["params"] else ""
        seconds = f"{row['seconds']:.1f}" if row["seconds"] is not None else ""
        made = row["operator"] + (f" of {row['parent']}" if row["parent"] is not None else "")
        print(
            f"{row['id']:>5} {score:>8} {row['budget']:>7.3g} {params:>10} {seconds:>8}  {made}"
            + (f"  ({row['reason']})" if row["reason"] else "")
        )


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_OR_FOLDER", help="A run, a comparison, a folder of them.")
    ],
) -> None:
    """Write a page that opens offline: report.html in the folder."""
    from ..report.files import write

    print(write(folder))


@app.command()
def watch(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_OR_FOLDER", help="A run, or a folder of runs.")
    ],
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at; others than one's own machine's "
            "need the token that is printed."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 is any that is free.")] = 8765,
    token: Annotated[str | None, typer.Option(help="Instead of a random one.")] = None,
) -> None:
    """Serve the same page live, while a search runs or after it; read only. Ends with Ctrl-C."""
    from ..report.server import serve

    serve(folder, host=host, port=port, token=token, say=lambda line: print(line, flush=True))


@app.command()
def train(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Where to put the trained network.")],
    candidate: Annotated[int | None, typer.Option(help="Which; default the winner.")] = None,
    task: Annotated[str | None, typer.Option(help="Other data to transfer it to.")] = None,
    target: Target = None,
    labels_separator: Separator = None,
    text: Text = None,
    kind: Kind = None,
    validation: Validation = None,
    test: Test = None,
    groups: Groups = None,
    time_: Annotated[str | None, TIME] = None,
    folds: Folds = None,
    cells: Annotated[int | None, typer.Option(help="Normal cells per stage.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the first stage.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Training length.")] = None,
    budget: Annotated[str | None, typer.Option(help="Training time instead, such as 10m.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Default one per core.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="task.name=value or train.name=value; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a candidate of a run fully: longer, scaled up, or on another task."""
    from ..config.settings import parse_set
    from ..deliver.card import Card, page
    from .display import Display

    with Display(f"reading {run}") as display:
        from ..training import PARTS
        from ..training import train as train_fully

        card = train_fully(
            run,
            out=out,
            candidate=candidate,
            task=task,
            target=target or None,
            labels_separator=labels_separator,
            text=text,
            kind=kind,
            validation=validation,
            test=test,
            groups=groups,
            time=time_,
            folds=folds,
            cells=cells,
            width=width,
            epochs=epochs,
            budget=budget,
            seed=seed,
            threads=threads,
            settings=parse_set(set_ or [], PARTS),
            say=display.on_message,
        )
    if as_json:
        print(json.dumps(card))
    else:
        print(page(Card.from_json(card)))
        print(_where(out))


@app.command()
def identify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table: .csv, .xlsx, .parquet, ...")
    ],
    target: Annotated[str | None, typer.Option(help="The column to look at.")] = None,
    encoding: Encoding = None,
    groups: Groups = None,
    time_: Annotated[str | None, TIME] = None,
    folds: Folds = None,
    seed: Annotated[int, typer.Option(help="Of rows and networks.")] = 0,
    as_json: Json = False,
) -> None:
    """Find out whether a column is a class or a quantity, by networks of both kinds."""
    from .display import Display

    with Display(f"reading {file} and training networks of both kinds"):
        from ..identification import described
        from ..identification import identify as find_out

        found = find_out(
            *(file, target),
            encoding=encoding,
            groups=groups,
            time=time_,
            folds=folds,
            seed=seed,
        )
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for line in described(found, str(target)):
        print(line)


@app.command()
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option(help="An empty or new folder.")],
    candidate: Annotated[
        int | None, typer.Option(help="Which, as the search trained it; default the delivered one.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx too.")] = False,
) -> None:
    """Export the delivered network of a run, or any candidate whose weights were kept."""
    from .display import Display

    with Display(f"reading {run} and proving the export"):
        from ..run import Run

        difference = Run(run).export(to, candidate, onnx=onnx)
    proof = "" if difference is None else f" (parity {difference:.1e})"
    print(f"{to}: model.py and weights.safetensors, needs torch only{proof}")
    if onnx:
        card = json.loads((to / "card.json").read_text())
        if card["onnx_max_abs_diff"] is None:
            print(f"model.onnx was {card['onnx_note']}")
        else:
            print(f"{to}/model.onnx: parity {card['onnx_max_abs_diff']:.1e} in onnxruntime")


AXES = ("spaces", "strategies", "estimators", "recipes", "tasks")


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(help=f"One of {', '.join(AXES)}.")] = None,
    as_json: Json = False,
) -> None:
    """List spaces, strategies, estimators, recipes, tasks."""
    from ..errors import unknown

    if what is not None and what not in AXES:
        raise unknown("list", what, AXES)
    found = {axis: _listed(axis) for axis in ([what] if what else AXES)}
    if as_json:
        print(json.dumps(found))
        return
    for axis, names in found.items():
        print(axis)
        for name, line in names.items():
            print(f"  {name:<24} {line}")


def _listed(axis: str) -> dict[str, str]:
    from .. import registry
    from ..config import recipes

    if axis == "recipes":
        return {
            name: f"{row.space} x {row.strategy} x {row.estimator}; {row.source}"
            for name, row in recipes.RECIPES.items()
        }
    if axis == "tasks":
        from ..task.options import names

        return names()
    singular = {"spaces": "space", "strategies": "strategy", "estimators": "estimator"}[axis]
    found = {}
    for name in registry.AXES[singular]:
        found[name] = (registry.find(singular, name).__doc__ or "").split("\n")[0]
    return found


cluster.register(app)
cli_comparison.register(app)
cli_comparison.refuse_repeated(app)
