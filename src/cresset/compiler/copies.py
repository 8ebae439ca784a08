"""Values that only move: row-major copies, writes into a region, joined tensors. Any dtype."""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.layout import broadcast_stride
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.core.spec import spec as make_spec

#: An integer type as wide as an element.
WIDTHS = {1: "i8", 2: "i16", 4: "i32", 8: "i64", 16: "i128"}


def move(c: Code, source: Array, target: Array) -> None:
    """Copy elementwise between two layouts of one shape (the source may be broadcast)."""
    shape, kind = tuple(target.spec.shape), WIDTHS[target.spec.dtype.itemsize]
    if not target.spec.numel:
        return

    def body(offsets: list[str]) -> None:
        to, of = (c.plus(o, a.spec.offset) for o, a in zip(offsets, (target, source), strict=True))
        c.store(kind, c.load(kind, source.pointer, of), target.pointer, to)

    strides = [tuple(target.spec.stride), broadcast_stride(source.spec, shape)]
    walk(c, shape, strides, body, shared=True)


def _pieces(shape: tuple[int, ...]) -> int:
    return next((n for n in shape if n > 1), 1)


def lower_copy(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    (source,), (target,) = operands, outs
    if source.spec.dtype is not target.spec.dtype or not target.spec.numel:
        return None
    # The outermost loop may be longer than its dimension where dimensions are joined.
    return Lowering(lambda c: move(c, source, target), pieces=_pieces(tuple(target.spec.shape)))


def lower_write(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """A flat base with a region replaced: in its own memory if nobody needs the old value."""
    base, source = operands
    target = outs[0]
    shape, stride, offset = call.params
    if source.spec.number is not None or source.spec.dtype is not base.spec.dtype:
        return None
    if not base.spec.contiguous or not target.spec.numel:
        return None
    window = make_spec(base.spec.dtype, shape, stride, offset, base.spec.device)

    def emit(c: Code) -> None:
        if not c.aliased:
            move(c, base, target)
        if window.numel:
            move(c, source, Array(target.pointer, window.at_zero() if c.aliased else window))

    return Lowering(emit, pairs=((0, 0),), start=offset * base.spec.dtype.itemsize)


def lower_cat(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """Each operand into its part of the output."""
    out = outs[0].spec
    dim = call.params[0] % len(out.shape)
    if any(a.spec.number is not None or a.spec.dtype is not out.dtype for a in operands):
        return None
    parts = []
    start = 0
    for a in operands:
        if len(a.spec.shape) != len(out.shape):
            return None  # the empty tensor that cat skips
        part = make_spec(
            out.dtype, tuple(a.spec.shape), tuple(out.stride), start * out.stride[dim], out.device
        )
        parts.append((a, Array(outs[0].pointer, part)))
        start += a.spec.shape[dim]
    if not out.numel:
        return None

    def emit(c: Code) -> None:
        for source, target in parts:
            move(c, source, target)

    return Lowering(emit)


def lower_stack(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """Each operand into its slice of the output."""
    out = outs[0].spec
    dim = call.params[0] % len(out.shape)
    if any(a.spec.number is not None or a.spec.dtype is not out.dtype for a in operands):
        return None
    if not out.numel:
        return None
    stride = (*out.stride[:dim], *out.stride[dim + 1 :])

    def emit(c: Code) -> None:
        for i, a in enumerate(operands):
            part = make_spec(
                out.dtype, tuple(a.spec.shape), stride, i * out.stride[dim], out.device
            )
            move(c, a, Array(outs[0].pointer, part))

    return Lowering(emit)
