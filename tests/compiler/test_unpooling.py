"""Adaptive max pools and the ways back, against their reference kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

POOLS = {
    1: (F.adaptive_max_pool1d, (7,), 3),
    2: (F.adaptive_max_pool2d, (5, 8), (2, 8)),
    3: (F.adaptive_max_pool3d, (4, 5, 3), (3, 2, 1)),
}


@pytest.mark.parametrize("n", POOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adaptive_max_pools(n, dtype):
    pool, size, out = POOLS[n]

    def program():
        x = (torch.randn(2, 3, *size) * 2).round().to(dtype)
        x[0, 0].view(-1)[2:4] = float("nan")
        x[1, 1] = float("-inf")
        return list(pool(x, out, return_indices=True))

    agree(program)


def test_gradients_of_a_gradient_are_taken_by_place():
    def program():
        x = torch.randn(2, 3, 6, 6, requires_grad=True)
        y = F.adaptive_max_pool2d(x, 2)
        (g,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
        (g * g).sum().backward()
        return [x.grad]

    agree(program, 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unpooling(dtype):
    def program():
        x = torch.randn(2, 3, 6, 8, dtype=dtype)
        y, places = F.max_pool2d(x, 3, 2, return_indices=True)
        return [F.max_unpool2d(y, places, 3, 2, output_size=(6, 8)), places]

    agree(program)


def test_a_place_outside_is_pytorchs_error():
    def step(places):
        return F.max_unpool2d(torch.ones(1, 1, 1, 2), places, (1, 2)) + 1

    compiled = torch.compile(step)
    assert compiled(torch.tensor([[[[3, 0]]]])).tolist() == [[[[2, 1, 1, 2]]]]
    with pytest.raises(RuntimeError, match="Found an invalid max index: 4"):
        compiled(torch.tensor([[[[4, 0]]]])).tolist()
