"""What a plan is made of, and how fast each kernel runs: ``cresset.compiler.report()``."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from cresset.compiler import native
from cresset.compiler.build import Segment
from cresset.compiler.fusion import Group
from cresset.core.plan import Plan, Step, run_step

#: Seconds that are spent on measuring one kernel, at least one run of it.
_LONG_ENOUGH = 0.005


class Kernel(NamedTuple):
    """One step of a plan."""

    #: The ops it does, in order.
    ops: tuple[str, ...]
    #: Shapes of what it reads and of what it writes.
    reads: tuple[tuple[int, ...], ...]
    writes: tuple[tuple[int, ...], ...]
    #: "native", or "reference" for an op that has no lowering and runs its NumPy kernel.
    tier: str
    #: Floating point operations of products and convolutions (0: not counted, what is moved
    #: decides), bytes read and written.
    flops: int
    bytes: int
    #: Seconds of one run on one thread, by itself.
    seconds: float

    @property
    def gflops(self) -> float:
        """Billions of operations per second."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    def __str__(self) -> str:
        what = " + ".join(self.ops) if len(self.ops) < 5 else (
            f"{self.ops[0]} + {len(self.ops) - 2} more + {self.ops[-1]}"
        )  # fmt: skip
        speed = f"{self.gflops:7.1f} GFLOP/s" if self.flops else " " * 15
        shape = "x".join(map(str, self.writes[0])) if self.writes else ""
        return (
            f"{self.seconds * 1e6:9.1f} us {speed} {self.bytes / 1024:9.1f} KiB  "
            f"{self.tier:9s}  {what} -> {shape or '()'}"
        )


class Report(NamedTuple):
    """The kernels of a plan."""

    kernels: tuple[Kernel, ...]
    #: "native", or "reference" if the plan was not compiled.
    tier: str
    #: Ops recorded, before anything was fused.
    ops: int
    threads: int

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Names of the ops that ran their reference kernels."""
        return tuple(sorted({k.ops[0] for k in self.kernels if k.tier == "reference"}))

    @property
    def seconds(self) -> float:
        """The kernels' times added up (one thread, each by itself)."""
        return sum(k.seconds for k in self.kernels)

    def __str__(self) -> str:
        fused = sum(len(k.ops) > 1 for k in self.kernels)
        lines = [
            f"{self.tier} plan: {self.ops} ops in {len(self.kernels)} kernels, {fused} of them "
            f"fused; {self.threads} thread{'s' if self.threads > 1 else ''}",
            *map(str, self.kernels),
            f"{self.seconds * 1e6:9.1f} us for all kernels on one thread, one by one",
        ]
        if self.fallbacks:
            lines.append(f"on reference kernels: {', '.join(self.fallbacks)}")
        return "\n".join(lines)


def report(plan: Plan | None = None) -> Report:
    """The kernels of a plan, by default of the last one that ran as machine code.

    Times are measured now, on one thread, each kernel by itself on made-up values, so they add up
    to more than the plan takes where threads share it or values stay in the caches.

    >>> import cresset as torch
    >>> x = torch.ones(64, 64)
    >>> f = torch.compile(lambda: ((x @ x) * 0.5 + 1).tanh() @ x)
    >>> _ = f().sum().item()
    >>> print(torch.compiler.report())  # doctest: +ELLIPSIS
    native plan: 7 ops in 5 kernels, 1 of them fused; ...
    ...
    """
    plan = native.LAST.plan if plan is None else plan
    if plan is None:
        raise RuntimeError("no plan has run as machine code yet")
    if not isinstance(plan, native.NativePlan):
        return Report(tuple(_reference(s) for s in plan.steps), plan.tier, len(plan.steps), 1)
    apart = native.native_plan(plan.program, plan.reference, apart=True)
    assert isinstance(apart, native.NativePlan)
    kernels = []
    for part, step, low in zip(apart.parts, apart.built.steps, apart.built.lowered, strict=True):
        if isinstance(part, Segment):
            assert low is not None
            seconds = _timed(apart, part, step)
            kernels.append(_kernel(step, "native", low.flops, seconds))
        else:
            kernels.append(_reference(step))
    return Report(tuple(kernels), "native", len(plan.steps), plan.built.threads)


def _kernel(step: Step, tier: str, flops: int, seconds: float) -> Kernel:
    call: Any = step.call
    ops = tuple(m.call.op.name for m in call.members) if isinstance(call, Group) else (
        call.op.name,
    )  # fmt: skip
    tensors = [spec for _, spec, _ in step.operands if spec.number is None]
    if call.op.family not in ("conv", "matmul"):
        flops = 0
    moved = sum(spec.nbytes for spec in tensors) + sum(spec.nbytes for _, spec in step.outs)
    return Kernel(
        ops, tuple(tuple(spec.shape) for spec in tensors),
        tuple(tuple(spec.shape) for _, spec in step.outs), tier, flops, moved, seconds,
    )  # fmt: skip


def _reference(step: Step) -> Kernel:
    def run() -> None:
        values = _values(step)
        with np.errstate(all="ignore"):
            run_step(step._replace(in_place=False, frees=()), values)

    try:
        seconds = _time(run)
    except Exception:  # made-up values may be refused
        seconds = 0.0
    return _kernel(step, "reference", 0, seconds)


def _timed(plan: native.NativePlan, part: Segment, step: Step) -> float:
    """A kernel's machine code alone, its arguments laid out beforehand."""
    values = _values(step, plan.slots)
    for slot, size, kind in part.made:
        values[slot] = np.empty(size, kind)
    objects = part.objects(values)
    numbers = plan.built.packed.pack(*plan.built.numbers([1] * plan.slots))
    arena = native.ARENA.room(plan.built.arena)
    table = id(objects) + native.ITEMS
    return _time(lambda: part.function(table, numbers, arena))


def _time(run: Any) -> float:
    run()
    times = []
    end = time.perf_counter() + _LONG_ENOUGH
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


def _values(step: Step, count: int = 0) -> list[Any]:
    """Made-up operands: ones and zeros are valid indices too."""
    top = max([slot for slot, _, _ in step.operands] + [slot for slot, _ in step.outs]) + 1
    values: list[Any] = [None] * max(count, top)
    for slot, spec, _ in step.operands:
        if spec.number is not None:
            values[slot] = 1
            continue
        size = spec.offset + spec.extent
        kind = spec.dtype.np
        fresh = np.zeros(size, kind) if kind.kind in "iub" else np.full(size, 0.5, kind)
        if values[slot] is None or values[slot].size < size:
            values[slot] = fresh
    return values
