"""The loop: the budget is exact, nothing is lost, nothing is done twice, resume is replay."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest

from evolvent.engine.loop import REFUSALS, Search, replay
from evolvent.engine.store import Memory
from evolvent.errors import CandidateFailed, EvolventError, ReplayError, SettingError, UserError
from evolvent.estimator import Evaluation
from evolvent.types import Candidate, Result, stream


class Climb:
    """Asks for numbers near the best so far; what it asks depends on all it was told."""

    needs: frozenset[str] = frozenset()
    ends = False

    def __init__(self, seed=0):
        self.seed, self.asked, self.told = seed, 0, []

    def ask(self):
        rng = stream(self.seed, "climb", self.asked)
        best = max((result.value for result in self.told if result.ok), default=0.0)
        self.asked += 1
        return Candidate(self.asked - 1, round(best + rng.uniform(-1, 2), 6))

    def tell(self, result):
        self.told.append(result)


class Fixed(Climb):
    """Asks for what it was given, then for nothing."""

    def __init__(self, *asks, ends=True):
        super().__init__()
        self.asks, self.ends = asks, ends

    def ask(self):
        if self.asked >= len(self.asks):
            return None
        self.asked += 1
        return replace(self.asks[self.asked - 1], id=self.asked - 1)


def score(candidate):
    return Evaluation(Result(candidate, float(candidate.arch)))


@dataclass
class Desk:
    """Answers at once, when `finish` says so, or never; remembers what it was asked."""

    answer: Callable[[Candidate], Evaluation] = score
    at_once: bool = True
    slots: int = 1
    submitted: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)
    open: dict = field(default_factory=dict)

    def submit(self, candidate):
        self.submitted.append(candidate.id)
        future: Future[Evaluation] = Future()
        self.open[future] = candidate
        if self.at_once:
            self.finish(future)
        return future

    def finish(self, future):
        try:
            future.set_result(self.answer(self.open.pop(future)))
        except EvolventError as error:
            future.set_exception(error)

    def start(self):
        """Nothing waits."""

    def keep(self, evaluation):
        return evaluation.result

    def cancel(self, future):
        self.cancelled.append(self.open.pop(future).id)


def run(strategy=None, log=None, desk=None, **options):
    log, desk = Memory() if log is None else log, desk or Desk()
    options = {"trials": 12} | options
    for name in ("slots", "keep", "start"):
        if name in options:
            setattr(desk, name, options.pop(name))
    Search(desk, **options).run(strategy or Climb(), log)
    return log


def told(log):
    return [event for event in log.events() if isinstance(event, Result)]


@pytest.fixture
def chance():
    """Lets a desk answer as chance has it: any of what is open, in any order; seeded by the call."""

    def of(desk, seed):
        rng = stream(seed, "chance")

        def start():
            ready = rng.sample(sorted(desk.open, key=lambda f: desk.open[f].id), len(desk.open))
            for future in ready[: rng.randint(1, len(ready))]:
                desk.finish(future)

        desk.start, desk.at_once = start, False
        return desk

    return of


def asked(log):
    return [event for event in log.events() if isinstance(event, Candidate)]


class Widening(Climb):
    """Steps as wide as its horizon allows, and is told of a longer one."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.horizon = 12

    def lengthen(self, horizon):
        self.horizon = horizon

    def ask(self):
        candidate = super().ask()
        return replace(candidate, arch=round(candidate.arch * self.horizon / 12, 6))


# ---- the budget ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 3])
def test_a_budget_in_trials_is_exact(slots):
    log = run(trials=7, slots=slots)
    assert len(told(log)) == len(asked(log)) == 7


def test_failed_trials_count_and_refused_ones_do_not():
    def answer(candidate):
        if candidate.id % 3 == 0:
            raise CandidateFailed("every third")
        return score(candidate)

    log = run(trials=8, desk=Desk(answer), admit=lambda c: "odd" if c.id % 2 else None)
    status = [result.status for result in told(log)]
    assert status == ["failed", "refused", "ok", "refused", "ok", "refused"] * 2 + [
        *("failed", "refused", "ok")
    ]


def test_steps_use_no_trial():
    step, trial = Candidate(0, 1.0, kind="step"), Candidate(0, 1.0)
    log = run(Fixed(step, step, trial, step, trial, trial), trials=2)
    assert [event.kind for event in asked(log)] == ["step", "step", "trial", "step", "trial"]


def test_a_budget_in_seconds_ends_the_search_and_cuts_what_runs():
    desk = Desk(at_once=False)
    start = time.monotonic()
    log = run(desk=desk, trials=None, seconds=0.3, slots=3)
    assert 0.3 <= time.monotonic() - start < 2
    assert [result.status for result in told(log)] == ["cut"] * 3
    assert sorted(desk.cancelled) == desk.submitted == [0, 1, 2]
    assert log.spent("search") == pytest.approx(0.3, abs=0.3)


def test_seconds_are_counted_over_all_sessions():
    log = Memory()
    log.spend("search", 100.0)
    run(log=log, trials=None, seconds=99.0)
    assert asked(log) == []
    assert log.spent("search") >= 100.0


def test_time_is_noted_while_nothing_happens(monkeypatch):
    monkeypatch.setattr("evolvent.engine.loop.HEARTBEAT", 0.02)
    log, noted = Memory(), []
    log.spend = lambda phase, seconds: noted.append(seconds)  # type: ignore[method-assign]
    run(log=log, desk=Desk(at_once=False), trials=None, seconds=0.3)
    assert len(noted) > 5
    assert noted == sorted(noted)


def test_whichever_of_two_budgets_ends_first_counts():
    assert len(asked(run(trials=5, seconds=60))) == 5
    assert [result.status for result in told(run(desk=Desk(at_once=False), seconds=0.1))] == ["cut"]


def test_a_clock_that_results_charge_stops_at_the_budget():
    def answer(candidate):
        return Evaluation(Result(candidate, 1.0, seconds=10.0))

    log = run(desk=Desk(answer), trials=None, seconds=35.0, charged=True)
    assert [result.status for result in told(log)] == ["ok", "ok", "ok", "cut"]
    again = run(log=log, desk=Desk(answer), trials=None, seconds=35.0, charged=True)
    assert len(told(again)) == 4


# ---- limits --------------------------------------------------------------------------------------


def test_a_refused_candidate_is_told_with_its_reason_and_never_submitted():
    desk, strategy = Desk(), Climb()
    log = run(strategy, desk=desk, trials=3, admit=lambda c: "too large" if c.id == 1 else None)
    assert desk.submitted == [0, 2, 3]
    refused = told(log)[1]
    assert (refused.status, refused.reason, refused.seconds) == ("refused", "too large", 0.0)
    assert strategy.told == told(log)


def test_a_thousand_refusals_in_a_row_end_the_search_with_the_last_reason():
    log, desk = Memory(), Desk()
    with pytest.raises(SettingError, match=r"1,000 candidates in a row.*it is number 1001"):
        run(log=log, desk=desk, admit=lambda c: f"it is number {c.id}" if c.id > 1 else None)
    assert desk.submitted == [0, 1]
    assert len(told(log)) == REFUSALS + 2


def test_refusals_that_are_not_in_a_row_never_end_it():
    log = run(trials=30, admit=lambda c: "most are" if c.id % 100 else None)
    assert sum(result.status == "refused" for result in told(log)) > 2 * REFUSALS


def test_refusing_ends_with_the_time():
    def admit(candidate):
        time.sleep(0.01)
        return "always"

    log = run(trials=None, seconds=0.1, admit=admit)
    assert 1 <= len(told(log)) <= 20


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_candidate_that_fails_is_a_result_with_its_reason():
    def answer(candidate):
        raise CandidateFailed("stopped after 3 s")

    log = run(desk=Desk(answer), trials=2)
    assert [(r.status, r.reason) for r in told(log)] == [("failed", "stopped after 3 s")] * 2


def test_wrong_input_that_only_a_worker_can_see_ends_the_search():
    def answer(candidate):
        raise UserError("no such data")

    log = Memory()
    with pytest.raises(UserError, match="no such data"):
        run(log=log, desk=Desk(answer))
    assert told(log) == []  # it is asked for again when the run is resumed


@pytest.mark.parametrize("ends", [True, False])
def test_a_strategy_may_only_stop_early_if_it_says_so(ends):
    log, strategy = Memory(), Fixed(Candidate(0, 1.0), ends=ends)
    if ends:
        run(strategy, log)
    else:
        with pytest.raises(EvolventError, match="Fixed asks for nothing while nothing runs"):
            run(strategy, log)
    assert len(told(log)) == 1


def test_none_means_wait_for_a_tell(chance):
    class Generations(Climb):
        """The second three are asked for when the first three were told."""

        def ask(self):
            return super().ask() if self.asked < 3 or len(self.told) >= 3 else None

    log = run(Generations(), desk=chance(Desk(), 0), trials=6, slots=4)
    ids = [event.id if isinstance(event, Candidate) else "told" for event in log.events()]
    assert ids.index(3) == ids.index("told") + 3


# ---- several at a time ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_with_several_slots_nothing_is_lost_and_nothing_is_done_twice(seed, chance):
    strategy, desk = Climb(), chance(Desk(), seed)
    log = run(strategy, desk=desk, slots=4, trials=21)
    assert desk.submitted == list(range(21))
    assert sorted(result.candidate.id for result in told(log)) == list(range(21))
    assert strategy.told == told(log)
    assert replay(Climb(), log) == ([], 21)


def test_all_slots_are_used_and_never_more(chance):
    most = []

    class Counting(Desk):
        def submit(self, candidate):
            future = super().submit(candidate)
            most.append(len(self.open))
            return future

    run(desk=chance(Counting(), 0), trials=9, slots=3)
    assert max(most) == 3


# ---- resume --------------------------------------------------------------------------------------


def odd_refused(candidate):
    return "odd" if candidate.id % 5 == 3 else None


def sometimes(candidate):
    if candidate.id % 4 == 1:
        raise CandidateFailed("now and then")
    return score(candidate)


def truncated(log, length):
    short = Memory()
    for event in itertools.islice(log.events(), length):
        short.asked(event) if isinstance(event, Candidate) else short.told(event)
    return short


def test_killed_after_any_event_the_finished_log_equals_the_unbroken_one():
    whole = list(run(desk=Desk(sometimes), admit=odd_refused).events())
    for length in range(len(whole) + 1):
        log, desk = truncated(run(desk=Desk(sometimes), admit=odd_refused), length), Desk(sometimes)
        run(log=log, desk=desk, admit=odd_refused)
        assert list(log.events()) == whole
        done = {e.candidate.id for e in whole[:length] if isinstance(e, Result)}
        assert not done & set(desk.submitted), "a finished candidate was evaluated again"


def test_killed_after_every_event_in_turn_it_still_ends_the_same():
    whole, log = list(run().events()), Memory()
    while len(list(log.events())) < len(whole):
        length = len(list(log.events())) + 1
        run(log=log)
        log = truncated(log, length)
    assert list(log.events()) == whole


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_killed_with_several_slots_everything_is_done_once_with_any_number_of_slots(slots, chance):
    whole = run(slots=4, desk=chance(Desk(), 0), trials=11)
    for length in range(len(list(whole.events()))):
        log, desk = truncated(whole, length), chance(Desk(), length)
        before = {result.candidate.id for result in told(log)}
        run(log=log, desk=desk, trials=11, slots=slots)
        assert sorted(result.candidate.id for result in told(log)) == list(range(11))
        assert not before & set(desk.submitted)


def test_what_was_asked_but_not_told_is_submitted_first_under_its_id():
    log, first = Memory(), Climb()
    waiting = [first.ask(), first.ask()]
    for candidate in waiting:
        log.asked(candidate)
    desk = Desk()
    run(log=log, desk=desk, trials=4)
    assert desk.submitted == [0, 1, 2, 3]
    assert asked(log)[:2] == waiting


def test_what_was_asked_before_a_limit_saw_it_is_still_refused():
    log = Memory()
    log.asked(Climb().ask())
    desk = Desk()
    run(log=log, desk=desk, trials=1, admit=lambda c: "too large" if c.id == 0 else None)
    assert desk.submitted == [1]
    assert told(log)[0].status == "refused"


def test_what_was_open_when_the_time_ended_is_cut_on_resume():
    log, strategy = Memory(), Climb()
    for _ in range(2):
        log.asked(strategy.ask())
    log.spend("search", 10.0)
    desk = Desk()
    run(log=log, desk=desk, trials=None, seconds=5.0)
    assert desk.submitted == []
    assert [result.status for result in told(log)] == ["cut", "cut"]


def test_the_time_of_the_replay_counts():
    class Slow(Climb):
        def tell(self, result):
            time.sleep(0.02)
            super().tell(result)

    log = run(trials=10)
    before = log.spent("search")
    run(Slow(), log, trials=10)
    assert log.spent("search") >= before + 0.2


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"arch": 99.0}, r"arch [\d.-]+ is now 99.0"),
        ({"operator": "jump"}, "operator sample is now jump"),
        ({"id": 7}, "id 2 is now 7"),
        (None, "it asks for nothing"),
    ],
)
def test_a_strategy_that_asks_for_something_else_is_refused_with_the_difference(change, difference):
    class Changed(Climb):
        def ask(self):
            candidate = super().ask()
            if candidate.id != 2:
                return candidate
            return None if change is None else replace(candidate, **change)

    with pytest.raises(ReplayError, match=f"candidate 2 .*{difference}"):
        run(Changed(), run())


def test_other_seeds_are_refused():
    with pytest.raises(ReplayError, match="candidate 0"):
        run(Climb(seed=1), run(Climb(seed=0)))


def test_a_finished_search_is_left_as_it_is():
    log, desk = run(), Desk()
    before = list(log.events())
    run(log=log, desk=desk)
    assert list(log.events()) == before
    assert desk.submitted == []


# ---- what listens --------------------------------------------------------------------------------


def test_listeners_hear_every_result_of_this_session_after_the_strategy():
    heard, strategy = [], Climb()

    def listen(result):
        assert strategy.told[-1] == result
        heard.append(result)

    log = run(strategy, listen=listen, admit=odd_refused)
    assert heard == told(log)


def test_every_result_is_seen_with_the_strategy_those_of_earlier_sessions_too():
    for length in (0, 5, 12):
        seen: list[Result] = []
        strategy = Climb()

        def see(result, seen=seen, strategy=strategy):
            seen.append(result)
            assert strategy.told == seen

        log = truncated(run(admit=odd_refused), length)
        run(strategy, log, seen=see, admit=odd_refused)
        assert seen == told(log)


def test_what_solves_the_task_is_known_before_anything_else_is_asked():
    solved = []
    log = run(Climb(), seen=lambda r: solved.append(r.value > 3), over=lambda: any(solved))
    assert [result.value > 3 for result in told(log)] == [*[False] * (len(solved) - 1), True]


def test_weights_are_stored_before_their_result_is():
    kept: list[int] = []

    def keep(evaluation):
        assert len(told(log)) == len(kept)
        kept.append(evaluation.result.candidate.id)
        return replace(evaluation.result, weights=f"{kept[-1]}.safetensors")

    log = Memory()
    run(log=log, trials=3, keep=keep)
    assert [result.weights for result in told(log)] == [f"{id}.safetensors" for id in range(3)]


# ---- more budget ---------------------------------------------------------------------------------


def of_two_stretches():
    log = run(Widening(), trials=6)
    since = sum(1 for _ in log.events())
    run(Widening(), log, trials=10, horizons=((since, 24),))
    return log, since


def test_a_longer_horizon_is_told_where_its_stretch_begins():
    log, since = of_two_stretches()
    short, same = run(Widening(), trials=6), run(Widening(), trials=10)
    assert asked(log)[:6] == asked(short) == asked(same)[:6]
    assert asked(log)[6:] != asked(same)[6:]
    strategy = Widening()
    replay(strategy, log, ((since, 24),))
    assert strategy.horizon == 24
    replay(strategy := Widening(), short, ((since, 24),))
    assert strategy.horizon == 24


def test_a_strategy_that_does_not_ask_for_it_goes_on_as_it_is():
    log = run(trials=6)
    run(log=log, trials=10, horizons=((12, 99),))
    assert list(log.events()) == list(run(trials=10).events())


def test_killed_after_any_event_a_second_stretch_equals_the_unbroken_one():
    whole, since = of_two_stretches()
    for length in range(since, len(list(whole.events())) + 1):
        log = truncated(whole, length)
        run(Widening(), log, trials=10, horizons=((since, 24),))
        assert list(log.events()) == list(whole.events())


def test_a_second_stretch_without_its_horizon_is_no_replay():
    whole, _ = of_two_stretches()
    with pytest.raises(ReplayError):
        run(Widening(), whole, trials=12)


@pytest.mark.parametrize("method", ["ask", "tell"])
def test_an_error_of_a_strategy_is_one_line_that_names_it_and_the_log_stays(method):
    class Broken(Climb):
        def __init__(self):
            super().__init__()
            self.calls = 0

    def fails(self, *args):
        self.calls += 1
        if self.calls > 2:
            raise ValueError("nowhere to go")
        return getattr(Climb, method)(self, *args)

    setattr(Broken, method, fails)
    log = Memory()
    with pytest.raises(EvolventError, match=rf"strategy Broken: {method}.*nowhere to go") as caught:
        run(Broken(), log)
    assert "\n" not in str(caught.value)
    assert len(told(log)) >= 2
