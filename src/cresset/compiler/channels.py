"""Convolution of many channels over small planes: vectors run along the channels.

Where a row of outputs is shorter than a few vectors, images are turned so that a pixel's channels
lie side by side. Every tap of the kernel is then a matrix product, and its operands are windows of
the turned images: nothing is unfolded.

- Forward, and the gradient of the input: for each tap ``y[pixel, o] += x[pixel + tap, c] w[c, o]``.
  A block of pixels and outputs is in registers while c goes by; between taps it waits in scratch
  memory. The weights are turned into panels, as wide as a block, in the order they are read.
- A stride makes several *passes* of the gradient of the input: pixels that are reached by the same
  taps (all with even rows and odd columns, say) are one pass.
- Gradient of the weights: for each tap ``w[o, c] += g[pixel, o] x[pixel + tap, c]``, over all
  pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.convolution_rows import relu
from cresset.compiler.step import Array, Lowering

#: Sums of a block of pixels that wait between taps, and stay in the second cache.
_WAITING = 128 << 10
#: Fewer channels do not fill the vectors.
_FEWEST = 64
#: Wide blocks: vectors of outputs. With eight pixels that makes 24 registers of sums.
_WIDE, _TALL = 3, 8
#: Measured: the share of the peak that the kernels reach.
_REACHED = 0.78


class Taps(NamedTuple):
    """Along one axis: the ``i``-th tap is ``first + i * step`` of the kernel, and reads ``start + i
    * shift`` pixels further on."""

    number: int
    first: int
    step: int
    start: int
    shift: int


class Pass(NamedTuple):
    """Outputs (every ``step``-th from ``at`` on, along both axes) that the same taps reach."""

    taps: tuple[Taps, Taps]
    size: tuple[int, int]
    at: tuple[int, int]


class Images(NamedTuple):
    """Turned images: channels innermost, in a frame of zeros.

    Where only a block of the channels is read at a time, each block is apart (a *panel*), so that
    what is read lies side by side; then ``channels`` are those of a panel.
    """

    number: int
    height: int
    width: int
    channels: int
    panels: int = 1

    @property
    def panel(self) -> int:
        """Floats of a panel."""
        return self.number * self.height * self.width * self.channels

    @property
    def bytes(self) -> int:
        return 4 * self.panel * self.panels

    def at(self, c: Code, n: str, y: str, x: str) -> str:
        """The index of a pixel's first channel."""
        row = c.plus(c.times(n, self.height), y)
        return c.times(c.plus(c.times(row, self.width), x), self.channels)


def suits(outputs: int, inputs: int, row: int, longest: int) -> bool:
    """Whether channels fill the vectors better than rows of outputs do."""
    return min(outputs, inputs) >= _FEWEST and row <= longest


def cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run."""
    return s.flops() / (4 * lanes) / _REACHED


def turn(
    c: Code, source: str, planes: tuple[int, int, int], target: str, images: Images,
    corner: tuple[int, int], lanes: int,
) -> None:  # fmt: skip
    """Write planes (channels, height, width) of all images into frames of zeros, turned."""
    channels, h, w = planes
    unit = min(lanes, images.channels)
    with c.share(images.number) as n:
        frame = images.height * images.width * images.channels
        start = c.at("float", target, c.times(n, frame))
        if (images.height, images.width) != (h, w):
            with c.loop(images.panels) as panel, c.loop(frame) as i:
                c.store("float", "0.0", start, c.plus(c.times(panel, images.panel), i))
        image = c.at("float", source, c.times(n, channels * h * w))
        with c.uncut(), c.loop(h) as y, c.loop(w) as x:
            pixel = c.plus(c.times(y, w), x)
            inside = images.at(c, "0", c.plus(y, corner[0]), c.plus(x, corner[1]))
            for block, last in c.blocks(channels // unit, bool(channels % unit)):
                used = channels % unit if last else unit
                first = c.times(block, unit)
                place = c.plus(c.times(first, h * w), pixel)
                values = c.gather("float", lanes, used, h * w, c.at("float", image, place))
                if images.panels > 1:
                    panel = c.let(f"udiv i64 {first}, {images.channels}")
                    rest = c.let(f"urem i64 {first}, {images.channels}")
                    first = c.plus(c.times(panel, images.panel), rest)
                where = c.at("float", start, c.plus(inside, first))
                c.masked_store("float", lanes, used, values, where)


def _panels(
    c: Code, source: str, sizes: tuple[int, int, int], strides: tuple[int, int, int], target: str,
    lanes: int,
) -> None:  # fmt: skip
    """Weights (taps, rows, columns) with these strides, as panels of neighbouring columns."""
    taps, rows, columns = sizes
    tap_step, row_step, column_step = strides
    width = _WIDE * lanes
    for block, last in c.blocks(columns // width, bool(columns % width)):
        wide = columns % width if last else width
        panel = c.at("float", target, c.times(block, width * taps * rows))
        start = c.at("float", source, c.times(block, width * column_step))
        with c.uncut():
            for j in range(0, wide, lanes):
                used = min(lanes, wide - j)
                with c.loop(rows) as row, c.loop(taps) as tap:
                    place = c.plus(c.times(row, row_step), c.times(tap, tap_step), j * column_step)
                    values = c.gather(
                        "float", lanes, used, column_step, c.at("float", start, place)
                    )
                    line = c.plus(c.times(tap, rows), row)
                    where = c.at("float", panel, c.plus(c.times(line, wide), j))
                    c.masked_store("float", lanes, used, values, where)


class _Product(NamedTuple):
    """Turned images times weights, pass by pass, into planes."""

    images: Images
    outputs: int
    kernel: tuple[int, int]
    #: How many pixels of the images a step along the outputs is, per axis.
    stride: tuple[int, int]
    #: How many pixels of the planes a step along a pass's outputs is.
    step: tuple[int, int]
    plane: tuple[int, int]
    passes: tuple[Pass, ...]
    #: The relu of it is written.
    cut: bool = False

    def scratch(self, lanes: int) -> int:
        return max(self._group(p) * p.size[0] * p.size[1] for p in self.passes) * self._row(lanes)

    def _row(self, lanes: int) -> int:
        return 4 * lanes * -(-min(self.outputs, _WIDE * lanes) // lanes)

    def _group(self, p: Pass) -> int:
        """Images whose sums wait at once."""
        room = max(1, _WAITING // (p.size[0] * p.size[1] * self._row(16)))
        return max(d for d in range(1, self.images.number + 1)
                   if self.images.number % d == 0 and d <= room)  # fmt: skip

    def pieces(self, lanes: int) -> int:
        return -(-self.outputs // (_WIDE * lanes))

    def flops(self) -> int:
        taps = sum(p.taps[0].number * p.taps[1].number * p.size[0] * p.size[1] for p in self.passes)
        return 2 * self.images.number * self.images.channels * self.outputs * taps

    def emit(
        self, c: Code, images: str, panels: str, bias: str | None, out: str, lanes: int
    ) -> None:
        width = _WIDE * lanes
        taps = self.kernel[0] * self.kernel[1]
        for block, last in c.blocks(self.outputs // width, bool(self.outputs % width)):
            wide = self.outputs % width if last else width
            first = c.times(block, width)
            panel = c.at("float", panels, c.times(first, taps * self.images.channels))
            with c.uncut():
                for p in self.passes:
                    if p.size[0] * p.size[1]:
                        self._pass(c, p, images, panel, bias, first, wide, out, lanes)

    def _pass(
        self, c: Code, p: Pass, images: str, panel: str, bias: str | None, first: str, wide: int,
        out: str, lanes: int,
    ) -> None:  # fmt: skip
        """One pass for one panel's outputs."""
        vectors = -(-wide // lanes)
        some, pixels = self._group(p), p.size[0] * p.size[1]
        start: list[str] = []
        for v in range(vectors):
            if bias is None:
                start.append("zeroinitializer")
            else:
                used = min(lanes, wide - v * lanes)
                place = c.at("float", bias, c.plus(first, v * lanes))
                start.append(c.masked_load("float", lanes, used, place))
        with c.loop(self.images.number, some) as group:
            with c.loop(some * pixels) as i:
                for v, value in enumerate(start):
                    place = c.at(
                        "float", "%scratch", c.plus(c.times(i, vectors * lanes), v * lanes)
                    )
                    c.masked_store("float", lanes, lanes, value, place)
            down, right = p.taps
            if down.number and right.number:
                with c.loop(down.number) as i, c.loop(right.number) as j:
                    self._tap(c, p, images, panel, group, some, i, j, wide, lanes)
            self._give(c, p, group, some, first, wide, vectors * lanes, out)

    def _tap(
        self, c: Code, p: Pass, images: str, panel: str, group: str, some: int, i: str, j: str,
        wide: int, lanes: int,
    ) -> None:  # fmt: skip
        """Add one tap's products to the sums of some images."""
        source, (down, right) = self.images, p.taps
        ky, kx = c.plus(c.times(i, down.step), down.first), c.plus(
            c.times(j, right.step), right.first
        )  # fmt: skip
        dy, dx = c.plus(c.times(i, down.shift), down.start), c.plus(
            c.times(j, right.shift), right.start
        )  # fmt: skip
        tap = c.plus(c.times(ky, self.kernel[1]), kx)
        weights = c.at("float", panel, c.times(tap, source.channels * wide))
        vectors = -(-wide // lanes)
        rows, columns = _block(p.size)
        with c.loop(some) as n, c.loop(p.size[0], rows) as y, c.loop(p.size[1], columns) as x:
            top = c.plus(c.times(y, self.stride[0]), dy)
            left = c.plus(c.times(x, self.stride[1]), dx)
            window = c.at("float", images, source.at(c, c.plus(group, n), top, left))
            pixel = c.plus(c.times(c.plus(c.times(n, p.size[0]), y), p.size[1]), x)
            line = c.at("float", "%scratch", c.times(pixel, vectors * lanes))
            places = [(a, b) for a in range(rows) for b in range(columns)]
            sums = []
            for a, b in places:
                for v in range(vectors):
                    offset = (a * p.size[1] + b) * vectors * lanes + v * lanes
                    have = c.masked_load("float", lanes, lanes, c.at("float", line, offset))
                    sums.append(c.slot(f"<{lanes} x float>", have))
            shifts = [
                (a * self.stride[0] * source.width + b * self.stride[1]) * source.channels
                for a, b in places
            ]
            with c.loop(source.channels) as k:
                values = _row(c, c.at("float", weights, c.times(k, wide)), wide, lanes)
                _add_products(c, c.at("float", window, k), shifts, values, sums, lanes)
            at = 0
            for a, b in places:
                for v in range(vectors):
                    offset = (a * p.size[1] + b) * vectors * lanes + v * lanes
                    value = c.get(f"<{lanes} x float>", sums[at])
                    c.masked_store("float", lanes, lanes, value, c.at("float", line, offset))
                    at += 1

    def _give(
        self, c: Code, p: Pass, group: str, some: int, first: str, wide: int, width: int, out: str
    ) -> None:
        """Turn the finished sums into planes."""
        height, across = self.plane
        with c.loop(some) as n, c.loop(wide) as o:
            image = c.plus(c.times(c.plus(group, n), self.outputs), c.plus(first, o))
            target = c.at("float", out, c.times(image, height * across))
            with c.loop(p.size[0]) as y, c.loop(p.size[1]) as x:
                pixel = c.plus(c.times(c.plus(c.times(n, p.size[0]), y), p.size[1]), x)
                value = c.load("float", "%scratch", c.plus(c.times(pixel, width), o))
                if self.cut:
                    value = relu(c, "float", value)
                row = c.plus(c.times(y, self.step[0]), p.at[0])
                column = c.plus(c.times(x, self.step[1]), p.at[1])
                c.store("float", value, target, c.plus(c.times(row, across), column))


def _block(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of pixels that are summed at once."""
    columns = max(d for d in range(1, _TALL + 1) if size[1] % d == 0)
    if columns < size[1]:
        return 1, columns
    return max(d for d in range(1, _TALL // columns + 1) if size[0] % d == 0), columns


def _row(c: Code, line: str, wide: int, lanes: int) -> list[str]:
    """``wide`` neighbours as vectors."""
    return [
        c.masked_load("float", lanes, min(lanes, wide - j), c.at("float", line, j))
        for j in range(0, wide, lanes)
    ]


def _add_products(
    c: Code, left: str, shifts: list[int], right: list[str], sums: list[str], lanes: int
) -> None:
    """``sums[i][v] += left[shifts[i]] * right[v]``."""
    vector = f"<{lanes} x float>"
    for i, shift in enumerate(shifts):
        factor = c.splat("float", lanes, c.load("float", left, shift))
        for v, value in enumerate(right):
            total = sums[i * len(right) + v]
            c.set(vector, total, c.fma(vector, factor, value, c.get(vector, total)))


class _Weights(NamedTuple):
    """The gradient of the weights, from turned gradients and turned images."""

    outputs: int
    inputs: int
    #: In panels of as many channels as a block has.
    gradients: Images
    images: Images
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def scratch(self, lanes: int) -> int:
        return 4 * self.kernel[0] * self.kernel[1] * _TALL * _WIDE * lanes

    def pieces(self) -> int:
        return -(-self.outputs // _TALL)

    def flops(self) -> int:
        g = self.gradients
        taps = self.kernel[0] * self.kernel[1]
        return 2 * g.number * g.height * g.width * self.outputs * self.inputs * taps

    def emit(self, c: Code, gradients: str, images: str, out: str, lanes: int) -> None:
        outputs, inputs, width = self.outputs, self.inputs, _WIDE * lanes
        taps = self.kernel[0] * self.kernel[1]
        for row, low in c.blocks(outputs // _TALL, bool(outputs % _TALL)):
            tall = outputs % _TALL if low else _TALL
            o = c.times(row, _TALL)
            with c.uncut():
                for column, last in c.blocks(inputs // width, bool(inputs % width)):
                    wide = inputs % width if last else width
                    first = c.times(column, width)
                    near = c.at("float", gradients, c.times(row, self.gradients.panel))
                    far = c.at("float", images, c.times(column, self.images.panel))
                    with c.loop(self.kernel[0]) as ky, c.loop(self.kernel[1]) as kx:
                        self._tap(c, near, far, (ky, kx), tall, wide, lanes)
                    place = c.times(c.plus(c.times(o, inputs), first), taps)
                    self._give(c, c.at("float", out, place), tall, wide, lanes)

    def _tap(
        self, c: Code, gradients: str, images: str, tap: tuple[str, str], tall: int, wide: int,
        lanes: int,
    ) -> None:  # fmt: skip
        """One tap of a block of weights, summed over all pixels."""
        g, x = self.gradients, self.images
        vectors = -(-wide // lanes)
        sums = [c.slot(f"<{lanes} x float>", "zeroinitializer") for _ in range(tall * vectors)]
        some = max(d for d in range(1, _TALL + 1) if g.width % d == 0)
        with c.loop(g.number) as n, c.loop(g.height) as y, c.loop(g.width, some) as column:
            top = c.plus(c.times(y, self.stride[0]), c.times(tap[0], self.dilation[0]))
            left = c.plus(c.times(column, self.stride[1]), c.times(tap[1], self.dilation[1]))
            near = c.at("float", gradients, g.at(c, n, y, column))
            window = c.at("float", images, x.at(c, n, top, left))
            for i in range(some):
                line = c.at("float", window, i * self.stride[1] * x.channels)
                pixel = c.at("float", near, i * g.channels)
                _add_products(c, pixel, list(range(tall)), _row(c, line, wide, lanes), sums, lanes)
        number = c.plus(c.times(tap[0], self.kernel[1]), tap[1])
        place = c.at("float", "%scratch", c.times(number, tall * vectors * lanes))
        for i, total in enumerate(sums):
            value = c.get(f"<{lanes} x float>", total)
            c.masked_store("float", lanes, lanes, value, c.at("float", place, i * lanes))

    def _give(self, c: Code, out: str, tall: int, wide: int, lanes: int) -> None:
        """Write a block where the taps of a weight lie side by side."""
        taps, vector = self.kernel[0] * self.kernel[1], f"<{lanes} x float>"
        width = -(-wide // lanes) * lanes
        with c.loop(tall) as i:
            for j in range(0, wide, lanes):
                used = min(lanes, wide - j)
                near = c.at("float", "%scratch", c.plus(c.times(i, width), j))
                far = c.at("float", out, c.plus(c.times(i, self.inputs * taps), j * taps))
                for first in range(0, taps, lanes):
                    some = min(lanes, taps - first)
                    rows = [
                        c.load(vector, near, (first + tap) * tall * width, align=4)
                        for tap in range(some)
                    ]
                    if taps == 1:
                        c.masked_store("float", lanes, used, rows[0], far)
                        continue
                    rows += ["zeroinitializer"] * (lanes - some)
                    for n, column in enumerate(c.transpose("float", lanes, rows)[:used]):
                        place = c.at("float", far, n * taps + first)
                        c.masked_store("float", lanes, some, column, place)


class Sizes(NamedTuple):
    """A convolution: images, weights, outputs, and how the kernel moves over the images."""

    n: int
    inputs: int
    height: int
    width: int
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]

    def flops(self) -> int:
        taps = self.kernel[0] * self.kernel[1]
        return 2 * self.n * self.inputs * self.outputs * self.out[0] * self.out[1] * taps

    def products(self) -> int:
        """Multiplications with something else than the zeros around the images."""
        total = self.n * self.inputs * self.outputs
        for size, k, stride, padding, dilation, out in zip(
            (self.height, self.width), self.kernel, self.stride, self.padding, self.dilation,
            self.out, strict=True,
        ):  # fmt: skip
            total *= sum(
                0 <= i * stride + j * dilation - padding < size
                for i in range(out) for j in range(k)
            )  # fmt: skip
        return total

    def frame(self) -> Images:
        """The images with their padding."""
        (ph, pw) = self.padding
        return Images(self.n, self.height + 2 * ph, self.width + 2 * pw, self.inputs)


def lower_forward(
    s: Sizes, operands: list[Array], out: Array, lanes: int, cut: bool = False
) -> Lowering:
    taps = tuple(Taps(k, 0, 1, 0, d) for k, d in zip(s.kernel, s.dilation, strict=True))
    product = _Product(
        s.frame(), s.outputs, s.kernel, s.stride, (1, 1), s.out,
        (Pass(taps, s.out, (0, 0)),), cut,  # type: ignore[arg-type]
    )  # fmt: skip
    count = s.kernel[0] * s.kernel[1]
    strides = (1, count, s.inputs * count)
    planes = (s.inputs, s.height, s.width)
    bias = operands[2] if len(operands) == 3 else None
    return _lower_product(product, s, operands[:2], bias, out, planes, s.padding, strides, lanes)


def reaches(s: Sizes) -> tuple[list[list[tuple[Taps, int, int]]], list[int], tuple[int, int]]:
    """For the gradient of the input: per axis its remainders, where the gradient begins in a frame
    of zeros that all taps stay inside of, and the frame's size."""
    axes = [
        remainders(*axis)
        for axis in zip(
            (s.height, s.width), s.kernel, s.stride, s.padding, s.dilation, strict=True
        )
    ]  # fmt: skip
    starts, frame = [], []
    for axis, size in zip(axes, s.out, strict=True):
        reached = [t.start + i * t.shift for t, _, _ in axis for i in range(t.number)] or [0]
        most = max(count for _, count, _ in axis)
        starts.append(max(0, -min(reached)))
        frame.append(starts[-1] + max(size, max(reached) + most))
    return axes, starts, (frame[0], frame[1])


def lower_input(s: Sizes, operands: list[Array], out: Array, lanes: int) -> Lowering:
    """A pass for every remainder that the strides leave."""
    axes, starts, frame = reaches(s)
    passes = tuple(
        Pass(
            (down._replace(start=down.start + starts[0]),
             right._replace(start=right.start + starts[1])),
            (height, width), (top, left),
        )
        for down, height, top in axes[0] for right, width, left in axes[1]
    )  # fmt: skip
    product = _Product(
        Images(s.n, frame[0], frame[1], s.outputs), s.inputs, s.kernel, (1, 1), s.stride,
        (s.height, s.width), passes,
    )  # fmt: skip
    count = s.kernel[0] * s.kernel[1]
    strides = (1, s.inputs * count, count)
    planes = (s.outputs, *s.out)
    corner = (starts[0], starts[1])
    return _lower_product(product, s, operands, None, out, planes, corner, strides, lanes)


def remainders(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[tuple[Taps, int, int]]:
    """Per remainder of the stride: the taps that reach it, how many pixels it has, the first."""
    found = []
    step = stride // math.gcd(stride, dilation)
    for r in range(min(stride, size)):
        reach = [k for k in range(kernel) if (r + padding - k * dilation) % stride == 0]
        first = reach[0] if reach else 0
        taps = Taps(
            len(reach), first, step, (r + padding - first * dilation) // stride,
            -step * dilation // stride,
        )  # fmt: skip
        found.append((taps, -(-(size - r) // stride), r))
    return found


def _lower_product(
    product: _Product, s: Sizes, operands: list[Array], bias: Array | None, out: Array,
    planes: tuple[int, int, int], corner: tuple[int, int], strides: tuple[int, int, int],
    lanes: int,
) -> Lowering:  # fmt: skip
    x, w = operands
    sizes = (s.kernel[0] * s.kernel[1], product.images.channels, product.outputs)

    def prepare(c: Code) -> None:
        turn(c, x.base(c), planes, "%shared", product.images, corner, lanes)
        panels = c.at("i8", "%shared", product.images.bytes)
        _panels(c, w.base(c), sizes, strides, panels, lanes)

    def emit(c: Code) -> None:
        panels = c.at("i8", "%shared", product.images.bytes)
        start = None if bias is None else bias.base(c)
        product.emit(c, "%shared", panels, start, out.base(c), lanes)

    return Lowering(
        emit, scratch=product.scratch(lanes), pieces=product.pieces(lanes), flops=product.flops(),
        prepare=prepare, shared=product.images.bytes + 4 * sizes[0] * sizes[1] * sizes[2],
    )  # fmt: skip


def lower_weight(s: Sizes, operands: list[Array], out: Array, lanes: int) -> Lowering:
    g, x = operands
    width = _WIDE * lanes
    gradients = Images(s.n, *s.out, _TALL, -(-s.outputs // _TALL))
    images = s.frame()._replace(channels=width, panels=-(-s.inputs // width))
    weights = _Weights(s.outputs, s.inputs, gradients, images, s.kernel, s.stride, s.dilation)

    def prepare(c: Code) -> None:
        turn(c, g.base(c), (s.outputs, *s.out), "%shared", gradients, (0, 0), lanes)
        place = c.at("i8", "%shared", gradients.bytes)
        turn(c, x.base(c), (s.inputs, s.height, s.width), place, images, s.padding, lanes)

    def emit(c: Code) -> None:
        place = c.at("i8", "%shared", gradients.bytes)
        weights.emit(c, "%shared", place, out.base(c), lanes)

    return Lowering(
        emit, scratch=weights.scratch(lanes), pieces=weights.pieces(), flops=weights.flops(),
        prepare=prepare, shared=gradients.bytes + images.bytes,
    )  # fmt: skip
