"""lgamma and digamma, for float32 results: computed in float64, to about ten digits.

Between 1 and 3, where lgamma has its zeros (between 1 and 2, digamma), a polynomial with the zeros
split off. Small numbers are moved there by the recurrences ``gamma(x + 1) = x gamma(x)``; large
ones have Stirling's series; negative ones are reflected.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.lanes import Lanes, at_least, at_most, fma, polynomial, select
from cresset.compiler.vectormath.logarithm import log
from cresset.compiler.vectormath.trigonometry import cos, sin

_HALF_LOG_2PI = 0.9189385332046727
#: digamma's zero as a pair.
_ROOT = (1.4616321449683622, 9.549995429965697e-17)


def lgamma(x: Lanes) -> Lanes:
    """The logarithm of the absolute gamma function of a float32."""
    wide = x.wide() if x.element == "float" else x
    a = abs(wide)
    negative = wide < 0.0
    value = _lgamma_positive(a)
    c = x.code
    slot = c.slot(value.kind, value.register)
    with c.when(negative.any()):
        # Whole numbers divide by 0.
        part = a - a.intrinsic("rint")
        other = log(math.pi / (a * abs(sin(part * math.pi)))) - value
        c.set(value.kind, slot, select(negative, other, value).register)
    value = value.like("double", c.get(value.kind, slot))
    value = select(a < math.inf, value, a)
    return value.narrow() if x.element == "float" else value


def _lgamma_positive(a: Lanes) -> Lanes:
    """Down to 1 <= x < 3 for a < 8."""
    small, large = a < 1.0, a >= 8.0
    x = select(large, 2.0, select(small, a + 1.0, a))
    product = a.constant(1.0)
    for _ in range(5):
        above = x >= 3.0
        down = x - 1.0
        product = select(above, product * down, product)
        x = select(above, down, x)
    u = x - 2.0
    near = u * (u + 1.0) * polynomial(u, polynomials.LGAMMA["short"])
    logarithm = log(select(small | large, a, product))
    near = select(small, near - logarithm, near + logarithm)
    far = at_least(at_most(a, 1e300), 8.0)
    inverse = 1.0 / far
    series = polynomial(inverse * inverse, polynomials.STIRLING["short"]) * inverse
    stirling = ((far - 0.5) * logarithm - far) + (series + _HALF_LOG_2PI)
    return select(large, stirling, near)


def digamma(x: Lanes) -> Lanes:
    """The derivative of lgamma, of a float32; infinite at 0, NaN at negative whole numbers."""
    wide = x.wide() if x.element == "float" else x
    negative = wide < 0.0
    value = _digamma_positive(select(negative, 1.0 - wide, wide))
    c = x.code
    slot = c.slot(value.kind, value.register)
    with c.when(negative.any()):
        part = (wide - wide.intrinsic("rint")) * math.pi
        other = value - math.pi * (cos(part) / sin(part))
        other = select(part.equals(0.0), math.nan, other)
        c.set(value.kind, slot, select(negative, other, value).register)
    value = value.like("double", c.get(value.kind, slot))
    value = select(wide.equals(0.0), wide.constant(math.inf).with_sign_of(-wide), value)
    value = select(wide.equals(math.inf), wide, value)
    return value.narrow() if x.element == "float" else value


def _digamma_positive(a: Lanes) -> Lanes:
    """Down to 1 <= x < 2 for a < 6."""
    small, large = a < 1.0, a >= 6.0
    x = select(large, 1.5, select(small, a + 1.0, a))
    total = select(small & (a > 0.0), -1.0 / select(a > 0.0, a, 1.0), 0.0)
    for _ in range(4):
        above = x >= 2.0
        down = x - 1.0
        total = select(above, total + 1.0 / down, total)
        x = select(above, down, x)
    from_root = (x - _ROOT[0]) - _ROOT[1]
    near = fma(from_root, polynomial(x - 1.5, polynomials.DIGAMMA["short"]), total)
    far = at_least(at_most(a, 1e300), 6.0)
    inverse = 1.0 / far
    square = inverse * inverse
    series = polynomial(square, polynomials.DIGAMMA_FAR["short"]) * square
    return select(large, log(far) - inverse * 0.5 - series, near)
