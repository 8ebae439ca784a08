"""Running sums, products and extremes, differences against PyTorch."""

from __future__ import annotations

import pytest

import cresset

from .harness import cases
from .table_sort import SCANS


@pytest.mark.parametrize(("check", "row"), cases(SCANS))
def test_agrees_with_pytorch(check, row):
    check(row)


def test_half_precision_sums_go_on_in_single():
    x = cresset.tensor([60000.0, 60000.0, -60000.0], dtype=cresset.float16)
    assert x.cumsum(0).tolist() == [60000, float("inf"), 60000]


def test_the_last_of_equal_maxima_is_where_it_was_found():
    values, indices = cresset.cummax(cresset.tensor([1, 3, 2, 3]), 0)
    assert values.tolist() == [1, 3, 3, 3]
    assert indices.tolist() == [0, 1, 1, 3]


def test_the_trapezoidal_rule_takes_points_or_a_step():
    y = cresset.tensor([1.0, 5.0, 10.0])
    assert cresset.trapezoid(y, dx=2.0).item() == 21
    assert cresset.cumulative_trapezoid(y, cresset.tensor([0.0, 1.0, 3.0])).tolist() == [3, 18]


def test_the_gradient_of_logcumsumexp_does_not_overflow():
    x = cresset.tensor([-200.0, 200.0], requires_grad=True)
    cresset.logcumsumexp(x, 0).sum().backward()
    assert x.grad.tolist() == [1, 1]
