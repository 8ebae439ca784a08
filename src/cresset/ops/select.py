"""Choosing between values: where, clamp, masked fill; and the fused formulas addcmul, lerp."""

from __future__ import annotations

import math as _math
from builtins import max as max_
from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, dense, like
from cresset.ops.arguments import refused
from cresset.ops.deprecated import old_order
from cresset.ops.elementwise import (
    C_NAMES,
    into_exactly,
    not_implemented,
    pointwise,
    promote_rule,
)
from cresset.ops.inplace import assign, into, scalar_name, written
from cresset.ops.pointwise import add, conj, conj_value, div, mul, neg, sub
from cresset.ops.registry import (
    Op,
    Result,
    Tensor,
    apply,
    broadcast_out,
    broadcast_shapes,
    number_spec,
    result_dtype,
)

# -- where -----------------------------------------------------------------------------------------


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
        if not isinstance(condition, Tensor):
            raise refused("where", condition, argument="condition")
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        d = dtypes.promote(*(dtypes.of_number(number_spec(v).number or 0) for v in (input, other)))
        input = condition.new_full((), input, dtype=d)  # type: ignore[attr-defined]
    result = apply(WHERE, (condition, input, other))
    if out is not None and out._spec.dtype is not result._spec.dtype:
        raise RuntimeError(
            f"Expected out type to be {scalar_name(result._spec.dtype)} but got "
            f"{scalar_name(out._spec.dtype)}"
        )
    return into(out, result)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """``self`` where ``condition`` is true, ``other`` elsewhere."""
    return where(condition, self, other)


# -- clamp -----------------------------------------------------------------------------------------


def _clamp_rule(label: str, complex_label: str = "", words: bool = True) -> Any:
    """``words``: a complex input is refused in a sentence, not by the kernel's label."""

    def rule(s: Spec, *bounds: Spec) -> Result:
        if s.dtype.is_complex:
            if not words:
                raise not_implemented(complex_label, s.dtype)
            raise NotImplementedError("clamp is not supported for complex types")
        result = promote_rule(s, *bounds)
        d = result.compute
        assert d is not None
        if d.is_complex:
            if complex_label or label:
                raise not_implemented(complex_label or label, d)
            raise RuntimeError("value cannot be converted to type double without overflow")
        if label and d is dtypes.bool_:
            raise not_implemented(label, d)
        return result

    return rule


def _low_kernel(xp: Any, x: Any, low: Any) -> Any:
    return xp.maximum(x, low)


def _high_kernel(xp: Any, x: Any, high: Any) -> Any:
    return xp.minimum(x, high)


def _clamp_kernel(xp: Any, x: Any, low: Any, high: Any) -> Any:
    return xp.minimum(xp.maximum(x, low), high)


#: The gradient inside of [low, high], 0 outside (and for NaN).
CLAMP_BACKWARD = pointwise(
    "clamp_backward",
    lambda xp, g, x, low, high: xp.where((x >= low) & (x <= high), g, xp.zeros((), g.dtype)),
    (lambda n, h, x, low, high: _inside(h, x, *_bounds(n, low, high)), None, None, None),
    save=(1, 2, 3), rule=lambda g, *others: Result((like(g),), g.dtype),
)  # fmt: skip


def _inside(g: Tensor, x: Tensor, low: Any, high: Any) -> Tensor:
    return apply(CLAMP_BACKWARD, (g, x, low, high))


def _bounds(n: Any, low: Any, high: Any) -> tuple[Any, Any]:
    return _limit(n, low, 2), _limit(n, high, 3)


def _limit(n: Any, saved: Any, i: int) -> Any:
    return n.numbers[i] if saved is None else saved


def _one_sided(name: str, kernel: Any, grad_name: str, complex_label: str = "") -> Op:
    """x limited from below or above by a number or a tensor."""
    below = kernel is _low_kernel

    def x_grad(n: Any, g: Tensor, x: Tensor, bound: Any) -> Tensor:
        bound = _limit(n, bound, 1)
        return _inside(g, x, *((bound, _math.inf) if below else (-_math.inf, bound)))

    def bound_grad(n: Any, g: Tensor, x: Tensor, bound: Tensor) -> Tensor:
        taken = x.lt(bound) if below else x.gt(bound)  # type: ignore[attr-defined]
        return where(taken, g, 0)

    words = not complex_label or grad_name.startswith("ClampB")
    return pointwise(
        name, kernel, (x_grad, bound_grad), save=(0, 1), grad_name=grad_name,
        rule=_clamp_rule("", complex_label, words),
    )  # fmt: skip


CLAMP_MIN = _one_sided("clamp_min", _low_kernel, "ClampMinBackward0")
CLAMP_MAX = _one_sided("clamp_max", _high_kernel, "ClampMaxBackward0")
CLAMP_MIN_TENSOR = _one_sided("clamp_min", _low_kernel, "ClampMinBackward1", "maximum_cpu")
CLAMP_MAX_TENSOR = _one_sided("clamp_max", _high_kernel, "ClampMaxBackward1", "minimum_cpu")
CLAMP_LOW = _one_sided("clamp_min", _low_kernel, "ClampBackward1")
CLAMP_HIGH = _one_sided("clamp_max", _high_kernel, "ClampBackward1")
CLAMP_LOW_TENSOR = _one_sided("clamp_min", _low_kernel, "ClampBackward0", "maximum_cpu")
CLAMP_HIGH_TENSOR = _one_sided("clamp_max", _high_kernel, "ClampBackward0", "minimum_cpu")
CLAMP = pointwise(
    "clamp", _clamp_kernel,
    (lambda n, g, x: _inside(g, x, n.numbers[1], n.numbers[2]), None, None),
    save=(0,), rule=_clamp_rule(""), grad_name="ClampBackward1",
)  # fmt: skip
CLAMP_TENSORS = pointwise(
    "clamp", _clamp_kernel,
    (
        lambda n, g, x, low, high: _inside(g, x, low, high),
        lambda n, g, x, low, high: where(x.lt(low).logical_and(low.lt(high)), g, 0),
        lambda n, g, x, low, high: where(x.gt(high).logical_or(high.lt(low)), g, 0),
    ),
    save=(0, 1, 2), rule=_clamp_rule("clamp_cpu"), grad_name="ClampBackward0",
)  # fmt: skip


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Values limited to [min, max]: two numbers or two tensors; either may be missing.

    NaN stays NaN; if ``min > max`` the result is ``max``.

    >>> import cresset as torch
    >>> torch.clamp(torch.tensor([-2., 0.5, 3.]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if max is None:
        if min is None:
            raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
        result = apply(CLAMP_LOW_TENSOR if isinstance(min, Tensor) else CLAMP_LOW, (input, min))
    elif min is None:
        result = apply(CLAMP_HIGH_TENSOR if isinstance(max, Tensor) else CLAMP_HIGH, (input, max))
    elif isinstance(min, Tensor) is not isinstance(max, Tensor):
        raise TypeError(
            "clamp() received an invalid combination of arguments: min and max must be two numbers "
            "or two tensors"
        )
    else:
        result = apply(CLAMP_TENSORS if isinstance(min, Tensor) else CLAMP, (input, min, max))
    return result if out is None else into_exactly(out, result)


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """``max(input, min)``, elementwise.

    >>> import cresset as torch
    >>> torch.clamp_min(torch.tensor([-1., 2.]), 0)
    tensor([0., 2.])
    """
    op = CLAMP_MIN_TENSOR if isinstance(min, Tensor) else CLAMP_MIN
    return into_exactly(out, apply(op, (input, min)))


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """``min(input, max)``, elementwise.

    >>> import cresset as torch
    >>> torch.clamp_max(torch.tensor([-1., 2.]), 0)
    tensor([-1.,  0.])
    """
    op = CLAMP_MAX_TENSOR if isinstance(max, Tensor) else CLAMP_MAX
    return into_exactly(out, apply(op, (input, max)))


# -- filling ---------------------------------------------------------------------------------------


def _masked_fill_rule(x: Spec, mask: Spec, value: Spec) -> Result:
    if mask.dtype is not dtypes.bool_:
        # Here PyTorch prints int64 as the C type of its own header.
        name = "long int" if mask.dtype is dtypes.int64 else _c_type(mask)
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {name}"
        )
    if value.number is None and value.shape:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    if value.dtype.is_complex and not x.dtype.is_complex:
        raise RuntimeError(f"value cannot be converted to type {_c_type(x)} without overflow")
    # PyTorch clones the expanded input, so the result is row-major.
    return Result((dense(x.dtype, broadcast_shapes(x.shape, mask.shape), x.device),), x.dtype)


def _c_type(s: Spec) -> str:
    from cresset.ops.matmul import _c_name

    return _c_name(s)


def _masked_fill(grad_name: str) -> Op:
    return pointwise(
        "masked_fill", lambda xp, x, mask, value: xp.where(mask, value, x),
        (
            lambda n, g, mask: apply(MASKED_FILL, (g, mask, 0)),
            None,
            lambda n, g, mask: where(mask, g, 0).sum(),
        ),
        save=(1,), rule=_masked_fill_rule, grad_name=grad_name,
    )  # fmt: skip


MASKED_FILL = _masked_fill("MaskedFillBackward0")
MASKED_FILL_TENSOR = _masked_fill("MaskedFillBackward1")


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where ``mask`` is true, ``input`` elsewhere.

    >>> import cresset as torch
    >>> torch.tensor([1., 2.]).masked_fill(torch.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    if isinstance(value, Tensor):
        return apply(MASKED_FILL_TENSOR, (input, mask, value))
    d = input._spec.dtype
    if d.category == dtypes.INT and value.__class__ is int:
        limits = dtypes.iinfo(d)
        if not limits.min <= value <= limits.max:
            raise RuntimeError(
                f"value cannot be converted to type {_c_type(input._spec)} without overflow"
            )
    return apply(MASKED_FILL, (input, mask, value))


def _fill_like(grad_name: str) -> Op:
    return Op(
        "fill_like", lambda x, v: Result((dense(x.dtype, x.shape, x.device),), x.dtype),
        lambda xp, x, v: xp.broadcast_to(xp.asarray(v, x.dtype), x.shape).copy(),
        vjp=(lambda n, g: mul(g, 0), lambda n, g: g.sum()), family="pointwise",
        grad_name=grad_name,
    )  # fmt: skip


FILL_NUMBER, FILL_TENSOR, FILL_NUMBER_, FILL_TENSOR_ = (
    _fill_like(f"FillBackward{i}") for i in range(4)
)
ZERO_ = _fill_like("ZeroBackward0")


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
    op = FILL_TENSOR_ if isinstance(value, Tensor) else FILL_NUMBER_
    return assign(self, apply(op, (self, value)), overlap=op is FILL_NUMBER_)


def zero_(self: Tensor) -> Tensor:
    """Every element set to 0."""
    return assign(self, apply(ZERO_, (self, 0)), overlap=True)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor shaped as ``input`` with every element ``value``.

    >>> import cresset as torch
    >>> torch.fill(torch.zeros(2), 3)
    tensor([3., 3.])
    """
    return apply(FILL_TENSOR if isinstance(value, Tensor) else FILL_NUMBER, (input, value))


# -- fused formulas --------------------------------------------------------------------------------


def _lerp_rule(a: Spec, b: Spec, w: Spec) -> Result:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected dtype {_word(a)} for `end` but got dtype {_word(b)}")
    if w.number is None and a.dtype is not w.dtype:
        raise RuntimeError(f"expected dtype {_word(a)} for `weight` but got dtype {_word(w)}")
    if a.dtype.category < dtypes.FLOAT:
        kind = "scalar" if w.number is not None else "tensor"
        raise not_implemented("lerp_kernel_" + kind, a.dtype)
    return Result((broadcast_out((a, b, w), a.dtype),), a.dtype)


def _word(s: Spec) -> str:
    """The dtype as C names it: ``float``, ``double``."""
    return C_NAMES[s.dtype.name]


def _lerp_kernel(xp: Any, a: Any, b: Any, w: Any) -> Any:
    if not hasattr(w, "dtype"):
        return a + w * (b - a) if xp.abs(w) < 0.5 else b - (b - a) * (1 - w)
    return xp.where(xp.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w)).astype(a.dtype)


def _lerp(grad_name: str, save: tuple, save_if: tuple) -> Op:
    return pointwise(
        "lerp", _lerp_kernel,
        (
            lambda n, g, a, b, w: mul(g, 1 - n.numbers[2] if w is None else conj(sub(1, w))),
            lambda n, g, a, b, w: mul(g, n.numbers[2] if w is None else conj(w)),
            lambda n, g, a, b, w: mul(g, conj(sub(b, a))),
        ),
        save=save, save_if=save_if, rule=_lerp_rule, grad_name=grad_name,
    )  # fmt: skip


LERP = _lerp("LerpBackward0", (0, 1, 2), (2, 2, None))
LERP_TENSOR = _lerp("LerpBackward1", (0, 1, 2), (2, 2, None))


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """``input + weight * (end - input)``.

    >>> import cresset as torch
    >>> torch.lerp(torch.tensor([0.]), torch.tensor([10.]), 0.25)
    tensor([2.5000])
    """
    op = LERP_TENSOR if isinstance(weight, Tensor) else LERP
    return into(out, apply(op, (input, end, weight)))


def _fused_rule(label: str) -> Any:
    def rule(x: Spec, a: Spec, b: Spec, value: Spec) -> Result:
        d = result_dtype(x, a, b)
        if d is dtypes.bool_:
            raise not_implemented(label, d)
        return Result((broadcast_out((x, a, b), d),), d)

    return rule


def _times(g: Tensor, *factors: Any) -> Tensor:
    """``g`` times the conjugates of tensors and numbers; numbers that are 1 cost nothing."""
    for f in factors:
        if isinstance(f, Tensor) or f != 1:
            g = mul(g, conj_value(f))
    return g


ADDCMUL = pointwise(
    "addcmul", lambda xp, x, a, b, value: x + value * a * b,
    (
        lambda n, g, a, b: g,
        lambda n, g, a, b: _times(g, b, n.numbers[3]),
        lambda n, g, a, b: _times(g, a, n.numbers[3]),
        None,
    ),
    save=(1, 2), save_if=(2, 1), rule=_fused_rule("addcmul_cpu_out"),
)  # fmt: skip
ADDCDIV = pointwise(
    "addcdiv", lambda xp, x, a, b, value: x + value * a / b,
    (
        lambda n, g, a, b: g,
        lambda n, g, a, b: _times(g, div(n.numbers[3], b)),
        lambda n, g, a, b: neg(_times(g, div(div(mul(a, n.numbers[3]), b), b))),
        None,
    ),
    save=(1, 2), save_if=(2, None), rule=_fused_rule("addcdiv_cpu_out"),
)  # fmt: skip


def _check_tensors(name: str, **operands: Any) -> None:
    for position, (argument, x) in enumerate(operands.items(), 2):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
                f"{type(x).__name__}"
            )


def addcmul(input: Tensor, tensor1: Any, tensor2: Any, last: Any = None, *, value: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``input + value * tensor1 * tensor2``.

    >>> import cresset as torch
    >>> torch.addcmul(torch.ones(1), torch.tensor([2.]), torch.tensor([3.]), value=0.5)
    tensor([4.])
    """
    if last is not None:
        value, tensor1, tensor2 = tensor1, tensor2, old_order("addcmul", last)
    if isinstance(value, Tensor):
        return into(out, add(input, mul(mul(tensor1, tensor2), value)))
    if not (isinstance(tensor1, Tensor) and isinstance(tensor2, Tensor)):
        _check_tensors("addcmul", tensor1=tensor1, tensor2=tensor2)
    return into(out, apply(ADDCMUL, (input, tensor1, tensor2, value)))


def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, last: Any = None, *, value: Any = 1,
            out: Tensor | None = None) -> Tensor:  # fmt: skip
    """``input + value * tensor1 / tensor2``.

    >>> import cresset as torch
    >>> torch.addcdiv(torch.ones(1), torch.tensor([6.]), torch.tensor([3.]))
    tensor([3.])
    """
    if last is not None:
        value, tensor1, tensor2 = tensor1, tensor2, old_order("addcdiv", last)
    if not (isinstance(tensor1, Tensor) and isinstance(tensor2, Tensor)):
        _check_tensors("addcdiv", tensor1=tensor1, tensor2=tensor2)
    if max_(tensor1._spec.dtype.category, tensor2._spec.dtype.category) < dtypes.FLOAT:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv "
            "behavior can be implemented as (input + value * torch.trunc(tensor1 / "
            "tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / "
            "tensor2) for float inputs. The future addcdiv behavior is just the latter "
            "implementation: (input + value * tensor1 / tensor2), for all dtypes."
        )
    if isinstance(value, Tensor):
        return into(out, add(input, mul(div(tensor1, tensor2), value)))
    return into(out, apply(ADDCDIV, (input, tensor1, tensor2, value)))


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where it is above ``threshold``, ``value`` elsewhere.

    >>> import cresset as torch
    >>> torch.nn.functional.threshold(torch.tensor([1., 3.]), 2., 0.)
    tensor([0., 3.])
    """
    return written(input, apply(THRESHOLD, (input, threshold, value)), inplace)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place ``threshold``."""
    return written(input, apply(THRESHOLD, (input, threshold, value)))


#: The gradient where x > threshold or x is NaN.
THRESHOLD_BACKWARD = pointwise(
    "threshold_backward", lambda xp, g, x, t: xp.where(x <= t, xp.zeros((), g.dtype), g),
    (lambda n, h, x: apply(THRESHOLD_BACKWARD, (h, x, n.numbers[2])), None, None), save=(1,),
    rule=lambda g, x, t: Result((like(g),), g.dtype),
)  # fmt: skip
THRESHOLD = pointwise(
    "threshold", lambda xp, x, t, v: xp.where(x <= t, xp.asarray(v, x.dtype), x),
    (lambda n, g, x: apply(THRESHOLD_BACKWARD, (g, x, n.numbers[1])), None, None), save=(0,),
    rule=lambda x, t, v: Result((like(x),), x.dtype),
)  # fmt: skip

TORCH = (
    "where", "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp", "addcmul", "addcdiv",
    "threshold", "threshold_", "fill", "fill_", "zero_",
)  # fmt: skip
METHODS = (
    "where=where_method", "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp",
    "addcmul", "addcdiv", "fill_", "zero_",
)  # fmt: skip
IN_PLACE = (
    "clamp", "clip", "clamp_min", "clamp_max", "masked_fill", "lerp", "addcmul", "addcdiv",
)  # fmt: skip
