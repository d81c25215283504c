"""The command and the options of searches on several machines."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SettingError

if TYPE_CHECKING:
    from ..execute import Place

TOKEN = "EVOLVENT_TOKEN"
Serve = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Let workers anywhere ask here for candidates: evolvent work."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(envvar=TOKEN, show_envvar=True, help="That workers need; default a random one."),
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", help="PEM file of the certificate chain, for TLS.")
]
Key = Annotated[Path | None, typer.Option("--tls-key", help="PEM file of its private key.")]


OnRay = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Train on a Ray cluster: HOST:PORT, auto, or local for this machine.",
    ),
]
Cpus = Annotated[
    float | None,
    typer.Option("--cpus-per-candidate", help="With --ray: cores of each training; default 1."),
]
Gpus = Annotated[
    float | None,
    typer.Option("--gpus-per-candidate", help="With --ray: such as 0.25; default 1 on a GPU."),
]


def place(
    serve: Serve = None,
    token: Token = None,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    ray: OnRay = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
) -> Place | None:
    """Return where the candidates of a search run, as its options say; None is this machine.

    Raises:
        SettingError: for options that do not fit together.
    """
    if (tls_cert is None) != (tls_key is None):
        raise SettingError("--tls-cert and --tls-key belong together: give both")
    if serve is None and tls_cert is not None:
        raise SettingError("--tls-cert is for workers on other machines: give --serve too")
    if ray is None and not (cpus is None and gpus is None):
        name = "--gpus-per-candidate" if cpus is None else "--cpus-per-candidate"
        raise SettingError(f"{name} is what a Ray cluster is asked for: give --ray too")
    if ray is not None and serve is not None:
        raise SettingError("--ray and --serve are two ways to the same end: give one of them")
    if ray is not None:
        from ..execute.ray.place import Ray

        return Ray(ray, 1.0 if cpus is None else cpus, gpus)
    if serve is None:
        return None
    from ..execute.remote.place import Serve as Place

    pem = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
    return Place(serve, token, pem)


def elsewhere(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `place` instead of ``where``, which it is called with."""
    options = inspect.signature(place, eval_str=True, locals={"Place": Any}).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    at = list(own).index("where")
    del own["where"]
    rest = list(own.values())

    @functools.wraps(command)
    def called(**given: Any) -> None:
        where = place(**{name: given.pop(name) for name in options})
        command(**given, where=where)

    made: Any = called
    made.__signature__ = inspect.Signature([*rest[:at], *options.values(), *rest[at:]])
    made.__annotations__ = {each.name: each.annotation for each in (*rest, *options.values())}
    return called


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(work)


def work(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Of the coordinator, as it printed it.")
    ],
    token: Annotated[
        str | None, typer.Option(envvar=TOKEN, show_envvar=True, help="Of the coordinator.")
    ] = None,
    slots: Annotated[int, typer.Option(help="Calls at the same time, a process each.")] = 1,
    threads: Annotated[int, typer.Option(help="Of the numerical libraries of each.")] = 1,
    device: Annotated[str, typer.Option(help="Where to train, in place of the search's.")] = "",
    cache: Annotated[
        Path | None, typer.Option(help="Folder of fetched data; default a temporary one.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="PEM file of the certificates to trust, for TLS.")
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for a coordinator that does not answer.")
    ] = 600.0,
) -> None:
    """Work for a search on another machine (search --serve) until it ends."""
    from ..execute.remote.__main__ import run

    options = {"slots": slots, "threads": threads, "device": device, "cache": cache, "ca": ca}
    sys.exit(run(url=url, token=token, patience=patience, **options))
