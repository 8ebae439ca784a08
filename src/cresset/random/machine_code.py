"""The text of ``machine``'s kernels: the twister's words, and numbers made of them, as LLVM IR."""

from __future__ import annotations

import numpy as np

from cresset.compiler.code import Code
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.random import boxmuller
from cresset.random.machine import STEP, WORDS

_LANES = 16


def text() -> str:
    """The functions ``words``, ``uniform`` and ``normal``."""
    wide = 'attributes #0 = { nounwind "prefer-vector-width"="512" }'
    return "\n".join([_words(), _numbers("uniform"), _numbers("normal"), wide])


def function_text(code: Code, name: str, arguments: str) -> str:
    body = "\n".join(
        [*sorted(code.declared), f"define i32 @{name}({arguments}) #0 {{", *code.lines]
    )
    return body + "\n  ret i32 0\n}\n"


def vector(code: Code, kind: str, count: int, pointer: str, index: str) -> Lanes:
    return Lanes(code, kind, count, code.load(f"<{count} x {kind}>", pointer, index, align=4))


def _shifted(x: Lanes, places: int) -> Lanes:
    """``x >> places`` of unsigned numbers."""
    return (x >> places) & ((1 << 32 - places) - 1)


def _words() -> str:
    """Words 624 to 624 + count of a sequence of which the first 624 are there."""
    code = Code()
    with code.loop("%count", _LANES) as i:
        this = vector(code, "i32", _LANES, "%words", i)
        after = vector(code, "i32", _LANES, "%words", code.plus(i, 1))
        middle = vector(code, "i32", _LANES, "%words", code.plus(i, 397))
        both = (this & -0x80000000) | (after & 0x7FFFFFFF)
        twist = -(after & 1) & (0x9908B0DF - 2**32)
        made = middle ^ _shifted(both, 1) ^ twist
        code.store(made.kind, made.register, "%words", code.plus(i, WORDS), align=4)
    return function_text(code, "words", "ptr %words, i64 %count")


def _numbers(name: str) -> str:
    """``out[i] = word[i] * scale + shift``, or normal numbers; ``count`` is whole steps."""
    code = Code()
    with code.loop("%count", STEP) as i:
        parts = [vector(code, "i32", 8, "%words", code.plus(i, 8 * k)) for k in range(8)]
        halves = [_uniform(_joined(code, parts[k::2])) for k in range(2)]
        scale, shift = (
            Lanes(code, "float", STEP // 2, code.splat("float", STEP // 2, name))
            for name in ("%scale", "%shift")
        )
        if name == "normal":
            halves = _normal(*halves)
        for k, half in enumerate(halves):
            made = fma32(half, scale, shift)
            for j in range(4):
                part = code.piece("float", made.register, STEP // 2, 8 * j, 8)
                code.store("<8 x float>", part, "%out", code.plus(i, 16 * j + 8 * k), align=4)
    return function_text(code, name, "ptr %words, ptr %out, i64 %count, float %scale, float %shift")


def _joined(code: Code, parts: list[Lanes]) -> Lanes:
    register = code.join("i32", [part.register for part in parts], 8)
    return Lanes(code, "i32", 8 * len(parts), register)


def _uniform(y: Lanes) -> Lanes:
    """Uniform numbers of 24 bits from words."""
    y = y ^ _shifted(y, 11)
    y = y ^ ((y << 7) & (0x9D2C5680 - 2**32))
    y = y ^ ((y << 15) & (0xEFC60000 - 2**32))
    y = y ^ _shifted(y, 18)
    return (y & 0xFFFFFF).number() * 2.0**-24


def fma32(a: Lanes, b: Lanes | float, c: Lanes | float) -> Lanes:
    wide = a.wide() * a._as(b).wide()
    return (wide + a._as(c).wide()).narrow()


def _polynomial(coefficients: tuple, x: Lanes) -> Lanes:
    y = x.constant(coefficients[0])
    for c in coefficients[1:]:
        y = fma32(y, x, c)
    return y


def _normal(u: Lanes, angle: Lanes) -> list[Lanes]:
    """The two halves of blocks, before ``std`` and ``mean`` (``boxmuller.normal_blocks``)."""
    radius = (-2.0 * _log(1.0 - u)).sqrt()
    sine, cosine = _sin_cos(angle * (2 * np.pi))
    return [radius * cosine, radius * sine]


def _log(x: Lanes) -> Lanes:
    bits = x.bits()
    e = ((bits >> 23) - 0x7F).number() + 1.0
    x = ((bits & ~0x7F800000) | 0x3F000000).floats()
    small = x < 0.707106781186547524
    x, e = (x - 1.0) + select(small, x, 0.0), e - select(small, x.constant(1.0), 0.0)
    square = x * x
    y = _polynomial(boxmuller.LOG, x) * x
    y = fma32(y, square, e * -2.12194440e-4)
    y = fma32(-square, 0.5, y)
    return fma32(e, 0.693359375, x + y)


def _sin_cos(x: Lanes) -> tuple[Lanes, Lanes]:
    octant = (x * 1.27323954473516)._convert("fptosi", "i32")
    octant = (octant + 1) & ~1
    steps = octant.number()
    for part in boxmuller.QUARTER_PI:
        x = fma32(steps, part, x)
    square = x * x
    c = _polynomial(boxmuller.COS, square) * square
    c = fma32(c, square, -(square * 0.5)) + 1.0
    s = _polynomial(boxmuller.SIN, square) * square
    s = fma32(s, x, x)
    straight = (octant & 2).equals(0)
    sine, cosine = select(straight, s, c), select(straight, c, s)
    return (
        select((octant & 4).equals(0), sine, -sine),
        select(((octant - 2) & 4).equals(0), -cosine, cosine),
    )
