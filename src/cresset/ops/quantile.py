"""Quantiles: between which ordered values a share of the data lies."""

from __future__ import annotations

from typing import Any

from cresset import dtypes
from cresset.ops.inplace import into
from cresset.ops.pointwise import mul, sub
from cresset.ops.registry import Tensor, wrap_dim
from cresset.ops.select import lerp
from cresset.ops.sort import sort
from cresset.ops.view import reshape

_KINDS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check(input: Tensor, q: Any, kind: str, name: str) -> Tensor:
    """``q`` as a tensor of the input's dtype; raises for what has no quantiles."""
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name} input tensor must be either float or double dtype")
    if not input.numel():
        raise RuntimeError(f"{name} input tensor must be non-empty")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name} q must be in the range [0, 1] but got {q:g}")
        q = input.new_tensor(q)  # type: ignore[attr-defined]
    else:
        if q.ndim > 1:
            raise RuntimeError(f"{name} q must be a scalar or 1D tensor")
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name} q tensor must be same dtype as the input tensor")
        values = q.detach()._host()
        if not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError(f"{name} q values must be in the range [0, 1]")
    if kind not in _KINDS:
        raise RuntimeError(
            f"{name} interpolation must be one of linear, lower, higher, midpoint or nearest, but "
            f"got {kind}"
        )
    return q


def _quantile(
    input: Tensor, q: Any, dim: int | None, keepdim: bool, kind: str, out: Tensor | None,
    name: str, ignore_nan: bool,
) -> Tensor:  # fmt: skip
    q = _check(input, q, kind, name)
    d = 0 if dim is None else wrap_dim(dim, input.ndim)
    x: Any = reshape(input, (-1,)) if dim is None or not input.ndim else input
    ordered: Any = sort(x.movedim(d, -1), -1).values  # NaN comes last
    flat: Any = reshape(q, (-1,))
    # Positions have one more, leading dimension: one for each element of ``q``.
    share: Any = reshape(flat, (-1, *[1] * ordered.ndim))
    if ignore_nan:
        last: Any = ordered.isnan().logical_not().sum(-1, True).sub(1).clamp(min=0)
        position: Any = mul(share, last)
    else:
        position = mul(share, ordered.shape[-1] - 1).expand(-1, *ordered.shape[:-1], 1)
        # One NaN makes every quantile NaN: it is last in order, so point there.
        nan = ordered.narrow(-1, ordered.shape[-1] - 1, 1).isnan()
        position = position.masked_fill(nan, ordered.shape[-1] - 1)
    if kind == "lower":
        position = position.floor()
    elif kind == "higher":
        position = position.ceil()
    elif kind == "nearest":
        position = position.round()
    position = position.detach()
    below = position.floor()
    wide = ordered.expand(len(flat), *ordered.shape)
    low = wide.gather(-1, below.long())
    if kind in ("lower", "higher", "nearest"):
        result = low
    else:
        high = wide.gather(-1, position.ceil().long())
        result = lerp(low, high, sub(position, below) if kind == "linear" else 0.5)
    result = result.squeeze(-1)
    if keepdim:
        whole = input.ndim if dim is None else 0
        shape = [1] * whole if dim is None else [
            1 if i == d else n for i, n in enumerate(input.shape)
        ]  # fmt: skip
        result = reshape(result, (len(flat), *shape))
    return into(out, result if q.ndim else result.squeeze(0))


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The ``q``-quantiles of all elements or along ``dim``; NaN if there is a NaN among them.

    Several ``q`` make a leading dimension. ``interpolation`` says what lies between two values:
    linear, lower, higher, midpoint or nearest.

    >>> import cresset as torch
    >>> torch.quantile(torch.tensor([1., 2., 3., 4.]), 0.5)
    tensor(2.5000)
    """
    return _quantile(input, q, dim, keepdim, interpolation, out, "quantile()", False)


def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The ``q``-quantiles of what is not NaN.

    >>> import cresset as torch
    >>> torch.nanquantile(torch.tensor([1., float('nan'), 3.]), 0.5)
    tensor(2.)
    """
    return _quantile(input, q, dim, keepdim, interpolation, out, "nanquantile()", True)


TORCH = ("quantile", "nanquantile")
METHODS = TORCH
