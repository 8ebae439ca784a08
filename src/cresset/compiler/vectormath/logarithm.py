"""log, log2, log10, log1p, and powers.

``x = 2**k m`` with m between the square roots of 1/2 and 2. With ``f = m - 1``, which is exact, and
``s = f / (2 + f)``, ``log(m) = 2 atanh(s)`` is ``f - h + s (h + s**2 P(s**2))`` for
``h = f**2 / 2``; it is kept as a pair, added to ``k log(2)``, and rounded once.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.exponential import power_of_two, two_to
from cresset.compiler.vectormath.lanes import (
    FORMATS,
    Lanes,
    Pair,
    at_least,
    at_most,
    divide,
    exact_product,
    exact_sum,
    fast_sum,
    fma,
    polynomial,
    select,
)

#: Factors in two parts: what a logarithm is per doubling (the first part ends in zeros), and per
#: unit of the natural logarithm.
_DOUBLING = {
    "log": {"float": (0.693145751953125, 1.428606765330187e-06),
            "double": (0.6931471805592082, 7.371002565167799e-13)},
    "log10": {"float": (0.301025390625, 4.605039066518657e-06),
              "double": (0.30102999566361177, 3.694239077158931e-13)},
}  # fmt: skip
_PER_UNIT = {
    "log2": {"float": (1.4426950216293335, 1.925963033500011e-08),
             "double": (1.4426950408889634, 2.0355273740931033e-17)},
    "log10": {"float": (0.4342944920063019, -1.0103049952192578e-08),
              "double": (0.4342944819032518, 1.098319650216765e-17)},
}  # fmt: skip
_SMALLEST = {"float": 2.0**-126, "double": 2.0**-1022}


def split(x: Lanes) -> tuple[Lanes, Lanes]:
    """k as a whole number, and m - 1, for positive finite x that is no denormal."""
    _, mantissa, _ = FORMATS[x.element]
    bits = x.bits()
    k = (bits - x.constant(math.sqrt(0.5)).bits()) >> mantissa
    return k, (bits - (k << mantissa)).floats() - 1.0


def split_any(x: Lanes) -> tuple[Lanes, Lanes]:
    """k as a float, and m - 1, for positive finite x."""
    if x.short:  # float32's denormals are none as doubles
        k, f = split(x)
        return k.number(), f
    lift = FORMATS[x.element][1] + 1
    tiny = x < _SMALLEST[x.element]
    k, f = split(select(tiny, x * 2.0**lift, x))
    return select(tiny, k - lift, k).number(), f


def near_one(f: Lanes) -> Pair:
    """``log(1 + f)`` as a pair, for ``1 + f`` between the square roots of 1/2 and 2."""
    s = f / (f + 2.0)
    z = s * s
    half = f * 0.5
    h, h_low = exact_product(half, f)
    tail = s * fma(z, polynomial(z, polynomials.LOG[f.precision]), h)
    total, rest = fast_sum(f, -h)
    return total, (rest - h_low) + tail


def _outside(x: Lanes, result: Lanes) -> Lanes:
    """A logarithm's values at 0, at infinity, below 0 and at NaN."""
    below = select(x.equals(0.0), -math.inf, select(x < 0.0, math.nan, x))
    return select((x > 0.0) & (x < math.inf), result, below)


def log(x: Lanes) -> Lanes:
    k, f = split_any(x)
    high, low = near_one(f)
    first, second = _DOUBLING["log"][x.element]
    total, rest = fast_sum(k * first, high)
    return _outside(x, total + (rest + fma(k, second, low)))


def log2(x: Lanes) -> Lanes:
    k, f = split_any(x)
    high, low = _in_units(near_one(f), "log2")
    total, rest = fast_sum(k, high)
    return _outside(x, total + (rest + low))


def log10(x: Lanes) -> Lanes:
    k, f = split_any(x)
    high, low = _in_units(near_one(f), "log10")
    first, second = _DOUBLING["log10"][x.element]
    total, rest = fast_sum(k * first, high)
    return _outside(x, total + (rest + fma(k, second, low)))


def _in_units(value: Pair, name: str) -> Pair:
    """A natural logarithm times the factor to another base."""
    high, low = value
    first, second = _PER_UNIT[name][high.element]
    product, rest = exact_product(high, first)
    return product, fma(low, first, fma(high, second, rest))


def log1p(x: Lanes) -> Lanes:
    """The logarithm of the pair 1 + x."""
    result = log_pair(exact_sum(x, x.constant(1.0)))
    outside = select(x.equals(-1.0), -math.inf, select(x < -1.0, math.nan, x))
    result = select((x > -1.0) & (x < math.inf), result, outside)
    return select(x.equals(0.0), x, result)


def log_pair(value: Pair, doublings: Lanes | None = None) -> Lanes:
    """The logarithm of a positive sum and what rounding took from it, times ``2**doublings``."""
    total, rest = value
    k, f = split(total)
    # For large k the rest counts for nothing.
    f, f_low = fast_sum(f, rest * power_of_two(-select(k > 100, 100, k)))
    high, low = near_one(f)
    # The derivative of log at 1 + f is near 1 - f.
    low = low + fma(-f_low, f, f_low)
    first, second = _DOUBLING["log"][total.element]
    exponent = (k if doublings is None else k + doublings).number()
    total, rest = fast_sum(exponent * first, high)
    return total + (rest + fma(exponent, second, low))


# -- powers ----------------------------------------------------------------------------------------

#: 2 / log(2) and 1 / 3 as pairs.
_TWO_PER_LN2 = (2.8853900817779268, 4.0710547481862066e-17)
_THIRD = (0.3333333333333333, 1.850371707708594e-17)


def _log2_pair(x: Lanes) -> Pair:
    """log2 of positive finite x to about 65 bits."""
    k, f = split_any(x)
    if x.short:
        high, low = near_one(f)
        return fma(high + low, _PER_UNIT["log2"]["double"][0], k), f.constant(0.0)
    d, d_low = fast_sum(f.constant(2.0), f)
    s, s_low = divide((f, f.constant(0.0)), (d, d_low))
    z, z_low = exact_product(s, s)
    z_low = fma(s * 2.0, s_low, z_low)
    # log(m) / 2 = s (1 + w), with w = z / 3 + z**2 P(z)
    a, a_low = exact_product(z, _THIRD[0])
    a_low = fma(z, _THIRD[1], fma(z_low, _THIRD[0], a_low))
    w, w_low = fast_sum(a, z * z * polynomial(z, polynomials.LOG_FAR["double"]))
    p, p_low = exact_product(s, w)
    p_low = p_low + fma(s, w_low + a_low, fma(s_low, w, s_low))
    high, low = fast_sum(s, p)
    low = low + p_low
    y, y_low = exact_product(high, _TWO_PER_LN2[0])
    y_low = fma(low, _TWO_PER_LN2[0], fma(high, _TWO_PER_LN2[1], y_low))
    total, rest = fast_sum(k, y)
    return fast_sum(total, rest + y_low)


def pow(x: Lanes, y: Lanes) -> Lanes:
    """``2**(y log2(|x|))``, with the sign and the special cases of IEEE 754's pow."""
    if x.element == "float":
        return pow(x.wide(), y.wide()).narrow()
    base = abs(x)
    high, low = _log2_pair(base)
    p, p_low = exact_product(y, high)
    inside = at_most(at_least(p, -1100.0), 1100.0)
    if x.short:
        result = two_to(inside)
    else:
        result = two_to(inside, select(abs(p) < 1100.0, fma(y, low, p_low), 0.0))
    # 0 and infinity to powers above and below 0.
    to_zero = base.equals(0.0) ^ (y < 0.0)
    ends = base.equals(0.0) | base.equals(math.inf)
    result = select(ends, select(to_zero, x.constant(0.0), math.inf), result)
    whole = y.intrinsic("trunc").equals(y)
    half = y * 0.5
    odd = whole & ~half.intrinsic("trunc").equals(half)
    # (-inf)**y and (-0)**y are numbers for every y.
    result = select(~whole & (x < 0.0) & ~ends, math.nan, result)
    result = select(odd, result.with_sign_of(x), result)
    result = select(x.unordered(y), math.nan, result)
    # |x| == 1: infinite powers are 1 too.
    one = x.equals(1.0) | y.equals(0.0) | (base.equals(1.0) & abs(y).equals(math.inf))
    return select(one, 1.0, result)
