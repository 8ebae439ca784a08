"""Elementwise functions of one or two tensors: exponentials, trigonometry, rounding, remainders."""

from __future__ import annotations

import math as _math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec
from cresset.ops.inplace import into
from cresset.ops.pointwise import (
    _kind,
    _operator,
    _reflected,
    add,
    binary,
    check_integer_divisor,
    conj,
    div,
    mul,
    neg,
    operand,
    pointwise,
    promote_rule,
    sub,
    unary,
    where_zero,
)
from cresset.ops.registry import Result, Tensor, apply


def special(xp: Any) -> Any:
    """The namespace of special functions that goes with an array namespace."""
    if xp.__name__ == "numpy":
        import scipy.special

        return scipy.special
    import cupyx.scipy.special

    return cupyx.scipy.special


_EXAMPLE = """

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([{given}]))
    tensor([{result}])
    """


def _float_unary(
    name: str, kernel: Any, vjp: Any, save: tuple[int, ...], what: str, example: tuple[str, str],
    **options: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """An op that computes in floating point, with its public function."""
    rule = options.pop("rule", "float")
    op = pointwise(name, kernel, None if vjp is None else (vjp,), save, rule=rule, **options)
    doc = f"{what}, elementwise." + _EXAMPLE.format(name=name, given=example[0], result=example[1])
    return op, unary(op, doc)


_C = (dtypes.COMPLEX,)
EXP, exp = _float_unary(
    "exp", lambda xp, x: xp.exp(x), lambda n, g, y: mul(g, conj(y)), (OUT,),
    "``e ** input``", ("0.", "1."),
)  # fmt: skip
EXP2, exp2 = _float_unary(
    "exp2", lambda xp, x: xp.exp2(x), lambda n, g, y: mul(mul(g, conj(y)), _math.log(2)), (OUT,),
    "``2 ** input``", ("3.", "8."),
)  # fmt: skip
EXPM1, expm1 = _float_unary(
    "expm1", lambda xp, x: xp.expm1(x), lambda n, g, y: mul(g, conj(add(y, 1))), (OUT,),
    "``e ** input - 1``, exact near 0", ("0.", "0."),
)  # fmt: skip
LOG, log = _float_unary(
    "log", lambda xp, x: xp.log(x), lambda n, g, x: div(g, conj(x)), (0,),
    "The natural logarithm", ("1.", "0."),
)  # fmt: skip
LOG2, log2 = _float_unary(
    "log2", lambda xp, x: xp.log2(x), lambda n, g, x: div(g, mul(conj(x), _math.log(2))), (0,),
    "The logarithm to base 2", ("8.", "3."),
)  # fmt: skip
LOG10, log10 = _float_unary(
    "log10", lambda xp, x: xp.log10(x), lambda n, g, x: div(g, mul(conj(x), _math.log(10))), (0,),
    "The logarithm to base 10", ("100.", "2."),
)  # fmt: skip
LOG1P, log1p = _float_unary(
    "log1p", lambda xp, x: xp.log1p(x), lambda n, g, x: div(g, conj(add(x, 1))), (0,),
    "``log(1 + input)``, exact near 0", ("0.", "0."),
)  # fmt: skip
SQRT, sqrt = _float_unary(
    "sqrt", lambda xp, x: xp.sqrt(x), lambda n, g, y: div(g, mul(conj(y), 2)), (OUT,),
    "The square root", ("4.", "2."),
)  # fmt: skip
RSQRT, rsqrt = _float_unary(
    "rsqrt", lambda xp, x: 1 / xp.sqrt(x),
    lambda n, g, y: mul(mul(g, -0.5), conj(mul(mul(y, y), y))), (OUT,),
    "``1 / sqrt(input)``", ("4.", "0.5000"),
)  # fmt: skip
SIN, sin = _float_unary(
    "sin", lambda xp, x: xp.sin(x), lambda n, g, x: mul(g, conj(cos(x))), (0,),
    "The sine", ("0.", "0."),
)  # fmt: skip
COS, cos = _float_unary(
    "cos", lambda xp, x: xp.cos(x), lambda n, g, x: mul(g, neg(conj(sin(x)))), (0,),
    "The cosine", ("0.", "1."),
)  # fmt: skip
TAN, tan = _float_unary(
    "tan", lambda xp, x: xp.tan(x), lambda n, g, y: mul(g, conj(add(mul(y, y), 1))), (OUT,),
    "The tangent", ("0.", "0."),
)  # fmt: skip
ASIN, asin = _float_unary(
    "asin", lambda xp, x: xp.arcsin(x),
    lambda n, g, x: mul(g, conj(rsqrt(sub(1, mul(x, x))))), (0,),
    "The inverse sine", ("0.", "0."),
)  # fmt: skip
ACOS, acos = _float_unary(
    "acos", lambda xp, x: xp.arccos(x),
    lambda n, g, x: mul(g, neg(conj(rsqrt(sub(1, mul(x, x)))))), (0,),
    "The inverse cosine", ("1.", "0."),
)  # fmt: skip
ATAN, atan = _float_unary(
    "atan", lambda xp, x: xp.arctan(x), lambda n, g, x: div(g, conj(add(mul(x, x), 1))), (0,),
    "The inverse tangent", ("0.", "0."),
)  # fmt: skip
SINH, sinh = _float_unary(
    "sinh", lambda xp, x: xp.sinh(x), lambda n, g, x: mul(g, conj(cosh(x))), (0,),
    "The hyperbolic sine", ("0.", "0."),
)  # fmt: skip
COSH, cosh = _float_unary(
    "cosh", lambda xp, x: xp.cosh(x), lambda n, g, x: mul(g, conj(sinh(x))), (0,),
    "The hyperbolic cosine", ("0.", "1."),
)  # fmt: skip
TANH, tanh = _float_unary(
    "tanh", lambda xp, x: xp.tanh(x), lambda n, g, y: apply(TANH_BACKWARD, (g, y)), (OUT,),
    "The hyperbolic tangent", ("0.", "0."),
)  # fmt: skip
TANH_BACKWARD = pointwise(
    "tanh_backward", lambda xp, g, y: g * xp.conj(1 - y * y),
    (
        lambda n, h, g, y: apply(TANH_BACKWARD, (h, y)),
        lambda n, h, g, y: mul(mul(h, g), mul(conj(y), -2)),
    ),
    save=(0, 1),
)  # fmt: skip
ASINH, asinh = _float_unary(
    "asinh", lambda xp, x: xp.arcsinh(x),
    lambda n, g, x: mul(g, conj(rsqrt(add(mul(x, x), 1)))), (0,),
    "The inverse hyperbolic sine", ("0.", "0."),
)  # fmt: skip
ACOSH, acosh = _float_unary(
    "acosh", lambda xp, x: xp.arccosh(x),
    lambda n, g, x: mul(g, conj(mul(rsqrt(sub(x, 1)), rsqrt(add(x, 1))))), (0,),
    "The inverse hyperbolic cosine", ("1.", "0."),
)  # fmt: skip
ATANH, atanh = _float_unary(
    "atanh", lambda xp, x: xp.arctanh(x), lambda n, g, x: div(g, conj(sub(1, mul(x, x)))), (0,),
    "The inverse hyperbolic tangent", ("0.", "0."),
)  # fmt: skip


def _sigmoid_kernel(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x)) if x.dtype.kind == "c" else special(xp).expit(x)


SIGMOID, sigmoid = _float_unary(
    "sigmoid", _sigmoid_kernel, lambda n, g, y: apply(SIGMOID_BACKWARD, (g, y)), (OUT,),
    "``1 / (1 + exp(-input))``", ("0.", "0.5000"),
)  # fmt: skip
SIGMOID_BACKWARD = pointwise(
    "sigmoid_backward", lambda xp, g, y: g * xp.conj((1 - y) * y),
    (
        lambda n, h, g, y: apply(SIGMOID_BACKWARD, (h, y)),
        lambda n, h, g, y: mul(mul(h, g), conj(sub(1, mul(y, 2)))),
    ),
    save=(0, 1),
)  # fmt: skip
ERF, erf = _float_unary(
    "erf", lambda xp, x: special(xp).erf(x),
    lambda n, g, x: mul(mul(g, 2 / _math.sqrt(_math.pi)), exp(neg(mul(x, x)))), (0,),
    "The error function", ("0.", "0."), refuse=_C,
)  # fmt: skip
ERFC, erfc = _float_unary(
    "erfc", lambda xp, x: special(xp).erfc(x),
    lambda n, g, x: mul(mul(g, -2 / _math.sqrt(_math.pi)), exp(neg(mul(x, x)))), (0,),
    "One minus the error function", ("0.", "1."), refuse=_C,
)  # fmt: skip
ERFINV, erfinv = _float_unary(
    "erfinv", lambda xp, x: special(xp).erfinv(x),
    lambda n, g, y: mul(mul(g, _math.sqrt(_math.pi) / 2), exp(mul(y, y))), (OUT,),
    "The inverse of the error function", ("0.", "0."), refuse=_C,
)  # fmt: skip
LGAMMA, lgamma = _float_unary(
    "lgamma", lambda xp, x: special(xp).gammaln(x), lambda n, g, x: mul(g, digamma(x)), (0,),
    "The logarithm of the absolute gamma function", ("1.", "0."), refuse=_C,
)  # fmt: skip


def _digamma_kernel(xp: Any, x: Any) -> Any:
    value = special(xp).digamma(x)
    return xp.where(x == 0, xp.copysign(xp.inf, -x), value).astype(x.dtype)


DIGAMMA, digamma = _float_unary(
    "digamma", _digamma_kernel, lambda n, g, x: mul(g, polygamma(1, x)), (0,),
    "The derivative of ``lgamma``", ("1.", "-0.5772"), refuse=_C,
)  # fmt: skip
SINC, sinc = _float_unary(
    "sinc", lambda xp, x: xp.sinc(x),
    lambda n, g, x: mul(g, where_zero(x, div(sub(cos(mul(x, _math.pi)), sinc(x)), x))), (0,),
    "``sin(pi x) / (pi x)``", ("0.", "1."),
)  # fmt: skip
I0, i0 = _float_unary(
    "i0", lambda xp, x: special(xp).i0(x), lambda n, g, x: mul(g, apply(I1, (x,))), (0,),
    "The modified Bessel function of order 0", ("0.", "1."), refuse=_C,
)  # fmt: skip
I1 = pointwise("special_i1", lambda xp, x: special(xp).i1(x), rule="float")
RECIPROCAL, reciprocal = _float_unary(
    "reciprocal", lambda xp, x: 1 / x, lambda n, g, y: mul(neg(g), conj(mul(y, y))), (OUT,),
    "``1 / input``", ("4.", "0.2500"),
)  # fmt: skip


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The ``n``-th derivative of ``digamma``."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return into(out, digamma(input) if n == 0 else apply(_polygamma(n), (input,)))


_polygammas: dict[int, Any] = {}


def _polygamma(order: int) -> Any:
    if order not in _polygammas:
        _polygammas[order] = pointwise(
            "polygamma", lambda xp, x: special(xp).polygamma(order, x),
            (lambda n, g, x: mul(g, polygamma(order + 1, x)),), (0,), rule="float", refuse=_C,
        )  # fmt: skip
    return _polygammas[order]


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """``log(x / (1 - x))``, x clamped to [eps, 1 - eps] if ``eps`` is given."""
    x = input if eps is None else input.clamp(eps, 1 - eps)  # type: ignore[attr-defined]
    return into(out, log(div(x, sub(1.0, x))))


# -- magnitude and sign -----------------------------------------------------------------------------


def _abs_rule(s: Spec) -> Result:
    result = promote_rule(s)
    if s.dtype is dtypes.bool_:
        raise RuntimeError("\"abs_cpu\" not implemented for 'Bool'")
    if s.dtype.is_complex:
        from cresset.core.spec import like

        return Result((like(s, s.dtype.to_real()),), s.dtype)
    return result


ABS = pointwise("abs", lambda xp, x: xp.abs(x), (lambda n, g, x: mul(g, sgn(x)),), (0,),
                rule=_abs_rule)  # fmt: skip
abs = unary(
    ABS,
    """``|input|``, elementwise.

    >>> import cresset as torch
    >>> torch.abs(torch.tensor([-1., 2.]))
    tensor([1., 2.])
    """,
)
absolute = abs
SIGN = pointwise("sign", lambda xp, x: xp.sign(x) if x.dtype.kind != "b" else x.copy(),
                 (lambda n, g: mul(g, 0),), rule="same", refuse=_C)  # fmt: skip
sign = unary(SIGN, "-1, 0 or 1 by the sign of each element (NaN stays NaN in NumPy's sense).")


def _sgn_kernel(xp: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return xp.sign(x) if x.dtype.kind != "b" else x.copy()
    size = xp.abs(x)
    return xp.where(size == 0, 0, x / xp.where(size == 0, 1, size))


def _sgn_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    if not x.is_complex():
        return mul(g, 0)
    size = abs(x)
    unit = sgn(x)
    inner = div(sub(g, mul(mul(unit, conj(g)), unit)), mul(size, 2))
    return inner.masked_fill(size.eq(0), 0)  # type: ignore[attr-defined]


SGN = pointwise("sgn", _sgn_kernel, (_sgn_grad,), (0,), rule="same")
sgn = unary(SGN, "The sign, or for complex numbers ``x / |x|``.")
SIGNBIT = pointwise("signbit", lambda xp, x: xp.signbit(x) if x.dtype.kind == "f" else x < 0,
                    rule="bool", refuse=_C)  # fmt: skip
signbit = unary(SIGNBIT, "Whether the sign bit is set (true for -0.0).")


def _rounding(name: str, function: Any) -> tuple[Any, Any]:
    def kernel(xp: Any, x: Any) -> Any:
        return function(xp, x) if x.dtype.kind == "f" else x.copy()

    op = pointwise(name, kernel, (lambda n, g: mul(g, 0),), rule="same", refuse=_C)
    return op, unary(op, f"``{name}`` of each element (integers stay as they are).")


FLOOR, floor = _rounding("floor", lambda xp, x: xp.floor(x))
CEIL, ceil = _rounding("ceil", lambda xp, x: xp.ceil(x))
TRUNC, trunc = _rounding("trunc", lambda xp, x: xp.trunc(x))
ROUND, _round = _rounding("round", lambda xp, x: xp.rint(x))
fix = trunc


def round_(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """To the nearest integer, halves to even; or to ``decimals`` digits.

    >>> import cresset as torch
    >>> torch.round(torch.tensor([0.5, 1.5, 2.5]))
    tensor([0., 2., 2.])
    """
    if decimals == 0:
        return into(out, _round(input))
    scale = 10.0**decimals if decimals > 0 else 10.0**-decimals
    scaled = mul(input, scale) if decimals > 0 else div(input, scale)
    rounded = _round(scaled)
    return into(out, div(rounded, scale) if decimals > 0 else mul(rounded, scale))


FRAC = pointwise("frac", lambda xp, x: x - xp.trunc(x), (lambda n, g: g,), rule="same")
frac = unary(FRAC, "What is left after ``trunc``.")


def _nan_to_num_infer(s: Spec, *numbers: Spec) -> Result:
    return promote_rule(s)


def _nan_to_num_kernel(xp: Any, x: Any, nan: Any, high: Any, low: Any) -> Any:
    if x.dtype.kind not in "fc":
        return x.copy()
    return xp.nan_to_num(x, nan=nan, posinf=high, neginf=low)


NAN_TO_NUM = pointwise(
    "nan_to_num", _nan_to_num_kernel,
    (lambda n, g, x: mul(g, x.isfinite()), None, None, None), (0,), rule=_nan_to_num_infer,
)  # fmt: skip


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None,
    neginf: float | None = None, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """NaN, infinity and minus infinity replaced (by 0 and the dtype's limits by default).

    >>> import cresset as torch
    >>> torch.nan_to_num(torch.tensor([float('nan'), 1.]))
    tensor([0., 1.])
    """
    if not input.is_floating_point() and not input.is_complex():
        return into(out, input.clone())  # type: ignore[attr-defined]
    limits = dtypes.finfo(input.dtype)
    numbers = (
        0.0 if nan is None else float(nan),
        limits.max if posinf is None else float(posinf),
        limits.min if neginf is None else float(neginf),
    )
    return into(out, apply(NAN_TO_NUM, (input, *numbers)))


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees to radians."""
    return into(out, mul(input, _math.pi / 180))


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians to degrees."""
    return into(out, mul(input, 180 / _math.pi))


# -- complex numbers --------------------------------------------------------------------------------


def real(input: Tensor) -> Tensor:
    """The real part: a view of a complex tensor, a real one itself."""
    return input.view_as_real().select(-1, 0) if input.is_complex() else input  # type: ignore[attr-defined]


def imag(input: Tensor) -> Tensor:
    """The imaginary part of a complex tensor, as a view."""
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return input.view_as_real().select(-1, 1)  # type: ignore[attr-defined]


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The argument of complex numbers; 0 or pi for real ones."""
    if input.is_complex():
        return into(out, atan2(imag(input), real(input)))
    zeros = mul(input if input.is_floating_point() else input.float(), 0)  # type: ignore[attr-defined]
    return into(out, add(zeros, mul(input.lt(0), _math.pi)))  # type: ignore[attr-defined]


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``abs * exp(1j * angle)``."""
    return into(out, add(mul(abs, cos(angle)), mul(mul(abs, sin(angle)), 1j)))


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugation is never lazy here."""
    return input


resolve_neg = resolve_conj


def is_conj(input: Tensor) -> bool:
    """False: conjugation is never lazy here."""
    return False


is_neg = is_conj


# -- two operands -----------------------------------------------------------------------------------


def _both_float(name: str, kernel: Any, vjp: tuple, save: tuple[int, ...], doc: str,
                **options: Any) -> Any:  # fmt: skip
    op = pointwise(name, kernel, vjp, save, rule="float", refuse=_C, **options)
    return op, binary(op, doc)


def _value(n: Any, saved: Any, i: int) -> Any:
    return n.numbers[i] if saved is None else saved


def _sum_squares(n: Any, a: Any, b: Any) -> Tensor:
    a, b = _value(n, a, 0), _value(n, b, 1)
    return add(mul(a, a) if isinstance(a, Tensor) else mul(b, 0) + a * a,  # type: ignore[operator]
               mul(b, b) if isinstance(b, Tensor) else b * b)  # fmt: skip


ATAN2, atan2 = _both_float(
    "atan2", lambda xp, a, b: xp.arctan2(a, b),
    (
        lambda n, g, a, b: mul(g, div(_value(n, b, 1), _sum_squares(n, a, b))),
        lambda n, g, a, b: mul(g, div(neg(a) if isinstance(a, Tensor) else -n.numbers[0],
                                      _sum_squares(n, a, b))),
    ),
    (0, 1), "The angle of the point (other, input), in (-pi, pi].",
)  # fmt: skip
arctan2 = atan2
HYPOT, hypot = _both_float(
    "hypot", lambda xp, a, b: xp.hypot(a, b),
    (
        lambda n, g, a, b, y: mul(g, div(_value(n, a, 0), y)),
        lambda n, g, a, b, y: mul(g, div(_value(n, b, 1), y)),
    ),
    (0, 1, OUT), "``sqrt(input ** 2 + other ** 2)`` without overflow.",
)  # fmt: skip
LOGADDEXP, logaddexp = _both_float(
    "logaddexp", lambda xp, a, b: xp.logaddexp(a, b),
    (
        lambda n, g, a, b: div(g, add(exp(sub(_value(n, b, 1), _value(n, a, 0))), 1)),
        lambda n, g, a, b: div(g, add(exp(sub(_value(n, a, 0), _value(n, b, 1))), 1)),
    ),
    (0, 1), "``log(exp(input) + exp(other))`` without overflow.",
)  # fmt: skip
LOGADDEXP2, logaddexp2 = _both_float(
    "logaddexp2", lambda xp, a, b: xp.logaddexp2(a, b),
    (
        lambda n, g, a, b: div(g, add(exp2(sub(_value(n, b, 1), _value(n, a, 0))), 1)),
        lambda n, g, a, b: div(g, add(exp2(sub(_value(n, a, 0), _value(n, b, 1))), 1)),
    ),
    (0, 1), "``log2(2 ** input + 2 ** other)`` without overflow.",
)  # fmt: skip
XLOGY, xlogy = _both_float(
    "xlogy", lambda xp, a, b: xp.where(
        xp.isnan(b), xp.nan, xp.where(xp.asarray(a) == 0, 0, xp.asarray(a) * xp.log(b))
    ),
    (
        lambda n, g, a, b: mul(g, where_zero(a, log(_value(n, b, 1))) if isinstance(b, Tensor)
                               else where_zero(a, mul(a, 0) + _math.log(n.numbers[1]))),
        lambda n, g, a, b: mul(g, div(_value(n, a, 0), b)),
    ),
    (0, 1), "``input * log(other)``, 0 where input is 0.",
)  # fmt: skip
COPYSIGN, copysign = _both_float(
    "copysign", lambda xp, a, b: xp.copysign(a, b),
    (
        lambda n, g, a, y: mul(g, mul(sgn(a), sgn(y))) if isinstance(a, Tensor) else g,
        lambda n, g, a, y: mul(g, 0),
    ),
    (0, OUT), "The magnitude of ``input`` with the sign of ``other``.",
)  # fmt: skip
NEXTAFTER, nextafter = _both_float(
    "nextafter", lambda xp, a, b: xp.nextafter(a, b), (None, None), (),
    "The next representable value after ``input`` towards ``other``.",
)  # fmt: skip


def _remainder_kernel(xp: Any, a: Any, b: Any) -> Any:
    check_integer_divisor(xp, a if hasattr(a, "dtype") else b, b)
    return xp.remainder(a, b)


def _fmod_kernel(xp: Any, a: Any, b: Any) -> Any:
    check_integer_divisor(xp, a if hasattr(a, "dtype") else b, b)
    return xp.fmod(a, b)


REMAINDER = pointwise(
    "remainder", _remainder_kernel,
    (
        lambda n, g, a, b: g,
        lambda n, g, a, b: neg(mul(g, div(_value(n, a, 0), b, rounding_mode="floor"))),
    ),
    save=(0, 1), save_if=(1, 1), refuse=_C,
)  # fmt: skip
remainder = binary(
    REMAINDER,
    """What is left of ``input / other`` rounded down: it has the sign of ``other``.

    >>> import cresset as torch
    >>> torch.remainder(torch.tensor([-3, 5]), 2)
    tensor([1, 1])
    """,
)
FMOD = pointwise(
    "fmod", _fmod_kernel,
    (
        lambda n, g, a, b: g,
        lambda n, g, a, b: neg(mul(g, div(_value(n, a, 0), b, rounding_mode="trunc"))),
    ),
    save=(0, 1), save_if=(1, 1), refuse=_C,
)  # fmt: skip
fmod = binary(FMOD, "What is left of ``input / other`` rounded to zero: it has the sign of ``input``.")
GCD = pointwise("gcd", lambda xp, a, b: xp.gcd(a, b))
gcd = binary(GCD, "The greatest common divisor of integers.")
LCM = pointwise("lcm", lambda xp, a, b: xp.lcm(a, b))
lcm = binary(LCM, "The least common multiple of integers.")
HEAVISIDE = pointwise("heaviside", lambda xp, a, b: xp.heaviside(a, b).astype(a.dtype)
                      if a.dtype.kind == "f" else xp.where(a == 0, b, a > 0))  # fmt: skip
heaviside = binary(HEAVISIDE, "0 below 0, 1 above, ``values`` at 0.", "heaviside")


def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``input * 2 ** other``."""
    return into(out, mul(input, exp2(other if other.is_floating_point() else other.float())))  # type: ignore[attr-defined]


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """``input ** exponent`` in float64 (complex128 for complex operands)."""
    from cresset.ops.pointwise import pow

    def wide(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x.to(dtypes.complex128 if x.is_complex() else dtypes.float64)  # type: ignore[attr-defined]
        return x

    return into(out, pow(wide(input), wide(exponent)))


# -- larger and smaller -----------------------------------------------------------------------------


def _share(n: Any, g: Tensor, mine: Any, other: Any, larger: bool) -> Tensor:
    """The gradient goes to the chosen operand, half each where they are equal."""
    wins = mine.gt(other) if larger else mine.lt(other)
    half = mul(mine.eq(other).to(g.dtype), 0.5)
    return mul(g, add(wins.to(g.dtype), half))


def _choice(name: str, kernel: Any, larger: bool, doc: str) -> tuple[Any, Any]:
    op = pointwise(
        name, kernel,
        (
            lambda n, g, a, b: _share(n, g, a, _value(n, b, 1), larger),
            lambda n, g, a, b: _share(n, g, b, _value(n, a, 0), larger),
        ),
        save=(0, 1), refuse=_C,
    )  # fmt: skip
    return op, binary(op, doc)


MAXIMUM, maximum = _choice("maximum", lambda xp, a, b: xp.maximum(a, b), True,
                           "The larger of two elements; NaN wins.")  # fmt: skip
MINIMUM, minimum = _choice("minimum", lambda xp, a, b: xp.minimum(a, b), False,
                           "The smaller of two elements; NaN wins.")  # fmt: skip
FMAX, fmax = _choice("fmax", lambda xp, a, b: xp.fmax(a, b), True,
                     "The larger of two elements; NaN loses.")  # fmt: skip
FMIN, fmin = _choice("fmin", lambda xp, a, b: xp.fmin(a, b), False,
                     "The smaller of two elements; NaN loses.")  # fmt: skip

arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
__mod__, __rmod__ = _operator(remainder), _reflected(remainder)
__abs__ = abs


def __round__(self: Tensor, ndigits: int | None = None) -> Tensor:
    return round_(self, decimals=ndigits or 0)


#: Names of ``torch.special`` that are plain functions here.
SPECIAL = {
    "expit": sigmoid, "erf": erf, "erfc": erfc, "erfinv": erfinv, "exp2": exp2, "expm1": expm1,
    "gammaln": lgamma, "digamma": digamma, "psi": digamma, "polygamma": polygamma, "logit": logit,
    "log1p": log1p, "sinc": sinc, "i0": i0, "xlogy": xlogy, "round": round_,
}  # fmt: skip

_UNARY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "arcsin", "arccos",
    "arctan", "arcsinh", "arccosh", "arctanh", "sigmoid", "erf", "erfc", "erfinv", "lgamma",
    "digamma", "sinc", "i0", "reciprocal", "logit", "abs", "absolute", "sign", "sgn", "floor",
    "ceil", "trunc", "fix", "round=round_", "frac", "nan_to_num", "deg2rad", "rad2deg",
)  # fmt: skip
_BINARY = (
    "atan2", "arctan2", "hypot", "xlogy", "copysign", "nextafter", "remainder", "fmod", "gcd",
    "lcm", "heaviside", "ldexp", "float_power",
)  # fmt: skip
TORCH = (
    *_UNARY, *_BINARY, "signbit", "polygamma", "real", "imag", "angle", "polar", "resolve_conj",
    "resolve_neg", "is_conj", "is_neg", "logaddexp", "logaddexp2", "maximum", "minimum", "fmax",
    "fmin",
)  # fmt: skip
METHODS = (
    *_UNARY, *_BINARY, "signbit", "angle", "resolve_conj", "resolve_neg", "is_conj", "is_neg",
    "logaddexp", "logaddexp2", "maximum", "minimum", "fmax", "fmin", "__mod__", "__rmod__",
    "__abs__", "__round__", "real=real_property", "imag=imag_property",
)  # fmt: skip
IN_PLACE = (*_UNARY, *_BINARY)
real_property, imag_property = property(real), property(imag)
_ = operand
