"""What goes along one dimension element by element: running sums, running and first extremes.

An array is seen as *lines* along that dimension. If the last dimension is another one, neighbouring
lines are gone through together, one in each lane; else each line alone, where a search for an
extreme takes a vector of elements at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler.code import Code, mangle, mask
from cresset.compiler.elements import ELEMENTS, converted, load, settled, store, taken_as, width
from cresset.compiler.nests import walk
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride

#: Vectors of winners so far that a long line has.
_WAYS = 4


def _places(register: str) -> str:
    """The type that counts places beside such values."""
    return "i64" if register in ("i64", "double") else "i32"


class Lines:
    """The lines of an array along ``dim``; each alone where ``lanes`` is 0."""

    def __init__(self, x: Array, dim: int, lanes: int) -> None:
        shape, stride = tuple(x.spec.shape), tuple(x.spec.stride)
        self.x, self.count, self.step = x, shape[dim], stride[dim]
        self.dtype = x.spec.dtype.name
        self.register = ELEMENTS[self.dtype].register
        rest = [d for d in range(len(shape)) if d != dim]
        #: Lines side by side in memory, and how many of them a vector has (0: one at a time).
        self.side, self.lanes = 1, 0
        if (
            lanes
            and rest
            and stride[rest[-1]] == 1
            and shape[rest[-1]] > 1
            and dim != len(shape) - 1
        ):
            self.side = shape[rest.pop()]
            self.lanes = width(lanes, {self.dtype})
        self.shape = tuple(shape[d] for d in rest)
        self.strides = tuple(stride[d] for d in rest)

    def each(self, c: Code, kept: tuple[int, ...], body: Callable[[str, str, int], None]) -> None:
        """Run the body for every line, or vector of lines: with the offset of its first element in
        the array and in an array with strides ``kept`` (those of neighbours are 1), and the lanes
        in use."""

        def group(offsets: list[str]) -> None:
            start, own = c.plus(offsets[0], self.x.spec.offset), offsets[1]
            if not self.lanes:
                body(start, own, 0)
                return
            whole = self.side // self.lanes * self.lanes
            if whole:
                with c.loop(whole, self.lanes) as i:
                    body(c.plus(start, i), c.plus(own, i), self.lanes)
            if whole < self.side:
                body(c.plus(start, whole), c.plus(own, whole), self.side - whole)

        walk(c, self.shape, [self.strides, kept], group, shared=True)

    def load(self, c: Code, start: str, i: str, used: int) -> Lanes:
        place = c.plus(start, c.times(i, self.step))
        place = c.at(ELEMENTS[self.dtype].memory, self.x.pointer, place)
        return load(c, self.dtype, self.lanes, used, place)


# -- the first extreme -----------------------------------------------------------------------------


class _Best(NamedTuple):
    """The slots of the best values so far and of their places."""

    c: Code
    value: Lanes
    place: Lanes
    slots: tuple[str, str]

    @classmethod
    def begin(cls, c: Code, value: Lanes, place: Lanes) -> _Best:
        return cls(c, value, place, (
            c.slot(value.kind, value.register), c.slot(place.kind, place.register)
        ))  # fmt: skip

    def get(self) -> tuple[Lanes, Lanes]:
        pairs = zip((self.value, self.place), self.slots, strict=True)
        value, place = (x.like(x.element, self.c.get(x.kind, slot)) for x, slot in pairs)
        return value, place

    def offer(self, value: Lanes, place: Lanes, better: Lanes) -> None:
        have, where = self.get()
        self.c.set(have.kind, self.slots[0], select(better, value, have).register)
        self.c.set(where.kind, self.slots[1], select(better, place, where).register)


def beats(a: Lanes, b: Lanes, largest: bool, equal: bool = False) -> Lanes:
    """Where ``a`` comes before ``b`` (or is its equal): NaN comes before everything."""
    if a.element == "i1":
        a, b = a._convert("zext", "i8"), b._convert("zext", "i8")
    above = (a >= b if largest else a <= b) if equal else (a > b if largest else a < b)
    if a.element not in FORMATS:
        return above
    if not equal:
        # Above, or one of them is NaN, but not the one that is there.
        return a._compare("ugt" if largest else "ult", b) & b._compare("ord", b)
    return above | a.unordered(a)


def lower_pick(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The extreme along a dimension and where it is first found, or its place alone."""
    x = operands[0]
    if len(call.params) != 2 or isinstance(call.params[0], tuple):
        return None
    if x.spec.dtype.name not in ELEMENTS or not x.spec.numel or not x.spec.shape:
        return None
    dim = call.params[0]
    if dim is None:
        if not x.spec.contiguous:
            return None
        x, dim = x.flat(), 0
    lines = Lines(x, dim, lanes)
    largest = call.op.name.endswith("max")
    *values, places = outs
    # Along the line itself: vectors of elements, if it is long enough.
    wide = width(lanes, {lines.dtype})
    along = lines.step == 1 and not lines.lanes and lines.register != "i1" and lines.count > 1

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            if along:
                best = _search(c, lines, start, wide, largest)
            else:
                best = _scan(c, lines, start, used, largest)
            value, place = best.get()
            if place.element != "i64":
                place = place._convert("sext", "i64")
            if along:  # the sign of a zero is that of the element itself
                value = lines.load(c, start, place.register, 0)
            for out in values:
                at = c.at(ELEMENTS[lines.dtype].memory, out.pointer, own)
                store(value, lines.dtype, used, at)
            store(place, "int64", used, c.at("i64", places.pointer, own))

        kept = strides_without(lines, tuple(x.spec.shape), dim)
        lines.each(c, kept, body)

    return Lowering(emit, pieces=next((n for n in lines.shape if n > 1), 1))


def strides_without(lines: Lines, shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    """Strides of an array without the dimension, over the outer dimensions of the lines."""
    rest = contiguous_stride(tuple(n for d, n in enumerate(shape) if d != dim))
    return rest[: len(lines.shape)]


def _scan(c: Code, lines: Lines, start: str, used: int, largest: bool) -> _Best:
    """Element after element."""
    first = lines.load(c, start, "0", used)
    kind = _places(lines.register) if lines.lanes else "i64"
    place = first.like(kind, "").constant(0)
    best = _Best.begin(c, first, place)
    if lines.count > 1:
        with c.loop(lines.count - 1) as i:
            here = c.plus(i, 1)
            value = lines.load(c, start, here, used)
            best.offer(value, _spread(c, here, place), beats(value, best.get()[0], largest))
    return best


def _spread(c: Code, i: str, like: Lanes) -> Lanes:
    """A loop's index in every lane."""
    one = i if like.element == "i64" else c.let(f"trunc i64 {i} to {like.element}")
    return like.like(like.element, c.splat(like.element, like.count, one) if like.count else one)


def _search(c: Code, lines: Lines, start: str, wide: int, largest: bool) -> _Best:
    """Vectors of elements at a time, in ways that do not wait for one another."""
    memory, kind = ELEMENTS[lines.dtype].memory, _places(lines.register)
    line = c.at(memory, lines.x.pointer, start)
    count = Lanes(c, kind, wide, c.constants(kind, list(range(wide))))
    ways = min(_WAYS, max(lines.count // wide, 1))
    whole = lines.count // (ways * wide) * (ways * wide)

    def vector(i: str, used: int) -> tuple[Lanes, Lanes]:
        value = load(c, lines.dtype, wide, used, c.at(memory, line, i))
        place = count if i == "0" else count + _spread(c, i, count)
        return value, place

    if not whole:
        # What fills the vector up is never first: its place is beyond all others.
        value, place = vector("0", lines.count)
        keep = Lanes(c, "i1", wide, mask(wide, lines.count))
        value = select(keep, value, _last(value, largest))
        bests = [_Best.begin(c, value, select(keep, place, lines.count))]
        rest = lines.count
    else:
        bests = [_Best.begin(c, *vector(str(n * wide), wide)) for n in range(ways)]
        rest = whole
        if whole > ways * wide:
            with c.loop(whole - ways * wide, ways * wide) as i:
                for n, best in enumerate(bests):
                    value, place = vector(c.plus(i, (n + ways) * wide), wide)
                    best.offer(value, place, beats(value, best.get()[0], largest))
    for i in range(rest, lines.count, wide):
        used = min(wide, lines.count - i)
        value, place = vector(str(i), used)
        better = beats(value, bests[0].get()[0], largest)
        bests[0].offer(value, place, better & Lanes(c, "i1", wide, mask(wide, used)))
    return _first(c, bests, lines.count, largest)


def _last(like: Lanes, largest: bool) -> float | int:
    """A value that beats none."""
    if like.element in FORMATS:
        return -float("inf") if largest else float("inf")
    lowest = -(1 << int(like.element[1:]) - 1)
    return lowest if largest else -1 - lowest


def _first(c: Code, bests: list[_Best], count: int, largest: bool) -> _Best:
    """The winner of all lanes: of equals the one with the lowest place."""
    found = [best.get() for best in bests]
    value = found[0][0]
    name = "max" if largest else "min"
    join = "imum" if value.element in FORMATS else ""
    full = f"{name}{join}" if join else f"s{name}"
    for other, _ in found[1:]:
        value = value.intrinsic(full, other)
    top = _reduced(c, f"f{full}" if join else full, value)
    every = value.like(value.element, c.splat(value.element, value.count, top.register))
    places = None
    for own, place in found:
        same = own.equals(every)
        if own.element in FORMATS:
            same = same | own.unordered(own)
        here = select(same, place, count)
        places = here if places is None else places.intrinsic("smin", here)
    assert places is not None
    return _Best.begin(c, top, _reduced(c, "smin", places))


def _reduced(c: Code, name: str, x: Lanes) -> Lanes:
    name = f"llvm.vector.reduce.{name}.{mangle(x.kind)}"
    c.declare(f"{x.element} @{name}({x.kind})")
    return Lanes(c, x.element, 0, c.let(f"call {x.element} @{name}({x.kind} {x.register})"))


# -- running results -------------------------------------------------------------------------------


def lower_running(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``cumsum`` and ``cumprod``: halves are rounded only where they are written."""
    x, out = operands[0], outs[0]
    names = {x.spec.dtype.name, out.spec.dtype.name}
    if not names <= set(ELEMENTS) or not x.spec.numel or not x.spec.shape:
        return None
    dim = call.params[0]
    kind, target = taken_as(call, call.specs[0]), out.spec.dtype.name
    if kind == "bool":
        return None
    lines = Lines(x, dim, lanes)
    if lines.lanes:
        lines.lanes = width(lanes, {*names, kind})
    element, step = ELEMENTS[kind].register, out.spec.stride[dim]
    adds = call.op.name == "cumsum"

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            first = Lanes(c, element, lines.lanes, "").constant(0 if adds else 1)
            total = c.slot(first.kind, first.register)
            with c.loop(lines.count) as i:
                term = converted(lines.load(c, start, i, used), lines.dtype, kind)
                have = first.like(element, c.get(first.kind, total))
                have = settled(have + term if adds else have * term, kind)
                c.set(first.kind, total, have.register)
                at = c.plus(own, c.times(i, step))
                place = c.at(ELEMENTS[target].memory, out.pointer, at)
                store(converted(have, kind, target), target, used, place)

        lines.each(c, strides_beside(lines, out, dim), body)

    return Lowering(emit, pieces=next((n for n in lines.shape if n > 1), 1))


def strides_beside(lines: Lines, out: Array, dim: int) -> tuple[int, ...]:
    """Strides of an array with the dimension, over the outer dimensions of the lines."""
    rest = [s for d, s in enumerate(out.spec.stride) if d != dim]
    return tuple(rest[: len(lines.shape)])


def lower_running_extreme(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``cummax`` and ``cummin``: of equals the later, and NaN from where it is first met."""
    x = operands[0]
    if x.spec.dtype.name not in ELEMENTS or not x.spec.numel or not x.spec.shape:
        return None
    (dim,) = call.params
    lines = Lines(x, dim, lanes)
    largest = call.op.name == "cummax"
    values, places = outs
    step = values.spec.stride[dim]

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            first = lines.load(c, start, "0", used)
            kind = _places(lines.register) if lines.lanes else "i64"
            best = _Best.begin(c, first, first.like(kind, "").constant(0))
            with c.loop(lines.count) as i:
                value = lines.load(c, start, i, used)
                better = beats(value, best.get()[0], largest, equal=True)
                best.offer(value, _spread(c, i, best.place), better)
                have, where = best.get()
                at = c.plus(own, c.times(i, step))
                place = c.at(ELEMENTS[lines.dtype].memory, values.pointer, at)
                store(have, lines.dtype, used, place)
                if where.element != "i64":
                    where = where._convert("sext", "i64")
                store(where, "int64", used, c.at("i64", places.pointer, at))

        lines.each(c, strides_beside(lines, values, dim), body)

    return Lowering(emit, pieces=next((n for n in lines.shape if n > 1), 1))
