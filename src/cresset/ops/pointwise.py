"""Arithmetic and powers."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import number_spec
from cresset.ops.deprecated import old_order
from cresset.ops.elementwise import (
    binary,
    operand,
    operator_method,
    pointwise,
    promote_rule,
    reflected_method,
    unary,
    wrong_operand,
)
from cresset.ops.inplace import in_place, into
from cresset.ops.registry import Op, Result, Spec, Tensor, apply, result_dtype

Number = bool | int | float | complex


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; real tensors are returned as they are.

    >>> import cresset as torch
    >>> torch.conj(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return apply(CONJ, (input,)) if input._spec.dtype.is_complex else input


CONJ = pointwise("conj", lambda xp, x: xp.conj(x), (lambda n, g: conj(g),), rule="same",
                 grad_name="ConjBackward0")  # fmt: skip


def _other(n: Any, saved: Any, i: int) -> Any:
    """Operand i: the saved tensor (conjugated), or the number."""
    if saved is None:
        value = n.numbers[i]
        return value.conjugate() if value.__class__ is complex else value
    return conj(saved) if saved._spec.dtype.is_complex else saved


# -- arithmetic ------------------------------------------------------------------------------------


def _add_kernel(xp: Any, a: Any, b: Any) -> Any:
    return xp.add(a, b)


ADD = pointwise("add", _add_kernel, (lambda n, g: g, lambda n, g: g))


def _scaled(other: Any, alpha: Number, d: Any) -> Any:
    if not isinstance(alpha, (int, float)) or isinstance(alpha, bool):
        if isinstance(alpha, bool):
            if d is not dtypes.bool_:
                raise RuntimeError("Boolean alpha only supported for Boolean results.")
        return mul(other, alpha) if alpha is not True else other
    if d is dtypes.bool_:
        return mul(other, bool(alpha))
    if isinstance(alpha, float) and d.category < dtypes.FLOAT:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if not isinstance(other, Tensor):
        return other * alpha
    if other._spec.dtype.category < d.category:
        # The product is computed in the result's dtype, not in the one of alpha's kind.
        other = other.to(d)  # type: ignore[attr-defined]
    return mul(other, alpha)


def add(
    input: Any, other: Any, last: Any = None, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """``input + alpha * other``, broadcast, in the promoted dtype.

    >>> import cresset as torch
    >>> torch.add(torch.tensor([1, 2]), torch.tensor([[10.], [20.]]), alpha=2)
    tensor([[21., 22.],
            [41., 42.]])
    """
    if last is not None:
        alpha, other = other, old_order("add", last)
    if other.__class__.__name__ == "ndarray":
        other = operand(other)
    if alpha.__class__ is not int or alpha != 1:
        specs = [x._spec if isinstance(x, Tensor) else number_spec(x) for x in (input, other)]
        other = _scaled(other, alpha, result_dtype(*specs))
    try:
        result = apply(ADD, (input, other))
    except TypeError as error:
        raise wrong_operand("add", input, other) or error from None
    return result if out is None else into(out, result, input, other)


def _sub_rule(*specs: Spec) -> Result:
    result = promote_rule(*specs)
    if result.compute is dtypes.bool_ or any(
        s.dtype is dtypes.bool_ for s in specs if s.number is None or s.number == dtypes.BOOL
    ):
        if all(s.dtype is dtypes.bool_ for s in specs):
            raise RuntimeError(
                "Subtraction, the `-` operator, with two bool tensors is not supported. Use the "
                "`^` or `logical_xor()` operator instead."
            )
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return result


def _subtract(xp: Any, a: Any, b: Any) -> Any:
    return xp.subtract(a, b)


_SUB_VJP = (lambda n, g: g, lambda n, g: neg(g))
SUB = pointwise("sub", _subtract, _SUB_VJP, rule=_sub_rule)
#: A number less a tensor: the same op under PyTorch's name for its node.
RSUB = pointwise("sub", _subtract, _SUB_VJP, rule=_sub_rule, grad_name="RsubBackward1")


def sub(
    input: Any, other: Any, last: Any = None, *, alpha: Number = 1, out: Tensor | None = None
) -> Tensor:
    """``input - alpha * other``, broadcast.

    >>> import cresset as torch
    >>> torch.sub(torch.tensor([5., 6.]), 1)
    tensor([4., 5.])
    """
    if last is not None:
        alpha, other = other, old_order("sub", last)
    if other.__class__.__name__ == "ndarray":
        other = operand(other)
    if alpha.__class__ is not int or alpha != 1:
        specs = [x._spec if isinstance(x, Tensor) else number_spec(x) for x in (input, other)]
        other = _scaled(other, alpha, result_dtype(*specs))
    try:
        result = apply(SUB, (input, other))
    except TypeError as error:
        raise wrong_operand("sub", input, other) or error from None
    return result if out is None else into(out, result, input, other)


subtract = sub


def rsub(input: Any, other: Any, *, alpha: Number = 1) -> Tensor:
    """``other - alpha * input``.

    >>> import cresset as torch
    >>> torch.rsub(torch.tensor([1., 2.]), 10)
    tensor([9., 8.])
    """
    if other.__class__.__name__ == "ndarray":
        other = operand(other)
    if isinstance(other, Tensor):
        return sub(other, input, alpha=alpha)
    if alpha != 1:
        input = mul(input, alpha)
    return apply(RSUB, (other, input))


MUL = pointwise(
    "mul", lambda xp, a, b: xp.multiply(a, b),
    (lambda n, g, a, b: mul(g, _other(n, b, 1)), lambda n, g, a, b: mul(g, _other(n, a, 0))),
    save=(0, 1),
    save_if=(1, 0),
)  # fmt: skip
mul = binary(
    MUL,
    """``input * other``, broadcast, in the promoted dtype.

    >>> import cresset as torch
    >>> torch.mul(torch.tensor([1., 2.]), 3)
    tensor([3., 6.])
    """,
)
multiply = mul


DIV = pointwise(
    "div", lambda xp, a, b: xp.true_divide(a, b),
    (
        lambda n, g, a, b: div(g, _other(n, b, 1)),
        lambda n, g, a, b: neg(mul(g, conj_value(div(div(_raw(n, a, 0), b), b)))),
    ),
    save=(0, 1),
    save_if=(1, None),
    rule="float",
)  # fmt: skip


def _raw(n: Any, saved: Any, i: int) -> Any:
    return n.numbers[i] if saved is None else saved


def conj_value(x: Any) -> Any:
    """Conjugate of a tensor or number."""
    return conj(x) if isinstance(x, Tensor) else x


def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """``input / other``; integers divide to floats unless ``rounding_mode`` is 'trunc' or 'floor'.

    >>> import cresset as torch
    >>> torch.div(torch.tensor([-7, 7]), 2)
    tensor([-3.5000,  3.5000])
    >>> torch.div(torch.tensor([-7, 7]), 2, rounding_mode='floor')
    tensor([-4,  3])
    """
    if other.__class__.__name__ == "ndarray":
        other = operand(other)
    if rounding_mode is None:
        result = apply(DIV, (input, other))
    elif rounding_mode == "floor":
        result = apply(FLOOR_DIV, (input, other))
    elif rounding_mode == "trunc":
        result = apply(TRUNC_DIV, (input, other))
    else:
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return result if out is None else into(out, result, input, other)


divide = true_divide = div


def check_integer_divisor(xp: Any, a: Any, b: Any) -> None:
    """PyTorch raises for integer division by zero where NumPy warns and returns 0."""
    if xp.asarray(a).dtype.kind in "iub" and not xp.all(xp.asarray(b)):
        raise RuntimeError("ZeroDivisionError")


def _floor_div_kernel(xp: Any, a: Any, b: Any) -> Any:
    check_integer_divisor(xp, a if hasattr(a, "dtype") else b, b)
    return xp.floor_divide(a, b) if _kind(a, b) in "iub" else _float_floor_div(xp, a, b)


def _kind(a: Any, b: Any) -> str:
    return (a if hasattr(a, "dtype") else b).dtype.kind


def _float_floor_div(xp: Any, a: Any, b: Any) -> Any:
    """Python's floor division, but x // 0 is x / 0 (inf or nan) as in PyTorch."""
    mod = xp.fmod(a, b)
    quotient = xp.true_divide(xp.subtract(a, mod), b)
    quotient = xp.where((mod != 0) & ((xp.asarray(b) < 0) != (mod < 0)), quotient - 1, quotient)
    floored = xp.floor(quotient)
    floored = xp.where(quotient - floored > 0.5, floored + 1, floored)
    plain = xp.true_divide(a, b)
    floored = xp.where(quotient == 0, xp.copysign(xp.zeros_like(plain), plain), floored)
    return xp.where(xp.asarray(b) == 0, plain, floored).astype(plain.dtype)


def _trunc_div_kernel(xp: Any, a: Any, b: Any) -> Any:
    if _kind(a, b) in "iub":
        check_integer_divisor(xp, a if hasattr(a, "dtype") else b, b)
        floor = xp.floor_divide(a, b)
        uneven = (xp.multiply(floor, b) != a) & ((xp.asarray(a) < 0) != (xp.asarray(b) < 0))
        return floor + uneven
    return xp.trunc(xp.true_divide(a, b))


def _no_slope(n: Any, g: Tensor) -> Tensor:
    """The gradient of a step function."""
    return mul(g, 0)


FLOOR_DIV = pointwise(
    "floor_divide", _floor_div_kernel, (_no_slope, _no_slope), label="div_floor_cpu",
    refuse=(dtypes.BOOL, dtypes.COMPLEX), grad_name="DivBackward2",
)  # fmt: skip
TRUNC_DIV = pointwise(
    "trunc_divide", _trunc_div_kernel, (_no_slope, _no_slope), label="div_trunc_cpu",
    refuse=(dtypes.BOOL, dtypes.COMPLEX), grad_name="DivBackward2",
)  # fmt: skip
floor_divide = binary(
    FLOOR_DIV,
    """``floor(input / other)``, in the promoted dtype.

    >>> import cresset as torch
    >>> torch.floor_divide(torch.tensor([4., -3.]), 2)
    tensor([ 2., -2.])
    """,
)

NEG = pointwise("neg", lambda xp, x: xp.negative(x), (lambda n, g: neg(g),), rule="same")
_neg = unary(NEG, "", exact_out=True)


def neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``-input``. Bool tensors are refused, as in PyTorch.

    >>> import cresset as torch
    >>> torch.neg(torch.tensor([1., -2.]))
    tensor([-1.,  2.])
    """
    if input._spec.dtype is dtypes.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return apply(NEG, (input,)) if out is None else _neg(input, out=out)


negative = neg


# -- powers ----------------------------------------------------------------------------------------


def _pow_kernel(xp: Any, a: Any, b: Any) -> Any:
    if _kind(a, b) in "iu":
        dtype = (a if hasattr(a, "dtype") else b).dtype
        base, exponent = xp.asarray(a, dtype), xp.asarray(b, dtype)
        positive = xp.power(base, xp.maximum(exponent, 0))
        ones = xp.where(base == 1, 1, xp.where(base == -1, 1 - 2 * (exponent % 2), 0))
        return xp.where(exponent < 0, ones, positive).astype(dtype)
    if not hasattr(b, "dtype"):
        # Not only faster: the signs of zeros and infinities are those of the root.
        if b == 0.5:
            return xp.sqrt(a)
        if b == -0.5:
            return 1 / xp.sqrt(a)
        if b == 3:
            return a * a * a
    return xp.power(a, b)


def _pow_grad_base(n: Any, g: Tensor, a: Any, b: Any, out: Tensor) -> Tensor:
    exponent = _raw(n, b, 1)
    if not isinstance(exponent, Tensor):
        if exponent == 0:
            return mul(g, 0)
        return mul(g, conj_value(mul(pow(a, exponent - 1), exponent)))
    slope = mul(pow(a, sub(exponent, 1)), exponent)
    return where_zero(exponent, mul(g, conj_value(slope)))


def where_zero(condition_zero: Tensor, x: Tensor) -> Tensor:
    """``x``, but 0 where ``condition_zero`` is 0 (so that 0 * inf does not become nan)."""
    return apply(ZERO_WHERE_ZERO, (condition_zero, x))


ZERO_WHERE_ZERO = pointwise(
    "zero_where_zero", lambda xp, c, x: xp.where(c == 0, xp.zeros_like(x), x),
    (None, lambda n, g, c: where_zero(c, g)), save=(0,),
)  # fmt: skip


def _pow_grad_exponent(n: Any, g: Tensor, a: Any, b: Any, out: Tensor) -> Tensor:
    base = _raw(n, a, 0)
    if not isinstance(base, Tensor):
        if base == 0:
            return mul(g, 0)
        import cmath
        import math

        log = math.log(base) if not isinstance(base, complex) and base > 0 else cmath.log(base)
        if isinstance(log, complex) and not out._spec.dtype.is_complex:
            log = float("nan")
        return mul(g, conj_value(mul(out, log)))
    return mul(g, conj_value(apply(POW_LOG, (base, b, out))))


#: d(a**b)/db = a**b * log(a), and 0 at a == 0 with b >= 0.
POW_LOG = pointwise(
    "pow_log",
    lambda xp, a, b, out: xp.where((a == 0) & (b.real >= 0), xp.zeros_like(out), out * xp.log(a)),
    (
        lambda n, g, a, b, out: mul(g, conj(div(out, a))),
        lambda n, g, a, b, out: mul(g, 0),
        lambda n, g, a, b, out: mul(g, conj(a.log())),
    ),
    save=(0, 1, 2),
)


def _pow(label: str, save_if: tuple, refuse: tuple[int, ...] = ()) -> Op:
    return pointwise("pow", _pow_kernel, (_pow_grad_base, _pow_grad_exponent), save=(0, 1, OUT),
                     save_if=save_if, grad_name=label, refuse=refuse, label="pow")  # fmt: skip


POW = _pow("PowBackward0", (None, None, 1))
POW_TENSORS = _pow("PowBackward1", (None, None, 1), (dtypes.BOOL,))
POW_BASE = _pow("PowBackward2", (None, None, 1), (dtypes.BOOL,))
SQUARE = pointwise("pow_2", lambda xp, x: xp.multiply(x, x),
                   (lambda n, g, x: mul(g, conj_value(mul(x, 2.0))),), save=(0,), rule="same",
                   grad_name="PowBackward0")  # fmt: skip


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent``; either may be a number. Integers to negative powers raise.

    >>> import cresset as torch
    >>> torch.pow(torch.tensor([1., 2., 3.]), 2), torch.pow(2, torch.tensor([1., 3.]))
    (tensor([1., 4., 9.]), tensor([2., 8.]))
    """
    if isinstance(exponent, Tensor):
        op = POW_TENSORS if isinstance(input, Tensor) else POW_BASE
    else:
        op, d = POW, input._spec.dtype
        if exponent.__class__.__name__ == "ndarray":
            op, exponent = POW_TENSORS, operand(exponent)
        # 2 selects an algorithm, so it is structure; other exponents are run-time numbers.
        elif exponent == 2 and d.category >= dtypes.FLOAT and exponent.__class__ is not complex:
            op = SQUARE
        elif d.category <= dtypes.INT and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    result = apply(op, (input,) if op is SQUARE else (input, exponent))
    return result if out is None else into(out, result, input, exponent)


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``input ** 2``.

    >>> import cresset as torch
    >>> torch.square(torch.tensor([2., -3.]))
    tensor([4., 9.])
    """
    return pow(input, 2, out=out)


def positive(input: Tensor) -> Tensor:
    """``+input``: the tensor itself.

    >>> import cresset as torch
    >>> +torch.tensor([1.])
    tensor([1.])
    """
    if input._spec.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


__add__, __radd__ = operator_method(add), operator_method(add)
__sub__, __rsub__ = operator_method(sub), reflected_method(lambda other, x: rsub(x, other))
__mul__, __rmul__ = operator_method(mul), operator_method(mul)
__truediv__ = operator_method(div)
__floordiv__, __rfloordiv__ = operator_method(floor_divide), reflected_method(floor_divide)
__pow__, __rpow__ = operator_method(pow), reflected_method(pow)


__iadd__, __isub__ = in_place(add), in_place(sub)
__imul__, __itruediv__ = in_place(mul), in_place(div)
__ifloordiv__, __ipow__ = in_place(floor_divide), in_place(pow)
__neg__, __pos__ = neg, positive

TORCH = (
    "add", "sub", "subtract", "rsub", "mul", "multiply", "div", "divide", "true_divide",
    "floor_divide", "neg", "negative", "positive", "pow", "square", "conj",
)  # fmt: skip
METHODS = (
    "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide",
    "neg", "negative", "positive", "pow", "square", "conj", "__add__", "__radd__", "__sub__",
    "__rsub__", "__mul__", "__rmul__", "__truediv__", "__floordiv__", "__rfloordiv__",
    "__pow__", "__rpow__", "__iadd__", "__isub__", "__imul__", "__itruediv__",
    "__ifloordiv__", "__ipow__", "__neg__", "__pos__",
)  # fmt: skip
IN_PLACE = (
    "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide",
    "neg", "negative", "pow", "square",
)  # fmt: skip
