"""The error function, its complement, and gelu.

Near 0 ``erf(x) = x + x P(x**2)``. Elsewhere ``erfc(a) = exp(-a**2) Q(t) / (a + 2)`` with
``t = (a - 2) / (a + 2)``, for which one polynomial reaches from 0 to where erfc vanishes (Shepherd
and Laframboise, 1981). Φ(x) of gelu is half an erfc, so that gelu keeps its digits on the left,
where ``1 + erf`` would lose them. In float32 gelu is made for speed: half the work of an erf.
"""

from __future__ import annotations

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.exponential import (
    nearest,
    normal_exp,
    power_of_two,
    reduce,
    scale,
    times_share,
)
from cresset.compiler.vectormath.lanes import (
    Lanes,
    Pair,
    at_least,
    at_most,
    exact_product,
    exact_sum,
    fast_sum,
    fma,
    polynomial,
    select,
)

#: sqrt(1 / 2) as a pair.
_ROOT_HALF = (0.7071067811865476, -4.833646656726457e-17)


def _tail(argument: Pair, square: Pair) -> tuple[Pair, Lanes]:
    """``erfc(a)`` as a pair, times 2**n; ``square`` is a**2. For a from 0 to the table's end."""
    a, a_low = argument
    n, (s, s_low) = reduce(-square[0], -square[1])
    top, rest = fast_sum(s.constant(1.0), s)
    rest = rest + s_low
    d, d_low = exact_sum(a, a.constant(2.0))
    inverse = 1.0 / d
    m, m_low = exact_sum(a, a.constant(-2.0))
    t = m * inverse
    if a.short:
        value = polynomial(t, polynomials.ERFC_NEAR["short"]) * inverse
        return (value * top, value * rest), n
    terms = polynomials.ERFC["double"]
    d_low, m_low = d_low + a_low, m_low + a_low
    t_low = fma(-t, d, m) + fma(-t, d_low, m_low)
    step, step_low = exact_product(t, polynomial(t, terms[1:]))
    q, q_low = exact_sum(step, step.constant(terms[0]))
    v = q * inverse
    # What rounding cost t, through the first terms of Q's derivative.
    slope = polynomial(t, (terms[1], 2 * terms[2], 3 * terms[3])) * inverse
    q_low = fma(slope, t_low, q_low + step_low)
    v_low = (q_low + fma(-v, d_low, fma(-v, d, q))) * inverse
    product, low = exact_product(v, top)
    return (product, fma(v, rest, fma(v_low, top, low))), n


def _complement(whole: float, tail: Pair, n: Lanes) -> Pair:
    """``whole - tail * 2**n`` as a pair, for tails below ``whole``."""
    factor = power_of_two(select(n < -100, -100, n))
    total, rest = fast_sum(tail[0].constant(whole), -(tail[0] * factor))
    return total, rest - tail[1] * factor


def erf(x: Lanes) -> Lanes:
    if x.element == "float":
        return _erf_single(x)
    a = at_most(abs(x), 7.0)
    z = a * a
    near = fma(x, polynomial(z, polynomials.ERF[x.precision]), x)
    total, rest = _complement(1.0, *_tail((a, a.constant(0.0)), exact_product(a, a)))
    # The sign also makes -0.0 of -0.0.
    return select(a < 1.0, near, total + rest).with_sign_of(x)


def _erf_single(x: Lanes) -> Lanes:
    """From 1 on ``1 - exp(R(a))``: what is subtracted is small, so its digits count for little."""
    a = at_most(abs(x), 4.0)
    near = fma(x, polynomial(a * a, polynomials.ERF["float"]), x)
    far = 1.0 - normal_exp(polynomial(a, polynomials.ERF_FAR["float"]))
    return select(a < 1.0, near, far).with_sign_of(x)


def erfc(x: Lanes) -> Lanes:
    if x.element == "float":
        return erfc(x.wide()).narrow()
    a = at_most(abs(x), 10.6 if x.short else 27.6)
    tail, n = _tail((a, a.constant(0.0)), exact_product(a, a))
    total, rest = _complement(2.0, tail, n)
    return select(x < 0.0, total + rest, scale(tail[0] + tail[1], n))


def _gelu_single(x: Lanes) -> Lanes:
    """``max(x, 0) - |x| Φ(-|x|)``: to half a unit of x.

    On the left its digits are good to about four places, where ``1 + erf`` has none.
    """
    a = abs(at_most(x, 3e38))  # infinity times no tail would be NaN
    p = polynomial(a, polynomials.NORMAL_TAIL["float"])
    k, n = nearest(p)
    r = p - k
    m = fma(r, polynomial(r, polynomials.EXP2["float"]), 1.0)
    tail = m.scaled(k)
    if tail is None:
        tail = m * power_of_two(n)
    return fma(-a, select(a > 5.7, 0.0, tail), at_least(x, 0.0))


def gelu(x: Lanes) -> Lanes:
    """``x Φ(x)`` with ``Φ(x) = erfc(-x / sqrt(2)) / 2``."""
    if x.element == "float":
        return _gelu_single(x)
    limit = 39.0
    inside = at_most(at_least(x, -limit), limit)
    a, a_low = exact_product(abs(inside), _ROOT_HALF[0])
    a_low = fma(abs(inside), _ROOT_HALF[1], a_low)
    (v, low), n = _tail((a, a_low), exact_product(inside * 0.5, inside))
    v, low = v * 0.5, low * 0.5
    total, rest = _complement(1.0, (v, low), n)
    negative = x < 0.0
    share = select(negative, v, total), select(negative, low, rest)
    return times_share(x, share, select(negative, n, 0))
