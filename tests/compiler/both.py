"""Run what a function records on both tiers and compare."""

from __future__ import annotations

from typing import Any

import numpy as np

import cresset
from cresset.compiler import native
from cresset.core import graph
from cresset.core.plan import Plan


class _Both:
    """Stands for a plan: runs the reference, and the compiled plan on a copy of its inputs."""

    compile_at = -1
    tier = "reference"

    def __init__(self, program: Any, plan: Plan, seen: list) -> None:
        self.steps = plan.steps
        self.constants = plan.constants
        self.program, self.plan, self.seen_plans = program, plan, seen
        self.seen = 1
        self.slots = plan.slots
        self.compiled: Any = None

    def verify(self, values: list) -> None:
        pass

    def run(self, values: list, lines: dict) -> Any:
        copies = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        if self.compiled is None:
            self.compiled = native.native_plan(self.program, self.plan)
        compiled = self.compiled
        wrong = compiled.run(copies, lines)
        failure = self.plan.run(values, lines)
        assert type(wrong) is type(failure)
        # A later plan may write over a value that nobody needs any more: keep copies.
        live = [] if failure else self.program.live
        found = [(values[s].copy(), copies[s]) for s in live]
        self.seen_plans.append((compiled, found))
        return failure


class _Cache:
    def __init__(self) -> None:
        self.seen: list = []
        self.plans: dict = {}

    def get(self, program: Any) -> Any:
        return self.plans.get(program)

    def put(self, program: Any, plan: Plan) -> None:
        self.plans[program] = _Both(program, plan, self.seen)


def run_both(function: Any, seed: int = 0) -> list:
    """``function()`` a few times. Per plan that came back: the compiled one, pairs of results."""
    real = graph.RECORDER.cache
    cache = _Cache()
    cresset.manual_seed(seed)
    graph.flush()
    graph.RECORDER.cache = cache
    try:
        # The first sight of a plan runs the reference alone; a backward pass changes once more.
        for _ in range(4):
            cresset.manual_seed(seed)
            function()
            graph.flush()
    finally:
        graph.RECORDER.cache = real
    return cache.seen


def assert_close(seen: list, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    compared = 0
    for _, pairs in seen:
        for reference, compiled in pairs:
            assert reference.dtype == compiled.dtype
            np.testing.assert_allclose(compiled, reference, rtol=rtol, atol=atol)
            compared += 1
    assert compared


def fallbacks(seen: list) -> list[str]:
    """Names of the ops that ran their reference kernel."""
    return [
        part.call.op.name
        for plan, _ in seen
        for part in getattr(plan, "parts", plan.steps)
        if not isinstance(part, native.Segment)
    ]


def agree(program: Any, rtol: float = 0.0, atol: float = 0.0) -> list:
    """``program()`` gives tensors: both tiers must agree on them, with nothing left to a reference
    kernel. Returns the tensors."""
    held: list = []

    def run() -> None:
        held[:] = program()

    seen = run_both(run)
    assert_close(seen, rtol, atol)
    left = fallbacks(seen)
    assert not left, f"on reference kernels: {left}"
    return held
