"""Formulas of activations, shrinks and rounding, in floating point (``formulas.py`` has the rest).

Each follows its reference kernel, so that NaN and infinities come out as they do there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cresset.compiler import vectormath
from cresset.compiler.vectormath.lanes import Lanes, select

_exp, _log, _log1p = (vectormath.FUNCTIONS[name] for name in ("exp", "log", "log1p"))
_expm1, _tanh = vectormath.FUNCTIONS["expm1"], vectormath.FUNCTIONS["tanh"]


def larger(a: Lanes, b: Lanes) -> Lanes:
    """NaN if one of them is."""
    return select((a >= b) | a.unordered(a), a, b)


def smaller(a: Lanes, b: Lanes) -> Lanes:
    return select((a <= b) | a.unordered(a), a, b)


def gelu(params: tuple, x: Lanes) -> Lanes:
    return vectormath.gelu_tanh(x) if params[0] == "tanh" else vectormath.gelu(x)


def _hardtanh(x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    raised = select(x < low, low, x)
    return select(raised > high, high, raised)


def _to_six(x: Lanes) -> Lanes:
    """``min(max(x + 3, 0), 6)``."""
    up = x + 3.0
    return smaller(larger(up, up.constant(0)), up.constant(6))


def _elu(x: Lanes, alpha: Lanes, scale: Lanes, input_scale: Lanes) -> Lanes:
    low = alpha * scale * _expm1(smaller(x, x.constant(0)) * input_scale)
    return select(x < 0.0, low, x * scale)


def _softplus(x: Lanes, beta: Lanes, limit: Lanes) -> Lanes:
    scaled = x * beta
    return select(scaled > limit, x, _log1p(_exp(smaller(scaled, limit))) / beta)


def _softshrink(x: Lanes, limit: Lanes) -> Lanes:
    return select(x > limit, x - limit, select(x < -limit, x + limit, x * 0.0))


def _within(x: Lanes, limit: Lanes) -> Lanes:
    return (x >= -limit) & (x <= limit)


def _xlogy(a: Lanes, b: Lanes) -> Lanes:
    product = select(a.equals(0.0), 0.0, a * _log(b))
    return select(b.unordered(b), b, product)


def _lerp(a: Lanes, b: Lanes, w: Lanes) -> Lanes:
    return select(abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1.0 - w))


def share_of_choice(params: tuple, g: Lanes, mine: Lanes, other: Lanes) -> Lanes:
    """The gradient of one operand of ``maximum`` and its kin: of equals each gets half, or with
    ``fmax`` the first all."""
    name, _, position = params[0].partition(":")
    if name in ("maximum", "minimum"):
        loses = mine < other if name == "maximum" else mine > other
        return select(loses, 0.0, select(mine.equals(other), g / 2.0, g))
    first, second = (mine, other) if position == "0" else (other, mine)
    wins = (first >= second if name == "fmax" else first <= second) | second.unordered(second)
    return select(wins if position == "0" else ~wins, g, 0.0)


def _numbers_win(choice: Callable[[Lanes, Lanes], Lanes]) -> Callable[[Lanes, Lanes], Lanes]:
    """As ``choice``, but NaN loses."""
    return lambda a, b: select(a.unordered(a), b, select(b.unordered(b), a, choice(a, b)))


def _heaviside(x: Lanes, value: Lanes) -> Lanes:
    return select(x.equals(0.0), value, select(x > 0.0, x.constant(1.0), 0.0))


def _nan_to_num(x: Lanes, nan: Lanes, high: Lanes, low: Lanes) -> Lanes:
    fixed = select(x.unordered(x), nan, x)
    fixed = select(x.equals(math.inf), high, fixed)
    return select(x.equals(-math.inf), low, fixed)


#: Few operations.
SHORT: dict[str, Callable[..., Lanes]] = {
    "leaky_relu": lambda x, slope: select(x > 0.0, x, x * slope),
    "leaky_relu_backward": lambda g, x, slope: select(x > 0.0, g, g * slope),
    "prelu": lambda x, w: select(x > 0.0, x, w * x),
    "rrelu": lambda x, slope: select(x > 0.0, x, slope * x),
    "hardtanh": _hardtanh,
    "hardtanh_backward": lambda g, x, low, high: select((x <= low) | (x >= high), 0.0, g),
    "hardsigmoid": lambda x: _to_six(x) / 6.0,
    "hardsigmoid_backward": lambda g, x: select((x > -3.0) & (x < 3.0), g / 6.0, 0.0),
    "hardswish": lambda x: x * _to_six(x) / 6.0,
    "hardshrink": lambda x, limit: select(_within(x, limit), 0.0, x),
    "hardshrink_backward": lambda g, x, limit: select(_within(x, limit), 0.0, g),
    "softshrink": _softshrink,
    "softshrink_backward": lambda g, x, limit: select(_within(x, limit), 0.0, g),
    "threshold": lambda x, limit, value: select(x <= limit, value, x),
    "threshold_backward": lambda g, x, limit: select(x <= limit, 0.0, g),
    "clamp_backward": lambda g, x, low, high: select((x >= low) & (x <= high), g, 0.0),
    "floor": lambda x: x.intrinsic("floor"),
    "ceil": lambda x: x.intrinsic("ceil"),
    "trunc": lambda x: x.intrinsic("trunc"),
    "round": lambda x: x.intrinsic("rint"),
    "frac": lambda x: x - x.intrinsic("trunc"),
    "nan_to_num": _nan_to_num,
    "addcdiv": lambda x, a, b, value: x + value * a / b,
    "lerp": _lerp,
    "fmax": _numbers_win(larger),
    "fmin": _numbers_win(smaller),
    "heaviside": _heaviside,
    "copysign": lambda a, b: a.with_sign_of(b),
    "deg2rad": lambda x: x * (math.pi / 180),
    "rad2deg": lambda x: x * (180 / math.pi),
}
#: Exponentials and logarithms.
LONG: dict[str, Callable[..., Lanes]] = {
    "elu": _elu,
    "softplus": _softplus,
    "log_sigmoid": lambda x: smaller(x, x.constant(0)) - _log1p(_exp(-abs(x))),
    "mish": lambda x: x * _tanh(_log1p(_exp(x))),
    "xlogy": _xlogy,
}
