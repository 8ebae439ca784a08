"""Random numbers for transforms, drawn one by one from the default generator.

Kind and order of the draws are torchvision's, so that equal seeds give equal crops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cresset.ops.creation import empty, from_numpy, tensor
from cresset.ops.random import rand, randint
from cresset.random.gamma import dirichlet
from cresset.random.generator import default_generator
from cresset.tensor import Tensor


def happens(p: float) -> bool:
    """True with probability ``p``."""
    return rand(1).item() < float(np.float32(p))  # as a tensor compares: p in its dtype


def uniform(low: float, high: float) -> float:
    """A float32 in [low, high)."""
    return empty(1).uniform_(low, high).item()


def offset(space: int) -> int:
    """An integer from 0 to ``space``."""
    return randint(0, space + 1, size=(1,)).item()


def integer(low: int, high: int) -> int:
    """An integer from ``low`` to ``high - 1``."""
    return randint(low, high, size=(1,)).item()


def area_and_aspect(
    area: int, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[float, float]:
    """The square roots of area times aspect ratio and of area over aspect ratio.

    The share of ``area`` is uniform in ``scale``; the logarithm of the aspect ratio is uniform, so
    that 1:2 is as likely as 2:1. In float32, as rounding decides sizes.
    """
    low, high = tensor(ratio).log().tolist()
    share = area * uniform(scale[0], scale[1])
    aspect = empty(1).uniform_(low, high).exp().item()
    return math.sqrt(share * aspect), math.sqrt(share / aspect)


def shares(concentration: float, count: int, rows: int) -> Tensor:
    """(rows, count): positive numbers that sum to 1, from a symmetric Dirichlet distribution."""
    table = np.full((rows, count), concentration, np.float32)
    return from_numpy(dirichlet(default_generator, table))


def at_most(p: float) -> bool:
    """True where a float32 in [0, 1) is at most ``p``."""
    return rand(()).item() <= float(np.float32(p))
