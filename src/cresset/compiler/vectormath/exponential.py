"""exp and what is made of it: exp2, expm1, sigmoid, silu, the tanh form of gelu, sinh, cosh, tanh.

``x = k log(2) + r`` with a whole k and ``|r| <= log(2) / 2``, so ``exp(x) = 2**k exp(r)``, and
``exp(r) = 1 + r + r**2 P(r)``. The part of r that rounding loses is carried along, and the part of
``exp(r) - 1`` too. 2**k is applied last and in two halves: results may lie among the denormals,
where there must be one rounding only.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
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

#: log(2) in two parts; the first ends in zeros, so that its product with k is exact.
_LN2 = {"float": (0.693145751953125, 1.428606765330187e-06),
        "double": (0.6931471805592082, 7.371002565167799e-13)}  # fmt: skip
#: What ``2 sqrt(2 / pi)`` and 0.044715 times that lose when they are rounded.
_FIRST_LOW, _THIRD_LOW = -9.96930880911092e-17, -6.175149918155315e-19
_LARGE = {"float": 1e38, "double": 1e308}
#: Where exp is 0 or infinite for sure.
_LIMITS = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}


def _magic(x: Lanes) -> float:
    """Adding it to a number leaves the nearest whole number in the lowest bits."""
    return 1.5 * 2.0 ** FORMATS[x.element][1]


def nearest(x: Lanes) -> tuple[Lanes, Lanes]:
    """The nearest whole number, as a float and as an int."""
    shifted = x + _magic(x)
    return shifted - _magic(x), shifted.bits() - shifted.constant(_magic(x)).bits()


def power_of_two(n: Lanes) -> Lanes:
    """2**n for whole n within the normal exponents."""
    _, mantissa, bias = FORMATS["float" if n.element == "i32" else "double"]
    return ((n + bias) << mantissa).floats()


def scale(x: Lanes, n: Lanes, k: Lanes | None = None) -> Lanes:
    """``x * 2**n``, rounded once, for n to twice the exponents there are; ``k`` is n as a float."""
    found = x.scaled(n.number() if k is None else k)
    if found is not None:
        return found
    half = n >> 1
    return x * power_of_two(half) * power_of_two(n - half)


def reduce(x: Lanes, low: Lanes | None = None) -> tuple[Lanes, Pair]:
    """k, and ``exp(r) - 1`` as a pair; ``low`` is added to x."""
    first, second = _LN2[x.element]
    k, n = nearest(x * math.log2(math.e))
    start = fma(k, -first, x)
    r = fma(k, -second, start)
    rest = fma(k, -second, start - r)
    return n, grown(r, rest, low)


def grown(r: Lanes, rest: Lanes, low: Lanes | None = None) -> Pair:
    """``exp(r + rest + low) - 1`` for small r; ``rest`` is no more than r's rounding."""
    s, s_low = fast_sum(r, fma(r * r, polynomial(r, polynomials.EXP[r.precision]), rest))
    return s, s_low if low is None else s_low + fma(low, s, low)


def exp(x: Lanes) -> Lanes:
    x = at_most(at_least(x, _LIMITS[x.element][0]), _LIMITS[x.element][1])
    if x.element == "float":
        m, n, k = _single(x)
        return scale(m, n, k)
    n, s = reduce(x)
    return scale(plus_one(s), n)


def _single(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """``exp(x)`` in float32 as m and n of ``m * 2**n``, m near 1; and n as a float.

    Without the error terms: a third faster, and still within a unit.
    """
    first, second = _LN2["float"]
    k, n = nearest(x * math.log2(math.e))
    r = fma(k, -second, fma(k, -first, x))
    return fma(r * r, polynomial(r, polynomials.EXP["float"]), r) + 1.0, n, k


def normal_exp(x: Lanes) -> Lanes:
    """``exp(x)`` in float32 where the result is a normal number for sure."""
    m, n, k = _single(x)
    found = m.scaled(k)
    return m * power_of_two(n) if found is None else found


def plus_one(s: Pair) -> Lanes:
    """One more than a small pair, rounded once."""
    total, rest = fast_sum(s[0].constant(1.0), s[0])
    return total + (rest + s[1])


def exp2(x: Lanes) -> Lanes:
    low, high = (-151.0, 129.0) if x.element == "float" else (-1076.0, 1025.0)
    return two_to(at_most(at_least(x, low), high))


def two_to(x: Lanes, low: Lanes | None = None) -> Lanes:
    """``2**(x + low)`` where its exponent is in reach of ``scale``."""
    k, n = nearest(x)
    rest = x - k
    first = math.log(2) if x.element == "double" else 0.6931471824645996
    second = 2.3190468138462996e-17 if x.element == "double" else -1.9046542121259336e-09
    r, r_low = exact_product(rest, first)
    r_low = fma(rest, second, r_low)
    return scale(plus_one(grown(r, r_low, None if low is None else low * first)), n)


def expm1(x: Lanes) -> Lanes:
    # Below the lower limit the result is -1 in either type.
    clamped = at_most(at_least(x, -40.0), _LIMITS[x.element][1])
    n, (s, s_low) = reduce(clamped)
    # (1 - 2**-k + s) * 2**k; 2**-k does not count where k is large.
    factor = power_of_two(-select(n > 100, 100, n))
    one, one_low = fast_sum(s.constant(1.0), -factor)
    total, rest = fast_sum(one, s)
    rest = rest + one_low
    return select(x.equals(0.0), x, scale(total + (rest + s_low), n))


def _expm1_pair(x: Lanes) -> tuple[Lanes, Pair]:
    """k, and exp(x) - 1 as a pair for 0 <= x < 60."""
    n, (s, s_low) = reduce(x)
    factor = power_of_two(n)
    total, rest = fast_sum(factor - 1.0, factor * s)
    return n, (total, rest + factor * s_low)


def tanh(x: Lanes) -> Lanes:
    """``e / (e + 2)`` with ``e = exp(2 |x|) - 1``."""
    if x.element == "float":
        return _tanh_single(x)
    _, (e, low) = _expm1_pair(at_most(abs(x) * 2.0, 40.0))
    d, d_low = exact_sum(e, e.constant(2.0))
    q, rest = divide((e, low), (d, d_low + low))
    return (q + rest).with_sign_of(x)


def _tanh_single(x: Lanes) -> Lanes:
    """``1 - 2 / (exp(2 |x|) + 1)``; near 0, where that loses digits, a polynomial."""
    a = at_most(abs(x), 10.0)
    far = 1.0 - 2.0 / (normal_exp(a + a) + 1.0)
    z = a * a
    near = fma(a * z, polynomial(z, polynomials.TANH["float"]), a)
    return select(a < 0.6, near, far).with_sign_of(x)


def logistic(x: Lanes, low: Lanes | None = None) -> tuple[Pair, Lanes]:
    """``1 / (1 + exp(-x - low))`` as a pair, times ``2**n``."""
    limit = -110.0 if x.element == "float" else -752.0
    negative = x < 0.0
    below = at_least(-abs(x), limit)
    if low is not None:
        low = select(below > limit, select(negative, low, -low), 0.0)
    n, (s, s_low) = reduce(below, low)
    top, rest = fast_sum(s.constant(1.0), s)
    rest = rest + s_low
    # exp(-|x|) beside 1: nothing is left of it long before its exponent ends.
    factor = power_of_two(select(n < -100, -100, n))
    d, d_low = fast_sum(s.constant(1.0), factor * top)
    share = divide(
        (select(negative, top, 1.0), select(negative, rest, 0.0)), (d, d_low + factor * rest)
    )
    return share, select(negative, n, 0)


def _single_logistic(x: Lanes) -> tuple[Pair, Lanes]:
    """``logistic`` in float32, to the error of one exp."""
    negative = x < 0.0
    m, n, k = _single(at_least(-abs(x), -110.0))
    d, low = fast_sum(m.constant(1.0), scale(m, n, k))
    share = divide((select(negative, m, 1.0), m.constant(0.0)), (d, low))
    return share, select(negative, n, 0)


def sigmoid(x: Lanes) -> Lanes:
    (q, low), n = _single_logistic(x) if x.element == "float" else logistic(x)
    return scale(q + low, n)


def silu(x: Lanes) -> Lanes:
    """``x sigmoid(x)``."""
    return times_share(x, *(_single_logistic(x) if x.element == "float" else logistic(x)))


def times_share(x: Lanes, share: Pair, n: Lanes) -> Lanes:
    """``x * share * 2**n`` for a share that ends at 0 on the left; NaN at -inf, as in PyTorch."""
    q, low = share
    inside = at_least(x, -1000.0)
    product = inside * q
    # Beyond the largest numbers the rest would be infinity less infinity.
    rest = fma(inside, low, fma(inside, q, -product))
    total = select(product < _LARGE[x.element], product + rest, product)
    return select(x.equals(-math.inf), math.nan, scale(total, n)).with_sign_of(x)


def gelu_tanh(x: Lanes) -> Lanes:
    """gelu's tanh form, ``x sigmoid(2 u)`` with ``u = sqrt(2 / pi) (x + 0.044715 x**3)``."""
    first, third = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715
    if x.element == "float":  # on the left as good as u, which exp magnifies the error of
        return x / (exp(-x * fma(x * x, third, first)) + 1.0)
    inner = at_most(at_least(x, -100.0), 100.0)
    # exp magnifies the error of u by u, so it is computed as a pair.
    square, square_low = exact_product(inner, inner)
    a, a_low = exact_product(square, third)
    a_low = fma(square, _THIRD_LOW, fma(square_low, third, a_low))
    slope, slope_low = exact_sum(a, a.constant(first))
    slope_low = slope_low + (a_low + _FIRST_LOW)
    u, u_low = exact_product(inner, slope)
    return times_share(x, *logistic(u, fma(inner, slope_low, u_low)))


def sinh(x: Lanes) -> Lanes:
    """``(e + e / (e + 1)) / 2`` with ``e = exp(|x|) - 1``."""
    if x.element == "float":
        return sinh(x.wide()).narrow()
    return _hyperbolic(x, odd=True).with_sign_of(x)


def cosh(x: Lanes) -> Lanes:
    """``(e + 1 / e) / 2`` with ``e = exp(|x|)``."""
    if x.element == "float":
        return cosh(x.wide()).narrow()
    return _hyperbolic(x, odd=False)


def _hyperbolic(x: Lanes, odd: bool) -> Lanes:
    n, (s, s_low) = reduce(at_most(abs(x), 711.0))
    # exp(-|x|) counts for nothing where k is above 60.
    factor = power_of_two(select(n > 60, 60, n))
    less, less_low = fast_sum(factor, factor.constant(-1.0))
    e, low = fast_sum(less, factor * s)
    low = low + fma(factor, s_low, less_low)
    d, d_low = exact_sum(e, e.constant(1.0))
    d_low = d_low + low
    if odd:
        q, rest = divide((e, low), (d, d_low))
        total, more = exact_sum(e, q)
        near = (total + (more + (low + rest))) * 0.5
    else:
        q, rest = divide((d.constant(1.0), d.constant(0.0)), (d, d_low))
        total, more = exact_sum(d, q)
        near = (total + (more + (d_low + rest))) * 0.5
    return select(n > 60, scale(plus_one((s, s_low)), n - 1), near)
