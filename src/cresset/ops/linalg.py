"""Linear algebra on matrices and batches of them, through the array namespace's LAPACK."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.extremes import amax, amin
from cresset.ops.inplace import into, scalar_name
from cresset.ops.matmul import matmul
from cresset.ops.pointwise import add, conj, div, mul, neg, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.vector_norm import norm_dtype, vector_norm
from cresset.ops.view import transpose, unsqueeze

qr_result = namedtuple("qr_result", ["Q", "R"])
svd_result = namedtuple("svd_result", ["U", "S", "Vh"])
eigh_result = namedtuple("eigh_result", ["eigenvalues", "eigenvectors"])
slogdet_result = namedtuple("slogdet_result", ["sign", "logabsdet"])


def _adjoint(x: Tensor) -> Tensor:
    return conj(transpose(x, -2, -1))


def _matrix(s: Spec, name: str, square: bool = True) -> None:
    if s.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if square and s.shape[-1] != s.shape[-2]:
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are "
            f"{s.shape[-2]} by {s.shape[-1]} matrices"
        )
    if s.dtype.category < dtypes.FLOAT or s.dtype.itemsize == 2:
        raise RuntimeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got "
            f"{scalar_name(s.dtype)}"
            if s.dtype.category < dtypes.FLOAT
            else f"linalg.{name}: Low precision dtypes not supported. Got {scalar_name(s.dtype)}"
        )


class LinAlgError(RuntimeError):
    """A matrix was singular, or an iteration did not converge."""


def _guard(name: str, function: Any) -> Any:
    def kernel(xp: Any, *args: Any) -> Any:
        try:
            return function(xp, *args)
        except xp.linalg.LinAlgError as error:
            raise LinAlgError(f"linalg.{name}: {error}") from None

    return kernel


def _same(name: str) -> Any:
    def infer(s: Spec, *params: Any) -> Result:
        _matrix(s, name)
        return Result((dense(s.dtype, s.shape, s.device),))

    return infer


INV = Op(
    "linalg_inv_ex", _same("inv"), _guard("inv", lambda xp, a: xp.linalg.inv(a)), save=(OUT,),
    vjp=(lambda n, g, y: neg(matmul(_adjoint(y), matmul(g, _adjoint(y)))),), family="linalg",
    checks_values=True,
)  # fmt: skip


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverse of square matrices.

    >>> import cresset as torch
    >>> torch.linalg.inv(torch.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return into(out, apply(INV, (A,)))


def _det_infer(s: Spec) -> Result:
    _matrix(s, "det")
    return Result((dense(s.dtype, s.shape[:-2], s.device),))


def _det_grad(n: Any, g: Tensor, a: Tensor, d: Tensor) -> Tensor:
    scale = unsqueeze(unsqueeze(mul(g, conj(d)), -1), -1)
    return mul(_adjoint(inv(a)), scale)


DET = Op("linalg_det", _det_infer, lambda xp, a: xp.linalg.det(a), vjp=(_det_grad,), save=(0, OUT),
         family="linalg")  # fmt: skip


def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant."""
    return into(out, apply(DET, (A,)))


def _slogdet_infer(s: Spec) -> Result:
    _matrix(s, "slogdet")
    return Result((dense(s.dtype, s.shape[:-2], s.device),
                   dense(s.dtype.to_real(), s.shape[:-2], s.device)))  # fmt: skip


def _slogdet_grad(n: Any, gs: Any, gl: Any, a: Tensor) -> tuple:
    if gl is None:
        return (mul(a, 0),)
    return (mul(_adjoint(inv(a)), unsqueeze(unsqueeze(gl, -1), -1)),)


SLOGDET = Op("linalg_slogdet", _slogdet_infer, lambda xp, a: tuple(xp.linalg.slogdet(a)),
             vjp=_slogdet_grad, save=(0,), multi=True, family="linalg")  # fmt: skip


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """The sign of the determinant and the logarithm of its absolute value."""
    return slogdet_result(*apply(SLOGDET, (A,)))


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant (NaN where it is negative)."""
    sign, value = slogdet(input)
    return value.masked_fill(sign.lt(0), math.nan)


def _solve_infer(a: Spec, b: Spec) -> Result:
    _matrix(a, "solve")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation AX = B "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )
    from cresset.ops.registry import broadcast_shapes

    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return Result((dense(a.dtype, (*batch, *b.shape[-2:]), a.device),))


def _solve_grad(n: Any, g: Tensor, a: Tensor, x: Tensor) -> tuple:
    y = apply(SOLVE, (_adjoint(a), g))
    specs = n.call.specs
    to_a = neg(matmul(y, _adjoint(x)))._reduce_to(specs[0].shape, specs[0].dtype)  # type: ignore[attr-defined]
    return to_a, y._reduce_to(specs[1].shape, specs[1].dtype)


SOLVE = Op("linalg_solve_ex", _solve_infer, _guard("solve", lambda xp, a, b: xp.linalg.solve(a, b)),
           vjp=_solve_grad, save=(0, OUT), family="linalg", checks_values=True)  # fmt: skip


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """The solution X of ``A X = B`` (of ``X A = B`` with ``left=False``)."""
    if not left:
        return into(out, transpose(solve(transpose(A, -2, -1), transpose(B, -2, -1)), -2, -1))
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    right = unsqueeze(B, -1) if vector else B
    x = apply(SOLVE, (A, right))
    return into(out, x.squeeze(-1) if vector else x)  # type: ignore[attr-defined]


def _cholesky_grad(n: Any, g: Tensor, low: Tensor) -> Tensor:
    """Murray (2016): L^-H phi(L^H g) L^-1, symmetrised."""
    inner = matmul(_adjoint(low), g).tril()  # type: ignore[attr-defined]
    inner = sub(inner, mul(inner.diagonal(0, -2, -1).diag_embed(), 0.5))
    left = solve(_adjoint(low), inner)
    whole = _adjoint(solve(_adjoint(low), _adjoint(left)))
    return mul(add(whole, _adjoint(whole)), 0.5)


CHOLESKY = Op("linalg_cholesky_ex", _same("cholesky"),
              _guard("cholesky", lambda xp, a: xp.linalg.cholesky(a)), vjp=(_cholesky_grad,),
              save=(OUT,), family="linalg", checks_values=True)  # fmt: skip


def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The lower triangular L with ``A = L L^H`` (upper: its adjoint)."""
    low = apply(CHOLESKY, (A,))
    return into(out, _adjoint(low) if upper else low)


def _qr_infer(s: Spec, mode: str) -> Result:
    _matrix(s, "qr", False)
    m, n = s.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    return Result((dense(s.dtype, (*s.shape[:-2], m, k), s.device),
                   dense(s.dtype, (*s.shape[:-2], k, n), s.device)))  # fmt: skip


QR = Op("linalg_qr", _qr_infer, lambda xp, a, mode: tuple(xp.linalg.qr(a, mode)), multi=True,
        family="linalg")  # fmt: skip


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """``A = Q R`` with orthonormal Q and upper triangular R (no derivative)."""
    return qr_result(*apply(QR, (A.detach(),), (mode,)))


def _svd_infer(s: Spec, full: bool) -> Result:
    _matrix(s, "svd", False)
    m, n = s.shape[-2:]
    k = min(m, n)
    lead = s.shape[:-2]
    return Result((
        dense(s.dtype, (*lead, m, m if full else k), s.device),
        dense(s.dtype.to_real(), (*lead, k), s.device),
        dense(s.dtype, (*lead, n if full else k, n), s.device),
    ))  # fmt: skip


def _svd_grad(n: Any, gu: Any, gs: Any, gvh: Any, u: Any, s: Any, vh: Any) -> tuple:
    """Townsend (2016), with the phase of complex vectors held as PyTorch holds it.

    Exact where singular values differ, and to any order, since it is made of differentiable ops.
    """
    k = s.shape[-1]
    left, right = u[..., :k], vh[..., :k, :]
    inner: Any = None if gs is None else gs.to(left.dtype).diag_embed()
    outer: Any = None
    if gu is not None or gvh is not None:
        gap = unsqueeze(s * s, -2) - unsqueeze(s * s, -1)
        same = gap.eq(0)
        gap = gap.masked_fill(same, 1.0)
        wide, tall = vh.shape[-1] > k, u.shape[-2] > k
        if gu is not None:
            gu = gu[..., :k]
            turn = matmul(_adjoint(left), gu)
            skew = sub(turn, _adjoint(turn))
            part: Any = skew.masked_fill(same, 0.0) / gap * unsqueeze(s, -2)
            if left.dtype.is_complex:
                part = part + (skew.diagonal(0, -2, -1) / (2 * s)).diag_embed()  # type: ignore[attr-defined]
            inner = part if inner is None else inner + part
            if tall:
                rest: Any = sub(gu, matmul(left, turn))
                outer = matmul(rest / unsqueeze(s, -2), right)
        if gvh is not None:
            gv = _adjoint(gvh[..., :k, :])
            turn = matmul(right, gv)
            part = unsqueeze(s, -1) * (sub(turn, _adjoint(turn)).masked_fill(same, 0.0) / gap)
            inner = part if inner is None else inner + part
            if wide:
                rest = sub(_adjoint(gv), matmul(_adjoint(turn), right))
                more = matmul(left, rest / unsqueeze(s, -1))
                outer = more if outer is None else add(outer, more)
    if inner is None:
        return (outer,)
    whole = matmul(matmul(left, inner), right)
    return (whole if outer is None else add(whole, outer),)


SVD = Op("linalg_svd", _svd_infer, _guard("svd", lambda xp, a, full: tuple(xp.linalg.svd(a, full))),
         vjp=_svd_grad, save=(OUT, OUT - 1, OUT - 2), multi=True, family="linalg")  # fmt: skip


def svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:
    """``A = U diag(S) Vh``. Of square matrices' full U and Vh, and of the reduced ones, there are
    derivatives where the singular values differ."""
    return svd_result(*apply(SVD, (A,), (full_matrices,)))


def _svdvals_infer(s: Spec) -> Result:
    _matrix(s, "svdvals", False)
    return Result((dense(s.dtype.to_real(), (*s.shape[:-2], min(s.shape[-2:])), s.device),))


def _svdvals_grad(n: Any, g: Tensor, a: Tensor) -> Tensor:
    u, _, vh = svd(a, False)
    return matmul(mul(u, unsqueeze(g, -2)), vh)


SVDVALS = Op("linalg_svdvals", _svdvals_infer,
             lambda xp, a: xp.linalg.svd(a, compute_uv=False), vjp=(_svdvals_grad,), save=(0,),
             family="linalg")  # fmt: skip


def svdvals(A: Tensor, *, driver: Any = None, out: Tensor | None = None) -> Tensor:
    """The singular values, largest first."""
    return into(out, apply(SVDVALS, (A,)))


def _eigh_infer(s: Spec, uplo: str) -> Result:
    _matrix(s, "eigh")
    return Result((dense(s.dtype.to_real(), s.shape[:-1], s.device),
                   dense(s.dtype, s.shape, s.device)))  # fmt: skip


def _eigh_grad(n: Any, gl: Any, gv: Any, values: Tensor, vectors: Tensor) -> tuple:
    inner = None
    if gl is not None:
        inner = gl.diag_embed()
    if gv is not None:
        gap = sub(unsqueeze(values, -2), unsqueeze(values, -1))
        eye = gap.eq(0)  # type: ignore[attr-defined]
        part = div(matmul(_adjoint(vectors), gv), gap.masked_fill(eye, 1.0)).masked_fill(eye, 0.0)  # type: ignore[attr-defined]
        inner = part if inner is None else add(inner, part)
    return (None if inner is None else matmul(vectors, matmul(inner, _adjoint(vectors))),)


EIGH = Op("linalg_eigh", _eigh_infer, _guard("eigh", lambda xp, a, u: tuple(xp.linalg.eigh(a, u))),
          vjp=_eigh_grad, save=(OUT, OUT - 1), multi=True, family="linalg")  # fmt: skip


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices."""
    return eigh_result(*apply(EIGH, (A,), (UPLO,)))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending."""
    return into(out, eigh(A, UPLO).eigenvalues)


def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """A square matrix to an integer power, by squaring."""
    _matrix(input._spec, "matrix_power")
    if n < 0:
        input, n = inv(input), -n
    result: Tensor | None = None
    while n:
        if n % 2:
            result = input if result is None else matmul(result, input)
        input = matmul(input, input) if n > 1 else input
        n //= 2
    if result is None:
        from cresset.ops.creation import eye

        result = mul(input, 0) + eye(input.shape[-1], dtype=input.dtype, device=input.device)  # type: ignore[operator]
    return into(out, result)


def _pinv_infer(s: Spec, tiny: float) -> Result:
    _matrix(s, "pinv", False)
    return Result((dense(s.dtype, (*s.shape[:-2], s.shape[-1], s.shape[-2]), s.device),))


def _pinv_kernel(xp: Any, a: Any, tiny: float) -> Any:
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    cut = s > tiny * xp.max(s, axis=-1, keepdims=True, initial=0)
    inverse = xp.where(cut, 1 / xp.where(cut, s, 1), 0).astype(s.dtype)
    v, uh = xp.conj(xp.swapaxes(vh, -1, -2)), xp.conj(xp.swapaxes(u, -1, -2))
    return (v * inverse[..., None, :]) @ uh


def _pinv_grad(n: Any, g: Tensor, a: Tensor, p: Tensor) -> Tensor:
    """Golub and Pereyra (1973): right where the rank does not change."""
    gh, ph = _adjoint(g), _adjoint(p)
    k = matmul(gh, p)
    kp = matmul(k, ph)
    first = sub(sub(kp, _adjoint(matmul(p, k))), matmul(matmul(a, p), kp))
    return add(first, matmul(matmul(ph, p), sub(gh, matmul(k, a))))


PINV = Op("linalg_pinv", _pinv_infer, _guard("pinv", _pinv_kernel), vjp=(_pinv_grad,),
          save=(0, OUT), family="linalg")  # fmt: skip


def pinv(A: Tensor, *, rcond: float | None = None, hermitian: bool = False,
         out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The Moore-Penrose pseudo-inverse, by singular values; those below ``rcond`` times the
    largest count as zero."""
    tiny = dtypes.finfo(A.dtype).eps * max(A.shape[-2:]) if rcond is None else float(rcond)
    return into(out, apply(PINV, (A,), (tiny,)))


def matrix_rank(A: Tensor, *, tol: float | None = None, hermitian: bool = False) -> Tensor:
    """How many singular values are not negligible."""
    s = svdvals(A.detach())
    tiny = (
        s.amax(-1, True) * (dtypes.finfo(A.dtype).eps * max(A.shape[-2:])) if tol is None else tol
    )  # type: ignore[attr-defined]
    return sum_(s.gt(tiny), -1)  # type: ignore[attr-defined]


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError("trace: expected a matrix, but got tensor with dim " + str(input.ndim))
    return sum_(input.diagonal())  # type: ignore[attr-defined]


def cross(
    input: Tensor, other: Tensor, *, dim: int | None = None, out: Tensor | None = None
) -> Tensor:
    """The cross product of three-dimensional vectors along ``dim``."""
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), -1)
    a, b = input.unbind(dim), other.unbind(dim)  # type: ignore[attr-defined]
    from cresset.ops.join import stack

    return into(out, stack([a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3]
                            for i in range(3)], dim))  # fmt: skip


_NORM_ORDERS = (2, -2, 1, -1, math.inf, -math.inf)


def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *,
                dtype: Any = None, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Norms of matrices: 'fro', 'nuc', 2, 1, inf and their negatives.

    >>> import cresset as torch
    >>> torch.linalg.matrix_norm(torch.tensor([[1., -2.], [3., 4.]]), 1)
    tensor(6.)
    """
    if isinstance(ord, str) and ord not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if A.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    dims = [dim] if isinstance(dim, int) else list(dim)
    if len(dims) != 2:
        raise RuntimeError(
            f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}"
        )
    if not isinstance(ord, str) and ord not in _NORM_ORDERS:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    d = norm_dtype("matrix_norm", A, dtype)
    rows, columns = (wrap_dim(i, A.ndim) for i in dims)
    if rows == columns:
        raise RuntimeError(
            f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})"
        )
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim, dtype=dtype, out=out)
    if dtype is not None:
        A = A.to(d)  # type: ignore[attr-defined]
    if not isinstance(ord, str) and abs(ord) != 2:
        summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
        total = vector_norm(A, 1, summed, True)
        value = (amax if ord > 0 else amin)(total, kept, True)
    else:
        s = svdvals(A.movedim((rows, columns), (-2, -1)))  # type: ignore[attr-defined]
        value = sum_(s, -1) if ord == "nuc" else (amax if ord > 0 else amin)(s, -1)
        for i in sorted((rows, columns)):
            value = unsqueeze(value, i)
    if not keepdim:
        value = value.squeeze((rows, columns))  # type: ignore[attr-defined]
    return into(out, value)


def linalg_norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *,
                out: Tensor | None = None, dtype: Any = None) -> Tensor:  # fmt: skip
    """A vector norm, or with two dimensions and an ``ord`` a matrix norm.

    >>> import cresset as torch
    >>> torch.linalg.norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    dims = [dim] if isinstance(dim, int) else None if dim is None else list(dim)
    if ord is not None:
        if dims is not None and len(dims) not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                f"[{', '.join(map(str, dims))}]"
            )
        if dims is None and A.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{A.ndim}D."
            )
        if isinstance(ord, str) or len(dims or A.shape) == 2:
            return matrix_norm(A, ord, dims or (-2, -1), keepdim, dtype=dtype, out=out)
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype, out=out)


#: What users find as ``torch.linalg``.
LINALG = {
    "inv": inv, "det": det, "slogdet": slogdet, "solve": solve, "cholesky": cholesky, "qr": qr,
    "svd": svd, "svdvals": svdvals, "eigh": eigh, "eigvalsh": eigvalsh, "norm": linalg_norm,
    "vector_norm": vector_norm, "matrix_norm": matrix_norm, "matrix_power": matrix_power,
    "pinv": pinv, "matrix_rank": matrix_rank, "cross": cross, "LinAlgError": LinAlgError,
}  # fmt: skip

TORCH = (
    "inverse=inv", "det", "slogdet", "logdet", "cholesky", "qr", "matrix_power", "pinverse=pinv",
    "trace", "cross",
)  # fmt: skip
METHODS = TORCH
