"""The loop: ask, store, submit; wait; store, tell. It owns the budget of a search, nothing else does.

Resume is replay: the log is told to a fresh strategy, every ask must give the candidate that was
stored, and what was asked but never told is submitted again under its id.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import CandidateFailed, EvolventError, ReplayError, SettingError
from ..estimator import Evaluation
from ..strategy import Strategy, lengthen
from ..types import Candidate, Result, failed
from .running import Ended, Running
from .store import Log

REFUSALS = 1000  # in a row; then the limits leave nothing to search
LATELY = 5  # [count] results whose durations tell whether another candidate could end in time
HEARTBEAT = 0.25  # [s] between two notes of the time spent: what a kill can hide from the budget


class Diverged(EvolventError):
    """A step of an estimator that holds state failed: what it has learnt is spoilt."""


class Evaluator(Protocol):
    """Where candidates are evaluated, as the loop needs it."""

    @property
    def slots(self) -> int:
        """Evaluations at a time; may change. [count]"""

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        """Take a candidate that is stored; its evaluation may wait for `start`."""

    def start(self) -> None:
        """Evaluate the submitted candidates: the loop is about to wait."""

    def cancel(self, future: Future[Evaluation]) -> None:
        """End an evaluation whose answer is no longer wanted."""

    def keep(self, evaluation: Evaluation) -> Result:
        """Store the weights that came with a result, and return it with their name."""


@dataclass(frozen=True)
class Search:
    """One search: what it needs besides its strategy and its log.

    Args:
        evaluator: evaluates candidates.
        trials: of the whole search, over all sessions; refused and cut ones do not count. [count]
        seconds: of the whole search, over all sessions. [s]
        grace: further seconds for a first score, without which there is nothing to deliver. [s]
        charged: whether the clock is what results say they cost, as on a table, instead of the wall.
        admit: the reason to refuse a candidate before any training, or None.
        seen: is told every result right after the strategy, those of earlier sessions too, and before
            anything else is asked for.
        listen: is told every result of this session when it is safely stored.
        over: whether what was told leaves nothing to search for.
        stateful: whether the estimator carries state from one candidate to the next.
        horizons: of the stretches of budget after the first: events of the log before each, and what
            its strategy is to plan for from there on. [count, trials]
    """

    evaluator: Evaluator
    trials: int | None = None
    seconds: float | None = None
    grace: float = 0.0
    charged: bool = False
    admit: Callable[[Candidate], str | None] = lambda candidate: None
    seen: Callable[[Result], None] = lambda result: None
    listen: Callable[[Result], None] = lambda result: None
    over: Callable[[], bool] = lambda: False
    stateful: bool = False
    horizons: tuple[tuple[int, int], ...] = ()

    def run(self, strategy: Strategy, log: Log) -> None:
        """Search until the budget is spent or the strategy ends; continue if the log has events.

        Raises:
            ReplayError: if the log is not what this strategy would have asked.
            Diverged: if a step fails, which leaves a state that nothing can be built on.
            SettingError: if the limits refuse a thousand candidates in a row.
        """
        clock = (_Charged if self.charged else _Clock)(log, self.seconds, self.grace)

        def known(result: Result) -> None:
            clock.known(result)
            self.seen(result)

        try:
            waiting, used = replay(strategy, log, self.horizons, seen=known)
            _Session(self, strategy, log, clock, waiting, used).run()
        finally:
            clock.note(now=True)


@dataclass
class _Session:
    """One session of a search: what waits, what runs, and the trials used.

    Results are told in one transaction and reported after it, candidates asked for in one and submitted
    after it: whatever anybody else has heard of is on disk. The strategy hears of a result just before;
    if the transaction is lost, so is everything that followed from it.
    """

    search: Search
    strategy: Strategy
    log: Log
    clock: _Clock
    waiting: list[Candidate]  # asked in an earlier session, and perhaps not yet admitted
    used: int
    running: Running = field(default_factory=Running)

    def run(self) -> None:
        """Ask, evaluate and tell until nothing runs and nothing more is asked for."""
        self._ask_and_submit()
        while self.running:
            self.search.evaluator.start()
            self._tell_and_report(self.running.done(self.clock.wait))
            self._ask_and_submit()
        if self.waiting:  # and there is no time left for them
            with self.log.together():
                told = [self._tell(_cut(candidate)) for candidate in self.waiting]
            self._report(told)
        if not (self._spent or not self.clock.room or self.strategy.ends):
            raise EvolventError(
                f"{type(self.strategy).__name__} asks for nothing while nothing runs and budget is "
                "left: a strategy that may end must say so (ends = True)"
            )

    def _tell_and_report(self, done: list[Ended]) -> None:
        """Tell finished ones, in one transaction, and then let others hear of them."""
        self.clock.note()
        ended = self.clock.over and not done
        with self.log.together():
            told = [self._cut_off(*each) for each in self.running.rest()] if ended else []
            told += [self._take(self._answer(*each)) for each in done]
        self._report(told)

    def _ask_and_submit(self) -> None:
        """Ask for as many candidates as there are free slots, in one transaction, and submit them."""
        refused: list[Result] = []
        with self.log.together():
            fresh = list(self._asked(refused))
        self._report(refused)
        for candidate in fresh:  # stored by now
            self.running.add(self.search.evaluator.submit(candidate), candidate)

    def _asked(self, refused: list[Result]) -> Iterator[Candidate]:
        """Yield candidates to submit: as many as slots are free, if there is room for them."""
        count = len(self.running)
        while count < self.search.evaluator.slots and self.clock.room:
            candidate = self._next(refused)
            if candidate is None:
                return
            self.used += candidate.kind == "trial"
            count += 1
            yield candidate

    @property
    def _spent(self) -> bool:
        """Whether nothing more may be asked for, whatever the clock says."""
        trials = self.search.trials
        return self.search.over() or (trials is not None and self.used >= trials)

    def _next(self, refused: list[Result]) -> Candidate | None:
        """Return the next candidate that the limits admit, if the budget has room for it.

        Those that wait come first: they were asked for, and perhaps not yet admitted, when an earlier
        session ended. The results of refused ones are added to `refused`.
        """
        for _ in range(REFUSALS):
            if self.waiting:
                candidate: Candidate | None = self.waiting.pop(0)
            elif not self.clock.room or self._spent:
                return None
            elif (candidate := _ask(self.strategy)) is not None:
                self.log.asked(candidate)
            if candidate is None:
                return None
            reason = None if candidate.arch is None else self.search.admit(candidate)
            if reason is None:
                return candidate
            refused.append(self._tell(Result(candidate, status="refused", reason=reason)))
            self.clock.note()
        raise SettingError(
            f"the limits refused {REFUSALS:,} candidates in a row, the last because {reason}: "
            "raise the limit or choose a smaller space or network"
        )

    def _answer(self, future: Future[Evaluation], candidate: Candidate) -> Result:
        try:
            result = self.search.evaluator.keep(future.result())
        except CandidateFailed as error:
            result = failed(candidate, str(error))
        if self.search.stateful and candidate.kind == "step" and not result.ok:
            raise Diverged(result.reason)
        return result

    def _cut_off(self, future: Future[Evaluation], candidate: Candidate) -> Result:
        self.search.evaluator.cancel(future)
        return self._take(_cut(candidate))

    def _take(self, answer: Result) -> Result:
        """Charge an answer to the clock and tell it."""
        told = self._tell(self.clock.charge(answer))
        self.clock.seen(answer)
        return told

    def _tell(self, result: Result) -> Result:
        self.log.told(result)
        _tell(self.strategy, result)
        self.search.seen(result)
        return result

    def _report(self, told: list[Result]) -> None:
        """Pass on stored results; a listener may delete weights that no candidate needs any more."""
        for result in told:
            self.search.listen(result)


def _ask(strategy: Strategy) -> Candidate | None:
    """Return the next candidate; an error of the strategy ends the search with its name."""
    with _named(strategy, "ask()"):
        asked = strategy.ask()
        if asked is not None and not isinstance(asked, Candidate):
            raise TypeError(f"it returned {asked!r}, and must return a Candidate or None")
        return asked


def _tell(strategy: Strategy, result: Result) -> None:
    """Tell a result; an error of the strategy ends the search with its name."""
    with _named(strategy, "tell(result)"):
        strategy.tell(result)


@contextmanager
def _named(strategy: Strategy, method: str) -> Iterator[None]:
    try:
        yield
    except EvolventError:
        raise
    except Exception as error:  # a strategy may be the user's own code
        raise EvolventError(
            f"strategy {type(strategy).__name__}: {method} failed with {type(error).__name__}: "
            f"{error}: what was found is kept, repair it and repeat the command"
        ) from error


def _cut(candidate: Candidate) -> Result:
    return Result(candidate, status="cut", reason="the budget ended before it did")


def replay(
    strategy: Strategy,
    log: Log,
    horizons: tuple[tuple[int, int], ...] = (),
    *,
    seen: Callable[[Result], None] = lambda result: None,
) -> tuple[list[Candidate], int]:
    """Tell a fresh strategy the log; return what was asked but not told, and the trials used.

    Trials of the waiting candidates are not among those used: they are counted when submitted.

    Args:
        strategy: fresh.
        log: of the search so far.
        horizons: as in `Search`.
        seen: is told every result after the strategy.
    """
    waiting: dict[int, Candidate] = {}
    used, later = 0, list(horizons)
    for place, event in enumerate(log.events()):
        while later and later[0][0] <= place:
            lengthen(strategy, later.pop(0)[1])
        if isinstance(event, Candidate):
            _same(strategy.ask(), event)
            waiting[event.id] = event
        else:
            del waiting[event.candidate.id]
            used += event.counts
            strategy.tell(event)
            seen(event)
    for _, horizon in later:  # the last stretch begins where the log ends
        lengthen(strategy, horizon)
    return list(waiting.values()), used


def _same(now: Candidate | None, then: Candidate) -> None:
    """Refuse to go on when the strategy asks for something else than it did."""
    if now is not None and now.mixture is then.mixture is None and now == then:
        return  # else what JSON makes of both is compared, which takes longer
    old, new = (json.loads(json.dumps(c.to_json())) if c else {} for c in (then, now))
    if old == new:
        return
    found = [
        f"{name} {old[name]} is now {new[name]}" for name in old if new and old[name] != new[name]
    ]
    raise ReplayError(
        f"candidate {then.id} of the log is not what the strategy asks for "
        f"({'; '.join(found) or 'it asks for nothing'}): the log was written by another version or "
        "with other settings; start anew with another --out"
    )


class _Clock:
    """The seconds of the search over all sessions, noted in the log several times a second."""

    def __init__(self, log: Log, seconds: float | None, grace: float = 0.0) -> None:
        self.log, self.seconds, self.grace = log, seconds, grace
        self.start = time.monotonic() - log.spent("search")
        self.noted = time.monotonic()
        # whether there is something to deliver, which is worth waiting for
        self.scored = not grace
        self.lately: deque[float] = deque(maxlen=LATELY)  # durations of evaluations [s]

    @property
    def left(self) -> float:
        """Time left of the search. [s]"""
        if self.seconds is None:
            return math.inf
        grace = 0.0 if self.scored else self.grace
        return self.seconds + grace - (time.monotonic() - self.start)

    @property
    def over(self) -> bool:
        return self.left <= 0

    @property
    def room(self) -> bool:
        """Whether another candidate could end in time: half of the last ones took no longer."""
        expected = statistics.median(self.lately) if self.lately and self.scored else 0.0
        return self.left > expected

    def known(self, result: Result) -> None:
        """Take a result of an earlier session."""
        self.scored = self.scored or result.scored

    def seen(self, result: Result) -> None:
        """Take a result that is told: what it took, and whether there is one to deliver."""
        self.scored = self.scored or result.scored
        if result.scored:
            self.lately.append(result.seconds)

    @property
    def wait(self) -> float:
        """Longest wait for a result before the next look at the clock. [s]"""
        return max(0.0, min(HEARTBEAT, self.left))

    def note(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self.noted >= HEARTBEAT:
            self.noted = time.monotonic()
            self.log.spend("search", self.noted - self.start)

    def charge(self, result: Result) -> Result:
        """Return `result`: the wall has charged it already."""
        return result


class _Charged(_Clock):
    """The seconds that results say they cost: simulated time, for tables."""

    def __init__(self, log: Log, seconds: float | None, grace: float = 0.0) -> None:
        super().__init__(log, seconds)
        self.total = 0.0

    def known(self, result: Result) -> None:
        self.total += result.seconds

    @property
    def over(self) -> bool:
        return self.seconds is not None and self.total >= self.seconds

    @property
    def room(self) -> bool:
        return not self.over

    @property
    def wait(self) -> float:
        return HEARTBEAT

    def charge(self, result: Result) -> Result:
        """Return `result`, cut if it would have ended after the budget."""
        self.total += result.seconds
        if self.seconds is not None and self.total > self.seconds:
            return replace(_cut(result.candidate), seconds=result.seconds)
        return result
