"""The gradient of a convolution's input with vectors along the input channels, where these fill
them.

The counterpart of the forward pass of ``convolution_outputs.py``: the sums of neighbouring pixels
of the input are in registers while output channels and taps go by; of the gradient, single numbers
are read where they lie and spread over a vector. Which taps reach a pixel is known when the code is
written, so strides and borders cost no products with zeros.
"""

from __future__ import annotations

from typing import NamedTuple

from cresset.compiler.batches import Tile, runs, taps_inside, turn
from cresset.compiler.channels import Sizes, Taps, remainders
from cresset.compiler.code import Code
from cresset.compiler.convolution_outputs import (
    TURNED_IN,
    TURNED_OUT,
    give,
    products,
    reaches,
    rows_reached,
    square,
    streamed,
    vectors,
)
from cresset.compiler.convolution_rows import sum_registers, zero
from cresset.compiler.step import Array, Lowering


def _count(s: Sizes, lanes: int) -> int:
    """Vectors of input channels."""
    return -(-s.inputs // lanes)


def _panel(s: Sizes) -> int:
    """Vectors that the weights of one vector of input channels are."""
    return s.outputs * s.kernel[0] * s.kernel[1]


def _panels(c: Code, s: Sizes, w: str, lanes: int) -> None:
    """The weights as (vector of inputs, output, tap, lanes)."""
    taps = s.kernel[0] * s.kernel[1]
    for blocks in vectors(s.inputs, lanes):
        with c.share(blocks.number * s.outputs) as pair, c.uncut():
            block = c.plus(c.let(f"udiv i64 {pair}, {s.outputs}"), blocks.first)
            o = c.let(f"urem i64 {pair}, {s.outputs}")
            first = c.plus(c.times(o, s.inputs), c.times(block, lanes))
            source = c.at("float", w, c.times(first, taps))
            place = c.times(c.plus(c.times(block, s.outputs), o), taps * lanes)
            target = c.at("float", "%shared", place)
            turn(c, source, (blocks.used, taps, taps), target, lanes)


class _Input(NamedTuple):
    s: Sizes
    lanes: int

    def tiles(self) -> list[Tile]:
        return reaches(self.s, max(8, sum_registers() * 2 // 3))

    def emit(self, c: Code, g: str, out: str, by: str) -> None:
        """The gradient, cut where ``by`` is not above zero, if given."""
        s, lanes = self.s, self.lanes
        for blocks in vectors(s.inputs, lanes):
            with c.share(s.n * blocks.number) as pair, c.uncut():
                # Image after image, so that a block's weights stay in the cache.
                n = c.let(f"urem i64 {pair}, {s.n}")
                block = c.plus(c.let(f"udiv i64 {pair}, {s.n}"), blocks.first)
                image = c.at("float", g, c.times(n, s.outputs * s.out[0] * s.out[1]))
                panel = c.at("float", "%shared", c.times(block, _panel(s) * lanes))
                plane = c.plus(c.times(n, s.inputs), c.times(block, lanes))
                start = c.times(plane, s.height * s.width)
                target, other = c.at("float", out, start), by and c.at("float", by, start)
                self._image(c, image, panel, target, other, blocks.used)

    def _image(self, c: Code, g: str, panel: str, out: str, by: str, used: int) -> None:
        """Some channels of one image."""
        s, plane = self.s, self.s.height * self.s.width
        for taps, count, first in remainders(
            s.height, s.kernel[0], s.stride[0], s.padding[0], s.dilation[0]
        ):
            with c.loop(count) as q:
                line = c.times(c.plus(c.times(q, s.stride[0]), first), s.width)
                for tile, column in runs(c, self.tiles()):
                    place = c.at("float", out, c.plus(line, column))
                    if taps.number and tile.used:
                        totals = self._tile(c, tile, taps, q, column, g, panel)
                        other = by and c.at("float", by, c.plus(line, column))
                        give(c, totals, used, plane, place, self.lanes, other)
                        continue
                    with c.loop(used) as channel:
                        zero(c, c.at("float", place, c.times(channel, plane)), tile.columns)

    def _tile(
        self, c: Code, tile: Tile, taps: Taps, q: str, column: str, g: str, panel: str
    ) -> list[str]:
        """The sums of neighbouring pixels."""
        s, lanes = self.s, self.lanes
        vector = f"<{lanes} x float>"
        totals = [c.slot(vector, "zeroinitializer") for _ in range(tile.columns)]
        left = column if s.stride[1] == 1 else c.let(f"udiv i64 {column}, {s.stride[1]}")
        columns = sorted({kx for _, kx, _ in tile.used})
        with taps_inside(c, taps, c.plus(q, taps.start), s.out[0], True) as (ky, row):
            line = c.at("float", g, c.plus(c.times(row, s.out[1]), left))
            with c.loop(s.outputs) as o:
                source = c.at("float", line, c.times(o, s.out[0] * s.out[1]))
                place = c.plus(c.times(o, s.kernel[0] * s.kernel[1]), c.times(ky, s.kernel[1]))
                near = c.at("float", panel, c.times(place, lanes))
                weights = {kx: c.load(vector, near, kx * lanes, align=4) for kx in columns}
                for at in sorted({at for _, _, at in tile.used}):
                    value = c.splat("float", lanes, c.load("float", source, at))
                    for i, kx, own in sorted(tile.used):
                        if own == at:
                            total = c.fma(vector, value, weights[kx], c.get(vector, totals[i]))
                            c.set(vector, totals[i], total)
        return [c.get(vector, slot) for slot in totals]


def lower_input(
    s: Sizes, operands: list[Array], out: Array, lanes: int, by: Array | None = None
) -> Lowering:
    g, w = operands
    kernel, count = _Input(s, lanes), _count(s, lanes)

    def prepare(c: Code) -> None:
        _panels(c, s, w.base(c), lanes)

    def emit(c: Code) -> None:
        kernel.emit(c, g.base(c), out.base(c), "" if by is None else by.base(c))

    return Lowering(
        emit, pieces=s.n * count, flops=s.flops(), prepare=prepare,
        shared=4 * count * _panel(s) * lanes,
    )  # fmt: skip


def input_cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run."""
    kernel, total = _Input(s, lanes), 0.0
    for taps, rows, _ in remainders(
        s.height, s.kernel[0], s.stride[0], s.padding[0], s.dilation[0]
    ):
        reached = rows_reached(taps, rows, s.out[0])
        total += reached * streamed(_panel(s) * lanes) / s.kernel[0]
        for tile in kernel.tiles():
            if tile.used:
                loads = len({kx for _, kx, _ in tile.used}) + len({at for *_, at in tile.used})
                total += reached * s.outputs * products(len(tile.used), tile.columns, loads)
                total += rows * -(-tile.columns // lanes) * TURNED_OUT * square(lanes)
    turned = s.outputs * -(-s.kernel[0] * s.kernel[1] // lanes) * TURNED_IN * square(lanes)
    return _count(s, lanes) * (s.n * total + turned)
