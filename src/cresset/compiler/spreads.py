"""Variance and standard deviation: the mean first, then the squares of what is left."""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import Code, mask
from cresset.compiler.elements import ELEMENTS, FLOATS, converted, load, store, taken_as, width
from cresset.compiler.reductions import pattern
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call


def lower_spread(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Over the last dimensions along vectors; over the first ones, with an output in each lane."""
    (x,), (out,) = operands, outs
    dims, _, correction = call.params
    names = {x.spec.dtype.name, out.spec.dtype.name}
    if not names <= set(ELEMENTS) or taken_as(call, call.specs[0]) not in FLOATS:
        return None
    if not x.spec.numel or not x.spec.contiguous or not out.spec.compact:
        return None
    sizes = pattern(tuple(x.spec.shape), {d % len(x.spec.shape) for d in dims})
    if sizes is None or sizes[0] > 1 or (sizes[1] > 1 and sizes[3] > 1):
        return None
    _, before, kept, after = sizes
    spread = _Spread(call, x, out, max(before, after), width(lanes, names))
    left = max(spread.count - correction, 0)

    def emit(c: Code) -> None:
        if after > 1 or before == 1:
            with c.share(kept) as row:
                spread.along(c, row, left)
            return
        for block, last in c.blocks(kept // spread.lanes, bool(kept % spread.lanes)):
            used = kept % spread.lanes if last else spread.lanes
            spread.across(c, c.times(block, spread.lanes), used, kept, left)

    pieces = kept if after > 1 or before == 1 else -(-kept // spread.lanes)
    return Lowering(emit, pieces=pieces, flops=5 * x.spec.numel)


class _Spread:
    def __init__(self, call: Call, x: Array, out: Array, count: int, lanes: int) -> None:
        self.x, self.out, self.count, self.lanes = x, out, count, lanes
        self.root = call.op.name == "std"
        self.kind = taken_as(call, call.specs[0])
        self.element = ELEMENTS[self.kind].register
        self.source, self.target = x.spec.dtype.name, out.spec.dtype.name

    def read(self, c: Code, place: str, lanes: int, used: int) -> Lanes:
        memory = ELEMENTS[self.source].memory
        at = c.at(memory, self.x.pointer, c.plus(place, self.x.spec.offset))
        return converted(load(c, self.source, lanes, used, at), self.source, self.kind)

    def write(self, c: Code, total: Lanes, left: float, place: str, used: int) -> None:
        value = total / total.constant(left)
        value = converted(value.sqrt() if self.root else value, self.kind, self.target)
        at = c.at(ELEMENTS[self.target].memory, self.out.pointer, place)
        store(value, self.target, used, at)

    def along(self, c: Code, row: str, left: float) -> None:
        """One row."""
        lanes = self.lanes
        first = c.times(row, self.count)

        def total(term: Callable[[Lanes], Lanes]) -> Lanes:
            zero = Lanes(c, self.element, lanes, "").constant(0.0)
            slot = c.slot(zero.kind, zero.register)

            def add(i: str, used: int) -> None:
                value = term(self.read(c, c.plus(first, i), lanes, used))
                if used < lanes:
                    value = select(Lanes(c, "i1", lanes, mask(lanes, used)), value, 0.0)
                have = zero.like(self.element, c.get(zero.kind, slot))
                c.set(zero.kind, slot, (have + value).register)

            whole = self.count // lanes * lanes
            if whole:
                with c.loop(whole, lanes) as i:
                    add(i, lanes)
            if whole < self.count:
                add(str(whole), self.count - whole)
            one = c.reduce_add(self.element, lanes, c.get(zero.kind, slot))
            return Lanes(c, self.element, 0, one)

        mean = total(lambda v: v) / float(self.count)
        every = Lanes(c, self.element, lanes, c.splat(self.element, lanes, mean.register))
        squares = total(lambda v: (v - every) * (v - every))
        self.write(c, squares, left, row, 1)

    def across(self, c: Code, column: str, used: int, step: int, left: float) -> None:
        """Neighbouring columns."""
        zero = Lanes(c, self.element, self.lanes, "").constant(0.0)

        def total(term: Callable[[Lanes], Lanes]) -> Lanes:
            slot = c.slot(zero.kind, zero.register)
            with c.loop(self.count) as i:
                value = term(self.read(c, c.plus(c.times(i, step), column), self.lanes, used))
                have = zero.like(self.element, c.get(zero.kind, slot))
                c.set(zero.kind, slot, (have + value).register)
            return zero.like(self.element, c.get(zero.kind, slot))

        mean = total(lambda v: v) / float(self.count)
        self.write(c, total(lambda v: (v - mean) * (v - mean)), left, column, used)
