"""asinh, acosh, atanh and hypot: roots of sums of squares, and their logarithms.

What rounding takes from a square, a sum or a root is carried along to the logarithm of a pair.
float32 is computed in float64.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath.lanes import (
    Lanes,
    Pair,
    divide,
    exact_product,
    exact_sum,
    fast_sum,
    fma,
    select,
)
from cresset.compiler.vectormath.logarithm import log_pair

#: Above, 1 counts for nothing beside the square; below its inverse, the function is its argument.
_LARGE = 2.0**28


def _root(value: Pair) -> Pair:
    """The square root of a pair, itself a pair; of 0 it is 0."""
    v, low = value
    r = v.sqrt()
    return r, (fma(-r, r, v) + low) / select(r.equals(0.0), 1.0, r + r)


def asinh(x: Lanes) -> Lanes:
    """``log(a + sqrt(a**2 + 1))`` for ``a = |x|``."""
    if x.element == "float":
        return asinh(x.wide()).narrow()
    a = abs(x)
    large = a > _LARGE
    b = select(large, 1.0, a)
    square, square_low = exact_product(b, b)
    t, t_low = exact_sum(square, 1.0)
    r, r_low = _root((t, t_low + square_low))
    total, rest = exact_sum(r, b)
    result = log_pair(
        (select(large, a, total), select(large, 0.0, rest + r_low)),
        select(large, x.bits().constant(1), 0),
    )
    result = select(a < math.inf, result, a)
    return select(a < 1 / _LARGE, x, result.with_sign_of(x))


def acosh(x: Lanes) -> Lanes:
    """``log(1 + t + sqrt(t (t + 2)))`` for ``t = x - 1``."""
    if x.element == "float":
        return acosh(x.wide()).narrow()
    large = x > _LARGE
    t = select(large | ~(x >= 1.0), 1.0, x) - 1.0  # exact
    p, p_low = exact_sum(t, 2.0)
    v, v_low = exact_product(t, p)
    r, r_low = _root((v, fma(t, p_low, v_low)))
    w, w_low = exact_sum(r, t)
    total, rest = exact_sum(w, 1.0)
    result = log_pair(
        (select(large, x, total), select(large, 0.0, rest + (w_low + r_low))),
        select(large, x.bits().constant(1), 0),
    )
    return select(x >= 1.0, select(x < math.inf, result, x), math.nan)


def atanh(x: Lanes) -> Lanes:
    """``log(1 + 2 a / (1 - a)) / 2`` for ``a = |x|``."""
    if x.element == "float":
        return atanh(x.wide()).narrow()
    a = abs(x)
    b = select(a < 1.0, a, 0.0)
    q, q_low = divide((b + b, b.constant(0.0)), exact_sum(b.constant(1.0), -b))
    total, rest = exact_sum(q, 1.0)
    result = log_pair((total, rest + q_low)) * 0.5
    result = select(a < 1.0, result, select(a.equals(1.0), x.constant(math.inf), math.nan))
    return select(a < 1 / _LARGE, x, result.with_sign_of(x))


def hypot(x: Lanes, y: Lanes) -> Lanes:
    """``sqrt(x**2 + y**2)``; an infinity counts for more than NaN does."""
    if x.element == "float":
        return hypot(x.wide(), y.wide()).narrow()
    a, b = abs(x), abs(y)
    high, low = select(a > b, a, b), select(a > b, b, a)
    back: Lanes | None = None
    if not x.short:
        # Towards the middle of the exponents, so that squares stay among the numbers.
        small, large = high < 2.0**-500, high > 2.0**500
        factor = select(small, x.constant(2.0**600), select(large, x.constant(2.0**-600), 1.0))
        back = select(small, x.constant(2.0**-600), select(large, x.constant(2.0**600), 1.0))
        high, low = high * factor, low * factor
    first, first_low = exact_product(high, high)
    second, second_low = exact_product(low, low)
    total, rest = fast_sum(first, second)
    r, r_low = _root((total, rest + (first_low + second_low)))
    found = r + r_low if back is None else (r + r_low) * back
    return select(a.equals(math.inf) | b.equals(math.inf), math.inf, found)
