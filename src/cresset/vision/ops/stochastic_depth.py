"""Residual branches that are left out at random while training."""

from __future__ import annotations

from cresset import nn
from cresset.ops.creation import empty
from cresset.tensor import Tensor

__all__ = ["StochasticDepth", "stochastic_depth"]


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zeros ``input`` with probability ``p`` and divides what stays by ``1 - p``.

    Args:
        input: (N, ...), a residual branch's output.
        p: the probability that it is left out.
        mode: ``"batch"`` leaves out all or nothing, ``"row"`` decides for each of the N rows.
        training: without it, ``input`` comes back as it is.

    Source: Huang et al., "Deep Networks with Stochastic Depth", https://arxiv.org/abs/1603.09382

    >>> import cresset as torch
    >>> stochastic_depth(torch.ones(2, 2), 1.0, "row")
    tensor([[0., 0.],
            [0., 0.]])
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    kept = 1.0 - p
    rows = input.shape[0] if mode == "row" else 1
    noise = empty([rows] + [1] * (input.ndim - 1), dtype=input.dtype, device=input.device)
    noise = noise.bernoulli_(kept)
    if kept > 0.0:
        noise.div_(kept)
    return input * noise


class StochasticDepth(nn.Module):
    """``stochastic_depth`` as a layer."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(p={self.p}, mode={self.mode})"
