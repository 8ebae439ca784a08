"""Factorisations of matrices: Cholesky, QR, singular values, eigenvalues; and what follows from the
singular values, pseudo-inverse and rank."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import into, scalar_name
from cresset.ops.linalg import LINALG, _adjoint, _guard, _matrix, _same, solve
from cresset.ops.matmul import matmul
from cresset.ops.named import result
from cresset.ops.pointwise import add, div, mul, neg, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import unsqueeze

qr_result = result("linalg_qr", "Q", "R")
svd_result = result("linalg_svd", "U", "S", "Vh")
eigh_result = result("linalg_eigh", "eigenvalues", "eigenvectors")


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
    """The lower triangular L with ``A = L L^H``, of the lower half of A; with ``upper`` the adjoint
    of L, of the upper half.

    >>> import cresset as torch
    >>> torch.linalg.cholesky(torch.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    _matrix(A._spec, "cholesky")
    low = apply(CHOLESKY, (_adjoint(A) if upper else A,))
    return into(out, _adjoint(low) if upper else low)


def old_cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The old name of ``linalg.cholesky``.

    >>> import cresset as torch
    >>> torch.cholesky(torch.tensor([[4.]]))
    tensor([[2.]])
    """
    return cholesky(input, upper=upper, out=out)


def _qr_infer(s: Spec, mode: str) -> Result:
    _matrix(s, "qr", False)
    m, n = s.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    if mode == "r":
        return Result((dense(s.dtype, (0,), s.device),
                       dense(s.dtype, (*s.shape[:-2], k, n), s.device)))  # fmt: skip
    return Result((dense(s.dtype, (*s.shape[:-2], m, k), s.device),
                   dense(s.dtype, (*s.shape[:-2], k, n), s.device)))  # fmt: skip


def _qr_kernel(xp: Any, a: Any, mode: str) -> tuple:
    if mode == "r":
        return xp.zeros((0,), a.dtype), xp.linalg.qr(a, "r")
    return tuple(xp.linalg.qr(a, mode))


def _qr_grad(n: Any, gq: Any, gr: Any, q: Tensor, r: Tensor) -> tuple:
    """Walter and Lehmann (2018)."""
    (mode,) = n.call.params
    m, k = n.call.specs[0].shape[-2:]
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
            "Please use linalg.qr(A, mode='reduced') if you are going to require gradients wrt the "
            "output."
        )
    if mode == "complete" and m > k:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    if m >= k:
        return (_tall_qr_grad(gq, gr, q, r),)
    # A = [A1 A2] with A1 = Q R1 and R2 = Q^H A2: Q gets a gradient through R2 as well.
    from cresset.ops.join import cat

    r1, r2 = r.narrow(-1, 0, m), r.narrow(-1, m, k - m)  # type: ignore[attr-defined]
    if gr is None:
        rest = q.new_zeros(r2.shape)  # type: ignore[attr-defined]
        return (cat([_tall_qr_grad(gq, None, q, r1), rest], -1),)
    g1, g2 = gr.narrow(-1, 0, m), gr.narrow(-1, m, k - m)
    more = matmul(matmul(q, r2), _adjoint(g2))
    first = _tall_qr_grad(more if gq is None else add(gq, more), g1, q, r1)
    return (cat([first, matmul(q, g2)], -1),)


def _tall_qr_grad(gq: Any, gr: Any, q: Tensor, r: Tensor) -> Tensor:
    """(gQ + Q s(triu(gR R^H - Q^H gQ))) R^-H, where s adds the adjoint (the diagonal once)."""
    inner = None if gr is None else matmul(gr, _adjoint(r))
    if gq is not None:
        turn = matmul(_adjoint(q), gq)
        inner = neg(turn) if inner is None else sub(inner, turn)
    assert inner is not None
    whole = matmul(q, _sum_with_adjoint(inner.triu()))  # type: ignore[attr-defined]
    return _times_inverse(whole if gq is None else add(whole, gq), _adjoint(r))


def _sum_with_adjoint(x: Tensor) -> Tensor:
    """``x + x^H`` with the real diagonal of ``x`` once."""
    both = add(x, _adjoint(x))
    diagonal = x.diagonal(0, -2, -1)  # type: ignore[attr-defined]
    once = diagonal.real.to(x.dtype) if x.is_complex() else diagonal
    return sub(both, once.diag_embed())


def _times_inverse(x: Tensor, a: Tensor) -> Tensor:
    """``x @ inverse(a)``."""
    return solve(a, x, left=False)


QR = Op("linalg_qr", _qr_infer, _qr_kernel, vjp=_qr_grad, save=(OUT, OUT - 1), multi=True,
        family="linalg")  # fmt: skip


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """``A = Q R`` with orthonormal Q and upper triangular R.

    ``mode`` is 'reduced', 'complete' (Q is square) or 'r' (no Q).

    >>> import cresset as torch
    >>> q, r = torch.linalg.qr(torch.tensor([[3., 1.], [4., 2.]]))
    >>> torch.allclose(q @ r, torch.tensor([[3., 1.], [4., 2.]]))
    True
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    parts = apply(QR, (A,), (mode,))
    if out is not None:
        parts = tuple(into(o, p) for o, p in zip(out, parts, strict=True))
    return qr_result(*parts)


def old_qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """The old name of ``linalg.qr``; ``some=False`` is the complete mode.

    >>> import cresset as torch
    >>> torch.qr(torch.eye(2)).R.shape
    torch.Size([2, 2])
    """
    return qr(input, "reduced" if some else "complete", out=out)


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


def _svd_kernel(xp: Any, a: Any, full: bool) -> tuple:
    if a.size:
        return tuple(xp.linalg.svd(a, full))
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    u, vh = (xp.zeros((*lead, i, i if full else 0), a.dtype) for i in (m, n))
    for square in (u, vh):
        square[...] = xp.eye(*square.shape[-2:])
    return u, xp.zeros((*lead, 0), a.real.dtype), xp.swapaxes(vh, -1, -2).copy()


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


SVD = Op("linalg_svd", _svd_infer, _guard("svd", _svd_kernel),
         vjp=_svd_grad, save=(OUT, OUT - 1, OUT - 2), multi=True, family="linalg")  # fmt: skip


def svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:
    """``A = U diag(S) Vh``. Of square matrices' full U and Vh, and of the reduced ones, there are
    derivatives where the singular values differ."""
    return svd_result(*apply(SVD, (A,), (full_matrices,)))


def _svdvals_infer(s: Spec) -> Result:
    _matrix(s, "svd", False)
    return Result((dense(s.dtype.to_real(), (*s.shape[:-2], min(s.shape[-2:])), s.device),))


def _svdvals_grad(n: Any, g: Tensor, a: Tensor) -> Tensor:
    u, _, vh = svd(a, False)
    return matmul(mul(u, unsqueeze(g, -2)), vh)


SVDVALS = Op("linalg_svdvals", _svdvals_infer,
             _guard("svd", lambda xp, a: xp.linalg.svd(a, compute_uv=False)),
             vjp=(_svdvals_grad,), save=(0,), grad_name="LinalgSvdBackward0",
             family="linalg")  # fmt: skip


def svdvals(A: Tensor, *, driver: Any = None, out: Tensor | None = None) -> Tensor:
    """The singular values, largest first.

    >>> import cresset as torch
    >>> torch.linalg.svdvals(torch.tensor([[0., 2.], [1., 0.]]))
    tensor([2., 1.])
    """
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
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices, of their lower half ('L') or
    upper one ('U').

    >>> import cresset as torch
    >>> torch.linalg.eigh(torch.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    parts = apply(EIGH, (A,), (UPLO.upper(),))
    if out is not None:
        parts = tuple(into(o, p) for o, p in zip(out, parts, strict=True))
    return eigh_result(*parts)


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending.

    >>> import cresset as torch
    >>> torch.linalg.eigvalsh(torch.tensor([[2., 0.], [0., 1.]]))
    tensor([1., 2.])
    """
    return into(out, eigh(A, UPLO).eigenvalues)


def _pinv_infer(s: Spec, *cutoff: float) -> Result:
    _matrix(s, "pinv", False)
    return Result((dense(s.dtype, (*s.shape[:-2], s.shape[-1], s.shape[-2]), s.device),))


def _pinv_kernel(xp: Any, a: Any, share: float, low: float) -> Any:
    if not a.size:
        return xp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    cut = s > xp.maximum(share * xp.max(s, axis=-1, keepdims=True), low)
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


def _cutoff(A: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Absolute and relative size below which a singular value counts as zero."""
    if rtol is None:
        rtol = dtypes.finfo(A.dtype).eps * max(A.shape[-2:]) if not atol else 0.0
    return 0.0 if atol is None else atol, rtol


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: float | None = None,
         rtol: float | None = None, out: Tensor | None = None) -> Tensor:  # fmt: skip
    """The Moore-Penrose pseudo-inverse, by singular values; those below ``rtol`` (or ``rcond``)
    times the largest and below ``atol`` count as zero.

    >>> import cresset as torch
    >>> torch.linalg.pinv(torch.tensor([[2., 0.], [0., 0.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    if A.ndim < 2 or A.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            f"linalg.pinv({scalar_name(A.dtype)}{{{list(A.shape)}}}): expected a tensor with 2 or "
            "more dimensions of float, double, cfloat or cdouble types"
        )
    low, share = _cutoff(A, atol, rcond if rtol is None else rtol)
    return into(out, apply(PINV, (A,), (float(share), float(low))))


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """How many singular values are not negligible: larger than ``tol``, or ``atol`` and ``rtol``
    times the largest.

    >>> import cresset as torch
    >>> torch.linalg.matrix_rank(torch.ones(2, 2))
    tensor(1)
    """
    if A.ndim < 2:
        raise RuntimeError(
            "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions."
        )
    if A.dtype.category < dtypes.FLOAT or A.dtype.itemsize == 2:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if not A.numel():
        return into(out, A.new_zeros(A.shape[:-2], dtype=dtypes.int64))  # type: ignore[attr-defined]
    s: Any = svdvals(A.detach())
    low, share = (tol, 0.0) if tol is not None else _cutoff(A, atol, rtol)
    bound = s.amax(-1, True) * share
    bound = bound.clamp(min=low) if not isinstance(low, Tensor) else bound.maximum(
        unsqueeze(low, -1)
    )  # fmt: skip
    return into(out, sum_(s.gt(bound), -1))


LINALG.update({
    "cholesky": cholesky, "qr": qr, "svd": svd, "svdvals": svdvals, "eigh": eigh,
    "eigvalsh": eigvalsh, "pinv": pinv, "matrix_rank": matrix_rank,
})  # fmt: skip

TORCH = ("cholesky=old_cholesky", "qr=old_qr", "pinverse=pinv")
METHODS = TORCH
