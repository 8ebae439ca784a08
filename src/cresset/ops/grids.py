"""What is made of all combinations of some tensors: broadcasting, grids, products, distances."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

from cresset import dtypes
from cresset.ops.creation import tensor
from cresset.ops.join import atleast_2d, cat, stack
from cresset.ops.padding import pad
from cresset.ops.registry import (
    Tensor,
    broadcast_shapes,
)
from cresset.ops.view import expand, reshape, unsqueeze
from cresset.size import Size


def broadcast_tensors(*tensors: Any) -> tuple:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = broadcast_shapes(*[t._spec.shape for t in tensors])
    return tuple(t if t._spec.shape == shape else expand(t, shape) for t in tensors)


def broadcast_shapes_(*shapes: Any) -> Size:
    """The shape to which all shapes broadcast.

    >>> import cresset as torch
    >>> torch.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    joint: Size = Size()
    for i, given in enumerate(shapes):
        shape = (given,) if isinstance(given, int) else tuple(given)
        if any(n < 0 for n in shape):
            raise ValueError("Attempting to broadcast a dimension with negative length!")
        for d in range(-1, -min(len(shape), len(joint)) - 1, -1):
            if shape[d] not in (1, joint[d]) and joint[d] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[d]} at {d}! Mismatching "
                    f"argument at index {i} had {shape}; but expected shape should be "
                    f"broadcastable to {list(joint)}"
                )
        joint = broadcast_shapes(joint, shape)
    return joint


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Coordinate matrices from coordinate vectors.

    >>> import cresset as torch
    >>> torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3]), indexing='ij')[0]
    tensor([[1],
            [2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in tensors:
        if t.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                + "".join(f" {n} " for n in t.shape)
            )
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    count = len(tensors)
    # "xy": the first two vectors run along columns and rows, not rows and columns.
    place = list(range(count))
    if indexing == "xy" and count >= 2:
        place[:2] = [1, 0]
    shape = [0] * count
    for d, t in zip(place, tensors, strict=True):
        shape[d] = t.numel()
    return tuple(
        expand(reshape(t, [-1 if i == d else 1 for i in range(count)]), shape)
        for d, t in zip(place, tensors, strict=True)
    )


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element from each vector."""
    for t in tensors:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, (-1,)) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ``r``-element combinations of a vector's elements."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))  # type: ignore[attr-defined]
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(pick(range(input.numel()), r))
    if not rows:
        return input.new_empty((0, r))  # type: ignore[attr-defined]
    return reshape(input.index_select(0, reshape(tensor(rows), (-1,))), (len(rows), r))  # type: ignore[attr-defined]


def block_diag(*tensors: Tensor) -> Tensor:
    """The tensors as blocks on the diagonal of a matrix of zeros."""
    for i, t in enumerate(tensors):
        if t.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{t.ndim} dimensions"
            )
    blocks = [atleast_2d(t) for t in tensors]
    width = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        rows.append(pad(b, (left, width - left - b.shape[1])))
        left += b.shape[1]
    return cat(rows, 0)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of ``shape``, of places in the flattened tensor.

    >>> import cresset as torch
    >>> torch.unravel_index(torch.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    if indices.dtype.category != dtypes.INT:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    found = []
    step = 1
    for n in reversed(sizes):
        found.append(indices.div(step, rounding_mode="floor") % n)  # type: ignore[attr-defined]
        step *= n
    return tuple(reversed(found))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """The p-norm distances between all rows of two batches of matrices."""
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    difference = unsqueeze(x1, -2) - unsqueeze(x2, -3)  # type: ignore[operator]
    return difference.norm(p, -1)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector's elements as columns."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    powers = [x**k for k in range(x.numel() if N is None else N)]  # type: ignore[operator]
    return stack(powers if increasing else powers[::-1], -1)


TORCH = (
    "broadcast_tensors", "broadcast_shapes=broadcast_shapes_", "meshgrid", "cartesian_prod",
    "combinations", "block_diag", "cdist", "vander", "unravel_index",
)  # fmt: skip
