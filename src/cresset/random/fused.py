"""Fused multiply-add: ``a * b + c`` rounded once, as PyTorch's kernels were compiled.

NumPy has no such operation, and two roundings show in about a third of all float64 samples. So the
bits that the product loses are carried along: in float32 by working in float64, in float64 by
splitting numbers in halves (T. J. Dekker, A floating-point technique for extending the available
precision, 1971).
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: 2**27 + 1: multiplying by it splits a float64 into two halves whose products are exact.
_SPLITTER = 134217729.0


def fma32(a: Any, b: Any, c: Any) -> np.ndarray:
    """``a * b + c`` in float32.

    The product is exact in float64. The sum there may round, and then again to float32; about one
    operation in 2**29 lands on such a tie.
    """
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)


def fma64(a: np.ndarray, b: float, c: float | np.ndarray) -> np.ndarray:
    """``a * b + c`` in float64, where ``b`` is a single number."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = a * b
        high = _SPLITTER * a
        high -= high - a
        low = a - high
        b_high = _SPLITTER * np.float64(b)
        b_high -= b_high - b
        b_low = b - b_high
        lost = ((high * b_high - product) + high * b_low + low * b_high) + low * b_low
        total = product + c
        shift = total - product
        lost = lost + ((product - (total - shift)) + (c - shift))
        exact = total + lost
    # Infinities and numbers too large to split: nothing was lost that could be seen.
    return np.where(np.isfinite(exact), exact, total)
