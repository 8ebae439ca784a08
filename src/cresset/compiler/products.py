"""Matrix products: own kernels (``matmul.py``), calls of SciPy's BLAS for very large ones.

BLAS counts columns first, so a row-major product ``C = A B`` is asked for as ``C' = B' A'``. A
transposed operand costs nothing: its layout is one of the two that BLAS takes.
"""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.copies import move
from cresset.compiler.matmul import (
    Matrix,
    multiply,
    pack,
    packed,
    packed_size,
    packs,
    panels_size,
    pieces,
    takes,
    turn,
    turned,
    turns,
)
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call
from cresset.core.spec import contiguous_stride
from cresset.core.spec import spec as make_spec


def _layout(a: Array) -> tuple[str, int] | None:
    """('n', leading dimension) for rows, ('t', ...) for columns; None if BLAS cannot take it."""
    rows, columns = a.spec.shape
    down, across = a.spec.stride
    if across == 1 and (down >= max(columns, 1) or rows == 1):
        return "n", max(down, columns)
    if down == 1 and (across >= max(rows, 1) or columns == 1):
        return "t", max(across, rows)
    return None


def _gemm(c: Code, m: int, n: int, k: int, a: tuple, b: tuple, out: str, beta: str) -> None:
    """out (m, n) = a (m, k) b (k, n) + beta out; ``a`` and ``b`` are (pointer, layout, leading)."""

    def i32(value: int) -> str:
        place = c.slot("i32", str(value))
        return place

    def letter(layout: str) -> str:
        return c.slot("i8", str(ord(layout)))

    one = c.slot("float", "1.0")
    rest = c.slot("float", beta)
    arguments = [
        letter(b[1]), letter(a[1]), i32(n), i32(m), i32(k), one, b[0], i32(b[2]), a[0], i32(a[2]),
        rest, out, i32(n),
    ]  # fmt: skip
    c.declare(f"void @cresset_sgemm({', '.join(['ptr'] * len(arguments))})")
    c.do(f"call void @cresset_sgemm({', '.join('ptr ' + x for x in arguments)})")


def _float(*arrays: Array) -> bool:
    return all(a.spec.dtype.name == "float32" and a.spec.numel for a in arrays)


def _matrix(a: Array) -> Matrix:
    rows, columns = a.spec.shape
    return Matrix("", (rows, columns), *a.spec.stride)


def _own(
    x: Array, left: Matrix, w: Array, right: Matrix, bias: Array | None, out: Array, lanes: int
) -> Lowering:
    """The product by the kernels of ``matmul.py``. Before it, what is to be turned over or packed
    is, and a left operand that is no matrix in memory (rows of a transposed batch) is made one."""
    (m, k), n = left.shape, right.shape[1]
    flips, gathers = turns(left, right, lanes), not (x.spec.contiguous or len(x.spec.shape) == 2)
    near = turned(left, right, "%shared", lanes) if flips else right
    room = 4 * panels_size(near) if flips else 0
    panels = packed(left, right, "%shared", lanes) if packs(left, right, lanes) else None
    if panels is not None:
        room = 4 * packed_size(panels)

    def prepare(c: Code) -> None:
        if flips:
            turn(c, "float", right._replace(pointer=w.base(c)), near, lanes)
        if panels is not None:
            pack(c, "float", left._replace(pointer=x.base(c)), panels)
        if gathers:
            shape = tuple(x.spec.shape)
            whole = make_spec(x.spec.dtype, shape, contiguous_stride(shape), 0, x.spec.device)
            move(c, x, Array(c.at("i8", "%shared", room), whole))

    def emit(c: Code) -> None:
        start = None if bias is None else bias.base(c)
        other = near if flips else near._replace(pointer=w.base(c))
        a = left._replace(pointer=c.at("i8", "%shared", room) if gathers else x.base(c))
        a = a if panels is None else panels
        multiply(c, "float", a, other, out.pointer, start, lanes)

    return Lowering(
        emit, pieces=pieces(left, near, lanes), flops=2 * m * n * k,
        prepare=prepare if flips or gathers or panels else None, shared=room + 4 * m * k * gathers,
    )  # fmt: skip


def lower_mm(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    if not _float(*operands, *outs) or not outs[0].spec.compact:
        return None
    a, b = operands
    if takes(_matrix(a), _matrix(b), lanes):
        return _own(a, _matrix(a), b, _matrix(b), None, outs[0], lanes)
    layouts = [_layout(a) for a in operands]
    if None in layouts:
        return None
    (m, k), n = a.spec.shape, b.spec.shape[1]

    def emit(c: Code) -> None:
        left, right = [(x.base(c), *lay) for x, lay in zip(operands, layouts, strict=True)]  # type: ignore[misc]
        _gemm(c, m, n, k, left, right, outs[0].pointer, "0.0")

    return Lowering(emit, flops=2 * m * n * k)


def lower_bmm(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """One product after the other; a piece is some of them."""
    if not _float(*operands, *outs) or not outs[0].spec.contiguous:
        return None
    a, b = operands
    batch, m, k = a.spec.shape
    n = b.spec.shape[2]

    def matrix(x: Array, pointer: str) -> Matrix:
        return Matrix(pointer, tuple(x.spec.shape[1:]), *x.spec.stride[1:])

    left, right = matrix(a, ""), matrix(b, "")
    near = turned(left, right, "%scratch", lanes) if turns(left, right, lanes) else None
    if not takes(left, right, lanes):
        return None

    def emit(c: Code) -> None:
        with c.share(batch) as i:
            left, right = (
                matrix(x, c.at("float", x.base(c), c.times(i, x.spec.stride[0]))) for x in (a, b)
            )
            target = c.at("float", outs[0].pointer, c.times(i, m * n))
            with c.uncut():
                if near is not None:
                    turn(c, "float", right, near, lanes)
                multiply(c, "float", left, near or right, target, None, lanes)

    scratch = 4 * panels_size(near) if near is not None else 0
    return Lowering(emit, scratch=scratch, pieces=batch, flops=2 * batch * m * n * k)


def lower_linear(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``x w' + bias``: the bias is written first and added to."""
    bias, x, w = operands
    if not _float(*operands, *outs) or len(w.spec.shape) != 2 or not outs[0].spec.compact:
        return None
    if not (w.spec.contiguous and bias.spec.contiguous) or len(bias.spec.shape) != 1:
        return None
    n, k = w.spec.shape
    m = x.spec.numel // k
    left, right = Matrix("", (m, k), k, 1), Matrix("", (k, n), 1, k)
    if takes(left, right, lanes):
        return _own(x, left, w, right, bias, outs[0], lanes)
    if not x.spec.contiguous:
        return None

    def emit(c: Code) -> None:
        out = outs[0].pointer
        with c.loop(m) as i, c.loop(n) as j:
            value = c.load("float", bias.base(c), j)
            c.store("float", value, out, c.plus(c.times(i, n), j))
        _gemm(c, m, n, k, (x.base(c), "n", k), (w.base(c), "t", k), out, "1.0")

    return Lowering(emit, flops=2 * m * n * k)
