"""Functions of two tensors: angles, remainders, stable logarithms of sums, the larger and smaller.

Where PyTorch names the node by which operand is a Python number, there is one op per name; they
share kernel and derivatives.
"""

from __future__ import annotations

import math as _math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, like
from cresset.ops.elementwise import (
    binary,
    example,
    operator_method,
    pointwise,
    promote_rule,
    reflected_method,
)
from cresset.ops.inplace import assign, in_place, into, scalar_name
from cresset.ops.math import SPECIAL, exp, exp2, log, sgn, special
from cresset.ops.pointwise import (
    add,
    check_integer_divisor,
    conj,
    div,
    mul,
    neg,
    pow,
    sub,
    where_zero,
)
from cresset.ops.registry import Op, Result, Tensor, apply, broadcast_out, result_dtype

_B, _C = (dtypes.BOOL,), (dtypes.COMPLEX,)
#: Refused by ops that do not convert integers.
_NOT_FLOAT = (dtypes.BOOL, dtypes.INT, dtypes.COMPLEX)


def _value(n: Any, saved: Any, i: int) -> Any:
    return n.numbers[i] if saved is None else saved


def _first(*operands: Any) -> Any:
    """The dtype that the kernel computes in (one operand may be a number)."""
    return next(x.dtype for x in operands if hasattr(x, "dtype"))


# -- angles and lengths ----------------------------------------------------------------------------


def _sum_squares(a: Tensor, b: Tensor) -> Tensor:
    return add(mul(a, a), mul(b, b))


ATAN2 = pointwise(
    "atan2", lambda xp, a, b: xp.arctan2(a, b),
    (
        lambda n, g, a, b: mul(g, where_zero(b, div(b, _sum_squares(a, b)))),
        lambda n, g, a, b: mul(g, where_zero(a, div(neg(a), _sum_squares(a, b)))),
    ),
    (0, 1), rule="float", refuse=_C,
)  # fmt: skip
atan2 = binary(
    ATAN2, "The angle of the point (other, input), in (-pi, pi]."
    + example("torch.atan2(torch.tensor([1.]), torch.tensor([-1.]))", "tensor([2.3562])"),
    numbers=False,
)  # fmt: skip
arctan2 = atan2
HYPOT = pointwise(
    "hypot", lambda xp, a, b: xp.hypot(a, b),
    (lambda n, g, a, b, y: mul(g, div(a, y)), lambda n, g, a, b, y: mul(g, div(b, y))),
    (0, 1, OUT), refuse=_NOT_FLOAT,
)  # fmt: skip
hypot = binary(
    HYPOT, "``sqrt(input ** 2 + other ** 2)`` without overflow."
    + example("torch.hypot(torch.tensor([3.]), torch.tensor([4.]))", "tensor([5.])"),
    numbers=False,
)  # fmt: skip


# -- logarithms of sums ----------------------------------------------------------------------------


def _log_sum(name: str, power: Any, doc: str) -> tuple[Op, Any]:
    def kernel(xp: Any, a: Any, b: Any) -> Any:
        if a.dtype.kind != "c":
            return getattr(xp, name)(a, b)
        high = xp.where(a.real > b.real, a, b)
        return high + xp.log(xp.exp(a - high) + xp.exp(b - high))

    def share(g: Tensor, mine: Tensor, other: Tensor) -> Tensor:
        return div(g, conj(add(power(sub(other, mine)), 1)))

    op = pointwise(
        name, kernel,
        (lambda n, g, a, b: share(g, a, b), lambda n, g, a, b: share(g, b, a)), (0, 1),
        refuse=(dtypes.BOOL, dtypes.INT) if name == "logaddexp" else _NOT_FLOAT,
    )  # fmt: skip
    return op, binary(op, doc, numbers=False)


LOGADDEXP, logaddexp = _log_sum(
    "logaddexp", exp, "``log(exp(input) + exp(other))`` without overflow."
    + example("torch.logaddexp(torch.tensor([0.]), torch.tensor([0.]))", "tensor([0.6931])"),
)  # fmt: skip
LOGADDEXP2, logaddexp2 = _log_sum(
    "logaddexp2", exp2, "``log2(2 ** input + 2 ** other)`` without overflow."
    + example("torch.logaddexp2(torch.tensor([0.]), torch.tensor([0.]))", "tensor([1.])"),
)  # fmt: skip


def _xlogy_kernel(xp: Any, a: Any, b: Any) -> Any:
    product = xp.where(xp.asarray(a) == 0, 0, xp.asarray(a) * xp.log(b))
    return xp.where(xp.isnan(b), xp.nan, product)


def _xlogy_grad_input(n: Any, g: Tensor, a: Tensor, b: Any) -> Tensor:
    if b is None:
        number = n.numbers[1]
        return where_zero(a, mul(g, _math.log(number) if number > 0 else _math.nan))
    # PyTorch zeroes only where the logarithm would be infinite.
    nowhere = a.eq(0).logical_and(b.le(0))  # type: ignore[attr-defined]
    return mul(g, log(b)).masked_fill(nowhere, 0)  # type: ignore[attr-defined]


def _xlogy(grad_name: str) -> Op:
    return pointwise(
        "xlogy", _xlogy_kernel,
        (_xlogy_grad_input, lambda n, g, a, b: mul(g, div(_value(n, a, 0), b))), (0, 1),
        rule="float", refuse=_C, grad_name=grad_name,
    )  # fmt: skip


XLOGY, XLOGY_OF_NUMBER, XLOGY_NUMBER = (_xlogy(f"XlogyBackward{i}") for i in range(3))
xlogy = binary(
    XLOGY, "``input * log(other)``, 0 where input is 0."
    + example("torch.xlogy(torch.tensor([0., 2.]), torch.tensor([0., 1.]))", "tensor([0., 0.])"),
    number_first=XLOGY_OF_NUMBER, with_number=XLOGY_NUMBER,
)  # fmt: skip
XLOG1PY = pointwise(
    "special_xlog1py", lambda xp, a, b: special(xp).xlog1py(a, b),
    (
        lambda n, g, a, b: mul(g, _value(n, b, 1).log1p()),
        lambda n, g, a, b: mul(g, div(_value(n, a, 0), add(b, 1))),
    ),
    (0, 1), rule="float", refuse=_C,
)  # fmt: skip
xlog1py = binary(
    XLOG1PY, "``input * log1p(other)``, 0 where input is 0."
    + example("torch.special.xlog1py(torch.tensor([0.]), torch.tensor([-1.]))", "tensor([0.])"),
)  # fmt: skip


def _gamma_part(name: str, scipy_name: str, sign: int, doc: str) -> Any:
    def slope(n: Any, g: Tensor, a: Tensor, x: Tensor) -> Tensor:
        density = exp(sub(sub(mul(sub(a, 1), log(x)), x), a.lgamma()))  # type: ignore[attr-defined]
        return mul(g, density if sign > 0 else neg(density))

    def unknown(n: Any, g: Tensor, a: Tensor, x: Tensor) -> Tensor:
        raise RuntimeError(f"the derivative for '{name}: input' is not implemented.")

    op = pointwise(
        name, lambda xp, a, x: getattr(special(xp), scipy_name)(a, x), (unknown, slope), (0, 1),
        refuse=_NOT_FLOAT,
    )  # fmt: skip
    return binary(op, doc, numbers=False)


igamma = _gamma_part(
    "igamma", "gammainc", 1, "The regularised lower incomplete gamma function."
    + example("torch.igamma(torch.tensor([1.]), torch.tensor([1.]))", "tensor([0.6321])"),
)  # fmt: skip
igammac = _gamma_part(
    "igammac", "gammaincc", -1, "The regularised upper incomplete gamma function."
    + example("torch.igammac(torch.tensor([1.]), torch.tensor([1.]))", "tensor([0.3679])"),
)  # fmt: skip

# -- signs and neighbours --------------------------------------------------------------------------


def _copysign(grad_name: str) -> Op:
    return pointwise(
        "copysign", lambda xp, a, b: xp.copysign(a, b),
        (lambda n, g, a, y: mul(g, mul(sgn(a), sgn(y))), lambda n, g, a, y: mul(g, 0)),
        (0, OUT), rule="float", refuse=_C, grad_name=grad_name,
    )  # fmt: skip


COPYSIGN, COPYSIGN_NUMBER = _copysign("CopysignBackward0"), _copysign("CopysignBackward1")
copysign = binary(
    COPYSIGN, "The magnitude of ``input`` with the sign of ``other``."
    + example("torch.copysign(torch.tensor([1., -2.]), -0.)", "tensor([-1., -2.])"),
    with_number=COPYSIGN_NUMBER,
)  # fmt: skip


def _nextafter_kernel(xp: Any, a: Any, b: Any, d: Any) -> Any:
    if d is not dtypes.bfloat16:
        return xp.nextafter(a, b)
    # A bfloat16 is the upper half of a float32: step that half's integer towards ``b``.
    bits = a.view(xp.int32) >> 16
    step = xp.where((b > a) == (a > 0), 1, -1)
    moved = ((bits + step) << 16).astype(xp.int32).view(xp.float32)
    from_zero = xp.copysign(xp.asarray(1 << 16, xp.int32).view(xp.float32), b)
    out = xp.where(a == 0, from_zero, moved)
    return xp.where(xp.isnan(a) | xp.isnan(b), xp.nan, xp.where(a == b, b, out)).astype(xp.float32)


NEXTAFTER = pointwise(
    "nextafter", lambda xp, a, b: _nextafter_kernel(xp, a, b, None),
    (lambda n, g: g, lambda n, g: mul(g, 0)), refuse=_NOT_FLOAT,
)  # fmt: skip
NEXTAFTER_BFLOAT16 = pointwise(
    "nextafter_bfloat16", lambda xp, a, b: _nextafter_kernel(xp, a, b, dtypes.bfloat16),
    (lambda n, g: g, lambda n, g: mul(g, 0)),
)  # fmt: skip
_nextafter = binary(NEXTAFTER, "", numbers=False)


def nextafter(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The next representable value after ``input`` towards ``other``.

    >>> import cresset as torch
    >>> torch.nextafter(torch.tensor([1.]), torch.tensor([2.])) > 1
    tensor([True])
    """
    if isinstance(other, Tensor) and input.dtype is other.dtype is dtypes.bfloat16:
        return into(out, apply(NEXTAFTER_BFLOAT16, (input, other)))
    return _nextafter(input, other, out=out)


def _heaviside_kernel(xp: Any, a: Any, b: Any) -> Any:
    return xp.where(a == 0, b, (a > 0).astype(a.dtype))


def _heaviside_rule(a: Spec, b: Spec) -> Result:
    if a.dtype.is_complex or b.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if a.dtype is not b.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return promote_rule(a, b)


HEAVISIDE = pointwise("heaviside", _heaviside_kernel, rule=_heaviside_rule)
_heaviside = binary(HEAVISIDE, "", numbers=False)


def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 below 0, 1 above, ``values`` at 0.

    >>> import cresset as torch
    >>> torch.heaviside(torch.tensor([-1., 0., 2.]), torch.tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    result = _heaviside(input, values)
    if out is not None and out._spec.dtype is not result._spec.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return into(out, result)


def _ldexp_rule(a: Spec, b: Spec) -> Result:
    # An integer exponent does not widen a half-precision mantissa.
    d = result_dtype(a, b)
    d = d if d.category >= dtypes.FLOAT else dtypes.get_default_dtype()
    return Result((broadcast_out((a, b), d),), d)


LDEXP = pointwise(
    "ldexp", lambda xp, a, b: a * xp.exp2(b),
    (
        lambda n, g, a, b, y: mul(g, exp2(b.to(g.dtype))),
        lambda n, g, a, b, y: mul(mul(g, y), _math.log(2)),
    ),
    (0, 1, OUT), save_if=(None, 0, 1), rule=_ldexp_rule, grad_name="LdexpBackward0",
)  # fmt: skip
ldexp = binary(
    LDEXP, "``input * 2 ** other``."
    + example("torch.ldexp(torch.tensor([1.5]), torch.tensor([3]))", "tensor([12.])"),
    numbers=False,
)  # fmt: skip

# -- remainders ------------------------------------------------------------------------------------


def _modulo(name: str, rounding: str, grad_name: str) -> Op:
    def kernel(xp: Any, a: Any, b: Any) -> Any:
        check_integer_divisor(xp, a if hasattr(a, "dtype") else b, b)
        if name == "fmod" or _first(a, b).kind in "iu":
            return getattr(xp, name)(a, b)
        # NumPy gives a zero the sign of ``b``, PyTorch leaves it that of ``a``.
        rest = xp.fmod(a, b)
        return xp.where((rest != 0) & ((rest < 0) != (xp.asarray(b) < 0)), rest + b, rest)

    def divisor_grad(n: Any, g: Tensor, a: Any, b: Tensor) -> Tensor:
        return neg(mul(g, div(_value(n, a, 0), b, rounding_mode=rounding)))

    return pointwise(
        name, kernel, (lambda n, g, a, b: g, divisor_grad), save=(0, 1), save_if=(1, 1),
        refuse=_B + _C, grad_name=grad_name,
    )  # fmt: skip


REMAINDER = _modulo("remainder", "floor", "RemainderBackward1")
REMAINDER_NUMBER = _modulo("remainder", "floor", "RemainderBackward0")
remainder = binary(
    REMAINDER, "What is left of ``input / other`` rounded down: it has the sign of ``other``."
    + example("torch.remainder(torch.tensor([-3, 5]), 2)", "tensor([1, 1])"),
    with_number=REMAINDER_NUMBER,
)  # fmt: skip
FMOD = _modulo("fmod", "trunc", "FmodBackward1")
FMOD_NUMBER = _modulo("fmod", "trunc", "FmodBackward0")
fmod = binary(
    FMOD, "What is left of ``input / other`` rounded to zero: it has the sign of ``input``."
    + example("torch.fmod(torch.tensor([-3, 5]), 2)", "tensor([-1,  1])"),
    with_number=FMOD_NUMBER,
)  # fmt: skip
_INT_ONLY = (dtypes.BOOL, dtypes.FLOAT, dtypes.COMPLEX)
gcd = binary(
    pointwise("gcd", lambda xp, a, b: xp.gcd(a, b), refuse=_INT_ONLY),
    "The greatest common divisor of integers."
    + example("torch.gcd(torch.tensor([12]), torch.tensor([18]))", "tensor([6])"), numbers=False,
)  # fmt: skip
lcm = binary(
    pointwise("lcm", lambda xp, a, b: xp.lcm(a, b), refuse=_INT_ONLY),
    "The least common multiple of integers."
    + example("torch.lcm(torch.tensor([4]), torch.tensor([6]))", "tensor([12])"), numbers=False,
)  # fmt: skip


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent`` in float64 (complex128 for complex operands).

    >>> import cresset as torch
    >>> torch.float_power(torch.tensor([2, 3]), 2)
    tensor([4., 9.], dtype=torch.float64)
    """
    either = any(
        x.is_complex() if isinstance(x, Tensor) else isinstance(x, complex)
        for x in (input, exponent)
    )
    wide = dtypes.complex128 if either else dtypes.float64
    operands = [x.to(wide) if isinstance(x, Tensor) else x for x in (input, exponent)]  # type: ignore[attr-defined]
    if out is not None and out._spec.dtype is not wide:
        raise _not_wide("the output given to float_power", out, wide)
    return into(out, pow(*operands))


def _not_wide(what: str, x: Tensor, wide: Any) -> RuntimeError:
    return RuntimeError(
        f"{what} has dtype {scalar_name(x._spec.dtype)} but the operation's result requires dtype "
        f"{scalar_name(wide)}"
    )


def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place ``float_power``: the tensor must be float64 or complex128."""
    result = float_power(self, exponent)
    if result._spec.dtype is not self._spec.dtype:
        raise _not_wide("the base given to float_power_", self, result._spec.dtype)
    return assign(self, result)


# -- larger and smaller ----------------------------------------------------------------------------


def _share_kernel(xp: Any, g: Any, mine: Any, other: Any, kind: str) -> Any:
    """The gradient of one operand: of equals each gets half (maximum) or the first all (fmax)."""
    zero = xp.zeros((), g.dtype)
    name, _, position = kind.partition(":")
    if name in ("maximum", "minimum"):
        loses = mine < other if name == "maximum" else mine > other
        return xp.where(loses, zero, xp.where(mine == other, g / 2, g))
    first, second = (mine, other) if position == "0" else (other, mine)
    wins = (first >= second if name == "fmax" else first <= second) | xp.isnan(second)
    return xp.where(wins if position == "0" else ~wins, g, zero)


def _share_rule(g: Spec, a: Spec, b: Spec, kind: str) -> Result:
    return Result((like(g),), g.dtype)


SHARE = pointwise(
    "share_of_choice", _share_kernel,
    (lambda n, h, a, b: apply(SHARE, (h, a, b), n.call.params), None, None), (1, 2),
    rule=_share_rule,
)  # fmt: skip


def _choice_rule(name: str) -> Any:
    def rule(a: Spec, b: Spec) -> Result:
        if a.dtype.is_complex or b.dtype.is_complex:
            raise RuntimeError(f"{name} not implemented for complex tensors.")
        return promote_rule(a, b)

    return rule


def _choice(name: str, doc: str, result: str) -> tuple[Op, Any]:
    op = pointwise(
        name, lambda xp, a, b: getattr(xp, name)(a, b),
        (
            lambda n, g, a, b: apply(SHARE, (g, a, b), (name + ":0",)),
            lambda n, g, a, b: apply(SHARE, (g, b, a), (name + ":1",)),
        ),
        save=(0, 1), rule=_choice_rule(name),
    )  # fmt: skip
    doc += example(f"torch.{name}(torch.tensor([1., 4.]), torch.tensor([3., 2.]))", result)
    return op, binary(op, doc, numbers=False)


MAXIMUM, maximum = _choice("maximum", "The larger of two elements; NaN wins.", "tensor([3., 4.])")
MINIMUM, minimum = _choice("minimum", "The smaller of two elements; NaN wins.", "tensor([1., 2.])")
FMAX, fmax = _choice("fmax", "The larger of two elements; NaN loses.", "tensor([3., 4.])")
FMIN, fmin = _choice("fmin", "The smaller of two elements; NaN loses.", "tensor([1., 2.])")

__mod__, __rmod__ = operator_method(remainder), reflected_method(remainder)
__imod__ = in_place(remainder)

SPECIAL.update(xlogy=xlogy, xlog1py=xlog1py, gammainc=igamma, gammaincc=igammac)

_BINARY = (
    "atan2", "arctan2", "hypot", "xlogy", "copysign", "nextafter", "remainder", "fmod", "gcd",
    "lcm", "heaviside", "ldexp", "igamma", "igammac",
)  # fmt: skip
_REST = ("float_power", "logaddexp", "logaddexp2", "maximum", "minimum", "fmax", "fmin")
TORCH = (*_BINARY, *_REST)
METHODS = (*_BINARY, *_REST, "float_power_", "__mod__", "__rmod__", "__imod__")
IN_PLACE = _BINARY
