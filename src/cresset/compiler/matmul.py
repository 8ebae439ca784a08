"""Products of matrices: the sums of a block of outputs stay in vector registers.

Two kernels, by how the right operand lies. *Rows*: its rows are contiguous, so a vector holds
neighbouring outputs of one row, and every step of k multiplies a piece of a row of the right with
one number of the left. *Dots*: both operands are contiguous along k, so a vector runs along k, and
the lanes are added up at the end, many sums at once by halving. A right operand that is contiguous
along k is turned over first where the left has rows enough to make up for it; a left one whose
columns are far apart is packed.

Very large products go to BLAS, which packs its operands for the caches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.host import vector_registers

#: Multiplications up to which these kernels beat BLAS (measured up to 1024 x 1024 x 1024).
_MOST = 2 << 30
#: Rows of the left operand from which it pays to turn the right one over for want of a choice.
_WORTH_TURNING = 64
#: Cycles that it takes to turn an element over, and to add up the lanes of a dot product.
_TURN, _JOIN = 0.3, 1.3
#: Bytes of the right operand that may be gone through again for every block of rows.
_AGAIN = 512 << 10
#: Bytes beyond which the columns of a left operand must spread for it to be packed.
_PAGES = 256 << 10
#: Blocks of columns that must be more for that, and panels that are packed at a time.
_PACK_FROM, _PACKED = 3, 8
#: Bytes of one operand that dot products may read again for every few rows of the other, and that
#: they read again rather than more than once what does not stay in the nearest cache.
_NEAR, _NEAREST = 400 << 10, 32 << 10


class Matrix(NamedTuple):
    """An operand: where it starts, its sizes, and how many elements apart rows and columns are."""

    pointer: str
    shape: tuple[int, int]
    down: int
    across: int
    #: How many columns (of a left operand: rows) lie together, with all that is in them, before the
    #: next ones do (0: all of them).
    panel: int = 0


def takes(a: Matrix, b: Matrix, lanes: int) -> bool:
    """Whether one of the kernels suits this product."""
    (m, k), n = a.shape, b.shape[1]
    if m * n * k > _MOST:
        return False
    if b.across == 1 or n == 1:
        return True
    return b.down == 1 and (turns(a, b, lanes) or _can_dot(a, b))


def _can_dot(a: Matrix, b: Matrix) -> bool:
    """Whether dot products are possible, and what they read again and again is near."""
    (m, k), n = a.shape, b.shape[1]
    return a.across == b.down == 1 and min(m, n) * k * 4 <= _NEAR


def turns(a: Matrix, b: Matrix, lanes: int) -> bool:
    """Whether the right operand is to be turned over, into panels of rows."""
    (m, k), n = a.shape, b.shape[1]
    if b.down != 1 or 1 in (b.across, n):
        return False
    if not _can_dot(a, b):
        return m >= _WORTH_TURNING
    rows = m * -(-n // lanes) * k / 2 + n * k * _TURN
    return rows < m * n * (-(-k // lanes) / 2 + _JOIN)


def turned(a: Matrix, b: Matrix, pointer: str, lanes: int) -> Matrix:
    """The right operand once it lies at ``pointer`` in panels as wide as the blocks of sums, so
    that a block's rows lie one behind the other: at some sizes they would share a cache line's
    place otherwise."""
    panel = _row_block(a.shape[0], b.shape[1], lanes)[0] * lanes
    return Matrix(pointer, b.shape, panel, 1, panel)


def panels_size(b: Matrix) -> int:
    """How many elements all panels have."""
    k, n = b.shape
    return k * -(-n // b.panel) * b.panel


def turn(c: Code, kind: str, b: Matrix, target: Matrix, lanes: int) -> None:
    """Write the right operand into the panels, squares of ``lanes`` by ``lanes`` at a time."""
    k, n = b.shape
    wide = target.panel // lanes

    def square(line: str, p: str, rows: int, columns: int, place: str) -> None:
        corner = c.at(kind, line, p)
        values = [
            c.masked_load(kind, lanes, rows, c.at(kind, corner, i * b.across))
            for i in range(columns)
        ]
        values += ["zeroinitializer"] * (lanes - columns)
        corner = c.at(kind, place, c.times(p, target.down))
        for i, row in enumerate(c.transpose(kind, lanes, values)[:rows]):
            c.masked_store(kind, lanes, lanes, row, c.at(kind, corner, i * target.down))

    for block, last in c.blocks(n // lanes, bool(n % lanes)):
        columns = n % lanes if last else lanes
        line = c.at(kind, b.pointer, c.times(block, lanes * b.across))
        before, inside = c.parts(block, wide)
        start = c.plus(c.times(before, target.panel * k), c.times(inside, lanes))
        place = c.at(kind, target.pointer, start)
        whole = k // lanes * lanes
        if whole:
            with c.loop(whole, lanes) as p:
                square(line, p, lanes, columns, place)
        if whole < k:
            square(line, str(whole), k - whole, columns, place)


def packs(a: Matrix, b: Matrix, lanes: int) -> bool:
    """Whether a left operand that lies in columns is to be packed into panels: where its columns
    are far apart each costs a new page of memory, for every one of many blocks of sums."""
    (m, k), n = a.shape, b.shape[1]
    wide, tall = _row_block(m, n, lanes)
    if a.down != 1 or a.across * k * 4 <= _PAGES or m < 2 * tall:
        return False
    return b.across == 1 and n > _PACK_FROM * wide * lanes


def packed(a: Matrix, b: Matrix, pointer: str, lanes: int) -> Matrix:
    """The left operand once it lies at ``pointer`` in panels as high as the blocks of sums."""
    panel = _row_block(a.shape[0], b.shape[1], lanes)[1]
    return Matrix(pointer, a.shape, 1, panel, panel)


def packed_size(a: Matrix) -> int:
    """How many elements all panels have."""
    m, k = a.shape
    return k * -(-m // a.panel) * a.panel


def pack(c: Code, kind: str, a: Matrix, target: Matrix) -> None:
    """Write the left operand into the panels, some of them beside each other."""
    (m, k), high = a.shape, target.panel
    lanes = 1 << (high - 1).bit_length()
    group = _PACKED * high

    for block, last in c.blocks(m // group, bool(m % group)):
        first = c.at(kind, a.pointer, c.times(block, group))
        start = c.at(kind, target.pointer, c.times(block, group * k))
        rows = m % group if last else group
        with c.loop(k) as p:
            column = c.at(kind, first, c.times(p, a.across))
            place = c.at(kind, start, c.times(p, high))
            for i in range(0, rows, high):
                used = min(high, rows - i)
                values = c.masked_load(kind, lanes, used, c.at(kind, column, i))
                c.masked_store(kind, lanes, used, values, c.at(kind, place, i * k))


def room() -> int:
    """Vector registers for sums; the rest holds operands."""
    return vector_registers() * 3 // 4


def multiply(
    c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int
) -> None:
    """``out = a b (+ bias)``, row-major; ``bias`` points at one number per column."""
    if b.across == 1 or b.shape[1] == 1:
        _rows(c, kind, a, b, out, bias, lanes)
    else:
        _dots(c, kind, a, b, out, bias, lanes)


def pieces(a: Matrix, b: Matrix, lanes: int) -> int:
    """Into how many parts the outer loop of the kernel can be cut."""
    (m, k), n = a.shape, b.shape[1]
    if b.across == 1 or n == 1:
        wide, tall = _row_block(m, n, lanes)
        down, across = -(-m // tall), -(-n // (wide * lanes))
        return down if _by_rows(down, across, k, n) else across
    wide, tall = _dot_block(m, n)
    return -(-m // tall) if _dots_by_rows(m, k, n) else -(-n // wide)


def _by_rows(down: int, across: int, k: int, n: int) -> bool:
    """Whether the outer loop goes down the rows: there are few columns to share."""
    return down > across and k * n * 4 <= _AGAIN


def _row_block(m: int, n: int, lanes: int) -> tuple[int, int]:
    """Vectors across and rows down that a block of sums covers."""
    vectors = -(-n // lanes)
    best = (1, 1)
    cost = float("inf")
    for wide in range(1, min(vectors, 6) + 1):
        tall = max(1, min(m, room() // wide))
        # Loads per multiplication, and vectors that the last block leaves empty.
        blocks = -(-vectors // wide) * -(-m // tall)
        now = blocks * (wide * tall + 0.7 * (wide + tall))
        if now < cost:
            best, cost = (wide, tall), now
    return best


def _each_block(
    c: Code, down: tuple[int, bool], across: tuple[int, bool], by_rows: bool,
    block: Callable[[str, bool, str, bool], None],
) -> None:  # fmt: skip
    """``block(i, low, j, right)`` for all; the outer loop goes down the rows or across the columns.

    ``low`` and ``right`` mark the last row and column of blocks, which may be smaller.
    """
    if by_rows:
        for i, low in c.blocks(*down):
            with c.uncut():
                for j, right in c.blocks(*across):
                    block(i, low, j, right)
    else:
        for j, right in c.blocks(*across):
            with c.uncut():
                for i, low in c.blocks(*down):
                    block(i, low, j, right)


def _rows(c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int) -> None:
    (m, k), n = a.shape, b.shape[1]
    wide, tall = _row_block(m, n, lanes)
    step = wide * lanes
    whole = n // step * step
    ends = [min(lanes, n - whole - j) for j in range(0, n - whole, lanes)]
    down, across = (m // tall, bool(m % tall)), (n // step, bool(ends))

    def block(i: str, low: bool, j: str, right: bool) -> None:
        i, j = c.times(i, tall), c.times(j, step)
        above = c.times(i, k if a.panel else a.down)
        left = a._replace(pointer=c.at(kind, a.pointer, above))
        start = None if bias is None else c.at(kind, bias, j)
        panel = c.times(j, k) if b.panel else j
        _row_sums(
            c, kind, left, b._replace(pointer=c.at(kind, b.pointer, panel)),
            c.at(kind, out, c.plus(c.times(i, n), j)), start, lanes,
            ends if right else [lanes] * wide, m % tall if low else tall, k, n,
        )  # fmt: skip

    _each_block(c, down, across, _by_rows(sum(down), sum(across), k, n), block)


def _row_sums(
    c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int,
    used: list[int], tall: int, k: int, n: int,
) -> None:  # fmt: skip
    """A block of outputs: ``tall`` rows, a vector for each entry of ``used`` (its lanes)."""
    vector = f"<{lanes} x {kind}>"
    starts = [
        "zeroinitializer" if bias is None
        else c.masked_load(kind, lanes, lane, c.at(kind, bias, v * lanes))
        for v, lane in enumerate(used)
    ]  # fmt: skip
    sums = [[c.slot(vector, start) for start in starts] for _ in range(tall)]
    with c.loop(k) as p:
        line = c.at(kind, b.pointer, c.times(p, b.down))
        right = [  # panels are filled up with zeros
            c.masked_load(kind, lanes, lanes if b.panel else lane, c.at(kind, line, v * lanes))
            for v, lane in enumerate(used)
        ]
        column = c.at(kind, a.pointer, c.times(p, a.across))
        for i in range(tall):
            factor = c.splat(kind, lanes, c.load(kind, column, i * a.down))
            for v, values in enumerate(right):
                total = c.get(vector, sums[i][v])
                c.set(vector, sums[i][v], c.fma(vector, factor, values, total))
    for i in range(tall):
        for v, lane in enumerate(used):
            place = c.at(kind, out, i * n + v * lanes)
            c.masked_store(kind, lanes, lane, c.get(vector, sums[i][v]), place)


#: Columns of the right operand per block of dot products: their sums are stored together.
_DOT_COLUMNS = 4


def _dot_block(m: int, n: int) -> tuple[int, int]:
    """Columns across and rows down that a block of dot products covers."""
    wide = min(_DOT_COLUMNS, n)
    tall = max(1, min(m, room() // wide))
    return wide, -(-m // -(-m // tall))  # blocks of nearly one height


def _dots_by_rows(m: int, k: int, n: int) -> bool:
    """Whether the outer loop goes down the rows: the right operand stays in the nearest cache."""
    return n * k * 4 <= _NEAREST or m * k * 4 > _NEAR


def _dots(c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int) -> None:
    (m, k), n = a.shape, b.shape[1]
    wide, tall = _dot_block(m, n)

    def block(i: str, low: bool, j: str, right: bool) -> None:
        i, j = c.times(i, tall), c.times(j, wide)
        _dot_sums(
            c, kind, a._replace(pointer=c.at(kind, a.pointer, c.times(i, a.down))),
            b._replace(pointer=c.at(kind, b.pointer, c.times(j, b.across))),
            c.at(kind, out, c.plus(c.times(i, n), j)),
            None if bias is None else c.at(kind, bias, j), lanes,
            (m % tall if low else tall, n % wide if right else wide), k, n,
        )  # fmt: skip

    down, across = (m // tall, bool(m % tall)), (n // wide, bool(n % wide))
    _each_block(c, down, across, _dots_by_rows(m, k, n), block)


def _dot_sums(
    c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int,
    block: tuple[int, int], k: int, n: int,
) -> None:  # fmt: skip
    """A block of outputs (rows, columns), each the product of a row and a column along k."""
    tall, wide = block
    vector = f"<{lanes} x {kind}>"
    sums = [[c.slot(vector, "zeroinitializer") for _ in range(wide)] for _ in range(tall)]

    def step(p: str, used: int) -> None:
        right = [
            c.masked_load(kind, lanes, used, c.at(kind, b.pointer, c.plus(p, j * b.across)))
            for j in range(wide)
        ]
        for i, row in enumerate(sums):
            left = c.masked_load(kind, lanes, used, c.at(kind, a.pointer, c.plus(p, i * a.down)))
            for other, total in zip(right, row, strict=True):
                c.set(vector, total, c.fma(vector, left, other, c.get(vector, total)))

    whole = k // lanes * lanes
    if whole:
        with c.loop(whole, lanes) as p:
            step(p, lanes)
    if whole < k:
        step(str(whole), k - whole)
    # A row's sums beside each other in one vector, to be stored at once.
    group = 1 << (wide - 1).bit_length()
    totals = [
        total for row in sums
        for total in [*(c.get(vector, s) for s in row), *["zeroinitializer"] * (group - wide)]
    ]  # fmt: skip
    joined = c.sum_vectors(kind, lanes, totals)
    added = None if bias is None else c.masked_load(kind, group, wide, bias)
    for i in range(tall):
        place = i * group
        row = c.piece(kind, joined[place // lanes], lanes, place % lanes, group)
        if added is not None:
            row = c.let(f"fadd <{group} x {kind}> {row}, {added}")
        c.masked_store(kind, group, wide, row, c.at(kind, out, i * n))
