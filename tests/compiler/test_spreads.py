"""Variance and standard deviation against their kernels."""

from __future__ import annotations

import pytest

import cresset as torch
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("dims", [(-1,), (0,), (0, 1), (1, 2), (0, 1, 2)])
def test_over_dimensions(kind, dims):
    x = (torch.randn(5, 4, 37) * 2 + 3).to(kind)

    def program():
        return [
            x.var(dims), x.std(dims, keepdim=True), x.var(dims, correction=0),
            torch.std(x, dims, correction=3), (x - x.mean(dims, keepdim=True)),
        ]  # fmt: skip

    close = 2e-3 if kind is torch.float16 else 2e-6 if kind is torch.float32 else 1e-13
    agree(program, close, close)


def test_far_from_zero():
    x = torch.randn(3, 1000) + 10_000
    (found,) = agree(lambda: [x.std(1)], 1e-4, 1e-4)
    assert ((found - 1).abs() < 0.1).all()


def test_of_one_and_of_none_left():
    x = torch.tensor([[2.0], [3.0]])
    one, zero = agree(lambda: [x.std(1), x.var(1, correction=0)])
    assert one.isnan().all() and zero.tolist() == [0.0, 0.0]


def test_gradients():
    def program():
        x = torch.randn(6, 20, requires_grad=True)
        (
            (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) * torch.randn(6, 20)
        ).sum().backward()
        return [x.grad]

    agree(program, 2e-5, 2e-5)
