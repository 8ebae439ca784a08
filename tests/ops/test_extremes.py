"""Extremes, medians and modes against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_reduce import EXTREMES


@pytest.mark.parametrize(("check", "row"), cases(EXTREMES))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_equal_elements_share_the_gradient_of_amax_but_not_of_max_along_a_dimension():
    x = cresset.tensor([1.0, 4.0, 4.0], requires_grad=True)
    assert cresset.autograd.grad(x.amax(0), x)[0].tolist() == [0, 0.5, 0.5]
    assert cresset.autograd.grad(x.max(), x)[0].tolist() == [0, 0.5, 0.5]
    assert cresset.autograd.grad(x.max(0).values, x)[0].tolist() == [0, 1, 0]


def test_nan_is_the_largest_and_the_smallest():
    x = cresset.tensor([1.0, float("nan"), 2.0])
    assert x.max().isnan() and x.min().isnan() and x.argmax().item() == 1
    assert x.median().isnan() and x.nanmedian().item() == 1


def test_the_largest_of_nothing_is_an_error():
    with pytest.raises(RuntimeError, match="Expected reduction dim to be specified"):
        cresset.max(cresset.ones(0))
    with pytest.raises(IndexError, match="Expected reduction dim 1 to have non-zero size"):
        cresset.max(cresset.ones(2, 0), 1)
