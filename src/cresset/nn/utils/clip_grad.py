"""Limiting gradients. Nothing here looks at a value, so clipping does not interrupt recording."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from cresset.autograd.grad_mode import no_grad
from cresset.ops.join import stack
from cresset.ops.vector_norm import vector_norm
from cresset.tensor import Tensor


def _list(tensors: Any) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def get_total_norm(
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """The norm of all tensors as if they were one vector."""
    items = _list(tensors)
    if not items:
        from cresset.ops.creation import tensor

        return tensor(0.0)
    first = items[0].device
    norms = [vector_norm(t, float(norm_type)).to(first) for t in items]  # type: ignore[attr-defined]
    total = vector_norm(stack(norms), float(norm_type))
    if error_if_nonfinite and not bool(total.isfinite()):  # type: ignore[attr-defined]
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is "
            "non-finite, so it cannot be clipped. To disable this error and scale the gradients by "
            "the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients by ``max_norm / total_norm`` where that is below 1."""
    grads = [p._grad for p in _list(parameters) if p._grad is not None]
    scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)  # type: ignore[operator]
    for g in grads:
        g.mul_(scale.to(g.device))  # type: ignore[attr-defined]


@no_grad()
def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale all gradients so that their common norm is at most ``max_norm``; returns the old norm.

    >>> import cresset as torch
    >>> p = torch.nn.Parameter(torch.zeros(2))
    >>> p.grad = torch.tensor([3., 4.])
    >>> torch.nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    """
    items = _list(parameters)
    if not items and isinstance(parameters, Iterator):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2
        )
    grads = [p._grad for p in items if p._grad is not None]
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(items, max_norm, total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """The old name of :func:`clip_grad_norm_`."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **kwargs)


@no_grad()
def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every gradient element to [-clip_value, clip_value]."""
    value = float(clip_value)
    for p in _list(parameters):
        if p._grad is not None:
            p._grad.clamp_(-value, value)  # type: ignore[attr-defined]
