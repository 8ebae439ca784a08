"""Losses of margins and distances: hinges, rankings, similarities, triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.core.tape import derived
from cresset.ops.activation import logsigmoid
from cresset.ops.cast import cast
from cresset.ops.creation import from_numpy
from cresset.ops.inplace import scalar_name
from cresset.ops.loss import reduced, reduction_of
from cresset.ops.pointwise import add, div, mul, neg, pow, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Tensor, apply
from cresset.ops.select import where
from cresset.ops.vector_norm import NORM, norm_dtype, vector_norm
from cresset.ops.view import reshape, unsqueeze


def _relu(x: Tensor) -> Tensor:
    return x.clamp_min(0)  # type: ignore[attr-defined]


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``input`` where target is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    zeros = mul(input, 0.0)
    positive = where(target.eq(-1), zeros, input)  # type: ignore[attr-defined]
    negative = where(target.eq(1), zeros, _relu(sub(margin, input)))  # type: ignore[attr-defined]
    return reduced(add(positive, negative), reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``max(0, -target * (input1 - input2) + margin)``."""
    reduction = reduction_of(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced(_relu(add(mul(neg(target), sub(input1, input2)), margin)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The mean over classes of the binary cross entropy of ``sigmoid(input)``."""
    reduction = reduction_of(reduction, size_average, reduce)
    values = neg(add(
        mul(target, logsigmoid(input)), mul(sub(1.0, target), logsigmoid(neg(input)))
    ))  # fmt: skip
    if weight is not None:
        values = mul(values, weight)
    return reduced(div(sum_(values, -1), input._spec.shape[-1]), reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` over ``dim``.

    >>> import cresset as torch
    >>> torch.cosine_similarity(torch.tensor([[1., 0.]]), torch.tensor([[2., 0.]]))
    tensor([1.])
    """
    d = dtypes.promote(x1.dtype, x2.dtype)
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(
            f"expected common dtype to be floating point, yet common dtype is {scalar_name(d)}"
        )
    return sum_(mul(_unit(cast(x1, d), dim, eps), _unit(cast(x2, d), dim, eps)), dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    """``x`` over its length, which is at least ``eps``: a bound that its derivative ignores."""
    length: Any = vector_norm(x, 2, dim, True).clone()  # type: ignore[attr-defined]
    grad, THREAD.grad = THREAD.grad, False
    try:
        length.clamp_min_(eps)
    finally:
        THREAD.grad = grad
    return div(x, length)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``1 - cos`` where target is 1, ``max(0, cos - margin)`` where it is -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    wanted = 1 + target.ndim
    if input1.ndim != wanted or input2.ndim != wanted:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {wanted}D input tensors, but found inputs with "
            f"sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    tiny = 1e-12
    product = sum_(mul(input1, input2), -1)
    a = add(sum_(mul(input1, input1), -1), tiny)
    b = add(sum_(mul(input2, input2), -1), tiny)
    cos = div(product, pow(mul(a, b), 0.5))
    zeros = mul(cos, 0.0)
    values = add(
        where(target.eq(1), sub(1.0, cos), zeros),  # type: ignore[attr-defined]
        where(target.eq(-1), _relu(sub(cos, margin)), zeros),  # type: ignore[attr-defined]
    )
    return reduced(values, reduction)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
    difference = add(sub(x1, x2), eps)
    d = norm_dtype("vector_norm", difference, None)
    return apply(DISTANCE, (difference,), (float(p), (difference.ndim - 1,), keepdim, d))


#: The norm inside PyTorch's distances, whose node has another name than ``torch.norm``'s.
DISTANCE = NORM.named("NormBackward1")


def _pdist(x: Tensor, p: float) -> Tensor:
    first, second = (from_numpy(i).to(x.device) for i in np.triu_indices(x._spec.shape[0], 1))  # type: ignore[attr-defined]
    difference = sub(x.index_select(0, first), x.index_select(0, second))  # type: ignore[attr-defined]
    return vector_norm(difference, p, -1)


PDIST = Op("pdist", None, body=_pdist, vjp=derived, save=(0,))


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances between all pairs of rows: (n, m) to n (n - 1) / 2.

    >>> import cresset as torch
    >>> torch.pdist(torch.tensor([[0., 0.], [3., 4.], [0., 1.]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not input.is_floating_point():  # type: ignore[attr-defined]
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    return apply(PDIST, (input,), (float(p),))


def _check_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    dims = anchor.ndim, positive.ndim, negative.ndim
    if len(set(dims)) != 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D "
            "inputs"
        )


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``."""
    reduction = reduction_of(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))  # type: ignore[attr-defined]
    return reduced(_relu(add(sub(near, far), margin)), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``triplet_margin_loss`` with any distance.

    >>> import cresset as torch
    >>> a, b = torch.zeros(1, 2), torch.ones(1, 2)
    >>> torch.nn.functional.triplet_margin_with_distance_loss(
    ...     a, a, b, distance_function=lambda x, y: (x - y).abs().sum(-1), margin=3.0)
    tensor(1.)
    """
    reduction = reduction_of(reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))  # type: ignore[attr-defined]
    return reduced(_relu(sub(add(near, margin), far)), reduction)


def _multilabel_margin(x: Tensor, target: Any, reduction: str) -> Tensor:
    """Targets are the class numbers before the first -1."""
    rows = reshape(x, (-1, x._spec.shape[-1]))
    labels = reshape(target, tuple(rows._spec.shape))
    d = rows._spec.dtype
    valid: Any = labels.ge(0).to(d).cumprod(1)  # type: ignore[attr-defined]
    index = labels.clamp_min(0)  # type: ignore[attr-defined]
    chosen = mul(valid, 0.0).scatter_add(1, index, valid).clamp_max(1.0)  # type: ignore[attr-defined]
    gap = sub(unsqueeze(rows, 1), unsqueeze(rows.gather(1, index), 2))  # type: ignore[attr-defined]
    hinges = _relu(add(gap, 1.0))
    hinges = mul(mul(hinges, unsqueeze(valid, 2)), unsqueeze(sub(1.0, chosen), 1))
    values = div(sum_(hinges, (1, 2)), rows._spec.shape[1])
    return reduced(reshape(values, tuple(x._spec.shape[:-1])), reduction)


MULTILABEL_MARGIN = Op("multilabel_margin_loss", None, body=_multilabel_margin, vjp=derived,
                       save=(0, 1))  # fmt: skip


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``sum over targets j and other classes i of max(0, 1 - (x[j] - x[i])) / classes``.

    Shapes: input (c) or (n, c); target the same, class numbers up to the first -1.

    >>> import cresset as torch
    >>> x, y = torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([[3, 0, -1, 1]])
    >>> torch.nn.functional.multilabel_margin_loss(x, y)
    tensor(0.8500)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target.dtype)}")
    return apply(MULTILABEL_MARGIN, (input, target), (reduction,))


TORCH = (
    "cosine_similarity", "pairwise_distance", "pdist", "hinge_embedding_loss",
    "margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss",
)  # fmt: skip
