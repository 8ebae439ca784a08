"""Softmax, log-softmax and its gradient along rows, in vector lanes.

A row is read in vectors; the last one may be short, and is then filled up with what changes
nothing. Each row is gone through three times while it lies in the nearest cache.

Short rows go through in blocks of as many as a vector has lanes: to join the lanes of one vector to
the row's maximum, or sum, takes longer than to read the row, and joins of many share their work.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

from cresset.compiler.code import TYPES, Code, mask
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.exponential import exp
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.compiler.vectormath.logarithm import log
from cresset.core.call import Call

#: Minus infinity, as LLVM writes it.
LOWEST = "0xFFF0000000000000"
#: Vectors up to which a row is short, and whole vectors that are gone through without a loop.
_SHORT, _UNROLLED = 256, 4
#: Vectors whose exponentials are computed together, as the operations of one wait for one another.
_TOGETHER = 4
#: Bytes from which an array is not near when its kernel begins.
_FAR = 1 << 20


class Rows:
    """Emits loops over the vectors of rows of one length."""

    def __init__(
        self, c: Code, kind: str, size: int, lanes: int, unrolled: int = _UNROLLED
    ) -> None:
        self.c, self.kind, self.size = c, kind, size
        self.lanes, self.unrolled = lanes, unrolled
        self.vector = f"<{lanes} x {kind}>"

    def spans(self, first: int = 0) -> Iterator[tuple[str, int]]:
        """(first element, lanes used) from an element on: whole vectors, in a loop where they are
        many, then the rest."""
        whole = (self.size - first) // self.lanes * self.lanes
        if whole <= self.unrolled * self.lanes:
            for i in range(first, first + whole, self.lanes):
                yield str(i), self.lanes
        else:
            with self.c.loop(whole, self.lanes) as i:
                yield self.c.plus(i, first), self.lanes
        if first + whole < self.size:
            yield str(first + whole), self.size - first - whole

    def load(self, line: str, i: str, used: int, filler: str = "0.0") -> Lanes:
        c = self.c
        values = c.masked_load(self.kind, self.lanes, used, c.at(self.kind, line, i))
        if used < self.lanes and filler != "0.0":
            keep = mask(self.lanes, used)
            fill = c.splat(self.kind, self.lanes, filler)
            values = c.let(
                f"select <{self.lanes} x i1> {keep}, {self.vector} {values}, {self.vector} {fill}"
            )
        return Lanes(c, self.kind, self.lanes, values)

    def store(self, value: Lanes, line: str, i: str, used: int) -> None:
        c = self.c
        c.masked_store(self.kind, self.lanes, used, value.register, c.at(self.kind, line, i))

    def partial(
        self, start: str, step: Callable[[str, int, Lanes], Lanes],
        join: Callable[[Lanes, Lanes], Lanes], ways: int = 1,
    ) -> Lanes:  # fmt: skip
        """Go over a row with vectors of partial results, ``ways`` of them so that a short step does
        not wait for the one before; joined to one vector."""
        c = self.c
        ways = ways if self.size >= 2 * ways * self.lanes else 1
        stride = ways * self.lanes
        long = self.size // stride * stride if ways > 1 else 0
        places = [c.slot(self.vector, c.splat(self.kind, self.lanes, start)) for _ in range(ways)]

        def go(i: str, used: int, place: str) -> None:
            have = Lanes(c, self.kind, self.lanes, c.get(self.vector, place))
            c.set(self.vector, place, step(i, used, have).register)

        if long:
            with c.loop(long, stride) as i:
                for n, place in enumerate(places):
                    go(c.plus(i, n * self.lanes), self.lanes, place)
        for i, used in self.spans(long):
            go(i, used, places[0])
        total, *others = [
            Lanes(c, self.kind, self.lanes, c.get(self.vector, place)) for place in places
        ]
        for other in others:
            total = join(total, other)
        return total

    def fold(
        self, start: str, step: Callable[[str, int, Lanes], Lanes], name: str, ways: int = 1
    ) -> str:
        """``partial`` with the lanes joined too, by ``fadd``, ``fmaximum`` or ``fmax``, which knows
        no NaN."""
        c = self.c

        def join(a: Lanes, b: Lanes) -> Lanes:
            return a + b if name == "fadd" else a.intrinsic(name[1:], b)

        join = {"fmax": above}.get(name, join)
        total = self.partial(start, step, join, ways)
        if name == "fadd":
            return c.reduce_add(self.kind, self.lanes, total.register)
        suffix = f"v{self.lanes}{'f32' if self.kind == 'float' else 'f64'}"
        c.declare(f"{self.kind} @llvm.vector.reduce.{name}.{suffix}({self.vector})")
        return c.let(
            f"call {self.kind} @llvm.vector.reduce.{name}.{suffix}({self.vector} {total.register})"
        )

    def all(self, scalar: str) -> Lanes:
        return Lanes(self.c, self.kind, self.lanes, self.c.splat(self.kind, self.lanes, scalar))


def above(a: Lanes, b: Lanes) -> Lanes:
    """The larger one in one instruction; ``b`` where one of them is NaN."""
    return select(a > b, a, b)


def _along_rows(call: Call, *arrays: Array) -> bool:
    first = arrays[0].spec
    return (
        all(a.spec.contiguous and a.spec.numel and a.spec.dtype is first.dtype for a in arrays)
        and first.dtype.name in ("float32", "float64")
        and len(first.shape) > 0
        and call.params[0] % len(first.shape) == len(first.shape) - 1
    )


def vector_lanes(a: Array, lanes: int) -> int:
    """How many elements of the array's dtype a register holds; ``lanes`` of them are float32."""
    return lanes if a.spec.dtype.name == "float32" else lanes // 2


def _line(c: Code, kind: str, a: Array, row: str, size: int) -> str:
    return c.at(kind, a.pointer, c.plus(c.times(row, size), a.spec.offset))


def lower_softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``exp(x - max) / sum(exp(x - max))``."""
    return _softmax(call, operands, outs, lanes, logarithm=False)


def lower_log_softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``x - max - log(sum(exp(x - max)))``."""
    return _softmax(call, operands, outs, lanes, logarithm=True)


def _softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int, logarithm: bool
) -> Lowering | None:
    x, out = operands[0], outs[0]
    if not _along_rows(call, x, out):
        return None
    size = x.spec.shape[-1]
    count = x.spec.numel // size
    kind = TYPES[x.spec.dtype.name]

    wide = vector_lanes(x, lanes)
    short = in_blocks(size, count, wide)

    def emit(c: Code) -> None:
        if short:
            _short_rows(c, Rows(c, kind, size, wide), x, out, logarithm)
            return
        rows = _together(c, kind, size, wide)
        with c.share(count) as row:
            source, target = (_line(c, kind, a, row, size) for a in (x, out))
            top = rows.fold(LOWEST, lambda i, used, have: _higher(rows, source, i, used, have),
                            "fmax", ways=4)  # fmt: skip
            highest = rows.all(top)
            total = rows.fold(
                "0.0",
                lambda i, used, have: _grown(
                    rows, source, None if logarithm else target, highest, i, used, have
                ),
                "fadd",
            )
            one = Lanes(c, kind, 0, total)
            change = rows.all((log(one) if logarithm else 1.0 / one).register)
            _finish(rows, source, target, highest, change, logarithm)

    pieces = -(-count // wide) if short else count
    return Lowering(emit, pieces=pieces, flops=40 * x.spec.numel)


def _together(c: Code, kind: str, size: int, lanes: int) -> Rows:
    """Rows in vectors of several registers, if they are long enough for that."""
    return Rows(c, kind, size, lanes * (_TOGETHER if size >= 2 * _TOGETHER * lanes else 1))


def in_blocks(size: int, count: int, lanes: int) -> bool:
    """Whether rows go through in blocks."""
    return size <= _SHORT * lanes and count > 1


def _higher(rows: Rows, source: str, i: str, used: int, have: Lanes) -> Lanes:
    """NaN is passed over here: it is met again among the exponentials."""
    return above(rows.load(source, i, used, LOWEST), have)


def _grown(
    rows: Rows, source: str, target: str | None, highest: Lanes, i: str, used: int, have: Lanes
) -> Lanes:
    """The sum of exponentials, with those of one vector more; they are kept in ``target``."""
    grown = exp(rows.load(source, i, used, LOWEST) - highest)
    if target is not None:
        rows.store(grown, target, i, used)
    return have + grown


def _finish(
    rows: Rows, source: str, target: str, highest: Lanes, change: Lanes, logarithm: bool
) -> None:
    for i, used in rows.spans():
        if logarithm:
            value = rows.load(source, i, used) - highest - change
        else:
            value = rows.load(target, i, used) * change
        rows.store(value, target, i, used)


def _short_rows(c: Code, rows: Rows, x: Array, out: Array, logarithm: bool) -> None:
    kind, vector = rows.kind, rows.vector
    tops, changes = c.slot(vector), c.slot(vector)
    for first, here, top, total in block_sums(c, rows, x, out, keeps=not logarithm):
        c.store(vector, top.register, tops)
        c.store(vector, (log(total) if logarithm else 1.0 / total).register, changes)
        with c.loop(here) as r:
            highest, change = (rows.all(c.load(kind, place, r)) for place in (tops, changes))
            row = c.plus(first, r)
            source, target = (_line(c, kind, a, row, rows.size) for a in (x, out))
            _finish(rows, source, target, highest, change, logarithm)


def block_sums(
    c: Code, rows: Rows, x: Array, out: Array | None, keeps: bool = False,
    shift: Callable[[Lanes], Lanes] = lambda top: top,
) -> Iterator[tuple[str, str, Lanes, Lanes]]:  # fmt: skip
    """For each block of rows: its first row, how many there are, and per row what is taken off (the
    maximum, put through ``shift``) and the sum of exponentials of the rest. ``out`` is what will be
    written for every element, and is left with the exponentials if it ``keeps`` them.
    """
    kind, lanes, vector = rows.kind, rows.lanes, rows.vector
    count, far = x.spec.numel // rows.size, x.spec.nbytes >= _FAR
    many = _together(c, kind, rows.size, lanes)
    block = min(lanes, count)
    # A vector of partial results for each row of the block; what is taken off each.
    partial, tops = c.slot(f"[{block} x {vector}]"), c.slot(vector)

    def keep(r: str, value: Lanes) -> None:
        c.store(vector, value.register, partial, c.times(r, lanes))

    def joined(join: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
        def lanes_of(register: str) -> Lanes:
            return Lanes(c, kind, lanes, register)

        parts = [c.load(vector, partial, n * lanes) for n in range(block)]
        (found,) = c.fold_vectors(
            kind, lanes, parts, lambda a, b: join(lanes_of(a), lanes_of(b)).register
        )
        return lanes_of(found)

    with c.share(-(-count // lanes)) as number:
        first, here = c.times(number, lanes), str(count)
        if count > lanes:
            here = c.let(f"sub i64 {count}, {first}")
            full = c.let(f"icmp ugt i64 {here}, {lanes}")
            here = c.let(f"select i1 {full}, i64 {lanes}, i64 {here}")
        with c.loop(here) as r:
            source = _line(c, kind, x, c.plus(first, r), rows.size)
            keep(r, rows.partial(
                LOWEST, lambda i, used, have: _higher(rows, source, i, used, have), above, ways=4
            ))  # fmt: skip
        top = shift(joined(above))
        c.store(vector, top.register, tops)
        with c.loop(here) as r:
            row = c.plus(first, r)
            source = _line(c, kind, x, row, rows.size)
            target = None if out is None else _line(c, kind, out, row, rows.size)
            highest = many.all(c.load(kind, tops, r))

            def grow(i: str, used: int, have: Lanes) -> Lanes:
                for j in range(0, used if far else 0, lanes):  # the same place of the next block
                    ahead = c.plus(i, j + lanes * rows.size)
                    c.prefetch(c.at(kind, source, ahead))
                    if target is not None:
                        c.prefetch(c.at(kind, target, ahead), write=True)
                return _grown(many, source, target if keeps else None, highest, i, used, have)

            keep(r, many.partial("0.0", grow, operator.add).folded(lanes, operator.add))
        yield first, here, top, joined(operator.add)


def lower_log_softmax_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``g - exp(y) * sum(g)``."""
    g, y = operands
    out = outs[0]
    if not _along_rows(call, g, y, out):
        return None
    size = g.spec.shape[-1]
    count = g.spec.numel // size
    kind = TYPES[g.spec.dtype.name]

    def emit(c: Code) -> None:
        rows = Rows(c, kind, size, vector_lanes(g, lanes))
        with c.share(count) as row:
            gradients, values, target = (_line(c, kind, a, row, size) for a in (g, y, out))
            total = rows.fold(
                "0.0", lambda i, used, have: have + rows.load(gradients, i, used), "fadd", ways=4
            )
            summed = rows.all(total)
            for i, used in rows.spans():
                share = exp(rows.load(values, i, used)) * summed
                rows.store(rows.load(gradients, i, used) - share, target, i, used)

    return Lowering(emit, pieces=count, flops=40 * g.spec.numel)
