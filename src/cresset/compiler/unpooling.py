"""Max pooling over windows that divide a plane evenly, and what goes by the places that a pool
found: values put back there, and values taken from there. A place outside fails the plan."""

from __future__ import annotations

from contextlib import ExitStack
from math import prod

from cresset.compiler.code import TYPES, Code
from cresset.compiler.copies import WIDTHS
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride


def lower_adaptive_max(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The first of the largest in each window (NaN is the largest) and its flat place."""
    (x,), (values, places) = operands, outs
    name = x.spec.dtype.name
    if name not in ("float32", "float64") or not x.spec.contiguous or not values.spec.numel:
        return None
    if not x.spec.numel:
        return None
    size, out, kind = tuple(x.spec.shape[2:]), tuple(values.spec.shape[2:]), TYPES[name]
    planes = x.spec.shape[0] * x.spec.shape[1]

    def window(c: Code, source: str, where: list[str], target: str) -> None:
        bounds = []
        for o, m, n in zip(where, out, size, strict=True):
            low = c.let(f"udiv i64 {c.times(o, n)}, {m}")
            end = c.let(f"udiv i64 {c.plus(c.times(o, n), n + m - 1)}, {m}")
            bounds.append((low, end))
        steps = contiguous_stride(size)
        first = c.offset([low for low, _ in bounds], steps)
        best, place = c.slot(kind, c.load(kind, source, first)), c.slot("i64", first)
        with ExitStack() as loops:
            at = [loops.enter_context(c.span(*b)) for b in bounds]
            here = c.offset(at, steps)
            value = Lanes(c, kind, 0, c.load(kind, source, here))
            have = Lanes(c, kind, 0, c.get(kind, best))
            # Larger, or NaN where what is there is not.
            better = value._compare("ugt", have) & have._compare("ord", have)
            with c.when(better.register):
                c.set(kind, best, value.register)
                c.set("i64", place, here)
        c.store(kind, c.get(kind, best), values.pointer, target)
        c.store("i64", c.get("i64", place), places.pointer, target)

    def emit(c: Code) -> None:
        axes = [tuple(int(a == b) for b in range(len(out))) for a in range(len(out))]
        with c.share(planes) as plane, c.uncut():
            source = c.at(kind, x.base(c, kind), c.times(plane, prod(size)))

            def each(offsets: list[str]) -> None:
                *where, cell = offsets
                window(c, source, where, c.plus(c.times(plane, prod(out)), cell))

            walk(c, out, [*axes, contiguous_stride(out)], each)

    return Lowering(emit, pieces=planes, flops=4 * x.spec.numel)


def _by_places(source: Array, places: Array, out: Array) -> tuple[int, int, int] | None:
    """Planes, and elements of a plane of the source and of the output."""
    if places.spec.dtype.name != "int64" or not (source.spec.contiguous and places.spec.contiguous):
        return None
    if not source.spec.numel or not out.spec.numel or out.spec.dtype.itemsize > 8:
        return None
    planes = prod(out.spec.shape[:2])
    return planes, source.spec.numel // planes, out.spec.numel // planes


def _place(c: Code, places: Array, i: str, size: int) -> str:
    place = c.load("i64", places.base(c, "i64"), i)
    c.fail_if(c.let(f"icmp uge i64 {place}, {size}"))
    return place


def lower_unpool(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Each value to its place, 0 to the others; a later one goes over an earlier one."""
    (x, places), (out,) = operands, outs
    sizes = _by_places(x, places, out)
    if sizes is None or x.spec.dtype is not out.spec.dtype:
        return None
    planes, count, size = sizes
    kind = WIDTHS[out.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        with c.share(planes) as plane:
            target = c.at(kind, out.pointer, c.times(plane, size))
            with c.loop(size) as i:
                c.store(kind, "0", target, i)
            with c.loop(count) as i:
                own = c.plus(c.times(plane, count), i)
                place = _place(c, places, own, size)
                c.store(kind, c.load(kind, x.base(c, kind), own), target, place)

    return Lowering(emit, pieces=planes, fails=True)


def lower_take(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The element of its plane that each place names."""
    (x, places), (out,) = operands, outs
    if not x.spec.contiguous:
        return None
    sizes = _by_places(out, places, x)
    if sizes is None:
        return None
    planes, count, size = sizes
    kind = WIDTHS[out.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        with c.share(planes) as plane:
            source = c.at(kind, x.base(c, kind), c.times(plane, size))
            with c.loop(count) as i:
                own = c.plus(c.times(plane, count), i)
                place = _place(c, places, own, size)
                c.store(kind, c.load(kind, source, place), out.pointer, own)

    return Lowering(emit, pieces=planes, fails=True)
