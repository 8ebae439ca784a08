"""The inverse of the error function.

``erfinv(x) / x`` is smooth in ``w = -log(1 - x**2)``, and far out in its root (Giles, 2010). For
float64 a step of Halley's method follows, on erf, or on erfc where erf is near 1.
"""

from __future__ import annotations

import math

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.error import erf, erfc
from cresset.compiler.vectormath.exponential import exp
from cresset.compiler.vectormath.lanes import Lanes, at_least, at_most, fma, polynomial, select
from cresset.compiler.vectormath.logarithm import log

_HALF_ROOT_PI = 0.886226925452758


def erfinv(x: Lanes) -> Lanes:
    """Infinite at 1 and -1, NaN beyond."""
    if x.element == "float":
        return erfinv(x.wide()).narrow()
    a = abs(x)
    b = select(a < 1.0, a, 0.0)
    w = -log((1.0 - b) * (1.0 + b))
    near = polynomial(at_most(w, 5.0), polynomials.ERFINV["short"])
    table = polynomials.ERFINV_FAR if x.short else polynomials.ERFINV_START
    far = polynomial(at_least(w, 5.0).sqrt(), table[x.precision])
    y = b * select(w < 5.0, near, far)
    if not x.short:
        missing = select(b < 0.5, erf(y) - b, (1.0 - b) - erfc(y))
        step = missing * _HALF_ROOT_PI * exp(y * y)
        y = y - step / fma(y, step, 1.0)
    y = select(a < 1.0, y, select(a.equals(1.0), x.constant(math.inf), math.nan))
    return y.with_sign_of(x)
