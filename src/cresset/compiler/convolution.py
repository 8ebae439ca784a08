"""Convolution over images and signals: the row of outputs lies in vector registers.

All sizes are constants of the code. The gradient of the input is a convolution of the padded
gradient with the weights turned around.

Where columns are a stride apart, rows are parted first: all even columns, then all odd ones (for a
stride of 2), so that each tap's columns lie side by side. The gradient of the input is made of as
many passes then, one for the pixels that the same taps reach, and woven together.

There are other families of kernels, whose vectors run along the output channels
(``convolution_outputs.py``, ``convolution_weights.py``), the input channels
(``convolution_inputs.py``), the batch (``batches.py``), or along many channels over short rows
(``channels.py``). Each estimates its cycles, with constants that were measured, and the cheapest is
taken.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from cresset.compiler import (
    batches,
    channels,
    convolution_inputs,
    convolution_outputs,
    convolution_rows,
    convolution_weights,
)
from cresset.compiler.code import Code
from cresset.compiler.convolution_rows import Shape, forward, place, weight_block, weight_sums, zero
from cresset.compiler.host import vector_bytes
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.device import CPU

#: Rows are unrolled vector by vector, so very wide images would make very long code.
_WIDEST = 512
#: Measured: cycles to turn a weight around.
_TURNED = 5


def _fits(specs: list[Spec], geometry: Any) -> bool:
    return (
        all(s.dtype.name == "float32" and s.contiguous and s.numel for s in specs)
        and len(geometry.stride) in (1, 2)
        and max(geometry.stride) <= 4
        and max(s.shape[-1] for s in specs) <= _WIDEST
    )


def takes_relu(call: Call) -> bool:
    """Whether a convolution's kernel can write the relu of it."""
    return (
        call.op.name == "convolution"
        and all(s.device is CPU for s in call.specs)
        and _fits([*call.specs, *call.outs], call.params[0])
    )


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
    geometry, cut = call.params[0], call.op.name == "convolution_relu"
    if not _fits([a.spec for a in (*operands, *outs)], geometry):
        return None
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    (n, ch, h, w), (o, _, kh, kw) = operands[0].spec.shape, operands[1].spec.shape
    ph, pw = geometry.padding
    oh, ow = outs[0].spec.shape[2:]
    groups = geometry.groups
    sizes = _sizes(operands[0], operands[1], geometry, (oh, ow))
    cost = {
        "rows": convolution_rows.cycles(sizes.flops(), ow, 1.0, max(sizes.stride) > 1, lanes),
        "batches": batches.cycles(sizes, lanes),
        "outputs": convolution_outputs.forward_cycles(sizes, lanes),
    }
    if channels.suits(sizes.outputs, sizes.inputs, ow, 4):
        del cost["rows"]
        cost["channels"] = channels.cycles(sizes, lanes)
    family = _FAMILIES[_cheapest(cost, groups)]
    if family is not None:
        return family.lower_forward(sizes, operands, outs[0], lanes, cut)
    parts = _parts(geometry, o // groups * kh * kw)
    shape = Shape(
        n, ch // groups, h + 2 * ph, _up(w + 2 * pw, parts), o // groups, (kh, kw),
        geometry.dilation, geometry.stride, oh, ow, groups, parts > 1,
    )  # fmt: skip
    frame = ch * shape.h * shape.w if ph or pw or parts > 1 else 0

    def emit(c: Code) -> None:
        bias = operands[2].base(c) if len(operands) == 3 else None
        weights = operands[1].base(c)
        with c.share(n) as i:
            image = c.at("float", operands[0].base(c), c.times(i, ch * h * w))
            if frame:
                size = (shape.h, shape.w)
                place(c, image, (ch, h, w), "%scratch", size, (ph, pw), lanes, parts)
                image = "%scratch"
            target = c.at("float", outs[0].base(c), c.times(i, o * shape.oh * shape.ow))
            _each_group(c, shape, image, weights, bias, target, lanes, cut)

    return Lowering(emit, scratch=frame * 4, pieces=n, flops=_flops(shape))


#: Kernels by what their vectors run along; those along rows are here.
_FAMILIES: dict[str, Any] = {
    "rows": None, "batches": batches, "outputs": convolution_outputs,
    "inputs": convolution_inputs, "channels": channels,
}  # fmt: skip


def _cheapest(cost: dict[str, float], groups: int) -> str:
    """The family with the fewest cycles; groups of channels are along rows always."""
    return "rows" if groups > 1 else min(cost, key=cost.__getitem__)


def _parts(geometry: Any, uses: int) -> int:
    """Into how many parts rows are parted: one if every value is used but a few times."""
    return geometry.stride[1] if uses >= 16 else 1


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _each_group(
    c: Code, s: Shape, x: str, w: str, bias: str | None, y: str, lanes: int, cut: bool = False
) -> None:
    """One image, group by group."""
    with c.loop(s.groups) as group:
        forward(
            c, s, c.at("float", x, c.times(group, s.c * s.h * s.w)),
            c.at("float", w, c.times(group, s.o * s.c * s.kernel[0] * s.kernel[1])),
            None if bias is None else c.at("float", bias, c.times(group, s.o)),
            c.at("float", y, c.times(group, s.o * s.oh * s.ow)), lanes, cut,
        )  # fmt: skip


def _sizes(x: Array, w: Array, geometry: Any, out: tuple[int, int]) -> channels.Sizes:
    """The convolution as ``channels.py`` wants it; ``x`` and ``w`` have the shapes."""
    (n, ch, h, width), (o, _, kh, kw) = x.spec.shape, w.spec.shape
    return channels.Sizes(
        n, ch, h, width, o, (kh, kw), geometry.stride, geometry.padding, geometry.dilation, out
    )


def _flops(s: Shape) -> int:
    return 2 * s.n * s.groups * s.c * s.o * s.oh * s.ow * s.kernel[0] * s.kernel[1]


def lower_input(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The gradient of the input: the padded output gradient convolved with the turned weights."""
    geometry = call.params[1]
    if not _fits([a.spec for a in (*operands, *outs)], geometry):
        return None
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    sizes, cost = _input_cycles(geometry, operands, outs[0], lanes)
    if call.op.name == "convolution_input_relu":
        cost = {family: cost[family] for family in _CUTTING}
        family = _FAMILIES[_cheapest(cost, geometry.groups)]
        return family.lower_input(sizes, operands[:2], outs[0], lanes, operands[2])
    family = _FAMILIES[_cheapest(cost, geometry.groups)]
    if family is not None:
        return family.lower_input(sizes, operands, outs[0], lanes)
    return _lower_passes(sizes, geometry.groups, operands[0], operands[1], outs[0], lanes)


#: Families that can write the gradient of an input cut by the relu in front of it.
_CUTTING = ("inputs", "outputs")


def takes_cut(call: Call) -> bool:
    """Whether the kernel of an input's gradient can cut it where a relu was zero."""
    if call.op.name != "convolution_input" or any(s.device is not CPU for s in call.specs):
        return False
    if not _fits([*call.specs, *call.outs], call.params[1]):
        return False
    geometry = _planes(call.params[1])
    g, w, out = _images([Array("", spec) for spec in (*call.specs, *call.outs)])
    _, cost = _input_cycles(geometry, [g, w], out, vector_bytes() // 4)
    return _cheapest(cost, geometry.groups) in _CUTTING


def _input_cycles(
    geometry: Any, operands: list[Array], out: Array, lanes: int
) -> tuple[channels.Sizes, dict[str, float]]:
    """The sizes, and what each family takes."""
    g, w = operands[:2]
    width = out.spec.shape[3]
    # Weaving costs more than turning does, unless a tap is all there is to a wide row.
    woven = max(geometry.stride) > 1 and (math.prod(w.spec.shape[2:]) > 1 or width <= 16)
    sizes = _sizes(out, w, geometry, tuple(g.spec.shape[2:]))
    # Rows of the gradient meet the zeros around it, too.
    steps = geometry.stride[0] * geometry.stride[1]
    used = min(1.0, steps * math.prod(sizes.out) / (sizes.height * width))
    row = -(-width // geometry.stride[1])
    cost = {
        "rows": convolution_rows.cycles(sizes.flops(), row, used, steps > 1, lanes)
        + _TURNED * w.spec.numel,
        "batches": batches.cycles(sizes, lanes),
        "outputs": convolution_outputs.input_cycles(sizes, lanes),
        "inputs": convolution_inputs.input_cycles(sizes, lanes),
    }
    if channels.suits(sizes.outputs, sizes.inputs, width, _WIDEST if woven else 4):
        del cost["rows"]
        cost["channels"] = channels.cycles(sizes, lanes)
    return sizes, cost


class _Pass(NamedTuple):
    """The pixels of the input that the same taps reach: a convolution of the gradient."""

    shape: Shape
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
            shape = Shape(
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
            _turn(c, p, w.base(c), c.at("float", "%shared", start), s.kernel)
            start += groups * cg * og * len(p.taps[0]) * len(p.taps[1])

    def emit(c: Code) -> None:
        with c.share(s.n) as i:
            gradients = c.at("float", g.base(c), c.times(i, s.outputs * s.out[0] * s.out[1]))
            corner = (starts[0], starts[1])
            place(c, gradients, (s.outputs, *s.out), "%scratch", frame, corner, lanes)
            target = c.at("float", out.base(c), c.times(i, s.inputs * s.height * s.width))
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
    if not _fits([a.spec for a in (*operands, *outs)], geometry):
        return None
    geometry, operands, outs = _planes(geometry), _images(operands), _images(outs)
    g, x = operands
    (n, _, oh, ow), (_, ch, h, w) = g.spec.shape, x.spec.shape
    kernel = tuple(outs[0].spec.shape[2:])
    groups = geometry.groups
    ph, pw = geometry.padding
    sizes, shape, cost = _weight_cycles(geometry, operands, outs[0], lanes)
    if call.op.name == "convolution_weight_sum":
        return convolution_weights.lower_weight(sizes, operands, outs[0], lanes, outs[1])
    family = {**_FAMILIES, "outputs": convolution_weights}[_cheapest(cost, groups)]
    if family is not None:
        return family.lower_weight(sizes, operands, outs[0], lanes)
    if kernel[1] > 12:
        return None
    parts = shape.stride[1] if shape.parted else 1
    padded = n * ch * shape.h * shape.w * 4 if ph or pw or shape.parted else 0

    def pad(c: Code) -> None:
        with c.share(n) as i:
            place(
                c, c.at("float", x.base(c), c.times(i, ch * h * w)), (ch, h, w),
                c.at("float", "%shared", c.times(i, ch * shape.h * shape.w)), (shape.h, shape.w),
                (ph, pw), lanes, parts,
            )  # fmt: skip

    def emit(c: Code) -> None:
        source = "%shared" if padded else x.base(c)
        with c.loop(groups) as group:
            weight_sums(
                c, shape, c.at("float", g.base(c), c.times(group, shape.o * oh * ow)),
                c.at("float", source, c.times(group, shape.c * shape.h * shape.w)),
                c.at("float", outs[0].base(c), c.times(group, outs[0].spec.numel // groups)),
                lanes,
            )  # fmt: skip

    return Lowering(
        emit, pieces=shape.o // weight_block(shape) * shape.c, flops=_flops(shape),
        prepare=pad if padded else None, shared=padded,
    )  # fmt: skip


def takes_sum(call: Call) -> bool:
    """Whether the kernel of the weights' gradient can sum up the gradient on the way."""
    if call.op.name != "convolution_weight" or any(s.device is not CPU for s in call.specs):
        return False
    geometry = call.params[1]
    if geometry.groups > 1 or not _fits([*call.specs, *call.outs], geometry):
        return False
    lanes = vector_bytes() // 4
    g, x, out = _images([Array("", spec) for spec in (*call.specs, *call.outs)])
    sizes, _, cost = _weight_cycles(_planes(geometry), [g, x], out, lanes)
    return _cheapest(cost, 1) == "outputs" and convolution_weights.sums_up(sizes, lanes)


def _weight_cycles(
    geometry: Any, operands: list[Array], out: Array, lanes: int
) -> tuple[channels.Sizes, Shape, dict[str, float]]:
    """The sizes, those of a group along rows, and what each family takes."""
    g, x = operands
    (n, o, oh, ow), (_, ch, h, w) = g.spec.shape, x.spec.shape
    kernel, groups, (ph, pw) = tuple(out.spec.shape[2:]), geometry.groups, geometry.padding
    sizes = _sizes(x, out, geometry, (oh, ow))
    parts = _parts(geometry, o // groups * kernel[0] * kernel[1])
    shape = Shape(
        n, ch // groups, h + 2 * ph, _up(w + 2 * pw, parts), o // groups, kernel,
        geometry.dilation, geometry.stride, oh, ow, groups, parts > 1,
    )  # fmt: skip
    cost = {
        "rows": convolution_rows.cycles(
            sizes.flops(), ow, convolution_rows.weight_share(shape), max(sizes.stride) > 1, lanes
        ),
        "batches": batches.cycles(sizes, lanes),
        "outputs": convolution_weights.weight_cycles(sizes, lanes),
    }
    if channels.suits(sizes.outputs, sizes.inputs, ow, 8):
        del cost["rows"]
        cost["channels"] = channels.cycles(sizes, lanes)
    return sizes, shape, cost
