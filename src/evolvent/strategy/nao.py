"""Neural architecture optimization: embeddings climb the predicted score, then are decoded.

Source: Luo et al. 2018, "Neural Architecture Optimization" (1808.07233), algorithm 1. An encoder, a
predictor and a decoder are trained together on the scored architectures (`nao_model`). The encodings of
the best architectures are moved up the gradient of the predicted score, by growing steps, until they
decode to new architectures; these are trained, and the model learns from their scores.
What differs, because a hundred trials must suffice where the paper has a thousand:

* Sizes follow the horizon (`note` says so). A model continues from the last one with some steps per
  result, instead of 1,000 epochs from scratch.
* Targets are ranks in the pool, min-max normalised: with plain scores, a few networks that learned
  nothing leave no resolution at the top. ``targets="score"`` is the paper's.
* The decoder also learns from samples without a score, so that it can produce architectures that were
  never asked.
* The ascent starts from the best architectures, as in the paper, and from their most promising mutants
  (``starts=0`` leaves these out), because the gradient moves all outputs of one encoding alike, and
  soon reaches nothing new. Of the new architectures decoded, the most promising is asked first.

A failed or refused candidate counts as the worst score so far, so that the model learns to avoid it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from ..errors import SettingError, unknown
from ..space import Decisions, Space, key
from ..space.capabilities import decisions
from ..types import Arch, Budget, Candidate, Result, stream

if TYPE_CHECKING:
    from .nao_model import Model

PAPER_INITIAL, PAPER_BATCH, PAPER_SEEDS = 600, 300, 100
TARGETS = ("rank", "score")

_FIRST = 150  # minimum steps of training from scratch
_ROWS, _FREE_ROWS = 32, 16  # per training step: scored architectures, and samples without a score
_FREE = 512  # samples without a score
_SIZES = (
    0.2,
    0.56,
    0.92,
    1.28,
    1.64,
    2.0,
)  # step sizes of the ascent, in lengths of an encoder output
_KNOWN = 10_000  # sequences whose tokens are cached
_STEPS = 4  # of training per new result, at most
_TRIES = 50  # samples, or mutants of each of the best, to find one that was not asked before


class Proposal(NamedTuple):
    """An architecture, the operator that made it, and the ids of its scored parents."""

    arch: Arch
    operator: str
    parents: tuple[int, ...]


class Vocabulary:
    """The tokens of a space: one per name and value of a decision; token 0 is reserved.

    Names are added when first met, because a decision may depend on those before it.

    Args:
        space: gives ``decisions``.
    """

    def __init__(self, space: Decisions) -> None:
        self.space = space
        self.first: dict[str, int] = {}  # name of a decision -> the token of its value 0
        self.size = 1
        self.length = 1  # of the longest sequence
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}  # choices -> tokens, the latest

    def tokens(self, choices: tuple[int, ...]) -> tuple[int, ...]:
        """Return the tokens of `choices`; names that were not met before are added."""
        if choices not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[choices] = self._spell(choices)
        return self._known[choices]

    def _spell(self, choices: tuple[int, ...]) -> tuple[int, ...]:
        found = []
        for place, choice in enumerate(choices):
            decision = self.space.decision(choices[:place])
            assert decision is not None  # `choices` are complete
            if decision.name not in self.first:
                self.first[decision.name] = self.size
                self.size += decision.size
            found.append(self.first[decision.name] + choice)
        self.length = max(self.length, len(found))
        return tuple(found)


class NAO:
    """Samples first; then decodes the best embeddings, moved up the predicted score.

    If more candidates are asked for than an ascent gave, the same model starts another ascent: no
    worker waits. If it decodes nothing new, mutants of the best are asked for, then samples.

    Args:
        space: samples and mutates architectures, gives their decisions and symmetric forms.
        initial: random architectures first; None is the paper's 600, or what the horizon allows.
        batch: new results between two fits; None is the paper's 300, or what the horizon allows.
        seeds: best architectures to start from; None is the paper's 100, or a third of `initial`.
        beam: sequences that are kept in decoding; of those of a moved encoding the most likely one that
            was not asked before is taken. 1 is greedy decoding. [count]
        starts: mutants of these, of which the `seeds` most promising are further starts. [count]
        stay: whether such a mutant is asked for if the ascent decodes to the mutant itself. This is
            mutation guided by the predictor: often better on small spaces, but not in the paper.
        members: models trained side by side, whose predictions are averaged. [count]
        width: of the encoder, the decoder and the embedding; the paper has 96. [numbers]
        steps: of training per new result; None is 4, or fewer in a search of more than 250 trials,
            which would take minutes to replay. [count]
        share: weight of the predictor in the loss, lambda of the paper. (0..1)
        targets: of the predictor, ``rank`` or ``score``, both scaled to 0..1.
        epochs: training length of every candidate. [epochs]
        horizon: trials that the search is planned for. [trials]
        seed: same seed and same tells in, same asks out, in any process.

    Raises:
        SettingError: if a setting is outside its rule.
    """

    needs = frozenset({"decisions"})
    ends = False

    def __init__(
        self,
        space: Space,
        *,
        initial: int | None = None,
        batch: int | None = None,
        seeds: int | None = None,
        beam: int = 4,
        starts: int = 200,
        stay: bool = False,
        members: int = 2,
        width: int = 32,
        steps: int | None = None,
        share: float = 0.8,
        targets: str = "rank",
        epochs: float = 1.0,
        horizon: int = 100,
        seed: int = 0,
    ) -> None:
        self.note = ""
        if initial is None:
            initial = min(PAPER_INITIAL, max(20, horizon // 5), max(2, horizon // 3))
            if initial < PAPER_INITIAL:
                self.note = (
                    f"{initial} random architectures first instead of the paper's {PAPER_INITIAL}: "
                    f"{horizon} trials would leave little to climb with"
                )
        batch = min(PAPER_BATCH, max(1, horizon // 25)) if batch is None else batch
        steps = min(_STEPS, max(1, 1000 // max(1, horizon))) if steps is None else steps
        seeds = min(PAPER_SEEDS, max(2, initial // 3)) if seeds is None else seeds
        least = {
            "initial": 2,
            "batch": 1,
            "seeds": 1,
            "beam": 1,
            "starts": 0,
            "members": 1,
            "width": 2,
        }
        given = (initial, batch, seeds, beam, starts, members, width, steps)
        for (name, low), value in zip((least | {"steps": 1}).items(), given, strict=True):
            if value < low:
                raise SettingError(f"{name}={value} must be at least {low}")
        if not 0 < share < 1:
            raise SettingError(f"share={share} must lie between 0 and 1: both parts must learn")
        if targets not in TARGETS:
            raise unknown("targets of nao", targets, TARGETS)
        self.space, self.budget, self.seed = space, Budget(epochs=epochs), seed
        self.decisions = decisions(space)
        self.initial, self.batch, self.seeds, self.starts = initial, batch, seeds, starts
        self.stay, self.beam = stay, beam
        self.members, self.width, self.steps = members, width, steps
        self.share, self.targets = share, targets
        self._results: list[Result] = []
        self._seen: set[Any] = set()
        self._queue: list[Proposal] = []  # most promising first
        self._vocabulary = Vocabulary(self.decisions)
        self._free: list[tuple[int, ...]] = []  # tokens of samples without a score
        self._model: Model | None = None
        self._fitted = 0  # results at the last fit
        self._refused = 0
        self._asked = 0  # also the id of the next candidate

    def ask(self) -> Candidate:
        """Return a sample for the first asks, then the most promising new architecture decoded."""
        rng = stream(self.seed, "nao", self._asked)
        move = None
        enough = self._asked - self._refused >= self.initial
        if enough and sum(result.ok for result in self._results) > 1:
            if self._model is None or len(self._results) - self._fitted >= self.batch:
                self._model = self._fit(rng)
                self._queue = []
            self._queue = self._queue or self._climb(self._model, rng)
            move = self._queue.pop(0) if self._queue else self._mutant(rng)
        move = move or self._sample(rng)
        id, self._asked = self._asked, self._asked + 1
        self._seen.add(key(self.space, move.arch))
        return Candidate(
            id, move.arch, parents=move.parents, operator=move.operator, budget=self.budget
        )

    def tell(self, result: Result) -> None:
        """Take a result; one that was cut off by the end of the budget is ignored."""
        self._refused += result.status == "refused"
        if result.status != "cut":
            self._results.append(result)

    def draw(self, rngs: Sequence[Random]) -> list[Arch]:
        """Return one architecture per generator from the pool, to train shared weights at.

        The pool holds the best `initial` results.
        """
        scored = sorted((r for r in self._results if r.ok), key=lambda r: -r.value)
        pool = [result.candidate.arch for result in scored[: self.initial]]
        return [rng.choice(pool) if pool else self.space.sample(rng) for rng in rngs]

    def _sample(self, rng: Random) -> Proposal:
        arch = self.space.sample(rng)
        for _ in range(_TRIES):
            if key(self.space, arch) not in self._seen:
                break
            arch = self.space.sample(rng)
        return Proposal(arch, "sample", ())

    def _mutant(self, rng: Random) -> Proposal | None:
        """Return a new mutant of the best architecture that has one, or None."""
        for leader in self._leaders():
            for _ in range(_TRIES):
                arch, operator = self.space.mutate(leader.arch, rng)
                if key(self.space, arch) not in self._seen:
                    return Proposal(arch, operator, leader.parents)
        return None

    def _leaders(self) -> list[Proposal]:
        """Return the best architectures, best first, each with its own id as the parent."""
        scored = sorted(
            (r for r in self._results if r.ok), key=lambda r: (-r.value, r.candidate.id)
        )
        best: dict[Any, Candidate] = {}
        for result in scored:
            best.setdefault(key(self.space, result.candidate.arch), result.candidate)
        found = [Proposal(c.arch, c.operator, (c.id,)) for c in best.values()]
        return found[: self.seeds]

    # -- the model -------------------------------------------------------------------------------

    def _fit(self, rng: Random) -> Model:
        """Return the model, trained further; a new one if the vocabulary has grown."""
        from .common.threads import one_thread
        from .nao_model import Model

        if not self._free:
            self._free = [self._tokens(self.space.sample(rng)) for _ in range(_FREE)]
        forms = [self._choices(result.candidate.arch) for result in self._results]
        for choices in forms[self._fitted :]:
            self._vocabulary.tokens(choices)
        scores = normalised([result.value for result in self._results], self.targets)
        model, steps = self._model, self.steps * (len(forms) - self._fitted)
        with one_thread():
            if model is None or model.vocabulary != self._vocabulary.size:
                steps = max(_FIRST, self.steps * len(forms))
                model = Model(
                    self._vocabulary.size,
                    self._vocabulary.length,
                    members=self.members,
                    width=self.width,
                    seed=rng.getrandbits(62),
                )
            for _ in range(steps):
                chosen = rng.sample(range(len(forms)), min(_ROWS, len(forms)))
                rows = [self._vocabulary.tokens(self._form(forms[row], rng)) for row in chosen]
                rows += rng.choices(self._free, k=_FREE_ROWS)
                model.learn(model.pack(rows), scores[chosen], self.share)
        self._fitted = len(forms)
        return model

    def _climb(self, model: Model, rng: Random) -> list[Proposal]:
        """Return the most promising new architectures decoded from moved embeddings, up to a batch."""
        from .common.threads import one_thread
        from .nao_model import beams

        leaders = self._leaders()
        known = {key(self.space, leader.arch): leader for leader in leaders}
        with one_thread():
            mutants = self._promising(model, self._mutants(leaders, rng))[: self.seeds]
            starts = known | dict(mutants)
            places = list(starts.values())
            rows = [self._tokens(start.arch) for start in places]
            moved = model.ascend(model.encode(model.pack(rows)), _SIZES)
            decide, first = self.decisions.decision, self._vocabulary.first
            new: dict[Any, Proposal] = {}
            for row, sequences in beams(model, moved, decide, first, self.beam):
                start = places[row % len(places)]
                for choices in sequences:
                    arch = self.decisions.decode(choices)
                    name = key(self.space, arch)
                    if name in self._seen or (name in starts and not self.stay):
                        continue
                    if name not in new:
                        new[name] = starts.get(name) or Proposal(arch, "ascent", start.parents)
                    break  # the most likely one that was not asked before
            return [move for _, move in self._promising(model, new)[: self.batch]]

    def _mutants(self, leaders: list[Proposal], rng: Random) -> dict[Any, Proposal]:
        """Return new mutants of leaders drawn at random."""
        found = {}
        for _ in range(self.starts):
            leader = rng.choice(leaders)
            arch, operator = self.space.mutate(leader.arch, rng)
            if (name := key(self.space, arch)) not in self._seen:
                found[name] = Proposal(arch, operator, leader.parents)
        return found

    def _promising(self, model: Model, moves: dict[Any, Proposal]) -> list[tuple[Any, Proposal]]:
        """Return `moves` sorted by predicted score, highest first."""
        if not moves:
            return []
        expected = model.expect(model.pack([self._tokens(move.arch) for move in moves.values()]))
        order = sorted(zip(expected, moves.items(), strict=True), key=lambda pair: -pair[0])
        return [named for _, named in order]

    def _choices(self, arch: Arch) -> tuple[int, ...]:
        return self.decisions.encode(arch)

    def _form(self, choices: tuple[int, ...], rng: Random) -> tuple[int, ...]:
        return self.decisions.equivalents(choices, rng)

    def _tokens(self, arch: Arch) -> tuple[int, ...]:
        return self._vocabulary.tokens(self._choices(arch))


def normalised(scores: Sequence[float], targets: str = "score") -> np.ndarray:
    """Return scores, or with ``rank`` their ranks, scaled to 0..1 [N]; equal scores are all 0.5.

    A missing score (minus infinity) counts as the worst score.
    """
    values = np.array(scores)
    values = np.maximum(values, values[np.isfinite(values)].min())
    if targets == "rank":
        values = rankdata(values)
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread > 0 else np.full(len(values), 0.5)
