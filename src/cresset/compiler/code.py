"""``Code``: LLVM IR as text, with structured loops.

Values are register names. What changes in a loop lives in a ``slot`` (an alloca, which LLVM turns
into registers), so loops need no phi nodes of their own. LLVM parses the text; writing it is an
order of magnitude faster than building IR objects, and it can be read as it stands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

#: LLVM types by dtype name; bool and uint8 share i8, as in memory.
TYPES = {
    "float32": "float", "float64": "double", "int64": "i64", "int32": "i32", "int16": "i16",
    "int8": "i8", "uint8": "i8", "bool": "i8",
}  # fmt: skip


#: Where elements lie: float64 may lie in arrays of 4-byte elements, for all that is known.
_ALIGNED = {"i8": 1, "i16": 2}


class Code:
    """The body of one function."""

    def __init__(self, pieces: int = 1, aliased: bool = False) -> None:
        #: Whether an output lies where the operand lies that its lowering paired it with.
        self.aliased = aliased
        #: How many pieces the kernel is cut into; ``%piece`` says which one runs.
        self.pieces = pieces
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    def name(self, hint: str = "v") -> str:
        self._count += 1
        return f"{hint}{self._count}"

    def let(self, text: str) -> str:
        """``%r = text``; returns ``%r``."""
        self._count = count = self._count + 1
        register = f"%v{count}"
        self.lines.append(f"  {register} = {text}")
        return register

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def note(self, text: str) -> None:
        self.lines.append(f"  ; {text}")

    def declare(self, text: str) -> None:
        self.declared.add(f"declare {text}")

    # -- control ---------------------------------------------------------------------------------

    @contextmanager
    def loop(self, count: int | str, step: int = 1) -> Iterator[str]:
        """Run the body for i = 0, step, ... below ``count``; yields the register of i.

        A constant count of at most one step needs no loop.
        """
        if isinstance(count, int) and count <= step:
            if count > 0:
                yield "0"
                return
            raise ValueError("an empty loop must not be emitted")
        label = self.name("loop")
        before = self.name("before")
        self.do(f"br label %{before}")
        self.lines.append(f"{before}:")
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        i = f"%i.{label}"
        self.do(f"{i} = phi i64 [0, %{before}], [{i}.next, %{label}.end]")
        yield i
        self.do(f"br label %{label}.end")
        self.lines.append(f"{label}.end:")
        self.do(f"{i}.next = add nuw nsw i64 {i}, {step}")
        self.do(f"{i}.more = icmp ult i64 {i}.next, {count}")
        self.do(f"br i1 {i}.more, label %{label}, label %{label}.exit")
        self.lines.append(f"{label}.exit:")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Run the body only where an ``i1`` is true."""
        yes, after = self.name("when"), self.name("after")
        self.do(f"br i1 {condition}, label %{yes}, label %{after}")
        self.lines.append(f"{yes}:")
        yield
        self.do(f"br label %{after}")
        self.lines.append(f"{after}:")

    @contextmanager
    def span(self, low: str, high: str) -> Iterator[str]:
        """Run the body for i = low ... high - 1, which may be nothing; yields the register of i."""
        count = self.let(f"sub i64 {high}, {low}")
        with self.when(self.let(f"icmp sgt i64 {count}, 0")), self.loop(count) as i:
            yield self.let(f"add nsw i64 {low}, {i}")

    def share(self, count: int, step: int = 1) -> AbstractContextManager[str]:
        """``loop``, of which each piece of the kernel runs its part."""
        if self.pieces == 1:
            return self.loop(count, step)
        return self._share(-(-count // step), step)

    @contextmanager
    def _share(self, blocks: int, step: int) -> Iterator[str]:
        low, high = self.bounds(blocks)
        with self.span(low, high) as i:
            yield self.times(i, step)

    @contextmanager
    def uncut(self) -> Iterator[None]:
        """Inside a shared loop: loops that this piece runs whole."""
        pieces, self.pieces = self.pieces, 1
        yield
        self.pieces = pieces

    def blocks(self, whole: int, partial: bool) -> Iterator[tuple[str, bool]]:
        """``whole`` blocks of one kind and perhaps a last of another kind, shared by the pieces.

        The body is emitted once for each kind: with the register of the block's number and False,
        and with the last number and True.
        """
        if self.pieces == 1:
            if whole:
                with self.loop(whole) as i:
                    yield i, False
            if partial:
                yield str(whole), True
            return
        low, high = self.bounds(whole + partial)
        if whole:
            inside = high
            if partial:
                over = self.let(f"icmp ugt i64 {high}, {whole}")
                inside = self.let(f"select i1 {over}, i64 {whole}, i64 {high}")
            with self.span(low, inside) as i:
                yield i, False
        if partial:
            with self.when(self.let(f"icmp ugt i64 {high}, {whole}")):
                yield str(whole), True

    def bounds(self, count: int) -> tuple[str, str]:
        """Where this piece's part of ``count`` begins and ends."""
        low = self.let(f"udiv i64 {self.times('%piece', count)}, {self.pieces}")
        after = self.let("add nuw nsw i64 %piece, 1")
        return low, self.let(f"udiv i64 {self.times(after, count)}, {self.pieces}")

    # -- memory ----------------------------------------------------------------------------------

    def slot(self, kind: str, value: str | None = None) -> str:
        """A variable of an LLVM type, set to ``value`` here."""
        register = f"%{self.name('slot')}"
        self.entry.append(f"  {register} = alloca {kind}")
        if value is not None:
            self.do(f"store {kind} {value}, ptr {register}")
        return register

    def get(self, kind: str, slot: str) -> str:
        return self.let(f"load {kind}, ptr {slot}")

    def set(self, kind: str, slot: str, value: str) -> None:
        self.do(f"store {kind} {value}, ptr {slot}")

    def at(self, kind: str, pointer: str, index: str | int) -> str:
        """The address of element ``index``."""
        if index in (0, "0"):
            return pointer
        return self.let(f"getelementptr inbounds {kind}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, index: str | int = 0, align: int = 0) -> str:
        tail = f", align {align}" if align else ""
        return self.let(f"load {kind}, ptr {self.at(_element(kind), pointer, index)}{tail}")

    def store(
        self, kind: str, value: str, pointer: str, index: str | int = 0, align: int = 0
    ) -> None:
        tail = f", align {align}" if align else ""
        self.do(f"store {kind} {value}, ptr {self.at(_element(kind), pointer, index)}{tail}")

    # -- arithmetic of indices -------------------------------------------------------------------

    def times(self, a: str | int, b: int) -> str:
        """``a * b`` in i64."""
        if b == 1 or a in (0, "0"):
            return str(a)
        if b == 0:
            return "0"
        if isinstance(a, int) or a.lstrip("-").isdigit():
            return str(int(a) * b)
        return self.let(f"mul nsw i64 {a}, {b}")

    def parts(self, a: str, b: int) -> tuple[str, str]:
        """``a // b`` and ``a % b`` of an i64 that is not negative."""
        if b == 1:
            return a, "0"
        if a.isdigit():
            return str(int(a) // b), str(int(a) % b)
        return self.let(f"udiv i64 {a}, {b}"), self.let(f"urem i64 {a}, {b}")

    def plus(self, *terms: str | int) -> str:
        """The sum of i64 terms."""
        constant = 0
        total: str | None = None
        for term in terms:
            text = str(term)
            if text.lstrip("-").isdigit():
                constant += int(text)
            else:
                total = text if total is None else self.let(f"add nsw i64 {total}, {text}")
        if total is None:
            return str(constant)
        return total if constant == 0 else self.let(f"add nsw i64 {total}, {constant}")

    def offset(self, indices: list[str], strides: tuple[int, ...]) -> str:
        """``sum(indices * strides)``."""
        return self.plus(*[self.times(i, s) for i, s in zip(indices, strides, strict=True)])

    # -- vectors ---------------------------------------------------------------------------------

    def splat(self, kind: str, lanes: int, value: str) -> str:
        """A vector with ``value`` in every lane."""
        one = self.let(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i64 0")
        return self.let(
            f"shufflevector <{lanes} x {kind}> {one}, <{lanes} x {kind}> poison, "
            f"<{lanes} x i32> zeroinitializer"
        )

    def constants(self, kind: str, values: list[int]) -> str:
        """A vector of given integers."""
        return "<" + ", ".join(f"{kind} {v}" for v in values) + ">"

    def fma(self, kind: str, a: str, b: str, c: str) -> str:
        """``a * b + c``, rounded once."""
        suffix = mangle(kind)
        self.declare(f"{kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})")
        return self.let(f"call {kind} @llvm.fma.{suffix}({kind} {a}, {kind} {b}, {kind} {c})")

    def prefetch(self, pointer: str, write: bool = False) -> None:
        """Have the cache line brought near, to be read or written soon; any address will do."""
        self.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 2, i32 1)")

    def masked_load(self, kind: str, lanes: int, used: int, pointer: str) -> str:
        """The first ``used`` lanes from memory, zero in the others."""
        vector = f"<{lanes} x {kind}>"
        align = _ALIGNED.get(kind, 4)
        if used == lanes:
            return self.let(f"load {vector}, ptr {pointer}, align {align}")
        suffix = mangle(vector)
        self.declare(f"{vector} @llvm.masked.load.{suffix}.p0(ptr, <{lanes} x i1>, {vector})")
        return self.let(
            f"call {vector} @llvm.masked.load.{suffix}.p0(ptr align {align} {pointer}, "
            f"<{lanes} x i1> {mask(lanes, used)}, {vector} zeroinitializer)"
        )

    def strided_load(self, kind: str, lanes: int, used: int, stride: int, pointer: str) -> str:
        """Every ``stride``-th element, ``used`` of them, zero in the other lanes."""
        if stride == 1:
            return self.masked_load(kind, lanes, used, pointer)
        wide = lanes * stride
        both = self.masked_load(kind, wide, (used - 1) * stride + 1, pointer)
        picks = ", ".join(f"i32 {i * stride}" for i in range(lanes))
        return self.let(
            f"shufflevector <{wide} x {kind}> {both}, <{wide} x {kind}> poison, "
            f"<{lanes} x i32> <{picks}>"
        )

    def gather(self, kind: str, lanes: int, used: int, stride: int, pointer: str) -> str:
        """Every ``stride``-th element for any stride, one by one."""
        vector = f"<{lanes} x {kind}>"
        value = "zeroinitializer"
        for n in range(used):
            one = self.load(kind, pointer, n * stride)
            value = self.let(f"insertelement {vector} {value}, {kind} {one}, i64 {n}")
        return value

    def masked_store(self, kind: str, lanes: int, used: int, value: str, pointer: str) -> None:
        """The first ``used`` lanes into memory."""
        vector = f"<{lanes} x {kind}>"
        align = _ALIGNED.get(kind, 4)
        if used == lanes:
            self.do(f"store {vector} {value}, ptr {pointer}, align {align}")
            return
        if used == 1:
            # Of a vector that was narrowed, LLVM 22 stores one lane as wide as it was before.
            one = self.let(f"extractelement {vector} {value}, i64 0")
            self.do(f"store {kind} {one}, ptr {pointer}, align {align}")
            return
        suffix = mangle(vector)
        self.declare(f"void @llvm.masked.store.{suffix}.p0({vector}, ptr, <{lanes} x i1>)")
        self.do(
            f"call void @llvm.masked.store.{suffix}.p0({vector} {value}, "
            f"ptr align {align} {pointer}, "
            f"<{lanes} x i1> {mask(lanes, used)})"
        )

    def join(self, kind: str, parts: list[str], lanes: int) -> str:
        """One vector of several of ``lanes`` lanes each (a power of two of them)."""
        while len(parts) > 1:
            order = ", ".join(f"i32 {i}" for i in range(2 * lanes))
            parts = [
                self.let(
                    f"shufflevector <{lanes} x {kind}> {a}, <{lanes} x {kind}> {b}, "
                    f"<{2 * lanes} x i32> <{order}>"
                )
                for a, b in zip(parts[0::2], parts[1::2], strict=True)
            ]
            lanes *= 2
        return parts[0]

    def weave(self, kind: str, parts: list[str], lanes: int) -> str:
        """One vector that takes its elements from the parts in turn (a power of two of them)."""
        count = len(parts)
        joined = self.join(kind, parts, lanes)
        if count == 1:
            return joined
        wide = lanes * count
        order = ", ".join(f"i32 {part * lanes + i}" for i in range(lanes) for part in range(count))
        return self.let(
            f"shufflevector <{wide} x {kind}> {joined}, <{wide} x {kind}> poison, "
            f"<{wide} x i32> <{order}>"
        )

    def transpose(self, kind: str, lanes: int, rows: list[str]) -> list[str]:
        """The columns of a square of ``lanes`` vectors of 4-byte elements.

        First squares of four by four inside the 16-byte quarters of the registers, then the squares
        among each other: processors do both kinds of shuffle in one instruction.
        """

        def pick(a: str, b: str, block: int, *blocks: tuple[int, int]) -> str:
            """Blocks of ``a`` (0) and ``b`` (1), by (which, number)."""
            return self.let(
                f"shufflevector <{lanes} x {kind}> {a}, <{lanes} x {kind}> {b}, "
                f"<{lanes} x i32> {_order(lanes, block, blocks)}"
            )

        def unpack(a: str, b: str, block: int) -> list[str]:
            """In each quarter the lower halves of both in turn, then the upper halves."""
            half = 2 // block
            return [pick(a, b, block, *_interleaved(lanes, half, start)) for start in (0, half)]

        squares: list[list[str]] = [[], [], [], []]
        for g in range(0, lanes, 4):
            low, high = unpack(rows[g], rows[g + 1], 1), unpack(rows[g + 2], rows[g + 3], 1)
            columns = unpack(low[0], high[0], 2) + unpack(low[1], high[1], 2)
            for square, column in zip(squares, columns, strict=True):
                square.append(column)
        found = [""] * lanes
        for j, square in enumerate(squares):
            if len(square) == 4:
                halves = [
                    pick(a, b, 4, (0, n), (0, n + 1), (1, n), (1, n + 1))
                    for n in (0, 2) for a, b in (square[:2], square[2:])
                ]  # fmt: skip
                square = [
                    pick(a, b, 4, (0, n), (0, n + 2), (1, n), (1, n + 2))
                    for a, b in (halves[:2], halves[2:]) for n in (0, 1)
                ]  # fmt: skip
            elif len(square) == 2:
                square = [pick(square[0], square[1], 4, (0, n), (1, n)) for n in (0, 1)]
            for quarter, column in enumerate(square):
                found[4 * quarter + j] = column
        return found

    def sum_lanes(self, kind: str, lanes: int, vectors: list[str]) -> list[str]:
        """The sum of the lanes of each vector, as scalars."""
        row = self.sum_vectors(kind, lanes, vectors)
        return [
            self.let(f"extractelement <{lanes} x {kind}> {row[i // lanes]}, i64 {i % lanes}")
            for i in range(len(vectors))
        ]

    def sum_vectors(self, kind: str, lanes: int, vectors: list[str]) -> list[str]:
        """The sum of the lanes of each vector, side by side in vectors."""
        add = f"fadd <{lanes} x {kind}>"
        return self.fold_vectors(kind, lanes, vectors, lambda a, b: self.let(f"{add} {a}, {b}"))

    def fold_vectors(
        self, kind: str, lanes: int, vectors: list[str], join: Callable[[str, str], str]
    ) -> list[str]:
        """The lanes of each vector joined to one value, these side by side in vectors.

        Halves of two vectors are joined at a time, so that many results share the shuffles.
        """
        width = lanes  # of the group of lanes that belongs to one sum
        row = list(vectors)
        while width > 1:
            half = width // 2
            pairs = [row[i : i + 2] for i in range(0, len(row), 2)]
            row = []
            for pair in pairs:
                groups = lanes // width
                a, b = pair[0], pair[-1]
                firsts, seconds = [], []
                for side in (0, 1):
                    for g in range(groups):
                        start = side * lanes + g * width
                        firsts += range(start, start + half)
                        seconds += range(start + half, start + width)
                x, y = (
                    self.let(
                        f"shufflevector <{lanes} x {kind}> {a}, <{lanes} x {kind}> {b}, "
                        f"<{lanes} x i32> <{', '.join(f'i32 {i}' for i in picks)}>"
                    )
                    for picks in (firsts, seconds)
                )
                row.append(join(x, y))
            width = half
        return row

    def reduce_add(self, kind: str, lanes: int, vector: str) -> str:
        """The sum of the lanes of one vector, as a scalar."""
        suffix = mangle(f"<{lanes} x {kind}>")
        self.declare(f"{kind} @llvm.vector.reduce.fadd.{suffix}({kind}, <{lanes} x {kind}>)")
        return self.let(
            f"call reassoc {kind} @llvm.vector.reduce.fadd.{suffix}({kind} -0.0, "
            f"<{lanes} x {kind}> {vector})"
        )

    def piece(self, kind: str, vector: str, lanes: int, start: int, count: int) -> str:
        """``count`` neighbouring lanes of a vector."""
        picks = ", ".join(f"i32 {start + i}" for i in range(count))
        return self.let(
            f"shufflevector <{lanes} x {kind}> {vector}, <{lanes} x {kind}> poison, "
            f"<{count} x i32> <{picks}>"
        )

    def fail_if(self, condition: str) -> None:
        """Leave the function, reporting failure, where an ``i1`` is true."""
        bad, good = self.name("bad"), self.name("good")
        self.do(f"br i1 {condition}, label %{bad}, label %{good}")
        self.lines.append(f"{bad}:")
        self.do("ret i1 true")
        self.lines.append(f"{good}:")

    def function(self, name: str, arguments: list[str]) -> str:
        """The text of the function; it returns whether it failed."""
        body = "\n".join([*self.entry, "  br label %start", "start:", *self.lines])
        return (
            f"define internal i1 @{name}({', '.join(arguments)}) #0 {{\n{body}\n  ret i1 false\n}}"
        )


# Asked for again and again, in kernels of thousands of instructions.


@functools.cache
def _interleaved(lanes: int, half: int, start: int) -> tuple[tuple[int, int], ...]:
    """Blocks of two vectors in turn: in each quarter ``half`` of them from the one at ``start``."""
    return tuple(
        (w, quarter * 2 * half + start + i)
        for quarter in range(lanes // 4) for i in range(half) for w in (0, 1)
    )  # fmt: skip


@functools.cache
def _order(lanes: int, block: int, blocks: tuple[tuple[int, int], ...]) -> str:
    """The lanes of two vectors, one behind the other, that these blocks of them are."""
    picks = [w * lanes + n * block + i for w, n in blocks for i in range(block)]
    return "<" + ", ".join(f"i32 {i}" for i in picks) + ">"


@functools.cache
def _element(kind: str) -> str:
    """The element type of a vector type, or the type itself."""
    return kind.split(" x ")[1].rstrip(">") if kind.startswith("<") else kind


@functools.cache
def mangle(kind: str) -> str:
    """How a type is written in the name of an intrinsic."""
    if kind.startswith("<"):
        lanes, element = kind[1:-1].split(" x ")
        return f"v{lanes}{mangle(element)}"
    return {"float": "f32", "double": "f64"}.get(kind, kind)


@functools.cache
def mask(lanes: int, used: int) -> str:
    return "<" + ", ".join(f"i1 {int(i < used)}" for i in range(lanes)) + ">"
