"""Max pooling over images without padding: values and flat positions, and the way back.

Windows that lie side by side may keep a place as a byte within its window (``epilogues.py``)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

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
    cells = list(itertools.product(*map(range, kernel)))
    together = lanes // ow if kind == "i8" else 1

    def emit(c: Code) -> None:
        with c.share(n * ch) as plane:
            image = c.at("float", x.pointer, c.plus(c.times(plane, h * w), x.spec.offset))
            own = c.times(plane, oh * ow)

            def columns(row: str, first: str, used: int) -> None:
                """Some outputs of one row."""
                top, left = c.times(row, stride[0] * w), c.times(first, stride[1])
                candidates: list[str] = []
                for ky, kx in cells:
                    start = c.plus(top, left, ky * dilation[0] * w + kx * dilation[1])
                    start = c.at("float", image, start)
                    if not joined:
                        candidates.append(c.strided_load("float", lanes, used, stride[1], start))
                    elif kx == 0:
                        candidates += _apart_columns(c, start, used, kernel[1], lanes)
                place = c.plus(own, c.times(row, ow), first)
                put(candidates, place, used, c.plus(top, left))

            def rows(row: str, number: int) -> None:
                """All outputs of some short rows: their windows lie side by side in memory."""
                size = number * kernel[0] * w
                start = c.at("float", image, c.times(row, kernel[0] * w))
                chunks = [
                    c.masked_load("float", lanes, min(lanes, size - i), c.at("float", start, i))
                    for i in range(0, size, lanes)
                ]
                candidates = [
                    _picked(c, chunks, [
                        (r * kernel[0] + ky) * w + i * kernel[1] + kx
                        for r in range(number) for i in range(ow)
                    ], lanes)
                    for ky, kx in cells
                ]  # fmt: skip
                put(candidates, c.plus(own, c.times(row, ow)), number * ow, "0")

            def put(candidates: list[str], place: str, used: int, corner: str) -> None:
                best, where = candidates[0], constants(0)
                for number, value in enumerate(candidates[1:], 1):
                    larger = c.let(f"fcmp ogt {floats} {value}, {best}")
                    nan = c.let(f"fcmp uno {floats} {value}, {value}")
                    better = c.let(f"or <{lanes} x i1> {larger}, {nan}")
                    best = pick(better, floats, value, best)
                    where = pick(better, places, constants(number), where)
                if cut:
                    below = c.let(f"fcmp ole {floats} {best}, zeroinitializer")
                    best = pick(below, floats, "zeroinitializer", best)
                    where = pick(below, places, c.constants(kind, [CUT] * lanes), where)
                c.masked_store("float", lanes, used, best, c.at("float", values.pointer, place))
                if kind == "i64":
                    where = c.let(f"add {places} {where}, {c.splat('i64', lanes, corner)}")
                c.masked_store(kind, lanes, used, where, c.at(kind, positions.pointer, place))

            def constants(number: int) -> str:
                """How a cell of the window is called: by its number, or flat in the plane."""
                if kind == "i8":
                    return c.constants(kind, [number] * lanes)
                ky, kx = cells[number]
                shift = ky * dilation[0] * w + kx * dilation[1]
                return c.constants(kind, [shift + lane * stride[1] for lane in range(lanes)])

            def pick(which: str, vector: str, yes: str, no: str) -> str:
                return c.let(f"select <{lanes} x i1> {which}, {vector} {yes}, {vector} {no}")

            if together > 1:
                _by_rows(c, oh, together, rows)
                return
            with c.loop(oh) as row:
                whole = ow // lanes * lanes
                if whole:
                    with c.loop(whole, lanes) as column:
                        columns(row, column, lanes)
                if whole < ow:
                    columns(row, str(whole), ow - whole)

    floats, places = f"<{lanes} x float>", f"<{lanes} x {kind}>"
    return Lowering(emit, pieces=n * ch)


def _by_rows(c: Code, size: int, together: int, body: Callable[[str, int], None]) -> None:
    """Some rows at a time, and those that are left."""
    whole = size // together * together
    if whole:
        with c.loop(whole, together) as row:
            body(row, together)
    if whole < size:
        body(str(whole), size - whole)


def _picked(c: Code, chunks: list[str], places: list[int], lanes: int) -> str:
    """A vector of elements of several vectors that lie side by side; zero where the place is
    negative and in lanes without one."""
    vector = f"<{lanes} x float>"
    found = "zeroinitializer"
    for first in range(0, len(chunks), 2):
        two = chunks[first : first + 2]
        low, high = first * lanes, (first + len(two)) * lanes
        mine = [lane for lane, place in enumerate(places) if low <= place < high]
        if not mine:
            continue
        picks = ", ".join(
            f"i32 {places[lane] - low if lane in mine else 'poison'}" for lane in range(lanes)
        )
        part = c.let(
            f"shufflevector {vector} {two[0]}, {vector} {two[-1]}, <{lanes} x i32> <{picks}>"
        )
        order = ", ".join(f"i32 {lane + lanes if lane in mine else lane}" for lane in range(lanes))
        found = c.let(f"shufflevector {vector} {found}, {vector} {part}, <{lanes} x i32> <{order}>")
    return found


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

    def rows(row: str, number: int) -> None:
        """All windows of some short rows, which lie side by side in memory."""
        at, used = c.times(row, ow), number * ow
        values = c.masked_load("float", lanes, used, c.at("float", g, at))
        places = c.masked_load(kind, lanes, used, c.at(kind, positions, at))
        cells = []
        for cell in range(kh * kw):
            own = c.constants(kind, [cell] * lanes)
            here = c.let(f"icmp eq {whole_numbers} {places}, {own}")
            cells.append(
                c.let(f"select <{lanes} x i1> {here}, {floats} {values}, {floats} zeroinitializer")
            )
        start, size = c.at("float", target, c.times(row, kh * width)), number * kh * width
        for first in range(0, size, lanes):
            sources = []
            for place in range(first, min(first + lanes, size)):
                line, column = divmod(place, width)
                cell = line % kh * kw + column % kw
                inside = column < ow * kw
                sources.append(cell * lanes + line // kh * ow + column // kw if inside else -1)
            value = _picked(c, cells, sources, lanes)
            c.masked_store("float", lanes, len(sources), value, c.at("float", start, first))

    if kind == "i8" and lanes // ow > 1:
        _by_rows(c, oh, lanes // ow, rows)
        return
    whole = ow // lanes * lanes
    with c.loop(oh) as row:
        if whole:
            with c.loop(whole, lanes) as column:
                columns(row, column, lanes)
        if whole < ow:
            columns(row, str(whole), ow - whole)
