"""Plans of the second tier: runs of steps as machine code, the rest through reference kernels.

Every step that has a lowering becomes a function of its own; neighbours are called by one *segment*
function, so that a run of steps costs one call from Python. Values that only machine code touches
live in an arena at fixed places. Everything else is a NumPy buffer in ``values`` as on the first
tier, whose address the segment reads from the array object itself.

What must stay true: a plan computes what the reference plan computes, to rounding; an output never
lies in memory that anyone else holds; a failing step leaves what does not depend on it.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from cresset.compiler import convolution, losses, pointwise, pooling, products, reductions, updates
from cresset.compiler.code import Code
from cresset.compiler.host import Module, vector_bytes
from cresset.compiler.step import Array, Lowering
from cresset.core.check import close
from cresset.core.plan import Plan, Program, Step, run_step
from cresset.device import CPU

#: What turns a step into code, by op; None from a row means: not these dtypes or shapes.
LOWERINGS: dict[str, Callable[..., Lowering | None]] = {
    **dict.fromkeys(pointwise.ROWS, pointwise.lower),
    "convolution": convolution.lower_forward,
    "convolution_input": convolution.lower_input,
    "convolution_weight": convolution.lower_weight,
    "max_pool2d": pooling.lower_max,
    "max_pool_backward": pooling.lower_backward,
    "mm": products.lower_mm,
    "linear": products.lower_linear,
    "sum": reductions.lower_sum,
    "mean": reductions.lower_mean,
    "nll_loss": losses.lower_nll,
    "nll_loss_backward": losses.lower_nll_backward,
    "log_softmax": reductions.lower_log_softmax,
    "log_softmax_backward": reductions.lower_log_softmax_backward,
    "sgd_step": updates.lower_sgd,
}
#: Where a NumPy array object keeps the address of its first element: right behind the header.
_DATA = object.__basicsize__
_LINE = 64


#: Fewer steps are not worth a module of their own.
FEWEST_STEPS = 4
#: Structures that never come back must not be compiled without end.
MOST_COMPILED = 256


class _Count:
    compiled = 0


class Segment(NamedTuple):
    """A run of native steps."""

    function: Any
    #: (slot, place in the table of objects): buffers that the code reads or writes.
    objects: tuple[int, ...]
    #: Slots of outputs to allocate first, with size and dtype.
    fresh: tuple[tuple[int, int, Any], ...]
    #: (output slot, operand slot): the output takes over the operand's buffer.
    taken: tuple[tuple[int, int], ...]
    frees: tuple[int, ...]


class _Arena:
    """Scratch memory shared by all plans; plans run one at a time."""

    def __init__(self) -> None:
        self.buffer = np.empty(0, np.uint8)
        self.address = 0

    def room(self, size: int) -> int:
        """The address of at least ``size`` bytes, on a cache line."""
        if self.buffer.size < size + _LINE:
            self.buffer = np.empty(size + _LINE, np.uint8)
            start = self.buffer.ctypes.data
            self.address = -(-start // _LINE) * _LINE
        return self.address


ARENA = _Arena()


class NativePlan(Plan):
    """A plan whose parts are segments of machine code and single reference steps."""

    __slots__ = ("parts", "numbers", "arena", "module", "reference", "program", "_apart")
    _apart: Any

    def run(self, values: list[Any], lines: dict[int, str]) -> BaseException | None:
        for slot, value in self.constants:
            values[slot] = value
        try:
            numbers = (ctypes.c_double * max(len(self.numbers), 1))(
                *[float(values[slot]) for slot in self.numbers]
            )
        except OverflowError:  # an int beyond the floats
            return self.reference.run(values, lines)
        arena = ARENA.room(self.arena)
        given = list(values)
        with np.errstate(all="ignore"):
            for part in self.parts:
                if part.__class__ is Segment:
                    for out, operand in part.taken:
                        values[out] = values[operand]
                    for slot, size, kind in part.fresh:
                        values[slot] = np.empty(size, kind)
                    objects = (ctypes.c_size_t * len(part.objects))(
                        *[id(values[slot]) for slot in part.objects]
                    )
                    if part.function(objects, numbers, arena):
                        values[:] = given
                        return self.reference.run(values, lines)
                    for slot in part.frees:
                        values[slot] = None
                else:
                    try:
                        run_step(part, values)
                    except Exception:
                        values[:] = given
                        return self.reference.run(values, lines)
        return None

    def verify(self, values: list[Any]) -> None:
        """Run every step by itself on the reference's ``values``; RuntimeError if one differs."""
        if self._apart is None:
            self._apart = build(self.program, self.reference, apart=True)
        given = list(values)
        for part, step in zip(self._apart.parts, self.steps, strict=True):
            if part.__class__ is not Segment:
                continue
            alone = copy(self._apart)
            alone.parts = [part._replace(frees=())]
            found = list(given)
            if alone.run(found, {}) is not None:
                continue
            operands = [given[slot] for slot, _, _ in step.operands]
            for slot, spec in step.outs:
                if not close(found[slot], given[slot], operands):
                    raise RuntimeError(
                        f"internal error: the machine code of {step.call} gave another value than "
                        f"its reference kernel (output of {spec})"
                    )


def compile_plan(program: Program, plan: Plan) -> Plan:
    """The plan with native segments; ``plan`` itself where that is not worth its time."""
    if len(plan.steps) < FEWEST_STEPS or _Count.compiled >= MOST_COMPILED:
        return plan
    try:
        native = build(program, plan)
    except Exception as error:  # a lowering's bug must not stop a program that could run
        warnings.warn(
            f"cresset: a plan could not be compiled and stays on the first tier ({error!r})",
            RuntimeWarning,
            stacklevel=2,
        )
        return plan
    _Count.compiled += native is not plan
    return native


def build(program: Program, plan: Plan, apart: bool = False) -> Plan:
    """The plan with native segments, or ``plan`` itself if nothing has a lowering.

    With ``apart`` every step is a segment of its own and its values are all in reach, so that steps
    can be looked at one by one.
    """
    lanes = vector_bytes() // 4
    live = set(program.live)
    dead = set(program.dead_inputs)
    made_by: dict[int, int] = {}
    last_use: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for i, step in enumerate(plan.steps):
        for slot, _ in step.outs:
            made_by[slot] = last_use[slot] = i
        for slot, spec, _ in step.operands:
            last_use[slot] = i
            if spec.number is not None:
                numbers.setdefault(slot, len(numbers))
    lowered: list[Lowering | None] = [_lower(step, lanes) for step in plan.steps]
    if not any(lowered):
        return plan
    # A value stays in the arena if only machine code makes and reads it.
    outside = set(made_by) if apart else set(live)
    for step, low in zip(plan.steps, lowered, strict=True):
        if low is None:
            outside.update(slot for slot, _ in step.outs)
            outside.update(slot for slot, _, _ in step.operands)
    inside = [s for s, i in made_by.items() if s not in outside and lowered[i] is not None]
    sizes = {slot: spec.nbytes for step in plan.steps for slot, spec in step.outs}
    # Inputs are overwritten only when nothing can fail any more, for the reference to start over.
    settled = max(
        (
            k
            for k, (step, low) in enumerate(zip(plan.steps, lowered, strict=True))
            if low is None or step.call.op.checks_values
        ),
        default=-1,
    )
    places, arena = _arrange(inside, sizes, made_by, last_use)
    scratch_at = arena
    arena += max(low.scratch for low in lowered if low is not None)

    texts: list[str] = []
    #: Steps that are one Call share their code.
    functions: dict[tuple[Any, bool], str] = {}
    declared: set[str] = set()
    parts: list[Any] = []
    i = 0
    while i < len(plan.steps):
        if lowered[i] is None:
            parts.append(plan.steps[i])
            i += 1
            continue
        end = i
        while end < len(plan.steps) and lowered[end] is not None and not (apart and end > i):
            end += 1
        group = range(i, end)
        objects: dict[int, int] = {}
        fresh: list[tuple[int, int, Any]] = []
        taken: list[tuple[int, int]] = []
        body: list[str] = []
        for k in group:
            step, low = plan.steps[k], lowered[k]
            assert low is not None
            pairs = dict(low.pairs)
            aliased = False
            for position, (slot, spec) in enumerate(step.outs):
                if slot in places:
                    continue
                objects.setdefault(slot, len(objects))
                operand = pairs.get(position)
                if operand is not None:
                    source = step.operands[operand][0]
                    alone = sum(slot == source for slot, _, _ in step.operands) == 1
                    spare = source in dead and last_use[source] == k > settled
                    if alone and spare and not apart:
                        taken.append((slot, source))
                        aliased = True
                        continue
                fresh.append((slot, spec.numel, spec.dtype.np))
            arguments = []
            for slot, spec, _ in step.operands:
                arguments.append(_pointer(body, slot, spec, numbers, places, objects))
            for slot, spec in step.outs:
                arguments.append(_pointer(body, slot, spec, numbers, places, objects))
            body.append(f"  %scratch{k} = getelementptr i8, ptr %arena, i64 {scratch_at}")
            arguments.append(f"%scratch{k}")
            passed = ", ".join(f"ptr {a}" for a in arguments)
            key = (step.call, aliased)
            name = functions.get(key)
            if name is None:
                name = functions[key] = f"k{len(functions)}_{step.call.op.name}"
                code = Code()
                low.emit(code)
                kind = "ptr" if aliased else "ptr noalias"
                names = [*_names(step), "%scratch"]
                texts.append(code.function(name, [f"{kind} {n}" for n in names]))
                declared |= code.declared
            body.append(f"  %f{k} = call i1 @{name}({passed})")
            body.append(f"  br i1 %f{k}, label %failed, label %after{k}")
            body.append(f"after{k}:")
        texts.append(
            f"define i32 @segment{i}(ptr %objects, ptr %numbers, ptr %arena) {{\n"
            + "\n".join(body) + "\n  ret i32 0\nfailed:\n  ret i32 1\n}"
        )  # fmt: skip
        frees = tuple(s for k in group for s in plan.steps[k].frees)
        parts.append((i, tuple(objects), tuple(fresh), tuple(taken), frees))
        i = end
    ir = "\n".join(sorted(declared)) + "\n\n" + "\n\n".join(texts)
    ir += '\nattributes #0 = { noinline nounwind "prefer-vector-width"="512" }\n'
    module = Module(ir)
    pointer = ctypes.c_void_p
    native = NativePlan(plan.steps, plan.slots, plan.constants)
    native.parts = [
        Segment(module.function(f"segment{p[0]}", pointer, pointer, pointer), *p[1:])
        if isinstance(p, tuple) and not isinstance(p, Step)
        else p
        for p in parts
    ]
    native.numbers = tuple(numbers)
    native.arena = arena
    native.module = module
    native.reference, native.program, native._apart = plan, program, None
    native.seen, native.tier = plan.seen, "native"
    return native


def _lower(step: Step, lanes: int) -> Lowering | None:
    row = LOWERINGS.get(step.call.op.name)
    if row is None or step.in_place:
        return None
    if any(spec.device is not CPU for _, spec in step.outs):
        return None
    if any(convert is not None and spec.number is None for _, spec, convert in step.operands):
        return None
    operands = [Array(f"%a{n}", spec) for n, (_, spec, _) in enumerate(step.operands)]
    outs = [Array(f"%o{n}", spec) for n, (_, spec) in enumerate(step.outs)]
    if not all(a.spec.compact for a in outs):
        return None
    return row(step.call, operands, outs, lanes)


def _names(step: Step) -> list[str]:
    return [f"%a{n}" for n in range(len(step.operands))] + [f"%o{n}" for n in range(len(step.outs))]


def _pointer(
    body: list[str], slot: int, spec: Any, numbers: dict, places: dict, objects: dict
) -> str:
    """Emit what finds a value's address; the register that holds it."""
    register = f"%p{len(body)}"
    if spec.number is not None:
        body.append(f"  {register} = getelementptr double, ptr %numbers, i64 {numbers[slot]}")
    elif slot in places:
        body.append(f"  {register} = getelementptr i8, ptr %arena, i64 {places[slot]}")
    else:
        place = objects.setdefault(slot, len(objects))
        body.append(f"  {register}.s = getelementptr i64, ptr %objects, i64 {place}")
        body.append(f"  {register}.o = load ptr, ptr {register}.s")
        body.append(f"  {register}.d = getelementptr i8, ptr {register}.o, i64 {_DATA}")
        body.append(f"  {register} = load ptr, ptr {register}.d")
    return register


def _arrange(
    slots: list[int], sizes: dict[int, int], first: dict[int, int], last: dict[int, int]
) -> tuple[dict[int, int], int]:
    """Places in the arena, first fit in order of birth: values alive at once never overlap."""
    places: dict[int, int] = {}
    top = 0
    alive: list[tuple[int, int, int]] = []  # (start, end, last use)
    for slot in sorted(slots, key=first.__getitem__):
        size = -(-max(sizes[slot], 1) // _LINE) * _LINE
        # A value read by the step that makes this one is still needed then.
        alive = sorted(a for a in alive if a[2] >= first[slot])
        start = 0
        for low, high, _ in alive:
            if start + size <= low:
                break
            start = max(start, high)
        places[slot] = start
        alive.append((start, start + size, last[slot]))
        top = max(top, start + size)
    return places, top
