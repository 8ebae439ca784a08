"""Run what a function records on both tiers and compare."""

from __future__ import annotations

from typing import Any

import numpy as np

import cresset
from cresset.compiler import native
from cresset.core import graph
from cresset.core.plan import Plan, from_bfloat16, run_step, to_bfloat16

#: Ops that round nothing: what is equal before them is equal after them.
EXACT = frozenset({
    "abs", "amax", "amin", "cast", "cat", "clamp", "clone", "constant_pad_nd", "copy",
    "copy_slices", "copysign", "dense_copy", "expand", "fill", "flip", "floor", "fmax", "fmin",
    "gather", "hardshrink", "hardtanh", "index", "index_select", "max_pool2d", "maximum", "minimum",
    "nan_to_num", "neg", "overwrite", "relu", "repeat", "roll", "round", "scatter", "select",
    "sign", "sort", "stack", "tril", "trunc", "where",
})  # fmt: skip


class _Both:
    """Stands for a plan: runs the reference, and the compiled plan on a copy of its inputs."""

    compile_at = -1
    tier = "reference"

    def __init__(self, program: Any, plan: Plan, seen: list, shake: int) -> None:
        self.steps = plan.steps
        self.constants = plan.constants
        self.program, self.plan, self.seen_plans = program, plan, seen
        self.seen = 1
        self.slots = plan.slots
        self.compiled: Any = None
        self.shake = shake

    def verify(self, values: list) -> None:
        pass

    def start(self, values: list) -> bool:
        return False

    def run(self, values: list, lines: dict) -> Any:
        copies, others = _copied(values), _copied(values)
        if self.compiled is None:
            self.compiled = native.native_plan(self.program, self.plan)
        compiled = self.compiled
        wrong = compiled.run(copies, lines)
        failure = self.plan.run(values, lines) if not self.shake else self._shaken(values)
        assert type(wrong) is type(failure)
        # A later plan may write over a value that nobody needs any more: keep copies.
        live = [] if failure else self.program.live
        found = [(values[s].copy(), copies[s]) for s in live]
        self.seen_plans.append((compiled, found))
        self._leave(others, copies, failure)
        return failure

    def _leave(self, values: list, expected: list, failure: Any) -> None:
        """The compiled plan once more, left to the workers: to the bit what it was."""
        if not self.compiled.start(values):
            return
        assert failure is None
        for slot in reversed(self.program.live):
            self.compiled.wait(slot)
            assert values[slot].tobytes() == expected[slot].tobytes()
        self.compiled.finish()

    def _shaken(self, values: list) -> None:
        """The reference, each computed float moved by some roundings."""
        moves = np.random.default_rng(self.shake)
        for slot, value in self.plan.constants:
            values[slot] = value
        with np.errstate(all="ignore"):
            for step in self.plan.steps:
                run_step(step, values)
                if step.call.op.name in EXACT:
                    continue
                for slot, spec in step.outs:
                    if spec.dtype.is_floating_point and values[slot] is not None:
                        values[slot] = _moved(values[slot], spec.dtype, self.shake, moves)


def _copied(values: list) -> list:
    return [v.copy() if isinstance(v, np.ndarray) else v for v in values]


def _moved(buffer: Any, dtype: Any, size: int, moves: np.random.Generator) -> Any:
    epsilon = cresset.finfo(dtype).eps / 2
    half = dtype is cresset.bfloat16
    x = from_bfloat16(buffer) if half else buffer
    with np.errstate(all="ignore"):
        moved = (x * (1 + size * epsilon * moves.standard_normal(x.shape))).astype(x.dtype)
    return to_bfloat16(np, moved) if half else moved


class _Cache:
    def __init__(self, shake: int = 0) -> None:
        self.shake = shake
        self.seen: list = []
        self.plans: dict = {}

    def get(self, program: Any) -> Any:
        return self.plans.get(program)

    def put(self, program: Any, plan: Plan) -> None:
        self.plans[program] = _Both(program, plan, self.seen, self.shake)


def run_both(function: Any, seed: int = 0, shake: int = 0) -> list:
    """``function()`` a few times. Per plan that came back: the compiled one, pairs of results.

    ``shake`` moves what the reference kernels compute by about so many roundings.
    """
    real = graph.RECORDER.cache
    cache = _Cache(shake)
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
