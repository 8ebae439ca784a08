"""Reading and writing at places that tensors name. An index out of range fails the plan.

Writes go over the old tensor where nobody needs it any more, else over a copy; where one place is
written twice the later write wins, and sums are taken in the order of the index, as kernels do.
That order holds for any number of threads: pieces of a write divide a dimension that no index is
for, so that no two of them write to one place.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import TYPES, Code
from cresset.compiler.copies import WIDTHS, move
from cresset.compiler.elements import ELEMENTS, lowered, settled
from cresset.compiler.layout import broadcast_stride
from cresset.compiler.nests import index_at, walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call
from cresset.core.spec import Spec

INDICES = ("int64", "int32", "uint8")


def checked(c: Code, index: Array, place: str, size: int, negative: bool = False) -> Lanes:
    """The index at a place, which must be below ``size``; negative ones may count from the end."""
    value = index_at(c, index.spec.dtype.name, index.pointer, c.plus(place, index.spec.offset))
    if negative:
        value = select(value < 0, value + size, value)
    c.fail_if(c.let(f"icmp uge i64 {value.register}, {size}"))
    return value


def _moved(c: Code, source: Array, spec: Spec, adds: bool) -> Callable[[str], str]:
    """Reads elements of a source at an offset, as they are moved to an array like ``spec``."""
    kind = _moved_as(spec, adds)
    if source.spec.number is None:
        return lambda offset: c.load(kind, source.pointer, c.plus(offset, source.spec.offset))
    name, register = spec.dtype.name, ELEMENTS[spec.dtype.name].register
    floating = register in FORMATS
    one = source.number(c, register) if floating else source.whole(c, name)
    value = lowered(settled(Lanes(c, register, 0, one), name), name)
    if value.element in FORMATS and kind != value.element:
        value = value.bits()
    return lambda offset: value.register


def _givable(source: Array, spec: Spec) -> bool:
    """Whether a source can be moved to an array of that dtype: a tensor, or a number that fits."""
    number = source.spec.number
    if number is None:
        return source.spec.numel > 0
    return spec.dtype.name in ELEMENTS and number <= (2 if spec.dtype.is_floating_point else 1)


def _whole(position: int, operands: list[Array], spec: Spec) -> tuple[int, ...]:
    number = operands[position].spec.number
    return () if number is None or spec.dtype.is_floating_point else (position,)


def _readable(*indices: Array) -> bool:
    return all(i.spec.dtype.name in INDICES and i.spec.numel for i in indices)


def _put(c: Code, out: Array, place: str, value: str, adds: bool) -> None:
    """Write an element, given in the type that it is moved as, or add it to what is there."""
    if not adds:
        c.store(WIDTHS[out.spec.dtype.itemsize], value, out.pointer, place)
        return
    kind = TYPES[out.spec.dtype.name]
    have = c.load(kind, out.pointer, place)
    name = "fadd" if kind in FORMATS else "add"
    c.store(kind, c.let(f"{name} {kind} {have}, {value}"), out.pointer, place)


def _moved_as(spec: Spec, adds: bool) -> str:
    return TYPES[spec.dtype.name] if adds else WIDTHS[spec.dtype.itemsize]


def _addable(spec: Spec) -> bool:
    """Halves are added up in float32 and rounded once; bools are not added but joined."""
    return spec.dtype.name in TYPES and spec.dtype.name != "bool"


def begin(source: Array, out: Array) -> Callable[[Code], None]:
    """The stage in front of writes: a copy of the old tensor, unless it is written over."""

    def prepare(c: Code) -> None:
        if not c.aliased:
            move(c, source, out)

    return prepare


def _longest(shape: tuple[int, ...], but: tuple[int, ...]) -> int | None:
    """The longest dimension that no index is for; of equals the first."""
    rest = [d for d in range(len(shape)) if d not in but and shape[d] > 1]
    return max(rest, key=lambda d: shape[d]) if rest else None


def pieces_apart(shape: tuple[int, ...], but: tuple[int, ...]) -> int:
    """Into how many pieces ``walk_apart`` can be cut."""
    d = _longest(shape, but)
    return 1 if d is None else shape[d]


def walk_apart(
    c: Code, shape: tuple[int, ...], strides: list[tuple[int, ...]], but: tuple[int, ...],
    body: Callable[[list[str]], None],
) -> None:  # fmt: skip
    """``walk``, its pieces divided along the longest dimension that is not one of ``but``."""
    cut = _longest(shape, but)
    if c.pieces == 1 or cut is None:
        walk(c, shape, strides, body)
        return
    low, high = c.bounds(shape[cut])

    def nest(d: int, offsets: list[str]) -> None:
        if d == len(shape):
            body(offsets)
            return
        with c.span(low, high) if d == cut else c.loop(shape[d]) as i:
            nest(
                d + 1, [c.plus(o, c.times(i, s[d])) for o, s in zip(offsets, strides, strict=True)]
            )

    nest(0, ["0"] * len(strides))


def first_pieces(shape: tuple[int, ...]) -> int:
    """Into how many pieces a ``walk`` that is shared can be cut."""
    return next((n for n in shape if n > 1), 1)


# -- one index per element -------------------------------------------------------------------------


def lower_gather(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``out[i][j] = x[index[i][j]][j]``."""
    x, index = operands
    (dim,) = call.params
    out, kind = outs[0], WIDTHS[x.spec.dtype.itemsize]
    if not _readable(index) or not x.spec.shape or len(x.spec.shape) != len(index.spec.shape):
        return None
    stride = tuple(x.spec.stride)
    others = (*stride[:dim], 0, *stride[dim + 1 :])

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            where = checked(c, index, offsets[0], x.spec.shape[dim])
            place = c.plus(offsets[1], c.times(where.register, stride[dim]), x.spec.offset)
            c.store(kind, c.load(kind, x.pointer, place), out.pointer, offsets[2])

        strides = [tuple(index.spec.stride), others, tuple(out.spec.stride)]
        walk(c, tuple(index.spec.shape), strides, body, shared=True)

    return Lowering(emit, pieces=first_pieces(tuple(index.spec.shape)))


def lower_scatter(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``out[index[i][j]][j] = source[i][j]``, or added there."""
    x, index, source = operands
    dim, out = call.params[0], outs[0]
    adds = call.op.name == "scatter_add"
    if not adds and call.params[1] != "set":
        return None
    if not _readable(index) or not x.spec.shape or len(x.spec.shape) != len(index.spec.shape):
        return None
    if not _givable(source, out.spec) or (adds and not _addable(out.spec)) or not out.spec.numel:
        return None
    if source.spec.shape and len(source.spec.shape) != len(x.spec.shape):
        return None
    stride = tuple(out.spec.stride)
    others = (*stride[:dim], 0, *stride[dim + 1 :])

    shape = tuple(index.spec.shape)

    def emit(c: Code) -> None:
        value = _moved(c, source, out.spec, adds)

        def body(offsets: list[str]) -> None:
            where = checked(c, index, offsets[0], out.spec.shape[dim])
            place = c.plus(offsets[1], c.times(where.register, stride[dim]))
            _put(c, out, place, value(offsets[2]), adds)

        given = tuple(source.spec.stride) or (0,) * len(shape)
        walk_apart(c, shape, [tuple(index.spec.stride), others, given], (dim,), body)

    return Lowering(
        emit, prepare=begin(x, out), pieces=pieces_apart(shape, (dim,)), pairs=((0, 0),),
        whole=_whole(2, operands, out.spec),
    )  # fmt: skip


# -- whole slices ----------------------------------------------------------------------------------


def _slices(
    c: Code, index: Array, shape: tuple[int, ...], dim: int, size: int,
    strides: list[tuple[int, ...]], indexed: int, body: Callable[[list[str]], None],
    negative: bool = False, writes: bool = True,
) -> None:  # fmt: skip
    """Loops over a shape whose dimension ``dim`` goes along the index: array ``indexed`` is at the
    place that the index names there. The index is read once per slice. Pieces divide the outermost
    loop, or, of writes, one that no index is for."""
    outer, inner = shape[:dim], shape[dim + 1 :]
    own = index.spec.stride[0] if index.spec.shape else 0
    far = any(n > 1 for n in outer)
    across = not far and writes and c.pieces > 1

    def before(offsets: list[str]) -> None:
        with c.share(shape[dim]) if not (far or across) else c.loop(shape[dim]) as i:
            where = checked(c, index, c.times(i, own), size, negative)
            further = [
                c.plus(o, c.times(where.register if n == indexed else i, s[dim]))
                for n, (o, s) in enumerate(zip(offsets, strides, strict=True))
            ]

            def rest(more: list[str]) -> None:
                body([c.plus(a, b) for a, b in zip(further, more, strict=True)])

            after = [s[dim + 1 :] for s in strides]
            if across:
                walk_apart(c, inner, after, (), rest)
            else:
                walk(c, inner, after, rest)

    walk(c, outer, [s[:dim] for s in strides], before, shared=far)


def _slice_pieces(shape: tuple[int, ...], dim: int, writes: bool) -> int:
    """Into how many pieces ``_slices`` can be cut."""
    if any(n > 1 for n in shape[:dim]):
        return first_pieces(shape[:dim])
    return pieces_apart(shape[dim + 1 :], ()) if writes else shape[dim]


def lower_index_select(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Slices of a tensor along one dimension."""
    x, index = operands
    (dim,) = call.params
    out, kind = outs[0], WIDTHS[x.spec.dtype.itemsize]
    if not _readable(index) or not x.spec.shape or not out.spec.numel:
        return None

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            value = c.load(kind, x.pointer, c.plus(offsets[0], x.spec.offset))
            c.store(kind, value, out.pointer, offsets[1])

        strides = [tuple(x.spec.stride), tuple(out.spec.stride)]
        _slices(c, index, shape, dim, x.spec.shape[dim], strides, 0, body, writes=False)

    shape = tuple(out.spec.shape)
    return Lowering(emit, pieces=_slice_pieces(shape, dim, False))


def lower_index_write(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Slices along one dimension added, replaced, or filled with one value."""
    x, index, source = operands
    dim, mode = call.params
    out, adds = outs[0], mode == "add"
    if not _readable(index) or not x.spec.shape or not _givable(source, out.spec):
        return None
    if (adds and not _addable(out.spec)) or not out.spec.numel:
        return None
    size = x.spec.shape[dim]
    shape = (*x.spec.shape[:dim], index.spec.numel, *x.spec.shape[dim + 1 :])
    if mode != "fill" and tuple(source.spec.shape) != shape:
        return None

    def emit(c: Code) -> None:
        value = _moved(c, source, out.spec, adds)

        def body(offsets: list[str]) -> None:
            _put(c, out, offsets[0], value(offsets[1]), adds)

        given = tuple(source.spec.stride) if mode != "fill" else (0,) * len(shape)
        strides = [tuple(out.spec.stride), given]
        _slices(c, index, shape, dim, size, strides, 0, body, negative=mode == "fill")

    return Lowering(
        emit, prepare=begin(x, out), pieces=_slice_pieces(shape, dim, True), pairs=((0, 0),),
        whole=_whole(2, operands, out.spec),
    )  # fmt: skip


# -- several indices -------------------------------------------------------------------------------


class _Key:
    """Index tensors for some dimensions of an array, broadcast together.

    Their shape stands where they stand among the dimensions, or first if others lie between.
    """

    def __init__(self, x: Spec, indices: list[Array], pattern: tuple[bool, ...]) -> None:
        self.x, self.indices = x, indices
        self.dims = [d for d, used in enumerate(pattern) if used]
        rest = [d for d in range(len(x.shape)) if d not in self.dims]
        together = self.dims[-1] - self.dims[0] == len(self.dims) - 1
        lead = self.dims[0] if together else 0
        self.joint = max((tuple(i.spec.shape) for i in indices), key=len)
        for i in indices:
            own = tuple(i.spec.shape)
            own = (1,) * (len(self.joint) - len(own)) + own
            self.joint = tuple(max(a, b) for a, b in zip(self.joint, own, strict=True))
        before, after = rest[:lead], rest[lead:]
        #: The result's shape; strides of the array (0 along the indices) and of each index over it.
        width = len(self.joint)
        #: The dimensions of that shape that the indices are for.
        self.indexed = tuple(range(len(before), len(before) + width))
        self.shape = (
            *(x.shape[d] for d in before), *self.joint, *(x.shape[d] for d in after)
        )  # fmt: skip
        self.stride = (
            *(x.stride[d] for d in before), *(0,) * width, *(x.stride[d] for d in after)
        )  # fmt: skip
        self.strides = [
            (*(0,) * len(before), *broadcast_stride(i.spec, self.joint), *(0,) * len(after))
            for i in indices
        ]

    def place(self, c: Code, offset: str, offsets: list[str]) -> str:
        """Where an element lies: ``offset`` by the other dimensions, ``offsets`` of the indices."""
        terms = [offset]
        for d, index, at in zip(self.dims, self.indices, offsets, strict=True):
            where = checked(c, index, at, self.x.shape[d], negative=True)
            terms.append(c.times(where.register, self.x.stride[d]))
        return c.plus(*terms)


def lower_index(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``x[index, :, other]``."""
    x, *indices = operands
    out, kind = outs[0], WIDTHS[x.spec.dtype.itemsize]
    if not _readable(*indices) or not out.spec.numel:
        return None
    key = _Key(x.spec, indices, call.params[0])

    def emit(c: Code) -> None:
        def body(offsets: list[str]) -> None:
            place = c.plus(key.place(c, offsets[0], offsets[2:]), x.spec.offset)
            c.store(kind, c.load(kind, x.pointer, place), out.pointer, offsets[1])

        strides = [key.stride, tuple(out.spec.stride), *key.strides]
        walk(c, key.shape, strides, body, shared=True)

    return Lowering(emit, pieces=first_pieces(key.shape))


def lower_index_put(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``x[index, :, other] = values``, or added there."""
    if len(call.params) != 2:
        return None
    x, values, *indices = operands
    pattern, adds = call.params
    out = outs[0]
    if not _readable(*indices) or not _givable(values, out.spec) or not out.spec.numel:
        return None
    if adds and not _addable(out.spec):
        return None
    key = _Key(out.spec, indices, pattern)

    def emit(c: Code) -> None:
        value = _moved(c, values, out.spec, adds)

        def body(offsets: list[str]) -> None:
            _put(c, out, key.place(c, offsets[0], offsets[2:]), value(offsets[1]), adds)

        given = broadcast_stride(values.spec, key.shape)
        walk_apart(c, key.shape, [key.stride, given, *key.strides], key.indexed, body)

    return Lowering(
        emit, prepare=begin(x, out), pieces=pieces_apart(key.shape, key.indexed), pairs=((0, 0),),
        whole=_whole(1, operands, out.spec),
    )  # fmt: skip
