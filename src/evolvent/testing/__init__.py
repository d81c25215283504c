"""Check a space, a strategy or an estimator of one's own against its contract.

::

    from evolvent.testing import check_space, check_strategy, check_estimator
    check_space(Widths)  # nothing if all is well, else an AssertionError that says what is not

They are what the package holds its own parts to. Every rule is a function of `SPACE_RULES`,
`STRATEGY_RULES` or `ESTIMATOR_RULES`, so that a test can run one at a time on what `space_case`,
`strategy_case` or `estimator_case` returns. No test framework is needed. Parts must be defined in a
module that can be imported, since another process makes them anew.
"""

from __future__ import annotations

from .estimators import ESTIMATOR_RULES as ESTIMATOR_RULES
from .estimators import check_estimator as check_estimator
from .estimators import estimator_case as estimator_case
from .spaces import SPACE_RULES as SPACE_RULES
from .spaces import check_space as check_space
from .spaces import space_case as space_case
from .strategies import STRATEGY_RULES as STRATEGY_RULES
from .strategies import check_strategy as check_strategy
from .strategies import strategy_case as strategy_case
from .tasks import small_task as small_task
