"""Sorted lines, the first few of them, and the most frequent: stable, and NaN is the largest value.

Short runs are sorted by counting how many elements stand before each; runs are merged in pairs,
from one buffer to another and back. Which element comes next is chosen without a branch, as no
branch could be foreseen. The first k are kept
in order in a small buffer, which most elements of a line never enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.elements import ELEMENTS, load, store
from cresset.compiler.lines import Lines, beats, strides_beside, strides_without
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.call import Call

#: Elements of a short run.
_RUN = 8
#: Beyond this a sort is quicker.
_MOST_KEPT = 64
#: Of longer lines NumPy finds the mode quicker.
_MOST_COUNTED = 512


class _Buffer(NamedTuple):
    """Values with the places they come from."""

    c: Code
    dtype: str
    values: str
    places: str

    def value(self, i: str) -> Lanes:
        at = self.c.at(ELEMENTS[self.dtype].memory, self.values, i)
        return load(self.c, self.dtype, 0, 0, at)

    def place(self, i: str) -> Lanes:
        return Lanes(self.c, "i32", 0, self.c.load("i32", self.places, i))

    def put(self, i: str, value: Lanes, place: Lanes) -> None:
        store(value, self.dtype, 1, self.c.at(ELEMENTS[self.dtype].memory, self.values, i))
        self.c.store("i32", place.register, self.places, i)


def _room(dtype: str, count: int) -> tuple[int, int]:
    """Bytes of the values and of the places of a buffer, in whole cache lines."""
    return -(-count * ELEMENTS[dtype].size // 64) * 64, -(-count * 4 // 64) * 64


def _buffers(c: Code, dtype: str, count: int, many: int) -> list[_Buffer]:
    values, places = _room(dtype, count)
    starts = [n * (values + places) for n in range(many)]
    return [
        _Buffer(c, dtype, c.at("i8", "%scratch", s), c.at("i8", "%scratch", s + values))
        for s in starts
    ]


def _fits(x: Array) -> bool:
    return x.spec.dtype.name in ELEMENTS and x.spec.numel > 0 and len(x.spec.shape) > 0


def _narrow(c: Code, i: str) -> Lanes:
    return Lanes(c, "i32", 0, c.let(f"trunc i64 {i} to i32"))


def lower_sort(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """All values of each line in order, and where they were."""
    x, (values, places) = operands[0], outs
    dim, descending = call.params
    if not _fits(x):
        return None
    lines = Lines(x, dim, 0)
    count, step = lines.count, values.spec.stride[dim]

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            found = _in_order(c, lines, start, descending)
            with c.loop(count) as i:
                _write(c, found, i, c.plus(own, c.times(i, step)), values, places)

        lines.each(c, strides_beside(lines, values, dim), body)

    return _sorts(emit, lines)


def _sorts(emit: Callable[[Code], None], lines: Lines) -> Lowering:
    """Code that puts every line in order."""
    passes = max(lines.count - 1, 1).bit_length()
    return Lowering(
        emit, pieces=next((n for n in lines.shape if n > 1), 1),
        scratch=2 * sum(_room(lines.dtype, lines.count)),
        flops=300 * passes * lines.x.spec.numel,
    )  # fmt: skip


def _in_order(c: Code, lines: Lines, start: str, descending: bool) -> _Buffer:
    """A line's values in order, in one of two buffers."""
    count = lines.count
    source, target = _buffers(c, lines.dtype, count, 2)
    with c.loop(count) as i:
        source.put(i, lines.load(c, start, i, 0), _narrow(c, i))
    width = count if count <= 2 * _RUN else _RUN
    _runs(c, source, count, width, descending)
    while width < count:
        _merge(c, source, target, count, width, descending)
        source, target = target, source
        width *= 2
    return source


def _runs(c: Code, buffer: _Buffer, count: int, width: int, descending: bool) -> None:
    """Sort short runs: each element goes where so many others stand before it."""

    def run(first: str, size: int) -> None:
        at = [c.plus(first, n) for n in range(size)]
        values, places = [buffer.value(i) for i in at], [buffer.place(i) for i in at]
        ranks = [Lanes(c, "i64", 0, first)] * size
        for j in range(1, size):
            for i in range(j):
                later = beats_in(values[j], values[i], descending)._convert("zext", "i64")
                ranks[i] = ranks[i] + later
                ranks[j] = ranks[j] + (1 - later)
        for value, place, rank in zip(values, places, ranks, strict=True):
            buffer.put(rank.register, value, place)

    whole = count // width
    with c.loop(whole) as block:
        run(c.times(block, width), width)
    if count % width:
        run(str(whole * width), count % width)


def _write(c: Code, buffer: _Buffer, i: str, at: str, values: Array, places: Array) -> None:
    memory = ELEMENTS[buffer.dtype].memory
    store(buffer.value(i), buffer.dtype, 1, c.at(memory, values.pointer, at))
    c.store("i64", buffer.place(i)._convert("sext", "i64").register, places.pointer, at)


def _merge(
    c: Code, source: _Buffer, target: _Buffer, count: int, width: int, descending: bool
) -> None:
    """Neighbouring runs of ``width`` elements become one."""

    def pair(first: str, size: int) -> None:
        middle, end = c.plus(first, width), c.plus(first, size)
        left, right = c.slot("i64", first), c.slot("i64", middle)
        with c.loop(size) as k:
            i = Lanes(c, "i64", 0, c.get("i64", left))
            j = Lanes(c, "i64", 0, c.get("i64", right))
            no_left, no_right = i >= Lanes(c, "i64", 0, middle), j >= Lanes(c, "i64", 0, end)
            # Where a run has ended its last element stands in, and is not taken. No selects: LLVM
            # makes branches of them.
            a = source.value((i - no_left._convert("zext", "i64")).register)
            b = source.value((j - no_right._convert("zext", "i64")).register)
            second = ~no_right & (no_left | beats_in(b, a, descending))
            taken = (i ^ ((i ^ j) & second._convert("sext", "i64"))).register
            target.put(c.plus(first, k), source.value(taken), source.place(taken))
            moved = second._convert("zext", "i64")
            c.set("i64", right, (j + moved).register)
            c.set("i64", left, (i + (1 - moved)).register)

    both = 2 * width
    whole = count // both
    if whole:
        with c.loop(whole) as block:
            pair(c.times(block, both), both)
    rest = count - whole * both
    if rest > width:
        pair(str(whole * both), rest)
    elif rest:
        with c.loop(rest) as k:
            i = c.plus(k, whole * both)
            target.put(i, source.value(i), source.place(i))


def beats_in(a: Lanes, b: Lanes, descending: bool) -> Lanes:
    """Where ``a`` stands before ``b`` in the order: NaN is first downwards, last upwards."""
    if descending:
        return beats(a, b, largest=True)
    return beats(b, a, largest=True)


def lower_topk(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The first ``k`` of each line's order."""
    x, (values, places) = operands[0], outs
    dim, k, largest = call.params
    if not _fits(x) or not 0 < k <= _MOST_KEPT:
        return None
    lines = Lines(x, dim, 0)
    step = values.spec.stride[dim]

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            (best,) = _buffers(c, lines.dtype, k, 1)

            def enter(value: Lanes, i: str, have: str) -> None:
                """Put a value into the order of the first ``have``; the last may drop out."""
                hole = c.slot("i64", have)
                with c.loop(have) as n:
                    # From the end: what the value stands before moves up.
                    at = c.let(f"sub nsw i64 {have}, {c.plus(n, 1)}")
                    one = best.value(at)
                    with c.when(beats_in(value, one, largest).register):
                        above = c.plus(at, 1)
                        with c.when(c.let(f"icmp ult i64 {above}, {k}")):
                            best.put(above, one, best.place(at))
                        c.set("i64", hole, at)
                best.put(c.get("i64", hole), value, _narrow(c, i))

            best.put("0", lines.load(c, start, "0", 0), Lanes(c, "i32", 0, "0"))
            if k > 1:
                with c.loop(k - 1) as n:
                    i = c.plus(n, 1)
                    enter(lines.load(c, start, i, 0), i, i)
            if lines.count > k:
                with c.loop(lines.count - k) as n:
                    i = c.plus(n, k)
                    value = lines.load(c, start, i, 0)
                    with c.when(beats_in(value, best.value(str(k - 1)), largest).register):
                        enter(value, i, str(k))
            with c.loop(k) as n:
                _write(c, best, n, c.plus(own, c.times(n, step)), values, places)

        lines.each(c, strides_beside(lines, values, dim), body)

    pieces = next((n for n in lines.shape if n > 1), 1)
    return Lowering(
        emit, pieces=pieces, scratch=sum(_room(lines.dtype, k)), flops=150 * x.spec.numel
    )


def lower_mode(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """The last of the longest run of equals in each line's order, the first such run."""
    (x,) = operands
    if not _fits(x) or x.spec.shape[call.params[0]] > _MOST_COUNTED:
        return None
    dim = call.params[0]
    lines = Lines(x, dim, 0)

    def emit(c: Code) -> None:
        def body(start: str, own: str, used: int) -> None:
            found = _in_order(c, lines, start, False)
            _write(c, found, _longest_run(c, found, lines.count), own, *outs)

        lines.each(c, strides_without(lines, tuple(x.spec.shape), dim), body)

    return _sorts(emit, lines)


def _longest_run(c: Code, found: _Buffer, count: int) -> str:
    """Where it ends."""
    best, last, run = c.slot("i64", "1"), c.slot("i64", "0"), c.slot("i64", "1")
    if count == 1:
        return "0"
    with c.loop(count - 1) as before:
        i = c.plus(before, 1)
        equal = found.value(i).equals(found.value(before))
        longer = select(equal, Lanes(c, "i64", 0, c.get("i64", run)) + 1, 1)
        c.set("i64", run, longer.register)
        with c.when((longer > Lanes(c, "i64", 0, c.get("i64", best))).register):
            c.set("i64", best, longer.register)
            c.set("i64", last, i)
    return c.get("i64", last)
