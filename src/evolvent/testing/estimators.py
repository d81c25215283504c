"""The rules of every estimator, checked on small tasks of its kinds."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import registry
from ..contract import check_contract, kinds_of
from ..errors import SettingError
from ..estimator import Estimator, Evaluation
from ..space import Space
from ..task import Task
from ..types import Arch, Budget, Candidate, Result, State, stream
from .common import from_json, name_of, require, run_rules
from .tasks import KINDS, mislabelled, poisoned, small_task, unlearnable

EPOCHS = 4.0
WARMED = 30  # batches that shared weights learn from before they judge
ANEW = 5  # trainings that must not all end alike
CLOCKS = ("seconds", "latency")  # what the name of a metric holds that a clock measured


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator to check.

    Args:
        name: for messages.
        make: the class, or anything called like it: ``make(space, task, seed=...)``.
        task: what to evaluate on.
        space: whose architectures to evaluate.
        settings: further keyword arguments.
        epochs: of every candidate. [epochs]
    """

    name: str
    make: Callable[..., Estimator]
    task: Any
    space: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: float = EPOCHS

    def fresh(self, task: Any = None, seed: int = 0) -> Any:
        """Return the estimator as a worker makes it; shared weights have learnt a little."""
        made = self.make(self.space, task or self.task, seed=seed, **self.settings)
        if "sharing" in made.gives:
            budget = Budget(train_batches=WARMED, validation_batches=0)
            rows = self.space.one_hot(self.arch())
            made.evaluate(Candidate(99, kind="step", mixture=rows, budget=budget), {})
        return made

    def arch(self, number: int = 0) -> Arch:
        """Return one of a few random architectures."""
        return self.space.sample(stream("arch", number))

    def candidate(self, id: int = 0, number: int = 0, **values: Any) -> Candidate:
        """Return a trial of an architecture."""
        return Candidate(id, self.arch(number), budget=Budget(epochs=self.epochs), **values)


def check_estimator(
    make: Callable[..., Estimator],
    *,
    task: Any = None,
    space: Space | None = None,
    settings: Mapping[str, Any] | None = None,
    epochs: float = EPOCHS,
) -> None:
    """Check an estimator against its contract.

    Args:
        make: the class, or anything that is called like one.
        task: to evaluate on; None is a small one of every kind that the estimator is for.
        space: whose architectures to evaluate; None is one that suits the task.
        settings: further keyword arguments, such as a smaller size.
        epochs: of every candidate; if it trains, they must be enough to beat chance. [epochs]

    Raises:
        AssertionError: for the first rule that is broken, with what to do.
    """
    name = name_of(make)
    kinds = [k for k in KINDS if k in kinds_of("estimator", make)] if task is None else [task.kind]
    require(kinds, f"{name}: its kinds name none of {', '.join(KINDS)}: give task= and space=")
    for kind in kinds:
        case = estimator_case(
            make,
            kind=kind,
            task=task,
            space=space,
            settings=settings,
            epochs=epochs,
        )
        run_rules(ESTIMATOR_RULES, case)


def estimator_case(
    make: Callable[..., Estimator],
    *,
    kind: str = "image",
    task: Any = None,
    space: Space | None = None,
    settings: Mapping[str, Any] | None = None,
    epochs: float = EPOCHS,
) -> EstimatorCase:
    """Return the case that `ESTIMATOR_RULES` check; the arguments are those of `check_estimator`.

    Args:
        make: as there.
        kind: of the small task to take, where `task` is None.
        task: as there.
        space: as there.
        settings: as there.
        epochs: as there.

    Raises:
        AssertionError: if it is no estimator at all.
    """
    name = f"{name_of(make)} on {kind}"
    try:
        check_contract("estimator", name, make)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    task = small_task(kind) if task is None else task
    needs = make.needs  # type: ignore[attr-defined]
    space = _suiting(kind, task, needs) if space is None else space
    missing = needs - space.gives
    require(not missing, f"{name}: the space does not give {sorted(missing)}: give space=")
    return EstimatorCase(name, make, task, space, settings or {}, epochs)


def _suiting(kind: str, task: Any, needs: frozenset[str]) -> Any:
    names = {"image": "cell201", "control": "topology", "table": "listed"}
    if "mixture" in needs:
        names["language"] = "recurrent"
    return registry.make_space(names.get(kind, "plain"), task.facts, {})


# ---- what is compared ----------------------------------------------------------------------------


def _answer(evaluation: Evaluation) -> tuple[float | None, dict[str, Any]]:
    """Return the values that equal candidates share: score and metrics, without times."""
    metrics = {
        name: value
        for name, value in evaluation.result.metrics.items()
        if not any(sign in name for sign in CLOCKS)
    }
    return evaluation.result.score, from_json(metrics)


def _asked(case: EstimatorCase, id: int = 0, number: int = 0, *, task: Any = None) -> Any:
    """Return the answer of a fresh estimator to a trial."""
    return _answer(case.fresh(task).evaluate(case.candidate(id, number), {}))


def _copied(state: State) -> State:
    return {name: np.array(value) for name, value in state.items()}


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


# ---- rules ---------------------------------------------------------------------------------------


def answers_with_a_result(case: EstimatorCase) -> None:
    """A result has a finite score, tells its candidate and its cost, and can be stored."""
    candidate = case.candidate(3)
    evaluation = case.fresh().evaluate(candidate, {})
    require(
        isinstance(evaluation, Evaluation),
        f"evaluate returned {evaluation!r}: return Evaluation(Result(candidate, score, ...))",
    )
    result = evaluation.result
    require(result.candidate == candidate, "the result is of another candidate")
    require(result.ok, f"a valid architecture was {result.status}: {result.reason}")
    score = result.score
    require(
        isinstance(score, float) and math.isfinite(score),
        f"the score is {score!r} ({type(score).__name__}): return a finite float",
    )
    require(0 <= result.seconds < math.inf, f"seconds are {result.seconds}")
    require(0 <= result.epochs <= result.total_epochs, "total_epochs are below the own epochs")
    for name in ("params", "flops"):
        count = getattr(result, name)
        require(count is None or (type(count) is int and count >= 0), f"{name} is {count!r}")
    try:
        json.dumps(result.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"the result cannot be stored ({error}): metrics are plain finite numbers, texts and lists"
        ) from error
    metric = getattr(case.task, "metric", "")
    told = result.metrics.get(metric, score)
    require(told == score, f"the score is {score}, and {metric}, which it stands for, is {told}")


def is_decided_by_the_seed(case: EstimatorCase) -> None:
    """Equal seeds give equal results, whatever was evaluated before."""
    first = _asked(case)
    require(
        first == _asked(case),
        "the same seed and candidate gave another result: seed all that is random from stream(seed, "
        "purpose, candidate.id)",
    )
    busy = case.fresh()
    if not busy.stateful:
        busy.evaluate(case.candidate(1, 1), {})
        require(
            _answer(busy.evaluate(case.candidate(), {})) == first,
            "the result depends on what was evaluated before, and stateful is False",
        )


def trains_anew_what_is_asked_again(case: EstimatorCase) -> None:
    """Where a candidate is trained, another id and another seed train it otherwise."""
    if not isinstance(case.task, Task):
        return
    noisy = unlearnable(
        case.task
    )  # what is learnt by heart differs most, and no score is at its best
    if not case.fresh(noisy).evaluate(case.candidate(), {}).result.epochs:
        return
    ids = [_asked(case, id, task=noisy) for id in range(ANEW)]
    require(
        any(each != ids[0] for each in ids),
        "other ids gave the same result: seed the training from the candidate's id too, so that an "
        "architecture that is asked again is measured anew",
    )
    seeds = [
        _answer(case.fresh(noisy, seed).evaluate(case.candidate(), {})) for seed in range(ANEW)
    ]
    require(
        any(each != seeds[0] for each in seeds),
        "other seeds gave the same result: seed the training from the seed of the run",
    )


def higher_is_better(case: EstimatorCase) -> None:
    """Where validation labels are read, the right ones score higher than wrong ones."""
    if not isinstance(case.task, Task):
        return
    right, _ = _asked(case)
    wrong, _ = _asked(case, task=mislabelled(case.task))
    require(
        right is not None and wrong is not None and right >= wrong,
        f"wrong labels of the validation part score {wrong}, the right ones {right}: a higher score is "
        "better, so turn the sign of a loss",
    )


def never_sees_test_data(case: EstimatorCase) -> None:
    """Other test data, or none, change nothing."""
    wrong = poisoned(case.task)
    if wrong is None:
        return
    first = _asked(case)
    what = (
        "the result changes with the test data: score on task.validation, and leave task.test alone"
    )
    require(first == _asked(case, task=wrong), what)
    if isinstance(case.task, Task):
        without = dataclasses.replace(case.task, test=None)
        require(first == _asked(case, task=without), what)


def many_are_as_each_alone(case: EstimatorCase) -> None:
    """`evaluate_many` answers in order, each as if it had been alone."""
    estimator = case.fresh()
    if not hasattr(estimator, "evaluate_many"):
        return
    require(list(estimator.evaluate_many([])) == [], "evaluate_many([]) is not empty")
    asked = [case.candidate(id, id) for id in range(5)]
    found = estimator.evaluate_many([(candidate, {}) for candidate in asked])
    require([each.result.candidate for each in found] == asked, "answers are in another order")
    alone = [_answer(case.fresh().evaluate(candidate, {})) for candidate in asked]
    require(
        [_answer(each) for each in found] == alone,
        "evaluate_many answers other than evaluate",
    )


def a_failure_is_one_row(case: EstimatorCase) -> None:
    """An architecture that cannot be evaluated is an exception or a failed result, and no more."""
    from ..execute.worker import Context, Spec, evaluate

    estimator = case.fresh()
    context = Context(Spec(case.task, "", ""), case.space, estimator)
    broken = Candidate(5, ("no", "such", "architecture"), budget=Budget(epochs=case.epochs))
    try:
        result = evaluate(context, broken, {}).result
    except BaseException as error:
        raise AssertionError(
            f"an architecture that cannot be evaluated ends the worker: {error!r}: raise "
            "CandidateFailed(reason)"
        ) from error
    require(result.ok or result.reason, "a failed result has no reason: say what went wrong")
    if not estimator.stateful:
        after = _answer(estimator.evaluate(case.candidate(), {}))
        require(after == _asked(case), "a failed candidate changes what comes after it")


def passes_weights_on(case: EstimatorCase) -> None:
    """Where it gives weights it returns them, starts from them, and leaves inherited ones alone."""
    estimator = case.fresh()
    evaluation = estimator.evaluate(case.candidate(), {})
    asked = case.settings.get("keep", "keep" not in inspect.signature(case.make).parameters)
    keeps = "weights" in estimator.gives and asked
    require(
        evaluation.state is not None or not keeps,
        "its gives names 'weights', and it returned no state: return Evaluation(result, state)",
    )
    if evaluation.state is None:
        return
    state = evaluation.state
    require(
        all(isinstance(n, str) and isinstance(v, np.ndarray) for n, v in state.items()),
        "a state is a dictionary of names and numpy arrays",
    )
    before = _copied(state)
    longer = Budget(epochs=case.epochs + 1)
    child = dataclasses.replace(case.candidate(1), weights_from=(0,), parents=(0,), budget=longer)
    result = case.fresh().evaluate(child, {0: state}).result
    require(_equal(before, state), "it changed the weights that a candidate inherited: copy them")
    require(result.ok, f"a candidate that inherits its own architecture's weights {result.reason}")
    if keeps:
        require(
            result.total_epochs > case.epochs,
            f"total_epochs are {result.total_epochs:g} with inherited weights of {case.epochs:g} "
            "epochs: add what these were trained before",
        )


def returns_the_gradient(case: EstimatorCase) -> None:
    """Where it gives a gradient, a step carries one of the mixture's form."""
    estimator = case.fresh()
    if "gradient" not in estimator.gives or not getattr(estimator, "gradient", True):
        return
    groups = case.space.groups()
    rows = {g.name: np.full((len(g.rows), len(g.columns)), 1 / len(g.columns)) for g in groups}
    budget = Budget(train_batches=1, validation_batches=1)
    result = estimator.evaluate(Candidate(7, kind="step", mixture=rows, budget=budget), {}).result
    require(result.gradient is not None, "its gives names 'gradient', and a step carried none")
    for name, slope in (result.gradient or {}).items():
        require(slope.shape == rows[name].shape, f"the gradient of {name} is {slope.shape}")
        require(slope.dtype == np.float32 and np.isfinite(slope).all(), "float32, finite")


def keeps_the_promises_of_gives(case: EstimatorCase) -> None:
    """Where it gives a test or a goal, these answer with plain values."""
    estimator = case.fresh()
    result: Result = estimator.evaluate(case.candidate(), {}).result
    if "test" in estimator.gives:
        found = estimator.test(case.arch())
        require(isinstance(found, float), f"test returned {found!r}: return a float")
    if "goal" in estimator.gives:
        solved = estimator.solved(result)
        require(solved in (True, False, None), f"solved returned {solved!r}: True, False or None")


ESTIMATOR_RULES: tuple[Callable[[EstimatorCase], None], ...] = (
    answers_with_a_result,
    is_decided_by_the_seed,
    trains_anew_what_is_asked_again,
    higher_is_better,
    never_sees_test_data,
    many_are_as_each_alone,
    a_failure_is_one_row,
    passes_weights_on,
    returns_the_gradient,
    keeps_the_promises_of_gives,
)
