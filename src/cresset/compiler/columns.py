"""Softmax, log-softmax and its gradient along a dimension that is not the last (``rows.py`` has the
last): neighbouring columns are gone through together, one in each lane. And logsumexp, along any.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code
from cresset.compiler.elements import ELEMENTS, store
from cresset.compiler.lines import Lines, strides_beside, strides_without
from cresset.compiler.rows import LOWEST, Rows, above, block_sums, in_blocks, vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath import FUNCTIONS
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call

#: How many vectors of neighbouring lines are gone through together where there are enough.
_TOGETHER = 4
#: Bytes of exponentials that are kept rather than computed again.
_MOST_KEPT = 256 << 10


def _fits(call: Call, *arrays: Array) -> bool:
    first = arrays[0].spec
    return (
        all(a.spec.numel and a.spec.dtype is first.dtype and a.spec.contiguous for a in arrays)
        and first.dtype.name in ("float32", "float64")
        and len(first.shape) > 0
    )


def lower_softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    return _softmax(call, operands[0], outs[0], lanes, logarithm=False)


def lower_log_softmax(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    return _softmax(call, operands[0], outs[0], lanes, logarithm=True)


def _folded(c: Code, lines: Lines, start: float, step: Callable[[Lanes, str], Lanes]) -> Lanes:
    """The last of the values that ``step`` makes of the one before, along the lines."""
    first = Lanes(c, lines.register, lines.lanes, "").constant(start)
    slot = c.slot(first.kind, first.register)
    with c.loop(lines.count) as i:
        have = first.like(first.element, c.get(first.kind, slot))
        c.set(first.kind, slot, step(have, i).register)
    return first.like(first.element, c.get(first.kind, slot))


def _together(lines: Lines) -> Lines:
    """With several vectors of neighbours at once, as an exponential's operations wait for one
    another."""
    if lines.side >= 2 * _TOGETHER * lines.lanes:
        lines.lanes *= _TOGETHER
    return lines


def _put(c: Code, lines: Lines, out: Array, value: Lanes, place: str, used: int) -> None:
    store(value, lines.dtype, used, c.at(ELEMENTS[lines.dtype].memory, out.pointer, place))


def _softmax(call: Call, x: Array, out: Array, lanes: int, logarithm: bool) -> Lowering | None:
    if not _fits(call, x, out):
        return None
    dim = call.params[0] % len(x.spec.shape)
    lines = _together(Lines(x, dim, lanes))
    step, exp, kind = out.spec.stride[dim], FUNCTIONS["exp"], lines.register
    # The exponentials wait in memory of their own: lines that are far apart share a place in the
    # nearest cache at some sizes.
    width = max(lines.lanes, 1)
    room = lines.count * width * (4 if kind == "float" else 8)
    keeps = not logarithm and room <= _MOST_KEPT

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            def read(i: str) -> Lanes:
                return lines.load(c, start, i, used)

            def place(i: str) -> str:
                return c.at(kind, "%scratch", c.times(i, width))

            def grown(have: Lanes, i: str) -> Lanes:
                value = exp(read(i) - top)
                if keeps:
                    c.store(value.kind, value.register, place(i), align=4)
                return have + value

            def finished(i: str) -> Lanes:
                if logarithm:
                    return read(i) - top - change
                if not keeps:
                    return exp(read(i) - top) * change
                return top.like(kind, c.load(top.kind, place(i), align=4)) * change

            # NaN is passed over at first: it is met again among the exponentials.
            top = _folded(c, lines, -float("inf"), lambda have, i: above(read(i), have))
            total = _folded(c, lines, 0.0, grown)
            change = FUNCTIONS["log"](total) if logarithm else 1.0 / total
            with c.loop(lines.count) as i:
                _put(c, lines, out, finished(i), c.plus(own, c.times(i, step)), used)

        lines.each(c, strides_beside(lines, out, dim), body)

    pieces = next((n for n in lines.shape if n > 1), 1)
    scratch = room if keeps else 0
    return Lowering(emit, scratch=scratch, pieces=pieces, flops=60 * x.spec.numel)


def lower_log_softmax_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``g - exp(y) * sum(g)``."""
    g, y = operands
    out = outs[0]
    if not _fits(call, g, y, out):
        return None
    dim = call.params[0] % len(g.spec.shape)
    lines, values = _together(Lines(g, dim, lanes)), _together(Lines(y, dim, lanes))
    step, exp = out.spec.stride[dim], FUNCTIONS["exp"]

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            total = _folded(c, lines, 0.0, lambda have, i: have + lines.load(c, start, i, used))
            with c.loop(lines.count) as i:
                place = c.plus(own, y.spec.offset)
                value = lines.load(c, start, i, used) - exp(values.load(c, place, i, used)) * total
                _put(c, lines, out, value, c.plus(own, c.times(i, step)), used)

        lines.each(c, strides_beside(lines, out, dim), body)

    pieces = next((n for n in lines.shape if n > 1), 1)
    return Lowering(emit, pieces=pieces, flops=40 * g.spec.numel)


def lower_logsumexp(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``log(sum(exp(x - max))) + max``, where an infinite maximum is left out."""
    x, out = operands[0], outs[0]
    dims, _ = call.params
    if not _fits(call, x, out):
        return None
    ndim, count = len(x.spec.shape), x.spec.numel // out.spec.numel
    if tuple(d % ndim for d in dims) == tuple(range(ndim - len(dims), ndim)):
        rows = x.viewed((out.spec.numel, count), (count, 1))
        return _logsumexp_rows(rows, out, lanes)
    if len(dims) > 1:
        return None
    lines = _together(Lines(x, dims[0] % ndim, lanes))

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            def read(i: str) -> Lanes:
                return lines.load(c, start, i, used)

            top = _folded(c, lines, -float("inf"), lambda have, i: above(read(i), have))
            shift = _finite(top)
            total = _folded(c, lines, 0.0, lambda have, i: have + FUNCTIONS["exp"](read(i) - shift))
            _put(c, lines, out, FUNCTIONS["log"](total) + shift, own, used)

        lines.each(c, strides_without(lines, tuple(x.spec.shape), dims[0] % ndim), body)

    pieces = next((n for n in lines.shape if n > 1), 1)
    return Lowering(emit, pieces=pieces, flops=60 * x.spec.numel)


def _finite(top: Lanes) -> Lanes:
    return select(abs(top) < float("inf"), top, 0.0)


def _logsumexp_rows(x: Array, out: Array, lanes: int) -> Lowering:
    count, size = x.spec.shape
    kind, wide = TYPES[x.spec.dtype.name], vector_lanes(x, lanes)
    short = in_blocks(size, count, wide)

    def blocks(c: Code) -> None:
        rows = Rows(c, kind, size, wide)
        results = c.slot(rows.vector)
        for first, here, shift, total in block_sums(c, rows, x, None, shift=_finite):
            value = FUNCTIONS["log"](total) + shift
            c.store(rows.vector, value.register, results)
            with c.loop(here) as r:
                c.store(kind, c.load(kind, results, r), out.pointer, c.plus(first, r))

    def one_by_one(c: Code) -> None:
        rows = Rows(c, kind, size, wide)
        with c.share(count) as row:
            line = c.at(kind, x.base(c, kind), c.times(row, size))

            def high(i: str, used: int, have: Lanes) -> Lanes:
                return above(rows.load(line, i, used, LOWEST), have)

            shift = _finite(Lanes(c, kind, 0, rows.fold(LOWEST, high, "fmax", ways=4)))
            every = rows.all(shift.register)

            def grow(i: str, used: int, have: Lanes) -> Lanes:
                return have + FUNCTIONS["exp"](rows.load(line, i, used, LOWEST) - every)

            total = Lanes(c, kind, 0, rows.fold("0.0", grow, "fadd"))
            value = FUNCTIONS["log"](total) + shift
            c.store(kind, value.register, out.pointer, row)

    def emit(c: Code) -> None:
        blocks(c) if short else one_by_one(c)

    pieces = -(-count // wide) if short else count
    return Lowering(emit, pieces=pieces, flops=40 * x.spec.numel)
