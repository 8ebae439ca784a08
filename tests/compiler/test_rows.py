"""Softmax and its kin along rows: blocks of short rows, long rows one by one, far arrays."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import build, rows
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

SHAPES = [(1, 7), (3, 1), (4, 10), (5, 37), (16, 16), (33, 5), (37, 150), (2, 5000)]


def _both(count, size, dtype):
    def program():
        x = torch.randn(count, size, dtype=dtype) * 8
        x[0, 0] = float("-inf")
        x[count // 2, size // 2] = float("nan")
        x[count // 3, -1] = float("inf")
        x[-1, :] = float("-inf")
        y = torch.randn(count, size, dtype=dtype, requires_grad=True)
        (F.log_softmax(y, 1) * torch.randn(count, size, dtype=dtype)).sum().backward()
        return [F.softmax(x, -1).tolist(), F.log_softmax(x, 1).tolist(), y.grad.tolist()]

    seen = run_both(program)
    assert_close(seen, *([3e-6] * 2 if dtype is torch.float32 else [1e-14] * 2))
    assert not [name for name in fallbacks(seen) if "softmax" in name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count, size", SHAPES)
def test_softmax_and_gradient(count, size, dtype):
    _both(count, size, dtype)


@pytest.mark.parametrize("bytes", [32, 16])
@pytest.mark.parametrize("count, size", SHAPES[2:7])
def test_softmax_in_narrower_vectors(count, size, bytes, monkeypatch):
    monkeypatch.setattr(build, "vector_bytes", lambda: bytes)
    _both(count, size, torch.float32)


@pytest.mark.parametrize("count, size", [(5, 37), (20, 64)])
def test_softmax_of_rows_one_by_one(count, size, monkeypatch):
    monkeypatch.setattr(rows, "_SHORT", 0)
    _both(count, size, torch.float32)


def test_softmax_of_what_is_far(monkeypatch):
    monkeypatch.setattr(rows, "_FAR", 0)
    _both(40, 70, torch.float32)


def test_a_row_does_not_depend_on_where_it_stands():
    held: list = []

    def program():
        x = torch.randn(21, 45)
        turned = F.log_softmax(x.flip(0), 1).flip(0)
        held[:] = [F.log_softmax(x, 1).view(-1), turned.view(-1)]

    seen = run_both(program)
    assert seen
    for _, ((_, straight), (_, flipped)) in seen:
        assert np.array_equal(straight, flipped)
