"""``CRESSET_CHECK=1``: every plan is run a second time the plain way, and the results are compared.

The plain way keeps every value, writes into nothing and frees nothing. So a buffer that a plan
freed too early, overwrote while somebody could still read it, or let two results share shows as a
difference. On the first tier the kernels are the same, so results must agree bit for bit. A
compiled plan may round otherwise, and a tie or a tiny denominator can blow that up on the way: so
its steps are compared one by one (``Plan.verify``), its results only in kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset.core.place import Place
from cresset.core.plan import Plan, run_step


def run_checked(
    plan: Plan, values: list[Any], places: dict[int, Place], live: tuple[int, ...],
    dead_inputs: tuple[int, ...],
) -> BaseException | None:  # fmt: skip
    """Run ``plan`` on ``values`` as ``plan.run`` does; RuntimeError if the plain run differs."""
    plain = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
    inputs = [slot for slot, v in enumerate(values) if isinstance(v, np.ndarray)]
    before = {slot: values[slot].copy() for slot in inputs}
    given = [values[slot] for slot in inputs]
    for slot, value in plan.constants:
        plain[slot] = value
    failed = False
    with np.errstate(all="ignore"):
        for step in plan.steps:
            try:
                run_step(step._replace(in_place=False, frees=()), plain)
            except Exception:
                failed = True  # the plan meets the same error and reports it
                break
    if not failed:
        plan.verify(plain)
    failure = plan.run(values, places)
    overwritten = [
        buffer for slot, buffer in zip(inputs, given, strict=True) if slot in dead_inputs
    ]
    for slot, buffer in zip(inputs, given, strict=True):
        # A window into a dead buffer was read before the write that was recorded after it.
        if any(np.may_share_memory(buffer, other) for other in overwritten):
            continue
        if not same(buffer, before[slot]):
            raise RuntimeError(f"internal error: a plan changed input {slot}, which may be read")
    if failed or failure is not None:
        return failure
    for slot in live:
        agree = same if plan.tier == "reference" else alike
        if not agree(values[slot], plain[slot]):
            raise RuntimeError(
                f"internal error: a plan of {len(plan.steps)} steps gave another value for slot "
                f"{slot} than running its ops one by one"
            )
    return None


def same(a: Any, b: Any) -> bool:
    """Whether two buffers hold the same bits. Their dtypes may differ: what was written through a
    view of another dtype lies in the base's buffer, or in a new one of the view's dtype."""
    return a.tobytes() == b.tobytes()


def close(a: Any, b: Any, operands: list[Any]) -> bool:
    """Whether two results of one kernel differ by rounding only.

    Sums of many terms are as exact as their largest term, which may be far above the sum.
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.all(a == b))
    largest = max(_largest(x) for x in (b, *operands))
    return np.allclose(a, b, rtol=1e-5, atol=1e-5 * largest, equal_nan=True)


def _largest(x: Any) -> float:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
        return 0.0
    return float(np.max(np.abs(x), initial=0, where=np.isfinite(x)))


def alike(a: Any, b: Any) -> bool:
    """Whether two results of a whole plan may be one: rounding can have grown to anything."""
    if a.dtype != b.dtype and a.nbytes == b.nbytes:
        b = b.view(a.dtype)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.dtype.kind not in "fc" or bool(np.all(np.isfinite(a) == np.isfinite(b)))
