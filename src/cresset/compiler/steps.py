"""What passes over a plan's steps ask about them."""

from __future__ import annotations

from cresset.core.call import CALLS, Call, Op, intern
from cresset.core.plan import Step
from cresset.core.spec import Spec


def call_of(op: Op, params: tuple, specs: tuple[Spec, ...]) -> Call:
    """One use of an op, the same object each time."""
    found = CALLS.get((op, params, specs))
    if found is None:
        found = intern(op, params, specs, Call(op, params, specs, op.infer(*specs, *params)))
    return found


def plain(step: Step) -> bool:
    """Whether all operands are taken as they are."""
    return all(convert is None for _, _, convert in step.operands)


def makers(steps: list[Step]) -> dict[int, int]:
    """Which step makes a value."""
    return {slot: i for i, step in enumerate(steps) for slot, _ in step.outs}


def readers(steps: list[Step]) -> dict[int, list[int]]:
    """Which steps read a value; none is listed twice."""
    found: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        for slot in {slot for slot, _, _ in step.operands}:
            found.setdefault(slot, []).append(i)
    return found
