"""The code of a group of elementwise steps and row sums (``fusion.py`` says what a group is).

Without rows: a loop nest over the space, its innermost loop in vectors; every member once per
vector. With rows: for each row some *passes* over it. What a pass computes is in registers; what a
later pass reads again waits in memory as long as a row. A sum over a row is known when its pass
ends, so its readers belong to the next one.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code, mask
from cresset.compiler.formulas import FORMULAS, Number, apply
from cresset.compiler.fusion import Group, Member
from cresset.compiler.layout import broadcast_stride, collapse
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.spec import contiguous_stride

#: How many sums of vectors a row's sum is made of, where the loop is short.
_SUMS = 4
_SHORT_BODY = 60


def lower_group(
    group: Group, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The kernel of a group."""
    plan = _Loops(group, operands, outs, lanes)
    return Lowering(
        plan.emit, scratch=plan.scratch, pieces=plan.pieces, flops=plan.cost * plan.numel
    )


class _Loops:
    """What is the same at every place of the space, worked out once."""

    def __init__(self, group: Group, operands: list[Array], outs: list[Array], lanes: int) -> None:
        self.group, self.operands, self.outs = group, operands, outs
        self.kind = TYPES[group.kind]
        self.lanes = lanes if self.kind == "float" else lanes // 2
        self.count = len(operands)
        specs = [*group.specs, *[m.call.outs[0] for m in group.members]]
        #: Per value its element type: the float type, or ``i1`` (a byte in memory).
        self.element = [
            "i1" if s.number is None and s.dtype.name == "bool" else self.kind for s in specs
        ]
        space, depth = group.space, group.depth
        self.numel = 1
        for n in space:
            self.numel *= n
        own = contiguous_stride(space)
        self.tensors = [i for i, a in enumerate(operands) if a.spec.number is None]
        strides = [broadcast_stride(operands[i].spec, space) for i in self.tensors]
        cut = len(space) - depth if depth else len(space)
        self.outer = collapse(space[:cut], [own[:cut], *[s[:cut] for s in strides]])
        if depth:
            inner = collapse(space[cut:], [own[cut:], *[s[cut:] for s in strides]])
        else:
            inner = [self.outer.pop()] if self.outer else []
        self.size, steps = inner[0] if inner else (1, (1,) + (0,) * len(strides))
        #: Per tensor operand: how far its next element along the inner loop is.
        self.steps = dict(zip(self.tensors, steps[1:], strict=True))
        self.level = self._levels()
        self.passes = 1 + max(
            (self.level[v] for v in range(self.count, len(self.level))), default=0
        )
        self.kept = self._kept()
        self.scratch = len(self.kept) * self._line()
        self.cost = sum(
            1 if m.role == "fold" else FORMULAS[m.call.op.name].cost
            for m in group.members
            if m.role != "row"
        )
        # The pieces share the outermost loop.
        self.pieces = self.outer[0][0] if self.outer else max(self.size // self.lanes, 1)
        if depth and not self.outer:
            self.pieces = 1

    def _line(self) -> int:
        size = self.size * (4 if self.kind == "float" else 8)
        return -(-size // 64) * 64

    def _levels(self) -> list[int]:
        """Per value the first pass that can read it."""
        levels = [0] * self.count
        for member in self.group.members:
            known = max((levels[o] for o in member.operands), default=0)
            levels.append(known + (member.role == "fold"))
        return levels

    def _kept(self) -> dict[int, int]:
        """Values of members that a later pass reads: number -> place among the scratch lines."""
        kept: dict[int, int] = {}
        escapes = {self.count + m for m in self.group.escapes}
        for position, member in enumerate(self.group.members):
            if member.role == "row":
                continue
            at = self.level[self.count + position] - (member.role == "fold")
            for o in member.operands:
                if o < self.count or o in escapes or o in kept:
                    continue
                if self.group.members[o - self.count].role == "each" and self.level[o] < at:
                    kept[o] = len(kept)
        return kept

    def emit(self, c: Code) -> None:
        _Emission(self, c).nest(0, ["0"] * (1 + len(self.tensors)))


class _Emission:
    """One writing of the code."""

    def __init__(self, loops: _Loops, c: Code) -> None:
        self.loops, self.c = loops, c
        self.kind = loops.kind
        self.numbers = {
            i: a.number(c, self.kind)
            for i, a in enumerate(loops.operands)
            if a.spec.number is not None
        }
        #: What is one for all lanes, by value number: scalar registers.
        self.scalars: dict[int, str] = {}
        self.lines: dict[int, str] = {}
        self.targets: dict[int, str] = {}
        self.row = "0"

    def nest(self, level: int, offsets: list[str]) -> None:
        """The loops over rows, or all loops but the innermost; offsets: output, then operands."""
        c, loops = self.c, self.loops
        if level < len(loops.outer):
            count, steps = loops.outer[level]
            loop = c.share(count) if level == 0 else c.loop(count)
            with loop as i:
                self.nest(
                    level + 1,
                    [c.plus(o, c.times(i, s)) for o, s in zip(offsets, steps, strict=True)],
                )
            return
        self._begin(offsets)
        shared = not loops.outer and not loops.group.depth
        for number in range(loops.passes):
            self._row_values(number)
            self._pass(number, shared)
        self._row_values(loops.passes)

    def _begin(self, offsets: list[str]) -> None:
        """Where this row, or this run of the innermost loop, lies in every array."""
        c, loops = self.c, self.loops
        self.scalars = {}
        for i, offset in zip(loops.tensors, offsets[1:], strict=True):
            spec = loops.operands[i].spec
            place = c.plus(offset, spec.offset)
            self.lines[i] = c.at(self._memory(i), loops.operands[i].pointer, place)
            if loops.steps[i] == 0:
                self.scalars[i] = self._read(i, self.lines[i], 0)
        if loops.group.depth:
            self.row = c.let(f"udiv i64 {offsets[0]}, {loops.size}") if loops.outer else "0"
        for out, m in zip(loops.outs, loops.group.escapes, strict=True):
            value = loops.count + m
            if loops.group.members[m].role == "each":
                self.lines[value] = c.at(self._memory(value), out.pointer, offsets[0])
            else:
                self.targets[value] = c.at(self._memory(value), out.pointer, self.row)
        for value, place in loops.kept.items():
            self.lines[value] = c.at("i8", "%scratch", place * loops._line())

    def _memory(self, value: int) -> str:
        """The type of a value's elements in memory."""
        return "i8" if self.loops.element[value] == "i1" else self.kind

    def _read(self, value: int, place: str, lanes: int, used: int = 0, step: int = 1) -> str:
        """The register of elements at a place; of one where ``lanes`` is 0."""
        c, kind = self.c, self._memory(value)
        if not lanes:
            register = c.load(kind, place)
        elif step == 1:
            register = c.masked_load(kind, lanes, used, place)
        else:
            register = c.gather(kind, lanes, used, step, place)
        if kind != "i8":
            return register
        bytes_ = f"<{lanes} x i8>" if lanes else "i8"
        return c.let(f"icmp ne {bytes_} {register}, {'zeroinitializer' if lanes else '0'}")

    def _write(self, value: int, register: str, place: str, lanes: int, used: int = 0) -> None:
        c, kind = self.c, self._memory(value)
        if kind == "i8":
            bits, bytes_ = (f"<{lanes} x i1>", f"<{lanes} x i8>") if lanes else ("i1", "i8")
            register = c.let(f"zext {bits} {register} to {bytes_}")
        if lanes:
            c.masked_store(kind, lanes, used, register, place)
        else:
            c.store(kind, register, place)

    # -- one value per row -------------------------------------------------------------------------

    def _row_values(self, level: int) -> None:
        """The members on row values that can be computed once pass ``level - 1`` is done."""
        loops = self.loops
        for position, member in enumerate(loops.group.members):
            value = loops.count + position
            if member.role != "row" or loops.level[value] != level or value in self.scalars:
                continue
            result = self._apply(value, member, [self._scalar(o) for o in member.operands])
            self._set_row(value, result.register)

    def _scalar(self, value: int) -> Lanes:
        if value in self.numbers:
            register = self.numbers[value]
            return Number(self.c, self.kind, 0, register, register)
        return Lanes(self.c, self.loops.element[value], 0, self.scalars[value])

    def _set_row(self, value: int, register: str) -> None:
        self.scalars[value] = register
        if value in self.targets:
            self._write(value, register, self.targets[value], 0)

    def _apply(self, value: int, member: Member, operands: list[Lanes]) -> Lanes:
        truth = self.loops.element[value] == "i1"
        return apply(member.call.op.name, member.call.params, operands, self.kind, truth)

    # -- passes ------------------------------------------------------------------------------------

    def _pass(self, number: int, shared: bool) -> None:
        """Go over the row once, for the members whose turn it is."""
        c, loops, kind = self.c, self.loops, self.kind
        turn = [
            (loops.count + position, m)
            for position, m in enumerate(loops.group.members)
            if m.role != "row"
            and loops.level[loops.count + position] - (m.role == "fold") == number
        ]
        if not turn:
            return
        lanes = loops.lanes if loops.size > 1 else 0
        vector = f"<{lanes} x {kind}>" if lanes else kind
        folds = [value for value, m in turn if m.role == "fold"]
        cost = sum(FORMULAS[m.call.op.name].cost for _, m in turn if m.role != "fold")
        sums = _SUMS if folds and cost <= _SHORT_BODY and loops.size >= 2 * _SUMS * lanes else 1
        zero = c.splat(kind, lanes, "0.0") if lanes else "0.0"
        totals = {value: [c.slot(vector, zero) for _ in range(sums)] for value in folds}
        splats: dict[int, Lanes] = {}

        for value in sorted({o for _, m in turn for o in m.operands}):
            scalar = self.numbers.get(value) or self.scalars.get(value)
            if scalar is None:
                continue
            element = loops.element[value]
            register = c.splat(element, lanes, scalar) if lanes else scalar
            splats[value] = (
                Number(c, kind, lanes, register, scalar)
                if value in self.numbers
                else Lanes(c, element, lanes, register)
            )

        def body(i: str, used: int, which: int) -> None:
            values = dict(splats)

            def read(value: int) -> Lanes:
                found = values.get(value)
                if found is None:
                    found = values[value] = self._load(value, i, used, lanes)
                return found

            for value, m in turn:
                operands = [read(o) for o in m.operands]
                if m.role == "fold":
                    place = totals[value][which]
                    term = operands[0]
                    if m.call.op.name == "linalg_vector_norm":
                        term = term * term
                    if used < lanes:
                        keep = Lanes(c, "i1", lanes, mask(lanes, used))
                        term = select(keep, term, 0.0)
                    have = Lanes(c, kind, lanes, c.get(vector, place))
                    c.set(vector, place, (have + term).register)
                    continue
                values[value] = result = self._apply(value, m, operands)
                if value in self.lines:
                    self._store(value, result, i, used)

        self._vectors(lanes, sums, shared, body)
        for value in folds:
            self._set_row(value, self._total(value, totals[value], lanes))

    def _vectors(
        self, lanes: int, sums: int, shared: bool, body: Callable[[str, int, int], None]
    ) -> None:
        c, size = self.c, self.loops.size
        if not lanes:
            body("0", 0, 0)
            return
        if shared:
            for block, last in c.blocks(size // lanes, bool(size % lanes)):
                body(c.times(block, lanes), size % lanes if last else lanes, 0)
            return
        start = size // (sums * lanes) * (sums * lanes) if sums > 1 else 0
        if start:
            with c.loop(start, sums * lanes) as i:
                for which in range(sums):
                    body(c.plus(i, which * lanes), lanes, which)
        whole = (size - start) // lanes * lanes
        if whole:
            with c.loop(whole, lanes) as i:
                body(c.plus(i, start), lanes, 0)
        if start + whole < size:
            body(str(start + whole), size - start - whole, 0)

    def _load(self, value: int, i: str, used: int, lanes: int) -> Lanes:
        step = self.loops.steps.get(value, 1)
        place = self.c.at(self._memory(value), self.lines[value], self.c.times(i, step))
        register = self._read(value, place, lanes, used, step)
        return Lanes(self.c, self.loops.element[value], lanes, register)

    def _store(self, value: int, result: Lanes, i: str, used: int) -> None:
        place = self.c.at(self._memory(value), self.lines[value], i)
        self._write(value, result.register, place, result.count, used)

    def _total(self, value: int, places: list[str], lanes: int) -> str:
        """A row's sum, or mean, from its partial sums."""
        c, kind = self.c, self.kind
        vector = f"<{lanes} x {kind}>"
        parts = [Lanes(c, kind, lanes, c.get(vector, place)) for place in places]
        while len(parts) > 1:
            parts = [a + b for a, b in zip(parts[0::2], parts[1::2], strict=True)]
        total = c.reduce_add(kind, lanes, parts[0].register)
        member = self.loops.group.members[value - self.loops.count]
        if member.call.op.name == "mean":
            total = (Lanes(c, kind, 0, total) / float(self.loops.size)).register
        elif member.call.op.name == "linalg_vector_norm":
            total = Lanes(c, kind, 0, total).sqrt().register
        return total
