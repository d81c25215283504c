"""Kill coordinators and workers at random moments, resume every time, and look for what is lost.

    python benchmarks/kills.py [--kills 200] [--ways local,pull] [--trials 24] [--seed 0]

Short searches of digits in which children inherit weights (`large-scale-evolution`), with final
training and export: with workers of this machine (``local``), with workers that ask over HTTP
(``pull``), or without any (``alone``). Processes are killed by signal 9: the coordinator, a process
that trains, or a worker that asks. A coordinator that was killed is started again by the same request
until the run is finished; then the next search begins. Checked after every kill and at the end:

* every result that a listener was told of is in the log, as it was told, and stays there;
* as many trials were used as the budget has, every id was asked once and told once;
* ``PRAGMA integrity_check`` says ok;
* no process outlives its coordinator or its worker;
* no file of weights is there that nothing names, and none half written;
* a search of one candidate at a time ends as one that was never killed (``alone``).

Coordinators and workers are forked from this process, which has imported everything: a kill costs no
import of torch but that of the server of the training processes. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch._dynamo  # noqa: F401 - so that what is forked has it: a training imports it

import evolvent.deliver.export  # noqa: F401 - the same
from evolvent.engine.store import Store
from evolvent.execute import Executor
from evolvent.execute.remote.address import address
from evolvent.execute.remote.agent import work
from evolvent.execute.remote.coordinator import Served
from evolvent.execute.remote.place import Serve
from evolvent.run import Run
from evolvent.session import search
from evolvent.task.opening import open_task
from evolvent.types import Candidate, Result

PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h: what loses its parent becomes our child
SILENCE = 120.0  # [s] for which a result is waited for before the next kill
LEASE = 4.0  # [s] without a word after which a pull worker is lost; 30 s in a real search
TOKEN = "token of the kills"
AWAY = 90.0  # [s] for which pull workers wait for a coordinator
PATIENCE = 1800.0  # [s] for anything; a search that takes longer hangs
WORKERS = 2
OFTEN = 2  # times more often than a coordinator, a process that trains is killed
SETTINGS: dict[str, dict[str, Any]] = {
    "strategy": {"population": 4},
    "estimator": {"epochs": 0.3},
    "train": {"epochs": 1.0, "finalists": 1, "onnx": False, "proof": False, "controls": False},
}


class Lost(AssertionError):
    """Something that must not be lost, or must not be there."""


class Near(Serve):
    """A place for pull workers, at a port of this machine, with a short lease."""

    def executor(
        self, spec: Any, *, folder: Path | None, say: Callable[[str], None], workers: int | None
    ) -> Executor:
        """Return the executor of a run."""
        host, port = address(self.address)
        return Served(spec, host=host, port=port, token=TOKEN, lease=LEASE, say=say)


class Acknowledged:
    """A listener that writes results into a file, from where no kill of this process takes them."""

    def __init__(self, file: Path) -> None:
        self.handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def on_result(self, result: Result) -> None:
        """Write a line about a result."""
        line = json.dumps([result.candidate.id, result.status, result.score])
        os.write(self.handle, f"{line}\n".encode())


def forked(call: Callable[[], object], log: Path) -> int:
    """Run a call in a copy of this process; return its process id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        call()
        code = 0
    except BaseException:  # noqa: BLE001 - the end of a process
        import traceback

        traceback.print_exc()
    finally:
        import atexit

        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


def ended(pid: int) -> int | None:
    """Return the exit status of a child that has ended, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _has_ended(pid: int) -> bool:
    return ended(pid) is not None


def below(pid: int) -> list[psutil.Process]:
    """Return the living processes below one, itself not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def training(pid: int) -> list[psutil.Process]:
    """Return the processes below one that train: the copies that its server of warm ones made."""
    found = []
    for each in below(pid):
        with contextlib.suppress(psutil.Error):
            parent = each.parent()
            if parent is not None and "forkserver" in " ".join(parent.cmdline()[:5]):
                found.append(each)
    return found


@dataclass
class Tally:
    """Counts over all searches."""

    kills: Counter[str] = field(default_factory=Counter)  # by who was killed
    phases: Counter[str] = field(default_factory=Counter)  # of coordinators, by what they were at
    searches: int = 0
    results: int = 0
    acknowledged: int = 0


@dataclass
class Trial:
    """One search that is killed again and again.

    Args:
        folder: for everything of it; empty.
        way: ``local``, ``pull`` or ``alone``.
        trials: its budget. [count]
        rng: chooses victims and moments.
        tally: of all searches.
    """

    folder: Path
    way: str
    trials: int
    rng: random.Random
    tally: Tally
    seed: int = 0

    def __post_init__(self) -> None:
        self.run, self.acks = self.folder / "run", self.folder / "acknowledged"
        self.known: list[Candidate | Result] = []
        self.crew: list[int] = []
        self.place: Near | None = None
        if self.way == "pull":
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            self.place = Near(str(port), TOKEN)

    # -- processes -------------------------------------------------------------------------------

    def coordinate(self) -> int:
        """Start a coordinator by the one request of this search."""

        def call() -> None:
            search(
                "digits",
                recipe="large-scale-evolution",
                budget=f"{self.trials}t",
                workers=0 if self.way == "alone" else WORKERS,
                seed=self.seed,
                out=self.run,
                settings=SETTINGS,
                callbacks=[Acknowledged(self.acks)],
                where=self.place,
            )

        return forked(call, self.folder / "log")

    def hire(self) -> None:
        """Start workers until there are enough."""
        if (place := self.place) is None:
            return
        self.crew = [pid for pid in self.crew if ended(pid) is None]
        url, cache = f"http://127.0.0.1:{place.address}", self.folder / "cache"
        while len(self.crew) < WORKERS:
            self.crew.append(
                forked(
                    lambda: work(url, token=TOKEN, cache=cache, patience=AWAY),
                    self.folder / "log",
                )
            )

    def kill(self, pid: int, who: str) -> None:
        """Kill a process, and see that all below it end."""
        left = below(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.tally.kills[who] += 1
        if pid in self.crew:
            self.crew.remove(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        gone(left, f"a process outlived its {who}")

    def victim(self, coordinator: int) -> tuple[int, str]:
        """Choose whom to kill."""
        above = [coordinator, *self.crew]
        trainers = [each.pid for pid in above for each in training(pid)]
        choices = ["coordinator"] + ["training process"] * min(OFTEN, OFTEN * len(trainers))
        who = self.rng.choice([*choices, *["pull worker"] * bool(self.crew)])
        if who == "coordinator":
            return coordinator, who
        return self.rng.choice(trainers if who == "training process" else self.crew), who

    # -- the story -------------------------------------------------------------------------------

    def play(self, most: int) -> None:
        """Run the search to its end, killing at most so many processes on the way."""
        begun, coordinator = time.monotonic(), self.coordinate()
        self.hire()
        left = most
        while (code := self.waited(coordinator)) is None:
            if time.monotonic() - begun > PATIENCE:
                raise Lost(f"{self.run} does not end")
            if not left:
                time.sleep(0.05)
                continue
            left -= 1
            pid, who = self.victim(coordinator)
            phase = self.phase()
            self.kill(pid, who)
            self.check()
            print(f"{self.way}: {self.heard()} results; killed a {who} ({phase})", flush=True)
            if who == "coordinator":
                self.tally.phases[phase] += 1
                coordinator = self.coordinate()
            self.hire()
        if code:
            raise Lost(f"{self.run} ended with exit code {code}: see {self.folder / 'log'}")
        for pid in self.crew:  # one that came too late to be told waits for a coordinator first
            is_gone = partial(_has_ended, pid)
            until(is_gone, "a worker outlived its search", AWAY + 60)
        self.crew = []
        self.check_at_the_end()

    def waited(self, coordinator: int) -> int | None:
        """Let a random time go by; return the exit code of the coordinator if it ended meanwhile.

        Mostly until some more results are there and a moment longer; sometimes the time alone, which
        may be that of a start.
        """
        heard, news = self.heard(), self.rng.choice([0, 1, 1, 2, 3, 5])
        moment = self.rng.uniform(0.0, 0.4 if news else 4.0)
        begun = time.monotonic()
        while self.heard() < heard + news and time.monotonic() < begun + SILENCE:
            if (code := ended(coordinator)) is not None:
                return code
            time.sleep(0.002)
        end = time.monotonic() + moment
        while time.monotonic() < end:
            if (code := ended(coordinator)) is not None:
                return code
            time.sleep(0.002)
        return ended(coordinator)

    def heard(self) -> int:
        """Return the lines that listeners wrote. [count]"""
        return self.acks.read_bytes().count(b"\n") if self.acks.exists() else 0

    def phase(self) -> str:
        """Return the phase of the run, from outside."""
        if not (self.run / "run.db").is_file():
            return "starting"
        with self.opened() as store:
            state = store.meta("state")
        return {"searched": "delivering", "done": "done"}.get(state, "searching")

    # -- checks ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self) -> Iterator[Store]:
        """Read the log as anybody may at any time."""
        with closing(Store(self.run / "run.db")) as store:
            yield store

    def check(self) -> None:
        """Compare log and acknowledgements with each other and with the log before the last kill."""
        if not (self.run / "run.db").is_file():
            if self.heard():
                raise Lost("a result was acknowledged without a log")
            return
        # First what was told, then the log: the coordinator may live, and go on meanwhile.
        heard = self.acks.read_text().splitlines() if self.heard() else []
        with self.opened() as store:
            events = list(store.events())
        if events[: len(self.known)] != self.known:
            raise Lost(f"{self.run}: an event of the log is lost or changed")
        self.known = events
        told = {e.candidate.id: (e.status, e.score) for e in events if isinstance(e, Result)}
        for id, status, score in map(json.loads, heard):
            if told.get(id) != (status, score):
                raise Lost(f"{self.run}: the acknowledged result of candidate {id} is lost")
        with closing(sqlite3.connect(self.run / "run.db")) as db:
            if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise Lost(f"{self.run}: integrity_check found damage")

    def check_at_the_end(self) -> None:
        """Check budget, processes and files of a finished run."""
        self.check()
        events = self.known
        asked = Counter(e.id for e in events if isinstance(e, Candidate))
        told = Counter(e.candidate.id for e in events if isinstance(e, Result))
        used = sum(e.counts for e in events if isinstance(e, Result))
        once = (
            asked == told and sorted(asked) == list(range(len(asked))) and {*asked.values()} == {1}
        )
        if not once or used != self.trials:
            raise Lost(f"{self.run}: {used} of {self.trials} trials, asked {asked}, told {told}")
        gone(psutil.Process().children(recursive=True), "a process outlived its search")
        names = {e.weights for e in events if isinstance(e, Result) and e.weights}
        with self.opened() as store:
            names |= {
                f"{key.removeprefix('trained/')}.safetensors" for key in store.notes("trained/")
            }
        found = {file.name for file in (self.run / "weights").iterdir()}
        halves = list(self.run.rglob("*.part"))
        if not found <= names or halves:
            raise Lost(f"{self.run}: nobody needs {sorted(found - names)} and {halves}")
        if not (self.run / "best" / "weights.safetensors").is_file():
            raise Lost(f"{self.run}: nothing was delivered")
        self.tally.searches += 1
        self.tally.results += used
        self.tally.acknowledged += self.heard()


def gone(processes: list[psutil.Process], what: str) -> None:
    """Wait until processes have ended; a zombie has."""

    def alive() -> list[psutil.Process]:
        found = []
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each)
        return found

    until(lambda: not alive(), what)


def until(condition: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    """Wait for a condition, and not for ever."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise Lost(what)
        time.sleep(0.01)


def story(run: Path) -> list[Any]:
    """Return the course and the end of a search, without what depends on the clock."""
    keys = ("id", "parents", "operator", "score", "status", "params", "arch")
    found = Run(run)
    rows = [[row[key] for key in keys] for row in found.candidates()]
    card = [found.card[key] for key in ("candidate", "arch", "val_score", "test_score", "trials")]
    return [rows, card]


def killed(folder: Path, *, kills: int, ways: list[str], trials: int, seed: int) -> Tally:
    """Kill so many processes, in as many searches as that takes; raise `Lost` where something is wrong.

    Args:
        folder: for the searches; what is well is deleted.
        kills: in all. [count]
        ways: of the searches, in turn.
        trials: budget of each. [count]
        seed: of victims and moments.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    open_task("digits", {})  # for what that imports
    tally, rng, whole = Tally(), random.Random(seed), None
    while (done := tally.kills.total()) < kills:
        way = ways[tally.searches % len(ways)]
        place = Path(tempfile.mkdtemp(prefix=f"{way}-", dir=folder))
        trial = Trial(place, way, trials, rng, tally)
        trial.play(min(kills - done, trials))
        if way == "alone":
            if whole is None:
                whole = Trial(Path(tempfile.mkdtemp(dir=folder)), way, trials, rng, Tally())
                whole.play(0)
            if story(trial.run) != story(whole.run):
                raise Lost(f"{trial.run} did not end as {whole.run}, which was never killed")
        shutil.rmtree(place)
        said = ", ".join(f"{count} {who}" for who, count in sorted(tally.kills.items()))
        print(f"{tally.searches} searches, {tally.kills.total()} kills ({said})", flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--ways", default="local,pull")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default: temporary")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-", dir=given.folder))
    begun = time.monotonic()
    try:
        tally = killed(
            folder,
            kills=given.kills,
            ways=given.ways.split(","),
            trials=given.trials,
            seed=given.seed,
        )
    except Lost as error:
        sys.exit(f"LOST: {error} (kept in {folder})")
    print(
        f"{tally.kills.total()} kills {dict(tally.kills)} in {tally.searches} searches; coordinators "
        f"were {dict(tally.phases)}; {tally.results} results, {tally.acknowledged} acknowledgements: "
        f"none lost, none twice, budgets exact, logs whole, no orphan; {time.monotonic() - begun:.0f} s"
    )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
