"""Softmax, log-softmax and its gradient along a dimension that is not the last (``rows.py`` has the
last): neighbouring columns are gone through together, one in each lane."""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.activations import larger
from cresset.compiler.code import Code
from cresset.compiler.elements import ELEMENTS, store
from cresset.compiler.lines import Lines, strides_beside
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath import FUNCTIONS
from cresset.compiler.vectormath.lanes import Lanes
from cresset.core.call import Call


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


def _put(c: Code, lines: Lines, out: Array, value: Lanes, place: str, used: int) -> None:
    store(value, lines.dtype, used, c.at(ELEMENTS[lines.dtype].memory, out.pointer, place))


def _softmax(call: Call, x: Array, out: Array, lanes: int, logarithm: bool) -> Lowering | None:
    if not _fits(call, x, out):
        return None
    dim = call.params[0] % len(x.spec.shape)
    lines = Lines(x, dim, lanes)
    step, exp = out.spec.stride[dim], FUNCTIONS["exp"]

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            def read(i: str) -> Lanes:
                return lines.load(c, start, i, used)

            top = _folded(c, lines, -float("inf"), lambda have, i: larger(have, read(i)))
            total = _folded(c, lines, 0.0, lambda have, i: have + exp(read(i) - top))
            change = FUNCTIONS["log"](total) if logarithm else 1.0 / total
            with c.loop(lines.count) as i:
                shifted = read(i) - top
                value = shifted - change if logarithm else exp(shifted) * change
                _put(c, lines, out, value, c.plus(own, c.times(i, step)), used)

        lines.each(c, strides_beside(lines, out, dim), body)

    pieces = next((n for n in lines.shape if n > 1), 1)
    return Lowering(emit, pieces=pieces, flops=60 * x.spec.numel)


def lower_log_softmax_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``g - exp(y) * sum(g)``."""
    g, y = operands
    out = outs[0]
    if not _fits(call, g, y, out):
        return None
    dim = call.params[0] % len(g.spec.shape)
    lines, values = Lines(g, dim, lanes), Lines(y, dim, lanes)
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
