"""Norms of matrices, and ``torch.linalg.norm``, which chooses between those and vector norms."""

from __future__ import annotations

import math
from typing import Any

from cresset.ops.extremes import amax, amin
from cresset.ops.factor import svdvals
from cresset.ops.inplace import into
from cresset.ops.linalg import LINALG
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Tensor, wrap_dim
from cresset.ops.vector_norm import norm_dtype, vector_norm
from cresset.ops.view import unsqueeze

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


LINALG.update({"norm": linalg_norm, "matrix_norm": matrix_norm})
