"""Products of matrices by every kernel: rows and dots, turned or not, whole and in pieces."""

from __future__ import annotations

import numpy as np
import pytest

import cresset as torch
import cresset.nn.functional as F
from cresset.compiler import build, matmul
from cresset.compiler.matmul import Matrix
from cresset.core.modes import PROCESS

from .both import assert_close, fallbacks, run_both

pytestmark = [
    pytest.mark.skipif(PROCESS.eager, reason="eager mode compiles nothing"),
    pytest.mark.usefixtures("pieces"),
]

#: rows of the left, columns of the left, columns of the right
SHAPES = [
    (1, 1, 1),
    (1, 40, 9),
    (3, 16, 4),
    (4, 84, 10),
    (7, 33, 5),
    (13, 50, 3),
    (20, 128, 70),
    (64, 784, 10),
    (65, 37, 50),
    (70, 16, 97),
    (128, 48, 100),
]


def _agree(program):
    seen = run_both(program)
    assert_close(seen, rtol=3e-5, atol=1e-4)
    assert not fallbacks(seen)


@pytest.mark.parametrize("bytes", [64, 32, 16])
@pytest.mark.parametrize("m, k, n", SHAPES[::2])
def test_products_in_every_layout(m, k, n, bytes, monkeypatch):
    monkeypatch.setattr(build, "vector_bytes", lambda: bytes)

    def program():
        a, b, bias = torch.randn(m, k), torch.randn(k, n), torch.randn(n)
        turned, under = torch.randn(n, k), torch.randn(k, m)
        found = [a @ b, a @ turned.t(), under.t() @ b, under.t() @ turned.t()]
        return [x.tolist() for x in [*found, F.linear(a, turned, bias)]]

    _agree(program)


@pytest.mark.parametrize("way", ["turned", "dots down the rows", "dots across the columns"])
@pytest.mark.parametrize("m, k, n", SHAPES[1::2])
def test_each_way_with_a_right_operand_that_lies_in_columns(m, k, n, way, monkeypatch):
    monkeypatch.setattr(matmul, "_JOIN", 1e9 if way == "turned" else 0)
    monkeypatch.setattr(matmul, "_TURN", 0 if way == "turned" else 1e9)
    monkeypatch.setattr(matmul, "_NEAREST", 1 << 40 if "rows" in way else 0)
    monkeypatch.setattr(matmul, "_NEAR", 1 << 40)

    def program():
        x, w, bias = torch.randn(m, k), torch.randn(n, k), torch.randn(n)
        batch = torch.randn(2, m, k) @ torch.randn(2, n, k).mT
        return [F.linear(x, w, bias).tolist(), (x @ w.t()).tolist(), batch.tolist()]

    _agree(program)


@pytest.mark.parametrize("m, k, n", [(13, 5, 300), (50, 33, 97), (100, 20, 209)])
def test_a_packed_left_operand(m, k, n, monkeypatch):
    monkeypatch.setattr(matmul, "_PAGES", 0)
    monkeypatch.setattr(matmul, "_PACK_FROM", 0)
    left, right = Matrix("", (m, k), 1, m), Matrix("", (k, n), n, 1)
    assert matmul.packs(left, right, 16)
    _agree(lambda: [(torch.randn(k, m).t() @ torch.randn(k, n)).tolist()])


@pytest.mark.parametrize("m, k, n", [(64, 300, 10), (70, 40, 50), (11, 64, 6)])
def test_a_row_of_a_product_does_not_depend_on_where_it_stands(m, k, n):
    def program():
        x, w = torch.randn(m, k), torch.randn(n, k)
        return [F.linear(x, w).view(-1), F.linear(x.flip(0), w).flip(0).view(-1)]

    held: list = []
    seen = run_both(lambda: held.__setitem__(slice(None), program()))
    assert not fallbacks(seen)
    for _, ((_, straight), (_, flipped)) in seen:
        assert np.array_equal(straight, flipped)


def test_few_columns_are_dot_products_and_many_are_turned():
    def turns(m, k, n):
        return matmul.turns(Matrix("", (m, k), k, 1), Matrix("", (k, n), 1, k), 16)

    assert not turns(64, 784, 10) and not turns(4, 400, 120)
    assert turns(128, 512, 512) and turns(64, 32, 64)
