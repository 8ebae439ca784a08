"""Functions of one tensor: exponentials, logarithms, trigonometry, the error and gamma functions.

Each is a table entry: the kernel, the derivative as a formula over ops, and whether that formula
reads the operand (``(0,)``) or the result (``(OUT,)``), as PyTorch's does. Integers are computed in
the default float type. ``SPECIAL`` lists what ``torch.special`` adds.
"""

from __future__ import annotations

import math as _math
from typing import Any

from cresset import dtypes
from cresset.core.call import OUT
from cresset.core.spec import Spec, like
from cresset.ops.elementwise import (
    float_rule,
    not_implemented,
    pointwise,
    promote_rule,
    reflected_method,
    unary,
)
from cresset.ops.inplace import into, written
from cresset.ops.pointwise import add, conj, div, mul, neg, sub, where_zero
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
    public = "special." + name[8:] if name.startswith("special_") else name
    given, result = example
    doc = f"{what}, elementwise." + _EXAMPLE.format(name=public, given=given, result=result)
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


def _log10_kernel(xp: Any, x: Any) -> Any:
    # NumPy's float32 log10 misses the exact powers of ten by a unit in the last place.
    return xp.log10(x.astype(xp.float64)) if x.dtype.kind == "f" else xp.log10(x)


LOG10, log10 = _float_unary(
    "log10", _log10_kernel, lambda n, g, x: div(g, mul(conj(x), _math.log(10))), (0,),
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
        lambda n, h, g, y: apply(TANH_BACKWARD, (h, conj(y))),
        lambda n, h, g, y: mul(mul(conj(h), g), mul(conj(y), -2)),
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
        lambda n, h, g, y: apply(SIGMOID_BACKWARD, (h, conj(y))),
        lambda n, h, g, y: mul(mul(conj(h), g), conj(sub(1, mul(y, 2)))),
    ),
    save=(0, 1),
)  # fmt: skip
ERF, erf = _float_unary(
    "erf", lambda xp, x: special(xp).erf(x),
    lambda n, g, x: mul(mul(g, 2 / _math.sqrt(_math.pi)), exp(neg(mul(x, x)))), (0,),
    "The error function", ("0.", "0."), refuse=_C, label="erf_vml_cpu",
)  # fmt: skip
ERFC, erfc = _float_unary(
    "erfc", lambda xp, x: special(xp).erfc(x),
    lambda n, g, x: mul(mul(g, -2 / _math.sqrt(_math.pi)), exp(neg(mul(x, x)))), (0,),
    "One minus the error function", ("0.", "1."), refuse=_C, label="erfc_vml_cpu",
)  # fmt: skip
ERFINV, erfinv = _float_unary(
    "erfinv", lambda xp, x: xp.copysign(special(xp).erfinv(x), x),
    lambda n, g, y: mul(mul(g, _math.sqrt(_math.pi) / 2), exp(mul(y, y))), (OUT,),
    "The inverse of the error function", ("0.", "0."), refuse=_C, label="erfinv_vml_cpu",
)  # fmt: skip
LGAMMA, lgamma = _float_unary(
    "lgamma", lambda xp, x: xp.where(x == -xp.inf, xp.inf, special(xp).gammaln(x)),
    lambda n, g, x: mul(g, digamma(x)), (0,),
    "The logarithm of the absolute gamma function", ("1.", "0."), refuse=_C, label="lgamma_vml_cpu",
)  # fmt: skip


def _digamma_kernel(xp: Any, x: Any) -> Any:
    value = special(xp).digamma(x)
    return xp.where(x == 0, xp.copysign(xp.inf, -x), value).astype(x.dtype)


DIGAMMA, digamma = _float_unary(
    "digamma", _digamma_kernel, lambda n, g, x: mul(g, polygamma(1, x)), (0,),
    "The derivative of ``lgamma``", ("1.", "-0.5772"), refuse=_C, label="digamma",
)  # fmt: skip
SINC, sinc = _float_unary(
    "sinc", lambda xp, x: xp.sinc(x),
    lambda n, g, x: mul(g, where_zero(x, div(sub(cos(mul(x, _math.pi)), sinc(x)), x))), (0,),
    "``sin(pi x) / (pi x)``", ("0.", "1."),
)  # fmt: skip
I0, i0 = _float_unary(
    "i0", lambda xp, x: special(xp).i0(x), lambda n, g, x: mul(g, i1(x)), (0,),
    "The modified Bessel function of order 0", ("0.", "1."), refuse=_C, label="i0_vml_cpu",
)  # fmt: skip


def _i1_grad(n: Any, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """i0 - i1 / x, which is 1/2 at 0."""
    zero = x.eq(0)  # type: ignore[attr-defined]
    slope = sub(i0(x), div(y, x.masked_fill(zero, 1)))  # type: ignore[attr-defined]
    return mul(g, slope.masked_fill(zero, 0.5))  # type: ignore[attr-defined]


I1, i1 = _float_unary(
    "special_i1", lambda xp, x: special(xp).i1(x), _i1_grad, (0, OUT),
    "The modified Bessel function of order 1", ("0.", "0."), refuse=_C,
)  # fmt: skip
RECIPROCAL, reciprocal = _float_unary(
    "reciprocal", lambda xp, x: 1 / x, lambda n, g, y: mul(neg(g), conj(mul(y, y))), (OUT,),
    "``1 / input``", ("4.", "0.2500"),
)  # fmt: skip
#: As PyTorch does it: rounded twice, and two nodes.
__rtruediv__ = reflected_method(lambda other, x: mul(reciprocal(x), other))


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The ``n``-th derivative of ``digamma``.

    >>> import cresset as torch
    >>> torch.polygamma(1, torch.tensor([1.]))
    tensor([1.6449])
    """
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return into(out, digamma(input) if n == 0 else apply(_polygamma(n), (input,)))


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    return polygamma(n, self)


_polygammas: dict[int, Any] = {}


def _polygamma(order: int) -> Any:
    if order not in _polygammas:
        _polygammas[order] = pointwise(
            "polygamma", lambda xp, x: special(xp).polygamma(order, x),
            (lambda n, g, x: mul(g, polygamma(order + 1, x)),), (0,), rule="float", refuse=_C,
            label="polygamma",
        )  # fmt: skip
    return _polygammas[order]


def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``p``.

    >>> import cresset as torch
    >>> torch.mvlgamma(torch.tensor([2.]), 2)
    tensor([0.4516])
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.is_complex():
        raise not_implemented("arange_cpu", input.dtype)
    whole = input.dtype.category < dtypes.FLOAT
    x = input.to(dtypes.get_default_dtype()) if whole else input  # type: ignore[attr-defined]
    terms = lgamma(x)
    for i in range(1, p):
        terms = add(terms, lgamma(sub(x, i / 2)))
    return into(out, add(terms, p * (p - 1) / 4 * _math.log(_math.pi)))


# -- logit -----------------------------------------------------------------------------------------


def _clamped(xp: Any, x: Any, eps: float | None) -> Any:
    return x if eps is None else xp.clip(x, x.dtype.type(eps), x.dtype.type(1 - eps))


def _logit_kernel(xp: Any, x: Any, eps: float | None) -> Any:
    x = _clamped(xp, x, eps)
    return xp.log(x / (1 - x))


def _logit_backward_kernel(xp: Any, g: Any, x: Any, eps: float | None) -> Any:
    low, high = (0.0, 1.0) if eps is None else (x.dtype.type(eps), x.dtype.type(1 - eps))
    outside = x.dtype.type(xp.nan if eps is None else 0)
    return xp.where((x >= low) & (x <= high), g / (x * (1 - x)), outside)


def _with_eps(rule: Any) -> Any:
    return lambda *args: rule(*args[:-1])


LOGIT_BACKWARD = pointwise(
    "logit_backward", _logit_backward_kernel,
    (
        lambda n, h, g, x: apply(LOGIT_BACKWARD, (h, x), n.call.params),
        lambda n, h, g, x: mul(
            mul(mul(h, apply(LOGIT_BACKWARD, (g, x), n.call.params)), sub(mul(x, 2), 1)),
            reciprocal(mul(x, sub(1, x))),
        ),
    ),
    save=(0, 1), rule=_with_eps(promote_rule),
)  # fmt: skip
LOGIT = pointwise(
    "logit", _logit_kernel, (lambda n, g, x: apply(LOGIT_BACKWARD, (g, x), n.call.params),), (0,),
    rule=_with_eps(float_rule), refuse=_C,
)  # fmt: skip


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """``log(x / (1 - x))``, x clamped to [eps, 1 - eps] if ``eps`` is given.

    >>> import cresset as torch
    >>> torch.logit(torch.tensor([0.5]))
    tensor([0.])
    """
    return into(out, apply(LOGIT, (input,), (eps,)))


arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh

# -- magnitude and sign ----------------------------------------------------------------------------


def _abs_rule(s: Spec) -> Result:
    if s.dtype is dtypes.bool_:
        raise not_implemented("abs_cpu", s.dtype)
    return Result((like(s, s.dtype.to_real()),), s.dtype)


ABS = pointwise("abs", lambda xp, x: xp.abs(x), (lambda n, g, x: mul(g, sgn(x)),), (0,),
                rule=_abs_rule)  # fmt: skip
_abs = unary(ABS, "", exact_out=True)


def abs(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``|input|``, elementwise; real for complex numbers.

    >>> import cresset as torch
    >>> torch.abs(torch.tensor([-1., 2.])), torch.abs(torch.tensor([3 + 4j]))
    (tensor([1., 2.]), tensor([5.]))
    """
    if input.__class__ is Tensor and input._spec.dtype.is_complex:
        return into(out, apply(ABS, (input,)))
    return _abs(input, out=out)


absolute = abs


def abs_(self: Tensor) -> Tensor:
    """In-place ``abs``; complex tensors cannot hold a real result."""
    if self._spec.dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return written(self, abs(self))


absolute_ = abs_


def _sign_kernel(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        size = xp.abs(x)
        return xp.where(size == 0, 0, x / xp.where(size == 0, 1, size))
    if x.dtype.kind == "b":
        return x.copy()
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)  # so that NaN gives 0


SIGN = pointwise("sign", _sign_kernel, (lambda n, g: mul(g, 0),), rule="same")
_sign = unary(SIGN, "", exact_out=True)


def sign(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-1, 0 or 1 by the sign of each element; 0 for NaN.

    >>> import cresset as torch
    >>> torch.sign(torch.tensor([-2., 0., 3.]))
    tensor([-1.,  0.,  1.])
    """
    if isinstance(input, Tensor) and input._spec.dtype.is_complex:
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use "
            "torch.sgn instead."
        )
    return _sign(input, out=out)


def _sgn_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    if not x.is_complex():
        return mul(g, 0)
    size, unit = abs(x), sgn(x)
    inner = div(sub(g, mul(mul(unit, conj(g)), unit)), mul(size, 2))
    return inner.masked_fill(size.eq(0), 0)  # type: ignore[attr-defined]


SGN = pointwise("sgn", _sign_kernel, (_sgn_grad,), (0,), rule="same")
sgn = unary(
    SGN,
    """The sign, or for complex numbers ``x / |x|``.

    >>> import cresset as torch
    >>> torch.sgn(torch.tensor([3 + 4j]))
    tensor([0.6000+0.8000j])
    """,
    exact_out=True,
)


# -- torch.special ---------------------------------------------------------------------------------


def _special(name: str, derivative: Any, what: str, example: tuple[str, str]) -> Any:
    """A function of ``torch.special`` that scipy.special has under the same name."""
    return _float_unary(
        "special_" + name, lambda xp, x: getattr(special(xp), name)(x), derivative, (0, OUT), what,
        example, refuse=_C,
    )[1]  # fmt: skip


_ROOT_PI = _math.sqrt(_math.pi)
erfcx = _special(
    "erfcx", lambda n, g, x, y: mul(g, sub(mul(mul(x, y), 2), 2 / _ROOT_PI)),
    "``exp(x ** 2) * erfc(x)`` without overflow", ("0.", "1."),
)  # fmt: skip
ndtr = _special(
    "ndtr", lambda n, g, x, y: mul(mul(g, 1 / _math.sqrt(2 * _math.pi)), exp(mul(mul(x, x), -0.5))),
    "The area under the normal density left of ``input``", ("0.", "0.5000"),
)  # fmt: skip
log_ndtr = _special(
    "log_ndtr",
    lambda n, g, x, y: div(mul(g, _math.sqrt(2) / _ROOT_PI), erfcx(mul(x, -_math.sqrt(0.5)))),
    "``log(ndtr(input))`` without underflow", ("0.", "-0.6931"),
)  # fmt: skip
ndtri = _special(
    "ndtri", lambda n, g, x, y: mul(mul(g, _math.sqrt(2 * _math.pi)), exp(mul(mul(y, y), 0.5))),
    "The inverse of ``ndtr``", ("0.5", "0."),
)  # fmt: skip
i0e = _special(
    "i0e", lambda n, g, x, y: mul(g, sub(i1e(x), mul(y, sgn(x)))),
    "``exp(-|input|) * i0(input)``", ("0.", "1."),
)  # fmt: skip


def _i1e_grad(n: Any, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """i0e - i1e (sign(x) + 1 / x), which is 1/2 at 0."""
    zero = x.eq(0)  # type: ignore[attr-defined]
    whole = x.masked_fill(zero, 1)  # type: ignore[attr-defined]
    slope = sub(i0e(x), mul(y, add(sgn(x), reciprocal(whole))))
    return mul(g, slope.masked_fill(zero, 0.5))  # type: ignore[attr-defined]


i1e = _special("i1e", _i1e_grad, "``exp(-|input|) * i1(input)``", ("0.", "0."))
entr = _float_unary(
    "special_entr",
    lambda xp, x: special(xp).entr(x),
    lambda n, g, x: mul(g, sub(neg(log(x)), 1)), (0,), "``-x log(x)``, 0 at 0", ("1.", "0."),
    refuse=_C,
)[1]  # fmt: skip
bessel_j0, bessel_j1 = (
    _special(n, None, f"The Bessel function {n[-2:]}", e)
    for n, e in (("j0", ("0.", "1.")), ("j1", ("0.", "0.")))
)

#: Names of ``torch.special`` that are plain functions of one tensor.
SPECIAL = {
    "expit": sigmoid, "erf": erf, "erfc": erfc, "erfinv": erfinv, "exp2": exp2, "expm1": expm1,
    "gammaln": lgamma, "digamma": digamma, "psi": digamma, "polygamma": polygamma, "logit": logit,
    "log1p": log1p, "sinc": sinc, "i0": i0, "i1": i1, "i0e": i0e, "i1e": i1e, "erfcx": erfcx,
    "ndtr": ndtr, "ndtri": ndtri, "log_ndtr": log_ndtr, "entr": entr, "multigammaln": mvlgamma,
    "bessel_j0": bessel_j0, "bessel_j1": bessel_j1,
}  # fmt: skip

_FUNCTIONS = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "arcsin", "arccos",
    "arctan", "arcsinh", "arccosh", "arctanh", "sigmoid", "erf", "erfc", "erfinv", "lgamma",
    "digamma", "sinc", "i0", "reciprocal", "logit", "mvlgamma", "abs", "absolute", "sign", "sgn",
)  # fmt: skip
TORCH = (*_FUNCTIONS, "polygamma", "abs_")
METHODS = (
    *_FUNCTIONS, "polygamma=_polygamma_method", "__abs__=abs", "abs_", "absolute_", "__rtruediv__",
)  # fmt: skip
IN_PLACE = (*(f for f in _FUNCTIONS if f not in ("abs", "absolute")), "polygamma=_polygamma_method")
