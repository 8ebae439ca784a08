"""Quotients and remainders, rounded down or towards zero: of whole numbers, and exact for floats.

What is left of ``x / y`` is ``x - q y`` for the quotient q without its fraction. Where q fits the
digits of the type, that is one fused multiplication, and at most one y too little. Where it does
not, mantissas are divided some bits at a time, as one does by hand; no step rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cresset.compiler.code import mangle
from cresset.compiler.vectormath.exponential import power_of_two, scale
from cresset.compiler.vectormath.lanes import FORMATS, Lanes, fma, select

# -- whole numbers ---------------------------------------------------------------------------------


def _quotient(x: Lanes, y: Lanes, floor: bool) -> Lanes:
    """``x / y`` cut towards zero, or rounded down, where y is not 0."""
    if x.element != "i64":
        # Exact in double: the quotient of two such numbers is far enough from other whole ones.
        wide = x._convert("sitofp", "double") / y._convert("sitofp", "double")
        cut = wide.intrinsic("floor" if floor else "trunc")
        return cut._convert("fptosi", "i64")._convert("trunc", x.element)
    # The processor stops at 0, and at the lowest number over -1.
    negated = y.equals(-1)
    cut = select(negated, -x, x / select(negated | y.equals(0), 1, y))
    if not floor:
        return cut
    rest = x - cut * y
    return select(~rest.equals(0) & ((rest < 0) ^ (y < 0)), cut - 1, cut)


# -- floats ----------------------------------------------------------------------------------------

#: Bits of the quotient that a step finds.
_STEP = {"float": 20, "double": 48}


def fmod(x: Lanes, y: Lanes) -> Lanes:
    """What is left of ``x / y`` cut towards zero: exact, with the sign of x."""
    c = x.code
    a, b = abs(x), abs(y)
    q = (a / b).intrinsic("trunc")
    rest = fma(-q, b, a)
    rest = select(rest < 0.0, rest + b, rest)
    large = ~(q < 2.0 ** (_STEP[x.element] + 2)) & (a < math.inf) & (b > 0.0)
    place = c.slot(x.kind, rest.register)
    with c.when(large.any()):
        slow = _long_division(select(large, a, 1.0), select(large, b, 1.0))
        c.set(x.kind, place, select(large, slow, rest).register)
    rest = x.like(x.element, c.get(x.kind, place))
    return select(b.equals(math.inf) & (a < math.inf), x, rest.with_sign_of(x))


def _parts(x: Lanes) -> tuple[Lanes, Lanes]:
    """The mantissa, from 1 to 2, and the exponent of positive finite x."""
    width, mantissa, bias = FORMATS[x.element]
    tiny = x < 2.0 ** (1 - bias)
    bits = select(tiny, x * 2.0 ** (mantissa + 1), x).bits()
    exponent = (bits >> mantissa) - bias
    low = (bits & ((1 << mantissa) - 1)) | (bias << mantissa)
    return low.floats(), select(tiny, exponent - (mantissa + 1), exponent)


def _long_division(x: Lanes, y: Lanes) -> Lanes:
    """The remainder of positive finite numbers."""
    c, most = x.code, _STEP[x.element]
    (m, high), (n, low) = _parts(x), _parts(y)
    left = select(high > low, high - low, 0)
    rests, lefts = c.slot(m.kind, m.register), c.slot(left.kind, left.register)
    longest = left.register
    if left.count:
        name = f"llvm.vector.reduce.smax.{mangle(left.kind)}"
        c.declare(f"{left.element} @{name}({left.kind})")
        longest = c.let(f"call {left.element} @{name}({left.kind} {longest})")
    if left.element == "i32":
        longest = c.let(f"sext i32 {longest} to i64")
    steps = c.plus(c.let(f"udiv i64 {longest}, {most}"), 1)
    with c.loop(steps):
        rest = m.like(m.element, c.get(m.kind, rests))
        some = left.like(left.element, c.get(left.kind, lefts))
        step = some.intrinsic("smin", most)
        rest = rest * power_of_two(step)
        q = (rest / n).intrinsic("trunc")
        rest = fma(-q, n, rest)
        rest = select(rest < 0.0, rest + n, rest)
        c.set(m.kind, rests, rest.register)
        c.set(left.kind, lefts, (some - step).register)
    return scale(m.like(m.element, c.get(m.kind, rests)), low)


def remainder(x: Lanes, y: Lanes) -> Lanes:
    """What is left of ``x / y`` rounded down: it has the sign of y, or is a zero like x."""
    rest = fmod(x, y)
    return select(~rest.equals(0.0) & ((y < 0.0) ^ (rest < 0.0)), rest + y, rest)


def floor_divide(x: Lanes, y: Lanes) -> Lanes:
    """``x / y`` rounded down as Python does it, from the remainder; ``x / 0`` stays what it is."""
    rest, plain = fmod(x, y), x / y
    q = (x - rest) / y
    q = select(~rest.equals(0.0) & ((y < 0.0) ^ (rest < 0.0)), q - 1.0, q)
    down = q.intrinsic("floor")
    down = select(q - down > 0.5, down + 1.0, down)
    down = select(q.equals(0.0), q.constant(0.0).with_sign_of(plain), down)
    return select(y.equals(0.0), plain, down)


def _both(whole: Callable[..., Lanes], floating: Callable[..., Lanes]) -> Callable[..., Lanes]:
    return lambda x, y: (floating if x.element in FORMATS else whole)(x, y)


#: By the op's name.
DIVISIONS: dict[str, Callable[..., Lanes]] = {
    "floor_divide": _both(lambda x, y: _quotient(x, y, floor=True), floor_divide),
    "trunc_divide": _both(
        lambda x, y: _quotient(x, y, floor=False), lambda x, y: (x / y).intrinsic("trunc")
    ),
    "remainder": _both(lambda x, y: x - _quotient(x, y, floor=True) * y, remainder),
    "fmod": _both(lambda x, y: x - _quotient(x, y, floor=False) * y, fmod),
}
