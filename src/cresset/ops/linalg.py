"""Linear algebra on matrices and batches of them, through the array namespace's LAPACK.

Here are the checks and error words that all of it shares, and what needs no factors in its result:
inverse, determinant, solving, powers, trace, cross product. Factorisations are in ``factor.py``,
norms in ``matrix_norm.py``, what is made of all of these in ``solvers.py``.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.ops.elementwise import not_implemented, promote_rule
from cresset.ops.inplace import into, scalar_name
from cresset.ops.matmul import matmul
from cresset.ops.named import result
from cresset.ops.pointwise import add, conj, mul, neg
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.vector_norm import vector_norm
from cresset.ops.view import transpose, unsqueeze

slogdet_result = result("linalg_slogdet", "sign", "logabsdet")


def _adjoint(x: Tensor) -> Tensor:
    return conj(transpose(x, -2, -1))


def _square(s: Spec, name: str, square: bool = True) -> None:
    if s.ndim < 2:
        title = name if name == "logdet" else "linalg." + name
        raise RuntimeError(f"{title}: The input tensor A must have at least 2 dimensions.")
    if square and s.shape[-1] != s.shape[-2]:
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are "
            f"{s.shape[-2]} by {s.shape[-1]} matrices"
        )


#: Which kernel PyTorch's error names for a half precision matrix; the other functions say more.
_KERNELS = {
    "det": "lu_cpu", "solve": "lu_cpu", "cholesky": "cholesky_cpu", "qr": "geqrf_cpu",
    "svd": "linalg_svd_cpu", "eigh": "linalg_eigh_cpu",
}  # fmt: skip


def _matrix(s: Spec, name: str, square: bool = True) -> None:
    _square(s, name, square)
    d = s.dtype
    if d.category < dtypes.FLOAT and name != "eigh":
        raise RuntimeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got "
            f"{scalar_name(d)}"
        )
    if d.category < dtypes.FLOAT or d.itemsize == 2:
        if name in _KERNELS:
            raise not_implemented(_KERNELS[name], d)
        raise RuntimeError(
            f"linalg.{name}: Low precision dtypes not supported. Got {scalar_name(d)}"
        )


class LinAlgError(RuntimeError):
    """A matrix was singular, or an iteration did not converge."""


def _guard(name: str, function: Any) -> Any:
    """The kernel ``function`` with NumPy's errors in PyTorch's words."""

    def kernel(xp: Any, a: Any, *more: Any) -> Any:
        try:
            return function(xp, a, *more)
        except xp.linalg.LinAlgError as error:
            raise LinAlgError(_words(name, a, error)) from None

    return kernel


def _words(name: str, a: Any, error: Exception) -> str:
    """What PyTorch says of the first matrix of the batch that failed."""
    title = "torch.linalg.solve" if name == "solve" else f"linalg.{name}"
    routine = {"inv": "getrf", "solve": "getrf", "cholesky": "potrf"}.get(name)
    if routine is None:
        if name == "eigh":
            return (
                f"{title}: The algorithm failed to converge because the input matrix is "
                "ill-conditioned or has too many repeated eigenvalues (error code: "
                f"{a.shape[-1] - 1})."
            )
        return (
            f"{title}: The algorithm failed to converge because the input matrix contained "
            "non-finite values."
            if name == "svd" else f"{title}: {error}"
        )  # fmt: skip
    which, place = _failed(a, routine)
    if a.ndim > 2:
        title += f": (Batch element {which})"
    if name == "inv":
        return (
            f"{title}: The diagonal element {place} is zero, the inversion could not be completed "
            "because the input matrix is singular."
        )
    if name == "solve":
        return f"{title}: The solver failed because the input matrix is singular."
    return (
        f"{title}: The factorization could not be completed because the input is not "
        f"positive-definite (the leading minor of order {place} is not positive-definite)."
    )


def _failed(a: Any, routine: str) -> tuple[int, int]:
    """Which matrix LAPACK cannot factorise, and at which step it stops."""
    from scipy.linalg import get_lapack_funcs

    options = {"lower": 1} if routine == "potrf" else {}
    for i, matrix in enumerate(a.reshape(-1, *a.shape[-2:])):
        (factorise,) = get_lapack_funcs((routine,), (matrix,))
        info = factorise(matrix, **options)[-1]
        if info > 0:
            return i, int(info)
    return 0, 0


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
    """det(A) A^-H. Where the determinant is 0 PyTorch's gradient is 0 too."""
    from cresset.ops.creation import eye
    from cresset.ops.select import where

    singular = unsqueeze(unsqueeze(d.eq(0), -1), -1)  # type: ignore[attr-defined]
    safe = where(singular, eye(a.shape[-1], dtype=a.dtype, device=a.device), a)
    scale = unsqueeze(unsqueeze(mul(g, conj(d)), -1), -1)
    return mul(_adjoint(inv(safe)), scale)


DET = Op("linalg_det", _det_infer, lambda xp, a: xp.linalg.det(a), vjp=(_det_grad,), save=(0, OUT),
         family="linalg")  # fmt: skip


def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinant.

    >>> import cresset as torch
    >>> torch.linalg.det(torch.tensor([[1., 2.], [3., 4.]]))
    tensor(-2.)
    """
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
    """The sign of the determinant and the logarithm of its absolute value.

    >>> import cresset as torch
    >>> torch.linalg.slogdet(torch.tensor([[-1.]])).sign
    tensor(-1.)
    """
    return slogdet_result(*apply(SLOGDET, (A,)))


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant (NaN where it is negative).

    >>> import cresset as torch
    >>> torch.logdet(torch.eye(2))
    tensor(0.)
    """
    _matrix(input._spec, "logdet")
    sign, value = slogdet(input)
    if sign.is_complex():
        return add(value, sign.log())
    return value.masked_fill(sign.lt(0), math.nan)


def _solve_infer(a: Spec, b: Spec) -> Result:
    _matrix(a, "solve")
    if a.dtype is not b.dtype:
        raise RuntimeError(
            "linalg.solve: Expected A and B to have the same dtype, but found A of type "
            f"{scalar_name(a.dtype)} and B of type {scalar_name(b.dtype)} instead"
        )
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
    """The solution X of ``A X = B`` (of ``X A = B`` with ``left=False``).

    >>> import cresset as torch
    >>> torch.linalg.solve(torch.tensor([[2., 0.], [0., 4.]]), torch.tensor([2., 2.]))
    tensor([1.0000, 0.5000])
    """
    if A.ndim < 2:
        _matrix(A._spec, "solve")
    if not B.ndim:
        raise RuntimeError("linalg.solve: The input tensor B must have at least 2 dimensions.")
    if not left:
        return into(out, transpose(solve(transpose(A, -2, -1), transpose(B, -2, -1)), -2, -1))
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    right = unsqueeze(B, -1) if vector else B
    x = apply(SOLVE, (A, right))
    return into(out, x.squeeze(-1) if vector else x)  # type: ignore[attr-defined]


def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """A square matrix to an integer power, by squaring; negative powers are of the inverse.

    >>> import cresset as torch
    >>> torch.linalg.matrix_power(torch.tensor([[1., 1.], [0., 1.]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    _square(input._spec, "matrix_power")
    if n < 0:
        input, n = inv(input), -n
    result: Tensor | None = None
    if n == 1:
        return into(out, input.clone())  # type: ignore[attr-defined]
    while n:
        if n % 2:
            result = input if result is None else matmul(result, input)
        input = matmul(input, input) if n > 1 else input
        n //= 2
    if result is None:
        from cresset.ops.creation import eye

        one: Any = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        return into(out, one.expand(input.shape).clone())
    return into(out, result)


def _trace_infer(s: Spec) -> Result:
    if s.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {s.ndim}")
    if s.dtype is dtypes.bool_:
        raise not_implemented("trace", s.dtype)
    d = s.dtype if s.dtype.category >= dtypes.FLOAT else dtypes.int64
    return Result((dense(d, (), s.device),), d)


def _trace_grad(n: Any, g: Tensor) -> Tensor:
    from cresset.ops.creation import eye

    whole = n.call.specs[0]
    return mul(g, eye(*whole.shape, dtype=whole.dtype, device=whole.device))


TRACE = Op("trace", _trace_infer, lambda xp, a: xp.asarray(xp.trace(a)), vjp=(_trace_grad,),
           family="reduce")  # fmt: skip


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    >>> import cresset as torch
    >>> torch.trace(torch.tensor([[1., 2.], [3., 4.]]))
    tensor(5.)
    """
    return apply(TRACE, (input,))


def _cross_infer(a: Spec, b: Spec, dim: int) -> Result:
    if a.ndim != b.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if not a.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = wrap_dim(dim, a.ndim)
    if not a.shape[d] == b.shape[d] == 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {a.shape[d]} and "
            f"{b.shape[d]}"
        )
    result = promote_rule(a, b)
    if result.compute is dtypes.bool_:
        raise not_implemented("cross", dtypes.bool_)
    return result


def _cross_kernel(xp: Any, a: Any, b: Any, dim: int) -> Any:
    a, b = (xp.moveaxis(x, dim, 0) for x in xp.broadcast_arrays(a, b))
    parts = [a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)]
    return xp.stack(parts, dim)


CROSS = Op(
    "linalg_cross", _cross_infer, _cross_kernel, broadcasts=True, save=(0, 1), save_if=(1, 0),
    vjp=(
        lambda n, g, a, b: apply(CROSS, (conj(b), g), n.call.params),
        lambda n, g, a, b: apply(CROSS, (g, conj(a)), n.call.params),
    ),
)  # fmt: skip


def linalg_cross(
    input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None
) -> Tensor:
    """The cross product of three-dimensional vectors along ``dim``.

    >>> import cresset as torch
    >>> torch.linalg.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    return into(out, apply(CROSS, (input, other), (dim,)))


def cross(
    input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """The cross product along ``dim``, by default the first of size 3.

    >>> import cresset as torch
    >>> torch.cross(torch.tensor([1., 0., 0.]), torch.tensor([0., 1., 0.]), dim=0)
    tensor([0., 0., 1.])
    """
    if dim is None:
        if 3 not in input.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = list(input.shape).index(3)
    return linalg_cross(input, other, dim=dim, out=out)


#: What users find as ``torch.linalg``; the other families add theirs.
LINALG: dict[str, Any] = {
    "inv": inv, "det": det, "slogdet": slogdet, "solve": solve, "matrix_power": matrix_power,
    "cross": linalg_cross, "vector_norm": vector_norm, "LinAlgError": LinAlgError,
}  # fmt: skip

TORCH = ("inverse=inv", "det", "slogdet", "logdet", "matrix_power", "trace", "cross")
METHODS = TORCH
