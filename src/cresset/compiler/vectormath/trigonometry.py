"""sin, cos and tan.

``x = k pi / 2 + r`` with ``|r| <= pi / 4``; k modulo 4 says which of sin(r) and cos(r) it is, and
with which sign. pi / 2 is subtracted in three parts of 53 bits (Cody and Waite, 1980): the first
difference is exact, as fma rounds once, and what the second loses is computed. r is kept as a pair,
since it can be small where x is not.

Beyond ``_FAR`` three parts are not enough. A vector with such a lane calls the C library's function
for it; that is the only branch of the vector functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cresset.compiler.vectormath import polynomials
from cresset.compiler.vectormath.exponential import nearest
from cresset.compiler.vectormath.lanes import (
    Lanes,
    Pair,
    divide,
    exact_product,
    exact_sum,
    fast_sum,
    fma,
    polynomial,
    select,
)

#: pi / 2 in three parts, and its inverse.
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_PER_HALF_PI = 0.6366197723675814
#: Up to here k has so few bits that every step of the reduction is exact enough.
_FAR = 2.0**30


def _reduce(x: Lanes) -> tuple[Lanes, Pair]:
    """k as an int, and r."""
    k, n = nearest(x * _PER_HALF_PI)
    start = fma(k, -_HALF_PI[0], x)
    if x.short:
        r = fma(k, -_HALF_PI[1], start)
        return n, (r, r.constant(0.0))
    step, step_low = exact_product(k, _HALF_PI[1])
    r, rest = exact_sum(start, -step)
    return n, fast_sum(r, (rest - step_low) - k * _HALF_PI[2])


def _sine(r: Pair) -> Pair:
    x, low = r
    z = x * x
    tail = x * z * polynomial(z, polynomials.SIN[x.precision])
    return fast_sum(x, fma(low, fma(z, -0.5, 1.0), tail))


def _cosine(r: Pair) -> Pair:
    x, low = r
    z = x * x
    half = z * 0.5
    top = 1.0 - half
    rest = (1.0 - top) - half
    tail = fma(z * z, polynomial(z, polynomials.COS[x.precision]), rest)
    return fast_sum(top, fma(-x, low, tail))


def _sum(pair: Pair) -> Lanes:
    return pair[0] + pair[1]


def sin(x: Lanes) -> Lanes:
    return _or_library("sin", x, lambda v: _wave(v, 0))


def cos(x: Lanes) -> Lanes:
    return _or_library("cos", x, lambda v: _wave(v, 1))


def tan(x: Lanes) -> Lanes:
    return _or_library("tan", x, _tan)


def _wave(x: Lanes, quarter: int) -> Lanes:
    """sin(x + quarter * pi / 2)."""
    n, r = _reduce(x)
    if quarter:
        n = n + quarter
    sine, cosine = _sum(_sine(r)), _sum(_cosine(r))
    value = select((n & 1).equals(0), sine, cosine)
    value = select((n & 2).equals(0), value, -value)
    # A zero's sign is lost on the way.
    return value if quarter else select(x.equals(0.0), x, value)


def _tan(x: Lanes) -> Lanes:
    n, r = _reduce(x)
    (s, s_low), (c, c_low) = _sine(r), _cosine(r)
    even = (n & 1).equals(0)
    q, rest = divide(
        (select(even, s, -c), select(even, s_low, -c_low)),
        (select(even, c, s), select(even, c_low, s_low)),
    )
    return select(x.equals(0.0), x, q + rest)


def _or_library(name: str, x: Lanes, function: Callable[[Lanes], Lanes]) -> Lanes:
    """``function``; in lanes that are too large for it, the C library's function ``name``."""
    if x.element == "float":
        return _or_library(name, x.wide(), function).narrow()
    c = x.code
    near = function(x)
    slot = c.slot(x.kind, near.register)
    # Infinities and NaN need no call: the reduction makes NaN of them.
    far = (abs(x) > _FAR) & (abs(x) < math.inf)
    with c.when(far.any()):
        c.declare(f"double @{name}(double)")
        if not x.count:
            c.set(x.kind, slot, c.let(f"call double @{name}(double {x.register})"))
        else:
            result = near
            for i in range(x.count):
                lane = c.let(f"extractelement {x.kind} {x.register}, i64 {i}")
                value = c.let(f"call double @{name}(double {lane})")
                filled = f"insertelement {x.kind} {result.register}, double {value}, i64 {i}"
                result = result.like("double", c.let(filled))
            c.set(x.kind, slot, select(far, result, near).register)
    return near.like("double", c.get(x.kind, slot))
