"""From a plan's steps to the parts of a native plan: kernels, segments, places in memory.

The stages in order: steps that need not be (``simplify.py``); neighbours that become one step
(``fusion.py``); a lowering per step (``lowerings.py``); which values stay in the arena and where
(``memory.py``); whether threads are worth it and how each kernel is cut; the text of kernels
(``code.py``) and their machine code (``kernels.py``); the tables of segments (``segments.py``).
"""

from __future__ import annotations

import ctypes
import functools
import operator
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from cresset.compiler import threads
from cresset.compiler.code import Code
from cresset.compiler.fusion import fuse
from cresset.compiler.host import vector_bytes
from cresset.compiler.kernels import Kernel, Kernels
from cresset.compiler.lowerings import LOOK_BACK, lower
from cresset.compiler.memory import LINE, arrange
from cresset.compiler.segments import Invocation, Use, serial, serial_table, staged_table
from cresset.compiler.simplify import simplify
from cresset.compiler.step import Lowering
from cresset.core.modes import PROCESS
from cresset.core.plan import Plan, Program, Step

#: Nanoseconds that a kernel costs in any case, and what a core does in one.
_START, _FLOPS, _BYTES = 200, 150, 30
#: Nanoseconds of work below which a kernel is not cut, and a plan runs on one thread; below which a
#: plan is not left to a worker while Python goes on, and from which on a step of training, which
#: always is, is cut as well.
_WORTH_CUTTING, _WORTH_WAKING, _WORTH_LEAVING, _WORTH_JOINING = 4_000, 40_000, 2_000, 8_000


class Segment(NamedTuple):
    """A run of native steps."""

    #: Runs it on one thread; where there are stages, what the threads are given instead.
    function: Any
    #: Outputs that get a new buffer: slot, size and dtype; and those that take over an operand's:
    #: slots of both.
    made: tuple[tuple[int, int, Any], ...]
    taken: tuple[tuple[int, int], ...]
    #: From the plan's values to the array objects that the code reads: where a tuple keeps them is
    #: the table of their addresses that it is given.
    objects: Callable[[list[Any]], tuple]
    frees: tuple[int, ...]
    #: Stages for the threads to go through (0: it is for one thread).
    stages: int
    #: Where the kernels and their arguments are told; its address is in ``function``.
    table: Any


class Leaving(NamedTuple):
    """How a plan of one segment can be left to the workers."""

    #: Its address is what they are given.
    table: Any
    address: int
    stages: int
    #: How many stages must be done before the caller may leave: those that can still fail.
    settled: int
    #: Per slot that is read outside how many stages must be done before it is there.
    ready: dict[int, int]
    #: Threads that it is for.
    threads: int


class Built(NamedTuple):
    """What a native plan is made of."""

    #: The plan's steps, neighbours fused, and the lowering of each that has one.
    steps: list[Step]
    lowered: list[Lowering | None]
    #: Segments, and steps that run their reference kernel.
    parts: list[Any]
    #: From the plan's values to the run-time numbers in the order of the table; how it is packed.
    numbers: Callable[[list[Any]], tuple]
    packed: struct.Struct
    #: Bytes of the arena.
    arena: int
    #: The machine code of the steps, each kernel once.
    kernels: list[Kernel]
    threads: int
    #: None if the plan cannot be left, or is done too soon for that.
    leaving: Leaving | None


def _nanoseconds(step: Step, low: Lowering) -> float:
    """A rough guess of a kernel's time on one core."""
    moved = step.call.nbytes + sum(spec.nbytes for _, spec, _ in step.operands)
    return _START + max(low.flops / _FLOPS, moved / _BYTES)


def _cuts(steps: list[Step], lowered: list[Lowering | None], count: int) -> list[int]:
    """Per step into how many pieces its kernel is cut; all 1 where threads are not worth it."""
    none = [1] * len(steps)
    if count < 2:
        return none
    work = [
        _nanoseconds(step, low) if low is not None and low.pieces > 1 else 0.0
        for step, low in zip(steps, lowered, strict=True)
    ]
    trains = any(step.call.op.family == "optimizer" for step in steps)
    least = _WORTH_JOINING if trains else _WORTH_WAKING
    if sum(w for w in work if w >= _WORTH_CUTTING) < least:
        return none
    return [
        _even(low.pieces, count) if low is not None and w >= _WORTH_CUTTING else 1
        for low, w in zip(lowered, work, strict=True)
    ]


def _even(most: int, count: int) -> int:
    """A number of pieces that lets ``count`` threads end together: some more than threads if so."""
    best, score = 1, 0.0
    for pieces in (count, 2 * count):
        if pieces > min(most, threads.MOST_PIECES):
            break
        used = most / (-(-most // pieces) * pieces)
        if used >= score - 0.02:
            best, score = pieces, used
    return best if best > 1 else min(most, count, threads.MOST_PIECES)


class _Draft(NamedTuple):
    """A segment whose kernels have numbers for addresses."""

    steps: range
    calls: list[Invocation]
    #: How many of them come first, to look whether values will be refused.
    inspections: int
    #: Which call is the last of each step.
    ends: dict[int, int]
    #: Slots of the buffers that the code reads or writes, in the order of its table.
    objects: tuple[int, ...]
    made: tuple[tuple[int, int, Any], ...]
    taken: tuple[tuple[int, int], ...]


def build(program: Program, plan: Plan, apart: bool = False) -> Built | None:
    """The parts of the native plan, or None if no step has a lowering.

    With ``apart`` every step is a segment of its own and its values are all in reach, so that steps
    can be looked at one by one.
    """
    return _Builder(program, plan, apart).build()


class _Builder:
    def __init__(self, program: Program, plan: Plan, apart: bool) -> None:
        self.live = set(program.live)
        self.steps = fuse(simplify(plan.steps, self.live, dict(plan.constants)), self.live)
        self.dead = set(program.dead_inputs)
        self.apart = apart
        lanes = vector_bytes() // 4
        self.makers = {slot: step.call for step in self.steps for slot, _ in step.outs}
        self.lowered = [lower(step, lanes, self.makers) for step in self.steps]
        self.threads = PROCESS.threads() if threads.available() and not apart else 1
        self.cuts = _cuts(self.steps, self.lowered, self.threads)
        self.made_by: dict[int, int] = {}
        self.last_use: dict[int, int] = {}
        #: Numbers by slot and whether they are whole: their places in the table.
        self.numbers: dict[tuple[int, bool], int] = {}
        for i, step in enumerate(self.steps):
            for slot, _ in step.outs:
                self.made_by[slot] = self.last_use[slot] = i
            low = self.lowered[i]
            for n, (slot, spec, _) in enumerate(step.operands):
                self.last_use[slot] = i
                if spec.number is not None and low is not None:
                    self.numbers.setdefault((slot, n in low.whole), len(self.numbers))
        #: Steps that cannot fail, as this looks at what they could refuse in front of everything.
        self.inspected = {
            k: low.inspect
            for k, (step, low) in enumerate(zip(self.steps, self.lowered, strict=True))
            if low is not None and low.inspect is not None
            and not any(step.operands[n][0] in self.made_by for n in low.inspected)
        }  # fmt: skip
        # Inputs are overwritten only when nothing can fail any more, for the reference to start
        # over.
        self.settled = max(
            (
                k
                for k, (step, low) in enumerate(zip(self.steps, self.lowered, strict=True))
                if low is None
                or (step.call.op.checks_values or low.fails)
                and k not in self.inspected
            ),
            default=-1,
        )
        self.kernels = Kernels()
        #: Kernels by what they depend on: steps that are one Call share their code.
        self.known: dict[tuple, int] = {}

    def build(self) -> Built | None:
        if not any(self.lowered):
            return None
        self._place()
        groups: list[Any] = []
        i = 0
        while i < len(self.steps):
            if self.lowered[i] is None:
                groups.append(self.steps[i])
                i += 1
                continue
            end = i + 1
            while end < len(self.steps) and self.lowered[end] is not None and not self.apart:
                end += 1
            groups.append(self._write(range(i, end)))
            i = end
        kernels = self.kernels.made()
        parts = [
            self._segment(group, kernels) if isinstance(group, _Draft) else group
            for group in groups
        ]
        if isinstance(parts[-1], Segment):
            parts[-1] = parts[-1]._replace(frees=())  # all values are dropped now
        used = self.threads if any(getattr(p, "stages", 0) for p in parts) else 1
        leaving = self._leaving(groups, kernels)
        packed = struct.Struct("@" + "".join("dq"[whole] for _, whole in self.numbers))
        return Built(
            self.steps, self.lowered, parts, _taker(tuple([slot for slot, _ in self.numbers])),
            packed, self.arena, kernels, used, leaving,
        )  # fmt: skip

    def _place(self) -> None:
        """A value stays in the arena if only machine code makes and reads it."""
        outside = set(self.made_by) if self.apart else set(self.live)
        for step, low in zip(self.steps, self.lowered, strict=True):
            if low is None:
                outside.update(slot for slot, _ in step.outs)
                outside.update(slot for slot, _, _ in step.operands)
        inside = [s for s in self.made_by if s not in outside]
        sizes = {slot: spec.nbytes for step in self.steps for slot, spec in step.outs}
        # A write over a value that nobody needs any more goes on in its place.
        first, last = dict(self.made_by), dict(self.last_use)
        kept = set(inside)
        over: dict[int, int] = {}
        for step, low in zip(self.steps, self.lowered, strict=True):
            if low is None or not step.in_place:
                continue
            for position, operand in low.pairs:
                out, source = step.outs[position][0], step.operands[operand][0]
                if out in kept and source in kept:
                    over[out] = root = over.get(source, source)
                    last[root] = max(last[root], last[out])
        own = [slot for slot in inside if slot not in over]
        self.places, self.scratch = arrange(own, sizes, first, last)
        for slot, root in over.items():
            self.places[slot] = self.places[root]
        self.arena = self.scratch + max(
            _room(low.shared) + _room(low.scratch) * cut
            for low, cut in zip(self.lowered, self.cuts, strict=True)
            if low is not None
        )

    def _write(self, group: range) -> _Draft:
        """What a segment will need, its kernels being written on the way."""
        objects: dict[int, int] = {}
        made: list[tuple[int, int, Any]] = []
        taken: list[tuple[int, int]] = []
        calls = [
            Invocation(
                self._kernel(self.steps[k], inspect, False, 1),
                self._uses(k, objects), 1, (self.scratch, 0, 0),
            )
            for k, inspect in self.inspected.items()
            if k in group
        ]  # fmt: skip
        inspections, ends = len(calls), {}
        for k in group:
            step, low = self.steps[k], self.lowered[k]
            assert low is not None
            pairs = dict(low.pairs)
            aliased = False
            for position, (slot, spec) in enumerate(step.outs):
                operand = pairs.get(position)
                source = None if operand is None else step.operands[operand][0]
                if slot in self.places:
                    aliased |= source is not None and self.places[slot] == self.places.get(source)
                    continue
                objects.setdefault(slot, len(objects))
                if source is None or not self._may_take(k, source):
                    made.append((slot, spec.numel, spec.dtype.np))
                else:
                    taken.append((slot, source))
                    aliased = True
            uses = self._uses(k, objects, low.start if aliased else 0)
            cut = self.cuts[k]
            room = (self.scratch, _room(low.shared), _room(low.scratch))
            for stage in low.stages():
                kernel = self._kernel(step, stage, aliased, cut)
                calls.append(Invocation(kernel, uses, cut, room))
            ends[k] = len(calls) - 1
        return _Draft(group, calls, inspections, ends, tuple(objects), tuple(made), tuple(taken))

    def _segment(self, draft: _Draft, kernels: list[Kernel]) -> Segment:
        calls = _addressed(draft, kernels)
        table: Any = None
        done: list[int] = []
        if self.threads > 1 and any(call.pieces > 1 for call in calls):
            table, done = staged_table(calls, self.threads)
        stages = done[-1] if done else 0
        if not stages:
            table = serial_table(calls)
        address = ctypes.addressof(table)
        function = address if stages else functools.partial(serial(), address)
        frees = tuple(
            slot for k in draft.steps for slot in self.steps[k].frees if slot not in self.places
        )
        return Segment(
            function, draft.made, draft.taken, _taker(draft.objects), frees, stages, table
        )

    def _leaving(self, groups: list[Any], kernels: list[Kernel]) -> Leaving | None:
        """The same segment with stages that end where somebody may wait: behind the last step that
        can fail, and behind single numbers that are read outside, as a loss is."""
        draft = groups[0]
        if self.threads < 2 or len(groups) > 1 or not isinstance(draft, _Draft):
            return None
        rest = slice(self.settled + 1, None)
        steps = zip(self.steps[rest], self.lowered[rest], strict=True)
        if sum(_nanoseconds(step, low) for step, low in steps if low) < _WORTH_LEAVING:
            return None
        read = {k: step for k, step in enumerate(self.steps) if self._is_read(step)}
        waited = [k for k, step in read.items() if all(spec.numel == 1 for _, spec in step.outs)]
        last = draft.ends[self.settled] if self.settled >= 0 else draft.inspections - 1
        ends = {last, *[draft.ends[k] for k in waited]}
        table, done = staged_table(_addressed(draft, kernels), self.threads, ends)
        if table is None:
            return None
        settled = done[last] if last >= 0 else 0
        ready = {slot: done[draft.ends[k]] for k, step in read.items() for slot, _ in step.outs}
        threads = self.threads if any(call.pieces > 1 for call in draft.calls) else 2
        return Leaving(table, ctypes.addressof(table), done[-1], settled, ready, threads)

    def _is_read(self, step: Step) -> bool:
        return any(slot in self.live for slot, _ in step.outs)

    def _may_take(self, k: int, source: int) -> bool:
        """Whether step ``k`` may write its output over an operand's memory."""
        if self.apart or source in self.places or self.last_use[source] != k:
            return False
        if sum(slot == source for slot, _, _ in self.steps[k].operands) != 1:
            return False
        if source in self.made_by:
            return source not in self.live
        return source in self.dead and k > self.settled

    def _kernel(self, step: Step, emit: Callable[[Code], None], aliased: bool, pieces: int) -> int:
        """The number of the kernel that does the step; its text is written the first time."""
        key: tuple = (step.call, emit.__name__, aliased, pieces)
        if step.call.op.name in LOOK_BACK:
            key += tuple(self.makers.get(slot) for slot, _, _ in step.operands)
        number = self.known.get(key)
        if number is None:
            code = Code(pieces, aliased)
            emit(code)
            arguments = [f"%a{n}" for n in range(len(step.operands))]
            arguments += [f"%o{n}" for n in range(len(step.outs))]
            number = self.known[key] = self.kernels.write(step.call.op.name, code, arguments)
        return number

    def _uses(self, k: int, objects: dict[int, int], start: int = 0) -> tuple[Use, ...]:
        """Where the arguments of a step's kernels are found; its outputs ``start`` bytes further
        on."""
        step, low = self.steps[k], self.lowered[k]
        assert low is not None
        uses = []
        arrays = [(s, spec) for s, spec, _ in step.operands] + list(step.outs)
        for n, (slot, spec) in enumerate(arrays):
            if spec.number is not None:
                uses.append(Use("number", self.numbers[slot, n in low.whole]))
                continue
            offset = spec.offset * spec.dtype.itemsize
            offset += start if n >= len(step.operands) else 0
            if slot in self.places:
                uses.append(Use("arena", self.places[slot], offset))
            else:
                uses.append(Use("object", objects.setdefault(slot, len(objects)), offset))
        return tuple(uses)


def _addressed(draft: _Draft, kernels: list[Kernel]) -> list[Invocation]:
    """A draft's calls with the addresses of their kernels."""
    return [call._replace(kernel=kernels[call.kernel].address) for call in draft.calls]


def _taker(slots: tuple[int, ...]) -> Callable[[list[Any]], tuple]:
    """Takes what these slots hold out of a plan's values."""
    if len(slots) > 1:
        return operator.itemgetter(*slots)
    return lambda values: tuple([values[slot] for slot in slots])


def _room(scratch: int) -> int:
    """Scratch memory of one piece, in whole cache lines so that pieces do not share one."""
    return -(-scratch // LINE) * LINE
