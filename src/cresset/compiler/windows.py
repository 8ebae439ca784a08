"""Pooling over windows of any dimension, with padding: maxima, averages, and averages' gradients.

Outputs whose window lies inside along the last dimension are computed in vectors; those at its
borders one by one, and there as along the other dimensions cells outside count for nothing.
(``pooling.py`` has the faster kernels of maxima over images without padding.)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from math import prod
from typing import NamedTuple

from cresset.compiler.code import TYPES, Code
from cresset.compiler.nests import walk
from cresset.compiler.rows import vector_lanes
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride

#: More cells than this would be too much code.
_MOST_CELLS = 64


class _At(NamedTuple):
    """Some neighbouring outputs: where their plane begins, and their windows' first cells."""

    plane: str
    #: Per dimension the coordinate of the window's first cell, which may lie in the padding.
    origin: list[Lanes]
    #: Where the outputs lie.
    place: str
    lanes: int
    used: int


class _Windows:
    """The windows of outputs shaped ``out`` over planes of ``size``."""

    def __init__(
        self, x: Array, size: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, ...],
        stride: tuple[int, ...], pad: tuple[int, ...], dilation: tuple[int, ...], lanes: int,
    ) -> None:  # fmt: skip
        self.x, self.size, self.out, self.kernel = x, size, out, kernel
        self.stride, self.pad, self.dilation = stride, pad, dilation
        self.kind = TYPES[x.spec.dtype.name]
        self.lanes = vector_lanes(x, lanes)
        self.planes = x.spec.numel // prod(size)
        self.cells = list(product(*map(range, kernel)))
        # Outputs of the last dimension whose windows have no cell outside.
        n, k, s, p, d = size[-1], kernel[-1], stride[-1], pad[-1], dilation[-1]
        self.first = min(-(-p // s), out[-1])
        self.after = max(min((n - 1 - (k - 1) * d + p) // s + 1, out[-1]), self.first)

    def each(self, c: Code, body: Callable[[_At], None]) -> None:
        """Run the body for all outputs; pieces share the planes."""
        *outer, last = self.out
        with c.share(self.planes) as plane:
            begin = c.plus(c.times(plane, prod(self.size)), self.x.spec.offset)
            own = c.times(plane, prod(self.out))
            steps = [tuple(int(a == b) for b in range(len(outer))) for a in range(len(outer))]
            rows = contiguous_stride(self.out)[:-1]

            def line(offsets: list[str]) -> None:
                *where, at = offsets
                lead = [self._origin(c, i, o) for i, o in enumerate(where)]

                def some(column: str, lanes: int, used: int) -> None:
                    origin = [*lead, self._origin(c, len(outer), column)]
                    body(_At(begin, origin, c.plus(own, at, column), lanes, used))

                self._columns(c, last, some)

            walk(c, tuple(outer), [*steps, rows], line)

    def _columns(self, c: Code, last: int, some: Callable[[str, int, int], None]) -> None:
        for low, high in ((0, self.first), (self.after, last)):
            if low < high:
                with c.loop(high - low) as i:
                    some(c.plus(i, low), 0, 0)
        inside = self.after - self.first
        whole = inside // self.lanes * self.lanes
        if whole:
            with c.loop(whole, self.lanes) as i:
                some(c.plus(i, self.first), self.lanes, self.lanes)
        if whole < inside:
            some(str(self.first + whole), self.lanes, inside - whole)

    def _origin(self, c: Code, i: int, o: str) -> Lanes:
        return Lanes(c, "i64", 0, c.plus(c.times(o, self.stride[i]), -self.pad[i]))

    def read(self, c: Code, at: _At, cell: tuple[int, ...], outside: float) -> Lanes:
        """A cell of each window, ``outside`` where there is none."""
        place, valid = at.plane, None
        for i, (k, step) in enumerate(zip(cell, contiguous_stride(self.size), strict=True)):
            here = at.origin[i] + k * self.dilation[i]
            if self.pad[i] or not self._reaches(i):
                inside = not at.lanes or i < len(cell) - 1
                if inside:
                    fits = Lanes(c, "i1", 0, c.let(f"icmp ult i64 {here.register}, {self.size[i]}"))
                    here = select(fits, here, 0)
                    valid = fits if valid is None else valid & fits
            place = c.plus(place, c.times(here.register, step))
        start = c.at(self.kind, self.x.pointer, place)
        if not at.lanes:
            value = Lanes(c, self.kind, 0, c.load(self.kind, start))
        elif self.stride[-1] <= 4:
            register = c.strided_load(self.kind, at.lanes, at.used, self.stride[-1], start)
            value = Lanes(c, self.kind, at.lanes, register)
        else:
            register = c.gather(self.kind, at.lanes, at.used, self.stride[-1], start)
            value = Lanes(c, self.kind, at.lanes, register)
        if valid is None:
            return value
        if at.lanes:
            valid = Lanes(c, "i1", at.lanes, c.splat("i1", at.lanes, valid.register))
        return select(valid, value, outside)

    def _reaches(self, i: int) -> bool:
        """Whether every window of a dimension lies inside."""
        far = (self.out[i] - 1) * self.stride[i] + (self.kernel[i] - 1) * self.dilation[i]
        return far - self.pad[i] < self.size[i]

    def flat(self, c: Code, at: _At, cell: tuple[int, ...]) -> Lanes:
        """The flat position of a cell in its plane; one before the plane counts as its first."""
        total = Lanes(c, "i64", 0, "0")
        for i, (k, n) in enumerate(zip(cell, self.size, strict=True)):
            here = at.origin[i] + k * self.dilation[i]
            if self.pad[i]:
                here = select(here < 0, 0, here)
            total = total * n + here
        if not at.lanes:
            return total
        steps = [lane * self.stride[-1] for lane in range(at.lanes)]
        lanes = Lanes(c, "i64", at.lanes, c.constants("i64", steps))
        return lanes + lanes.like("i64", c.splat("i64", at.lanes, total.register))

    def store(self, c: Code, at: _At, value: Lanes, out: Array) -> None:
        place = c.at(value.element, out.pointer, at.place)
        if at.lanes:
            c.masked_store(value.element, at.lanes, at.used, value.register, place)
        else:
            c.store(value.element, value.register, place)


def _fits(x: Array, *others: Array) -> bool:
    kinds = ("float32", "float64")
    return x.spec.dtype.name in kinds and x.spec.contiguous and all(
        a.spec.numel > 0 for a in (x, *others)
    )  # fmt: skip


def lower_max(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The largest of each window and its flat position: a later one wins if larger, or NaN."""
    (x,), (values, positions) = operands, outs
    kernel, stride, pad, dilation, _ = call.params
    if not _fits(x, values) or prod(kernel) > _MOST_CELLS:
        return None
    size, out = tuple(x.spec.shape[2:]), tuple(values.spec.shape[2:])
    windows = _Windows(x, size, out, kernel, stride, pad, dilation, lanes)

    def emit(c: Code) -> None:
        def body(at: _At) -> None:
            first, *rest = windows.cells
            best, where = windows.read(c, at, first, -float("inf")), windows.flat(c, at, first)
            for cell in rest:
                value = windows.read(c, at, cell, -float("inf"))
                better = (value > best) | value.unordered(value)
                best = select(better, value, best)
                where = select(better, windows.flat(c, at, cell), where)
            windows.store(c, at, best, values)
            windows.store(c, at, where, positions)

        windows.each(c, body)

    cost = 4 * len(windows.cells) * values.spec.numel
    return Lowering(emit, pieces=windows.planes, flops=cost)


# -- averages --------------------------------------------------------------------------------------


def lower_average(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The sum of each window over how many cells it counts."""
    (x,), (out,) = operands, outs
    kernel, stride, pad, _, count_pad, divisor = call.params
    if not _fits(x, out) or prod(kernel) > _MOST_CELLS:
        return None
    size = tuple(x.spec.shape[2:])
    one = (1,) * len(kernel)
    windows = _Windows(x, size, tuple(out.spec.shape[2:]), kernel, stride, pad, one, lanes)

    def emit(c: Code) -> None:
        def body(at: _At) -> None:
            total = windows.read(c, at, windows.cells[0], 0.0)
            for cell in windows.cells[1:]:
                total = total + windows.read(c, at, cell, 0.0)
            if divisor is not None:
                windows.store(c, at, total / float(divisor), out)
                return
            count = Lanes(c, windows.kind, 0, "").constant(1.0)
            for i, origin in enumerate(at.origin):
                inside = bool(at.lanes) and i == len(size) - 1
                cells = None if inside else _counted(origin, kernel[i], size[i], pad[i], count_pad)
                if cells is None:
                    count = count * float(kernel[i])
                else:
                    count = count * cells._convert("sitofp", windows.kind)
            if at.lanes:
                every = c.splat(windows.kind, at.lanes, count.register)
                count = Lanes(c, windows.kind, at.lanes, every)
            windows.store(c, at, total / count, out)

        windows.each(c, body)

    cost = 2 * len(windows.cells) * out.spec.numel
    return Lowering(emit, pieces=windows.planes, flops=cost)


def _counted(origin: Lanes, k: int, n: int, p: int, count_pad: bool) -> Lanes:
    """How many cells of a dimension count; those of the padding do with ``count_pad``."""
    low, high = origin, origin + k
    end = n + p if count_pad else n
    high = select(high > end, end, high)
    return high - (low if count_pad else select(low < 0, 0, low))


class _Spans:
    """Per output the cells of its window as nested loops, for gradients and adaptive windows."""

    def __init__(self, c: Code, kind: str, size: tuple[int, ...]) -> None:
        self.c, self.kind, self.size = c, kind, size

    def run(self, bounds: list[tuple[Lanes, Lanes]], body: Callable[[str], None]) -> None:
        """The body at the offset of each cell inside."""
        c = self.c
        with ExitStack() as loops:
            place: list[str] = []
            for (low, high), step in zip(bounds, contiguous_stride(self.size), strict=True):
                i = loops.enter_context(c.span(low.register, high.register))
                place.append(c.times(i, step))
            body(c.plus(*place))

    def add(self, pointer: str, bounds: list[tuple[Lanes, Lanes]], share: Lanes) -> None:
        """Add a value to each cell."""
        c = self.c

        def cell(offset: str) -> None:
            have = c.load(self.kind, pointer, offset)
            total = c.let(f"fadd {self.kind} {have}, {share.register}")
            c.store(self.kind, total, pointer, offset)

        self.run(bounds, cell)

    def total(self, pointer: str, bounds: list[tuple[Lanes, Lanes]]) -> Lanes:
        c, kind = self.c, self.kind
        slot = c.slot(kind, "0.0")

        def cell(offset: str) -> None:
            have = c.get(kind, slot)
            c.set(kind, slot, c.let(f"fadd {kind} {have}, {c.load(kind, pointer, offset)}"))

        self.run(bounds, cell)
        return Lanes(c, kind, 0, c.get(kind, slot))


def _outputs(
    c: Code, planes: int, out: tuple[int, ...], body: Callable[[str, list[Lanes], str], None],
    begin: Callable[[str], None] = lambda plane: None,
) -> None:  # fmt: skip
    """Run the body for every output: with its plane, its coordinates, and where it lies."""
    ndim = len(out)
    steps = [tuple(int(a == b) for b in range(ndim)) for a in range(ndim)]
    with c.share(planes) as plane:
        begin(plane)
        own = c.times(plane, prod(out))

        def at(offsets: list[str]) -> None:
            *where, place = offsets
            body(plane, [Lanes(c, "i64", 0, o) for o in where], c.plus(own, place))

        walk(c, out, [*steps, contiguous_stride(out)], at)


def lower_average_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Each gradient is shared by the cells of its window."""
    (g,), (result,) = operands, outs
    size, kernel, stride, pad, _, count_pad, divisor = call.params
    if not _fits(g, result):
        return None
    out, kind = tuple(g.spec.shape[2:]), TYPES[g.spec.dtype.name]
    planes = g.spec.numel // prod(out)

    def emit(c: Code) -> None:
        spans = _Spans(c, kind, size)

        def body(plane: str, where: list[Lanes], place: str) -> None:
            share = Lanes(c, kind, 0, c.load(kind, g.base(c, kind), place))
            origin = [o * s - p for o, s, p in zip(where, stride, pad, strict=True)]
            if divisor is not None:
                share = share / float(divisor)
            else:
                count = share.constant(1.0)
                for o, k, n, p in zip(origin, kernel, size, pad, strict=True):
                    count = count * _counted(o, k, n, p, count_pad)._convert("sitofp", kind)
                share = share / count
            bounds = [
                (select(o < 0, 0, o), select(o + k > n, n, o + k))
                for o, k, n in zip(origin, kernel, size, strict=True)
            ]
            target = c.at(kind, result.pointer, c.times(plane, prod(size)))
            spans.add(target, bounds, share)

        _outputs(c, planes, out, body, _cleared(c, kind, result, prod(size)))

    return Lowering(emit, pieces=planes, flops=2 * prod(kernel) * g.spec.numel)


def _cleared(c: Code, kind: str, result: Array, size: int) -> Callable[[str], None]:
    def clear(plane: str) -> None:
        target = c.at(kind, result.pointer, c.times(plane, size))
        with c.uncut(), c.loop(size) as i:
            c.store(kind, "0.0", target, i)

    return clear


def _adaptive(
    c: Code, kind: str, where: list[Lanes], out: tuple[int, ...], size: tuple[int, ...]
) -> tuple[list[tuple[Lanes, Lanes]], Lanes]:
    """The windows that divide a plane evenly, and how many cells one has."""
    bounds = [
        ((o * n) / m, ((o + 1) * n + (m - 1)) / m) for o, m, n in zip(where, out, size, strict=True)
    ]
    count = Lanes(c, kind, 0, "").constant(1.0)
    for low, high in bounds:
        count = count * (high - low)._convert("sitofp", kind)
    return bounds, count


def lower_adaptive(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    (x,), (result,) = operands, outs
    if not _fits(x, result):
        return None
    size, out = tuple(x.spec.shape[2:]), tuple(result.spec.shape[2:])
    kind, planes = TYPES[x.spec.dtype.name], x.spec.numel // prod(size)

    def emit(c: Code) -> None:
        spans = _Spans(c, kind, size)

        def body(plane: str, where: list[Lanes], place: str) -> None:
            bounds, count = _adaptive(c, kind, where, out, size)
            source = c.at(kind, x.base(c, kind), c.times(plane, prod(size)))
            value = spans.total(source, bounds) / count
            c.store(kind, value.register, result.pointer, place)

        _outputs(c, planes, out, body)

    return Lowering(emit, pieces=planes, flops=2 * x.spec.numel)


def lower_adaptive_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    (g,), (result,) = operands, outs
    if not _fits(g, result):
        return None
    out, size = tuple(g.spec.shape[2:]), tuple(result.spec.shape[2:])
    kind, planes = TYPES[g.spec.dtype.name], g.spec.numel // prod(out)

    def emit(c: Code) -> None:
        spans = _Spans(c, kind, size)

        def body(plane: str, where: list[Lanes], place: str) -> None:
            bounds, count = _adaptive(c, kind, where, out, size)
            share = Lanes(c, kind, 0, c.load(kind, g.base(c, kind), place)) / count
            target = c.at(kind, result.pointer, c.times(plane, prod(size)))
            spans.add(target, bounds, share)

        _outputs(c, planes, out, body, _cleared(c, kind, result, prod(size)))

    return Lowering(emit, pieces=planes, flops=2 * result.spec.numel)
