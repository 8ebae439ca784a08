"""Places named by a mask: nonzero, masked_select, masked_scatter."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.gather import put
from cresset.ops.inplace import into, scalar_name
from cresset.ops.registry import Op, Tensor, apply, broadcast_shapes
from cresset.ops.view import expand, reshape
from cresset.tensor import from_array


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The indices of all elements that are not zero, one row each (or one tensor per dimension).

    >>> import cresset as torch
    >>> torch.nonzero(torch.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    # The result's shape depends on the values, so they are looked at here.
    places = np.nonzero(input._host()) if input.ndim else (
        np.zeros(int(bool(input)), np.int64),
    )  # fmt: skip
    if as_tuple:
        return tuple(from_array(p, dtypes.int64, input.device) for p in places)
    columns = np.stack(places, 1) if input.ndim else np.zeros((len(places[0]), 0), np.int64)
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(
            "nonzero: Expected out tensor to have scalar type Long but got scalar type"
            f"{scalar_name(out.dtype)}"
        )
    return into(out, from_array(columns, dtypes.int64, input.device))


argwhere = nonzero


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where ``mask`` is true, as a vector.

    >>> import cresset as torch
    >>> torch.masked_select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
    tensor([1, 3])
    """
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(mask.shape, input.shape)
    where = reshape(nonzero(reshape(expand(mask, shape), (-1,))), (-1,))
    return into(out, apply(MASKED_SELECT, (input, where), (shape,)))


def _masked_select_grad(n: Any, g: Tensor, where: Tensor) -> tuple:
    x = n.call.specs[0]
    spread = put(g.new_zeros(n.call.params[0]), where, g)  # type: ignore[attr-defined]
    return spread._reduce_to(x.shape, x.dtype), None  # type: ignore[attr-defined]


MASKED_SELECT = Op(
    "masked_select", lambda x, where, shape: dense(x.dtype, where.shape, x.device),
    lambda xp, x, where, shape: xp.broadcast_to(x, shape).reshape(-1)[where],
    vjp=_masked_select_grad, raw=True, save=(1,), family="gather",
)  # fmt: skip


def _masked_scatter_infer(x: Spec, mask: Spec, source: Spec) -> Spec:
    if source.dtype is not x.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{scalar_name(x.dtype)} and {scalar_name(source.dtype)}"
        )
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{scalar_name(mask.dtype)}"
        )
    return dense(x.dtype, broadcast_shapes(x.shape, mask.shape), x.device)


def _masked_scatter_kernel(xp: Any, x: Any, mask: Any, source: Any) -> Any:
    x, mask = xp.broadcast_arrays(x, mask)
    count = int(mask.sum())
    if count > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    result = x.copy()
    result[mask] = source.reshape(-1)[:count]
    return result


def _unscatter_kernel(xp: Any, g: Any, mask: Any, shape: Any) -> Any:
    taken = g[xp.broadcast_to(mask, g.shape)]
    result = xp.zeros(shape, g.dtype)
    result.reshape(-1)[: taken.size] = taken
    return result


def _masked_scatter_grad(n: Any, g: Tensor, mask: Tensor) -> tuple:
    x, _, source = n.call.specs
    to_x = to_source = None
    if n.needs[0]:
        to_x = g.masked_fill(mask, 0)._reduce_to(x.shape, x.dtype)  # type: ignore[attr-defined]
    if n.needs[2]:
        to_source = apply(UNSCATTER, (g, mask), (source.shape,))
    return to_x, None, to_source


def _unscatter_grad(n: Any, h: Tensor, mask: Tensor) -> tuple:
    zeros = h.new_zeros(n.call.specs[0].shape)  # type: ignore[attr-defined]
    return masked_scatter(zeros, mask, h), None


MASKED_SCATTER = Op("masked_scatter", _masked_scatter_infer, _masked_scatter_kernel, save=(1,),
                    vjp=_masked_scatter_grad, raw=True, checks_values=True,
                    family="scatter")  # fmt: skip
UNSCATTER = Op("masked_scatter_backward",
               lambda g, mask, shape: dense(g.dtype, shape, g.device), _unscatter_kernel,
               vjp=_unscatter_grad, save=(1,), raw=True, family="gather")  # fmt: skip


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with elements of ``source``, in order, where ``mask`` is true.

    >>> import cresset as torch
    >>> mask = torch.tensor([True, False, True])
    >>> torch.masked_scatter(torch.zeros(3), mask, torch.tensor([1., 2.]))
    tensor([1., 0., 2.])
    """
    return apply(MASKED_SCATTER, (input, mask, source))
