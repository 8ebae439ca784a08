"""Softmax, log-softmax and its gradient along rows, in vector lanes.

A row is read in vectors; the last one may be short, and is then filled up with what changes
nothing. Each row is gone through three times while it lies in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cresset.compiler.code import TYPES, Code, mask
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.exponential import exp
from cresset.compiler.vectormath.lanes import Lanes
from cresset.compiler.vectormath.logarithm import log
from cresset.core.call import Call

#: Minus infinity, as LLVM writes it.
LOWEST = "0xFFF0000000000000"


class Rows:
    """Emits loops over the vectors of rows of one length."""

    def __init__(self, c: Code, kind: str, size: int, lanes: int) -> None:
        self.c, self.kind, self.size = c, kind, size
        self.lanes = lanes
        self.vector = f"<{lanes} x {kind}>"

    def spans(self, first: int = 0) -> Iterator[tuple[str, int]]:
        """(first element, lanes used) from an element on, each emitted once: whole vectors in a
        loop, then the rest."""
        whole = (self.size - first) // self.lanes * self.lanes
        if whole:
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

    def fold(
        self, start: str, step: Callable[[str, int, Lanes], Lanes], name: str, ways: int = 1
    ) -> str:
        """Go over a row with vectors of partial results, ``ways`` of them so that a short step does
        not wait for the one before; then join them and their lanes."""
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
            total = total + other if name == "fadd" else total.intrinsic(name[1:], other)
        if name == "fadd":
            return c.reduce_add(self.kind, self.lanes, total.register)
        suffix = f"v{self.lanes}{'f32' if self.kind == 'float' else 'f64'}"
        c.declare(f"{self.kind} @llvm.vector.reduce.{name}.{suffix}({self.vector})")
        return c.let(
            f"call {self.kind} @llvm.vector.reduce.{name}.{suffix}({self.vector} {total.register})"
        )

    def all(self, scalar: str) -> Lanes:
        return Lanes(self.c, self.kind, self.lanes, self.c.splat(self.kind, self.lanes, scalar))


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

    def emit(c: Code) -> None:
        rows = Rows(c, kind, size, vector_lanes(x, lanes))
        with c.share(count) as row:
            source, target = (_line(c, kind, a, row, size) for a in (x, out))
            top = rows.fold(
                LOWEST,
                lambda i, used, have: have.intrinsic(
                    "maximum", rows.load(source, i, used, LOWEST)
                ),
                "fmaximum", ways=4,
            )  # fmt: skip
            highest = rows.all(top)

            def grow(i: str, used: int, have: Lanes) -> Lanes:
                shifted = rows.load(source, i, used, LOWEST) - highest
                grown = exp(shifted)
                rows.store(shifted if logarithm else grown, target, i, used)
                return have + grown

            total = rows.fold("0.0", grow, "fadd")
            if logarithm:
                change = rows.all(log(Lanes(c, kind, 0, total)).register)
            else:
                change = rows.all(c.let(f"fdiv {kind} 1.0, {total}"))
            for i, used in rows.spans():
                value = rows.load(target, i, used)
                rows.store(value - change if logarithm else value * change, target, i, used)

    return Lowering(emit, pieces=count, flops=40 * x.spec.numel)


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
