"""Convolution over volumes, as convolutions of images.

A slice of the outputs is a convolution of images whose channels are all slices that the kernel
reaches, so ``convolution.py`` has the kernels. A piece of the work takes some slices of outputs at
a time: it puts side by side the slices that they read (*windows*), few enough to stay in the second
cache, lets the kernel for images run over them, and puts the slices that come out where they
belong.

- Forward: the windows are of the input; an input channel is as many channels as the kernel is deep,
  and the weights lie in that order already.
- Gradient of the input: the windows are of the gradient, and a stride in depth makes a pass for
  every remainder, of the slices that the same taps reach. Their weights are put in order first.
- Gradient of the weights: each slice of the kernel by itself, for some channels, over all slices of
  outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cresset.compiler import channels, convolution
from cresset.compiler.code import Code
from cresset.compiler.convolution_rows import zero
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride
from cresset.core.spec import spec as make_spec

#: Bytes of windows that stay in the second cache.
_NEAR = 512 << 10
#: Where channels fill the vectors, weights are turned for every few slices: pixels that are worth
#: it, and the bytes that they may take.
_WORTH_TURNING, _ROOM = 2048, 4 << 20
#: Rows up to which they may be.
_SHORT = 8
#: Input channels that a slice of the weights is computed for at a time, where there are many.
_FEW = 64


class _Volume(NamedTuple):
    """The sizes of a convolution of volumes."""

    n: int
    inputs: int
    size: tuple[int, int, int]
    outputs: int
    kernel: tuple[int, int, int]
    out: tuple[int, int, int]
    geometry: Any

    @property
    def groups(self) -> int:
        return self.geometry.groups

    @property
    def plane(self) -> tuple[int, int]:
        return self.size[1:]

    @property
    def result(self) -> tuple[int, int]:
        return self.out[1:]

    def flat(self, padded: bool) -> Any:
        """The geometry within a slice, its padding done already if ``padded``."""
        stride, padding, dilation, groups = self.geometry
        own = (0, 0) if padded else padding[1:]
        return self.geometry._replace(stride=stride[1:], padding=own, dilation=dilation[1:])

    def flops(self) -> int:
        taps = self.kernel[0] * self.kernel[1] * self.kernel[2]
        per = self.inputs // self.groups * taps
        return 2 * self.n * self.outputs * _area(self.result) * self.out[0] * per


def _area(plane: tuple[int, int]) -> int:
    return plane[0] * plane[1]


def _volume(x: Array, w: Array, y: Array, geometry: Any) -> _Volume | None:
    """The sizes, from arrays shaped as input, weights and output; None if these are no volumes."""
    if len(geometry.stride) != 3:
        return None
    for a in (x, w, y):
        if a.spec.dtype.name != "float32" or not a.spec.contiguous or not a.spec.numel:
            return None
    (n, inputs, *size), (outputs, _, *kernel) = x.spec.shape, w.spec.shape
    return _Volume(
        n, inputs, tuple(size), outputs, tuple(kernel), tuple(y.spec.shape[2:]), geometry
    )  # type: ignore[arg-type]


def _array(pointer: str, like: Array, *shape: int) -> Array:
    """A row-major array at a pointer."""
    spec = make_spec(like.spec.dtype, shape, contiguous_stride(shape), 0, like.spec.device)
    return Array(pointer, spec)


def _some(m: int, outputs: int, inputs: int, plane: tuple[int, int], size: int, lanes: int) -> int:
    """How many of ``m`` images a kernel for images is given at a time, of ``size`` floats each."""

    def most(limit: int) -> int:
        return max(d for d in range(1, m + 1) if m % d == 0 and d <= max(1, limit))

    if channels.suits(outputs, inputs, plane[1], _SHORT):
        return most(min(-(-_WORTH_TURNING // _area(plane)), _ROOM // (4 * size)))
    batch = 2 * lanes
    if m % batch == 0 and batch * size * 4 <= 2 * _NEAR:
        return batch
    return most(min(max(1, m // 8), _NEAR // (4 * size)))


# -- slices in and out -----------------------------------------------------------------------------


class _Planes(NamedTuple):
    """How a slice is moved: its size, and the frame of zeros that it may get."""

    size: tuple[int, int]
    pad: tuple[int, int] = (0, 0)

    @property
    def frame(self) -> tuple[int, int]:
        return self.size[0] + 2 * self.pad[0], self.size[1] + 2 * self.pad[1]

    @property
    def area(self) -> int:
        """Floats of a frame."""
        return _area(self.frame)

    def move(self, c: Code, source: str, target: str, lanes: int) -> None:
        """Copy a slice into a frame that is zero around it."""
        (h, w), (ph, pw) = self.size, self.pad
        if not (ph or pw):
            _copy(c, source, target, h * w, lanes)
            return
        with c.loop(h) as row:
            line = c.plus(c.times(row, self.frame[1]), ph * self.frame[1] + pw)
            _copy(c, c.at("float", source, c.times(row, w)), c.at("float", target, line), w, lanes)

    def clear(self, c: Code, target: str) -> None:
        zero(c, target, self.area)


def _copy(c: Code, source: str, target: str, count: int, lanes: int) -> None:
    whole = count // lanes * lanes
    if whole:
        with c.loop(whole, lanes) as i:
            value = c.masked_load("float", lanes, lanes, c.at("float", source, i))
            c.masked_store("float", lanes, lanes, value, c.at("float", target, i))
    if whole < count:
        used = count - whole
        value = c.masked_load("float", lanes, used, c.at("float", source, whole))
        c.masked_store("float", lanes, used, value, c.at("float", target, whole))


@contextmanager
def _either(c: Code, slice_: str, depth: int, otherwise: Any) -> Iterator[None]:
    """Run the body where a slice is one of ``depth``, else ``otherwise()``."""
    inside = c.let(f"icmp ult i64 {slice_}, {depth}")
    with c.when(inside):
        yield
    with c.when(c.let(f"xor i1 {inside}, true")):
        otherwise()


def _window(
    c: Code, source: str, target: str, count: int, depth: int, taps: channels.Taps, at: str,
    planes: _Planes, lanes: int,
) -> None:  # fmt: skip
    """For ``count`` channels of one volume: the slices that taps read for the output slice whose
    first tap reads slice ``at``; a channel's slices lie side by side."""
    with c.loop(taps.number) as i:
        slice_ = c.plus(at, c.times(i, taps.shift))

        def place(channel: str, i: str = i) -> str:
            return c.at(
                "float", target, c.times(c.plus(c.times(channel, taps.number), i), planes.area)
            )

        def clear() -> None:
            with c.loop(count) as channel:
                planes.clear(c, place(channel))

        with _either(c, slice_, depth, clear), c.loop(count) as channel:
            whole = c.plus(c.times(channel, depth), slice_)
            plane = c.at("float", source, c.times(whole, _area(planes.size)))
            planes.move(c, plane, place(channel), lanes)


def _within(c: Code, low: Lowering, shared: str, scratch: str) -> None:
    """The whole of a lowering inside one piece of another, its memory at these pointers."""
    start = len(c.lines)
    with c.uncut():
        if low.prepare is not None:
            low.prepare(c)
        low.emit(c)
    c.lines[start:] = [
        line.replace("%shared", shared).replace("%scratch", scratch) for line in c.lines[start:]
    ]


def _room(floats: int) -> int:
    """As many floats in whole cache lines."""
    return -(-floats // 16) * 16


# -- slices of outputs from windows of inputs ------------------------------------------------------


class _Pass(NamedTuple):
    """Slices of a volume's outputs that the same taps make: windows through a kernel for images."""

    low: Lowering
    #: Images at a time, and slices of a volume.
    some: int
    slices: int
    #: Which slices of the source the taps read, from slice ``j * step`` on for the j-th.
    taps: channels.Taps
    step: int
    #: The first slice of the target, and how far apart the next is.
    at: int
    apart: int
    #: Channels, depth and slices of the source and of the target.
    source: tuple[int, int, _Planes]
    target: tuple[int, int, _Planes]

    @property
    def windows(self) -> int:
        """Floats of the windows that are made at a time."""
        channels, _, planes = self.source
        return _room(self.some * channels * self.taps.number * planes.area)

    @property
    def sums(self) -> int:
        """Floats of the slices that come out of them."""
        channels, _, planes = self.target
        return _room(self.some * channels * planes.area)

    def bytes(self) -> int:
        return 4 * (self.windows + self.sums) + self.low.shared + 64 + self.low.scratch

    def emit(self, c: Code, n: int, x: str, y: str, name: str, lanes: int) -> None:
        """``name`` is that of this pass's pointers, which the lowering was given."""
        channels, depth, planes = self.source
        outputs, height, results = self.target
        _pointer(c, f"%windows{name}", "%scratch", 0)
        _pointer(c, f"%sums{name}", "%scratch", self.windows)
        shared = c.at("float", "%scratch", self.windows + self.sums)
        scratch = c.at("i8", shared, -(-self.low.shared // 64) * 64)
        if any(planes.pad):
            zero(c, f"%windows{name}", self.windows)
        with c.share(n * self.slices // self.some) as group, c.uncut():
            first = c.times(group, self.some)
            with c.loop(self.some) as i:
                volume, j = _split(c, c.plus(first, i), self.slices)
                own = channels * self.taps.number * planes.area
                _window(
                    c, c.at("float", x, c.times(volume, channels * depth * _area(planes.size))),
                    c.at("float", f"%windows{name}", c.times(i, own)), channels, depth, self.taps,
                    c.plus(c.times(j, self.step), self.taps.start), planes, lanes,
                )  # fmt: skip
            _within(c, self.low, shared, scratch)
            area = results.area
            with c.loop(self.some) as i, c.loop(outputs) as o:
                volume, j = _split(c, c.plus(first, i), self.slices)
                slice_ = c.plus(c.times(j, self.apart), self.at)
                plane = c.plus(c.times(c.plus(c.times(volume, outputs), o), height), slice_)
                made = c.at("float", f"%sums{name}", c.times(c.plus(c.times(i, outputs), o), area))
                results.move(c, made, c.at("float", y, c.times(plane, area)), lanes)


def _pointer(c: Code, name: str, base: str, floats: int) -> None:
    """A pointer by a name that is known before the code is."""
    c.do(f"{name} = getelementptr inbounds float, ptr {base}, i64 {floats}")


def _split(c: Code, image: str, count: int) -> tuple[str, str]:
    """The volume and the slice of an image."""
    if image.isdigit():
        return str(int(image) // count), str(int(image) % count)
    return c.let(f"udiv i64 {image}, {count}"), c.let(f"urem i64 {image}, {count}")


def lower_forward(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    geometry, (x, w, *bias), (y,) = call.params[0], operands, outs
    v = _volume(x, w, y, geometry)
    if v is None or any(not b.spec.contiguous for b in bias):
        return None
    stride, padding, dilation, _ = geometry
    deep = v.kernel[0]
    weights = w.viewed(*_shaped(v.outputs, w.spec.shape[1] * deep, *v.kernel[1:]))
    if v.out[0] == 1 and deep == v.size[0] and not padding[0]:
        # All slices make one: the volume is an image already.
        image = x.viewed(*_shaped(v.n, v.inputs * deep, *v.plane))
        result = y.viewed(*_shaped(v.n, v.outputs, *v.result))
        flat = Call(call.op, (v.flat(False),), call.specs, (y.spec,))
        return convolution.lower_forward(flat, [image, weights, *bias], [result], lanes)
    planes = _Planes(v.plane, padding[1:] if max(stride[1:]) == 1 else (0, 0))
    size = v.inputs * deep * planes.area + v.outputs * _area(v.result)
    some = _some(v.n * v.out[0], v.outputs, v.inputs * deep, v.result, size, lanes)
    flat = Call(call.op, (v.flat(any(planes.pad)),), call.specs, (y.spec,))
    low = convolution.lower_forward(
        flat,
        [_array("%windows", x, some, v.inputs * deep, *planes.frame), weights, *bias],
        [_array("%sums", y, some, v.outputs, *v.result)], lanes,
    )  # fmt: skip
    if low is None:
        return None
    one = _Pass(
        low, some, v.out[0], channels.Taps(deep, 0, 1, -padding[0], dilation[0]), stride[0], 0, 1,
        (v.inputs, v.size[0], planes), (v.outputs, v.out[0], _Planes(v.result)),
    )  # fmt: skip

    def emit(c: Code) -> None:
        one.emit(c, v.n, x.base(c), y.base(c), "", lanes)

    return Lowering(emit, scratch=one.bytes(), pieces=v.n * v.out[0] // some, flops=v.flops())


def _shaped(*shape: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return shape, contiguous_stride(shape)


def lower_input(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The gradient of the input: a pass for every remainder that the stride in depth leaves."""
    geometry, (g, w), (out,) = call.params[1], operands, outs
    v = _volume(out, w, g, geometry)
    if v is None:
        return None
    stride, padding, dilation, _ = geometry
    own = w.spec.shape[1]
    size = own * _area(v.kernel[1:])
    passes: list[tuple[_Pass | None, channels.Taps, int, int]] = []
    start = 0
    for number, (taps, count, first) in enumerate(
        channels.remainders(v.size[0], v.kernel[0], stride[0], padding[0], dilation[0])
    ):
        if not taps.number:
            passes.append((None, taps, count, first))
            continue
        one = _input_pass(call, v, g, w, out, (taps, count, first), number, lanes)
        if one is None:
            return None
        passes.append((one, taps, start, 0))
        start += v.outputs * taps.number * size
    area = _area(v.plane)

    def order(c: Code) -> None:
        """Write each pass's weights: its taps behind their output, as channels of the gradient."""
        for one, taps, begin, _ in passes:
            if one is None:
                continue
            with c.share(v.outputs) as o, c.loop(taps.number) as i, c.loop(own) as channel:
                k = c.plus(c.times(i, taps.step), taps.first)
                old = c.plus(c.times(c.plus(c.times(o, own), channel), v.kernel[0]), k)
                new = c.plus(c.times(c.plus(c.times(o, taps.number), i), own), channel)
                new = c.plus(c.times(new, _area(v.kernel[1:])), begin)
                _copy(
                    c, c.at("float", w.base(c), c.times(old, _area(v.kernel[1:]))),
                    c.at("float", "%shared", new), _area(v.kernel[1:]), lanes,
                )  # fmt: skip

    def emit(c: Code) -> None:
        source, target = g.base(c), out.base(c)
        for number, (one, _, begin, first) in enumerate(passes):
            if one is not None:
                _pointer(c, f"%weights{number}", "%shared", begin)
                one.emit(c, v.n, source, target, str(number), lanes)
                continue
            with c.share(v.n * v.inputs) as plane, c.loop(begin) as j:
                slice_ = c.plus(c.times(plane, v.size[0]), c.times(j, stride[0]), first)
                zero(c, c.at("float", target, c.times(slice_, area)), area)

    real = [one for one, *_ in passes if one is not None]
    return Lowering(
        emit, scratch=max((one.bytes() for one in real), default=0),
        pieces=max((v.n * one.slices // one.some for one in real), default=v.n), flops=v.flops(),
        prepare=order, shared=4 * start,
    )  # fmt: skip


def _input_pass(
    call: Call, v: _Volume, g: Array, w: Array, out: Array, axis: tuple[channels.Taps, int, int],
    number: int, lanes: int,
) -> _Pass | None:  # fmt: skip
    taps, count, first = axis
    planes, results = _Planes(v.result), _Planes(v.plane)
    many = v.outputs * taps.number
    size = many * planes.area + v.inputs * results.area
    some = _some(v.n * count, v.inputs, many, results.size, size, lanes)
    shape = (some, v.inputs, *v.plane)
    flat = Call(call.op, (shape, v.flat(False)), call.specs, (out.spec,))
    low = convolution.lower_input(
        flat,
        [
            _array(f"%windows{number}", g, some, many, *v.result),
            _array(f"%weights{number}", w, many, w.spec.shape[1], *v.kernel[1:]),
        ],
        [_array(f"%sums{number}", out, *shape)], lanes,
    )  # fmt: skip
    if low is None:
        return None
    return _Pass(
        low, some, count, taps, 1, first, v.geometry.stride[0],
        (v.outputs, v.out[0], planes), (v.inputs, v.size[0], results),
    )  # fmt: skip


# -- the gradient of the weights -------------------------------------------------------------------


def lower_weight(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """A unit is one slice of the kernel for some input channels and all outputs of a group."""
    geometry, (g, x), (out,) = call.params[1], operands, outs
    v = _volume(x, out, g, geometry)
    if v is None:
        return None
    stride, padding, dilation, groups = geometry
    inputs, outputs, deep = v.inputs // groups, v.outputs // groups, v.kernel[0]
    wide = _wide(inputs, groups * deep)
    planes = _Planes(v.plane, padding[1:] if max(stride[1:]) == 1 else (0, 0))
    pixels, m = _area(v.result), v.n * v.out[0]
    size = wide * planes.area + outputs * pixels
    some = _some(m, outputs, wide, v.result, size, lanes)
    flat = v.flat(any(planes.pad))._replace(groups=1)
    shape = (outputs, wide, *v.kernel[1:])
    low = convolution.lower_weight(
        Call(call.op, (shape, flat), call.specs, (out.spec,)),
        [
            _array("%gradients", g, some, outputs, *v.result),
            _array("%windows", x, some, wide, *planes.frame),
        ],
        [_array("%sums", out, *shape)], lanes,
    )  # fmt: skip
    if low is None:
        return None
    windows, sums = _room(some * wide * planes.area), _room(outputs * wide * _area(v.kernel[1:]))
    #: Slices of the gradient side by side, group by group.
    apart = (v.out[0] > 1 and v.outputs > 1) or (groups > 1 and m > 1)

    def order(c: Code) -> None:
        with c.share(m) as image, c.loop(groups) as group, c.loop(outputs) as o:
            volume, j = _split(c, image, v.out[0])
            plane = c.plus(c.times(volume, v.outputs), c.times(group, outputs), o)
            old = c.plus(c.times(plane, v.out[0]), j)
            new = c.plus(c.times(c.plus(c.times(group, m), image), outputs), o)
            _copy(
                c, c.at("float", g.base(c), c.times(old, pixels)),
                c.at("float", "%shared", c.times(new, pixels)), pixels, lanes,
            )  # fmt: skip

    def emit(c: Code) -> None:
        source, blocks = x.base(c), inputs // wide
        gradients = "%shared" if apart else g.base(c)
        _pointer(c, "%windows", "%scratch", 0)
        _pointer(c, "%sums", "%scratch", windows)
        shared = c.at("float", "%scratch", windows + sums)
        scratch = c.at("i8", shared, -(-low.shared // 64) * 64)
        if any(planes.pad):
            zero(c, "%windows", windows)
        with c.share(groups * blocks * deep) as unit, c.uncut():
            block, k = _split(c, unit, deep)
            group, _ = _split(c, block, blocks)
            first = c.times(block, wide)  # channel
            with c.loop(m // some) as chunk:
                image = c.plus(c.times(group, m), c.times(chunk, some))
                place = c.at("float", gradients, c.times(image, outputs * pixels))
                _pointer(c, "%gradients", place, 0)
                with c.loop(some) as i:
                    volume, j = _split(c, c.plus(c.times(chunk, some), i), v.out[0])
                    plane = c.times(c.plus(c.times(volume, v.inputs), first), v.size[0])
                    _window(
                        c, c.at("float", source, c.times(plane, _area(v.plane))),
                        c.at("float", "%windows", c.times(i, wide * planes.area)), wide, v.size[0],
                        channels.Taps(1, 0, 1, 0, 1),
                        c.plus(c.times(j, stride[0]), c.times(k, dilation[0]), -padding[0]),
                        planes, lanes,
                    )  # fmt: skip
                _within(c, low, shared, scratch)
                into = c.times(group, outputs * inputs)
                into = c.plus(into, first, c.times(group, -inputs))
                _add(c, v, out.base(c), into, k, (outputs, wide), chunk)

    return Lowering(
        emit, scratch=4 * (windows + sums) + low.shared + 64 + low.scratch,
        pieces=groups * deep * (inputs // wide), flops=v.flops(),
        prepare=order if apart else None, shared=4 * g.spec.numel if apart else 0,
    )  # fmt: skip


def _wide(inputs: int, units: int) -> int:
    """Input channels of a unit: enough units for some threads, and channels for the vectors."""
    if inputs >= 2 * _FEW:
        return min(d for d in range(_FEW, inputs + 1) if inputs % d == 0)
    if units >= 4:
        return inputs
    return inputs // 2 if inputs % 2 == 0 else inputs


def _add(
    c: Code, v: _Volume, out: str, first: str, k: str, shape: tuple[int, int], chunk: str
) -> None:
    """Add sums (outputs, channels, taps) to a slice of the weights, whose first pair of an output
    and a channel is ``first``; the first chunk is put there."""
    outputs, wide = shape
    taps, inputs = _area(v.kernel[1:]), v.inputs // v.groups
    begun = c.let(f"icmp ne i64 {chunk}, 0")
    with c.loop(outputs) as o, c.loop(wide) as channel:
        pair = c.plus(first, c.times(o, inputs), channel)
        target = c.at("float", out, c.times(c.plus(c.times(pair, v.kernel[0]), k), taps))
        source = c.at("float", "%sums", c.times(c.plus(c.times(o, wide), channel), taps))
        with c.loop(taps) as i:
            have = c.let(f"select i1 {begun}, float {c.load('float', target, i)}, float 0.0")
            value = c.let(f"fadd float {have}, {c.load('float', source, i)}")
            c.store("float", value, target, i)
