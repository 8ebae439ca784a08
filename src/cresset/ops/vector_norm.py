"""Vector norms and what is measured with them: norm, dist, renorm."""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.inplace import into, scalar_name
from cresset.ops.pointwise import add, div, mul, pow, sub
from cresset.ops.reduce import reduced_dims, reduced_shape, unreduce
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False,
    out: Tensor | None = None, dtype: dtype | None = None,
) -> Tensor:  # fmt: skip
    """The vector norm ``(sum |x|^p)^(1/p)`` over all elements or over ``dim``.

    ``p`` is a number, 'fro' (2) or 'nuc' (the sum of a matrix's singular values).

    >>> import cresset as torch
    >>> torch.norm(torch.tensor([3., 4.]))
    tensor(5.)
    """
    dims = (dim,) if isinstance(dim, int) else dim
    if isinstance(p, str) and (p != "fro" or (dims is not None and len(dims) > 2)):
        from cresset.ops.matrix_norm import matrix_norm

        over = range(input.ndim) if dims is None else dims
        return matrix_norm(input, p, tuple(over), keepdim, dtype=dtype, out=out)
    order = 2.0 if p in ("fro", None) else float(p)
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)


def _norm_infer(s: Spec, order: float, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    return Result((dense(d.to_real(), reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _norm_kernel(
    xp: Any, x: Any, order: float, dims: tuple[int, ...], keepdim: bool, d: dtype
) -> Any:
    size = xp.abs(x.astype(xp.float32) if x.dtype == xp.float16 else x)
    if order == 2:
        return xp.sqrt(xp.sum(size * size, axis=dims, keepdims=keepdim))
    if order == 1:
        return xp.sum(size, axis=dims, keepdims=keepdim)
    if order == math.inf:
        return xp.max(size, axis=dims, keepdims=keepdim, initial=0)
    if order == -math.inf:
        return xp.min(size, axis=dims, keepdims=keepdim)
    if order == 0:
        return xp.sum(x != 0, axis=dims, keepdims=keepdim)
    return xp.sum(size**order, axis=dims, keepdims=keepdim) ** (1 / order)


def _norm_grad(n: Any, g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    order, dims, keepdim, _ = n.call.params
    whole = n.call.specs[0]
    size = unreduce(out, whole, dims, keepdim)
    g = unreduce(g, whole, dims, keepdim)
    if order == 0:
        return mul(x, 0.0)
    if order == 2:
        return mul(g, x.div(size).masked_fill(size.eq(0), 0.0))  # type: ignore[attr-defined]
    if order == 1:
        return mul(g, x.sgn())  # type: ignore[attr-defined]
    magnitude = x.abs()  # type: ignore[attr-defined]
    if math.isinf(order):
        at = cast(magnitude.eq(size), g.dtype)
        return mul(div(mul(g, at), sum_(at, dims, True)), x.sgn())  # type: ignore[attr-defined]
    slope = mul(x, pow(magnitude, order - 2))
    if order < 2:
        slope = slope.masked_fill(x.eq(0), 0.0)  # type: ignore[attr-defined]
    scale = pow(size, order - 1)
    return mul(g, div(slope, scale).masked_fill(size.eq(0), 0.0))  # type: ignore[attr-defined]


NORM = Op("linalg_vector_norm", _norm_infer, _norm_kernel, vjp=(_norm_grad,), save=(0, OUT),
          family="reduce")  # fmt: skip


def norm_dtype(name: str, x: Tensor, d: dtype | None) -> dtype:
    """The dtype a norm is computed in, with PyTorch's checks."""
    have = x.dtype
    if have.category < dtypes.FLOAT:
        raise RuntimeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got "
            f"{scalar_name(have)}"
        )
    if d is None:
        return have
    if d.category < dtypes.FLOAT:
        raise RuntimeError(
            f"linalg.{name}: dtype should be floating point or complex, but got {scalar_name(d)}"
        )
    if d.is_complex is not have.is_complex:
        kind = "complex" if have.is_complex else "real"
        raise RuntimeError(
            f"linalg.{name}: dtype should be {kind} for {kind} inputs, but got {scalar_name(d)}"
        )
    if dtypes.promote(d, have) is not d:
        raise RuntimeError(
            f"linalg.{name}: the dtype of the input ({scalar_name(have)}) should be convertible "
            f"without narrowing to the specified dtype ({scalar_name(d)})"
        )
    return d


def _check_identity(x: Tensor, order: float, dim: Any, dims: tuple[int, ...]) -> None:
    """The smallest or largest of nothing does not exist."""
    if 0 <= order < math.inf:
        return
    empty = [i for i in dims if x.shape[i] == 0]
    if not empty:
        return
    where = "an empty tensor because the" if dim is None else (
        f"the dimension {empty[0]}because this dimension is empty and the"
    )  # fmt: skip
    raise RuntimeError(
        f"linalg.vector_norm cannot compute the {order:g} norm on {where} operation does not have "
        "an identity"
    )


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *,
    dtype: dtype | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The vector norm of order ``ord`` (2, 1, 0, inf, -inf or any other number).

    >>> import cresset as torch
    >>> torch.linalg.vector_norm(torch.tensor([[3., 0.], [4., 1.]]), 1, dim=0)
    tensor([7., 1.])
    """
    d = norm_dtype("vector_norm", x, dtype)
    dims = reduced_dims(dim, x.ndim)
    order = float(ord)
    _check_identity(x, order, dim, dims)
    return into(out, apply(NORM, (x,), (order, dims, keepdim, d)))


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``.

    >>> import cresset as torch
    >>> torch.dist(torch.tensor([1., 1.]), torch.tensor([4., 5.]))
    tensor(5.)
    """
    return vector_norm(sub(input, other), p)


def renorm(
    input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None
) -> Tensor:
    """Each part along ``dim`` scaled down so that its p-norm is at most ``maxnorm``.

    >>> import cresset as torch
    >>> torch.renorm(torch.tensor([[3., 4.], [0.3, 0.4]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    if isinstance(p, complex):
        raise RuntimeError("renorm: p must be real-valued")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise RuntimeError(
            f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions"
        )
    d = wrap_dim(dim, input.ndim)
    rest = [i for i in range(input.ndim) if i != d]
    size = vector_norm(input, p, rest, True)
    scale = div(maxnorm, add(size, 1e-7))
    factor = scale.masked_fill(size.le(maxnorm), 1.0)  # type: ignore[attr-defined]
    return into(out, mul(input, factor))


def frobenius_norm(
    input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The root of the sum of squares over ``dim``.

    >>> import cresset as torch
    >>> torch.frobenius_norm(torch.tensor([[3., 4.]]), (0, 1))
    tensor(5.)
    """
    return vector_norm(input, 2, dim, keepdim, out=out)


def nuclear_norm(
    input: Tensor, dim: Any = (-2, -1), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The sum of a matrix's singular values.

    >>> import cresset as torch
    >>> torch.nuclear_norm(torch.tensor([[3., 0.], [0., 4.]]))
    tensor(7.)
    """
    return norm(input, "nuc", dim, keepdim, out=out)


TORCH = ("norm", "dist", "renorm", "frobenius_norm", "nuclear_norm")
METHODS = ("norm", "dist", "renorm")
IN_PLACE = ("renorm",)
