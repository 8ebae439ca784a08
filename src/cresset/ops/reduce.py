"""Reductions over dimensions: sum, mean and their kin."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.dtypes import dtype
from cresset.ops.cast import cast
from cresset.ops.inplace import into
from cresset.ops.registry import Op, Result, Tensor, apply, wrap_dim
from cresset.ops.view import expand, reshape


def reduced_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions to reduce, sorted; all of them for None or an empty list."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int):
        return (wrap_dim(dim, ndim),) if ndim else (() if wrap_dim(dim, 0) == 0 else ())
    dims = [wrap_dim(d, ndim) for d in dim]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dims[0]} appears multiple times in the list of dims")
    return tuple(sorted(dims)) if dims else tuple(range(ndim))


def reduced_shape(shape: Any, dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after reducing ``dims``."""
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def unreduce(g: Tensor, whole: Spec, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced gradient expanded to the shape it was reduced from."""
    if not keepdim and g._spec.shape != whole.shape:
        g = reshape(g, reduced_shape(whole.shape, dims, True))
    return expand(g, whole.shape)


def _sum_infer(s: Spec, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Result:
    return Result((dense(d, reduced_shape(s.shape, dims, keepdim), s.device),), d)


def _sum_kernel(xp: Any, x: Any, dims: tuple[int, ...], keepdim: bool, d: dtype) -> Any:
    return xp.sum(x, axis=dims, keepdims=keepdim)


def _sum_grad(n: Any, g: Tensor) -> Tensor:
    dims, keepdim, _ = n.call.params
    g = cast(g, n.call.specs[0].dtype)
    return unreduce(g, n.call.specs[0], dims, keepdim)


SUM = Op("sum", _sum_infer, _sum_kernel, vjp=(_sum_grad,), family="reduce")
SUM_DIM = Op("sum", _sum_infer, _sum_kernel, vjp=(_sum_grad,), family="reduce",
             grad_name="SumBackward1")  # fmt: skip


def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None,
    out: Tensor | None = None, axis: Any = None, keepdims: bool | None = None,
) -> Tensor:  # fmt: skip
    """The sum over all elements, or over ``dim``. Integers and bools add up in int64.

    >>> import cresset as torch
    >>> torch.sum(torch.tensor([[1., 2.], [3., 4.]]), 0)
    tensor([4., 6.])
    """
    dim = axis if dim is None else dim
    keepdim = keepdim if keepdims is None else keepdims
    spec = input._spec
    d = dtype or (dtypes.int64 if spec.dtype.category < dtypes.FLOAT else spec.dtype)
    dims = reduced_dims(dim, len(spec.shape))
    result = apply(SUM if dim is None else SUM_DIM, (input,), (dims, keepdim, d))
    return result if out is None else into(out, result)


def reduce_to(g: Tensor, shape: Any, d: dtype) -> Tensor:
    """Sum a gradient over broadcast dimensions back to an operand's shape and dtype."""
    have = g._spec.shape
    if have != shape:
        extra = len(have) - len(shape)
        dims = tuple(
            i for i, n in enumerate(have) if i < extra or (shape[i - extra] == 1 and n != 1)
        )
        if dims:
            g = apply(SUM_DIM, (g,), (dims, True, g._spec.dtype))
        if extra:
            g = reshape(g, shape)
    return to_operand_dtype(g, d)


def to_operand_dtype(g: Tensor, d: dtype) -> Tensor:
    """The gradient in the operand's dtype (its real part if the operand is real)."""
    return g if g._spec.dtype is d else cast(g, d)


TORCH = ("sum",)
METHODS = ("sum", "_reduce_to=reduce_to")
