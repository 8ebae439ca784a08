"""Modified Bessel functions of the first kind, and the same times ``exp(-|x|)``: for float32.

To 8 a polynomial of x**2 / 4, as in the power series; beyond, one of 1 / x, as in the asymptotic
series, times ``exp(x) / sqrt(x)``. In float64 these lose up to two more units than is allowed here,
and a float32 needs none of them.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.exponential import exp
from cresset.compiler.vectormath.lanes import Lanes, at_most, polynomial, select


def i0(x: Lanes) -> Lanes:
    """NaN at infinity, as in PyTorch."""
    return _function(x, polynomials.I0["short"], polynomials.I0_FAR["short"])


def i0e(x: Lanes) -> Lanes:
    """``exp(-|x|) i0(x)``."""
    return _function(x, polynomials.I0["short"], polynomials.I0_FAR["short"], scaled=True)


def i1(x: Lanes) -> Lanes:
    return _function(x, polynomials.I1["short"], polynomials.I1_FAR["short"], odd=True)


def i1e(x: Lanes) -> Lanes:
    """``exp(-|x|) i1(x)``."""
    near, far = polynomials.I1["short"], polynomials.I1_FAR["short"]
    return _function(x, near, far, scaled=True, odd=True)


def _function(
    x: Lanes, near: tuple[float, ...], far: tuple[float, ...], scaled: bool = False,
    odd: bool = False,
) -> Lanes:  # fmt: skip
    """Both forms; ``odd`` ones have a factor of x near 0."""
    single, x = x.element == "float", x.wide() if x.element == "float" else x
    a = abs(x)
    low, high = at_most(a, 8.0), select(a > 8.0, a, 8.0)
    value = polynomial(low * low * 0.25, near)
    value = low * value if odd else value
    beyond = polynomial(1.0 / high, far) / high.sqrt()
    growth = exp(-low if scaled else high)
    if scaled:
        found = select(a > 8.0, beyond, value * growth)
    else:
        found = select(a > 8.0, beyond * growth, value)
        found = select(a.equals(math.inf), math.nan, found)
    found = select(a.unordered(a), a, found)
    found = select(x < 0.0, -found, found) if odd else found
    return found.narrow() if single else found
