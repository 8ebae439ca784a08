"""Pooling over windows of any dimension and padding, against the kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing")

WINDOWS = [
    # size, kernel, stride, padding
    ((9,), 3, 2, 1),
    ((70,), 2, None, 0),
    ((7, 9), 3, 2, 1),
    ((8, 40), 2, None, 0),
    ((12, 37), (2, 3), (1, 2), (1, 0)),
    ((6, 30), 4, 3, 2),
    ((4, 5, 6), 2, None, 0),
    ((5, 4, 20), (3, 2, 3), (2, 1, 1), (1, 1, 0)),
]
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
CLOSE = (2e-6, 2e-6)


@pytest.mark.parametrize("size, kernel, stride, padding", WINDOWS)
def test_maxima(size, kernel, stride, padding):
    x = torch.randn(2, 3, *size)
    x.view(-1)[[5, 11]] = float("nan")

    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            for ceil in (False, True):
                found += MAX[len(size)](
                    x.to(kind), kernel, stride, padding, ceil_mode=ceil, return_indices=True
                )
        return found + [MAX[len(size)](x, 2, 2, 0, 2)]

    agree(program)


@pytest.mark.parametrize("size, kernel, stride, padding", WINDOWS)
@pytest.mark.parametrize("options", [{}, {"ceil_mode": True, "count_include_pad": False}])
def test_averages_and_their_gradients(size, kernel, stride, padding, options):
    def program():
        found = []
        for kind in (torch.float32, torch.float64):
            x = torch.randn(2, 3, *size, dtype=kind, requires_grad=True)
            y = AVERAGE[len(size)](x, kernel, stride, padding, **options)
            (y * torch.randn(y.shape, dtype=kind)).sum().backward()
            found += [y.detach(), x.grad]
        return found

    agree(program, *CLOSE)


@pytest.mark.usefixtures("pieces")
def test_averages_with_a_divisor_of_their_own():
    def program():
        x = torch.randn(2, 3, 6, 7, requires_grad=True)
        y = F.avg_pool2d(x, 3, 2, 1, divisor_override=5)
        (y * y.detach()).sum().backward()
        return [y.detach(), x.grad]

    agree(program, *CLOSE)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("size, out", [((11,), 4), ((7, 9), (3, 4)), ((6, 6), 2), ((5, 4, 6), 3)])
def test_adaptive_averages_and_their_gradients(size, out):
    def program():
        x = torch.randn(2, 3, *size, requires_grad=True)
        y = ADAPTIVE[len(size)](x, out)
        (y * torch.randn(y.shape)).sum().backward()
        return [y.detach(), x.grad]

    agree(program, *CLOSE)
