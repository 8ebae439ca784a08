"""Initial values. Each function fills its tensor in place, off the tape, and returns it.

They draw in PyTorch's order from the same generator, so equal seeds give equal weights.
"""

from __future__ import annotations

import math as _math
import warnings as _warnings
from collections.abc import Callable
from typing import Any as _Any

from cresset.autograd.grad_mode import no_grad
from cresset.ops.creation import empty
from cresset.random.generator import Generator
from cresset.tensor import Tensor


def calculate_gain(nonlinearity: str, param: _Any = None) -> float:
    """The recommended gain for a nonlinearity.

    >>> import cresset as torch
    >>> torch.nn.init.calculate_gain('leaky_relu', 0.2)
    1.3867504905630728
    """
    if nonlinearity in (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "sigmoid",
    ):  # fmt: skip
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return _math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"negative_slope {param} not a valid number")
        return _math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0,
             generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Uniform in [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)  # type: ignore[attr-defined]


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0,
            generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Normal with ``mean`` and ``std``."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)  # type: ignore[attr-defined]


def trunc_normal_(tensor: _Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0,
                  b: float = 2.0, generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Normal with ``mean`` and ``std``, restricted to [a, b].

    Values that fall outside are drawn again, all of them at once until none is left. Where [a, b]
    holds less than 30 % of the distribution, candidates are uniform on [a, b] instead and kept
    with a probability that follows the density. Warns if ``mean`` is more than 2 ``std`` outside.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        _warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        return (1.0 + _math.erf((x - mean) / std / _math.sqrt(2.0))) / 2.0

    with no_grad():
        if below(b) - below(a) > 0.3:
            return _redraw_outside(tensor, mean, std, a, b, generator)
        return _reject_by_density(tensor, mean, std, a, b, generator)


def _redraw_outside(
    tensor: _Any, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> Tensor:
    # The bounds as the tensor's dtype rounds them: a value on one of them stays.
    low, high = tensor.new_tensor(a).item(), tensor.new_tensor(b).item()
    result = tensor.normal_(mean, std, generator=generator)
    while bool((outside := (result < low) | (result > high)).any()):
        # All elements are drawn, whether needed or not: that is PyTorch's stream.
        again = tensor.new_empty(tensor.shape).normal_(mean, std, generator=generator)
        result = again.where(outside, result)
    return tensor if result is tensor else tensor.copy_(result)


def _reject_by_density(
    tensor: _Any, mean: float, std: float, a: float, b: float, generator: Generator | None
) -> Tensor:
    peak = max(a, min(mean, b))
    log_peak = -0.5 * ((peak - mean) / std) ** 2
    result: _Any = None
    pending: _Any = None
    while pending is None or bool(pending.any()):
        candidates = tensor.new_empty(tensor.shape).uniform_(a, b, generator=generator)
        log_density = ((candidates - mean) / std).pow(2) * -0.5 - log_peak
        luck = tensor.new_empty(tensor.shape).uniform_(generator=generator).log()
        refused = luck > log_density
        if pending is None:
            result, pending = candidates, refused
        else:
            result = candidates.where(pending, result)
            pending = pending & refused
    return tensor.copy_(result)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element ``val``."""
    with no_grad():
        return tensor.fill_(val)  # type: ignore[attr-defined]


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with no_grad():
        tensor.zero_()  # type: ignore[attr-defined]
        tensor.diagonal().fill_(1)  # type: ignore[attr-defined]
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights that pass their input through, per group."""
    dims = tensor.ndimension()
    if dims not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = tensor.size(0) // groups
    with no_grad():
        tensor.zero_()  # type: ignore[attr-defined]
        centre = tuple(n // 2 for n in tensor.shape[2:])
        for g in range(groups):
            for d in range(min(per_group, tensor.size(1))):
                place = (g * per_group + d, d, *centre)
                tensor[place] = 1  # type: ignore[index]
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = _math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in ±gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * _math.sqrt(2.0 / float(fan_in + fan_out))
    bound = _math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * _math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fans = _calculate_fan_in_and_fan_out(tensor)
    fan = fans[0] if mode == "fan_in" else fans[1]
    return calculate_gain(nonlinearity, a) / _math.sqrt(fan)


def _nothing_to_do(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        _warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform in ±gain sqrt(3 / fan) (He et al., 2015)."""
    if _nothing_to_do(tensor):
        return tensor
    bound = _math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal with std gain / sqrt(fan) (He et al., 2015)."""
    if _nothing_to_do(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix times ``gain`` (Saxe et al., 2013)."""
    if tensor.ndimension() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    from cresset.ops.factor import qr

    rows = tensor.size(0)
    columns = tensor.numel() // rows
    flat = empty(rows, columns, dtype=tensor.dtype, device=tensor.device)
    normal_(flat, 0, 1, generator)
    with no_grad():
        if rows < columns:
            flat.t_()  # type: ignore[attr-defined]
        q, r = qr(flat)
        q = q * r.diagonal().sign()
        if rows < columns:
            q = q.t()
        tensor.view_as(q).copy_(q)  # type: ignore[attr-defined]
        return tensor.mul_(gain)  # type: ignore[attr-defined]


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01,
            generator: Generator | None = None) -> Tensor:  # fmt: skip
    """Normal with a fraction ``sparsity`` of each column set to zero (Martens, 2010)."""
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    from cresset.ops.random import randperm

    rows, columns = tensor.shape
    zeros = _math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)  # type: ignore[attr-defined]
        for column in range(columns):
            tensor[randperm(rows)[:zeros], column] = 0  # type: ignore[index]
    return tensor


def _deprecated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The old name without the underscore."""
    new = function.__name__
    old = new[:-1]

    def renamed(*args: _Any, **kwargs: _Any) -> Tensor:
        _warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    renamed.__name__ = old
    renamed.__doc__ = f"The old name of ``{new}``."
    return renamed


uniform, normal, constant = _deprecated(uniform_), _deprecated(normal_), _deprecated(constant_)
eye, dirac, orthogonal = _deprecated(eye_), _deprecated(dirac_), _deprecated(orthogonal_)
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
sparse = _deprecated(sparse_)

del annotations  # a name of this source, not of the API
