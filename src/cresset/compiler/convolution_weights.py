"""The gradient of a convolution's weights with vectors along the output channels.

A pixel of the gradient is a vector of its output channels, and what it is multiplied with are
single numbers of the image, read where they lie. The sums of some taps of some input channels are
in registers while pixels go by. Three ways to have pixels as vectors:

- All taps are in registers (one input channel, say): each row of the gradient is turned in
  registers just before its products, which hides most of the shuffles.
- Few weights: some rows are turned at a time, so that they stay in the first cache while they are
  gone through for all taps. Groups of images are summed apart, and the groups' sums are added.
- Many weights, whose sums would have to go to memory and back too often: the whole gradient is
  turned first. Then every block of taps has its sums in registers until all images are through.

Where the gradient of a bias is wanted as well, the first two add up the vectors of pixels on the
way. In all of them the order of summing does not depend on how many threads there are.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from cresset.compiler.batches import runs, tiles, turn
from cresset.compiler.channels import Pass, Sizes, Taps
from cresset.compiler.code import Code
from cresset.compiler.convolution_outputs import (
    TURNED_IN,
    TURNED_OUT,
    columns_read,
    panel_size,
    products,
    square,
    vector_count,
    vectors,
)
from cresset.compiler.convolution_rows import divisor, sum_registers, zero
from cresset.compiler.step import Array, Lowering

#: Bytes of turned gradients that are gone through at a time: they and what is read of the images
#: stay in the first cache.
_NEAREST = 16 << 10
#: Into how many parts the images are split that are summed apart.
_GROUPS = 8
#: Floats of a line of the cache.
_LINE = 16
#: Weights up to which groups of images are summed apart.
_FEW = 160 << 10
#: Measured: cycles to put a sum down in memory and take it up again.
_SPILT = 4


#: A tap among those whose sums are in registers: input, kernel row, and column.
_Tap = tuple[int, int, int]
#: Stands for the sum of the gradient itself.
_ALL: _Tap = (-1, -1, -1)


@functools.lru_cache(256)
def _block(s: Sizes, room: int) -> tuple[int, int]:
    """Input channels and kernel rows, whose taps take at most ``room`` registers."""

    def cost(block: tuple[int, int]) -> tuple[float, int]:
        sums = block[0] * block[1] * s.kernel[1]
        loads = 1 + block[0] * block[1] * min(s.stride[1], s.kernel[1])
        return max(sums, loads) / sums, -sums

    sizes = [
        (b, k) for b in range(1, min(s.inputs, room) + 1) for k in range(1, s.kernel[0] + 1)
        if s.inputs % b == 0 and s.kernel[0] % k == 0 and b * k * s.kernel[1] <= room
    ]  # fmt: skip
    return min(sizes or [(1, 1)], key=cost)


class _Sum(NamedTuple):
    """A tap's sums: where they are in memory, and in which registers."""

    place: str
    slots: list[str]


class _Weights(NamedTuple):
    s: Sizes
    lanes: int
    #: The gradient is summed up, too: the gradient of a bias.
    summed: bool = False

    def panel(self) -> int:
        """Floats of the sums of one vector of output channels."""
        return (panel_size(self.s) + self.summed) * self.lanes

    def rows(self) -> tuple[int, int]:
        """Images and rows of gradients that are turned at a time."""
        height, width = self.s.out
        most = max(1, _NEAREST // (4 * self.lanes * width))
        if most < height:
            return 1, divisor(height, most)
        return divisor(self.s.n, min(most // height, max(1, self.s.n // _GROUPS))), height

    def chunks(self) -> int:
        images, rows = self.rows()
        return self.s.n // images * (self.s.out[0] // rows)

    def block(self) -> tuple[int, int]:
        """Channels and kernel rows whose sums are in registers together."""
        return _block(self.s, sum_registers())

    def once(self) -> bool:
        """Whether the sums of all taps are in registers, so that each pixel is needed once."""
        return self.block() == (self.s.inputs, self.s.kernel[0])

    def few(self) -> bool:
        """Whether sums of all weights are kept, for groups of images apart."""
        weights = vector_count(self.s, self.lanes) * panel_size(self.s) * self.lanes
        return self.once() or weights <= _FEW

    def sets(self) -> int:
        """Registers per tap: few sums would wait for themselves."""
        return -(-8 // (math.prod(self.block()) * self.s.kernel[1]))

    def emit(self, c: Code, g: str, x: str, zeros: str, chunk: str, sums: str) -> None:
        """Add the products of some rows of some images."""
        s, lanes, (images, rows) = self.s, self.lanes, self.rows()
        plane, parts = s.out[0] * s.out[1], s.out[0] // rows
        n = c.times(c.let(f"udiv i64 {chunk}, {parts}"), images)
        top = c.times(c.let(f"urem i64 {chunk}, {parts}"), rows)
        image = c.at("float", x, c.times(n, s.inputs * s.height * s.width))
        some, kernel_rows = self.block()
        for blocks in vectors(s.outputs, lanes):
            with c.loop(blocks.number) as i:
                block = c.plus(i, blocks.first)
                panel = c.at("float", sums, c.times(block, self.panel()))
                first = c.plus(c.times(n, s.outputs), c.times(block, lanes))
                place = c.plus(c.times(first, plane), c.times(top, s.out[1]))
                source, size = c.at("float", g, place), rows * s.out[1]
                if not self.once():
                    with c.loop(images) as m:
                        near = c.at("float", source, c.times(m, s.outputs * plane))
                        target = c.at("float", "%scratch", c.times(m, size * lanes))
                        turn(c, near, (blocks.used, plane, size), target, lanes)
                    if self.summed:
                        self._add_up(c, panel, images * size)
                with c.loop(s.inputs, some) as channel, c.loop(s.kernel[0], kernel_rows) as ky:
                    totals = self.places(c, panel, channel, ky)
                    if self.summed and self.once():
                        totals[_ALL] = self._all(c, panel, 2)
                    with c.loop(images) as m, c.loop(rows) as y:
                        plane_ = c.plus(c.times(m, s.inputs), channel)
                        lines = self.lines(c, image, zeros, plane_, c.plus(top, y), ky)
                        near = source if self.once() else "%scratch"
                        self.row(c, near, blocks.used, rows, lines, m, y, totals)
                    self.put(c, totals)

    def _all(self, c: Code, panel: str, sets: int) -> _Sum:
        """The sums of the gradient itself, behind those of the weights."""
        vector = f"<{self.lanes} x float>"
        place = c.at("float", panel, panel_size(self.s) * self.lanes)
        slots = [c.slot(vector, c.load(vector, place, align=4))]
        return _Sum(place, slots + [c.slot(vector, "zeroinitializer") for _ in range(1, sets)])

    def _add_up(self, c: Code, panel: str, pixels: int) -> None:
        """Add up turned pixels."""
        vector, total = f"<{self.lanes} x float>", self._all(c, panel, 4)
        for first, count in ((0, pixels // 4 * 4), (pixels // 4 * 4, pixels % 4)):
            if count:
                with c.loop(count, 4) as i:
                    for j, slot in enumerate(total.slots[: min(count, 4)]):
                        place = c.times(c.plus(i, first + j), self.lanes)
                        value = c.load(vector, c.at("float", "%scratch", place), align=4)
                        c.set(vector, slot, c.let(f"fadd {vector} {c.get(vector, slot)}, {value}"))
        self.put(c, {_ALL: total})

    def places(self, c: Code, panel: str, channel: str, ky: str) -> dict[_Tap, _Sum]:
        """Where a block's sums are in memory, and registers that begin with them."""
        s, lanes, (some, kernel_rows) = self.s, self.lanes, self.block()
        vector, found = f"<{lanes} x float>", {}
        for b in range(some):
            for k in range(kernel_rows):
                line = c.plus(c.times(c.plus(channel, b), s.kernel[0]), ky, k)
                for kx in range(s.kernel[1]):
                    tap = c.plus(c.times(line, s.kernel[1]), kx)
                    place = c.at("float", panel, c.times(tap, lanes))
                    slots = [c.slot(vector, c.load(vector, place, align=4))]
                    slots += [c.slot(vector, "zeroinitializer") for _ in range(1, self.sets())]
                    found[b, k, kx] = _Sum(place, slots)
        return found

    def put(self, c: Code, totals: dict[_Tap, _Sum]) -> None:
        vector = f"<{self.lanes} x float>"
        for place, slots in totals.values():
            value = c.get(vector, slots[0])
            for slot in slots[1:]:
                value = c.let(f"fadd {vector} {value}, {c.get(vector, slot)}")
            c.store(vector, value, place, align=4)

    def lines(
        self, c: Code, image: str, zeros: str, plane: str, y: str, ky: str
    ) -> list[tuple[str, str]]:
        """The rows of the image that a row of gradients meets, and how far apart channels are."""
        s = self.s
        lines = []
        for k in range(self.block()[1]):
            row = c.plus(
                c.times(y, s.stride[0]), c.times(c.plus(ky, k), s.dilation[0]), -s.padding[0]
            )
            place = c.times(c.plus(c.times(plane, s.height), row), s.width)
            line, step = c.at("float", image, place), str(s.height * s.width)
            if s.padding[0]:
                valid = c.let(f"icmp ult i64 {row}, {s.height}")
                line = c.let(f"select i1 {valid}, ptr {line}, ptr {zeros}")
                step = c.let(f"select i1 {valid}, i64 {step}, i64 0")
            lines.append((line, step))
        return lines

    def row(
        self, c: Code, source: str, used: int, rows: int, lines: list[tuple[str, str]], m: str,
        y: str, totals: dict[_Tap, _Sum],
    ) -> None:  # fmt: skip
        """The products of row ``y`` of the ``m``-th image's gradients, of which there are ``rows``
        at ``source``: as they are where each is needed once, else turned."""
        s, lanes = self.s, self.lanes
        vector, sets = f"<{lanes} x float>", self.sets()
        most = max(4, sum_registers() * 4 // 3 - 2 - len(totals) * sets)
        right = Taps(s.kernel[1], 0, 1, -s.padding[1], s.dilation[1])
        parts = tiles(
            Pass((right, right), s.out, (0, 0)), s.stride[1], s.width,
            lanes if self.once() else most,
        )  # fmt: skip
        if self.once():
            self._prefetch(c, source, m, y)
        for tile, column in runs(c, parts):
            if self.once():
                given = self._turned(c, source, used, m, y, column, tile.columns)
            else:
                pixel = c.plus(c.times(c.plus(c.times(m, rows), y), s.out[1]), column)
                near = c.at("float", source, c.times(pixel, lanes))
                given = [c.load(vector, near, i * lanes, align=4) for i in range(tile.columns)]
            if _ALL in totals:
                slots = totals[_ALL].slots
                for i, value in enumerate(given):
                    slot = slots[i % len(slots)]
                    c.set(vector, slot, c.let(f"fadd {vector} {c.get(vector, slot)}, {value}"))
            left = c.times(column, s.stride[1])
            for k, (line, step) in enumerate(lines):
                for b in range(self.block()[0]):
                    far = c.at("float", line, c.plus(left, c.let(f"mul i64 {step}, {b}")))
                    for at, users in columns_read(s, tile.used).items():
                        value = c.splat("float", lanes, c.load("float", far, at))
                        for i, kx in users:
                            slot = totals[b, k, kx].slots[i % sets]
                            total = c.fma(vector, given[i], value, c.get(vector, slot))
                            c.set(vector, slot, total)

    def _turned(
        self, c: Code, source: str, used: int, m: str, y: str, column: str, count: int
    ) -> list[str]:
        """Some pixels of the gradient, turned in registers."""
        s, lanes = self.s, self.lanes
        plane = s.out[0] * s.out[1]
        place = c.plus(c.times(m, s.outputs * plane), c.times(y, s.out[1]), column)
        near = c.at("float", source, place)
        rows = [
            c.masked_load("float", lanes, count, c.at("float", near, a * plane))
            for a in range(used)
        ]
        rows += ["zeroinitializer"] * (lanes - used)
        return c.transpose("float", lanes, rows)[:count]

    def _prefetch(self, c: Code, source: str, m: str, y: str) -> None:
        """Call the next image's gradients into the cache, a row's share: as many as a row has.
        Read from that many planes at a time, they would come late (measured: a tenth)."""
        s = self.s
        c.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        share = s.outputs * s.out[1]
        start = c.plus(c.times(c.plus(m, 1), share * s.out[0]), c.times(y, share))
        for line in range(0, share, _LINE):
            place = c.at("float", source, c.plus(start, line))
            c.do(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")


def lower_weight(
    s: Sizes, operands: list[Array], out: Array, lanes: int, bias: Array | None = None
) -> Lowering:
    kernel = _Weights(s, lanes, bias is not None)
    if kernel.few():
        return _in_groups(kernel, operands[0], operands[1], out, bias)
    assert bias is None
    return _in_blocks(kernel, operands[0], operands[1], out)


def sums_up(s: Sizes, lanes: int) -> bool:
    """Whether the gradient of a bias can be had as well."""
    return _Weights(s, lanes).few()


def _in_groups(kernel: _Weights, g: Array, x: Array, out: Array, bias: Array | None) -> Lowering:
    """Sums for each group of images first, then the sums of those."""
    s, lanes = kernel.s, kernel.lanes
    size = vector_count(s, lanes) * kernel.panel()
    chunks = kernel.chunks()
    groups = min(chunks, _GROUPS)
    turned = 0 if kernel.once() else math.prod(kernel.rows()) * s.out[1] * lanes

    def sums(c: Code) -> None:
        zeros = "%shared"
        if s.padding[0]:
            zeros = c.at("float", "%scratch", turned)
            zero(c, zeros, s.width)
        with c.share(groups) as group, c.uncut():
            own = c.at("float", "%shared", c.times(group, size))
            zero(c, own, size)
            low = c.let(f"udiv i64 {c.times(group, chunks)}, {groups}")
            high = c.let(f"udiv i64 {c.times(c.plus(group, 1), chunks)}, {groups}")
            with c.span(low, high) as chunk:
                kernel.emit(c, g.base(c), x.base(c), zeros, chunk, own)

    def emit(c: Code) -> None:
        vector, panel = f"<{lanes} x float>", panel_size(s)
        for blocks in vectors(s.outputs, lanes):
            with c.share(blocks.number) as i, c.uncut():
                block = c.plus(i, blocks.first)
                first = c.at("float", "%shared", c.times(block, kernel.panel()))
                with c.loop(panel + kernel.summed) as tap:
                    place = c.at("float", first, c.times(tap, lanes))
                    total = c.load(vector, place, align=4)
                    for group in range(1, groups):
                        value = c.load(vector, place, group * size, align=4)
                        total = c.let(f"fadd {vector} {total}, {value}")
                    c.store(vector, total, place, align=4)
                target = c.at("float", out.base(c), c.times(block, lanes * panel))
                turn(c, target, (blocks.used, panel, panel), first, lanes, back=True)
                if bias is not None:
                    total = c.load(vector, c.at("float", first, panel * lanes), align=4)
                    place = c.at("float", bias.base(c), c.times(block, lanes))
                    c.masked_store("float", lanes, blocks.used, total, place)

    return Lowering(
        emit, scratch=4 * (turned + s.width), pieces=groups,
        flops=s.flops(), prepare=sums, shared=4 * groups * size,
    )  # fmt: skip


def _in_blocks(kernel: _Weights, g: Array, x: Array, out: Array) -> Lowering:
    """All gradients turned first, then block after block of the weights over all images."""
    s, lanes = kernel.s, kernel.lanes
    height, plane, taps = s.out[0], s.out[0] * s.out[1], s.kernel[0] * s.kernel[1]
    some, kernel_rows = kernel.block()
    turned = vector_count(s, lanes) * s.n * plane * lanes

    def prepare(c: Code) -> None:
        with c.share(1):
            zero(c, c.at("float", "%shared", turned), s.width)
        for blocks in vectors(s.outputs, lanes):
            with c.share(blocks.number * s.n) as pair, c.uncut():
                block = c.plus(c.let(f"udiv i64 {pair}, {s.n}"), blocks.first)
                n = c.let(f"urem i64 {pair}, {s.n}")
                first = c.plus(c.times(n, s.outputs), c.times(block, lanes))
                source = c.at("float", g.base(c), c.times(first, plane))
                place = c.times(c.plus(c.times(block, s.n), n), plane * lanes)
                target = c.at("float", "%shared", place)
                turn(c, source, (blocks.used, plane, plane), target, lanes)

    def emit(c: Code) -> None:
        zeros = c.at("float", "%shared", turned)
        for blocks in vectors(s.outputs, lanes):
            with c.share(blocks.number * (s.inputs // some)) as pair, c.uncut():
                block = c.plus(c.let(f"udiv i64 {pair}, {s.inputs // some}"), blocks.first)
                channel = c.times(c.let(f"urem i64 {pair}, {s.inputs // some}"), some)
                source = c.at("float", "%shared", c.times(block, s.n * plane * lanes))
                zero(c, "%scratch", some * taps * lanes)
                with c.loop(s.kernel[0], kernel_rows) as ky:
                    totals = kernel.places(c, "%scratch", "0", ky)
                    with c.loop(s.n) as m, c.loop(height) as y:
                        above = c.plus(c.times(m, s.inputs), channel)
                        lines = kernel.lines(c, x.base(c), zeros, above, y, ky)
                        kernel.row(c, source, blocks.used, height, lines, m, y, totals)
                    kernel.put(c, totals)
                place = c.plus(c.times(block, lanes * s.inputs), channel)
                target = c.at("float", out.base(c), c.times(place, taps))
                sizes = (blocks.used, s.inputs * taps, some * taps)
                turn(c, target, sizes, "%scratch", lanes, back=True)

    return Lowering(
        emit, scratch=4 * some * taps * lanes, pieces=vector_count(s, lanes) * (s.inputs // some),
        flops=s.flops(), prepare=prepare, shared=4 * (turned + s.width),
    )  # fmt: skip


def weight_cycles(s: Sizes, lanes: int) -> float:
    """An estimate for one run."""
    kernel, count = _Weights(s, lanes), vector_count(s, lanes)
    some, rows = kernel.block()
    pixels = s.n * s.out[0] * s.out[1]
    sums = some * rows * s.kernel[1]
    loads = 1 + some * rows * min(s.stride[1], s.kernel[1])
    once = products(sums, sums * kernel.sets(), loads) * panel_size(s) / sums
    turned = (TURNED_OUT if kernel.once() else TURNED_IN) * square(lanes) / lanes
    chunks = kernel.chunks() if kernel.few() else 1
    return pixels * count * (once + turned) + chunks * count * panel_size(s) * _SPILT
