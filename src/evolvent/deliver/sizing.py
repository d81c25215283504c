"""The size of the network that is delivered: as wide, and with as many views, as there is time for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config.equal_time import wanted_epochs
from ..config.setup import Setup
from ..engine.store import Store
from ..network.fit import with_own_training
from ..types import Result
from .controls import Controls
from .equal import Equal
from .timing import Lengths, Timing

NARROWER = (1.0, 0.84, 0.71, 0.59, 0.5, 0.42, 0.35, 0.0)  # of the width, each 1.4 times as fast
CONTROLS_MOST = 0.25  # of the core-seconds of the delivery: controls of thin networks
UNSHIFTED = 2  # views without shifts: an image and its mirror


@dataclass(frozen=True)
class Sizing:
    """The size of a final training, settled once per run.

    Args:
        store: of the run, where it is noted: a delivery that was stopped goes on with it.
        setup: of the run, with its data.
        results: of the search.
        workers: trainings at a time. [count]
        timing: of the delivery.
    """

    store: Store
    setup: Setup
    results: Sequence[Result]
    workers: int
    timing: Timing

    def of(self, best: Result) -> Setup:
        """Return the setup with the size that there is time for.

        Args:
            best: of the search, a typical candidate.
        """
        if self.timing.seconds is None:
            return self.setup
        return self._with_views(self._with_width(best), best)

    def _with_width(self, best: Result) -> Setup:
        """Return the setup with a narrower network, where a wide one would see the data too seldom.

        That is, less often than the search's best did while it was thin.
        """
        if not self.setup.widens:
            return self.setup
        widen = self.store.meta("widen")
        if widen is None:
            widen = self._measured_width(best)
            self.store.note("widen", widen)
        return self._as(self.setup, widen=widen)

    def _measured_width(self, best: Result) -> float:
        """Return the width; its pace, measured on the way, is noted for the plans that follow."""
        setup = self.setup
        wanted = wanted_epochs(setup.task, setup.train.network.hyper.batch)
        wanted = max(wanted, best.total_epochs)
        thin, full = (each.network.size.widen for each in (setup, setup.train))
        for share in NARROWER:
            widen = round(max(thin, share * full), 2)
            narrow = self._as(setup, widen=widen)
            lengths = Lengths(self.store, narrow, self.workers, self.timing)
            equal = Equal(self.store, narrow, self.workers, self.timing, lengths)
            _, faster, example = equal.fastest(best)
            epoch = (example or lengths.example(best)) * lengths.everything
            if epoch * wanted <= (1 - CONTROLS_MOST) * max(0.0, self.timing.left):
                break
        self.store.note("epoch", epoch)
        self.store.note("look", None if example is None else equal.look(best, example * faster))
        return widen

    def _with_views(self, setup: Setup, best: Result) -> Setup:
        """Return a setup with fewer views of an image where there is no time to read test in all.

        A network that learnt from unshifted images alone does not see shifted ones, which can be worse
        than none. What the user asked for stands.
        """
        wanted = setup.train.network.size.views
        if wanted == 1 or "views" in setup.request.said("train"):
            return setup
        views = self.store.meta("views")
        if views is None:
            lengths = Lengths(self.store, setup, self.workers, self.timing)
            controls = Controls(self.store, setup, self.results, best.candidate.arch).count
            networks = 1 if setup.widens else 1 + controls  # thin ones cost little
            views = lengths.views(best, networks)
            if views > UNSHIFTED and not _shifts(setup, best, lengths.roughly(best, networks)):
                views = UNSHIFTED if setup.task.mirrored else 1
            self.store.note("views", views)
        return setup if views == wanted else self._as(setup, views=views)

    def _as(self, setup: Setup, **size: float) -> Setup:
        return setup.having(setup.parts, setup.train.having(**size))


def _shifts(setup: Setup, result: Result, epochs: float) -> bool:
    """Whether a final training of so many epochs shifts its images."""
    hyper = with_own_training(setup.train.network.hyper, setup.space, result.candidate.arch)
    pixels = setup.task.augment.get("shift", 0) if hyper.shift is None else hyper.shift
    return bool(hyper.augment and pixels and epochs >= hyper.shift_from)
