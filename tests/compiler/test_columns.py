"""Softmax along dimensions that are not the last, and logsumexp, against their kernels."""

from __future__ import annotations

import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import columns, rows
from cresset.core.modes import PROCESS

from .both import agree

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "shape, dim", [((3, 5, 37), 1), ((7, 20), 0), ((2, 4, 3, 5), 1), ((5, 333), 0)]
)
def test_softmax_along_a_dimension(kind, shape, dim):
    def program():
        x = (torch.randn(shape, dtype=kind) * 6).requires_grad_()
        y = F.log_softmax(x, dim)
        (y * torch.randn(shape, dtype=kind)).sum().backward()
        return [y.detach(), x.grad, F.softmax(x.detach(), dim)]

    close = 2e-6 if kind is torch.float32 else 1e-13
    agree(program, close, close)


def test_lines_too_long_to_be_kept(monkeypatch):
    monkeypatch.setattr(columns, "_MOST_KEPT", 0)
    agree(lambda: [F.softmax(torch.randn(9, 140), 0)], 2e-6, 2e-6)


@pytest.mark.parametrize("width", [20, 150])
def test_infinities_and_nan(width):
    x = torch.randn(4, width)
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
    x = torch.randn(20, 5, 37, dtype=kind) * 6
    x[0, 0], x[1, 1, 1], x[2, 2, 2] = -float("inf"), float("inf"), float("nan")

    def program():
        return [torch.logsumexp(x, dims), torch.logsumexp(x[3:] * 2, dims, keepdim=True)]

    close = 2e-6 if kind is torch.float32 else 1e-13
    agree(program, close, close)


def test_logarithms_of_sums_of_rows_one_by_one(monkeypatch):
    monkeypatch.setattr(rows, "_SHORT", 0)
    x = torch.randn(3, 70) * 6
    x[0, 0], x[1, 1] = -float("inf"), float("nan")
    agree(lambda: [torch.logsumexp(x, 1)], 2e-6, 2e-6)
