"""Formulas of rarer functions: logarithms of sums and shares, angles, shifts, special functions.

Each follows its reference kernel, so that NaN and infinities come out as they do there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cresset.compiler import vectormath
from cresset.compiler.vectormath.lanes import Lanes, select

_F = vectormath.FUNCTIONS
_exp, _exp2, _log, _log1p, _sin = (_F[name] for name in ("exp", "exp2", "log", "log1p", "sin"))


def _log_sum(a: Lanes, b: Lanes, power: Callable[[Lanes], Lanes], one: float, unit: float) -> Lanes:
    """The logarithm of ``power(a) + power(b)``; of equals it is ``one`` more than they are."""
    apart = a - b
    above = select(apart > 0.0, a, b) + _log1p(power(-abs(apart))) * unit
    return select(a.equals(b), a + one, select(a.unordered(b), a + b, above))


def _pow_log(a: Lanes, b: Lanes, out: Lanes) -> Lanes:
    return select(a.equals(0.0) & (b >= 0.0), 0.0, out * _log(a))


def _xlog1py(a: Lanes, b: Lanes) -> Lanes:
    return select(a.equals(0.0) & ~b.unordered(b), 0.0, a * _log1p(b))


def _entr(x: Lanes) -> Lanes:
    inside = select(x.equals(0.0), 0.0, -x * _log(select(x > 0.0, x, 1.0)))
    return select(x < 0.0, -math.inf, select(x.unordered(x), x, inside))


def _sinc(x: Lanes) -> Lanes:
    y = select(x.equals(0.0), 1e-20, x) * math.pi
    return _sin(y) / y


def _angle(x: Lanes) -> Lanes:
    return select(x.unordered(x), x, select(x < 0.0, x.constant(math.pi), 0.0))


def _ndtr(x: Lanes) -> Lanes:
    """In float64 the tail's digits would need a square that is exact."""
    wide = x.wide() if x.element == "float" else x
    found = _F["erfc"](wide * -math.sqrt(0.5)) * 0.5
    return found.narrow() if x.element == "float" else found


def _shift(x: Lanes, y: Lanes, left: bool) -> Lanes:
    """By fewer places than there are; by more, as if by many."""
    width = int(x.element[1:])
    far = (y < 0) | (y >= width)
    if left:
        return select(far, 0, x._two("", "shl", select(far, 0, y)))
    return x._two("", "ashr", select(far, width - 1, y))


def logit(params: tuple, x: Lanes) -> Lanes:
    (eps,) = params
    if eps is not None:
        x = select(x < eps, eps, x)
        x = select(x > x.constant(1 - eps), 1 - eps, x)
    return _log(x / (1.0 - x))


def logit_backward(params: tuple, g: Lanes, x: Lanes) -> Lanes:
    (eps,) = params
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    outside = math.nan if eps is None else 0.0
    return select((x >= low) & (x <= high), g / (x * (1.0 - x)), outside)


def round_decimals(params: tuple, x: Lanes) -> Lanes:
    (decimals,) = params
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return (x * scale).intrinsic("rint") / scale
    return (x / scale).intrinsic("rint") * scale


#: With static arguments.
WITH_PARAMS: dict[str, Callable[..., Lanes]] = {
    "logit": logit, "logit_backward": logit_backward, "round_decimals": round_decimals,
}  # fmt: skip
#: Of floats.
SPECIAL: dict[str, Callable[..., Lanes]] = {
    "logaddexp": lambda a, b: _log_sum(a, b, _exp, math.log(2), 1.0),
    "logaddexp2": lambda a, b: _log_sum(a, b, _exp2, 1.0, math.log2(math.e)),
    "ldexp": lambda a, b: a * _exp2(b),
    "pow_log": _pow_log,
    "special_xlog1py": _xlog1py,
    "special_entr": _entr,
    "sinc": _sinc,
    "angle": _angle,
    **{name: _F[name] for name in ("asinh", "acosh", "atanh", "hypot", "erfinv")},
}
#: In float32 alone.
SINGLE: dict[str, Callable[..., Lanes]] = {"special_ndtr": _ndtr, **vectormath.SINGLE}
#: Of whole numbers.
SHIFTS: dict[str, Callable[..., Lanes]] = {
    "bitwise_left_shift": lambda x, y: _shift(x, y, True),
    "bitwise_right_shift": lambda x, y: _shift(x, y, False),
}
