"""Products of vectors, and of a matrix and a vector.

Each element of a matrix is used once, so memory decides: rows that lie side by side are gone along
in vectors, a few at a time so that they share what is read of the vector; of a transposed matrix,
vectors hold neighbouring results instead.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from cresset.compiler.code import TYPES, Code
from cresset.compiler.rows import vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call

#: Rows, or vectors of results, that are summed at once.
_TOGETHER = 4


def _fits(*arrays: Array) -> bool:
    return all(a.spec.dtype.name in ("float32", "float64") and a.spec.numel for a in arrays)


def lower_dot(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    if not _fits(*operands):
        return None
    a, b = operands
    kind, n = TYPES[a.spec.dtype.name], a.spec.numel
    lanes = vector_lanes(a, lanes)

    def emit(c: Code) -> None:
        sums = [c.slot(f"<{lanes} x {kind}>", "zeroinitializer") for _ in range(_TOGETHER)]

        def some(i: str, used: int, total: str) -> None:
            x, y = (_line(c, kind, v, v.base(c, kind), i, used, lanes) for v in (a, b))
            _add(c, kind, lanes, x, y, total)

        _along(c, n, lanes, sums, some)
        (total,) = c.sum_lanes(kind, lanes, [_joined(c, kind, lanes, sums)])
        c.store(kind, total, outs[0].pointer)

    return Lowering(emit, flops=2 * n)


def lower_mv(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    if not _fits(*operands):
        return None
    a, v = operands
    (m, k), (down, across) = a.spec.shape, a.spec.stride
    kind, lanes = TYPES[a.spec.dtype.name], vector_lanes(a, lanes)
    if across == 1 or k == 1:
        block, body = _TOGETHER, _rows
    elif down == 1 or m == 1:
        block, body = _TOGETHER * lanes, _columns
    else:
        return None

    def emit(c: Code) -> None:
        for number, last in c.blocks(m // block, bool(m % block)):
            first = c.times(number, block)
            source = c.at(kind, a.base(c, kind), c.times(first, down))
            target = c.at(kind, outs[0].pointer, first)
            body(c, kind, a, v, source, target, m % block if last else block, lanes)

    return Lowering(emit, pieces=-(-m // block), flops=2 * prod((m, k)))


def _rows(
    c: Code, kind: str, a: Array, v: Array, source: str, target: str, count: int, lanes: int
) -> None:
    """Some rows, each along the vector."""
    (_, k), (down, _) = a.spec.shape, a.spec.stride
    sums = [c.slot(f"<{lanes} x {kind}>", "zeroinitializer") for _ in range(count)]

    def some(i: str, used: int, _: str) -> None:
        y = _line(c, kind, v, v.base(c, kind), i, used, lanes)
        for row, total in enumerate(sums):
            x = c.masked_load(kind, lanes, used, c.at(kind, source, c.plus(i, row * down)))
            _add(c, kind, lanes, x, y, total)

    _along(c, k, lanes, [""], some)
    totals = c.sum_lanes(kind, lanes, [c.get(f"<{lanes} x {kind}>", s) for s in sums])
    for row, value in enumerate(totals):
        c.store(kind, value, target, row)


def _columns(
    c: Code, kind: str, a: Array, v: Array, source: str, target: str, count: int, lanes: int
) -> None:
    """Neighbouring results, a column of the matrix after the other."""
    (_, k), (_, across) = a.spec.shape, a.spec.stride
    parts = [(i, min(lanes, count - i)) for i in range(0, count, lanes)]
    vector = f"<{lanes} x {kind}>"
    sums = [c.slot(vector, "zeroinitializer") for _ in parts]
    with c.loop(k) as i:
        one = c.load(kind, v.base(c, kind), c.times(i, v.spec.stride[0]))
        factor = c.splat(kind, lanes, one)
        column = c.at(kind, source, c.times(i, across))
        for (first, used), total in zip(parts, sums, strict=True):
            x = c.masked_load(kind, lanes, used, c.at(kind, column, first))
            _add(c, kind, lanes, x, factor, total)
    for (first, used), total in zip(parts, sums, strict=True):
        c.masked_store(kind, lanes, used, c.get(vector, total), c.at(kind, target, first))


def _line(c: Code, kind: str, v: Array, start: str, i: str, used: int, lanes: int) -> str:
    """Elements of a vector in memory, which may lie apart."""
    step = v.spec.stride[0]
    place = c.at(kind, start, c.times(i, step))
    if step == 1:
        return c.masked_load(kind, lanes, used, place)
    return c.gather(kind, lanes, used, step, place)


def _add(c: Code, kind: str, lanes: int, x: str, y: str, total: str) -> None:
    vector = f"<{lanes} x {kind}>"
    c.set(vector, total, c.fma(vector, x, y, c.get(vector, total)))


def _along(
    c: Code, n: int, lanes: int, sums: list[str], some: Callable[[str, int, str], None]
) -> None:
    """Run the body for vectors of a line, the sums in turn."""
    both = lanes * len(sums)
    whole = n // both * both
    if whole:
        with c.loop(whole, both) as i:
            for number, total in enumerate(sums):
                some(c.plus(i, number * lanes), lanes, total)
    for at in range(whole, n, lanes):
        some(str(at), min(lanes, n - at), sums[0])


def _joined(c: Code, kind: str, lanes: int, sums: list[str]) -> str:
    vector = f"<{lanes} x {kind}>"
    first, *rest = [c.get(vector, total) for total in sums]
    for other in rest:
        first = c.let(f"fadd {vector} {first}, {other}")
    return first
