"""Convolution with vectors along the output channels, where these fill them: 16, say.

A pixel's output channels are one vector, so rows of any length, strides and borders leave no lanes
empty, and nothing is padded or unfolded: of the input, single numbers are read where they lie and
spread over a vector; taps that fall outside of the image are left out.

- Forward: the sums of neighbouring pixels are in registers while taps and channels go by, and are
  turned into rows of planes before they are written.
- Gradient of the input: both factors have the output channels in their lanes, and the lanes are
  added up at the end. No products are made with the zeros around the gradient or between its
  pixels.

The gradient of the weights is in ``convolution_weights.py``. Turning costs shuffles per pixel,
adding up lanes some per pixel of the input: what estimates the cycles counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cresset.compiler.batches import Tile, runs, taps_inside, tiles, turn
from cresset.compiler.channels import Pass, Sizes, Taps, remainders
from cresset.compiler.code import Code
from cresset.compiler.convolution_rows import divisor, relu, sum_registers, zero
from cresset.compiler.step import Array, Lowering

#: Bytes of weights or gradients that stay in the first cache.
_NEAREST = 16 << 10
#: Bytes of weights that stay in the second cache.
_FAR = 256 << 10
#: Measured: the share of the peak that the products reach, and cycles: per shuffle of a square that
#: is turned from memory to memory, and from registers; to add up the lanes, per lane.
_REACHED = 0.95
TURNED_IN, TURNED_OUT, _ADDED = 0.62, 0.45, 0.75
#: Bytes a cycle of weights that do not fit into the first cache, and not into the second.
_SECOND, _THIRD = 48, 6


class Blocks(NamedTuple):
    """Vectors of output channels that are alike: all full ones, or the last with some of them."""

    first: int
    number: int
    used: int


def vectors(outputs: int, lanes: int) -> list[Blocks]:
    whole, rest = divmod(outputs, lanes)
    found = [Blocks(0, whole, lanes), Blocks(whole, 1, rest)]
    return [b for b in found if b.number and b.used]


def vector_count(s: Sizes, lanes: int) -> int:
    """Vectors of output channels."""
    return -(-s.outputs // lanes)


def panel_size(s: Sizes) -> int:
    """Vectors that the weights of one vector of output channels are."""
    return s.inputs * s.kernel[0] * s.kernel[1]


def _panels(c: Code, s: Sizes, w: str, target: str, lanes: int) -> None:
    """The weights as (vector of outputs, input, tap, lanes)."""
    size = panel_size(s)
    for blocks in vectors(s.outputs, lanes):
        with c.share(blocks.number) as i, c.uncut():
            block = c.plus(i, blocks.first)
            source = c.at("float", w, c.times(block, lanes * size))
            place = c.at("float", target, c.times(block, size * lanes))
            turn(c, source, (blocks.used, size, size), place, lanes)


# -- forward ---------------------------------------------------------------------------------------


class _Forward(NamedTuple):
    s: Sizes
    lanes: int
    #: The relu of it is written.
    cut: bool = False

    def rows(self) -> int:
        """Whole rows of outputs whose sums are in registers together."""
        height, width = self.s.out
        most = max(1, min(height, sum_registers() * 2 // 3 // width))
        return min(range(1, most + 1), key=lambda r: (-(-height // r) * max(r * width, 8), -r))

    def tiles(self) -> list[Tile]:
        s = self.s
        right = Taps(s.kernel[1], 0, 1, -s.padding[1], s.dilation[1])
        most = max(8, sum_registers() * 2 // 3)
        return tiles(Pass((right, right), s.out, (0, 0)), s.stride[1], s.width, most)

    def emit(self, c: Code, x: str, panels: str, zeros: str, bias: str | None, out: str) -> None:
        s, lanes, rows = self.s, self.lanes, self.rows()
        (height, width), plane = s.out, s.out[0] * s.out[1]
        down = -(-height // rows)
        for blocks in vectors(s.outputs, lanes):
            with c.share(s.n * blocks.number * down) as unit, c.uncut():
                top = c.times(c.let(f"urem i64 {unit}, {down}"), rows)
                if height % rows:  # the last rows are computed with some that are done already
                    over = c.let(f"icmp ugt i64 {top}, {height - rows}")
                    top = c.let(f"select i1 {over}, i64 {height - rows}, i64 {top}")
                pair = c.let(f"udiv i64 {unit}, {down}")
                # Image after image, so that a block's weights stay in the cache.
                n = c.let(f"urem i64 {pair}, {s.n}")
                block = c.plus(c.let(f"udiv i64 {pair}, {s.n}"), blocks.first)
                first = c.times(block, lanes)
                start = "zeroinitializer"
                if bias is not None:
                    place = c.at("float", bias, first)
                    start = c.masked_load("float", lanes, blocks.used, place)
                image = c.at("float", x, c.times(n, s.inputs * s.height * s.width))
                panel = c.at("float", panels, c.times(first, panel_size(s)))
                target = c.plus(c.times(c.plus(c.times(n, s.outputs), first), plane),
                                c.times(top, width))  # fmt: skip
                for tile, column in runs(c, self.tiles()):
                    totals = self._tile(c, tile, rows, image, panel, zeros, start, top, column)
                    place = c.at("float", out, c.plus(target, column))
                    give(c, totals, blocks.used, plane, place, lanes)

    def _tile(
        self, c: Code, tile: Tile, rows: int, image: str, panel: str, zeros: str, start: str,
        top: str, column: str,
    ) -> list[str]:  # fmt: skip
        """The sums of a tile's pixels in ``rows`` rows."""
        s, lanes = self.s, self.lanes
        vector = f"<{lanes} x float>"
        totals = {
            (r, i): c.slot(vector, start) for r in range(rows) for i in range(tile.columns)
        }  # fmt: skip
        left = c.times(column, s.stride[1])
        with c.loop(s.kernel[0]) as ky:
            lines, steps = [], []
            for r in range(rows):
                row = c.plus(c.times(c.plus(top, r), s.stride[0]), c.times(ky, s.dilation[0]),
                             -s.padding[0])  # fmt: skip
                line, step = c.at("float", image, c.times(row, s.width)), str(s.height * s.width)
                if s.padding[0]:
                    valid = c.let(f"icmp ult i64 {row}, {s.height}")
                    line = c.let(f"select i1 {valid}, ptr {line}, ptr {zeros}")
                    step = c.let(f"select i1 {valid}, i64 {step}, i64 0")
                lines.append(c.at("float", line, left))
                steps.append(step)
            with c.loop(s.inputs) as b:
                place = c.plus(c.times(b, s.kernel[0] * s.kernel[1]), c.times(ky, s.kernel[1]))
                weights = [
                    c.load(vector, panel, c.times(c.plus(place, kx), lanes), align=4)
                    for kx in range(s.kernel[1])
                ]
                for r, (line, step) in enumerate(zip(lines, steps, strict=True)):
                    source = c.at("float", line, c.let(f"mul i64 {b}, {step}"))
                    for at, users in columns_read(s, tile.used).items():
                        value = c.splat("float", lanes, c.load("float", source, at))
                        for i, kx in users:
                            total = c.get(vector, totals[r, i])
                            c.set(vector, totals[r, i], c.fma(vector, value, weights[kx], total))
        found = [c.get(vector, slot) for slot in totals.values()]
        return [relu(c, vector, value) for value in found] if self.cut else found


def give(
    c: Code, totals: list[str], used: int, plane: int, out: str, lanes: int, by: str = ""
) -> None:
    """Write the sums of neighbouring pixels into ``used`` planes; with ``by`` only where what lies
    there is above zero."""
    for first in range(0, len(totals), lanes):
        some = totals[first : first + lanes]
        rows = some + ["zeroinitializer"] * (lanes - len(some))
        for o, row in enumerate(c.transpose("float", lanes, rows)[:used]):
            put(c, lanes, len(some), row, out, o * plane + first, by)


def put(c: Code, lanes: int, used: int, value: str, out: str, at: int, by: str) -> None:
    """Write ``used`` lanes at ``out + at``; with ``by`` only where what lies there is above 0."""
    if by:
        other = c.masked_load("float", lanes, used, c.at("float", by, at))
        value = relu(c, f"<{lanes} x float>", value, other)
    c.masked_store("float", lanes, used, value, c.at("float", out, at))


def columns_read(s: Sizes, used: frozenset[tuple[int, ...]]) -> dict[int, list[tuple[int, int]]]:
    """Which (pixel, tap) pairs read a column of the image, counted from the first pixel's."""
    found: dict[int, list[tuple[int, int]]] = {}
    for i, kx in sorted(used):
        at = i * s.stride[1] + kx * s.dilation[1] - s.padding[1]
        found.setdefault(at, []).append((i, kx))
    return dict(sorted(found.items()))


def lower_forward(
    s: Sizes, operands: list[Array], out: Array, lanes: int, cut: bool = False
) -> Lowering:
    x, w = operands[:2]
    bias = operands[2] if len(operands) == 3 else None
    kernel = _Forward(s, lanes, cut)
    size = vector_count(s, lanes) * panel_size(s) * lanes

    def prepare(c: Code) -> None:
        _panels(c, s, w.base(c), "%shared", lanes)
        if s.padding[0]:
            with c.share(1):
                zero(c, c.at("float", "%shared", size), s.width)

    def emit(c: Code) -> None:
        kernel.emit(
            c, x.base(c), "%shared", c.at("float", "%shared", size),
            None if bias is None else bias.base(c), out.base(c),
        )  # fmt: skip

    return Lowering(
        emit, pieces=s.n * vector_count(s, lanes), flops=s.flops(), prepare=prepare,
        shared=4 * (size + s.width),
    )  # fmt: skip


def forward_cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run."""
    kernel = _Forward(s, lanes)
    rows, total = kernel.rows(), 0.0
    for tile in kernel.tiles():
        sums = rows * tile.columns
        loads = s.kernel[1] + rows * len(columns_read(s, tile.used))
        once = products(rows * len(tile.used), sums, loads) * s.inputs * s.kernel[0]
        total += once + -(-sums // lanes) * TURNED_OUT * square(lanes)
    passes = s.n * vector_count(s, lanes) * -(-s.out[0] // rows)
    return passes * (total + streamed(panel_size(s) * lanes)) + _panel_cycles(s, lanes)


def streamed(weights: int) -> float:
    """Cycles to read as many floats of weights once more, unless they stay in the first cache."""
    return 4 * weights / _SECOND if 4 * weights > 2 * _NEAREST else 0.0


def products(products: int, sums: int, loads: int) -> float:
    """Cycles of products that are added to so many sums."""
    return max(products, loads, 8 * products / max(1, sums)) / 2 / _REACHED


def square(lanes: int) -> int:
    """Shuffles that turning a square of vectors takes."""
    return lanes * (lanes.bit_length() - 1)


def _panel_cycles(s: Sizes, lanes: int) -> float:
    return vector_count(s, lanes) * -(-panel_size(s) // lanes) * TURNED_IN * square(lanes)


# -- the gradient of the input ---------------------------------------------------------------------


def reaches(s: Sizes, most: int) -> list[Tile]:
    """Tiles of at most so many pixels of a row of the input: which of them which taps reach, and
    from which column of the gradient (counted from the first pixel's over the stride)."""
    (stride, padding, dilation) = s.stride[1], s.padding[1], s.dilation[1]
    count = -(-s.width // max(1, most // stride * stride))
    columns = -(-s.width // count)
    columns = -(-columns // stride) * stride if count > 1 else columns
    found = []
    for first in range(0, s.width, columns):
        size = min(columns, s.width - first)
        used = set()
        for i in range(size):
            for kx in range(s.kernel[1]):
                at, rest = divmod(i + padding - kx * dilation, stride)
                if not rest and 0 <= first // stride + at < s.out[1]:
                    used.add((i, kx, at))
        found.append(Tile(first, size, frozenset(used)))
    return found


class _Input(NamedTuple):
    s: Sizes
    lanes: int

    def reaches(self) -> list[Tile]:
        return reaches(self.s, min(sum_registers() * 2 // 3, self.lanes))

    def together(self) -> int:
        """Channels whose sums are in registers together."""
        width = max(r.columns for r in self.reaches())
        most = max(1, min(sum_registers(), self.lanes) // width)
        return divisor(self.s.inputs, most)

    def emit(self, c: Code, g: str, panels: str, out: str, by: str) -> None:
        """One image: ``g`` is turned; the gradient is cut where ``by`` is not above zero."""
        s, some = self.s, self.together()
        for taps, count, first in remainders(
            s.height, s.kernel[0], s.stride[0], s.padding[0], s.dilation[0]
        ):
            with self._loops(c, count, some) as (q, channel):
                y = c.plus(c.times(q, s.stride[0]), first)
                line = c.times(c.plus(c.times(channel, s.height), y), s.width)
                for tile, column in runs(c, self.reaches()):
                    place = c.at("float", out, c.plus(line, column))
                    if not (tile.used and taps.number):
                        for b in range(some):
                            zero(c, c.at("float", place, b * s.height * s.width), tile.columns)
                        continue
                    totals = self._tile(c, tile, taps, q, column, g, panels, channel, some)
                    other = by and c.at("float", by, c.plus(line, column))
                    self._give(c, tile, totals, place, other)

    @contextmanager
    def _loops(self, c: Code, rows: int, some: int) -> Iterator[tuple[str, str]]:
        """Over rows and channels: the outer loop is the one that has the inner one read less."""
        s = self.s
        gradients = 4 * vector_count(s, self.lanes) * self.lanes * s.out[0] * s.out[1]
        weights = 4 * vector_count(s, self.lanes) * self.lanes * panel_size(s)
        anew = (gradients > _NEAREST) * gradients * s.inputs // some
        if anew <= (weights > _NEAREST) * weights * rows:
            with c.loop(s.inputs, some) as channel, c.loop(rows) as q:
                yield q, channel
        else:
            with c.loop(rows) as q, c.loop(s.inputs, some) as channel:
                yield q, channel

    def _tile(
        self, c: Code, tile: Tile, taps: Taps, q: str, column: str, g: str, panels: str,
        channel: str, some: int,
    ) -> list[str]:  # fmt: skip
        s, lanes = self.s, self.lanes
        vector = f"<{lanes} x float>"
        totals = {
            (b, i): c.slot(vector, "zeroinitializer")
            for b in range(some) for i in range(tile.columns)
        }  # fmt: skip
        left = column if s.stride[1] == 1 else c.let(f"udiv i64 {column}, {s.stride[1]}")
        size, count = s.kernel[0] * s.kernel[1], vector_count(s, lanes)
        top = c.plus(q, taps.start)
        with taps_inside(c, taps, top, s.out[0], bool(tile.used)) as (ky, row):
            with c.loop(count) as block:
                pixel = c.plus(c.times(c.plus(c.times(block, s.out[0]), row), s.out[1]), left)
                near = c.at("float", g, c.times(pixel, lanes))
                place = c.times(c.plus(c.times(block, s.inputs), channel), size)
                far = c.at("float", panels,
                           c.times(c.plus(place, c.times(ky, s.kernel[1])), lanes))  # fmt: skip
                weights = {
                    (b, kx): c.load(vector, far, (b * size + kx) * lanes, align=4)
                    for b in range(some) for kx in sorted({kx for _, kx, _ in tile.used})
                }  # fmt: skip
                for at in sorted({at for _, _, at in tile.used}):
                    value = c.load(vector, near, at * lanes, align=4)
                    for i, kx, own in sorted(tile.used):
                        if own != at:
                            continue
                        for b in range(some):
                            total = c.get(vector, totals[b, i])
                            total = c.fma(vector, value, weights[b, kx], total)
                            c.set(vector, totals[b, i], total)
        return [c.get(vector, slot) for slot in totals.values()]

    def _give(self, c: Code, tile: Tile, totals: list[str], out: str, by: str) -> None:
        """Add up the lanes and write the pixels: some planes' share a vector."""
        s, lanes = self.s, self.lanes
        (found,) = c.sum_vectors("float", lanes, totals)
        for b in range(len(totals) // tile.columns):
            part, wide = found, lanes
            if b:
                wide = tile.columns
                part = c.piece("float", found, lanes, b * tile.columns, wide)
            put(c, wide, tile.columns, part, out, b * s.height * s.width, by)


def lower_input(
    s: Sizes, operands: list[Array], out: Array, lanes: int, by: Array | None = None
) -> Lowering:
    g, w = operands
    kernel, plane = _Input(s, lanes), s.out[0] * s.out[1]

    def prepare(c: Code) -> None:
        _panels(c, s, w.base(c), "%shared", lanes)

    def emit(c: Code) -> None:
        with c.share(s.n) as n, c.uncut():
            for blocks in vectors(s.outputs, lanes):
                with c.loop(blocks.number) as i:
                    first = c.times(c.plus(i, blocks.first), lanes)
                    place = c.times(c.plus(c.times(n, s.outputs), first), plane)
                    source = c.at("float", g.base(c), place)
                    target = c.at("float", "%scratch", c.times(first, plane))
                    turn(c, source, (blocks.used, plane, plane), target, lanes)
            image = c.times(n, s.inputs * s.height * s.width)
            other = "" if by is None else c.at("float", by.base(c), image)
            kernel.emit(c, "%scratch", "%shared", c.at("float", out.base(c), image), other)

    count = vector_count(s, lanes)
    return Lowering(
        emit, scratch=4 * count * plane * lanes, pieces=s.n, flops=s.flops(), prepare=prepare,
        shared=4 * count * panel_size(s) * lanes,
    )  # fmt: skip


def rows_reached(taps: Taps, rows: int, size: int) -> int:
    """How many (row, tap) pairs meet one of ``size`` rows of the gradient."""
    return sum(
        0 <= q + taps.start + j * taps.shift < size for q in range(rows) for j in range(taps.number)
    )


def input_cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run."""
    kernel, count = _Input(s, lanes), vector_count(s, lanes)
    some, total = kernel.together(), 0.0
    for taps, rows, _ in remainders(
        s.height, s.kernel[0], s.stride[0], s.padding[0], s.dilation[0]
    ):
        reached = rows_reached(taps, rows, s.out[0])
        for tile in kernel.reaches():
            loads = some * len({kx for _, kx, _ in tile.used}) + len({q for *_, q in tile.used})
            sums = some * tile.columns
            total += reached * count * products(some * len(tile.used), sums, loads)
            total += rows * _ADDED * lanes * bool(tile.used and taps.number)
    turned = count * -(-s.out[0] * s.out[1] // lanes) * TURNED_IN * square(lanes)
    weights = 4 * count * panel_size(s) * lanes
    far = weights / _THIRD if weights > _FAR else 0.0
    return s.n * (s.inputs // some * total + turned + far) + _panel_cycles(s, lanes)
