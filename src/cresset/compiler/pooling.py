"""Max pooling over images without padding: values and flat positions, and the way back.

Windows that lie side by side may keep a place as a byte within its window (``epilogues.py``)."""

from __future__ import annotations

import itertools
import math

from cresset.compiler.code import Code
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.device import CPU

#: The place of a window whose gradient the relu behind it cuts.
CUT = 255


def lower_max(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """A later value wins if it is larger, or NaN, as in the reference kernel."""
    x, (values, positions) = operands[0], outs
    kernel, stride, padding, dilation, _ = call.params
    if x.spec.dtype.name != "float32" or not x.spec.contiguous or not x.spec.numel:
        return None
    n, ch, h, w = x.spec.shape
    oh, ow = values.spec.shape[2:]
    reach = [
        (m - 1) * s + d * (k - 1)
        for m, s, d, k in zip((oh, ow), stride, dilation, kernel, strict=True)
    ]
    if any(padding) or reach[0] >= h or reach[1] >= w:
        return None
    kind = {"int64": "i64", "uint8": "i8"}[positions.spec.dtype.name]
    cut = call.op.name == "max_pool2d_relu_bytes"
    joined = dilation[1] == 1 and kernel[1] == stride[1] and kernel[1] in (2, 4)

    def emit(c: Code) -> None:
        with c.share(n * ch) as plane, c.loop(oh) as row:
            top = c.times(row, stride[0] * w)
            line = c.at("float", x.pointer, c.plus(c.times(plane, h * w), top, x.spec.offset))
            target = c.plus(c.times(plane, oh * ow), c.times(row, ow))

            def columns(first: str, used: int) -> None:
                left = c.times(first, stride[1])
                best, where = "", ""
                for number, (ky, kx) in enumerate(itertools.product(*map(range, kernel))):
                    shift = ky * dilation[0] * w + kx * dilation[1]
                    if joined and kx == 0:
                        start = c.at("float", line, c.plus(left, shift))
                        parts = _apart_columns(c, start, used, kernel[1], lanes)
                    if joined:
                        value = parts[kx]
                    else:
                        start = c.at("float", line, c.plus(left, shift))
                        value = c.strided_load("float", lanes, used, stride[1], start)
                    own = [shift + lane * stride[1] for lane in range(lanes)]
                    place = c.constants(kind, own if kind == "i64" else [number] * lanes)
                    if not best:
                        best, where = value, place
                        continue
                    larger = c.let(f"fcmp ogt {floats} {value}, {best}")
                    nan = c.let(f"fcmp uno {floats} {value}, {value}")
                    better = c.let(f"or <{lanes} x i1> {larger}, {nan}")
                    best = pick(better, floats, value, best)
                    where = pick(better, places, place, where)
                if cut:
                    below = c.let(f"fcmp ole {floats} {best}, zeroinitializer")
                    best = pick(below, floats, "zeroinitializer", best)
                    where = pick(below, places, c.constants(kind, [CUT] * lanes), where)
                at = c.plus(target, first)
                c.masked_store("float", lanes, used, best, c.at("float", values.pointer, at))
                if kind == "i64":
                    begin = c.splat("i64", lanes, c.plus(top, left))
                    where = c.let(f"add {places} {where}, {begin}")
                c.masked_store(kind, lanes, used, where, c.at(kind, positions.pointer, at))

            def pick(which: str, vector: str, yes: str, no: str) -> str:
                return c.let(f"select <{lanes} x i1> {which}, {vector} {yes}, {vector} {no}")

            whole = ow // lanes * lanes
            if whole:
                with c.loop(whole, lanes) as column:
                    columns(column, lanes)
            if whole < ow:
                columns(str(whole), ow - whole)

    floats, places = f"<{lanes} x float>", f"<{lanes} x {kind}>"
    return Lowering(emit, pieces=n * ch)


def _apart_columns(c: Code, start: str, used: int, parts: int, lanes: int) -> list[str]:
    """``used`` times ``parts`` neighbours: every ``parts``-th from the first on, the second, ..."""
    wide = lanes * parts
    both = c.masked_load("float", wide, used * parts, start)
    found = []
    for first in range(parts):
        picks = ", ".join(f"i32 {first + i * parts}" for i in range(lanes))
        found.append(
            c.let(
                f"shufflevector <{wide} x float> {both}, <{wide} x float> poison, "
                f"<{lanes} x i32> <{picks}>"
            )
        )
    return found


def lower_backward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Each gradient is added where its value came from."""
    g, positions = operands
    out = outs[0]
    if g.spec.dtype.name != "float32" or not (g.spec.contiguous and positions.spec.contiguous):
        return None
    if not (g.spec.numel and out.spec.numel):
        return None
    planes = out.spec.shape[0] * out.spec.shape[1]
    size, count = out.spec.numel // planes, g.spec.numel // planes

    bytes_ = positions.spec.dtype.name == "uint8"
    window = call.params[1] if bytes_ else _apart(positions.maker)
    h, w = out.spec.shape[-2:]

    def emit(c: Code) -> None:
        with c.share(planes) as plane:
            target = c.at("float", out.pointer, c.times(plane, size))
            source = c.plus(c.times(plane, count), g.spec.offset)
            places = c.plus(c.times(plane, count), positions.spec.offset)
            if window is None or (h, w) != tuple(
                n * k for n, k in zip(g.spec.shape[-2:], window, strict=True)
            ):
                with c.loop(size) as i:
                    c.store("float", "0.0", target, i)
            if window is not None:
                kind = "i8" if bytes_ else "i64"
                _spread(c, g.spec.shape[-2:], window, w, c.at("float", g.pointer, source),
                        c.at(kind, positions.pointer, places), target, lanes, kind)  # fmt: skip
                return
            with c.loop(count) as i:
                place = c.load("i64", positions.pointer, c.plus(places, i))
                value = c.load("float", g.pointer, c.plus(source, i))
                have = c.load("float", target, place)
                c.store("float", c.let(f"fadd float {have}, {value}"), target, place)

    return Lowering(emit, pieces=planes)


def side_by_side(call: Call) -> bool:
    """Whether a call is a pool whose windows' places can be kept as bytes."""
    return (
        _apart(call) is not None
        and call.specs[0].device is CPU
        and call.specs[0].dtype.name == "float32"
        and call.specs[0].contiguous
        and call.outs[0].numel > 0
        and math.prod(call.params[0]) < CUT
    )


def _apart(maker: Call | None) -> tuple[int, int] | None:
    """The windows that positions are of, if windows lie side by side."""
    if maker is None or maker.op.name != "max_pool2d":
        return None
    kernel, stride, padding, dilation, _ = maker.params
    if any(padding) or set(dilation) != {1} or kernel != stride or kernel[1] not in (1, 2, 4):
        return None
    (h, w), (oh, ow) = maker.specs[0].shape[-2:], maker.outs[0].shape[-2:]
    return tuple(kernel) if oh * kernel[0] <= h and ow * kernel[1] <= w else None


def _spread(
    c: Code, size: tuple[int, int], window: tuple[int, int], width: int, g: str, positions: str,
    target: str, lanes: int, kind: str,
) -> None:  # fmt: skip
    """Windows side by side: a window's gradient goes to the place it came from, 0 to the others."""
    (oh, ow), (kh, kw) = size, window
    floats, whole_numbers = f"<{lanes} x float>", f"<{lanes} x {kind}>"

    def columns(row: str, first: str, used: int) -> None:
        at = c.plus(c.times(row, ow), first)
        values = c.masked_load("float", lanes, used, c.at("float", g, at))
        places = c.masked_load(kind, lanes, used, c.at(kind, positions, at))
        corner = c.plus(c.times(row, kh * width), c.times(first, kw))
        if kind == "i64":
            places = c.let(f"sub {whole_numbers} {places}, {c.splat('i64', lanes, corner)}")
        for ky in range(kh):
            parts = []
            for kx in range(kw):
                own = [ky * width + lane * kw + kx for lane in range(lanes)]
                if kind == "i8":
                    own = [ky * kw + kx] * lanes
                constants = c.constants(kind, own)
                here = c.let(f"icmp eq {whole_numbers} {places}, {constants}")
                parts.append(
                    c.let(
                        f"select <{lanes} x i1> {here}, {floats} {values}, {floats} zeroinitializer"
                    )
                )
            wide = c.weave("float", parts, lanes)
            place = c.at("float", target, c.plus(corner, ky * width))
            c.masked_store("float", lanes * kw, used * kw, wide, place)

    whole = ow // lanes * lanes
    with c.loop(oh) as row:
        if whole:
            with c.loop(whole, lanes) as column:
                columns(row, column, lanes)
        if whole < ow:
            columns(row, str(whole), ow - whole)
