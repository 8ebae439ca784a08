"""Plans of the second tier: runs of steps as machine code, the rest through reference kernels.

Every step that has a lowering becomes a function of its own; neighbours are called by one *segment*
function, so that a run of steps costs one call from Python. Values that only machine code touches
live in an arena at fixed places. Everything else is a NumPy buffer in ``values`` as on the first
tier, whose address the segment reads from the array object itself.

What must stay true: a plan computes what the reference plan computes, to rounding; an output never
lies in memory that anyone else holds; a failing step leaves what does not depend on it.
"""

from __future__ import annotations

import struct
import sys
import warnings
from copy import copy
from typing import Any

import numpy as np

from cresset.compiler.build import Built, Segment, build
from cresset.compiler.memory import LINE
from cresset.compiler.simplify import simplify
from cresset.compiler.threads import POOL
from cresset.core.check import close
from cresset.core.modes import PROCESS
from cresset.core.place import Place
from cresset.core.plan import Plan, Program, run_step

#: Fewer steps are not worth a module of their own, unless they are heavy.
FEWEST_STEPS = 4
#: Structures that never come back must not be compiled without end.
MOST_COMPILED = 256


#: Where a tuple object keeps its items: right behind what every tuple has.
ITEMS = tuple.__basicsize__


class _Count:
    compiled = 0


class _Last:
    """The plan that ran as machine code last; ``compiler.report`` looks at it."""

    plan: Any = None


LAST = _Last()


class _Arena:
    """Scratch memory shared by all plans; plans run one at a time."""

    def __init__(self) -> None:
        self.buffer = np.empty(0, np.uint8)
        #: Of what there is for plans: on a cache line, and how many bytes.
        self.address = self.size = 0

    def room(self, size: int) -> int:
        """The address of at least ``size`` bytes."""
        if size > self.size:
            self.buffer = np.empty(size + LINE, np.uint8)
            start = self.buffer.ctypes.data
            self.address, self.size = -(-start // LINE) * LINE, size
        return self.address


ARENA = _Arena()


class NativePlan(Plan):
    """A plan whose parts are segments of machine code and single reference steps."""

    __slots__ = ("parts", "built", "reference", "program", "_apart")

    def __init__(self, program: Program, reference: Plan, built: Built) -> None:
        super().__init__(reference.steps, reference.slots, reference.constants)
        self.seen, self.tier, self.compile_at = reference.seen, "native", 0
        self.built = built
        self.parts = built.parts
        self.program, self.reference = program, reference
        self._apart: Any = None

    def run(self, values: list[Any], places: dict[int, Place]) -> BaseException | None:
        LAST.plan = self
        POOL.finish()
        built = self.built
        if built.threads > 1 or POOL.is_alone:
            POOL.start(min(built.threads, PROCESS.threads()))
        numbers = self._numbers(values)
        if numbers is None:
            return self.reference.run(values, places)
        arena = ARENA.address if built.arena <= ARENA.size else ARENA.room(built.arena)
        given = list(values)
        for part in self.parts:
            if part.__class__ is Segment:
                objects = _buffers(part, values)  # stays alive while the code runs
                table = id(objects) + ITEMS
                if part.stages:
                    failed = POOL.run(part.function, table, numbers, arena, part.stages)
                else:
                    failed = part.function(table, numbers, arena)
                if failed:
                    values[:] = given
                    return self.reference.run(values, places)
                for slot in part.frees:
                    values[slot] = None
            else:
                try:
                    with np.errstate(all="ignore"):
                        run_step(part, values)
                except Exception:
                    values[:] = given
                    return self.reference.run(values, places)
        return None

    def start(self, values: list[Any]) -> bool:
        built = self.built
        leaving = built.leaving
        if leaving is None or POOL.is_alone:
            return False
        threads = PROCESS.threads()
        if threads < 2:
            return False
        POOL.finish()
        numbers = self._numbers(values)
        if numbers is None:
            return False
        LAST.plan = self
        arena = ARENA.address if built.arena <= ARENA.size else ARENA.room(built.arena)
        part = self.parts[0]
        objects = _buffers(part, values)
        held = self, objects, numbers
        table = id(objects) + ITEMS
        if POOL.leave(leaving, min(leaving.threads, threads), table, numbers, arena, held):
            return True
        for slot, *_ in (*part.made, *part.taken):
            values[slot] = None
        return False

    def wait(self, slot: int) -> None:
        leaving = self.built.leaving
        assert leaving is not None
        POOL.wait(leaving.ready.get(slot, leaving.stages))

    def finish(self) -> None:
        POOL.finish()

    def _numbers(self, values: list[Any]) -> bytes | None:
        """The run-time numbers as the code reads them; None if one does not fit: an int beyond the
        floats, or beyond int64."""
        for slot, value in self.constants:
            values[slot] = value
        try:
            return self.built.packed.pack(*self.built.numbers(values))
        except (OverflowError, struct.error):
            return None

    def verify(self, values: list[Any]) -> None:
        """Run every step by itself on what reference kernels make of ``values``, which the
        reference plan has run on; RuntimeError if one differs."""
        if self._apart is None:
            self._apart = native_plan(self.program, self.reference, apart=True)
        given, last = list(values), LAST.plan
        # Where a step went elsewhere, a slot means something else than in the reference plan.
        constants = dict(self.reference.constants)
        with np.errstate(all="ignore"):
            for step in simplify(self.reference.steps, self.program.live, constants):
                run_step(step._replace(in_place=False, frees=()), given)
        for part, step in zip(self._apart.parts, self._apart.built.steps, strict=True):
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
        LAST.plan = last


def _buffers(part: Segment, values: list[Any]) -> tuple:
    """Memory for a segment's results; all the arrays that it reads and writes."""
    empty = np.empty
    for slot, size, kind in part.made:
        values[slot] = empty(size, kind)
    for slot, source in part.taken:
        values[slot] = values[source]
    return part.objects(values)


def compile_plan(program: Program, plan: Plan) -> Plan:
    """The plan with native segments; ``plan`` itself where that is not worth its time."""
    small = len(plan.steps) < FEWEST_STEPS and not plan.heavy
    if small or _Count.compiled >= MOST_COMPILED:
        return plan
    try:
        native = native_plan(program, plan)
    except Exception as error:  # a lowering's bug must not stop a program that could run
        warnings.warn(
            f"cresset: a plan could not be compiled and stays on the first tier ({error!r})",
            RuntimeWarning,
            stacklevel=2,
        )
        return plan
    _Count.compiled += native is not plan
    if PROCESS.debug and native is not plan:
        from cresset.compiler.explain import debug

        print(debug(program, native), file=sys.stderr)
    return native


def native_plan(program: Program, plan: Plan, apart: bool = False) -> Plan:
    """The plan with native segments, or ``plan`` itself if nothing in it has a lowering."""
    built = build(program, plan, apart)
    return plan if built is None else NativePlan(program, plan, built)
