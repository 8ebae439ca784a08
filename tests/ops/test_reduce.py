"""Sums, means, variances, products, truth and norms against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_reduce import ROWS


@pytest.mark.parametrize(("check", "row"), cases(ROWS))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_small_integers_add_up_in_int64():
    assert cresset.tensor([200, 100], dtype=cresset.uint8).sum().item() == 300
    assert cresset.ones(3, dtype=cresset.bool).sum().dtype is cresset.int64


def test_half_precision_adds_up_in_single():
    x = cresset.tensor([[60000.0], [60000.0], [-60000.0]], dtype=cresset.float16)
    assert x.sum().item() == 60000
    assert x.sum(0).tolist() == [60000]
    assert x.mean().item() == 20000
    assert cresset.tensor([300.0, 400.0], dtype=cresset.float16).norm().item() == 500


def test_long_columns_add_up_to_single_precision():
    x = cresset.full((100_000, 2), 0.1)
    assert cresset.allclose(x.sum(0), cresset.tensor([10000.0, 10000.0]), rtol=1e-6)


def test_the_mean_of_integers_is_refused():
    with pytest.raises(RuntimeError, match="could not infer output dtype. Input dtype must be"):
        cresset.ones(2, dtype=cresset.int64).mean()


def test_a_zero_in_a_product_leaves_the_others_in_its_gradient():
    x = cresset.tensor([2.0, 0.0, 3.0], requires_grad=True)
    x.prod().backward()
    assert x.grad.tolist() == [0, 6, 0]
