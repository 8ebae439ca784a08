"""Softmax along dimensions that are not the last, and logsumexp, against their kernels."""

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


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape, dim", [((3, 5, 37), 1), ((7, 20), 0), ((2, 4, 3, 5), 1)])
def test_softmax_along_a_dimension(kind, shape, dim):
    def program():
        x = (torch.randn(shape, dtype=kind) * 6).requires_grad_()
        y = F.log_softmax(x, dim)
        (y * torch.randn(shape, dtype=kind)).sum().backward()
        return [y.detach(), x.grad, F.softmax(x.detach(), dim)]

    close = 2e-6 if kind is torch.float32 else 1e-13
    agree(program, close, close)


def test_infinities_and_nan():
    x = torch.randn(4, 20)
    x[:, 1], x[2, 3], x[1, 4], x[0, 5] = -float("inf"), -float("inf"), float("nan"), float("inf")
    soft, log = agree(lambda: [F.softmax(x, 0), F.log_softmax(x, 0)], 2e-6, 2e-6)
    assert soft[:, [1, 4, 5]].isnan().any(0).all() and log[2, 3] == -float("inf")


def test_the_loss_of_an_image():
    def program():
        x = torch.randn(2, 5, 6, 7, requires_grad=True)
        F.cross_entropy(x, torch.randint(0, 5, (2, 6, 7))).backward()
        return [x.grad]

    agree(program, 2e-6, 2e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_logarithms_of_sums(kind, dims):
    x = torch.randn(4, 5, 37, dtype=kind) * 6
    x[0, 0], x[1, 1, 1], x[2, 2, 2] = -float("inf"), float("inf"), float("nan")

    def program():
        return [torch.logsumexp(x, dims), torch.logsumexp(x[3:] * 2, dims, keepdim=True)]

    close = 2e-6 if kind is torch.float32 else 1e-13
    agree(program, close, close)
