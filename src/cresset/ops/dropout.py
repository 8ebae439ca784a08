"""Dropout: elements or whole channels multiplied by random zeros; in training only.

One mask is drawn per call, in PyTorch's order: Bernoulli numbers of the input's shape, or of its
first two sizes where whole channels fall. The checks of shapes and the layers' names for these
functions are in ``nn``.
"""

from __future__ import annotations

import math

from cresset.ops.creation import empty, empty_strided
from cresset.ops.inplace import assign
from cresset.ops.pointwise import add, mul
from cresset.ops.registry import Tensor

#: The value that large negative inputs of SELU go to, negated (Klambauer et al., 2017).
_ALPHA = 1.7580993408473766


def _noise(x: Tensor, shape: tuple[int, ...], keep: float) -> Tensor:
    """Bernoulli(keep) / keep: the mask that dropout multiplies by."""
    spec = x._spec
    if shape == spec.shape and not spec.contiguous and spec.memory_order() is not None:
        noise = empty_strided(shape, spec.stride, dtype=spec.dtype, device=spec.device)
    else:
        noise = empty(shape, dtype=spec.dtype, device=spec.device)
    noise.bernoulli_(keep)  # type: ignore[attr-defined]
    return noise if keep == 0 else noise.div_(keep)  # type: ignore[attr-defined]


def _idle(input: Tensor, p: float, train: bool) -> bool:
    """Whether the input is the result; checks ``p``."""
    if p < 0 or p > 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
    return p == 0 or not train or input._spec.numel == 0


def _channels(input: Tensor, p: float) -> tuple[int, ...]:
    """A size per sample and channel, to broadcast over the rest; no mask is drawn for p = 1."""
    shape = input._spec.shape
    if len(shape) < 2 and p < 1:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*shape[:2], *(1,) * (len(shape) - 2))


def _drop(x: Tensor, shape: tuple[int, ...], p: float, inplace: bool) -> Tensor:
    """The input times the mask."""
    result = mul(x, _noise(x, shape, 1 - p) if p < 1 else 0.0)
    return assign(x, result) if inplace else result


def _alpha_drop(x: Tensor, shape: tuple[int, ...], p: float, inplace: bool) -> Tensor:
    """Dropped elements become -alpha; then mean 0 and variance 1 are restored."""
    if p == 1:
        result = mul(x, 0.0)
    else:
        keep = 1 - p
        a = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * keep)
        noise = x.detach().new_empty(shape).bernoulli_(keep)  # type: ignore[attr-defined]
        shift = noise.sub(1).mul_(_ALPHA * a).add_(_ALPHA * a * p)
        result = add(mul(x, noise.mul(a)), shift)
    return assign(x, result) if inplace else result


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Elements zeroed with probability ``p``, the rest divided by 1 - p (Hinton et al., 2012).

    >>> import cresset as torch
    >>> torch.dropout(torch.ones(3), p=0.5, train=False)
    tensor([1., 1., 1.])
    """
    return input if _idle(input, p, train) else _drop(input, input._spec.shape, p, False)


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place :func:`dropout`."""
    return input if _idle(input, p, train) else _drop(input, input._spec.shape, p, True)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """:func:`dropout` of whole channels: input (n, c, ...).

    >>> import cresset as torch
    >>> torch.feature_dropout(torch.ones(1, 2, 3), p=1.0, train=True)
    tensor([[[0., 0., 0.],
             [0., 0., 0.]]])
    """
    return input if _idle(input, p, train) else _drop(input, _channels(input, p), p, False)


def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place :func:`feature_dropout`."""
    return input if _idle(input, p, train) else _drop(input, _channels(input, p), p, True)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout that keeps mean and variance of self-normalising nets (Klambauer et al., 2017).

    >>> import cresset as torch
    >>> torch.alpha_dropout(torch.ones(3), p=0.5, train=False)
    tensor([1., 1., 1.])
    """
    return input if _idle(input, p, train) else _alpha_drop(input, input._spec.shape, p, False)


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place :func:`alpha_dropout`."""
    return input if _idle(input, p, train) else _alpha_drop(input, input._spec.shape, p, True)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """:func:`alpha_dropout` of whole channels: input (n, c, ...).

    >>> import cresset as torch
    >>> torch.feature_alpha_dropout(torch.ones(1, 2), p=0.5, train=False)
    tensor([[1., 1.]])
    """
    return input if _idle(input, p, train) else _alpha_drop(input, _channels(input, p), p, False)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place :func:`feature_alpha_dropout`."""
    return input if _idle(input, p, train) else _alpha_drop(input, _channels(input, p), p, True)


TORCH = (
    "dropout", "dropout_", "feature_dropout", "feature_dropout_", "alpha_dropout",
    "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_",
)  # fmt: skip
