"""asin, acos, atan and atan2.

asin is ``x + x**3 P(x**2)`` to 1/2 and ``pi / 2 - 2 asin(sqrt((1 - x) / 2))`` beyond. atan is
such a polynomial to tan(pi / 8); larger arguments are turned by pi / 4 or pi / 2 first. Quotients
and roots are kept as pairs.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.lanes import (
    Lanes,
    Pair,
    divide,
    exact_sum,
    fast_sum,
    fma,
    polynomial,
    select,
)

#: pi as a pair; halves and quarters of both parts are exact.
_PI = (3.141592653589793, 1.2246467991473532e-16)


def _arcsine(x: Lanes) -> tuple[Lanes, Lanes, Pair]:
    """Where |x| > 1/2, and asin as a pair of |x|, or there of ``sqrt((1 - |x|) / 2)``."""
    a = abs(x)
    far = a > 0.5
    z = select(far, fma(a, -0.5, 0.5), a * a)
    root = z.sqrt()
    # Of the root squared, z is missed by a rounding; a root of 0 misses nothing.
    lost = fma(-root, root, z) / select(root.equals(0.0), 1.0, root + root)
    y = select(far, root, a)
    low = select(far, lost, 0.0)
    return far, a, (y, fma(y * z, polynomial(z, polynomials.ASIN[x.precision]), low))


def asin(x: Lanes) -> Lanes:
    if x.element == "float":
        return asin(x.wide()).narrow()
    far, _, (y, low) = _arcsine(x)
    total, rest = fast_sum(y.constant(_PI[0] / 2), y * -2.0)
    turned = total + (rest + fma(low, -2.0, _PI[1] / 2))
    return select(far, turned, y + low).with_sign_of(x)


def acos(x: Lanes) -> Lanes:
    if x.element == "float":
        return acos(x.wide()).narrow()
    far, _, (y, low) = _arcsine(x)
    # pi / 2 - asin(x) near 0; 2 asin(root) at the right end; pi less that at the left.
    negative = x < 0.0
    sign = select(negative, x.constant(1.0), -1.0)
    base = select(far, select(negative, x.constant(_PI[0]), 0.0), _PI[0] / 2)
    base_low = select(far, select(negative, x.constant(_PI[1]), 0.0), _PI[1] / 2)
    factor = select(far, select(negative, x.constant(-2.0), 2.0), sign)
    total, rest = exact_sum(base, y * factor)
    return total + (rest + fma(low, factor, base_low))


def _turned(y: Lanes, x: Lanes) -> Pair:
    """atan(y / x) as a pair for y, x >= 0, not both infinite."""
    # The larger below: t <= 1; then turned by pi / 4 where t is above tan(pi / 8).
    steep = y > x
    n, d = select(steep, x, y), select(steep, y, x)
    middle = n > d * (math.sqrt(2) - 1)
    top, top_low = exact_sum(n, -d)
    bottom, bottom_low = exact_sum(d, n)
    zero = n.constant(0.0)
    t, t_low = divide(
        (select(middle, top, n), select(middle, top_low, zero)),
        (select(middle, bottom, d), select(middle, bottom_low, zero)),
    )
    t, t_low = fast_sum(t, t_low)
    z = t * t
    t_low = fma(t * z, polynomial(z, polynomials.ATAN[t.precision]), t_low)
    base = select(middle, zero.constant(_PI[0] / 4), 0.0)
    base_low = select(middle, zero.constant(_PI[1] / 4), 0.0)
    total, rest = fast_sum(base, t)
    low = rest + (t_low + base_low)
    # pi / 2 less that, for y > x.
    sign = select(steep, zero.constant(-1.0), 1.0)
    far, far_rest = fast_sum(select(steep, zero.constant(_PI[0] / 2), 0.0), total * sign)
    return far, far_rest + fma(low, sign, select(steep, zero.constant(_PI[1] / 2), 0.0))


def atan(x: Lanes) -> Lanes:
    if x.element == "float":
        return atan(x.wide()).narrow()
    a = abs(x)
    angle, low = _turned(select(a > 1e300, 1e300, a), a.constant(1.0))
    return (angle + low).with_sign_of(x)


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y)."""
    if y.element == "float":
        return atan2(y.wide(), x.wide()).narrow()
    a, b = abs(y), abs(x)
    n, d = a, b
    if not y.short:
        # Towards the middle of the exponents, so that sums and products stay among the numbers.
        larger = select(a > b, a, b)
        lift = select(larger < 2.0**-500, y.constant(2.0**600), 1.0)
        factor = select(larger > 2.0**500, 2.0**-600, lift)
        n, d = a * factor, b * factor
    # An infinity is as 1 beside 0, or beside another infinity as 1 beside 1; 0 / 0 is as 0 / 1.
    high, wide = a.equals(math.inf), b.equals(math.inf)
    n = select(high, 1.0, select(wide, 0.0, n))
    d = select(wide | (a.equals(0.0) & b.equals(0.0)), 1.0, select(high, 0.0, d))
    angle, low = _turned(n, d)
    behind = x.bits() < 0
    sign = select(behind, y.constant(-1.0), 1.0)
    total, rest = fast_sum(select(behind, y.constant(_PI[0]), 0.0), angle * sign)
    result = total + (rest + fma(low, sign, select(behind, y.constant(_PI[1]), 0.0)))
    return select(y.unordered(x), math.nan, result.with_sign_of(y))
