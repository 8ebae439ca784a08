"""Random numbers for transforms, drawn one by one from the default generator.

Kind and order of the draws are torchvision's, so that equal seeds give equal crops. One number is
made of one 32-bit word without a tensor around it, to the bit as ``rand``, ``randint`` and
``uniform_`` would make it of that word: these are called several times for each image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cresset.device import CPU, get_default_device
from cresset.dtypes import float32, get_default_dtype
from cresset.ops.creation import empty, from_numpy, tensor
from cresset.ops.random import rand, randint
from cresset.random.gamma import dirichlet
from cresset.random.generator import default_generator
from cresset.tensor import Tensor


def _as_usual() -> bool:
    """Whether ``rand(1)`` would be a float32 from the CPU's generator."""
    return get_default_dtype() is float32 and get_default_device() is CPU


def _unit() -> float:
    """A float32 in [0, 1) of 24 bits."""
    return (default_generator.word() & 0xFFFFFF) * 2.0**-24


def happens(p: float) -> bool:
    """True with probability ``p``."""
    chance = _unit() if _as_usual() else rand(1).item()
    return chance < float(np.float32(p))  # as a tensor compares: p in its dtype


def uniform(low: float, high: float) -> float:
    """A float32 in [low, high)."""
    if not (_as_usual() and -1e30 < low <= high < 1e30):
        return empty(1).uniform_(low, high).item()
    a, b = np.float32(low), np.float32(high)
    return float(np.float32(_unit() * float(b - a) + float(a)))  # one rounding, as in PyTorch


def offset(space: int) -> int:
    """An integer from 0 to ``space``."""
    return integer(0, space + 1)


def integer(low: int, high: int) -> int:
    """An integer from ``low`` to ``high - 1``."""
    if not (_as_usual() and 0 < high - low < 1 << 28):
        return randint(low, high, size=(1,)).item()
    return low + default_generator.word() % (high - low)


def area_and_aspect(
    area: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[float, float]:
    """The square roots of area times aspect ratio and of area over aspect ratio.

    The share of ``area`` is uniform in ``scale``; the logarithm of the aspect ratio is uniform, so
    that 1:2 is as likely as 2:1. In float32, as rounding decides sizes.
    """
    low, high = _logarithms(tuple(ratio), get_default_dtype())
    share = area * uniform(scale[0], scale[1])
    exponent = uniform(low, high)
    if get_default_dtype() is float32:
        aspect = float(np.float32(math.exp(exponent)))  # 99 of 100 times PyTorch's bits
    else:
        aspect = tensor([exponent]).exp().item()
    return math.sqrt(share * aspect), math.sqrt(share / aspect)


@lru_cache(maxsize=64)
def _logarithms(ratio: tuple[float, ...], dtype: Any) -> tuple[float, float]:
    low, high = tensor(ratio, dtype=dtype).log().tolist()
    return low, high


def shares(concentration: float, count: int, rows: int) -> Tensor:
    """(rows, count): positive numbers that sum to 1, from a symmetric Dirichlet distribution."""
    table = np.full((rows, count), concentration, np.float32)
    return from_numpy(dirichlet(default_generator, table))


def at_most(p: float) -> bool:
    """True where a float32 in [0, 1) is at most ``p``."""
    return rand(()).item() <= float(np.float32(p))
