"""Triangles and diagonals: tril, triu, diag, diag_embed; copies with one part replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.creation import tensor
from cresset.ops.inplace import into
from cresset.ops.parts import diagonal, slice_dim
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import reshape


def tril_triu_mask(rows: int, columns: int, diagonal: int, lower: bool) -> Any:
    """Which elements of a matrix ``tril`` (or ``triu``) keeps."""
    mask = np.tri(rows, columns, diagonal, dtype=bool)
    return mask if lower else ~np.tri(rows, columns, diagonal - 1, dtype=bool)


def _triangle(name: str, lower: bool) -> tuple[Op, Any]:
    def infer(s: Spec, diagonal: int) -> Result:
        if s.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return Result((dense(s.dtype, s.shape, s.device),))

    def kernel(xp: Any, x: Any, diagonal: int) -> Any:
        mask = xp.asarray(tril_triu_mask(x.shape[-2], x.shape[-1], diagonal, lower))
        return xp.where(mask, x, xp.zeros((), x.dtype))

    op = Op(name, infer, kernel, vjp=(lambda n, g: apply(op, (g,), n.call.params),), raw=True,
            family="pointwise")  # fmt: skip

    def function(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
        return into(out, apply(op, (input,), (diagonal,)))

    side = "below" if lower else "above"
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The part of matrices on and {side} a diagonal; zeros elsewhere."
    return op, function


TRIL, tril = _triangle("tril", True)


TRIU, triu = _triangle("triu", False)


def _indices(lower: bool, row: int, col: int, offset: int, d: Any, where: Any) -> Tensor:
    found = np.nonzero(tril_triu_mask(row, col, offset, lower))
    return tensor(np.stack(found), dtype=d or dtypes.int64, device=where)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:  # fmt: skip
    """Row and column indices of the lower triangle."""
    return _indices(True, row, col, offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
                 layout: Any = None) -> Tensor:  # fmt: skip
    """Row and column indices of the upper triangle."""
    return _indices(False, row, col, offset, dtype, device)


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector.

    >>> import cresset as torch
    >>> torch.diag(torch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim == 1:
        return into(out, diag_embed(input, diagonal))
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return into(out, input.diagonal(diagonal).clone())  # type: ignore[attr-defined]


def _embed_infer(x: Spec, offset: int, dim1: int, dim2: int) -> Spec:
    d1, d2 = wrap_dim(dim1, x.ndim + 1), wrap_dim(dim2, x.ndim + 1)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = x.shape[-1] + abs(offset)
    shape = list(x.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, n)
    return dense(x.dtype, tuple(shape), x.device)


def _embed_kernel(xp: Any, x: Any, offset: int, dim1: int, dim2: int) -> Any:
    ndim, n = x.ndim + 1, x.shape[-1] + abs(offset)
    result = xp.zeros((*x.shape[:-1], n, n), x.dtype)
    i = xp.arange(x.shape[-1])
    result[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return xp.moveaxis(result, (-2, -1), (dim1 % ndim, dim2 % ndim)).copy()


DIAG_EMBED = Op(
    "diag_embed", _embed_infer, _embed_kernel, raw=True, family="gather",
    vjp=(lambda n, g: diagonal(g, *n.call.params),),
)  # fmt: skip


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension as the diagonal of two new ones.

    >>> import cresset as torch
    >>> torch.diag_embed(torch.tensor([1, 2]), 1)
    tensor([[0, 1, 0],
            [0, 0, 2],
            [0, 0, 0]])
    """
    if not input.ndim:
        wrap_dim(-1, 0)
        input = reshape(input, (1,))
    return apply(DIAG_EMBED, (input,), (offset, dim1, dim2))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements as the diagonal of a matrix."""
    return diag_embed(reshape(input, (-1,)), offset)


def _scattered(input: Tensor, src: Tensor, place: Callable[[Tensor], Tensor]) -> Tensor:
    copy = input.clone()  # type: ignore[attr-defined]
    part = place(copy)
    if part.shape != src.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)  # type: ignore[attr-defined]
    return copy


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` at one index of a dimension."""
    return _scattered(input, src, lambda c: c.select(dim, index))


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None,
                  step: int = 1) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` in a slice of a dimension."""
    return _scattered(input, src, lambda c: slice_dim(c, wrap_dim(dim, c.ndim), start, end, step))


def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any,
                       storage_offset: int | None = None) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` where ``as_strided`` would look."""
    return _scattered(input, src, lambda c: c.as_strided(size, stride, storage_offset))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0,
                     dim2: int = 1) -> Tensor:  # fmt: skip
    """A copy of ``input`` with ``src`` on a diagonal."""
    return _scattered(input, src, lambda c: c.diagonal(offset, dim1, dim2))


TORCH = (
    "tril", "triu", "tril_indices", "triu_indices", "diag", "diag_embed", "diagflat",
    "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter",
)  # fmt: skip


METHODS = (
    "tril", "triu", "diag", "diag_embed", "diagflat", "select_scatter", "slice_scatter",
    "diagonal_scatter", "as_strided_scatter",
)  # fmt: skip


IN_PLACE = ("tril", "triu")
