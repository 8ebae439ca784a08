"""The code of a group of elementwise steps and row sums (``fusion.py`` says what a group is).

Without rows: a loop nest over the space, its innermost loop in vectors; every member once per
vector. With rows: for each row some *passes* over it. What a pass computes is in registers; what a
later pass reads again waits in memory as long as a row. A sum over a row is known when its pass
ends, so its readers belong to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cresset.compiler.code import Code, mask
from cresset.compiler.elements import ELEMENTS, FLOATS, converted, load, store, taken_as, width
from cresset.compiler.folds import Fold, Total
from cresset.compiler.formulas import FORMULAS, Number, apply, divides
from cresset.compiler.fusion import Group, Member
from cresset.compiler.layout import broadcast_stride, collapse
from cresset.compiler.memory import LINE
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes
from cresset.core.spec import contiguous_stride

#: How many sums of vectors a row's sum is made of, where the loop is short.
_SUMS = 4
#: Vectors of a row up to which a short body is written for each of them.
_UNROLLED = 8
_SHORT_BODY = 60
#: Vectors that are computed together where a loop's body costs so much: its operations wait for one
#: another, and the processor looks only so far ahead for others.
_TOGETHER, _LONG_BODY = 4, 40
#: Bytes from which a tensor is far from the processor when its kernel begins, and how many bytes
#: ahead it is fetched.
_FAR, _AHEAD = 1 << 20, 8192


def lower_group(
    group: Group, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The kernel of a group."""
    plan = _Loops(group, operands, outs, lanes)
    return Lowering(
        plan.emit, scratch=plan.scratch, pieces=plan.pieces, flops=plan.cost * plan.numel,
        whole=group.whole, fails=any(divides(m.call) for m in group.members),
    )  # fmt: skip


class _Loops:
    """What is the same at every place of the space, worked out once."""

    def __init__(self, group: Group, operands: list[Array], outs: list[Array], lanes: int) -> None:
        self.group, self.operands, self.outs = group, operands, outs
        self.count = len(operands)
        specs = [*group.specs, *[m.call.outs[0] for m in group.members]]
        #: Per value its dtype's name.
        self.names = [s.dtype.name for s in specs]
        tensors = {s.dtype.name for s in specs if s.number is None}
        self.lanes = width(lanes, tensors)
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
        #: Whether several vectors may be computed together: their elements are neighbours, or one,
        #: and nothing fills the registers by itself.
        powers = any(m.call.op.name == "pow" and m.role == "each" for m in group.members)
        self.together = set(self.steps.values()) <= {0, 1} and not powers
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
        size = self.size * max((ELEMENTS[self.names[v]].size for v in self.kept), default=0)
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
        #: Numbers by value and the dtype they are taken as: scalar registers.
        self.numbers: dict[tuple[int, str], str] = {}
        for member in loops.group.members:
            for o, spec in zip(member.operands, member.call.specs, strict=True):
                if spec.number is not None:
                    self._number(o, taken_as(member.call, spec))
            if divides(member.call) and member.call.specs[1].number is not None:
                kind = taken_as(member.call, member.call.specs[1])
                divisor = self.numbers[member.operands[1], kind]
                c.fail_if(c.let(f"icmp eq {ELEMENTS[kind].register} {divisor}, 0"))
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
                self.scalars[i] = load(c, loops.names[i], 0, 0, self.lines[i]).register
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
        return ELEMENTS[self.loops.names[value]].memory

    def _number(self, value: int, kind: str) -> None:
        array, register = self.loops.operands[value], ELEMENTS[kind].register
        if (value, kind) in self.numbers:
            return
        if kind in FLOATS:
            found = array.number(self.c, register)
        else:
            found = array.whole(self.c, kind)
        self.numbers[value, kind] = found

    # -- one value per row -------------------------------------------------------------------------

    def _row_values(self, level: int) -> None:
        """The members on row values that can be computed once pass ``level - 1`` is done."""
        loops = self.loops
        for position, member in enumerate(loops.group.members):
            value = loops.count + position
            if member.role != "row" or loops.level[value] != level or value in self.scalars:
                continue
            self._set_row(value, self._apply(member, self._scalar, 0, 1))

    def _scalar(self, value: int) -> Lanes:
        element = ELEMENTS[self.loops.names[value]].register
        return Lanes(self.c, element, 0, self.scalars[value])

    def _set_row(self, value: int, result: Lanes) -> None:
        self.scalars[value] = result.register
        if value in self.targets:
            store(result, self.loops.names[value], 0, self.targets[value])

    def _apply(self, member: Member, read: Callable[[int], Lanes], lanes: int, used: int) -> Lanes:
        """A member's result, its operands as ``read`` has them; numbers in all lanes."""
        c, operands = self.c, []
        for o, spec in zip(member.operands, member.call.specs, strict=True):
            if spec.number is None:
                operands.append(read(o))
                continue
            kind = taken_as(member.call, spec)
            scalar, element = self.numbers[o, kind], ELEMENTS[kind].register
            every = c.splat(element, lanes, scalar) if lanes else scalar
            operands.append(Number(c, element, lanes, every, scalar))
        if divides(member.call) and member.call.specs[1].number is None:
            kind, name = taken_as(member.call, member.call.specs[1]), self.loops.names
            zero = converted(operands[1], name[member.operands[1]], kind).equals(0)
            if lanes > used:
                zero = zero & zero.like("i1", mask(lanes, used))
            c.fail_if(zero.any())
        return apply(member.call, operands, [self.loops.names[o] for o in member.operands])

    # -- passes ------------------------------------------------------------------------------------

    def _pass(self, number: int, shared: bool) -> None:
        """Go over the row once, for the members whose turn it is."""
        c, loops = self.c, self.loops
        turn = [
            (loops.count + position, m)
            for position, m in enumerate(loops.group.members)
            if m.role != "row"
            and loops.level[loops.count + position] - (m.role == "fold") == number
        ]
        if not turn:
            return
        lanes = loops.lanes if loops.size > 1 else 0
        folds = {value: Fold(m.call, loops.size) for value, m in turn if m.role == "fold"}
        cost = sum(FORMULAS[m.call.op.name].cost for _, m in turn if m.role != "fold")
        if cost >= _LONG_BODY and loops.size >= 2 * _TOGETHER * lanes and loops.together:
            lanes *= _TOGETHER
        sums = _SUMS if folds and cost <= _SHORT_BODY and loops.size >= 2 * _SUMS * lanes else 1
        totals = {v: [Total(c, f, lanes) for _ in range(sums)] for v, f in folds.items()}
        splats: dict[int, Lanes] = {}
        for value in sorted({o for _, m in turn for o in m.operands} & set(self.scalars)):
            element = ELEMENTS[loops.names[value]].register
            scalar = self.scalars[value]
            every = c.splat(element, lanes, scalar) if lanes else scalar
            splats[value] = Lanes(c, element, lanes, every)

        ahead = self._ahead() if number == loops.passes - 1 else []

        def body(i: str, used: int, which: int) -> None:
            values = dict(splats)
            for value, distance, write in ahead:
                self._prefetch(value, c.plus(i, distance), used, write)

            def read(value: int) -> Lanes:
                found = values.get(value)
                if found is None:
                    found = values[value] = self._load(value, i, used, lanes)
                return found

            for value, m in turn:
                fold = folds.get(value)
                if fold is None:
                    values[value] = result = self._apply(m, read, lanes, used)
                    if value in self.lines:
                        self._store(value, result, i, used)
                    continue
                totals[value][which].add(read(m.operands[0]), used)

        self._vectors(lanes, sums, shared, cost <= _SHORT_BODY, body)
        for value, fold in folds.items():
            parts = [total.value() for total in totals[value]]
            self._set_row(value, fold.finish(fold.total(c, parts)))

    def _ahead(self) -> list[tuple[int, int, bool]]:
        """The tensors that are far from the processor, how many elements ahead of a row a later row
        lies in them, and whether they are written: processors fetch what follows by themselves, but
        not across a page's end, where many rows begin."""
        loops = self.loops
        if not loops.group.depth or not loops.outer or loops.size < 16:
            return []
        steps = loops.outer[-1][1]
        found = [
            (value, step, loops.operands[value].spec, False)
            for value, step in zip(loops.tensors, steps[1:], strict=True)
            if loops.steps[value] == 1 and step
        ]
        found += [
            (loops.count + m, steps[0], out.spec, True)
            for out, m in zip(loops.outs, loops.group.escapes, strict=True)
            if loops.group.members[m].role == "each"
        ]
        return [
            (value, step * max(1, _AHEAD // (step * spec.dtype.itemsize)), write)
            for value, step, spec, write in found if spec.nbytes >= _FAR
        ]  # fmt: skip

    def _prefetch(self, value: int, i: str, used: int, write: bool) -> None:
        c, name = self.c, self.loops.names[value]
        for start in range(0, used, max(1, LINE // ELEMENTS[name].size)):
            place = c.at(self._memory(value), self.lines[value], c.plus(i, start))
            c.prefetch(place, write)

    def _vectors(
        self, lanes: int, sums: int, shared: bool, short: bool,
        body: Callable[[str, int, int], None],
    ) -> None:  # fmt: skip
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
            for i in self._steps(start, sums * lanes, short):
                for which in range(sums):
                    body(c.plus(i, which * lanes), lanes, which)
        whole = (size - start) // lanes * lanes
        if whole:
            for i in self._steps(whole, lanes, short):
                body(c.plus(i, start), lanes, 0)
        if start + whole < size:
            body(str(start + whole), size - start - whole, 0)

    def _steps(self, count: int, step: int, short: bool) -> Iterator[str]:
        """0, step, ... below ``count``: in a loop, unless a short body is wanted a few times."""
        if short and count <= _UNROLLED * self.loops.lanes:
            for i in range(0, count, step):
                yield str(i)
        else:
            with self.c.loop(count, step) as i:
                yield i

    def _load(self, value: int, i: str, used: int, lanes: int) -> Lanes:
        step = self.loops.steps.get(value, 1)
        place = self.c.at(self._memory(value), self.lines[value], self.c.times(i, step))
        return load(self.c, self.loops.names[value], lanes, used, place, step)

    def _store(self, value: int, result: Lanes, i: str, used: int) -> None:
        place = self.c.at(self._memory(value), self.lines[value], i)
        store(result, self.loops.names[value], used, place)
