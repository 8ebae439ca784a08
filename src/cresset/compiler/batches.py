"""Convolution of many images with few channels: vectors run along the batch.

As many images as a vector has lanes are turned, so that the same pixel of all of them is one
vector. Then every tap of the kernel is a multiplication by one number for the whole vector, and
neither short rows nor strides nor borders leave lanes empty: taps that fall outside of the image
are left out.

- Forward, and the gradient of the input: a block of neighbouring pixels and outputs is in
  registers while taps and channels go by. The sums are turned back when a block's planes are done.
  A stride makes several *passes* of the gradient of the input, as in ``channels.py``.
- Gradient of the weights: the sums of a block of outputs and the taps of a kernel row are in
  registers while pixels go by; at the end their lanes are added up.

Turning costs some moves per value, so values that few products use are left to other families: the
estimate of cycles says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cresset.compiler.channels import Pass, Sizes, Taps, remainders
from cresset.compiler.code import Code
from cresset.compiler.convolution_rows import relu, sum_registers
from cresset.compiler.step import Array, Lowering

#: Vectors that a group of turned images may take.
_MOST = 16 << 10
#: Kernel rows are unrolled, so very long ones would make very long code.
_LONGEST = 12
#: Bytes of turned images that leave room in the second cache.
_NEAR = 192 << 10
#: Measured: the share of the peak that sums in registers reach, and the cycles that turning takes
#: per value, near and far.
_REACHED = 0.95
_TURNED_NEAR, _TURNED_FAR = 0.17, 0.4


def cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run, forward or of a gradient; infinite where the batch does not fill
    vectors."""
    turned = s.inputs * s.height * s.width + s.outputs * s.out[0] * s.out[1]
    if s.n % lanes or s.n < 2 * lanes or turned > _MOST or s.kernel[1] > _LONGEST:
        return math.inf
    each = _TURNED_NEAR if 4 * turned * lanes <= _NEAR else _TURNED_FAR
    return s.products() / (2 * lanes) / _REACHED + s.n * each * turned * 16 / lanes


# -- turning ---------------------------------------------------------------------------------------


def turn(
    c: Code, rows: str, sizes: tuple[int, int, int], turned: str, lanes: int, back: bool = False
) -> None:
    """Rows of ``size`` floats, each ``apart`` floats from the last, as (size, lanes); or back.

    ``sizes`` are the number of rows, at most ``lanes``, ``apart`` and ``size``; lanes without a row
    are zero.
    """
    number, apart, size = sizes
    vector = f"<{lanes} x float>"
    whole = size // lanes * lanes
    for start, used in ((0, lanes), (whole, size - whole)):
        if not used or (used == lanes and not whole):
            continue
        with c.loop(whole if used == lanes else 1, lanes) as i:
            at = c.plus(i, start)
            near = [c.at("float", rows, c.plus(at, n * apart)) for n in range(number)]
            far = [
                c.at("float", turned, c.plus(c.times(at, lanes), n * lanes)) for n in range(used)
            ]
            if back:
                values = [c.load(vector, place, align=4) for place in far]
            else:
                values = [c.masked_load("float", lanes, used, place) for place in near]
            values += ["zeroinitializer"] * (lanes - len(values))
            columns = c.transpose("float", lanes, values)
            if back:
                for place, value in zip(near, columns, strict=False):
                    c.masked_store("float", lanes, used, value, place)
            else:
                for place, value in zip(far, columns, strict=False):
                    c.store(vector, value, place, align=4)


# -- forward, and the gradient of the input --------------------------------------------------------


class _Product(NamedTuple):
    """``y[a] = sum over b and taps of x[b] * w[a, b]`` for planes of turned images."""

    inputs: int
    plane: tuple[int, int]
    outputs: int
    result: tuple[int, int]
    #: Elements from an output's weights to the next one's, and from an input's to the next one's.
    weights: tuple[int, int]
    #: Taps of a kernel row.
    row: int
    #: Pixels of the planes per pixel of a pass, and pixels of the result per pixel of a pass.
    stride: tuple[int, int]
    step: tuple[int, int]
    passes: tuple[Pass, ...]
    #: The relu of it is written.
    cut: bool = False

    def block(self) -> int:
        """Outputs whose sums are in registers at once."""
        room = sum_registers()

        def cost(block: int) -> float:
            total = 0.0
            for p in self.passes:
                for tile in tiles(p, self.stride[1], self.plane[1], room // block):
                    for used in [block] * (self.outputs // block) + [self.outputs % block]:
                        if used:
                            products = tile.columns * used
                            total += max(products, tile.columns + used, 8) * p.size[0]
            return total

        return min(range(1, min(self.outputs, room // 2) + 1), key=cost)

    def emit(
        self, c: Code, x: str, w: str, bias: str | None, sums: str, out: str, count: int, lanes: int
    ) -> None:
        """Of ``lanes`` images turned in ``x``; ``out`` is the first image's place, ``count`` the
        number of floats from one image of the result to the next."""
        block = self.block()
        size = self.result[0] * self.result[1]
        for number, last in c.blocks(self.outputs // block, bool(self.outputs % block)):
            used = self.outputs % block if last else block
            first = c.times(number, block)
            starts = ["zeroinitializer"] * used
            if bias is not None:
                starts = [
                    c.splat("float", lanes, c.load("float", bias, c.plus(first, a)))
                    for a in range(used)
                ]
            weights = c.at("float", w, c.times(first, self.weights[0]))
            for p in self.passes:
                if p.size[0] * p.size[1]:
                    self._pass(c, p, x, weights, starts, sums, lanes)
            target = c.at("float", out, c.times(first, size))
            turn(c, target, (lanes, count, used * size), sums, lanes, back=True)

    def _pass(
        self, c: Code, p: Pass, x: str, w: str, starts: list[str], sums: str, lanes: int
    ) -> None:
        vector = f"<{lanes} x float>"
        parts = tiles(p, self.stride[1], self.plane[1], sum_registers() // len(starts))
        height, width = self.plane
        with c.loop(p.size[0]) as y:
            top = c.plus(c.times(y, self.stride[0]), p.taps[0].start)
            line = c.plus(c.times(y, self.step[0]), p.at[0])
            for tile, column in runs(c, parts):
                shape = [(a, i) for a in range(len(starts)) for i in range(tile.columns)]
                totals = {(a, i): c.slot(vector, starts[a]) for a, i in shape}
                left = c.times(column, self.stride[1])
                with taps_inside(c, p.taps[0], top, height, bool(tile.used)) as (tap, row):
                    with c.loop(self.inputs) as b:
                        pixel = c.plus(c.times(c.plus(c.times(b, height), row), width), left)
                        source = c.at("float", x, c.times(pixel, lanes))
                        kernel = c.plus(c.times(b, self.weights[1]), c.times(tap, self.row))
                        self._row(
                            c, tile, p.taps[1], source, c.at("float", w, kernel), totals, lanes
                        )
                first = c.plus(
                    c.times(line, self.result[1]), c.times(column, self.step[1]), p.at[1]
                )
                for a, i in shape:
                    place = c.plus(first, i * self.step[1] + a * self.result[0] * self.result[1])
                    value = c.get(vector, totals[a, i])
                    if self.cut:
                        value = relu(c, vector, value)
                    c.store(vector, value, c.at("float", sums, c.times(place, lanes)), align=4)

    def _row(
        self, c: Code, tile: Tile, taps: Taps, x: str, w: str, totals: dict, lanes: int
    ) -> None:
        """The products of one input with the taps of one kernel row."""
        vector = f"<{lanes} x float>"
        for j in range(taps.number):
            inside = [i for i in range(tile.columns) if (i, j) in tile.used]
            values = {
                i: c.load(vector, x, (i * self.stride[1] + taps.start + j * taps.shift) * lanes,
                          align=4)
                for i in inside
            }  # fmt: skip
            for a in range(len(totals) // tile.columns):
                if inside:
                    place = a * self.weights[0] + taps.first + j * taps.step
                    factor = c.splat("float", lanes, c.load("float", w, place))
                for i in inside:
                    total = c.get(vector, totals[a, i])
                    c.set(vector, totals[a, i], c.fma(vector, factor, values[i], total))


class Tile(NamedTuple):
    """Neighbouring pixels of a row, and which (pixel, tap) pairs fall inside of the image.

    In ``convolution_outputs.py`` there is the column with them that a tap reads.
    """

    first: int
    columns: int
    used: frozenset[tuple[int, ...]]


def tiles(p: Pass, stride: int, width: int, most: int) -> list[Tile]:
    """A pass's row in tiles of at most so many pixels, even ones where that costs no more tiles."""
    taps, size = p.taps[1], p.size[1]
    count = -(-size // max(1, most))
    columns = -(-size // count)
    found = []
    for first in range(0, size, columns):
        used = min(columns, size - first)
        inside = frozenset(
            (i, j) for i in range(used) for j in range(taps.number)
            if 0 <= (first + i) * stride + taps.start + j * taps.shift < width
        )  # fmt: skip
        found.append(Tile(first, used, inside))
    return found


def runs(c: Code, tiles: list[Tile]) -> Iterator[tuple[Tile, str]]:
    """Each tile with its first column; neighbours that are alike are one loop."""
    at = 0
    while at < len(tiles):
        tile, end = tiles[at], at + 1
        while end < len(tiles) and tiles[end][1:] == tile[1:]:
            end += 1
        with c.loop(end - at) as i:
            yield tile, c.plus(c.times(i, tile.columns), tile.first)
        at = end


@contextmanager
def taps_inside(c: Code, taps: Taps, top: str, size: int, some: bool) -> Iterator[tuple[str, str]]:
    """Run the body for each tap of an axis that falls inside; yields its number and its pixel."""
    if not (taps.number and some):
        with c.when("false"):
            yield "0", "0"
        return
    with c.loop(taps.number) as i:
        row = c.plus(top, c.times(i, taps.shift))
        with c.when(c.let(f"icmp ult i64 {row}, {size}")):
            yield c.plus(c.times(i, taps.step), taps.first), row


def _lower(
    s: Sizes, product: _Product, x: Array, w: Array, bias: Array | None, out: Array, lanes: int
) -> Lowering:
    size = product.inputs * product.plane[0] * product.plane[1]
    count = product.outputs * product.result[0] * product.result[1]
    sums = product.block() * product.result[0] * product.result[1]

    def emit(c: Code) -> None:
        with c.share(s.n, lanes) as n, c.uncut():
            image = c.at("float", x.base(c), c.times(n, size))
            turn(c, image, (lanes, size, size), "%scratch", lanes)
            product.emit(
                c, "%scratch", w.base(c), None if bias is None else bias.base(c),
                c.at("float", "%scratch", size * lanes),
                c.at("float", out.base(c), c.times(n, count)), count, lanes,
            )  # fmt: skip

    return Lowering(emit, scratch=4 * lanes * (size + sums), pieces=s.n // lanes, flops=s.flops())


def lower_forward(
    s: Sizes, operands: list[Array], out: Array, lanes: int, cut: bool = False
) -> Lowering:
    bias = operands[2] if len(operands) == 3 else None
    return _lower(s, _forward(s)._replace(cut=cut), operands[0], operands[1], bias, out, lanes)


def _forward(s: Sizes) -> _Product:
    taps = tuple(
        Taps(k, 0, 1, -p, d) for k, p, d in zip(s.kernel, s.padding, s.dilation, strict=True)
    )
    count = s.kernel[0] * s.kernel[1]
    return _Product(
        s.inputs, (s.height, s.width), s.outputs, s.out, (s.inputs * count, count), s.kernel[1],
        s.stride, (1, 1), (Pass(taps, s.out, (0, 0)),),  # type: ignore[arg-type]
    )  # fmt: skip


def lower_input(s: Sizes, operands: list[Array], out: Array, lanes: int) -> Lowering:
    return _lower(s, _input(s), operands[0], operands[1], None, out, lanes)


def _input(s: Sizes) -> _Product:
    axes = [
        remainders(*axis)
        for axis in zip(
            (s.height, s.width), s.kernel, s.stride, s.padding, s.dilation, strict=True
        )
    ]  # fmt: skip
    passes = tuple(
        Pass((down, right), (height, width), (top, left))
        for down, height, top in axes[0] for right, width, left in axes[1]
    )  # fmt: skip
    count = s.kernel[0] * s.kernel[1]
    return _Product(
        s.outputs, s.out, s.inputs, (s.height, s.width), (count, s.inputs * count), s.kernel[1],
        (1, 1), s.stride, passes,
    )  # fmt: skip


# -- the gradient of the weights -------------------------------------------------------------------


class _Weights(NamedTuple):
    """``w[o, c] += g[o] * x[c]`` shifted by each tap, over the pixels of turned images."""

    s: Sizes

    def block(self) -> tuple[int, int]:
        """Outputs and inputs whose taps of a kernel row are in registers at once."""
        s, room = self.s, sum_registers()

        def cost(block: tuple[int, int]) -> float:
            o, i = block
            products = o * i * s.kernel[1]
            return -(-s.outputs // o) * -(-s.inputs // i) * max(products, o + i * s.kernel[1], 8)

        sizes = [
            (o, i) for o in range(1, s.outputs + 1) for i in range(1, s.inputs + 1)
            if o * i * s.kernel[1] <= room and s.outputs % o == 0 and s.inputs % i == 0
        ]  # fmt: skip
        return min(sizes or [(1, 1)], key=cost)

    def emit(self, c: Code, g: str, x: str, out: str, lanes: int) -> None:
        """The sums over ``lanes`` turned images."""
        s = self.s
        o_block, c_block = self.block()
        vector = f"<{lanes} x float>"
        with c.loop(s.outputs, o_block) as o, c.loop(s.inputs, c_block) as channel:
            near = c.at("float", g, c.times(o, s.out[0] * s.out[1] * lanes))
            far = c.at("float", x, c.times(channel, s.height * s.width * lanes))
            with c.loop(s.kernel[0]) as ky:
                totals = {
                    (a, b, j): c.slot(vector, "zeroinitializer")
                    for a in range(o_block) for b in range(c_block) for j in range(s.kernel[1])
                }  # fmt: skip
                self._pixels(c, near, far, ky, totals, lanes)
                found = c.sum_lanes("float", lanes, [c.get(vector, t) for t in totals.values()])
                for (a, b, j), value in zip(totals, found, strict=True):
                    line = c.plus(c.times(c.plus(o, a), s.inputs), channel, b)
                    tap = c.plus(c.times(ky, s.kernel[1]), j)
                    place = c.plus(c.times(line, s.kernel[0] * s.kernel[1]), tap)
                    c.store("float", value, out, place)

    def _pixels(self, c: Code, g: str, x: str, ky: str, totals: dict, lanes: int) -> None:
        """Add up the products of a block over the pixels of some images."""
        s = self.s
        vector = f"<{lanes} x float>"
        taps = Taps(s.kernel[1], 0, 1, -s.padding[1], s.dilation[1])
        down = Taps(s.kernel[0], 0, 1, -s.padding[0], s.dilation[0])
        parts = tiles(Pass((down, taps), s.out, (0, 0)), s.stride[1], s.width, 8)
        outputs = sorted({a for a, _, _ in totals})
        inputs = sorted({b for _, b, _ in totals})
        shift = c.plus(c.times(ky, s.dilation[0]), -s.padding[0])
        with c.loop(s.out[0]) as y:
            row = c.plus(c.times(y, s.stride[0]), shift)
            with c.when(c.let(f"icmp ult i64 {row}, {s.height}")):
                for tile, column in runs(c, parts):
                    pixel = c.plus(c.times(y, s.out[1]), column)
                    near = c.at("float", g, c.times(pixel, lanes))
                    pixel = c.plus(c.times(row, s.width), c.times(column, s.stride[1]))
                    far = c.at("float", x, c.times(pixel, lanes))
                    for i in range(tile.columns):
                        given = [
                            c.load(vector, near, (a * s.out[0] * s.out[1] + i) * lanes, align=4)
                            for a in outputs
                        ]
                        for b in inputs:
                            for j in range(taps.number):
                                if (i, j) not in tile.used:
                                    continue
                                at = i * s.stride[1] + taps.start + j * taps.shift
                                at += b * s.height * s.width
                                value = c.load(vector, far, at * lanes, align=4)
                                for a in outputs:
                                    total = c.get(vector, totals[a, b, j])
                                    total = c.fma(vector, given[a], value, total)
                                    c.set(vector, totals[a, b, j], total)


def lower_weight(s: Sizes, operands: list[Array], out: Array, lanes: int) -> Lowering:
    """Sums for each group of images first, then the sums of those."""
    g, x = operands
    weights = _Weights(s)
    near, far = s.outputs * s.out[0] * s.out[1], s.inputs * s.height * s.width
    count, groups = out.spec.numel, s.n // lanes

    def sums(c: Code) -> None:
        with c.share(groups) as group, c.uncut():
            n = c.times(group, lanes)
            second = c.at("float", "%scratch", near * lanes)
            for array, size, target in ((g, near, "%scratch"), (x, far, second)):
                image = c.at("float", array.base(c), c.times(n, size))
                turn(c, image, (lanes, size, size), target, lanes)
            place = c.at("float", "%shared", c.times(group, count))
            weights.emit(c, "%scratch", second, place, lanes)

    def emit(c: Code) -> None:
        target, vector = out.base(c), f"<{lanes} x float>"
        for block, last in c.blocks(count // lanes, bool(count % lanes)):
            used = count % lanes if last else lanes
            first = c.times(block, lanes)
            total = c.slot(vector, "zeroinitializer")
            with c.loop(groups) as group:
                place = c.at("float", "%shared", c.plus(first, c.times(group, count)))
                value = c.masked_load("float", lanes, used, place)
                c.set(vector, total, c.let(f"fadd {vector} {c.get(vector, total)}, {value}"))
            place = c.at("float", target, first)
            c.masked_store("float", lanes, used, c.get(vector, total), place)

    return Lowering(
        emit, scratch=4 * lanes * (near + far), pieces=groups, flops=s.flops(),
        prepare=sums, shared=4 * groups * count,
    )  # fmt: skip
