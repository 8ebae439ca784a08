"""Steps on half types by the code for float32: operands are widened first, results rounded last.

So do the reference kernels, and PyTorch on CPUs: a product of bfloat16 matrices adds up in float32
and rounds once. Operands of other dtypes than the one that an op computes in become that one in the
same way, and what lies in memory as a lowering does not know it (a gradient that is one number for
all, say) becomes row-major. The copies lie behind ``%shared``, in front of what the lowering keeps
there itself.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset import dtypes
from cresset.compiler.code import Code
from cresset.compiler.elements import ELEMENTS, converted, load, settled, store, taken_as, width
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call, Result
from cresset.core.spec import Spec, contiguous_stride
from cresset.core.spec import spec as make_spec
from cresset.dtypes import dtype

_Row = Callable[[Call, list[Array], list[Array], int], Lowering | None]


def _twin(spec: Spec, kind: dtype) -> Spec:
    """A row-major array of the same shape in another dtype."""
    shape = tuple(spec.shape)
    return make_spec(kind, shape, contiguous_stride(shape), 0, spec.device)


def lower_widened(
    row: _Row, call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """The lowering of ``row`` on operands of the dtypes that the op computes in."""
    every = [a.spec for a in (*operands, *outs) if a.spec.number is None]
    if any(spec.dtype.name not in ELEMENTS or not spec.numel for spec in every):
        return None
    room = 0

    def copy(a: Array, kind: dtype, name: str) -> tuple[Array, int]:
        """The wide array, and where in the shared memory it lies."""
        nonlocal room
        twin, start = Array(name, _twin(a.spec, kind), a.maker), room
        room += -(-twin.spec.nbytes // 64) * 64
        return twin, start

    copies: list[tuple[Array, Array, int]] = []
    given, made = list(operands), list(outs)
    for n, (a, kind) in enumerate(zip(operands, _wanted(call, operands), strict=True)):
        if kind is not None and a.spec.number is None:
            given[n], start = copy(a, kind, f"%wide{n}")
            copies.append((a, given[n], start))
    results: list[tuple[Array, Array, int]] = []
    for n, a in enumerate(outs):
        kind = _wide(a.spec.dtype)
        if kind is not a.spec.dtype:
            made[n], start = copy(a, kind, f"%made{n}")
            results.append((a, made[n], start))
    specs = tuple(a.spec for a in given)
    wide = Call(call.op, call.params, specs, Result(tuple(a.spec for a in made), None))
    low = row(wide, given, made, lanes)
    if low is None or low.first or len(low.last) > 1:
        return None

    def within(c: Code, stage: Callable[[Code], None]) -> None:
        """A stage of the lowering, its shared memory behind the copies."""
        for _, twin, start in (*copies, *results):
            c.do(f"{twin.pointer} = getelementptr inbounds i8, ptr %shared, i64 {start}")
        own, at = c.at("i8", "%shared", room), len(c.lines)
        stage(c)
        c.lines[at:] = [line.replace("%shared", own) for line in c.lines[at:]]

    def widen(c: Code) -> None:
        for source, twin, start in copies:
            place = c.at("i8", "%shared", start)
            _convert(c, source, twin._replace(pointer=place), lanes)

    def before(c: Code) -> None:
        assert low.prepare is not None
        within(c, low.prepare)

    def emit(c: Code) -> None:
        within(c, low.emit)

    def behind(stage: Callable[[Code], None]) -> Callable[[Code], None]:
        def after(c: Code) -> None:
            within(c, stage)

        return after

    def round_(c: Code) -> None:
        for target, twin, start in results:
            place = c.at("i8", "%shared", start)
            _convert(c, twin._replace(pointer=place), target, lanes)

    return low._replace(
        emit=emit, prepare=None if low.prepare is None else before, shared=room + low.shared,
        pairs=(), first=(widen,) if copies else (),
        last=(*map(behind, low.last), *((round_,) if results else ())),
    )  # fmt: skip


def _wide(kind: dtype) -> dtype:
    return dtypes.float32 if kind in (dtypes.float16, dtypes.bfloat16) else kind


def _convert(c: Code, source: Array, target: Array, lanes: int) -> None:
    """Copy elementwise from one dtype to another; the target is row-major. Pieces share it."""
    one, other = source.spec.dtype.name, target.spec.dtype.name
    from_, to = ELEMENTS[one].memory, ELEMENTS[other].memory
    lanes = width(lanes, {one, other})

    def some(near: str, far: str, used: int, lanes: int, step: int) -> None:
        value = load(c, one, lanes, used, c.at(from_, source.pointer, near), step)
        value = settled(converted(value, one, other), other)
        store(value, other, used, c.at(to, target.pointer, far))

    if source.spec.contiguous:
        count = source.spec.numel
        for block, last in c.blocks(count // lanes, bool(count % lanes)):
            at = c.times(block, lanes)
            used = count % lanes if last else lanes
            some(c.plus(at, source.spec.offset), at, used, lanes, 1)
        return
    shape = tuple(target.spec.shape)
    step, count = source.spec.stride[-1], shape[-1]

    def line(offsets: list[str]) -> None:
        near = c.plus(offsets[0], source.spec.offset)
        whole = count // lanes * lanes
        if whole:
            with c.loop(whole, lanes) as i:
                some(c.plus(near, c.times(i, step)), c.plus(offsets[1], i), lanes, lanes, step)
        if whole < count:
            first = c.plus(near, whole * step)
            some(first, c.plus(offsets[1], whole), count - whole, lanes, step)

    strides = [tuple(source.spec.stride)[:-1], tuple(target.spec.stride)[:-1]]
    walk(c, shape[:-1], strides, line, shared=True)


def _wanted(call: Call, operands: list[Array]) -> list[dtype | None]:
    """The dtype that each operand is to be copied to, None where it is as it should be."""
    found: list[dtype | None] = []
    for a, spec in zip(operands, call.specs, strict=True):
        kind = None if spec.number is not None else _named(taken_as(call, spec))
        found.append(None if kind is a.spec.dtype and a.spec.contiguous else kind)
    return found


def _named(name: str) -> dtype:
    return getattr(dtypes, name if name != "bool" else "bool_")
