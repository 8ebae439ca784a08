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

POOLS = [
    (F.adaptive_max_pool1d, (7,), 3),
    (F.adaptive_max_pool2d, (5, 8), (2, 8)),
    (F.adaptive_max_pool2d, (6, 40), (3, 20)),
    (F.adaptive_max_pool3d, (4, 5, 3), (3, 2, 1)),
    (F.adaptive_max_pool3d, (8, 9, 10), (1, 1, 1)),
]


@pytest.mark.parametrize("pool, size, out", POOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adaptive_max_pools(pool, size, out, dtype):
    def program():
        x = (torch.randn(2, 3, *size) * 2).round().to(dtype)
        x[0, 0].view(-1)[2:4] = float("nan")
        x[1, 1] = float("-inf")
        return list(pool(x, out, return_indices=True))

    agree(program)


#: pool, size, options
AVERAGES = [
    (F.avg_pool1d, (9,), (2,)), (F.avg_pool2d, (8, 34), (2,)), (F.avg_pool2d, (7, 9), ((2, 3),)),
    (F.avg_pool3d, (4, 6, 5), ((2, 3, 5),)), (F.adaptive_avg_pool2d, (8, 6), ((4, 1),)),
    (F.adaptive_avg_pool3d, (6, 4, 36), ((3, 1, 18),)), (F.adaptive_avg_pool1d, (12,), (4,)),
    (F.avg_pool2d, (5, 5), (2, 2, 0, True)), (F.avg_pool2d, (8, 8), (2, 2, 0, False, True, 3)),
]  # fmt: skip


@pytest.mark.parametrize("pool, size, options", AVERAGES)
def test_gradients_of_averages(pool, size, options):
    def program():
        found = []
        for dtype in (torch.float32, torch.float64):
            x = torch.randn(2, 3, *size, dtype=dtype, requires_grad=True)
            y = pool(x, *options)
            (y * torch.randn(y.shape)).sum().backward()
            found.append(x.grad)
        return found

    agree(program, 1e-6, 1e-6)


def test_of_several_nan_the_last_is_found():
    x = torch.tensor([[[1.0, float("nan"), 3.0, float("nan"), 5.0]]])
    place = torch.compile(lambda x: F.adaptive_max_pool1d(x * 1 + 1, 1, return_indices=True)[1])
    assert place(x).item() == F.adaptive_max_pool1d(x, 1, return_indices=True)[1].item() == 3


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
