"""Lookup in tables: embedding, bags of embeddings, one-hot."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import scalar_name, write
from cresset.ops.registry import Op, Result, Tensor, apply
from cresset.ops.view import reshape


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
    rows = weight._spec.shape[0]
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


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Sums, means or maxima of embeddings over bags.

    ``input`` is (bags, indices), or flat with ``offsets`` where each bag starts.
    """
    from cresset.ops.join import stack

    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        bags = [input[i] for i in range(input.shape[0])]  # type: ignore[index]
        weights = None if per_sample_weights is None else list(per_sample_weights)  # type: ignore[call-overload]
    else:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        cuts = offsets.tolist() + ([] if include_last_offset else [input.shape[0]])
        spans = list(zip(cuts, cuts[1:], strict=False))
        bags = [input[a:b] for a, b in spans]  # type: ignore[index]
        weights = None if per_sample_weights is None else [
            per_sample_weights[a:b] for a, b in spans  # type: ignore[index]
        ]  # fmt: skip
    rows = []
    for i, bag in enumerate(bags):
        found = embedding(bag, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
        if padding_idx is not None:
            keep = bag.ne(padding_idx % weight.shape[0])
            found = found[keep]
        if not found.shape[0]:
            rows.append(weight.new_zeros((weight.shape[1],)))  # type: ignore[attr-defined]
            continue
        if weights is not None:
            found = found * weights[i].unsqueeze(1)
        rows.append(
            found.sum(0) if mode == "sum" else found.mean(0) if mode == "mean" else found.max(0)[0]
        )
    return stack(rows)


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
