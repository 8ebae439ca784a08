"""Normal float32 samples of 16 and more, to the bit as PyTorch's AVX2 kernel makes them.

The Box-Muller transform works on blocks of 16 uniform numbers u: for j in 0..7

    radius = sqrt(-2 log(1 - u[j])),  theta = 2 pi u[j + 8]
    out[j] = radius cos(theta) * std + mean,  out[j + 8] = radius sin(theta) * std + mean

The logarithm, sine and cosine there are the Cephes polynomials in float32, compiled with fused
multiply-add.
"""

from __future__ import annotations

import numpy as np

from cresset.random.fused import fma32

_f = np.float32
LOG = tuple(
    _f(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
COS = tuple(_f(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
SIN = tuple(_f(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
#: pi / 4 in three parts, so that subtracting multiples of it loses nothing.
QUARTER_PI = tuple(_f(c) for c in (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8))


def _polynomial(coefficients: tuple, x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = fma32(y, x, c)
    return y


def _log(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.int32)
    e = ((bits >> 23) - 0x7F).astype(np.float32) + _f(1)
    x = ((bits & ~0x7F800000) | 0x3F000000).view(np.float32)  # the mantissa, in [0.5, 1)
    small = x < _f(0.707106781186547524)
    x, e = (x - _f(1)) + np.where(small, x, _f(0)), e - small.astype(np.float32)
    square = x * x
    y = _polynomial(LOG, x) * x
    y = fma32(y, square, e * _f(-2.12194440e-4))
    y = fma32(-square, _f(0.5), y)
    return fma32(e, _f(0.693359375), x + y)


def _sin_cos(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For x >= 0."""
    octant = (x * _f(1.27323954473516)).astype(np.int32)
    octant = (octant + 1) & ~1
    steps = octant.astype(np.float32)
    for part in QUARTER_PI:
        x = fma32(steps, part, x)
    square = x * x
    c = _polynomial(COS, square) * square
    c = fma32(c, square, -(square * _f(0.5))) + _f(1)
    s = _polynomial(SIN, square) * square
    s = fma32(s, x, x)
    straight = (octant & 2) == 0
    sine, cosine = np.where(straight, s, c), np.where(straight, c, s)
    return (
        np.where((octant & 4) != 0, -sine, sine),
        np.where(((octant - 2) & 4) == 0, -cosine, cosine),
    )


def normal_blocks(uniform: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Whole blocks of 16 uniform float32 numbers turned into normal ones."""
    blocks = uniform.reshape(-1, 2, 8)
    radius = np.sqrt(_f(-2) * _log(np.ascontiguousarray(_f(1) - blocks[:, 0])))
    sine, cosine = _sin_cos(blocks[:, 1] * _f(2 * np.pi))
    result = np.empty_like(blocks)
    result[:, 0] = fma32(radius * cosine, _f(std), _f(mean))
    result[:, 1] = fma32(radius * sine, _f(std), _f(mean))
    return result.reshape(-1)
