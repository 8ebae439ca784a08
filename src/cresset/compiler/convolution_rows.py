"""The kernels of convolutions whose vectors run along rows (``convolution.py`` has the lowerings).

Forward: for a row of outputs and a block of output channels the sums stay in registers; every
input vector is loaded once per block and multiplied with one weight per channel. The gradient of
the weights keeps one register per weight of a kernel row, vector lanes along the row, and adds the
lanes up at the end. Short rows share a vector.
"""

from __future__ import annotations

from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.host import vector_registers

#: Bytes of weights that stay in the first cache while rows go by.
_NEAREST = 24 << 10
#: Bytes of images and gradients that stay in the second cache.
_NEAR = 256 << 10
#: Vectors before the last of a row that shares that one with other rows.
_FULL = 2
#: Measured: the share of the peak that is reached here, and where columns lie apart.
_REACHED, _APART = 0.87, 0.55


def cycles(flops: int, row: int, used: float, apart: bool, lanes: int) -> float:
    """An estimate for one run with rows of ``row`` pixels, of whose products a share of ``used``
    counts."""
    full = row / (row // lanes * lanes + _last(row, lanes))
    return flops / (4 * lanes) / (_REACHED * full * used * (_APART if apart else 1.0))


def sum_registers() -> int:
    """Vector registers that may hold sums; the others take inputs and weights."""
    return vector_registers() * 3 // 4


class Shape(NamedTuple):
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


class Tile(NamedTuple):
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


def tiles(s: Shape, lanes: int, rows: int, first: int) -> list[Tile]:
    """Vectors that cover ``rows`` rows of outputs (all of one kind), from row ``first`` on."""
    together, whole = rows_together(s, lanes), s.ow // lanes * lanes
    if rows % together:
        together = 1
    found = []
    for row in range(first, first + rows, together):
        found += [
            Tile(row + r, column, lanes, 1)
            for r in range(together) for column in range(0, whole, lanes)
        ]  # fmt: skip
        if whole < s.ow:
            found.append(Tile(row, whole, s.ow - whole, together))
    return found


def _last(row: int, lanes: int) -> int:
    """Lanes that the last pixels of a row take where they share a vector with other rows'."""
    rest = row % lanes
    if row // lanes > _FULL:  # much code, and little to be won
        return lanes if rest else 0
    return 1 << (rest - 1).bit_length() if rest else 0


def rows_together(s: Shape, lanes: int) -> int:
    """How many rows share the vector of their last pixels."""
    together = lanes // (_last(s.ow, lanes) or lanes)
    while together > s.oh:
        together //= 2
    return together


def relu(c: Code, kind: str, value: str, by: str = "") -> str:
    """``value``, but zero where it, or ``by`` if given, is below zero or zero; NaN stays.

    Without ``by`` it is one instruction, which lets a -0.0 through: a sum of products is one only
    where it is too small for a float.
    """
    zeros = "zeroinitializer" if kind.startswith("<") else "0.0"
    if by:
        below = c.let(f"fcmp ole {kind} {by}, {zeros}")
    else:
        below = c.let(f"fcmp ogt {kind} {zeros}, {value}")
    which = kind.replace("float", "i1")
    return c.let(f"select {which} {below}, {kind} {zeros}, {kind} {value}")


def forward(
    c: Code, s: Shape, x: str, w: str, bias: str | None, y: str, lanes: int, cut: bool = False
) -> None:
    """One image: y[o] = sum over channels and taps of x[c] * w[o, c], plus the bias; with ``cut``
    the relu of it."""
    room = sum_registers()
    together = rows_together(s, lanes)
    across = min(len(tiles(s, lanes, together, 0)), 3)
    taps = s.c * s.kernel[0] * s.kernel[1] * 4
    block = max(1, min(s.o, room // across, max(4, _NEAREST // taps)))
    while s.o % block:
        block -= 1
    # Registers that are left take more rows, which share the weights.
    most = max(1, min(room // (block * across), s.oh // together))
    even = [r for r in range(most, 0, -1) if s.oh % (r * together) == 0 and 2 * r > most]
    rows = together * (even[0] if even else most)
    if len(tiles(s, lanes, together, 0)) > across:
        rows = together
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
            _sums(c, s, tiles(s, lanes, rows, 0), source, weights, starts,
                  c.at("float", target, c.times(row, s.ow)), lanes, across, cut)  # fmt: skip
        for row in range(whole, s.oh):
            source = c.at("float", x, row * s.stride[0] * s.w)
            _sums(c, s, tiles(s, lanes, 1, 0), source, weights, starts,
                  c.at("float", target, row * s.ow), lanes, across, cut)  # fmt: skip


def _sums(
    c: Code, s: Shape, tiles: list[Tile], x: str, w: str, starts: list[str], y: str, lanes: int,
    across: int, cut: bool,
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
            value = c.get(vector, total)
            if cut:
                value = relu(c, vector, value)
            t.store(c, lanes, value, c.at("float", y, b * s.oh * s.ow), s.ow)


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


def weight_block(s: Shape) -> int:
    """Output channels whose sums are in registers at once."""
    width = s.kernel[1]
    easy = divisor(s.o, sum_registers() // width)
    # Every register taken, but for a row's inputs and one gradient: slower than fewer blocks are
    # fast, unless those would be much smaller.
    full = divisor(s.o, (vector_registers() - width - 1) // width)
    return full if full >= 2 * easy else easy


def divisor(n: int, most: int) -> int:
    """The largest divisor of ``n`` that is at most ``most``, or 1."""
    return max(d for d in range(1, max(1, min(n, most)) + 1) if n % d == 0)


def weight_share(s: Shape) -> float:
    """The share of the peak that loads leave to the gradient of the weights: nearly all straddle
    two cache lines, and a kernel row of one tap needs as many as it has products."""
    block, width = weight_block(s), s.kernel[1]
    return min(1.0, block * width / (2 * (block + width)))


def weight_sums(c: Code, s: Shape, g: str, x: str, target: str, lanes: int) -> None:
    """target[o, c, ky, kx] = sum over images and places of g[n, o] * x[n, c] shifted by the tap."""
    (kh, kw), (dh, _) = s.kernel, s.dilation
    block = weight_block(s)
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
                    c, s, tiles(s, lanes, rows, 0),
                    c.at("float", plane, c.times(row, s.stride[0] * s.w)),
                    c.at("float", gradients, c.times(row, s.ow)), sums, lanes,
                )  # fmt: skip
            for row in range(whole, s.oh):
                _products(
                    c, s, tiles(s, lanes, 1, 0), c.at("float", plane, row * s.stride[0] * s.w),
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
    c: Code, s: Shape, tiles: list[Tile], x: str, g: str, sums: list[list[str]], lanes: int
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
