"""What tests of workers elsewhere ask of candidates, processes and runs."""

import contextlib
import time

import psutil
from tests.helpers_cli import PATIENCE

from evolvent.engine.store import Store
from evolvent.types import Candidate


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def asked(id, tenths=1, note=None, states=()):
    inherited = dict(enumerate(states))
    return [(Candidate(id, (tenths,), note=note, weights_from=tuple(inherited)), inherited)]


def begun(folder, id):
    """Pids of the processes that began a candidate, and of those above them."""
    marks = [each for each in folder.glob(f"{id}-*") if not each.suffix]
    marks.sort(key=lambda each: each.stat().st_mtime_ns)
    return [tuple(map(int, each.name.split("-")[1:])) for each in marks]


def gone(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def log(folder):
    store = Store(folder / "run.db")
    try:
        return list(store.events())
    finally:
        store.close()
