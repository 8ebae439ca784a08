"""Losses that compare input and target element by element: each is one node under PyTorch's name.

They are composites: the body is the formula, and the derivative follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cresset import dtypes
from cresset.core.modes import THREAD
from cresset.core.spec import Spec, dense
from cresset.core.tape import derived
from cresset.ops.activation import logsigmoid
from cresset.ops.inplace import scalar_name
from cresset.ops.loss import check_weights, reduced, reduction_of, warn_sizes
from cresset.ops.math import abs as abs_
from cresset.ops.norm import not_differentiable
from cresset.ops.pointwise import add, div, mul, neg, sub
from cresset.ops.reduce import sum as sum_
from cresset.ops.registry import Op, Result, Tensor, apply, broadcast_shapes
from cresset.ops.select import where
from cresset.ops.view import expand, reshape


def _loss(name: str, body: Callable[..., Tensor], operands: int, checks: bool = False) -> Op:
    return Op(
        name, None, body=body, vjp=derived, save=tuple(range(operands)), checks_values=checks,
        family="loss",
    )  # fmt: skip


# -- distances -------------------------------------------------------------------------------------


def _huber(x: Tensor, y: Tensor, reduction: str, delta: float) -> Tensor:
    d = abs_(sub(x, y))
    near = d.le(delta)  # type: ignore[attr-defined]
    return reduced(where(near, mul(mul(d, d), 0.5), mul(sub(d, 0.5 * delta), delta)), reduction)


HUBER = _loss("huber_loss", _huber, 2)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``d ** 2 / 2`` below ``delta``, ``delta * (d - delta / 2)`` above, for d = |input -
    target|.

    >>> import cresset as torch
    >>> torch.nn.functional.huber_loss(torch.tensor([0.5, 4.0]), torch.zeros(2))
    tensor(1.8125)
    """
    reduction = reduction_of(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    warn_sizes(input, target)
    if weight is not None:
        check_weights(input, weight)
        return reduced(mul(apply(HUBER, (input, target), ("none", delta)), weight), reduction)
    return apply(HUBER, (input, target), (reduction, float(delta)))


def _smooth_l1(x: Tensor, y: Tensor, reduction: str, beta: float) -> Tensor:
    d = abs_(sub(x, y))
    near = d.lt(beta)  # type: ignore[attr-defined]
    return reduced(where(near, mul(mul(d, d), 0.5 / beta), sub(d, 0.5 * beta)), reduction)


SMOOTH_L1 = _loss("smooth_l1_loss", _smooth_l1, 2)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """``d ** 2 / (2 beta)`` below ``beta``, ``d - beta / 2`` above, for d = |input - target|.

    >>> import cresset as torch
    >>> torch.nn.functional.smooth_l1_loss(torch.tensor([0.5, 4.0]), torch.zeros(2))
    tensor(1.8125)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    warn_sizes(input, target)
    d = dtypes.promote(input._spec.dtype, target._spec.dtype)
    if d.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"smooth_l1_cpu\" not implemented for '{scalar_name(d)}'")
    if beta == 0:
        return reduced(abs_(sub(input, target)), reduction)
    return apply(SMOOTH_L1, (input, target), (reduction, float(beta)))


# -- binary classes --------------------------------------------------------------------------------


def _bce_infer(p: Spec, t: Spec) -> Result:
    if p.dtype is not t.dtype:
        raise RuntimeError(
            f"Found dtype {scalar_name(t.dtype)} but expected {scalar_name(p.dtype)}"
        )
    return Result((dense(p.dtype, p.shape, p.device),))


def _bce_kernel(xp: Any, p: Any, t: Any) -> Any:
    if p.size and not (float(p.min()) >= 0 and float(p.max()) <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    low = xp.maximum(xp.log(p), -100)
    high = xp.maximum(xp.log1p(-p), -100)
    return (t - 1) * high - t * low


def _bce_slope(n: Any, g: Tensor, p: Tensor, t: Tensor) -> Tensor:
    spread = mul(sub(1.0, p), p)
    return mul(g, div(sub(p, t), spread.clamp_min(1e-12)))  # type: ignore[attr-defined]


def _bce_slope_target(n: Any, g: Tensor, p: Tensor, t: Tensor) -> Tensor:
    return mul(g, sub(neg(p).log1p(), p.log()))  # type: ignore[attr-defined]


BCE_TERMS = Op("binary_cross_entropy_terms", _bce_infer, _bce_kernel,
               vjp=(_bce_slope, _bce_slope_target), save=(0, 1), checks_values=True)  # fmt: skip


def _bce(p: Tensor, t: Tensor, *rest: Any) -> Tensor:
    *weight, reduction = rest
    values = apply(BCE_TERMS, (p, t))
    return reduced(mul(values, weight[0]) if weight else values, reduction)


BCE = {n: _loss("binary_cross_entropy", _bce, n, checks=True) for n in (2, 3)}


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``-(t log p + (1 - t) log(1 - p))`` with logs clamped at -100.

    >>> import cresset as torch
    >>> torch.nn.functional.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1.]))
    tensor(0.6931)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target._spec.shape != input._spec.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    operands = (input, target)
    if input._spec.dtype.category < dtypes.FLOAT:
        name = scalar_name(input._spec.dtype)
        raise NotImplementedError(f"\"binary_cross_entropy\" not implemented for '{name}'")
    if weight is not None:
        operands = (input, target, expand(weight, input._spec.shape))  # type: ignore[assignment]
    return apply(BCE[len(operands)], operands, (reduction,))


def _bce_logits(x: Tensor, t: Tensor, *rest: Any) -> Tensor:
    *others, weighted, positive, reduction = rest
    given = iter(others)
    weight = next(given) if weighted else None
    log_p = logsigmoid(x)
    if positive:
        log_p = mul(add(mul(sub(next(given), 1.0), t), 1.0), log_p)
    values = sub(mul(sub(1.0, t), x), log_p)
    return reduced(values if weight is None else mul(values, weight), reduction)


BCE_LOGITS = {n: _loss("binary_cross_entropy_with_logits", _bce_logits, n) for n in (2, 3, 4)}


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Binary cross entropy of ``sigmoid(input)``, computed without overflow.

    >>> import cresset as torch
    >>> F = torch.nn.functional
    >>> F.binary_cross_entropy_with_logits(torch.tensor([0.]), torch.tensor([1.]))
    tensor(0.6931)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target._spec.shape != input._spec.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    operands = tuple(x for x in (input, target, weight, pos_weight) if x is not None)
    params = (weight is not None, pos_weight is not None, reduction)
    return apply(BCE_LOGITS[len(operands)], operands, params)


# -- margins ---------------------------------------------------------------------------------------


def _soft_margin(x: Tensor, y: Tensor, reduction: str) -> Tensor:
    return reduced(mul(neg(y), x).exp().log1p(), reduction)  # type: ignore[attr-defined]


SOFT_MARGIN = _loss("soft_margin_loss", _soft_margin, 2)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``log(1 + exp(-target * input))``.

    >>> import cresset as torch
    >>> torch.nn.functional.soft_margin_loss(torch.tensor([0.]), torch.tensor([1.]))
    tensor(0.6931)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target._requires_grad and THREAD.grad:
        raise not_differentiable("soft_margin_loss", "target")
    broadcast_shapes(input._spec.shape, target._spec.shape)
    return apply(SOFT_MARGIN, (input, target), (reduction,))


def _multi_margin(x: Tensor, target: Tensor, *rest: Any) -> Tensor:
    *weight, p, margin, reduction = rest
    single = len(x._spec.shape) == 1
    if single:
        x = reshape(x, (1, -1))
    index = reshape(target, (-1, 1))
    right = x.gather(1, index)  # type: ignore[attr-defined]
    terms = add(sub(x, right), margin).relu()  # type: ignore[attr-defined]
    if p == 2:
        terms = mul(terms, terms)
    if weight:
        chosen = weight[0].index_select(0, reshape(index, (-1,)))
        terms = mul(terms, chosen.unsqueeze(1))
    terms = terms.scatter(1, index, 0.0)  # type: ignore[attr-defined]
    values = div(sum_(terms, 1), x._spec.shape[1])
    return reduced(reshape(values, ()) if single else values, reduction)


MULTI_MARGIN = {n: _loss("multi_margin_loss", _multi_margin, n, checks=True) for n in (2, 3)}


def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``sum over the wrong classes of max(0, margin - x[target] + x[i]) ** p / classes``.

    >>> import cresset as torch
    >>> torch.nn.functional.multi_margin_loss(torch.tensor([[0.5, 0.0]]), torch.tensor([0]))
    tensor(0.2500)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if target._spec.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target._spec.dtype)}")
    rows = input._spec.shape[0] if input.ndim > 1 else 1
    if tuple(target._spec.shape) not in ((rows,), ()) or rows != max(target._spec.numel, 1):
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{rows}], but got {list(target.shape)}. "
            f"Input has shape {list(input.shape)}."
        )
    if weight is not None:
        if weight._spec.numel != input._spec.shape[-1]:
            raise RuntimeError(
                f"inconsistent weight size, expected {input._spec.shape[-1]} but got "
                f"{list(weight.shape)}"
            )
        if weight._requires_grad and THREAD.grad:
            raise not_differentiable("multi_margin_loss", "weight")
    operands = (input, target) if weight is None else (input, target, weight)
    return apply(MULTI_MARGIN[len(operands)], operands, (p, float(margin), reduction))


TORCH = ("binary_cross_entropy_with_logits",)
