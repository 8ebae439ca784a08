"""Copies whose elements come in another order, as moves of blocks: flip, roll, pad, triangles.

Along each dimension the output is cut into *spans*, in which the source goes on evenly: backwards,
at its other end, or standing still. Each combination of spans is one block, moved by a loop nest.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.copies import WIDTHS
from cresset.compiler.elements import ELEMENTS, lowered, settled
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import FORMATS, Lanes
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride


class Span(NamedTuple):
    """``size`` places of the output from ``start`` on read the source from ``source`` on."""

    start: int
    size: int
    source: int
    step: int


def _blocks(c: Code, source: Array, target: Array, spans: list[list[Span]]) -> None:
    """Move every block."""
    kind = WIDTHS[target.spec.dtype.itemsize]
    to, of = tuple(target.spec.stride), tuple(source.spec.stride)
    for block in product(*spans):
        if not all(span.size for span in block):
            continue
        first = target.spec.offset + sum(s.start * t for s, t in zip(block, to, strict=True))
        origin = source.spec.offset + sum(s.source * t for s, t in zip(block, of, strict=True))

        def body(offsets: list[str], first: int = first, origin: int = origin) -> None:
            value = c.load(kind, source.pointer, c.plus(offsets[1], origin))
            c.store(kind, value, target.pointer, c.plus(offsets[0], first))

        steps = tuple(s.step * t for s, t in zip(block, of, strict=True))
        walk(c, tuple(s.size for s in block), [to, steps], body)


def _fits(x: Array, out: Array) -> bool:
    return x.spec.numel > 0 and out.spec.numel > 0 and len(x.spec.shape) > 0


def lower_flip(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    (x,), (out,) = operands, outs
    if not _fits(x, out):
        return None
    spans = [
        [Span(0, n, n - 1, -1) if d in call.params[0] else Span(0, n, 0, 1)]
        for d, n in enumerate(x.spec.shape)
    ]
    return Lowering(lambda c: _blocks(c, x, out, spans))


def lower_roll(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Without dimensions, only what lies in row-major order."""
    (x,), (out,) = operands, outs
    shifts, dims = call.params
    if not _fits(x, out):
        return None
    if dims is None:
        if not x.spec.contiguous:
            return None
        x, out = x.flat(), out.flat()
        dims = (0,)
    moved = dict.fromkeys(range(len(x.spec.shape)), 0)
    for d, shift in zip(dims, shifts, strict=True):
        moved[d] += shift
    spans = []
    for d, n in enumerate(x.spec.shape):
        by = moved[d] % n
        spans.append([Span(0, by, n - by, 1), Span(by, n - by, 0, 1)])
    return Lowering(lambda c: _blocks(c, x, out, spans))


def _inside(n: int, before: int, after: int) -> Span:
    """What a padded (or, with negative widths, cut) dimension has of the source."""
    return Span(max(before, 0), n + min(before, 0) + min(after, 0), max(-before, 0), 1)


def lower_pad(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The value everywhere, then what is inside."""
    x, value = operands
    out, name = outs[0], outs[0].spec.dtype.name
    if not out.spec.numel or name not in ELEMENTS or value.spec.number is None:
        return None
    floating = out.spec.dtype.is_floating_point
    if value.spec.number > (2 if floating else 1):
        return None
    widths, register = call.params[0], ELEMENTS[name].register
    spans = [[_inside(n, a, b)] for n, (a, b) in zip(x.spec.shape, widths, strict=True)]
    kind = WIDTHS[out.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        one = value.number(c, register) if floating else value.whole(c, name)
        fill = lowered(settled(Lanes(c, register, 0, one), name), name)
        if fill.element in FORMATS:
            fill = fill.bits()
        with c.loop(out.spec.numel) as i:
            c.store(kind, fill.register, out.pointer, i)
        if all(span.size > 0 for (span,) in spans):
            _blocks(c, x, out, spans)

    return Lowering(emit, whole=() if floating else (1,))


def lower_mirror(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Padding that repeats what is inside: reflected, the last element, or from the other end."""
    (x,), (out,) = operands, outs
    widths, mode = call.params
    if not _fits(x, out):
        return None
    spans = []
    for n, (a, b) in zip(x.spec.shape, widths, strict=True):
        inside = _inside(n, a, b)
        low, size = inside.source, inside.size
        if size <= 0 or (mode != "edge" and max(a, b) > size - (mode == "reflect")):
            return None
        end, before, after = max(a, 0) + size, max(a, 0), max(b, 0)
        first, last = low, low + size - 1
        spans.append({
            "edge": [Span(0, before, first, 0), inside, Span(end, after, last, 0)],
            "reflect": [
                Span(0, before, first + before, -1), inside, Span(end, after, last - 1, -1)
            ],
            "wrap": [Span(0, before, last + 1 - before, 1), inside, Span(end, after, first, 1)],
        }[mode])  # fmt: skip
    return Lowering(lambda c: _blocks(c, x, out, spans))


def lower_triangle(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """What is on one side of a diagonal, row by row; zero elsewhere."""
    (x,), (out,) = operands, outs
    (diagonal,) = call.params
    if not out.spec.numel:
        return None
    lower, kind = call.op.name == "tril", WIDTHS[x.spec.dtype.itemsize]
    *lead, rows, columns = x.spec.shape
    *others, down, along = x.spec.stride
    to = tuple(out.spec.stride)

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            with c.loop(rows) as i, c.loop(columns) as j:
                edge = c.let(f"sub nsw i64 {j}, {i}")
                test = "sle" if lower else "sge"
                inside = c.let(f"icmp {test} i64 {edge}, {diagonal}")
                place = c.plus(offsets[0], c.times(i, down), c.times(j, along), x.spec.offset)
                value = c.load(kind, x.pointer, place)
                value = c.let(f"select i1 {inside}, {kind} {value}, {kind} 0")
                c.store(kind, value, out.pointer, c.plus(offsets[1], c.times(i, columns), j))

        walk(c, tuple(lead), [tuple(others), to[:-2]], body)

    return Lowering(emit)


def lower_repeat(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The whole tensor again and again along each dimension."""
    (x,), (out,) = operands, outs
    if not _fits(x, out):
        return None
    missing = len(out.spec.shape) - len(x.spec.shape)
    x = x.viewed((1,) * missing + tuple(x.spec.shape), (0,) * missing + tuple(x.spec.stride))
    times = [m // n for m, n in zip(out.spec.shape, x.spec.shape, strict=True)]
    stride, shape = tuple(out.spec.stride), tuple(x.spec.shape)

    def emit(c: Code) -> None:
        kind = WIDTHS[x.spec.dtype.itemsize]
        # Each dimension is two loops: over the repeats, and over the elements.
        both = [d for pair in zip(times, shape, strict=True) for d in pair]
        to = [s for n, t in zip(shape, stride, strict=True) for s in (n * t, t)]
        of = [s for t in x.spec.stride for s in (0, t)]

        def body(offsets: list[str]) -> None:
            value = c.load(kind, x.pointer, c.plus(offsets[1], x.spec.offset))
            c.store(kind, value, out.pointer, offsets[0])

        walk(c, tuple(both), [tuple(to), tuple(of)], body)

    return Lowering(emit)


def lower_pixels(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``pixel_shuffle`` and back, and the shuffle of channels: dimensions split and exchanged."""
    (x,), (out,) = operands, outs
    if not _fits(x, out) or not x.spec.contiguous:
        return None
    (r,) = call.params
    name = call.op.name
    if name == "native_channel_shuffle":
        n, channels, *rest = x.spec.shape
        parts: tuple[int, ...] = (n, r, channels // r, *rest)
        order: tuple[int, ...] = (0, 2, 1, *range(3, len(parts)))
    else:
        *lead, channels, h, w = x.spec.shape
        if name == "pixel_shuffle":
            parts, order = (*lead, channels // r**2, r, r, h, w), (0, 3, 1, 4, 2)
        else:
            parts, order = (*lead, channels, h // r, r, w // r, r), (0, 2, 4, 1, 3)
        first = len(lead)
        order = (*range(first), *(first + d for d in order))
    shape = tuple(parts[d] for d in order)
    to, of = contiguous_stride(shape), contiguous_stride(parts)
    kind = WIDTHS[x.spec.dtype.itemsize]

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            value = c.load(kind, x.pointer, c.plus(offsets[1], x.spec.offset))
            c.store(kind, value, out.pointer, offsets[0])

        walk(c, shape, [to, tuple(of[d] for d in order)], body)

    return Lowering(emit)
