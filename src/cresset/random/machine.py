"""Long float32 draws as machine code: the twister's words, uniform and normal numbers of them.

A kernel here computes what ``Generator.floats``, ``fma32`` and ``boxmuller`` compute, to the bit
(fused multiply-add is spelled out in float64 as there), at a tenth of the time: NumPy walks over a
block once for each of two hundred small steps. Making the code takes some 50 ms in a process that
has not compiled anything yet, so it is made when that many numbers were drawn.

The code is told by ``machine_code``, which is imported when it is made: ``import cresset`` must not
pay for the compiler.

The twister as one long sequence: word k + 624 follows from the words k, k + 1 and k + 397, so
sixteen at a time can be made. Its state between calls are 624 neighbours and a place among them.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from typing import Any

import numpy as np

from cresset.core.modes import PROCESS

#: The twister's state.
WORDS = 624
#: Numbers made per step of a loop: four blocks of 16, whose long chains of operations overlap.
STEP = 64
#: Words made at a time: they stay in the cache between the loops.
_CHUNK = 52 * WORDS
#: Fewer numbers than this are faster drawn by NumPy than brought here.
_FEWEST = 1 << 14
#: Numbers drawn with NumPy before the code is made: as long as that takes, about.
_WORTH_IT = 1 << 22


class _Drawn:
    numbers = 0


def kernels(count: int) -> _Module | None:
    """The module, if ``count`` numbers should be drawn with it, else None."""
    if count < _FEWEST or not PROCESS.compile:
        return None
    _Drawn.numbers += count
    return _module() if _Drawn.numbers >= _WORTH_IT else None


def uniform(module: _Module, generator: Any, out: np.ndarray, low: float, high: float) -> None:
    """Fill a float32 array as ``recipes.uniform`` does."""
    a, b = np.float32(low), np.float32(high)
    _fill(module, module.uniform, generator, out, float(b - a), float(a))


def normal(module: _Module, generator: Any, out: np.ndarray, mean: float, std: float) -> None:
    """Fill a float32 array of whole blocks of 16 as ``boxmuller.normal_blocks`` does."""
    _fill(module, module.normal, generator, out, std, mean)


def _fill(
    module: _Module, kernel: Any, generator: Any, out: np.ndarray, scale: float, shift: float
) -> None:
    words, position = generator.words()
    made = np.empty(_CHUNK + 3 * WORDS, np.uint32)
    made[:WORDS] = words
    rest = np.empty(STEP, np.float32)
    start, target = made.ctypes.data, out.ctypes.data
    for first in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - first)
        end = position + count
        last = (end - 1) // WORDS * WORDS  # the 624 words among which the next draw begins
        if last:
            module.words(start, last)
        whole = count - count % STEP
        if whole:
            kernel(start + 4 * position, target + 4 * first, whole, scale, shift)
        if whole != count:
            kernel(start + 4 * (position + whole), rest.ctypes.data, STEP, scale, shift)
            out[first + whole : first + count] = rest[: count - whole]
        made[:WORDS] = made[last : last + WORDS]
        position = end - last
    generator.set_words(made[:WORDS], position)


class _Module:
    """The functions; keeps their memory alive."""

    def __init__(self) -> None:
        from cresset.compiler.host import Module
        from cresset.random.machine_code import text

        self._module = Module(text())
        pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        self.words = self._module.function("words", pointer, count)
        self.uniform = self._module.function("uniform", *[pointer] * 2, count, *[number] * 2)
        self.normal = self._module.function("normal", *[pointer] * 2, count, *[number] * 2)


@functools.cache
def _module() -> _Module | None:
    try:
        return _Module()
    except Exception as error:  # NumPy's way is still there
        warnings.warn(
            f"cresset: numbers are drawn by NumPy, as no machine code could be made ({error})",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
