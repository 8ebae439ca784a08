"""Choosing between values: where, clamp, masked fill; and the fused formulas addcmul, lerp."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.pointwise import add, div, mul, pointwise, promote_rule, sub
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    broadcast_out,
    number_spec,
    result_dtype,
)

# -- where ------------------------------------------------------------------------------------------


def _where_rule(c: Spec, a: Spec, b: Spec) -> Result:
    if c.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{scalar_name(c.dtype)}"
        )
    d = result_dtype(a, b)
    return Result((broadcast_out((c, a, b), d),), d)


def _where_kernel(xp: Any, c: Any, a: Any, b: Any) -> Any:
    return xp.where(c != 0, a, b)


WHERE = pointwise(
    "where", _where_kernel,
    (None, lambda n, g, c: where(c, g, 0), lambda n, g, c: where(c, 0, g)),
    save=(0,), rule=_where_rule, grad_name="WhereBackward0",
)  # fmt: skip


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where ``condition`` is true, ``other`` elsewhere; alone, the indices of the trues.

    >>> import cresset as torch
    >>> torch.where(torch.tensor([True, False]), torch.tensor([1., 2.]), 0.)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        d = dtypes.promote(*(dtypes.of_number(number_spec(v).number or 0) for v in (input, other)))
        input = condition.new_full((), input, dtype=d)  # type: ignore[attr-defined]
    return into(out, apply(WHERE, (condition, input, other)))


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """``self`` where ``condition`` is true, ``other`` elsewhere."""
    return where(condition, self, other)


# -- clamp ------------------------------------------------------------------------------------------


def _clamp_rule(s: Spec, *bounds: Spec) -> Result:
    if s.dtype.is_complex:
        raise RuntimeError("clamp is not supported for complex types")
    return promote_rule(s, *bounds)


def _low_kernel(xp: Any, x: Any, low: Any) -> Any:
    return xp.maximum(x, low)


def _clamp_kernel(xp: Any, x: Any, low: Any, high: Any) -> Any:
    return xp.minimum(xp.maximum(x, low), high)


def _limit(n: Any, saved: Any, i: int) -> Any:
    return n.numbers[i] if saved is None else saved


CLAMP_MIN = pointwise(
    "clamp_min", _low_kernel,
    (
        lambda n, g, x, low: mul(g, x.ge(_limit(n, low, 1))),
        lambda n, g, x, low: mul(g, x.lt(low)),
    ),
    save=(0, 1), rule=_clamp_rule, grad_name="ClampMinBackward0",
)  # fmt: skip
CLAMP_MAX = pointwise(
    "clamp_max", lambda xp, x, high: xp.minimum(x, high),
    (
        lambda n, g, x, high: mul(g, x.le(_limit(n, high, 1))),
        lambda n, g, x, high: mul(g, x.gt(high)),
    ),
    save=(0, 1), rule=_clamp_rule, grad_name="ClampMaxBackward0",
)  # fmt: skip
CLAMP = pointwise(
    "clamp", _clamp_kernel,
    (
        lambda n, g, x, low, high: mul(
            g, x.ge(_limit(n, low, 1)).logical_and(x.le(_limit(n, high, 2)))
        ),
        lambda n, g, x, low, high: mul(
            g, x.lt(low).logical_and(low.lt(_limit(n, high, 2)))
        ),
        lambda n, g, x, low, high: mul(
            g, x.gt(high).logical_or(high.lt(_limit(n, low, 1)))
        ),
    ),
    save=(0, 1, 2), rule=_clamp_rule, grad_name="ClampBackward1",
)  # fmt: skip


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Values limited to [min, max] (numbers or tensors; either may be missing).

    >>> import cresset as torch
    >>> torch.clamp(torch.tensor([-2., 0.5, 3.]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if max is None:
        result = apply(CLAMP_MIN, (input, min))
    elif min is None:
        result = apply(CLAMP_MAX, (input, max))
    else:
        result = apply(CLAMP, (input, min, max))
    return into(out, result)


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """``max(input, min)``, elementwise."""
    return into(out, apply(CLAMP_MIN, (input, min)))


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """``min(input, max)``, elementwise."""
    return into(out, apply(CLAMP_MAX, (input, max)))


# -- filling ----------------------------------------------------------------------------------------


def _masked_fill_rule(x: Spec, mask: Spec, value: Spec) -> Result:
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_fill only supports boolean masks, but got mask with dtype "
                           f"{scalar_name(mask.dtype).lower()}")  # fmt: skip
    if value.number is None and value.shape:
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    if value.number is not None and value.number > x.dtype.category:
        raise RuntimeError(
            f"value cannot be converted to type {_c_type(x)} without overflow"
        )
    return Result((broadcast_out((x, mask), x.dtype),), x.dtype)


def _c_type(s: Spec) -> str:
    from cresset.ops.matmul import _c_name

    return _c_name(s)


MASKED_FILL = pointwise(
    "masked_fill", lambda xp, x, mask, value: xp.where(mask, value, x),
    (
        lambda n, g, mask: apply(MASKED_FILL, (g, mask, 0)),
        None,
        lambda n, g, mask: mul(g, mask).sum(),
    ),
    save=(1,), rule=_masked_fill_rule, grad_name="MaskedFillBackward0",
)  # fmt: skip


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where ``mask`` is true, ``input`` elsewhere.

    >>> import cresset as torch
    >>> torch.tensor([1., 2.]).masked_fill(torch.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    return apply(MASKED_FILL, (input, mask, value))


FILL_LIKE = Op(
    "fill_", lambda x, v: Result((dense(x.dtype, x.shape, x.device),), x.dtype),
    lambda xp, x, v: xp.broadcast_to(xp.asarray(v, x.dtype), x.shape).copy(),
    vjp=(lambda n, g: mul(g, 0), lambda n, g: g.sum()), family="pointwise",
    grad_name="FillBackward0",
)  # fmt: skip


def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element set to ``value`` (a number or a 0-dim tensor).

    >>> import cresset as torch
    >>> torch.zeros(2).fill_(3)
    tensor([3., 3.])
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
    elif isinstance(value, complex) and not self.is_complex():
        raise RuntimeError("value cannot be converted to type float without overflow")
    return assign(self, apply(FILL_LIKE, (self, value)))


def zero_(self: Tensor) -> Tensor:
    """Every element set to 0."""
    return assign(self, apply(FILL_LIKE, (self, 0)))


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor shaped as ``input`` with every element ``value``."""
    return apply(FILL_LIKE, (input, value))


# -- fused formulas ---------------------------------------------------------------------------------


def _lerp_rule(a: Spec, b: Spec, w: Spec) -> Result:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected dtype {a.dtype.name} for `end` but got dtype {b.dtype.name}"
        )
    return Result((broadcast_out((a, b, w), a.dtype),), a.dtype)


def _lerp_kernel(xp: Any, a: Any, b: Any, w: Any) -> Any:
    low = a + w * (b - a)
    high = b - (b - a) * (1 - w)
    return xp.where(xp.abs(xp.asarray(w)) < 0.5, low, high).astype(a.dtype)


LERP = pointwise(
    "lerp", _lerp_kernel,
    (
        lambda n, g, a, b, w: mul(g, sub(1, w) if w is not None else 1 - n.numbers[2]),
        lambda n, g, a, b, w: mul(g, _limit(n, w, 2)),
        lambda n, g, a, b, w: mul(g, sub(b, a)),
    ),
    save=(0, 1, 2), save_if=(2, 2, None), rule=_lerp_rule, grad_name="LerpBackward0",
)  # fmt: skip


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """``input + weight * (end - input)``.

    >>> import cresset as torch
    >>> torch.lerp(torch.tensor([0.]), torch.tensor([10.]), 0.25)
    tensor([2.5000])
    """
    return into(out, apply(LERP, (input, end, weight)))


def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``input + value * tensor1 * tensor2``.

    >>> import cresset as torch
    >>> torch.addcmul(torch.ones(1), torch.tensor([2.]), torch.tensor([3.]), value=0.5)
    tensor([4.])
    """
    product = mul(tensor1, tensor2)
    return into(out, add(input, product if value == 1 else mul(product, value)))


def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``input + value * tensor1 / tensor2``.

    >>> import cresset as torch
    >>> torch.addcdiv(torch.ones(1), torch.tensor([6.]), torch.tensor([3.]))
    tensor([3.])
    """
    if not tensor1.is_floating_point() and not tensor2.is_floating_point() and not (
        tensor1.is_complex() or tensor2.is_complex()
    ):  # fmt: skip
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release addcdiv "
            "will perform a true division of tensor1 and tensor2."
        )
    quotient = div(tensor1, tensor2)
    return into(out, add(input, quotient if value == 1 else mul(quotient, value)))


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where it is above ``threshold``, ``value`` elsewhere."""
    result = apply(THRESHOLD, (input, threshold, value))
    return assign(input, result) if inplace else result


THRESHOLD = pointwise(
    "threshold", lambda xp, x, t, v: xp.where(x <= t, v, x),
    (lambda n, g, x: mul(g, x.gt(n.numbers[1])), None, None), save=(0,),
    rule=lambda x, t, v: Result((broadcast_out((x,), x.dtype),), x.dtype),
    grad_name="ThresholdBackward0",
)  # fmt: skip

TORCH = (
    "where", "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp", "addcmul", "addcdiv",
    "threshold", "fill",
)  # fmt: skip
METHODS = (
    "where=where_method", "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp",
    "addcmul", "addcdiv", "fill_", "zero_",
)  # fmt: skip
IN_PLACE = (
    "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp", "addcmul", "addcdiv",
)  # fmt: skip
