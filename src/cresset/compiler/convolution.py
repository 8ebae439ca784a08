"""Convolution over images and signals: the row of outputs lies in vector registers.

All sizes are constants of the code.

Forward: for a row of outputs and a block of output channels the sums stay in registers; every
input vector is loaded once per block and multiplied with one weight per channel. The gradient of
the input is the same loop over the padded gradient with the weights turned around. The gradient of
the weights keeps one register per weight of a kernel row, vector lanes along the row, and adds the
lanes up at the end.

Where columns are a stride apart, rows are parted first: all even columns, then all odd ones (for a
stride of 2), so that each tap's columns lie side by side. The gradient of the input is made of as
many passes then, one for the pixels that the same taps reach, and woven together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cresset.compiler import channels
from cresset.compiler.code import Code
from cresset.compiler.host import vector_registers
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride
from cresset.core.spec import spec as make_spec

#: Bytes of weights that stay in the first cache while rows go by.
_NEAREST = 24 << 10
#: Bytes of images and gradients that stay in the second cache.
_NEAR = 256 << 10
#: Rows are unrolled vector by vector, so very wide images would make very long code.
_WIDEST = 512


def _plain(*arrays: Array) -> bool:
    return all(
        a.spec.dtype.name == "float32" and a.spec.contiguous and a.spec.numel for a in arrays
    )


def _fits(arrays: list[Array], geometry: Any) -> bool:
    return (
        _plain(*arrays)
        and len(geometry.stride) in (1, 2)
        and max(geometry.stride) <= 4
        and max(a.spec.shape[-1] for a in arrays) <= _WIDEST
    )


def sum_registers() -> int:
    """Vector registers that may hold sums; the others take inputs and weights."""
    return vector_registers() * 3 // 4


class _Shape(NamedTuple):
    """The sizes of a convolution of images that are padded already: of one group, if there are."""

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
    groups: int = 1
    #: The columns of a row are parted by their remainder of the stride.
    parted: bool = False

    def tap(self, kx: int) -> tuple[int, int]:
        """Where in a row a tap's columns begin, and how far apart they are."""
        column, step = kx * self.dilation[1], self.stride[1]
        if not self.parted:
            return column, step
        return column % step * (self.w // step) + column // step, 1


def _images(arrays: list[Array]) -> list[Array]:
    """Signals (n, c, length) as images of one row; a bias stays as it is."""
    found = []
    for a in arrays:
        old = a.spec
        if len(old.shape) == 3:
            shape = (*old.shape[:2], 1, old.shape[2])
            new = make_spec(old.dtype, shape, contiguous_stride(shape), old.offset, old.device)
            a = a._replace(spec=new)
        found.append(a)
    return found


def _planes(geometry: Any) -> Any:
    """The geometry of a convolution of signals as one of images."""
    if len(geometry.stride) != 1:
        return geometry
    return geometry._replace(
        stride=(1, *geometry.stride), padding=(0, *geometry.padding),
        dilation=(1, *geometry.dilation),
    )  # fmt: skip


def lower_forward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    geometry = call.params[0]
    if not _fits([*operands, *outs], geometry):
        return None
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    (n, ch, h, w), (o, _, kh, kw) = operands[0].spec.shape, operands[1].spec.shape
    ph, pw = geometry.padding
    oh, ow = outs[0].spec.shape[2:]
    groups = geometry.groups
    if groups == 1 and channels.suits(o, ch, ow, 4):
        return channels.lower_forward(
            _sizes(operands[0], operands[1], geometry, (oh, ow)), operands, outs[0], lanes
        )
    parts = _parts(geometry, o // groups * kh * kw)
    shape = _Shape(
        n, ch // groups, h + 2 * ph, _up(w + 2 * pw, parts), o // groups, (kh, kw),
        geometry.dilation, geometry.stride, oh, ow, groups, parts > 1,
    )  # fmt: skip
    frame = ch * shape.h * shape.w if ph or pw or parts > 1 else 0

    def emit(c: Code) -> None:
        bias = _base(c, operands[2]) if len(operands) == 3 else None
        weights = _base(c, operands[1])
        with c.share(n) as i:
            image = c.at("float", _base(c, operands[0]), c.times(i, ch * h * w))
            if frame:
                size = (shape.h, shape.w)
                place(c, image, (ch, h, w), "%scratch", size, (ph, pw), lanes, parts)
                image = "%scratch"
            target = c.at("float", _base(c, outs[0]), c.times(i, o * shape.oh * shape.ow))
            _each_group(c, shape, image, weights, bias, target, lanes)

    return Lowering(emit, scratch=frame * 4, pieces=n, flops=_flops(shape))


def _parts(geometry: Any, uses: int) -> int:
    """Into how many parts rows are parted: one if every value is used but a few times."""
    return geometry.stride[1] if uses >= 16 else 1


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _each_group(c: Code, s: _Shape, x: str, w: str, bias: str | None, y: str, lanes: int) -> None:
    """One image, group by group."""
    with c.loop(s.groups) as group:
        forward(
            c, s, c.at("float", x, c.times(group, s.c * s.h * s.w)),
            c.at("float", w, c.times(group, s.o * s.c * s.kernel[0] * s.kernel[1])),
            None if bias is None else c.at("float", bias, c.times(group, s.o)),
            c.at("float", y, c.times(group, s.o * s.oh * s.ow)), lanes,
        )  # fmt: skip


def _sizes(x: Array, w: Array, geometry: Any, out: tuple[int, int]) -> channels.Sizes:
    """The convolution as ``channels.py`` wants it; ``x`` and ``w`` have the shapes."""
    (n, ch, h, width), (o, _, kh, kw) = x.spec.shape, w.spec.shape
    return channels.Sizes(
        n, ch, h, width, o, (kh, kw), geometry.stride, geometry.padding, geometry.dilation, out
    )


def _flops(s: _Shape) -> int:
    return 2 * s.n * s.groups * s.c * s.o * s.oh * s.ow * s.kernel[0] * s.kernel[1]


def _base(c: Code, a: Array) -> str:
    return c.at("float", a.pointer, a.spec.offset)


class _Tile(NamedTuple):
    """What one vector holds: some columns of one row of outputs, or several short rows."""

    row: int
    column: int
    columns: int
    rows: int

    def load(self, c: Code, lanes: int, pointer: str, row_step: int, column_step: int) -> str:
        """The tile's values; ``pointer`` is where the first row begins."""
        share = lanes // self.rows
        parts = [
            c.strided_load(
                "float", share, self.columns, column_step,
                c.at("float", pointer, (self.row + r) * row_step + self.column * column_step),
            )
            for r in range(self.rows)
        ]  # fmt: skip
        return c.join("float", parts, share)

    def store(self, c: Code, lanes: int, value: str, pointer: str, row_step: int) -> None:
        share = lanes // self.rows
        for r in range(self.rows):
            part = value if self.rows == 1 else c.piece("float", value, lanes, r * share, share)
            place = c.at("float", pointer, (self.row + r) * row_step + self.column)
            c.masked_store("float", share, self.columns, part, place)


def _tiles(s: _Shape, lanes: int, rows: int, first: int) -> list[_Tile]:
    """Vectors that cover ``rows`` rows of outputs (all of one kind), from row ``first`` on."""
    together = rows_together(s, lanes)
    if together > 1 and rows % together == 0:
        return [_Tile(r, 0, s.ow, together) for r in range(first, first + rows, together)]
    return [
        _Tile(r, column, min(lanes, s.ow - column), 1)
        for r in range(first, first + rows)
        for column in range(0, s.ow, lanes)
    ]


def rows_together(s: _Shape, lanes: int) -> int:
    """How many short rows share a vector."""
    width = 1 << (s.ow - 1).bit_length()
    together = max(1, lanes // width)
    while together > s.oh:
        together //= 2
    return together


def forward(c: Code, s: _Shape, x: str, w: str, bias: str | None, y: str, lanes: int) -> None:
    """One image: y[o] = sum over channels and taps of x[c] * w[o, c], plus the bias."""
    room = sum_registers()
    together = rows_together(s, lanes)
    across = 1 if together > 1 else min(-(-s.ow // lanes), 3)
    taps = s.c * s.kernel[0] * s.kernel[1] * 4
    block = max(1, min(s.o, room // across, max(4, _NEAREST // taps)))
    while s.o % block:
        block -= 1
    # Registers that are left take more rows, which share the weights.
    most = max(1, min(room // (block * across), s.oh // together))
    even = [r for r in range(most, 0, -1) if s.oh % (r * together) == 0 and 2 * r > most]
    rows = together * (even[0] if even else most)
    if -(-s.ow // lanes) > across:
        rows = 1
    whole = s.oh // rows * rows
    with c.loop(s.o, block) as o:
        weights = c.at("float", w, c.times(o, s.c * s.kernel[0] * s.kernel[1]))
        target = c.at("float", y, c.times(o, s.oh * s.ow))
        starts = []
        for b in range(block):
            value = "0.0" if bias is None else c.load("float", bias, c.plus(o, b))
            starts.append(c.splat("float", lanes, value))
        with c.loop(whole, rows) as row:
            source = c.at("float", x, c.times(row, s.stride[0] * s.w))
            _sums(c, s, _tiles(s, lanes, rows, 0), source, weights, starts,
                  c.at("float", target, c.times(row, s.ow)), lanes, across)  # fmt: skip
        for row in range(whole, s.oh):
            source = c.at("float", x, row * s.stride[0] * s.w)
            _sums(c, s, _tiles(s, lanes, 1, 0), source, weights, starts,
                  c.at("float", target, row * s.ow), lanes, across)  # fmt: skip


def _sums(
    c: Code, s: _Shape, tiles: list[_Tile], x: str, w: str, starts: list[str], y: str, lanes: int,
    across: int,
) -> None:  # fmt: skip
    """A block of output channels for some tiles, as many at a time as registers hold."""
    (kh, kw), dh, sh = s.kernel, s.dilation[0], s.stride[0]
    vector = f"<{lanes} x float>"
    at_once = max(across, sum_registers() // len(starts))
    for first in range(0, len(tiles), at_once):
        some = tiles[first : first + at_once]
        sums = {(b, t): c.slot(vector, starts[b]) for b in range(len(starts)) for t in some}
        with c.loop(s.c) as channel, c.loop(kh) as ky:
            line = c.at("float", x, c.plus(c.times(channel, s.h * s.w), c.times(ky, s.w * dh)))
            taps = c.at("float", w, c.plus(c.times(channel, kh * kw), c.times(ky, kw)))
            for kx in range(kw):
                place, step = s.tap(kx)
                start = c.at("float", line, place)
                values = {t: t.load(c, lanes, start, sh * s.w, step) for t in some}
                for b in range(len(starts)):
                    tap = c.splat("float", lanes, c.load("float", taps, b * s.c * kh * kw + kx))
                    for t in some:
                        total = c.get(vector, sums[b, t])
                        c.set(vector, sums[b, t], c.fma(vector, tap, values[t], total))
        for (b, t), total in sums.items():
            t.store(c, lanes, c.get(vector, total), c.at("float", y, b * s.oh * s.ow), s.ow)


def place(
    c: Code, x: str, planes: tuple[int, int, int], target: str, frame: tuple[int, int],
    corner: tuple[int, int], lanes: int, parts: int = 1,
) -> None:  # fmt: skip
    """Copy planes (count, height, width) into frames of zeros, from a corner on; the columns of
    the frame are parted by their remainder of ``parts``."""
    count, h, w = planes
    height, width = frame
    zero(c, target, count * height * width)
    with c.loop(count) as plane, c.loop(h) as row:
        source = c.at("float", x, c.plus(c.times(plane, h * w), c.times(row, w)))
        line = c.at(
            "float", target,
            c.plus(c.times(plane, height * width), c.times(row, width), corner[0] * width),
        )  # fmt: skip
        for part in range(parts):
            first = (part - corner[1]) % parts
            number = len(range(first, w, parts))
            begin = part * (width // parts) + (first + corner[1]) // parts
            for column in range(0, number, lanes):
                used = min(lanes, number - column)
                start = c.at("float", source, column * parts + first)
                values = c.strided_load("float", lanes, used, parts, start)
                c.masked_store("float", lanes, used, values, c.at("float", line, column + begin))


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
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    g, w = operands
    (_, o, oh, ow), (_, _, kh, kw) = g.spec.shape, w.spec.shape
    ch, _, width = outs[0].spec.shape[1:]
    groups = geometry.groups
    # Weaving costs more than turning does, unless a tap is all there is to a wide row.
    woven = max(geometry.stride) > 1 and (kh * kw > 1 or width <= 16)
    if groups == 1 and channels.suits(ch, o, width, _WIDEST if woven else 4):
        return channels.lower_input(
            _sizes(outs[0], w, geometry, (oh, ow)), operands, outs[0], lanes
        )
    return _lower_passes(_sizes(outs[0], w, geometry, (oh, ow)), groups, g, w, outs[0], lanes)


class _Pass(NamedTuple):
    """The pixels of the input that the same taps reach: a convolution of the gradient."""

    shape: _Shape
    #: Where its first tap reads in the frame.
    begin: int
    #: Per axis the kernel's taps in the order they are read, and the first pixel.
    taps: tuple[list[int], list[int]]
    at: tuple[int, int]


def _lower_passes(
    s: channels.Sizes, groups: int, g: Array, w: Array, out: Array, lanes: int
) -> Lowering:
    """A pass for every remainder that the strides leave; without strides there is one."""
    axes, starts, frame = channels.reaches(s)
    cg, og = s.inputs // groups, s.outputs // groups
    passes = []
    for down, height, top in axes[0]:
        for right, width, left in axes[1]:
            orders, begins, gaps = [], [], []
            for taps, start in ((down, starts[0]), (right, starts[1])):
                order = [taps.first + i * taps.step for i in range(taps.number)]
                orders.append(order[::-1])
                begins.append(start + taps.start + (taps.number - 1) * taps.shift)
                gaps.append(max(-taps.shift, 1))
            shape = _Shape(
                s.n, og, frame[0], frame[1], cg, (len(orders[0]), len(orders[1])),
                (gaps[0], gaps[1]), (1, 1), height, width, groups,
            )  # fmt: skip
            begin = begins[0] * frame[1] + begins[1]
            passes.append(_Pass(shape, begin, (orders[0], orders[1]), (top, left)))
    room = s.outputs * frame[0] * frame[1]
    whole = len(passes) == 1
    single = 0 if whole else cg * max(p.shape.oh * p.shape.ow for p in passes)
    count = s.kernel[0] * s.kernel[1]

    def turn(c: Code) -> None:
        start = 0
        for p in passes:
            _turn(c, p, _base(c, w), c.at("float", "%shared", start), s.kernel)
            start += groups * cg * og * len(p.taps[0]) * len(p.taps[1])

    def emit(c: Code) -> None:
        with c.share(s.n) as i:
            gradients = c.at("float", _base(c, g), c.times(i, s.outputs * s.out[0] * s.out[1]))
            corner = (starts[0], starts[1])
            place(c, gradients, (s.outputs, *s.out), "%scratch", frame, corner, lanes)
            target = c.at("float", _base(c, out), c.times(i, s.inputs * s.height * s.width))
            start = 0
            for p in passes:
                weights = c.at("float", "%shared", start)
                start += groups * cg * og * len(p.taps[0]) * len(p.taps[1])
                if whole and p.taps[0] and p.taps[1]:
                    source = c.at("float", "%scratch", p.begin)
                    _each_group(c, p.shape, source, weights, None, target, lanes)
                elif p.shape.oh * p.shape.ow:
                    own = c.at("float", "%scratch", room)
                    _woven(c, p, s, weights, own, target, lanes)

    return Lowering(
        emit, scratch=4 * (room + single), pieces=s.n, prepare=turn,
        flops=2 * s.n * s.out[0] * s.out[1] * s.outputs * cg * count,
        shared=4 * s.outputs * cg * count,
    )  # fmt: skip


def _turn(c: Code, p: _Pass, w: str, target: str, kernel: tuple[int, int]) -> None:
    """A pass's weights, inputs and outputs of a group exchanged, taps in the order of the pass."""
    s, (down, right) = p.shape, p.taps
    count = kernel[0] * kernel[1]
    with c.loop(s.groups) as group, c.share(s.c) as b, c.loop(s.o) as a:
        old = c.plus(c.times(c.plus(c.times(group, s.c), b), s.o), a)
        new = c.plus(c.times(c.plus(c.times(group, s.o), a), s.c), b)
        source = c.at("float", w, c.times(old, count))
        place_ = c.at("float", target, c.times(new, len(down) * len(right)))
        for i, ky in enumerate(down):
            for j, kx in enumerate(right):
                value = c.load("float", source, ky * kernel[1] + kx)
                c.store("float", value, place_, i * len(right) + j)


def _woven(
    c: Code, p: _Pass, s: channels.Sizes, weights: str, own: str, target: str, lanes: int
) -> None:
    """One pass over an image, group by group: computed apart, then put where its pixels are."""
    shape = p.shape
    taps = len(p.taps[0]) * len(p.taps[1])
    with c.loop(shape.groups) as group:
        if taps:
            image = c.plus(c.times(group, shape.c * shape.h * shape.w), p.begin)
            forward(
                c, shape, c.at("float", "%scratch", image),
                c.at("float", weights, c.times(group, shape.o * shape.c * taps)), None, own, lanes,
            )  # fmt: skip
        else:
            zero(c, own, shape.o * shape.oh * shape.ow)
        with c.loop(shape.o) as plane, c.loop(shape.oh) as y, c.loop(shape.ow) as x:
            pixel = c.plus(c.times(c.plus(c.times(plane, shape.oh), y), shape.ow), x)
            row = c.plus(c.times(y, s.stride[0]), p.at[0])
            column = c.plus(c.times(x, s.stride[1]), p.at[1])
            whole = c.plus(c.times(group, shape.o), plane)
            line = c.plus(c.times(c.plus(c.times(whole, s.height), row), s.width), column)
            c.store("float", c.load("float", own, pixel), target, line)


def lower_weight(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The gradient of the weights."""
    geometry = call.params[1]
    if not _fits([*operands, *outs], geometry):
        return None
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    g, x = operands
    (n, o, oh, ow), (_, ch, h, w) = g.spec.shape, x.spec.shape
    kernel = tuple(outs[0].spec.shape[2:])
    groups = geometry.groups
    ph, pw = geometry.padding
    if groups == 1 and channels.suits(o, ch, ow, 8):
        return channels.lower_weight(
            _sizes(x, outs[0], geometry, (oh, ow)), operands, outs[0], lanes
        )
    if kernel[1] > 12:
        return None
    parts = _parts(geometry, o // groups * kernel[0] * kernel[1])
    shape = _Shape(
        n, ch // groups, h + 2 * ph, _up(w + 2 * pw, parts), o // groups, kernel,
        geometry.dilation, geometry.stride, oh, ow, groups, parts > 1,
    )  # fmt: skip
    padded = n * ch * shape.h * shape.w * 4 if ph or pw or parts > 1 else 0

    def pad(c: Code) -> None:
        with c.share(n) as i:
            place(
                c, c.at("float", _base(c, x), c.times(i, ch * h * w)), (ch, h, w),
                c.at("float", "%shared", c.times(i, ch * shape.h * shape.w)), (shape.h, shape.w),
                (ph, pw), lanes, parts,
            )  # fmt: skip

    def emit(c: Code) -> None:
        source = "%shared" if padded else _base(c, x)
        with c.loop(groups) as group:
            weight_sums(
                c, shape, c.at("float", _base(c, g), c.times(group, shape.o * oh * ow)),
                c.at("float", source, c.times(group, shape.c * shape.h * shape.w)),
                c.at("float", _base(c, outs[0]), c.times(group, outs[0].spec.numel // groups)),
                lanes,
            )  # fmt: skip

    return Lowering(
        emit, pieces=shape.o // _weight_block(shape) * shape.c, flops=_flops(shape),
        prepare=pad if padded else None, shared=padded,
    )  # fmt: skip


def _weight_block(s: _Shape) -> int:
    """Output channels whose sums are in registers at once."""
    block = max(1, min(s.o, sum_registers() // s.kernel[1]))
    while s.o % block:
        block -= 1
    return block


def weight_sums(c: Code, s: _Shape, g: str, x: str, target: str, lanes: int) -> None:
    """target[o, c, ky, kx] = sum over images and places of g[n, o] * x[n, c] shifted by the tap."""
    (kh, kw), (dh, _) = s.kernel, s.dilation
    block = _weight_block(s)
    vector = f"<{lanes} x float>"
    suffix = f"v{lanes}f32"
    c.declare(f"float @llvm.vector.reduce.fadd.{suffix}(float, {vector})")
    rows = rows_together(s, lanes)
    whole = s.oh // rows * rows
    # Some images at a time, so that their gradients stay in the second cache for all taps.
    some = max(1, min(s.n, _NEAR // (4 * (s.o * s.oh * s.ow + s.c * s.h * s.w))))
    while s.n % some:
        some -= 1
    units = s.o // block * s.c  # pairs of a block of outputs and a channel
    with c.loop(s.n, some) as first, c.share(units) as unit, c.loop(kh) as ky:
        o = c.times(c.let(f"udiv i64 {unit}, {s.c}"), block)
        channel = c.let(f"urem i64 {unit}, {s.c}")
        sums = [[c.slot(vector, "zeroinitializer") for _ in range(kw)] for _ in range(block)]
        with c.loop(some) as i:
            n = c.plus(first, i)
            plane = c.at(
                "float", x,
                c.plus(
                    c.times(n, s.groups * s.c * s.h * s.w), c.times(channel, s.h * s.w),
                    c.times(ky, s.w * dh),
                ),
            )  # fmt: skip
            gradients = c.at(
                "float",
                g,
                c.plus(c.times(n, s.groups * s.o * s.oh * s.ow), c.times(o, s.oh * s.ow)),
            )
            with c.loop(whole, rows) as row:
                _products(
                    c, s, _tiles(s, lanes, rows, 0),
                    c.at("float", plane, c.times(row, s.stride[0] * s.w)),
                    c.at("float", gradients, c.times(row, s.ow)), sums, lanes,
                )  # fmt: skip
            for row in range(whole, s.oh):
                _products(
                    c, s, _tiles(s, lanes, 1, 0), c.at("float", plane, row * s.stride[0] * s.w),
                    c.at("float", gradients, row * s.ow), sums, lanes,
                )  # fmt: skip
        begun = c.let(f"icmp ne i64 {first}, 0")
        for b in range(block):
            for kx in range(kw):
                index = c.plus(
                    c.times(o, s.c * kh * kw), b * s.c * kh * kw,
                    c.times(channel, kh * kw), c.times(ky, kw), kx,
                )  # fmt: skip
                have = c.load("float", target, index)
                have = c.let(f"select i1 {begun}, float {have}, float 0.0")
                value = c.let(
                    f"call reassoc float @llvm.vector.reduce.fadd.{suffix}(float {have}, "
                    f"{vector} {c.get(vector, sums[b][kx])})"
                )
                c.store("float", value, target, index)


def _products(
    c: Code, s: _Shape, tiles: list[_Tile], x: str, g: str, sums: list[list[str]], lanes: int
) -> None:
    """Add the products of gradients and shifted inputs to the sums of a kernel row."""
    vector = f"<{lanes} x float>"
    for tile in tiles:
        shifted = [
            tile.load(c, lanes, c.at("float", x, place), s.stride[0] * s.w, step)
            for place, step in map(s.tap, range(s.kernel[1]))
        ]
        for b, row in enumerate(sums):
            part = tile.load(c, lanes, c.at("float", g, b * s.oh * s.ow), s.ow, 1)
            for kx, total in enumerate(row):
                c.set(vector, total, c.fma(vector, part, shifted[kx], c.get(vector, total)))
