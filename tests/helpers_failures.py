"""Parts of one's own that go wrong in every way there is; workers import them by name."""

import os
import signal
import time

from evolvent.estimator import Evaluation
from evolvent.space.plain import Plain
from evolvent.types import Result

SLOW = 600.0  # [s] longer than any test waits


class Widths(Plain):
    """Widths that name what will happen to them."""

    def sample(self, rng):
        return (rng.randint(2, 9),)


class Scored:
    """Scores a width at once, without any training."""

    gives = frozenset({"score"})
    needs: frozenset[str] = frozenset()
    stateful = False
    kinds = frozenset({"image"})

    def __init__(self, space, task, *, seed: int = 0, device: str = "cpu", pause: float = 0.0):
        self.pause = pause

    def evaluate(self, candidate, inherited):
        time.sleep(self.pause)
        self.happen(candidate.id)
        width = candidate.arch[0]
        result = Result(candidate, width / 100, seconds=self.pause, epochs=1.0, params=10 * width)
        return Evaluation(result)

    def happen(self, id):
        """Nothing, here."""


class Misfortunes(Scored):
    """Every second candidate meets another end; ``1`` to ``11``, then all is well."""

    def happen(self, id):
        match id:
            case 1:
                raise ZeroDivisionError("by design")
            case 3:
                time.sleep(SLOW)
            case 5:
                os.kill(os.getpid(), signal.SIGKILL)
            case 7:
                bytearray(500 << 30)
            case 9:
                os._exit(3)

    def evaluate(self, candidate, inherited):
        evaluation = super().evaluate(candidate, inherited)
        if candidate.id == 11:
            return Evaluation(Result(candidate, float("nan")))
        return evaluation


class Hopeless(Scored):
    """Nothing ever works."""

    def happen(self, id):
        raise ZeroDivisionError(f"candidate {id} by design")


class Sloppy(Scored):
    """Answers in ways that cannot be stored, or not what was asked."""

    def evaluate(self, candidate, inherited):
        import numpy as np

        good = super().evaluate(candidate, inherited)
        match candidate.id:
            case 1:
                return 0.5
            case 2:
                return Evaluation(Result(candidate, np.float32(0.5)))  # type: ignore[arg-type]
            case 3:
                return Evaluation(Result(candidate, 0.5, metrics={"confusion": np.eye(2)}))
            case 4:
                return Evaluation(Result(type(candidate)(99, candidate.arch), 0.5))
            case 5:
                return None
        return good


class Absent(Scored):
    """Cannot even begin."""

    def __init__(self, space, task, *, seed: int = 0):
        raise FileNotFoundError("the weights to start from are missing")
