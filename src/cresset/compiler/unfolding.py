"""Patches of images as columns and back, and gated halves: rows are moved a vector at a time.

A tap of the kernel reads one run of every row of the image; where in the row of outputs that run
begins and ends is known beforehand. Patches that overlap are added up tap by tap, as the reference
kernel does it.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from cresset.compiler.code import TYPES, Code
from cresset.compiler.copies import WIDTHS
from cresset.compiler.elements import ELEMENTS, load, store, width
from cresset.compiler.elements import converted as converted_to
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath import FUNCTIONS
from cresset.core.call import Call

#: The taps of a kernel row are unrolled: longer rows would be too much code.
_LONGEST = 32


class _Patches(NamedTuple):
    """Sliding windows over planes: per axis the sizes of plane, kernel and outputs."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    stride: tuple[int, int]

    @property
    def out(self) -> tuple[int, int]:
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(*self, strict=True)
        )  # type: ignore[return-value]

    def run(self, kx: int) -> tuple[int, int, int]:
        """Of a row of outputs: the first and the last but one that a tap has a pixel for, and the
        column of the first one's."""
        n, d, p, s = self.size[1], self.dilation[1], self.padding[1], self.stride[1]
        shift, count = kx * d - p, self.out[1]
        low = min(max(-(shift // s), 0), count)
        high = min(max((n - 1 - shift) // s + 1, low), count)
        return low, high, low * s + shift


def _each_row(c: Code, s: _Patches, body: object) -> None:
    """Run the body for every tap and row of outputs: with the tap, its row and the row's number of
    the image, which may lie outside."""
    (kh, kw), (oh, _) = s.kernel, s.out
    with c.loop(kh) as ky:
        for kx in range(kw):
            with c.loop(oh) as row:
                y = c.plus(c.times(row, s.stride[0]), c.times(ky, s.dilation[0]), -s.padding[0])
                body(ky, kx, row, y)  # type: ignore[operator]


def lower_unfold(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``out[n, (c, ky, kx), (y, x)] = image[n, c, pixel of the tap]``, 0 in the padding."""
    (x,), (out,) = operands, outs
    kind = WIDTHS[x.spec.dtype.itemsize]
    if not x.spec.contiguous or not out.spec.numel or not x.spec.numel or kind == "i128":
        return None
    n, channels, *size = x.spec.shape
    s = _Patches(tuple(size), *call.params)  # type: ignore[arg-type]
    if s.kernel[1] > _LONGEST:
        return None
    (kh, kw), (_, ow) = s.kernel, s.out
    lanes = lanes * 4 // x.spec.dtype.itemsize
    plane = prod(s.out)

    def emit(c: Code) -> None:
        with c.share(n * channels) as image:
            source = c.at(kind, x.base(c, kind), c.times(image, prod(size)))
            target = c.at(kind, outs[0].pointer, c.times(image, kh * kw * plane))

            def tap(ky: str, kx: int, row: str, y: str) -> None:
                low, high, column = s.run(kx)
                place = c.plus(c.times(ky, kw * plane), kx * plane, c.times(row, ow))
                line = c.at(kind, target, place)
                inside = c.let(f"icmp ult i64 {y}, {s.size[0]}")
                with c.when(inside):
                    _fill(c, kind, line, 0, low, lanes)
                    _fill(c, kind, line, high, ow, lanes)
                    start = c.plus(c.times(y, s.size[1]), column)
                    _take(
                        c, kind, c.at(kind, source, start), s.stride[1],
                        c.at(kind, line, low), high - low, lanes,
                    )  # fmt: skip
                with c.when(c.let(f"xor i1 {inside}, true")):
                    _fill(c, kind, line, 0, ow, lanes)

            _each_row(c, s, tap)

    return Lowering(emit, pieces=n * channels)


def _fill(c: Code, kind: str, line: str, low: int, high: int, lanes: int) -> None:
    """Zeros."""
    if low < high:
        _take(c, kind, None, 1, c.at(kind, line, low), high - low, lanes)


def _take(
    c: Code, kind: str, source: str | None, step: int, target: str, count: int, lanes: int
) -> None:
    """Every ``step``-th of a row's elements side by side, or zeros."""

    def some(i: str, used: int) -> None:
        value = "zeroinitializer"
        if source is not None:
            near = c.at(kind, source, c.times(i, step))
            if step <= 4:
                value = c.strided_load(kind, lanes, used, step, near)
            else:
                value = c.gather(kind, lanes, used, step, near)
        c.masked_store(kind, lanes, used, value, c.at(kind, target, i))

    whole = count // lanes * lanes
    if whole:
        with c.loop(whole, lanes) as i:
            some(i, lanes)
    if whole < count:
        some(str(whole), count - whole)


def lower_fold(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Each patch is added where it came from."""
    (columns,), (out,) = operands, outs
    name = out.spec.dtype.name
    if name not in ("float32", "float64") or not columns.spec.contiguous:
        return None
    s = _Patches(*call.params)
    if not columns.spec.numel or not out.spec.numel or s.kernel[1] > _LONGEST:
        return None
    kind, images = TYPES[name], out.spec.shape[0] * out.spec.shape[1]
    (kh, kw), (_, ow), area, plane = s.kernel, s.out, prod(s.size), prod(s.out)
    lanes = width(lanes, {name})

    def emit(c: Code) -> None:
        with c.share(images) as image:
            source = c.at(kind, columns.base(c, kind), c.times(image, kh * kw * plane))
            target = c.at(kind, out.pointer, c.times(image, area))
            with c.uncut(), c.loop(area) as i:
                c.store(kind, "0.0", target, i)

            def tap(ky: str, kx: int, row: str, y: str) -> None:
                low, high, column = s.run(kx)
                if low == high:
                    return
                place = c.plus(c.times(ky, kw * plane), kx * plane, c.times(row, ow), low)
                with c.when(c.let(f"icmp ult i64 {y}, {s.size[0]}")):
                    line = c.at(kind, target, c.plus(c.times(y, s.size[1]), column))
                    _add(c, kind, c.at(kind, source, place), line, s.stride[1], high - low, lanes)

            _each_row(c, s, tap)

    return Lowering(emit, pieces=images, flops=columns.spec.numel)


def _add(c: Code, kind: str, source: str, target: str, step: int, count: int, lanes: int) -> None:
    """Add neighbours to every ``step``-th element of a row."""

    def some(i: str, lanes: int, used: int) -> None:
        place = c.at(kind, target, c.times(i, step))
        if not lanes:
            total = c.let(f"fadd {kind} {c.load(kind, place)}, {c.load(kind, source, i)}")
            c.store(kind, total, place)
            return
        have = c.masked_load(kind, lanes, used, place)
        more = c.masked_load(kind, lanes, used, c.at(kind, source, i))
        total = c.let(f"fadd <{lanes} x {kind}> {have}, {more}")
        c.masked_store(kind, lanes, used, total, place)

    if step > 1:
        with c.loop(count) as i:
            some(i, 0, 0)
        return
    whole = count // lanes * lanes
    if whole:
        with c.loop(whole, lanes) as i:
            some(i, lanes, lanes)
    if whole < count:
        some(str(whole), lanes, count - whole)


def lower_glu(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The first half along a dimension times the sigmoid of the second."""
    (x,), (out,) = operands, outs
    (dim,) = call.params
    name = out.spec.dtype.name
    if name not in ELEMENTS or not x.spec.contiguous or not out.spec.numel:
        return None
    shape = tuple(x.spec.shape)
    half, lines = prod(shape[dim:]) // 2, prod(shape[:dim])
    kind, lanes = ELEMENTS[name].memory, width(lanes, {name})
    used_last = half % lanes

    def some(c: Code, at: str, target: str, used: int) -> None:
        a, b = (
            load(c, name, lanes, used, c.at(kind, x.base(c, kind), place))
            for place in (at, c.plus(at, half))
        )
        y = a / (1.0 + FUNCTIONS["exp"](-b))
        y = converted_to(y, "float64" if y.element == "double" else "float32", name)
        store(y, name, used, c.at(kind, out.pointer, target))

    def line(c: Code, row: str) -> None:
        for block, last in c.blocks(half // lanes, bool(used_last)):
            i = c.times(block, lanes)
            at, target = (c.plus(c.times(row, n), i) for n in (2 * half, half))
            some(c, at, target, used_last if last else lanes)

    def emit(c: Code) -> None:
        if lines == 1:
            line(c, "0")
            return
        with c.share(lines) as row, c.uncut():
            line(c, row)

    pieces = lines if lines > 1 else -(-half // lanes)
    return Lowering(emit, pieces=pieces, flops=60 * out.spec.numel)
