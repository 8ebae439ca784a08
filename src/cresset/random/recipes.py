"""PyTorch's recipes: how its CPU kernels turn 32-bit draws into distributions.

Each function draws from a generator and returns a fresh one-dimensional array, equal to the bit to
what PyTorch writes into a contiguous tensor. Where float64 functions are needed, ``math`` is used:
NumPy's vectorised logarithm differs from the C library's in the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset.random import machine
from cresset.random.boxmuller import normal_blocks
from cresset.random.fused import fma32, fma64
from cresset.random.generator import CHUNK, Generator

_log = np.frompyfunc(math.log, 1, 1)
_exp = np.frompyfunc(math.exp, 1, 1)
_log1p = np.frompyfunc(math.log1p, 1, 1)
_cos = np.frompyfunc(math.cos, 1, 1)
_sin = np.frompyfunc(math.sin, 1, 1)
_tan = np.frompyfunc(math.tan, 1, 1)


def _exact(function: Any, x: np.ndarray) -> np.ndarray:
    return function(x).astype(np.float64)


def uniform(
    g: Generator, count: int, double: bool, low: float = 0.0, high: float = 1.0
) -> np.ndarray:
    """Uniform in [low, high): 24 bits as float32, or 53 bits as float64."""
    if double:
        values = g.doubles(count)
        return values if (low, high) == (0.0, 1.0) else fma64(values, high - low, low)
    if module := machine.kernels(count):
        values = np.empty(count, np.float32)
        machine.uniform(module, g, values, low, high)
        return values
    values = g.floats(count)
    if (low, high) == (0.0, 1.0):
        return values
    a, b = np.float32(low), np.float32(high)
    for start in range(0, count, CHUNK):
        part = values[start : start + CHUNK]
        part[:] = fma32(part, b - a, a)
    return values


def normal(
    g: Generator, count: int, double: bool, mean: float = 0.0, std: float = 1.0, half: bool = False
) -> np.ndarray:
    """Normal samples: one by one below 16, in blocks of 16 from there on.

    The last block of a count that is no multiple of 16 is drawn anew and overlaps the one before;
    half types draw nothing for the part that it replaces.
    """
    if count < 16:
        values = _affine(normal_pairs(g, count), std, mean)
        return values if double else values.astype(np.float32)
    draw = g.doubles if double else g.floats
    blocks = _double_blocks if double else normal_blocks
    whole = count - count % 16
    result = np.empty(count, np.float64 if double else np.float32)
    if not double and (module := machine.kernels(whole)):
        machine.normal(module, g, result[:whole], mean, std)
    else:
        for start in range(0, whole, CHUNK):
            part = result[start : min(start + CHUNK, whole)]
            part[:] = blocks(draw(part.size), mean, std)
    if whole != count:
        if not half:
            draw(count - whole)
        result[count - 16 :] = blocks(draw(16), mean, std)
    return result


def _affine(x: np.ndarray, scale: float, shift: float) -> np.ndarray:
    if shift == 0.0 or scale == 1.0:  # one rounding either way
        return x * scale + shift
    return fma64(x, scale, shift)


def _double_blocks(u: np.ndarray, mean: float, std: float) -> np.ndarray:
    blocks = u.reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * _exact(_log, 1.0 - blocks[:, 0]))
    theta = 2.0 * math.pi * blocks[:, 1]
    result = np.empty_like(blocks)
    result[:, 0] = _affine(radius * _exact(_cos, theta), std, mean)
    result[:, 1] = _affine(radius * _exact(_sin, theta), std, mean)
    return result.reshape(-1)


def normal_pairs(g: Generator, count: int) -> np.ndarray:
    """Standard normal float64 samples made in pairs; the odd one out waits in the generator."""
    if not count:
        return np.empty(0)
    values = []
    if g.next_double is not None:
        values.append(g.next_double)
        g.next_double = None
    missing = count - len(values)
    uniform = g.doubles(missing + missing % 2).tolist()
    for u1, u2 in zip(uniform[0::2], uniform[1::2]):
        radius = math.sqrt(-2.0 * math.log1p(-u2))
        theta = 2.0 * math.pi * u1
        values += (radius * math.cos(theta), radius * math.sin(theta))
    if missing % 2:
        g.next_double = values.pop()
    return np.array(values)


def integers(g: Generator, count: int, low: int, high: int) -> np.ndarray:
    """Integers in [low, high): 32-bit draws for ranges below 2**28, else 64-bit ones."""
    span = high - low
    draws = g.draw64(count) if span >= 1 << 28 else g.draw32(count)
    if span == 1 << 64:
        return draws.astype(np.int64)
    return (draws % np.uint64(span)).astype(np.int64) + np.int64(low)


def full_range(g: Generator, count: int, dtype_name: str) -> np.ndarray:
    """``random_()`` without bounds: all non-negative values of an integer type."""
    if dtype_name == "int64":
        return (g.draw64(count) % np.uint64(2**63)).astype(np.int64)
    if dtype_name == "float64":
        return (g.draw64(count) % np.uint64(2**53 + 1)).astype(np.float64)
    limit = {
        "bool": 2, "uint8": 2**8, "int8": 2**7, "int16": 2**15, "int32": 2**31,
        "float32": 2**24 + 1, "float16": 2**11 + 1, "bfloat16": 2**8 + 1,
    }[dtype_name]  # fmt: skip
    return (g.draw32(count) % np.uint64(limit)).astype(np.int64)


def permutation(g: Generator, n: int) -> np.ndarray:
    """0..n-1 in random order: draw i exchanges place i with one at or after it."""
    if n < 2:
        return np.arange(n)
    left = np.arange(n, 1, -1, dtype=np.uint64)
    draws = g.draw32(n - 1) if n < 0xFFFFFFFF // 20 else g.draw64(n - 1)
    partners = (draws % left).astype(np.int64) + np.arange(n - 1)
    return _exchanged(partners) if n >= _MANY else _exchanged_in_turn(partners)


#: From this length of a permutation on, the dozen array operations cost less than the loop.
_MANY = 400


def _exchanged_in_turn(partners: np.ndarray) -> np.ndarray:
    """0..n-1 after exchanging place i with place ``partners[i]``, for i = 0, 1, ..., n-2."""
    order = list(range(len(partners) + 1))
    for i, j in enumerate(partners.tolist()):
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def _exchanged(partners: np.ndarray) -> np.ndarray:
    """The same without a loop over the exchanges.

    Exchange i leaves at place i what was at place ``partners[i]``, for good, and brings there what
    was at place i. So with ``moved[i]``, what lies at place i just before exchange i,

        result[i] = moved[t]   for the last t < i with partners[t] == partners[i]
                    partners[i]                           where there is none
        moved[i]  = moved[t]   for the last t < i with partners[t] == i
                    i                                     where there is none

    The second is a chain backwards from each place, followed to its end by doubling steps.
    """
    count = len(partners)
    step = np.arange(count)
    # Sorted by partner, then by time: the exchanges with the same partner are neighbours.
    keys = np.sort(partners << 32 | step)
    partner, time = keys >> 32, keys & 0xFFFFFFFF
    again = partner[1:] == partner[:-1]
    late, early = time[1:][again], time[:-1][again]

    moved = np.arange(count + 1)
    moved[partners] = step  # of equal partners the last one stays
    idle = np.flatnonzero(partners == step)  # exchange i with itself is not before i
    before = np.full(count, -1)
    before[late] = early
    moved[idle] = np.where(before[idle] < 0, idle, before[idle])
    while not np.array_equal(further := moved[moved], moved):
        moved = further

    result = np.append(partners, moved[count])
    result[late] = moved[early]
    return result


def bernoulli(g: Generator, count: int, p: float) -> np.ndarray:
    """True with probability ``p``: a 53-bit double compared with p."""
    return g.doubles(count) < p


def bernoulli_each(g: Generator, p: np.ndarray) -> np.ndarray:
    """True with a probability per element, drawn in the precision of ``p``."""
    return g.doubles(p.size) < p if p.dtype == np.float64 else g.floats(p.size) < p


def exponential(g: Generator, count: int, rate: float = 1.0) -> np.ndarray:
    """``-log(1 - u) / rate`` in float64."""
    return -1.0 / rate * _exact(_log1p, -g.doubles(count))


def geometric(g: Generator, count: int, p: float) -> np.ndarray:
    """``ceil(log(u) / log(1 - p))``."""
    return np.ceil(_exact(_log, g.doubles(count)) / math.log(1 - p))


def cauchy(g: Generator, count: int, median: float, sigma: float) -> np.ndarray:
    """``median + sigma * tan(pi (u - 1/2))``."""
    return fma64(_exact(_tan, math.pi * (g.doubles(count) - 0.5)), sigma, median)


def log_normal(g: Generator, count: int, mean: float, std: float) -> np.ndarray:
    """``exp`` of normal samples made in pairs."""
    return _exact(_exp, _affine(normal_pairs(g, count), std, mean))


def multinomial(g: Generator, weights: np.ndarray, count: int, replacement: bool) -> np.ndarray:
    """Indices drawn by weight from each row of (rows, categories).

    Without replacement (or for one draw) the largest of weight / exponential wins; with it, a
    double is looked up in the cumulative distribution, which half types sum in float32.
    """
    rows, categories = weights.shape
    if not replacement or count == 1:
        noise = exponential(g, rows * categories).astype(weights.dtype).reshape(weights.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = weights / noise
        if count == 1:
            return score.argmax(-1)[:, None]
        order = np.argsort(-score, axis=-1, kind="stable")
        return order[:, :count]
    result = np.empty((rows, count), np.int64)
    for i, row in enumerate(weights):
        total = np.cumsum(row, dtype=np.float64 if row.dtype == np.float64 else np.float32)
        total = total / total[-1]
        total[-1] = 1
        result[i] = np.searchsorted(total, g.doubles(count), side="left")
    return result


def poisson(g: Generator, rates: np.ndarray) -> np.ndarray:
    """Poisson samples: products of uniforms below a rate of 10, rejection (Hörmann, 1993) above."""
    return np.array([_poisson_one(g, float(r)) for r in rates.reshape(-1)], np.float64)


def _poisson_one(g: Generator, rate: float) -> float:
    if rate == 0:
        return 0.0
    if rate < 10:
        limit, product, count = math.exp(-rate), 1.0, 0
        while True:
            product *= float(g.doubles(1)[0])
            if product <= limit:
                return float(count)
            count += 1
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = float(g.doubles(1)[0]) - 0.5
        v = float(g.doubles(1)[0])
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= (
            -rate + k * log_rate - math.lgamma(k + 1)
        ):
            return float(k)
