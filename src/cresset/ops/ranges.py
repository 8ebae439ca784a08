"""Evenly spaced values: ``arange``, ``linspace``, ``logspace``.

The values are PyTorch's to the bit, which takes some care. ``arange`` of floats is computed there
in groups of 32 bytes: the first value of a group as ``start + i * step`` in float64, rounded to the
dtype, the others as that plus a multiple of the step; what is left after the last pair of groups is
``start + i * step`` again. (Above 32,768 values PyTorch's groups also depend on the number of
threads; here they do not.) ``linspace`` counts from both ends, so that the last value is exact. All
products and sums are fused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.core.plan import from_bfloat16
from cresset.dtypes import dtype
from cresset.ops.creation import (
    Device,
    encode,
    finish,
    from_host,
    resolve_device,
)
from cresset.ops.registry import Tensor
from cresset.random.fused import fma32, fma64


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``start, start + step, ...`` up to but not including ``end``.

    >>> import cresset as torch
    >>> torch.arange(3), torch.arange(1, 2.5, 0.5)
    (tensor([0, 1, 2]), tensor([1.0000, 1.5000, 2.0000]))
    """
    if end is None:
        start, end = 0, start
    start, end, step = _number(start), _number(end), _number(step)
    if any(isinstance(x, complex) for x in (start, end, step)):
        raise RuntimeError("value cannot be converted to type double without overflow")
    if dtype is None:
        if out is not None:
            dtype = out.dtype
        elif all(isinstance(x, int) for x in (start, end, step)):
            dtype = dtypes.int64
        else:
            dtype = dtypes.get_default_dtype()
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not all(math.isfinite(x) for x in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is dtypes.int64:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
    if all(isinstance(x, int) for x in (start, end, step)):
        count = max(0, -(-(end - start) // step))
        values = np.arange(count, dtype=np.int64) * step + start
    else:
        count = math.ceil((end - start) / step)
        if dtype.category == dtypes.INT:
            values = np.arange(count, dtype=np.int64) * int(step) + int(start)
        else:
            values = _progression(float(start), float(step), count, dtype)
    result = from_host(encode(values, dtype), dtype, resolve_device(device))
    return finish(result, requires_grad, out)


def _rounding(d: dtype) -> Any:
    """Rounds float64 values to a float dtype (and gives them back as float64)."""
    if d is dtypes.bfloat16:
        return lambda x: from_bfloat16(encode(np.asarray(x), d)).astype(np.float64)
    return lambda x: np.asarray(x).astype(d.np).astype(np.float64)


def _progression(start: float, step: float, count: int, d: dtype) -> np.ndarray:
    """``start + i * step`` for i below ``count``, rounded as PyTorch's vector code does."""
    lanes = 32 // d.itemsize
    grouped = count // (2 * lanes) * (2 * lanes)
    first = fma64(np.arange(0, grouped, lanes, dtype=np.float64), step, start)
    bases = _rounding(d)(first)[:, None]
    groups = fma64(np.arange(lanes, dtype=np.float64), step, bases).reshape(-1)
    rest = fma64(np.arange(grouped, count, dtype=np.float64), step, start)
    return np.concatenate([groups, rest])


def range_(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Tensor | None = None,
    dtype: dtype | None = None, layout: Any = None, device: Device = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``start`` to ``end`` inclusive. Deprecated in PyTorch: use ``arange``."""
    import warnings

    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with Python's range builtin. Instead, use torch.arange, which produces values "  # noqa: E501
        "in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    start, end, step = _number(start), _number(end), _number(step)
    count = math.floor((end - start) / step) + 1
    d = dtype or dtypes.get_default_dtype()
    result = from_host(encode(np.arange(count) * step + start, d), d, resolve_device(device))
    return finish(result, requires_grad, out)


def linspace(
    start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: dtype | None = None,
    layout: Any = None, device: Device = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """``steps`` evenly spaced values from ``start`` to ``end`` inclusive.

    >>> import cresset as torch
    >>> torch.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    start, end = _number(start), _number(end)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype is None:
        dtype = dtypes.get_default_dtype()
        if isinstance(start, complex) or isinstance(end, complex):
            dtype = dtype.to_complex()
    d = dtype
    values = _linspace_values(start, end, steps, d)
    result = from_host(encode(values, d), d, resolve_device(device))
    return finish(result, requires_grad, out)


def _linspace_values(start: Any, end: Any, steps: int, d: dtype) -> np.ndarray:
    """Counted from both ends. Half types round after every operation, the others once."""
    if d.category < dtypes.FLOAT:
        start, end = int(start), int(end)
    if steps <= 1:
        return np.full(steps, start)
    index = np.arange(steps)
    if d.category == dtypes.COMPLEX:
        step = (end - start) / (steps - 1)
        return np.where(index < steps // 2, start + step * index, end - step * index[::-1])
    if d.itemsize == 2 and d.category == dtypes.FLOAT:
        r = _rounding(d)
        first, last = r(start), r(end)
        step = r(r(last - first) / r(steps - 1))
        low, high = first + r(step * r(index)), last - r(step * r(index[::-1]))
    else:
        kind = np.float32 if d is dtypes.float32 else np.float64
        fma = fma32 if d is dtypes.float32 else fma64
        step = (kind(end) - kind(start)) / kind(steps - 1)
        low = fma(index.astype(kind), step, kind(start))
        high = fma(index[::-1].astype(kind), -step, kind(end))
    values = np.where(index < steps // 2, low, high)
    return np.trunc(values) if d.category == dtypes.INT else values


def _rounded(d: dtype) -> Any:
    """A number as the dtype holds it, as a Python float."""
    if d.itemsize == 2 and d.category == dtypes.FLOAT:
        return lambda x: float(_rounding(d)(x))
    return lambda x: float(d.np.type(x))


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None,
    dtype: dtype | None = None, layout: Any = None, device: Device = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """``base`` to the powers ``linspace(start, end, steps)``.

    >>> import cresset as torch
    >>> torch.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    d = dtype or dtypes.get_default_dtype()
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = _number(start), _number(end)
    index = np.arange(steps)
    if d.category == dtypes.COMPLEX:
        values = np.power(base, _linspace_values(start, end, steps, d))
    else:
        # PyTorch rounds the ends and their distance to the dtype, then counts in doubles.
        r = _rounded(d)
        first, last = r(start), r(end)
        step = r(last - first) / max(steps - 1, 1)
        low, high = first + step * index, last - step * index[::-1]
        powers = np.where((index < steps // 2) | (steps == 1), low, high)
        values = np.array([_power(float(base), x) for x in powers.tolist()])
    result = from_host(encode(values, d), d, resolve_device(device))
    return finish(result, requires_grad, out)


TORCH = ("arange", "range=range_", "linspace", "logspace")
