"""The commands around comparisons: ``compare`` and ``table``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from ..errors import SettingError
from . import cluster

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting: part.name=value or strategy.name=value."),
]
tables = typer.Typer(no_args_is_help=True, help="Tabular benchmarks: import, build, show.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(compare)
    app.add_typer(tables, name="table")


class _Command(typer.core.TyperCommand):
    """A command that refuses an option that is given twice, of which one would be used silently."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are left, after checking the options."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option in order:
            single = option.param_type_name == "option" and not option.multiple
            if single and order.count(option) > 1:
                raise SettingError(
                    f"{option.opts[0]} is given {order.count(option)} times: it takes one value, "
                    "give it once"
                )
        left: list[str] = super().parse_args(ctx, args)
        return left


def refuse_repeated(app: typer.Typer) -> None:
    """Let all commands refuse options that are given twice, but those that may be repeated."""
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            refuse_repeated(group.typer_instance)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@cluster.elsewhere
def compare(
    task: Annotated[str, typer.Argument(help="table:NAME, a named data set, or a path.")],
    strategies: Annotated[str, typer.Option(help="Names, separated by commas; random joins.")],
    seeds: Annotated[int, typer.Option(help="Searches per strategy, paired.")] = 20,
    budget: Annotated[str, typer.Option(help="Of each search, such as 100t.")] = "100t",
    recipe: Annotated[str | None, typer.Option(help="Whose space and estimator to use.")] = None,
    space: Annotated[str | None, typer.Option(help="In place of the recipe's.")] = None,
    estimator: Annotated[str | None, typer.Option(help="In place of the recipe's.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Of a table of data: the column to predict, or several."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Of a table of data: the column of texts.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="classification or regression.")] = None,
    validation: Annotated[str | None, typer.Option(help="File or folder to validate on.")] = None,
    test: Annotated[str | None, typer.Option(help="File or folder to test on.")] = None,
    groups: Annotated[str | None, typer.Option(help="A column of groups, never apart.")] = None,
    time: Annotated[str | None, typer.Option(help="A column of time, kept in order.")] = None,
    folds: Annotated[str | None, typer.Option(help="A column of folds, or parts.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default one per core.")] = None,
    where: Any = None,
    out: Annotated[Path | None, typer.Option(help="Keep it here; continue what is there.")] = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Compare strategies on the same task, space, estimator and budget, over paired seeds."""
    from ..comparison.paired import compare as run_comparison
    from ..comparison.paired import text as page
    from ..config.settings import PARTS, parse_set

    names = [name.strip() for name in strategies.split(",") if name.strip()]
    if not names:
        raise SettingError("--strategies is empty: give names, such as regularized-evolution,bayes")
    found = run_comparison(
        task,
        strategies=names,
        seeds=seeds,
        budget=budget,
        recipe=recipe,
        space=space,
        estimator=estimator,
        target=target or None,
        text=text,
        kind=kind,
        validation=validation,
        test=test,
        groups=groups,
        time=time,
        folds=folds,
        settings=parse_set(set_ or [], (*PARTS, *names, "random")),
        out=out,
        workers=workers,
        where=where,
        say=_say,
    ).to_json()
    if out is not None:
        from ..files import write_atomically
        from ..report.figures import curves, tradeoff
        from ..report.files import write

        write_atomically(out / "curves.svg", curves(found))
        if figure := tradeoff(found):
            write_atomically(out / "tradeoff.svg", figure)
        _say(f"page: {write(out)}")
    print(json.dumps(found) if as_json else page(found))


@tables.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .csv, .csv.gz or .parquet file.")],
    name: Annotated[str, typer.Option(help="How to call it: table:NAME.")],
    arch: Annotated[str, typer.Option(help="Column of the architectures.")],
    score: Annotated[str, typer.Option(help="Column a search sees: validation, higher is better.")],
    test: Annotated[str | None, typer.Option(help="Column read for what was chosen.")] = None,
    cost: Annotated[str | None, typer.Option(help="Column of seconds per evaluation.")] = None,
) -> None:
    """Keep a table of measured architectures as table:NAME."""
    from ..task.tables import import_table

    table = import_table(file, name, arch, score, test, cost)
    print(f"table:{name}: {len(table):,} architectures, score {score}, test {test or 'none'}")
    if test is None:
        print("without a test column a comparison reports validation alone, and says so")


@tables.command()
def build(
    task: Annotated[str, typer.Option(help="A named data set or a path.")],
    space: Annotated[str, typer.Option(help="A small space with decisions, such as cell201.")],
    name: Annotated[str, typer.Option(help="How to call it: table:NAME.")],
    epochs: Annotated[str, typer.Option(help="Training lengths, separated by commas.")] = "2,8",
    workers: Annotated[int | None, typer.Option(help="Processes; default one per core.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where rows are kept until all are done.")
    ] = None,
    set_: Set = None,
) -> None:
    """Train every distinct architecture of a space and keep the results as table:NAME."""
    from ..comparison.tabulate import build as build_table
    from ..config.settings import parse_set
    from ..execute import cores

    try:
        lengths = [float(part) for part in epochs.split(",")]
    except ValueError:
        raise SettingError(f"--epochs {epochs!r}: give numbers, such as 2,8") from None
    table = build_table(
        task,
        space=space,
        name=name,
        epochs=lengths,
        settings=parse_set(set_ or []),
        work=out,
        workers=workers or cores(),
        say=_say,
    )
    print(f"table:{name}: {len(table):,} architectures")


@tables.command()
def show(
    name: Annotated[str, typer.Argument(help="Of the table, without table:.")],
    as_json: Json = False,
) -> None:
    """Show the columns of a table and its best architecture."""
    from ..task.tables import load_table

    table = load_table(name)
    best = table.best()
    told: dict[str, Any] = {
        "name": name,
        "architectures": len(table),
        "score": table.score,
        "test": table.test,
        "cost": table.cost,
        "columns": list(table.columns),
        "best": {
            "arch": table.archs[best],
            "score": float(table.columns[table.score][best]),
            "test": float(table.columns[table.test][best]) if table.test else None,
        },
    }
    if as_json:
        print(json.dumps(told))
        return
    for key, value in told.items():
        print(f"{key:>14}: {', '.join(value) if isinstance(value, list) else value}")
