"""``gradient``: slopes of sampled values by finite differences.

In the middle the slope is that of the parabola through three neighbours, at the ends that of the
line through two (``edge_order=1``) or of the parabola through three (``edge_order=2``).
"""

from __future__ import annotations

from typing import Any

from cresset.ops.join import cat
from cresset.ops.registry import Tensor, wrap_dim


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The slope along each of ``dim`` (all dimensions if None), one tensor each.

    ``spacing``: the distance of neighbours, for all dimensions or one for each; or a tensor of
    coordinates for each. Source: B. Fornberg, "Generation of Finite Difference Formulas on
    Arbitrarily Spaced Grids", 1988.

    >>> import cresset as torch
    >>> torch.gradient(torch.tensor([1., 4., 9., 16.]))
    (tensor([3., 4., 6., 7.]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    ndim = input.ndim
    given = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = [wrap_dim(d, ndim) for d in given]
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"equal to 'self.dim() = {ndim}', but got a list of length {len(steps)}"
        )
    for d in dims:
        if input.shape[d] < edge_order + 1:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1"
            )
    return tuple(_slope(input, d, s, edge_order) for d, s in zip(dims, steps, strict=True))


def _slope(x: Any, d: int, spacing: Any, order: int) -> Tensor:
    n = x.shape[d]

    def part(start: int, length: int) -> Any:
        return x.narrow(d, start, length)

    if not isinstance(spacing, Tensor) or not spacing.ndim:
        h = spacing
        middle = (part(2, n - 2) - part(0, n - 2)) / (2 * h)
        if order == 1:
            first, last = (part(1, 1) - part(0, 1)) / h, (part(n - 1, 1) - part(n - 2, 1)) / h
        else:
            first = (-1.5 * part(0, 1) + 2 * part(1, 1) - 0.5 * part(2, 1)) / h
            last = (1.5 * part(n - 1, 1) - 2 * part(n - 2, 1) + 0.5 * part(n - 3, 1)) / h
        return cat([first, middle, last], d)
    if spacing.ndim != 1 or len(spacing) != n:
        raise RuntimeError(
            "torch.gradient expects each spacing tensor to have the same number of elements as the "
            "dimension it is for"
        )
    shape = [-1 if i == d else 1 for i in range(x.ndim)]
    gaps: Any = (spacing[1:] - spacing[:-1]).reshape(shape)  # type: ignore[index, operator, attr-defined]
    before, after = gaps.narrow(d, 0, n - 2), gaps.narrow(d, 1, n - 2)
    whole = before + after
    middle = (
        part(0, n - 2) * (-after / (before * whole))
        + part(1, n - 2) * ((after - before) / (before * after))
        + part(2, n - 2) * (before / (after * whole))
    )
    if order == 1:
        first = (part(1, 1) - part(0, 1)) / gaps.narrow(d, 0, 1)
        last = (part(n - 1, 1) - part(n - 2, 1)) / gaps.narrow(d, n - 2, 1)
        return cat([first, middle, last], d)
    a, b = gaps.narrow(d, 0, 1), gaps.narrow(d, 1, 1)
    first = (
        part(0, 1) * (-(2 * a + b) / (a * (a + b)))
        + part(1, 1) * ((a + b) / (a * b))
        + part(2, 1) * (-a / (b * (a + b)))
    )
    a, b = gaps.narrow(d, n - 3, 1), gaps.narrow(d, n - 2, 1)
    last = (
        part(n - 3, 1) * (b / (a * (a + b)))
        + part(n - 2, 1) * (-(a + b) / (a * b))
        + part(n - 1, 1) * ((2 * b + a) / (b * (a + b)))
    )
    return cat([first, middle, last], d)


TORCH = ("gradient",)
