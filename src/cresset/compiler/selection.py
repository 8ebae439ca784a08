"""Medians and other single values of an order, found without sorting.

Each element becomes a whole number, its *key*, in the same order: the bits of a float, turned
around below 0, and the largest number for NaN. The key at place k of the order is found digit by
digit, from the highest: it is at least a number if no more than k keys are below that. Counting
keys is one pass over a line in vectors, so that a line is gone through as often as a key has
digits, which is far cheaper than putting it in order. Of equal elements the earlier comes first.
"""

from __future__ import annotations

from collections.abc import Callable

from cresset.compiler.code import Code, mangle, mask
from cresset.compiler.elements import ELEMENTS, load, store
from cresset.compiler.lines import Lines, strides_without
from cresset.compiler.step import Array, Lowering
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, select
from cresset.core.call import Call


class _Keys:
    """The keys of a line, in scratch memory."""

    def __init__(self, lines: Lines, lanes: int) -> None:
        self.lines, self.count = lines, lines.count
        wide = lines.register in ("double", "i64")
        self.kind, self.bits = ("i64", 64) if wide else ("i32", 32)
        self.lanes = lanes // 2 if wide else lanes

    @property
    def room(self) -> int:
        return -(-self.count * self.bits // 512) * 64

    def write(self, c: Code, start: str) -> None:
        """The keys of the line that begins at an offset."""
        lines = self.lines
        memory = ELEMENTS[lines.dtype].memory

        def some(i: str, used: int) -> None:
            place = c.plus(start, c.times(i, lines.step))
            near = c.at(memory, lines.x.pointer, place)
            value = load(c, lines.dtype, self.lanes, used, near, lines.step)
            key = self._key(value).register
            c.masked_store(self.kind, self.lanes, used, key, c.at(self.kind, "%scratch", i))

        self._vectors(c, some)

    def _key(self, x: Lanes) -> Lanes:
        if x.element not in FORMATS:
            return x if x.element == self.kind else x._convert("sext", self.kind)
        largest = (1 << (self.bits - 1)) - 1
        bits = select(x.equals(0.0), 0, x.bits())
        key = bits ^ ((bits >> (self.bits - 1)) & largest)
        return select(x.unordered(x), largest, key)

    def _vectors(self, c: Code, some: Callable[[str, int], None]) -> None:
        """Run the body for vectors of the line: with the first place and the lanes in use."""
        whole = self.count // self.lanes * self.lanes
        if whole:
            with c.loop(whole, self.lanes) as i:
                some(i, self.lanes)
        if whole < self.count:
            some(str(whole), self.count - whole)

    def below(self, c: Code, limit: Lanes) -> Lanes:
        """How many keys are below a number."""
        kind = f"<{self.lanes} x {self.kind}>"
        total = c.slot(kind, "zeroinitializer")
        other = Lanes(c, self.kind, self.lanes, c.splat(self.kind, self.lanes, limit.register))

        def some(i: str, used: int) -> None:
            near = c.at(self.kind, "%scratch", i)
            keys = other.like(self.kind, c.masked_load(self.kind, self.lanes, used, near))
            less = keys < other
            if used < self.lanes:
                less = less & less.like("i1", mask(self.lanes, used))
            # A condition that holds is -1.
            found = other.like(self.kind, c.get(kind, total)) - less._convert("sext", self.kind)
            c.set(kind, total, found.register)

        self._vectors(c, some)
        name = f"llvm.vector.reduce.add.{mangle(kind)}"
        c.declare(f"{self.kind} @{name}({kind})")
        return Lanes(
            c, self.kind, 0, c.let(f"call {self.kind} @{name}({kind} {c.get(kind, total)})")
        )

    def place(self, c: Code, k: Lanes) -> str:
        """Where in the line the element is that stands at place ``k`` of the order."""
        lowest = str(-(1 << (self.bits - 1)))
        digit, found = c.slot(self.kind, lowest), c.slot(self.kind, lowest)
        with c.loop(self.bits):
            have = k.like(self.kind, c.get(self.kind, found))
            step = k.like(self.kind, c.get(self.kind, digit))
            # The highest digit has the weight of the sign: adding it makes 0 of the lowest number.
            more = have + step
            enough = self.below(c, more) <= k
            c.set(self.kind, found, select(enough, more, have).register)
            half = k.like(self.kind, c.let(f"lshr {self.kind} {step.register}, 1"))
            c.set(self.kind, digit, half.register)
        key = k.like(self.kind, c.get(self.kind, found))
        left = c.slot(self.kind, (k - self.below(c, key)).register)
        place = c.slot("i64", "0")
        with c.loop(self.count) as i:
            here = k.like(self.kind, c.load(self.kind, "%scratch", i)).equals(key)
            rest = k.like(self.kind, c.get(self.kind, left))
            with c.when((here & rest.equals(0)).register):
                c.set("i64", place, i)
            c.set(self.kind, left, (rest - here._convert("zext", self.kind)).register)
        return c.get("i64", place)


def lower_middle(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``median``, ``nanmedian`` and ``kthvalue``: the value along a dimension and its place, or the
    value alone of all elements."""
    (x,), name = operands, call.op.name
    whole = not call.params
    if x.spec.dtype.name not in ELEMENTS or not x.spec.numel or x.spec.dtype.name == "bool":
        return None
    if not (x.spec.contiguous if whole else x.spec.shape):
        return None
    dim = 0 if whole else call.params[0]
    x = x.flat() if whole else x
    lines = Lines(x, dim, 0)
    keys = _Keys(lines, lanes)
    if keys.count >= 1 << 31:
        return None

    def wanted(c: Code) -> Lanes:
        if name == "kthvalue":
            return Lanes(c, keys.kind, 0, str(call.params[1] - 1))
        middle = Lanes(c, keys.kind, 0, str((keys.count - 1) // 2))
        if lines.register not in FORMATS:
            return middle
        numbers = keys.below(c, middle.constant((1 << (keys.bits - 1)) - 1))
        if name == "median":
            return select(numbers < keys.count, numbers, middle)
        return select(numbers < 1, 0, numbers - 1) >> 1

    def emit(c: Code) -> None:
        memory = ELEMENTS[lines.dtype].memory

        def body(start: str, own: str, used: int) -> None:
            keys.write(c, start)
            place = keys.place(c, wanted(c))
            value = lines.load(c, start, place, 0)
            store(value, lines.dtype, 1, c.at(memory, outs[0].pointer, own))
            for places in outs[1:]:
                c.store("i64", place, places.pointer, own)

        lines.each(c, strides_without(lines, tuple(x.spec.shape), dim), body)

    return Lowering(
        emit, pieces=next((n for n in lines.shape if n > 1), 1), scratch=keys.room,
        flops=keys.bits * x.spec.numel,
    )  # fmt: skip
