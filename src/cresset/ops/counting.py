"""Counting equal values: unique, bincount, histograms.

The shapes of most results depend on the values, so these run at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cresset import dtypes
from cresset.ops.elementwise import C_NAMES, not_implemented
from cresset.ops.inplace import into
from cresset.ops.named import result
from cresset.ops.registry import Tensor, wrap_dim
from cresset.tensor import from_array

histogram_result = result("histogram", "hist", "bin_edges")


def _values(x: np.ndarray, like: Tensor) -> Tensor:
    """Values as a tensor of the dtype they came from (bfloat16 was widened to look at)."""
    if like.dtype is dtypes.bfloat16:
        return from_array(x, dtypes.float32, like.device).to(like.dtype)  # type: ignore[attr-defined]
    return from_array(x.copy(), like.dtype, like.device)


def _result(values: Tensor, inverse: Any, counts: Any) -> Any:
    extra = [from_array(x, dtypes.int64, values.device) for x in (inverse, counts) if x is not None]
    return (values, *extra) if extra else values


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The distinct values in order; optionally where each element went and how often each occurs.

    With ``dim``, distinct slices along it. Every NaN is a value of its own.

    >>> import cresset as torch
    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    axis = None if dim is None else wrap_dim(dim, input.ndim)
    if input.dtype.is_complex:
        raise not_implemented("unique", input.dtype)
    if axis is not None and any(n == 0 for i, n in enumerate(input.shape) if i != axis):
        raise RuntimeError(
            "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
        )
    x = input.detach()._host()
    if axis is not None and x.shape[axis] == 0:
        none = np.zeros(0, np.int64)
        return _result(_values(x, input), none if return_inverse else None,
                       none if return_counts else None)  # fmt: skip
    values, inverse, counts = np.unique(
        x, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    shape = x.shape if axis is None else (-1,)
    return _result(_values(values, input), inverse.reshape(shape) if return_inverse else None,
                   counts if return_counts else None)  # fmt: skip


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The values (with ``dim`` the slices) without repetitions of neighbours.

    >>> import cresset as torch
    >>> torch.unique_consecutive(torch.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    axis = None if dim is None else wrap_dim(dim, input.ndim)
    x = input.detach()._host()
    rows = x.reshape(-1) if axis is None or not x.ndim else np.moveaxis(x, axis, 0)
    new = np.ones(rows.shape[0], bool)
    if rows.shape[0] > 1:
        differs = rows[1:] != rows[:-1]
        new[1:] = differs.reshape(differs.shape[0], -1).any(1)
    starts = np.nonzero(new)[0]
    kept = rows[starts]
    if axis is not None:
        kept = np.moveaxis(kept, 0, axis)
    inverse = np.cumsum(new) - 1
    return _result(
        _values(kept, input),
        (inverse.reshape(x.shape) if axis is None else inverse) if return_inverse else None,
        np.diff(np.append(starts, rows.shape[0])) if return_counts else None,
    )


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative int occurs, or the sum of its ``weights``.

    >>> import cresset as torch
    >>> torch.bincount(torch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if input.dtype.category != dtypes.INT:
        raise not_implemented("bincount_cpu", input.dtype)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    x = input._host()
    if x.ndim == 1 and not x.size:
        return from_array(np.zeros(minlength, np.int64), dtypes.int64, input.device)
    if x.ndim != 1 or x.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return from_array(np.bincount(x, minlength=minlength), dtypes.int64, input.device)
    if weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    d = weights.dtype if weights.dtype is dtypes.float32 else dtypes.float64
    counts = np.bincount(x, weights._host().real, minlength)
    return from_array(counts, d, input.device)


# -- histograms ------------------------------------------------------------------------------------


def _outer_edges(x: np.ndarray, low: float, high: float, name: str) -> tuple[float, float]:
    """The range to divide: the data's own if none was given, widened if it has no width."""
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min")
    return (low - 1, high + 1) if low == high else (low, high)


def _count_evenly(x: np.ndarray, bins: int, low: float, high: float, weight: Any) -> np.ndarray:
    """Counts in ``bins`` equal parts of [low, high]; what lies outside (and NaN) is left out."""
    inside = (x >= low) & (x <= high)
    # As in PyTorch the place is computed in the type of the data, and the last edge is inside.
    kind = np.float64 if x.dtype == np.float64 else np.float32
    place = (x[inside].astype(kind) - kind(low)) * kind(bins / (high - low))
    place = np.minimum(place.astype(np.int64), bins - 1)
    counted = None if weight is None else weight[inside]
    return np.bincount(place, counted, bins)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *,
          out: Tensor | None = None) -> Tensor:  # fmt: skip
    """Counts in ``bins`` equal intervals between ``min`` and ``max`` (the data's own if equal).

    >>> import cresset as torch
    >>> torch.histc(torch.tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if input.dtype.category != dtypes.FLOAT:
        raise not_implemented("histogram_cpu", input.dtype)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    x = input.detach()._host().reshape(-1)
    low, high = _outer_edges(x, float(min), float(max), "torch.histc")
    counts = _count_evenly(x, bins, low, high, None)
    return into(out, from_array(counts, dtypes.float64, input.device).to(input.dtype))  # type: ignore[attr-defined]


def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None,
    density: bool = False, out: Any = None,
) -> Any:  # fmt: skip
    """Counts (or sums of ``weight``) between edges: ``bins`` equal parts, or a tensor of edges.

    The edges are in ``bin_edges``; ``density`` divides by the total and each part's width.

    >>> import cresset as torch
    >>> torch.histogram(torch.tensor([1., 2., 1.]), bins=3, range=(0., 3.)).hist
    tensor([0., 2., 1.])
    """
    d = input.dtype
    if d not in (dtypes.float32, dtypes.float64):
        raise not_implemented("histogramdd", d)
    x = input.detach()._host().reshape(-1)
    w = None
    if weight is not None:
        if weight.dtype is not d:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
                f"should have the same dtype, but got input({C_NAMES[d.name]}), and "
                f"weight({C_NAMES[weight.dtype.name]})"
            )
        if weight.shape != input.shape:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as "
                "the input tensor excluding its innermost dimension, but got input with shape "
                f"[{x.size}, 1] and weight with shape {list(weight.shape)}"
            )
        w = weight.detach()._host().reshape(-1)
    if isinstance(bins, Tensor):
        edges = _given_edges(bins, d)
        place = np.searchsorted(edges, x, "right") - 1
        place = np.where(x == edges[-1], len(edges) - 2, place)
        inside = (x >= edges[0]) & (x <= edges[-1])
        counts = np.bincount(place[inside], None if w is None else w[inside], len(edges) - 1)
    else:
        low, high = _range(x, bins, range)
        edges = np.linspace(low, high, bins + 1, dtype=d.np)
        counts = _count_evenly(x, bins, low, high, w)
    hist = counts.astype(np.float64)
    if density:
        hist = hist / (hist.sum() * np.diff(edges))
    results = [from_array(a.astype(d.np), d, input.device) for a in (hist, edges)]
    if out is not None:
        results = [into(o, r) for o, r in zip(out, results, strict=True)]
    return histogram_result(*results)


def _given_edges(bins: Tensor, d: Any) -> np.ndarray:
    if bins.ndim != 1:
        raise RuntimeError(
            "torch.histogramdd: bins tensor should have one dimension, but got "
            f"{bins.ndim} dimensions in the bins tensor for dimension 0"
        )
    if bins.dtype is not d:
        raise RuntimeError(
            "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got "
            f"input with dtype {C_NAMES[d.name]} and bins for dimension 0 with dtype "
            f"{C_NAMES[bins.dtype.name]}"
        )
    return bins.detach()._host()


def _range(x: np.ndarray, bins: int, given: Any) -> tuple[float, float]:
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if given is None:
        low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)
    else:
        if len(given) != 2:
            raise RuntimeError(
                "torch.histogramdd: for a 1-dimensional histogram range should have 2 elements, "
                f"but got {len(given)}"
            )
        low, high = map(float, given)
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} "
                "for dimension 0"
            )
    return (low - 0.5, high + 0.5) if low == high else (low, high)


TORCH = ("unique", "unique_consecutive", "bincount", "histc", "histogram")
METHODS = TORCH
