"""Lookup in tables: embedding, bags of embeddings, one-hot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.core.tape import derived
from cresset.ops.creation import from_numpy
from cresset.ops.elementwise import not_a_tensor
from cresset.ops.inplace import filled, scalar_name, write
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import expand, reshape, unsqueeze


def _infer(weight: Spec, indices: Spec, padding: int, by_freq: bool) -> Result:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{scalar_name(indices.dtype)}Tensor instead (while checking "
            "arguments for embedding)"
        )
    return Result((dense(weight.dtype, (*indices.shape, weight.shape[1]), weight.device),))


def _kernel(xp: Any, weight: Any, indices: Any, padding: int, by_freq: bool) -> Any:
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= weight.shape[0]):
        raise IndexError("index out of range in self")
    return weight[indices]


def _backward_kernel(xp: Any, g: Any, indices: Any, rows: int, padding: int, by_freq: bool) -> Any:
    """Rows of the gradient added up per index: sort once, then sum each run."""
    width = g.shape[-1]
    result = xp.zeros((rows, width), g.dtype)
    flat, gradients = indices.reshape(-1), g.reshape(-1, width)
    if padding >= 0:
        keep = flat != padding
        flat, gradients = flat[keep], gradients[keep]
    if flat.size:
        order = xp.argsort(flat, kind="stable")
        ordered = flat[order]
        starts = xp.concatenate([xp.zeros(1, xp.int64), xp.nonzero(xp.diff(ordered))[0] + 1])
        sums = xp.add.reduceat(gradients[order], starts, axis=0)
        if by_freq:
            counts = xp.diff(xp.append(starts, flat.size))
            sums = sums / counts[:, None]
        result[ordered[starts]] = sums
    return result


def _backward_grad(n: Any, h: Tensor, indices: Tensor) -> Tensor:
    _, padding, by_freq = n.call.params
    rows = apply(EMBEDDING, (h, indices), (padding, by_freq))
    if padding < 0:
        return rows
    return rows.masked_fill(indices.eq(padding).unsqueeze(-1), 0)  # type: ignore[attr-defined]


EMBEDDING_BACKWARD = Op(
    "embedding_dense_backward",
    lambda g, i, rows, *rest: dense(g.dtype, (rows, g.shape[-1]), g.device),
    _backward_kernel, save=(1,), family="scatter",
    vjp=(_backward_grad, None),
)  # fmt: skip
EMBEDDING = Op(
    "embedding", _infer, _kernel, raw=True, save=(1,), checks_values=True, family="gather",
    vjp=(
        lambda n, g, i: apply(
            EMBEDDING_BACKWARD, (g, i), (n.call.specs[0].shape[0], *n.call.params)
        ),
        None,
    ),
)  # fmt: skip


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Row ``i`` of ``weight`` for each index ``i`` of ``input``; result (*, width).

    >>> import cresset as torch
    >>> torch.nn.functional.embedding(torch.tensor([1, 0]), torch.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    try:
        rows = weight._spec.shape[0]
    except AttributeError:
        raise not_a_tensor("embedding", weight, "weight") from None
    padding = -1
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding = padding_idx % rows
    if max_norm is not None:
        renormalize(weight, input, max_norm, norm_type)
    return apply(EMBEDDING, (weight, input), (padding, bool(scale_grad_by_freq)))


def renormalize(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale down, in place and off the tape, the used rows whose norm is above ``max_norm``."""
    table = weight.detach()
    used = reshape(indices, (-1,)).unique()  # type: ignore[attr-defined]
    rows = table.index_select(0, used).renorm(norm_type, 0, max_norm)  # type: ignore[attr-defined]
    write(weight, table.index_copy(0, used, rows))  # type: ignore[attr-defined]


# -- bags ------------------------------------------------------------------------------------------


def _bag_body(weight: Tensor, indices: Tensor, bags: Tensor, *rest: Any) -> Tensor:
    """Rows of ``weight`` reduced per bag; ``bags`` has the bag of each index."""
    *scale, count, mode, padding, by_freq = rest
    shape = (count, weight._spec.shape[1])
    rows: Any = apply(EMBEDDING, (weight, indices), (padding, by_freq))
    kept: Any = indices.ne(padding) if padding >= 0 else None  # type: ignore[attr-defined]
    if mode == "max":
        if kept is not None:
            rows = rows.masked_fill(kept.logical_not().unsqueeze(1), -math.inf)
        where = expand(unsqueeze(bags, 1), tuple(rows._spec.shape))
        lowest = filled(-math.inf, dense(rows.dtype, shape, rows.device))
        best: Any = lowest.scatter_reduce(0, where, rows, "amax")  # type: ignore[attr-defined]
        return best.masked_fill(best.detach().eq(-math.inf), 0.0)
    if scale:
        rows = rows * scale[0].unsqueeze(1)
    if kept is not None:
        rows = rows * kept.unsqueeze(1).to(rows.dtype)
    zeros: Any = filled(0, dense(rows.dtype, shape, rows.device))
    total = zeros.index_add(0, bags, rows)
    if mode == "sum":
        return total
    one: Any = filled(1, dense(rows.dtype, tuple(bags._spec.shape), rows.device))
    ones = one if kept is None else kept.to(rows.dtype)
    none: Any = filled(0, dense(rows.dtype, (count,), rows.device))
    return total / none.index_add(0, bags, ones).clamp_min(1).unsqueeze(1)


EMBEDDING_BAG = {
    n: Op("embedding_bag", None, body=_bag_body, vjp=derived, save=tuple(range(n)),
          checks_values=True)
    for n in (3, 4)
}  # fmt: skip


def _check_bags(input: Tensor, offsets: Any, mode: str, scale: Tensor | None, freq: bool) -> None:
    if scale is not None and scale.shape != input.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({scale.shape}) is not None, then it must have "
            f"the same shape as the input ({input.shape})"
        )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
    elif input.ndim == 1:
        if not isinstance(offsets, Tensor):
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if scale is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Sums, means or maxima of embeddings over bags.

    ``input`` is (bags, indices), or flat with ``offsets`` where each bag starts.

    >>> import cresset as torch
    >>> table = torch.tensor([[1., 2.], [3., 4.]])
    >>> torch.nn.functional.embedding_bag(torch.tensor([[0, 1]]), table, mode="sum")
    tensor([[4., 6.]])
    """
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    rows = weight._spec.shape[0]
    padding = -1
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{rows} through {rows - 1}, "
                f"but got {padding_idx}"
            )
        padding = padding_idx % rows
    if input._spec.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{scalar_name(input._spec.dtype)}Tensor instead (while "
            "checking arguments for embedding_bag)"
        )
    if max_norm is not None:
        renormalize(weight, input, max_norm, norm_type)
    flat = reshape(input, (-1,))
    if offsets is None:
        count, width = input._spec.shape
        bags = from_numpy(np.repeat(np.arange(count), width)).to(input.device)  # type: ignore[attr-defined]
    else:
        starts: Any = offsets[:-1] if include_last_offset else offsets  # type: ignore[index]
        count = starts._spec.shape[0]
        marks: Any = filled(0, dense(dtypes.int64, (flat._spec.numel + 1,), input.device))
        ones = filled(1, dense(dtypes.int64, (count,), input.device))
        bags = marks.index_add(0, starts, ones).cumsum(0)[:-1].sub(1)
    scale = () if per_sample_weights is None else (reshape(per_sample_weights, (-1,)),)
    operands = (weight, flat, bags, *scale)
    params = (count, mode, padding, bool(scale_grad_by_freq))
    return apply(EMBEDDING_BAG[len(operands)], operands, params)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last dimension with 1 at the index and 0 elsewhere.

    >>> import cresset as torch
    >>> torch.nn.functional.one_hot(torch.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0 and num_classes <= 0:
        raise RuntimeError(
            "Can not infer total number of classes from empty tensor."
            if num_classes == -1
            else "num_classes should be positive"
        )
    if tensor.numel() and int(tensor.min()) < 0:  # type: ignore[attr-defined]
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1  # type: ignore[attr-defined]
    elif tensor.numel() and int(tensor.max()) >= num_classes:  # type: ignore[attr-defined]
        raise RuntimeError("Class values must be smaller than num_classes.")
    zeros = tensor.new_zeros((*tensor.shape, num_classes))  # type: ignore[attr-defined]
    return zeros.scatter_(-1, tensor.unsqueeze(-1), 1)


TORCH = ()
METHODS = ()
