"""Plans by the structure of their program: bounded, oldest out, counts per plan.

When a plan is replaced by a compiled one depends on ``seen`` counts alone, never on timing, so the
same program gives the same bits on every run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

MOST_PLANS = 512


class PlanCache:
    """Least-recently-used map from Program to Plan."""

    def __init__(self, most: int = MOST_PLANS) -> None:
        self.most = most
        self.hits = 0
        self.misses = 0
        self._plans: OrderedDict[Any, Any] = OrderedDict()
        #: The entry used last: a training loop asks for it again and again.
        self._last: tuple[Any, Any] = (None, None)

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, program: Any) -> Any:
        """The plan for this program, or None; counts the use."""
        known, plan = self._last
        if program != known:
            plan = self._plans.get(program)
            if plan is None:
                self.misses += 1
                return None
            self._plans.move_to_end(program)
            self._last = program, plan
        self.hits += 1
        plan.seen += 1
        return plan

    def put(self, program: Any, plan: Any) -> None:
        self._plans[program] = plan
        self._plans.move_to_end(program)
        self._last = program, plan
        if len(self._plans) > self.most:
            self._plans.popitem(last=False)

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Programs with their plans, the most recently used last."""
        return self._plans.items()

    def clear(self) -> None:
        self._plans.clear()
        self._last = None, None
