"""Long float32 draws as machine code: the twister's words, uniform and normal numbers of them.

A kernel here computes what ``Generator.floats``, ``fma32`` and ``boxmuller`` compute, to the bit
(fused multiply-add is spelled out in float64 as there), at a tenth of the time: NumPy walks over a
block once for each of two hundred small steps. Making the code takes some 50 ms in a process that
has not compiled anything yet, so it is made when that many numbers were drawn.

The twister as one long sequence: word k + 624 follows from the words k, k + 1 and k + 397, so
sixteen at a time can be made. Its state between calls are 624 neighbours and a place among them.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from cresset.compiler.code import Code
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.core.modes import PROCESS
from cresset.random import boxmuller

_WORDS = 624
_LANES = 16
#: Numbers made per step of a loop: four blocks of 16, whose long chains of operations overlap.
_STEP = 64
#: Words made at a time: they stay in the cache between the loops.
_CHUNK = 52 * _WORDS
#: Fewer numbers than this are faster drawn by NumPy than brought here.
_FEWEST = 1 << 14
#: Numbers drawn with NumPy before the code is made: as long as that takes, about.
_WORTH_IT = 1 << 22


class _Drawn:
    numbers = 0


def kernels(count: int) -> Any:
    """The module, if ``count`` numbers should be drawn with it, else None."""
    if count < _FEWEST or not PROCESS.compile:
        return None
    _Drawn.numbers += count
    return _module() if _Drawn.numbers >= _WORTH_IT else None


def uniform(module: Any, generator: Any, out: np.ndarray, low: float, high: float) -> None:
    """Fill a float32 array as ``recipes.uniform`` does."""
    a, b = np.float32(low), np.float32(high)
    _fill(module.uniform, generator, out, float(b - a), float(a))


def normal(module: Any, generator: Any, out: np.ndarray, mean: float, std: float) -> None:
    """Fill a float32 array of whole blocks of 16 as ``boxmuller.normal_blocks`` does."""
    _fill(module.normal, generator, out, std, mean)


def _fill(kernel: Any, generator: Any, out: np.ndarray, scale: float, shift: float) -> None:
    words, position = generator.words()
    made = np.empty(_CHUNK + 3 * _WORDS, np.uint32)
    made[:_WORDS] = words
    rest = np.empty(_STEP, np.float32)
    start, target = made.ctypes.data, out.ctypes.data
    module = _module()
    for first in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - first)
        end = position + count
        last = (end - 1) // _WORDS * _WORDS  # the 624 words among which the next draw begins
        if last:
            module.words(start, last)
        whole = count - count % _STEP
        if whole:
            kernel(start + 4 * position, target + 4 * first, whole, scale, shift)
        if whole != count:
            kernel(start + 4 * (position + whole), rest.ctypes.data, _STEP, scale, shift)
            out[first + whole : first + count] = rest[: count - whole]
        made[:_WORDS] = made[last : last + _WORDS]
        position = end - last
    generator.set_words(made[:_WORDS], position)


# -- the code --------------------------------------------------------------------------------------


class _Module:
    """The functions; keeps their memory alive."""

    def __init__(self) -> None:
        from cresset.compiler.host import Module

        wide = 'attributes #0 = { nounwind "prefer-vector-width"="512" }'
        parts = [_words(), _numbers("uniform"), _numbers("normal"), wide]
        self._module = Module("\n".join(parts))
        pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        self.words = self._module.function("words", pointer, count)
        self.uniform = self._module.function("uniform", *[pointer] * 2, count, *[number] * 2)
        self.normal = self._module.function("normal", *[pointer] * 2, count, *[number] * 2)


@functools.cache
def _module() -> _Module:
    return _Module()


def _text(code: Code, name: str, arguments: str) -> str:
    body = "\n".join(
        [*sorted(code.declared), f"define i32 @{name}({arguments}) #0 {{", *code.lines]
    )
    return body + "\n  ret i32 0\n}\n"


def _vector(code: Code, kind: str, count: int, pointer: str, index: str) -> Lanes:
    return Lanes(code, kind, count, code.load(f"<{count} x {kind}>", pointer, index, align=4))


def _shifted(x: Lanes, places: int) -> Lanes:
    """``x >> places`` of unsigned numbers."""
    return (x >> places) & ((1 << 32 - places) - 1)


def _words() -> str:
    """Words 624 to 624 + count of a sequence of which the first 624 are there."""
    code = Code()
    with code.loop("%count", _LANES) as i:
        this = _vector(code, "i32", _LANES, "%words", i)
        after = _vector(code, "i32", _LANES, "%words", code.plus(i, 1))
        middle = _vector(code, "i32", _LANES, "%words", code.plus(i, 397))
        both = (this & -0x80000000) | (after & 0x7FFFFFFF)
        twist = -(after & 1) & (0x9908B0DF - 2**32)
        made = middle ^ _shifted(both, 1) ^ twist
        code.store(made.kind, made.register, "%words", code.plus(i, _WORDS), align=4)
    return _text(code, "words", "ptr %words, i64 %count")


def _numbers(name: str) -> str:
    """``out[i] = word[i] * scale + shift``, or normal numbers; ``count`` is whole steps."""
    code = Code()
    with code.loop("%count", _STEP) as i:
        parts = [_vector(code, "i32", 8, "%words", code.plus(i, 8 * k)) for k in range(8)]
        halves = [_uniform(_joined(code, parts[k::2])) for k in range(2)]
        scale, shift = (
            Lanes(code, "float", _STEP // 2, code.splat("float", _STEP // 2, name))
            for name in ("%scale", "%shift")
        )
        if name == "normal":
            halves = _normal(*halves)
        for k, half in enumerate(halves):
            made = _fma32(half, scale, shift)
            for j in range(4):
                part = code.piece("float", made.register, _STEP // 2, 8 * j, 8)
                code.store("<8 x float>", part, "%out", code.plus(i, 16 * j + 8 * k), align=4)
    return _text(code, name, "ptr %words, ptr %out, i64 %count, float %scale, float %shift")


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


def _fma32(a: Lanes, b: Lanes | float, c: Lanes | float) -> Lanes:
    wide = a.wide() * a._as(b).wide()
    return (wide + a._as(c).wide()).narrow()


def _polynomial(coefficients: tuple, x: Lanes) -> Lanes:
    y = x.constant(coefficients[0])
    for c in coefficients[1:]:
        y = _fma32(y, x, c)
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
    y = _fma32(y, square, e * -2.12194440e-4)
    y = _fma32(-square, 0.5, y)
    return _fma32(e, 0.693359375, x + y)


def _sin_cos(x: Lanes) -> tuple[Lanes, Lanes]:
    octant = (x * 1.27323954473516)._convert("fptosi", "i32")
    octant = (octant + 1) & ~1
    steps = octant.number()
    for part in boxmuller.QUARTER_PI:
        x = _fma32(steps, part, x)
    square = x * x
    c = _polynomial(boxmuller.COS, square) * square
    c = _fma32(c, square, -(square * 0.5)) + 1.0
    s = _polynomial(boxmuller.SIN, square) * square
    s = _fma32(s, x, x)
    straight = (octant & 2).equals(0)
    sine, cosine = select(straight, s, c), select(straight, c, s)
    return (
        select((octant & 4).equals(0), sine, -sine),
        select(((octant - 2) & 4).equals(0), -cosine, cosine),
    )
