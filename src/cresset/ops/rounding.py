"""Functions that take numbers apart: rounding, sign bits, complex parts, replacing NaN."""

from __future__ import annotations

import math as _math
from typing import Any

from cresset import dtypes
from cresset.core.spec import Spec, like
from cresset.ops.elementwise import float_rule, pointwise, promote_rule, unary
from cresset.ops.inplace import assign, into, scalar_name
from cresset.ops.math import SPECIAL, cos, sin
from cresset.ops.named import result
from cresset.ops.pointwise import add, conj, div, mul
from cresset.ops.registry import Op, Result, Tensor, apply

_B, _C = (dtypes.BOOL,), (dtypes.COMPLEX,)


def _no_slope(n: Any, g: Tensor) -> Tensor:
    """The gradient of a step function."""
    return mul(g, 0)


def _bool_out(name: str, out: Tensor | None) -> None:
    if out is not None and out._spec.dtype is not dtypes.bool_:
        raise RuntimeError(f"{name} does not support non-boolean outputs.")


def _signbit_rule(s: Spec) -> Result:
    if s.dtype.is_complex:
        raise NotImplementedError("signbit is not implemented for complex tensors.")
    return Result((like(s, dtypes.bool_),), s.dtype)


SIGNBIT = pointwise(
    "signbit", lambda xp, x: xp.signbit(x) if x.dtype.kind == "f" else x < 0, rule=_signbit_rule,
)  # fmt: skip


def signbit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether the sign bit is set (true for -0.0).

    >>> import cresset as torch
    >>> torch.signbit(torch.tensor([1., -0.]))
    tensor([False,  True])
    """
    _bool_out("signbit", out)
    return into(out, apply(SIGNBIT, (input,)))


# -- rounding --------------------------------------------------------------------------------------


def _rounding(name: str, kernel_name: str, label: str, example: str) -> tuple[Op, Any]:
    def kernel(xp: Any, x: Any) -> Any:
        return getattr(xp, kernel_name)(x) if x.dtype.kind == "f" else x.copy()

    op = pointwise(
        name, kernel, (_no_slope,), rule="same", refuse=_B + _C, label=label,
    )  # fmt: skip
    doc = f"""``{name}`` of each element; integers stay as they are.

    >>> import cresset as torch
    >>> torch.{name}(torch.tensor([-1.5, 0.7]))
    tensor([{example}])
    """
    return op, unary(op, doc, exact_out=True)


FLOOR, floor = _rounding("floor", "floor", "floor_vml_cpu", "-2.,  0.")
CEIL, ceil = _rounding("ceil", "ceil", "ceil_vml_cpu", "-1.,  1.")
TRUNC, trunc = _rounding("trunc", "trunc", "trunc_vml_cpu", "-1., 0.")
ROUND, _round = _rounding("round", "rint", "round_vml_cpu", "-2.,  1.")
fix = trunc


def _decimals_kernel(xp: Any, x: Any, decimals: int) -> Any:
    scale = x.dtype.type(10.0 ** (decimals if decimals > 0 else -decimals))
    return xp.rint(x * scale) / scale if decimals > 0 else xp.rint(x / scale) * scale


ROUND_DECIMALS = pointwise(
    "round_decimals", _decimals_kernel, (_no_slope,), rule=lambda s, decimals: promote_rule(s),
    refuse=(dtypes.BOOL, dtypes.INT, dtypes.COMPLEX), label="round_cpu",
    grad_name="RoundBackward1",
)  # fmt: skip


def round_(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """To the nearest integer, halves to even; or to ``decimals`` digits.

    >>> import cresset as torch
    >>> torch.round(torch.tensor([0.5, 1.5, 2.5]))
    tensor([0., 2., 2.])
    >>> torch.round(torch.tensor([1.2345]), decimals=2)
    tensor([1.2300])
    """
    if decimals == 0:
        return _round(input, out=out)
    return into(out, apply(ROUND_DECIMALS, (input,), (decimals,)))


FRAC = pointwise("frac", lambda xp, x: x - xp.trunc(x), (lambda n, g: g,), rule="same",
                 refuse=(dtypes.BOOL, dtypes.INT, dtypes.COMPLEX))  # fmt: skip
frac = unary(
    FRAC,
    """What is left after ``trunc``.

    >>> import cresset as torch
    >>> torch.frac(torch.tensor([2.5, -0.25]))
    tensor([ 0.5000, -0.2500])
    """,
    exact_out=True,
)


def _frexp_rule(s: Spec) -> Result:
    if s.dtype.category != dtypes.FLOAT:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return Result((like(s), like(s, dtypes.int32)))


FREXP = Op(
    "frexp", _frexp_rule, lambda xp, x: xp.frexp(x), multi=True, family="pointwise",
    vjp=lambda n, g, e, exponent: (g if g is None else div(g, exponent.to(g.dtype).exp2()),),
    save=(-2,),
)  # fmt: skip


frexp_result = result("frexp", "mantissa", "exponent")


def frexp(input: Tensor, *, out: Any = None) -> Any:
    """``(mantissa, exponent)`` with ``input = mantissa * 2 ** exponent``, 1/2 <= |mantissa| < 1.

    >>> import cresset as torch
    >>> mantissa, exponent = torch.frexp(torch.tensor([8., 0.75]))
    >>> mantissa, exponent
    (tensor([0.5000, 0.7500]), tensor([4, 0], dtype=torch.int32))
    """
    parts = apply(FREXP, (input,))
    if out is not None:
        parts = (into(out[0], parts[0]), into(out[1], parts[1]))
    return frexp_result(*parts)


# -- replacing NaN ---------------------------------------------------------------------------------


def _nan_to_num_kernel(xp: Any, x: Any, nan: Any, high: Any, low: Any) -> Any:
    if x.dtype.kind not in "fc":
        return x.copy()
    parts = x.view(x.real.dtype) if x.dtype.kind == "c" and x.flags.c_contiguous else x
    if parts.dtype.kind == "c":
        parts = xp.ascontiguousarray(x).view(x.real.dtype)
    fixed = xp.where(xp.isnan(parts), parts.dtype.type(nan.real), parts)
    fixed = xp.where(parts == xp.inf, parts.dtype.type(high.real), fixed)
    fixed = xp.where(parts == -xp.inf, parts.dtype.type(low.real), fixed)
    return fixed.view(x.dtype) if x.dtype.kind == "c" else fixed


NAN_TO_NUM = pointwise(
    "nan_to_num", _nan_to_num_kernel,
    (lambda n, g, x: mul(g, x.isfinite()), None, None, None), (0,),
    rule=lambda s, *numbers: promote_rule(s),
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
    d = input._spec.dtype
    if out is not None and out._spec.dtype is not d:
        raise RuntimeError(
            f"nan_to_num: dtype of out: {scalar_name(out._spec.dtype)} should be same as input: "
            f"{scalar_name(d)}"
        )
    if d.category < dtypes.FLOAT:
        return into(out, input.clone())  # type: ignore[attr-defined]
    limits = dtypes.finfo(d.to_real())
    numbers = (
        0.0 if nan is None else float(nan),
        limits.max if posinf is None else float(posinf),
        limits.min if neginf is None else float(neginf),
    )
    return into(out, apply(NAN_TO_NUM, (input, *numbers)))


def _refuse_complex(name: str, x: Tensor) -> None:
    if x._spec.dtype.is_complex:
        raise RuntimeError(f"{name} is not supported for complex tensors.")


def _times(name: str, factor: float, grad_name: str) -> Op:
    return pointwise(name, lambda xp, x: x * factor, (lambda n, g: mul(g, factor),), rule="float",
                     grad_name=grad_name)  # fmt: skip


DEG2RAD = _times("deg2rad", _math.pi / 180, "Deg2RadBackward0")
RAD2DEG = _times("rad2deg", 180 / _math.pi, "Rad2DegBackward0")


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees to radians.

    >>> import cresset as torch
    >>> torch.deg2rad(torch.tensor([180.]))
    tensor([3.1416])
    """
    _refuse_complex("deg2rad", input)
    return into(out, apply(DEG2RAD, (input,)))


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians to degrees.

    >>> import cresset as torch
    >>> torch.rad2deg(torch.tensor([3.1416]))
    tensor([180.0004])
    """
    _refuse_complex("rad2deg", input)
    return into(out, apply(RAD2DEG, (input,)))


# -- complex numbers -------------------------------------------------------------------------------


def real(input: Tensor) -> Tensor:
    """The real part: a view of a complex tensor, a real one itself.

    >>> import cresset as torch
    >>> torch.real(torch.tensor([1 + 2j]))
    tensor([1.])
    """
    return input.view_as_real().select(-1, 0) if input.is_complex() else input  # type: ignore[attr-defined]


def imag(input: Tensor) -> Tensor:
    """The imaginary part of a complex tensor, as a view.

    >>> import cresset as torch
    >>> torch.imag(torch.tensor([1 + 2j]))
    tensor([2.])
    """
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return input.view_as_real().select(-1, 1)  # type: ignore[attr-defined]


def _angle_rule(s: Spec) -> Result:
    result = float_rule(s)
    return Result((like(s, result.outs[0].dtype.to_real()),), result.compute)


def _angle_kernel(xp: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        return xp.angle(x)
    return xp.where(xp.isnan(x), x, xp.where(x < 0, x.dtype.type(_math.pi), x.dtype.type(0)))


def _angle_grad(n: Any, g: Tensor, x: Tensor) -> Tensor:
    if not x.is_complex():
        return mul(g, 0)
    # d angle = (re d im - im d re) / |x|^2, which is 1j * x / |x|^2 as one complex number.
    size = add(mul(real(x), real(x)), mul(imag(x), imag(x)))
    return mul(g, div(mul(x, 1j), size)).masked_fill(size.eq(0), 0)  # type: ignore[attr-defined]


ANGLE = pointwise("angle", _angle_kernel, (_angle_grad,), (0,), rule=_angle_rule)
angle = unary(
    ANGLE,
    """The argument of complex numbers in (-pi, pi]; 0 or pi for real ones.

    >>> import cresset as torch
    >>> torch.angle(torch.tensor([1j, -1 + 0j]))
    tensor([1.5708, 3.1416])
    """,
)


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``abs * exp(1j * angle)``.

    >>> import cresset as torch
    >>> torch.polar(torch.tensor([2.]), torch.tensor([0.]))
    tensor([2.+0.j])
    """
    first, second = abs._spec.dtype, angle._spec.dtype
    if not (first.is_floating_point and second.is_floating_point):
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{scalar_name(first)} and {scalar_name(second)}"
        )
    if first is not second:
        raise RuntimeError(
            f"Expected object of scalar type {scalar_name(first)} but got scalar type "
            f"{scalar_name(second)} for second argument"
        )
    return into(out, add(mul(abs, cos(angle)), mul(mul(abs, sin(angle)), 1j)))


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate (real tensors are returned as they are).

    >>> import cresset as torch
    >>> torch.conj_physical(torch.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    if out is not None and out._spec.dtype is not input._spec.dtype:
        raise RuntimeError(
            f"Found dtype {scalar_name(out._spec.dtype)} but expected "
            f"{scalar_name(input._spec.dtype)}"
        )
    return into(out, conj(input))


CONJ_IN_PLACE = pointwise("conj", lambda xp, x: xp.conj(x), (lambda n, g: conj(g),), rule="same",
                          grad_name="ConjPhysicalBackward1")  # fmt: skip


def conj_physical_(self: Tensor) -> Tensor:
    """``conj_physical`` in place."""
    return assign(self, apply(CONJ_IN_PLACE, (self,)))


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugation is never lazy here.

    >>> import cresset as torch
    >>> torch.resolve_conj(torch.tensor([1j]).conj())
    tensor([0.-1.j])
    """
    return input


resolve_neg = resolve_conj


def is_conj(input: Tensor) -> bool:
    """False: conjugation is never lazy here.

    >>> import cresset as torch
    >>> torch.is_conj(torch.tensor([1j]).conj())
    False
    """
    return False


is_neg = is_conj
real_property, imag_property = property(real), property(imag)

SPECIAL["round"] = round_

_FUNCTIONS = (
    "floor", "ceil", "trunc", "fix", "round=round_", "frac",
    "nan_to_num", "deg2rad", "rad2deg",
)  # fmt: skip
_CONJ = ("conj_physical", "conj_physical_")
_PARTS = ("angle", "signbit", "frexp", "resolve_conj", "resolve_neg", "is_conj", "is_neg")
TORCH = (*_FUNCTIONS, *_CONJ, *_PARTS, "real", "imag", "polar")
METHODS = (*_FUNCTIONS, *_CONJ, *_PARTS, "real=real_property", "imag=imag_property")
IN_PLACE = _FUNCTIONS
