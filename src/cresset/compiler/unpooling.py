"""Max pooling over windows that divide a plane, gradients of averages over windows side by side,
and what goes by the places that a pool found: values put back, and values taken from there. A
place outside fails the plan."""

from __future__ import annotations

from contextlib import ExitStack
from math import prod

from cresset.compiler import windows
from cresset.compiler.code import TYPES, Code
from cresset.compiler.copies import WIDTHS
from cresset.compiler.nests import walk
from cresset.compiler.rows import vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call, Result
from cresset.core.spec import contiguous_stride

#: Rows are unrolled.
_WIDEST = 1024


def lower_adaptive_max(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The first of the largest in each window, or the last NaN, and its flat place."""
    (x,), (values, places) = operands, outs
    name = x.spec.dtype.name
    if name not in ("float32", "float64") or not x.spec.contiguous or not values.spec.numel:
        return None
    if not x.spec.numel:
        return None
    size, out, kind = tuple(x.spec.shape[2:]), tuple(values.spec.shape[2:]), TYPES[name]
    planes = x.spec.shape[0] * x.spec.shape[1]
    kernel = _even(size, out)
    if kernel is not None:
        pool = Call(
            call.op, (kernel, kernel, (0,) * len(out), (1,) * len(out), False), call.specs,
            Result(call.outs),
        )  # fmt: skip
        low = windows.lower_max(pool, operands, outs, lanes)
        if low is not None:
            return low

    lanes, width = vector_lanes(x, lanes), size[-1]
    whole = "i32" if kind == "float" else "i64"
    bands, rows = out[:-1], contiguous_stride(size)[:-1]

    def columns(c: Code, source: str, bounds: list[tuple[str, str]], begin: str) -> None:
        """The best of each column of a band, and its place, into scratch memory."""

        def some(column: str, used: int) -> None:
            def load(row: str) -> tuple[Lanes, Lanes]:
                at = c.plus(row, column)
                value = c.masked_load(kind, lanes, used, c.at(kind, source, at))
                first = at if whole == "i64" else c.let(f"trunc i64 {at} to {whole}")
                place = Lanes(c, whole, lanes, c.splat(whole, lanes, first))
                steps = place.like(whole, c.constants(whole, list(range(lanes))))
                return Lanes(c, kind, lanes, value), place + steps

            value, place = load(begin)
            best, where = c.slot(value.kind, value.register), c.slot(place.kind, place.register)
            with ExitStack() as loops:
                at = [loops.enter_context(c.span(*b)) for b in bounds]
                value, place = load(c.offset(at, rows))
                have = value.like(kind, c.get(value.kind, best))
                better = (value > have) | value.unordered(value)
                c.set(value.kind, best, select(better, value, have).register)
                old = place.like(whole, c.get(place.kind, where))
                c.set(place.kind, where, select(better, place, old).register)
            for name, slot, start in ((kind, best, 0), (whole, where, width)):
                found = c.get(f"<{lanes} x {name}>", slot)
                c.masked_store(
                    name, lanes, used, found, c.at(name, "%scratch", c.plus(column, start))
                )

        for block, last in c.blocks(width // lanes, bool(width % lanes)):
            some(c.times(block, lanes), width % lanes if last else lanes)

    def across(c: Code, low: str, end: str, target: str) -> None:
        """The best of neighbouring columns: of equals the first place, of NaN the last."""

        def load(i: str) -> tuple[Lanes, Lanes]:
            return (
                Lanes(c, kind, 0, c.load(kind, "%scratch", i)),
                Lanes(c, whole, 0, c.load(whole, "%scratch", c.plus(i, width))),
            )

        value, place = load(low)
        best, where = c.slot(kind, value.register), c.slot(whole, place.register)
        with c.span(c.plus(low, 1), end) as i:
            value, place = load(i)
            have, old = value.like(kind, c.get(kind, best)), place.like(whole, c.get(whole, where))
            better = (value > have) | (value.equals(have) & (place < old))
            later = have._compare("ord", have) | (place > old)
            better = better | (value.unordered(value) & later)
            c.set(kind, best, select(better, value, have).register)
            c.set(whole, where, select(better, place, old).register)
        c.store(kind, c.get(kind, best), values.pointer, target)
        found = Lanes(c, whole, 0, c.get(whole, where))
        found = found if whole == "i64" else found._convert("sext", "i64")
        c.store("i64", found.register, places.pointer, target)

    def emit(c: Code) -> None:
        axes = [tuple(int(a == b) for b in range(len(bands))) for a in range(len(bands))]
        with c.share(planes) as plane, c.uncut():
            source = c.at(kind, x.base(c, kind), c.times(plane, prod(size)))

            def band(offsets: list[str]) -> None:
                *where, row = offsets
                bounds = [_bounds(c, o, m, n) for o, m, n in zip(where, out, size, strict=False)]
                columns(c, source, bounds, c.offset([low for low, _ in bounds], rows))
                target = c.plus(c.times(plane, prod(out)), row)
                with c.loop(out[-1]) as o:
                    across(c, *_bounds(c, o, out[-1], width), c.plus(target, o))

            walk(c, bands, [*axes, contiguous_stride(out)[:-1]], band)

    return Lowering(
        emit, pieces=planes, flops=4 * x.spec.numel, scratch=2 * width * x.spec.dtype.itemsize
    )


def _bounds(c: Code, o: str, m: int, n: int) -> tuple[str, str]:
    """The window of output ``o`` of ``m``, over ``n`` inputs."""
    low = c.let(f"udiv i64 {c.times(o, n)}, {m}")
    return low, c.let(f"udiv i64 {c.plus(c.times(o, n), n + m - 1)}, {m}")


def _even(size: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...] | None:
    """The windows that divide a plane, if they are all alike."""
    if any(n % m for n, m in zip(size, out, strict=True)):
        return None
    return tuple(n // m for n, m in zip(size, out, strict=True))


def lower_average_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Of an average over windows side by side: what all cells of a window get."""
    (g,), (result,) = operands, outs
    size, out = tuple(result.spec.shape[2:]), tuple(g.spec.shape[2:])
    divisor = None
    if len(call.params) == 1:
        kernel = _even(size, out)
    else:
        _, kernel, stride, pad, _, _, divisor = call.params
        inside = all(m * k <= n for n, m, k in zip(size, out, kernel, strict=True))
        kernel = kernel if kernel == stride and not any(pad) and inside else None
    name = g.spec.dtype.name
    if kernel is None or name not in ("float32", "float64") or not g.spec.contiguous:
        return None
    if not g.spec.numel or not result.spec.numel:
        return None
    kind, lanes = TYPES[name], vector_lanes(g, lanes)
    planes, covered = prod(g.spec.shape[:2]), [m * k for m, k in zip(out, kernel, strict=True)]
    (*outer, across), (*above, wide) = out, kernel
    line = size[-1]
    rows = contiguous_stride(size)[:-1]
    count = float(prod(kernel) if divisor is None else divisor)

    def emit(c: Code) -> None:
        with c.share(planes) as plane, c.uncut():
            target = c.at(kind, result.pointer, c.times(plane, prod(size)))
            if list(size) != covered:
                with c.loop(prod(size)) as i:
                    c.store(kind, "0.0", target, i)
            source = c.at(kind, g.base(c, kind), c.times(plane, prod(out)))

            def window(offsets: list[str]) -> None:
                near = c.at(kind, source, offsets[0])
                first = c.at(kind, target, offsets[1])
                with c.loop(across) as i:
                    share = Lanes(c, kind, 0, c.load(kind, near, i)) / count
                    cell = c.at(kind, first, c.times(i, wide))
                    with c.loop(wide) as j:
                        c.store(kind, share.register, cell, j)

                def copy(more: list[str]) -> None:
                    other = c.at(kind, target, c.plus(offsets[1], more[0]))
                    for i in range(0, across * wide, lanes):
                        used = min(lanes, across * wide - i)
                        value = c.masked_load(kind, lanes, used, c.at(kind, first, i))
                        c.masked_store(kind, lanes, used, value, c.at(kind, other, i))

                walk(c, tuple(above), [rows], copy)

            steps = [s * k for s, k in zip(rows, above, strict=True)]
            walk(c, tuple(outer), [contiguous_stride(out)[:-1], tuple(steps)], window)

    return None if line > _WIDEST else Lowering(
        emit, pieces=planes, flops=2 * result.spec.numel
    )  # fmt: skip


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
