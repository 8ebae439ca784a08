"""Linear algebra built from other linear algebra: least squares, triangular systems, conditions.

None of these has a kernel of its own but ``eig``; what they are made of is in ``linalg.py``.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

from cresset.core.spec import Spec, dense
from cresset.ops.cast import cast
from cresset.ops.creation import empty, eye, zeros
from cresset.ops.factor import (
    cholesky,
    matrix_rank,
    pinv,
    qr,
    svd,
    svdvals,
)
from cresset.ops.inplace import into
from cresset.ops.linalg import LINALG, LinAlgError, _guard, _matrix, inv, solve
from cresset.ops.matmul import matmul
from cresset.ops.matrix_norm import matrix_norm
from cresset.ops.named import result
from cresset.ops.pointwise import conj
from cresset.ops.ranges import arange
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import transpose

lstsq_result = result("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
eig_result = result("linalg_eig", "eigenvalues", "eigenvectors")
old_svd_result = result("svd", "U", "S", "V")
inv_ex_result = result("linalg_inv_ex", "inverse", "info")
cholesky_ex_result = result("linalg_cholesky_ex", "L", "info")
triangular_result = result("triangular_solve", "solution", "cloned_coefficient")


def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number: the largest singular value over the smallest, or a norm of A times
    that of its inverse.

    >>> import cresset as torch
    >>> torch.linalg.cond(torch.diag(torch.tensor([4., 2.])))
    tensor(2.)
    """
    if p in (None, 2, -2):
        s: Any = svdvals(A)
        return into(out, s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1])
    if A.shape[-1] != A.shape[-2]:
        _matrix(A._spec, f"cond(ord={p})")
    return into(out, matrix_norm(A, p) * matrix_norm(inv(A), p))  # type: ignore[operator]


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The solution X of ``A X = B``, where only one triangle of A is looked at."""
    triangle: Any = A.triu() if upper else A.tril()  # type: ignore[attr-defined]
    if unitriangular:
        one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
        triangle = triangle - triangle.diagonal(0, -2, -1).diag_embed() + one
    return into(out, solve(triangle, B, left=left))


def triangular_solve(
    input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False,
    unitriangular: bool = False,
) -> Any:  # fmt: skip
    """The old name of ``solve_triangular``: ``(solution, A)``."""
    left = A.mT if transpose else A
    solution = solve_triangular(left, input, upper=upper != transpose, unitriangular=unitriangular)
    return triangular_result(solution, A)


def cholesky_solve(
    B: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The solution X of ``(L L^H) X = B``."""
    low = conj(transpose(L, -2, -1)) if upper else L
    half = solve_triangular(low, B, upper=False)
    return into(out, solve_triangular(conj(transpose(low, -2, -1)), half, upper=True))


def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``L L^H``."""
    one = eye(L.shape[-1], dtype=L.dtype, device=L.device).expand(L.shape)  # type: ignore[attr-defined]
    return into(out, cholesky_solve(one, L, upper))


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The X that makes ``|A X - B|`` smallest; of several, the shortest. No derivative for A.

    Shapes: A (*, m, n), B (*, m, k), solution (*, n, k).

    >>> import cresset as torch
    >>> line = torch.tensor([[1., 0.], [1., 1.], [1., 2.]])
    >>> torch.linalg.lstsq(line, torch.tensor([[1.], [3.], [5.]])).solution.round()
    tensor([[1.],
            [2.]])
    """
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    right: Any = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    (m, n), a = A.shape[-2:], A.detach()
    rank: Any = matrix_rank(a, tol=rcond)
    full = bool((rank == min(m, n)).all())
    if full and m >= n:
        q, r = qr(a)
        solution = solve_triangular(r, matmul(conj(q.mT), right), upper=True)
    elif full:
        q, r = qr(conj(a.mT))  # type: ignore[attr-defined]
        solution = matmul(q, solve_triangular(conj(r.mT), right, upper=False))
    else:
        solution = matmul(pinv(a, rcond=rcond), right)
    if full and m > n and driver not in (None, "gelsy"):
        residuals = (matmul(a, solution) - right).abs().pow(2).sum(-2)  # type: ignore[operator]
    else:
        residuals = empty(0, dtype=B.dtype, device=B.device)
    none = empty(0, dtype=A.dtype.to_real(), device=A.device)
    if driver in ("gelss", "gelsd"):
        none = svdvals(a)
    found: Any = solution
    return lstsq_result(found.squeeze(-1) if vector else found, residuals, rank, none)


def multi_dot(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """The product of several matrices, multiplied in the order that costs least."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    chain = list(tensors)
    if first:
        chain[0] = chain[0].unsqueeze(0)
    if last:
        chain[-1] = chain[-1].unsqueeze(-1)
    product: Any = _in_order(chain, _cheapest([x.shape[0] for x in chain] + [chain[-1].shape[1]]))
    if last:
        product = product.squeeze(-1)
    return into(out, product.squeeze(0) if first else product)


def _cheapest(sizes: list[int]) -> Any:
    """Where to split each run of the chain (Cormen et al., matrix-chain multiplication)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(2, n + 1):
        for i in range(n - length + 1):
            j = i + length - 1
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


def _in_order(chain: list, split: Any, i: int = 0, j: int | None = None) -> Tensor:
    j = len(chain) - 1 if j is None else j
    if i == j:
        return chain[i]
    k = split[i, j]
    return matmul(_in_order(chain, split, i, k), _in_order(chain, split, k + 1, j))


def matrix_exp(A: Tensor) -> Tensor:
    """``exp(A)`` of square matrices: scaling, a Taylor polynomial of degree 18, and squaring.

    >>> import cresset as torch
    >>> torch.linalg.matrix_exp(torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _matrix(A._spec, "matrix_exp")
    if not A.numel():
        return A.clone()  # type: ignore[attr-defined]
    norm = float(matrix_norm(A.detach(), 1).max())  # type: ignore[attr-defined]
    halvings = max(0, math.ceil(math.log2(norm / 0.5))) if 0.5 < norm < math.inf else 0
    one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
    small: Any = A / 2**halvings  # type: ignore[operator]
    result: Any = one + small / 18
    for k in range(17, 0, -1):
        result = one + matmul(small, result) / k  # type: ignore[operator]
    for _ in range(halvings):
        result = matmul(result, result)
    return result


def _eig_infer(s: Spec) -> Result:
    _matrix(s, "eig")
    kind = s.dtype.to_complex()
    return Result((dense(kind, s.shape[:-1], s.device), dense(kind, s.shape, s.device)))


def _eig_kernel(xp: Any, a: Any) -> Any:
    values, vectors = xp.linalg.eig(a)
    kind = xp.result_type(a.dtype, xp.complex64)
    return values.astype(kind), vectors.astype(kind)


EIG = Op("linalg_eig", _eig_infer, _guard("eig", _eig_kernel), multi=True, family="linalg")


def eig(A: Tensor, *, out: Any = None) -> Any:
    """Eigenvalues and eigenvectors of square matrices, complex (no derivative)."""
    return eig_result(*apply(EIG, (A.detach(),)))


def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of square matrices, complex, in no particular order."""
    return into(out, eig(A).eigenvalues)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Scalar products along a dimension: ``sum(conj(x) * y)``."""
    return into(out, (conj(x) * y).sum(dim))  # type: ignore[operator]


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The Vandermonde matrix: powers 0 to N - 1 of each element, side by side."""
    count = x.shape[-1] if N is None else N
    return x.unsqueeze(-1) ** arange(count, device=x.device)  # type: ignore[attr-defined]


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """``torch.diagonal`` of the last two dimensions."""
    return A.diagonal(offset, dim1, dim2)  # type: ignore[attr-defined]


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverse, and 0 where there is one; singular matrices raise only if asked to."""
    return _with_info(inv_ex_result, inv, A, check_errors)


def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """The Cholesky factor, and 0 where there is one; others raise only if asked to."""
    return _with_info(cholesky_ex_result, lambda a: cholesky(a, upper=upper), A, check_errors)


def _with_info(kind: Any, function: Any, A: Tensor, check_errors: bool) -> Any:
    info: Any = zeros(A.shape[:-2], dtype=arange(1).int().dtype, device=A.device)  # type: ignore[attr-defined]
    try:
        result = function(A)
        result._host()
    except LinAlgError:
        if check_errors:
            raise
        return kind(A.new_full(A.shape, math.nan), info + 1)  # type: ignore[attr-defined]
    return kind(result, info)


def old_svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """``torch.svd``: ``A = U diag(S) V^H``; V, not its adjoint, comes back (no derivative)."""
    u, s, vh = svd(input, not some)
    v = conj(transpose(vh, -2, -1))
    if not compute_uv:
        u, v = u * 0, v * 0
    return old_svd_result(u, s, v)


def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product.

    >>> import cresset as torch
    >>> torch.kron(torch.eye(2), torch.ones(1, 2))
    tensor([[1., 1., 0., 0.],
            [0., 0., 1., 1.]])
    """
    n = max(input.ndim, other.ndim)
    a = (1,) * (n - input.ndim) + tuple(input.shape)
    b = (1,) * (n - other.ndim) + tuple(other.shape)
    left = input.reshape([x for k in a for x in (k, 1)])  # type: ignore[attr-defined]
    right = other.reshape([x for k in b for x in (1, k)])  # type: ignore[attr-defined]
    return into(out, (left * right).reshape([i * j for i, j in zip(a, b, strict=True)]))


def cov(
    input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> Tensor:
    """Covariances of variables (rows) over observations (columns).

    >>> import cresset as torch
    >>> torch.cov(torch.tensor([[0., 1., 2.], [2., 1., 0.]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    x: Any = input.reshape(1, -1) if input.ndim < 2 else input  # type: ignore[attr-defined]
    if not x.is_floating_point() and not x.is_complex():
        x = x.float()
    weights = reduce(
        lambda w, v: v if w is None else w * v, (v for v in (fweights, aweights) if v is not None),
        None,
    )  # fmt: skip
    if weights is None:
        total: Any = x.shape[1]
        away = x - x.mean(1, keepdim=True)
        scaled = away
        norm = total - correction
    else:
        weights = cast(weights, x.dtype)
        total = weights.sum()
        away = x - (x * weights).sum(1, keepdim=True) / total
        scaled = away * weights
        norm = total - correction * (
            1 if aweights is None else (weights * cast(aweights, x.dtype)).sum() / total
        )
    norm = max(norm, 0) if isinstance(norm, int) else norm.clamp(min=0)
    result = matmul(scaled, conj(away.mT)) / norm  # type: ignore[operator]
    return result.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """Correlations of variables (rows): covariances over the two standard deviations."""
    c: Any = cov(input)
    if c.ndim == 0:
        return c / c
    spread = c.diagonal().real.sqrt() if c.is_complex() else c.diagonal().sqrt()
    result = c / spread.unsqueeze(1) / spread.unsqueeze(0)
    return result if c.is_complex() else result.clamp(-1, 1)


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    return _adjoint(input, "adjoint()")


def _adjoint(input: Tensor, name: str) -> Tensor:
    if input.ndim == 1:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor."
        )
    if not input.ndim:
        return input
    return conj(transpose(input, -2, -1))


def _hermitian(self: Tensor) -> Tensor:
    if self.ndim not in (0, 2):
        hint = " For batches of matrices, consider using tensor.mH" if self.ndim > 2 else ""
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.{hint}"
        )
    return adjoint(self) if self.ndim else self


mH, H = property(lambda self: _adjoint(self, "mH")), property(_hermitian)


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The X with ``tensordot(A, X, X.ndim) = B``."""
    a: Any = A
    for d in dims or ():
        a = a.movedim(d, -1)
    rest = tuple(a.shape[B.ndim :])
    x = solve(a.reshape(B.numel(), -1), B.reshape(-1))  # type: ignore[attr-defined]
    return into(out, x.reshape(rest))  # type: ignore[attr-defined]


def _chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The old name of ``linalg.multi_dot``."""
    return multi_dot(matrices, out=out) if len(matrices) > 1 else matrices[0]


LINALG.update({
    "cond": cond, "solve_triangular": solve_triangular, "lstsq": lstsq, "multi_dot": multi_dot,
    "matrix_exp": matrix_exp, "eig": eig, "eigvals": eigvals, "vecdot": vecdot, "vander": vander,
    "diagonal": linalg_diagonal, "matmul": matmul, "inv_ex": inv_ex, "cholesky_ex": cholesky_ex,
    "tensorsolve": tensorsolve,
})  # fmt: skip

TORCH = (
    "svd=old_svd", "kron", "cov", "corrcoef", "matrix_exp", "cholesky_solve", "cholesky_inverse",
    "adjoint", "triangular_solve",
    "chain_matmul=_chain_matmul",
)  # fmt: skip
METHODS = (
    "svd=old_svd", "kron", "cov", "corrcoef", "matrix_exp", "cholesky_solve", "cholesky_inverse",
    "adjoint", "triangular_solve", "mH", "H",
)  # fmt: skip
