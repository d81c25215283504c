"""``python -m evolvent.execute.remote URL``: a worker without the libraries of the command line.

It is ``evolvent work`` where only torch, numpy and safetensors are installed.
"""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ...errors import UserError
from .agent import PATIENCE, work

TOKEN = "EVOLVENT_TOKEN"  # environment variable, which other users of a machine do not see


def main(arguments: list[str] | None = None) -> int:
    """Work for a coordinator; return the exit code."""
    parser = argparse.ArgumentParser("evolvent.execute.remote", description=__doc__)
    parser.add_argument("url", metavar="URL", help="of the coordinator")
    parser.add_argument("--token", default=os.environ.get(TOKEN), help=f"default: ${TOKEN}")
    parser.add_argument("--slots", type=int, default=1, help="calls at the same time")
    parser.add_argument("--threads", type=int, default=1, help="of each call")
    parser.add_argument("--device", default="", help="in place of the search's")
    parser.add_argument("--cache", type=Path, help="folder of fetched data")
    parser.add_argument("--ca", type=Path, help="PEM file of certificates to trust")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds")
    return run(**vars(parser.parse_args(arguments)))


def run(*, url: str, token: str | None, **options: Any) -> int:
    """Work until the coordinator or a signal ends it, told on stderr; return the exit code."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # clusters end jobs so
    try:
        if not token:
            raise UserError(f"--token is missing: give that of the coordinator, or set {TOKEN}")
        say(f"ended: {work(url, token=token, say=say, **options)}")
        return 0
    except UserError as error:
        say(f"evolvent: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; what ran here is given to other workers")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    code = main()
    atexit._run_exitfuncs()  # it ends the server of warm processes, which holds the output open
    sys.stderr.flush()
    os._exit(code)  # threads may still wait for the coordinator
