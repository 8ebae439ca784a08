"""Convolution over images, specialised on its shape: the row of outputs lies in vector registers.

Forward: for a row of outputs and a block of output channels the sums stay in registers; every
input vector is loaded once per block and multiplied with one weight per channel. The gradient of
the input is the same loop over the padded gradient with the weights turned around. The gradient of
the weights keeps one register per weight of a kernel row, vector lanes along the row, and adds the
lanes up at the end.

A stride along the row is taken by loading whole stretches and picking every second element (or
third). For the gradient of the input a stride means gaps of zeros in the padded gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.host import vector_registers
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call

#: Rows are unrolled vector by vector, so very wide images would make very long code.
_WIDEST = 512


def _plain(*arrays: Array) -> bool:
    return all(
        a.spec.dtype.name == "float32" and a.spec.contiguous and a.spec.numel for a in arrays
    )


def _fits(arrays: list[Array], geometry: Any) -> bool:
    return (
        _plain(*arrays)
        and len(geometry.stride) == 2
        and max(geometry.stride) <= 4
        and max(a.spec.shape[-1] for a in arrays) <= _WIDEST
        and geometry.groups == 1
    )


def sum_registers() -> int:
    """Vector registers that may hold sums; the others take inputs and weights."""
    return vector_registers() * 3 // 4


class _Shape(NamedTuple):
    """The sizes of a convolution of images that are padded already."""

    n: int
    c: int
    h: int
    w: int
    o: int
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    stride: tuple[int, int]
    oh: int
    ow: int


def lower_forward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    geometry = call.params[0]
    if not _fits([*operands, *outs], geometry):
        return None
    (n, ch, h, w), (o, _, kh, kw) = operands[0].spec.shape, operands[1].spec.shape
    ph, pw = geometry.padding
    shape = _Shape(
        n, ch, h + 2 * ph, w + 2 * pw, o, (kh, kw), geometry.dilation, geometry.stride,
        *outs[0].spec.shape[2:],
    )  # fmt: skip
    padded = n * ch * shape.h * shape.w * 4 if ph or pw else 0

    def emit(c: Code) -> None:
        x = operands[0]
        source = x.pointer
        start = x.spec.offset
        if padded:
            place(c, x, "%scratch", (shape.h, shape.w), (ph, pw), (1, 1))
            source, start = "%scratch", 0
        bias = operands[2] if len(operands) == 3 else None
        forward(
            c, shape, c.at("float", source, start), _base(c, operands[1]),
            None if bias is None else _base(c, bias), _base(c, outs[0]), lanes,
        )  # fmt: skip

    return Lowering(emit, scratch=padded)


def _base(c: Code, a: Array) -> str:
    return c.at("float", a.pointer, a.spec.offset)


def forward(c: Code, s: _Shape, x: str, w: str, bias: str | None, y: str, lanes: int) -> None:
    """y[n, o] = sum over channels and taps of x[n, c] * w[o, c], plus the bias."""
    (kh, kw), (dh, dw), (sh, sw) = s.kernel, s.dilation, s.stride
    vectors = -(-s.ow // lanes)
    used = [min(lanes, s.ow - v * lanes) for v in range(vectors)]
    # Split long rows and many channels so that the sums fit into the registers.
    across = min(vectors, 3)
    block = max(1, min(s.o, sum_registers() // across))
    while s.o % block:
        block -= 1
    vector = f"<{lanes} x float>"
    with c.loop(s.n) as n, c.loop(s.o, block) as o, c.loop(s.oh) as row:
        image = c.at("float", x, c.plus(c.times(n, s.c * s.h * s.w), c.times(row, sh * s.w)))
        weights = c.at("float", w, c.times(o, s.c * kh * kw))
        target = c.at(
            "float",
            y,
            c.plus(c.times(n, s.o * s.oh * s.ow), c.times(o, s.oh * s.ow), c.times(row, s.ow)),
        )
        for first in range(0, vectors, across):
            columns = range(first, min(first + across, vectors))
            sums = {}
            for b in range(block):
                start = "zeroinitializer"
                if bias is not None:
                    start = c.splat("float", lanes, c.load("float", bias, c.plus(o, b)))
                for v in columns:
                    sums[b, v] = c.slot(vector, start)
            with c.loop(s.c) as channel, c.loop(kh) as ky:
                line = c.at(
                    "float", image, c.plus(c.times(channel, s.h * s.w), c.times(ky, s.w * dh))
                )
                taps = c.at("float", weights, c.plus(c.times(channel, kh * kw), c.times(ky, kw)))
                for kx in range(kw):
                    rows = {
                        v: c.strided_load(
                            "float",
                            lanes,
                            used[v],
                            sw,
                            c.at("float", line, kx * dw + v * lanes * sw),
                        )
                        for v in columns
                    }
                    for b in range(block):
                        tap = c.splat("float", lanes, c.load("float", taps, b * s.c * kh * kw + kx))
                        for v in columns:
                            c.set(
                                vector,
                                sums[b, v],
                                c.fma(vector, tap, rows[v], c.get(vector, sums[b, v])),
                            )
            for b in range(block):
                for v in columns:
                    c.masked_store(
                        "float", lanes, used[v], c.get(vector, sums[b, v]),
                        c.at("float", target, b * s.oh * s.ow + v * lanes),
                    )  # fmt: skip


def place(
    c: Code, x: Array, target: str, frame: tuple[int, int], corner: tuple[int, int],
    step: tuple[int, int],
) -> None:  # fmt: skip
    """Copy images into frames of zeros, from a corner on, ``step`` apart."""
    n, ch, h, w = x.spec.shape
    height, width = frame
    zero(c, target, n * ch * height * width)
    with c.loop(n * ch) as plane, c.loop(h) as row, c.loop(w) as column:
        value = c.load(
            "float", x.pointer,
            c.plus(c.times(plane, h * w), c.times(row, w), column, x.spec.offset),
        )  # fmt: skip
        c.store(
            "float", value, target,
            c.plus(
                c.times(plane, height * width), c.times(row, step[0] * width),
                c.times(column, step[1]), corner[0] * width + corner[1],
            ),
        )  # fmt: skip


def zero(c: Code, target: str, count: int) -> None:
    with c.loop(count) as i:
        c.store("float", "0.0", target, i)


def lower_input(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The gradient of the input: the padded output gradient convolved with the turned weights."""
    geometry = call.params[1]
    if not _fits([*operands, *outs], geometry):
        return None
    g, w = operands
    (n, o, _, _), (_, ch, kh, kw) = g.spec.shape, w.spec.shape
    h, width = outs[0].spec.shape[2:]
    (ph, pw), (dh, dw), (sh, sw) = geometry.padding, geometry.dilation, geometry.stride
    top, left = dh * (kh - 1) - ph, dw * (kw - 1) - pw
    if top < 0 or left < 0:
        return None
    shape = _Shape(
        n, o, h + dh * (kh - 1), width + dw * (kw - 1), ch, (kh, kw), (dh, dw), (1, 1), h, width
    )
    frame = n * o * shape.h * shape.w
    turned = ch * o * kh * kw

    def emit(c: Code) -> None:
        place(c, g, "%scratch", (shape.h, shape.w), (top, left), (sh, sw))
        weights = c.at("float", "%scratch", frame)
        with c.loop(o) as b, c.loop(ch) as a, c.loop(kh * kw) as k:
            value = c.load(
                "float", _base(c, w), c.plus(c.times(b, ch * kh * kw), c.times(a, kh * kw), k)
            )
            back = c.let(f"sub nsw i64 {kh * kw - 1}, {k}")
            c.store(
                "float", value, weights, c.plus(c.times(a, o * kh * kw), c.times(b, kh * kw), back)
            )
        forward(c, shape, "%scratch", weights, None, _base(c, outs[0]), lanes)

    return Lowering(emit, scratch=(frame + turned) * 4)


def lower_weight(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The gradient of the weights."""
    geometry = call.params[1]
    if not _fits([*operands, *outs], geometry):
        return None
    g, x = operands
    (n, o, oh, ow), (_, ch, h, w) = g.spec.shape, x.spec.shape
    kernel = tuple(call.params[0][2:])
    ph, pw = geometry.padding
    if kernel[1] > 12:
        return None
    shape = _Shape(
        n, ch, h + 2 * ph, w + 2 * pw, o, kernel, geometry.dilation, geometry.stride, oh, ow
    )
    padded = n * ch * shape.h * shape.w * 4 if ph or pw else 0

    def emit(c: Code) -> None:
        source, start = x.pointer, x.spec.offset
        if padded:
            place(c, x, "%scratch", (shape.h, shape.w), (ph, pw), (1, 1))
            source, start = "%scratch", 0
        weight_sums(c, shape, _base(c, g), c.at("float", source, start), _base(c, outs[0]), lanes)

    return Lowering(emit, scratch=padded)


def weight_sums(c: Code, s: _Shape, g: str, x: str, target: str, lanes: int) -> None:
    """target[o, c, ky, kx] = sum over images and places of g[n, o] * x[n, c] shifted by the tap."""
    (kh, kw), (dh, dw), (sh, sw) = s.kernel, s.dilation, s.stride
    vectors = -(-s.ow // lanes)
    block = max(1, min(s.o, sum_registers() // kw))
    while s.o % block:
        block -= 1
    vector = f"<{lanes} x float>"
    suffix = f"v{lanes}f32"
    c.declare(f"float @llvm.vector.reduce.fadd.{suffix}(float, {vector})")
    with c.loop(s.o, block) as o, c.loop(s.c) as channel, c.loop(kh) as ky:
        sums = {
            (b, kx): c.slot(vector, "zeroinitializer") for b in range(block) for kx in range(kw)
        }
        with c.loop(s.n) as n, c.loop(s.oh) as row:
            line = c.at(
                "float", x,
                c.plus(
                    c.times(n, s.c * s.h * s.w), c.times(channel, s.h * s.w),
                    c.times(row, sh * s.w), c.times(ky, s.w * dh),
                ),
            )  # fmt: skip
            gradients = c.at(
                "float", g,
                c.plus(c.times(n, s.o * s.oh * s.ow), c.times(o, s.oh * s.ow), c.times(row, s.ow)),
            )  # fmt: skip
            for v in range(vectors):
                used = min(lanes, s.ow - v * lanes)
                shifted = [
                    c.strided_load(
                        "float", lanes, used, sw, c.at("float", line, kx * dw + v * lanes * sw)
                    )
                    for kx in range(kw)
                ]
                for b in range(block):
                    part = c.masked_load(
                        "float", lanes, used, c.at("float", gradients, b * s.oh * s.ow + v * lanes)
                    )
                    for kx in range(kw):
                        total = c.get(vector, sums[b, kx])
                        c.set(vector, sums[b, kx], c.fma(vector, part, shifted[kx], total))
        for (b, kx), total in sums.items():
            value = c.let(
                f"call reassoc float @llvm.vector.reduce.fadd.{suffix}(float -0.0, "
                f"{vector} {c.get(vector, total)})"
            )
            place = c.plus(
                c.times(o, s.c * kh * kw), b * s.c * kh * kw,
                c.times(channel, kh * kw), c.times(ky, kw), kx,
            )  # fmt: skip
            c.store("float", value, target, place)
