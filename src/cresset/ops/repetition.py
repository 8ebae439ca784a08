"""Elements several times: repeat, tile, repeat_interleave."""

from __future__ import annotations

from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.creation import from_numpy, tensor
from cresset.ops.inplace import scalar_name
from cresset.ops.ranges import arange
from cresset.ops.registry import (
    Op,
    Tensor,
    apply,
    as_shape,
    wrap_dim,
)
from cresset.ops.view import expand, reshape


def repeat(self: Tensor, *sizes: Any) -> Tensor:
    """The tensor repeated ``sizes[i]`` times along each dimension (more sizes add dimensions).

    >>> import cresset as torch
    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = as_shape(sizes)
    if len(times) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    return apply(REPEAT, (self,), (times,))


def _repeat_infer(x: Spec, times: tuple[int, ...]) -> Spec:
    lead = (1,) * (len(times) - x.ndim)
    shape = [t * n for t, n in zip(times, lead + tuple(x.shape), strict=True)]
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {shape}")
    return dense(x.dtype, tuple(shape), x.device)


def _repeat_grad(n: Any, g: Tensor) -> Tensor:
    (times,) = n.call.params
    whole = n.call.specs[0].shape
    lead = len(times) - len(whole)
    if 0 in times:
        return g.new_zeros(whole)  # type: ignore[attr-defined]
    # (t1 n1, t2 n2) -> (t1, n1, t2, n2), then sum over the t's.
    pairs = [v for t, n in zip(times, (1,) * lead + tuple(whole), strict=True) for v in (t, n)]
    summed = reshape(g, pairs).sum(tuple(range(0, len(pairs), 2))) if pairs else g  # type: ignore[attr-defined]
    return reshape(summed, whole)


REPEAT = Op("repeat", _repeat_infer, lambda xp, x, times: xp.tile(x, times), raw=True,
            family="gather", vjp=(_repeat_grad,))  # fmt: skip


def tile(input: Tensor, dims: Any) -> Tensor:
    """``repeat`` with missing leading sizes 1."""
    times = as_shape((dims,))
    return repeat(input, (1,) * (input.ndim - len(times)) + tuple(times))


def tile_method(self: Tensor, *dims: Any) -> Tensor:
    """``repeat`` with missing leading sizes 1."""
    return tile(self, as_shape(dims))


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated in place.

    >>> import cresset as torch
    >>> torch.repeat_interleave(torch.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return _counted(input, input.device)
    x = reshape(input, (-1,)) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, input.ndim)
    n = x.shape[d]
    if isinstance(repeats, Tensor):
        if repeats.ndim > 1:
            raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
        if repeats.numel() == 1:
            repeats = int(repeats)
    elif not isinstance(repeats, int):
        repeats = tensor(repeats)
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        index = reshape(expand(reshape(arange(n, device=x.device), (n, 1)), (n, repeats)), (-1,))
    else:
        if repeats.numel() != n:
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{repeats.numel()} and input.size({d}) = {n}"
            )
        index = _counted(repeats, x.device)
    return x.index_select(d, index)  # type: ignore[attr-defined]


def _counted(repeats: Tensor, where: Any) -> Tensor:
    """``i`` as often as ``repeats[i]`` says; the counts are looked at, as the shape needs them."""
    if repeats.dtype not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{scalar_name(repeats.dtype)}'"
        )
    counts = repeats._host()
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return from_numpy(np.repeat(np.arange(counts.size), counts)).to(where)  # type: ignore[attr-defined]


TORCH = ("tile", "repeat_interleave")


METHODS = ("repeat", "tile=tile_method", "repeat_interleave")
