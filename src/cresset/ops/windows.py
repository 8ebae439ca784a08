"""Window functions of signal processing: a curve that rises from an end and falls to the other.

A *periodic* window of ``n`` values is the symmetric one of ``n + 1`` values without its last, as
spectra of whole periods want it. The formulas are computed in the order PyTorch computes them.
"""

from __future__ import annotations

import math
from typing import Any

from cresset import dtypes
from cresset.dtypes import dtype
from cresset.ops.creation import Device, empty, ones
from cresset.ops.elementwise import C_NAMES
from cresset.ops.ranges import arange
from cresset.ops.registry import Tensor


def _window(name: str, length: int, d: dtype | None, where: Device, requires_grad: bool,
            periodic: bool, curve: Any) -> Tensor:  # fmt: skip
    """``curve(positions, steps)`` where there are at least two values."""
    d = dtypes.get_default_dtype() if d is None else d
    if d.category < dtypes.FLOAT:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {C_NAMES[d.name]}")
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    if length == 0:
        result = empty(0, dtype=d, device=where)
    elif length == 1:
        result = ones(1, dtype=d, device=where)
    else:
        steps = length if periodic else length - 1
        result = curve(arange(steps + 1, dtype=d, device=where), steps)[:length]
        result = result.clone() if periodic else result
    return result.requires_grad_() if requires_grad else result


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: dtype | None = None, layout: Any = None, device: Device = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - beta * cos(2 pi n / (N - 1))``.

    >>> import cresset as torch
    >>> torch.hamming_window(3, periodic=False)
    tensor([0.0800, 1.0000, 0.0800])
    """
    return _window(
        "hamming_window", window_length, dtype, device, requires_grad, periodic,
        lambda n, steps: n.mul_(2 * math.pi / steps).cos_().mul_(-beta).add_(alpha),
    )  # fmt: skip


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: dtype | None = None, layout: Any = None,
    device: Device = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``(1 - cos(2 pi n / (N - 1))) / 2``.

    >>> import cresset as torch
    >>> torch.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window(
        "hann_window", window_length, dtype, device, requires_grad, periodic,
        lambda n, steps: n.mul_(2 * math.pi / steps).cos_().mul_(-0.5).add_(0.5),
    )  # fmt: skip


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: dtype | None = None, layout: Any = None,
    device: Device = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``0.42 - 0.5 cos(2 pi n / (N - 1)) + 0.08 cos(4 pi n / (N - 1))``.

    >>> import cresset as torch
    >>> torch.blackman_window(4)[2]
    tensor(1.)
    """

    def curve(n: Any, steps: int) -> Any:
        n = n.mul_(math.pi / steps)
        return n.mul(4).cos_().mul_(0.08) - n.mul(2).cos_().mul_(0.5) + 0.42

    return _window(
        "blackman_window", window_length, dtype, device, requires_grad, periodic, curve
    )  # fmt: skip


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: dtype | None = None, layout: Any = None,
    device: Device = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A triangle: ``1 - |2 n / (N - 1) - 1|``.

    >>> import cresset as torch
    >>> torch.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """

    def curve(n: Any, steps: int) -> Any:
        n = n.mul_(2.0 / steps)
        half = (steps + 1 - 1 >> 1) + 1
        n[half:] = n[half:].mul(-1).add(2)
        return n

    return _window(
        "bartlett_window", window_length, dtype, device, requires_grad, periodic, curve
    )  # fmt: skip


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: dtype | None = None,
    layout: Any = None, device: Device = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``I0(beta sqrt(1 - (2 n / (N - 1) - 1)**2)) / I0(beta)``.

    >>> import cresset as torch
    >>> torch.kaiser_window(4)[2]
    tensor(1.)
    """

    def curve(n: Any, steps: int) -> Any:
        x = n.mul_(2 / steps).sub_(1)
        root = (1 - x * x).clamp_(min=0).sqrt_().mul_(beta)
        return root.i0_() / n.new_tensor(beta).i0_()

    return _window(
        "kaiser_window", window_length, dtype, device, requires_grad, periodic, curve
    )  # fmt: skip


TORCH = (
    "hamming_window", "hann_window", "blackman_window", "bartlett_window", "kaiser_window",
)  # fmt: skip
