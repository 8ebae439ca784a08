"""Matrix products: own kernels for small ones, calls of SciPy's BLAS for large ones.

BLAS counts columns first, so a row-major product ``C = A B`` is asked for as ``C' = B' A'``. A
transposed operand costs nothing: its layout is one of the two that BLAS takes.
"""

from __future__ import annotations

from cresset.compiler.code import Code
from cresset.compiler.matmul import Matrix, multiply, pieces, takes
from cresset.compiler.step import Array, Lowering
from cresset.core.call import Call


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


def _base(c: Code, a: Array) -> str:
    return c.at("float", a.pointer, a.spec.offset)


def _matrix(c: Code, a: Array) -> Matrix:
    rows, columns = a.spec.shape
    return Matrix(_base(c, a), (rows, columns), *a.spec.stride)


def _pieces(a: tuple, a_stride: tuple, b: tuple, b_stride: tuple, lanes: int) -> int:
    left, right = Matrix("", a, *a_stride), Matrix("", b, *b_stride)
    return pieces(left, right, lanes) if takes(left, right) else 1


def lower_mm(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    if not _float(*operands, *outs) or not outs[0].spec.compact:
        return None
    layouts = [_layout(a) for a in operands]
    if None in layouts:
        return None
    (m, k), (_, n) = operands[0].spec.shape, operands[1].spec.shape

    def emit(c: Code) -> None:
        left, right = (_matrix(c, x) for x in operands)
        if takes(left, right):
            multiply(c, "float", left, right, outs[0].pointer, None, lanes)
            return
        a, b = [(_base(c, x), *lay) for x, lay in zip(operands, layouts, strict=True)]  # type: ignore[misc]
        _gemm(c, m, n, k, a, b, outs[0].pointer, "0.0")

    cut = _pieces((m, k), operands[0].spec.stride, (k, n), operands[1].spec.stride, lanes)
    return Lowering(emit, pieces=cut, flops=2 * m * n * k)


def lower_bmm(call: Call, operands: list[Array], outs: list[Array], lanes: int) -> Lowering | None:
    """One product after the other; a piece is some of them."""
    if not _float(*operands, *outs) or not outs[0].spec.contiguous:
        return None
    a, b = operands
    batch, m, k = a.spec.shape
    n = b.spec.shape[2]

    def matrix(x: Array, pointer: str) -> Matrix:
        return Matrix(pointer, tuple(x.spec.shape[1:]), *x.spec.stride[1:])

    if not takes(matrix(a, ""), matrix(b, "")):
        return None

    def emit(c: Code) -> None:
        with c.share(batch) as i:
            left, right = (
                matrix(x, c.at("float", _base(c, x), c.times(i, x.spec.stride[0]))) for x in (a, b)
            )
            target = c.at("float", outs[0].pointer, c.times(i, m * n))
            with c.uncut():
                multiply(c, "float", left, right, target, None, lanes)

    return Lowering(emit, pieces=batch, flops=2 * batch * m * n * k)


def lower_linear(
    call: Call, operands: list[Array], outs: list[Array], lanes: int
) -> Lowering | None:
    """``x w' + bias``: the bias is written first and added to."""
    bias, x, w = operands
    if not _float(*operands, *outs) or len(w.spec.shape) != 2 or not outs[0].spec.compact:
        return None
    if not (x.spec.contiguous and w.spec.contiguous and bias.spec.contiguous):
        return None
    if len(bias.spec.shape) != 1:
        return None
    n, k = w.spec.shape
    m = x.spec.numel // k

    def emit(c: Code) -> None:
        out = outs[0].pointer
        left = Matrix(_base(c, x), (m, k), k, 1)
        right = Matrix(_base(c, w), (k, n), 1, k)
        if takes(left, right):
            multiply(c, "float", left, right, out, _base(c, bias), lanes)
            return
        with c.loop(m) as i, c.loop(n) as j:
            value = c.load("float", _base(c, bias), j)
            c.store("float", value, out, c.plus(c.times(i, n), j))
        _gemm(c, m, n, k, (_base(c, x), "n", k), (_base(c, w), "t", k), out, "1.0")

    cut = _pieces((m, k), (k, 1), (k, n), (1, k), lanes)
    return Lowering(emit, pieces=cut, flops=2 * m * n * k)
