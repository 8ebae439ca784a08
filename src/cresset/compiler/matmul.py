"""Products of matrices: the sums of a block of outputs stay in vector registers.

Two kernels, by how the right operand lies. *Rows*: its rows are contiguous, so a vector holds
neighbouring outputs of one row, and every step of k multiplies a piece of a row of the right with
one number of the left. *Dots*: both operands are contiguous along k, so a vector runs along k, and
the lanes are added up at the end, many sums at once by halving. A right operand that is contiguous
along k is turned over first where the left has rows enough to make up for it.

Very large products go to BLAS, which packs its operands for the caches.
"""

from __future__ import annotations

from typing import NamedTuple

from cresset.compiler.code import Code
from cresset.compiler.host import vector_registers

#: Multiplications up to which these kernels beat BLAS (measured up to 1024 x 1024 x 1024).
_MOST = 2 << 30
#: Rows of the left operand from which it pays to turn the right one over.
_WORTH_TURNING = 64
#: Bytes of the right operand that may be gone through again for every block of rows.
_AGAIN = 512 << 10
#: Bytes of the left operand that dot products may read again for every few columns.
_NEAR = 400 << 10


class Matrix(NamedTuple):
    """An operand: where it starts, its sizes, and how many elements apart rows and columns are."""

    pointer: str
    shape: tuple[int, int]
    down: int
    across: int


def takes(a: Matrix, b: Matrix) -> bool:
    """Whether one of the kernels suits this product."""
    (m, k), n = a.shape, b.shape[1]
    if m * n * k > _MOST:
        return False
    if b.across == 1 or n == 1:
        return True
    return b.down == 1 and ((a.across == 1 and m * k * 4 <= _NEAR) or turns(a, b))


def turns(a: Matrix, b: Matrix) -> bool:
    """Whether the right operand is to be turned over, into rows one behind the other."""
    return b.down == 1 and 1 not in (b.across, b.shape[1]) and a.shape[0] >= _WORTH_TURNING


def turned(b: Matrix, pointer: str) -> Matrix:
    """The right operand once it lies at ``pointer`` in rows."""
    return Matrix(pointer, b.shape, b.shape[1], 1)


def turn(c: Code, kind: str, b: Matrix, target: str, lanes: int) -> None:
    """Write the right operand's rows, a vector of neighbouring columns at a time."""
    k, n = b.shape
    for block, last in c.blocks(n // lanes, bool(n % lanes)):
        used = n % lanes if last else lanes
        j = c.times(block, lanes)
        column = c.at(kind, b.pointer, c.times(j, b.across))
        with c.loop(k) as p:
            values = c.gather(kind, lanes, used, b.across, c.at(kind, column, p))
            place = c.at(kind, target, c.plus(c.times(p, n), j))
            c.masked_store(kind, lanes, used, values, place)


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
    return -(-n // _DOT_COLUMNS)


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


def _rows(c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int) -> None:
    (m, k), n = a.shape, b.shape[1]
    wide, tall = _row_block(m, n, lanes)
    step = wide * lanes
    whole = n // step * step
    ends = [min(lanes, n - whole - j) for j in range(0, n - whole, lanes)]
    down, across = (m // tall, bool(m % tall)), (n // step, bool(ends))

    def block(i: str, low: bool, j: str, right: bool) -> None:
        i, j = c.times(i, tall), c.times(j, step)
        left = a._replace(pointer=c.at(kind, a.pointer, c.times(i, a.down)))
        start = None if bias is None else c.at(kind, bias, j)
        _row_sums(
            c, kind, left, b._replace(pointer=c.at(kind, b.pointer, j)),
            c.at(kind, out, c.plus(c.times(i, n), j)), start, lanes,
            ends if right else [lanes] * wide, m % tall if low else tall, k, n,
        )  # fmt: skip

    if _by_rows(sum(down), sum(across), k, n):
        for i, low in c.blocks(*down):
            with c.uncut():
                for j, right in c.blocks(*across):
                    block(i, low, j, right)
    else:
        for j, right in c.blocks(*across):
            with c.uncut():
                for i, low in c.blocks(*down):
                    block(i, low, j, right)


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
        right = [
            c.masked_load(kind, lanes, lane, c.at(kind, line, v * lanes))
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


#: Columns of the right operand per block of dot products.
_DOT_COLUMNS = 4


def _dots(c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int) -> None:
    (m, k), n = a.shape, b.shape[1]
    wide = min(_DOT_COLUMNS, n)
    tall = max(1, min(m, room() // wide))
    if m % tall and m // tall:
        tall = -(-m // -(-m // tall))  # blocks of nearly one height
    whole = n // wide * wide

    def column(j: str, count: int) -> None:
        right = b._replace(pointer=c.at(kind, b.pointer, c.times(j, b.across)))
        target = c.at(kind, out, j)
        start = None if bias is None else c.at(kind, bias, j)
        rows = m // tall * tall
        with c.loop(rows, tall) as i:
            left = a._replace(pointer=c.at(kind, a.pointer, c.times(i, a.down)))
            _dot_sums(c, kind, left, right, c.at(kind, target, c.times(i, n)), start, lanes,
                      (tall, count), k, n)  # fmt: skip
        if rows < m:
            left = a._replace(pointer=c.at(kind, a.pointer, rows * a.down))
            _dot_sums(c, kind, left, right, c.at(kind, target, rows * n), start, lanes,
                      (m - rows, count), k, n)  # fmt: skip

    for j, is_last in c.blocks(whole // wide, whole < n):
        if is_last:
            column(str(whole), n - whole)
        else:
            column(c.times(j, wide), wide)


def _dot_sums(
    c: Code, kind: str, a: Matrix, b: Matrix, out: str, bias: str | None, lanes: int,
    block: tuple[int, int], k: int, n: int,
) -> None:  # fmt: skip
    """A block of outputs (rows, columns), each the product of a row and a column along k."""
    tall, wide = block
    vector = f"<{lanes} x {kind}>"
    sums = [c.slot(vector, "zeroinitializer") for _ in range(tall * wide)]

    def step(p: str, used: int) -> None:
        right = [
            c.masked_load(kind, lanes, used, c.at(kind, b.pointer, c.plus(p, j * b.across)))
            for j in range(wide)
        ]
        for i in range(tall):
            left = c.masked_load(kind, lanes, used, c.at(kind, a.pointer, c.plus(p, i * a.down)))
            for j in range(wide):
                total = sums[i * wide + j]
                c.set(vector, total, c.fma(vector, left, right[j], c.get(vector, total)))

    whole = k // lanes * lanes
    if whole:
        with c.loop(whole, lanes) as p:
            step(p, lanes)
    if whole < k:
        step(str(whole), k - whole)
    totals = c.sum_lanes(kind, lanes, [c.get(vector, total) for total in sums])
    for i in range(tall):
        if bias is None:
            row = [totals[i * wide + j] for j in range(wide)]
        else:
            row = [
                c.let(f"fadd {kind} {totals[i * wide + j]}, {c.load(kind, bias, j)}")
                for j in range(wide)
            ]
        for j, value in enumerate(row):
            c.store(kind, value, out, i * n + j)
