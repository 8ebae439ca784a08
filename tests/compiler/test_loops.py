"""Groups whose vectors are computed together, and rows that are fetched before their turn."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import loops
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


@pytest.mark.parametrize("size", [1, 15, 64, 127, 128, 129, 200, 517])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_bodies_of_every_length(size, dtype):
    def program():
        x = torch.randn(3, size, dtype=dtype)
        column = torch.randn(3, 1, dtype=dtype)
        every_other = torch.randn(3, 2 * size, dtype=dtype)[:, ::2]
        return [
            F.gelu(x) * 2, torch.tanh(x) + column, torch.exp(every_other) - x,
            torch.sigmoid(x).sum(1), (x.abs() + 1) ** 2.5,
        ]  # fmt: skip

    agree(program, 1e-5, 1e-5)


@pytest.mark.parametrize("shape", [(5, 64), (4, 3, 200), (2, 5000)])
def test_rows_that_are_far(shape, monkeypatch):
    monkeypatch.setattr(loops, "_FAR", 0)

    def program():
        x, bias = torch.randn(shape), torch.randn(shape[-1])
        y = F.layer_norm(x, shape[-1:], torch.randn(shape[-1]), bias)
        return [F.gelu(y), torch.exp(x - bias.mean()).sum(-1)]

    agree(program, 1e-5, 1e-5)
