"""Gamma and Dirichlet samples (G. Marsaglia, W. W. Tsang, "A simple method for generating gamma
variables", 2000), with the draws of PyTorch's CPU generator."""

from __future__ import annotations

import math

import numpy as np

from cresset.random.generator import Generator
from cresset.random.recipes import normal_pairs

#: PyTorch writes these constants in single precision and computes in double.
_THIRD = float(np.float32(1) / np.float32(3))
_SQUEEZE = float(np.float32(0.0331))


def gamma(g: Generator, shape: float) -> float:
    """A sample of density ``x ** (shape - 1) exp(-x)``, up to a constant."""
    if shape == 0:
        return 0.0
    scale = 1.0
    if shape < 1:
        scale = (1.0 - _uniform(g)) ** (1.0 / shape)
        shape += 1.0
    d = shape - _THIRD
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = float(normal_pairs(g, 1)[0])
        y = 1.0 + c * x
        if y <= 0:
            continue
        v = y * y * y
        u = 1.0 - _uniform(g)
        square = x * x
        accepted = u < 1.0 - _SQUEEZE * square * square
        if accepted or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def _uniform(g: Generator) -> float:
    return float(g.doubles(1)[0])


def dirichlet(g: Generator, concentration: np.ndarray) -> np.ndarray:
    """Rows of positive numbers that sum to 1, one for each row of ``concentration`` (n, k)."""
    smallest = float(np.finfo(np.float64).tiny)
    samples = [max(gamma(g, float(a)), smallest) for a in concentration.ravel()]
    rows = np.array(samples).reshape(concentration.shape)
    shares = (rows / rows.sum(-1, keepdims=True)).astype(concentration.dtype)
    limits = np.finfo(concentration.dtype)
    return shares.clip(limits.tiny, np.nextafter(concentration.dtype.type(1), 0))
