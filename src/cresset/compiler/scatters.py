"""Writes that reduce (products, extremes, means), and places in the flattened tensor."""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code
from cresset.compiler.copies import WIDTHS
from cresset.compiler.divisions import DIVISIONS
from cresset.compiler.elements import ELEMENTS, load, settled, store
from cresset.compiler.formulas import larger, smaller
from cresset.compiler.gathers import (
    INDICES,
    begin,
    checked,
    first_pieces,
    pieces_apart,
    walk_apart,
)
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import FORMATS, Lanes
from cresset.core.call import Call

_REDUCTIONS: dict[str, Callable[[Lanes, Lanes], Lanes]] = {
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "amax": larger,
    "amin": smaller,
}


def _neutral(name: str, mode: str) -> float | int:
    """What a place begins with where its old value does not count."""
    if mode in ("sum", "mean", "prod"):
        return int(mode == "prod")
    if name in ("float32", "float64"):
        return float("-inf" if mode == "amax" else "inf")
    bits = 8 * ELEMENTS[name].size
    low = 0 if name == "uint8" else -(1 << bits - 1)
    return low if mode == "amax" else low + (1 << bits) - 1


class _Element:
    """Reads and writes single elements of an array."""

    def __init__(self, c: Code, a: Array) -> None:
        self.c, self.pointer, self.name = c, a.pointer, a.spec.dtype.name
        self.memory, self.register = ELEMENTS[self.name].memory, ELEMENTS[self.name].register

    def get(self, place: str) -> Lanes:
        return load(self.c, self.name, 0, 0, self.c.at(self.memory, self.pointer, place))

    def put(self, value: Lanes, place: str) -> None:
        place = self.c.at(self.memory, self.pointer, place)
        store(settled(value, self.name), self.name, 1, place)

    def constant(self, value: float | int) -> Lanes:
        return Lanes(self.c, self.register, 0, "").constant(value)


def lower_scatter_reduce(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``out[index[i][j]][j]`` and ``source[i][j]`` become their sum, product, extreme or mean."""
    x, index, source = operands
    (dim, mode, keep), (out,) = call.params, outs
    name, shape = out.spec.dtype.name, tuple(index.spec.shape)
    if name not in TYPES or name == "bool" or mode not in _REDUCTIONS or not shape:
        return None
    if index.spec.dtype.name not in INDICES or not index.spec.numel or not out.spec.numel:
        return None
    if source.spec.number is not None or x.spec.dtype is not out.spec.dtype:
        return None
    if len(x.spec.shape) != len(shape) or len(source.spec.shape) != len(shape):
        return None
    stride = tuple(out.spec.stride)
    others = (*stride[:dim], 0, *stride[dim + 1 :])
    strides = [tuple(index.spec.stride), others, tuple(source.spec.stride)]
    combine, counts = _REDUCTIONS[mode], mode == "mean"
    room = 4 * out.spec.numel if counts else 0

    def each(c: Code, body: Callable[[str, str], None]) -> None:
        def at(offsets: list[str]) -> None:
            where = checked(c, index, offsets[0], out.spec.shape[dim])
            place = c.plus(offsets[1], c.times(where.register, stride[dim]))
            body(place, c.plus(offsets[2], source.spec.offset))

        walk_apart(c, shape, strides, (dim,), at)

    def prepare(c: Code) -> None:
        begin(x, out)(c)
        if counts:
            with c.share(out.spec.numel) as i:
                c.store("i32", str(int(keep)), "%shared", i)

    def emit(c: Code) -> None:
        target, given = _Element(c, out), _Element(c, source)
        if not keep:
            start = target.constant(_neutral(name, mode))
            each(c, lambda place, _: target.put(start, place))

        def add(place: str, at: str) -> None:
            target.put(combine(target.get(place), given.get(at)), place)
            if counts:
                more = c.let(f"add i32 {c.load('i32', '%shared', place)}, 1")
                c.store("i32", more, "%shared", place)

        each(c, add)

    def divide(c: Code) -> None:
        target = _Element(c, out)
        with c.share(out.spec.numel) as i:
            count = Lanes(c, "i32", 0, c.load("i32", "%shared", i))
            with c.when((count > 1).register):
                target.put(_mean(target.get(i), count), i)

    return Lowering(
        emit, prepare=prepare, last=(divide,) if counts else (), shared=room, pairs=((0, 0),),
        pieces=pieces_apart(shape, (dim,)), fails=True,
    )  # fmt: skip


def _mean(total: Lanes, count: Lanes) -> Lanes:
    if total.element in FORMATS:
        return total / count._convert("sitofp", total.element)
    wide = total if total.element == "i64" else total._convert("sext", "i64")
    found = DIVISIONS["floor_divide"](wide, count._convert("sext", "i64"))
    return found if total.element == "i64" else found._convert("trunc", total.element)


# -- the flattened tensor --------------------------------------------------------------------------


def lower_take(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """``out[i] = x.flatten()[index[i]]``."""
    (x, index), (out,) = operands, outs
    if not x.spec.contiguous or index.spec.dtype.name not in INDICES or not out.spec.numel:
        return None
    kind, shape = WIDTHS[x.spec.dtype.itemsize], tuple(index.spec.shape)

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            where = checked(c, index, offsets[0], x.spec.numel, negative=True)
            place = c.plus(where.register, x.spec.offset)
            c.store(kind, c.load(kind, x.pointer, place), out.pointer, offsets[1])

        walk(c, shape, [tuple(index.spec.stride), tuple(out.spec.stride)], body, shared=True)

    return Lowering(emit, pieces=first_pieces(shape))


def lower_put(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """``out.flatten()[index[i]] = source[i]``, or added there."""
    (x, index, source), (out,) = operands, outs
    (adds,) = call.params
    name = out.spec.dtype.name
    if not out.spec.contiguous or index.spec.dtype.name not in INDICES or not index.spec.numel:
        return None
    if not (index.spec.contiguous and source.spec.contiguous) or source.spec.number is not None:
        return None
    if source.spec.dtype is not out.spec.dtype or (adds and (name not in TYPES or name == "bool")):
        return None
    kind = WIDTHS[out.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        with c.loop(index.spec.numel) as i:
            place = checked(c, index, i, out.spec.numel, negative=True).register
            at = c.plus(i, source.spec.offset)
            if adds:
                target, given = _Element(c, out), _Element(c, source)
                target.put(target.get(place) + given.get(at), place)
            else:
                c.store(kind, c.load(kind, source.pointer, at), out.pointer, place)

    return Lowering(emit, prepare=begin(x, out), pairs=((0, 0),))
